package membercardtest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
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

func createCardRequest(change func(*membercard.CreateCardRequest)) membercard.CreateCardRequest {
	request := membercard.CreateCardRequest{
		OutRequestNo: "no-1", BrandID: brandID, AppID: "wxea9c30890f48d5ae", CardType: membercard.CardTypeNormal, CardTitle: "测试卡",
		CardColor: "#FFFF00", CardPictureURL: "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0", CodeMode: membercard.CodeModeMerchantAllocate,
		CodeType: membercard.CodeTypeBarCode, Benefits: "会员折扣", NotifyURL: "https://example.com/notify",
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent}, LegalAgreement: "会员协议",
		MemberInformation: &membercard.MemberInfo{JumpAppID: "wxea9c30890f48d5ae", JumpPath: "/member"},
	}
	if change != nil {
		change(&request)
	}
	return request
}

func TestTemplateLifeCycle(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	created, err := client.CreateCard(t.Context(), createCardRequest(nil))
	require.NoError(t, err)
	assert.Equal(t, membercard.CardStateEffective, created.State)
	var apiError *membercard.APIError
	for _, title := range []string{"测试卡", "别的"} {
		_, err = client.CreateCard(t.Context(), createCardRequest(func(r *membercard.CreateCardRequest) { r.CardTitle = title }))
		require.ErrorAs(t, err, &apiError, "the number was used, with the same content or other")
		assert.Equal(t, "商家请求单号重复", apiError.Message)
	}
	assert.Equal(t, 1, server.Effects(membercard.OperationCreateCard, "no-1"))

	for name, change := range map[string]func(*membercard.CreateCardRequest){
		"a paid card":        func(r *membercard.CreateCardRequest) { r.CardType = membercard.CardTypePurchase },
		"a jump to nowhere":  func(r *membercard.CreateCardRequest) { r.CodeType = membercard.CodeTypeJumpMiniProgram },
		"a level of nobody":  func(r *membercard.CreateCardRequest) { r.NeedDisplayLevel = true },
		"a foreign picture":  func(r *membercard.CreateCardRequest) { r.CardPictureURL = "https://example.com/a.png" },
		"a query in notify":  func(r *membercard.CreateCardRequest) { r.NotifyURL = "https://example.com/notify?a=b" },
		"an odd number":      func(r *membercard.CreateCardRequest) { r.OutRequestNo = "no 1" },
		"a validity of days": func(r *membercard.CreateCardRequest) { r.ValidDateInformation.Type = membercard.DateTypeFixTerm },
	} {
		_, err := client.CreateCard(t.Context(), createCardRequest(func(r *membercard.CreateCardRequest) { r.OutRequestNo = "no-2"; change(r) }))
		require.ErrorAs(t, err, &apiError, name)
		assert.Equal(t, 400, apiError.StatusCode, name)
	}
	require.Len(t, server.Cards(), 1)

	updated, err := client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: created.CardID, BrandID: brandID, CardTitle: new("新卡"), NeedPinned: new(true)})
	require.NoError(t, err)
	assert.Equal(t, "新卡", updated.CardTitle)
	assert.True(t, updated.NeedPinned)
	assert.Equal(t, created.Benefits, updated.Benefits)
	_, err = client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{CardID: created.CardID, BrandID: brandID})
	require.NoError(t, err)
	read, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: created.CardID, BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, membercard.CardStateInvalid, read.State)
	_, err = client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{CardID: created.CardID, BrandID: brandID})
	require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	assert.Equal(t, 2, server.Effects(membercard.OperationInvalidateCard, created.CardID))
	_, err = client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: created.CardID, BrandID: brandID, CardTitle: new("x")})
	require.ErrorIs(t, err, membercard.ErrInvalidRequest)
	_, err = client.GetCard(t.Context(), membercard.GetCardRequest{CardID: created.CardID, BrandID: "2000"})
	require.ErrorIs(t, err, membercard.ErrNotFound)
	assert.Panics(t, func() { server.OpenUserCard(created.CardID, openID) }, "no more cards from an invalid template")
}

