package membercard_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const (
	toldDone    told = "done"
	toldNotDone told = "not done"
	toldUnknown told = "unknown"
)

// TestStorm sends calls from many goroutines over a real socket while faults strike at random. What the callers were told is
// compared with what the service carried out.
func TestStorm(t *testing.T) {
	for row, http2 := range []bool{false, true} {
		for column, e := range editions {
			if sampled(row, column, 2) {
				t.Run(fmt.Sprintf("%s, HTTP2 %v", e.name, http2), func(t *testing.T) { storm(t, e, http2) })
			}
		}
	}
}

func storm(t *testing.T, edition edition, http2 bool) {
	goroutines, calls, seed := 64, 40, uint64(time.Now().UnixNano())
	if os.Getenv("MEMBERCARD_TESTS") != "all" {
		calls, seed = 8, 1
	}
	t.Logf("seed %d", seed)

	server := membercardtest.NewTestServer(t, edition.options...)
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID})
	transport := membercard.NewTransport()
	address, stop := server.Start(), server.Close
	if http2 {
		secure := startTLS(t, server, true)
		transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
		address, stop = secure.URL, secure.Close
	}
	before := runtime.NumGoroutine()
	client := newClient(t, server, func(c *membercard.Config) {
		c.BaseURL, c.HTTPClient = address, &http.Client{Transport: transport}
		c.AttemptTimeout = 2 * time.Second
		c.Retry = membercard.RetryPolicy{MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
	})
	faults := []membercardtest.Fault{
		{Kind: membercardtest.FaultRefuse},
		{Kind: membercardtest.FaultCut},
		{Kind: membercardtest.FaultCut, AfterEffect: true},
		{Kind: membercardtest.FaultTruncated},
		{Kind: membercardtest.FaultBadSignature},
		{Kind: membercardtest.FaultProbe},
		{Kind: membercardtest.FaultStaleTimestamp},
		{Kind: membercardtest.FaultHTML, Status: 502},
		{Kind: membercardtest.FaultHTML, Status: 404},
		{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED"},
		{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true},
		{Kind: membercardtest.FaultEmpty, Status: 204, AfterEffect: true},
		{Kind: membercardtest.FaultEmpty, Status: 202, AfterEffect: true},
		{Kind: membercardtest.FaultSlow, Delay: time.Millisecond},
		{Kind: membercardtest.FaultForgedBody},
		{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Serial"},
	}

	var mu sync.Mutex
	ledger := map[membercard.Operation]map[string]told{
		membercard.OperationUpdateUserCard: {}, membercard.OperationInvalidateUserCard: {},
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(g)))
			for i := range calls {
				code := fmt.Sprintf("%06d", g*calls+i)
				server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: code, OpenID: openID})
				if random.IntN(3) == 0 {
					server.Inject(faults[random.IntN(len(faults))])
				}
				var operation membercard.Operation
				var err error
				switch random.IntN(3) {
				case 0:
					_, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
					assert.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
					continue
				case 1:
					operation = membercard.OperationUpdateUserCard
					_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
						BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, Level: new("new"),
					})
				default:
					operation = membercard.OperationInvalidateUserCard
					_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
						BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
					})
				}
				outcome := toldDone
				switch {
				case errors.Is(err, membercard.ErrOutcomeUnknown):
					outcome = toldUnknown
				case err != nil:
					outcome = toldNotDone
				}
				mu.Lock()
				ledger[operation][code] = outcome
				mu.Unlock()
			}
		})
	}
	wg.Wait()

	// Nothing is left behind: what the callers gave up has come to its end, too.
	transport.CloseIdleConnections()
	stop()
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 30*time.Second, 10*time.Millisecond,
		"goroutines were left, beside the one that counts them")

	counts := map[string]int{}
	for operation, entries := range ledger {
		for code, outcome := range entries {
			effects := server.Effects(operation, code)
			counts[fmt.Sprintf("%s, told %s, carried out %d times", operation, outcome, effects)]++
			where := fmt.Sprintf("seed %d: %s %s: told %s, carried out %d times", seed, operation, code, outcome, effects)
			switch {
			case outcome == toldNotDone:
				assert.Zero(t, effects, where)
			case operation == membercard.OperationInvalidateUserCard && outcome == toldDone:
				assert.Equal(t, 1, effects, where)
			case operation == membercard.OperationInvalidateUserCard:
				assert.LessOrEqual(t, effects, 1, where)
			case outcome == toldDone:
				assert.GreaterOrEqual(t, effects, 1, where)
			}
			card, _ := server.UserCard(cardID, code)
			assert.Equal(t, effects > 0, card.UserCardState == membercard.UserCardStateInvalid || card.Level == "new", where)
		}
	}
	for line, n := range counts {
		t.Log(n, line)
	}
}

// TestMemoryIsFlat: ten thousand calls, one in five of them with a broken, forged or missing answer,
// leave the heap where it was.
func TestMemoryIsFlat(t *testing.T) {
	server := newServer(t)
	body := sampleAnswer(t, membercard.OperationGetUserCard)
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256([]byte(timestamp + "\nnonce\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, server.PlatformKey(), crypto.SHA256, digest[:])
	require.NoError(t, err)
	header := http.Header{
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"nonce"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
		"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
	}
	calls := 0
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
		answer, status, header := io.Reader(bytes.NewReader(body)), 200, header
		switch calls++; calls % 20 {
		case 1:
			return nil, io.ErrUnexpectedEOF
		case 6:
			answer = io.MultiReader(bytes.NewReader(body[:100]), errorReader{io.ErrUnexpectedEOF})
		case 11:
			answer = bytes.NewReader(append([]byte(" "), body...))
		case 16:
			status, header = 500, http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(answer)}, nil
	})
	client := newClient(t, server, noRetries, withTransport(transport), func(c *membercard.Config) {
		c.PrivateKey = instantKey{c.PrivateKey.Public()}
	})
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	run := func(n int) (failed int) {
		for range n {
			if _, err := client.GetUserCard(t.Context(), getRequest); err != nil {
				failed++
			}
		}
		return failed
	}
	run(1000)
	before := heap()
	assert.Equal(t, 2000, run(10000))
	assert.Less(t, int64(heap())-int64(before), int64(1<<20))
}
