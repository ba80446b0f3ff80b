package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// config is config.json.
type config struct {
	BaseURL           string `json:"base_url"`
	ControlURL        string `json:"control_url,omitempty"`
	TLSCertificate    string `json:"tls_certificate,omitempty"`
	MchID             string `json:"mch_id,omitempty"`
	CertificateSerial string `json:"certificate_serial"`
	PublicKeyID       string `json:"public_key_id,omitempty"`
	APIv3Key          string `json:"apiv3_key"`
	PrivateKey        string `json:"private_key"` // the names of files
	Certificate       string `json:"certificate"`
	PublicKey         string `json:"public_key,omitempty"`
	BrandID           string `json:"brand_id,omitempty"`
	CardID            string `json:"card_id,omitempty"`
	UserCardCode      string `json:"user_card_code,omitempty"`
	OpenID            string `json:"openid,omitempty"`
}

const (
	configFile      = "config.json"
	privateKeyFile  = "apiclient_key.pem"
	certificateFile = "apiclient_cert.pem"
	publicKeyFile   = "pub_key.pem"
	tlsFile         = "tls_cert.pem"
)

// folder holds the files of one run.
type folder struct {
	dir       string
	temporary bool
	written   []string
}

func newFolder(dir string) (*folder, error) {
	if dir != "" {
		return &folder{dir: dir}, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "membercard-fake-")
	return &folder{dir: dir, temporary: true}, err
}

// write writes the keys and, last, so that whoever waits for it finds the others, config.json.
func (f *folder) write(keys map[string][]byte, c config) error {
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if err := f.add(name, keys[name]); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(c, "", "  ") //nolint:gosec // the field holds the name of a file
	if err != nil {
		return err
	}
	return f.add(configFile, append(text, '\n'))
}

// add writes a file, never over one that is there: it may be a real key of this name.
func (f *folder) add(name string, data []byte) error {
	path := filepath.Join(f.dir, name)
	created, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user named the folder
	if err != nil {
		return fmt.Errorf("%w; give -dir a folder of its own, or remove what an earlier run left that was killed", err)
	}
	f.written = append(f.written, path)
	_, err = created.Write(data)
	return errors.Join(err, created.Close())
}

func (f *folder) remove() error {
	var errs []error
	for _, path := range f.written {
		errs = append(errs, os.Remove(path))
	}
	if f.temporary {
		errs = append(errs, os.Remove(f.dir))
	}
	return errors.Join(errs...)
}
