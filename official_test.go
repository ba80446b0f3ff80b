package membercard_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// answers holds the type of each operation's answer.
var answers = map[membercard.Operation]reflect.Type{
	membercard.OperationCreateCard:             reflect.TypeFor[membercard.Card](),
	membercard.OperationListCards:              reflect.TypeFor[membercard.ListCardsResponse](),
	membercard.OperationGetCard:                reflect.TypeFor[membercard.Card](),
	membercard.OperationUpdateCard:             reflect.TypeFor[membercard.Card](),
	membercard.OperationInvalidateCard:         reflect.TypeFor[membercard.Card](),
	membercard.OperationListUserCards:          reflect.TypeFor[membercard.ListUserCardsResponse](),
	membercard.OperationGetUserCard:            reflect.TypeFor[membercard.UserCard](),
	membercard.OperationUpdateUserCard:         reflect.TypeFor[membercard.UserCard](),
	membercard.OperationInvalidateUserCard:     reflect.TypeFor[membercard.UserCard](),
	membercard.OperationConfirmUserCard:        reflect.TypeFor[membercard.UserCard](),
	membercard.OperationImportUserCardByOpenID: reflect.TypeFor[membercard.UserCard](),
	membercard.OperationImportUserCardByPhone:  reflect.TypeFor[membercard.UserCard](),
	membercard.OperationSyncUserPoints:         reflect.TypeFor[membercard.UserPoints](),
	membercard.OperationConfirmPointsExchange:  reflect.TypeFor[membercard.PointsExchange](),
	membercard.OperationCreateUserFeed:         reflect.TypeFor[membercard.UserFeed](),
	membercard.OperationCreatePreAuthToken:     reflect.TypeFor[membercard.Token](),
	membercard.OperationCreatePayViewToken:     reflect.TypeFor[membercard.Token](),
	membercard.OperationCreateActivity:         reflect.TypeFor[membercard.Activity](),
	membercard.OperationListActivities:         reflect.TypeFor[membercard.ListActivitiesResponse](),
	membercard.OperationGetActivity:            reflect.TypeFor[membercard.Activity](),
	membercard.OperationUpdateActivity:         reflect.TypeFor[membercard.Activity](),
	membercard.OperationTerminateActivity:      reflect.TypeFor[membercard.Activity](),
	membercard.OperationUploadImage:            reflect.TypeFor[membercard.UploadImageResponse](),
}

// officialFile names the file with an operation's official example: GetUserCard is get-user-card.
func officialFile(operation membercard.Operation, kind string) string {
	words := regexp.MustCompile(`[A-Z][a-z]*`).ReplaceAllStringFunc(string(operation), func(word string) string {
		return "-" + strings.ToLower(word)
	})
	words = strings.ReplaceAll(words, "-i-d", "-id")
	return "testdata/official/" + strings.TrimPrefix(words, "-") + "." + kind + ".json"
}

// TestOfficialAnswers: the example of each page is decoded without an unknown field, and encoded again
// it is the same.
func TestOfficialAnswers(t *testing.T) {
	t.Parallel()
	for _, operation := range membercard.Operations() {
		data := readFile(t, officialFile(operation.Name, "response"))
		value := reflect.New(answers[operation.Name])
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(value.Interface()), operation.Name)
		again, err := json.Marshal(value.Interface())
		require.NoError(t, err)
		assert.Equal(t, asJSON(t, data), asJSON(t, again), operation.Name)
	}
}

// TestOfficialAnswersThroughTheClient: the client believes and returns them.
func TestOfficialAnswersThroughTheClient(t *testing.T) {
	t.Parallel()
	for operation := range answers {
		server := newServer(t)
		data := identified(operation, readFile(t, officialFile(operation, "response")))
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: data})
		got, err := do(t.Context(), server.Client(), requests[operation])
		require.NoError(t, err, operation)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Equal(t, asJSON(t, data), asJSON(t, again), operation)
	}
}

// TestOfficialRequests: the client sends what the request example of the page shows, but for the
// ciphertexts.
func TestOfficialRequests(t *testing.T) {
	t.Parallel()
	const sampleTime = "2020-05-20T13:29:35.120+08:00"
	for file, request := range map[string]any{
		"invalidate-user-card": membercard.InvalidateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, InvalidReason: "传入的自定义作废原因",
		},
		"update-user-card": membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			CardColor:      new("#FFFF00"),
			CardPictureURL: new("https://wxpaylogo.qpic.cn/wxpaylogo/PiajxSqBRaEIPAeia7Imvtsn7sYGNcEj33YzVvJF88ECQ19LXId8ZL2Q/0"),
			PhoneNumber:    membercard.NewSensitive(phone),
			Level:          new("钻石会员"),
			Attach:         new("自定义数据说明"),
			ValidDateInformation: &membercard.DateInfo{
				Type: membercard.DateTypePermanent, AvailableBeginTime: at(sampleTime), AvailableEndTime: at(sampleTime),
				AvailableDayAfterReceive: new(30),
			},
			UserInformation: &membercard.UserInfo{
				CommonFieldList: []membercard.UserInfoCommonField{{Name: membercard.CommonFieldFlagBirthday, Value: membercard.NewSensitive("1990-01-01")}},
				CustomFieldList: []membercard.UserInfoCustomField{{Name: "喜欢的运动", UserChosenValues: []membercard.Sensitive{membercard.NewSensitive("足球")}}},
			},
		},
	} {
		server := newServer(t)
		_, err := do(t.Context(), server.Client(), request)
		require.NoError(t, err, file)
		want := asJSON(t, readFile(t, "testdata/official/"+file+".request.json"))
		got := asJSON(t, server.Requests()[0].Body)
		assert.Equal(t, withoutCiphertexts(want), withoutCiphertexts(got), file)
	}
}

// withoutCiphertexts replaces each ciphertext by the same word.
func withoutCiphertexts(value any) any {
	switch v := value.(type) {
	case string:
		if countCiphertexts(v) == 1 {
			return "CIPHERTEXT"
		}
	case []any:
		for i := range v {
			v[i] = withoutCiphertexts(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withoutCiphertexts(v[name])
		}
	}
	return value
}

// TestUnknownValuesSurvive: enums are open, unknown fields are ignored, null and absence are the same.
func TestUnknownValuesSurvive(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(
		`{"user_card_code":"478515832665","user_card_state":"FROZEN","card_type":"NEW","valid_date_information":{"type":"LUNAR"},` +
			`"points":7,"new_object":{"a":[1]},"level":null,"user_information":null,"phone_number":null,"pickup_time":null,"invalid_time":""}`,
	)})
	card, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardState("FROZEN"), card.UserCardState)
	assert.Equal(t, membercard.DateType("LUNAR"), card.ValidDateInformation.Type)
	assert.True(t, card.PhoneNumber.IsZero())
	assert.True(t, card.PickupTime.IsZero())
	again, err := json.Marshal(card)
	require.NoError(t, err)
	assert.True(t, strings.Contains(string(again), `"FROZEN"`) && strings.Contains(string(again), `"LUNAR"`))
	assert.NotContains(t, string(again), "null")
}
