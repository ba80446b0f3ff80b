package membercardtest

import (
	"cmp"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// userCard is a user's card, and what no answer tells of it. It has no code until a merchant allocates it, and no openid
// after an import by phone.
type userCard struct {
	document
	points  int64
	deleted bool // by the user
	failed  bool // its opening
}

// validUntil returns when a validity is over that began with the receipt; zero: never. Days are natural ones (自然日).
func validUntil(validity document, receipt time.Time) time.Time {
	switch kind := validity.text("type"); {
	case kind == "FIX_TIME_RANGE":
		return validity.time("available_end_time")
	case kind == "FIX_TERM" && validity.has("available_day_after_receive"):
		year, month, day := receipt.In(zone).Date()
		return time.Date(year, month, day+int(validity.number("available_day_after_receive")), 0, 0, 0, 0, zone)
	}
	return time.Time{}
}

// state returns a card's state, which changes by itself when its validity is over.
func (u *userCard) state(now time.Time) string {
	state, end := u.text("user_card_state"), validUntil(u.object("valid_date_information"), u.time("pickup_time"))
	if state == "EFFECTIVE" && !end.IsZero() && !now.Before(end) {
		return "EXPIRED"
	}
	return state
}

// current returns the card with the state that it has now.
func (u *userCard) current() document { return u.with("user_card_state", u.state(time.Now())) }

func (s *Server) findUserCard(cardID, code string) *userCard {
	for _, u := range s.userCards {
		if u.text("card_id") == cardID && u.has("user_card_code") && u.text("user_card_code") == code {
			return u
		}
	}
	return nil
}

// findNamed finds a card as tests name it: by its code, or by its openid while it has none.
func (s *Server) findNamed(cardID, name string) *userCard {
	if u := s.findUserCard(cardID, name); u != nil {
		return u
	}
	for _, u := range s.userCards {
		if u.text("card_id") == cardID && !u.has("user_card_code") && u.text("openid") == name && u.text("user_card_state") != "INVALID" {
			return u
		}
	}
	return nil
}

// requireUserCard finds the card a request is about: the template must be the brand's, the card the user's.
func (s *Server) requireUserCard(in input, code string) (*userCard, *problem) {
	_, refused := s.requireCard(in, in.id("card_id"))
	if _, speaksOfTemplates := errorOf(in.operation, "会员卡模板不存在"); refused != nil && speaksOfTemplates {
		return nil, refused
	}
	u := s.findUserCard(in.id("card_id"), code)
	if refused != nil || u == nil || u.text("openid") != in.id("openid") {
		return nil, in.refusal("用户会员卡不存在", "no card has this template, code and openid")
	}
	return u, nil
}

func (s *Server) listUserCards(in input) (document, *problem) {
	var found []document
	for _, u := range s.userCards {
		card, state := u.current(), in.query["user_card_state"]
		if card.text("brand_id") == in.query["brand_id"] && card.text("openid") == in.query["openid"] &&
			(state == "" || card.text("user_card_state") == state) {
			card.setDefault("user_card_code", "") // while there is none
			found = append(found, card)
		}
	}
	return in.page(found), nil
}

// page returns the page of a list that a request asks for. The pages call data optional: it is not there when it is empty.
func (in input) page(all []document) document {
	offset, _ := strconv.Atoi(in.query["offset"])
	limit, _ := strconv.Atoi(in.query["limit"])
	answer := document{"total_count": jsonNumber(len(all)), "offset": jsonNumber(offset), "limit": jsonNumber(limit)}
	if offset < len(all) {
		var data []any
		for _, d := range all[offset:min(offset+limit, len(all))] {
			data = append(data, map[string]any(d))
		}
		answer["data"] = data
	}
	return answer
}

func (s *Server) getUserCard(in input) (document, *problem) {
	u, refused := s.requireUserCard(in, in.path["user_card_code"])
	if refused != nil {
		return nil, refused
	}
	return u.current(), nil
}

// checkUserCard checks what a request says of a card by the rules of its template.
func checkUserCard(in input, template document) *problem {
	if refused := checkDates(in, template.object("valid_date_information").text("type")); refused != nil {
		return refused
	}
	return checkAnswers(in, template.object("user_information"))
}

// checkDates checks a validity. templateType is the type that it must have; empty: any.
func checkDates(in input, templateType string) *problem {
	d := in.object("valid_date_information")
	if d == nil {
		return nil
	}
	has, days := d.has, d.number("available_day_after_receive")
	switch kind := d.text("type"); {
	case templateType != "" && kind != templateType:
		return in.refusal("卡模版有效期类型和请求的有效期类型不一致", "the validity is not of the template's type")
	case kind == "FIX_TIME_RANGE" && (!has("available_begin_time") || !has("available_end_time")):
		return in.refusal("绝对有效期卡模板必填有效期信息", "type FIX_TIME_RANGE needs available_begin_time and available_end_time")
	case kind == "FIX_TIME_RANGE" && has("available_day_after_receive"):
		return in.refusal("固定时间范围不允许填写领取后有效天数", "type FIX_TIME_RANGE takes no available_day_after_receive")
	case kind == "FIX_TIME_RANGE" && d.time("available_begin_time").After(d.time("available_end_time")):
		return in.refusal("固定时间范围的开始时间不能大于结束时间", "available_begin_time is after available_end_time")
	case kind == "FIX_TERM" && (!has("available_day_after_receive") || has("available_begin_time") || has("available_end_time")):
		return in.refusal("相对有效期卡模板必填有效天数信息", "type FIX_TERM needs available_day_after_receive and takes no times")
	case kind == "FIX_TERM" && days <= 0:
		return in.refusal("领取后有效天数必须大于0", "available_day_after_receive must be above 0")
	case kind == "FIX_TERM" && days > 10958:
		return in.refusal("领取后有效天数不能大于30年", "available_day_after_receive must be at most 10958")
	case kind == "PERMANENT" && has("available_day_after_receive"):
		return in.refusal("永久有效不允许设置相对有效期", "type PERMANENT takes no available_day_after_receive")
	case kind == "PERMANENT" && has("available_begin_time"):
		return in.refusal("永久有效不允许设置固定时间有效的开始时间", "type PERMANENT takes no available_begin_time")
	case kind == "PERMANENT" && has("available_end_time"):
		return in.refusal("永久有效不允许设置固定时间有效的结束时间", "type PERMANENT takes no available_end_time")
	}
	return nil
}

// checkAnswers checks the answers to what a template asks of its users.
func checkAnswers(in input, form document) *problem {
	var answered []string
	for _, answer := range in.object("user_information").objects("common_field_list") {
		switch name := answer.text("name"); {
		case slices.Contains(answered, name):
			return in.refusal("用户信息通用字段存在重复项", "a common field is answered twice")
		case !slices.Contains(form.texts("common_field_list"), name):
			return in.refusal("请求的用户信息通用字段未定义在卡模版中", "the template does not ask for "+name)
		}
		if refused := checkAnswer(in, answer); refused != nil {
			return refused
		}
		answered = append(answered, answer.text("name"))
	}
	for _, answer := range in.object("user_information").objects("custom_field_list") {
		questions := form.objects("custom_field_list")
		at := slices.IndexFunc(questions, func(question document) bool { return question.text("name") == answer.text("name") })
		if at < 0 {
			return in.refusal("自定义字段未定义在卡模版中", "the template has no custom field of this name")
		}
		chosen := answer.texts("user_chosen_values")
		if hasTwice(chosen) {
			return in.inferredRefusal("用户信息自定义字段存在重复项", "a value is chosen twice")
		}
		for _, value := range chosen {
			if !slices.Contains(questions[at].texts("values"), value) {
				return in.refusal("用户选择的值的字符串非法", "a chosen value is none of the template's")
			}
		}
		if questions[at].text("type") == "RADIO" && len(chosen) > 1 {
			return in.inferredRefusal("用户选择的值的字符串非法", "a custom field of type RADIO takes one value")
		}
	}
	return nil
}

// checkAnswer checks the format of an answer that has one.
func checkAnswer(in input, answer document) *problem {
	value := answer.text("value")
	switch answer.text("name") {
	case "USER_FORM_FLAG_SEX":
		if value != "男" && value != "女" {
			return in.refusal("性别格式不正确", "the sex must be 男 or 女")
		}
	case "USER_FORM_FLAG_BIRTHDAY":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return in.refusal("生日格式不正确", "the birthday must be a date such as 2000-01-31")
		}
	case "USER_FORM_FLAG_EMAIL":
		if address, err := mail.ParseAddress(value); err != nil || address.String() != "<"+value+">" || !strings.Contains(value[strings.LastIndex(value, "@"):], ".") {
			return in.refusal("邮箱格式不正确", "the email is no address")
		}
	}
	return nil
}

