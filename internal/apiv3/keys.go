package apiv3

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// ParsePrivateKey reads an RSA private key from PEM, PKCS#8 or PKCS#1.
func ParsePrivateKey(data []byte) (*rsa.PrivateKey, error) {
	const wanted = "the private key of the merchant API certificate, apiclient_key.pem"
	block, err := decodePEM(data, wanted)
	if err != nil {
		return nil, err
	}
	switch block.Type {
	case "PRIVATE KEY":
		return utils.LoadPrivateKey(string(pem.EncodeToMemory(block)))
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return nil, wrongBlock(block, wanted)
}

// ParsePublicKey reads an RSA public key from PEM, PKIX.
func ParsePublicKey(data []byte) (*rsa.PublicKey, error) {
	const wanted = "the WeChat Pay public key, pub_key.pem"
	block, err := decodePEM(data, wanted)
	if err != nil {
		return nil, err
	}
	if block.Type != "PUBLIC KEY" {
		return nil, wrongBlock(block, wanted)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if _, ok := key.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("the key is a %T, WeChat Pay uses RSA", key)
	}
	return utils.LoadPublicKey(string(pem.EncodeToMemory(block)))
}

// ParseCertificate reads an X.509 certificate from PEM.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	const wanted = "a certificate such as apiclient_cert.pem"
	block, err := decodePEM(data, wanted)
	if err != nil {
		return nil, err
	}
	if block.Type != "CERTIFICATE" {
		return nil, wrongBlock(block, wanted)
	}
	return utils.LoadCertificate(string(pem.EncodeToMemory(block)))
}

// CertificateSerial returns a certificate's serial number as WeChat Pay writes it: hexadecimal,
// upper case.
func CertificateSerial(certificate *x509.Certificate) string {
	return utils.GetCertificateSerialNumber(*certificate)
}

func decodePEM(data []byte, wanted string) (*pem.Block, error) {
	if block, _ := pem.Decode(data); block != nil {
		return block, nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("the file is empty; wanted is %s", wanted)
	}
	if data[0] == 0x30 { // an ASN.1 sequence: DER
		return nil, fmt.Errorf("this is a binary file, perhaps the PKCS#12 archive apiclient_cert.p12; wanted is %s, in PEM", wanted)
	}
	return nil, fmt.Errorf("no PEM block (-----BEGIN ...) found; wanted is %s", wanted)
}

func wrongBlock(block *pem.Block, wanted string) error {
	what := "a PEM block of type " + block.Type
	switch block.Type {
	case "CERTIFICATE":
		what = "a certificate"
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		what = "a public key"
	case "PRIVATE KEY", "RSA PRIVATE KEY":
		what = "a private key"
	case "EC PRIVATE KEY":
		what = "an elliptic-curve key, which is not RSA,"
	case "ENCRYPTED PRIVATE KEY":
		return errors.New("the private key is encrypted; decrypt it first, for instance with openssl pkey")
	}
	return fmt.Errorf("this is %s; wanted is %s", what, wanted)
}
