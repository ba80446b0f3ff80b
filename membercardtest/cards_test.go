package membercardtest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

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
	server.AddCard(membercard.Card{CardID: "soon", ValidDateInformation: membercard.DateInfo{
		Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: time.Now().Add(time.Hour)},
		AvailableEndTime: membercard.Timestamp{Time: time.Now().Add(2 * time.Hour)},
	}})
	assert.Panics(t, func() { server.OpenUserCard("soon", "o-1") })
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

// TestWhoJoins gives the phone number, and answers what the template asks for.
func TestWhoJoins(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{CardID: "t", UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagSex, membercard.CommonFieldFlagBirthday, membercard.CommonFieldFlagEmail},
		CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeRadio, Name: "运动", Values: []string{"篮球", "足球"}}},
	}})
	opened := server.OpenUserCard("t", "o-1")
	client := newClient(server)
	phone, err := client.Decrypt(opened.PhoneNumber)
	require.NoError(t, err)
	assert.NotEmpty(t, phone)
	require.Len(t, opened.UserInformation.CommonFieldList, 3)
	chosen, err := client.Decrypt(opened.UserInformation.CustomFieldList[0].UserChosenValues[0])
	require.NoError(t, err)
	assert.Equal(t, "篮球", chosen)
	_, err = client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: "t", BrandID: opened.BrandID, OpenID: "o-1", UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
		UserInformation: &membercard.UserInfo{CommonFieldList: opened.UserInformation.CommonFieldList},
	})
	require.NoError(t, err, "its answers are what the service takes")
	server.AddCard(membercard.Card{CardID: "odd", UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{"USER_FORM_FLAG_NEW"}, CustomFieldList: []membercard.UserCustomFieldForm{{Name: "运动"}},
	}})
	assert.Nil(t, server.OpenUserCard("odd", "o-1").UserInformation, "nothing that it could answer")
}

// TestACardThatWaits is added without a code where the merchant allocates it, and listed with an empty one.
func TestACardThatWaits(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := newClient(server)
	server.AddCard(membercard.Card{CardID: "t", CodeMode: membercard.CodeModeMerchantAllocate})
	waiting := server.AddUserCard(membercard.UserCard{CardID: "t", OpenID: "o-1", UserCardState: membercard.UserCardStateUnactivated})
	assert.Empty(t, waiting.UserCardCode)
	page, err := client.ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: waiting.BrandID, OpenID: "o-1"})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	listed := answerTo(t, server, sign(t, server, "GET", "/v3/brand/partner/card-member/user-cards?brand_id="+waiting.BrandID+"&openid=o-1&offset=0&limit=20", "", nil))
	assert.Contains(t, string(listed.body), `"user_card_code":""`)
	_, err = client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		UserCardCode: "mine", CardID: "t", BrandID: waiting.BrandID, OpenID: "o-1", UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	require.NoError(t, err)
}

// TestDeletedAfterItsEnd: an expired card stays it, and who deleted a card that failed to open does not come back.
func TestDeletedAfterItsEnd(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	over := membercard.DateInfo{
		Type: membercard.DateTypeFixTimeRange, AvailableBeginTime: membercard.Timestamp{Time: time.Now().Add(-2 * time.Hour)},
		AvailableEndTime: membercard.Timestamp{Time: time.Now().Add(-time.Hour)},
	}
	expired := server.AddUserCard(membercard.UserCard{ValidDateInformation: over})
	assert.Equal(t, membercard.UserCardStateExpired, server.DeleteUserCard(expired.CardID, expired.UserCardCode).UserCardState)
	template := server.AddCard(membercard.Card{})
	opened := server.OpenUserCard(template.CardID, "o-1")
	_, err := newClient(server).ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: opened.CardID, BrandID: opened.BrandID, OpenID: "o-1", UserCardConfirmState: membercard.UserCardConfirmStateFail,
	})
	require.NoError(t, err)
	server.DeleteUserCard(opened.CardID, opened.UserCardCode)
	assert.Panics(t, func() { server.OpenUserCard(opened.CardID, "o-1") })
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

// TestMembership: who can join, and who cannot come back.
func TestMembership(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	template := server.AddCard(membercard.Card{BrandID: brandID})
	imported := func(openID, code string) string {
		_, err := client.ImportUserCardByOpenID(t.Context(), membercard.ImportUserCardByOpenIDRequest{
			BrandID: brandID, CardID: template.CardID, OpenID: openID, UserCardCode: code,
		})
		return messageOf(err)
	}
	token := func(openID string) string {
		_, err := client.CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: template.CardID, OpenID: openID})
		return messageOf(err)
	}
	assert.Empty(t, token("o-1"))
	opened := server.OpenUserCard(template.CardID, "o-1")
	assert.Equal(t, "用户已有待激活的会员卡", imported("o-1", "A"))
	_, err := client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		BrandID: brandID, CardID: template.CardID, OpenID: "o-1", UserCardCode: "another", UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	assert.Equal(t, "会员卡号分配方式为系统分配，不允许修改会员卡号", messageOf(err))
	_, err = client.ConfirmUserCard(t.Context(), membercard.ConfirmUserCardRequest{
		BrandID: brandID, CardID: template.CardID, OpenID: "o-1", UserCardCode: opened.UserCardCode, UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	require.NoError(t, err)
	assert.Equal(t, "用户已有已生效的会员卡", imported("o-1", "A"))
	assert.Equal(t, "用户在一个卡模板下只能有一张有效的会员卡", token("o-1"))
	assert.Equal(t, "该用户卡 code 已存在", imported("o-2", opened.UserCardCode))

	assert.Equal(t, membercard.UserCardStateInvalid, server.DeleteUserCard(template.CardID, opened.UserCardCode).UserCardState)
	assert.Panics(t, func() { server.DeleteUserCard(template.CardID, opened.UserCardCode) })
	assert.Equal(t, "用户主动删除了该会员卡，无法重新导入", imported("o-1", "B"))
	assert.Panics(t, func() { server.OpenUserCard(template.CardID, "o-1") })

	_, err = client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{BrandID: brandID, CardID: template.CardID})
	require.NoError(t, err)
	assert.Equal(t, "会员卡模板无效", token("o-3"))
	assert.Equal(t, "会员卡模板无效", imported("o-3", "C"))
}

