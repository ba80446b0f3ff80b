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

// TestCertificatesOfTheFake: those that have expired are neither listed nor accepted, those of tomorrow are
// listed and do not sign.
func TestCertificatesOfTheFake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := membercardtest.NewTestServer(t, membercardtest.WithCertificates(), membercardtest.AllowViolations())
		tomorrow := server.AddCertificate(time.Now().AddDate(0, 0, 1), time.Now().AddDate(0, 0, 2))
		signers := func() map[string]bool {
			found := map[string]bool{}
			for range 4 {
				found[server.NotificationRequest(&membercard.PointsSyncRequested{}).Header.Get("Wechatpay-Serial")] = true
			}
			return found
		}
		assert.Len(t, signers(), 1)
		assert.NotContains(t, signers(), tomorrow)
		time.Sleep(36 * time.Hour)
		assert.Len(t, signers(), 2)
		client := server.Client()
		_, err := client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: "1004"})
		require.NoError(t, err)
		requests := server.Requests()
		assert.Equal(t, tomorrow, requests[len(requests)-1].Header.Get("Wechatpay-Serial"))
		time.Sleep(36 * time.Hour)
		assert.Len(t, signers(), 1)
		assert.NotContains(t, signers(), tomorrow)
		server.StartSwitch()
		assert.Len(t, signers(), 2, "every other notification is signed with the public key")
		assert.Contains(t, signers(), membercardtest.PublicKeyID)
	})
}
