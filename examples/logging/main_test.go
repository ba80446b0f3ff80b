package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogging(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 4)
	assert.Contains(t, lines[0], `"level":"WARN","msg":"wechatpay attempt","merchant":"1900009191","operation":"ListUserCards"`)
	assert.Contains(t, lines[0], `"code":"SYSTEM_ERROR"`)
	assert.Contains(t, lines[1], `"status":200`)
	assert.Contains(t, lines[2], `"attempts":2`)
	assert.Contains(t, lines[3], `[sensitive]`)
	for _, secret := range []string{"obLatjnx9gnqzS4myYGmLZ7LgLBA", "13800000000", "478515832665"} {
		assert.NotContains(t, out.String(), secret)
	}
}
