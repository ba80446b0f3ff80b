package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestMain is the program itself when it is started by the test.
func TestMain(m *testing.M) {
	if shift := os.Getenv("PLATFORM_RUN"); shift != "" {
		by, err := time.ParseDuration(shift)
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			err = run(ctx, os.Args[1:], os.Stdout, river.TestConfig{Time: shifted(by)})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// shifted is the clock of a machine that is not right.
type shifted time.Duration

func (s shifted) Now() time.Time { return time.Now().Add(time.Duration(s)) }

func (s shifted) NowOrNil() *time.Time { return new(s.Now()) }

// process is a machine of the service: it is killed, and started again on its address.
type process struct {
	args []string
	late time.Duration // of its clock
	mu   sync.Mutex
	cmd  *exec.Cmd
}

func (p *process) start(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), "PLATFORM_RUN="+p.late.String())
	if testing.Verbose() {
		p.cmd.Stderr = os.Stderr
	}
	assert.NoError(t, p.cmd.Start())
}

func (p *process) end(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(signal)
	_ = p.cmd.Wait()
}

// scene is the service on some machines, the fake WeChat Pay, and the books of what really happened.
type scene struct {
	t         *testing.T
	fake      *membercardtest.Server
	database  string
	processes []*process
	addresses []string
	balancer  *httptest.Server
	template  membercard.Card
	keys      string // the folder
	token     string
}

func newScene(t *testing.T, database string, machines int) *scene {
	s := &scene{t: t, fake: membercardtest.NewServer(), database: database}
	t.Cleanup(s.fake.Close)
	s.keys = filepath.Join(t.TempDir(), "keys")
	require.NoError(t, writeKeys(s.keys, s.fake.KeyFiles()))
	token, err := os.ReadFile(filepath.Join(s.keys, "api_token.txt"))
	require.NoError(t, err)
	s.token = string(token)
	url := s.fake.Start()
	for n := range machines {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := listener.Addr().String()
		require.NoError(t, listener.Close())
		s.addresses = append(s.addresses, address)
		s.processes = append(s.processes, &process{late: time.Duration(n-1) * 30 * time.Second, args: []string{"-keys", s.keys, "-base-url", url, "-addr", address, "-database", database}})
	}
	s.balancer = httptest.NewServer(http.HandlerFunc(s.forward))
	t.Cleanup(s.balancer.Close)
	s.template = s.fake.AddCard(membercard.Card{NotifyURL: s.balancer.URL + "/notify"})
	for _, p := range s.processes {
		p.start(t)
		t.Cleanup(func() { p.end(syscall.SIGKILL) })
	}
	for _, address := range s.addresses {
		require.Eventually(t, func() bool {
			response, err := http.Get("http://" + address + "/healthz")
			return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
		}, time.Minute, 100*time.Millisecond)
	}
	return s
}

