package membercard_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestOddMembers: one optional member of another form hides neither the others nor that the call was carried out.
func TestOddMembers(t *testing.T) {
	t.Parallel()
	const head = `{"user_card_code":"` + userCardCode + `","card_id":"` + cardID + `","level":"gold","user_card_state":"INVALID",`
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
		body := `{"user_card_code":"` + userCardCode + `","user_card_state":"EFFECTIVE","level":"gold","valid_date_information":{"type":"PERMANENT"},` + odd + `}`
		got, _, err := answered(t, membercard.OperationGetUserCard, body)
		require.NoError(t, err, odd)
		card := got.(*membercard.UserCard)
		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState, odd)
		assert.Equal(t, "gold", card.Level, odd)
		if !strings.HasPrefix(odd, `"valid`) {
			assert.Equal(t, membercard.DateTypePermanent, card.ValidDateInformation.Type, odd)
		}
	}
	got, _, err := answered(t, membercard.OperationGetUserCard, `{"user_card_code":"`+userCardCode+`","u\u0073er_card_state":"EXPIRED","NEW":{"\\\"":1}}`)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateExpired, got.(*membercard.UserCard).UserCardState, "an escaped name is the same name")
	_, _, err = answered(t, membercard.OperationGetUserCard, `{"\u0055ser_card_code":"`+userCardCode+`"}`)
	require.ErrorIs(t, err, membercard.ErrSignature, "and an escaped other name is another")
}

// TestWhatIsNoJSON is an error wherever it breaks off, and panics nowhere.
func TestWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	const whole = `{"user_card_code":"a\\\"b","NEW" :"x"}`
	for end := range len(whole) {
		_, _, err := answered(t, membercard.OperationGetUserCard, whole[:end])
		require.Error(t, err, whole[:end])
	}
	for _, body := range []string{`"`, `"a"`, `"\`, `{"User_Card_Code":1} {}`, whole + whole, whole + "x"} {
		_, _, err := answered(t, membercard.OperationGetUserCard, body)
		require.Error(t, err, body)
	}
}

// TestTheMemberIsNamed by its path in the error of an answer that cannot be decoded.
func TestTheMemberIsNamed(t *testing.T) {
	t.Parallel()
	for body, member := range map[string]string{
		`{"data":[{"card_id":1}],"total_count":1}`: ".data.0.card_id of type string",
		`{"data":[1],"total_count":1}`:             ".data.0 of type membercard.Card",
		`{"data":1,"total_count":1}`:               ".data of type []membercard.Card",
		`{"total_count":"x"}`:                      ".total_count of type int",
	} {
		_, _, err := answered(t, membercard.OperationListCards, body)
		require.ErrorContains(t, err, member)
	}
}

// TestNamesDoNotHideWhatFollows: a body with something behind it is no success, whatever its names.
func TestNamesDoNotHideWhatFollows(t *testing.T) {
	t.Parallel()
	for _, end := range []string{`}`, `]`, `} no JSON at all`, `{}`} {
		_, _, err := answered(t, membercard.OperationInvalidateUserCard, `{"user_card_code":"`+userCardCode+`","user_card_state":"INVALID","Level":""}`+end)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown, end)
	}
}
