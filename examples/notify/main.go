// Notify is a merchant's service that answers WeChat Pay's notifications: it confirms the cards that users
// open, remembers those they delete, answers questions for points and swaps points for coupons.
//
//	go run ./examples/notify
//	go run ./examples/notify -keys FOLDER -addr :8080
//
// Without -keys a fake WeChat Pay in the same process has a user open a card and notifies the service over
// loopback, the first time with a spoiled signature, as WeChat Pay does to see who verifies, and later in
// several copies. With -keys it serves https://YOUR-HOST/notify behind your TLS proxy until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "notify:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("notify", flag.ContinueOnError)
	whose := account.Register(flags)
	addr := flags.String("addr", "127.0.0.1:0", "`address` to listen on")
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	config, fake, err := whose.Open()
	if err != nil {
		return err
	}
	config.Logger = slog.New(slog.NewTextHandler(out, nil)) // the handler says there why it refuses
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	members := newMembers(client)
	mux := http.NewServeMux()
	mux.Handle("POST /notify", client.NotificationHandler(members.handle))
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	notifyURL := "http://" + listener.Addr().String() + "/notify"
	fmt.Fprintln(out, "listening on", notifyURL)
	if fake != nil {
		defer fake.Close()
		return rehearse(ctx, out, fake, notifyURL)
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done(): // the notifications under way are answered
		shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(shutdownCtx)
	}
}

// members is the merchant's side. In earnest done is a table whose primary key is the notification's id,
// written in one transaction with the rest.
type members struct {
	client *membercard.Client
	mu     sync.Mutex
	known  map[string]bool // true: done, false: under way
}

func newMembers(client *membercard.Client) *members {
	return &members{client: client, known: map[string]bool{}}
}

// handle acts once for each notification. An error makes WeChat Pay send it again.
func (m *members) handle(ctx context.Context, n *membercard.Notification) error {
	m.mu.Lock()
	done, known := m.known[n.ID]
	if !known {
		m.known[n.ID] = false
	}
	m.mu.Unlock()
	switch {
	case done:
		return nil
	case known: // copies come at the same time
		return errors.New("a copy of it is under way")
	}
	dealtWith := false // nor is it after a panic
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if dealtWith {
			m.known[n.ID] = true
		} else {
			delete(m.known, n.ID)
		}
	}()
	err := m.act(ctx, n)
	dealtWith = err == nil
	return err
}

// act does what a notification asks for.
func (m *members) act(ctx context.Context, n *membercard.Notification) error {
	switch event := n.Event.(type) {
	case *membercard.UserCardCreated:
		if event.UserCardCode == "" { // CodeModeMerchantAllocate: the merchant's own number, the same at each repeat
			event.UserCardCode = strings.ReplaceAll(n.ID, "-", "")
		}
		return m.confirm(ctx, &event.UserCard)
	case *membercard.UserCardDeleted:
		// The card is gone: forget it here, too.
	case *membercard.PointsSyncRequested:
		_, err := m.client.SyncUserPoints(ctx, membercard.SyncUserPointsRequest{
			OutRequestNo: "sync-" + n.ID, BrandID: event.BrandID, CardID: event.CardID, OpenID: event.OpenID,
			UserCardCode: event.UserCardCode, PointBalance: 1200, // what the merchant's own books say
		})
		return err
	case *membercard.PointsExchangeRequested:
		return m.exchange(ctx, event)
	case *membercard.UnknownEvent:
		// New to this version. An error would only make it come again.
	}
	return nil
}

// confirm completes the opening of a card. A confirm whose outcome is unknown, or that is refused because it
// was done before, is settled by a look at the card.
func (m *members) confirm(ctx context.Context, card *membercard.UserCard) error {
	_, err := m.client.ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
		UserCardCode: card.UserCardCode, CardID: card.CardID, BrandID: card.BrandID, OpenID: card.OpenID,
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	if errors.Is(err, membercard.ErrOutcomeUnknown) || errors.Is(err, membercard.ErrNotFound) {
		now, getErr := m.client.GetUserCard(ctx, membercard.GetUserCardRequest{
			BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
		})
		if getErr == nil && now.UserCardState == membercard.UserCardStateEffective {
			return nil
		}
	}
	return err
}

// exchange takes the points off and allows the swap, and gives them back when no coupon was issued. WeChat Pay asks
// for the answer within three seconds of the notification, for the user is looking at the page.
func (m *members) exchange(ctx context.Context, event *membercard.PointsExchangeRequested) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// Here event.DeductPoints are taken off, once for each event.RecordID.
	answer, err := m.client.ConfirmPointsExchange(ctx, membercard.ConfirmPointsExchangeRequest{
		RecordID: event.RecordID, ExchangeCouponTemplateID: event.ExchangeCouponTemplateID,
		BrandID: event.BrandID, CardID: event.CardID, OpenID: event.OpenID, UserCardCode: event.UserCardCode,
		Result: membercard.PointsExchangeResultAllow,
	})
	if err == nil && answer.State == membercard.PointsExchangeStateFail {
		return nil // here they are given back
	}
	return err
}

// rehearse does what users and WeChat Pay do.
func rehearse(ctx context.Context, out io.Writer, fake *membercardtest.Server, notifyURL string) error {
	template := fake.AddCard(membercard.Card{CardTitle: "咖啡会员卡", NotifyURL: notifyURL})
	opened := fake.OpenUserCard(template.CardID, "obLatjnx9gnqzS4myYGmLZ7LgLBA")
	fmt.Fprintln(out, "a user opened a card, it is", opened.UserCardState)
	statuses, err := fake.Notify(ctx, &membercard.UserCardCreated{UserCard: opened},
		membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultProbe}),
		membercardtest.NotificationRepeats(100*time.Millisecond)) // 60 s in earnest
	if err != nil {
		return err
	}
	card, _ := fake.UserCard(template.CardID, opened.UserCardCode)
	fmt.Fprintf(out, "WeChat Pay notified the service, which answered %v: the card is %s\n", statuses, card.UserCardState)

	if _, err := fake.Notify(ctx, &membercard.PointsSyncRequested{
		BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
	}, membercardtest.NotificationDuplicates(2)); err != nil {
		return err
	}
	fmt.Fprintf(out, "asked for the balance three times at once, the service sent it %d time: %d points\n",
		fake.Effects(membercard.OperationSyncUserPoints, card.UserCardCode), fake.Points(card.CardID, card.UserCardCode))

	swap := fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	if _, err := fake.Notify(ctx, &membercard.PointsExchangeRequested{
		RecordID: swap.RecordID, ExchangeCouponTemplateID: swap.ExchangeCouponTemplateID, DeductPoints: 1000,
		BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
	}); err != nil {
		return err
	}
	swap, _ = fake.PointsExchange(swap.RecordID)
	fmt.Fprintln(out, "the user swapped points for a coupon:", swap.State)
	_, err = fake.Notify(ctx, &membercard.UserCardDeleted{UserCard: card})
	return err
}
