package membercard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What to do about an error of a call, for errors.Is. Those up to ErrSystem describe what the service
// answered; an [*APIError] has the details. Several can match: look for ErrOutcomeUnknown first.
var (
	// ErrNotFound: what the request names does not exist (codes NOT_FOUND, RESOURCE_NOT_EXISTS). For a
	// user card check brand, template, code and openid. A 404 without such a code, from a proxy for
	// instance, does not match.
	ErrNotFound = errors.New("not found")
	// ErrRateLimited: too many requests (status 429, or a code of that family). Unless ErrOutcomeUnknown
	// matches as well, the request was not carried out; slow down and repeat.
	ErrRateLimited = errors.New("rate limited")
	// ErrInvalidParameter: a parameter is missing or wrong: code PARAM_ERROR, or refused by this client
	// before anything was sent, and then there is no APIError. The text says which; do not repeat.
	ErrInvalidParameter = errors.New("invalid parameter")
	// ErrInvalidRequest: the request breaks the rules of the API or of the business, such as a template
	// of another brand (code INVALID_REQUEST). Do not repeat.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrUnauthorized: the service did not accept the request's signature (code SIGN_ERROR). Check the
	// private key, the certificate serial and the clock.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the product permission is missing (code NO_AUTH).
	ErrForbidden = errors.New("forbidden")
	// ErrSystem: the service failed (status 5xx, or code SYSTEM_ERROR or BANK_ERROR).
	ErrSystem = errors.New("system error")

	// ErrSignature matches every SignatureError.
	ErrSignature = errors.New("the answer cannot be trusted")
	// ErrAttemptTimeout: no complete answer within Config.AttemptTimeout. When the caller's own context
	// ended instead, the error matches context.DeadlineExceeded or context.Canceled.
	ErrAttemptTimeout = errors.New("no answer within Config.AttemptTimeout")
	// ErrOutcomeUnknown: a write was sent, and no answer came that we understand and that WeChat Pay
	// signed. It may have been carried out. The error tells why, too. Each method says what to do: read
	// what it changes and then decide, or send the same request again. A 4xx counts as a refusal even when
	// it is not signed; APIError.Verified says which.
	ErrOutcomeUnknown = errors.New("the outcome is unknown: it may have been carried out; look before repeating it")
)

// sentinels holds the codes of the documentation. The same fault is spelled in several ways.
var sentinels = map[string]error{
	"NOT_FOUND":              ErrNotFound,
	"RESOURCE_NOT_EXISTS":    ErrNotFound,
	"PARAM_ERROR":            ErrInvalidParameter,
	"INVALID_REQUEST":        ErrInvalidRequest,
	"SIGN_ERROR":             ErrUnauthorized,
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
	"FREQENCY_LIMIT":         ErrRateLimited, // spelled so by the service
}

// APIError is an answer that is no success: an error of the service's, an answer of something between
// us and the service, or a success whose body we do not understand.
type APIError struct {
	Operation  Operation
	StatusCode int          // HTTP status
	Code       string       // the service's error code (错误码), such as PARAM_ERROR; decide on this
	Message    string       // for people; may quote the request
	Detail     *ErrorDetail // nil when there is none
	RequestID  string       // quote it to WeChat Pay's support; empty when the answer had none
	Verified   bool         // whether the answer was signed by WeChat Pay
	Host       string       // who answered
	Attempts   int          // how often the request was made
	Diagnosis  string       // on SIGN_ERROR: what was wrong with the signature, as far as can be told
	Body       []byte       // as received; may hold personal data

	decodeErr error
	private   *secrets
	hint      string
	unproven  bool // not Verified, but signed
}

// secrets are the request's values that must not be printed. An error holds them behind two pointers, as fmt
// follows one when it may call no method of an error in an unexported field.
type secrets struct{ values *[]string }

func newSecrets(values []string) *secrets { return &secrets{&values} }

func (s *secrets) list() []string {
	if s == nil {
		return nil
	}
	return *s.values
}

