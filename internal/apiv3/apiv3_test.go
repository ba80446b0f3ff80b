package apiv3

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func readVectors(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}

func TestRequestMessageVectors(t *testing.T) {
	var vectors []struct {
		Method, URI, Nonce, Body, Message string
		Timestamp                         int64
	}
	readVectors(t, "sign.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		assert.Equal(t, v.Message, string(RequestMessage(v.Method, v.URI, v.Timestamp, v.Nonce, []byte(v.Body))))
	}
}

func TestVerifyVectors(t *testing.T) {
	data, err := os.ReadFile("../../testdata/vectors/public_key.txt")
	require.NoError(t, err)
	key, err := ParsePublicKey(data)
	require.NoError(t, err)
	var vectors []struct{ Name, Message, Timestamp, Nonce, Body, Signature string }
	readVectors(t, "verify.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		if v.Body == "" {
			digest := sha256.Sum256([]byte(v.Message))
			assert.True(t, verifyDigest(key, digest[:], v.Signature), v.Name)
			continue
		}
		verify := func(key *rsa.PublicKey, timestamp, nonce, body, signature string) bool {
			return Verify(key, timestamp, nonce, []byte(body), signature)
		}
		assert.True(t, verify(key, v.Timestamp, v.Nonce, v.Body, v.Signature), v.Name)
		assert.False(t, verify(key, v.Timestamp+"0", v.Nonce, v.Body, v.Signature), v.Name)
		assert.False(t, verify(key, v.Timestamp, v.Nonce+"0", v.Body, v.Signature), v.Name)
		assert.False(t, verify(key, v.Timestamp, v.Nonce, v.Body+" ", v.Signature), v.Name)
		assert.False(t, verify(key, v.Timestamp, v.Nonce, v.Body, "WECHATPAY/SIGNTEST/"+v.Signature), v.Name)
		assert.False(t, verify(key, v.Timestamp, v.Nonce, v.Body, strings.Repeat("A", 2000)), v.Name)
		assert.False(t, verify(&testKey().PublicKey, v.Timestamp, v.Nonce, v.Body, v.Signature), v.Name)
	}
}

// TestVerifyAgreesWithTheOfficialSDK over messages of any length.
func TestVerifyAgreesWithTheOfficialSDK(t *testing.T) {
	official := verifiers.NewSHA256WithRSAPubkeyVerifier("", testKey().PublicKey)
	for _, body := range []string{"", "\n", "{}", strings.Repeat("长", 5000)} {
		for _, nonce := range []string{"n", strings.Repeat("n", 100)} {
			signed, err := Sign(testKey(), []byte("1624523846\n"+nonce+"\n"+body+"\n"))
			require.NoError(t, err)
			signature := base64.StdEncoding.EncodeToString(signed)
			assert.True(t, Verify(&testKey().PublicKey, "1624523846", nonce, []byte(body), signature))
			require.NoError(t, official.Verify(t.Context(), "", "1624523846\n"+nonce+"\n"+body+"\n", signature))
			require.Error(t, official.Verify(t.Context(), "", "1624523846\n"+nonce+"\n"+body, signature))
		}
	}
}

func TestSignAgreesWithTheOfficialSDK(t *testing.T) {
	message := RequestMessage("POST", "/v3/x?a=%2F", 1554208460, "nonce", []byte("{}\n"))
	want, err := utils.SignSHA256WithRSA(string(message), testKey())
	require.NoError(t, err)
	for _, key := range []crypto.Signer{testKey(), struct{ crypto.Signer }{testKey()}} {
		got, err := Sign(key, message)
		require.NoError(t, err)
		assert.Equal(t, want, base64.StdEncoding.EncodeToString(got))
		digest := sha256.Sum256(message)
		assert.True(t, verifyDigest(&testKey().PublicKey, digest[:], want))
	}
}

type brokenKey struct{ *rsa.PrivateKey }

func (brokenKey) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the HSM is away")
}

func TestSignReturnsTheSignersError(t *testing.T) {
	_, err := Sign(brokenKey{testKey()}, nil)
	assert.ErrorContains(t, err, "the HSM is away")
}

