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

// AddCard adds a template. Fields that every template has and that are left empty get values of the
// official sample; CardID, when empty, a new one. It returns the template as it was added, and panics
// when there is one with this CardID.
func (s *Server) AddCard(c membercard.Card) membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return valueOf[membercard.Card](s.addCard(c))
}

func (s *Server) addCard(c membercard.Card) document {
	now := formatTime(time.Now())
	added := document{
		"valid_date_information": map[string]any{"type": "PERMANENT"},
		"member_information":     map[string]any{"jump_appid": "wxea9c30890f48d5ae", "jump_path": "/pages/member/member"},
	}
	added.merge(documentOf(answerRows(membercard.OperationGetCard), c))
	for name, value := range map[string]string{
		"out_request_no": fmt.Sprintf("100002322019090134234sfd%d", len(s.cards)), "card_id": newCardID(), "brand_id": BrandID,
		"appid": "wxea9c30890f48d5ae", "card_type": "NORMAL", "card_title": "测试卡", "card_color": "#FFFF00",
		"card_picture_url": "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0", "code_mode": "SYSTEM_ALLOCATE", "code_type": "BAR_CODE",
		"benefits": "会员折扣、专属价", "legal_agreement": "商家法务协议", "notify_url": "https://www.weixin.qq.com/wxpay/notify.php", "state": "CARD_EFFECTIVE",
		"create_time": now, "modify_time": now,
	} {
		added.setDefault(name, value)
	}
	if s.findCard(added.text("card_id")) != nil {
		panic("membercardtest: AddCard: there is a template with the CardID " + added.text("card_id"))
	}
	s.cards = append(s.cards, added)
	return added
}

// Cards returns all templates in the order they were added.
func (s *Server) Cards() []membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cards []membercard.Card
	for _, c := range s.cards {
		cards = append(cards, valueOf[membercard.Card](c))
	}
	return cards
}

func (s *Server) findCard(id string) document {
	for _, c := range s.cards {
		if c.text("card_id") == id {
			return c
		}
	}
	return nil
}

// requireCard finds the template a request is about: it must be the brand's.
func (s *Server) requireCard(in input, cardID string) (document, *problem) {
	c := s.findCard(cardID)
	switch {
	case c == nil:
		return nil, in.refusal("会员卡模板不存在", "there is no template with this card_id")
	case c.text("brand_id") != in.id("brand_id"):
		return nil, in.inferredRefusal("会员卡模板不存在", "the template card_id does not belong to brand_id")
	}
	return c, nil
}

// isOpen reports whether a template is offered: its validity has begun and is not over.
func isOpen(template document) bool {
	return !isOver(template) && !time.Now().Before(template.object("valid_date_information").time("available_begin_time"))
}

// isOver reports whether the validity of a template is over.
func isOver(template document) bool {
	validity := template.object("valid_date_information")
	return validity.has("available_end_time") && !time.Now().Before(validity.time("available_end_time"))
}
