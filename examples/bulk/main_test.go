package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vbauerster/mpb/v8"

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

// onTheWay delays each request by up to 10 ms.
type onTheWay struct{ next http.RoundTripper }

func (w onTheWay) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(rand.N(10 * time.Millisecond))
	return w.next.RoundTrip(r)
}

// TestTheQuotaIsUsed: 98 % of it, and the fake, which counts arrivals, never says 429, though some requests take
// longer to get there than others.
func TestTheQuotaIsUsed(t *testing.T) {
	for _, perSecond := range []int{5, 20, 50} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			server.LimitRate(perSecond)
			config := server.Config()
			config.Throttle = membercard.NewThrottle(float64(perSecond) * 0.98)
			config.HTTPClient.Transport = onTheWay{server}
			client, err := membercard.New(config)
			require.NoError(t, err)
			input := []byte(file(perSecond * 20))
			members, err := rows.Parse(input)
			require.NoError(t, err)
			journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), "a test", input)
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

// TestKilledTenTimes: the program is killed without warning, ten times, in the midst of its work, and started
// again; every row is carried out exactly once.
func TestKilledTenTimes(t *testing.T) {
	const n = 400
	server := newServer(t)
	baseURL := server.Start()
	dir := t.TempDir()
	require.NoError(t, account.Write(dir, server))
	path := filepath.Join(dir, "members.csv")
	require.NoError(t, os.WriteFile(path, []byte(file(n)), 0o600))
	start := func() (*exec.Cmd, *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		t.Cleanup(cancel)
		command := exec.CommandContext(ctx, os.Args[0], "-keys", dir, "-base-url", baseURL, "-rate", "200", "-settle", "200ms", path)
		command.Env = append(os.Environ(), "BULK_PROGRAM=1")
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		require.NoError(t, command.Start())
		return command, &out
	}
	inDoubt := 0
	for range 10 {
		before, most := len(server.Requests()), 1+rand.IntN(25)
		command, out := start()
		require.Eventually(t, func() bool { return len(server.Requests()) >= before+most }, time.Minute, time.Millisecond, "%s", out)
		require.NoError(t, command.Process.Kill())
		_ = command.Wait()
		inDoubt += begun(t, path+".results")
	}
	require.Less(t, imports(server, n), n, "there is something left for the last start")
	assert.Positive(t, inDoubt, "some rows were under way")
	t.Logf("%d rows were carried out before the last start, %d were in doubt after the kills", imports(server, n), inDoubt)
	command, out := start()
	require.NoError(t, command.Wait(), out.String())
	assert.Contains(t, out.String(), fmt.Sprintf("%d done, 0 refused, 0 for the next run", n))
	for i := range n {
		assert.Equal(t, 1, server.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprintf("M-%04d", i)))
	}
}

