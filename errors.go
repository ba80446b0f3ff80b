package membercard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
	"github.com/wechatpay-cards/membercard/internal/redact"
)

// What to do about an error of a call, for errors.Is. Those up to ErrSystem describe what the service
// answered; an [*APIError] has the details. Several can match: look for ErrOutcomeUnknown first.
var (
	// ErrNotFound: what the request names does not exist (codes NOT_FOUND, RESOURCE_NOT_EXISTS). For a
	// user card check brand, template, code and openid. A 404 without such a code, from a proxy for
	// instance, does not match.
	ErrNotFound = errors.New("not found")
	// ErrRateLimited: too many requests (status 429, or a code of that family). Unless ErrOutcomeUnknown
	// matches as well, the request was not carried out; slow down and retry.
	ErrRateLimited = errors.New("rate limited")
	// ErrInvalidParameter: a parameter is missing or wrong: code PARAM_ERROR, or refused by this client
	// before anything was sent, and then there is no APIError. The text says which; do not retry.
	ErrInvalidParameter = errors.New("invalid parameter")
	// ErrInvalidRequest: the request breaks the rules of the API or of the business, such as a template
	// of another brand (code INVALID_REQUEST). Do not retry.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrUnauthorized: the service did not accept the request's signature (code SIGN_ERROR). Check the
	// private key, the certificate serial and the clock.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the permission for the product or the object is missing (code NO_AUTH), or the content is refused
	// (REQUEST_BLOCKED). Do not retry.
	ErrForbidden = errors.New("forbidden")
	// ErrAlreadyExists: what is to be created is there already (code ALREADY_EXISTS). After a call whose outcome was
	// unknown it can mean that the call was carried out.
	ErrAlreadyExists = errors.New("already exists")
	// ErrSystem: the service failed (status 5xx, or code SYSTEM_ERROR or BANK_ERROR).
	ErrSystem = errors.New("system error")

	// ErrSignature matches every SignatureError.
	ErrSignature = errors.New("the answer cannot be trusted")
	// ErrAttemptTimeout: no complete answer within Config.AttemptTimeout. When the caller's own context
	// ended instead, the error matches context.DeadlineExceeded or context.Canceled.
	ErrAttemptTimeout = errors.New("no answer within Config.AttemptTimeout")
	// ErrOutcomeUnknown: a write was sent, and no answer of WeChat Pay's says whether it was carried out. A system error, which it
	// signs as well, does not say so either. The error tells why, too. Each method says what to do: read
	// what it changes and then decide, or send the same request again. A 4xx counts as a refusal even when
	// it is not signed; APIError.Verified says which.
	//
	// A read that shows the change proves it. One that does not show it proves nothing for five minutes: a request that was held up on
	// its way is accepted until its signature is that old.
	ErrOutcomeUnknown = errors.New("the outcome is unknown: it may have been carried out; look before retrying it")
)

// sentinels holds the codes of the documentation. The same fault is spelled in several ways.
var sentinels = map[string]error{
	"NOT_FOUND":              ErrNotFound,
	"RESOURCE_NOT_EXISTS":    ErrNotFound,
	"PARAM_ERROR":            ErrInvalidParameter,
	"INVALID_REQUEST":        ErrInvalidRequest,
	"SIGN_ERROR":             ErrUnauthorized,
	"ALREADY_EXISTS":         ErrAlreadyExists,
	"REQUEST_BLOCKED":        ErrForbidden,
	"NO_AUTH":                ErrForbidden,
	"NOAUTH":                 ErrForbidden,
	"SYSTEM_ERROR":           ErrSystem,
	"SYSTEMERROR":            ErrSystem,
	"BANK_ERROR":             ErrSystem,
	"RATELIMIT_EXCEEDED":     ErrRateLimited,
	"RATELIMIT_EXCEED":       ErrRateLimited,
	"RATE_LIMITED":           ErrRateLimited,
	"FREQUENCY_LIMITED":      ErrRateLimited,
	"FREQUENCY_LIMIT_EXCEED": ErrRateLimited,
	"FREQUENCY_LIMIT":        ErrRateLimited,
	"FREQENCY_LIMIT":         ErrRateLimited, // spelled so by the service
}

