package membercardtest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

var get = membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID}

func TestSignedMessageVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../testdata/vectors/sign.json")
	require.NoError(t, err)
	var vectors []struct {
		Method, URI, Nonce, Body, Message string
		Timestamp                         int64
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		assert.Equal(t, v.Message, membercardtest.SignedMessage(v.Method, v.URI, fmt.Sprint(v.Timestamp), v.Nonce, v.Body))
	}
}

// sign returns a request; wrong, when given, makes the message that is signed instead of the right one.
func sign(t *testing.T, server *membercardtest.Server, method, uri, body string, wrong func(timestamp, nonce string) string) *http.Request {
	t.Helper()
	config := server.Config()
	timestamp, nonce := fmt.Sprint(time.Now().Unix()), rand.Text()
	signed := strings.Join([]string{method, uri, timestamp, nonce, body, ""}, "\n")
	if wrong != nil {
		signed = wrong(timestamp, nonce)
	}
	digest := sha256.Sum256([]byte(signed))
	signature, err := config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, "https://api.mch.weixin.qq.com"+uri, strings.NewReader(body))
	require.NoError(t, err)
	request.Header = http.Header{
		"Accept": {"application/json"}, "User-Agent": {"test"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
		"Authorization": {authorization(map[string]string{
			"mchid": config.MchID, "serial_no": config.CertificateSerial, "nonce_str": nonce, "timestamp": timestamp,
			"signature": base64.StdEncoding.EncodeToString(signature),
		})},
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

// TestTheMistakeInASignatureIsNamed: the usual wrong forms of the message are recognised.
func TestTheMistakeInASignatureIsNamed(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const path, query = "/v3/brand/partner/card-member/user-cards/A%2FB%231", "?card_id=" + cardID
	const uri = path + query
	const body = `{"openid":"` + openID + `", "brand_id":"1004","level":"a<b"}`
	for says, wrong := range map[string]func(timestamp, nonce string) string{
		"signed unescaped": func(ts, n string) string {
			return "PATCH\n/v3/brand/partner/card-member/user-cards/A/B#1" + query + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"escaped twice": func(ts, n string) string {
			return "PATCH\n" + strings.ReplaceAll(path, "%", "%25") + query + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"last line feed is missing": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + body },
		"body was left out":         func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n\n" },
		"without the query":         func(ts, n string) string { return "PATCH\n" + path + "\n" + ts + "\n" + n + "\n" + body + "\n" },
		"signed as POST":            func(ts, n string) string { return "POST\n" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n" },
		"with its host": func(ts, n string) string {
			return "PATCH\nhttps://api.mch.weixin.qq.com" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n"
		},
		"in milliseconds": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "000\n" + n + "\n" + body + "\n" },
		"encoded anew": func(ts, n string) string {
			return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + strings.ReplaceAll(body, ", ", ",") + "\n"
		},
		"was not sent": func(ts, n string) string { return "PATCH\n" + uri + "\n" + ts + "\n" + n + "\n" + body + "\n\n" },
		"does not match; the message verified is \"PATC": func(ts, n string) string { return "anything" },
	} {
		response, err := server.RoundTrip(sign(t, server, "PATCH", uri, body, wrong))
		require.NoError(t, err)
		assert.Equal(t, 401, response.StatusCode)
		assert.Empty(t, response.Header.Get("Wechatpay-Signature"), "a 401 is not signed")
		assert.Contains(t, lastReason(server), says)
		var problem struct {
			Detail struct {
				SignInformation struct {
					Method, URL          string
					TruncatedSignMessage string `json:"truncated_sign_message"`
					SignMessageLength    int    `json:"sign_message_length"`
				} `json:"sign_information"`
			}
		}
		require.NoError(t, json.NewDecoder(response.Body).Decode(&problem))
		information := problem.Detail.SignInformation
		assert.Equal(t, "PATCH", information.Method)
		assert.Equal(t, uri, information.URL)
		assert.True(t, strings.HasPrefix(information.TruncatedSignMessage, "PATCH\n"+uri+"\n"))
		assert.Greater(t, information.SignMessageLength, len(information.TruncatedSignMessage))
	}
}

// TestOtherSignatures: one of another kind is named for what it is.
func TestOtherSignatures(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	const uri = "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20"
	key := server.Config().PrivateKey.(*rsa.PrivateKey)
	digest := func(hash crypto.Hash, message string) []byte {
		h := hash.New()
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	for says, made := range map[string]func(message string) ([]byte, error){
		"made with SHA-1, it must be SHA-256": func(m string) ([]byte, error) { return rsa.SignPKCS1v15(nil, key, crypto.SHA1, digest(crypto.SHA1, m)) },
		"RSA-PSS": func(m string) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest(crypto.SHA256, m), nil)
		},
		"not made with the merchant's key and SHA-256": func(m string) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, server.PlatformKey(), crypto.SHA256, digest(crypto.SHA256, m))
		},
	} {
		request := sign(t, server, "GET", uri, "", nil)
		authorization := request.Header.Get("Authorization")
		item := func(name string) string {
			_, rest, _ := strings.Cut(authorization, name+`="`)
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
		signature, err := made("GET\n" + uri + "\n" + item("timestamp") + "\n" + item("nonce_str") + "\n\n")
		require.NoError(t, err)
		request.Header.Set("Authorization", strings.Replace(authorization, item("signature"), base64.StdEncoding.EncodeToString(signature), 1))
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, 401, response.StatusCode)
		assert.Contains(t, lastReason(server), says)
	}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	const uri = "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20"
	send := func(server *membercardtest.Server, request *http.Request) int {
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		return response.StatusCode
	}
	server := newServer(t, membercardtest.AllowViolations())
	request := sign(t, server, "GET", uri, "", nil)
	assert.Equal(t, 200, send(server, request))
	assert.Equal(t, 200, send(server, request), "the same bytes are answered like the first time")
	const body = `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `"}`
	write := func(request *http.Request) {
		request.Body = io.NopCloser(strings.NewReader(body))
		assert.Equal(t, 200, send(server, request), "a write too, and it has one effect")
	}
	request = sign(t, server, "POST", "/v3/brand/partner/card-member/user-cards/"+code+"/invalidate", body, nil)
	write(request)
	write(request)
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))

	strict := newServer(t, membercardtest.AllowViolations(), membercardtest.RefuseReplays())
	request = sign(t, strict, "GET", uri, "", nil)
	assert.Equal(t, 200, send(strict, request))
	assert.Equal(t, 401, send(strict, request))
	assert.Contains(t, lastReason(strict), "nonce_str was used before")
}

func TestTheNonceOfAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	config := server.Config()
	for i, want := range []int{200, 401} {
		uri := fmt.Sprintf("/v3/brand/partner/card-member/cards?brand_id=1004&offset=%d&limit=20", i)
		request := sign(t, server, "GET", uri, "", nil)
		timestamp := fmt.Sprint(time.Now().Unix())
		digest := sha256.Sum256([]byte("GET\n" + uri + "\n" + timestamp + "\nthe-same-nonce\n\n"))
		signature, err := config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
		require.NoError(t, err)
		request.Header.Set("Authorization", authorization(map[string]string{
			"mchid": config.MchID, "serial_no": config.CertificateSerial, "nonce_str": "the-same-nonce", "timestamp": timestamp,
			"signature": base64.StdEncoding.EncodeToString(signature),
		}))
		response, err := server.RoundTrip(request)
		require.NoError(t, err)
		assert.Equal(t, want, response.StatusCode, lastReason(server))
	}
}

func TestTheRequestsClock(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]int{0: 200, 5 * time.Minute: 200, 5*time.Minute + time.Second: 401} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.AllowViolations())
			request := sign(t, server, "GET", "/v3/brand/partner/card-member/cards?brand_id=1004&offset=0&limit=20", "", nil)
			time.Sleep(age)
			response, err := server.RoundTrip(request)
			require.NoError(t, err)
			assert.Equal(t, want, response.StatusCode, age)
		})
	}
}

