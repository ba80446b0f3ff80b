package membercardtest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

func TestActivities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := server.Client()
		in := func(d time.Duration) membercard.Timestamp { return membercard.Timestamp{Time: time.Now().Add(d)} }
		request := membercard.CreateActivityRequest{
			OutRequestNo: "n-1", BrandID: brandID, CardID: cardID, ActivityChannel: membercard.ActivityChannelMerchantAppComponent, Title: "入会享券", SubTitle: "x",
			BeginTime: in(time.Hour), EndTime: in(3 * time.Hour), ApplyTotal: 10, ProductCouponStockList: []membercard.ProductCouponStock{{ProductCouponID: "1", StockID: "2"}},
		}
		created, err := client.CreateActivity(t.Context(), request)
		require.NoError(t, err)
		assert.Equal(t, membercard.ActivityStateCreated, created.ActivityState)
		assert.Equal(t, 10, created.ApplyAvailable)
		state := func() membercard.ActivityState {
			a, err := client.GetActivity(t.Context(), membercard.GetActivityRequest{ActivityID: created.ActivityID, BrandID: brandID})
			require.NoError(t, err)
			return a.ActivityState
		}
		time.Sleep(time.Hour)
		assert.Equal(t, membercard.ActivityStateEffective, state())
		_, err = client.CreateActivity(t.Context(), request)
		require.ErrorIs(t, err, membercard.ErrAlreadyExists, "one in effect for each template")

		update := membercard.UpdateActivityRequest{ActivityID: created.ActivityID, BrandID: brandID, Title: "新", SubTitle: "y", BeginTime: in(-time.Hour), EndTime: in(time.Hour)}
		updated, err := client.UpdateActivity(t.Context(), update)
		require.NoError(t, err)
		assert.Equal(t, "新", updated.Title)
		update.EndTime = update.BeginTime
		_, err = client.UpdateActivity(t.Context(), update)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		page, err := client.ListActivities(t.Context(), membercard.ListActivitiesRequest{BrandID: brandID, CardID: cardID, ActivityState: membercard.ActivityStateEffective})
		require.NoError(t, err)
		assert.Len(t, page.Data, 1, "the other one has not begun")
		time.Sleep(time.Hour)
		assert.Equal(t, membercard.ActivityStateExpired, state())
		_, err = client.TerminateActivity(t.Context(), membercard.TerminateActivityRequest{ActivityID: created.ActivityID, BrandID: brandID})
		require.ErrorIs(t, err, membercard.ErrInvalidRequest)

		running := server.AddActivity(membercard.Activity{CardID: cardID})
		for i, want := range []error{nil, membercard.ErrInvalidRequest} {
			a, err := client.TerminateActivity(t.Context(), membercard.TerminateActivityRequest{ActivityID: running.ActivityID, BrandID: brandID})
			require.ErrorIs(t, err, want)
			if want == nil {
				assert.Equal(t, membercard.ActivityStateTerminated, a.ActivityState)
			}
			assert.Equal(t, i+1, server.Effects(membercard.OperationTerminateActivity, fmt.Sprint(running.ActivityID)))
		}
		_, err = client.GetActivity(t.Context(), membercard.GetActivityRequest{ActivityID: running.ActivityID, BrandID: "2000"})
		require.ErrorIs(t, err, membercard.ErrForbidden)
		request.OutRequestNo, request.CardID = "n-2", "unknown"
		_, err = client.CreateActivity(t.Context(), request)
		require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	})
}