// APIError is an answer that is no success: an error of the service's, an answer of something between the client and the service,
// or a success whose body cannot be decoded.
type APIError struct {
	Operation  Operation
	StatusCode int          // HTTP status
	Code       string       // the service's error code (错误码), such as PARAM_ERROR; decide on this
	Message    string       // for people; may quote the request; at most 4 KiB
	Detail     *ErrorDetail // nil when there is none
	RequestID  string       // quote it to WeChat Pay's support; empty when the answer had none
	Verified   bool         // whether WeChat Pay signed the body; the signature does not cover the status
	Host       string       // who answered
	Attempts   int          // how often the request was made
	Diagnosis  string       // on SIGN_ERROR: what was wrong with the signature, as far as can be told
	Body       []byte       // as received, at most 64 KiB; may hold personal data

	text  string // what Error returns; empty in an error that was not made by a Client
	cause error
}

// ErrorDetail says which parameter was wrong. Not every answer has all of it.
type ErrorDetail struct {
	Field    string          // a JSON pointer into the body, or the name of a parameter
	Location string          // body, query, path, authorization and others
	Issue    string          // what is wrong; may quote the request
	Value    json.RawMessage // the offending value, of any type
	Raw      json.RawMessage // the whole detail
}

// Error is one line: operation, status, code, message, the place of the fault and the Request-ID. The request's openid, card code
// and sensitive values are cut out.
func (e *APIError) Error() string {
	if e.text != "" {
		return e.text
	}
	note := ""
	if !e.Verified {
		note = noteUnsigned
	}
	return e.line(noSecrets, "", note)
}

// noSecrets makes text printable where no request is known.
var noSecrets = redact.Secrets(nil).Line

const noteUnsigned = "not signed by WeChat Pay"

// line puts the fields together, without the secrets.
func (e *APIError) line(clean func(string) string, advice, note string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d %s", e.Operation, e.StatusCode, cmp.Or(e.Code, http.StatusText(e.StatusCode)))
	switch {
	case e.Message != "":
		b.WriteString(": " + e.Message)
	case len(e.Body) == 0:
		b.WriteString(": the body is empty")
	case e.cause != nil:
		b.WriteString(": the body cannot be decoded: " + e.cause.Error())
	case e.Code == "":
		b.WriteString(": the body is not an APIv3 error")
	}
	if text := e.Detail.text(); text != "" {
		b.WriteString(" (" + text + ")")
	}
	for _, text := range []string{advice, e.Diagnosis} {
		if text != "" {
			b.WriteString("; " + text)
		}
	}
	return clean(b.String()) + whichAttempt(clean, e.RequestID, e.Host, e.Attempts, note)
}

// Is reports whether the error is one of this package's, such as ErrNotFound: errors.Is calls it. The code
// decides; of the status alone only 429 and 5xx say enough.
func (e *APIError) Is(target error) bool {
	sentinel, known := sentinels[e.Code]
	switch {
	case target == ErrRateLimited && !(known && e.Verified): // the signed code decides, not the status
		return e.StatusCode == http.StatusTooManyRequests || sentinel == target
	case target == ErrSystem && e.StatusCode >= 500:
		return true
	}
	return known && sentinel == target
}

// Unwrap returns why the body of a success could not be decoded, if that is what happened.
func (e *APIError) Unwrap() error { return e.cause }

