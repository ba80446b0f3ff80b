package apiv3

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestContentOf says what a file is that holds no key.
func TestContentOf(t *testing.T) {
	for data, want := range map[string]string{
		"":      "an empty file",
		"0":     "no PEM file", // 0x30, and nothing behind it
		"0\x7f": "no PEM file",
		"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n": "a damaged PEM file: what stands between BEGIN and END is no Base64",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n":                      "a damaged PEM file: its END line is missing",
		"keys/apiclient_key.pem":                                   "the name of a file, and not what is in it",
	} {
		_, flaw := contentOf([]byte(data))
		assert.Equal(t, want, flaw, "%q", data)
	}
	items, flaw := contentOf([]byte("0\x80"))
	assert.Empty(t, flaw, "the beginning of DER")
	assert.Len(t, items, 1)
}

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
