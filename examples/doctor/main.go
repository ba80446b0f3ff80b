// Doctor looks for what is wrong with a configuration: it reads the usual key files, makes one signed
// request and says in words what it found and what to do. With -brand it also asks for that brand's card
// templates, which shows whether the merchant number may use the product. It changes nothing.
//
//	go run ./examples/doctor -keys FOLDER -mchid 1900009191 -public-key-id PUB_KEY_ID_... [-brand 1004]
//
// The folder has apiclient_key.pem, apiclient_cert.pem and pub_key.pem from the merchant platform, and
// apiv3_key.txt with the APIv3 key, where there is one. Without flags it examines the fake WeChat Pay.
package main

import (
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "doctor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	whose := account.Register(flags)
	brand := flags.String("brand", "", "also read the card templates of the brand with this `id`")
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	problems := 0
	report := func(findings ...membercard.Finding) {
		for _, finding := range findings {
			fmt.Fprintln(out, finding)
			if !finding.OK {
				problems++
			}
		}
	}
	if !whose.Real() {
		fmt.Fprintln(out, "no -keys: examining the fake WeChat Pay")
	}
	config, server, err := whose.Open()
	if server != nil {
		defer server.Close()
	}
	var client *membercard.Client
	if err == nil {
		client, err = membercard.New(config)
	}
	if err != nil {
		report(membercard.Finding{Subject: "configuration", Text: strings.TrimPrefix(err.Error(), "membercard: New: ")})
		return fmt.Errorf("%d problem", problems)
	}
	report(client.Check(ctx)...)
	if *brand != "" && problems == 0 {
		report(checkBrand(ctx, client, *brand))
	}
	if problems > 0 {
		return fmt.Errorf("%d problem(s)", problems)
	}
	return nil
}

func checkBrand(ctx context.Context, client *membercard.Client, brand string) membercard.Finding {
	cards, err := client.ListCards(ctx, membercard.ListCardsRequest{BrandID: brand})
	advice := ""
	switch {
	case err == nil && cards.TotalCount == 0:
		return membercard.Finding{Subject: "brand", Text: "has no card template: is this the right id?"}
	case err == nil:
		return membercard.Finding{Subject: "brand", OK: true, Text: fmt.Sprintf("card templates: %d", cards.TotalCount)}
	case errors.Is(err, membercard.ErrForbidden):
		advice = "; apply for the product on the merchant platform, or the brand has not authorised this service provider"
	case errors.Is(err, membercard.ErrInvalidRequest), errors.Is(err, membercard.ErrInvalidParameter):
		advice = "; is this the id of a brand that authorised this service provider?"
	}
	return membercard.Finding{Subject: "brand", Text: err.Error() + advice}
}
