package membercard_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
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

func (f failure) isRetried(operation membercard.OperationInfo) bool {
	switch f {
	case notSent:
		return true
	case rateLimited:
		return !operation.Irreversible
	case uncertain:
		return operation.Read || operation.Idempotent
	}
	return false
}

// cell is a column of the fault matrix.
type cell struct {
	name           string
	fault          membercardtest.Fault
	spoil          func(*http.Response) // what the fake cannot do by itself
	failure        failure
	outcomeUnknown bool    // a write may have been carried out
	effect         bool    // the service carries it out
	matches        []error // beside ErrOutcomeUnknown
}

func spoilBody(r *http.Response) {
	data, _ := io.ReadAll(r.Body)
	data = append(bytes.TrimSuffix(data, []byte("}")), []byte(` }`)...)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
}

// setHeader sets a header, or takes it away where there is no value.
func setHeader(name string, values ...string) func(*http.Response) {
	return func(r *http.Response) { r.Header[name] = values }
}

func setStatus(status int) func(*http.Response) {
	return func(r *http.Response) { r.StatusCode = status }
}

// The faults, by constructors.
func faultOf(kind membercardtest.FaultKind) membercardtest.Fault {
	return membercardtest.Fault{Kind: kind}
}

func noFault() membercardtest.Fault { return faultOf(membercardtest.FaultSlow) }

func delayed(by time.Duration) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: by}
}

func withStatus(status int, code string) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: status, Code: code}
}

func withoutSignature(status int, code string) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultUnsigned, Status: status, Code: code}
}

func withHTML(status int) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: status}
}

func withEmpty(status int) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: status}
}

func withBody(signed []byte) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultBody, Body: signed}
}

func withoutHeader(header string) membercardtest.Fault {
	return membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: header}
}

func addHeader(f membercardtest.Fault, name, value string) membercardtest.Fault {
	f.Header = http.Header{name: {value}}
	return f
}

// after has a fault strike when the request was carried out.
func afterEffect(f membercardtest.Fault) membercardtest.Fault {
	f.AfterEffect = true
	return f
}

// on begins a cell, which says what a fault leads to.
func on(name string, fault membercardtest.Fault) cell { return cell{name: name, fault: fault} }

// What became of a write.
const (
	untouched  = false
	carriedOut = true
)

func (c cell) spoiled(by func(*http.Response)) cell {
	c.spoil = by
	return c
}

func (c cell) succeeds() cell {
	c.failure, c.effect = success, carriedOut
	return c
}

func (c cell) isNotSent() cell {
	c.failure = notSent
	return c
}

func (c cell) isLimited(matches ...error) cell {
	c.failure, c.matches = rateLimited, matches
	return c
}

func (c cell) isRefused(matches ...error) cell {
	c.failure, c.matches = final, matches
	return c
}

func (c cell) isUncertain(effect bool, matches ...error) cell {
	c.failure, c.outcomeUnknown, c.effect, c.matches = uncertain, true, effect, matches
	return c
}

func (c cell) isUnknown(effect bool, matches ...error) cell {
	c.failure, c.outcomeUnknown, c.effect, c.matches = final, true, effect, matches
	return c
}

