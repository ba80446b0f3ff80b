package membercard_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// failure is how a fault may be answered: whether repeating can help and is safe.
type failure string

const (
	success     failure = "no failure"
	notSent     failure = "not sent"     // every operation is repeated
	rateLimited failure = "rate limited" // all but the irreversible ones
	uncertain   failure = "uncertain"    // reads and repeatable writes
	final       failure = "final"        // none
)

func (f failure) isRepeated(operation membercard.OperationInfo) bool {
	switch f {
	case notSent:
		return true
	case rateLimited:
		return !operation.Irreversible
	case uncertain:
		return operation.Read || operation.Repeatable
	}
	return false
}

// cell is a column of the fault matrix.
type cell struct {
	name    string
	fault   membercardtest.Fault
	spoil   func(*http.Response) // what the fake cannot do by itself
	failure failure
	inDoubt bool    // a write may have been carried out
	effect  bool    // the service carries it out
	matches []error // beside ErrOutcomeUnknown
}

func spoilBody(r *http.Response) {
	data, _ := io.ReadAll(r.Body)
	data = append(bytes.TrimSuffix(data, []byte("}")), []byte(` }`)...)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
}

func setStatus(status int) func(*http.Response) {
	return func(r *http.Response) { r.StatusCode = status }
}

// otherAnswer is a signed success that is not the answer to the request.
func otherAnswer(name, body string) cell {
	return cell{
		name: name, fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(body)},
		failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature},
	}
}

func compress(r *http.Response) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.Copy(w, r.Body)
	_ = w.Close()
	r.Header.Set("Content-Encoding", "gzip")
	r.Body, r.ContentLength = io.NopCloser(&out), int64(out.Len())
}

