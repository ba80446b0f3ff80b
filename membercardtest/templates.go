package membercardtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// checkTemplate checks what creating and changing a template demand alike. t is the template as it would be.
func checkTemplate(in input, t *card) *problem {
	for _, jump := range []struct {
		name, message string
		info          *jumpInfo
	}{
		{"member_information", "会员中心跳转 AppID 或路径为空", t.MemberInformation},
		{"code_jump_information", "会员码跳转 AppID 或路径为空", t.CodeJumpInformation},
		{"points_information", "积分跳转 AppID 或路径为空", t.PointsInformation},
		{"balance_information", "储值跳转 AppID 或路径为空", t.BalanceInformation},
		{"purchase_information", "付费跳转 AppID 或路径为空", t.PurchaseInformation},
	} {
		if in.sent(jump.name) && (jump.info.JumpAppID == "" || jump.info.JumpPath == "") {
			return in.refuse(jump.message, jump.name+" needs jump_appid and jump_path")
		}
	}
	switch {
	case in.sent("balance_information") && t.CardType != "BALANCE":
		return in.refuse("非储值会员卡", "balance_information is for cards of type BALANCE")
	case in.sent("purchase_information") && t.PurchaseInformation.Price != nil && *t.PurchaseInformation.Price <= 0:
		return in.refuse("付费会员价格必须大于 0", "the price must be above 0")
	case in.sent("purchase_information") && t.CardType != "PURCHASE":
		return in.refuse("非付费会员卡", "purchase_information is for cards of type PURCHASE")
	}
	return checkForm(in, t.UserInformation)
}

// checkForm checks what a template asks of its users.
func checkForm(in input, form *userInfoForm) *problem {
	if form == nil {
		return nil
	}
	if len(slices.Compact(slices.Sorted(slices.Values(form.CommonFieldList)))) < len(form.CommonFieldList) {
		return in.refuse("用户信息通用字段存在重复项", "a common field is asked for twice")
	}
	return nil
}

func (s *Server) createCard(in input) (any, *problem) {
	c := decode[card](in)
	if c.CardType != "NORMAL" {
		return nil, in.refuse("暂不支持付费或储值的会员卡类型", "only cards of type NORMAL can be created so far")
	}
	if refused := checkTemplate(in, &c); refused != nil {
		return nil, refused
	}
	jumps := c.CodeType == "JUMP_MINI_PROGRAM"
	switch {
	case c.NeedDisplayLevel && c.InitLevel == "":
		return nil, in.refuse("为 true，必填会员初始等级信息", "init_level is required with need_display_level")
	case !c.NeedDisplayLevel && c.InitLevel != "":
		return nil, in.refuse("为 false，不允许填写会员初始等级信息", "init_level is for templates with need_display_level")
	case jumps && !in.sent("code_jump_information"):
		return nil, in.refuse("必填会员码跳转信息", "code_jump_information is required with code_type JUMP_MINI_PROGRAM")
	case !jumps && in.sent("code_jump_information"):
		return nil, in.refuse("不允许填写会员码跳转信息", "code_jump_information is for code_type JUMP_MINI_PROGRAM")
	}
	if refused := checkDates(in, "", &c.ValidDateInformation); refused != nil {
		return nil, refused
	}
	ofType := 0
	for _, other := range s.cards {
		if other.OutRequestNo == c.OutRequestNo {
			return nil, in.refuse("商家请求单号重复", "a template was made under this out_request_no")
		}
		if other.BrandID == c.BrandID && other.CardType == c.CardType && other.State == "CARD_EFFECTIVE" {
			ofType++
		}
	}
	if ofType >= 2 {
		return nil, in.infer("会员卡模板数量超过限制", "the brand has two templates of this type in effect")
	}
	s.effects[effect{in.operation, c.OutRequestNo}]++
	now := formatTime(time.Now())
	c.CardID, c.State, c.CreateTime, c.ModifyTime = "pbLatjvWOibDc5-"+randomHex(6), "CARD_EFFECTIVE", now, now
	c.ValidDateInformation = *c.ValidDateInformation.inOneForm()
	s.cards = append(s.cards, &c)
	return c, nil
}

func (s *Server) listCards(in input) (any, *problem) {
	var found []card
	for _, c := range s.cards {
		if c.BrandID == in.query["brand_id"] && (in.query["state"] == "" || c.State == in.query["state"]) {
			found = append(found, *c)
		}
	}
	return paginate(found, in), nil
}

func (s *Server) getCard(in input) (any, *problem) {
	c, refused := s.requireCard(in, in.path["card_id"], in.query["brand_id"])
	if refused != nil {
		return nil, refused
	}
	return *c, nil
}

