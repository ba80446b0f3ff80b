package membercard

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

// ParsePrivateKey reads the merchant API private key (商户API私钥), apiclient_key.pem: RSA, PKCS#8 or PKCS#1. It goes by the
// content, in whatever form the file arrives: PEM with any label, among other blocks, on one line, indented, in quotes or in
// UTF-16. It may lack its BEGIN and END lines, or be in Base64 once more. Otherwise the error says what was found.
func ParsePrivateKey(pem []byte) (*rsa.PrivateKey, error) {
	key, err := apiv3.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("membercard: private key: %w", err)
	}
	return key, nil
}

// ParsePublicKey reads the WeChat Pay public key (微信支付公钥), pub_key.pem: RSA, PKIX or PKCS#1, in the forms of
// [ParsePrivateKey].
func ParsePublicKey(pem []byte) (*rsa.PublicKey, error) {
	key, err := apiv3.ParsePublicKey(pem)
	if err != nil {
		return nil, fmt.Errorf("membercard: public key: %w", err)
	}
	return key, nil
}

// ParseCertificate reads a certificate, such as the merchant API certificate (商户API证书), apiclient_cert.pem, in the forms of
// [ParsePrivateKey]; of a chain the first.
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

// LoadConfig reads the files of a folder that has what the merchant platform gives out, those that are there:
//
//	apiclient_key.pem    the merchant API private key (商户API私钥)
//	apiclient_cert.pem   the merchant API certificate (商户API证书), which has the serial number and the merchant number
//	pub_key.pem          the WeChat Pay public key (微信支付公钥); wxp_pub.pem where there is no pub_key.pem
//	public_key_id.txt    its id, PUB_KEY_ID_ and digits, which you write down from the platform's page
//	apiv3_key.txt        the APIv3 key (APIv3密钥), which you have set there
//	brand_id.txt         for a brand that calls for itself: its id; the other files are then those of the brand platform
//
// [New] says what is missing. os.DirFS makes a folder of a path. The forms of [ParsePrivateKey] are read.
func LoadConfig(dir fs.FS) (Config, error) {
	var config Config
	found := 0
	for _, file := range []struct {
		name string
		read func([]byte) error
	}{
		{"apiclient_key.pem", func(data []byte) error {
			key, err := apiv3.ParsePrivateKey(data)
			if err == nil {
				config.PrivateKey = key
			}
			return err
		}},
		{"apiclient_cert.pem", func(data []byte) (err error) {
			config.Certificate, err = apiv3.ParseCertificate(data)
			if err == nil {
				config.CertificateSerial, config.MchID = CertificateSerial(config.Certificate), config.Certificate.Subject.CommonName
			}
			return err
		}},
		{"wxp_pub.pem", func(data []byte) (err error) { config.PublicKey, err = apiv3.ParsePublicKey(data); return err }},
		{"pub_key.pem", func(data []byte) (err error) { config.PublicKey, err = apiv3.ParsePublicKey(data); return err }},
		{"public_key_id.txt", func(data []byte) error {
			if config.PublicKeyID = apiv3.PlainText(data); !strings.HasPrefix(config.PublicKeyID, publicKeyPrefix) {
				return errors.New("wanted is the id of the WeChat Pay public key, " + publicKeyPrefix + " and digits")
			}
			return nil
		}},
		{"apiv3_key.txt", func(data []byte) error {
			if config.APIv3Key = apiv3.PlainText(data); config.APIv3Key == "" {
				return errors.New("this is an empty file; wanted is the APIv3 key, or no such file")
			}
			return nil
		}},
		{"brand_id.txt", func(data []byte) error {
			config.BrandID, config.MchID = apiv3.PlainText(data), ""
			if config.BrandID == "" {
				return errors.New("this is an empty file; wanted is the brand's id, or no such file for a service provider")
			}
			return nil
		}},
	} {
		data, err := fs.ReadFile(dir, file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found++
		if err == nil {
			err = file.read(data)
		}
		if err != nil {
			return Config{}, fmt.Errorf("membercard: LoadConfig: %s: %w", file.name, err)
		}
	}
	if found == 0 {
		return Config{}, errors.New("membercard: LoadConfig: there is no such folder, or none of the files of the merchant platform is in it: apiclient_key.pem, apiclient_cert.pem, pub_key.pem (or wxp_pub.pem), public_key_id.txt, apiv3_key.txt, brand_id.txt")
	}
	return config, nil
}

// Decrypt decrypts a sensitive value of an answer with the merchant's private key, or with one of
// [Config].PreviousKeys. One that is not encrypted is returned as it is, the zero value as "". It makes
// one private-key operation per key tried, and none when the same value was decrypted before, by whichever client.
//
// It fails when the value was damaged on its way or encrypted for another key, which the error says. It also fails when the
// configured key can only sign: a key in an HSM or KMS must also be a [crypto.Decrypter].
func (c *Client) Decrypt(s Sensitive) (string, error) {
	plaintext, err := c.decrypt(s)
	if err != nil {
		return "", fmt.Errorf("membercard: Decrypt: %w", err)
	}
	return plaintext, nil
}

func (c *Client) decrypt(s Sensitive) (string, error) {
	value := s.get()
	if err := value.unusable(); err != nil {
		return "", err
	}
	if value.state != stateEncrypted {
		return value.text, nil
	}
	if plaintext := value.decrypted.Load(); plaintext != nil {
		return *plaintext, nil
	}
	if len(c.decrypters) == 0 {
		return "", errors.New("Config.PrivateKey can only sign; give one that is also a crypto.Decrypter")
	}
	var first error // the current key's failure says more than an old one's
	for _, key := range c.decrypters {
		plaintext, err := apiv3.Decrypt(key, value.text)
		if err == nil {
			value.decrypted.Store(&plaintext)
			return plaintext, nil
		}
		first = cmp.Or(first, err)
	}
	err := fmt.Errorf("%w (%s)", errNotDecrypted, noSecrets(first.Error())) // as text: its chain may hold a foreign context's error
	if _, canDecrypt := c.signer.(crypto.Decrypter); !canDecrypt {
		err = fmt.Errorf("%w; Config.PrivateKey can only sign, so only PreviousKeys were tried", err)
	}
	return "", err
}

// encrypter encrypts the sensitive values of one request under one key.
type encrypter struct {
	client     *Client
	key        *rsa.PublicKey
	plaintexts []string // no error text may quote them
}

// encrypt returns value encrypted for WeChat Pay. One that came in an answer is encrypted for the
// merchant, so it is decrypted first.
func (e *encrypter) encrypt(field string, value Sensitive) (Sensitive, error) {
	if value.IsZero() {
		return value, nil
	}
	plaintext, err := e.client.decrypt(value)
	if err == nil && plaintext == "" {
		return Sensitive{}, nil
	}
	e.plaintexts = append(e.plaintexts, plaintext)
	var ciphertext string
	if err == nil {
		ciphertext, err = apiv3.Encrypt(e.key, plaintext)
	}
	if err != nil {
		return Sensitive{}, fmt.Errorf("%s: %w", field, err)
	}
	return newSensitive(stateEncrypted, ciphertext), nil
}

// encryptUserInfo returns a copy of a user's answers in which they are encrypted.
func (e *encrypter) encryptUserInfo(field string, answers *UserInfo) (_ *UserInfo, err error) {
	encrypted := &UserInfo{CommonFieldList: slices.Clone(answers.CommonFieldList), CustomFieldList: slices.Clone(answers.CustomFieldList)}
	for i, common := range encrypted.CommonFieldList {
		if encrypted.CommonFieldList[i].Value, err = e.encrypt(fmt.Sprintf("%s.CommonFieldList[%d].Value", field, i), common.Value); err != nil {
			return nil, err
		}
	}
	for i, custom := range encrypted.CustomFieldList {
		values := slices.Clone(custom.UserChosenValues)
		for j := range values {
			if values[j], err = e.encrypt(fmt.Sprintf("%s.CustomFieldList[%d].UserChosenValues[%d]", field, i, j), values[j]); err != nil {
				return nil, err
			}
		}
		encrypted.CustomFieldList[i].UserChosenValues = values
	}
	return encrypted, nil
}

// checkKey returns the public half of a private key, which may live elsewhere.
func checkKey(key any) (public *rsa.PublicKey, err error) {
	defer func() {
		if recover() != nil { // a pointer or an interface somewhere inside the key is nil
			public, err = nil, errors.New("is nil or empty")
		}
	}()
	if own, ok := key.(*rsa.PrivateKey); ok && own.N.BitLen() >= apiv3.MinKeyBits {
		if err := own.Validate(); err != nil {
			return nil, fmt.Errorf("is not a valid RSA key: %w", err)
		}
	}
	return apiv3.CheckPublicKey(key.(interface{ Public() crypto.PublicKey }).Public())
}
