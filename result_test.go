package membercard_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// answered returns what a client with one attempt makes of a signed answer to an operation.
func answered(t *testing.T, operation membercard.Operation, body string) (any, membercard.ResponseInfo, error) {
	t.Helper()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(body)})
	var info membercard.ResponseInfo
	got, err := do(membercard.WithResponseInfo(t.Context(), &info), newClient(t, server, noRepeats), requests[operation])
	return got, info, err
}

// TestOddMembers: one optional member of another form hides neither the others nor that the call was carried out.
func TestOddMembers(t *testing.T) {
	t.Parallel()
	const head = `{"user_card_code":"` + code + `","card_id":"` + cardID + `","level":"gold","user_card_state":"INVALID",`
	for members, undecoded := range map[string]string{
		`"user_information":[]`:                                                "user_information",
		`"pickup_time":"yesterday"`:                                            "pickup_time",
		`"phone_number":5`:                                                     "phone_number",
		`"attach":{"a":1},"invalid_time":7`:                                    "attach, invalid_time",
		`"user_information":{"common_field_list":"x"}`:                         "user_information.common_field_list",
		`"valid_date_information":{"available_day_after_receive":"30"}`:        "valid_date_information.available_day_after_receive",
		`"user_information":{"common_field_list":[{"name":1,"value":"male"}]}`: "user_information.common_field_list",
	} {
		got, info, err := answered(t, membercard.OperationInvalidateUserCard, head+members+"}")
		require.NoError(t, err, members)
		assert.Equal(t, undecoded, info.Undecoded)
		assert.Equal(t, "gold", got.(*membercard.UserCard).Level, members)
	}
	for _, members := range []string{`"card_type":{}`, `"valid_date_information":[]`, `"brand_id":1004`} { // required ones
		_, _, err := answered(t, membercard.OperationInvalidateUserCard, head+members+"}")
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, members)
		require.ErrorContains(t, err, "the body cannot be decoded")
	}
	list := `{"data":[` + head + `"pickup_time":"x"},` + head + `"attach":"a"}],"total_count":2,"offset":0,"limit":20}`
	got, info, err := answered(t, membercard.OperationListUserCards, list)
	require.NoError(t, err)
	assert.Equal(t, "data.0.pickup_time", info.Undecoded)
	require.Len(t, got.(*membercard.ListUserCardsResponse).Data, 2)
	assert.Equal(t, "a", got.(*membercard.ListUserCardsResponse).Data[1].Attach)
	for _, data := range []string{`"x"`, `{}`, `[1]`, `[{"user_card_code":1}]`} {
		_, _, err := answered(t, membercard.OperationListUserCards, `{"data":`+data+`,"total_count":1,"offset":0,"limit":20}`)
		require.ErrorContains(t, err, "the body cannot be decoded", "a page that cannot be read is not an empty one")
	}
}

// TestExactNames: Go's decoder takes names that differ in case, or by a long s, for the same.
func TestExactNames(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{
		`"User_Card_State":"INVALID"`, `"USER_CARD_STATE":"INVALID"`, `"uſer_card_ſtate":"INVALID"`, `"u\u017fer_card_state":"INVALID"`,
		`"user\u005fcard_State" : "INVALID"`, `"Level":"x"`, `"valid_date_information":{"Type":"x"}`,
	} {
		body := `{"user_card_code":"` + code + `","user_card_state":"EFFECTIVE","level":"gold","valid_date_information":{"type":"PERMANENT"},` + odd + `}`
		got, _, err := answered(t, membercard.OperationGetUserCard, body)
		require.NoError(t, err, odd)
		card := got.(*membercard.UserCard)
		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState, odd)
		assert.Equal(t, "gold", card.Level, odd)
		if !strings.HasPrefix(odd, `"valid`) {
			assert.Equal(t, membercard.DateTypePermanent, card.ValidDateInformation.Type, odd)
		}
	}
	got, _, err := answered(t, membercard.OperationGetUserCard, `{"user_card_code":"`+code+`","u\u0073er_card_state":"EXPIRED","NEW":{"\\\"":1}}`)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateExpired, got.(*membercard.UserCard).UserCardState, "an escaped name is the same name")
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
		{membercard.OperationGetUserCard, `{"brand_id":"another","user_card_code":"` + code + `"}`, true},
		{membercard.OperationGetUserCard, `{}`, false},
		{membercard.OperationGetUserCard, `{"prepay_id":"wx261153585405162d4d02642eabe7000000"}`, false},
		{membercard.OperationGetUserCard, `{"user_card_code":"B"}`, false},
		{membercard.OperationGetUserCard, `{"openid":"B","user_card_code":"` + code + `"}`, false},
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
		{membercard.OperationUpdateUserCard, `{"user_card_code":"` + code + `"}`, true},
		{membercard.OperationUpdateUserCard, `{"openid":"` + openID + `"}`, true},
		{membercard.OperationUpdateCard, `{"card_id":"` + cardID + `"}`, true},
		{membercard.OperationUpdateUserCard, `{"card_id":"` + cardID + `"}`, false},
		{membercard.OperationImportUserCardByOpenID, `{"card_id":"` + cardID + `","state":"CARD_EFFECTIVE"}`, false},
		{membercard.OperationCreateUserFeed, `{"card_id":"` + cardID + `"}`, false},
		{membercard.OperationListUserCards, `{"data":null}`, false},
		{membercard.OperationListUserCards, `{"user_card_code":"B","openid":"B"}`, false},
		{membercard.OperationUpdateUserCard, `{"user_card_state":"EFFECTIVE"}`, false},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + code + `","user_card_state":"INVALID"}`, true},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + code + `","user_card_state":"EFFECTIVE"}`, false},
		{membercard.OperationInvalidateUserCard, `{"user_card_code":"` + code + `"}`, false},
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

