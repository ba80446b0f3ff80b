package account

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// Write writes the key files of a configuration of the fake into a folder, as a merchant has them.
func Write(dir string, config membercard.Config) error {
	key := config.PrivateKey.(*rsa.PrivateKey)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	number, _ := new(big.Int).SetString(config.CertificateSerial, 16)
	template := &x509.Certificate{SerialNumber: number, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(4, 0, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		PrivateKeyFile:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		CertificateFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		APIv3KeyFile:    []byte(config.APIv3Key + "\n"),
	}
	if config.PublicKey != nil {
		public, err := x509.MarshalPKIXPublicKey(config.PublicKey)
		if err != nil {
			return err
		}
		files[PublicKeyFile] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
