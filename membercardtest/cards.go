package membercardtest

import (
	"crypto/rsa"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// What follows is the JSON of the official pages, in types of this package's own, so that a mistake in
// membercard's models shows. Times are text in the service's format; sensitive values are in clear
// within the server.

type card struct {
	OutRequestNo         string        `json:"out_request_no"`
	CardID               string        `json:"card_id"`
	BrandID              string        `json:"brand_id"`
	AppID                string        `json:"appid"`
	CardType             string        `json:"card_type"`
	CardTitle            string        `json:"card_title"`
	CardColor            string        `json:"card_color"`
	CardPictureURL       string        `json:"card_picture_url"`
	CodeMode             string        `json:"code_mode"`
	CodeType             string        `json:"code_type"`
	CodeJumpInformation  *jumpInfo     `json:"code_jump_information,omitempty"`
	Benefits             string        `json:"benefits"`
	NotifyURL            string        `json:"notify_url"`
	NeedPinned           bool          `json:"need_pinned"`
	NeedDisplayLevel     bool          `json:"need_display_level"`
	InitLevel            string        `json:"init_level,omitempty"`
	ServicePhone         string        `json:"service_phone,omitempty"`
	LegalAgreement       string        `json:"legal_agreement,omitempty"`
	ValidDateInformation dateInfo      `json:"valid_date_information"`
	MemberInformation    *jumpInfo     `json:"member_information,omitempty"`
	PointsInformation    *jumpInfo     `json:"points_information,omitempty"`
	BalanceInformation   *jumpInfo     `json:"balance_information,omitempty"`
	PurchaseInformation  *jumpInfo     `json:"purchase_information,omitempty"`
	UserInformation      *userInfoForm `json:"user_information,omitempty"`
	State                string        `json:"state"`
	CreateTime           string        `json:"create_time"`
	ModifyTime           string        `json:"modify_time"`
}

type jumpInfo struct {
	Price     *int   `json:"price,omitempty"` // of purchase_information only
	JumpAppID string `json:"jump_appid,omitempty"`
	JumpPath  string `json:"jump_path,omitempty"`
}

type dateInfo struct {
	Type      string `json:"type"`
	BeginTime string `json:"available_begin_time,omitempty"`
	EndTime   string `json:"available_end_time,omitempty"`
	Days      *int   `json:"available_day_after_receive,omitempty"`
}

type userInfoForm struct {
	CommonFieldList []string          `json:"common_field_list,omitempty"`
	CustomFieldList []customFieldForm `json:"custom_field_list,omitempty"`
}

type customFieldForm struct {
	Type   string   `json:"type"`
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

type userCard struct {
	UserCardCode         string    `json:"user_card_code,omitempty"` // none until a merchant allocates it
	CardID               string    `json:"card_id"`
	OpenID               string    `json:"openid,omitempty"` // none after an import by phone
	CardColor            string    `json:"card_color,omitempty"`
	CardPictureURL       string    `json:"card_picture_url,omitempty"`
	BrandID              string    `json:"brand_id"`
	CardType             string    `json:"card_type"`
	PhoneNumber          string    `json:"phone_number,omitempty"`
	Level                string    `json:"level,omitempty"`
	ValidDateInformation dateInfo  `json:"valid_date_information"`
	PickupTime           string    `json:"pickup_time"`
	UserInformation      *userInfo `json:"user_information,omitempty"`
	Attach               string    `json:"attach,omitempty"`
	UserCardState        string    `json:"user_card_state"`
	InvalidReason        string    `json:"invalid_reason,omitempty"`
	InvalidTime          string    `json:"invalid_time,omitempty"`
	CreateTime           string    `json:"create_time"`
	ModifyTime           string    `json:"modify_time"`

	points  int64
	deleted bool // by the user
}

type userInfo struct {
	CommonFieldList []commonField `json:"common_field_list,omitempty"`
	CustomFieldList []customField `json:"custom_field_list,omitempty"`
}

type commonField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type customField struct {
	Name             string   `json:"name"`
	UserChosenValues []string `json:"user_chosen_values"`
}

type listPage[T any] struct {
	Data       []T `json:"data,omitempty"` // the pages call it optional: it is not there when it is empty
	TotalCount int `json:"total_count"`
	Offset     int `json:"offset"`
	Limit      int `json:"limit"`
}

var zone = time.FixedZone("", 8*60*60)

// formatTime writes a time with milliseconds, as every official sample has it.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02T15:04:05.000-07:00")
}

// inOneForm returns a time of a request as the service's answers have it.
func inOneForm(text string) string {
	if text == "" {
		return ""
	}
	return formatTime(parseTime(text))
}

func (d *dateInfo) inOneForm() *dateInfo {
	if d == nil {
		return nil
	}
	return &dateInfo{Type: d.Type, BeginTime: inOneForm(d.BeginTime), EndTime: inOneForm(d.EndTime), Days: d.Days}
}

func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

// ends returns when a validity is over that began with the receipt; zero: never. Days are natural ones (自然日).
func (d dateInfo) ends(receipt time.Time) time.Time {
	switch {
	case d.Type == "FIX_TIME_RANGE":
		return parseTime(d.EndTime)
	case d.Type == "FIX_TERM" && d.Days != nil:
		year, month, day := receipt.In(zone).Date()
		return time.Date(year, month, day+*d.Days, 0, 0, 0, 0, zone)
	}
	return time.Time{}
}

// state returns a card's state, which changes by itself when its validity is over.
func (u *userCard) state(now time.Time) string {
	end := u.ValidDateInformation.ends(parseTime(u.PickupTime))
	if u.UserCardState == "EFFECTIVE" && !end.IsZero() && !now.Before(end) {
		return "EXPIRED"
	}
	return u.UserCardState
}

// answer returns the card as it is sent: sensitive values sealed for the merchant.
func (u *userCard) answer(merchant *rsa.PublicKey) userCard {
	sealed := *u
	sealed.UserCardState = u.state(time.Now())
	sealed.PhoneNumber = sealFor(merchant, u.PhoneNumber)
	if u.UserInformation != nil {
		info := userInfo{
			CommonFieldList: slices.Clone(u.UserInformation.CommonFieldList),
			CustomFieldList: slices.Clone(u.UserInformation.CustomFieldList),
		}
		for i := range info.CommonFieldList {
			info.CommonFieldList[i].Value = sealFor(merchant, info.CommonFieldList[i].Value)
		}
		for i, custom := range info.CustomFieldList {
			values := make([]string, len(custom.UserChosenValues))
			for j, value := range custom.UserChosenValues {
				values[j] = sealFor(merchant, value)
			}
			info.CustomFieldList[i].UserChosenValues = values
		}
		sealed.UserInformation = &info
	}
	return sealed
}

func (s *Server) findCard(id string) *card {
	for _, c := range s.cards {
		if c.CardID == id {
			return c
		}
	}
	return nil
}

func (s *Server) findUserCard(cardID, code string) *userCard {
	for _, u := range s.userCards {
		if u.CardID == cardID && u.UserCardCode == code {
			return u
		}
	}
	return nil
}

// requireCard finds the template a request is about: it must be the brand's.
func (s *Server) requireCard(in input, cardID, brandID string) (*card, *problem) {
	c := s.findCard(cardID)
	switch {
	case c == nil:
		return nil, in.refuse("会员卡模板不存在", "there is no template with this card_id")
	case c.BrandID != brandID:
		return nil, in.infer("会员卡模板不存在", "the template card_id does not belong to brand_id")
	}
	return c, nil
}

// requireUserCard finds the card a request is about: the template must be the brand's, the card the
// user's.
func (s *Server) requireUserCard(in input, brandID, cardID, code, openID string) (*userCard, *problem) {
	if _, refused := s.requireCard(in, cardID, brandID); refused != nil {
		return nil, refused
	}
	u := s.findUserCard(cardID, code)
	if u == nil || u.OpenID != openID {
		return nil, in.refuse("用户会员卡不存在", "no card has this template, code and openid")
	}
	return u, nil
}

func (s *Server) listUserCards(in input) (any, *problem) {
	var found []*userCard
	for _, u := range s.userCards {
		state := in.query["user_card_state"]
		if u.BrandID == in.query["brand_id"] && u.OpenID == in.query["openid"] && (state == "" || u.state(time.Now()) == state) {
			found = append(found, u)
		}
	}
	cut := paginate(found, in)
	answer := listPage[userCard]{TotalCount: cut.TotalCount, Offset: cut.Offset, Limit: cut.Limit}
	for _, u := range cut.Data {
		answer.Data = append(answer.Data, u.answer(s.merchant()))
	}
	return answer, nil
}

func paginate[T any](all []T, in input) listPage[T] {
	from, _ := strconv.Atoi(in.query["offset"])
	size, _ := strconv.Atoi(in.query["limit"])
	p := listPage[T]{TotalCount: len(all), Offset: from, Limit: size}
	if from < len(all) {
		p.Data = all[from:min(from+size, len(all))]
	}
	return p
}

func (s *Server) getUserCard(in input) (any, *problem) {
	u, refused := s.requireUserCard(in, in.query["brand_id"], in.query["card_id"], in.path["user_card_code"], in.query["openid"])
	if refused != nil {
		return nil, refused
	}
	return u.answer(s.merchant()), nil
}

// userCardChange is what several operations can set on a user card.
type userCardChange struct {
	BrandID              string    `json:"brand_id"`
	CardID               string    `json:"card_id"`
	OpenID               string    `json:"openid"`
	UserCardCode         string    `json:"user_card_code"`
	CardColor            *string   `json:"card_color"`
	CardPictureURL       *string   `json:"card_picture_url"`
	PhoneNumber          *string   `json:"phone_number"`
	Level                *string   `json:"level"`
	ValidDateInformation *dateInfo `json:"valid_date_information"`
	UserInformation      *struct {
		CommonFieldList *[]commonField `json:"common_field_list"`
		CustomFieldList *[]customField `json:"custom_field_list"`
	} `json:"user_information"`
	Attach               *string `json:"attach"`
	PickupTime           *string `json:"pickup_time"`
	UserCardConfirmState string  `json:"user_card_confirm_state"`
}

func (change *userCardChange) apply(u *userCard) {
	set(&u.CardColor, change.CardColor)
	set(&u.CardPictureURL, change.CardPictureURL)
	set(&u.PhoneNumber, change.PhoneNumber)
	set(&u.Level, change.Level)
	set(&u.Attach, change.Attach)
	set(&u.ValidDateInformation, change.ValidDateInformation.inOneForm())
	if change.PickupTime != nil {
		u.PickupTime = inOneForm(*change.PickupTime)
	}
	if info := change.UserInformation; info != nil {
		if u.UserInformation == nil {
			u.UserInformation = &userInfo{}
		}
		set(&u.UserInformation.CommonFieldList, info.CommonFieldList)
		set(&u.UserInformation.CustomFieldList, info.CustomFieldList)
	}
	u.ModifyTime = formatTime(time.Now())
}

// decode reads a body that validate has let pass.
func decode[T any](in input) (value T) {
	if err := json.Unmarshal(in.body, &value); err != nil {
		panic(err)
	}
	return value
}

// check checks a change by the rules of the card's template.
func (change *userCardChange) check(in input, template *card) *problem {
	if refused := checkDates(in, template.ValidDateInformation.Type, change.ValidDateInformation); refused != nil {
		return refused
	}
	return change.checkAnswers(in, template)
}

// checkDates checks a validity. templateType is the type that it must have; empty: any.
func checkDates(in input, templateType string, d *dateInfo) *problem {
	if d == nil {
		return nil
	}
	switch {
	case templateType != "" && d.Type != templateType:
		return in.refuse("卡模版有效期类型和请求的有效期类型不一致", "the validity is not of the template's type")
	case d.Type == "FIX_TIME_RANGE" && (d.BeginTime == "" || d.EndTime == ""):
		return in.refuse("绝对有效期卡模板必填有效期信息", "type FIX_TIME_RANGE needs available_begin_time and available_end_time")
	case d.Type == "FIX_TIME_RANGE" && d.Days != nil:
		return in.refuse("固定时间范围不允许填写领取后有效天数", "type FIX_TIME_RANGE takes no available_day_after_receive")
	case d.Type == "FIX_TIME_RANGE" && parseTime(d.BeginTime).After(parseTime(d.EndTime)):
		return in.refuse("固定时间范围的开始时间不能大于结束时间", "available_begin_time is after available_end_time")
	case d.Type == "FIX_TERM" && (d.Days == nil || d.BeginTime != "" || d.EndTime != ""):
		return in.refuse("相对有效期卡模板必填有效天数信息", "type FIX_TERM needs available_day_after_receive and takes no times")
	case d.Type == "FIX_TERM" && *d.Days <= 0:
		return in.refuse("领取后有效天数必须大于0", "available_day_after_receive must be above 0")
	case d.Type == "FIX_TERM" && *d.Days > 10958:
		return in.refuse("领取后有效天数不能大于30年", "available_day_after_receive must be at most 10958")
	case d.Type == "PERMANENT" && d.Days != nil:
		return in.refuse("永久有效不允许设置相对有效期", "type PERMANENT takes no available_day_after_receive")
	case d.Type == "PERMANENT" && d.BeginTime != "":
		return in.refuse("永久有效不允许设置固定时间有效的开始时间", "type PERMANENT takes no available_begin_time")
	case d.Type == "PERMANENT" && d.EndTime != "":
		return in.refuse("永久有效不允许设置固定时间有效的结束时间", "type PERMANENT takes no available_end_time")
	}
	return nil
}

// checkAnswers checks the answers to what the template asks of its users.
func (change *userCardChange) checkAnswers(in input, template *card) *problem {
	if change.UserInformation == nil {
		return nil
	}
	form := userInfoForm{}
	if template.UserInformation != nil {
		form = *template.UserInformation
	}
	var answered []string
	if list := change.UserInformation.CommonFieldList; list != nil {
		for _, answer := range *list {
			switch {
			case slices.Contains(answered, answer.Name):
				return in.refuse("用户信息通用字段存在重复项", "a common field is answered twice")
			case !slices.Contains(form.CommonFieldList, answer.Name):
				return in.refuse("请求的用户信息通用字段未定义在卡模版中", "the template does not ask for "+answer.Name)
			}
			if refused := checkAnswer(in, answer); refused != nil {
				return refused
			}
			answered = append(answered, answer.Name)
		}
	}
	if list := change.UserInformation.CustomFieldList; list != nil {
		for _, answer := range *list {
			at := slices.IndexFunc(form.CustomFieldList, func(f customFieldForm) bool { return f.Name == answer.Name })
			if at < 0 {
				return in.refuse("自定义字段未定义在卡模版中", "the template has no custom field of this name")
			}
			asked := form.CustomFieldList[at]
			for _, value := range answer.UserChosenValues {
				if !slices.Contains(asked.Values, value) {
					return in.refuse("用户选择的值的字符串非法", "a chosen value is none of the template's")
				}
			}
			if asked.Type == "RADIO" && len(answer.UserChosenValues) > 1 {
				return in.infer("用户选择的值的字符串非法", "a custom field of type RADIO takes one value")
			}
		}
	}
	return nil
}

var emailForm = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)

