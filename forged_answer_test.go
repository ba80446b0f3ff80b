package membercard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestAnOddSuccessIsNotBelieved: only errors of the download may stay unverified, not a 201.
func TestAnOddSuccessIsNotBelieved(t *testing.T) {
	t.Parallel()
	own, now := newKey(), time.Now()
	list := signedList(t, "BB", certificateItem(t, "AA", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(-time.Hour), now.Add(time.Hour)))
	client := newClient(t, newServer(t), noRetries, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := list.RoundTrip(r)
		response.StatusCode = http.StatusCreated
		return response, err
	})), func(c *membercard.Config) { c.PublicKey, c.PublicKeyID = nil, "" })
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "GetUserCard: not sent: the platform certificates could not be downloaded: 201: the answer cannot be trusted")
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
		client := newClient(t, server, noRetries)
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
		client := newClient(t, server, withTransport(transport), noRetries)
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
		client := newClient(t, server, noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
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
		_, err := server.Client().ImportUserCardByOpenID(t.Context(), table[membercard.OperationImportUserCardByOpenID].request.(membercard.ImportUserCardByOpenIDRequest))
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown, status)
		assert.Equal(t, 1, server.Effects(membercard.OperationImportUserCardByOpenID, "imported"), status)
	}
}

// TestTheAnswerToTheRequest: what a read leaves out is no mismatch, and what says nothing is no answer.
func TestTheAnswerToTheRequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		operation membercard.Operation
		body      string
		ok        bool
	}{
		{membercard.OperationGetUserCard, `{"user_card_state":"EFFECTIVE"}`, true},
		{membercard.OperationGetUserCard, `{"id":"1","create_time":"2026-01-01T00:00:00+08:00","resource":{}}`, false},
		{membercard.OperationGetUserCard, `{"user_card_code":null,"card_id":""}`, true},
		{membercard.OperationGetUserCard, `{"brand_id":"another","user_card_code":"` + userCardCode + `"}`, true},
		{membercard.OperationGetUserCard, `{}`, false},
		{membercard.OperationGetUserCard, `{"prepay_id":"wx261153585405162d4d02642eabe7000000"}`, false},
		{membercard.OperationGetUserCard, `{"user_card_code":"B"}`, false},
		{membercard.OperationGetUserCard, `{"openid":"B","user_card_code":"` + userCardCode + `"}`, false},
		{membercard.OperationListUserCards, `{"total_count":0,"offset":0,"limit":20}`, true},
		{membercard.OperationListUserCards, `{"data":[]}`, true},
		{membercard.OperationListUserCards, `{"total_count":0,"offset":20,"limit":20}`, false},
		{membercard.OperationListUserCards, `{"data":[{"openid":"` + openID + `"},{"openid":"B"}],"total_count":2,"offset":0,"limit":20}`, false},
		{membercard.OperationListCards, `{"data":[{"brand_id":"another"}],"total_count":1,"offset":0,"limit":20}`, true},
		{membercard.OperationCreatePreAuthToken, `{"token":"x"}`, true},
		{membercard.OperationCreatePreAuthToken, `{"token":""}`, false},
		{membercard.OperationCreatePreAuthToken, `{"expire_time":"2020-05-20T13:29:35.120+08:00"}`, false},
		{membercard.OperationUploadImage, `{"media_url":"x"}`, true},
		{membercard.OperationUploadImage, `{"media_id":"x"}`, false},
		{membercard.OperationUpdateUserCard, `{"user_card_code":"` + userCardCode + `"}`, true},
		{membercard.OperationUpdateUserCard, `{"openid":"` + openID + `"}`, true},
		{membercard.OperationUpdateCard, `{"card_id":"` + cardID + `"}`, true},
		{membercard.OperationUpdateUserCard, `{"card_id":"` + cardID + `"}`, false},
		{membercard.OperationImportUserCardByOpenID, `{"card_id":"` + cardID + `","state":"CARD_EFFECTIVE"}`, false},
		{membercard.OperationCreateUserFeed, `{"card_id":"` + cardID + `"}`, false},
		{membercard.OperationListUserCards, `{"data":null}`, false},
		{membercard.OperationListUserCards, `{"user_card_code":"B","openid":"B"}`, false},
		{membercard.OperationUpdateUserCard, `{"user_card_state":"EFFECTIVE"}`, false},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + userCardCode + `","user_card_state":"INVALID"}`, true},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + userCardCode + `","user_card_state":"EFFECTIVE"}`, false},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + userCardCode + `"}`, false},
	} {
		_, _, err := answered(t, test.operation, test.body)
		if test.ok {
			require.NoError(t, err, test.body)
			continue
		}
		require.ErrorIs(t, err, membercard.ErrSignature, test.body)
		require.ErrorContains(t, err, string(membercard.ReasonOtherRequest))
		assert.NotContains(t, err.Error(), openID)
	}
}
