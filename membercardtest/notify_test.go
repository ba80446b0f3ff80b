package membercardtest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestNotifyRefuses(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{})
	event := &membercard.UserCardCreated{UserCard: card}
	_, err := server.Notify(t.Context(), event)
	require.ErrorContains(t, err, "is not on loopback")
	_, err = server.Notify(t.Context(), &membercard.PointsSyncRequested{CardID: "none"})
	require.ErrorContains(t, err, "there is no template")
	assert.Panics(t, func() {
		server.NotificationRequest(event, membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultSlow}))
	})
	assert.Panics(t, func() { server.NotificationRequest(nil) })
	assert.Panics(t, func() {
		server.NotificationRequest(event, membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultMissingHeader}))
	})
	assert.Equal(t, "https://www.weixin.qq.com/wxpay/notify.php", server.NotificationRequest(event).URL.String())
}

// TestNotifyRepeats until the notification is accepted, with the same id and another signature each time.
func TestNotifyRepeats(t *testing.T) {
	t.Parallel()
	var ids, signatures []string
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var envelope struct{ ID string }
		assert.NoError(t, json.Unmarshal(body, &envelope))
		ids, signatures = append(ids, envelope.ID), append(signatures, r.Header.Get("Wechatpay-Signature"))
		switch len(ids) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(merchant.Close)
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{CardID: "c", NotifyURL: merchant.URL + "/n"})
	event := &membercard.PointsSyncRequested{CardID: "c"}
	statuses, err := server.Notify(t.Context(), event, membercardtest.NotificationID("1"), membercardtest.NotificationRepeats(0, time.Millisecond, 0, 0))
	require.NoError(t, err)
	assert.Equal(t, []int{0, 307, 500, 200}, statuses)
	assert.Equal(t, []string{"1", "1", "1", "1"}, ids)
	for i := range signatures {
		for j := range i {
			assert.NotEqual(t, signatures[i], signatures[j])
		}
	}
	merchant.Close()
	statuses, err = server.Notify(t.Context(), event)
	require.ErrorContains(t, err, "was not accepted")
	assert.Equal(t, []int{0}, statuses)
}

// TestScheduleOfRepeats: WeChat Pay delivers a notification again every minute, at most 11 times, and a points question
// never.
func TestScheduleOfRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		start := time.Now()
		statuses, err := server.Notify(t.Context(), &membercard.PointsSyncRequested{CardID: unreachable(server)}, membercardtest.NotificationRepeats())
		require.Error(t, err)
		assert.Len(t, statuses, 1)
		assert.Zero(t, time.Since(start))
		statuses, err = server.Notify(t.Context(), &membercard.UserCardCreated{UserCard: membercard.UserCard{CardID: unreachable(server)}}, membercardtest.NotificationRepeats())
		require.Error(t, err)
		assert.Len(t, statuses, 12)
		assert.Equal(t, 11*time.Minute, time.Since(start))
	})
}

// unreachable adds a template whose notifications go nowhere.
func unreachable(server *membercardtest.Server) string {
	return server.AddCard(membercard.Card{NotifyURL: "http://127.0.0.1:1/"}).CardID
}
