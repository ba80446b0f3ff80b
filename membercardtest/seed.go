package membercardtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// AddCard adds a template. Fields that every template has and that are left empty get values of the
// official sample; CardID, when empty, a new one. It returns the template as it was added, and panics
// when there is one with this CardID.
func (s *Server) AddCard(c membercard.Card) membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return valueOf[membercard.Card](s.addCard(c))
}

func (s *Server) addCard(c membercard.Card) document {
	now := formatTime(time.Now())
	added := document{
		"valid_date_information": map[string]any{"type": "PERMANENT"},
		"member_information":     map[string]any{"jump_appid": "wxea9c30890f48d5ae", "jump_path": "/pages/member/member"},
	}
	added.merge(documentOf(answerRows(membercard.OperationGetCard), c))
	for name, value := range map[string]string{
		"out_request_no": fmt.Sprintf("100002322019090134234sfd%d", len(s.cards)), "card_id": newCardID(), "brand_id": BrandID,
		"appid": "wxea9c30890f48d5ae", "card_type": "NORMAL", "card_title": "测试卡", "card_color": "#FFFF00",
		"card_picture_url": "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0", "code_mode": "SYSTEM_ALLOCATE", "code_type": "BAR_CODE",
		"benefits": "会员折扣、专属价", "legal_agreement": "商家法务协议", "notify_url": "https://www.weixin.qq.com/wxpay/notify.php", "state": "CARD_EFFECTIVE",
		"create_time": now, "modify_time": now,
	} {
		added.setDefault(name, value)
	}
	if s.findCard(added.text("card_id")) != nil {
		panic("membercardtest: AddCard: there is a template with the CardID " + added.text("card_id"))
	}
	s.cards = append(s.cards, added)
	return added
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
	added.merge(document{"user_card_code": newCode(), "openid": "obLatj" + randomHex(11)})
	added.mergeNew(s.userCardDocument(answerRows(membercard.OperationGetUserCard), u))
	added.document["card_id"] = template["card_id"]
	if s.findUserCard(added.text("card_id"), added.text("user_card_code")) != nil {
		panic("membercardtest: AddUserCard: the template has a card with this code")
	}
	s.userCards = append(s.userCards, added)
	return valueOf[membercard.UserCard](added.current())
}

// Cards returns all templates in the order they were added.
func (s *Server) Cards() []membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cards []membercard.Card
	for _, c := range s.cards {
		cards = append(cards, valueOf[membercard.Card](c))
	}
	return cards
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

// plaintext reads a sensitive value that a test puts in: one made by it, or one from an answer.
func (s *Server) plaintext(value membercard.Sensitive) string {
	if value.IsZero() {
		return ""
	}
	text, err := s.clientOf(s.first.merchants[0]).Decrypt(value)
	if err != nil {
		text, err = s.clientOf(rotatedMerchant()).Decrypt(value)
	}
	if err != nil {
		panic(err)
	}
	return text
}

// clientOf returns a client that decrypts what was encrypted for a merchant certificate.
func (s *Server) clientOf(merchant merchantCertificate) *membercard.Client {
	config := membercard.Config{
		CertificateSerial: merchant.serial, PrivateKey: merchant.key, PublicKeyID: s.first.keyID, PublicKey: &s.first.key.PublicKey,
	}
	s.edition.configure(&config)
	return newClient(config)
}
