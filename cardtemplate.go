package membercard

import (
	"context"
	"iter"
)

// CreateCardRequest describes a new template. What is not marked optional is required; [Card] says what
// the fields mean.
type CreateCardRequest struct {
	OutRequestNo         string        `json:"out_request_no" in:"body"` // 商家请求单号, at most 128 characters of A-Z a-z 0-9 - _; identifies the creation
	BrandID              string        `json:"brand_id" in:"body"`
	AppID                string        `json:"appid" in:"body"`                           // must be bound to the brand
	CardType             CardType      `json:"card_type" in:"body"`                       // only CardTypeNormal works today
	CardTitle            string        `json:"card_title" in:"body"`                      // at most 10 characters
	CardColor            string        `json:"card_color" in:"body"`                      // #RRGGBB
	CardPictureURL       string        `json:"card_picture_url" in:"body"`                // from UploadImage, a picture below 1 MB, 716 by 320 pixels
	CodeMode             CodeMode      `json:"code_mode" in:"body"`                       // cannot be changed later
	CodeType             CodeType      `json:"code_type" in:"body"`                       // cannot be changed later
	CodeJumpInformation  *CodeJumpInfo `json:"code_jump_information,omitempty" in:"body"` // optional, but required with CodeTypeJumpMiniProgram
	Benefits             string        `json:"benefits" in:"body"`                        // at most 32 characters
	NotifyURL            string        `json:"notify_url" in:"body"`                      // https, without a query, at most 256 characters
	NeedPinned           bool          `json:"need_pinned,omitempty" in:"body"`           // optional
	NeedDisplayLevel     bool          `json:"need_display_level,omitempty" in:"body"`    // optional
	InitLevel            string        `json:"init_level,omitempty" in:"body"`            // optional, but required with NeedDisplayLevel; at most 10 characters
	ServicePhone         string        `json:"service_phone,omitempty" in:"body"`         // optional, at most 32 characters
	LegalAgreement       string        `json:"legal_agreement" in:"body"`                 // at most 20480 characters, plain text without links
	ValidDateInformation DateInfo      `json:"valid_date_information" in:"body"`
	MemberInformation    *MemberInfo   `json:"member_information" in:"body"`             // with both members
	PointsInformation    *PointsInfo   `json:"points_information,omitempty" in:"body"`   // optional
	BalanceInformation   *BalanceInfo  `json:"balance_information,omitempty" in:"body"`  // optional
	PurchaseInformation  *PurchaseInfo `json:"purchase_information,omitempty" in:"body"` // optional
	UserInformation      *UserInfoForm `json:"user_information,omitempty" in:"body"`     // optional
}

// CreateCard creates a card template (创建会员卡模板).
//
// OutRequestNo identifies the creation, and a second one is refused (商家请求单号重复, [ErrInvalidParameter]). After
// [ErrOutcomeUnknown] look for the number with [Client.AllCards] before anything else: the refusal may mean that the
// template was made.
//
// A brand has at most two templates of a type ([ErrInvalidRequest]). [ErrInvalidParameter] is also the answer to a conditional
// field that is missing or superfluous (InitLevel, CodeJumpInformation, members of ValidDateInformation). An AppID that is not
// bound to the brand is answered with it, too. So are texts or a picture that fail the content check; the message tells them
// apart.
//
// Rate limit: 10 a second for each merchant number (2025.08.01). Retried automatically after a rate limit, or when
// it is certain that nothing was sent. Document 4015336970.
func (c *Client) CreateCard(ctx context.Context, request CreateCardRequest) (*Card, error) {
	return createCard.call(ctx, c, request)
}

// ListCardsRequest asks for the templates of one brand.
type ListCardsRequest struct {
	BrandID string    `json:"brand_id" in:"query"`        // required
	State   CardState `json:"state,omitempty" in:"query"` // only templates in this state; empty: all
	Offset  int       `json:"offset" in:"query"`          // records to skip
	Limit   int       `json:"limit" in:"query"`           // page size, 1 to 20; 0 sends 20
}

// ListCardsResponse is one page of templates.
type ListCardsResponse struct {
	Data       []Card `json:"data,omitzero"`
	TotalCount int    `json:"total_count"`
	Offset     int    `json:"offset"`
	Limit      int    `json:"limit"`
}

// ListCards lists the card templates of a brand (查询会员卡模板列表), one page. [Client.AllCards] walks through all pages.
// [ErrInvalidParameter] means a Limit beyond 20, or an invalid brand or state.
//
// Rate limit: 10 a second for each merchant number (2025.08.01). A read: retried automatically. Document 4015336976.
func (c *Client) ListCards(ctx context.Context, request ListCardsRequest) (*ListCardsResponse, error) {
	if request.Limit == 0 {
		request.Limit = defaultLimit
	}
	return listCards.call(ctx, c, request)
}

