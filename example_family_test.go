package membercard_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func ExampleClient_CreateCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.CreateCard(context.Background(), membercard.CreateCardRequest{
		OutRequestNo: "1004-20261123-1", // the same number again is refused
		BrandID:      "1004", AppID: "wxea9c30890f48d5ae", CardType: membercard.CardTypeNormal,
		CardTitle: "咖啡会员卡", CardColor: "#6F4E37", CardPictureURL: "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0", // from UploadImage
		CodeMode: membercard.CodeModeSystemAllocate, CodeType: membercard.CodeTypeQRCode, Benefits: "会员折扣、专属价",
		NotifyURL:            "https://merchant.example/notify",
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent}, LegalAgreement: "入会即同意会员协议。",
		MemberInformation: &membercard.MemberInfo{JumpAppID: "wxea9c30a90fs8d3fe", JumpPath: "/pages/member/member"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.CardTitle, card.State)
	// Output: 咖啡会员卡 CARD_EFFECTIVE
}

func ExampleClient_GetCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.GetCard(context.Background(), membercard.GetCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.CardTitle, card.State)
	// Output: 测试卡 CARD_EFFECTIVE
}

// A change leaves alone what is nil.
func ExampleClient_UpdateCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.UpdateCard(context.Background(), membercard.UpdateCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		CardTitle:  new("咖啡会员卡"),
		NeedPinned: new(true), // nil leaves a field as it is
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.CardTitle, card.NeedPinned)
	// Output: 咖啡会员卡 true
}

// No more cards are given out. This cannot be undone.
func ExampleClient_InvalidateCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.InvalidateCard(context.Background(), membercard.InvalidateCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.State)
	// Output: CARD_INVALID
}

func ExampleClient_AllUserCards() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	for card, err := range client.AllUserCards(context.Background(), membercard.ListUserCardsRequest{
		BrandID: "1004", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(card.UserCardCode, card.UserCardState)
	}
	// Output: 478515832665 EFFECTIVE
}

// The answer to the notification that a user opened a card.
func ExampleClient_ConfirmUserCard() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	opened := server.OpenUserCard("pbLatjvWOibDc5-TBnbUk1pD12o0", "another") // what the user does
	card, err := client.ConfirmUserCard(context.Background(), membercard.ConfirmUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: opened.UserCardCode, OpenID: opened.OpenID, Level: "白银会员",
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(opened.UserCardState, "then", card.UserCardState)
	// Output: UNACTIVATED then EFFECTIVE
}

// A member the merchant has had before.
func ExampleClient_ImportUserCardByOpenID() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.ImportUserCardByOpenID(context.Background(), membercard.ImportUserCardByOpenIDRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		OpenID: "another", UserCardCode: "M-0001", Level: "黄金会员", // the code is the merchant's
		PhoneNumber: membercard.NewSensitive("13900000000"),
		PickupTime:  membercard.Timestamp{Time: time.Date(2024, 5, 20, 4, 0, 0, 0, time.UTC)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.UserCardState, card.PickupTime.Format(time.DateOnly))
	// Output: EFFECTIVE 2024-05-20
}

func ExampleClient_SyncUserPoints() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	points, err := client.SyncUserPoints(context.Background(), membercard.SyncUserPointsRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		OutRequestNo: "points-20261123-1",
		PointBalance: 1200, // the balance after the change
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(points.PointBalance)
	// Output: 1200
}

// The answer to the notification that a user wants a coupon for points. A nil error is not enough: when the
// state is FAIL, give the points back.
func ExampleClient_ConfirmPointsExchange() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	wish := server.AddPointsExchange(membercard.PointsExchange{ // what the user does
		CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", UserCardCode: "478515832665",
	})
	exchange, err := client.ConfirmPointsExchange(context.Background(), membercard.ConfirmPointsExchangeRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		RecordID: wish.RecordID, ExchangeCouponTemplateID: wish.ExchangeCouponTemplateID,
		Result: membercard.PointsExchangeResultAllow,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exchange.State != membercard.PointsExchangeStateFail)
	// Output: true
}

func ExampleClient_CreateUserFeed() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	cell, err := membercard.CellTemplatePointsEarned.Cell("1200")
	if err != nil {
		log.Fatal(err)
	}
	feed, err := client.CreateUserFeed(context.Background(), membercard.CreateUserFeedRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		OutRequestNo: "feed-20261123-1",
		Cell:         cell,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(feed.Cell)
	// Output: 1_1200
}

// For the component with which a user joins.
func ExampleClient_CreatePreAuthToken() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	token, err := client.CreatePreAuthToken(context.Background(), membercard.CreatePreAuthTokenRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", OpenID: "another",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Token != "")
	// Output: true
}

