// Platform is a membership service for many brands behind one merchant number that loses nothing and does nothing twice, across
// crashes and machines: notifications, points and changes are jobs of River (riverqueue.com), in the same transactions as the
// merchant's books.
//
//	cd examples/platform
//	go run .                                             # on the fake WeChat Pay, with members who open cards
//	go run . -keys FOLDER -addr :8080 -database postgres://user:password@localhost/name
//
// Several machines share one database of PostgreSQL. With SQLite, the default, there is one process.
package main

import (
	"context"
	"encoding/json"
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
	"syscall"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("platform", flag.ContinueOnError)
	keys := flags.String("keys", "", "`folder` of key files (default the fake WeChat Pay)")
	baseURL := flags.String("base-url", "", "`URL` of a fake WeChat Pay in another process")
	addr := flags.String("addr", "127.0.0.1:0", "`address` to listen on")
	database := flags.String("database", "", "a `file` of SQLite or an address of PostgreSQL (default a temporary file)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *keys == "" && *baseURL != "" {
		return errors.New("-base-url goes with -keys; without it the fake WeChat Pay is asked")
	}
	if *database == "" {
		dir, err := os.MkdirTemp("", "platform")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		*database = filepath.Join(dir, "platform.db")
	}
	var fake *membercardtest.Server
	var config membercard.Config
	if *keys == "" {
		fake = membercardtest.NewServer()
		defer fake.Close()
		config = fake.Config()
	} else {
		var err error
		if config, err = membercard.LoadConfig(os.DirFS(*keys)); err != nil {
			return err
		}
		config.BaseURL = *baseURL
	}
	store, err := openStore(ctx, *database)
	if err != nil {
		return err
	}
	defer func() { _ = store.db.Close() }()
	service, err := newService(config, store, slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: service.handler(), ReadTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := service.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	fmt.Fprintln(out, "listening on", url)
	if fake != nil {
		go openCards(ctx, fake, url)
	}
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*jobTimeout) // what is under way is done
	defer cancel()
	return errors.Join(err, server.Shutdown(stopCtx), service.jobs.Stop(stopCtx))
}

// openCards has a user open a card and buy something, again and again.
func openCards(ctx context.Context, fake *membercardtest.Server, url string) {
	template := fake.AddCard(membercard.Card{CardTitle: "咖啡会员卡", NotifyURL: url + "/notify"})
	for i := 1; ctx.Err() == nil; i++ {
		opened := fake.OpenUserCard(template.CardID, fmt.Sprint("user-", i))
		_, _ = fake.Notify(ctx, &membercard.UserCardCreated{UserCard: opened})
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
	}
}

// handler is what the service answers: WeChat Pay's notifications, and the merchant's own programs. Only /notify may be reached from
// outside.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /notify", s.client.NotificationHandler(s.receive))
	mux.HandleFunc("POST /points", handle(s.logger, func(ctx context.Context, in struct {
		cardName
		ID     string `json:"id"` // of the sale: it is booked once
		Points int64  `json:"points"`
	},
	) error {
		return s.addPoints(ctx, in.ID, in.cardName, in.Points)
	}))
	mux.HandleFunc("POST /levels", handle(s.logger, func(ctx context.Context, in levelJob) error {
		_, err := s.jobs.Insert(ctx, in, nil)
		return err
	}))
	mux.HandleFunc("POST /invalidations", handle(s.logger, func(ctx context.Context, in struct {
		cardName
		Consent string `json:"consent"` // who wanted it
	},
	) error {
		if in.Consent == "" {
			return errNoConsent
		}
		return s.requestInvalidation(ctx, in.cardName, in.Consent)
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.store.db.PingContext(r.Context()); err != nil {
			http.Error(w, "the database cannot be reached", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /{$}", s.overview)
	return mux
}

var errNoConsent = errors.New("consent is required: who wanted it")

// handle is the handler of a request in JSON.
func handle[T any](logger *slog.Logger, do func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&in); err != nil {
			http.Error(w, "the body is not the expected JSON", http.StatusBadRequest)
			return
		}
		switch err := do(r.Context(), in); {
		case errors.Is(err, errNoConsent):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case errors.Is(err, errNoMember):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			logger.ErrorContext(r.Context(), "not stored", "path", r.URL.Path, "error", err)
			http.Error(w, "not stored, send it again", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// overview counts what there is, without personal data.
func (s *service) overview(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, count := range []struct{ name, query string }{
		{"members", "SELECT state, COUNT(*) FROM members GROUP BY state ORDER BY state"},
		{"jobs", "SELECT CAST(state AS TEXT), COUNT(*) FROM river_job GROUP BY state ORDER BY 1"},
		{"for a person to decide", "SELECT kind, COUNT(*) FROM decisions GROUP BY kind ORDER BY kind"},
	} {
		fmt.Fprintln(w, count.name)
		rows, err := s.store.db.QueryContext(r.Context(), count.query)
		if err != nil {
			fmt.Fprintln(w, "  cannot be read now")
			continue
		}
		for rows.Next() {
			var what string
			var n int
			if rows.Scan(&what, &n) == nil {
				fmt.Fprintf(w, "  %s: %d\n", what, n)
			}
		}
		_ = rows.Err()
		_ = rows.Close()
	}
}
