package membercard_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestErrorsDoNotQuote: what net/http says of a malformed answer is told without the values, for it may echo the request. So is
// what it says of a proxy, whose URL has a password.
func TestErrorsDoNotQuote(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nSet-Cookie session=" + secret + "\r\n\r\n", "HTTP/1.1 200 OK\r\nProxy-Authorization\x00: Basic " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n", "HTTP/1.1 /" + secret + " HTTP/1.1\r\n\r\n", secret + " 200 OK\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: https://a\x01" + secret + "/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n", " " + secret + "\r\n\r\n",
	} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(connection))
				_, _ = io.WriteString(connection, answer)
				_ = connection.Close()
			}
		}()
		client := newClient(t, membercardtest.NewServer(), func(c *membercard.Config) {
			c.HTTPClient, c.BaseURL, c.Retry.MaxAttempts = nil, "http://"+listener.Addr().String(), 1
		})
		_, err = client.GetUserCard(t.Context(), getRequest)
		require.Error(t, err, answer)
		assertHidden(t, secret, err.Error(), answer)
	}
	for _, proxy := range []string{"http://alice:p@" + secret + ".invalid/x@h:9", "http://alice:" + secret + "#x@h", "http://alice:" + secret + "@h:x", "http://alice:%er" + secret + "@h"} {
		client := newClient(t, membercardtest.NewServer(), func(c *membercard.Config) {
			transport := membercard.NewTransport()
			transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
			c.HTTPClient, c.Retry.MaxAttempts = &http.Client{Transport: transport}, 1
		})
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.Error(t, err, proxy)
		assertHidden(t, secret, err.Error(), proxy)
	}
}

func TestErrorTextIsOneRedactedLine(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, noRetries)
	message := "line one\nopenid " + openID + "\r\ncode " + userCardCode + "\x00\u2028 end"
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST", Message: message})
	_, err := client.GetUserCard(t.Context(), getRequest)
	apiError, ok := errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	assert.Equal(t, message, apiError.Message, "the field keeps it")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{err, apiError} {
			text := fmt.Sprintf(verb, value)
			assert.NotContains(t, text, openID, verb)
			assert.NotContains(t, text, userCardCode, verb)
			assert.NotContains(t, text, "\n", verb)
		}
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBadSignature})
	_, untrusted := client.GetUserCard(t.Context(), getRequest)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST", Message: "m"})
	_, refused := client.GetUserCard(t.Context(), getRequest)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		unverified, _ := errors.AsType[*membercard.SignatureError](untrusted)
		answered, _ := errors.AsType[*membercard.APIError](refused)

		unverified.Body, answered.Body = nil, nil // which are there to be looked at
		for _, value := range []any{              // fmt may call no method of what is in such a field
			struct{ err error }{untrusted},
			struct{ err error }{refused},
			struct{ err membercard.SignatureError }{*unverified},
			struct{ err membercard.APIError }{*answered},
		} {
			text := fmt.Sprintf(verb, value)
			assert.NotContains(t, text, openID, verb)
			assert.NotContains(t, text, hex.EncodeToString([]byte(openID)), verb)
		}
	}
	assert.True(t, strings.HasPrefix(err.Error(), "GetUserCard: 400 INVALID_REQUEST: line one openid […]  code […]"), err.Error())
	assert.Contains(t, err.Error(), "Request-ID "+apiError.RequestID)
}

// TestWhatIsCutOut: every form of a value that may be in the text of somebody else, and values that overlap.
func TestWhatIsCutOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ openID, code, message, says string }{
		{"用户一二三四", "478515832665", `a "\u7528\u6237\u4e00\u4e8c\u4e09\u56db" b`, `a "[…]" b`},
		{"用户一二三四", "478515832665", "a %E7%94%A8%E6%88%B7%E4%B8%80%E4%BA%8C%E4%B8%89%E5%9B%9B %e7%94%a8%e6%88%b7%e4%b8%80%e4%ba%8c%e4%b8%89%e5%9b%9b b", "a […] […] b"},
		{"o-1 <&>x", "478515832665", "a o-1 <&>x o-1%20%3C&%3Ex o-1+%3C%26%3Ex o-1 \\u003c\\u0026\\u003ex b", "a […] […] […] […] b"},
		{"abc-code:4785", "code:478515832665", "a abc-code:478515832665 b", "a […] b"},
		{"aaaaaa", "478515832665", "a aaaaaaaaaaaaaaa b", "a […] b"},
		{"[…][…]", "478515832665", "a [478515832665] […][…] b", "a [[…]] […] b"},
		{"obLatj", "478515832665", "a \u202e\u2066 b\u2029c", "a    b c"},
	} {
		server := newServer(t)
		client := newClient(t, server, noRetries)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "X", Message: test.message})
		request := getRequest
		request.OpenID, request.UserCardCode = test.openID, test.code
		_, err := client.GetUserCard(t.Context(), request)
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "GetUserCard: 400 X: "), " [Request-ID")
		assert.Equal(t, test.says, text, "%q", test.message)
	}
}

