package apiv3

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseKeys(t *testing.T) {
	key := testKey()
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0).SetBytes([]byte{0x0D, 0xAB, 0xCD}), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0),
	}
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)))
	public := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&key.PublicKey)))
	pkcs8 := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	pkcs1 := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))

	utf16File := func(order binary.AppendByteOrder, text string) (file []byte) {
		for _, unit := range utf16.Encode([]rune(text)) {
			file = order.AppendUint16(file, unit)
		}
		return file
	}
	with := func(old, replacement string) []byte { return bytes.ReplaceAll(pkcs8, []byte(old), []byte(replacement)) }
	der := must(x509.MarshalPKCS8PrivateKey(key))
	for name, data := range map[string][]byte{
		"PKCS#8": pkcs8, "PKCS#1": pkcs1, "binary": der,
		"PKCS#8 as RSA PRIVATE KEY":   block("RSA PRIVATE KEY", der),
		"PKCS#1 as PRIVATE KEY":       block("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		"text in front":               append([]byte("Bag Attributes\n"), pkcs8...),
		"a byte order mark":           append([]byte("\ufeff"), pkcs8...),
		"UTF-16":                      utf16File(binary.LittleEndian, string(pkcs8)),
		"UTF-16 with a mark":          utf16File(binary.BigEndian, "\ufeff"+string(pkcs8)),
		"UTF-16, little, with a mark": utf16File(binary.LittleEndian, "\ufeff"+string(pkcs8)),
		"UTF-16, big":                 utf16File(binary.BigEndian, string(pkcs8)),
		"CRLF":                        with("\n", "\r\n"),
		"indented":                    with("\n", "\n    "),
		"line breaks of two letters":  with("\n", `\n`),
		"quotes":                      []byte(`"` + string(with("\n", `\r\n`)) + `"`),
		"one line":                    with("\n", ""),
		"spaces for line breaks":      with("\n", " "),
		"long dashes":                 with("-----", "—"),
		"no BEGIN and END":            []byte(base64.StdEncoding.EncodeToString(der)),
		"Base64 of the file":          []byte(base64.StdEncoding.EncodeToString(pkcs8)),
		"white space of another kind": append([]byte("\u00a0\u200b"), pkcs8...),
		"behind a certificate":        append(bytes.Clone(certificate), pkcs8...),
	} {
		got, err := ParsePrivateKey(data)
		if assert.NoError(t, err, name) {
			assert.True(t, key.Equal(got), name)
		}
	}
	for _, data := range [][]byte{block("RSA PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&key.PublicKey))), block("PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey))} {
		got, err := ParsePublicKey(data)
		require.NoError(t, err)
		assert.True(t, key.PublicKey.Equal(got))
	}
	chain, err := ParseCertificate(append(append(bytes.Clone(pkcs8), certificate...), certificate...))
	require.NoError(t, err)
	assert.Equal(t, "0DABCD", CertificateSerial(chain))
	gotPublic, err := ParsePublicKey(public)
	require.NoError(t, err)
	assert.True(t, key.PublicKey.Equal(gotPublic))
	gotPublic, err = ParsePublicKey(block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)))
	require.NoError(t, err)
	assert.True(t, key.PublicKey.Equal(gotPublic))
	gotCertificate, err := ParseCertificate(certificate)
	require.NoError(t, err)
	assert.Equal(t, "0DABCD", CertificateSerial(gotCertificate))

	p12 := []byte{0x30, 0x82, 0x0a, 0x5f, 0x02, 0x01, 0x03}
	for name, refused := range map[string]struct {
		parse func([]byte) error
		data  []byte
		says  string
	}{
		"private: certificate":      {parse(ParsePrivateKey), certificate, "this is a certificate; wanted is the private key"},
		"private: public key":       {parse(ParsePrivateKey), public, "this is a public key; wanted is the private key"},
		"private: PKCS#12":          {parse(ParsePrivateKey), p12, "apiclient_cert.p12"},
		"private: a huge file":      {parse(ParsePrivateKey), make([]byte, 64<<10+1), "more than 64 KiB"},
		"private: with parameters":  {parse(ParsePrivateKey), append(block("EC PARAMETERS", []byte{6, 8}), block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(elliptic)))...), "this is a private key of another kind (*ecdsa.PrivateKey), which is not RSA; wanted"},
		"private: parameters":       {parse(ParsePrivateKey), block("EC PARAMETERS", []byte{6, 8}), "this is a ec parameters that cannot be read"},
		"private: elliptic":         {parse(ParsePrivateKey), block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(elliptic))), "not RSA"},
		"private: elliptic PKCS#8":  {parse(ParsePrivateKey), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(elliptic))), "not RSA"},
		"private: encrypted":        {parse(ParsePrivateKey), block("ENCRYPTED PRIVATE KEY", []byte{1}), "decrypts it"},
		"private: encrypted PKCS#1": {parse(ParsePrivateKey), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "decrypts it"},
		"private: broken":           {parse(ParsePrivateKey), block("PRIVATE KEY", []byte{1}), "this is a private key that cannot be read"},
		"private: empty":            {parse(ParsePrivateKey), nil, "an empty file"},
		"private: no PEM":           {parse(ParsePrivateKey), []byte("MIIEvg"), "no PEM file"},
		"private: a path":           {parse(ParsePrivateKey), []byte("keys/apiclient_key.pem\n"), "the name of a file"},
		"private: another path":     {parse(ParsePrivateKey), []byte("/etc/wechat/key"), "the name of a file"},
		"private: no text":          {parse(ParsePrivateKey), []byte{0xff, 0x00, 0xfe}, "no PEM file"},
		"private: no Base64":        {parse(ParsePrivateKey), with("A", "-_"), "no Base64"},
		"private: two keys":         {parse(ParsePrivateKey), append(bytes.Clone(pkcs8), pkcs1...), "2 keys"},
		"private: not the wanted":   {parse(ParsePrivateKey), append(bytes.Clone(certificate), public...), "this is a certificate and a public key"},
		"private: cut off":          {parse(ParsePrivateKey), pkcs8[:len(pkcs8)/2], "its END line is missing"},
		"public: certificate":       {parse(ParsePublicKey), certificate, "this is a certificate; wanted is the WeChat Pay public key"},
		"public: private key":       {parse(ParsePublicKey), pkcs8, "this is a private key; wanted is the WeChat Pay public key"},
		"public: PKCS#12":           {parse(ParsePublicKey), p12, "apiclient_cert.p12"},
		"public: elliptic":          {parse(ParsePublicKey), block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&elliptic.PublicKey))), "not RSA"},
		"public: broken":            {parse(ParsePublicKey), block("PUBLIC KEY", []byte{1}), "public key that cannot be read"},
		"certificate: private key":  {parse(ParseCertificate), pkcs1, "this is a private key; wanted is a certificate"},
		"certificate: other":        {parse(ParseCertificate), block("CERTIFICATE REQUEST", must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))), "a certificate request"},
		"certificate: broken":       {parse(ParseCertificate), block("CERTIFICATE", []byte{1}), "certificate that cannot be read"},
		"certificate: PKCS#12":      {parse(ParseCertificate), p12, "apiclient_cert.p12"},
	} {
		err := refused.parse(refused.data)
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), refused.says, name)
			assert.NotContains(t, err.Error(), "MII", name+": the error quotes the file")
		}
	}
}

