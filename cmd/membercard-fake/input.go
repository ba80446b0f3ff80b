package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/assert/yaml"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// readSeed reads a seed, of JSON or YAML, which JSON is too.
func readSeed(path string) (membercardtest.Seed, error) {
	if path == "" {
		return defaultSeed(), nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user named the file
	if err != nil {
		return membercardtest.Seed{}, fmt.Errorf("-seed: %w", err)
	}
	if !json.Valid(data) {
		var value map[string]any
		if err := yaml.Unmarshal(data, &value); err != nil {
			return membercardtest.Seed{}, fmt.Errorf("-seed %s: neither JSON nor YAML: %w", path, err)
		}
		if data, err = json.Marshal(value); err != nil {
			return membercardtest.Seed{}, fmt.Errorf("-seed %s: %w", path, err)
		}
	}
	seed, err := membercardtest.ParseSeed(data)
	if err != nil {
		return seed, fmt.Errorf("-seed %s: %w", path, err)
	}
	return seed, nil
}

// fixedKeys returns the merchant's and WeChat Pay's keys of a folder, and makes them where they are not there.
func fixedKeys(dir string) (merchant, platform *rsa.PrivateKey, err error) {
	if own, _ := filepath.Glob(filepath.Join(dir, "apiclient_*")); len(own) > 0 {
		return nil, nil, fmt.Errorf("%s has files of a merchant; name a folder for the fake's own keys", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the user named the folder
		return nil, nil, err
	}
	if merchant, err = fixedKey(filepath.Join(dir, "merchant_key.pem")); err != nil {
		return nil, nil, err
	}
	platform, err = fixedKey(filepath.Join(dir, "wechatpay_key.pem"))
	return merchant, platform, err
}

func fixedKey(path string) (*rsa.PrivateKey, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the user named the folder
	if err == nil {
		key, err := membercard.ParsePrivateKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600) //nolint:gosec // the user named the folder
}

// newTLSCertificate makes a certificate for this machine's own addresses.
func newTLSCertificate() (*tls.Config, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "membercard-fake"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