// TestUserAnswers: a card has answers to what its template asks for, in the documented formats.
func TestUserAnswers(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	template := server.AddCard(membercard.Card{BrandID: brandID, UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagSex, membercard.CommonFieldFlagBirthday, membercard.CommonFieldFlagEmail},
		CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeRadio, Name: "运动", Values: []string{"篮球", "足球"}}},
	}})
	card := server.AddUserCard(membercard.UserCard{CardID: template.CardID})
	update := func(info membercard.UserInfo) string {
		_, err := client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID, UserInformation: &info,
		})
		return messageOf(err)
	}
	common := func(values ...string) string {
		info := membercard.UserInfo{}
		for i := 0; i < len(values); i += 2 {
			info.CommonFieldList = append(info.CommonFieldList, membercard.UserInfoCommonField{
				Name: membercard.CommonFieldFlag("USER_FORM_FLAG_" + values[i]), Value: membercard.NewSensitive(values[i+1]),
			})
		}
		return update(info)
	}
	custom := func(name string, values ...string) string {
		field := membercard.UserInfoCustomField{Name: name}
		for _, value := range values {
			field.UserChosenValues = append(field.UserChosenValues, membercard.NewSensitive(value))
		}
		return update(membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{field}})
	}
	assert.Empty(t, common("SEX", "女", "BIRTHDAY", "2000-01-31", "EMAIL", "a@b.cn"))
	assert.Empty(t, custom("运动", "足球"))
	assert.Contains(t, common("SEX", "x"), "性别格式不正确")
	assert.Contains(t, common("BIRTHDAY", "2000-1-31"), "生日格式不正确")
	assert.Contains(t, common("EMAIL", "a at b"), "邮箱格式不正确")
	assert.Contains(t, common("SEX", "女", "SEX", "男"), "用户信息通用字段存在重复项")
	assert.Contains(t, common("CITY", "广东,深圳"), "请求的用户信息通用字段未定义在卡模版中")
	assert.Contains(t, custom("食物", "足球"), "自定义字段未定义在卡模版中")
	assert.Contains(t, custom("运动", "网球"), "用户选择的值的字符串非法")
	assert.Contains(t, custom("运动", "足球", "篮球"), "用户选择的值的字符串非法")
}

// TestValidities: the ten refusals of a validity.
func TestValidities(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := server.Client()
	begin, end := membercard.Timestamp{Time: time.Now()}, membercard.Timestamp{Time: time.Now().Add(time.Hour)}
	for i, test := range []struct {
		template membercard.DateType
		validity membercard.DateInfo
		message  string
	}{
		{membercard.DateTypePermanent, membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: new(1)}, "卡模版有效期类型和请求的有效期类型不一致"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: begin}, "绝对有效期卡模板必填有效期信息"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: begin, AvailableEndTime: end, AvailableDayAfterReceive: new(1)}, "固定时间范围不允许填写领取后有效天数"},
		{membercard.DateTypeFixTimeRange, membercard.DateInfo{AvailableBeginTime: end, AvailableEndTime: begin}, "固定时间范围的开始时间不能大于结束时间"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{}, "相对有效期卡模板必填有效天数信息"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(1), AvailableEndTime: end}, "相对有效期卡模板必填有效天数信息"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(0)}, "领取后有效天数必须大于0"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(10959)}, "领取后有效天数不能大于30年"},
		{membercard.DateTypeFixTerm, membercard.DateInfo{AvailableDayAfterReceive: new(10958)}, ""},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableDayAfterReceive: new(1)}, "永久有效不允许设置相对有效期"},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableBeginTime: begin}, "永久有效不允许设置固定时间有效的开始时间"},
		{membercard.DateTypePermanent, membercard.DateInfo{AvailableEndTime: end}, "永久有效不允许设置固定时间有效的结束时间"},
		{membercard.DateTypePermanent, membercard.DateInfo{}, ""},
	} {
		template := server.AddCard(membercard.Card{BrandID: brandID, ValidDateInformation: membercard.DateInfo{Type: test.template}})
		card := server.AddUserCard(membercard.UserCard{CardID: template.CardID})
		if test.validity.Type == "" {
			test.validity.Type = test.template
		}
		_, err := client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID, ValidDateInformation: &test.validity,
		})
		assert.True(t, strings.HasPrefix(messageOf(err), test.message) && (err == nil) == (test.message == ""), "%d: %v", i, err)
	}
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

func TestAnAllocatedCodeHas24Digits(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	assert.Regexp(t, `^\d{24}$`, server.AddUserCard(membercard.UserCard{}).UserCardCode)
}
