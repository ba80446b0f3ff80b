// Notify is a merchant's service that answers WeChat Pay's notifications: it confirms the cards that users
// open, answers questions for points and exchanges points for coupons. It acts once for each notification, whose id it keeps
// in a database: SQLite, PostgreSQL or MySQL. A claim that a crash has left behind expires.
//
//	cd examples/notify
//	go run .
//	go run . -keys FOLDER -addr :8080
//	go run . -keys FOLDER -addr :8080 -database postgres://user:password@localhost/name
//	go run . -keys FOLDER -addr :8080 -database 'mysql://user:password@tcp(localhost:3306)/name'
//
// Give each merchant number a path of its own in the NotifyURL of its templates, and a client of its own behind it: nothing in
// a notification says in clear whose it is. Without -keys a fake WeChat Pay in the same process has a user open a card and notifies
// the service over loopback. The first notification has a spoiled signature, as WeChat Pay sends to see who verifies; later ones
// come in several copies: the log has a WARN for the one that is refused, and an ERROR for each copy that comes while another is under
// way. With -keys it serves https://YOUR-HOST/notify behind your TLS proxy until it is interrupted.
package main

import (
	"cmp"
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
	"path/filepath"
	"strings"
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
	database := flags.String("database", "", "`address` of the database: postgres://…, mysql://…, or the path of a file (default notify.db, without -keys a temporary one)")
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	config, fake, err := whose.Open()
	if err != nil {
		return err
	}
	if config.APIv3Key == "" {
		return errors.New("the APIv3 key is missing, with which notifications are decrypted: apiv3_key.txt in the folder of -keys")
	}
	config.Logger = slog.New(slog.NewTextHandler(out, nil)) // the handler says there why it refuses
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	for _, finding := range client.Check(ctx) {
		if !finding.OK {
			fmt.Fprintln(out, finding)
		}
	}
	if *database == "" && fake != nil {
		dir, err := os.MkdirTemp("", "notify")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		*database = filepath.Join(dir, "notify.db")
	}
	store, err := openStore(ctx, cmp.Or(*database, "notify.db"))
	if err != nil {
		return err
	}
	defer func() { _ = store.db.Close() }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	members := &members{client: client, store: store}
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

// members is the merchant's side.
type members struct {
	client *membercard.Client
	store  *store
}

// handle acts once for each notification. An error makes WeChat Pay send it again.
func (m *members) handle(ctx context.Context, n *membercard.Notification) (err error) {
	claim, done, err := m.store.claim(ctx, n.ID)
	if err != nil || done {
		return err
	}
	defer func() { // also after a panic, with a context of its own, for that of the handler may be over
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, m.store.finish(ctx, n.ID, claim, done))
	}()
	actCtx, cancel := context.WithTimeout(ctx, 4*time.Second) // WeChat Pay waits 5 s
	defer cancel()
	err = m.act(actCtx, n)
	done = err == nil
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
		// The card is invalid for good: here the merchant's own records learn it.
	case *membercard.PointsSyncRequested:
		_, err := m.client.SyncUserPoints(ctx, membercard.SyncUserPointsRequest{
			OutRequestNo: "sync-" + n.ID, BrandID: event.BrandID, CardID: event.CardID, OpenID: event.OpenID,
			UserCardCode: event.UserCardCode, PointBalance: 1200, // what the merchant's own records say
		})
		return err
	case *membercard.PointsExchangeRequested:
		return m.exchange(ctx, event)
	case *membercard.UnknownEvent:
		// New to this version, or of another form than its page says: here n.Body is stored for a person to look at. An error
		// would only make it come again.
	}
	return nil
}

// confirm completes the opening of a card. A confirm whose outcome is unknown, or that is refused because it
// was done before, is settled by a look at the card.
func (m *members) confirm(ctx context.Context, card *membercard.UserCard) error {
	confirmCtx, cancel := context.WithTimeout(ctx, 2*time.Second) // leaves time for the look
	defer cancel()
	_, err := m.client.ConfirmUserCard(confirmCtx, membercard.ConfirmUserCardRequest{
		UserCardCode: card.UserCardCode, CardID: card.CardID, BrandID: card.BrandID, OpenID: card.OpenID,
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	if errors.Is(err, membercard.ErrOutcomeUnknown) || errors.Is(err, membercard.ErrNotFound) {
		readCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // the handler's may be over
		defer cancel()
		now, getErr := m.client.GetUserCard(readCtx, membercard.GetUserCardRequest{
			BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
		})
		if getErr == nil && now.UserCardState == membercard.UserCardStateEffective {
			return nil
		}
	}
	return err
}

// exchange takes the points off and allows the exchange, and gives them back when no coupon was issued. WeChat Pay asks
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
		membercardtest.NotificationRepeats(100*time.Millisecond)) // 60 s for real
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

	exchange := fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	if _, err := fake.Notify(ctx, &membercard.PointsExchangeRequested{
		RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: 1000,
		BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
	}); err != nil {
		return err
	}
	exchange, _ = fake.PointsExchange(exchange.RecordID)
	fmt.Fprintln(out, "the user exchanged points for a coupon:", exchange.State)
	_, err = fake.Notify(ctx, &membercard.UserCardDeleted{UserCard: card})
	return err
}
