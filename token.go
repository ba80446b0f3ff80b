package membercard

import (
	"context"
	"net/url"
)

// CreatePreAuthTokenRequest says who is to join what. All fields are required.
type CreatePreAuthTokenRequest struct {
	BrandID string `json:"brand_id" in:"body"`        // 品牌ID, at most 32 characters
	CardID  string `json:"card_id" in:"body"`         // template id (会员卡模板ID), at most 32 characters
	OpenID  string `json:"openid" in:"body,personal"` // the user under the template's AppID (用户标识), at most 128 characters
}

// Token opens a component (预授权凭证) once it is handed to a mini program or an H5 page.
type Token struct {
	Token      string    `json:"token"`                // at most 32 characters
	ExpireTime Timestamp `json:"expire_time,omitzero"` // when it can no longer be used
}

// QueryString returns what opens the joining component (入会组件): the queryString of wx.openBusinessView with the
// businessType wxpayCardMember, in a mini program and, by wx.invoke, in an H5 page.
func (t *Token) QueryString() string {
	return "token=" + url.QueryEscape(t.Token) + "&scene=CARD_MEMBER"
}

// CreatePreAuthToken makes the token with which a mini program or an H5 page opens the joining component (入会组件预授权).
// It lives one hour. Each call may give another.
//
// [ErrInvalidRequest] means that the template is invalid or its validity over, or that the user cannot join. It is also the
// answer to an openid that is not one of the template's AppID. A user who has an effective card of the template cannot join again
// that way, nor one whose card was invalidated or deleted. Look with [Client.ListUserCards] first, and show the card to a user
// who has one.
//
// Rate limit: 10 a second for each merchant number (2025.11.19). It changes nothing: retried automatically. Document
// 4015336986.
func (c *Client) CreatePreAuthToken(ctx context.Context, request CreatePreAuthTokenRequest) (*Token, error) {
	return createPreAuthToken.call(ctx, c, request)
}

// CreatePayViewTokenRequest says whose payment code is to be shown. All fields are required.
type CreatePayViewTokenRequest struct {
	BrandID string `json:"brand_id" in:"body"`        // 品牌ID, at most 32 characters
	CardID  string `json:"card_id" in:"body"`         // template id (会员卡模板ID), at most 32 characters
	OpenID  string `json:"openid" in:"body,personal"` // the user under the template's AppID (用户标识), at most 128 characters
}

// CreatePayViewToken makes the token with which a mini program opens the component that shows the payment code
// (付款码组件预授权). WeChat Pay has withdrawn its page and says that the component is not supported yet: do not use it. The
// token lives ten minutes and works once.
//
// [ErrInvalidRequest] can mean that the template does not belong to the brand.
//
// Rate limit: 10 a second for each merchant number (2025.12.12). It changes nothing: retried automatically. Document
// 4016834476.
func (c *Client) CreatePayViewToken(ctx context.Context, request CreatePayViewTokenRequest) (*Token, error) {
	return createPayViewToken.call(ctx, c, request)
}
