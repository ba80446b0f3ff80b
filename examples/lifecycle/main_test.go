package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestLifecycle(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, server))
	for _, line := range []string{
		"CARD_EFFECTIVE", "it is UNACTIVATED until", "ConfirmUserCard     EFFECTIVE, level 白银会员, phone number [sensitive]",
		"balance 1200", "POINT_EXCHANGE_COUPON_SUCCESS", "since 2024-05-20", "InvalidateUserCard  INVALID",
		"MEMBERSHIP_ACTIVITY_TERMINATED", "InvalidateCard      CARD_INVALID",
	} {
		assert.Contains(t, strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(line), " "))
	}
}

// TestLifecycleShowsFailures: every operation it uses can make it fail.
func TestLifecycleShowsFailures(t *testing.T) {
	first := membercardtest.NewTestServer(t)
	require.NoError(t, run(t.Context(), &bytes.Buffer{}, first))
	for _, request := range first.Requests() {
		server := membercardtest.NewTestServer(t)
		server.Inject(membercardtest.Fault{Operation: request.Operation, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		err := run(t.Context(), &bytes.Buffer{}, server)
		require.ErrorContains(t, err, string(request.Operation)+": 403 NO_AUTH")
	}
}
