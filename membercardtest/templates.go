package membercardtest

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/wechatpay-cards/membercard"
)

func jump(name string, extra ...parameter) parameter {
	return parameter{name: name, kind: object, members: append([]parameter{
		{name: "jump_appid", max: 32}, {name: "jump_path", max: 128},
	}, extra...)}
}

func templateRoutes() []*route {
	form := parameter{name: "user_information", kind: object, members: []parameter{
		{name: "common_field_list", kind: list, enum: []string{
			"USER_FORM_FLAG_SEX", "USER_FORM_FLAG_NAME", "USER_FORM_FLAG_BIRTHDAY",
			"USER_FORM_FLAG_ADDRESS", "USER_FORM_FLAG_EMAIL", "USER_FORM_FLAG_CITY",
		}},
		{name: "custom_field_list", kind: list, max: 1, members: []parameter{
			{name: "type", required: true, enum: []string{"CHECK_BOX", "RADIO"}},
			{name: "name", required: true, max: 32},
			{name: "values", kind: list, required: true, max: 10, elementMax: 8},
		}},
	}}
	title := parameter{name: "card_title", max: 10}
	benefits := parameter{name: "benefits", max: 32}
	notifyURL := parameter{name: "notify_url", max: 256, pattern: regexp.MustCompile(`^https?://[^?#/]+/[^?#]*$`)}
	// What both creating and changing a template can set.
	shared := []parameter{
		jump("code_jump_information"),
		{name: "need_pinned", kind: boolean},
		{name: "need_display_level", kind: boolean},
		{name: "service_phone", max: 32},
		jump("member_information"), jump("points_information"), jump("balance_information"),
		jump("purchase_information", parameter{name: "price", kind: integer}), form,
	}
	picture := pictureURL
	change := append([]parameter{brandID, title, cardColor, picture, benefits, notifyURL, validDateInformation}, shared...)
	create := append([]parameter{
		outRequestNo, brandID,
		{name: "appid", required: true, max: 32},
		{name: "card_type", required: true, enum: []string{"NORMAL", "PURCHASE", "BALANCE"}},
		title.must(), cardColor.must(), picture.must(), benefits.must(), notifyURL.must(), validDateInformation.must(),
		{name: "code_mode", required: true, enum: []string{"SYSTEM_ALLOCATE", "MERCHANT_ALLOCATE"}},
		{name: "code_type", required: true, enum: []string{"NONE_CODE", "BAR_CODE", "QR_CODE", "BAR_CODE_AND_QR_CODE", "JUMP_MINI_PROGRAM"}},
		{name: "init_level", max: 10},
		{name: "legal_agreement", max: 20480},
	}, shared...)
	return []*route{
		{
			operation: membercard.OperationCreateCard, method: http.MethodPost, path: pathOf("cards"), body: create,
			handle: (*Server).createCard,
		},
		{
			operation: membercard.OperationListCards, method: http.MethodGet, path: pathOf("cards"),
			query: []parameter{
				brandID, {name: "state", enum: []string{"CARD_EFFECTIVE", "CARD_INVALID"}}, offset, limit,
			},
			handle: (*Server).listCards,
		},
		{
			operation: membercard.OperationGetCard, method: http.MethodGet, path: pathOf("cards/{card_id}"),
			pathIn: []parameter{cardID}, query: []parameter{brandID}, handle: (*Server).getCard,
		},
		{
			operation: membercard.OperationUpdateCard, method: http.MethodPatch, path: pathOf("cards/{card_id}"),
			pathIn: []parameter{cardID}, body: change, handle: (*Server).updateCard,
		},
		{
			operation: membercard.OperationInvalidateCard, method: http.MethodPost, path: pathOf("cards/{card_id}/invalidate"),
			pathIn: []parameter{cardID}, body: []parameter{brandID}, handle: (*Server).invalidateCard,
		},
	}
}

// numbered is what was done under a request number. A repeat with the same content is answered with what
// was made then, one with other content is refused.
type numbered struct {
	content []byte
	made    any
}

