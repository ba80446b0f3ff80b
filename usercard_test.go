package membercard_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestTheLifeOfAUserCard: opened by the user, confirmed by the merchant, changed, invalidated for good.
func TestTheLifeOfAUserCard(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	opened := server.OpenUserCard(cardID, "another user")
	confirm := membercard.ConfirmUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: cardID, BrandID: brandID, OpenID: opened.OpenID,
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	}
	confirmed, err := client.ConfirmUserCard(t.Context(), confirm)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateEffective, confirmed.UserCardState)
	_, err = client.ConfirmUserCard(t.Context(), confirm)
	require.ErrorIs(t, err, membercard.ErrNotFound, "no card waits for a confirm any more")

	_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: cardID, BrandID: brandID, OpenID: opened.OpenID, PhoneNumber: membercard.NewSensitive(phoneNumber),
	})
	require.NoError(t, err)
	read, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{UserCardCode: opened.UserCardCode, CardID: cardID, BrandID: brandID, OpenID: opened.OpenID})
	require.NoError(t, err)
	plain, err := client.Decrypt(read.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, phoneNumber, plain)

	invalidate := membercard.InvalidateUserCardRequest{UserCardCode: opened.UserCardCode, CardID: cardID, BrandID: brandID, OpenID: opened.OpenID, InvalidReason: "用户申请注销"}
	invalid, err := client.InvalidateUserCard(t.Context(), invalidate)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateInvalid, invalid.UserCardState)
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, opened.UserCardCode))
	list, err := client.ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: brandID, OpenID: opened.OpenID, UserCardState: membercard.UserCardStateEffective})
	require.NoError(t, err)
	assert.Empty(t, list.Data)
	_, err = client.InvalidateUserCard(t.Context(), invalidate)
	require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: cardID, BrandID: brandID, OpenID: opened.OpenID, Level: new("金卡"),
	})
	require.ErrorIs(t, err, membercard.ErrInvalidRequest)
}
