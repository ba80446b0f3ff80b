package account

import (
	"os"
	"path/filepath"

	"github.com/wechatpay-cards/membercard/membercardtest"
)

// Write writes the key files of the fake's merchant into a folder, the APIv3 key among them.
func Write(dir string, server *membercardtest.Server) error {
	files := server.KeyFiles()
	files[APIv3KeyFile] = []byte(membercardtest.APIv3Key + "\n")
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
