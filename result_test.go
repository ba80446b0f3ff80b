package membercard_test

import (
	"testing"

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
	got, err := do(membercard.WithResponseInfo(t.Context(), &info), newClient(t, server, noRetries), table[operation].request)
	return got, info, err
}

// TestAnIdentifierOfAnotherType is not another one: the body cannot be decoded.
func TestAnIdentifierOfAnotherType(t *testing.T) {
	t.Parallel()
	for operation, id := range map[membercard.Operation]string{
		membercard.OperationGetActivity: `"371067"`, membercard.OperationTerminateActivity: `371067.0`,
	} {
		_, _, err := answered(t, operation, `{"activity_id":`+id+`,"brand_id":"`+brandID+`"}`)
		require.ErrorContains(t, err, "the body cannot be decoded")
		require.NotErrorIs(t, err, membercard.ErrSignature)
	}
}
