package membercard

import (
	"context"
	"iter"
)

// GetUserCardRequest names one user's card. All fields are required.
type GetUserCardRequest struct {
	BrandID      string `json:"brand_id" in:"query"`               // 品牌ID, at most 32 characters
	CardID       string `json:"card_id" in:"query"`                // template id (会员卡模板ID), at most 32 characters
	UserCardCode string `json:"user_card_code" in:"path,personal"` // card code (会员卡code), at most 32 characters: digits, Latin letters, half-width punctuation
	OpenID       string `json:"openid" in:"query,personal"`        // the user under the template's AppID (用户标识), at most 128 characters
}

// GetUserCard reads a user's card (查询用户会员卡信息).
//
// [ErrNotFound] means that there is no such card or template: check brand, template, code and openid.
// [ErrInvalidRequest] means that the openid is not one of the template's AppID.
//
// Rate limit: 10 a second for each merchant number (2025.07.25). A read: retried automatically. Document 4015336980.
func (c *Client) GetUserCard(ctx context.Context, request GetUserCardRequest) (*UserCard, error) {
	return getUserCard.call(ctx, c, request)
}

// ListUserCardsRequest asks for the cards of one user.
type ListUserCardsRequest struct {
	BrandID       string        `json:"brand_id" in:"query"`                  // required
	OpenID        string        `json:"openid" in:"query,personal"`           // required; the user under the template's AppID
	UserCardState UserCardState `json:"user_card_state,omitempty" in:"query"` // only cards in this state; empty: all
	Offset        int           `json:"offset" in:"query"`                    // records to skip
	Limit         int           `json:"limit" in:"query"`                     // page size, 1 to 20; 0 sends 20
}

// ListUserCardsResponse is one page of a user's cards.
type ListUserCardsResponse struct {
	Data       []UserCard `json:"data,omitzero"`
	TotalCount int        `json:"total_count"`
	Offset     int        `json:"offset"`
	Limit      int        `json:"limit"`
}

// ListUserCards lists the cards a user has under a brand, whatever the template (查询用户在品牌下所有会员卡): the answer to "is
// this openid a member?", one page. [Client.AllUserCards] walks through all pages. A user without a card gives an
// empty page, not an error. [ErrInvalidParameter] means a Limit beyond 20, or an invalid state; [ErrInvalidRequest]
// an openid that is not one of the brand's AppIDs.
//
// Rate limit: 10 a second for each merchant number (2025.07.25). A read: retried automatically. Document 4015336984.
func (c *Client) ListUserCards(ctx context.Context, request ListUserCardsRequest) (*ListUserCardsResponse, error) {
	if request.Limit == 0 {
		request.Limit = defaultLimit
	}
	return listUserCards.call(ctx, c, request)
}

// AllUserCards iterates over the cards of a user under a brand (查询用户在品牌下所有会员卡) from request.Offset on. It makes one
// [Client.ListUserCards] call for each page when it is needed, with its limit and retries. The first error ends it. Ranging again
// starts over. What is added or removed meanwhile can shift the pages. Document 4015336984.
func (c *Client) AllUserCards(ctx context.Context, request ListUserCardsRequest) iter.Seq2[*UserCard, error] {
	return all(request.Offset, request.Limit, func(offset int) ([]UserCard, int, error) {
		request := request
		request.Offset = offset
		page, err := c.ListUserCards(ctx, request)
		if err != nil {
			return nil, 0, err
		}
		return page.Data, page.TotalCount, nil
	}, func(card *UserCard) string { return card.CardID + " " + card.UserCardCode })
}

// UpdateUserCardRequest changes one user's card. The first four fields name it and are required; of
// the others at least one is. A nil pointer and a zero PhoneNumber leave the value as it is.
type UpdateUserCardRequest struct {
	UserCardCode         string    `json:"user_card_code" in:"path,personal"`
	CardID               string    `json:"card_id" in:"body|query"`
	BrandID              string    `json:"brand_id" in:"body"`
	OpenID               string    `json:"openid" in:"body,personal"`
	CardColor            *string   `json:"card_color,omitempty" in:"body"`       // #RRGGBB
	CardPictureURL       *string   `json:"card_picture_url,omitempty" in:"body"` // from the image upload only, at most 256 characters
	Level                *string   `json:"level,omitempty" in:"body"`            // member level (等级), at most 10 characters
	Attach               *string   `json:"attach,omitempty" in:"body"`           // merchant data (商家数据包), at most 256 characters
	PhoneNumber          Sensitive `json:"phone_number,omitzero" in:"body"`      // sent encrypted
	ValidDateInformation *DateInfo `json:"valid_date_information,omitempty" in:"body"`
	UserInformation      *UserInfo `json:"user_information,omitempty" in:"body"` // the answers are sent encrypted
}