// ErrorDetail says which parameter was wrong. Not every answer has all of it.
type ErrorDetail struct {
	Field    string          // a JSON pointer into the body, or the name of a parameter
	Location string          // body, query, path, authorization and others
	Issue    string          // what is wrong; may quote the request
	Value    json.RawMessage // the offending value, of any type
	Raw      json.RawMessage // the whole detail
}

// Error is one line: operation, status, code, message, the place of the fault and the Request-ID. The
// request's openid and card code are cut out.
func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", e.Operation, e.StatusCode)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	} else {
		b.WriteString(" " + http.StatusText(e.StatusCode))
	}
	switch {
	case e.Message != "":
		b.WriteString(": " + e.Message)
	case e.decodeErr != nil:
		b.WriteString(": the body cannot be decoded: " + e.decodeErr.Error())
	case len(e.Body) == 0:
		b.WriteString(": the body is empty")
	case e.Code == "":
		b.WriteString(": the body is not an APIv3 error")
	}
	if place := e.Detail.place(); place != "" {
		b.WriteString(" (" + place + ")")
	}
	for _, advice := range []string{e.hint, e.Diagnosis} {
		if advice != "" {
			b.WriteString("; " + advice)
		}
	}
	var notes []string
	switch {
	case e.unproven:
		notes = append(notes, "its signature could not be verified")
	case !e.Verified:
		notes = append(notes, "not signed by WeChat Pay")
	}
	return oneLine(b.String(), e.private.list()) + suffix(e.private.list(), e.Host, e.Attempts, e.RequestID, notes...)
}

// Is reports whether the error is one of this package's, such as ErrNotFound: errors.Is calls it. The code
// decides; of the status alone only 429 and 5xx say enough.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrRateLimited:
		return e.StatusCode == http.StatusTooManyRequests || sentinels[e.Code] == ErrRateLimited
	case ErrSystem:
		return e.StatusCode >= 500 || sentinels[e.Code] == ErrSystem
	}
	sentinel, known := sentinels[e.Code]
	return known && sentinel == target
}

// Unwrap returns why the body of a success could not be decoded, if that is what happened.
func (e *APIError) Unwrap() error { return e.decodeErr }