// begun counts the rows that the results leave in doubt.
func begun(t *testing.T, path string) (n int) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	last := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(line, ",", 3); len(fields) == 3 && strings.HasSuffix(line, "\n") {
			last[fields[0]] = fields[1]
		}
	}
	for _, status := range last {
		if status == "begun" {
			n++
		}
	}
	return n
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
	dir := t.TempDir()
	run := func(job *rows.Job) rows.Summary {
		journal, err := rows.OpenJournal(filepath.Join(dir, fmt.Sprint(job.Updater != nil)), "a test", input)
		require.NoError(t, err)
		summary, err := job.Run(t.Context(), members, journal)
		require.NoError(t, err)
		require.NoError(t, journal.Close())
		return summary
	}
	job := &rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID, Workers: 1}
	cut := func(operation membercard.Operation) {
		fault := membercardtest.Fault{Operation: operation, Kind: membercardtest.FaultCut, Times: 2}
		server.Inject(fault)
		fault.AfterEffect = true
		server.Inject(fault)
	}
	cut(membercard.OperationImportUserCardByOpenID)
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultStatus, Status: 400, Code: "PARAM_ERROR"})
	assert.Equal(t, rows.Summary{rows.Begun: 4, rows.Later: 1, rows.Refused: 1, rows.Done: 4}, run(job))
	assert.Equal(t, rows.Summary{rows.Refused: 1, rows.Done: 9}, run(job))
	assert.Equal(t, 9, imports(server, 10))

	// The same file as an update. Of the rows in doubt two cannot be read at first.
	for i := range members {
		members[i].Level = "钻石会员"
	}
	job.Updater = job.Client
	server.Inject(membercardtest.Fault{Operation: membercard.OperationUpdateUserCard, Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Times: 2})
	cut(membercard.OperationUpdateUserCard)
	assert.Equal(t, rows.Summary{rows.Begun: 4, rows.Refused: 1, rows.Done: 5}, run(job), "one has no card: its import was refused")
	server.Inject(membercardtest.Fault{Operation: membercard.OperationGetUserCard, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	server.Inject(membercardtest.Fault{Operation: membercard.OperationGetUserCard, Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST"})
	assert.Equal(t, rows.Summary{rows.Begun: 2, rows.Refused: 1, rows.Done: 7}, run(job), "that the card is not read says nothing of the update")
	assert.Equal(t, rows.Summary{rows.Refused: 1, rows.Done: 9}, run(job))
	updates := 0
	for _, m := range members {
		n := server.Effects(membercard.OperationUpdateUserCard, m.UserCardCode)
		assert.LessOrEqual(t, n, 1)
		updates += n
	}
	assert.Equal(t, 9, updates)
}

// TestTheJournal: a torn last line is dropped, another input is refused, and when it cannot be written nothing is
// sent.
func TestTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	journal, err := rows.OpenJournal(path, "a test", []byte("a"))
	require.NoError(t, err)
	require.NoError(t, journal.Set(1, rows.Done, ""))
	require.NoError(t, journal.Set(2, rows.Refused, "field \"x\",\nline two"))
	require.NoError(t, journal.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := range whole {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		journal, err := rows.OpenJournal(path, "a test", []byte("a"))
		require.NoError(t, err)
		require.NoError(t, journal.Set(3, rows.Done, ""))
		require.NoError(t, journal.Close())
		journal, err = rows.OpenJournal(path, "a test", []byte("a"))
		require.NoError(t, err)
		assert.Equal(t, rows.Done, journal.Status(3))
		require.NoError(t, journal.Close())
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	_, err = rows.OpenJournal(path, "another test", []byte("a"))
	require.ErrorContains(t, err, "these are the results of another task")
	journal, err = rows.OpenJournal(path, "a test", []byte("a"))
	require.NoError(t, err)
	_, err = rows.OpenJournal(path, "a test", []byte("a"))
	require.ErrorContains(t, err, "another run is writing these results")
	require.NoError(t, journal.Close())
	require.NoError(t, os.WriteFile(path, append(whole, "3,do4,done,\n"...), 0o600))
	_, err = rows.OpenJournal(path, "a test", []byte("a"))
	require.ErrorContains(t, err, "is not a result")
	require.NoError(t, os.WriteFile(path, []byte("somebody's file\nwithout an end"), 0o600))
	_, err = rows.OpenJournal(path, "a test", []byte("a"))
	require.ErrorContains(t, err, "these are the results of another task")
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "somebody's file\nwithout an end", string(left))

	server := newServer(t)
	closed, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), "a test", nil)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	members, err := rows.Parse([]byte(file(3)))
	require.NoError(t, err)
	_, err = (&rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID}).Run(t.Context(), members, closed)
	require.ErrorIs(t, err, os.ErrClosed)
	assert.Empty(t, server.Requests())
	require.ErrorIs(t, closed.Set(1, rows.Done, ""), os.ErrClosed, "nothing follows a line that may be torn")
}