// everywhere returns an answer in which every member has the same value: null, or the empty string where
// the member can hold text.
func everywhere(answer reflect.Type, value string) []byte {
	members := []string{}
	for field := range answer.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		_, isText := reflect.New(field.Type).Interface().(json.Unmarshaler)
		if value != "null" && field.Type.Kind() != reflect.String && !isText {
			members = append(members, `"`+name+`":null`)
			continue
		}
		members = append(members, `"`+name+`":`+value)
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

func cells(operation membercard.Operation) []cell {
	all := []cell{
		{name: "none", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, failure: success, effect: true},
		{name: "slow", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 9 * time.Second}, failure: success, effect: true},
		{name: "refused connection", fault: membercardtest.Fault{Kind: membercardtest.FaultRefuse}, failure: notSent},
		{name: "cut while writing", fault: membercardtest.Fault{Kind: membercardtest.FaultCut}, failure: uncertain, inDoubt: true},
		{name: "cut after the effect", fault: membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true},
		{name: "silent", fault: membercardtest.Fault{Kind: membercardtest.FaultSilent}, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrAttemptTimeout}},
		{name: "silent after the effect", fault: membercardtest.Fault{Kind: membercardtest.FaultSilent, AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrAttemptTimeout}},
		{name: "too slow", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 11 * time.Second}, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrAttemptTimeout}},
		{name: "truncated", fault: membercardtest.Fault{Kind: membercardtest.FaultTruncated}, failure: uncertain, inDoubt: true, effect: true},
		{name: "endless", fault: membercardtest.Fault{Kind: membercardtest.FaultEndless}, failure: final, inDoubt: true, effect: true},
		{name: "wrong length", fault: membercardtest.Fault{Kind: membercardtest.FaultWrongLength}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "compressed unasked", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: compress, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "HTML 404", fault: membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 404}, failure: final},
		{name: "HTML 403", fault: membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 403}, failure: final},
		{name: "429", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED"}, failure: rateLimited, matches: []error{membercard.ErrRateLimited}},
		{name: "429 of the edge", fault: membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 429}, failure: rateLimited, matches: []error{membercard.ErrRateLimited}},
		{name: "429 with Retry-After", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "FREQUENCY_LIMITED", Header: http.Header{"Retry-After": {"7"}}}, failure: rateLimited, matches: []error{membercard.ErrRateLimited}},
		{name: "500", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"}, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSystem}},
		{name: "500 after the effect", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSystem}},
		{name: "500 for the rate", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "RATELIMIT_EXCEEDED"}, failure: rateLimited, matches: []error{membercard.ErrSystem, membercard.ErrRateLimited}},
		{name: "unsigned 500 for the rate", fault: membercardtest.Fault{Kind: membercardtest.FaultUnsigned, Status: 500, Code: "RATELIMIT_EXCEEDED"}, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSystem, membercard.ErrRateLimited}},
		{name: "SYSTEM_ERROR with 400 after the effect", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "SYSTEM_ERROR", AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSystem}},
		{name: "SYSTEM_ERROR with 429 after the effect", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "SYSTEM_ERROR", AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSystem}},
		{name: "202", fault: membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: 202, AfterEffect: true}, failure: uncertain, inDoubt: true, effect: true},
		{name: "unsigned error", fault: membercardtest.Fault{Kind: membercardtest.FaultUnsigned, Status: 400, Code: "PARAM_ERROR"}, failure: final, matches: []error{membercard.ErrInvalidParameter}},
		{name: "unsigned success", fault: membercardtest.Fault{Kind: membercardtest.FaultUnsigned, Status: 200, AfterEffect: true}, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "forged error", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND"}, spoil: spoilBody, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSignature}},
		{name: "wrong signature on an error", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND"}, spoil: func(r *http.Response) { r.Header.Set("Wechatpay-Signature", "AAAA") }, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSignature}},
		{name: "half the headers on an error", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND"}, spoil: func(r *http.Response) { r.Header.Del("Wechatpay-Signature") }, failure: final, inDoubt: true, matches: []error{membercard.ErrSignature}},
		{name: "forged body", fault: membercardtest.Fault{Kind: membercardtest.FaultForgedBody}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "bad signature", fault: membercardtest.Fault{Kind: membercardtest.FaultBadSignature}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "probe", fault: membercardtest.Fault{Kind: membercardtest.FaultProbe}, failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "stale timestamp", fault: membercardtest.Fault{Kind: membercardtest.FaultStaleTimestamp}, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "future timestamp", fault: membercardtest.Fault{Kind: membercardtest.FaultFutureTimestamp}, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "unknown serial", fault: membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial}, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
		{name: "redirect", fault: membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, failure: final, inDoubt: true},
		{name: "204", fault: membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: 204, AfterEffect: true}, failure: final, inDoubt: true, effect: true},
		{name: "empty 200", fault: membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: 200, AfterEffect: true}, failure: final, inDoubt: true, effect: true},
		{name: "null", fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(" null\n")}, failure: final, inDoubt: true, effect: true},
		{name: "not JSON", fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte("ok")}, failure: final, inDoubt: true, effect: true},
		{name: "unknown fields and values", fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: identified(operation, []byte(`{"new":{"a":[1,2]},"user_card_state":"NEW","card_type":"NEW","state":"NEW","data":[{"user_card_state":"NEW","state":"NEW","new":1}]}`))}, failure: success, effect: true},
		{name: "null everywhere", fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: identified(operation, everywhere(answers[operation], "null"))}, failure: success, effect: true},
		{name: "empty strings everywhere", fault: membercardtest.Fault{Kind: membercardtest.FaultBody, Body: identified(operation, everywhere(answers[operation], `""`))}, failure: success, effect: true},
		otherAnswer("an empty object", `{}`),
		otherAnswer("another product's answer", `{"refund_id":"50000000382019052709732678859","out_refund_no":"1217752501201407033233368018","status":"SUCCESS"}`),
		{name: "signed error with status 200", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND"}, spoil: setStatus(200), failure: final, inDoubt: true, matches: []error{membercard.ErrNotFound}},
		{name: "signed rate limit with status 200", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "FREQUENCY_LIMITED"}, spoil: setStatus(200), failure: uncertain, inDoubt: true, matches: []error{membercard.ErrRateLimited}},
		{name: "signed failure with status 200", fault: membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"}, spoil: setStatus(200), failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSystem}},
		{name: "signed success with status 429", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: setStatus(429), failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrRateLimited}},
		{name: "signed success with status 408", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: setStatus(408), failure: final, inDoubt: true, effect: true},
		{name: "signed success with status 503", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: setStatus(503), failure: uncertain, inDoubt: true, effect: true, matches: []error{membercard.ErrSystem}},
		{name: "signed success with status 404", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: setStatus(404), failure: final, inDoubt: true, effect: true},
		{name: "nonce with a line feed", fault: membercardtest.Fault{Kind: membercardtest.FaultSlow}, spoil: func(r *http.Response) { r.Header.Set("Wechatpay-Nonce", "n\n") }, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}},
	}
	for name := range map[string]bool{"user_card_code": true, "card_id": true, "openid": true, "out_request_no": true, "record_id": true, "activity_id": true} {
		var members map[string]any
		_ = json.Unmarshal(identified(operation, []byte("{}")), &members)
		if _, repeated := members[name]; repeated {
			members[name] = "of-another-request"
			body, _ := json.Marshal(members)
			all = append(all, otherAnswer("another "+name, string(body)))
		}
	}
	if strings.HasPrefix(string(operation), "Invalidate") || strings.HasPrefix(string(operation), "Terminate") {
		body := strings.NewReplacer("INVALID", "EFFECTIVE", "TERMINATED", "EFFECTIVE").Replace(string(identified(operation, []byte("{}"))))
		all = append(all, otherAnswer("a state that is not final", body))
	}
	for _, status := range []int{408, 421, 425, 460, 499} {
		all = append(all, cell{name: fmt.Sprint("unsigned ", status), fault: membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: status}, failure: uncertain, inDoubt: true})
	}
	for _, status := range []int{502, 503, 504} {
		all = append(all, cell{name: fmt.Sprintf("HTML %d", status), fault: membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: status}, failure: uncertain, inDoubt: true, matches: []error{membercard.ErrSystem}})
	}
	for _, header := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		all = append(all, cell{name: "without " + header, fault: membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: header}, failure: final, inDoubt: true, effect: true, matches: []error{membercard.ErrSignature}})
	}
	return all
}

