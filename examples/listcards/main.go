// Listcards lists a brand's card templates.
//
//	go run ./examples/listcards
//	go run ./examples/listcards -keys FOLDER -brand 1004
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
		fmt.Fprintln(os.Stderr, "listcards:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("listcards", flag.ContinueOnError)
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

	for card, err := range client.AllCards(ctx, membercard.ListCardsRequest{BrandID: member.BrandID}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %q, %s, codes by %s\n", card.CardID, card.CardTitle, card.State, card.CodeMode)
	}
	return nil
}