// TestBothFacesBehaveAlike: every fault ends the same way in memory and through a socket.
func TestBothFacesBehaveAlike(t *testing.T) {
	t.Parallel()
	faults := []membercardtest.Fault{
		{Kind: membercardtest.FaultSlow, Delay: time.Millisecond},
		{Kind: membercardtest.FaultRefuse},
		{Kind: membercardtest.FaultCut},
		{Kind: membercardtest.FaultCut, AfterEffect: true},
		{Kind: membercardtest.FaultSilent},
		{Kind: membercardtest.FaultSilent, AfterEffect: true},
		{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Header: http.Header{"Retry-After": {"1"}}},
		{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true},
		{Kind: membercardtest.FaultUnsigned, Status: 404, Code: "NOT_FOUND"},
		{Kind: membercardtest.FaultHTML, Status: 502},
		{Kind: membercardtest.FaultEmpty, Status: 204, AfterEffect: true},
		{Kind: membercardtest.FaultEmpty, Status: 200},
		{Kind: membercardtest.FaultBody, Body: []byte(`{}`)},
		{Kind: membercardtest.FaultForgedBody},
		{Kind: membercardtest.FaultTruncated},
		{Kind: membercardtest.FaultWrongLength},
		{Kind: membercardtest.FaultEndless},
		{Kind: membercardtest.FaultBadSignature},
		{Kind: membercardtest.FaultProbe},
		{Kind: membercardtest.FaultStaleTimestamp},
		{Kind: membercardtest.FaultFutureTimestamp},
		{Kind: membercardtest.FaultUnknownSerial},
		{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Nonce"},
	}
	kinds := map[membercardtest.FaultKind]bool{}
	for _, fault := range faults {
		kinds[fault.Kind] = true
		var outcomes []string
		for _, overSocket := range []bool{false, true} {
			server := newServer(t)
			config := server.Config()
			config.Retry.MaxAttempts = 1
			config.AttemptTimeout = 200 * time.Millisecond
			if fault.Kind != membercardtest.FaultSilent {
				config.AttemptTimeout = time.Minute
			}
			if overSocket {
				config.BaseURL, config.HTTPClient = server.Start(), nil
			}
			client, err := membercard.New(config)
			require.NoError(t, err)
			server.Inject(fault)
			_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
				BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			})
			outcome := "done"
			if err != nil {
				outcome = fmt.Sprintf("unknown %v, signature %v, timeout %v, rate %v, system %v",
					errors.Is(err, membercard.ErrOutcomeUnknown), errors.Is(err, membercard.ErrSignature),
					errors.Is(err, membercard.ErrAttemptTimeout), errors.Is(err, membercard.ErrRateLimited), errors.Is(err, membercard.ErrSystem))
				if apiError, ok := errors.AsType[*membercard.APIError](err); ok {
					outcome += fmt.Sprint(" ", apiError.StatusCode, " ", apiError.Code)
				}
			}
			if fault.Kind == membercardtest.FaultRefuse {
				outcome = fmt.Sprint(err != nil) // a listener that accepts cannot refuse; it hangs up at once
			}
			card, _ := server.UserCard(cardID, code)
			outcomes = append(outcomes, fmt.Sprintf("%s; effects %d, %s", outcome, server.Effects(membercard.OperationInvalidateUserCard, code), card.UserCardState))
		}
		assert.Equal(t, outcomes[0], outcomes[1], "%+v", fault)
		carriedOut := strings.Contains(outcomes[0], "INVALID")
		assert.Equal(t, carriedOut, strings.Contains(outcomes[0], "effects 1"))
		t.Logf("%s (after the effect: %v): %s", fault.Kind, fault.AfterEffect, outcomes[0])
	}
	assert.Len(t, kinds, 19, "a kind of fault is not tested")
}

func TestRoundTripObeysTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := server.Client().GetUserCard(ctx, get)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestRoundTripFiresTheTraceHooks(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var fired []string
	fire := func(name string) { fired = append(fired, name) }
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn:              func(string) { fire("GetConn") },
		GotConn:              func(httptrace.GotConnInfo) { fire("GotConn") },
		WroteHeaders:         func() { fire("WroteHeaders") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { fire("WroteRequest") },
		GotFirstResponseByte: func() { fire("GotFirstResponseByte") },
	})
	_, err := server.Client().GetUserCard(ctx, get)
	require.NoError(t, err)
	assert.Equal(t, []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest", "GotFirstResponseByte"}, fired)
	fired = nil
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse, Times: -1})
	_, err = server.Client().InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
	require.Error(t, err)
	assert.Equal(t, []string{"GetConn", "GetConn", "GetConn"}, fired, "no connection was had")
}

// TestLifeCycle: validity ends by the clock, invalidation is final.
func TestLifeCycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := server.Client()
		state := func() membercard.UserCardState {
			card, err := client.GetUserCard(t.Context(), get)
			require.NoError(t, err)
			return card.UserCardState
		}
		update := membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID}
		assert.Equal(t, membercard.UserCardStateEffective, state())
		now := time.Now()
		update.ValidDateInformation = &membercard.DateInfo{
			Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: now}, AvailableEndTime: membercard.Timestamp{Time: now.Add(time.Hour)},
		}
		_, err := client.UpdateUserCard(t.Context(), update)
		require.NoError(t, err)
		assert.Equal(t, membercard.UserCardStateEffective, state())
		time.Sleep(time.Hour)
		assert.Equal(t, membercard.UserCardStateExpired, state(), "its end is no part of a validity")
		page, err := client.ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID, UserCardState: membercard.UserCardStateExpired})
		require.NoError(t, err)
		assert.Len(t, page.Data, 1)
		_, err = client.UpdateUserCard(t.Context(), update)
		require.ErrorIs(t, err, membercard.ErrInvalidRequest, "final")

		server = newServer(t)
		client = server.Client()
		invalidate := membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, InvalidReason: "测试"}
		card, err := client.InvalidateUserCard(t.Context(), invalidate)
		require.NoError(t, err)
		assert.Equal(t, membercard.UserCardStateInvalid, card.UserCardState)
		assert.Equal(t, "测试", card.InvalidReason)
		assert.WithinDuration(t, time.Now(), card.InvalidTime.Time, 0)
		_, err = client.InvalidateUserCard(t.Context(), invalidate)
		require.ErrorIs(t, err, membercard.ErrInvalidRequest)
		assert.Equal(t, 2, server.Effects(membercard.OperationInvalidateUserCard, code), "the second one shows")
		_, err = client.UpdateUserCard(t.Context(), update)
		require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	})
}

// TestNaturalDays: the day of the receipt is the first one, and the last one ends at midnight in China.
func TestNaturalDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // from midnight UTC on, 8 o'clock in China
		server := membercardtest.NewTestServer(t)
		template := server.AddCard(membercard.Card{ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: new(30)}})
		card := server.AddUserCard(membercard.UserCard{CardID: template.CardID, ValidDateInformation: template.ValidDateInformation})
		state := func() membercard.UserCardState {
			card, _ := server.UserCard(card.CardID, card.UserCardCode)
			return card.UserCardState
		}
		time.Sleep(29*24*time.Hour + 16*time.Hour - time.Second)
		assert.Equal(t, membercard.UserCardStateEffective, state())
		time.Sleep(time.Second)
		assert.Equal(t, membercard.UserCardStateExpired, state())
	})
}

