package membercard_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestOfficialAnswers: the example of each page is decoded without an unknown field, and encoded again
// it is the same.
func TestOfficialAnswers(t *testing.T) {
	t.Parallel()
	for _, operation := range membercard.Operations() {
		data := sampleAnswer(t, operation.Name)
		value := reflect.New(answerOf(operation.Name))
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
	for operation := range table {
		server := newServer(t)
		data := identified(operation, sampleAnswer(t, operation))
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: data})
		got, err := do(t.Context(), server.Client(), table[operation].request)
		require.NoError(t, err, operation)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Equal(t, asJSON(t, data), asJSON(t, again), operation)
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
