package membercard_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestZeroIsSent where it means something.
func TestZeroIsSent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	_, err := client.SyncUserPoints(t.Context(), membercard.SyncUserPointsRequest{
		OutRequestNo: "1", BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode,
	})
	require.NoError(t, err)
	_, err = client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID, NeedPinned: new(false)})
	require.NoError(t, err)
	assert.Contains(t, string(server.Requests()[0].Body), `"point_balance":0`)
	assert.Equal(t, `{"brand_id":"1004","need_pinned":false}`, string(server.Requests()[1].Body))
}