func TestAuthorization(t *testing.T) {
	message := RequestMessage("GET", "/v3/certificates", 1554208460, "593BEC0C930BF1AFEB40B4A08C8FB242", nil)
	header, signature, err := Authorization(testKey(), Identity{Scheme, "mchid", "1900009191"}, "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", "593BEC0C930BF1AFEB40B4A08C8FB242", 1554208460, message)
	require.NoError(t, err)
	assert.Equal(t,
		`WECHATPAY2-SHA256-RSA2048 mchid="1900009191",nonce_str="593BEC0C930BF1AFEB40B4A08C8FB242",signature="`+signature+`",timestamp="1554208460",serial_no="1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"`,
		header)
	want, err := Sign(testKey(), message)
	require.NoError(t, err)
	assert.Equal(t, base64.StdEncoding.EncodeToString(want), signature)
	_, _, err = Authorization(brokenKey{testKey()}, Identity{}, "", "", 0, nil)
	assert.ErrorContains(t, err, "the HSM is away")
}

func TestNonce(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		nonce, err := Nonce()
		require.NoError(t, err)
		assert.Regexp(t, `^[0-9A-Za-z]{32}$`, nonce)
		assert.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestSealAndOpen(t *testing.T) {
	longest := strings.Repeat("字", 71)
	for _, plaintext := range []string{"13800000000", "男", longest, longest + "x"} {
		ciphertext, err := Seal(&testKey().PublicKey, plaintext)
		require.NoError(t, err)
		assert.True(t, IsCiphertext(ciphertext))
		opened, err := Open(testKey(), ciphertext)
		require.NoError(t, err)
		assert.Equal(t, plaintext, opened)
		official, err := utils.DecryptOAEP(ciphertext, testKey())
		require.NoError(t, err)
		assert.Equal(t, plaintext, official)
	}
	_, err := Seal(&testKey().PublicKey, longest+"xy")
	assert.EqualError(t, err, "215 bytes do not fit into an encrypted field, at most 214 do")
}

func TestOpenRefuses(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sealed, err := Seal(&other.PublicKey, "13800000000")
	require.NoError(t, err)
	for name, ciphertext := range map[string]string{
		"clear text": "13800000000!", "another key": sealed, "empty": "", "too short": "AAAA",
		"PKCS #1": must(utils.EncryptPKCS1v15WithPublicKey("13800000000", &testKey().PublicKey)),
	} {
		opened, err := Open(testKey(), ciphertext)
		require.Error(t, err, name)
		assert.Empty(t, opened, name)
		assert.NotContains(t, err.Error(), "13800000000", name)
	}
}

func TestIsCiphertext(t *testing.T) {
	for size, want := range map[int]bool{255: false, 256: true, 257: false, 258: false, 384: true, 512: true, 128: false, 0: false, 1024: false} {
		assert.Equal(t, want, IsCiphertext(base64.StdEncoding.EncodeToString(make([]byte, size))), size)
	}
	assert.False(t, IsCiphertext(strings.Repeat("!", 344)))
	assert.False(t, IsCiphertext(strings.Repeat("A", 344)+"\n"))
	assert.False(t, IsCiphertext("A!"+strings.Repeat("A", 510)))
	for _, size := range []int{256, 384, 512} { // as the standard library decides
		valid := []byte(base64.StdEncoding.EncodeToString(make([]byte, size)))
		for _, at := range []int{0, len(valid) - 4, len(valid) - 3, len(valid) - 2, len(valid) - 1} {
			for b := range 256 {
				s := slices.Clone(valid)
				s[at] = byte(b)
				data, err := base64.StdEncoding.Strict().DecodeString(string(s))
				assert.Equal(t, err == nil && len(data) == size, IsCiphertext(string(s)), "%d %d %q", size, at, b)
			}
		}
	}
}

func TestParseErrorBody(t *testing.T) {
	for body, want := range map[string]ErrorBody{
		``:                       {},
		`<html>`:                 {},
		`null`:                   {},
		`[]`:                     {},
		`{"statusCode":200}`:     {},
		`{"code":1,"message":2}`: {},
		`{"code":"PARAM_ERROR","message":null,"detail":null}`: {Code: "PARAM_ERROR"},
		`{"code":7,"message":"m","detail":"text"}`: {
			Message: "m", Detail: ErrorDetail{Raw: []byte(`"text"`)},
		},
		`{"code":"PARAM_ERROR","message":"m","detail":{"field":"/a","value":{"x":1},"issue":"i","location":"body"}}`: {
			Code: "PARAM_ERROR", Message: "m",
			Detail: ErrorDetail{
				Field: "/a", Issue: "i", Location: "body", Value: []byte(`{"x":1}`),
				Raw: []byte(`{"field":"/a","value":{"x":1},"issue":"i","location":"body"}`),
			},
		},
		`{"code":"SIGN_ERROR","detail":{"detail":{"issue":"sign not match"},"field":"signature","location":null}}`: {
			Code: "SIGN_ERROR",
			Detail: ErrorDetail{
				Field: "signature", Issue: "sign not match",
				Raw: []byte(`{"detail":{"issue":"sign not match"},"field":"signature","location":null}`),
			},
		},
	} {
		assert.Equal(t, want, ParseErrorBody([]byte(body)), body)
	}
}

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

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// FuzzRequestMessage: different requests never have the same message. The parts before the body cannot
// hold a line feed; a body may.
func FuzzRequestMessage(f *testing.F) {
	f.Add("GET", "/a", int64(1), "n", "", "GET", "/a", int64(1), "n", "\n")
	f.Fuzz(func(t *testing.T, m1, u1 string, t1 int64, n1, b1, m2, u2 string, t2 int64, n2, b2 string) {
		if strings.Contains(m1+u1+n1+m2+u2+n2, "\n") {
			t.Skip()
		}
		same := m1 == m2 && u1 == u2 && t1 == t2 && n1 == n2 && b1 == b2
		equal := string(RequestMessage(m1, u1, t1, n1, []byte(b1))) == string(RequestMessage(m2, u2, t2, n2, []byte(b2)))
		assert.Equal(t, same, equal)
	})
}

// FuzzParseErrorBody: what was read is in the body, and reading the same again gives the same.
func FuzzParseErrorBody(f *testing.F) {
	f.Add([]byte(`{"code":"PARAM_ERROR","message":"m","detail":{"field":"/a","value":[1],"issue":"i"}}`))
	f.Add([]byte(`{"code":1,"detail":[]}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed := ParseErrorBody(body)
		if !json.Valid(body) {
			assert.Equal(t, ErrorBody{}, parsed)
		}
		again, err := json.Marshal(map[string]any{"code": parsed.Code, "message": parsed.Message})
		require.NoError(t, err)
		reparsed := ParseErrorBody(again)
		assert.Equal(t, parsed.Code, reparsed.Code)
		assert.Equal(t, parsed.Message, reparsed.Message)
	})
}

func TestDiagnose(t *testing.T) {
	signed := RequestMessage("POST", "/v3/x?openid=o", 1, "n", []byte("{}"))
	for detail, says := range map[string]string{
		``:                        "",
		`{}`:                      "",
		`{"sign_information":[]}`: "",
		`{"sign_information":{"truncated_sign_message":""}}`:                                                            "",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x?openid=o\n1\nn\n{","sign_message_length":27}}`:      "nothing",
		`{"detail":{"sign_information":{"truncated_sign_message":"GET\\n/v3/x?openid=o\\n1\\nn\\n"}}}`:                  "method",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x\n1\nn\n{","sign_message_length":7}}`:                "URI, length (7 bytes instead of 27)",
		`{"sign_information":{"truncated_sign_message":"POST\n/v3/x?openid=o\n1\nn\n{\"a","sign_message_length":"29"}}`: "body",
	} {
		different, told := Diagnose([]byte(detail), signed)
		assert.Equal(t, says != "", told, detail)
		if says == "nothing" {
			says = ""
		}
		assert.Equal(t, says, strings.Join(different, ", "), detail)
	}
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

type resourceVector struct {
	Name, Key, Plaintext string
	Resource             Resource
}

func TestResourceVectors(t *testing.T) {
	var vectors []resourceVector
	readVectors(t, "resource.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		plaintext, err := v.Resource.Open(v.Key)
		require.NoError(t, err, v.Name)
		assert.Equal(t, v.Plaintext, string(plaintext), v.Name)
	}
}

func TestResourceRefuses(t *testing.T) {
	var vectors []resourceVector
	readVectors(t, "resource.json", &vectors)
	key := vectors[0].Key
	for says, change := range map[string]func(*Resource){
		"the APIv3 key has 16 bytes, it must have 32": func(*Resource) { key = key[:16] },
		"another algorithm than AEAD_AES_256_GCM":     func(r *Resource) { r.Algorithm = "AEAD_SM4_GCM" },
		"its nonce has 13 bytes, it must have 12":     func(r *Resource) { r.Nonce += "x" },
		"its nonce has 0 bytes":                       func(r *Resource) { r.Nonce = "" },
		"its ciphertext is not standard Base64":       func(r *Resource) { r.Ciphertext = "%" },
		"it does not decrypt with the APIv3 key":      func(r *Resource) { r.AssociatedData += "x" },
		"decrypt with the APIv3 key":                  func(r *Resource) { r.Ciphertext = "" },
	} {
		key = vectors[0].Key
		resource := vectors[0].Resource
		change(&resource)
		_, err := resource.Open(key)
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), vectors[0].Key[:16])
	}
	_, err := vectors[0].Resource.Open(strings.Repeat("k", 32))
	require.ErrorIs(t, err, ErrAPIv3Key)
}

// FuzzResource: whatever comes, it opens with the right key or is an error, and never panics.
func FuzzResource(f *testing.F) {
	f.Add("AEAD_AES_256_GCM", "j9g1wAzF9Xn1", "sync_user_point", "TM+nzlfJ")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, algorithm, nonce, associatedData, ciphertext string) {
		resource := Resource{Algorithm: algorithm, Nonce: nonce, AssociatedData: associatedData, Ciphertext: ciphertext}
		plaintext, err := resource.Open("0123456789abcdefghijklmnopqrstuv")
		assert.Equal(t, err == nil, plaintext != nil)
	})
}