// TestForeignIdentifiersAreCleaned: a Request-ID and a serial come from whoever answers.
func TestForeignIdentifiersAreCleaned(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 65) + openID
	for _, header := range []http.Header{
		{"Request-Id": {long}},
		{"Wechatpay-Timestamp": {fmt.Sprint(time.Now().Unix())}, "Wechatpay-Nonce": {"n"}, "Wechatpay-Signature": {"s"}, "Wechatpay-Serial": {long}},
	} {
		client := newClient(t, membercardtest.NewTestServer(t), noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, "999")
		assert.NotContains(t, err.Error(), openID[:8])
	}
}

// TestNoSignatureIsQuoted: neither that of an earlier attempt, which a cache may answer with, nor what stands in a Location that is
// no address. Nothing of it is in an error that is printed as a value.
func TestNoSignatureIsQuoted(t *testing.T) {
	t.Parallel()
	var signatures []string
	status, header := 503, http.Header{}
	client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		_, signature, _ := strings.Cut(r.Header.Get("Authorization"), `signature="`)
		signature, _, _ = strings.Cut(signature, `"`)
		signatures = append(signatures, signature)
		body := fmt.Sprintf(`{"code":%q,"message":"refused %s"}`, signatures[0], signatures[0])
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})))
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.Len(t, signatures, 3)
	apiError, ok := errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	data, jsonErr := json.Marshal(*apiError)
	require.NoError(t, jsonErr)
	for _, text := range []string{err.Error(), apiError.Code, fmt.Sprintf("%+v %#v", *apiError, *apiError), string(data)} {
		assert.NotContains(t, text, signatures[0])
	}

	status, header = 302, http.Header{"Location": {"https://x/%zz?secret=value"}}
	_, err = client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "a redirect whose Location is no address")
	assert.NotContains(t, err.Error(), "secret=value")
}

// TestTheSignatureIsNeverQuoted, though a gateway quotes the Authorization header, whole or in part.
func TestTheSignatureIsNeverQuoted(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, status := range []int{200, 403, 502} {
		for _, length := range []int{40, 100, 1000} {
			var log bytes.Buffer
			signature := ""
			client := newClient(t, server, noRetries, func(c *membercard.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) },
				withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					authorization := r.Header.Get("Authorization")
					signature = regexp.MustCompile(`signature="([^"]+)"`).FindStringSubmatch(authorization)[1]
					quoted := "in Authorization header: 'signature=\"" + signature[:min(length, len(signature))] + "'"
					body, err := json.Marshal(map[string]string{"code": signature, "message": quoted})
					require.NoError(t, err)
					header := http.Header{"Request-Id": {signature}, "Wechatpay-Serial": {signature}, "Content-Type": {signature}}
					if status != 200 {
						header.Del("Wechatpay-Serial")
					}
					return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, nil
				})))
			_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
			require.Error(t, err)
			for _, text := range []string{err.Error(), log.String()} {
				assert.NotContains(t, text, signature[:16], "%d %d", status, length)
				assert.NotContains(t, text, signature[16:32], "%d %d", status, length)
			}
		}
	}
}

func TestConfigAndClientShowNoKey(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	config := server.Config()
	client, err := membercard.New(config)
	require.NoError(t, err)
	private := config.PrivateKey.(*rsa.PrivateKey)
	var out strings.Builder
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, value := range []any{config, &config, client, []membercard.Config{config}, struct{ C *membercard.Client }{client}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb, value)
		}
		logger.Info("message", "value", value)
		data, err := json.Marshal(value)
		require.Error(t, err)
		assert.Nil(t, data)
	}
	for _, secret := range []string{membercardtest.APIv3Key, private.D.String(), private.D.Text(16), private.Primes[0].String()} {
		assertHidden(t, secret, out.String(), "printed")
	}
	assert.Contains(t, out.String(), membercardtest.MchID)

	// In a field that is not exported fmt calls no method of it, and with a verb of another type prints what one pointer points at.
	type service struct{ client *membercard.Client }
	type copied struct{ client membercard.Client }
	config.HTTPClient = nil // which would be the fake with its own keys
	client, err = membercard.New(config)
	require.NoError(t, err)
	for _, value := range []any{service{client}, &service{client}, copied{*client}, struct{ any }{client}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t", "%f", "%z", "%p"} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range []string{membercardtest.APIv3Key, hex.EncodeToString([]byte(membercardtest.APIv3Key)), private.D.String(), private.Primes[0].String()} {
				assertHidden(t, secret, text, verb)
			}
		}
	}
}

