package apiv3

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// ParsePrivateKey reads an RSA private key from PEM, PKCS#8 or PKCS#1.
func ParsePrivateKey(data []byte) (*rsa.PrivateKey, error) {
	block, err := decodePEM(data, "the private key of the merchant API certificate, apiclient_key.pem", "PRIVATE KEY", "RSA PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if block.Type == "RSA PRIVATE KEY" {
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return utils.LoadPrivateKey(string(pem.EncodeToMemory(block)))
}

// ParsePublicKey reads an RSA public key from PEM, PKIX or PKCS#1.
func ParsePublicKey(data []byte) (*rsa.PublicKey, error) {
	block, err := decodePEM(data, "the WeChat Pay public key, pub_key.pem", "PUBLIC KEY", "RSA PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	if block.Type == "RSA PUBLIC KEY" {
		return x509.ParsePKCS1PublicKey(block.Bytes)
	}
	key, err := utils.LoadPublicKey(string(pem.EncodeToMemory(block)))
	if err != nil { // the library's error can quote the file
		return nil, errors.New("the PEM block does not hold an RSA public key, and WeChat Pay uses RSA")
	}
	return key, nil
}

// ParseCertificate reads an X.509 certificate from PEM.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	block, err := decodePEM(data, "a certificate such as apiclient_cert.pem", "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return utils.LoadCertificate(string(pem.EncodeToMemory(block)))
}

// CertificateSerial returns a certificate's serial number as WeChat Pay writes it: hexadecimal,
// upper case.
func CertificateSerial(certificate *x509.Certificate) string {
	return utils.GetCertificateSerialNumber(*certificate)
}

// decodePEM returns the first PEM block, which must be of one of the types, or says what it is instead.
func decodePEM(data []byte, wanted string, types ...string) (*pem.Block, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // which some editors put in front
	block, _ := pem.Decode(data)
	what := "no PEM file"
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		what = "an empty file"
	case block == nil && data[0] == 0x30: // an ASN.1 sequence: DER
		what = "a binary file, perhaps the PKCS#12 archive apiclient_cert.p12"
	case block == nil && bytes.Contains(data, []byte("-----BEGIN")):
		what = "a damaged PEM file: its line breaks or its END line are missing"
	case block == nil:
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		what = "an encrypted private key (openssl pkey decrypts it)"
	case slices.Contains(types, block.Type):
		return block, nil
	case block.Type == "EC PRIVATE KEY":
		what = "an elliptic-curve key, which is not RSA"
	default:
		what = "a " + strings.ToLower(strings.TrimPrefix(block.Type, "RSA "))
	}
	return nil, fmt.Errorf("this is %s; wanted is %s, in PEM", what, wanted)
}

// MinKeyBits is the least size of an RSA key.
const MinKeyBits = 2048

// CheckPublicKey refuses what cannot be an RSA key of WeChat Pay's or of a merchant's.
func CheckPublicKey(public crypto.PublicKey) (*rsa.PublicKey, error) {
	key, ok := public.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("is a %T; WeChat Pay uses RSA", public)
	case key == nil || key.N == nil || key.N.Sign() <= 0:
		return nil, errors.New("is empty")
	case key.N.BitLen() < MinKeyBits:
		return nil, fmt.Errorf("has %d bits, at least %d are needed", key.N.BitLen(), MinKeyBits)
	case key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0:
		return nil, errors.New("is not a valid RSA key")
	}
	return key, nil
}
