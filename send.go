package membercard

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
	"github.com/wechatpay-cards/membercard/internal/wire"
)

const (
	maxBody     = 4 << 20  // of a success with signature headers
	maxUnproven = 64 << 10 // of anything else: nobody has proven that it is WeChat Pay's
)

// attempt is a signed request. sign makes it; nothing changes it.
type attempt struct {
	*request
	n             int      // from 1
	previous      *attempt // of the same call; nil for none
	host          *host
	message       []byte // that was signed, to explain a SIGN_ERROR
	signature     string // of it, which no text may quote, as gateways do
	authorization string // the header with it
}

// clean makes text printable, without the secrets of the request and the signature.
func (a *attempt) clean(text string) string {
	secrets := a.secrets()
	for ; a != nil; a = a.previous {
		secrets = append(secrets, a.signature)
	}
	return secrets.Line(text)
}

// answer is what came, perhaps not all of it. exchange makes it; try adds what verify says.
type answer struct {
	status int // 0: nothing came
	header http.Header
	body   []byte
	trust  trust
}

// trust says whether an answer comes from WeChat Pay.
type trust int

const (
	unsigned trust = iota // it does not claim to: an error of a proxy's, perhaps
	unproven              // it is signed with a key that is not there
	proven
)

// date is the service's clock, zero when it is not known.
func (a answer) date() time.Time {
	date, _ := http.ParseTime(a.header.Get("Date"))
	return date
}

// isSuccess reports whether the status is that of a success.
func (a answer) isSuccess() bool { return a.status >= 200 && a.status <= 299 }

// verdict is what an attempt means for its call. try makes it.
type verdict struct {
	answer         answer
	result         any     // of a success
	undecoded      string  // optional members of the result that have an odd form
	err            error   // nil: done
	failure        failure // whether a retry can help
	outcomeUnknown bool    // the service may have carried it out
	misplaced      bool    // WeChat Pay wants contested parameters in the other place
}

// ending is how a call ended. send makes it.
type ending struct {
	last           verdict  // of the last attempt; empty when the next one could not be made
	err            error    // of the call; nil: done
	outcomeUnknown bool     // one of its attempts may have been carried out
	attempt        *attempt // the last one; nil when none was made
}

// send is the attempt loop: it ends when the call is done or a retry cannot help. previous is the last attempt of the same call, if it
// began elsewhere.
func (c *Client) send(ctx context.Context, r *request, previous *attempt) ending {
	var last verdict
	outcomeUnknown := false
	for {
		a, err := c.sign(ctx, r, previous)
		if err != nil {
			return ending{err: r.stoppedError(ctx, last.err, err, outcomeUnknown), attempt: previous}
		}
		previous = a
		last = c.try(ctx, a)
		fillInfo(ctx, a, last)
		if last.err == nil {
			return ending{last: last, attempt: a}
		}
		outcomeUnknown = outcomeUnknown || last.outcomeUnknown // a later refusal does not undo an earlier attempt
		wait := max(r.retry.backoff(a.n), wire.RetryAfter(last.answer.header.Get("Retry-After"), time.Now()))
		if a.n >= r.retry.MaxAttempts || !r.class.allows(last.failure) || !fits(ctx, wait) {
			return ending{last, r.endError(last.err, outcomeUnknown), outcomeUnknown, a}
		}
		sleep(ctx, wait)
	}
}

