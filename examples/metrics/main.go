// Metrics shows the attempts of a client as Prometheus metrics: how many by operation, status and error code, and how long
// they took. Nothing personal is in them.
//
//	cd examples/metrics
//	go run .
//
// A fake WeChat Pay answers, the first time with an error, so that a retry shows; the metrics are printed as a scrape of
// /metrics would have them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

// OnAttempt returns a Config.OnAttempt that counts and times attempts.
func OnAttempt(registry prometheus.Registerer) (func(context.Context, membercard.Attempt), error) {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wechatpay_attempts_total", Help: "Attempts of calls to WeChat Pay, retries included. Status 0: no answer.",
	}, []string{"operation", "status", "code"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "wechatpay_attempt_duration_seconds", Help: "Time of an attempt, from the connection to the last byte.",
		Buckets: []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
	}, []string{"operation"})
	for _, collector := range []prometheus.Collector{attempts, duration} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return func(_ context.Context, a membercard.Attempt) {
		attempts.WithLabelValues(string(a.Operation), strconv.Itoa(a.StatusCode), a.Code).Inc()
		duration.WithLabelValues(string(a.Operation)).Observe(a.Duration.Seconds())
	}, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("metrics", flag.ContinueOnError)
	brandEdition := flags.Bool("brand-edition", false, "as a brand that calls for itself")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var options []membercardtest.Option
	if *brandEdition {
		options = append(options, membercardtest.WithBrandEdition())
	}
	registry := prometheus.NewRegistry() // prometheus.DefaultRegisterer in a program of its own
	onAttempt, err := OnAttempt(registry)
	if err != nil {
		return err
	}
	server := membercardtest.NewServer(options...)
	defer server.Close()
	card := server.AddUserCard(membercard.UserCard{})
	config := server.Config()
	config.OnAttempt = onAttempt
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: http.StatusInternalServerError, Code: "SYSTEM_ERROR"})
	if _, err := client.ListUserCards(ctx, membercard.ListUserCardsRequest{BrandID: card.BrandID, OpenID: card.OpenID}); err != nil {
		return err
	}

	// http.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	scrape := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, err = io.Copy(out, scrape.Body)
	return err
}
