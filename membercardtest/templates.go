package membercardtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// jumps are the entries of a template, with the message about one that leads nowhere.
var jumps = []struct{ name, message string }{
	{"member_information", "会员中心跳转 AppID 或路径为空"},
	{"code_jump_information", "会员码跳转 AppID 或路径为空"},
	{"points_information", "积分跳转 AppID 或路径为空"},
	{"balance_information", "储值跳转 AppID 或路径为空"},
	{"purchase_information", "付费跳转 AppID 或路径为空"},
}

// checkTemplate checks what creating and changing a template of a type demand alike.
func checkTemplate(in input, cardType string) *problem {
	for _, jump := range jumps {
		if info := in.object(jump.name); info != nil && (!info.has("jump_appid") || !info.has("jump_path")) {
			return in.refusal(jump.message, jump.name+" needs jump_appid and jump_path")
		}
	}
	purchase := in.object("purchase_information")
	switch {
	case in.has("balance_information") && cardType != "BALANCE":
		return in.refusal("非储值会员卡", "balance_information is for cards of type BALANCE")
	case purchase.has("price") && purchase.number("price") <= 0:
		return in.refusal("付费会员价格必须大于 0", "the price must be above 0")
	case purchase != nil && cardType != "PURCHASE":
		return in.refusal("非付费会员卡", "purchase_information is for cards of type PURCHASE")
	}
	if hasTwice(in.object("user_information").texts("common_field_list")) {
		return in.refusal("用户信息通用字段存在重复项", "a common field is asked for twice")
	}
	for _, question := range in.object("user_information").objects("custom_field_list") {
		if hasTwice(question.texts("values")) {
			return in.refusal("用户信息自定义字段存在重复项", "a value of a custom field is there twice")
		}
	}
	return nil
}

// hasTwice reports whether a list has a text more than once.
func hasTwice(texts []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(texts)))) < len(texts)
}

func (s *Server) createCard(in input) (document, *problem) {
	if in.text("card_type") != "NORMAL" {
		return nil, in.refusal("暂不支持付费或储值的会员卡类型", "only cards of type NORMAL can be created so far")
	}
	if refused := checkTemplate(in, "NORMAL"); refused != nil {
		return nil, refused
	}
	jumps := in.text("code_type") == "JUMP_MINI_PROGRAM"
	switch {
	case in.boolean("need_display_level") && !in.has("init_level"):
		return nil, in.refusal("为 true，必填会员初始等级信息", "init_level is required with need_display_level")
	case !in.boolean("need_display_level") && in.has("init_level"):
		return nil, in.refusal("为 false，不允许填写会员初始等级信息", "init_level is for templates with need_display_level")
	case jumps && !in.has("code_jump_information"):
		return nil, in.refusal("必填会员码跳转信息", "code_jump_information is required with code_type JUMP_MINI_PROGRAM")
	case !jumps && in.has("code_jump_information"):
		return nil, in.refusal("不允许填写会员码跳转信息", "code_jump_information is for code_type JUMP_MINI_PROGRAM")
	}
	if refused := checkDates(in, ""); refused != nil {
		return nil, refused
	}
	ofType := 0
	for _, other := range s.cards {
		if other.text("out_request_no") == in.text("out_request_no") {
			return nil, in.refusal("商家请求单号重复", "a template was made under this out_request_no")
		}
		if other.text("brand_id") == in.text("brand_id") && other.text("card_type") == "NORMAL" && other.text("state") == "CARD_EFFECTIVE" {
			ofType++
		}
	}
	if ofType >= 2 {
		return nil, in.inferredRefusal("会员卡模板数量超过限制", "the brand has two templates of this type in effect")
	}
	s.effects[effect{in.operation, in.text("out_request_no")}]++
	now := formatTime(time.Now())
	c := document{"need_pinned": false, "need_display_level": false}
	c.merge(in.changes())
	c.merge(document{"card_id": newCardID(), "state": "CARD_EFFECTIVE", "create_time": now, "modify_time": now})
	s.cards = append(s.cards, c)
	return c, nil
}

