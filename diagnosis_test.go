package membercard_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// signErrorTransport answers every request with a SIGN_ERROR that shows the message the service would
// have verified, changed by the test.
type signErrorTransport struct {
	nested, escaped bool
	change          func(message string) string
}

func (s signErrorTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	items := map[string]string{}
	for item := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), "WECHATPAY2-SHA256-RSA2048 "), ",") {
		name, value, _ := strings.Cut(item, "=")
		items[name] = strings.Trim(value, `"`)
	}
	message := strings.Join([]string{r.Method, r.URL.RequestURI(), items["timestamp"], items["nonce_str"], body, ""}, "\n")
	if s.change != nil {
		message = s.change(message)
	}
	length := len(message)
	if lines := strings.SplitN(message, "\n", 5); len(lines) == 5 && len(lines[4]) > 5 {
		message = message[:len(message)-len(lines[4])+4] // the body is cut off after a few bytes
	}
	if s.escaped {
		message = strings.ReplaceAll(message, "\n", `\n`)
	}
	information := map[string]any{"method": r.Method, "url": r.URL.RequestURI(), "truncated_sign_message": message, "sign_message_length": length}
	detail := map[string]any{"field": "signature", "location": "authorization", "issue": "sign not match", "sign_information": information}
	if s.nested {
		delete(detail, "issue")
		detail["detail"] = map[string]any{"issue": "sign not match"}
	}
	data, err := json.Marshal(map[string]any{"code": "SIGN_ERROR", "message": "错误的签名,验签失败", "detail": detail})
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Body: io.NopCloser(strings.NewReader(string(data))),
		Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
	}, err
}

// TestSignErrorExplainsItself, for both documented shapes of the detail.
func TestSignErrorExplainsItself(t *testing.T) {
	t.Parallel()
	line := func(i int, change func(string) string) func(string) string {
		return func(message string) string {
			lines := strings.SplitN(message, "\n", 5)
			lines[i] = change(lines[i])
			return strings.Join(lines, "\n")
		}
	}
	set := func(s string) func(string) string { return func(string) string { return s } }
	for name, test := range map[string]struct {
		change func(string) string
		says   string
	}{
		"agrees":             {nil, "the service verified the very message that was signed, so PrivateKey and CertificateSerial do not belong together"},
		"method":             {line(0, set("PATCX")), "different in method; does a proxy"},
		"another method":     {line(0, set("POST")), "different in method, length"},
		"URI escaped again":  {line(1, func(s string) string { return strings.ReplaceAll(s, "/", "%2F") }), "different in URI, length"},
		"timestamp":          {line(2, set("1000000000")), "different in timestamp; does a proxy"},
		"nonce":              {line(3, set(strings.Repeat("x", 32))), "different in nonce; does a proxy"},
		"body":               {line(4, func(s string) string { return strings.Replace(s, "{", "[", 1) }), "different in body; does a proxy"},
		"only its length":    {line(4, func(s string) string { return s + " " }), "different in length ("},
		"everything at once": {set("A\nB\nC\nD\nE\n"), "different in method, URI, timestamp, nonce, body, length (10 bytes instead of "},
		"a single line":      {set("GET"), "different in method, length (3 bytes instead of "},
	} {
		for _, nested := range []bool{false, true} {
			for _, escaped := range []bool{false, true} {
				client := newClient(t, membercardtest.NewTestServer(t), withTransport(signErrorTransport{nested, escaped, test.change}))
				_, err := client.UpdateUserCard(t.Context(), updateRequest)
				assertMatches(t, err, []error{membercard.ErrUnauthorized}, name)
				apiError, ok := errors.AsType[*membercard.APIError](err)
				require.True(t, ok)
				assert.Equal(t, "sign not match", apiError.Detail.Issue)
				assert.Contains(t, apiError.Diagnosis, test.says, name)
				assert.Contains(t, err.Error(), apiError.Diagnosis)
				assert.NotContains(t, apiError.Diagnosis+err.Error(), openID)
				assert.NotContains(t, apiError.Diagnosis+err.Error(), userCardCode)
			}
		}
	}
}

// TestSignErrorOfTheFake: with a key that does not belong to the serial the fake shows what it verified.
func TestSignErrorOfTheFake(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	client := newClient(t, server, func(c *membercard.Config) { c.PrivateKey = newKey() })
	for _, known := range table {
		_, err := do(t.Context(), client, known.request)
		require.ErrorIs(t, err, membercard.ErrUnauthorized)
		assert.Contains(t, err.Error(), "PrivateKey and CertificateSerial do not belong together")
	}
}
