// Quickstart walks once through the core calls: it lists a brand's card templates, finds a user's
// card, decrypts the phone number, changes it, invalidates the card, and shows two refusals.
//
// It runs against the fake WeChat Pay in the same process, so it needs no account, no network and no
// keys; the signatures and the encryption are real all the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	brandEdition := flag.Bool("brand-edition", false, "as a brand that calls for itself")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "quickstart takes no arguments; it uses the fake WeChat Pay in its own process")
		os.Exit(2)
	}
	var options []membercardtest.Option
	if *brandEdition {
		options = append(options, membercardtest.WithBrandEdition())
	}
	server := membercardtest.NewServer(options...)
	defer server.Close()
	if err := run(context.Background(), os.Stdout, server); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

const (
	brandID = "1004"
	cardID  = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	openID  = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
)

func run(ctx context.Context, out io.Writer, server *membercardtest.Server) error {
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID, CardTitle: "咖啡会员卡"})
	server.AddUserCard(membercard.UserCard{
		CardID: cardID, UserCardCode: "478515832665", OpenID: openID,
		Level: "黄金会员", PhoneNumber: membercard.NewSensitive("13800000000"),
	})
	client, err := membercard.New(server.Config())
	if err != nil {
		return err
	}

	step(out, "AllCards: which templates does the brand have?")
	var info membercard.ResponseInfo
	for card, err := range client.AllCards(membercard.WithResponseInfo(ctx, &info), membercard.ListCardsRequest{BrandID: brandID}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "   %s %q, %s\n", card.CardID, card.CardTitle, card.State)
	}
	showRequest(out, info)

	step(out, "ListUserCards: does this user have a card?")
	cards, err := client.ListUserCards(membercard.WithResponseInfo(ctx, &info), membercard.ListUserCardsRequest{
		BrandID: brandID, OpenID: openID,
	})
	if err != nil {
		return err
	}
	if len(cards.Data) == 0 {
		return errors.New("the user has no card")
	}
	code := cards.Data[0].UserCardCode
	fmt.Fprintf(out, "   %d card, its code is %s\n", cards.TotalCount, code)
	showRequest(out, info)

	step(out, "GetUserCard: read it")
	get := membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID}
	card, err := client.GetUserCard(membercard.WithResponseInfo(ctx, &info), get)
	if err != nil {
		return err
	}
	if err := showCard(out, client, card); err != nil {
		return err
	}
	showRequest(out, info)

	step(out, "UpdateUserCard: a new level and a new phone number, which travels encrypted")
	card, err = client.UpdateUserCard(membercard.WithResponseInfo(ctx, &info), membercard.UpdateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
		Level:       new("钻石会员"),
		PhoneNumber: membercard.NewSensitive("13900000000"),
	})
	if err != nil {
		return err
	}
	if err := showCard(out, client, card); err != nil {
		return err
	}
	showRequest(out, info)

	step(out, "InvalidateUserCard: the user asked for it; this cannot be undone")
	card, err = client.InvalidateUserCard(membercard.WithResponseInfo(ctx, &info), membercard.InvalidateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, InvalidReason: "用户申请注销",
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "   state %s since %s, reason %q\n", card.UserCardState, card.InvalidTime.Format("15:04:05-07:00"), card.InvalidReason)
	showRequest(out, info)

	step(out, "GetUserCard with a code that does not exist: NOT_FOUND")
	get.UserCardCode = "000000000000"
	_, err = client.GetUserCard(ctx, get)
	if !errors.Is(err, membercard.ErrNotFound) {
		return fmt.Errorf("wanted ErrNotFound, got: %w", err)
	}
	fmt.Fprintf(out, "   errors.Is(err, ErrNotFound): %v\n", err)

	step(out, "ListCards with a page of 21: a refused parameter")
	_, err = client.ListCards(ctx, membercard.ListCardsRequest{BrandID: brandID, Limit: 21})
	apiError, ok := errors.AsType[*membercard.APIError](err)
	if !ok || !errors.Is(err, membercard.ErrInvalidParameter) {
		return fmt.Errorf("wanted ErrInvalidParameter, got: %w", err)
	}
	fmt.Fprintf(out, "   %s says: field %q %s\n", apiError.Code, apiError.Detail.Field, apiError.Detail.Issue)

	fmt.Fprintf(out, "\nDone: %d requests, each signed, each answer verified.\n", len(server.Requests()))
	return nil
}

func step(out io.Writer, title string) { fmt.Fprintf(out, "\n== %s\n", title) }

func showRequest(out io.Writer, info membercard.ResponseInfo) {
	fmt.Fprintf(out, "   Request-ID %s\n", info.RequestID)
}

func showCard(out io.Writer, client *membercard.Client, card *membercard.UserCard) error {
	phone, err := client.Decrypt(card.PhoneNumber)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "   state %s, level %q\n", card.UserCardState, card.Level)
	fmt.Fprintf(out, "   phone number as printed: %v; decrypted with client.Decrypt: %s\n", card.PhoneNumber, phone)
	return nil
}
