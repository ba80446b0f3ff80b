// Getcard shows a user's card and decrypts the phone number on it.
//
//	go run ./examples/getcard
//	go run ./examples/getcard -keys FOLDER -brand ... -card ... -code ... -openid ...
//
// Without -keys it asks the fake WeChat Pay in the same process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "getcard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("getcard", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	client, fake, err := whose.Client(member)
	if fake != nil {
		defer fake.Close()
	}
	if err != nil {
		return err
	}

	card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID,
	})
	switch {
	case errors.Is(err, membercard.ErrNotFound):
		return errors.New("there is no such card: check brand, template, code and openid")
	case err != nil:
		return err
	}
	phone, err := client.Decrypt(card.PhoneNumber)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "card %s: %s, level %q, phone number %s\n", card.UserCardCode, card.UserCardState, card.Level, phone)
	return nil
}
