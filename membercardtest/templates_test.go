package membercardtest_test

import (
	"testing"

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

// TestTemplatesOfAType: two of a type for each brand, a request number once, those of seeds too.
func TestTemplatesOfAType(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{BrandID: brandID, OutRequestNo: "no-1"})
	client := server.Client()
	create := func(number string) error {
		_, err := client.CreateCard(t.Context(), createCardRequest(func(r *membercard.CreateCardRequest) { r.OutRequestNo = number }))
		return err
	}
	assert.Equal(t, "商家请求单号重复", messageOf(create("no-1")))
	require.NoError(t, create("no-2"))
	assert.Equal(t, "会员卡模板数量超过限制，每个类型最多创建两个模板", messageOf(create("no-3")))
}
