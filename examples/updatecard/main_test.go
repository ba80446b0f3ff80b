package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

func TestUpdateCard(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-level", "钻石会员", "-phone", "13900000000"}, nil, &out))
	assert.Equal(t, "level \"钻石会员\", phone number [sensitive]\n", out.String())
	require.ErrorIs(t, run(t.Context(), nil, nil, &out), membercard.ErrInvalidParameter, "nothing to change")
}