// TestFaultMatrix ranges over the operation table and the faults. For a fault that lasts and for one
// that strikes once it requires which errors match, how many attempts were made, how often the service
// carried the request out, and the state it is left in.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	counted := 0
	for page, edition := range editions {
		for column, operation := range membercard.Operations() {
			for row, c := range cells(operation.Name) {
				if !edition.has(operation.Name) || !sampled(row, column+4*page, 7) {
					continue
				}
				for _, lasting := range []bool{true, false} {
					counted++
					where := fmt.Sprintf("%s, %s, %s, lasting %v", edition.name, operation.Name, c.name, lasting)
					synctest.Test(t, func(t *testing.T) { testCell(t, edition, operation, c, lasting, where) })
				}
			}
		}
	}
	t.Logf("%d cells", counted)
}

func testCell(t *testing.T, edition edition, operation membercard.OperationInfo, c cell, lasting bool, where string) {
	server := newServer(t, edition.options...)
	fault := c.fault
	fault.Times = 1
	if lasting {
		fault.Times = -1
	}
	server.Inject(fault)
	spoiled := 0
	transport := spoilingTransport{server, func(r *http.Response) {
		if spoiled++; c.spoil != nil && (lasting || spoiled == 1) {
			c.spoil(r)
		}
	}}
	client := newClient(t, server, withTransport(transport))
	var info membercard.ResponseInfo
	_, err := do(membercard.WithResponseInfo(t.Context(), &info), client, requests[operation.Name])

	attempts, repeated := 1, c.failure.isRepeated(operation)
	switch {
	case repeated && lasting:
		attempts = 3
	case repeated:
		attempts = 2
	}
	if c.failure == success || repeated && !lasting {
		require.NoError(t, err, where)
	} else {
		want := c.matches
		if c.inDoubt && !operation.Read {
			want = append(slices.Clone(want), membercard.ErrOutcomeUnknown)
		}
		assertMatches(t, err, want, where)
		assert.NotErrorIs(t, err, context.DeadlineExceeded, where)
		assert.NotContains(t, err.Error(), openID, where)
		assert.NotContains(t, err.Error(), code, where)
	}

	arrived := attempts
	if c.fault.Kind == membercardtest.FaultRefuse {
		arrived = map[bool]int{true: 0, false: 1}[lasting]
	}
	assert.Equal(t, attempts, info.Attempts, where)
	assert.Len(t, server.Requests(), arrived, where)
	assertSignedAnew(t, server.Requests(), where)

	carriedOut, about := 0, effects[operation.Name]
	switch {
	case operation.Read:
		return
	case c.effect:
		carriedOut = attempts
	case c.failure == success || repeated && !lasting:
		carriedOut = 1
	}
	if about.numbered {
		carriedOut = min(carriedOut, 1)
	}
	require.NotNil(t, about.done, "%s is not in the table of effects", operation.Name)
	assert.Equal(t, carriedOut, server.Effects(operation.Name, about.key), where)
	assert.Equal(t, carriedOut > 0, about.done(server), where)
	if operation.Irreversible {
		assert.LessOrEqual(t, server.Effects(operation.Name, about.key), 1, where)
	}
}