func parse[T any](f func([]byte) (*T, error)) func([]byte) error {
	return func(data []byte) error {
		value, err := f(data)
		if (value == nil) == (err == nil) {
			return errors.New("value or error, never both")
		}
		return err
	}
}

// TestTheLargestFile is looked at, and a larger one is not.
func TestTheLargestFile(t *testing.T) {
	_, err := ParsePrivateKey(bytes.Repeat([]byte("x"), maxFile))
	require.ErrorContains(t, err, "no PEM file")
	_, err = ParsePrivateKey(bytes.Repeat([]byte("x"), maxFile+1))
	require.ErrorContains(t, err, "more than 64 KiB")
}

func TestCheckPublicKey(t *testing.T) {
	even := *testKey()
	odd := rsa.PublicKey{N: testKey().N, E: 4}
	even.N = new(big.Int).Add(testKey().N, big.NewInt(1))
	for says, key := range map[string]any{
		"is empty":               &rsa.PublicKey{},
		"is a string":            "x",
		"is not a valid RSA key": &even.PublicKey,
		"is not a valid RSA":     &odd,
	} {
		_, err := CheckPublicKey(key)
		require.ErrorContains(t, err, says)
	}
	_, err := CheckPublicKey((*rsa.PublicKey)(nil))
	require.ErrorContains(t, err, "is empty")
	key, err := CheckPublicKey(&testKey().PublicKey)
	require.NoError(t, err)
	assert.Equal(t, &testKey().PublicKey, key)
}
