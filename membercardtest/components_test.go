package membercardtest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestSecurityEcho: what is sent comes back, and an event of it, encrypted for the merchant.
func TestSecurityEcho(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	echo, err := client.SecurityEcho(t.Context(), membercard.SecurityEchoRequest{EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("secret")})
	require.NoError(t, err)
	assert.Equal(t, "hello", echo.EchoMessage)
	text, err := client.Decrypt(echo.EncryptedEchoMessage)
	require.NoError(t, err)
	assert.Equal(t, "secret", text)
	echo, err = client.SecurityEcho(t.Context(), membercard.SecurityEchoRequest{EchoMessage: "hello"})
	require.NoError(t, err)
	assert.True(t, echo.EncryptedEchoMessage.IsZero())

	notification, err := client.ParseNotification(server.NotificationRequest(
		&membercard.SecurityEchoed{EchoMessage: "hello", EncryptEchoMessage: membercard.NewSensitive("secret")}))
	require.NoError(t, err)
	event, ok := notification.Event.(*membercard.SecurityEchoed)
	require.True(t, ok)
	assert.Equal(t, "SECURITY_ECHO.SUCCESS", notification.EventType)
	text, err = client.Decrypt(event.EncryptEchoMessage)
	require.NoError(t, err)
	assert.Equal(t, "secret", text)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := server.Client()
		join, err := client.CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: "stranger"})
		require.NoError(t, err)
		_, err = client.CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID})
		require.ErrorIs(t, err, membercard.ErrInvalidRequest, "a member does not join again")
		pay, err := client.CreatePayViewToken(t.Context(), membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID})
		require.NoError(t, err)
		late, err := client.CreatePayViewToken(t.Context(), membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID})
		require.NoError(t, err)
		assert.Equal(t, time.Hour, time.Until(join.ExpireTime.Time))
		assert.Equal(t, 10*time.Minute, time.Until(pay.ExpireTime.Time))
		require.NoError(t, server.UseToken(join.Token))
		require.NoError(t, server.UseToken(join.Token), "it works as often as it lives")
		require.NoError(t, server.UseToken(pay.Token))
		require.ErrorContains(t, server.UseToken(pay.Token), "used before")
		require.ErrorContains(t, server.UseToken("x"), "no such token")
		time.Sleep(10 * time.Minute)
		require.ErrorContains(t, server.UseToken(late.Token), "expired")
		require.NoError(t, server.UseToken(join.Token))
		time.Sleep(50 * time.Minute)
		require.ErrorContains(t, server.UseToken(join.Token), "expired")
		_, err = client.CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: "x", OpenID: openID})
		require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	})
}

func TestFeeds(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := membercard.CreateUserFeedRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, OutRequestNo: "n-1", Cell: "1_12"}
	feed, err := server.Client().CreateUserFeed(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, "1_12", feed.Cell)
	_, err = server.Client().CreateUserFeed(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrAlreadyExists)
	assert.Len(t, server.Feeds(cardID, code), 1)
	request.OutRequestNo, request.Cell = "n-2", "18_1"
	_, err = server.Client().CreateUserFeed(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter, "there is no template 18")
	request.Cell = "15_1200_1"
	_, err = server.Client().CreateUserFeed(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter, "template 15 has three places")
}

