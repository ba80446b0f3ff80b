// Cluster is bulk on several machines: each works on its part of the members. All together stay below the rate that the service
// permits one merchant number, because they share it through Redis.
//
//	cd examples/cluster
//	go run . -redis 127.0.0.1:6379 -rate 10 -keys FOLDER -brand 1004 -card pbLat... part-1.csv
//
// The file is as bulk wants it: a line of headers, openid,user_card_code,level,phone_number, and a line for each member. With
// -base-url it goes to the fake program.
//
// When Redis is away nothing is sent: each call fails within half a second, with an error that says so, and
// its row is left for the next run.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/bulk/rows"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	whose := account.Register(flags)
	addr := flags.String("redis", "127.0.0.1:6379", "`address` of the Redis that all share")
	brand := flags.String("brand", "1004", "`id` of the brand")
	card := flags.String("card", "pbLatjvWOibDc5-TBnbUk1pD12o0", "`id` of the card template")
	perSecond := flags.Int("rate", 10, "requests a second that the service permits for one operation")
	settle := flags.Duration("settle", 10*time.Second, "pause before the cards of interrupted rows are read")
	results := flags.String("results", "", "`file` of results (default the input's name with .results)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *perSecond <= 0:
		return errors.New("-rate must be more than 0")
	case flags.NArg() > 1:
		return fmt.Errorf("unexpected argument %q; there is one file, and flags come before it", flags.Arg(1))
	case !whose.Real() || flags.NArg() == 0:
		return errors.New("give -keys and the file of this machine's members")
	}
	config, _, err := whose.Open()
	if err != nil {
		return err
	}
	shared := Connect(*addr)
	defer func() { _ = shared.Close() }()
	config.Throttle = NewThrottle(shared, cmp.Or(config.BrandID, config.MchID), *perSecond)
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	job := &rows.Job{Client: client, Account: account.Name(config), BrandID: *brand, CardID: *card, Workers: 4, Settle: *settle}
	return job.Work(ctx, flags.Arg(0), *results, out, nil)
}

// Connect returns a client of Redis that gives up quickly, so that a Redis that is away is noticed.
func Connect(addr string) *redis.Client {
	redis.SetLogger(silent{}) // what goes wrong is in the errors
	const patience = 150 * time.Millisecond
	return redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
		PoolTimeout: patience, ContextTimeoutEnabled: true,
	})
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// NewThrottle returns a Config.Throttle that shares a rate with everybody who has the same Redis and
// merchant number. A burst of one spaces the requests evenly. The period is a little longer than a second:
// the service counts arrivals, and the way there can take 40 ms more for one request than for the next.
func NewThrottle(shared *redis.Client, mchID string, perSecond int) func(context.Context, membercard.Operation) error {
	limiter := redis_rate.NewLimiter(shared)
	limit := redis_rate.Limit{Rate: perSecond, Burst: 1, Period: 1040 * time.Millisecond}
	var mu sync.Mutex
	queues := map[membercard.Operation]*queue{}
	return func(ctx context.Context, operation membercard.Operation) error {
		mu.Lock()
		q := queues[operation]
		if q == nil {
			q = &queue{asking: make(chan struct{}, 1)}
			queues[operation] = q
		}
		mu.Unlock()
		return q.wait(ctx, func() (*redis_rate.Result, error) {
			return limiter.Allow(ctx, "membercard:"+mchID+":"+string(operation), limit)
		})
	}
}

// queue has one caller of this process at a time ask Redis; the others wait behind it.
type queue struct {
	asking chan struct{} // one place; whoever has it may touch the rest
	failed time.Time
	err    error
}

func (q *queue) wait(ctx context.Context, ask func() (*redis_rate.Result, error)) error {
	select {
	case q.asking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-q.asking }()
	if time.Since(q.failed) < 100*time.Millisecond { // so that those behind do not wait for the same answer
		return q.err
	}
	for {
		granted, err := ask()
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // Redis may well be there
		}
		if deadline, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(deadline) { // as its timer will say in a moment
			return context.DeadlineExceeded
		}
		if err != nil {
			q.failed = time.Now()
			q.err = fmt.Errorf("nothing is sent, since the rate that is shared through Redis cannot be asked for: %w", err)
			return q.err
		}
		if granted.Allowed > 0 {
			return nil
		}
		timer := time.NewTimer(granted.RetryAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