// otherAnswer is a signed success that is not the answer to the request.
func otherAnswer(name, text string) cell {
	return on(name, withBody([]byte(text))).isUncertain(carriedOut, membercard.ErrSignature)
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

// The sentinels, for short.
var (
	errSignature        = membercard.ErrSignature
	errSystem           = membercard.ErrSystem
	errRateLimited      = membercard.ErrRateLimited
	errAttemptTimeout   = membercard.ErrAttemptTimeout
	errNotFound         = membercard.ErrNotFound
	errInvalidParameter = membercard.ErrInvalidParameter
)

// cells are the faults, and what each of them leads to.
func cells(operation membercard.Operation) []cell {
	const (
		newValues = `{"new":{"a":[1,2]},"user_card_state":"NEW","card_type":"NEW","state":"NEW",
			"data":[{"user_card_state":"NEW","state":"NEW","new":1}]}`
		refund = `{"refund_id":"50000000382019052709732678859","status":"SUCCESS"}`
	)
	identify := func(answer []byte) membercardtest.Fault { return withBody(identified(operation, answer)) }
	answer := answerOf(operation)
	all := []cell{
		on("none", noFault()).succeeds(),
		on("slow", delayed(9*time.Second)).succeeds(),
		on("refused connection", faultOf(membercardtest.FaultRefuse)).isNotSent(),
		on("cut while writing", faultOf(membercardtest.FaultCut)).isUncertain(untouched),
		on("cut after the effect", afterEffect(faultOf(membercardtest.FaultCut))).isUncertain(carriedOut),
		on("silent", faultOf(membercardtest.FaultSilent)).isUncertain(untouched, errAttemptTimeout),
		on("silent after the effect", afterEffect(faultOf(membercardtest.FaultSilent))).
			isUncertain(carriedOut, errAttemptTimeout),
		on("too slow", delayed(time.Hour)).isUncertain(untouched, errAttemptTimeout),
		on("truncated", faultOf(membercardtest.FaultTruncated)).isUncertain(carriedOut),
		on("endless", faultOf(membercardtest.FaultEndless)).isUnknown(carriedOut),
		on("wrong length", faultOf(membercardtest.FaultWrongLength)).isUncertain(carriedOut, errSignature),
		on("compressed unasked", noFault()).spoiled(compress).isUncertain(carriedOut, errSignature),
		on("HTML 404", withHTML(404)).isRefused(),
		on("HTML 403", withHTML(403)).isRefused(),
		on("429", withStatus(429, "RATELIMIT_EXCEEDED")).isLimited(errRateLimited),
		on("429 of the edge", withHTML(429)).isLimited(errRateLimited),
		on("429 with Retry-After", addHeader(withStatus(429, "FREQUENCY_LIMITED"), "Retry-After", "7")).
			isLimited(errRateLimited),
		on("500", withStatus(500, "SYSTEM_ERROR")).isUncertain(untouched, errSystem),
		on("500 after the effect", afterEffect(withStatus(500, "SYSTEM_ERROR"))).isUncertain(carriedOut, errSystem),
		on("500 for the rate", withStatus(500, "RATELIMIT_EXCEEDED")).isLimited(errSystem, errRateLimited),
		on("unsigned 500 for the rate", withoutSignature(500, "RATELIMIT_EXCEEDED")).
			isUncertain(untouched, errSystem, errRateLimited),
		on("SYSTEM_ERROR with 400 after the effect", afterEffect(withStatus(400, "SYSTEM_ERROR"))).
			isUncertain(carriedOut, errSystem),
		on("SYSTEM_ERROR with 429 after the effect", afterEffect(withStatus(429, "SYSTEM_ERROR"))).
			isUncertain(carriedOut, errSystem),
		on("202", afterEffect(withEmpty(202))).isUncertain(carriedOut),
		on("unsigned error", withoutSignature(400, "PARAM_ERROR")).isRefused(errInvalidParameter),
		on("unsigned success", afterEffect(withoutSignature(200, ""))).isUnknown(carriedOut, errSignature),
		on("forged error", withStatus(404, "NOT_FOUND")).spoiled(spoilBody).isUncertain(untouched, errSignature),
		on("wrong signature on an error", withStatus(404, "NOT_FOUND")).
			spoiled(setHeader("Wechatpay-Signature", "AAAA")).isUncertain(untouched, errSignature),
		on("half the headers on an error", withStatus(404, "NOT_FOUND")).
			spoiled(setHeader("Wechatpay-Signature")).isUnknown(untouched, errSignature),
		on("forged body", faultOf(membercardtest.FaultForgedBody)).isUncertain(carriedOut, errSignature),
		on("bad signature", faultOf(membercardtest.FaultBadSignature)).isUncertain(carriedOut, errSignature),
		on("probe", faultOf(membercardtest.FaultProbe)).isUncertain(carriedOut, errSignature),
		on("stale timestamp", faultOf(membercardtest.FaultStaleTimestamp)).isUnknown(carriedOut, errSignature),
		on("future timestamp", faultOf(membercardtest.FaultFutureTimestamp)).isUnknown(carriedOut, errSignature),
		on("unknown serial", faultOf(membercardtest.FaultUnknownSerial)).isUnknown(carriedOut, errSignature),
		on("redirect", addHeader(withEmpty(307), "Location", "https://elsewhere.example/")).isUnknown(untouched),
		on("204", afterEffect(withEmpty(204))).isUnknown(carriedOut),
		on("empty 200", afterEffect(withEmpty(200))).isUnknown(carriedOut),
		on("null", withBody([]byte(" null\n"))).isUnknown(carriedOut),
		on("not JSON", withBody([]byte("ok"))).isUnknown(carriedOut),
		on("unknown fields and values", identify([]byte(newValues))).succeeds(),
		on("null everywhere", identify(everywhere(answer, "null"))).succeeds(),
		on("empty strings everywhere", identify(everywhere(answer, `""`))).succeeds(),
		otherAnswer("an empty object", `{}`),
		otherAnswer("another product's answer", refund),
		on("signed error with status 200", withStatus(404, "NOT_FOUND")).
			spoiled(setStatus(200)).isUnknown(untouched, errNotFound),
		on("signed rate limit with status 200", withStatus(429, "FREQUENCY_LIMITED")).
			spoiled(setStatus(200)).isUncertain(untouched, errRateLimited),
		on("signed failure with status 200", withStatus(500, "SYSTEM_ERROR")).
			spoiled(setStatus(200)).isUncertain(untouched, errSystem),
		on("signed success with status 429", noFault()).spoiled(setStatus(429)).isUnknown(carriedOut, errRateLimited),
		on("signed success with status 408", noFault()).spoiled(setStatus(408)).isUnknown(carriedOut),
		on("signed success with status 503", noFault()).spoiled(setStatus(503)).isUncertain(carriedOut, errSystem),
		on("signed success with status 404", noFault()).spoiled(setStatus(404)).isUnknown(carriedOut),
		on("nonce with a line feed", noFault()).
			spoiled(setHeader("Wechatpay-Nonce", "n\n")).isUnknown(carriedOut, errSignature),
	}
	for _, name := range []string{"user_card_code", "card_id", "openid", "out_request_no", "record_id", "activity_id"} {
		var members map[string]any
		_ = json.Unmarshal(identified(operation, []byte("{}")), &members)
		if _, repeated := members[name]; repeated {
			members[name] = "of-another-request"
			body, _ := json.Marshal(members)
			all = append(all, otherAnswer("another "+name, string(body)))
		}
	}
	if strings.HasPrefix(string(operation), "Invalidate") || strings.HasPrefix(string(operation), "Terminate") {
		last := string(identified(operation, []byte("{}")))
		other := strings.NewReplacer("INVALID", "EFFECTIVE", "TERMINATED", "EFFECTIVE").Replace(last)
		all = append(all, otherAnswer("a state that is not final", other))
	}
	for _, status := range []int{408, 421, 425, 460, 499} {
		all = append(all, on(fmt.Sprint("unsigned ", status), withHTML(status)).isUncertain(untouched))
	}
	for _, status := range []int{502, 503, 504} {
		all = append(all, on(fmt.Sprintf("HTML %d", status), withHTML(status)).isUncertain(untouched, errSystem))
	}
	for _, header := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		all = append(all, on("without "+header, withoutHeader(header)).isUnknown(carriedOut, errSignature))
	}
	return all
}