// checkAnswer checks the format of an answer that has one.
func checkAnswer(in input, answer commonField) *problem {
	switch answer.Name {
	case "USER_FORM_FLAG_SEX":
		if answer.Value != "男" && answer.Value != "女" {
			return in.refuse("性别格式不正确", "the sex must be 男 or 女")
		}
	case "USER_FORM_FLAG_BIRTHDAY":
		if _, err := time.Parse(time.DateOnly, answer.Value); err != nil {
			return in.refuse("生日格式不正确", "the birthday must be a date such as 2000-01-31")
		}
	case "USER_FORM_FLAG_EMAIL":
		if !emailForm.MatchString(answer.Value) {
			return in.refuse("邮箱格式不正确", "the email is no address")
		}
	}
	return nil
}

func (s *Server) updateUserCard(in input) (any, *problem) {
	change := decode[userCardChange](in)
	u, refused := s.requireUserCard(in, change.BrandID, in.id("card_id"), in.path["user_card_code"], change.OpenID)
	if refused != nil {
		return nil, refused
	}
	if refused := change.check(in, s.findCard(u.CardID)); refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, u.UserCardCode}]++
	if state := u.state(time.Now()); state != "EFFECTIVE" {
		return nil, in.refuse("用户卡状态不正确", "the card is not effective but "+state)
	}
	change.apply(u)
	return u.answer(s.merchant()), nil
}

