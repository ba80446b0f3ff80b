package membercard_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

var sentinels = []error{
	membercard.ErrNotFound, membercard.ErrRateLimited, membercard.ErrInvalidParameter, membercard.ErrInvalidRequest,
	membercard.ErrUnauthorized, membercard.ErrForbidden, membercard.ErrSystem, membercard.ErrSignature,
	membercard.ErrAttemptTimeout, membercard.ErrOutcomeUnknown,
}

// assertMatches requires that err matches these sentinels and no others.
func assertMatches(t *testing.T, err error, want []error, where string) {
	t.Helper()
	require.Error(t, err, where)
	for _, sentinel := range sentinels {
		assert.Equal(t, slices.Contains(want, sentinel), errors.Is(err, sentinel), "%s: %v: %v", where, sentinel, err)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, noRepeats)
	for _, test := range []struct {
		status int
		code   string
		want   []error
	}{
		{400, "PARAM_ERROR", []error{membercard.ErrInvalidParameter}},
		{400, "INVALID_REQUEST", []error{membercard.ErrInvalidRequest}},
		{401, "SIGN_ERROR", []error{membercard.ErrUnauthorized}},
		{403, "NO_AUTH", []error{membercard.ErrForbidden}},
		{403, "RULE_LIMIT", nil},
		{404, "NOT_FOUND", []error{membercard.ErrNotFound}},
		{404, "RESOURCE_NOT_EXISTS", []error{membercard.ErrNotFound}},
		{404, "", nil},
		{404, "ORDER_NOT_EXIST", nil},
		{429, "RATELIMIT_EXCEEDED", []error{membercard.ErrRateLimited}},
		{429, "RATELIMIT_EXCEED", []error{membercard.ErrRateLimited}},
		{429, "RATE_LIMITED", []error{membercard.ErrRateLimited}},
		{403, "FREQUENCY_LIMITED", []error{membercard.ErrRateLimited}},
		{403, "FREQUENCY_LIMIT_EXCEED", []error{membercard.ErrRateLimited}},
		{403, "FREQENCY_LIMIT", []error{membercard.ErrRateLimited}},
		{429, "", []error{membercard.ErrRateLimited}},
		{429, "SOMETHING_NEW", []error{membercard.ErrRateLimited}},
		{500, "SYSTEM_ERROR", []error{membercard.ErrSystem}},
		{500, "BANK_ERROR", []error{membercard.ErrSystem}},
		{502, "SERVICE_UNAVAILABLE", []error{membercard.ErrSystem}},
		{503, "", []error{membercard.ErrSystem}},
		{400, "ALREADY_EXISTS", nil},
	} {
		for _, kind := range []membercardtest.FaultKind{membercardtest.FaultStatus, membercardtest.FaultUnsigned} {
			where := fmt.Sprint(test.status, " ", test.code, " ", kind)
			server.Inject(membercardtest.Fault{Kind: kind, Status: test.status, Code: test.code, Message: "说明"})
			_, err := client.GetUserCard(t.Context(), getRequest)
			assertMatches(t, err, test.want, where)
			apiError, ok := errors.AsType[*membercard.APIError](err)
			require.True(t, ok, where)
			assert.Equal(t, test.status, apiError.StatusCode)
			assert.Equal(t, test.code, apiError.Code)
			assert.Equal(t, "说明", apiError.Message)
			assert.Equal(t, kind == membercardtest.FaultStatus, apiError.Verified, where)
			assert.Equal(t, membercard.OperationGetUserCard, apiError.Operation)
			assert.NotEmpty(t, apiError.RequestID)
		}
	}
}

