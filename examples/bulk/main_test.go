package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/bulk/rows"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestMain(m *testing.M) {
	if os.Getenv("BULK_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	brandID = "1004"
	cardID  = "pbLatjvWOibDc5-TBnbUk1pD12o0"
)

func newServer(t *testing.T) *membercardtest.Server {
	t.Helper()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID})
	return server
}

func file(n int) string {
	var b strings.Builder
	b.WriteString("openid,user_card_code,level,phone_number\n")
	for i := range n {
		fmt.Fprintf(&b, "openid-%04d,M-%04d,黄金会员,138%08d\n", i, i, i)
	}
	return b.String()
}

// TestTheQuotaIsUsed: 98 % of it, and the fake, which counts arrivals, never says 429.
func TestTheQuotaIsUsed(t *testing.T) {
	for _, perSecond := range []int{5, 20, 50} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			server.LimitRate(perSecond)
			config := server.Config()
			config.Throttle = NewThrottle(float64(perSecond))
			client, err := membercard.New(config)
			require.NoError(t, err)
			input := []byte(file(perSecond * 20))
			members, err := rows.Parse(input)
			require.NoError(t, err)
			journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), input)
			require.NoError(t, err)
			job := &rows.Job{Client: client, BrandID: brandID, CardID: cardID, Workers: 8}
			start := time.Now()
			summary, err := job.Run(t.Context(), members, journal)
			require.NoError(t, err)
			elapsed := time.Since(start)
			require.NoError(t, journal.Close())
			assert.Equal(t, rows.Summary{rows.Done: len(members)}, summary)
			for _, request := range server.Requests() {
				assert.Equal(t, 200, request.Status)
			}
			used := float64(len(members)) / (elapsed.Seconds() * float64(perSecond))
			assert.GreaterOrEqual(t, used, 0.98, "%d a second", perSecond)
			t.Logf("%d a second: %.1f %% used", perSecond, 100*used)
		})
	}
}

// TestKilledTenTimes: the program is killed without warning, ten times, and started again; every row is
// carried out exactly once.
func TestKilledTenTimes(t *testing.T) {
	const n = 400
	server := newServer(t)
	baseURL := server.Start()
	dir := t.TempDir()
	require.NoError(t, account.Write(dir, server.Config()))
	path := filepath.Join(dir, "members.csv")
	require.NoError(t, os.WriteFile(path, []byte(file(n)), 0o600))
	start := func() (*exec.Cmd, *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		command := exec.CommandContext(ctx, os.Args[0], "-keys", dir, "-mchid", membercardtest.MchID, "-public-key-id", membercardtest.PublicKeyID,
			"-base-url", baseURL, "-rate", "200", "-settle", "200ms", path)
		command.Env = append(os.Environ(), "BULK_PROGRAM=1")
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		require.NoError(t, command.Start())
		return command, &out
	}
	for range 10 {
		command, _ := start()
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	t.Logf("%d rows were carried out before the last start", imports(server, n))
	command, out := start()
	require.NoError(t, command.Wait(), out.String())
	assert.Contains(t, out.String(), fmt.Sprintf("%d done, 0 refused, 0 for the next run", n))
	for i := range n {
		assert.Equal(t, 1, server.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprintf("M-%04d", i)))
	}
}

func imports(server *membercardtest.Server, n int) (done int) {
	for i := range n {
		done += server.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprintf("M-%04d", i))
	}
	return done
}