// findMember finds the card that a user has of a template, in this state.
func (s *Server) findMember(cardID, openID, state string) *userCard {
	now := time.Now()
	for _, u := range s.userCards {
		if u.CardID == cardID && u.OpenID == openID && openID != "" && u.state(now) == state {
			return u
		}
	}
	return nil
}

// confirmUserCard completes an opening. With MERCHANT_ALLOCATE it gives the card its code.
func (s *Server) confirmUserCard(in input) (any, *problem) {
	change := decode[userCardChange](in)
	template, refused := s.requireCard(in, in.id("card_id"), change.BrandID)
	if refused != nil {
		return nil, refused
	}
	if refused := change.check(in, template); refused != nil {
		return nil, refused
	}
	code := in.path["user_card_code"]
	if same := s.findUserCard(template.CardID, code); same != nil && same.OpenID == change.OpenID {
		s.effects[effect{in.operation, code}]++
	}
	u := s.findMember(template.CardID, change.OpenID, "UNACTIVATED")
	switch {
	case u == nil:
		return nil, in.refuse("用户不存在未激活的会员卡", "the user has no card that waits for a confirm")
	case u.UserCardCode == "" && s.findUserCard(template.CardID, code) != nil:
		return nil, in.refuse("code 已存在", "the template has a card with this code")
	case u.UserCardCode != "" && u.UserCardCode != code:
		return nil, in.refuse("会员卡号分配方式为系统分配", "the card has the code that WeChat Pay gave it")
	}
	if u.UserCardCode == "" {
		s.effects[effect{in.operation, code}]++
	}
	u.UserCardCode = code
	change.apply(u)
	u.UserCardState = "EFFECTIVE"
	if change.UserCardConfirmState == "CREATE_CARD_FAIL" {
		u.UserCardState, u.InvalidTime = "INVALID", formatTime(time.Now())
	}
	return u.answer(s.merchant()), nil
}

