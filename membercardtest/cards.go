package membercardtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// The parameters that the pages share.
var (
	brandID      = parameter{name: "brand_id", required: true, max: 32}
	cardID       = parameter{name: "card_id", required: true, max: 32}
	openID       = parameter{name: "openid", required: true, max: 128}
	userCardCode = parameter{name: "user_card_code", required: true, max: 32, pattern: regexp.MustCompile(`^[!-~]+$`)}
	cardColor    = parameter{name: "card_color", max: 7, pattern: regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)}
	pictureURL   = parameter{name: "card_picture_url", max: 256, pattern: regexp.MustCompile(`^https?://([a-z0-9-]+\.)*qpic\.cn/`)}
	phoneNumber  = parameter{name: "phone_number", max: 512, sealed: true}
	level        = parameter{name: "level", max: 10}
	outRequestNo = parameter{name: "out_request_no", required: true, max: 128, pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+$`)}
	attach       = parameter{name: "attach", max: 256}
	offset       = parameter{name: "offset", kind: integer, required: true}
	limit        = parameter{name: "limit", kind: integer, required: true, min: 1, max: 20}

	validDateInformation = parameter{
		name: "valid_date_information", kind: object, check: checkDateInfo,
		members: []parameter{
			{name: "type", required: true, enum: []string{"FIX_TIME_RANGE", "FIX_TERM", "PERMANENT"}},
			{name: "available_begin_time", max: 32, time: true},
			{name: "available_end_time", max: 32, time: true},
			{name: "available_day_after_receive", kind: integer, min: 1, max: 10957},
		},
	}
	userInformation = parameter{
		name: "user_information", kind: object,
		members: []parameter{
			{name: "common_field_list", kind: list, members: []parameter{
				{name: "name", required: true, enum: []string{
					"USER_FORM_FLAG_SEX", "USER_FORM_FLAG_NAME", "USER_FORM_FLAG_BIRTHDAY",
					"USER_FORM_FLAG_ADDRESS", "USER_FORM_FLAG_EMAIL", "USER_FORM_FLAG_CITY",
				}},
				{name: "value", required: true, sealed: true},
			}},
			{name: "custom_field_list", kind: list, max: 1, members: []parameter{
				{name: "name", required: true, max: 32},
				{name: "user_chosen_values", kind: list, required: true, sealed: true},
			}},
		},
	}
)

const base = "v3/brand/partner/card-member/"

func pathOf(p string) []string { return strings.Split(base+p, "/") }

var routes = sync.OnceValue(func() []*route {
	return slices.Concat(templateRoutes(), userCardRoutes(), pointsRoutes(), activityRoutes(), componentRoutes(), certificateRoutes())
})

func userCardRoutes() []*route {
	change := []parameter{
		cardColor, pictureURL, phoneNumber, level, validDateInformation, userInformation, attach,
	}
	importing := []parameter{
		brandID, cardID, userCardCode, cardColor, pictureURL, level, userInformation, validDateInformation,
		{name: "pickup_time", max: 32, time: true},
	}
	return []*route{
		{
			operation: membercard.OperationListUserCards, method: http.MethodGet, path: pathOf("user-cards"),
			query: []parameter{
				brandID, openID,
				{name: "user_card_state", enum: []string{"UNACTIVATED", "EFFECTIVE", "EXPIRED", "INVALID"}},
				offset, limit,
			},
			handle: (*Server).listUserCards,
		},
		{
			operation: membercard.OperationGetUserCard, method: http.MethodGet, path: pathOf("user-cards/{user_card_code}"),
			pathIn: []parameter{userCardCode}, query: []parameter{brandID, cardID, openID},
			handle: (*Server).getUserCard,
		},
		{
			operation: membercard.OperationUpdateUserCard, method: http.MethodPatch, path: pathOf("user-cards/{user_card_code}"),
			pathIn: []parameter{userCardCode}, query: []parameter{cardID}, contested: []string{"card_id"},
			body:   slices.Concat([]parameter{brandID, openID}, change),
			serial: true, handle: (*Server).updateUserCard,
		},
		{
			operation: membercard.OperationInvalidateUserCard, method: http.MethodPost, path: pathOf("user-cards/{user_card_code}/invalidate"),
			pathIn: []parameter{userCardCode}, query: []parameter{brandID, cardID}, contested: []string{"brand_id", "card_id"},
			body:   []parameter{openID, {name: "invalid_reason", max: 32}},
			handle: (*Server).invalidateUserCard,
		},
		{
			operation: membercard.OperationConfirmUserCard, method: http.MethodPost, path: pathOf("user-cards/{user_card_code}/confirm"),
			pathIn: []parameter{userCardCode}, query: []parameter{cardID}, contested: []string{"card_id"},
			body: slices.Concat([]parameter{
				brandID, openID,
				{name: "user_card_confirm_state", required: true, enum: []string{"CREATE_CARD_SUCCESS", "CREATE_CARD_FAIL", "CREATE_CARD_ALREADY_EXISTS"}},
			}, change),
			serial: true, handle: (*Server).confirmUserCard,
		},
		{
			operation: membercard.OperationImportUserCardByOpenID, method: http.MethodPost, path: pathOf("user-cards/import-by-openid"),
			body:   slices.Concat([]parameter{openID, phoneNumber}, importing),
			serial: true, handle: importUserCard(membercard.OperationImportUserCardByOpenID),
		},
		{
			operation: membercard.OperationImportUserCardByPhone, method: http.MethodPost, path: pathOf("user-cards/import-by-phone"),
			body:   slices.Concat([]parameter{{name: "phone_number", required: true, max: 512, sealed: true}}, importing),
			serial: true, handle: importUserCard(membercard.OperationImportUserCardByPhone),
		},
	}
}

// checkDateInfo demands what belongs to a kind of validity. What is too much passes: the official
// samples carry it.
func checkDateInfo(members map[string]any) error {
	demand := func(names ...string) error {
		for _, name := range names {
			if members[name] == nil {
				return fmt.Errorf("type %v needs %s", members["type"], name)
			}
		}
		return nil
	}
	switch members["type"] {
	case "FIX_TIME_RANGE":
		if err := demand("available_begin_time", "available_end_time"); err != nil {
			return err
		}
		if !parseTime(members["available_begin_time"].(string)).Before(parseTime(members["available_end_time"].(string))) {
			return errors.New("available_begin_time must be before available_end_time")
		}
	case "FIX_TERM":
		return demand("available_day_after_receive")
	}
	return nil
}

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

	points int64
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

type page[T any] struct {
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

func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

// state returns a card's state, which changes by itself when its validity is over.
func (u *userCard) state(now time.Time) string {
	if u.UserCardState != "EFFECTIVE" {
		return u.UserCardState
	}
	end := time.Time{}
	switch v := u.ValidDateInformation; v.Type {
	case "FIX_TIME_RANGE":
		end = parseTime(v.EndTime)
	case "FIX_TERM":
		if v.Days != nil {
			end = parseTime(u.PickupTime).AddDate(0, 0, *v.Days)
		}
	}
	if !end.IsZero() && now.After(end) {
		return "EXPIRED"
	}
	return u.UserCardState
}

// answer returns the card as it is sent: sensitive values sealed for the merchant.
func (u *userCard) answer() userCard {
	sealed := *u
	sealed.UserCardState = u.state(time.Now())
	sealed.PhoneNumber = sealForMerchant(u.PhoneNumber)
	if u.UserInformation != nil {
		info := userInfo{
			CommonFieldList: slices.Clone(u.UserInformation.CommonFieldList),
			CustomFieldList: slices.Clone(u.UserInformation.CustomFieldList),
		}
		for i := range info.CommonFieldList {
			info.CommonFieldList[i].Value = sealForMerchant(info.CommonFieldList[i].Value)
		}
		for i, custom := range info.CustomFieldList {
			values := make([]string, len(custom.UserChosenValues))
			for j, value := range custom.UserChosenValues {
				values[j] = sealForMerchant(value)
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

// requireUserCard finds the card a request is about: the template must be the brand's, the card the
// user's.
func (s *Server) requireUserCard(brandID, cardID, code, openID string) (*userCard, *problem) {
	template := s.findCard(cardID)
	if template == nil || template.BrandID != brandID {
		return nil, notOfBrand()
	}
	u := s.findUserCard(cardID, code)
	if u == nil || u.OpenID != openID {
		return nil, noSuchUserCard()
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
	answer := page[userCard]{TotalCount: cut.TotalCount, Offset: cut.Offset, Limit: cut.Limit}
	for _, u := range cut.Data {
		answer.Data = append(answer.Data, u.answer())
	}
	return answer, nil
}

func paginate[T any](all []T, in input) page[T] {
	from, _ := strconv.Atoi(in.query["offset"])
	size, _ := strconv.Atoi(in.query["limit"])
	p := page[T]{TotalCount: len(all), Offset: from, Limit: size}
	if from < len(all) {
		p.Data = all[from:min(from+size, len(all))]
	}
	return p
}

func (s *Server) getUserCard(in input) (any, *problem) {
	u, refused := s.requireUserCard(in.query["brand_id"], in.query["card_id"], in.path["user_card_code"], in.query["openid"])
	if refused != nil {
		return nil, refused
	}
	return u.answer(), nil
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
	set(&u.ValidDateInformation, change.ValidDateInformation)
	set(&u.PickupTime, change.PickupTime)
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

func (s *Server) updateUserCard(in input) (any, *problem) {
	change := decode[userCardChange](in)
	u, refused := s.requireUserCard(change.BrandID, in.id("card_id"), in.path["user_card_code"], change.OpenID)
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationUpdateUserCard, u.UserCardCode}]++
	if u.UserCardState == "INVALID" {
		return nil, invalidRequest("用户会员卡已失效", "the card is invalid")
	}
	change.apply(u)
	return u.answer(), nil
}

// confirmUserCard completes an opening. With MERCHANT_ALLOCATE it gives the card its code.
func (s *Server) confirmUserCard(in input) (any, *problem) {
	change := decode[userCardChange](in)
	template := s.findCard(in.id("card_id"))
	if template == nil || template.BrandID != change.BrandID {
		return nil, notOfBrand()
	}
	code := in.path["user_card_code"]
	u := s.findUserCard(template.CardID, code)
	if u == nil && template.CodeMode == "MERCHANT_ALLOCATE" {
		for _, opened := range s.userCards {
			if opened.CardID == template.CardID && opened.OpenID == change.OpenID && opened.UserCardCode == "" {
				u = opened
			}
		}
	}
	if u == nil || u.OpenID != change.OpenID {
		return nil, noSuchUserCard()
	}
	s.effects[effect{membercard.OperationConfirmUserCard, code}]++
	if u.UserCardState != "UNACTIVATED" {
		return nil, invalidRequest("用户会员卡已开通", "the card waits for no confirm, it is "+u.UserCardState)
	}
	u.UserCardCode = code
	change.apply(u)
	u.UserCardState = "EFFECTIVE"
	if change.UserCardConfirmState == "CREATE_CARD_FAIL" {
		u.UserCardState, u.InvalidTime = "INVALID", formatTime(time.Now())
	}
	return u.answer(), nil
}

func importUserCard(operation membercard.Operation) func(*Server, input) (any, *problem) {
	return func(s *Server, in input) (any, *problem) {
		change := decode[userCardChange](in)
		template := s.findCard(change.CardID)
		if template == nil || template.BrandID != change.BrandID {
			return nil, notOfBrand()
		}
		valid := template.ValidDateInformation
		if valid.Type == "FIX_TERM" && change.PickupTime == nil {
			return nil, paramError("body", "/pickup_time", nil, "is required with a validity of type FIX_TERM")
		}
		s.effects[effect{operation, change.UserCardCode}]++
		switch {
		case template.State != "CARD_EFFECTIVE":
			return nil, invalidRequest("会员卡模板已失效", "the template is invalid")
		case s.findUserCard(template.CardID, change.UserCardCode) != nil:
			return nil, invalidRequest("会员卡code已存在", "the template has a card with this code")
		case change.ValidDateInformation != nil && change.ValidDateInformation.Type != valid.Type:
			return nil, invalidRequest("有效期类型与会员卡模板不一致", "the validity is not of the template's type")
		}
		now := formatTime(time.Now())
		u := &userCard{
			UserCardCode: change.UserCardCode, CardID: template.CardID, OpenID: change.OpenID, BrandID: template.BrandID,
			CardType: template.CardType, ValidDateInformation: valid, PickupTime: now, UserCardState: "EFFECTIVE", CreateTime: now,
		}
		change.apply(u)
		s.userCards = append(s.userCards, u)
		return u.answer(), nil
	}
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
	u, refused := s.requireUserCard(in.id("brand_id"), in.id("card_id"), in.path["user_card_code"], change.OpenID)
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationInvalidateUserCard, u.UserCardCode}]++
	if u.UserCardState == "INVALID" {
		return nil, invalidRequest("用户会员卡已失效", "the card is invalid already")
	}
	now := formatTime(time.Now())
	u.UserCardState, u.InvalidReason, u.InvalidTime, u.ModifyTime = "INVALID", change.InvalidReason, now, now
	return u.answer(), nil
}
