package membercard_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestTheLifeOfATemplate: what was not named in a change stays as it was, and an invalid template stays invalid.
func TestTheLifeOfATemplate(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	create := table[membercard.OperationCreateCard].request.(membercard.CreateCardRequest)
	created, err := client.CreateCard(t.Context(), create)
	require.NoError(t, err)
	assert.Equal(t, membercard.CardStateEffective, created.State)

	_, err = client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: created.CardID, BrandID: brandID, CardTitle: new("新卡")})
	require.NoError(t, err)
	read, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: created.CardID, BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, "新卡", read.CardTitle)
	assert.Equal(t, create.Benefits, read.Benefits)

	invalid, err := client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{CardID: created.CardID, BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, membercard.CardStateInvalid, invalid.State)
	list, err := client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID, State: membercard.CardStateInvalid})
	require.NoError(t, err)
	require.Len(t, list.Data, 1)
	assert.Equal(t, created.CardID, list.Data[0].CardID)
	_, err = client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: created.CardID, BrandID: brandID, CardTitle: new("旧卡")})
	require.ErrorIs(t, err, membercard.ErrInvalidRequest)
}
