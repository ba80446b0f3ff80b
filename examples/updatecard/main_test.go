package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUpdateCard(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-level", "钻石会员", "-phone", "13900000000"}, &out))
	assert.Equal(t, "level \"钻石会员\", phone number [sensitive]\n", out.String())
	require.ErrorContains(t, run(t.Context(), nil, &out), "give -level or -phone")
	require.ErrorContains(t, run(t.Context(), []string{"-base-url", "http://127.0.0.1:1"}, &out), "go with -keys")
	require.ErrorContains(t, run(t.Context(), []string{"now"}, &out), `unexpected argument "now"`)
}