// fits reports whether a wait ends before the context does.
func fits(ctx context.Context, wait time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() == nil && (!limited || time.Until(deadline) > wait)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// endError returns the error of a call, with ErrOutcomeUnknown for a write that may have been carried out.
func (r *request) endError(err error, outcomeUnknown bool) error {
	if outcomeUnknown && r.class != read {
		return join(err, "; ", ErrOutcomeUnknown)
	}
	return err
}

// stoppedError returns the error of a call whose next attempt could not be made. last is that of the one before, if any.
func (r *request) stoppedError(ctx context.Context, last, err error, outcomeUnknown bool) error {
	err = notSentError(ctx, r.operation, r.secrets(), err)
	if last != nil {
		err = join(last, "; not retried: ", err)
	}
	return r.endError(err, outcomeUnknown)
}

// sign waits for the throttle and makes an attempt. It signs after the wait, so that no signature grows old in a
// queue, and exactly what will be sent.
func (c *Client) sign(ctx context.Context, r *request, previous *attempt) (*attempt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.throttle != nil {
		if err := r.throttle(ctx, r.name); err != nil {
			return nil, fmt.Errorf("%w: %w", errThrottle, err)
		}
	}
	nonce, err := apiv3.Nonce()
	if err != nil {
		return nil, err
	}
	timestamp := time.Now().Unix()
	message := apiv3.RequestMessage(r.method, r.uri, timestamp, nonce, r.signed)
	authorization, signature, err := apiv3.Authorization(c.signer, c.edition.identity, c.certificateSerial, nonce, timestamp, message)
	if err != nil {
		return nil, fmt.Errorf("sign with Config.PrivateKey: %w", err)
	}
	n := 1
	if previous != nil {
		n = previous.n + 1
	}
	return &attempt{r, n, previous, c.hosts.next(), message, signature, authorization}, ctx.Err() // net/http reports nothing of a request whose context is over
}

// setHeaders sets the headers of the request that is sent, with all values in one array.
func (a *attempt) setHeaders(header http.Header) {
	values := make([]string, 0, 5)
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Accept", "application/json")
	set("Authorization", a.authorization)
	set("User-Agent", userAgent())
	if a.keyID != "" { // the key that encrypted, and with which the answer is to be signed
		set("Wechatpay-Serial", a.keyID)
	}
	if a.body != nil {
		set("Content-Type", a.contentType)
	}
}

// try makes one attempt. Nothing of an answer is decoded before its signature was verified.
func (c *Client) try(ctx context.Context, a *attempt) (v verdict) {
	start := time.Now()
	v.err = errPanicked // should the transport not come back
	defer func() { c.report(ctx, a, v, time.Since(start)) }()
	got, nothingSent, err := c.exchange(ctx, a)
	if err != nil {
		return c.judgeNoAnswer(ctx, a, got, nothingSent, err)
	}
	var untrusted *SignatureError
	if got.trust, untrusted = c.verify(ctx, a, got); untrusted != nil {
		v = verdict{answer: got, err: untrusted, outcomeUnknown: true}
		if untrusted.Reason == ReasonMismatch || untrusted.Reason == ReasonProbe {
			v.failure = uncertain
		}
		return v
	}
	return a.judge(got)
}

// exchange sends a request and reads the answer. Beside an error it returns what came, and whether it is certain that
// nothing was sent.
func (c *Client) exchange(ctx context.Context, a *attempt) (got answer, nothingSent bool, err error) {
	attemptCtx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	again := 0
	switch {
	case a.class == read && a.n == 1:
		again = 1 // a kept connection that died is no reason to fail
	case a.class == irreversible:
		again = wire.Never
	}
	sent := wire.Watch(attemptCtx, cancel, again, a.operation)
	request, err := a.httpRequest(sent)
	if err != nil {
		return answer{}, true, err
	}
	response, err := c.http.Do(request)
	if err != nil && strings.Contains(err.Error(), "failed to parse Location header") {
		err = errBadLocation // the text would hold it
	}
	if err == nil {
		defer response.Body.Close()
		got = answer{status: response.StatusCode, header: response.Header}
		if got.status < 200 { // 101: the connection is now the body, which no context ends
			return got, false, errNoAnswer
		}
		limit := maxUnproven
		if got.isSuccess() && apiv3.ProofOf(got.header).Flaw(time.Now()) == nil {
			limit = maxBody
		}
		got.body, err = wire.ReadAll(response.Body, response.ContentLength, limit)
		if err == nil && len(got.body) > limit {
			if apiv3.ProofOf(got.header).Flaw(time.Now()) == nil {
				err = tooLong(limit)
			}
			got.body = got.body[:limit] // of an answer whose headers prove nothing it is evidence, and no more
		}
	}
	if err == nil {
		return got, false, nil
	}
	switch {
	case ctx.Err() != nil:
	case sent.Refused():
		err = wire.ErrSentOnce
	case attemptCtx.Err() != nil:
		err = ErrAttemptTimeout
		if sent.CloseIfSilent() {
			c.http.CloseIdleConnections() // which may be as dead
		}
	case sent.ClosedAsSilent() && !sent.Nothing():
		err = errClosedAsSilent
	}
	return got, got.status == 0 && sent.Nothing(), err
}

// httpRequest makes the request that is sent.
func (a *attempt) httpRequest(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if a.body != nil {
		body = bytes.NewReader(a.body)
	}
	request, err := http.NewRequestWithContext(ctx, a.method, a.host.url+a.uri, body)
	if err == nil {
		a.setHeaders(request.Header)
	}
	return request, err
}

// judgeNoAnswer says what an attempt without a complete answer means.
func (c *Client) judgeNoAnswer(ctx context.Context, a *attempt, got answer, nothingSent bool, err error) verdict {
	v := verdict{answer: got, err: a.noAnswerError(ctx, got, nothingSent, err), failure: uncertain, outcomeUnknown: true}
	if nothingSent {
		v.failure, v.outcomeUnknown = notSent, false
	}
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case badCertificate || errors.Is(err, errTooLong):
		v.failure = final
	case ctx.Err() == nil: // otherwise the caller went away, which says nothing about the host
		c.hosts.markFailed(a.host)
	}
	return v
}

// verifier finds the key that an answer says it was signed with.
type verifier func(r *keyRing, ctx context.Context, serial string, got answer) (*rsa.PublicKey, error)