// TestPages walks over lists whose total is not what it should be, and ends with an error where the pages are not those
// asked for.
func TestPages(t *testing.T) {
	t.Parallel()
	const all = 45
	page := func(offset, limit int) (data []map[string]any) {
		for i := offset; i < min(offset+limit, all); i++ {
			data = append(data, map[string]any{"user_card_code": fmt.Sprint("code-", i), "card_id": cardID, "openid": openID})
		}
		return data
	}
	for name, test := range map[string]struct {
		answer func(offset, limit int) map[string]any
		n      int // elements that come
		fails  bool
		most   int // requests
	}{
		"as documented": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all, "offset": o}
		}, all, false, 3},
		"remaining": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all - o, "offset": o}
		}, all, false, 3},
		"of this page": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": len(page(o, l)), "offset": o}
		}, all, false, 3},
		"missing": {func(o, l int) map[string]any { return map[string]any{"data": page(o, l)} }, all, false, 3},
		"negative": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": -1, "offset": o}
		}, all, false, 3},
		"one added in front of a full page": {func(o, l int) map[string]any {
			return map[string]any{"data": page(max(0, o-20), l), "total_count": o, "offset": o}
		}, 20, false, 2},
		"huge": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": 1 << 62, "offset": o}
		}, all, false, 4},
		"short pages": {func(o, _ int) map[string]any {
			return map[string]any{"data": page(o, 7), "total_count": all, "offset": o}
		}, all, false, 7},
		"page 1 always": {func(_, l int) map[string]any {
			return map[string]any{"data": page(0, l), "total_count": all, "offset": 0}
		}, 20, true, 2},
		"page 1, no offset": {func(_, l int) map[string]any { return map[string]any{"data": page(0, l), "total_count": all} }, 20, true, 2},
		"one card for ever": {func(o, _ int) map[string]any {
			return map[string]any{"data": page(0, 1), "total_count": 1 << 62, "offset": o}
		}, 1, true, 2},
		"another offset": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all, "offset": o + 1}
		}, 0, true, 1},
		"an empty first": {func(o, _ int) map[string]any { return map[string]any{"total_count": all, "offset": o} }, 0, false, 1},
	} {
		server := newServer(t)
		client := newClient(t, server, noRepeats)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte("{}")})
		offset := 0
		answer := func() {
			body, err := json.Marshal(test.answer(offset, 20))
			require.NoError(t, err)
			server.ClearFaults()
			server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: body})
		}
		answer()
		seen, failed := map[string]bool{}, false
		for card, err := range client.AllUserCards(t.Context(), listUserCardsRequest) {
			if err != nil {
				failed = true
				break
			}
			seen[card.UserCardCode] = true
			if sent := len(server.Requests()); sent > 20 {
				require.Fail(t, "no end", name)
			}
			offset = len(seen)
			answer()
		}
		assert.Equal(t, test.fails, failed, name)
		assert.Len(t, seen, test.n, name)
		assert.LessOrEqual(t, len(server.Requests()), test.most, name)
	}
}