func newCardID() string { return "pbLatjvWOibDc5-" + randomHex(6) }

func (s *Server) listCards(in input) (document, *problem) {
	var found []document
	for _, c := range s.cards {
		if state := in.query["state"]; c.text("brand_id") == in.query["brand_id"] && (state == "" || c.text("state") == state) {
			found = append(found, c)
		}
	}
	return in.page(found), nil
}

func (s *Server) getCard(in input) (document, *problem) { return s.requireCard(in, in.path["card_id"]) }

func (s *Server) updateCard(in input) (document, *problem) {
	c, refused := s.requireCard(in, in.path["card_id"])
	if refused != nil {
		return nil, refused
	}
	if in.has("code_jump_information") && c.text("code_type") != "JUMP_MINI_PROGRAM" {
		return nil, in.refusal("不支持修改跳转信息", "code_jump_information is for templates of code_type JUMP_MINI_PROGRAM")
	}
	if refused := checkDates(in, c.object("valid_date_information").text("type")); refused != nil {
		return nil, refused
	}
	if refused := checkTemplate(in, c.text("card_type")); refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["card_id"]}]++
	if c.text("state") == "CARD_INVALID" {
		return nil, in.ownRefusal("会员卡模板已失效", "the template is invalid")
	}
	c.merge(in.changes().with("modify_time", formatTime(time.Now())))
	return c, nil
}

func (s *Server) invalidateCard(in input) (document, *problem) {
	c, refused := s.requireCard(in, in.path["card_id"])
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["card_id"]}]++
	if c.text("state") == "CARD_INVALID" {
		return nil, in.ownRefusal("会员卡模板已失效", "the template is invalid already")
	}
	c.merge(document{"state": "CARD_INVALID", "modify_time": formatTime(time.Now())})
	return c, nil
}

// OpenUserCard does what a user does who joins through the joining component or the brand's page: the card
// is there, but unactivated until the merchant confirms it. It has a code only if WeChat Pay allocates it.
// It panics when there is no such template in effect, when its validity is over, or where a user is not shown the template: who has a
// card of it, had one invalidated or deleted one. Who was refused may try again, and so may who let a card expire.
func (s *Server) OpenUserCard(cardID, openID string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	template := s.findCard(cardID)
	if template == nil || template.text("state") != "CARD_EFFECTIVE" || isOver(template) {
		panic(fmt.Sprintf("membercardtest: OpenUserCard: there is no template %s in effect", cardID))
	}
	if openID == "" {
		panic("membercardtest: OpenUserCard: the openid is missing")
	}
	if slices.ContainsFunc(s.userCards, func(u *userCard) bool {
		return u.text("card_id") == cardID && u.text("openid") == openID && !u.failed && u.state(time.Now()) != "EXPIRED"
	}) {
		panic("membercardtest: OpenUserCard: the user has a card of this template, or had one that was invalidated or deleted")
	}
	u := newUserCard(template, "UNACTIVATED")
	u.document["openid"] = openID
	if template.has("init_level") {
		u.document["level"] = template["init_level"]
	}
	if template.text("code_mode") == "SYSTEM_ALLOCATE" {
		u.document["user_card_code"] = newCode()
	}
	s.userCards = append(s.userCards, u)
	return valueOf[membercard.UserCard](u.current())
}

// isOver reports whether the validity of a template is over.
func isOver(template document) bool {
	validity := template.object("valid_date_information")
	return validity.has("available_end_time") && !time.Now().Before(validity.time("available_end_time"))
}

// DeleteUserCard does what a user does who deletes a card: it is invalid, and the user cannot come back to the template.
// While a card has no code its openid stands for it. DeleteUserCard returns the card, and panics when there is none, or it was
// deleted before.
func (s *Server) DeleteUserCard(cardID, userCardCode string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findNamed(cardID, userCardCode)
	if u == nil || u.deleted {
		panic("membercardtest: DeleteUserCard: there is no such card")
	}
	u.deleted = true
	u.merge(document{"user_card_state": "INVALID", "modify_time": formatTime(time.Now())})
	return valueOf[membercard.UserCard](u.current())
}