func (s *Server) updateUserCard(in input) (document, *problem) {
	u, refused := s.requireUserCard(in, in.path["user_card_code"])
	if refused != nil {
		return nil, refused
	}
	if refused := checkUserCard(in, s.findCard(u.text("card_id"))); refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["user_card_code"]}]++
	if state := u.state(time.Now()); state != "EFFECTIVE" {
		return nil, in.refusal("用户卡状态不正确", "the card is not effective but "+state)
	}
	u.merge(in.changes().with("modify_time", formatTime(time.Now())))
	return u.current(), nil
}

// findMember finds the card that a user has of a template, in this state.
func (s *Server) findMember(cardID, openID, state string) *userCard {
	now := time.Now()
	for _, u := range s.userCards {
		if u.text("card_id") == cardID && u.text("openid") == openID && openID != "" && u.state(now) == state {
			return u
		}
	}
	return nil
}

// confirmUserCard completes an opening. With MERCHANT_ALLOCATE it gives the card its code.
func (s *Server) confirmUserCard(in input) (document, *problem) {
	template, refused := s.requireCard(in, in.id("card_id"))
	if refused != nil {
		return nil, refused
	}
	if refused := checkUserCard(in, template); refused != nil {
		return nil, refused
	}
	cardID, code := in.id("card_id"), in.path["user_card_code"]
	same, u := s.findUserCard(cardID, code), s.findMember(cardID, in.text("openid"), "UNACTIVATED")
	allocates := u != nil && !u.has("user_card_code") && same == nil
	if allocates || same != nil && same.text("openid") == in.text("openid") {
		s.effects[effect{in.operation, code}]++
	}
	switch {
	case u == nil:
		return nil, in.refusal("用户不存在未激活的会员卡", "the user has no card that waits for a confirm")
	case !u.has("user_card_code") && !allocates:
		return nil, in.refusal("code 已存在", "the template has a card with this code")
	case !allocates && u != same:
		return nil, in.refusal("会员卡号分配方式为系统分配", "the card has the code that WeChat Pay gave it")
	}
	now := formatTime(time.Now())
	u.merge(in.changes())
	u.merge(document{"user_card_code": code, "user_card_state": "EFFECTIVE", "modify_time": now})
	if in.text("user_card_confirm_state") == "CREATE_CARD_FAIL" {
		u.merge(document{"user_card_state": "INVALID", "invalid_time": now})
		u.failed = true
	}
	return u.current(), nil
}

