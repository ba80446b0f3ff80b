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

// TestWhoCanOpenACard: a user is not shown a template of which a card was invalidated, nor one whose validity is over.
func TestWhoCanOpenACard(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := newClient(server)
	server.AddCard(membercard.Card{CardID: "t", CodeMode: membercard.CodeModeMerchantAllocate})
	server.AddCard(membercard.Card{CardID: "over", ValidDateInformation: membercard.DateInfo{
		Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: time.Now().Add(-2 * time.Hour)},
		AvailableEndTime: membercard.Timestamp{Time: time.Now().Add(-time.Hour)},
	}})
	assert.PanicsWithValue(t, "membercardtest: OpenUserCard: there is no template over in effect", func() { server.OpenUserCard("over", "o-1") })
	assert.Panics(t, func() { server.OpenUserCard("t", "") })
	confirm := func(openID, code string, state membercard.UserCardConfirmState) {
		_, err := client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
			UserCardCode: code, CardID: "t", BrandID: membercardtest.BrandID, OpenID: openID, UserCardConfirmState: state,
		})
		require.NoError(t, err)
	}
	server.OpenUserCard("t", "o-1")
	confirm("o-1", "refused", membercard.UserCardConfirmStateFail)
	server.OpenUserCard("t", "o-1")
	confirm("o-1", "code-1", membercard.UserCardConfirmStateSuccess)
	_, err := client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{UserCardCode: "code-1", CardID: "t", BrandID: membercardtest.BrandID, OpenID: "o-1"})
	require.NoError(t, err)
	assert.Panics(t, func() { server.OpenUserCard("t", "o-1") })
}

// TestACardWithoutACode is named by its openid, and no other card is meant.
func TestACardWithoutACode(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{CardID: "t", CodeMode: membercard.CodeModeMerchantAllocate})
	for _, openID := range []string{"o-1", "o-2", "o-3"} {
		server.OpenUserCard("t", openID)
	}
	_, found := server.UserCard("t", "")
	assert.False(t, found)
	assert.Panics(t, func() { server.AddPointsExchange(membercard.PointsExchange{CardID: "t"}) })
	server.DeleteUserCard("t", "o-2")
	c := newControl(t, server)
	status, _ := c.call("POST", "/user-cards/delete", `{"card_id":"t","openid":"o-3"}`)
	assert.Equal(t, 200, status)
	for _, card := range server.UserCards() {
		assert.Equal(t, card.OpenID != "o-1", card.UserCardState == membercard.UserCardStateInvalid, card.OpenID)
	}
	assert.Panics(t, func() { server.DeleteUserCard("t", "o-2") })
}

// TestWhatIsAddedIsWhole: it has what the page says that its answers have.
func TestWhatIsAddedIsWhole(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := newClient(server)
	template := server.AddCard(membercard.Card{})
	assert.NotEmpty(t, template.LegalAgreement)
	assert.NotNil(t, template.MemberInformation)
	card := server.AddUserCard(membercard.UserCard{})
	exchange := server.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	assert.NotEmpty(t, exchange.ProductCouponID)
	assert.NotEmpty(t, exchange.ProductCouponStockType)
	assert.NotEmpty(t, exchange.StockID)
	activity := server.AddActivity(membercard.Activity{CardID: template.CardID})
	assert.NotEmpty(t, activity.OutRequestNo)
	assert.NotEmpty(t, activity.Title)
	assert.NotEmpty(t, activity.SubTitle)
	opened := server.OpenUserCard(template.CardID, "o-1")
	n, err := client.ParseNotification(server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened}))
	require.NoError(t, err)
	told := n.Event.(*membercard.UserCardCreated)
	assert.Equal(t, template.CardColor, told.CardColor)
	assert.Equal(t, template.CardPictureURL, told.CardPictureURL)
}

// TestMessagesOfThePage: where a page has a row for a broken rule, its message is the answer.
func TestMessagesOfThePage(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := newClient(server)
	create := func(change func(*membercard.CreateCardRequest)) error {
		_, err := client.CreateCard(t.Context(), createCardRequest(change))
		return err
	}
	form := func(fields ...membercard.UserCustomFieldForm) func(*membercard.CreateCardRequest) {
		return func(r *membercard.CreateCardRequest) {
			r.UserInformation = &membercard.UserInfoForm{CustomFieldList: fields}
		}
	}
	field := membercard.UserCustomFieldForm{Type: membercard.CustomFieldTypeRadio, Name: "喜欢的运动", Values: []string{"篮球"}}
	with := func(values ...string) membercard.UserCustomFieldForm {
		other := field
		other.Values = values
		return other
	}
	for message, err := range map[string]error{
		"卡名称太长": create(func(r *membercard.CreateCardRequest) { r.CardTitle = strings.Repeat("卡", 11) }),
		"用户信息自定义字段存在重复项": create(form(with("篮球", "篮球"))),
	} {
		require.ErrorContains(t, err, message)
	}
	for _, title := range []string{"会员♥卡", "会员卡☺", "★★★", "会员\n卡", "会员\u0000卡"} {
		require.ErrorContains(t, create(func(r *membercard.CreateCardRequest) { r.CardTitle = title }), "卡名称仅支持", title)
	}
	for _, odd := range []func(*membercard.CreateCardRequest){form(field, field), form(with()), form(with(strings.Repeat("球", 9))), form(with(strings.Split("一二三四五六七八九十百", "")...))} {
		require.ErrorContains(t, create(odd), "商户自定义信息最多一项")
	}
	for i, title := range []string{"会员卡A-1（新）", "ＶＩＰ会员卡", "５折卡～＋￥", "会员　卡"} {
		_, err := client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: server.AddCard(membercard.Card{}).CardID, BrandID: brandID, CardTitle: &title})
		require.NoError(t, err, i)
	}
	card := server.AddUserCard(membercard.UserCard{})
	_, err := client.UpdateCard(t.Context(), membercard.UpdateCardRequest{
		CardID: card.CardID, BrandID: card.BrandID, MemberInformation: &membercard.MemberInfo{JumpAppID: "wxea9c30890f48d5ae"},
	})
	require.ErrorContains(t, err, "会员中心跳转 AppID 或路径为空")
	_, err = client.ImportUserCardByOpenID(t.Context(), membercard.ImportUserCardByOpenIDRequest{CardID: card.CardID, BrandID: card.BrandID, OpenID: "o-1", UserCardCode: "会员"})
	require.ErrorContains(t, err, "用户卡code 无效")
	_, err = client.SyncUserPoints(t.Context(), membercard.SyncUserPointsRequest{OutRequestNo: "n", CardID: "none", BrandID: card.BrandID, OpenID: card.OpenID, UserCardCode: card.UserCardCode})
	require.ErrorContains(t, err, "用户会员卡不存在", "its page has no row about templates")
	_, err = client.CreateUserFeed(t.Context(), membercard.CreateUserFeedRequest{
		OutRequestNo: "n", CardID: card.CardID, BrandID: card.BrandID, OpenID: card.OpenID, UserCardCode: card.UserCardCode, Cell: "4_100_12345678",
	})
	require.ErrorContains(t, err, "cell不合法")
}
