package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetCard(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	assert.Equal(t, "card 478515832665: EFFECTIVE, level \"黄金会员\", phone number 13800000000\n", out.String())
	require.ErrorContains(t, run(t.Context(), []string{"-keys", t.TempDir()}, &out), "apiclient_key.pem")
}