// newUserCard returns a card of a template that is received now.
func newUserCard(template document, state string) *userCard {
	now := formatTime(time.Now())
	return &userCard{document: document{
		"card_id": template["card_id"], "brand_id": template["brand_id"], "card_type": template["card_type"],
		"valid_date_information": template["valid_date_information"], "user_card_state": state,
		"pickup_time": now, "create_time": now, "modify_time": now,
	}}
}

// mergeNew takes over what a new card is given. A validity of its own takes the place of the template's.
func (u *userCard) mergeNew(given document) {
	if given.has("valid_date_information") {
		delete(u.document, "valid_date_information")
	}
	u.merge(given)
}

// importUserCard imports a member, by openid or, withdrawn, by phone.
func (s *Server) importUserCard(in input) (document, *problem) {
	template := s.findCard(in.text("card_id"))
	if template == nil || template.text("brand_id") != in.text("brand_id") {
		return nil, in.inferredRefusal("会员卡模板无效", "there is no such template of brand_id")
	}
	if refused := checkUserCard(in, template); refused != nil {
		return nil, refused
	}
	u := newUserCard(template, "EFFECTIVE")
	if u.object("valid_date_information").text("type") == "FIX_TERM" && !in.has("pickup_time") {
		return nil, in.refusal("固定时间范围必填领取时间", "pickup_time is required with a validity of type FIX_TERM")
	}
	u.mergeNew(in.changes())
	now, cardID, openID, code := time.Now(), in.text("card_id"), in.text("openid"), in.text("user_card_code")
	switch {
	case template.text("state") != "CARD_EFFECTIVE":
		return nil, in.refusal("会员卡模板无效", "the template is invalid")
	case u.time("pickup_time").After(now):
		return nil, paramError("body", "/pickup_time", in.text("pickup_time"), "must be in the past")
	case u.state(now) == "EXPIRED":
		return nil, in.refusal("无法导入已过期的会员卡", "the validity is over")
	}
	s.effects[effect{in.operation, code}]++
	switch {
	case s.findMember(cardID, openID, "UNACTIVATED") != nil:
		return nil, in.refusal("用户已有待激活的会员卡", "the user has a card that waits for a confirm")
	case s.findMember(cardID, openID, "EFFECTIVE") != nil:
		return nil, in.refusal("用户已有已生效的会员卡", "the user has a card of this template")
	case slices.ContainsFunc(s.userCards, func(old *userCard) bool {
		return old.deleted && openID != "" && old.text("card_id") == cardID && old.text("openid") == openID
	}):
		return nil, in.refusal("用户主动删除了该会员卡", "the user deleted a card of this template")
	case s.findUserCard(cardID, code) != nil:
		return nil, in.refusal("code 已存在", "the template has a card with this code")
	}
	s.userCards = append(s.userCards, u)
	return u.current(), nil
}

