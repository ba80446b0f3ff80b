// Roundtripper shows a RoundTripper of one's own: this one counts requests by operation and status, and their time. For metrics
// alone Config.OnAttempt is simpler: see examples/metrics.
//
//	go run ./examples/roundtripper
//	go run ./examples/roundtripper -keys FOLDER -brand ... -card ... -code ... -openid ...
//
// It stands between the client and the network, below the signature: it sees what is sent and must not
// change it. Wrap membercard.NewTransport, so that connections are kept and the client learns from trace
// events whether a failed request was sent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "roundtripper:", err)
		os.Exit(1)
	}
}

// metrics measures requests and hands them on.
type metrics struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen map[string]int
	took time.Duration
}

// RoundTrip must not change the request, and must hand on its context with the trace events in it.
func (m *metrics) RoundTrip(request *http.Request) (*http.Response, error) {
	start := time.Now()
	response, err := m.next.RoundTrip(request)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took += time.Since(start)
	status := "no answer"
	if err == nil {
		status = response.Status
	}
	operation, _ := membercard.OperationFrom(request.Context())
	m.seen[string(operation)+" "+status]++ // not the URL: it holds openids and card codes
	return response, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("roundtripper", flag.ContinueOnError)
	whose, member := account.Register(flags), account.RegisterMember(flags)
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	m := &metrics{next: membercard.NewTransport(), seen: map[string]int{}}
	client, fake, err := whose.Client(member, func(c *membercard.Config) {
		if c.HTTPClient != nil { // the fake's
			m.next = c.HTTPClient.Transport
		}
		c.HTTPClient = &http.Client{Transport: m}
	})
	if fake != nil {
		defer fake.Close()
	}
	if err != nil {
		return err
	}

	get := membercard.GetUserCardRequest{
		BrandID: member.BrandID, CardID: member.CardID, UserCardCode: member.UserCardCode, OpenID: member.OpenID,
	}
	if _, err := client.GetUserCard(ctx, get); err != nil {
		return err
	}
	get.UserCardCode = "0"
	if _, err := client.GetUserCard(ctx, get); !errors.Is(err, membercard.ErrNotFound) {
		return fmt.Errorf("a card that should not be there: %w", err)
	}
	fmt.Fprintf(out, "%v in %v; the 404 is of a card that is not there\n", m.seen, m.took.Round(time.Millisecond))
	return nil
}
