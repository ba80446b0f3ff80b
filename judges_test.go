package membercard_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/consts"
	"github.com/wechatpay-apiv3/wechatpay-go/core/downloader"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/fileuploader"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// officialClient returns WeChat Pay's own Go client, which knows nothing of this package.
func officialClient(t *testing.T, server *membercardtest.Server, httpClient *http.Client) *core.Client {
	t.Helper()
	config := server.Config()
	client, err := core.NewClient(t.Context(),
		option.WithWechatPayPublicKeyAuthCipher(config.MchID, config.CertificateSerial, config.PrivateKey.(*rsa.PrivateKey), config.PublicKeyID, config.PublicKey),
		option.WithHTTPClient(httpClient))
	require.NoError(t, err)
	return client
}

// TestOfficialClientAgainstTheFake has the official client perform the core operations, in memory and through a socket. The code
// has punctuation, the body ends in a line feed, and answers are compressed.
func TestOfficialClientAgainstTheFake(t *testing.T) {
	t.Parallel()
	for name, overSocket := range map[string]bool{"memory": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const code = "A/B#1 50%"
			code1 := strings.ReplaceAll(code, " ", "+")
			server := membercardtest.NewTestServer(t)
			server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID})
			server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: code1, OpenID: openID, PhoneNumber: membercard.NewSensitive(phoneNumber)})
			host, client := "https://api.mch.weixin.qq.com", officialClient(t, server, &http.Client{Transport: server})
			if overSocket {
				host, client = server.Start(), officialClient(t, server, &http.Client{})
			}
			url1 := host + base + "user-cards/" + url.PathEscape(code1)
			ids := "brand_id=" + brandID + "&card_id=" + cardID
			decode := func(result *core.APIResult, err error, into any) {
				t.Helper()
				require.NoError(t, err)
				require.NoError(t, core.UnMarshalResponse(result.Response, into))
			}

			var cards membercard.ListCardsResponse
			result, err := client.Get(t.Context(), host+base+"cards?brand_id="+brandID+"&offset=0&limit=20")
			decode(result, err, &cards)
			require.Len(t, cards.Data, 1)
			assert.Equal(t, overSocket, result.Response.Uncompressed, "over a socket the answer is compressed")

			var userCards membercard.ListUserCardsResponse
			result, err = client.Get(t.Context(), host+base+"user-cards?brand_id="+brandID+"&openid="+openID+"&offset=0&limit=20")
			decode(result, err, &userCards)
			require.Len(t, userCards.Data, 1)

			var card membercard.UserCard
			result, err = client.Get(t.Context(), url1+"?"+ids+"&openid="+openID)
			decode(result, err, &card)
			assert.Equal(t, code1, card.UserCardCode)

			sealed, err := utils.EncryptOAEPWithPublicKey("13900000000", server.Config().PublicKey)
			require.NoError(t, err)
			// core.Client encodes with json.Encoder: the body ends in a line feed.
			result, err = client.Patch(t.Context(), url1, map[string]string{
				"card_id": cardID, "brand_id": brandID, "openid": openID, "phone_number": sealed, "level": "a<b>&",
			})
			decode(result, err, &card)
			assert.True(t, bytes.HasSuffix(server.Requests()[3].Body, []byte("\n")))
			stored, err := json.Marshal(card.PhoneNumber)
			require.NoError(t, err)
			opened, err := utils.DecryptOAEP(strings.Trim(string(stored), `"`), server.Config().PrivateKey.(*rsa.PrivateKey))
			require.NoError(t, err)
			assert.Equal(t, "13900000000", opened)
			assert.Equal(t, "a<b>&", card.Level)

			result, err = client.Post(t.Context(), url1+"/invalidate", map[string]string{"brand_id": brandID, "card_id": cardID, "openid": openID})
			decode(result, err, &card)
			assert.Equal(t, membercard.UserCardStateInvalid, card.UserCardState)

			_, err = client.Get(t.Context(), host+base+"user-cards/0?"+ids+"&openid="+openID)
			assert.True(t, core.IsAPIError(err, "NOT_FOUND"), err)
		})
	}
}

// TestOfficialVerifierAcceptsOurSignatures takes what the client sent apart by hand and has the official
// verifier judge it.
func TestOfficialVerifierAcceptsOurSignatures(t *testing.T) {
	t.Parallel()
	for operation, known := range table {
		request := known.request
		if operation == membercard.OperationUploadImage {
			continue // signs a part of its body only; TestUploadImage looks at that
		}
		server := newServer(t)
		_, err := do(t.Context(), server.Client(), request)
		require.NoError(t, err)
		sent := server.Requests()[0]
		items := map[string]string{}
		for item := range strings.SplitSeq(strings.TrimPrefix(sent.Header.Get("Authorization"), "WECHATPAY2-SHA256-RSA2048 "), ",") {
			name, value, _ := strings.Cut(item, "=")
			items[name] = strings.Trim(value, `"`)
		}
		message := fmt.Sprintf("%s\n%s\n%s\n%s\n%s\n", sent.Method, sent.RequestURI, items["timestamp"], items["nonce_str"], sent.Body)
		verifier := verifiers.NewSHA256WithRSAPubkeyVerifier(items["serial_no"], server.Config().PrivateKey.(*rsa.PrivateKey).PublicKey)
		assert.NoError(t, verifier.Verify(context.Background(), membercardtest.CertificateSerial, message, items["signature"]), operation)
	}
}

// TestOfficialToolsAgainstTheFake: the official certificate downloader, uploader and notification handler.
func TestOfficialToolsAgainstTheFake(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	config := server.Config()
	downloading, err := core.NewClient(t.Context(),
		option.WithMerchantCredential(config.MchID, config.CertificateSerial, config.PrivateKey.(*rsa.PrivateKey)),
		option.WithoutValidator(), option.WithHTTPClient(config.HTTPClient))
	require.NoError(t, err)
	certificates, err := downloader.NewCertificateDownloaderWithClient(t.Context(), downloading, membercardtest.APIv3Key)
	require.NoError(t, err)
	require.Len(t, certificates.GetAll(t.Context()), 1)

	client, err := core.NewClient(t.Context(),
		option.WithMerchantCredential(config.MchID, config.CertificateSerial, config.PrivateKey.(*rsa.PrivateKey)),
		option.WithVerifier(verifiers.NewSHA256WithRSAVerifier(certificates)), option.WithHTTPClient(config.HTTPClient))
	require.NoError(t, err)
	uploader := fileuploader.MarketingImageUploader{Client: client}
	uploaded, _, err := uploader.Upload(t.Context(), bytes.NewReader(picture), "card.png", consts.ImagePNG)
	require.NoError(t, err)
	got, ok := server.Picture(*uploaded.MediaUrl)
	require.True(t, ok)
	assert.Equal(t, picture, got)

	handler, err := notify.NewRSANotifyHandler(membercardtest.APIv3Key, verifiers.NewSHA256WithRSAVerifier(certificates))
	require.NoError(t, err)
	var content map[string]any
	event := &membercard.PointsSyncRequested{BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode}
	notification, err := handler.ParseNotifyRequest(t.Context(), server.NotificationRequest(event), &content)
	require.NoError(t, err)
	assert.Equal(t, "BRAND_MEMBER_CARD_SP.SYNC_USER_POINT", notification.EventType)
	assert.Equal(t, map[string]any{"brand_id": brandID, "card_id": cardID, "openid": openID, "user_card_code": userCardCode}, content)
	_, err = handler.ParseNotifyRequest(t.Context(),
		server.NotificationRequest(event, membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultProbe})), &content)
	require.Error(t, err)
}
