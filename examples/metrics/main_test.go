package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetrics(t *testing.T) {
	for _, args := range [][]string{nil, {"-brand-edition"}} {
		testMetrics(t, args)
	}
}

func testMetrics(t *testing.T, args []string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args, &out))
	assert.Contains(t, out.String(), `wechatpay_attempts_total{code="",operation="ListUserCards",status="200"} 1`)
	assert.Contains(t, out.String(), `wechatpay_attempts_total{code="SYSTEM_ERROR",operation="ListUserCards",status="500"} 1`)
	assert.Contains(t, out.String(), `wechatpay_attempt_duration_seconds_count{operation="ListUserCards"} 2`)
	assert.NotContains(t, out.String(), "obLatj", "no openid")
}
