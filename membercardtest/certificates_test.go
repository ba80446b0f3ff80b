package membercardtest_test

import (
	"crypto/rsa"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestRotateMerchantKey: the old certificate signs on, and what is encrypted is for the new one.
func TestRotateMerchantKey(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	before := server.Config()
	server.RotateMerchantKey()
	after := server.Config()
	assert.NotEqual(t, before.CertificateSerial, after.CertificateSerial)

	old, err := membercard.New(before)
	require.NoError(t, err)
	card, err := old.GetUserCard(t.Context(), get)
	require.NoError(t, err, "the old certificate is still valid")
	_, err = old.Decrypt(card.PhoneNumber)
	require.Error(t, err)

	after.PreviousKeys = append(after.PreviousKeys, before.PrivateKey.(*rsa.PrivateKey))
	client, err := membercard.New(after)
	require.NoError(t, err)
	text, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13800000000", text)
	assert.NotPanics(t, func() { server.AddUserCard(membercard.UserCard{OpenID: "o-2", PhoneNumber: card.PhoneNumber}) }, "seeds may be from answers")
}

func TestRotatedKey(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	server.RotateKey()
	_, err := client.GetUserCard(t.Context(), get)
	require.ErrorIs(t, err, membercard.ErrSignature, "signed with a key that the client does not have")
	update := membercard.UpdateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, PhoneNumber: membercard.NewSensitive("13900000000"),
	}
	_, err = client.UpdateUserCard(t.Context(), update)
	require.Error(t, err)
	assert.Contains(t, lastReason(server), "Wechatpay-Serial is not the id of a valid key of WeChat Pay's (documented 4013059161)")

	client = server.Client() // which is configured with the new key
	_, err = client.UpdateUserCard(t.Context(), update)
	require.NoError(t, err)
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