// Format writes what Error returns, whatever the verb, so that no field is printed.
func (e APIError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText returns what Error returns; JSON uses it.
func (e APIError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// text names the faulty parameter without its value.
func (d *ErrorDetail) text() string {
	if d == nil {
		return ""
	}
	var parts []string
	if d.Field != "" {
		parts = append(parts, "field "+d.Field)
	}
	if d.Location != "" {
		parts = append(parts, "location "+d.Location)
	}
	return strings.Join(append(parts, d.pointers()...), ", ")
}

// place returns where the faulty parameter is or should be: body, query or another place. A pointer is one into the body.
func (d *ErrorDetail) place() string {
	switch {
	case d.Location == "url" || d.Location == "" && d.Field != "" && !strings.HasPrefix(d.Field, "/"):
		return "query"
	case d.Location == "" && d.Field != "":
		return "body"
	}
	return d.Location
}

// pointers returns the JSON pointers among the values, such as /query/card_id: the gateway names
// parameters that it does not know this way.
func (d *ErrorDetail) pointers() []string {
	if d == nil {
		return nil
	}
	var values []any
	if json.Unmarshal(d.Value, &values) != nil {
		return nil
	}
	var pointers []string
	for _, value := range values {
		if s, ok := value.(string); ok && jsonPointer.MatchString(s) {
			pointers = append(pointers, s)
		}
	}
	return pointers
}

var jsonPointer = regexp.MustCompile(`^(/[a-z0-9_]{1,40}){1,6}$`)

// SignatureReason says why an answer cannot be trusted.
type SignatureReason string

// The reasons of a [SignatureError].
const (
	// ReasonMissingHeader: a signature header is missing or malformed; the text names it. A proxy may
	// have removed it.
	ReasonMissingHeader SignatureReason = "a signature header is missing or malformed"
	// ReasonStaleClock: the answer is dated five minutes or more before or after this machine's clock.
	ReasonStaleClock SignatureReason = "its timestamp is not within five minutes of this machine's clock"
	// ReasonUnknownSerial: the key that it names is neither configured nor among the platform certificates, which are downloaded when
	// Config.APIv3Key is set.
	ReasonUnknownSerial SignatureReason = "it is signed with a key that is not known"
	// ReasonMismatch: the signature does not belong to the answer, or is not Base64.
	ReasonMismatch SignatureReason = "the signature does not match"
	// ReasonProbe: as ReasonMismatch, and the signature is one of those WeChat Pay spoils on purpose to
	// see who verifies. A retry is answered properly.
	ReasonProbe SignatureReason = "the signature does not match, it is a probe of WeChat Pay's"
	// ReasonOtherRequest: WeChat Pay signed it, and it is not the answer to this request: an identifier differs, what
	// the operation returns is missing, or an irreversible call does not show the final state. A cache or a gateway may
	// have mixed up its answers.
	ReasonOtherRequest SignatureReason = "it is not the answer to this request"
)

var reasons = map[apiv3.FlawKind]SignatureReason{
	apiv3.Incomplete: ReasonMissingHeader, apiv3.Stale: ReasonStaleClock, apiv3.Mismatch: ReasonMismatch, apiv3.Probe: ReasonProbe,
}

// SignatureError is an answer or a notification that cannot be trusted: its signature does not prove that
// it comes from WeChat Pay, or that it answers this request. Nothing in its body was used. After a write the error
// matches [ErrOutcomeUnknown] as well.
type SignatureError struct {
	Operation  Operation // empty for a notification
	Reason     SignatureReason
	Skew       time.Duration // with ReasonStaleClock: how far the answer is ahead of the local clock
	Serial     string        // the key the answer claims
	StatusCode int           // this and the next three are of an answer
	RequestID  string
	Host       string
	Attempts   int
	Body       []byte // as received, at most 64 KiB, unproven; may hold personal data

	text  string // what Error returns; empty in an error that was not made by a Client
	cause error  // with ReasonUnknownSerial: why the key is not known; with ReasonOtherRequest: what differs
}

// Error is one line: operation, status, reason and Request-ID.
func (e *SignatureError) Error() string {
	if e.text != "" {
		return e.text
	}
	return e.line(noSecrets, "")
}

// line puts the fields together, without the secrets. more is what else can be seen.
func (e *SignatureError) line(clean func(string) string, more string) string {
	text := fmt.Sprintf("%s: %d: %v: %s", e.Operation, e.StatusCode, ErrSignature, e.Reason)
	if e.Operation == "" {
		text = fmt.Sprintf("the notification cannot be trusted: %s", e.Reason)
	}
	switch e.Reason {
	case ReasonStaleClock:
		side := "after"
		if e.Skew < 0 {
			side = "before"
		}
		text += fmt.Sprintf(" (dated %v %s it)", e.Skew.Abs(), side)
	case ReasonUnknownSerial:
		text += fmt.Sprintf(" (Wechatpay-Serial %q)", redact.Cut(clean(e.Serial), 80))
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	if more != "" {
		text += "; " + more
	}
	return clean(text) + whichAttempt(clean, e.RequestID, e.Host, e.Attempts, "")
}

// Is reports whether target is ErrSignature: errors.Is calls it.
func (e *SignatureError) Is(target error) bool { return target == ErrSignature }

// Unwrap returns why the key of ReasonUnknownSerial is not known: the caller's context may have ended
// while it was looked for.
func (e *SignatureError) Unwrap() error { return e.cause }

// Format writes what Error returns, whatever the verb, so that no field is printed.
func (e SignatureError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText returns what Error returns; JSON uses it.
func (e SignatureError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// callError is a call that ended without a usable answer. Its text holds no URL, and none of the
// request's values.
type callError struct {
	text  string
	cause error
}

func (e *callError) Error() string                { return e.text }
func (e *callError) Unwrap() error                { return e.cause }
func (e *callError) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, e.text) }
func (e *callError) MarshalText() ([]byte, error) { return []byte(e.text), nil }

// The constructors. An error is one line of text from the moment it is made, and holds nothing that must not be printed.

// join puts two errors into one, and on one line.
func join(err error, between string, other error) error {
	return &callError{text: err.Error() + between + other.Error(), cause: errors.Join(err, other)}
}

// refusedError is the error of a request that was not sent because of what is in it.
func refusedError(op *operation, secrets redact.Secrets, err error) error {
	e := &callError{text: secrets.Line(fmt.Sprintf("%s: %v", op.name, err)), cause: err}
	if !errors.Is(err, errNotDecrypted) { // which a KMS out of reach can cause as well
		e.cause = errors.Join(ErrInvalidParameter, err)
	}
	return e
}

// notSentError is the error of a request that was not sent for another reason: a key, the throttle, the context.
func notSentError(ctx context.Context, op *operation, secrets redact.Secrets, err error) error {
	err = printable(ctx, err)
	return &callError{text: secrets.Line(fmt.Sprintf("%s: not sent: %v", op.name, err)), cause: err}
}

// noAnswerError is the error of an attempt that brought no complete answer. got is what came of it.
func (a *attempt) noAnswerError(ctx context.Context, got answer, nothingSent bool, err error) error {
	err = printable(ctx, err)
	what := "sent, but no complete answer came"
	switch {
	case nothingSent:
		what = "not sent"
	case a.class == read:
		what = "no complete answer came"
	}
	text := a.clean(fmt.Sprintf("%s: %s: %s", a.name, what, withoutQuoted(err)))
	advice := adviceOnTLS(err)
	if status, found := statusOf(err); nothingSent && found { // all that net/http tells of a proxy's refusal
		advice = fmt.Sprintf("perhaps the proxy on the way refused the tunnel with %d", status)
	}
	if advice != "" {
		text += "; " + advice
	}
	return &callError{text: text + whichAttempt(a.clean, got.header.Get("Request-Id"), a.host.name, a.n, ""), cause: quoteless(err)}
}

// quoteless returns a cause whose text may be printed as well: of what quotes what came, the first cause that does not. What a check of
// the TLS certificate quotes is the certificate's. Of a proxy the address is left out, for it may be a password.
func quoteless(err error) error {
	if _, ofCertificate := errors.AsType[*tls.CertificateVerificationError](err); ofCertificate {
		return err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		cause := op.Err
		for inner, ok := errors.AsType[*net.OpError](cause); ok; inner, ok = errors.AsType[*net.OpError](cause) {
			cause = inner.Err
		}
		if withoutAddress(cause) != cause.Error() {
			return nil
		}
		return &net.OpError{Op: op.Op, Net: op.Net, Err: cause}
	}
	for err != nil && withoutQuoted(err) != err.Error() {
		err = errors.Unwrap(err)
	}
	return err
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// withoutQuoted returns the text of a transport's error without what it quotes: of an answer its headers, which an echo makes those of
// the request, and of a proxy's URL what may be its password.
func withoutQuoted(err error) string {
	if protocol, ok := errors.AsType[textproto.ProtocolError](err); ok {
		words, _, _ := strings.Cut(string(protocol), ":")
		return words
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return "the proxy cannot be reached: " + withoutAddress(op.Err)
	}
	return quoted.ReplaceAllString(err.Error(), "…")
}

// withoutAddress returns the cause of an error of package net.
func withoutAddress(err error) string {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return name.Err
	}
	if address, ok := errors.AsType[*net.AddrError](err); ok {
		return address.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return quoted.ReplaceAllString(err.Error(), "…")
}

// statusOf returns the status whose text is the whole of an error.
func statusOf(err error) (status int, found bool) {
	for status := http.StatusCreated; status < 600; status++ { // 200 opens the tunnel
		if text := http.StatusText(status); text != "" && text == err.Error() {
			return status, true
		}
	}
	return 0, false
}

// printable drops the URL that net/http puts around an error, for it holds the openid. It keeps the end of the caller's context
// apart from the end of somebody else's.
func printable(ctx context.Context, err error) error {
	for urlError := (*url.Error)(nil); errors.As(err, &urlError); {
		err = urlError.Err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errors.New(err.Error())
	}
	return err
}

// apiError is the error of an answer that is no success. cause says why the body of one could not be decoded.
func (a *attempt) apiError(got answer, cause error) *APIError {
	var parsed apiv3.ErrorBody
	if cause == nil { // the body of a success is no error, whatever its members are called
		parsed = apiv3.ParseErrorBody(got.body)
	}
	e := &APIError{
		Operation: a.name, StatusCode: got.status, Code: a.code(parsed.Code), Message: shortMessage(parsed.Message),
		RequestID: got.header.Get("Request-Id"), Verified: got.trust == proven, Host: a.host.name, Attempts: a.n,
		Body: keptBody(got.body), cause: cause,
	}
	if parsed.Detail.Raw != nil {
		e.Detail = (*ErrorDetail)(&parsed.Detail)
	}
	note := map[trust]string{unsigned: noteUnsigned, unproven: "its signature could not be verified"}[got.trust]
	advice := ""
	switch {
	case got.status >= 300 && got.status < 400:
		advice = "redirects are not followed" + hostOfLocation(got.header.Get("Location"))
	case errors.Is(e, ErrInvalidParameter) && got.trust != proven:
		advice = a.placementAdvice(e.Detail)
	case errors.Is(e, ErrUnauthorized):
		e.Diagnosis = a.diagnose(got, parsed.Detail.Raw)
		if e.Diagnosis == "" {
			advice = adviceIdentity
		}
	}
	e.text = e.line(a.clean, advice, note)
	return e
}

// code returns an error code that may be printed. One that decides stays as it is, whatever the request holds.
func (a *attempt) code(code string) string {
	if _, known := sentinels[code]; known {
		return code
	}
	return redact.Cut(a.clean(code), 128)
}

// hostOfLocation names the host of a Location, and nothing else of it.
func hostOfLocation(location string) string {
	if u, err := url.Parse(location); err == nil && u.Host != "" {
		return ", this one leads to " + u.Scheme + "://" + u.Host
	}
	return ""
}

// diagnose says what was wrong with a signature that the service refused.
func (a *attempt) diagnose(got answer, detail []byte) string {
	if skew := time.Until(got.date()).Round(time.Second); !got.date().IsZero() && skew.Abs() >= apiv3.Window {
		return fmt.Sprintf("this machine's clock is off by %v from the service's", -skew)
	}
	different, told := apiv3.Diagnose(detail, a.message)
	switch {
	case !told:
		return ""
	case len(different) == 0:
		return "the service verified the very message that was signed, so PrivateKey and CertificateSerial do not belong together"
	}
	return "the service verified another message than was signed, different in " + strings.Join(different, ", ") + "; " + adviceProxy
}

// signatureError is the error of an answer that fails verification, or that is not the answer to the request.
func (a *attempt) signatureError(got answer, reason SignatureReason, skew time.Duration, more string, cause error) *SignatureError {
	e := &SignatureError{
		Operation: a.name, Reason: reason, Skew: skew, Serial: apiv3.ProofOf(got.header).Serial, StatusCode: got.status,
		RequestID: got.header.Get("Request-Id"), Host: a.host.name, Attempts: a.n, Body: keptBody(got.body), cause: cause,
	}
	e.text = e.line(a.clean, more)
	return e
}

// notificationSignatureError is the error of a notification that does not prove to come from WeChat Pay.
func notificationSignatureError(request *http.Request, body []byte, reason SignatureReason, skew time.Duration, more string, cause error) *SignatureError {
	e := &SignatureError{
		Reason: reason, Skew: skew, Serial: apiv3.ProofOf(request.Header).Serial, RequestID: request.Header.Get("Request-ID"),
		Body: keptBody(body), cause: cause,
	}
	e.text = e.line(noSecrets, more)
	return e
}

// keptBody is what an error keeps of a body.
func keptBody(body []byte) []byte { return bytes.Clone(body[:min(len(body), maxUnproven)]) }

// shortMessage is what an error keeps of a text.
func shortMessage(text string) string { return strings.ToValidUTF8(text[:min(len(text), 4<<10)], "") }

// whichAttempt says which attempt an error is about.
func whichAttempt(clean func(string) string, requestID, host string, attempts int, note string) string {
	var parts []string
	if requestID != "" {
		parts = append(parts, "Request-ID "+redact.Cut(clean(requestID), 80))
	}
	if note != "" {
		parts = append(parts, note)
	}
	if host != "" {
		parts = append(parts, "host "+host)
	}
	if attempts > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", attempts))
	}
	if len(parts) == 0 {
		return ""
	}
	return clean(" [" + strings.Join(parts, ", ") + "]")
}

// notificationError is a notification that cannot be handled for another reason than its signature.
type notificationError struct {
	status int // to answer with
	text   string
	cause  error
}

func (e *notificationError) Error() string { return e.text }
func (e *notificationError) Unwrap() error { return e.cause }

// badNotification is the error of a notification that is answered with this status. cause may be nil.
func badNotification(status int, text string, cause error) error {
	return &notificationError{status, text, cause}
}

var errThrottle = errors.New("Config.Throttle") // begins what it refused

// Why an attempt brought no answer that can be judged.
var (
	errTooLong        = errors.New("the answer is too long")
	errNoAnswer       = errors.New("the status is below 200, which is no answer")
	errPanicked       = errors.New("the transport panicked")
	errBadLocation    = errors.New("the answer is a redirect whose Location is no address")
	errClosedAsSilent = fmt.Errorf("%w: another call had it, and closed the silent connection that both were on", ErrAttemptTimeout)
)

// tooLong is errTooLong with the limit.
func tooLong(limit int) error { return fmt.Errorf("%w: more than %d bytes", errTooLong, limit) }

// What cannot be done with a notification.
var (
	errNoNotificationKey = errors.New("Config.APIv3Key is missing, which decrypts notifications; it is set on the platform where the keys come from")
	errNotJSON           = errors.New("membercard: a Notification does not go through JSON, which would lose its event: store Body, and read it with Client.OpenNotification")
)

// Why a result is not believed.
var (
	errNoObject        = errors.New("it is not an object")
	errIsError         = errors.New("it is an error")
	errOtherRequest    = errors.New("it is not the answer to this request")
	errOtherIdentifier = fmt.Errorf("%w: another identifier", errOtherRequest) // which says more than a form that cannot be decoded
)

// What is wrong with a sensitive value.
var (
	errRedacted = errors.New("the value was redacted when it was written as JSON; read the card again")
	errDamaged  = errors.New("the value is a damaged ciphertext: cut off by a column that is too short, or changed on its way, such as plus signs into spaces; read the card again")
)

var errSamePage = errors.New("the list does not go on: a page has brought nothing new")

// What is wrong with a key.
var (
	errNotDecrypted   = errors.New("the value does not decrypt with the merchant key; " + adviceCertificate)
	errNoKeyYet       = errors.New("the key is not there yet") // the answer passes as unproven: the keys would have come with a success
	errOtherPublicKey = errors.New("configure that key as Config.PublicKey and PublicKeyID")
	errUnknownSerial  = errors.New("it is not among the platform certificates of this merchant number")
	errNotInDownload  = errors.New("it is not among the certificates in the answer")
	errJustDownloaded = errors.New("it is not among the platform certificates, which were downloaded a moment ago")
	errNoCertificates = errors.New("there are no platform certificates for brands: somebody else than WeChat Pay answered, or the service of another edition")
	errNoAPIv3Key     = errors.New("configure that key; if it is a platform certificate, give Config.APIv3Key and it is downloaded")
	errDownloadBroken = errors.New("the platform certificates could not be downloaded: the transport, the signer, the logger or OnAttempt panicked or ended its goroutine")
	errDownloadHangs  = errors.New("the platform certificates could not be downloaded: the transport, the signer or the logger does not come back")
)

// downloadFailure describes a failed download within the error of a call. As text, since certificates that
// were not found must not look like a card that was not found; and without unproven text, which the call
// could not clean of values of its own.
func downloadFailure(err error) string {
	if untrusted, ok := errors.AsType[*SignatureError](err); ok {
		text := fmt.Sprintf("%d: %v: %s", untrusted.StatusCode, ErrSignature, untrusted.Reason)
		if untrusted.cause != nil {
			text += ": " + untrusted.cause.Error()
		}
		return text
	}
	if apiError, ok := errors.AsType[*APIError](err); ok && !apiError.Verified {
		text := fmt.Sprint(apiError.StatusCode)
		if _, known := sentinels[apiError.Code]; known {
			text += " " + apiError.Code
		}
		return text + ", and the answer could not be verified"
	}
	return err.Error()
}
