package membercardtest

import (
	"cmp"

	"github.com/wechatpay-cards/membercard"
)

func (s *Server) syncUserPoints(in input) (document, *problem) {
	u, refused := s.requireUserCard(in, in.text("user_card_code"))
	if refused != nil {
		return nil, refused
	}
	s.effects[effect{in.operation, in.text("user_card_code")}]++
	u.points = in.number("point_balance")
	return in.document, nil
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

// pointsExchange is a user's wish to exchange points for a coupon, and the answer once there is one.
type pointsExchange struct {
	document
	result string
	coupon string // its code
	fails  bool   // though the merchant allows it
}

// AddPointsExchange does what a user does who wants to exchange points for a coupon. CardID and
// UserCardCode name the card; ids and a CouponCode that are left empty are made. With State
// [membercard.PointsExchangeStateFail] no coupon will be issued though the merchant allows it, and the
// points must be given back. It returns the exchange with the ids that the notification has and that
// ConfirmPointsExchange needs, and panics when there is no such card.
func (s *Server) AddPointsExchange(e membercard.PointsExchange) membercard.PointsExchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.findUserCard(e.CardID, e.UserCardCode)
	if u == nil {
		panic("membercardtest: AddPointsExchange: there is no such card")
	}
	exchange := &pointsExchange{
		document: documentOf(answerRows(membercard.OperationConfirmPointsExchange), e),
		coupon:   cmp.Or(e.CouponCode, newCode()[:12]),
		fails:    e.State == membercard.PointsExchangeStateFail,
	}
	delete(exchange.document, "state") // there are none until the merchant has answered
	delete(exchange.document, "coupon_code")
	exchange.setDefault("record_id", "WfTb8"+randomHex(8))
	exchange.setDefault("exchange_coupon_template_id", "0Flpo"+randomHex(4))
	exchange.setDefault("product_coupon_id", "7011388"+newCode()[:12])
	exchange.setDefault("product_coupon_stock_type", membercard.ProductCouponStockTypeBrandFavor)
	exchange.setDefault("stock_id", "7012111"+newCode()[:12])
	exchange.merge(document{"brand_id": u.text("brand_id"), "openid": u.text("openid")})
	if s.findExchange(exchange.text("record_id")) != nil {
		panic("membercardtest: AddPointsExchange: there is an exchange with this RecordID")
	}
	s.exchanges = append(s.exchanges, exchange)
	return valueOf[membercard.PointsExchange](exchange.document)
}

// PointsExchange returns an exchange and whether there is one. Its state is empty until the merchant has
// answered.
func (s *Server) PointsExchange(recordID string) (membercard.PointsExchange, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if exchange := s.findExchange(recordID); exchange != nil {
		return valueOf[membercard.PointsExchange](exchange.document), true
	}
	return membercard.PointsExchange{}, false
}

func (s *Server) findExchange(recordID string) *pointsExchange {
	for _, exchange := range s.exchanges {
		if exchange.text("record_id") == recordID {
			return exchange
		}
	}
	return nil
}

func (s *Server) confirmPointsExchange(in input) (document, *problem) {
	if _, refused := s.requireUserCard(in, in.text("user_card_code")); refused != nil {
		return nil, refused
	}
	result, exchange := in.text("result"), s.findExchange(in.text("record_id"))
	isAnother := func(name string) bool { return exchange.text(name) != in.text(name) }
	switch {
	case result == "POINT_EXCHANGE_COUPON_REJECT" && !in.has("reject_reason"):
		return nil, paramError("body", "/reject_reason", nil, "is required when rejecting")
	case exchange == nil || isAnother("card_id") || isAnother("user_card_code") || isAnother("exchange_coupon_template_id"):
		return nil, in.refusal("积分兑券记录不存在", "there is no such exchange of this card")
	case exchange.result == result:
		return exchange.document, nil
	case exchange.result != "":
		return nil, in.ownRefusal("积分兑券结果不一致", "the exchange was answered differently before")
	}
	s.effects[effect{in.operation, in.text("user_card_code")}]++
	exchange.result = result
	exchange.merge(in.changes().with("state", "POINT_EXCHANGE_COUPON_FAIL"))
	if result == "POINT_EXCHANGE_COUPON_ALLOW" && !exchange.fails {
		exchange.merge(document{"state": "POINT_EXCHANGE_COUPON_SUCCESS", "coupon_code": exchange.coupon})
	}
	return exchange.document, nil
}