// assertSignedAnew requires the same bytes with another signature in every attempt.
func assertSignedAnew(t *testing.T, attempts []membercardtest.Request, where string) {
	t.Helper()
	signatures := map[string]bool{}
	for _, attempt := range attempts {
		assert.Equal(t, attempts[0].Body, attempt.Body, where)
		assert.Equal(t, attempts[0].RequestURI, attempt.RequestURI, where)
		authorization := attempt.Header.Get("Authorization")
		assert.False(t, signatures[authorization], "%s: a signature was used twice", where)
		signatures[authorization] = true
	}
}

// spoilingTransport changes answers on their way. The trace hooks of the fake reach the client.
type spoilingTransport struct {
	server *membercardtest.Server
	spoil  func(*http.Response)
}

func (s spoilingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.server.RoundTrip(r)
	if err == nil {
		s.spoil(response)
	}
	return response, err
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	status := func(status int, header http.Header) membercardtest.Fault {
		return membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: status, Code: "X", Header: header, Times: -1}
	}
	for name, test := range map[string]struct {
		fault    membercardtest.Fault
		retry    membercard.RetryPolicy
		attempts int
		min, max time.Duration
	}{
		"default":                {status(500, nil), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"off":                    {status(500, nil), membercard.RetryPolicy{MaxAttempts: 1}, 1, 0, 0},
		"doubled up to a limit":  {status(500, nil), membercard.RetryPolicy{MaxAttempts: 6, MinBackoff: time.Second, MaxBackoff: 4 * time.Second}, 6, 7500 * time.Millisecond, 15 * time.Second},
		"the limit wins":         {status(500, nil), membercard.RetryPolicy{MaxAttempts: 3, MinBackoff: time.Hour, MaxBackoff: time.Second}, 3, time.Second, 2 * time.Second},
		"many attempts":          {status(500, nil), membercard.RetryPolicy{MaxAttempts: 100, MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}, 100, 0, 99},
		"Retry-After in seconds": {status(429, http.Header{"Retry-After": {"7"}}), membercard.RetryPolicy{}, 3, 14 * time.Second, 14 * time.Second},
		"up to a minute":         {status(429, http.Header{"Retry-After": {"86400"}}), membercard.RetryPolicy{}, 3, 2 * time.Minute, 2 * time.Minute},
		"also a huge one":        {status(429, http.Header{"Retry-After": {"9223372036854775807"}}), membercard.RetryPolicy{}, 3, 2 * time.Minute, 2 * time.Minute},
		"not a negative one":     {status(429, http.Header{"Retry-After": {"-5"}}), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"nor nonsense":           {status(429, http.Header{"Retry-After": {"soon"}}), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"a date":                 {status(503, http.Header{"Retry-After": {"Sat, 01 Jan 2000 00:00:30 GMT"}}), membercard.RetryPolicy{MaxAttempts: 2}, 2, 30 * time.Second, 30 * time.Second},
		"a date that is over":    {status(503, http.Header{"Retry-After": {"Fri, 31 Dec 1999 00:00:30 GMT"}}), membercard.RetryPolicy{MaxAttempts: 2}, 2, 100 * time.Millisecond, 200 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			server.Inject(test.fault)
			client := newClient(t, server, func(c *membercard.Config) { c.Retry = test.retry })
			start := time.Now()
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.Error(t, err)
			took := time.Since(start)
			assert.Len(t, server.Requests(), test.attempts, name)
			assert.GreaterOrEqual(t, took, test.min, name)
			assert.LessOrEqual(t, took, test.max, name)
		})
	}
}

// TestBackoffDoesNotOverflow, whatever the policy and the number of attempts.
func TestBackoffDoesNotOverflow(t *testing.T) {
	t.Parallel()
	for _, minimum := range []time.Duration{1, time.Second, 20 * time.Second, 1 << 61, 1<<62 + 1, 1<<63 - 1} {
		for _, maximum := range []time.Duration{1, time.Minute, 1 << 62, 1<<63 - 1} {
			for attempt := range 100 {
				d := membercard.Backoff(membercard.RetryPolicy{MinBackoff: minimum, MaxBackoff: maximum}, attempt+1)
				assert.Positive(t, d+1)
				assert.LessOrEqual(t, d, maximum)
			}
		}
	}
}

// TestTheContextEndsTheRepeats: a wait that would outlast it is not begun, and one that it interrupts
// gives both errors.
func TestTheContextEndsTheRepeats(t *testing.T) {
	t.Parallel()
	fault := membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 503, Code: "SERVICE_UNAVAILABLE", Times: -1, Header: http.Header{"Retry-After": {"30"}}}
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		assert.Zero(t, time.Since(start), "it returns at once")
		assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "deadline")
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	})
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(fault)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		start := time.Now()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		assert.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "canceled")
		assert.NotContains(t, err.Error(), "\n")
		assert.Len(t, server.Requests(), 1)
	})
	synctest.Test(t, func(t *testing.T) { // during an attempt
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent, Times: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "during an attempt")
		assert.Len(t, server.Requests(), 1)
	})
}