func TestIsDamaged(t *testing.T) {
	ciphertext, err := Seal(&testKey().PublicKey, "13800000000")
	require.NoError(t, err)
	for text, damaged := range map[string]bool{
		"": false, "13800000000": false, ciphertext: false, ciphertext[:31]: false, ciphertext[:99]: true, ciphertext[:255]: true,
		ciphertext[:90] + "...": true, "base64:" + ciphertext: true, `"` + ciphertext + `"`: true, ciphertext + "\x00": true,
		strings.ReplaceAll(url.QueryEscape(ciphertext), "%3D", "="): true, strings.ReplaceAll(ciphertext, "/", `\/`): ciphertext != "", "[sensitive]": false,
		strings.Repeat("深", 157): false, strings.Repeat("!", 471): false, strings.Repeat("a", 300): false, strings.Repeat("0123456789", 20): false,
		"Football/Basketball/TableTennis/Volleyball/Swimming/Running/Climbing/Badminton/Hockey2": false,
		"Flat-12-Block-7-Green-Valley-Garden-888-Nathan-Road-Kowloon-Hong-Kong-Special-Region":   false,
		"Flat 12 Block 7 Room 1203 Building 5 " + strings.Repeat("Long Road ", 20):               false,
		"550e8400-e29b-41d4-a716-446655440000":                                                   false, "d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e": false,
		"https://example.com/profile/ZhangSan1990?from=MiniProgram": false,
	} {
		assert.Equal(t, damaged, IsDamaged(text), text)
		assert.Equal(t, !strings.ContainsAny(text, ".:\"\\%!深[]?,\x00"), IsBase64Like(text), text)
	}
}