// TestUploadsThatAreRefused are made by hand: whole body signed, wrong digest, missing parts.
func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	png := []byte("\x89PNG\r\n\x1a\n and more")
	digest := sha256.Sum256(png)
	right := fmt.Sprintf(`{"filename":"a.png","sha256":%q}`, hex.EncodeToString(digest[:]))
	for name, test := range map[string]struct {
		meta, metaType, file string
		signAll              bool
		status               int
		code                 string
	}{
		"right":            {meta: right, metaType: "application/json", file: string(png), status: 200},
		"all of it signed": {meta: right, metaType: "application/json", file: string(png), signAll: true, status: 401, code: "SIGN_ERROR"},
		"wrong digest":     {meta: right, metaType: "application/json", file: string(png) + ".", status: 403, code: "REQUEST_BLOCKED"},
		"not a picture":    {meta: fmt.Sprintf(`{"filename":"a.png","sha256":%q}`, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"), metaType: "application/json", file: "test", status: 403, code: "REQUEST_BLOCKED"},
		"digest misnamed":  {meta: `{"filename":"a.png","file_digest":"x"}`, metaType: "application/json", file: string(png), status: 400, code: "PARAM_ERROR"},
		"no file":          {meta: right, metaType: "application/json", status: 400, code: "PARAM_ERROR"},
		"a GIF by name":    {meta: fmt.Sprintf(`{"filename":"a.gif","sha256":%q}`, hex.EncodeToString(digest[:])), metaType: "application/json", file: string(png), status: 400, code: "PARAM_ERROR"},
	} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="meta";`}, "Content-Type": {test.metaType}})
		require.NoError(t, err)
		_, _ = part.Write([]byte(test.meta))
		if test.file != "" {
			part, err = form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="a.png";`}, "Content-Type": {"image/png"}})
			require.NoError(t, err)
			_, _ = part.Write([]byte(test.file))
		}
		require.NoError(t, form.Close())
		const uri = "/v3/marketing/favor/media/image-upload"
		request := sign(t, server, "POST", uri, body.String(), func(timestamp, nonce string) string {
			signed := test.meta
			if test.signAll {
				signed = body.String()
			}
			return "POST\n" + uri + "\n" + timestamp + "\n" + nonce + "\n" + signed + "\n"
		})
		request.Header.Set("Content-Type", form.FormDataContentType())
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, test.status, response.StatusCode, "%s: %s", name, lastReason(server))
		requests := server.Requests()
		assert.Equal(t, test.code, requests[len(requests)-1].Code, name)
	}
}

// TestAnUploadOfAnotherName is refused, and so is one with a query.
func TestAnUploadOfAnotherName(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const png = "\x89PNG\r\n\x1a\n and more"
	digest := sha256.Sum256([]byte(png))
	meta := `{"filename":"a.png","sha256":"` + hex.EncodeToString(digest[:]) + `"}`
	heads := []string{"Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json", "Content-Disposition: form-data; name=\"file\"; filename=\"b.png\"\r\nContent-Type: image/png"}
	a := answerTo(t, server, upload(t, server, png, meta, heads...))
	assert.Equal(t, 403, a.status)
	assert.Equal(t, "图片meta信息不一致", a.Text)
}

// TestAnUploadThatComesAgain is answered as before only with the same file.
func TestAnUploadThatComesAgain(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const png = "\x89PNG\r\n\x1a\n and more"
	digest := sha256.Sum256([]byte(png))
	meta := `{"filename":"a/b.png","sha256":"` + hex.EncodeToString(digest[:]) + `"}`
	heads := []string{"Content-Disposition: form-data; name=\"meta\"", "Content-Disposition: form-data; name=\"file\"; filename=\"a/b.png\"\r\nContent-Type: image/png"}
	first := upload(t, server, png, meta, heads...)
	assert.Equal(t, 200, answerTo(t, server, first).status)
	another := upload(t, server, png+"!", meta, heads...)
	another.Header.Set("Authorization", first.Header.Get("Authorization"))
	assert.Equal(t, 401, answerTo(t, server, another).status)
	assert.Contains(t, lastReason(server), "nonce_str was used before")
	plain := upload(t, server, png, meta, heads...)
	plain.Header.Set("Content-Type", "application/json")
	a := answerTo(t, server, plain)
	assert.Equal(t, 400, a.status)
	assert.Contains(t, a.Text, "Content-Type")
}

// TestNobodyLearnsWhoIsAMember of another brand's template.
func TestNobodyLearnsWhoIsAMember(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	other := server.AddCard(membercard.Card{BrandID: "2001"})
	server.AddUserCard(membercard.UserCard{CardID: other.CardID, OpenID: "member"})
	for _, openID := range []string{"member", "stranger"} {
		_, err := server.Client().CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: other.CardID, OpenID: openID})
		require.ErrorContains(t, err, "会员卡模板无效")
	}
}

// upload returns a signed upload whose parts have these headers, in this order.
func upload(t *testing.T, server *membercardtest.Server, picture, meta string, heads ...string) *http.Request {
	t.Helper()
	var body strings.Builder
	for _, head := range heads {
		data := meta
		if strings.Contains(head, `name="file"`) {
			data = picture
		}
		body.WriteString("--boundary\r\n" + head + "\r\n\r\n" + data + "\r\n")
	}
	body.WriteString("--boundary--\r\n")
	const uri = "/v3/marketing/favor/media/image-upload"
	request := sign(t, server, "POST", uri, body.String(), func(timestamp, nonce string) string {
		return "POST\n" + uri + "\n" + timestamp + "\n" + nonce + "\n" + meta + "\n"
	})
	request.Header.Set("Content-Type", "multipart/form-data; boundary=boundary")
	return request
}