func TestBusinessRefusals(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	server.AddCard(membercard.Card{BrandID: "2000", CardID: "other-brand"})
	for name, test := range map[string]struct {
		change func(*membercard.GetUserCardRequest)
		want   error
	}{
		"no such card":      {func(r *membercard.GetUserCardRequest) { r.UserCardCode = "1" }, membercard.ErrNotFound},
		"another user":      {func(r *membercard.GetUserCardRequest) { r.OpenID = "someone" }, membercard.ErrNotFound},
		"no such template":  {func(r *membercard.GetUserCardRequest) { r.CardID = "x" }, membercard.ErrNotFound},
		"template of other": {func(r *membercard.GetUserCardRequest) { r.CardID = "other-brand" }, membercard.ErrNotFound},
		"brand of other":    {func(r *membercard.GetUserCardRequest) { r.BrandID = "2000" }, membercard.ErrNotFound},
	} {
		r := get
		test.change(&r)
		_, err := client.GetUserCard(t.Context(), r)
		require.ErrorIs(t, err, test.want, name)
		_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
			BrandID: r.BrandID, CardID: r.CardID, UserCardCode: r.UserCardCode, OpenID: r.OpenID,
		})
		require.ErrorIs(t, err, test.want, name)
		_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: r.BrandID, CardID: r.CardID, UserCardCode: r.UserCardCode, OpenID: r.OpenID, Level: new("x"),
		})
		require.ErrorIs(t, err, test.want, name)
	}
	page, err := client.ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: brandID, OpenID: "someone"})
	require.NoError(t, err)
	assert.Empty(t, page.Data)
	assert.Zero(t, page.TotalCount)
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

func TestLimitRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		config := server.Config()
		config.Retry.MaxAttempts = 1
		client, err := membercard.New(config)
		require.NoError(t, err)
		server.LimitRate(5)
		for range 2 {
			for range 5 {
				_, err := client.GetUserCard(t.Context(), get)
				require.NoError(t, err)
			}
			_, err := client.GetUserCard(t.Context(), get)
			require.ErrorIs(t, err, membercard.ErrRateLimited)
			_, err = client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID})
			require.NoError(t, err, "the limit is per operation")
			time.Sleep(time.Second)
		}
	})
}