// TestCausesQuoteNothing: what an error wraps is printed by those who report errors.
func TestCausesQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\n" + openID + " " + userCardCode + "\r\n\r\n", "HTTP/1.1 " + openID + "\r\n\r\n", openID + " 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + openID + "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: " + openID + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + userCardCode + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " + openID + "\r\n\r\n0\r\n" + openID + "\r\n\r\n",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
				_ = conn.Close()
			}
		}()
		client := newClient(t, newServer(t), noRetries, func(c *membercard.Config) {
			c.BaseURL, c.HTTPClient = "http://"+listener.Addr().String(), nil
		})
		_, err = client.GetUserCard(t.Context(), getRequest)
		require.Error(t, err)
		for errs := []error{err}; len(errs) > 0; errs = errs[1:] {
			text := fmt.Sprintf("%v %+v %#v", errs[0], errs[0], errs[0])
			assertHidden(t, openID, text, answer)
			assertHidden(t, userCardCode, text, answer)
			switch e := errs[0].(type) { //nolint:errorlint // it walks the chain itself
			case interface{ Unwrap() error }:
				if e.Unwrap() != nil {
					errs = append(errs, e.Unwrap())
				}
			case interface{ Unwrap() []error }:
				errs = append(errs, e.Unwrap()...)
			}
		}
	}
}

// canaries are planted values that must show nowhere.
type canaries struct {
	secrets  []string
	personal []string // those of them that were planted in a Sensitive
}

// plant returns a new canary. It holds characters that every escaping changes.
func (c *canaries) plant(where string) string {
	secret := fmt.Sprintf("Canary%d+/&<é> %s", len(c.secrets), where)
	c.secrets = append(c.secrets, secret)
	return secret
}

// found returns the canaries that a text holds, raw or in one of the usual encodings.
func (c *canaries) found(text string) (found []string) {
	for _, secret := range c.secrets {
		escaped, _ := json.Marshal(secret)
		forms := []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
			strings.Trim(string(escaped), `"`), strings.Trim(fmt.Sprintf("%q", secret), `"`), strings.Trim(fmt.Sprintf("%+q", secret), `"`),
			hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
			// Base64 of a text that holds the canary somewhere, whatever its offset.
			inBase64(secret, 0), inBase64(secret, 1), inBase64(secret, 2),
		}
		for _, form := range forms {
			if strings.Contains(text, form) {
				found = append(found, secret+" as "+form)
			}
		}
	}
	return found
}

// inBase64 returns the part of a Base64 text that does not depend on what stands beside the secret.
func inBase64(secret string, offset int) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
	return encoded[4 : len(encoded)-4]
}

// fill plants canaries in every string and Sensitive of a request.
func (c *canaries) fill(v reflect.Value, where string) {
	switch {
	case v.Type() == reflect.TypeFor[membercard.Sensitive]():
		secret := c.plant(where)
		c.personal = append(c.personal, secret)
		v.Set(reflect.ValueOf(membercard.NewSensitive(secret)))
	case v.Type() == reflect.TypeFor[membercard.Timestamp]():
		v.Set(reflect.ValueOf(membercard.Timestamp{Time: time.Unix(1600000000, 0)}))
	case v.Kind() == reflect.String:
		v.SetString(c.plant(where))
	case where == "ActivityID":
		v.SetInt(371067)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		c.fill(v.Elem(), where)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		c.fill(v.Index(0), where)
	case v.Kind() == reflect.Struct:
		for field, value := range v.Fields() {
			c.fill(value, field.Name)
		}
	}
}

// sprayedRequest returns a request full of canaries, and those of its openid, card code and sensitive
// values.
func sprayedRequest(request any) (filled any, all, ids *canaries) {
	all, ids = &canaries{}, &canaries{}
	v := reflect.New(reflect.TypeOf(request)).Elem()
	if upload, ok := request.(membercard.UploadImageRequest); ok { // holds nothing of a person, and must be a picture
		return upload, all, ids
	}
	all.fill(v, "")
	for _, name := range []string{"OpenID", "UserCardCode"} {
		if field := v.FieldByName(name); field.IsValid() {
			ids.secrets = append(ids.secrets, field.String())
		}
	}
	ids.secrets = append(ids.secrets, all.personal...)
	return v.Interface(), all, ids
}

