package membercard

import (
	"context"
)

// SyncUserPointsRequest sets the points of one card. All fields are required; a balance of 0 is sent.
type SyncUserPointsRequest struct {
	OutRequestNo string `json:"out_request_no" in:"body"` // at most 128 characters of A-Z a-z 0-9 - _; identifies the change
	BrandID      string `json:"brand_id" in:"body"`
	CardID       string `json:"card_id" in:"body"`
	OpenID       string `json:"openid" in:"body,personal"`
	UserCardCode string `json:"user_card_code" in:"body,personal"`
	PointBalance int64  `json:"point_balance" in:"body"` // the balance after the change, not the change
}

// UserPoints is the points balance of one card (用户积分), with the fields of [SyncUserPointsRequest].
type UserPoints struct {
	OutRequestNo string `json:"out_request_no"`
	BrandID      string `json:"brand_id"`
	CardID       string `json:"card_id"`
	OpenID       string `json:"openid"`
	UserCardCode string `json:"user_card_code"`
	PointBalance int64  `json:"point_balance"`
}

// SyncUserPoints sets the points balance that is shown on a user's card (同步用户积分). It is also the answer to WeChat
// Pay's question for the balance.
//
// The balance is absolute: calls that overtake each other leave the older value, so make them one after another for
// each card. [ErrNotFound] means that there is no such card, and [ErrInvalidRequest] can mean that the openid is not one of the
// template's AppID. After [ErrOutcomeUnknown] send the same request again.
//
// Rate limit: 10 a second for each merchant number (2025.08.20). Retried automatically with identical bytes.
// Document 4015897280.
func (c *Client) SyncUserPoints(ctx context.Context, request SyncUserPointsRequest) (*UserPoints, error) {
	return syncUserPoints.call(ctx, c, request)
}

// ConfirmPointsExchangeRequest allows or rejects an exchange of points for a coupon. All fields but
// RejectReason are required; the ids come in the notification.
type ConfirmPointsExchangeRequest struct {
	RecordID                 string               `json:"record_id" in:"body"`                   // the exchange, at most 64 characters
	ExchangeCouponTemplateID string               `json:"exchange_coupon_template_id" in:"body"` // as in the notification, at most 32 characters
	BrandID                  string               `json:"brand_id" in:"body"`
	CardID                   string               `json:"card_id" in:"body"`
	OpenID                   string               `json:"openid" in:"body,personal"`
	UserCardCode             string               `json:"user_card_code" in:"body,personal"`
	Result                   PointsExchangeResult `json:"result" in:"body"`                  // the merchant's answer
	RejectReason             string               `json:"reject_reason,omitempty" in:"body"` // required when rejecting, at most 32 characters
}

// PointsExchangeResult is the merchant's answer to an exchange of points for a coupon (兑换结果).
type PointsExchangeResult string

// What the merchant can answer.
const (
	PointsExchangeResultAllow  PointsExchangeResult = "POINT_EXCHANGE_COUPON_ALLOW"  // the points were taken off
	PointsExchangeResultReject PointsExchangeResult = "POINT_EXCHANGE_COUPON_REJECT" // they were not, RejectReason says why
)

// PointsExchangeState is what became of an exchange of points for a coupon (兑换状态).
type PointsExchangeState string

// What can become of an exchange.
const (
	PointsExchangeStateSuccess PointsExchangeState = "POINT_EXCHANGE_COUPON_SUCCESS" // the coupon was issued
	PointsExchangeStateFail    PointsExchangeState = "POINT_EXCHANGE_COUPON_FAIL"    // it was not: give the points back
)

// The types of stock (商品券批次类型) that ProductCouponStockType names.
const (
	ProductCouponStockTypeBusiFavor  = "PRODUCT_COUPON_STOCK_TYPE_BUSI_FAVOR"  // made of merchant coupons (商家券)
	ProductCouponStockTypeCashFavor  = "PRODUCT_COUPON_STOCK_TYPE_CASH_FAVOR"  // made of cash coupons (代金券)
	ProductCouponStockTypeBrandFavor = "PRODUCT_COUPON_STOCK_TYPE_BRAND_FAVOR" // product coupons 2.0 (商品券)
)

// PointsExchange is an exchange of points for a coupon (积分兑券) after the merchant's answer. What has no comment here is
// as in [ConfirmPointsExchangeRequest] or [PointsExchangeRequested].
type PointsExchange struct {
	RecordID                 string              `json:"record_id"`
	ExchangeCouponTemplateID string              `json:"exchange_coupon_template_id"`
	BrandID                  string              `json:"brand_id"`
	CardID                   string              `json:"card_id"`
	OpenID                   string              `json:"openid"`
	UserCardCode             string              `json:"user_card_code"`
	State                    PointsExchangeState `json:"state"` // whether the coupon was issued
	ProductCouponID          string              `json:"product_coupon_id,omitempty"`
	ProductCouponStockType   string              `json:"product_coupon_stock_type,omitempty"`
	StockID                  string              `json:"stock_id,omitempty"`
	CouponCode               string              `json:"coupon_code,omitempty"` // of the coupon that was issued
	RejectReason             string              `json:"reject_reason,omitempty"`
	FailReason               string              `json:"fail_reason,omitempty"` // of an earlier revision
}

// ConfirmPointsExchange allows or rejects a user's exchange of points for a coupon (同步积分兑券结果). A nil error is not enough:
// when the state is [PointsExchangeStateFail], give the points back. The guide asks for the answer within three
// seconds of the notification.
//
// Never change Result for a RecordID: one exchange, one answer. [ErrNotFound] means that there is no such exchange or card.
// [ErrInvalidRequest] can mean that the openid is not one of the template's AppID. After [ErrOutcomeUnknown] send the same
// request again; what the service does with a second one is not documented, and there is no other way to learn the outcome.
//
// Rate limit: 10 a second for each merchant number (2025.08.20). Retried automatically with identical bytes.
// Document 4015897268.
func (c *Client) ConfirmPointsExchange(ctx context.Context, request ConfirmPointsExchangeRequest) (*PointsExchange, error) {
	return confirmPointsExchange.call(ctx, c, request)
}
