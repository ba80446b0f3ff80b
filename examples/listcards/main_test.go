package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListCards(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	assert.Equal(t, "pbLatjvWOibDc5-TBnbUk1pD12o0 \"咖啡会员卡\", CARD_EFFECTIVE, codes by SYSTEM_ALLOCATE\n", out.String())
	require.ErrorContains(t, run(t.Context(), []string{"-keys", t.TempDir()}, &out), "apiclient_key.pem")
}