func ExampleClient_CreateActivity() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	activity, err := client.CreateActivity(context.Background(), membercard.CreateActivityRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		OutRequestNo: "activity-20261123-1", ActivityChannel: membercard.ActivityChannelMerchantAppComponent,
		Title: "入会享券", SubTitle: "5张满减券", ApplyTotal: 1000,
		BeginTime:              membercard.Timestamp{Time: time.Now()},
		EndTime:                membercard.Timestamp{Time: time.Now().AddDate(0, 1, 0)},
		ProductCouponStockList: []membercard.ProductCouponStock{{ProductCouponID: "200000001", StockID: "100232301"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(activity.Title)
	// Output: 入会享券
}

func ExampleClient_ListActivities() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.AddActivity(membercard.Activity{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", ActivityID: 371067, Title: "入会享券"})
	page, err := client.ListActivities(context.Background(), membercard.ListActivitiesRequest{
		BrandID: "1004",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.TotalCount, page.Data[0].Title)
	// Output: 1 入会享券
}

func ExampleClient_AllActivities() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.AddActivity(membercard.Activity{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", ActivityID: 371067, Title: "入会享券"})
	for activity, err := range client.AllActivities(context.Background(), membercard.ListActivitiesRequest{BrandID: "1004"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(activity.ActivityID, activity.Title)
	}
	// Output: 371067 入会享券
}

func ExampleClient_GetActivity() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.AddActivity(membercard.Activity{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", ActivityID: 371067, Title: "入会享券"})
	activity, err := client.GetActivity(context.Background(), membercard.GetActivityRequest{
		BrandID: "1004", ActivityID: 371067,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(activity.Title)
	// Output: 入会享券
}

func ExampleClient_UpdateActivity() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.AddActivity(membercard.Activity{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", ActivityID: 371067, Title: "入会享券"})
	activity, err := client.UpdateActivity(context.Background(), membercard.UpdateActivityRequest{
		BrandID: "1004", ActivityID: 371067,
		Title: "入会享好券", SubTitle: "5张满减券", // all four, each time
		BeginTime: membercard.Timestamp{Time: time.Now()},
		EndTime:   membercard.Timestamp{Time: time.Now().AddDate(0, 2, 0)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(activity.Title)
	// Output: 入会享好券
}

// This cannot be undone.
func ExampleClient_TerminateActivity() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	server.AddActivity(membercard.Activity{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", ActivityID: 371067, Title: "入会享券"})
	activity, err := client.TerminateActivity(context.Background(), membercard.TerminateActivityRequest{
		BrandID: "1004", ActivityID: 371067,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(activity.ActivityState)
	// Output: MEMBERSHIP_ACTIVITY_TERMINATED
}

// The URL is what CreateCard and UpdateUserCard take as CardPictureURL.
func ExampleClient_UploadImage() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	uploaded, err := client.UploadImage(context.Background(), membercard.UploadImageRequest{
		Filename: "card.png", Content: picture, // read from a file of at most 2 MB
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(uploaded.MediaURL != "")
	// Output: true
}

// Personal data stays encrypted until it is asked for.
func ExampleClient_Decrypt() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	card, err := client.GetUserCard(context.Background(), membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	phone, err := client.Decrypt(card.PhoneNumber)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(card.PhoneNumber, phone)
	// Output: [sensitive] 13800000000
}

// For a server of another kind than net/http, and for programs that answer themselves.
func ExampleClient_ParseNotification() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	request := server.NotificationRequest(&membercard.PointsSyncRequested{ // what WeChat Pay sends
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	n, err := client.ParseNotification(request)
	if err != nil {
		log.Fatal(err) // answer 401 to a SignatureError, 500 to others
	}
	switch event := n.Event.(type) {
	case *membercard.PointsSyncRequested:
		fmt.Println("the balance of", event.UserCardCode, "is asked for")
	case *membercard.UnknownEvent:
		fmt.Println("an event newer than this program")
	}
	// Output: the balance of 478515832665 is asked for
}

// A merchant number that still uses platform certificates: they are downloaded and replaced by themselves.
func ExampleNew_platformCertificates() {
	server := membercardtest.NewServer(membercardtest.WithCertificates())
	defer server.Close()
	config := server.Config()
	fmt.Println(config.PublicKey == nil, len(config.APIv3Key))

	client, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.ListCards(context.Background(), membercard.ListCardsRequest{BrandID: "1004"})
	fmt.Println(err, len(server.Requests()))
	// Output:
	// true 32
	// <nil> 2
}

// A change of the merchant certificate in a running program: a new client, which decrypts what was encrypted
// before, takes the place of the old one.
func ExampleConfig_previousKeys() {
	server := newExampleServer()
	defer server.Close()
	var client atomic.Pointer[membercard.Client]
	client.Store(server.Client())

	stored := storedCard() // read from WeChat Pay and kept as JSON, before the change

	config := server.Config() // with the new key and serial number
	config.PreviousKeys = []crypto.Decrypter{oldKey}
	renewed, err := membercard.New(config)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Load().Decrypt(stored.PhoneNumber)
	fmt.Println("before:", err != nil)
	client.Store(renewed) // calls under way end with the old one
	phone, err := client.Load().Decrypt(stored.PhoneNumber)
	fmt.Println("after:", phone, err)
	// Output:
	// before: true
	// after: 13800000000 <nil>
}

// storedCard returns a card whose phone number was encrypted for oldKey.
func storedCard() *membercard.UserCard {
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &oldKey.PublicKey, []byte("13800000000"), nil)
	if err != nil {
		log.Fatal(err)
	}
	var card membercard.UserCard
	if err := json.Unmarshal(fmt.Appendf(nil, `{"phone_number":%q}`, base64.StdEncoding.EncodeToString(sealed)), &card); err != nil {
		log.Fatal(err)
	}
	return &card
}

var oldKey = newKey()

// Read, change, write: a value that came in an answer is opened and encrypted again by itself.
func ExampleSensitive() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	ctx := context.Background()
	card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.UpdateUserCard(ctx, membercard.UpdateUserCardRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
		PhoneNumber: card.PhoneNumber, UserInformation: card.UserInformation,
	})
	fmt.Println(err)
	// Output: <nil>
}
