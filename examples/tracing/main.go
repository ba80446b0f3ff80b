// Tracing makes OpenTelemetry spans of a client's requests with otelhttp, below the signature: one for each
// attempt, retries included. Openids and card codes, which are in the URL, stay out of the spans, and no
// traceparent header is sent to the service.
//
//	cd examples/tracing
//	go run .
//	go run . -keys FOLDER -brand ... -card ... -code ... -openid ...
//
// Without -keys the fake WeChat Pay answers, the first time with an error, so that a retry shows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "tracing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("tracing", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{out})) // for real a batch exporter
	defer func() { _ = provider.Shutdown(ctx) }()
	client, fake, err := whose.Client(member, func(c *membercard.Config) {
		base := http.RoundTripper(membercard.NewTransport())
		if c.HTTPClient != nil { // the fake's
			base = c.HTTPClient.Transport
		}
		c.HTTPClient = &http.Client{Transport: Traced(base, provider)}
	})
	if err != nil {
		return err
	}
	if fake != nil {
		defer fake.Close()
		fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: http.StatusInternalServerError, Code: "SYSTEM_ERROR"})
	}

	ctx, span := provider.Tracer("example").Start(ctx, "show a card")
	defer span.End()
	card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the card is", card.UserCardState)
	return nil
}

// Traced returns a RoundTripper that makes spans and sends the request as it was signed. otelhttp is shown a copy whose URL has
// neither path nor query, and the span has the name of the operation; below it the original takes its place again.
func Traced(base http.RoundTripper, provider trace.TracerProvider) http.RoundTripper {
	return outer{otelhttp.NewTransport(inner{base},
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()), // none: the service is no part of the trace
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			operation, _ := membercard.OperationFrom(r.Context())
			return string(operation)
		}),
	)}
}

type outer struct{ next http.RoundTripper }

type originalKey struct{}

func (t outer) RoundTrip(r *http.Request) (*http.Response, error) {
	shown := r.Clone(context.WithValue(r.Context(), originalKey{}, r))
	shown.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host} // a path can have the code of a card in it, a query more
	return t.next.RoundTrip(shown)
}

type inner struct{ next http.RoundTripper }

func (t inner) RoundTrip(shown *http.Request) (*http.Response, error) {
	original, _ := shown.Context().Value(originalKey{}).(*http.Request)
	signed := original.WithContext(shown.Context()) // the URL, header and body that were signed
	return t.next.RoundTrip(signed)
}

// printer is an exporter that writes a line for each span.
type printer struct{ out io.Writer }

func (p printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, span := range spans {
		fmt.Fprintf(p.out, "span %q", span.Name())
		for _, attribute := range span.Attributes() {
			fmt.Fprintf(p.out, " %s=%s", attribute.Key, attribute.Value.String())
		}
		fmt.Fprintln(p.out)
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }
