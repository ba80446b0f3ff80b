// Updatecard changes a member's level and phone number: what is not given stays as it is.
//
//	go run ./examples/updatecard -level 钻石会员 -phone 13900000000
//	go run ./examples/updatecard -keys FOLDER -brand ... -card ... -code ... -openid ... -level 钻石会员
//
// Without -keys it changes a member of the fake WeChat Pay in the same process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "updatecard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("updatecard", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	level := flags.String("level", "", "the new `level`, shown on the card")
	phone := flags.String("phone", "", "the new phone `number`; it is sent encrypted")
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	if *level+*phone == "" {
		return errors.New("give -level or -phone")
	}
	client, fake, err := whose.Client(member)
	if fake != nil {
		defer fake.Close()
	}
	if err != nil {
		return err
	}

	request := membercard.UpdateUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID,
		PhoneNumber: membercard.NewSensitive(*phone), // "" leaves it alone
	}
	if *level != "" {
		request.Level = level
	}
	card, err := client.UpdateUserCard(ctx, request)
	if errors.Is(err, membercard.ErrOutcomeUnknown) {
		// With a context of its own: that of the call may be over, which is the usual reason.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		card, err = client.UpdateUserCard(ctx, request) // it sets values: twice is as good as once
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "level %q, phone number %v\n", card.Level, card.PhoneNumber)
	return nil
}
