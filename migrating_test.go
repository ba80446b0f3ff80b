package membercard_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"github.com/wechatpay-cards/membercard"
)

// The two sides of MIGRATING.md. Both are run against the fake.

func levelBefore(ctx context.Context, client *core.Client, cardID, code, brandID, openID string) (string, error) {
	query := url.Values{"brand_id": {brandID}, "card_id": {cardID}, "openid": {openID}}
	result, err := client.Get(ctx, "https://api.mch.weixin.qq.com/v3/brand/partner/card-member/user-cards/"+
		url.PathEscape(code)+"?"+query.Encode())
	if err != nil {
		return "", err
	}
	defer result.Response.Body.Close()
	var card struct {
		Level string `json:"level"`
	}
	if err := json.NewDecoder(result.Response.Body).Decode(&card); err != nil {
		return "", err
	}
	return card.Level, nil
}

func levelAfter(ctx context.Context, client *membercard.Client, cardID, code, brandID, openID string) (string, error) {
	card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
	})
	if err != nil {
		return "", err
	}
	return card.Level, nil
}

func newOfficialClient(ctx context.Context, config membercard.Config) (*core.Client, error) {
	return core.NewClient(ctx,
		option.WithWechatPayPublicKeyAuthCipher(
			config.MchID, config.CertificateSerial, config.PrivateKey.(*rsa.PrivateKey), config.PublicKeyID, config.PublicKey),
		option.WithHTTPClient(&http.Client{Transport: config.HTTPClient.Transport}),
	)
}

func TestMigrating(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	before, err := newOfficialClient(t.Context(), server.Config())
	require.NoError(t, err)
	after, err := membercard.New(server.Config())
	require.NoError(t, err)
	for _, code := range []string{code, "0"} {
		want, wantErr := levelBefore(t.Context(), before, cardID, code, brandID, openID)
		got, gotErr := levelAfter(t.Context(), after, cardID, code, brandID, openID)
		assert.Equal(t, want, got)
		assert.Equal(t, wantErr == nil, gotErr == nil)
		if gotErr != nil {
			assert.True(t, core.IsAPIError(wantErr, "NOT_FOUND"))
			assert.ErrorIs(t, gotErr, membercard.ErrNotFound)
		}
	}
}