// TestAMendedInput: what is known of the rows that were not changed stays known. A row that was changed while it was in doubt is
// looked at first.
func TestAMendedInput(t *testing.T) {
	server := newServer(t)
	path := filepath.Join(t.TempDir(), "members.csv")
	job := &rows.Job{Client: server.Client(), BrandID: brandID, CardID: cardID}
	const head = "openid,user_card_code,level,phone_number\n"
	work := func(input string) error {
		require.NoError(t, os.WriteFile(path, []byte(head+input), 0o600))
		return job.Work(t.Context(), path, "", &bytes.Buffer{}, nil)
	}
	require.ErrorContains(t, work("o1,c1,gold,\no2,c2,😀,\n"), "rows refused: 1; "+path+".results says why")
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultCut, AfterEffect: true})
	require.Error(t, work("o3,c3,gold,\no1,c1,gold,\n"), "the first of them is in doubt")
	require.NoError(t, work("o1,c1,gold,\no2,c2,silver,\no3,c3,silver,\n"))
	for _, code := range []string{"c1", "c2", "c3"} {
		assert.Equal(t, 1, server.Effects(membercard.OperationImportUserCardByOpenID, code), code)
	}
	require.ErrorContains(t, work("o4,c4,gold,\no5,c5,,\no4,c4,,\n"), "rows 1 and 3 are of the same openid")
	for _, code := range []string{"4.78516E+23", "4.78516e+23", " 4,78516E+23", "478.516E21", "478516E+18", "478515832665.0", "########"} {
		require.ErrorContains(t, work(`o4,"`+code+"\",gold,\n"), "row 1: user_card_code is "+code+": a spreadsheet has cut off digits")
	}
	_, err := rows.Parse([]byte(head + "o7,88E12,1E2,\no8,2024E001,###,\n"))
	require.NoError(t, err, "codes and levels of a merchant's own")
	require.ErrorContains(t, work("o6,c6,\xbb\xc6,\n"), "rows refused: 1; "+path+".results says why; line 2 is not UTF-8: perhaps the spreadsheet saved it as GBK")
	require.ErrorContains(t, work("o4,c4,gold,1.38E+10\n"), "row 1: phone_number")
	require.ErrorContains(t, work("o4,12345678,gold,\no5,345678,gold,\n"), "row 2: user_card_code has 6 digits, others have 8 and none begins with 0")
	assert.Zero(t, server.Effects(membercard.OperationImportUserCardByOpenID, "c4"))
}

// TestRowsOfOneMember are worked on in their order, by whoever calls Run with them.
func TestRowsOfOneMember(t *testing.T) {
	for range 10 {
		server := newServer(t)
		server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: "c1", OpenID: "o1"})
		config := server.Config()
		config.HTTPClient.Transport = onTheWay{server}
		client, err := membercard.New(config)
		require.NoError(t, err)
		input := []byte("openid,user_card_code,level,phone_number\no1,c1,first,\no1,c1,second,\no1,c1,last,\n")
		members, err := rows.Parse(input)
		require.NoError(t, err)
		journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), "a test", input)
		require.NoError(t, err)
		_, err = (&rows.Job{Client: client, Updater: client, BrandID: brandID, CardID: cardID, Workers: 8}).Run(t.Context(), members, journal)
		require.NoError(t, err)
		require.NoError(t, journal.Close())
		card, _ := server.UserCard(cardID, "c1")
		assert.Equal(t, "last", card.Level)
	}
}

