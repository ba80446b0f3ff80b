// Platform is a membership service for many brands behind one merchant number that loses nothing and does nothing twice, across
// crashes and machines: notifications, points, changes and imports are jobs of River (riverqueue.com), in the same transactions as the
// merchant's books. The staff have a page.
//
//	cd examples/platform
//	go run .                                             # on the fake WeChat Pay, with members who open cards
//	go run . -keys FOLDER -addr :8080 -database postgres://user:password@localhost/name
//
// Several machines share one database of PostgreSQL. With SQLite, the default, there is one process.
package main

import (
	"context"
	"crypto/rand"
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

	"github.com/riverqueue/river"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, river.TestConfig{}); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	keys, baseURL, addr, database string
	file, brandID, cardID         string // of an import
	newPassword                   string
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("platform", flag.ContinueOnError)
	flags.StringVar(&o.keys, "keys", "", "`folder` of key files, read again when they change (default the fake WeChat Pay)")
	flags.StringVar(&o.baseURL, "base-url", "", "`URL` of a fake WeChat Pay in another process")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "`address` to listen on")
	flags.StringVar(&o.database, "database", "", "a `file` of SQLite or an address of PostgreSQL (default a temporary file)")
	flags.StringVar(&o.file, "import", "", "import the members of a CSV `file`, show how far it is, and serve nothing")
	flags.StringVar(&o.brandID, "brand", "", "`id` of the brand of an import")
	flags.StringVar(&o.cardID, "card", "", "`id` of the card template of an import")
	flags.StringVar(&o.newPassword, "new-password", "", "give the account of this `name` a new password, and serve nothing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.keys == "" && o.baseURL != "":
		return o, errors.New("-base-url goes with -keys; without it the fake WeChat Pay is asked")
	case o.file != "" && (o.keys == "" || o.database == ""):
		return o, errors.New("-import goes with -keys and -database, those of the service that does the work")
	case (o.file == "") != (o.brandID == "") || (o.file == "") != (o.cardID == ""):
		return o, errors.New("-import needs -brand and -card, and they go with nothing else")
	case o.newPassword != "" && o.database == "":
		return o, errors.New("-new-password goes with -database")
	case o.database != "" && o.keys == "" && o.newPassword == "":
		return o, errors.New("-database goes with -keys: the fake WeChat Pay in this process forgets everything when it ends, and the database does not")
	}
	return o, o.checkDatabase()
}

// checkDatabase says what sql.Open would not.
func (o options) checkDatabase() error {
	if o.database == "" || strings.HasPrefix(o.database, "postgres") {
		return nil
	}
	if strings.Contains(o.database, "://") {
		return errors.New("-database is a file of SQLite or an address of PostgreSQL")
	}
	path := o.database
	if o.file == "" && o.newPassword == "" {
		path = filepath.Dir(path) // the file itself is made
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	return nil
}

func run(ctx context.Context, args []string, out io.Writer, test river.TestConfig) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	secure := o.keys != "" && o.baseURL == "" // the page of a real account is behind a TLS proxy
	if o.keys == "" || o.database == "" {
		dir, err := os.MkdirTemp("", "platform")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if o.database == "" {
			o.database = filepath.Join(dir, "platform.db")
		}
		if o.keys == "" {
			fake := membercardtest.NewServer()
			defer fake.Close()
			o.keys, o.baseURL = filepath.Join(dir, "keys"), fake.Start()
			if err := writeKeys(o.keys, fake.KeyFiles()); err != nil {
				return err
			}
			return serve(ctx, o, out, test, secure, func(url string, service *service) { openCards(ctx, fake, url, service) })
		}
	}
	return serve(ctx, o, out, test, secure, nil)
}

// writeKeys writes the key files of the fake, with a token for the merchant's programs.
func writeKeys(folder string, files map[string][]byte) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	files["api_token.txt"] = []byte(rand.Text())
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// serve serves until ctx is over, or imports a file, or gives a password. demo is told the URL when it is there.
func serve(ctx context.Context, o options, out io.Writer, test river.TestConfig, secure bool, demo func(url string, service *service)) error {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := openStore(ctx, o.database, logger)
	if err != nil {
		return err
	}
	defer func() { _ = store.db.Close() }()
	if o.newPassword != "" {
		password, err := store.newPassword(ctx, o.newPassword)
		if err == nil {
			err = store.record(ctx, nil, "终端", "重设密码 "+o.newPassword, "")
			fmt.Fprintf(out, "the new password of %s is %s\n", o.newPassword, password)
		}
		return err
	}
	metrics := newMetrics(store)
	keys, err := openKeys(os.DirFS(o.keys), func(config *membercard.Config) {
		config.BaseURL, config.Throttle, config.OnAttempt, config.Logger = o.baseURL, store.throttle, metrics.onAttempt, logger
	})
	if err != nil {
		return fmt.Errorf("-keys: %w", err)
	}
	service, err := newService(keys, store, logger, test)
	if err != nil {
		return err
	}
	if o.file != "" {
		return service.importFrom(ctx, o, out)
	}
	password, err := store.firstStaff(ctx)
	if err != nil {
		return err
	}
	staff, err := service.staffPages(ctx, secure)
	if err != nil {
		return err
	}
	return service.serveUntil(ctx, o.addr, service.handler(staff, metrics.handler()), func(url string) {
		fmt.Fprintf(out, "listening on %s/staff/\n", url)
		if password != "" {
			fmt.Fprintf(out, "sign in as admin with the password %s\n", password)
		}
		if keys.current.Load().token == "" {
			fmt.Fprintln(out, "there is no api_token.txt in the folder of -keys: programs are refused")
		}
		if demo != nil {
			fmt.Fprintf(out, "users open cards: look for user-1 there\nprograms show the token %s\n", keys.current.Load().token)
			go demo(url, service)
		}
	})
}

// serveUntil answers requests and works on jobs until ctx is over, and then until what is under way is done.
func (s *service) serveUntil(ctx context.Context, addr string, handler http.Handler, started func(url string)) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	server := &http.Server{Handler: handler, ReadTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := s.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	go s.keys.watch(ctx, 5*time.Second, s.logger)
	started("http://" + listener.Addr().String())
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*jobTimeout)
	defer cancel()
	return errors.Join(err, server.Shutdown(stopCtx), s.jobs.Stop(stopCtx))
}

// importFrom imports a file: its rows are stored, and the service does the work.
func (s *service) importFrom(ctx context.Context, o options, out io.Writer) error {
	input, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}
	file, err := readImport(filepath.Base(o.file), o.brandID, o.cardID, input)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	if err := s.startImport(ctx, file, "终端"); err != nil {
		return err
	}
	return s.followImport(ctx, file.id, out)
}

// openCards has users open a card and buy something, one after another.
func openCards(ctx context.Context, fake *membercardtest.Server, url string, service *service) {
	template := fake.AddCard(membercard.Card{CardTitle: "咖啡会员卡", NotifyURL: url + "/notify"})
	for i := 1; ctx.Err() == nil; i++ {
		opened := fake.OpenUserCard(template.CardID, fmt.Sprint("user-", i))
		_, _ = fake.Notify(ctx, &membercard.UserCardCreated{UserCard: opened})
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
		_ = service.addPoints(ctx, fmt.Sprint("demo-", i), cardName{opened.CardID, opened.UserCardCode}, int64(10*i), nil)
	}
}
