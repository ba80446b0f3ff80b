package apiv3

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzParseKeys: a key file gives a key or an error, never both, and the error quotes nothing of it.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIIEvg==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMIIBIj==\n-----END PUBLIC KEY-----\n"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&testKey().PublicKey))}))
	f.Add([]byte{0x30, 0x82, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) error{parse(ParsePrivateKey), parse(ParsePublicKey), parse(ParseCertificate)} {
			if err := parse(data); err != nil {
				assert.NotContains(t, err.Error(), "value or error, never both")
				for line := range bytes.Lines(data) {
					if line = bytes.TrimSpace(line); len(line) >= 16 && line[0] != '-' {
						assert.NotContains(t, err.Error(), string(line))
					}
				}
			}
		}
	})
}