// UpdateUserCard changes the picture, level, validity, phone number and other data of a user's card (修改用户会员卡信息) and
// returns the card as it is afterwards. The code cannot be changed.
//
// Only a card that is effective can be changed: [ErrInvalidRequest] is the answer for another, and for an openid that is not one
// of the template's AppID. [ErrNotFound] means that there is no such card or template. [ErrInvalidParameter] means a validity
// that is not of the template's type or has a superfluous member. It also means that the template does not ask for one of the
// user's answers. After [ErrOutcomeUnknown] read the card, or send the same request again: it sets values, so twice is as good as
// once. A retry, the automatic one too, overwrites what somebody else set in between; where several programs change one card, set
// [RetryPolicy].MaxAttempts to 1 and read first.
//
// card_id is in the body; see [Config].IDsInQuery.
//
// Rate limit: 10 a second for each merchant number (2025.07.25). Retried automatically with identical bytes.
// Document 4015336985.
func (c *Client) UpdateUserCard(ctx context.Context, request UpdateUserCardRequest) (*UserCard, error) {
	return updateUserCard.call(ctx, c, request)
}

// InvalidateUserCardRequest names the card to invalidate. All fields but InvalidReason are required.
type InvalidateUserCardRequest struct {
	BrandID       string `json:"brand_id" in:"body|query"`
	CardID        string `json:"card_id" in:"body|query"`
	UserCardCode  string `json:"user_card_code" in:"path,personal"`
	OpenID        string `json:"openid" in:"body,personal"`
	InvalidReason string `json:"invalid_reason,omitempty" in:"body"` // 作废原因, at most 32 characters
}

// InvalidateUserCard invalidates a user's card (作废用户会员卡) and returns it. This cannot be undone, and the service
// demands that the user was told and agreed beforehand.
//
// [ErrNotFound] means that there is no such card or template. [ErrInvalidRequest] can mean that the card is expired, or invalid
// already: a refused retry can mean that the first call was carried out. It can also mean an openid that is not one of the
// template's AppID. Read the card to tell. After [ErrOutcomeUnknown] read it with [Client.GetUserCard]: [UserCardStateInvalid]
// means it was done, and [UserCardStateEffective] that it was not so far. [ErrRateLimited] without it means it was not done.
//
// brand_id and card_id are in the body; see [Config].IDsInQuery.
//
// Rate limit: 10 a second for each merchant number (2025.07.25). Irreversible: retried only when it is certain that
// nothing was sent. Document 4015336983.
func (c *Client) InvalidateUserCard(ctx context.Context, request InvalidateUserCardRequest) (*UserCard, error) {
	return invalidateUserCard.call(ctx, c, request)
}

// ConfirmUserCardRequest says how opening a card went. The first four fields and UserCardConfirmState are
// required; the others change the card in the same call.
type ConfirmUserCardRequest struct {
	UserCardCode         string               `json:"user_card_code" in:"path,personal"` // CodeModeMerchantAllocate: the code the card is to have
	CardID               string               `json:"card_id" in:"body|query"`
	BrandID              string               `json:"brand_id" in:"body"`
	OpenID               string               `json:"openid" in:"body,personal"`
	CardColor            string               `json:"card_color,omitempty" in:"body"`
	CardPictureURL       string               `json:"card_picture_url,omitempty" in:"body"`
	PhoneNumber          Sensitive            `json:"phone_number,omitzero" in:"body"` // sent encrypted
	Level                string               `json:"level,omitempty" in:"body"`       // at most 10 characters
	ValidDateInformation *DateInfo            `json:"valid_date_information,omitempty" in:"body"`
	UserInformation      *UserInfo            `json:"user_information,omitempty" in:"body"` // the answers are sent encrypted
	Attach               string               `json:"attach,omitempty" in:"body"`           // at most 256 characters
	UserCardConfirmState UserCardConfirmState `json:"user_card_confirm_state" in:"body"`
}

