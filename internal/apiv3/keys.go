package apiv3

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// ParsePrivateKey reads an RSA private key, PKCS#8 or PKCS#1.
func ParsePrivateKey(data []byte) (*rsa.PrivateKey, error) {
	return onlyKeyOf[*rsa.PrivateKey](data, "the private key of the merchant API certificate, apiclient_key.pem")
}

// ParsePublicKey reads an RSA public key, PKIX or PKCS#1.
func ParsePublicKey(data []byte) (*rsa.PublicKey, error) {
	return onlyKeyOf[*rsa.PublicKey](data, "the WeChat Pay public key, pub_key.pem")
}

// ParseCertificate reads an X.509 certificate, the first of a chain.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	return onlyKeyOf[*x509.Certificate](data, "a certificate such as apiclient_cert.pem")
}

const maxFile = 64 << 10 // a chain of certificates has a few KiB

// onlyKeyOf returns the key or certificate of the wanted type that a file holds, whatever else is in it.
func onlyKeyOf[T any](data []byte, wanted string) (T, error) {
	var none T
	if len(data) > maxFile {
		return none, fmt.Errorf("this is a file of more than %d KiB; wanted is %s", maxFile>>10, wanted)
	}
	items, flaw := contentOf(data)
	if flaw != "" {
		return none, fmt.Errorf("this is %s; wanted is %s", flaw, wanted)
	}
	var found []T
	var others []string
	for _, item := range items {
		if item.label == "EC PARAMETERS" && len(items) > 1 { // they stand before a key
			continue
		}
		value, what := decodeItem(item)
		if t, ok := value.(T); ok {
			found = append(found, t)
		} else {
			others = append(others, what)
		}
	}
	_, isCertificate := any(none).(*x509.Certificate)
	switch {
	case len(found) == 0:
		return none, fmt.Errorf("this is %s; wanted is %s", strings.Join(others, " and "), wanted)
	case len(found) > 1 && !isCertificate:
		return none, fmt.Errorf("this is a file with %d keys, and which of them is meant cannot be told; wanted is %s", len(found), wanted)
	}
	return found[0], nil
}

// decodeItem reads an item by its content, whatever its label says. what it is: for an error.
func decodeItem(i item) (value any, what string) {
	if i.encrypted || strings.Contains(i.label, "ENCRYPTED") {
		return nil, "an encrypted private key (openssl pkey decrypts it)"
	}
	if key, err := x509.ParsePKCS1PrivateKey(i.der); err == nil {
		return key, "a private key"
	}
	if key, err := x509.ParsePKCS8PrivateKey(i.der); err == nil {
		return key, rsaOr[*rsa.PrivateKey](key, "a private key")
	}
	if key, err := x509.ParseECPrivateKey(i.der); err == nil {
		return key, rsaOr[*rsa.PrivateKey](key, "a private key")
	}
	if key, err := x509.ParsePKIXPublicKey(i.der); err == nil {
		return key, rsaOr[*rsa.PublicKey](key, "a public key")
	}
	if key, err := x509.ParsePKCS1PublicKey(i.der); err == nil {
		return key, "a public key"
	}
	if certificate, err := x509.ParseCertificate(i.der); err == nil {
		return certificate, "a certificate"
	}
	if _, err := x509.ParseCertificateRequest(i.der); err == nil {
		return nil, "a certificate request"
	}
	if i.label == "" {
		return nil, "a binary file, perhaps the PKCS#12 archive apiclient_cert.p12"
	}
	return nil, "a " + strings.ToLower(i.label[:min(len(i.label), 40)]) + " that cannot be read, damaged or of a kind that WeChat Pay does not use"
}

// rsaOr names a key, which should be an RSA key.
func rsaOr[T any](key any, what string) string {
	if _, ok := key.(T); !ok {
		return fmt.Sprintf("%s of another kind (%T), which is not RSA", what, key)
	}
	return what
}

// CertificateSerial returns a certificate's serial number as WeChat Pay writes it: hexadecimal,
// upper case.
func CertificateSerial(certificate *x509.Certificate) string {
	return utils.GetCertificateSerialNumber(*certificate)
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
	case key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 || key.E > math.MaxInt32: // which crypto/rsa refuses
		return nil, errors.New("is not a valid RSA key")
	}
	return key, nil
}