func (s *Server) updateCard(in input) (any, *problem) {
	change := decode[struct {
		BrandID              string        `json:"brand_id"`
		CardTitle            *string       `json:"card_title"`
		CardColor            *string       `json:"card_color"`
		CardPictureURL       *string       `json:"card_picture_url"`
		CodeJumpInformation  *jumpInfo     `json:"code_jump_information"`
		Benefits             *string       `json:"benefits"`
		NotifyURL            *string       `json:"notify_url"`
		NeedPinned           *bool         `json:"need_pinned"`
		NeedDisplayLevel     *bool         `json:"need_display_level"`
		ServicePhone         *string       `json:"service_phone"`
		ValidDateInformation *dateInfo     `json:"valid_date_information"`
		MemberInformation    *jumpInfo     `json:"member_information"`
		PointsInformation    *jumpInfo     `json:"points_information"`
		BalanceInformation   *jumpInfo     `json:"balance_information"`
		PurchaseInformation  *jumpInfo     `json:"purchase_information"`
		UserInformation      *userInfoForm `json:"user_information"`
	}](in)
	c, refused := s.requireCard(in, in.path["card_id"], change.BrandID)
	if refused != nil {
		return nil, refused
	}
	if c.CodeType != "JUMP_MINI_PROGRAM" && change.CodeJumpInformation != nil {
		return nil, in.refuse("不支持修改跳转信息", "code_jump_information is for templates of code_type JUMP_MINI_PROGRAM")
	}
	if refused := checkDates(in, c.ValidDateInformation.Type, change.ValidDateInformation); refused != nil {
		return nil, refused
	}
	changed := card{
		CardType: c.CardType, CodeJumpInformation: change.CodeJumpInformation, MemberInformation: change.MemberInformation,
		PointsInformation: change.PointsInformation, BalanceInformation: change.BalanceInformation,
		PurchaseInformation: change.PurchaseInformation, UserInformation: change.UserInformation,
	}
	if refused := checkTemplate(in, &changed); refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, c.CardID}]++
	if c.State == "CARD_INVALID" {
		return nil, in.unknown("会员卡模板已失效", "the template is invalid")
	}
	set(&c.CardTitle, change.CardTitle)
	set(&c.CardColor, change.CardColor)
	set(&c.CardPictureURL, change.CardPictureURL)
	set(&c.Benefits, change.Benefits)
	set(&c.NotifyURL, change.NotifyURL)
	set(&c.NeedPinned, change.NeedPinned)
	set(&c.NeedDisplayLevel, change.NeedDisplayLevel)
	set(&c.ServicePhone, change.ServicePhone)
	set(&c.ValidDateInformation, change.ValidDateInformation.inOneForm())
	setPointer(&c.CodeJumpInformation, change.CodeJumpInformation)
	setPointer(&c.MemberInformation, change.MemberInformation)
	setPointer(&c.PointsInformation, change.PointsInformation)
	setPointer(&c.BalanceInformation, change.BalanceInformation)
	setPointer(&c.PurchaseInformation, change.PurchaseInformation)
	setPointer(&c.UserInformation, change.UserInformation)
	c.ModifyTime = formatTime(time.Now())
	return *c, nil
}

func setPointer[T any](target **T, value *T) {
	if value != nil {
		*target = value
	}
}

func (s *Server) invalidateCard(in input) (any, *problem) {
	c, refused := s.requireCard(in, in.path["card_id"], in.id("brand_id"))
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, c.CardID}]++
	if c.State == "CARD_INVALID" {
		return nil, in.unknown("会员卡模板已失效", "the template is invalid already")
	}
	c.State, c.ModifyTime = "CARD_INVALID", formatTime(time.Now())
	return *c, nil
}

// OpenUserCard does what a user does who joins through the joining component or the brand's page: the card
// is there, but unactivated until the merchant confirms it. It has a code only if WeChat Pay allocates it.
// It panics when there is no such template in effect, or the user has a card of it that is not invalid, or deleted one.
func (s *Server) OpenUserCard(cardID, openID string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	template := s.findCard(cardID)
	if template == nil || template.State != "CARD_EFFECTIVE" {
		panic(fmt.Sprintf("membercardtest: OpenUserCard: there is no template %s in effect", cardID))
	}
	if slices.ContainsFunc(s.userCards, func(u *userCard) bool {
		return u.CardID == cardID && u.OpenID == openID && (u.UserCardState != "INVALID" || u.deleted)
	}) {
		panic("membercardtest: OpenUserCard: the user has a card of this template")
	}
	now := formatTime(time.Now())
	u := &userCard{
		CardID: cardID, OpenID: openID, BrandID: template.BrandID, CardType: template.CardType, Level: template.InitLevel,
		ValidDateInformation: template.ValidDateInformation, PickupTime: now, UserCardState: "UNACTIVATED", CreateTime: now, ModifyTime: now,
	}
	if template.CodeMode == "SYSTEM_ALLOCATE" {
		u.UserCardCode = newCode()
	}
	s.userCards = append(s.userCards, u)
	return exportUserCard(u)
}

// DeleteUserCard does what a user does who deletes a card: it is invalid, and the user cannot come back to the template.
// It returns the card, and panics when there is none, or it was deleted before.
func (s *Server) DeleteUserCard(cardID, userCardCode string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUserCard(cardID, userCardCode)
	if u == nil || u.deleted {
		panic("membercardtest: DeleteUserCard: there is no such card")
	}
	u.UserCardState, u.deleted, u.ModifyTime = "INVALID", true, formatTime(time.Now())
	return exportUserCard(u)
}
