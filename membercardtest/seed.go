package membercardtest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// AddCard adds a template. Fields that every template has and that are left empty get values of the
// official sample; CardID, when empty, a new one. It returns the template as it was added, and panics
// when there is one with this CardID.
func (s *Server) AddCard(c membercard.Card) membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return exportCard(s.addCard(c))
}

func (s *Server) addCard(c membercard.Card) *card {
	now := formatTime(time.Now())
	added := &card{
		OutRequestNo:         cmp.Or(c.OutRequestNo, fmt.Sprintf("100002322019090134234sfd%d", len(s.cards))),
		CardID:               cmp.Or(c.CardID, "pbLatjvWOibDc5-"+randomHex(6)),
		BrandID:              cmp.Or(c.BrandID, "1004"),
		AppID:                cmp.Or(c.AppID, "wxea9c30890f48d5ae"),
		CardType:             cmp.Or(string(c.CardType), "NORMAL"),
		CardTitle:            cmp.Or(c.CardTitle, "测试卡"),
		CardColor:            cmp.Or(c.CardColor, "#FFFF00"),
		CardPictureURL:       cmp.Or(c.CardPictureURL, "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0"),
		CodeMode:             cmp.Or(string(c.CodeMode), "SYSTEM_ALLOCATE"),
		CodeType:             cmp.Or(string(c.CodeType), "BAR_CODE"),
		Benefits:             cmp.Or(c.Benefits, "会员折扣、专属价"),
		NotifyURL:            cmp.Or(c.NotifyURL, "https://www.weixin.qq.com/wxpay/notify.php"),
		NeedPinned:           c.NeedPinned,
		NeedDisplayLevel:     c.NeedDisplayLevel,
		InitLevel:            c.InitLevel,
		ServicePhone:         c.ServicePhone,
		LegalAgreement:       c.LegalAgreement,
		ValidDateInformation: importDateInfo(c.ValidDateInformation),
		State:                cmp.Or(string(c.State), "CARD_EFFECTIVE"),
		CreateTime:           cmp.Or(formatTime(c.CreateTime.Time), now),
		ModifyTime:           cmp.Or(formatTime(c.ModifyTime.Time), now),
	}
	if i := c.CodeJumpInformation; i != nil {
		added.CodeJumpInformation = &jumpInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.MemberInformation; i != nil {
		added.MemberInformation = &jumpInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.PointsInformation; i != nil {
		added.PointsInformation = &jumpInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.BalanceInformation; i != nil {
		added.BalanceInformation = &jumpInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.PurchaseInformation; i != nil {
		added.PurchaseInformation = &jumpInfo{Price: clone(i.Price), JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.UserInformation; i != nil {
		form := userInfoForm{}
		for _, flag := range i.CommonFieldList {
			form.CommonFieldList = append(form.CommonFieldList, string(flag))
		}
		for _, custom := range i.CustomFieldList {
			form.CustomFieldList = append(form.CustomFieldList, customFieldForm{string(custom.Type), custom.Name, slices.Clone(custom.Values)})
		}
		added.UserInformation = &form
	}
	if s.findCard(added.CardID) != nil {
		panic("membercardtest: AddCard: there is a template with the CardID " + added.CardID)
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
		u.CardID = s.cards[len(s.cards)-1].CardID
	}
	template := s.findCard(u.CardID)
	if template != nil && u.BrandID != "" && u.BrandID != template.BrandID {
		panic("membercardtest: AddUserCard: the template is of another brand")
	}
	if template == nil {
		template = s.addCard(membercard.Card{CardID: u.CardID, BrandID: u.BrandID})
	}
	now := formatTime(time.Now())
	added := importUserCardFields(u)
	added.CardID = template.CardID
	setDefault(&added.UserCardCode, newCode())
	setDefault(&added.OpenID, "obLatj"+randomHex(11))
	setDefault(&added.BrandID, template.BrandID)
	setDefault(&added.CardType, template.CardType)
	setDefault(&added.UserCardState, "EFFECTIVE")
	setDefault(&added.PickupTime, now)
	setDefault(&added.CreateTime, now)
	setDefault(&added.ModifyTime, now)
	if s.findUserCard(added.CardID, added.UserCardCode) != nil {
		panic("membercardtest: AddUserCard: the template has a card with this code")
	}
	s.userCards = append(s.userCards, added)
	return exportUserCard(added)
}

func setDefault(field *string, value string) { *field = cmp.Or(*field, value) }

// importUserCardFields turns a card into the one that travels, sensitive values in clear.
func importUserCardFields(u membercard.UserCard) *userCard {
	imported := &userCard{
		UserCardCode:         u.UserCardCode,
		CardID:               u.CardID,
		OpenID:               u.OpenID,
		CardColor:            u.CardColor,
		CardPictureURL:       u.CardPictureURL,
		BrandID:              u.BrandID,
		CardType:             string(u.CardType),
		PhoneNumber:          plaintext(u.PhoneNumber),
		Level:                u.Level,
		ValidDateInformation: importDateInfo(u.ValidDateInformation),
		PickupTime:           formatTime(u.PickupTime.Time),
		Attach:               u.Attach,
		UserCardState:        string(u.UserCardState),
		InvalidReason:        u.InvalidReason,
		InvalidTime:          formatTime(u.InvalidTime.Time),
		CreateTime:           formatTime(u.CreateTime.Time),
		ModifyTime:           formatTime(u.ModifyTime.Time),
	}
	if info := u.UserInformation; info != nil {
		imported.UserInformation = &userInfo{}
		for _, common := range info.CommonFieldList {
			imported.UserInformation.CommonFieldList = append(imported.UserInformation.CommonFieldList,
				commonField{string(common.Name), plaintext(common.Value)})
		}
		for _, custom := range info.CustomFieldList {
			values := make([]string, len(custom.UserChosenValues))
			for i, value := range custom.UserChosenValues {
				values[i] = plaintext(value)
			}
			imported.UserInformation.CustomFieldList = append(imported.UserInformation.CustomFieldList, customField{custom.Name, values})
		}
	}
	return imported
}

// Cards returns all templates in the order they were added.
func (s *Server) Cards() []membercard.Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cards []membercard.Card
	for _, c := range s.cards {
		cards = append(cards, exportCard(c))
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
	return exportUserCard(u), true
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

// rotatedOpener is opener for what was encrypted for the new merchant key.
var rotatedOpener = sync.OnceValue(func() *membercard.Client {
	return newClient(membercard.Config{
		MchID: MchID, CertificateSerial: rotatedSerial, PrivateKey: rotatedMerchantKey(),
		PublicKeyID: PublicKeyID, PublicKey: &platformKey().PublicKey,
	})
})

// opener reads the sensitive values that tests put in: those made by them, and those from an answer.
var opener = sync.OnceValue(func() *membercard.Client {
	return newClient(membercard.Config{
		MchID: MchID, CertificateSerial: CertificateSerial, PrivateKey: merchantKey(),
		PublicKeyID: PublicKeyID, PublicKey: &platformKey().PublicKey,
	})
})

func plaintext(value membercard.Sensitive) string {
	if value.IsZero() {
		return ""
	}
	text, err := opener().Decrypt(value)
	if err != nil {
		text, err = rotatedOpener().Decrypt(value)
	}
	if err != nil {
		panic(err)
	}
	return text
}

func importDateInfo(d membercard.DateInfo) dateInfo {
	return dateInfo{
		Type:      cmp.Or(string(d.Type), "PERMANENT"),
		BeginTime: formatTime(d.AvailableBeginTime.Time),
		EndTime:   formatTime(d.AvailableEndTime.Time),
		Days:      clone(d.AvailableDayAfterReceive),
	}
}

func exportDateInfo(d dateInfo) membercard.DateInfo {
	return membercard.DateInfo{
		Type:                     membercard.DateType(d.Type),
		AvailableBeginTime:       exportTime(d.BeginTime),
		AvailableEndTime:         exportTime(d.EndTime),
		AvailableDayAfterReceive: clone(d.Days),
	}
}

func exportTime(s string) membercard.Timestamp {
	if s == "" {
		return membercard.Timestamp{}
	}
	var t membercard.Timestamp // by its own method, so that it equals what a client reads
	if err := t.UnmarshalJSON([]byte(strconv.Quote(s))); err != nil {
		panic(err)
	}
	return t
}

func exportCard(c *card) membercard.Card {
	exported := membercard.Card{
		OutRequestNo:         c.OutRequestNo,
		CardID:               c.CardID,
		BrandID:              c.BrandID,
		AppID:                c.AppID,
		CardType:             membercard.CardType(c.CardType),
		CardTitle:            c.CardTitle,
		CardColor:            c.CardColor,
		CardPictureURL:       c.CardPictureURL,
		CodeMode:             membercard.CodeMode(c.CodeMode),
		CodeType:             membercard.CodeType(c.CodeType),
		Benefits:             c.Benefits,
		NotifyURL:            c.NotifyURL,
		NeedPinned:           c.NeedPinned,
		NeedDisplayLevel:     c.NeedDisplayLevel,
		InitLevel:            c.InitLevel,
		ServicePhone:         c.ServicePhone,
		LegalAgreement:       c.LegalAgreement,
		ValidDateInformation: exportDateInfo(c.ValidDateInformation),
		State:                membercard.CardState(c.State),
		CreateTime:           exportTime(c.CreateTime),
		ModifyTime:           exportTime(c.ModifyTime),
	}
	if i := c.CodeJumpInformation; i != nil {
		exported.CodeJumpInformation = &membercard.CodeJumpInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.MemberInformation; i != nil {
		exported.MemberInformation = &membercard.MemberInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.PointsInformation; i != nil {
		exported.PointsInformation = &membercard.PointsInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.BalanceInformation; i != nil {
		exported.BalanceInformation = &membercard.BalanceInfo{JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if i := c.PurchaseInformation; i != nil {
		exported.PurchaseInformation = &membercard.PurchaseInfo{Price: clone(i.Price), JumpAppID: i.JumpAppID, JumpPath: i.JumpPath}
	}
	if form := c.UserInformation; form != nil {
		exported.UserInformation = &membercard.UserInfoForm{}
		for _, flag := range form.CommonFieldList {
			exported.UserInformation.CommonFieldList = append(exported.UserInformation.CommonFieldList, membercard.CommonFieldFlag(flag))
		}
		for _, custom := range form.CustomFieldList {
			exported.UserInformation.CustomFieldList = append(exported.UserInformation.CustomFieldList, membercard.UserCustomFieldForm{
				Type: membercard.CustomFieldType(custom.Type), Name: custom.Name, Values: slices.Clone(custom.Values),
			})
		}
	}
	return exported
}

func exportUserCard(u *userCard) membercard.UserCard {
	exported := membercard.UserCard{
		UserCardCode:         u.UserCardCode,
		CardID:               u.CardID,
		OpenID:               u.OpenID,
		CardColor:            u.CardColor,
		CardPictureURL:       u.CardPictureURL,
		BrandID:              u.BrandID,
		CardType:             membercard.CardType(u.CardType),
		PhoneNumber:          membercard.NewSensitive(u.PhoneNumber),
		Level:                u.Level,
		ValidDateInformation: exportDateInfo(u.ValidDateInformation),
		PickupTime:           exportTime(u.PickupTime),
		Attach:               u.Attach,
		UserCardState:        membercard.UserCardState(u.state(time.Now())),
		InvalidReason:        u.InvalidReason,
		InvalidTime:          exportTime(u.InvalidTime),
		CreateTime:           exportTime(u.CreateTime),
		ModifyTime:           exportTime(u.ModifyTime),
	}
	if info := u.UserInformation; info != nil {
		exported.UserInformation = &membercard.UserInfo{}
		for _, common := range info.CommonFieldList {
			exported.UserInformation.CommonFieldList = append(exported.UserInformation.CommonFieldList,
				membercard.UserInfoCommonField{Name: membercard.CommonFieldFlag(common.Name), Value: membercard.NewSensitive(common.Value)})
		}
		for _, custom := range info.CustomFieldList {
			values := make([]membercard.Sensitive, len(custom.UserChosenValues))
			for i, value := range custom.UserChosenValues {
				values[i] = membercard.NewSensitive(value)
			}
			exported.UserInformation.CustomFieldList = append(exported.UserInformation.CustomFieldList,
				membercard.UserInfoCustomField{Name: custom.Name, UserChosenValues: values})
		}
	}
	return exported
}

// clone keeps callers from changing the server's state through a pointer.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}