// under does something once for each request number of an operation.
func (s *Server) under(operation membercard.Operation, number string, in input, do func() (any, *problem)) (any, *problem) {
	key := effect{operation, number}
	if before, ok := s.numbers[key]; ok {
		if !bytes.Equal(before.content, in.body) {
			return nil, alreadyExists()
		}
		return before.made, nil
	}
	made, refused := do()
	if refused == nil {
		s.numbers[key] = numbered{in.body, made}
	}
	return made, refused
}

func (s *Server) createCard(in input) (any, *problem) {
	c := decode[card](in)
	switch {
	case c.CardType != "NORMAL":
		return nil, invalidRequest("暂不支持该会员卡类型", "only cards of type NORMAL can be created so far")
	case c.CodeType == "JUMP_MINI_PROGRAM" && c.CodeJumpInformation == nil:
		return nil, paramError("body", "/code_jump_information", nil, "is required with code_type JUMP_MINI_PROGRAM")
	case c.NeedDisplayLevel && c.InitLevel == "":
		return nil, paramError("body", "/init_level", nil, "is required with need_display_level")
	}
	made, refused := s.under(membercard.OperationCreateCard, c.OutRequestNo, in, func() (any, *problem) {
		s.effects[effect{membercard.OperationCreateCard, c.OutRequestNo}]++
		now := formatTime(time.Now())
		c.CardID, c.State, c.CreateTime, c.ModifyTime = "pbLatjvWOibDc5-"+randomHex(6), "CARD_EFFECTIVE", now, now
		s.cards = append(s.cards, &c)
		return &c, nil
	})
	if refused != nil {
		return nil, refused
	}
	return *made.(*card), nil // as it is by now
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

func (s *Server) requireCard(cardID, brandID string) (*card, *problem) {
	c := s.findCard(cardID)
	if c == nil || c.BrandID != brandID {
		return nil, notOfBrand()
	}
	return c, nil
}

func (s *Server) getCard(in input) (any, *problem) {
	c, refused := s.requireCard(in.path["card_id"], in.query["brand_id"])
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
	c, refused := s.requireCard(in.path["card_id"], change.BrandID)
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationUpdateCard, c.CardID}]++
	if c.State == "CARD_INVALID" {
		return nil, invalidRequest("会员卡模板已失效", "the template is invalid")
	}
	set(&c.CardTitle, change.CardTitle)
	set(&c.CardColor, change.CardColor)
	set(&c.CardPictureURL, change.CardPictureURL)
	set(&c.Benefits, change.Benefits)
	set(&c.NotifyURL, change.NotifyURL)
	set(&c.NeedPinned, change.NeedPinned)
	set(&c.NeedDisplayLevel, change.NeedDisplayLevel)
	set(&c.ServicePhone, change.ServicePhone)
	set(&c.ValidDateInformation, change.ValidDateInformation)
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
	c, refused := s.requireCard(in.path["card_id"], in.id("brand_id"))
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{membercard.OperationInvalidateCard, c.CardID}]++
	if c.State == "CARD_INVALID" {
		return nil, invalidRequest("会员卡模板已失效", "the template is invalid already")
	}
	c.State, c.ModifyTime = "CARD_INVALID", formatTime(time.Now())
	return *c, nil
}

// OpenUserCard does what a user does who joins through the joining component or the brand's page: the card
// is there, but unactivated until the merchant confirms it. It has a code only if WeChat Pay allocates it.
// It panics when there is no such template in effect, or the user has a card of it that is not invalid.
func (s *Server) OpenUserCard(cardID, openID string) membercard.UserCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	template := s.findCard(cardID)
	if template == nil || template.State != "CARD_EFFECTIVE" {
		panic(fmt.Sprintf("membercardtest: OpenUserCard: there is no template %s in effect", cardID))
	}
	if slices.ContainsFunc(s.userCards, func(u *userCard) bool {
		return u.CardID == cardID && u.OpenID == openID && u.UserCardState != "INVALID"
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