// importUserCard imports a member, by openid or, withdrawn, by phone.
func (s *Server) importUserCard(in input) (any, *problem) {
	change := decode[userCardChange](in)
	template := s.findCard(change.CardID)
	if template == nil || template.BrandID != change.BrandID {
		return nil, in.infer("会员卡模板无效", "there is no such template of brand_id")
	}
	if refused := change.check(in, template); refused != nil {
		return nil, refused
	}
	now := time.Now()
	u := &userCard{
		UserCardCode: change.UserCardCode, CardID: template.CardID, OpenID: change.OpenID, BrandID: template.BrandID,
		CardType: template.CardType, ValidDateInformation: template.ValidDateInformation, PickupTime: formatTime(now),
		UserCardState: "EFFECTIVE", CreateTime: formatTime(now),
	}
	if u.ValidDateInformation.Type == "FIX_TERM" && change.PickupTime == nil {
		return nil, in.refuse("固定时间范围必填领取时间", "pickup_time is required with a validity of type FIX_TERM")
	}
	change.apply(u)
	s.effects[effect{in.operation, u.UserCardCode}]++
	switch {
	case template.State != "CARD_EFFECTIVE":
		return nil, in.refuse("会员卡模板无效", "the template is invalid")
	case s.findMember(u.CardID, u.OpenID, "UNACTIVATED") != nil:
		return nil, in.refuse("用户已有待激活的会员卡", "the user has a card that waits for a confirm")
	case s.findMember(u.CardID, u.OpenID, "EFFECTIVE") != nil:
		return nil, in.refuse("用户已有已生效的会员卡", "the user has a card of this template")
	case slices.ContainsFunc(s.userCards, func(old *userCard) bool { return old.deleted && old.CardID == u.CardID && old.OpenID == u.OpenID }):
		return nil, in.refuse("用户主动删除了该会员卡", "the user deleted a card of this template")
	case s.findUserCard(u.CardID, u.UserCardCode) != nil:
		return nil, in.refuse("code 已存在", "the template has a card with this code")
	case parseTime(u.PickupTime).After(now):
		return nil, paramError("body", "/pickup_time", u.PickupTime, "must be in the past")
	case u.state(now) == "EXPIRED":
		return nil, in.refuse("无法导入已过期的会员卡", "the validity is over")
	}
	s.userCards = append(s.userCards, u)
	return u.answer(s.merchant()), nil
}

func set[T any](target, value *T) {
	if value != nil {
		*target = *value
	}
}

func (s *Server) invalidateUserCard(in input) (any, *problem) {
	change := decode[struct {
		OpenID        string `json:"openid"`
		InvalidReason string `json:"invalid_reason"`
	}](in)
	u, refused := s.requireUserCard(in, in.id("brand_id"), in.id("card_id"), in.path["user_card_code"], change.OpenID)
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, u.UserCardCode}]++
	if state := u.state(time.Now()); state != "EFFECTIVE" && state != "UNACTIVATED" {
		return nil, in.refuse("用户卡状态不正确", "the card is "+state+" already")
	}
	now := formatTime(time.Now())
	u.UserCardState, u.InvalidReason, u.InvalidTime, u.ModifyTime = "INVALID", change.InvalidReason, now, now
	return u.answer(s.merchant()), nil
}
