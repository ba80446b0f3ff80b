package membercardtest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

func TestPoints(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	sync := func(number string, balance int64) error {
		_, err := client.SyncUserPoints(t.Context(), membercard.SyncUserPointsRequest{
			OutRequestNo: number, BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: code, PointBalance: balance,
		})
		return err
	}
	require.NoError(t, sync("n-1", 100))
	require.NoError(t, sync("n-2", 40))
	assert.EqualValues(t, 40, server.Points(cardID, code), "balances are absolute")
	require.NoError(t, sync("n-2", 40), "a repeat under the same number")
	assert.EqualValues(t, 40, server.Points(cardID, code), "sets it again")
	assert.Equal(t, 3, server.Effects(membercard.OperationSyncUserPoints, code))

	answer := func(record, reason string, result membercard.PointsExchangeResult) (*membercard.PointsExchange, error) {
		return client.ConfirmPointsExchange(t.Context(), membercard.ConfirmPointsExchangeRequest{
			RecordID: record, ExchangeCouponTemplateID: "exchange", BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: code,
			Result: result, RejectReason: reason,
		})
	}
	_, err := answer("record", "", membercard.PointsExchangeResultReject)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter, "rejecting needs a reason")
	for range 2 {
		exchange, err := answer("record", "", membercard.PointsExchangeResultAllow)
		require.NoError(t, err)
		assert.Equal(t, membercard.PointsExchangeStateSuccess, exchange.State)
		assert.NotEmpty(t, exchange.CouponCode)
	}
	_, err = answer("record", "x", membercard.PointsExchangeResultReject)
	require.ErrorIs(t, err, membercard.ErrInvalidRequest, "one swap, one word")
	_, err = answer("unknown", "", membercard.PointsExchangeResultAllow)
	require.ErrorIs(t, err, membercard.ErrNotFound)
	failing := server.AddPointsExchange(membercard.PointsExchange{
		CardID: cardID, UserCardCode: code, ExchangeCouponTemplateID: "exchange", StockID: "100232301", State: membercard.PointsExchangeStateFail,
	})
	unlucky, err := answer(failing.RecordID, "", membercard.PointsExchangeResultAllow)
	require.NoError(t, err)
	assert.Equal(t, membercard.PointsExchangeStateFail, unlucky.State, "allowed, and yet no coupon: the points must be given back")
	assert.Equal(t, "100232301", unlucky.StockID)
	second := server.AddPointsExchange(membercard.PointsExchange{CardID: cardID, UserCardCode: code, ExchangeCouponTemplateID: "exchange"})
	exchange, err := answer(second.RecordID, "积分不足", membercard.PointsExchangeResultReject)
	require.NoError(t, err)
	assert.Equal(t, membercard.PointsExchangeStateFail, exchange.State)
	assert.Equal(t, 3, server.Effects(membercard.OperationConfirmPointsExchange, code))

	for want, result := range map[string]membercard.PointsExchangeResult{"MY-COUPON": membercard.PointsExchangeResultAllow, "": membercard.PointsExchangeResultReject} {
		added := server.AddPointsExchange(membercard.PointsExchange{CardID: cardID, UserCardCode: code, ExchangeCouponTemplateID: "exchange", CouponCode: "MY-COUPON"})
		exchange, err := answer(added.RecordID, "积分不足", result)
		require.NoError(t, err)
		assert.Equal(t, want, exchange.CouponCode)
	}
}