// TestAnUnsignedNotFound is nobody's word: a row in doubt is not sent again for it.
func TestAnUnsignedNotFound(t *testing.T) {
	server := newServer(t)
	path := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(path, []byte(file(1)), 0o600))
	config := server.Config()
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	require.NoError(t, err)
	job := &rows.Job{Client: client, BrandID: brandID, CardID: cardID}
	server.Inject(membercardtest.Fault{Operation: membercard.OperationImportUserCardByOpenID, Kind: membercardtest.FaultCut, AfterEffect: true})
	server.Inject(membercardtest.Fault{Operation: membercard.OperationGetUserCard, Kind: membercardtest.FaultUnsigned, Status: 404, Code: "NOT_FOUND"})
	for _, fails := range []bool{true, true, false} {
		err := job.Work(t.Context(), path, "", &bytes.Buffer{}, nil)
		assert.Equal(t, fails, err != nil, err)
	}
	assert.Equal(t, 1, imports(server, 1))
}

// TestTheBar shows this run: its rows, its rate, its failures.
func TestTheBar(t *testing.T) {
	var out bytes.Buffer
	b := &bar{out: &out, options: []mpb.ContainerOption{mpb.WithAutoRefresh()}}
	report := b.begin(3)
	report(rows.Done)
	report(rows.Refused)
	report(rows.Done)
	b.end()
	assert.Contains(t, out.String(), "3/3")
	assert.Contains(t, out.String(), " left, 1 failures")
	(&bar{}).end() // it was never begun
}

// TestResults are of one task and one account: those of a rehearsal, or of an import, are not taken for others.
func TestResults(t *testing.T) {
	server := newServer(t)
	path := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(path, []byte(file(3)), 0o600))
	job := &rows.Job{Client: server.Client(), Account: "1", BrandID: brandID, CardID: cardID}
	var out bytes.Buffer
	todo := []int{}
	count := func(n int) func(rows.Status) {
		todo = append(todo, n)
		return nil
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	require.ErrorContains(t, job.Work(t.Context(), path, "", &out, count), "run it again for the rest")
	require.NoError(t, job.Work(t.Context(), path, "", &out, count))
	assert.Equal(t, []int{3, 1}, todo)
	for _, other := range []rows.Job{
		{Account: "2", BrandID: brandID, CardID: cardID},
		{Account: "1", BrandID: brandID, CardID: cardID, Updater: server.Client()},
		{Account: "1", BrandID: brandID, CardID: "another"},
		{Account: "1", BrandID: "1005", CardID: cardID},
	} {
		require.ErrorContains(t, other.Work(t.Context(), path, "", &out, nil), "these are the results of another task")
	}

	require.NoError(t, os.WriteFile(path, []byte(file(3)), 0o600))
	journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), "a test", nil)
	require.NoError(t, err)
	require.NoError(t, journal.Set(1, rows.Done, ""))
	require.NoError(t, journal.Set(2, rows.Begun, ""))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	job.Settle = time.Hour
	summary, err := job.Run(ctx, make([]rows.Member, 3), journal)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, rows.Summary{rows.Done: 1, rows.Begun: 1, "": 1}, summary, "interrupted in the pause")
}

func TestInterrupted(t *testing.T) {
	server := newServer(t)
	members, err := rows.Parse([]byte(file(100)))
	require.NoError(t, err)
	journal, err := rows.OpenJournal(filepath.Join(t.TempDir(), "results"), "a test", nil)
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
	for _, rate := range []string{"0", "-1", "NaN", "Inf", "1e9"} {
		require.ErrorContains(t, run(t.Context(), []string{"-rate", rate}, &bytes.Buffer{}, &bytes.Buffer{}), "must be more than 0", rate)
	}
	require.ErrorContains(t, run(t.Context(), []string{"members.csv", "-update"}, &bytes.Buffer{}, &bytes.Buffer{}), `unexpected argument "-update"`)
	own := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(own, []byte(file(3)), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{own}, &bytes.Buffer{}, &bytes.Buffer{}), "give -keys")
	assert.NoFileExists(t, own+".results")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-rate", "50"}, &out, &bytes.Buffer{}))
	require.NoError(t, run(t.Context(), []string{"-rate", "50", "-update"}, &out, &bytes.Buffer{}))
	assert.Equal(t, 2, strings.Count(out.String(), "250 done, 0 refused"))
}