// TestOddAnswers: whatever comes with an error status is an APIError with the true status.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 500} {
		for _, body := range []string{
			"", " ", "null", "[]", "0", `"text"`, "{", `{"statusCode":200}`, `{"StatusCode":200,"status_code":200,"Verified":true}`,
			`{"code":404,"message":null}`, `{"code":null,"message":{"a":1},"detail":[]}`, `{"code":["NOT_FOUND"]}`,
			"<html><body>404 NOT_FOUND</body></html>", "\x00\xff\xfe", `{"code":"","message":""}`,
			strings.Repeat(`{"a":`, 20000), `{"detail":{"value":[1,null,{}]}}`,
		} {
			transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{"Request-Id": {"ID-1"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
			})
			client := newClient(t, membercardtest.NewTestServer(t), withTransport(transport), noRepeats)
			_, err := client.GetUserCard(t.Context(), getRequest)
			apiError, ok := errors.AsType[*membercard.APIError](err)
			require.True(t, ok, body)
			assert.Equal(t, status, apiError.StatusCode, body)
			assert.False(t, apiError.Verified)
			assert.Equal(t, "ID-1", apiError.RequestID)
			assert.Equal(t, body[:min(len(body), 64<<10)], string(apiError.Body), "the evidence is kept")
			assert.NotErrorIs(t, err, membercard.ErrNotFound, body)
			assert.NotContains(t, err.Error(), "\n")
			assert.Less(t, len(err.Error()), 2000)
		}
	}
}

func TestErrorTextIsOneRedactedLine(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, noRepeats)
	message := "line one\nopenid " + openID + "\r\ncode " + code + "\x00\u2028 end"
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST", Message: message})
	_, err := client.GetUserCard(t.Context(), getRequest)
	apiError, ok := errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	assert.Equal(t, message, apiError.Message, "the field keeps it")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{err, apiError} {
			text := fmt.Sprintf(verb, value)
			assert.NotContains(t, text, openID, verb)
			assert.NotContains(t, text, code, verb)
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
		client := newClient(t, server, noRepeats)
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
		client := newClient(t, membercardtest.NewTestServer(t), noRepeats, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, "999")
		assert.NotContains(t, err.Error(), openID[:8])
	}
}

func TestErrorDetail(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	_, err := server.Client().ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID, Limit: 21})
	apiError, ok := errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	require.NotNil(t, apiError.Detail)
	assert.Equal(t, "limit", apiError.Detail.Field)
	assert.Equal(t, "query", apiError.Detail.Location)
	assert.NotEmpty(t, apiError.Detail.Issue)
	assert.JSONEq(t, "21", string(apiError.Detail.Value))
	assert.True(t, json.Valid(apiError.Detail.Raw))
	assert.Contains(t, err.Error(), "(field limit, location query)")

	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "PARAM_ERROR"})
	_, err = server.Client().ListCards(t.Context(), listCardsRequest)
	apiError, ok = errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	assert.Nil(t, apiError.Detail)
}

// TestContestedPlacement: the client finds out which revision of the pages the service follows.
func TestContestedPlacement(t *testing.T) {
	t.Parallel()
	var operations []membercard.Operation
	for _, operation := range membercard.Operations() {
		if operation.Contested {
			operations = append(operations, operation.Name)
		}
	}
	require.Len(t, operations, 3)
	older := membercardtest.WithIDsInQuery(operations...)
	for _, operation := range operations {
		var log strings.Builder
		server := newServer(t, older)
		client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		_, err := do(t.Context(), client, requests[operation])
		require.NoError(t, err, "a signed refusal of the place has the other one tried")
		require.Len(t, server.Requests(), 2)
		assert.Equal(t, 1, server.Effects(operation, effects[operation].key))
		assert.Contains(t, log.String(), `level=WARN msg="wechatpay placement" operation=`+string(operation)+` ids_in=query advice="add the operation to Config.IDsInQuery"`)

		_, _ = do(t.Context(), client, requests[operation])
		assert.Len(t, server.Requests(), 3, "and kept")

		server = newServer(t)
		client = newClient(t, server, func(c *membercard.Config) { c.IDsInQuery = operations })
		_, err = do(t.Context(), client, requests[operation])
		require.NoError(t, err)
		assert.Len(t, server.Requests(), 2)
		assert.Equal(t, 1, server.Effects(operation, effects[operation].key))

		server = newServer(t, older)
		_, err = do(t.Context(), newClient(t, server, func(c *membercard.Config) { c.IDsInQuery = operations }), requests[operation])
		require.NoError(t, err)
		assert.Len(t, server.Requests(), 1, "with the setting it is right at once")
	}
}