// verify checks the signature of an answer over the bytes as they came. An error without any signature header stays
// unsigned.
func (c *Client) verify(ctx context.Context, a *attempt, got answer) (trust, *SignatureError) {
	proof := apiv3.ProofOf(got.header)
	if proof.Absent() && !got.isSuccess() {
		return unsigned, nil
	}
	flaw := proof.Flaw(time.Now())
	if flaw == nil {
		key, err := a.verifier(c.keys, ctx, proof.Serial, got)
		if errors.Is(err, errNoKeyYet) {
			return unproven, nil
		}
		if err != nil {
			return unproven, a.signatureError(got, ReasonUnknownSerial, 0, "", err)
		}
		flaw = proof.Verify(key, got.body)
	}
	if flaw != nil {
		return unproven, a.signatureError(got, reasons[flaw.Kind], flaw.Skew, explainAnswer(flaw, got.header, got.body), nil)
	}
	return proven, nil
}

// judge says what a whole answer means for the call. Its signature was verified, or it is an error without one.
func (a *attempt) judge(got answer) verdict {
	if got.isSuccess() && got.status != http.StatusAccepted && got.status != http.StatusNoContent && len(got.body) > 0 {
		return a.judgeSuccess(got)
	}
	err := a.apiError(got, nil)
	v := verdict{answer: got, err: err}
	switch {
	case got.trust == proven && got.status >= 400 && got.status < 500 && !a.isError(got.body): // a success whose status was changed
		v.outcomeUnknown = true
	case errors.Is(sentinels[err.Code], ErrSystem): // whatever its status, which nobody signs
		v.failure, v.outcomeUnknown = uncertain, true
	case errors.Is(err, ErrRateLimited) && (got.trust == proven || got.status == http.StatusTooManyRequests):
		v.failure = rateLimited
	case got.status >= 500, got.status == http.StatusAccepted, got.trust != proven && isOfGateway(got.status):
		v.failure, v.outcomeUnknown = uncertain, true
	case got.status < 400: // a redirect, or a success that says nothing
		v.outcomeUnknown = true
	case got.trust == proven && errors.Is(err, ErrInvalidParameter):
		_, v.misplaced = a.isMisplaced(err.Detail)
	}
	return v
}

// isOfGateway reports whether gateways answer with this status for reasons of their own: the request may have been
// handed on all the same.
func isOfGateway(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, 460, 499:
		return true
	}
	return false
}

// judgeSuccess says what an answer of a 2xx status means. The signature covers the body, and neither the status nor
// the request.
func (a *attempt) judgeSuccess(got answer) verdict {
	result, undecoded, err := a.decode(got.body)
	switch {
	case err == nil:
		return verdict{answer: got, result: result, undecoded: undecoded}
	case errors.Is(err, errOtherRequest):
		return verdict{answer: got, err: a.signatureError(got, ReasonOtherRequest, 0, "", err), failure: uncertain, outcomeUnknown: true}
	case errors.Is(err, errIsError):
		err := a.apiError(got, nil)
		v := verdict{answer: got, err: err, outcomeUnknown: true}
		if errors.Is(err, ErrRateLimited) || errors.Is(err, ErrSystem) {
			v.failure = uncertain
		}
		return v
	}
	return verdict{answer: got, err: a.apiError(got, err), outcomeUnknown: true}
}

// Attempt is one attempt of a call. It holds no value of the request, and of the answer the status, the code, the Request-ID and
// the text of Err.
type Attempt struct {
	Operation  Operation
	Method     string
	Path       string // the template, such as /v3/brand/partner/card-member/user-cards/{user_card_code}
	Host       string
	StatusCode int    // 0 when there was no answer
	Code       string // the service's error code (错误码)
	RequestID  string
	Number     int // from 1
	Duration   time.Duration
	Err        error // nil: done. Fit for a log: it quotes the service's message without the request's values
}

// report tells OnAttempt and the logger of an attempt.
func (c *Client) report(ctx context.Context, a *attempt, v verdict, took time.Duration) {
	level := slog.LevelInfo
	if v.err != nil {
		level = slog.LevelWarn
	}
	if c.onAttempt == nil && !c.logger.Enabled(ctx, level) {
		return
	}
	made := Attempt{
		Operation: a.name, Method: a.method, Path: a.template, Host: a.host.name, StatusCode: v.answer.status,
		RequestID: a.clean(v.answer.header.Get("Request-Id")), Number: a.n, Duration: took, Err: v.err,
	}
	if e, ok := errors.AsType[*APIError](v.err); ok {
		made.Code = a.clean(e.Code)
	}
	if c.onAttempt != nil {
		c.onAttempt(ctx, made)
	}
	c.logger.LogAttrs(ctx, level, "wechatpay attempt",
		slog.String("operation", string(made.Operation)),
		slog.String("method", made.Method),
		slog.String("path", made.Path),
		slog.String("host", made.Host),
		slog.Int("status", made.StatusCode),
		slog.String("code", made.Code),
		slog.String("request_id", made.RequestID),
		slog.Duration("duration", made.Duration),
		slog.Int("attempt", made.Number),
	)
}
