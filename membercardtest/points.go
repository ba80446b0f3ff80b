package membercardtest

import (
	"cmp"
	"slices"

	"github.com/wechatpay-cards/membercard"
)

type userPoints struct {
	OutRequestNo string `json:"out_request_no"`
	BrandID      string `json:"brand_id"`
	CardID       string `json:"card_id"`
	OpenID       string `json:"openid"`
	UserCardCode string `json:"user_card_code"`
	PointBalance int64  `json:"point_balance"`
}

func (s *Server) syncUserPoints(in input) (any, *problem) {
	points := decode[userPoints](in)
	u, refused := s.requireUserCard(in, points.BrandID, points.CardID, points.UserCardCode, points.OpenID)
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, u.UserCardCode}]++
	u.points = points.PointBalance
	return points, nil
}

// Points returns the points balance that is shown on a user's card.
func (s *Server) Points(cardID, userCardCode string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.findUserCard(cardID, userCardCode); u != nil {
		return u.points
	}
	return 0
}

// pointsExchange is a user's wish to swap points for a coupon, and the answer once there is one.
type pointsExchange struct {
	RecordID                 string `json:"record_id"`
	ExchangeCouponTemplateID string `json:"exchange_coupon_template_id"`
	BrandID                  string `json:"brand_id"`
	CardID                   string `json:"card_id"`
	OpenID                   string `json:"openid"`
	UserCardCode             string `json:"user_card_code"`
	State                    string `json:"state"`
	ProductCouponID          string `json:"product_coupon_id,omitempty"`
	ProductCouponStockType   string `json:"product_coupon_stock_type,omitempty"`
	StockID                  string `json:"stock_id,omitempty"`
	CouponCode               string `json:"coupon_code,omitempty"`
	RejectReason             string `json:"reject_reason,omitempty"`

	result string
	fails  bool // though the merchant allows it
}

// AddPointsExchange does what a user does who wants to swap points for a coupon. CardID and
// UserCardCode name the card; ids that are left empty are made. With State
// [membercard.PointsExchangeStateFail] no coupon will be issued though the merchant allows it, and the
// points must be given back. It returns the swap with the ids that the notification has and that
// ConfirmPointsExchange needs, and panics when there is no such card.
func (s *Server) AddPointsExchange(e membercard.PointsExchange) membercard.PointsExchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUserCard(e.CardID, e.UserCardCode)
	if u == nil {
		panic("membercardtest: AddPointsExchange: there is no such card")
	}
	exchange := &pointsExchange{
		RecordID:                 cmp.Or(e.RecordID, "WfTb8"+randomHex(8)),
		ExchangeCouponTemplateID: cmp.Or(e.ExchangeCouponTemplateID, "0Flpo"+randomHex(4)),
		BrandID:                  u.BrandID, CardID: u.CardID, OpenID: u.OpenID, UserCardCode: u.UserCardCode,
		ProductCouponID: e.ProductCouponID, ProductCouponStockType: e.ProductCouponStockType, StockID: e.StockID,
		fails: e.State == membercard.PointsExchangeStateFail,
	}
	if slices.ContainsFunc(s.exchanges, func(other *pointsExchange) bool { return other.RecordID == exchange.RecordID }) {
		panic("membercardtest: AddPointsExchange: there is a swap with this RecordID")
	}
	s.exchanges = append(s.exchanges, exchange)
	return exchange.export()
}

// PointsExchange returns a swap and whether there is one. Its state is empty until the merchant has had a
// word.
func (s *Server) PointsExchange(recordID string) (membercard.PointsExchange, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, exchange := range s.exchanges {
		if exchange.RecordID == recordID {
			return exchange.export(), true
		}
	}
	return membercard.PointsExchange{}, false
}

func (e *pointsExchange) export() membercard.PointsExchange {
	return membercard.PointsExchange{
		RecordID: e.RecordID, ExchangeCouponTemplateID: e.ExchangeCouponTemplateID, BrandID: e.BrandID, CardID: e.CardID,
		OpenID: e.OpenID, UserCardCode: e.UserCardCode, State: membercard.PointsExchangeState(e.State),
		ProductCouponID: e.ProductCouponID, ProductCouponStockType: e.ProductCouponStockType, StockID: e.StockID,
		CouponCode: e.CouponCode, RejectReason: e.RejectReason,
	}
}

func (s *Server) confirmPointsExchange(in input) (any, *problem) {
	answer := decode[struct {
		pointsExchange
		Result string `json:"result"`
	}](in)
	if _, refused := s.requireUserCard(in, answer.BrandID, answer.CardID, answer.UserCardCode, answer.OpenID); refused != nil {
		return nil, refused
	}
	if answer.Result == "POINT_EXCHANGE_COUPON_REJECT" && answer.RejectReason == "" {
		return nil, paramError("body", "/reject_reason", nil, "is required when rejecting")
	}
	for _, exchange := range s.exchanges {
		if exchange.RecordID != answer.RecordID || exchange.CardID != answer.CardID || exchange.UserCardCode != answer.UserCardCode ||
			exchange.ExchangeCouponTemplateID != answer.ExchangeCouponTemplateID {
			continue
		}
		if cmp.Or(exchange.result, answer.Result) != answer.Result {
			return nil, in.unknown("积分兑券结果不一致", "the swap was answered differently before")
		}
		if exchange.result == "" {
			s.effects[effect{in.operation, answer.UserCardCode}]++
			exchange.result, exchange.State, exchange.RejectReason = answer.Result, "POINT_EXCHANGE_COUPON_FAIL", answer.RejectReason
			if answer.Result == "POINT_EXCHANGE_COUPON_ALLOW" && !exchange.fails {
				exchange.State, exchange.CouponCode = "POINT_EXCHANGE_COUPON_SUCCESS", newCode()[:12]
			}
		}
		return *exchange, nil
	}
	return nil, in.refuse("积分兑券记录不存在", "there is no such swap of this card")
}