// TestDoubtStays: once a write may have been carried out, a later refusal does not make that unlikely.
func TestDoubtStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Times: -1})
		_, err := server.Client().UpdateUserCard(t.Context(), updateRequest)
		assertMatches(t, err, []error{membercard.ErrRateLimited, membercard.ErrOutcomeUnknown}, "429 after a cut")
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, code))
	})
}

func TestTheThrottleIsAskedBeforeEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Times: 2, AfterEffect: true})
		asked := 0
		client := newClient(t, server, func(c *membercard.Config) {
			c.Throttle = func(ctx context.Context, operation membercard.Operation) error {
				asked++
				assert.Equal(t, membercard.OperationUpdateUserCard, operation)
				time.Sleep(10 * time.Minute) // longer than a signature lives
				return nil
			}
		})
		_, err := client.UpdateUserCard(t.Context(), updateRequest)
		require.NoError(t, err, "the request is signed after the wait")
		assert.Equal(t, 3, asked)

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
		client = newClient(t, server, func(c *membercard.Config) {
			asked = 0
			c.Throttle = func(context.Context, membercard.Operation) error {
				if asked++; asked == 2 {
					return assert.AnError
				}
				return nil
			}
		})
		_, err = client.UpdateUserCard(t.Context(), updateRequest)
		require.ErrorIs(t, err, assert.AnError)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "what was sent before stays in doubt")
	})
}