// TestContestedPlacementWithoutAnAnswer: the other place is kept only when WeChat Pay has answered to it.
func TestContestedPlacementWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithIDsInQuery(membercard.OperationInvalidateUserCard))
	var sent []string
	client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.RawQuery)
		if len(sent) == 2 {
			return nil, io.ErrUnexpectedEOF
		}
		return server.RoundTrip(r)
	})))
	_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.NoError(t, err)
	require.Len(t, sent, 4)
	assert.Empty(t, sent[2], "it begins in the body again")
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))
}

// TestContestedPlacementOfAForger: a refusal that nobody signed changes nothing, and says what could be meant.
func TestContestedPlacementOfAForger(t *testing.T) {
	t.Parallel()
	const refusal = `{"code":"PARAM_ERROR","message":"请求中含有未在API文档中定义的参数","detail":{"location":null,"value":["/body/card_id"]}}`
	client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(refusal)), Request: r}, nil
	})))
	for range 2 {
		_, err := client.UpdateUserCard(t.Context(), updateRequest)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		assert.Contains(t, err.Error(), "/body/card_id")
		assert.Contains(t, err.Error(), "if WeChat Pay says so, it wants card_id in the query: add UpdateUserCard to Config.IDsInQuery")
	}
}

func TestUndecodableSuccess(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"not JSON", `[]`, `{"user_card_code":1}`, `{"user_card_code":"478515832665","user_card_state":5}`, `"x"`} {
		server := newServer(t)
		client := newClient(t, server)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(body), Times: 2})
		got, err := client.GetUserCard(t.Context(), getRequest)
		assert.Nil(t, got)
		assertMatches(t, err, nil, body)
		got, err = client.UpdateUserCard(t.Context(), updateRequest)
		assert.Nil(t, got)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, body)
		apiError, ok := errors.AsType[*membercard.APIError](err)
		require.True(t, ok)
		assert.Equal(t, 200, apiError.StatusCode)
		assert.True(t, apiError.Verified)
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, code))
	}
}

