package membercard_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestTokenReachesTheComponent: what the client returns is what the component takes.
func TestTokenReachesTheComponent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	token, err := server.Client().CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: "stranger"})
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), token.ExpireTime.Time, time.Minute)
	require.NoError(t, server.UseToken(token.Token))
	data, err := json.Marshal(token)
	require.NoError(t, err)
	assert.Contains(t, string(data), token.Token)
	assert.Equal(t, "token="+token.Token+"&scene=CARD_MEMBER", token.QueryString())
	assert.Equal(t, "token=a%2Fb%26c&scene=CARD_MEMBER", (&membercard.Token{Token: "a/b&c"}).QueryString())
}
