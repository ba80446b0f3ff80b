package membercard

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

const minKeyBits = 2048

// ParsePrivateKey reads the merchant API private key (商户API私钥), apiclient_key.pem: RSA in PEM,
// PKCS#8 or PKCS#1.
func ParsePrivateKey(pem []byte) (*rsa.PrivateKey, error) {
	key, err := apiv3.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("membercard: private key: %w", err)
	}
	return key, nil
}

// ParsePublicKey reads the WeChat Pay public key (微信支付公钥), pub_key.pem: RSA in PEM, PKIX or
// PKCS#1.
func ParsePublicKey(pem []byte) (*rsa.PublicKey, error) {
	key, err := apiv3.ParsePublicKey(pem)
	if err != nil {
		return nil, fmt.Errorf("membercard: public key: %w", err)
	}
	return key, nil
}

// ParseCertificate reads a certificate, such as the merchant API certificate (商户API证书),
// apiclient_cert.pem.
func ParseCertificate(pem []byte) (*x509.Certificate, error) {
	certificate, err := apiv3.ParseCertificate(pem)
	if err != nil {
		return nil, fmt.Errorf("membercard: certificate: %w", err)
	}
	return certificate, nil
}

// CertificateSerial returns a certificate's serial number (证书序列号) as WeChat Pay writes it, for
// [Config].CertificateSerial. It is empty for a certificate without one.
func CertificateSerial(certificate *x509.Certificate) string {
	if certificate == nil || certificate.SerialNumber == nil {
		return ""
	}
	return apiv3.CertificateSerial(certificate)
}

// Decrypt opens a sensitive value of an answer with the merchant's private key, or with one of
// [Config].PreviousKeys. One that is not sealed is returned as it is, the zero value as "". It makes
// one private-key operation per key tried, and none when the same value was opened before, by whichever
// client.
//
// It fails when the value was sealed for another key (the error says so), and when the configured key
// can only sign: a key in an HSM or KMS must also be a [crypto.Decrypter].
func (c *Client) Decrypt(s Sensitive) (string, error) {
	plaintext, err := c.open(s)
	if err != nil {
		return "", fmt.Errorf("membercard: Decrypt: %w", err)
	}
	return plaintext, nil
}

var errNotOpened = errors.New("the value does not open with the merchant key; was it sealed for another certificate?")

func (c *Client) open(s Sensitive) (string, error) {
	value := s.get()
	switch value.state {
	case "", statePlaintext:
		return value.text, nil
	case stateRedacted:
		return "", errRedacted
	}
	if opened := value.opened.Load(); opened != nil {
		return *opened, nil
	}
	if len(c.decrypters) == 0 {
		return "", errors.New("Config.PrivateKey can only sign; give one that is also a crypto.Decrypter")
	}
	var first error // the current key's failure says more than an old one's
	for _, key := range c.decrypters {
		plaintext, err := apiv3.Open(key, value.text)
		if err == nil {
			value.opened.Store(&plaintext)
			return plaintext, nil
		}
		first = cmp.Or(first, err)
	}
	err := fmt.Errorf("%w (%s)", errNotOpened, oneLine(first.Error(), nil)) // as text: its chain may hold a foreign context's error
	if _, canOpen := c.signer.(crypto.Decrypter); !canOpen {
		err = fmt.Errorf("%w; Config.PrivateKey can only sign, so only PreviousKeys were tried", err)
	}
	return "", err
}

// sealer seals the sensitive values of one request under one key. The first failure stays in err.
type sealer struct {
	client     *Client
	key        *rsa.PublicKey
	plaintexts []string // no error text may quote them
	err        error
}

// seal returns value encrypted for WeChat Pay. One that came in an answer is encrypted for the
// merchant, so it is opened first.
func (s *sealer) seal(field string, value Sensitive) Sensitive {
	if s.err != nil || value.IsZero() {
		return value
	}
	plaintext, err := s.client.open(value)
	if err == nil && plaintext == "" {
		return Sensitive{}
	}
	var ciphertext string
	if err == nil {
		ciphertext, err = apiv3.Seal(s.key, plaintext)
	}
	if err != nil {
		s.err = fmt.Errorf("%s: %w", field, err)
		return Sensitive{}
	}
	s.plaintexts = append(s.plaintexts, plaintext)
	return newSensitive(stateSealed, ciphertext)
}

// personal replaces what is personal in a request, of which it is given a copy: the phone number, and the
// answers by a sealed copy.
func (s *sealer) personal(phoneNumber *Sensitive, answers **UserInfo) {
	*phoneNumber = s.seal("PhoneNumber", *phoneNumber)
	if *answers == nil {
		return
	}
	sealed := UserInfo{
		CommonFieldList: slices.Clone((*answers).CommonFieldList),
		CustomFieldList: slices.Clone((*answers).CustomFieldList),
	}
	for i, common := range sealed.CommonFieldList {
		sealed.CommonFieldList[i].Value = s.seal(fmt.Sprintf("UserInformation.CommonFieldList[%d].Value", i), common.Value)
	}
	for i, custom := range sealed.CustomFieldList {
		values := slices.Clone(custom.UserChosenValues)
		for j := range values {
			values[j] = s.seal(fmt.Sprintf("UserInformation.CustomFieldList[%d].UserChosenValues[%d]", i, j), values[j])
		}
		sealed.CustomFieldList[i].UserChosenValues = values
	}
	*answers = &sealed
}

// checkPublicKey refuses what cannot be an RSA key of WeChat Pay's or of a merchant's.
func checkPublicKey(public crypto.PublicKey) (*rsa.PublicKey, error) {
	key, ok := public.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("is a %T; WeChat Pay uses RSA", public)
	case key == nil || key.N == nil || key.N.Sign() <= 0:
		return nil, errors.New("is empty")
	case key.N.BitLen() < minKeyBits:
		return nil, fmt.Errorf("has %d bits, at least %d are needed", key.N.BitLen(), minKeyBits)
	case key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0:
		return nil, errors.New("is not a valid RSA key")
	}
	return key, nil
}

// checkKey returns the public half of a private key, which may live elsewhere.
func checkKey(key any) (public *rsa.PublicKey, err error) {
	defer func() {
		if recover() != nil { // a pointer or an interface somewhere inside the key is nil
			public, err = nil, errors.New("is nil or empty")
		}
	}()
	if own, ok := key.(*rsa.PrivateKey); ok && own.N.BitLen() >= minKeyBits {
		if err := own.Validate(); err != nil {
			return nil, fmt.Errorf("is not a valid RSA key: %w", err)
		}
	}
	return checkPublicKey(key.(interface{ Public() crypto.PublicKey }).Public())
}