// TestVerification goes through the reasons for not believing an answer.
func TestVerification(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault  membercardtest.Fault
		reason membercard.SignatureReason
	}{
		{membercardtest.Fault{Kind: membercardtest.FaultBadSignature}, membercard.ReasonMismatch},
		{membercardtest.Fault{Kind: membercardtest.FaultForgedBody}, membercard.ReasonMismatch},
		{membercardtest.Fault{Kind: membercardtest.FaultWrongLength}, membercard.ReasonMismatch},
		{membercardtest.Fault{Kind: membercardtest.FaultProbe}, membercard.ReasonProbe},
		{membercardtest.Fault{Kind: membercardtest.FaultStaleTimestamp}, membercard.ReasonStaleClock},
		{membercardtest.Fault{Kind: membercardtest.FaultFutureTimestamp}, membercard.ReasonStaleClock},
		{membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial}, membercard.ReasonUnknownSerial},
		{membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Timestamp"}, membercard.ReasonMissingHeader},
		{membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Nonce"}, membercard.ReasonMissingHeader},
		{membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Serial"}, membercard.ReasonMissingHeader},
		{membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Signature"}, membercard.ReasonMissingHeader},
	} {
		server := newServer(t)
		client := newClient(t, server, noRepeats)
		test.fault.Times = 3
		server.Inject(test.fault)
		where := string(test.fault.Kind) + " " + test.fault.Missing

		card, err := client.GetUserCard(t.Context(), getRequest)
		assert.Nil(t, card, "nothing of an untrusted answer is used")
		assertMatches(t, err, []error{membercard.ErrSignature}, where)
		untrusted, ok := errors.AsType[*membercard.SignatureError](err)
		require.True(t, ok)
		assert.Equal(t, test.reason, untrusted.Reason, where)
		assert.Equal(t, 200, untrusted.StatusCode)
		assert.NotEmpty(t, untrusted.RequestID)
		if test.reason == membercard.ReasonStaleClock {
			assert.InDelta(t, 600, untrusted.Skew.Abs().Seconds(), 2)
			assert.Equal(t, test.fault.Kind == membercardtest.FaultFutureTimestamp, untrusted.Skew > 0)
		}
		_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
		assertMatches(t, err, []error{membercard.ErrSignature, membercard.ErrOutcomeUnknown}, where)

		// An error answer with a spoiled signature is not believed either.
		missing := getRequest
		missing.UserCardCode = "1111111"
		_, err = client.GetUserCard(t.Context(), missing)
		assertMatches(t, err, []error{membercard.ErrSignature}, where+" on an error")
		assert.NotContains(t, fmt.Sprintf("%+v %#v %d", err, err, err), openID)
	}
}

// TestTheClockWindow: an answer five minutes old is stale, and so is one five minutes in the future.
func TestTheClockWindow(t *testing.T) {
	t.Parallel()
	for offset, fresh := range map[time.Duration]bool{
		0: true, 299 * time.Second: true, -299 * time.Second: true,
		300 * time.Second: false, -300 * time.Second: false, 24 * time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				body := `{"user_card_code":"` + code + `"}`
				timestamp := strconv.FormatInt(time.Now().Add(offset).Unix(), 10)
				digest := sha256.Sum256([]byte(timestamp + "\nnonce\n" + body + "\n"))
				signature, err := rsa.SignPKCS1v15(nil, server.PlatformKey(), crypto.SHA256, digest[:])
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
					"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"nonce"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
					"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
				}}, err
			})
			_, err := newClient(t, server, withTransport(transport)).GetUserCard(t.Context(), getRequest)
			if fresh {
				require.NoError(t, err, offset)
				return
			}
			untrusted, ok := errors.AsType[*membercard.SignatureError](err)
			require.True(t, ok, offset)
			assert.Equal(t, membercard.ReasonStaleClock, untrusted.Reason)
			assert.Equal(t, offset, untrusted.Skew)
			side := map[bool]string{true: "after", false: "before"}[offset > 0]
			assert.Contains(t, err.Error(), fmt.Sprintf("this machine's clock (dated %v %s it); check the clock", offset.Abs(), side))
		})
	}
}

func TestTimestampThatIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "x", "1.5", "99999999999999999999", "-", " 1"} {
		server := newServer(t)
		transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			response, err := server.RoundTrip(r)
			if err == nil {
				response.Header.Set("Wechatpay-Timestamp", value)
			}
			return response, err
		})
		_, err := newClient(t, server, withTransport(transport), noRepeats).GetUserCard(t.Context(), getRequest)
		untrusted, ok := errors.AsType[*membercard.SignatureError](err)
		require.True(t, ok, value)
		assert.Equal(t, membercard.ReasonMissingHeader, untrusted.Reason, value)
	}
}

func TestOversizedAnswer(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultEndless, Times: 2})
	var read int
	client := newClient(t, server, withTransport(spoilingTransport{server, func(r *http.Response) {
		r.Body = io.NopCloser(io.TeeReader(r.Body, countingWriter{&read}))
	}}))
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "more than 4194304 bytes")
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
	_, err = client.UpdateUserCard(t.Context(), updateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Len(t, server.Requests(), 2, "an oversized answer is not asked for again")
	assert.LessOrEqual(t, read, 2*(4<<20+1), "more was read than the bound allows")
}

