// Lifecycle follows one member from the template to the end: a picture is uploaded, a template created with it, an activity
// offered. A user opens a card and the merchant confirms it. Points and news are sent, points are exchanged for a coupon, an older
// member is imported, and at last everything is ended.
//
// It runs against the fake WeChat Pay in the same process; where a user would act, the fake is told to.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	brandEdition := flag.Bool("brand-edition", false, "as a brand that calls for itself")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "lifecycle takes no arguments; it uses the fake WeChat Pay in its own process")
		os.Exit(2)
	}
	var options []membercardtest.Option
	if *brandEdition {
		options = append(options, membercardtest.WithBrandEdition())
	}
	server := membercardtest.NewServer(options...)
	defer server.Close()
	if err := run(context.Background(), os.Stdout, server); err != nil {
		fmt.Fprintln(os.Stderr, "lifecycle:", err)
		os.Exit(1)
	}
}

const (
	brandID = "1004"
	openID  = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
)

func run(ctx context.Context, out io.Writer, server *membercardtest.Server) error {
	client := server.Client()
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }

	var picture bytes.Buffer // for real a designer's, 716 by 320 pixels
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 716, 320))); err != nil {
		return err
	}
	uploaded, err := client.UploadImage(ctx, membercard.UploadImageRequest{Filename: "card.png", Content: picture.Bytes()})
	if err != nil {
		return err
	}
	say("UploadImage             %d bytes", picture.Len())
	template, err := client.CreateCard(ctx, membercard.CreateCardRequest{
		OutRequestNo: "1004-20261122-1", BrandID: brandID, AppID: "wxea9c30890f48d5ae",
		CardType: membercard.CardTypeNormal, CardTitle: "咖啡会员卡", CardColor: "#6F4E37", CardPictureURL: uploaded.MediaURL,
		CodeMode: membercard.CodeModeSystemAllocate, CodeType: membercard.CodeTypeQRCode, Benefits: "会员折扣、专属价",
		NotifyURL:            "https://merchant.example/notify",
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent},
		MemberInformation:    &membercard.MemberInfo{JumpAppID: "wxea9c30a90fs8d3fe", JumpPath: "/pages/member/member"},
		LegalAgreement:       "入会即同意会员协议。",
	})
	if err != nil {
		return err
	}
	say("CreateCard              template %s, %s", template.CardID, template.State)

	template, err = client.UpdateCard(ctx, membercard.UpdateCardRequest{CardID: template.CardID, BrandID: brandID, NeedPinned: new(true)})
	if err != nil {
		return err
	}
	say("UpdateCard              pinned: %v", template.NeedPinned)

	activity, err := createActivity(ctx, client, template.CardID)
	switch {
	case errors.Is(err, membercard.ErrInvalidParameter):
		say("CreateActivity          not in the brand edition")
	case err != nil:
		return err
	default:
		say("CreateActivity          %d, %s", activity.ActivityID, activity.ActivityState)
	}

	token, err := client.CreatePreAuthToken(ctx, membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: template.CardID, OpenID: openID})
	if err != nil {
		return err
	}
	say("CreatePreAuthToken      for the joining component, until %s", token.ExpireTime.Format("15:04:05-07:00"))

	opened := server.OpenUserCard(template.CardID, openID) // the user joins, and WeChat Pay sends a notification
	say("  the user opens a card: it is %s until the merchant confirms it", opened.UserCardState)
	card, err := client.ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
		UserCardCode: opened.UserCardCode, CardID: template.CardID, BrandID: brandID, OpenID: openID,
		Level: "白银会员", PhoneNumber: membercard.NewSensitive("13800000000"),
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	if err != nil {
		return err
	}
	say("ConfirmUserCard         %s, level %s, phone number %v", card.UserCardState, card.Level, card.PhoneNumber)

	points, err := client.SyncUserPoints(ctx, membercard.SyncUserPointsRequest{
		OutRequestNo: "1004-20261122-3", BrandID: brandID, CardID: template.CardID, OpenID: openID, UserCardCode: card.UserCardCode, PointBalance: 1200,
	})
	if err != nil {
		return err
	}
	say("SyncUserPoints          balance %d", points.PointBalance)

	cell, err := membercard.CellTemplatePointsEarned.Cell("1200")
	if err != nil {
		return err
	}
	feed, err := client.CreateUserFeed(ctx, membercard.CreateUserFeedRequest{
		BrandID: brandID, CardID: template.CardID, UserCardCode: card.UserCardCode, OpenID: openID,
		OutRequestNo: "1004-20261122-4", Cell: cell,
	})
	if err != nil {
		return err
	}
	say("CreateUserFeed          %s", feed.Cell)

	wish := server.AddPointsExchange(membercard.PointsExchange{CardID: template.CardID, UserCardCode: card.UserCardCode})
	say("  the user wants a coupon for points")
	exchange, err := client.ConfirmPointsExchange(ctx, membercard.ConfirmPointsExchangeRequest{
		RecordID: wish.RecordID, ExchangeCouponTemplateID: wish.ExchangeCouponTemplateID,
		BrandID: brandID, CardID: template.CardID, OpenID: openID, UserCardCode: card.UserCardCode,
		Result: membercard.PointsExchangeResultAllow,
	})
	if err != nil {
		return err
	}
	if exchange.State == membercard.PointsExchangeStateFail {
		return errors.New("the coupon was not issued: the points must be given back")
	}
	say("ConfirmPointsExchange   %s", exchange.State)

	imported, err := client.ImportUserCardByOpenID(ctx, membercard.ImportUserCardByOpenIDRequest{
		BrandID: brandID, CardID: template.CardID, OpenID: "obLatjimported", UserCardCode: "M-0001", Level: "黄金会员",
		PickupTime: membercard.Timestamp{Time: time.Date(2024, 5, 20, 4, 0, 0, 0, time.UTC)},
	})
	if err != nil {
		return err
	}
	say("ImportUserCardByOpenID  %s, since %s", imported.UserCardState, imported.PickupTime.Format(time.DateOnly))

	members := 0
	for _, err := range client.AllUserCards(ctx, membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID}) {
		if err != nil {
			return err
		}
		members++
	}
	say("AllUserCards            %d card of the user", members)

	card, err = client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: brandID, CardID: template.CardID, UserCardCode: card.UserCardCode, OpenID: openID, InvalidReason: "用户申请注销",
	})
	if err != nil {
		return err
	}
	say("InvalidateUserCard      %s", card.UserCardState)
	if activity != nil {
		activity, err = client.TerminateActivity(ctx, membercard.TerminateActivityRequest{ActivityID: activity.ActivityID, BrandID: brandID})
		if err != nil {
			return err
		}
		say("TerminateActivity       %s", activity.ActivityState)
	}
	template, err = client.InvalidateCard(ctx, membercard.InvalidateCardRequest{CardID: template.CardID, BrandID: brandID})
	if err != nil {
		return err
	}
	say("InvalidateCard          %s", template.State)
	return nil
}

// createActivity gives those who join a coupon. The brand edition has no activities.
func createActivity(ctx context.Context, client *membercard.Client, cardID string) (*membercard.Activity, error) {
	return client.CreateActivity(ctx, membercard.CreateActivityRequest{
		OutRequestNo: "1004-20261122-2", BrandID: brandID, CardID: cardID,
		ActivityChannel: membercard.ActivityChannelMerchantAppComponent, Title: "入会享券", SubTitle: "5张满减券",
		BeginTime: membercard.Timestamp{Time: time.Now()}, EndTime: membercard.Timestamp{Time: time.Now().AddDate(0, 1, 0)},
		ApplyTotal: 1000, ProductCouponStockList: []membercard.ProductCouponStock{{ProductCouponID: "200000001", StockID: "100232301"}},
	})
}