// Format writes what Error returns, whatever the verb, so that no field is printed.
func (e *APIError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText returns what Error returns; JSON uses it.
func (e *APIError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// place names the faulty parameter without its value.
func (d *ErrorDetail) place() string {
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
	// ReasonMissingHeader: a signature header is missing, or the timestamp is not a number. A proxy may
	// have removed it.
	ReasonMissingHeader SignatureReason = "a signature header is missing or malformed"
	// ReasonStaleClock: the answer is dated five minutes or more before or after this machine's clock.
	ReasonStaleClock SignatureReason = "its timestamp is not within five minutes of this machine's clock"
	// ReasonUnknownSerial: it is signed with a key that was not configured, nor is among the platform
	// certificates, where there is Config.APIv3Key to download them with.
	ReasonUnknownSerial SignatureReason = "it is signed with a key that is not known"
	// ReasonMismatch: the signature does not belong to the answer, or is not Base64.
	ReasonMismatch SignatureReason = "the signature does not match"
	// ReasonProbe: as ReasonMismatch, and the signature is one of those WeChat Pay spoils on purpose to
	// see who verifies. A repeat is answered properly.
	ReasonProbe SignatureReason = "the signature does not match, it is a probe of WeChat Pay's"
)

// SignatureError is an answer or a notification that cannot be trusted: its signature does not prove that
// it comes from WeChat Pay. Nothing in its body was used. After a write the error matches
// [ErrOutcomeUnknown] as well.
type SignatureError struct {
	Operation  Operation // empty for a notification
	Reason     SignatureReason
	Skew       time.Duration // with ReasonStaleClock: how far the answer is ahead of the local clock
	Serial     string        // the key the answer claims
	StatusCode int           // this and the next three are of an answer
	RequestID  string
	Host       string
	Attempts   int
	Body       []byte // as received, unproven; may hold personal data

	private *secrets
	cause   error  // with ReasonUnknownSerial: why the key is not known
	hint    string // what may have happened to a notification
}

// Error is one line: operation, status, reason and Request-ID.
func (e *SignatureError) Error() string {
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
		text += fmt.Sprintf(" (dated %v %s it; check the clock)", e.Skew.Abs(), side)
	case ReasonUnknownSerial:
		text += fmt.Sprintf(" (Wechatpay-Serial %q)", cut(oneLine(e.Serial, e.private.list()), 80))
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	if e.hint != "" {
		text += "; " + e.hint
	}
	return oneLine(text, e.private.list()) + suffix(e.private.list(), e.Host, e.Attempts, e.RequestID)
}

// Is reports whether target is ErrSignature: errors.Is calls it.
func (e *SignatureError) Is(target error) bool { return target == ErrSignature }

// Unwrap returns why the key of ReasonUnknownSerial is not known: the caller's context may have ended
// while it was looked for.
func (e *SignatureError) Unwrap() error { return e.cause }

// Format writes what Error returns, whatever the verb, so that no field is printed.
func (e *SignatureError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText returns what Error returns; JSON uses it.
func (e *SignatureError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

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

// join puts two errors into one, and on one line.
func join(err error, between string, other error) error {
	return &callError{text: err.Error() + between + other.Error(), cause: errors.Join(err, other)}
}

// refuse is the error of a request that was not sent because of what is in it.
func refuse(p *preparedCall, err error) error {
	refused := &callError{text: oneLine(fmt.Sprintf("%s: %v", p.name, err), p.private), cause: err}
	if !errors.Is(err, errNotOpened) { // which a KMS out of reach can cause as well
		refused.cause = errors.Join(ErrInvalidParameter, err)
	}
	return refused
}

// suffix says which attempt an error is about.
func suffix(private []string, host string, attempts int, requestID string, notes ...string) string {
	parts := notes
	if requestID != "" {
		parts = append([]string{"Request-ID " + cut(oneLine(requestID, private), 80)}, parts...)
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
	return oneLine(" ["+strings.Join(parts, ", ")+"]", private)
}

// oneLine makes foreign text fit to print: one line, of bounded length, without the private values of six
// characters or more: shorter ones would cut up ordinary words.
func oneLine(s string, private []string) string { return redact(s, private, 6) }

// redact is oneLine for private values of at least so many characters.
func redact(s string, private []string, least int) string {
	hidden := make([]bool, len(s)) // so that values that overlap are cut out whole, and nothing is sought in what was put in
	for _, value := range private {
		if value == "" || utf8.RuneCountInString(value) < least {
			continue
		}
		quoted, _ := json.Marshal(value)
		for _, form := range []string{
			value, escape(value), url.QueryEscape(value), url.PathEscape(value),
			lowerEscapes(escape(value)), lowerEscapes(url.QueryEscape(value)), lowerEscapes(url.PathEscape(value)),
			unquoted(string(quoted)), unquoted(strconv.Quote(value)), unquoted(strconv.QuoteToASCII(value)),
		} {
			hide(hidden, s, form)
		}
	}
	var b strings.Builder
	for i := range len(s) {
		switch {
		case !hidden[i]:
			b.WriteByte(s[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString("[…]")
		}
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) { // line breaks, and what changes the direction of text
			return ' '
		}
		return r
	}, b.String())
	return cut(s, 600)
}

// hide marks where a form of a value stands in a text.
func hide(hidden []bool, s, form string) {
	end := 0 // of the last one
	for from := 0; ; from++ {
		i := strings.Index(s[from:], form)
		if i < 0 {
			return
		}
		from += i
		for j := max(from, end); j < from+len(form); j++ {
			hidden[j] = true
		}
		end = from + len(form)
	}
}

var escapes = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerEscapes(s string) string { return escapes.ReplaceAllStringFunc(s, strings.ToLower) }

func unquoted(s string) string { return s[1 : len(s)-1] }

func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
