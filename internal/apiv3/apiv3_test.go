package apiv3

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

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

// TestRequestMessageIsMadeInOnePiece: the space for it is known.
func TestRequestMessageIsMadeInOnePiece(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1000)
	for _, part := range []string{"", strings.Repeat("y", 500)} {
		assert.InDelta(t, 1, testing.AllocsPerRun(10, func() { RequestMessage("POST", part, 1624523846, part, body) }), 0)
		assert.InDelta(t, 1, testing.AllocsPerRun(10, func() { RequestMessage(part, "/", 1624523846, "n", body) }), 0)
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

func TestEncryptAndDecrypt(t *testing.T) {
	longest := strings.Repeat("字", 71)
	for _, plaintext := range []string{"13800000000", "男", longest, longest + "x"} {
		ciphertext, err := Encrypt(&testKey().PublicKey, plaintext)
		require.NoError(t, err)
		assert.True(t, IsCiphertext(ciphertext))
		opened, err := Decrypt(testKey(), ciphertext)
		require.NoError(t, err)
		assert.Equal(t, plaintext, opened)
		official, err := utils.DecryptOAEP(ciphertext, testKey())
		require.NoError(t, err)
		assert.Equal(t, plaintext, official)
	}
	_, err := Encrypt(&testKey().PublicKey, longest+"xy")
	assert.EqualError(t, err, "215 bytes do not fit into an encrypted field, at most 214 do")
}

func TestOpenRefuses(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sealed, err := Encrypt(&other.PublicKey, "13800000000")
	require.NoError(t, err)
	for name, ciphertext := range map[string]string{
		"clear text": "13800000000!", "another key": sealed, "empty": "", "too short": "AAAA",
		"PKCS #1": must(utils.EncryptPKCS1v15WithPublicKey("13800000000", &testKey().PublicKey)),
	} {
		opened, err := Decrypt(testKey(), ciphertext)
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

type resourceVector struct {
	Name, Key, Plaintext string
	Resource             Resource
}

// chunks cuts a text into lines.
func chunks(text string, width int) (lines []string) {
	for ; len(text) > width; text = text[width:] {
		lines = append(lines, text[:width])
	}
	return append(lines, text)
}

func TestIsDamaged(t *testing.T) {
	sample, err := os.ReadFile("../../testdata/official/ciphertext.txt")
	require.NoError(t, err)
	ciphertext := strings.TrimSpace(string(sample))
	require.Contains(t, ciphertext, "/")
	require.Contains(t, ciphertext, "+")
	for text, damaged := range map[string]bool{
		"": false, "13800000000": false, ciphertext: false, ciphertext[:31]: false, ciphertext[:99]: true, ciphertext[:255]: true,
		ciphertext[:90] + "...": true, "base64:" + ciphertext: true, `"` + ciphertext + `"`: true, ciphertext + "\x00": true,
		strings.Join(chunks(ciphertext, 16), "\r\n"): true, strings.Join(chunks(ciphertext, 20), " "): true,
		strings.ReplaceAll(url.QueryEscape(ciphertext), "%3D", "="): true, strings.ReplaceAll(ciphertext, "/", `\/`): true, "[sensitive]": false,
		strings.Repeat("深", 157): false, strings.Repeat("!", 471): false, strings.Repeat("a", 300): false, strings.Repeat("0123456789", 20): false,
		"Football/Basketball/TableTennis/Volleyball/Swimming/Running/Climbing/Badminton/Hockey2": false,
		"Flat-12-Block-7-Green-Valley-Garden-888-Nathan-Road-Kowloon-Hong-Kong-Special-Region":   false,
		"Flat 12 Block 7 Room 1203 Building 5 " + strings.Repeat("Long Road ", 20):               false,
		"No.12,Bldg3,Unit2,Rm501,GongTiBeiLu\nChaoYangQu,Beijing":                                false, "Rd8No12Bldg3Rm501\nBeijing100020Cn": false,
		strings.Repeat("No.12,Bldg3,Rm5B,", 4) + "\n" + strings.Repeat("No.12,Bldg3,Rm5B,", 3): false,
		"550e8400-e29b-41d4-a716-446655440000":                                                 false, "d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e": false,
		"https://example.com/profile/ZhangSan1990?from=MiniProgram": false,
		strings.Repeat("Aa1", 10) + "Aa":                            true,  // 32 characters, the shortest
		strings.Repeat("Aa1", 10) + "A":                             false, // 31
		"Aa1Aa1Aa1Aa1Aa1Aaaaaaaaaaaaaaaaaaaaaaaaa":                  true,  // 16 changes in 40 characters, the fewest
		"AA1Aa1Aa1Aa1Aa1Aaaaaaaaaaaaaaaaaaaaaaaaa":                  false, // 15
		strings.Repeat("A1+", 14):                                   false, // no small letter
	} {
		assert.Equal(t, damaged, IsDamaged(text), text)
		assert.Equal(t, !strings.ContainsAny(text, ".:\"\\%!深[]?,\x00"), IsBase64Like(text), text)
	}
}