// TestNotSent: positive evidence only.
func TestNotSent(t *testing.T) {
	t.Parallel()
	t.Run("a transport without trace hooks proves nothing", func(t *testing.T) {
		t.Parallel()
		calls := 0
		client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			calls++
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		})))
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "no hooks")
		assert.Equal(t, 1, calls)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the cause is kept")
	})
	t.Run("a port where nobody listens", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := "http://" + listener.Addr().String()
		require.NoError(t, listener.Close())
		client := newClient(t, newServer(t), func(c *membercard.Config) {
			c.BaseURL, c.HTTPClient, c.Retry.MinBackoff = address, nil, time.Millisecond
		})
		var info membercard.ResponseInfo
		_, err = client.InvalidateUserCard(membercard.WithResponseInfo(t.Context(), &info), invalidateRequest)
		assertMatches(t, err, nil, "refused")
		assert.Equal(t, 3, info.Attempts, "an irreversible call is repeated when nothing was sent")
		assert.NotContains(t, err.Error(), openID)
		assert.NotContains(t, err.Error(), "user-cards")
		assert.False(t, errors.As(err, new(*url.Error)), "the URL holds the openid, and stays behind errors.As too")
		assert.Contains(t, err.Error(), "InvalidateUserCard: not sent: ")
	})
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run("TLS to an unknown authority, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			var info membercard.ResponseInfo
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, nil })
			_, err := client.InvalidateUserCard(membercard.WithResponseInfo(t.Context(), &info), invalidateRequest)
			assertMatches(t, err, nil, "certificate")
			require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
			assert.Equal(t, 1, info.Attempts, "a certificate error is final")
			assert.Empty(t, server.Requests())
		})
		t.Run("over TLS, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, secure.Client() })
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err)
			// The connection breaks after the request went out on a connection that was had.
			server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true, Times: -1})
			_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
			assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "cut")
			assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))
		})
		t.Run("a context that is over between dial and write, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			ctx, cancel := context.WithCancel(t.Context())
			transport := secure.Client().Transport.(*http.Transport)
			dial := (&net.Dialer{}).DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				connection, err := dial(ctx, network, address)
				cancel()
				return connection, err
			}
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, secure.Client() })
			_, err := client.InvalidateUserCard(ctx, invalidateRequest)
			require.ErrorIs(t, err, context.Canceled)
			assert.NotErrorIs(t, err, membercard.ErrOutcomeUnknown, "no connection was had")
			assert.Zero(t, server.Effects(membercard.OperationInvalidateUserCard, code))
		})
	}
}

func startTLS(t *testing.T, server *membercardtest.Server, http2 bool) *httptest.Server {
	t.Helper()
	secure := httptest.NewUnstartedServer(server)
	secure.EnableHTTP2 = http2
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	return secure
}

// hostTransport refuses connections to some hosts and counts the requests to each.
type hostTransport struct {
	server *membercardtest.Server
	dead   map[string]bool
	asked  []string
}

func (h *hostTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked = append(h.asked, r.URL.Host)
	if h.dead[r.URL.Host] {
		h.server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
	}
	return h.server.RoundTrip(r)
}