// TestSpray plants canaries in every string, Sensitive, header and error-body slot of every operation,
// and searches all that the library prints, returns and logs.
func TestSpray(t *testing.T) {
	t.Parallel()
	inEditions(t, spray)
}

func spray(t *testing.T, edition edition) {
	t.Parallel()
	config := membercardtest.NewTestServer(t, edition.options...).Config()
	private := config.PrivateKey.(*rsa.PrivateKey)
	keys := &canaries{secrets: []string{config.APIv3Key, private.D.String(), private.D.Text(16), private.Primes[0].String()}}
	searched := 0
	for operation, known := range table {
		request := known.request
		if !edition.has(operation) {
			continue
		}
		for name, answer := range sprayedAnswers() {
			filled, all, ids := sprayedRequest(request)
			filled = edition.withoutBrand(filled)
			secrets := &canaries{}
			var signature string
			transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				_, signature, _ = strings.Cut(r.Header.Get("Authorization"), `signature="`)
				signature, _, _ = strings.Cut(signature, `"`)
				return answer(secrets, ids, all, r)
			})
			var logged bytes.Buffer
			config := config
			config.HTTPClient = &http.Client{Transport: transport}
			config.Retry.MaxAttempts = 1
			config.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			client, err := membercard.New(config)
			require.NoError(t, err)
			_, err = do(t.Context(), client, filled)
			require.Error(t, err)
			require.NotEmpty(t, logged.String(), "nothing was logged")

			where := fmt.Sprintf("%s, %s", operation, name)
			var printed strings.Builder
			apiError, _ := errors.AsType[*membercard.APIError](err)
			signatureError, _ := errors.AsType[*membercard.SignatureError](err)
			for _, value := range []any{err, apiError, signatureError, client, config, &config} {
				if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() {
					continue
				}
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%e"} {
					fmt.Fprintf(&printed, verb+"\n", value)
				}
				for _, logged := range []any{value, []any{value}, struct{ Value any }{value}} {
					slog.New(slog.NewTextHandler(&printed, nil)).Error("x", "value", logged)
					slog.New(slog.NewJSONHandler(&printed, nil)).Error("x", "value", logged)
				}
			}
			if signatureError != nil {
				ids.secrets = append(ids.secrets, string(signatureError.Body))
			}
			require.NotEmpty(t, signature)
			keys.secrets = append(keys.secrets[:4:4], signature)
			for _, c := range []*canaries{secrets, ids, keys} {
				assert.Empty(t, c.found(printed.String()), where+": printed")
				searched += len(c.secrets)
			}
			for _, c := range []*canaries{secrets, all, keys} {
				assert.Empty(t, c.found(logged.String()), where+": logged")
				searched += len(c.secrets)
			}
		}
	}
	t.Logf("%d canaries searched for", searched)
}

// sprayedAnswers returns ways to answer that quote the request wherever there is room. What is planted
// into secrets must not be printed at all; message and code may be, without the ids.
func sprayedAnswers() map[string]func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error) {
	type answer = func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error)
	errorBody := func(status int, code string) answer {
		return func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error) {
			quoted := strings.Join(ids.secrets, " and ")
			body, _ := json.Marshal(map[string]any{
				"code": code, "message": "about " + quoted + "\nquery " + r.URL.RawQuery + " path " + r.URL.EscapedPath(),
				"detail": map[string]any{
					"field": "/" + quoted, "location": "body " + quoted,
					"issue": secrets.plant("issue"), "value": []any{secrets.plant("value"), "/" + secrets.plant("pointer"), all.secrets},
					"sign_information": map[string]any{
						"method": secrets.plant("method"), "url": secrets.plant("url"),
						"truncated_sign_message": secrets.plant("message") + "\n" + r.URL.String() + "\n1\n2\n" + secrets.plant("body"), "sign_message_length": 9,
					},
				},
				"new_member": secrets.plant("new member"),
			})
			header := http.Header{"Request-Id": {"ID-1"}, "Date": {secrets.plant("Date")}}
			for _, name := range []string{"X-Trace", "Content-Type", "Server", "Set-Cookie", "Retry-After", "Location"} {
				header.Set(name, secrets.plant(name))
			}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, nil
		}
	}
	raw := func(status int, signed bool) answer {
		return func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error) {
			header := http.Header{}
			if signed {
				header = http.Header{
					"Wechatpay-Timestamp": {fmt.Sprint(time.Now().Unix())}, "Wechatpay-Nonce": {secrets.plant("nonce")},
					"Wechatpay-Signature": {secrets.plant("signature")}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
				}
			}
			body := secrets.plant("body") + strings.Join(all.secrets, " ")
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
	}
	all := map[string]answer{
		"HTML 404":             raw(404, false),
		"HTML 502":             raw(502, false),
		"unsigned success":     raw(200, false),
		"badly signed success": raw(200, true),
		"badly signed error":   raw(400, true),
		"a transport that quotes the request": func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("cannot send %s %v %q: %w", r.URL, r.Header, r.Header, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("inner " + r.URL.RequestURI())})
		},
		"a body that breaks": func(secrets, ids, all *canaries, r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(
				strings.NewReader(secrets.plant("body")), errorReader{fmt.Errorf("reading %s", r.URL)}))}, nil
		},
	}
	for _, status := range []int{202, 307, 400, 401, 403, 404, 429, 500} {
		for _, code := range []string{"PARAM_ERROR", "SIGN_ERROR", "NOT_FOUND"} {
			all[fmt.Sprint(status, " ", code)] = errorBody(status, code)
		}
	}
	return all
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