// TestSeedsComeBack: what was added is what the client reads, and what the fake shows.
func TestSeedsComeBack(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	data, err := os.ReadFile("contract/partner.json")
	require.NoError(t, err)
	var pages struct {
		Operations []struct {
			Operation membercard.Operation
			Answer    json.RawMessage `json:"response_sample"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &pages))
	require.Equal(t, membercard.OperationListCards, pages.Operations[1].Operation)
	var official membercard.ListCardsResponse
	require.NoError(t, json.Unmarshal(pages.Operations[1].Answer, &official))
	added := server.AddCard(official.Data[0])
	assert.Equal(t, official.Data[0], added)
	assert.Equal(t, []membercard.Card{added}, server.Cards())
	page, err := server.Client().ListCards(t.Context(), membercard.ListCardsRequest{BrandID: added.BrandID})
	require.NoError(t, err)
	assert.Equal(t, official.Data, page.Data)

	now := membercard.Timestamp{Time: time.Now()}
	user := server.AddUserCard(membercard.UserCard{
		UserCardCode: "1", OpenID: openID, Level: "x", Attach: "y", CardColor: "#000000", PickupTime: now,
		PhoneNumber: membercard.NewSensitive("13800000000"),
		UserInformation: &membercard.UserInfo{
			CommonFieldList: []membercard.UserInfoCommonField{{Name: membercard.CommonFieldFlagCity, Value: membercard.NewSensitive("深圳")}},
		},
	})
	shown, ok := server.UserCard(user.CardID, "1")
	require.True(t, ok)
	assert.Equal(t, user, shown)
	read, err := server.Client().GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: user.BrandID, CardID: user.CardID, UserCardCode: "1", OpenID: openID})
	require.NoError(t, err)
	city, err := server.Client().Decrypt(read.UserInformation.CommonFieldList[0].Value)
	require.NoError(t, err)
	assert.Equal(t, "深圳", city)
	read.PhoneNumber, read.UserInformation = shown.PhoneNumber, shown.UserInformation
	assert.Equal(t, shown, *read)
	_, ok = server.UserCard("other", "1")
	assert.False(t, ok)
	assert.Panics(t, func() { server.AddUserCard(user) })
	assert.Panics(t, func() { server.AddCard(added) })
}

func TestAnAllocatedCodeHas24Digits(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	assert.Regexp(t, `^\d{24}$`, server.AddUserCard(membercard.UserCard{}).UserCardCode)
}

func TestUnknownURLs(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	for _, uri := range []string{"/", "/v3/pay/transactions", "/v3/brand/partner/card-member/nothing", "/v3/brand/partner/card-member/user-cards/1/2/3"} {
		response, err := server.RoundTrip(sign(t, server, "GET", uri, "", nil))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, 404, response.StatusCode, "%s %s", uri, body)
		assert.Empty(t, body)
		assert.Empty(t, response.Header.Get("Wechatpay-Signature"))
	}
}

// TestOneRefusedConnection: a fault strikes one request, however many come at once.
func TestOneRefusedConnection(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	config := server.Config()
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	require.NoError(t, err)
	for range 20 {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := client.GetUserCard(t.Context(), get); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		left := int32(0)
		for range 2 { // those that no request was left for
			if _, err := client.GetUserCard(t.Context(), get); err != nil {
				left++
			}
		}
		assert.EqualValues(t, 2, failed.Load()+left)
	}
}

func TestInjectRefusesWhatIsNoStatus(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, fault := range []membercardtest.Fault{
		{Kind: membercardtest.FaultStatus},
		{Kind: membercardtest.FaultEmpty, Status: 101},
		{Kind: membercardtest.FaultHTML, Status: 1000},
		{},
		{Kind: "cut"},
		{Kind: membercardtest.FaultMissingHeader},
		{Kind: membercardtest.FaultStatus, Status: 204},
		{Kind: membercardtest.FaultUnsigned, Status: 304},
	} {
		assert.Panics(t, func() { server.Inject(fault) }, "%+v", fault)
	}
}

func TestWhatIsAddedIsCopied(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	days := 30
	added := server.AddUserCard(membercard.UserCard{ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: &days}})
	days = 1
	*added.ValidDateInformation.AvailableDayAfterReceive = 2
	shown, _ := server.UserCard(added.CardID, added.UserCardCode)
	assert.Equal(t, 30, *shown.ValidDateInformation.AvailableDayAfterReceive)
}

// FuzzServer: a server made for a fuzz target may be sent anything in it, violations too; it neither fails the
// target from elsewhere nor hangs.
func FuzzServer(f *testing.F) {
	server := membercardtest.NewTestServer(f)
	f.Add("GET", "/v3/brand/partner/card-member/cards", "mchid")
	f.Fuzz(func(t *testing.T, method, path, authorization string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://wechatpay"+path, nil)
		if err != nil {
			t.Skip()
		}
		request.Header.Set("Authorization", authorization)
		response, err := server.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode < 400 || response.StatusCode == http.StatusInternalServerError {
			t.Fatal(err, response.StatusCode)
		}
		server.ClearRequests()
	})
}

// TestYearsThatCannotBeWritten are refused: in the time zone of the answers they would have five digits.
func TestYearsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	for end, status := range map[string]int{"9999-12-31T23:59:59+08:00": 200, "9999-12-31T23:59:59Z": 400, "9999-12-31T16:00:00Z": 400} {
		body := `{"brand_id":"` + brandID + `","valid_date_information":{"type":"FIX_TIME_RANGE","available_begin_time":"2020-01-01T00:00:00+08:00","available_end_time":"` + end + `"}}`
		response, err := server.RoundTrip(sign(t, server, http.MethodPatch, "/v3/brand/partner/card-member/cards/"+cardID, body, nil))
		require.NoError(t, err)
		assert.Equal(t, status, response.StatusCode, "%s: %s", end, lastReason(server))
		_ = response.Body.Close()
	}
	assert.NotPanics(t, func() { server.Cards() })
}

// TestValidityOfAnImportedCard takes the place of the template's.
func TestValidityOfAnImportedCard(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	template := server.AddCard(membercard.Card{ValidDateInformation: membercard.DateInfo{
		Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: time.Now()}, AvailableEndTime: membercard.Timestamp{Time: time.Now().AddDate(1, 0, 0)},
	}})
	permanent := membercard.DateInfo{Type: membercard.DateTypePermanent}
	card := server.AddUserCard(membercard.UserCard{CardID: template.CardID, ValidDateInformation: permanent})
	assert.Equal(t, permanent, card.ValidDateInformation)
}
