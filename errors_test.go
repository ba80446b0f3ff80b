package membercard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

var sentinels = []error{
	membercard.ErrNotFound, membercard.ErrRateLimited, membercard.ErrInvalidParameter, membercard.ErrInvalidRequest,
	membercard.ErrUnauthorized, membercard.ErrForbidden, membercard.ErrAlreadyExists, membercard.ErrSystem, membercard.ErrSignature,
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
	client := newClient(t, server, noRetries)
	for _, test := range []struct {
		status int
		code   string
		want   []error
	}{
		{400, "PARAM_ERROR", []error{membercard.ErrInvalidParameter}},
		{400, "INVALID_REQUEST", []error{membercard.ErrInvalidRequest}},
		{401, "SIGN_ERROR", []error{membercard.ErrUnauthorized}},
		{403, "NO_AUTH", []error{membercard.ErrForbidden}},
		{403, "NOAUTH", []error{membercard.ErrForbidden}},
		{403, "REQUEST_BLOCKED", []error{membercard.ErrForbidden}},
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
		{403, "FREQUENCY_LIMIT", []error{membercard.ErrRateLimited}},
		{403, "FREQENCY_LIMIT", []error{membercard.ErrRateLimited}},
		{429, "", []error{membercard.ErrRateLimited}},
		{429, "SOMETHING_NEW", []error{membercard.ErrRateLimited}},
		{500, "SYSTEM_ERROR", []error{membercard.ErrSystem}},
		{500, "BANK_ERROR", []error{membercard.ErrSystem}},
		{502, "SERVICE_UNAVAILABLE", []error{membercard.ErrSystem}},
		{503, "", []error{membercard.ErrSystem}},
		{500, "SYSTEMERROR", []error{membercard.ErrSystem}},
		{400, "ALREADY_EXISTS", []error{membercard.ErrAlreadyExists}},
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
			client := newClient(t, membercardtest.NewTestServer(t), withTransport(transport), noRetries)
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
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, userCardCode))
	}
}

// TestTheCodeDecides, also where the request has a value that the code is made of.
func TestTheCodeDecides(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"SYSTEM", "SYSTEM_ERROR", "ERROR"} {
		server := newServer(t)
		in := table[membercard.OperationConfirmUserCard].request.(membercard.ConfirmUserCardRequest)
		in.UserInformation = &membercard.UserInfo{CommonFieldList: []membercard.UserInfoCommonField{
			{Name: membercard.CommonFieldFlagBirthday, Value: membercard.NewSensitive(secret)},
		}}
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "SYSTEM_ERROR", AfterEffect: true})
		_, err := newClient(t, server).ConfirmUserCard(t.Context(), in)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
		assert.NotContains(t, err.Error(), secret+" ")
	}
}