// TestAnswersThatDoNotCome: rows in doubt are read by the next run, not sent again.
func TestAnswersThatDoNotCome(t *testing.T) {
	server := newServer(t)
	input := []byte(file(10))
	members, err := rows.Parse(input)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "results")
	run := func(job *rows.Job) rows.Summary {
		journal, err := rows.OpenJournal(path, input)
		require.NoError(t, err)
		summary, err := job.Run(t.Context(), members, journal)
		require.NoError(t, err)
		require.NoError(t, journal.Close())
		return summary
	}
	job := &rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID, Workers: 1}
	cut := membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultCut, Times: 2}
	server.Inject(cut)
	cut.AfterEffect = true
	server.Inject(cut)
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultStatus, Status: 400, Code: "PARAM_ERROR"})
	assert.Equal(t, rows.Summary{rows.Begun: 4, rows.Later: 1, rows.Refused: 1, rows.Done: 4}, run(job))
	assert.Equal(t, rows.Summary{rows.Refused: 1, rows.Done: 9}, run(job))
	assert.Equal(t, 9, imports(server, 10))

	// The same file as an update, of which two fail on the way, and the reading of one of them, too.
	path = filepath.Join(t.TempDir(), "results")
	job.Update = true
	cut.Operation, cut.Times = membercard.OperationUpdateUserCard, 6
	server.Inject(cut)
	summary := run(job)
	assert.Equal(t, 2, summary[rows.Begun])
	server.Inject(membercardtest.Fault{Operation: membercard.OperationGetUserCard, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	assert.Equal(t, 1, run(job)[rows.Begun])
	assert.Equal(t, rows.Summary{rows.Refused: 1, rows.Done: 9}, run(job), "one has no card: its import was refused")
}

// TestTheJournal: a torn last line is dropped, another input is refused, and when it cannot be written nothing is
// sent.
func TestTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	journal, err := rows.OpenJournal(path, []byte("a"))
	require.NoError(t, err)
	require.NoError(t, journal.Set(1, rows.Done, ""))
	require.NoError(t, journal.Set(2, rows.Refused, "field \"x\",\nline two"))
	require.NoError(t, journal.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := range whole {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		journal, err := rows.OpenJournal(path, []byte("a"))
		require.NoError(t, err)
		require.NoError(t, journal.Set(3, rows.Done, ""))
		require.NoError(t, journal.Close())
		journal, err = rows.OpenJournal(path, []byte("a"))
		require.NoError(t, err)
		assert.Equal(t, rows.Done, journal.Status(3))
		require.NoError(t, journal.Close())
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	_, err = rows.OpenJournal(path, []byte("b"))
	require.ErrorContains(t, err, "these are not the results of this input")
	require.NoError(t, os.WriteFile(path, []byte("somebody's file\nwithout an end"), 0o600))
	_, err = rows.OpenJournal(path, []byte("a"))
	require.ErrorContains(t, err, "these are not the results of this input")
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "somebody's file\nwithout an end", string(left))

	server := newServer(t)
	closed, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), nil)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	members, err := rows.Parse([]byte(file(3)))
	require.NoError(t, err)
	_, err = (&rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID}).Run(t.Context(), members, closed)
	require.ErrorIs(t, err, os.ErrClosed)
	assert.Empty(t, server.Requests())
}

func TestInterrupted(t *testing.T) {
	server := newServer(t)
	members, err := rows.Parse([]byte(file(100)))
	require.NoError(t, err)
	journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	job := &rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID, Workers: 4, Report: func(rows.Status) {
		if len(server.Requests()) > 20 {
			stop()
		}
	}}
	_, err = job.Run(ctx, members, journal)
	require.ErrorIs(t, err, context.Canceled)
	_, err = job.Run(t.Context(), members, journal)
	require.NoError(t, err)
	assert.Equal(t, 100, imports(server, 100))
}

func TestBadInput(t *testing.T) {
	for _, input := range []string{"", "a,b\n", "openid,user_card_code,level,phone_number\n1,2\n"} {
		_, err := rows.Parse([]byte(input))
		require.Error(t, err, input)
	}
	assert.Error(t, run(t.Context(), []string{"nowhere.csv"}, &bytes.Buffer{}, &bytes.Buffer{}))
	assert.Error(t, run(t.Context(), []string{"-keys", t.TempDir(), "nowhere.csv"}, &bytes.Buffer{}, &bytes.Buffer{}))
	require.ErrorContains(t, run(t.Context(), []string{"-rate", "0"}, &bytes.Buffer{}, &bytes.Buffer{}), "must be more than 0")
	own := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(own, []byte(file(3)), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{own}, &bytes.Buffer{}, &bytes.Buffer{}), "give -keys")
	assert.NoFileExists(t, own+".results")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-rate", "50"}, &out, &bytes.Buffer{}))
	assert.Contains(t, out.String(), "250 done, 0 refused")
}