// forward hands a request to one of the machines, whichever.
func (s *scene) forward(w http.ResponseWriter, r *http.Request) {
	request := r.Clone(r.Context())
	request.URL.Scheme, request.URL.Host, request.RequestURI = "http", s.addresses[rand.IntN(len(s.addresses))], ""
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func (s *scene) post(path string, body any) int {
	data, _ := json.Marshal(body)
	request, err := http.NewRequest(http.MethodPost, s.balancer.URL+path, bytes.NewReader(data))
	if err != nil {
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// certainly posts until it was taken.
func (s *scene) certainly(path string, body any) {
	for range 3000 { // the job of a killed process is taken up after two minutes
		if s.post(path, body) == http.StatusNoContent {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	assert.Fail(s.t, "not taken", "%s %v", path, body)
}

// count asks the database.
func (s *scene) count(query string) (n int) {
	driver, address := "sqlite", "file:"+s.database+"?_pragma=busy_timeout(10000)"
	if strings.HasPrefix(s.database, "postgres") {
		driver, address = "pgx", s.database
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		return -1
	}
	defer func() { _ = db.Close() }()
	if db.QueryRow(query).Scan(&n) != nil {
		return -1
	}
	return n
}

// TestProof: processes are killed under load, with faults on the wire, and nothing is lost or done twice. The fake's effects are the
// truth. PLATFORM_POSTGRES names a database of PostgreSQL to run it on, too, and PLATFORM_RESTART a command that restarts it
// meanwhile; PLATFORM_KILLS is how often a process is killed.
func TestProof(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	t.Run("SQLite, one process", func(t *testing.T) {
		t.Parallel()
		newScene(t, filepath.Join(t.TempDir(), "platform.db"), 1).prove()
	})
	if address := os.Getenv("PLATFORM_POSTGRES"); address != "" {
		t.Run("PostgreSQL, three processes", func(t *testing.T) {
			t.Parallel()
			newScene(t, address, 3).prove()
		})
	}
}

// TestRate: three processes share the permitted rate, and one of them is killed. What arrives is measured.
func TestRate(t *testing.T) {
	address := os.Getenv("PLATFORM_POSTGRES")
	if address == "" || testing.Short() {
		t.Skip("takes a minute, and PostgreSQL")
	}
	t.Parallel() // to TestImportInDoubt, which mostly waits, and not to TestProof, which restarts PostgreSQL
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "DROP DATABASE IF EXISTS rate WITH (FORCE)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE rate") // of its own: TestProof has other jobs
	require.NoError(t, err)
	require.NoError(t, db.Close())
	s := newScene(t, address[:strings.LastIndex(address, "/")]+"/rate", 3)
	s.fake.LimitRate(10)
	const jobs, measured = 450, 400
	var input strings.Builder
	input.WriteString(head)
	for i := range jobs {
		fmt.Fprintf(&input, "o-%d,M-%d,金卡,\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(file, []byte(input.String()), 0o600))
	terminal := exec.Command(os.Args[0], "-keys", s.keys, "-database", s.database, "-import", file, "-brand", s.template.BrandID, "-card", s.template.CardID)
	terminal.Env = append(os.Environ(), "PLATFORM_RUN=0s")
	shown := &bytes.Buffer{}
	terminal.Stdout = shown
	require.NoError(t, terminal.Start())
	t.Cleanup(func() { _, _ = terminal.Process.Kill(), terminal.Wait() })
	var arrivals []time.Time
	tooMany, killed := 0, false
	require.Eventually(t, func() bool {
		arrivals, tooMany = nil, 0
		for _, request := range s.fake.Requests() {
			if request.Operation == membercard.OperationImportUserCardByOpenID {
				arrivals = append(arrivals, request.Time)
			}
			if request.Status == http.StatusTooManyRequests {
				tooMany++
			}
		}
		if len(arrivals) > measured/3 && !killed {
			killed = true
			s.processes[0].end(syscall.SIGKILL)
		}
		return len(arrivals) >= measured
	}, 3*time.Minute, 200*time.Millisecond)
	share := float64(measured-1) / arrivals[measured-1].Sub(arrivals[0]).Seconds() / 10
	t.Logf("%.1f %% of the permitted rate, %d refused for it", 100*share, tooMany)
	assert.GreaterOrEqual(t, share, 0.95)
	assert.LessOrEqual(t, tooMany, measured/50, "beside the 40 ms that there are to spare a loaded machine delays a request now and then")
	require.NoError(t, terminal.Wait(), "it ends with the import, when the rows of the process that was killed are done, too")
	assert.Contains(t, shown.String(), "450 of 450 rows")
	for i := range jobs {
		assert.Equal(t, 1, s.fake.Effects(membercard.OperationImportUserCardByOpenID, fmt.Sprint("M-", i)))
	}
}

func (s *scene) prove() {
	kills := 6
	if _, err := fmt.Sscan(os.Getenv("PLATFORM_KILLS"), &kills); err != nil {
		kills = 6
	}
	const members, sales = 120, 5
	s.fake.LimitRate(10)
	ctx, stop := context.WithCancel(s.t.Context())
	var disturbance, load sync.WaitGroup
	disturbance.Go(func() { // on the wire
		kinds := []membercardtest.Fault{
			{Kind: membercardtest.FaultCut},
			{Kind: membercardtest.FaultCut, AfterEffect: true},
			{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"},
			{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true},
			{Kind: membercardtest.FaultUnsigned, Status: 502, AfterEffect: true},
			{Kind: membercardtest.FaultBadSignature, AfterEffect: true},
			{Kind: membercardtest.FaultTruncated, AfterEffect: true},
		}
		for ctx.Err() == nil {
			s.fake.Inject(kinds[rand.IntN(len(kinds))])
			time.Sleep(time.Duration(200+rand.IntN(300)) * time.Millisecond)
			s.fake.ClearFaults() // when little is under way it struck nobody
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		}
	})
	killed := 0
	disturbance.Go(func() { // of machines
		for ; killed < kills; killed++ {
			time.Sleep(time.Duration(500+rand.IntN(2000)) * time.Millisecond)
			p := s.processes[rand.IntN(len(s.processes))]
			p.end(syscall.SIGKILL)
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			p.start(s.t)
			if restart := os.Getenv("PLATFORM_RESTART"); restart != "" && killed == kills/2 && len(s.processes) > 1 {
				output, err := exec.Command("sh", "-c", restart).CombinedOutput()
				assert.NoError(s.t, err, string(output))
			}
		}
	})
	cards := make([]membercard.UserCard, members)
	want := make([]int64, members)
	for i := range cards {
		cards[i] = s.fake.OpenUserCard(s.template.CardID, fmt.Sprint("user-", i))
		load.Go(func() {
			time.Sleep(time.Duration(i) * 150 * time.Millisecond)
			options := []membercardtest.NotificationOption{membercardtest.NotificationDuplicates(2)}
			repeats := make([]time.Duration, 60)
			for n := range repeats {
				repeats[n] = 500 * time.Millisecond
			}
			if i%10 == 0 {
				options = append(options, membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultProbe}))
			}
			_, err := s.fake.Notify(s.t.Context(), &membercard.UserCardCreated{UserCard: cards[i]}, append(options, membercardtest.NotificationRepeats(repeats...))...)
			assert.NoError(s.t, err)
			name := of(cards[i], nil)
			if i%4 == 0 { // leaves
				name["consent"] = "signed at the counter"
				s.certainly("/invalidations", name)
				s.certainly("/invalidations", name)
				return
			}
			for n := range sales {
				points := int64(1 + rand.IntN(50))
				want[i] += points
				name["id"], name["points"] = fmt.Sprintf("sale-%d-%d", i, n), points
				s.certainly("/points", name)
				if n%2 == 0 {
					s.certainly("/points", name) // sent twice
				}
			}
		})
	}
	load.Wait()
	stop()
	disturbance.Wait()
	assert.Eventually(s.t, func() bool {
		return s.count("SELECT COUNT(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled')") == 0
	}, 6*time.Minute, time.Second, "something is stuck")

	confirmed, doubled, lost, final, wrong, invalidated, twice := 0, 0, 0, 0, 0, 0, 0
	for i, card := range cards {
		switch n := s.fake.Effects(membercard.OperationConfirmUserCard, card.UserCardCode); {
		case n == 1:
			confirmed++
		case n > 1:
			doubled++
		default:
			lost++
		}
		now, _ := s.fake.UserCard(card.CardID, card.UserCardCode)
		if i%4 == 0 {
			n := s.fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode)
			if n == 1 && now.UserCardState == membercard.UserCardStateInvalid {
				invalidated++
			} else if n > 1 {
				twice++
			}
			continue
		}
		if s.fake.Points(card.CardID, card.UserCardCode) == want[i] {
			final++
		} else {
			wrong++
		}
	}
	tooMany, faults := 0, 0
	for _, request := range s.fake.Requests() {
		if request.Status == http.StatusTooManyRequests {
			tooMany++
		}
		if strings.HasPrefix(request.Reason, "fault: ") {
			faults++
		}
	}
	s.t.Logf(`
%-34s %d
%-34s %d
%-34s %d of %d
%-34s %d lost, %d twice
%-34s %d of %d
%-34s %d wrong
%-34s %d of %d
%-34s %d twice
%-34s %d for a person, %d refused for the rate`,
		"processes killed", killed, "faults on the wire", faults,
		"cards confirmed exactly once", confirmed, members, "  otherwise", lost, doubled,
		"balances final", final, members-members/4, "  otherwise", wrong,
		"cards invalidated exactly once", invalidated, members/4, "  otherwise", twice,
		"jobs", s.count("SELECT COUNT(*) FROM attention WHERE state = 'open'"), tooMany)
	assert.Equal(s.t, [3]int{members, members - members/4, members / 4}, [3]int{confirmed, final, invalidated})
	assert.Zero(s.t, doubled+twice+wrong+lost)
	assert.Zero(s.t, s.count("SELECT COUNT(*) FROM attention WHERE state = 'open'"))
	for _, p := range s.processes {
		p.end(syscall.SIGTERM)
	}
}
