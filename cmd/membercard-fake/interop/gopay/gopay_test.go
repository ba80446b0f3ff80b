// Package gopay has go-pay/gopay, a client that is not ours, use the fake.
package gopay

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/go-pay/gopay"
	"github.com/go-pay/gopay/wechat/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// picture begins as a PNG does.
var picture = []byte("\x89PNG\r\n\x1a\n")

func newClient(t *testing.T, server *membercardtest.Server) *wechat.ClientV3 {
	t.Helper()
	client, err := wechat.NewClientV3(membercardtest.MchID, membercardtest.CertificateSerial, membercardtest.APIv3Key, privateKey(server))
	require.NoError(t, err)
	client.SetProxyHost(server.Start())
	return client
}

func privateKey(server *membercardtest.Server) string {
	return string(server.KeyFiles()["apiclient_key.pem"])
}

// TestCertificates: gopay names the merchant's certificate in Wechatpay-Serial, and asks for an algorithm.
func TestCertificates(t *testing.T) {
	server := membercardtest.NewTestServer(t, membercardtest.WithCertificates())
	wechat.SetProxyHost(server.Start())
	for _, kind := range []wechat.CertType{wechat.CertTypeRSA, wechat.CertTypeALL} {
		certificates, err := wechat.GetPlatformCerts(t.Context(), membercardtest.MchID, membercardtest.APIv3Key, membercardtest.CertificateSerial, privateKey(server), kind)
		require.NoError(t, err)
		require.Equal(t, wechat.Success, certificates.Code, certificates.Error)
		assert.Contains(t, certificates.Certs[0].PublicKey, "BEGIN CERTIFICATE")
	}
	client := newClient(t, server)
	require.NoError(t, client.AutoVerifySign(false))
	ciphertext, err := client.V3EncryptText("13800000000")
	require.NoError(t, err)
	assert.NotEmpty(t, ciphertext)
}

// TestUpload: gopay sends the parts in any order, and meta without a type. It verifies the answer.
func TestUpload(t *testing.T) {
	server := membercardtest.NewTestServer(t, membercardtest.WithUpload("/v3/merchant/media/upload", "sha256"))
	client := newClient(t, server)
	require.NoError(t, client.AutoVerifySignByPublicKey(server.KeyFiles()["pub_key.pem"], membercardtest.PublicKeyID))
	digest := sha256.Sum256(picture)
	for range 10 {
		uploaded, err := client.V3MediaUploadImage(t.Context(), "card.png", hex.EncodeToString(digest[:]), &gopay.File{Name: "card.png", Content: picture})
		require.NoError(t, err)
		require.Equal(t, wechat.Success, uploaded.Code, uploaded.Error)
	}
}

// TestNotification: gopay verifies and decrypts a notification.
func TestNotification(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{})
	event := &membercard.PointsSyncRequested{BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode}
	client := newClient(t, server)
	require.NoError(t, client.AutoVerifySignByPublicKey(server.KeyFiles()["pub_key.pem"], membercardtest.PublicKeyID))
	received, err := wechat.V3ParseNotify(server.NotificationRequest(event))
	require.NoError(t, err)
	require.NoError(t, received.VerifySignByPKMap(client.WxPublicKeyMap()))
	var content membercard.PointsSyncRequested
	require.NoError(t, received.DecryptCipherTextToStruct(membercardtest.APIv3Key, &content))
	assert.Equal(t, *event, content)
}
