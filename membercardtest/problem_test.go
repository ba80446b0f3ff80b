package membercardtest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// answer is what the fake says.
type answer struct {
	status int
	header http.Header
	body   []byte
	Code   string
	Text   string `json:"message"`
	Detail struct {
		Field, Issue, Location string
		Value                  any
	}
}

func answerTo(t *testing.T, server *membercardtest.Server, request *http.Request) (a answer) {
	t.Helper()
	response, err := server.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	if len(a.body) > 0 {
		require.NoError(t, json.Unmarshal(a.body, &a))
	}
	return a
}

func messageOf(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*membercard.APIError](err); ok {
		return strings.TrimSpace(strings.ReplaceAll(refusal.Message, "\u00a0", " "))
	}
	return "not refused by the service: " + err.Error()
}

// TestAnswersOfRefusals: message, detail, number and headers are those of the service.
func TestAnswersOfRefusals(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	with := func(change func(http.Header)) *http.Request {
		request := sign(t, server, "GET", cardURI, "", nil)
		change(request.Header)
		return request
	}
	authorization := func(from, to string) func(http.Header) {
		return func(h http.Header) { h.Set("Authorization", strings.Replace(h.Get("Authorization"), from, to, 1)) }
	}

	messages := map[string]bool{}
	for _, change := range []func(http.Header){
		func(h http.Header) { h.Del("Authorization") },
		authorization("WECHATPAY2-SHA256-RSA2048", "Bearer"),
		authorization(`timestamp="1`, `timestamp="2`),
		authorization(membercardtest.CertificateSerial, strings.Repeat("0", 40)),
		authorization(membercardtest.MchID, "1900000000"),
		authorization(`mchid=`, `merchant=`),
		authorization(`nonce_str="`, `nonce_str="x`),
	} {
		a := answerTo(t, server, with(change))
		assert.Equal(t, 401, a.status)
		assert.Equal(t, "SIGN_ERROR", a.Code)
		assert.Empty(t, a.header.Get("Wechatpay-Signature"))
		assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-268443699"))
		assert.Equal(t, a.Text == "错误的签名，验签失败", a.Detail.Issue == "sign not match", a.Text)
		messages[a.Text] = true
	}
	assert.Len(t, messages, 7, "one for each cause")

	for _, header := range []string{"User-Agent", "Accept"} {
		a := answerTo(t, server, with(func(h http.Header) { h.Del("Authorization"); h.Set(header, "") }))
		assert.Equal(t, 400, a.status, "before the signature")
		assert.Equal(t, "INVALID_REQUEST", a.Code)
		assert.Empty(t, a.header.Get("Wechatpay-Signature"))
	}
	for _, method := range []string{"PUT", "DELETE", "POST"} {
		a := answerTo(t, server, sign(t, server, method, cardURI, "", nil))
		assert.Equal(t, 405, a.status)
		assert.Empty(t, a.body)
	}

	a := answerTo(t, server, sign(t, server, "GET", strings.Replace(cardURI, code, "a%20b", 1), "", nil))
	assert.Equal(t, "uri_template", a.Detail.Location)
	assert.Equal(t, "user_card_code", a.Detail.Field)
	a = answerTo(t, server, sign(t, server, "GET", cardURI+"&x=1&y=2", "", nil))
	assert.Equal(t, []any{"/query/x", "/query/y"}, a.Detail.Value)
	assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-270924358"))
	const body = `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `","level":7}`
	a = answerTo(t, server, sign(t, server, "PATCH", "/v3/brand/partner/card-member/user-cards/"+code, body, nil))
	assert.EqualValues(t, 7, a.Detail.Value)
	assert.Equal(t, "/level", a.Detail.Field)

	nested := `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `","x":1,"valid_date_information":{"y":2},"user_information":{"common_field_list":[{"z":3}]}}`
	a = answerTo(t, server, sign(t, server, "PATCH", "/v3/brand/partner/card-member/user-cards/"+code, nested, nil))
	assert.Equal(t, []any{"/body/user_information/common_field_list/0/z", "/body/valid_date_information/y", "/body/x"}, a.Detail.Value, "at each depth")
	older := `{"brand_id":"` + brandID + `","card_id":"` + cardID + `","openid":"` + openID + `","user_information":{"card_id":"x"}}`
	answerTo(t, server, sign(t, server, "PATCH", "/v3/brand/partner/card-member/user-cards/"+code, older, nil))
	requests := server.Requests()
	assert.True(t, requests[len(requests)-1].Violation, "no page has it there")
	a = answerTo(t, server, sign(t, server, "GET", strings.Replace("/v3/brand/partner/card-member/cards?brand_id=BRAND&limit=21", "BRAND", brandID, 1), "", nil))
	assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-268435464"), "a number out of its range")
	noKey := sign(t, server, "PATCH", "/v3/brand/partner/card-member/user-cards/"+code,
		`{"brand_id":"`+brandID+`","card_id":"`+cardID+`","openid":"`+openID+`","phone_number":"`+encrypted(server.Config().PublicKey, "13800000000")+`"}`, nil)
	noKey.Header.Del("Wechatpay-Serial")
	a = answerTo(t, server, noKey)
	assert.Equal(t, "PARAM_ERROR", a.Code)
	assert.Contains(t, a.Text, "缺少微信支付平台证书序列号")

	for language, want := range map[string]string{
		"": "用户会员卡不存在", "fr": "用户会员卡不存在", "en": "no card has this template, code and openid", "zh-TW, en;q=0.5": "用戶會員卡不存在",
	} {
		request := sign(t, server, "GET", strings.Replace(cardURI, code, "000", 1), "", nil)
		request.Header.Set("Accept-Language", language)
		a := answerTo(t, server, request)
		assert.Equal(t, 404, a.status)
		assert.Equal(t, want, a.Text)
		assert.NotEmpty(t, a.header.Get("Wechatpay-Signature"))
		assert.False(t, strings.HasSuffix(a.header.Get("Request-Id"), "-0"))
	}
	a = answerTo(t, server, sign(t, server, "GET", cardURI, "", nil))
	assert.True(t, strings.HasSuffix(a.header.Get("Request-Id"), "-0"))
	assert.Equal(t, "zh-CN", a.header.Get("Content-Language"))
	assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
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
	price := -1
	require.ErrorContains(t, create(func(r *membercard.CreateCardRequest) {
		r.PurchaseInformation = &membercard.PurchaseInfo{Price: &price, JumpAppID: "wxea9c30890f48d5ae", JumpPath: "/buy"}
	}), "付费会员价格必须大于")
	for _, title := range []string{"会员→卡", "会员€卡", "∞", "Карта", "カード", "한국카드", "①", "½", "会员♥卡", "会员卡☺", "★★★", "会员\n卡", "会员\u0000卡"} {
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
