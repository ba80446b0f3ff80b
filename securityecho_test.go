package membercard_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestSecurityEcho: the text comes back, and what was encrypted comes back encrypted for the merchant.
func TestSecurityEcho(t *testing.T) {
	t.Parallel()
	client := newServer(t).Client()
	echo, err := client.SecurityEcho(t.Context(), membercard.SecurityEchoRequest{EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("secret")})
	require.NoError(t, err)
	assert.Equal(t, "hello", echo.EchoMessage)
	plain, err := client.Decrypt(echo.EncryptedEchoMessage)
	require.NoError(t, err)
	assert.Equal(t, "secret", plain)
}