// TestFaultMatrix ranges over the operation table and the faults. For a fault that lasts and for one that strikes once it requires
// which errors match and how many attempts were made. It also requires how often the service carried the request out, and the state
// it is left in.
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
	_, err := do(membercard.WithResponseInfo(t.Context(), &info), client, table[operation.Name].request)

	attempts, repeated := 1, c.failure.isRetried(operation)
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
		if c.outcomeUnknown && !operation.Read {
			want = append(slices.Clone(want), membercard.ErrOutcomeUnknown)
		}
		assertMatches(t, err, want, where)
		assert.NotErrorIs(t, err, context.DeadlineExceeded, where)
		assert.NotContains(t, err.Error(), openID, where)
		assert.NotContains(t, err.Error(), userCardCode, where)
	}

	arrived := attempts
	if c.fault.Kind == membercardtest.FaultRefuse {
		arrived = map[bool]int{true: 0, false: 1}[lasting]
	}
	assert.Equal(t, attempts, info.Attempts, where)
	assert.Len(t, server.Requests(), arrived, where)
	assertSignedAnew(t, server.Requests(), where)

	effects, about := 0, table[operation.Name].effect
	switch {
	case operation.Read:
		return
	case c.effect:
		effects = attempts
	case c.failure == success || repeated && !lasting:
		effects = 1
	}
	if about.numbered {
		effects = min(effects, 1)
	}
	require.NotNil(t, about.done, "%s is not in the table of effects", operation.Name)
	assert.Equal(t, effects, server.Effects(operation.Name, about.key), where)
	assert.Equal(t, effects > 0, about.done(server), where)
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
