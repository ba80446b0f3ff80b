package membercardtest_test

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestSignedMessageVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../testdata/vectors/sign.json")
	require.NoError(t, err)
	var vectors []struct {
		Method, URI, Nonce, Body, Message string
		Timestamp                         int64
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		assert.Equal(t, v.Message, membercardtest.SignedMessage(v.Method, v.URI, fmt.Sprint(v.Timestamp), v.Nonce, v.Body))
	}
}

// sign returns a request; wrong, when given, makes the message that is signed instead of the right one.
func sign(t *testing.T, server *membercardtest.Server, method, uri, body string, wrong func(timestamp, nonce string) string) *http.Request {
	t.Helper()
	config := server.Config()
	timestamp, nonce := fmt.Sprint(time.Now().Unix()), rand.Text()
	signed := strings.Join([]string{method, uri, timestamp, nonce, body, ""}, "\n")
	if wrong != nil {
		signed = wrong(timestamp, nonce)
	}
	digest := sha256.Sum256([]byte(signed))
	signature, err := config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, "https://api.mch.weixin.qq.com"+uri, strings.NewReader(body))
	require.NoError(t, err)
	request.Header = http.Header{
		"Accept": {"application/json"}, "User-Agent": {"test"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
		"Authorization": {authorization(map[string]string{
			"mchid": config.MchID, "serial_no": config.CertificateSerial, "nonce_str": nonce, "timestamp": timestamp,
			"signature": base64.StdEncoding.EncodeToString(signature),
		})},
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

// TestTheMistakeInASignatureIsNamed: the usual wrong forms of the message are recognised.
func TestTheMistakeInASignatureIsNamed(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const path, query = "/v3/brand/partner/card-member/user-cards/A%2FB%231", "?card_id=" + cardID
	const uri = path + query
	const body = `{"openid":"` + openID + `", "brand_id":"1004","level":"a<b"}`
	for says, wrong := range map[string]func(timestamp, nonce string) string{
		"signed unescaped": func(ts, n string) string {
			return "PATCH\n/v3/brand/partner/card-member/user-cards/A/B#1" + query + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"escaped twice": func(ts, n string) string {
			return "PATCH\n" + strings.ReplaceAll(path, "%", "%25") + query + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"last line feed is missing": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + body },
		"body was left out":         func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n\n" },
		"without the query":         func(ts, n string) string { return "PATCH\n" + path + "\n" + ts + "\n" + n + "\n" + body + "\n" },
		"signed as POST":            func(ts, n string) string { return "POST\n" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n" },
		"with its host": func(ts, n string) string {
			return "PATCH\nhttps://api.mch.weixin.qq.com" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"in milliseconds": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "000\n" + n + "\n" + body + "\n" },
		"encoded anew": func(ts, n string) string {
			return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + strings.ReplaceAll(body, ", ", ",") + "\n"
		},
		"was not sent": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n\n" },
		"does not match; the message verified is \"PATC": func(ts, n string) string { return "anything" },
	} {
		response, err := server.RoundTrip(sign(t, server, "PATCH", uri, body, wrong))
		require.NoError(t, err)
		assert.Equal(t, 401, response.StatusCode)
		assert.Empty(t, response.Header.Get("Wechatpay-Signature"), "a 401 is not signed")
		assert.Contains(t, lastReason(server), says)
		var problem struct {
			Detail struct {
				SignInformation struct {
					Method, URL          string
					TruncatedSignMessage string `json:"truncated_sign_message"`
					SignMessageLength    int    `json:"sign_message_length"`
				} `json:"sign_information"`
			}
		}
		require.NoError(t, json.NewDecoder(response.Body).Decode(&problem))
		information := problem.Detail.SignInformation
		assert.Equal(t, "PATCH", information.Method)
		assert.Equal(t, uri, information.URL)
		assert.True(t, strings.HasPrefix(information.TruncatedSignMessage, "PATCH\n"+uri+"\n"))
		assert.Greater(t, information.SignMessageLength, len(information.TruncatedSignMessage))
	}
}

// TestOtherSignatures: one of another kind is named for what it is.
func TestOtherSignatures(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const uri = "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20"
	key := server.Config().PrivateKey.(*rsa.PrivateKey)
	digest := func(hash crypto.Hash, message string) []byte {
		h := hash.New()
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	for says, made := range map[string]func(message string) ([]byte, error){
		"made with SHA-1, it must be SHA-256": func(m string) ([]byte, error) { return rsa.SignPKCS1v15(nil, key, crypto.SHA1, digest(crypto.SHA1, m)) },
		"RSA-PSS": func(m string) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest(crypto.SHA256, m), nil)
		},
		"not made with the merchant's key and SHA-256": func(m string) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, server.PlatformKey(), crypto.SHA256, digest(crypto.SHA256, m))
		},
	} {
		request := sign(t, server, "GET", uri, "", nil)
		authorization := request.Header.Get("Authorization")
		item := func(name string) string {
			_, rest, _ := strings.Cut(authorization, name+`="`)
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
		signature, err := made("GET\n" + uri + "\n" + item("timestamp") + "\n" + item("nonce_str") + "\n\n")
		require.NoError(t, err)
		request.Header.Set("Authorization", strings.Replace(authorization, item("signature"), base64.StdEncoding.EncodeToString(signature), 1))
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, 401, response.StatusCode)
		assert.Contains(t, lastReason(server), says)
	}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	const uri = "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20"
	send := func(server *membercardtest.Server, request *http.Request) int {
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		return response.StatusCode
	}
	server := newServer(t, membercardtest.AllowViolations())
	request := sign(t, server, "GET", uri, "", nil)
	assert.Equal(t, 200, send(server, request))
	assert.Equal(t, 200, send(server, request), "the same bytes are answered like the first time")
	const body = `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `"}`
	write := func(request *http.Request) {
		request.Body = io.NopCloser(strings.NewReader(body))
		assert.Equal(t, 200, send(server, request), "a write too, and it has one effect")
	}
	request = sign(t, server, "POST", "/v3/brand/partner/card-member/user-cards/"+code+"/invalidate", body, nil)
	write(request)
	write(request)
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))

	const brand = `{"brand_id":"` + brandID + `"}`
	invalidation := func(cardID string) *http.Request {
		return sign(t, server, "POST", "/v3/brand/partner/card-member/cards/"+cardID+"/invalidate", brand, nil)
	}
	server.LimitRate(1)
	assert.Equal(t, 200, send(server, invalidation(server.AddCard(membercard.Card{}).CardID)))
	limited := invalidation(cardID)
	assert.Equal(t, 429, send(server, limited))
	server.LimitRate(0)
	limited.Body = io.NopCloser(strings.NewReader(brand))
	assert.Equal(t, 200, send(server, limited), "what the rate did not permit was not carried out, and may come as it was")

	strict := newServer(t, membercardtest.AllowViolations(), membercardtest.RefuseReplays())
	request = sign(t, strict, "GET", uri, "", nil)
	assert.Equal(t, 200, send(strict, request))
	assert.Equal(t, 401, send(strict, request))
	assert.Contains(t, lastReason(strict), "nonce_str was used before")
}

func TestTheNonceOfAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	config := server.Config()
	for i, want := range []int{200, 401} {
		uri := fmt.Sprintf("/v3/brand/partner/card-member/cards?brand_id=1004&offset=%d&limit=20", i)
		request := sign(t, server, "GET", uri, "", nil)
		timestamp := fmt.Sprint(time.Now().Unix())
		digest := sha256.Sum256([]byte("GET\n" + uri + "\n" + timestamp + "\nthe-same-nonce\n\n"))
		signature, err := config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
		require.NoError(t, err)
		request.Header.Set("Authorization", authorization(map[string]string{
			"mchid": config.MchID, "serial_no": config.CertificateSerial, "nonce_str": "the-same-nonce", "timestamp": timestamp,
			"signature": base64.StdEncoding.EncodeToString(signature),
		}))
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, want, response.StatusCode, lastReason(server))
	}
}

func TestTheRequestsClock(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]int{0: 200, 5 * time.Minute: 200, 5*time.Minute + time.Second: 401} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.AllowViolations())
			request := sign(t, server, "GET", "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20", "", nil)
			time.Sleep(age)
			response, err := server.RoundTrip(request)
			require.NoError(t, err)
			assert.Equal(t, want, response.StatusCode, age)
		})
	}
}

// TestThroughAProxy: a request line in absolute form is the same request.
func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := sign(t, server, "GET", cardURI, "", nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.Start(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	request.URL.Scheme, request.URL.Host = "http", "api.mch.weixin.qq.com"
	require.NoError(t, request.WriteProxy(conn))
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusOK, response.StatusCode)
}