// TestSprayFindsALeak: the search of TestSpray sees a log line that prints a body, however it is encoded.
func TestSprayFindsALeak(t *testing.T) {
	t.Parallel()
	_, all, _ := sprayedRequest(updateRequest)
	require.Greater(t, len(all.secrets), 12)
	for _, secret := range all.secrets {
		body, err := json.Marshal(map[string]string{"field": secret})
		require.NoError(t, err)
		for name, printed := range map[string]string{
			"raw": "body " + secret, "JSON": string(body), "query": "?x=" + url.QueryEscape(secret), "path": "/" + url.PathEscape(secret),
			"hex": hex.EncodeToString(body[10:]), "Base64": base64.StdEncoding.EncodeToString([]byte("xy" + secret + "z")), "quoted": fmt.Sprintf("%q", secret),
		} {
			if name == "hex" {
				printed = hex.EncodeToString([]byte("a" + secret))
			}
			var logged bytes.Buffer
			slog.New(slog.NewTextHandler(&logged, nil)).Info("answer", "body", printed)
			assert.NotEmpty(t, all.found(printed), "%s: %s", name, printed)
			if name != "JSON" && name != "quoted" { // the handler escapes those once more
				assert.NotEmpty(t, all.found(logged.String()), "%s: %s", name, logged.String())
			}
		}
	}
}

// TestAPhoneNumberInALog: neither a phone number nor an openid nor a card code is logged at the lowest level. These are calls that
// succeed, calls that fail, and a notification.
func TestAPhoneNumberInALog(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var logged bytes.Buffer
	client := newClient(t, server, noRetries, func(c *membercard.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
	})
	update := updateRequest
	update.PhoneNumber = membercard.NewSensitive(phoneNumber)
	_, err := client.UpdateUserCard(t.Context(), update)
	require.NoError(t, err)
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	plain, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	require.Equal(t, phoneNumber, plain)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "PARAM_ERROR", Message: phoneNumber + " " + openID + " " + userCardCode})
	_, err = client.UpdateUserCard(t.Context(), update)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	handler := client.NotificationHandler(func(context.Context, *membercard.Notification) error { return errors.New(phoneNumber) })
	handler.ServeHTTP(httptest.NewRecorder(), server.NotificationRequest(&membercard.UserCardDeleted{UserCard: *card}))

	require.GreaterOrEqual(t, strings.Count(logged.String(), "\n"), 4)
	for _, value := range []string{phoneNumber, openID, userCardCode, "obLatj"} {
		assert.NotContains(t, logged.String(), value)
	}
}

// TestLogRecords: one record per attempt, with these members and no others.
func TestLogRecords(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var logged bytes.Buffer
	client := newClient(t, server, func(c *membercard.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&logged, nil))
		c.Retry.MinBackoff = time.Millisecond
	})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
	require.Len(t, lines, 3)
	for i, want := range []struct {
		level, code string
		status      float64
	}{{"WARN", "SYSTEM_ERROR", 500}, {"WARN", "", 0}, {"INFO", "", 200}} {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &record))
		assert.Equal(t, want.level, record["level"])
		assert.Equal(t, want.code, record["code"])
		assert.InDelta(t, want.status, record["status"], 0)
		assert.InDelta(t, i+1, record["attempt"], 0)
		assert.Equal(t, "GetUserCard", record["operation"])
		assert.Equal(t, "/v3/brand/partner/card-member/user-cards/{user_card_code}", record["path"])
		assert.Len(t, record, 12)
	}
}
