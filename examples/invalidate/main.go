// Invalidate ends a membership, which cannot be undone: it shows the card and asks before it does so. The
// service demands that the user was told and agreed.
//
//	go run ./examples/invalidate -reason 用户申请注销
//	go run ./examples/invalidate -keys FOLDER -brand ... -card ... -code ... -openid ... -reason 用户申请注销
//
// Without -keys it ends a membership of the fake WeChat Pay in the same process.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "invalidate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("invalidate", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	reason := flags.String("reason", "", "why, at most 32 `characters`")
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

	get := membercard.GetUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID,
	}
	card, err := client.GetUserCard(ctx, get)
	if err != nil {
		return err
	}
	if card.UserCardState == membercard.UserCardStateInvalid {
		fmt.Fprintf(out, "the card is invalid since %s\n", card.InvalidTime.Format("2006-01-02"))
		return nil
	}
	fmt.Fprintf(out, "card %s, level %q, %s. Invalidate it for ever? Type its code: ", card.UserCardCode, card.Level, card.UserCardState)
	typed, _ := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(typed) != card.UserCardCode {
		return errors.New("nothing was done")
	}
	card, err = client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID, InvalidReason: *reason,
	})
	if errors.Is(err, membercard.ErrOutcomeUnknown) {
		// With a context of its own: that of the call may be over, which is the usual reason.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if card, err = client.GetUserCard(ctx, get); err == nil && card.UserCardState != membercard.UserCardStateInvalid {
			return errors.New("it was not done so far, but the request may still be on its way: look again in five minutes")
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, card.UserCardState)
	return nil
}
