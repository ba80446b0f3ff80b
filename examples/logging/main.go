// Logging shows the log records of a client: one for each attempt, with operation, host, status, code, Request-ID and duration
// (nanoseconds, as slog writes one in JSON). No value of a request or an answer is in them.
//
//	go run ./examples/logging
//	go run ./examples/logging -keys FOLDER -brand 1004
//
// Without -keys the fake WeChat Pay answers, the first time with an error, so that a retry shows.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "logging:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("logging", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	client, fake, err := whose.Client(member, func(c *membercard.Config) {
		c.Logger = logger.With("merchant", cmp.Or(c.MchID, c.BrandID))
	})
	if err != nil {
		return err
	}
	if fake != nil {
		defer fake.Close()
		fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: http.StatusInternalServerError, Code: "SYSTEM_ERROR"})
	}

	var info membercard.ResponseInfo
	cards, err := client.ListUserCards(membercard.WithResponseInfo(ctx, &info), membercard.ListUserCardsRequest{
		BrandID: member.BrandID, OpenID: member.OpenID,
	})
	if err != nil {
		logger.ErrorContext(ctx, "list cards", "error", err) // fit for a log as it is
		return err
	}
	logger.InfoContext(ctx, "listed", "cards", cards.TotalCount, "attempts", info.Attempts, "request_id", info.RequestID)
	for _, card := range cards.Data {
		logger.InfoContext(ctx, "a card", "state", card.UserCardState, "phone_number", card.PhoneNumber) // [sensitive]
	}
	return nil
}