func TestOpeningACard(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	system := server.AddCard(membercard.Card{BrandID: brandID, CodeMode: membercard.CodeModeSystemAllocate})
	merchant := server.AddCard(membercard.Card{BrandID: brandID, CodeMode: membercard.CodeModeMerchantAllocate})
	confirm := func(cardID, code, openID string, state membercard.UserCardConfirmState) (*membercard.UserCard, error) {
		return client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
			UserCardCode: code, CardID: cardID, BrandID: brandID, OpenID: openID, Level: "黄金会员", UserCardConfirmState: state,
		})
	}

	opened := server.OpenUserCard(system.CardID, "o-1")
	assert.Regexp(t, `^\d{24}$`, opened.UserCardCode)
	assert.Equal(t, membercard.UserCardStateUnactivated, opened.UserCardState)
	_, err := confirm(system.CardID, opened.UserCardCode, "o-2", membercard.UserCardConfirmStateSuccess)
	require.ErrorIs(t, err, membercard.ErrNotFound)
	card, err := confirm(system.CardID, opened.UserCardCode, "o-1", membercard.UserCardConfirmStateSuccess)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
	assert.Equal(t, "黄金会员", card.Level)
	_, err = confirm(system.CardID, opened.UserCardCode, "o-1", membercard.UserCardConfirmStateSuccess)
	require.ErrorIs(t, err, membercard.ErrNotFound, "it waits for no confirm any more")

	opened = server.OpenUserCard(merchant.CardID, "o-1")
	assert.Empty(t, opened.UserCardCode, "the merchant allocates it")
	card, err = confirm(merchant.CardID, "M-1", "o-1", membercard.UserCardConfirmStateFail)
	require.NoError(t, err)
	assert.Equal(t, "M-1", card.UserCardCode, "also when opening failed")
	assert.Equal(t, membercard.UserCardStateInvalid, card.UserCardState)
	server.OpenUserCard(merchant.CardID, "o-2")
	_, err = confirm(merchant.CardID, "M-1", "o-2", membercard.UserCardConfirmStateSuccess)
	require.ErrorIs(t, err, membercard.ErrInvalidRequest, "the code is another user's")
	card, err = confirm(merchant.CardID, "M-2", "o-2", membercard.UserCardConfirmStateAlreadyExists)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
	_, err = confirm(system.CardID, "unknown", "o-9", membercard.UserCardConfirmStateSuccess)
	require.ErrorIs(t, err, membercard.ErrNotFound)
}

func TestImports(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t, membercardtest.WithWithdrawnOperations())
	client := server.Client()
	term := server.AddCard(membercard.Card{BrandID: brandID, ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: new(30)}})
	pickup := membercard.Timestamp{Time: time.Now().AddDate(0, 0, -10)}
	request := membercard.ImportUserCardByOpenIDRequest{BrandID: brandID, CardID: term.CardID, OpenID: "o-1", UserCardCode: "I-1", PickupTime: pickup}
	card, err := client.ImportUserCardByOpenID(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState, "without a confirm")
	assert.Equal(t, term.ValidDateInformation, card.ValidDateInformation)
	assert.WithinDuration(t, pickup.Time, card.PickupTime.Time, time.Second)
	_, err = client.ImportUserCardByOpenID(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrInvalidRequest, "the user has a card of the template")
	assert.Equal(t, 2, server.Effects(membercard.OperationImportUserCardByOpenID, "I-1"))

	request.UserCardCode, request.PickupTime = "I-2", membercard.Timestamp{}
	_, err = client.ImportUserCardByOpenID(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter, "a relative validity needs the time of pickup")
	request.PickupTime, request.ValidDateInformation = pickup, &membercard.DateInfo{Type: membercard.DateTypePermanent}
	_, err = client.ImportUserCardByOpenID(t.Context(), request)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter, "another type than the template's")

	card, err = client.ImportUserCardByPhone(t.Context(), membercard.ImportUserCardByPhoneRequest{
		BrandID: brandID, CardID: term.CardID, PhoneNumber: membercard.NewSensitive("13800000000"), UserCardCode: "I-3", PickupTime: pickup,
	})
	require.NoError(t, err)
	assert.Empty(t, card.OpenID)
	phone, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13800000000", phone)
}

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
}

func TestDeepJSONIsRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	body := `{"brand_id":` + strings.Repeat("[", 3<<20)
	response, err := server.RoundTrip(sign(t, server, "POST", "/v3/brand/partner/card-member/cards", body, nil))
	require.NoError(t, err)
	assert.Equal(t, 400, response.StatusCode)
	assert.Contains(t, lastReason(server), "nested too deeply")
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
