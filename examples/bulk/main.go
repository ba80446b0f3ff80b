// Bulk imports or updates the members of a CSV file as fast as the service permits, and no faster. It can be interrupted at any
// time, by kill -9 or an outage of the network, and goes on where it was: no row is carried out twice, none is forgotten. Two
// runs at the same time on the same results are refused, where the system can lock files (not on Windows). The machine must not
// lose power, since a result is not synced to the disk one by one.
//
//	cd examples/bulk
//	go run .                              # a made-up file against the fake WeChat Pay
//	go run . -keys FOLDER -brand 1004 -card pbLat... -rate 10 members.csv
//
// The columns are openid, user_card_code, level and phone_number; there is one row for each member. The results are in
// members.csv.results: the row, its status, digests by which the row is known again, and why. Rows that are "later" or
// "begun" are for the next run, and so are those that were mended: rows that were done are not sent again.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/bulk/rows"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bulk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bulk", flag.ContinueOnError)
	whose := account.Register(flags)
	brand := flags.String("brand", "1004", "`id` of the brand")
	card := flags.String("card", "pbLatjvWOibDc5-TBnbUk1pD12o0", "`id` of the card template")
	update := flags.Bool("update", false, "change members who are there, instead of importing new ones")
	perSecond := flags.Float64("rate", 10, "requests a second that the service permits for one operation")
	workers := flags.Int("workers", 8, "calls under way at the same time")
	settle := flags.Duration("settle", 10*time.Second, "pause before the cards of interrupted rows are read")
	results := flags.String("results", "", "`file` of results (default the input's name with .results)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 1:
		return fmt.Errorf("unexpected argument %q; there is one file, and flags come before it", flags.Arg(1))
	case !(*perSecond > 0 && *perSecond <= 1000), *workers <= 0: // nor NaN
		return errors.New("-rate must be more than 0 and at most 1000, -workers more than 0")
	}
	config, fake, err := whose.Open()
	if err != nil {
		return err
	}
	if fake != nil {
		defer fake.Close()
	}
	config.Throttle = membercard.NewThrottle(*perSecond * 0.98)
	client, err := membercard.New(config)
	if err != nil {
		return err
	}
	path := flags.Arg(0)
	switch {
	case fake != nil && path != "":
		return errors.New("give -keys with a file of yours; without them a made-up one goes to the fake WeChat Pay")
	case fake == nil && path == "":
		return errors.New("with -keys give the CSV file")
	case fake != nil:
		dir, err := os.MkdirTemp("", "bulk")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if path, err = rehearse(fake, filepath.Join(dir, "members.csv"), *brand, *card, 5**perSecond, *update); err != nil {
			return err
		}
		fake.LimitRate(int(*perSecond))
	}
	job := &rows.Job{
		Client: client, Account: account.Name(config), BrandID: *brand, CardID: *card, Workers: *workers, Settle: *settle,
	}
	if *update {
		job.Updater = client
	}
	bar := &bar{out: progress}
	err = job.Work(ctx, path, *results, out, bar.begin)
	bar.end()
	return err
}

// bar shows progress, rate, time left and failures of this run on a terminal, and nothing elsewhere.
type bar struct {
	out      io.Writer
	options  []mpb.ContainerOption
	progress *mpb.Progress
	bar      *mpb.Bar
	failures atomic.Int64
}

func (b *bar) begin(rowsToDo int) func(rows.Status) {
	b.progress = mpb.New(append(b.options, mpb.WithOutput(b.out), mpb.WithWidth(40))...)
	b.bar = b.progress.AddBar(int64(rowsToDo),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(
			decor.AverageSpeed(0, "%.1f/s, "), decor.AverageETA(decor.ET_STYLE_GO),
			decor.Any(func(decor.Statistics) string { return fmt.Sprintf(" left, %d failures", b.failures.Load()) }),
		))
	return func(status rows.Status) {
		if status != rows.Done {
			b.failures.Add(1)
		}
		b.bar.Increment()
	}
}

func (b *bar) end() {
	if b.bar != nil {
		b.bar.Abort(false)
		b.progress.Wait()
	}
}

// rehearse makes a file of members for the fake, where they are already when they are to be updated.
func rehearse(fake *membercardtest.Server, path, brand, card string, n float64, there bool) (string, error) {
	fake.AddCard(membercard.Card{BrandID: brand, CardID: card})
	var file bytes.Buffer
	fmt.Fprintln(&file, "openid,user_card_code,level,phone_number")
	for i := range int(n) {
		fmt.Fprintf(&file, "openid-%04d,M-%04d,黄金会员,138%08d\n", i, i, i)
		if there {
			fake.AddUserCard(membercard.UserCard{CardID: card, UserCardCode: fmt.Sprintf("M-%04d", i), OpenID: fmt.Sprintf("openid-%04d", i)})
		}
	}
	return path, os.WriteFile(path, file.Bytes(), 0o600)
}