func TestBackupHost(t *testing.T) {
	t.Parallel()
	const primary, backup = "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		transport := &hostTransport{server: server, dead: map[string]bool{primary: true}}
		client := newClient(t, server, withTransport(transport))
		get := func() string {
			transport.asked = nil
			var info membercard.ResponseInfo
			_, err := client.GetUserCard(membercard.WithResponseInfo(t.Context(), &info), getRequest)
			require.NoError(t, err)
			assert.Equal(t, transport.asked[len(transport.asked)-1], info.Host)
			return strings.Join(transport.asked, " ")
		}
		assert.Equal(t, primary+" "+backup, get(), "the next attempt goes to the backup host")
		assert.Equal(t, backup, get(), "the dead primary is remembered")
		time.Sleep(time.Minute)
		assert.Equal(t, primary+" "+backup, get(), "for a while")
		transport.dead = map[string]bool{backup: true}
		assert.Equal(t, backup+" "+primary, get(), "a dead backup leads back")
		transport.dead = nil
		assert.Equal(t, primary, get())

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 503, Code: "X"})
		assert.Equal(t, primary+" "+primary, get(), "an answer is no reason to change the host")

		transport.dead, transport.asked = map[string]bool{primary: true}, nil
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		require.NoError(t, err, "nothing was sent to the primary")
		assert.Equal(t, []string{primary, backup}, transport.asked)
		assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))
	})
	synctest.Test(t, func(t *testing.T) { // a caller that goes away says nothing about the host
		server := newServer(t)
		transport := &hostTransport{server: server}
		client := newClient(t, server, withTransport(transport))
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.GetUserCard(ctx, getRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		assert.Equal(t, []string{primary, primary}, transport.asked)
	})
	t.Run("no backup beside a BaseURL", func(t *testing.T) {
		t.Parallel()
		for backup, want := range map[string]string{"": "a.example a.example a.example", "https://b.example": "a.example b.example a.example"} {
			synctest.Test(t, func(t *testing.T) {
				server := newServer(t)
				transport := &hostTransport{server: server, dead: map[string]bool{"a.example": true, "b.example": true}}
				client := newClient(t, server, withTransport(transport), func(c *membercard.Config) { c.BaseURL, c.BackupURL = "https://a.example", backup })
				_, err := client.GetUserCard(t.Context(), getRequest)
				require.Error(t, err)
				assert.Equal(t, want, strings.Join(transport.asked, " "))
			})
		}
	})
}

// TestErrorsOfOthersAreKept: the cause of a failure below is there for errors.Is, without matching the
// caller's context.
func TestErrorsOfOthersAreKept(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cause error
		is    error
	}{
		"own error":       {assert.AnError, assert.AnError},
		"no such host":    {&net.DNSError{Err: "no such host", IsNotFound: true}, nil},
		"dial timeout":    {&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, nil},
		"foreign context": {fmt.Errorf("proxy: %w", context.Canceled), nil},
	} {
		client := newClient(t, newServer(t), noRepeats, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return nil, test.cause
		})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.Error(t, err)
		if test.is != nil {
			require.ErrorIs(t, err, test.is, name)
		}
		assert.False(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled), name)
		assert.NotErrorIs(t, err, membercard.ErrAttemptTimeout, name)
		assert.Contains(t, err.Error(), test.cause.Error())
	}
}

// TestNothingIsSentAfterTheContext: a call whose context ends in the throttle hook or while a slow key
// signs was not sent, and says so. A slow key takes nothing from the attempt's time.
func TestNothingIsSentAfterTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		client := newClient(t, server, func(c *membercard.Config) {
			c.Throttle = func(context.Context, membercard.Operation) error { cancel(); return nil }
		})
		_, err := client.InvalidateUserCard(ctx, invalidateRequest)
		require.ErrorIs(t, err, context.Canceled)
		assertMatches(t, err, nil, "throttle")

		slow := func(c *membercard.Config) { c.PrivateKey = slowKey{c.PrivateKey, time.Minute} }
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = newClient(t, server, slow).InvalidateUserCard(ctx, invalidateRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertMatches(t, err, nil, "slow key")
		assert.Empty(t, server.Requests())

		_, err = newClient(t, server, slow).InvalidateUserCard(t.Context(), invalidateRequest)
		require.NoError(t, err)
	})
}

// slowKey takes its time to sign, as one in a KMS does.
type slowKey struct {
	crypto.Signer
	delay time.Duration
}

func (k slowKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	time.Sleep(k.delay)
	return k.Signer.Sign(r, digest, opts)
}

// failingKey fails to sign from some signature on.
type failingKey struct {
	crypto.Signer
	left *int
	err  error
}

func (k failingKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if *k.left--; *k.left < 0 {
		return nil, k.err
	}
	return k.Signer.Sign(r, digest, opts)
}

func (k failingKey) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return nil, k.err
}

// TestAKeyThatFails: its error does not look like the end of the caller's context, quotes nothing, and
// does not hide what went wrong before.
func TestAKeyThatFails(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	with := func(left int) *membercard.Client {
		err := fmt.Errorf("kms is busy with %s: %w", openID, context.DeadlineExceeded)
		return newClient(t, server, func(c *membercard.Config) {
			c.PrivateKey = failingKey{c.PrivateKey, &left, err}
			c.Retry.MinBackoff = time.Millisecond
		})
	}
	_, err := with(0).InvalidateUserCard(t.Context(), invalidateRequest)
	assertMatches(t, err, nil, "at once")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "InvalidateUserCard: not sent: sign with Config.PrivateKey: kms is busy with […]")
	assert.Empty(t, server.Requests())

	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true})
	var info membercard.ResponseInfo
	_, err = with(1).UpdateUserCard(membercard.WithResponseInfo(t.Context(), &info), updateRequest)
	assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "later")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	assert.NotEmpty(t, info.RequestID, "that of the attempt that was made")
	assert.Equal(t, 1, info.Attempts)

	card, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	request := updateRequest
	request.PhoneNumber = card.PhoneNumber
	_, err = with(1).UpdateUserCard(t.Context(), request)
	require.NotErrorIs(t, err, membercard.ErrInvalidParameter, "a key out of reach is no fault of the request")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "PhoneNumber: the value does not open with the merchant key")
	assert.NotContains(t, err.Error(), openID, "whatever the key's error quotes")
}

func TestAForeignDeadlineInTheThrottle(t *testing.T) {
	t.Parallel()
	client := newClient(t, newServer(t), func(c *membercard.Config) {
		c.Throttle = func(context.Context, membercard.Operation) error {
			return fmt.Errorf("redis: %w", context.DeadlineExceeded)
		}
	})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "GetUserCard: not sent: Config.Throttle: redis: context deadline exceeded")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
}

// TestASuccessIsNoError: an answer that has the identifiers asked for is not read as an error, whatever its members are
// called.
func TestASuccessIsNoError(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"code":"NOT_FOUND","message":"x","user_card_code":"` + code + `","user_card_state":1}`)})
	_, err := server.Client().GetUserCard(t.Context(), getRequest)
	assertMatches(t, err, nil, "200 with a code")
	require.ErrorContains(t, err, "GetUserCard: 200 OK: the body cannot be decoded")
}

func TestNilResponseInfo(t *testing.T) {
	t.Parallel()
	_, err := newServer(t).Client().UpdateUserCard(membercard.WithResponseInfo(t.Context(), nil), updateRequest)
	require.NoError(t, err)
}

// TestResponseInfoOfNothing: what an earlier call left is gone when nothing was sent.
func TestResponseInfoOfNothing(t *testing.T) {
	t.Parallel()
	client := newServer(t).Client()
	var info membercard.ResponseInfo
	ctx := membercard.WithResponseInfo(t.Context(), &info)
	_, err := client.GetUserCard(ctx, getRequest)
	require.NoError(t, err)
	require.NotZero(t, info)
	_, err = client.GetUserCard(ctx, membercard.GetUserCardRequest{})
	require.Error(t, err)
	assert.Zero(t, info)
}