func (s *Server) invalidateUserCard(in input) (document, *problem) {
	u, refused := s.requireUserCard(in, in.path["user_card_code"])
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.path["user_card_code"]}]++
	if state := u.state(time.Now()); state != "EFFECTIVE" && state != "UNACTIVATED" {
		return nil, in.refusal("用户卡状态不正确", "the card is "+state+" already")
	}
	now := formatTime(time.Now())
	u.merge(in.changes())
	u.merge(document{"user_card_state": "INVALID", "invalid_time": now, "modify_time": now})
	return u.current(), nil
}

// OpenUserCard does what a user does who joins through the joining component or the brand's page: the card
// is there, but unactivated until the merchant confirms it. It has a code only if WeChat Pay allocates it, the user's phone number,
// and answers to what the template asks for.
// It panics when there is no such template in effect, outside its validity, or where a user is not shown the template: who has a
// card of it, had one invalidated or deleted one. Who was refused may try again, and so may who let a card expire.
func (s *Server) OpenUserCard(cardID, openID string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	template := s.findCard(cardID)
	if template == nil || template.text("state") != "CARD_EFFECTIVE" || !isOpen(template) {
		panic(fmt.Sprintf("membercardtest: OpenUserCard: there is no template %s in effect", cardID))
	}
	if openID == "" {
		panic("membercardtest: OpenUserCard: the openid is missing")
	}
	if slices.ContainsFunc(s.userCards, func(u *userCard) bool {
		return u.text("card_id") == cardID && u.text("openid") == openID && (u.deleted || !u.failed && u.state(time.Now()) != "EXPIRED")
	}) {
		panic("membercardtest: OpenUserCard: the user has a card of this template, or had one that was invalidated or deleted")
	}
	u := newUserCard(template, "UNACTIVATED")
	u.merge(document{"openid": openID, "phone_number": "13800138000"})
	if answers := answersTo(template.object("user_information")); len(answers) > 0 {
		u.document["user_information"] = answers
	}
	if template.has("init_level") {
		u.document["level"] = template["init_level"]
	}
	if template.text("code_mode") == "SYSTEM_ALLOCATE" {
		u.document["user_card_code"] = newCode()
	}
	s.userCards = append(s.userCards, u)
	return valueOf[membercard.UserCard](u.current())
}