// AllCards iterates over the card templates of a brand (查询会员卡模板列表) from request.Offset on. It makes one [Client.ListCards] call for
// each page when it is needed, with its limit and retries. The first error ends it. Ranging again starts over. What is added or
// removed meanwhile can shift the pages. Document 4015336976.
func (c *Client) AllCards(ctx context.Context, request ListCardsRequest) iter.Seq2[*Card, error] {
	return all(request.Offset, request.Limit, func(offset int) ([]Card, int, error) {
		request := request
		request.Offset = offset
		page, err := c.ListCards(ctx, request)
		if err != nil {
			return nil, 0, err
		}
		return page.Data, page.TotalCount, nil
	}, func(card *Card) string { return card.CardID })
}

// GetCardRequest names a template. All fields are required.
type GetCardRequest struct {
	CardID  string `json:"card_id" in:"path"`
	BrandID string `json:"brand_id" in:"query"`
}

// GetCard reads a card template (查询会员卡模板信息).
//
// [ErrNotFound] means that there is no such template, or, as far as can be inferred, that it is another brand's.
//
// Rate limit: 10 a second for each merchant number (2025.08.01). A read: retried automatically. Document 4015336974.
func (c *Client) GetCard(ctx context.Context, request GetCardRequest) (*Card, error) {
	return getCard.call(ctx, c, request)
}

// UpdateCardRequest changes a template. CardID and BrandID name it and are required; of the others at
// least one is. A nil pointer leaves the value as it is.
type UpdateCardRequest struct {
	CardID               string        `json:"card_id" in:"path"`
	BrandID              string        `json:"brand_id" in:"body"`
	CardTitle            *string       `json:"card_title,omitempty" in:"body"`       // at most 10 characters
	CardColor            *string       `json:"card_color,omitempty" in:"body"`       // #RRGGBB
	CardPictureURL       *string       `json:"card_picture_url,omitempty" in:"body"` // from UploadImage
	CodeJumpInformation  *CodeJumpInfo `json:"code_jump_information,omitempty" in:"body"`
	Benefits             *string       `json:"benefits,omitempty" in:"body"`   // at most 32 characters
	NotifyURL            *string       `json:"notify_url,omitempty" in:"body"` // https, without a query, at most 256 characters
	NeedPinned           *bool         `json:"need_pinned,omitempty" in:"body"`
	NeedDisplayLevel     *bool         `json:"need_display_level,omitempty" in:"body"`
	ServicePhone         *string       `json:"service_phone,omitempty" in:"body"` // at most 32 characters
	ValidDateInformation *DateInfo     `json:"valid_date_information,omitempty" in:"body"`
	MemberInformation    *MemberInfo   `json:"member_information,omitempty" in:"body"`
	PointsInformation    *PointsInfo   `json:"points_information,omitempty" in:"body"`
	BalanceInformation   *BalanceInfo  `json:"balance_information,omitempty" in:"body"`
	PurchaseInformation  *PurchaseInfo `json:"purchase_information,omitempty" in:"body"`
	UserInformation      *UserInfoForm `json:"user_information,omitempty" in:"body"`
}

// UpdateCard changes a card template (修改会员卡模板信息) and returns it as it is afterwards. Code mode, code type, AppID,
// card type, initial level, legal agreement and the type of the validity cannot be changed.
//
// [ErrNotFound] means that there is no such template. [ErrInvalidParameter] means that a jump lacks one of its members, or that a
// member of ValidDateInformation is missing or superfluous. It is also the answer to texts or a picture that do not pass the
// content check. After [ErrOutcomeUnknown] read the template, or send the same request again.
//
// Rate limit: 10 a second for each merchant number (2025.08.01). Retried automatically with identical bytes.
// Document 4015336977.
func (c *Client) UpdateCard(ctx context.Context, request UpdateCardRequest) (*Card, error) {
	return updateCard.call(ctx, c, request)
}

// InvalidateCardRequest names the template to invalidate. All fields are required.
type InvalidateCardRequest struct {
	CardID  string `json:"card_id" in:"path"`
	BrandID string `json:"brand_id" in:"body"`
}

// InvalidateCard invalidates a card template (作废会员卡模板): no more cards are given out from it. What becomes of those
// that users have, the page does not say. This cannot be undone.
//
// [ErrNotFound] means that there is no such template. After [ErrOutcomeUnknown] read the template with
// [Client.GetCard]: [CardStateInvalid] means it was done. What a second call is answered is not documented.
//
// Rate limit: 10 a second for each merchant number (2025.08.01). Irreversible: retried only when it is certain that
// nothing was sent. Document 4015336972.
func (c *Client) InvalidateCard(ctx context.Context, request InvalidateCardRequest) (*Card, error) {
	return invalidateCard.call(ctx, c, request)
}
