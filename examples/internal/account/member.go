package account

import (
	"flag"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// Member is the member an example is about. Its defaults are those of the fake.
type Member struct{ BrandID, CardID, UserCardCode, OpenID string }

// RegisterMember defines -brand, -card, -code and -openid.
func RegisterMember(flags *flag.FlagSet) *Member {
	m := &Member{}
	flags.StringVar(&m.BrandID, "brand", "1004", "`id` of the brand")
	flags.StringVar(&m.CardID, "card", "pbLatjvWOibDc5-TBnbUk1pD12o0", "`id` of the card template")
	flags.StringVar(&m.UserCardCode, "code", "478515832665", "`code` of the user's card")
	flags.StringVar(&m.OpenID, "openid", "obLatjnx9gnqzS4myYGmLZ7LgLBA", "the user's `openid` under the template's AppID")
	return m
}

// Client returns a client of the account, its configuration changed by the given functions. Without -keys it
// is one of the fake, where the member has a card; close the fake in the end.
func (f *Flags) Client(m *Member, changes ...func(*membercard.Config)) (*membercard.Client, *membercardtest.Server, error) {
	config, fake, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	if fake != nil {
		fake.AddCard(membercard.Card{BrandID: m.BrandID, CardID: m.CardID, CardTitle: "咖啡会员卡"})
		fake.AddUserCard(membercard.UserCard{
			CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.OpenID,
			Level: "黄金会员", PhoneNumber: membercard.NewSensitive("13800000000"),
		})
	}
	for _, change := range changes {
		change(&config)
	}
	client, err := membercard.New(config)
	return client, fake, err
}
