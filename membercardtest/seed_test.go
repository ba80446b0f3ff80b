package membercardtest_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestSeedsComeBack: what was added is what the client reads, and what the fake shows.
func TestSeedsComeBack(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	data, err := os.ReadFile("contract/partner.json")
	require.NoError(t, err)
	var pages struct {
		Operations []struct {
			Operation membercard.Operation
			Answer    json.RawMessage `json:"response_sample"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &pages))
	require.Equal(t, membercard.OperationListCards, pages.Operations[1].Operation)
	var official membercard.ListCardsResponse
	require.NoError(t, json.Unmarshal(pages.Operations[1].Answer, &official))
	added := server.AddCard(official.Data[0])
	assert.Equal(t, official.Data[0], added)
	assert.Equal(t, []membercard.Card{added}, server.Cards())
	page, err := server.Client().ListCards(t.Context(), membercard.ListCardsRequest{BrandID: added.BrandID})
	require.NoError(t, err)
	assert.Equal(t, official.Data, page.Data)

	now := membercard.Timestamp{Time: time.Now()}
	user := server.AddUserCard(membercard.UserCard{
		UserCardCode: "1", OpenID: openID, Level: "x", Attach: "y", CardColor: "#000000", PickupTime: now,
		PhoneNumber: membercard.NewSensitive("13800000000"),
		UserInformation: &membercard.UserInfo{
			CommonFieldList: []membercard.UserInfoCommonField{{Name: membercard.CommonFieldFlagCity, Value: membercard.NewSensitive("深圳")}},
		},
	})
	shown, ok := server.UserCard(user.CardID, "1")
	require.True(t, ok)
	assert.Equal(t, user, shown)
	read, err := server.Client().GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: user.BrandID, CardID: user.CardID, UserCardCode: "1", OpenID: openID})
	require.NoError(t, err)
	city, err := server.Client().Decrypt(read.UserInformation.CommonFieldList[0].Value)
	require.NoError(t, err)
	assert.Equal(t, "深圳", city)
	read.PhoneNumber, read.UserInformation = shown.PhoneNumber, shown.UserInformation
	assert.Equal(t, shown, *read)
	_, ok = server.UserCard("other", "1")
	assert.False(t, ok)
	assert.Panics(t, func() { server.AddUserCard(user) })
	assert.Panics(t, func() { server.AddCard(added) })
}

func TestWhatIsAddedIsCopied(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	days := 30
	added := server.AddUserCard(membercard.UserCard{ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypeFixTerm, AvailableDayAfterReceive: &days}})
	days = 1
	*added.ValidDateInformation.AvailableDayAfterReceive = 2
	shown, _ := server.UserCard(added.CardID, added.UserCardCode)
	assert.Equal(t, 30, *shown.ValidDateInformation.AvailableDayAfterReceive)
}

// TestWhatIsAddedIsWhole: it has what the page says that its answers have.
func TestWhatIsAddedIsWhole(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	client := newClient(server)
	template := server.AddCard(membercard.Card{})
	assert.NotEmpty(t, template.LegalAgreement)
	assert.NotNil(t, template.MemberInformation)
	card := server.AddUserCard(membercard.UserCard{})
	exchange := server.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	assert.NotEmpty(t, exchange.ProductCouponID)
	assert.NotEmpty(t, exchange.ProductCouponStockType)
	assert.NotEmpty(t, exchange.StockID)
	assert.Panics(t, func() { server.AddActivity(membercard.Activity{CardID: "none"}) })
	assert.Panics(t, func() { server.AddActivity(membercard.Activity{CardID: template.CardID, BrandID: "2001"}) })
	assert.Equal(t, template.CardID, server.AddActivity(membercard.Activity{}).CardID)
	assert.Equal(t, 100, server.AddActivity(membercard.Activity{ApplyTotal: 100}).ApplyAvailable)
	activity := server.AddActivity(membercard.Activity{CardID: template.CardID})
	assert.NotEmpty(t, activity.OutRequestNo)
	assert.NotEmpty(t, activity.Title)
	assert.NotEmpty(t, activity.SubTitle)
	opened := server.OpenUserCard(template.CardID, "o-1")
	n, err := client.ParseNotification(server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened}))
	require.NoError(t, err)
	told := n.Event.(*membercard.UserCardCreated)
	assert.Equal(t, template.CardColor, told.CardColor)
	assert.Equal(t, template.CardPictureURL, told.CardPictureURL)
}