type countingWriter struct{ n *int }

func (c countingWriter) Write(p []byte) (int, error) {
	*c.n += len(p)
	return len(p), nil
}

// FuzzAnswer: any answer is a value or an error, never both and never a panic; what is not signed is
// never a value.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"user_card_code":"1"}`), true)
	f.Add(200, []byte(`{"user_information":{"common_field_list":[null]}}`), true)
	f.Add(404, []byte(`{"code":"NOT_FOUND"}`), false)
	f.Add(202, []byte(``), true)
	server := membercardtest.NewServer()
	addMember(server)
	f.Fuzz(func(t *testing.T, status int, body []byte, signed bool) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		transport := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if signed {
				server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: body})
			}
			response, err := server.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			response.StatusCode = status
			if !signed {
				response.Body = io.NopCloser(bytes.NewReader(append(body, ' ')))
			}
			return response, nil
		})
		client := newClient(t, server, withTransport(transport), noRepeats)
		card, err := client.GetUserCard(t.Context(), getRequest)
		require.NotEqual(t, card == nil, err == nil, "value or error, never both")
		if card != nil {
			require.True(t, signed, "an unsigned answer was believed")
			require.True(t, status < 300 && status != 202)
			require.True(t, json.Valid(body))
			_ = fmt.Sprintf("%+v", card)
			return
		}
		require.NotContains(t, err.Error(), "\n")
	})
}

// FuzzAnswerHeaders: whatever the headers of an answer say, what they do not prove is not believed, and
// nothing panics or waits without end.
func FuzzAnswerHeaders(f *testing.F) {
	f.Add("1554208460", "nonce", "c2ln", "PUB_KEY_ID_X", "7", "Sun, 22 Nov 2026 00:00:00 GMT", "ID-0", 200)
	f.Add("", "", "", "", "-1", "", "", 404)
	f.Add("-9223372036854775808", "n", "WECHATPAY/SIGNTEST/x", membercardtest.PublicKeyID, "99999999999999999999", "x", "\n", 429)
	server := membercardtest.NewServer()
	f.Fuzz(func(t *testing.T, timestamp, nonce, signature, serial, retryAfter, date, requestID string, status int) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		client := newClient(t, server, noRepeats, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(`{"user_card_code":"1"}`)), Header: http.Header{
				"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Signature": {signature}, "Wechatpay-Serial": {serial},
				"Retry-After": {retryAfter}, "Date": {date}, "Request-Id": {requestID},
			}}, nil
		})), func(c *membercard.Config) { c.PrivateKey = instantKey{c.PrivateKey.Public()} })
		card, err := client.GetUserCard(t.Context(), getRequest)
		require.Nil(t, card)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\n")
		if status < 300 {
			require.ErrorIs(t, err, membercard.ErrSignature)
		}
	})
}

// TestAnAnswerThatIsNone: a 101 turns the connection into the body, which no context ends.
func TestAnAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			silent, _ := io.Pipe()
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{}, Body: silent, ContentLength: -1, Request: r}, nil
		})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, "the status is below 200")
		_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	})
}

// TestACodeThatNobodySigned: a gateway's 408 with the code of a rate limit does not say that nothing was carried out.
func TestACodeThatNobodySigned(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 408, 499, 502} {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnsigned, Status: status, Code: "RATE_LIMITED", AfterEffect: true, Times: -1})
		_, err := server.Client().ImportUserCardByOpenID(t.Context(), requests[membercard.OperationImportUserCardByOpenID].(membercard.ImportUserCardByOpenIDRequest))
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown, status)
		assert.Equal(t, 1, server.Effects(membercard.OperationImportUserCardByOpenID, "imported"), status)
	}
}

// TestNoSignatureIsQuoted: neither that of an earlier attempt, which a cache may answer with, nor what stands in a
// Location that is no address, nor anything of an error that is printed as a value.
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