// ConfirmUserCard tells WeChat Pay how opening a card went (同步会员开通结果) and returns the card. A card that a user opened
// through the joining component or the brand's page is open only after this call; one that was imported needs none.
// With [CodeModeSystemAllocate] the code is the one of the notification; with [CodeModeMerchantAllocate] it is the
// merchant's own, and becomes the card's code whether opening succeeded or failed.
//
// [ErrNotFound] means that the user has no card that waits for a confirm: a refused retry can mean that the first call was
// carried out. [ErrInvalidRequest] can mean that the code is taken, or is not the one that WeChat Pay gave. It is also the answer
// to an openid that is not one of the template's AppID. After [ErrOutcomeUnknown] read the card with [Client.GetUserCard] before
// calling again: [UserCardStateEffective] means that a successful opening was confirmed. Where the merchant allocates codes,
// [ErrNotFound] there means that it was not so far.
//
// card_id is in the body; see [Config].IDsInQuery.
//
// Rate limit: 10 a second for each merchant number (2025.06.22). Retried automatically after a rate limit, or when
// it is certain that nothing was sent. Document 4015336979.
func (c *Client) ConfirmUserCard(ctx context.Context, request ConfirmUserCardRequest) (*UserCard, error) {
	return confirmUserCard.call(ctx, c, request)
}

// ImportUserCardByOpenIDRequest describes a member the merchant has already. The first four fields are
// required.
type ImportUserCardByOpenIDRequest struct {
	BrandID              string    `json:"brand_id" in:"body"`
	CardID               string    `json:"card_id" in:"body"`
	OpenID               string    `json:"openid" in:"body,personal"`         // under an AppID bound to the card's brand
	UserCardCode         string    `json:"user_card_code" in:"body,personal"` // in both code modes
	PhoneNumber          Sensitive `json:"phone_number,omitzero" in:"body"`   // sent encrypted
	CardColor            string    `json:"card_color,omitempty" in:"body"`
	CardPictureURL       string    `json:"card_picture_url,omitempty" in:"body"`
	Level                string    `json:"level,omitempty" in:"body"`                  // at most 10 characters
	UserInformation      *UserInfo `json:"user_information,omitempty" in:"body"`       // the answers are sent encrypted
	ValidDateInformation *DateInfo `json:"valid_date_information,omitempty" in:"body"` // of the template's type; a source requires it
	PickupTime           Timestamp `json:"pickup_time,omitzero" in:"body"`             // send it when known; needed for DateTypeFixTerm
}

// ImportUserCardByOpenID gives a card to a member the merchant has already (根据OPENID导入用户会员卡). The card is effective
// at once, without a confirm. PickupTime is required where the template's validity is of type [DateTypeFixTerm].
//
// A user has one card of a template. [ErrInvalidRequest] can mean that there is one, that it waits for its confirm, or that the
// code is taken. It can mean that the template is invalid, that the validity is over, or that the openid is not one of the
// template's AppID. It is also the answer for a user who deleted the card, and can never be imported again. So a refused retry can
// mean that the first call was carried out: after [ErrOutcomeUnknown] look with
// [Client.ListUserCards] before calling again.
//
// Rate limit: 10 a second for each merchant number (2025.06.22). Retried automatically after a rate limit, or when
// it is certain that nothing was sent. Document 4015336981.
func (c *Client) ImportUserCardByOpenID(ctx context.Context, request ImportUserCardByOpenIDRequest) (*UserCard, error) {
	return importUserCardByOpenID.call(ctx, c, request)
}

// ImportUserCardByPhoneRequest describes a member the merchant knows by phone number. The first four
// fields are required.
type ImportUserCardByPhoneRequest struct {
	BrandID              string    `json:"brand_id" in:"body"`
	CardID               string    `json:"card_id" in:"body"`
	PhoneNumber          Sensitive `json:"phone_number" in:"body"` // sent encrypted
	UserCardCode         string    `json:"user_card_code" in:"body,personal"`
	CardColor            string    `json:"card_color,omitempty" in:"body"`
	CardPictureURL       string    `json:"card_picture_url,omitempty" in:"body"`
	Level                string    `json:"level,omitempty" in:"body"`                  // at most 10 characters
	UserInformation      *UserInfo `json:"user_information,omitempty" in:"body"`       // the answers are sent encrypted
	ValidDateInformation *DateInfo `json:"valid_date_information,omitempty" in:"body"` // of the template's type
	PickupTime           Timestamp `json:"pickup_time,omitzero" in:"body"`
}

// ImportUserCardByPhone gives a card to the user with a phone number (根据手机号导入用户会员卡). WeChat Pay has withdrawn its
// page, and the operation never was live: do not use it, [Client.ImportUserCardByOpenID] is the one that works. The
// OpenID of the card may be empty.
//
// After [ErrOutcomeUnknown] there is no sure way to look, as reading a card takes the user's openid.
//
// Rate limit: none documented (2025.06.22). Retried automatically after a rate limit, or when it is certain that
// nothing was sent. Document 4015336982.
func (c *Client) ImportUserCardByPhone(ctx context.Context, request ImportUserCardByPhoneRequest) (*UserCard, error) {
	return importUserCardByPhone.call(ctx, c, request)
}