// answersTo returns what a user answers who joins.
func answersTo(form document) map[string]any {
	answers := map[string]any{}
	var common, custom []any
	for _, name := range form.texts("common_field_list") {
		value, known := map[string]string{
			"USER_FORM_FLAG_SEX": "女", "USER_FORM_FLAG_BIRTHDAY": "2000-01-31", "USER_FORM_FLAG_EMAIL": "user@example.com",
			"USER_FORM_FLAG_CITY": "广东省,深圳市", "USER_FORM_FLAG_NAME": "张三", "USER_FORM_FLAG_ADDRESS": "深南大道1号",
		}[name]
		if known {
			common = append(common, map[string]any{"name": name, "value": value})
		}
	}
	for _, question := range form.objects("custom_field_list") {
		if values := question.texts("values"); len(values) > 0 {
			custom = append(custom, map[string]any{"name": question["name"], "user_chosen_values": []any{values[0]}})
		}
	}
	if common != nil {
		answers["common_field_list"] = common
	}
	if custom != nil {
		answers["custom_field_list"] = custom
	}
	return answers
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
	if u.state(time.Now()) != "EXPIRED" { // which is final
		u.merge(document{"user_card_state": "INVALID"})
	}
	u.document["modify_time"] = formatTime(time.Now())
	return valueOf[membercard.UserCard](u.current())
}

// wasDeleted reports whether the user deleted a card.
func (s *Server) wasDeleted(card membercard.UserCard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findNamed(card.CardID, cmp.Or(card.UserCardCode, card.OpenID))
	return u != nil && u.deleted
}

// AddUserCard adds a user's card. Sensitive values are given as [membercard.NewSensitive] makes them.
// Fields that every card has and that are left empty get usual values; an empty CardID means the
// template added last. A template that does not exist is added. It returns the card as it was added,
// and panics when the template has one with this code, or is of another brand.
func (s *Server) AddUserCard(u membercard.UserCard) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.CardID == "" && len(s.cards) > 0 {
		u.CardID = s.cards[len(s.cards)-1].text("card_id")
	}
	template := s.findCard(u.CardID)
	if template != nil && u.BrandID != "" && u.BrandID != template.text("brand_id") {
		panic("membercardtest: AddUserCard: the template is of another brand")
	}
	if template == nil {
		template = s.addCard(membercard.Card{CardID: u.CardID, BrandID: u.BrandID})
	}
	added := newUserCard(template, "EFFECTIVE")
	added.merge(document{"openid": "obLatj" + randomHex(11)})
	if u.UserCardState != membercard.UserCardStateUnactivated || template.text("code_mode") == "SYSTEM_ALLOCATE" {
		added.document["user_card_code"] = newCode()
	}
	added.mergeNew(s.userCardDocument(answerRows(membercard.OperationGetUserCard), u))
	added.document["card_id"] = template["card_id"]
	if added.has("user_card_code") && s.findUserCard(added.text("card_id"), added.text("user_card_code")) != nil {
		panic("membercardtest: AddUserCard: the template has a card with this code")
	}
	s.userCards = append(s.userCards, added)
	return valueOf[membercard.UserCard](added.current())
}

// UserCard returns a user's card as the server has it, sensitive values in clear, and whether there is
// one. A code is unique within one template only.
func (s *Server) UserCard(cardID, userCardCode string) (membercard.UserCard, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUserCard(cardID, userCardCode)
	if u == nil {
		return membercard.UserCard{}, false
	}
	return valueOf[membercard.UserCard](u.current()), true
}

// newCode returns 24 digits, as WeChat Pay allocates them.
func newCode() string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' {
			return r - 'a' + '1'
		}
		return r
	}, randomHex(12))
}

// UserCards returns all users' cards in the order they were added, sensitive values in clear.
func (s *Server) UserCards() []membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cards []membercard.UserCard
	for _, u := range s.userCards {
		cards = append(cards, valueOf[membercard.UserCard](u.current()))
	}
	return cards
}
