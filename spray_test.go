package membercard_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

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
	for operation, request := range requests {
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
