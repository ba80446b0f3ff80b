package account

import (
	"os"
	"path/filepath"

	"github.com/wechatpay-cards/membercard/membercardtest"
)

// Write writes the key files of the fake's merchant into a folder.
func Write(dir string, server *membercardtest.Server) error {
	for name, data := range server.KeyFiles() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
