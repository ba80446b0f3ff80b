package membercardtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// platformCertificate is a certificate of WeChat Pay's.
type platformCertificate struct {
	serial              string
	key                 *rsa.PrivateKey
	notBefore, notAfter time.Time
	pem                 []byte
}

func (c *platformCertificate) valid(now time.Time) bool {
	return !now.Before(c.notBefore) && now.Before(c.notAfter)
}

// certificateKeys are made when they are needed and kept for the process: making one takes long.
var certificateKeys struct {
	mu   sync.Mutex
	keys []*rsa.PrivateKey
}

func certificateKey(i int) *rsa.PrivateKey {
	certificateKeys.mu.Lock()
	defer certificateKeys.mu.Unlock()
	for len(certificateKeys.keys) <= i {
		certificateKeys.keys = append(certificateKeys.keys, newKey())
	}
	return certificateKeys.keys[i]
}

// KeyFiles returns the files of a merchant of this server, by the names that the merchant platform gives
// them: apiclient_key.pem, apiclient_cert.pem, apiv3_key.txt and, unless the merchant number has platform certificates
// only, pub_key.pem and public_key_id.txt. For tests of programs that read them, as [membercard.LoadConfig] does.
func (s *Server) KeyFiles() map[string][]byte {
	config := s.Config()
	number, _ := new(big.Int).SetString(config.CertificateSerial, 16)
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: s.edition.caller},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(4, 0, 0),
	}
	files := map[string][]byte{"apiv3_key.txt": []byte(config.APIv3Key + "\n")}
	if s.edition.keyFile != "" {
		files[s.edition.keyFile] = []byte(s.edition.caller + "\n")
	}
	add := func(name, blockType string, der []byte, err error) {
		if err != nil {
			panic(err)
		}
		files[name] = pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
	}
	if key, ok := config.PrivateKey.(*rsa.PrivateKey); ok { // one in an HSM is in no file
		der, err := x509.MarshalPKCS8PrivateKey(key)
		add("apiclient_key.pem", "PRIVATE KEY", der, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, config.PrivateKey.Public(), config.PrivateKey)
	add("apiclient_cert.pem", "CERTIFICATE", der, err)
	if config.PublicKey != nil {
		der, err = x509.MarshalPKIXPublicKey(config.PublicKey)
		add("pub_key.pem", "PUBLIC KEY", der, err)
		files["public_key_id.txt"] = []byte(config.PublicKeyID + "\n")
	}
	return files
}

// WithCertificates makes the merchant number one that still uses platform certificates (平台证书): there is
// one, answers and notifications are signed with it, and Config has no PublicKey. [Server.AddCertificate]
// adds others, [Server.StartSwitch] begins the switch to the public key. Without this option there are none,
// as for new merchant numbers.
func WithCertificates() Option {
	return func(s *Server) {
		now := time.Now()
		s.addCertificate(now.AddDate(-1, 0, 0), now.AddDate(4, 0, 0))
	}
}

// AddCertificate adds a platform certificate and returns its serial number. It is in the list from now
// on, and takes its turn in signing while it is valid: the service has several certificates sign while one
// replaces another.
func (s *Server) AddCertificate(notBefore, notAfter time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addCertificate(notBefore, notAfter)
}

func (s *Server) addCertificate(notBefore, notAfter time.Time) string {
	c := &platformCertificate{
		key: certificateKey(len(s.certificates)), notBefore: notBefore.Truncate(time.Second), notAfter: notAfter.Truncate(time.Second),
	}
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 152)) // with the byte in front: 40 digits
	if err != nil {
		panic(err)
	}
	number.SetBit(number, 158, 1)
	c.serial = fmt.Sprintf("%040X", number)
	template := &x509.Certificate{
		SerialNumber: number, NotBefore: c.notBefore, NotAfter: c.notAfter,
		Subject: pkix.Name{CommonName: "Tenpay.com sign"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		panic(err)
	}
	c.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.certificates = append(s.certificates, c)
	return c.serial
}

// StartSwitch begins the switch from platform certificates to the public key: a request that names the
// public key in Wechatpay-Serial is answered with it, and every other notification is signed with it.
// Config has both from now on.
func (s *Server) StartSwitch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.switching = true
}

// signingKey returns the key that signs what comes next. named is what the request asked for.
func (s *Server) signingKey(named string) (key *rsa.PrivateKey, id string) {
	var valid []*platformCertificate
	for _, c := range s.certificates {
		if c.valid(time.Now()) {
			valid = append(valid, c)
		}
	}
	if len(s.certificates) == 0 || s.switching && named == s.keyID {
		return s.key, s.keyID
	}
	if len(valid) == 0 { // it is the merchant number's all the same
		valid = s.certificates[len(s.certificates)-1:]
	}
	s.signatures++
	c := valid[s.signatures%len(valid)]
	return c.key, c.serial
}

// decryptionKey returns the private half of the key that a request names, nil when it names none that is there.
func (s *Server) decryptionKey(named string) *rsa.PrivateKey {
	if named == s.keyID && (len(s.certificates) == 0 || s.switching) {
		return s.key
	}
	for _, c := range s.certificates {
		if c.serial == named && time.Now().Before(c.notAfter) {
			return c.key
		}
	}
	return nil
}

// resource is what WeChat Pay encrypts with the APIv3 key.
type resource struct {
	OriginalType   string `json:"original_type,omitempty"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data,omitempty"`
	Nonce          string `json:"nonce"`
}

func encryptResource(apiv3Key string, plaintext []byte, associatedData string) resource {
	block, err := aes.NewCipher([]byte(apiv3Key))
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := randomHex(6)
	sealed := gcm.Seal(nil, []byte(nonce), plaintext, []byte(associatedData))
	return resource{
		Algorithm: "AEAD_AES_256_GCM", Nonce: nonce, AssociatedData: associatedData, Ciphertext: base64.StdEncoding.EncodeToString(sealed),
	}
}

func (s *Server) listCertificates(input) (document, *problem) {
	var items []document
	for _, c := range s.certificates {
		if !time.Now().Before(c.notAfter) {
			continue
		}
		items = append(items, document{
			"serial_no": c.serial, "encrypt_certificate": encryptResource(s.edition.apiv3Key, c.pem, "certificate"),
			"effective_time": c.notBefore.In(zone).Format(time.RFC3339), "expire_time": c.notAfter.In(zone).Format(time.RFC3339),
		})
	}
	if items == nil {
		return nil, &problem{
			status: http.StatusNotFound, code: "RESOURCE_NOT_EXISTS", message: "无可用的平台证书，请使用微信支付公钥",
			reason: "the merchant number has no platform certificates", source: inferred,
		}
	}
	return document{"data": items}, nil
}

// plaintext reads a sensitive value that a test puts in: one made by it, or one from an answer.
func (s *Server) plaintext(value membercard.Sensitive) string {
	if value.IsZero() {
		return ""
	}
	text, err := s.clientOf(s.first.merchants[0]).Decrypt(value)
	if err != nil {
		text, err = s.clientOf(rotatedMerchant()).Decrypt(value)
	}
	if err != nil {
		panic(err)
	}
	return text
}

// clientOf returns a client that decrypts what was encrypted for a merchant certificate.
func (s *Server) clientOf(merchant merchantCertificate) *membercard.Client {
	config := membercard.Config{
		CertificateSerial: merchant.serial, PrivateKey: merchant.key, PublicKeyID: s.first.keyID, PublicKey: &s.first.key.PublicKey,
	}
	s.edition.configure(&config)
	return newClient(config)
}
