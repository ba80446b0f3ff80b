package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestQuickstart(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, server))
	for _, line := range []string{
		`1 card, its code is 478515832665`,
		`phone number as printed: [sensitive]; decrypted with client.Decrypt: 13800000000`,
		`phone number as printed: [sensitive]; decrypted with client.Decrypt: 13900000000`,
		`state INVALID since`,
		`GetUserCard: 404 NOT_FOUND`,
		`PARAM_ERROR says: field "limit"`,
		`Done: 7 requests`,
	} {
		assert.Contains(t, out.String(), line)
	}
	for _, request := range server.Requests() {
		assert.NotEmpty(t, request.Operation)
	}
	assert.Equal(t, 5, strings.Count(out.String(), "Request-ID ")-1, "each successful call shows its Request-ID")
}

// TestQuickstartShowsFailures: what it prints comes from the calls, so a fault in any of them shows.
func TestQuickstartShowsFailures(t *testing.T) {
	for operation, wants := range map[membercard.Operation]string{
		membercard.OperationListCards:          "ListCards: 403 NO_AUTH",
		membercard.OperationListUserCards:      "ListUserCards: 403 NO_AUTH",
		membercard.OperationGetUserCard:        "GetUserCard: 403 NO_AUTH",
		membercard.OperationUpdateUserCard:     "UpdateUserCard: 403 NO_AUTH",
		membercard.OperationInvalidateUserCard: "InvalidateUserCard: 403 NO_AUTH",
	} {
		server := membercardtest.NewTestServer(t)
		server.Inject(membercardtest.Fault{Operation: operation, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		var out bytes.Buffer
		err := run(t.Context(), &out, server)
		require.ErrorContains(t, err, wants)
		assert.NotContains(t, out.String(), "Done")
	}
}
