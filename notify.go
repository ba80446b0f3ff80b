package membercard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
	"github.com/wechatpay-cards/membercard/internal/wire"
)

const (
	maxNotification = 1 << 20
	// WeChat Pay waits 5 s for the answer to a notification. What is left is for the way.
	notificationTimeout = 4500 * time.Millisecond
)

// Notification is a message of WeChat Pay's to a template's NotifyURL (回调通知), verified and decrypted.
type Notification struct {
	ID         string    // the same when it comes again; never act twice on one
	EventType  string    // such as BRAND_MEMBER_CARD_SP.USER_CARD.CREATE; older templates have other prefixes
	Summary    string    // for people
	CreateTime Timestamp // of the notification
	Event      Event     // what happened

	// Which card the event is about, to route it; empty where the event does not say.
	BrandID, CardID, OpenID, UserCardCode string

	// Body is the notification as it came, still encrypted with the APIv3 key, fit to be stored: [Client.OpenNotification]
	// reads it again.
	Body []byte
}

// Format writes the id and the type and nothing else, whatever the verb.
func (n Notification) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.Notification{ID: %.64q, EventType: %.64q}", n.ID, n.EventType)
}

// LogValue returns the id and the type and nothing else.
func (n Notification) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(n)) }

// MarshalJSON is an error that says what to store instead.
func (n Notification) MarshalJSON() ([]byte, error) { return nil, errNotJSON }

// UnmarshalJSON is an error that says what to read instead.
func (n *Notification) UnmarshalJSON([]byte) error { return errNotJSON }

// Event is what a [Notification] is about: a *[UserCardCreated], *[UserCardDeleted],
// *[PointsExchangeRequested], *[PointsSyncRequested], *[SecurityEchoed] or *[UnknownEvent].
type Event interface{ event() }

// UserCardCreated says that a user opened a card (用户开通会员卡通知). Answer with [Client.ConfirmUserCard], also when the merchant cannot
// serve the user; until then the card is unactivated. Where the confirm was done before, a second one is [ErrNotFound]: read the
// card. With CodeModeMerchantAllocate it has no UserCardCode, the confirm gives it one. Document 4015283692.
//
// Personal data is in clear, in answers of the API it is encrypted: [Client.Decrypt] takes both.
type UserCardCreated struct{ UserCard }

// UserCardDeleted says that a user deleted a card (用户删除会员卡通知): it is invalid, and the user can never be imported again.
// Document 4015283692.
type UserCardDeleted struct{ UserCard }

// PointsExchangeRequested says that a user wants to exchange points for a coupon (用户积分兑券通知). Take the points off
// and answer with [Client.ConfirmPointsExchange], within three seconds, for the user is looking at the page. Act once for
// each RecordID. Document 4015878622.
type PointsExchangeRequested struct {
	RecordID                 string `json:"record_id"` // the exchange
	BrandID                  string `json:"brand_id"`
	CardID                   string `json:"card_id"`
	AppID                    string `json:"appid"` // the template's merchant AppID
	OpenID                   string `json:"openid"`
	UserCardCode             string `json:"user_card_code"`
	ExchangeCouponTemplateID string `json:"exchange_coupon_template_id"` // ConfirmPointsExchange wants it back
	DeductPoints             int64  `json:"deduct_points"`               // the points to take off
	ProductCouponID          string `json:"product_coupon_id"`           // the coupon that will be issued
	ProductCouponStockType   string `json:"product_coupon_stock_type"`
	StockID                  string `json:"stock_id"`
}

// PointsSyncRequested says that WeChat Pay asks for the points balance of a card (同步用户积分通知). Answer with
// [Client.SyncUserPoints] at once: the question is not repeated. Document 4016096820.
type PointsSyncRequested struct {
	BrandID      string `json:"brand_id"`
	CardID       string `json:"card_id"`
	OpenID       string `json:"openid"`
	UserCardCode string `json:"user_card_code"`
}

// UnknownEvent is an event that this version does not know, or a known one whose content has another form than its page says.
// Store what it holds and answer it with success, or it comes again.
type UnknownEvent struct {
	OriginalType string // the kind of object in Plaintext
	Plaintext    []byte // what was decrypted, JSON in all known events; may hold personal data
	DecodeError  error  // why the content of a known event could not be decoded; nil for an event that is not known
}

func (*UserCardCreated) event()         {}
func (*UserCardDeleted) event()         {}
func (*PointsExchangeRequested) event() {}
func (*PointsSyncRequested) event()     {}
func (*UnknownEvent) event()            {}

// Format writes the kind of the event and not its content. Package fmt cannot call it on an unexported field.
func (e UnknownEvent) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.UnknownEvent{OriginalType: %.64q}", e.OriginalType)
}

// LogValue returns the kind of the event and not its content.
func (e UnknownEvent) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// MarshalText returns the kind of the event and not its content; JSON uses it.
func (e UnknownEvent) MarshalText() ([]byte, error) { return fmt.Append(nil, e), nil }

// newEvent returns an empty event for the end of an event type. The beginnings, MEMBERCARDSP,
// BRAND_MEMBER_CARD_SP and BRAND_MEMBER_CARD, changed over time.
func newEvent(eventType string) Event {
	switch {
	case strings.HasSuffix(eventType, ".USER_CARD.CREATE"):
		return new(UserCardCreated)
	case strings.HasSuffix(eventType, ".USER_CARD.DELETE"):
		return new(UserCardDeleted)
	case strings.HasSuffix(eventType, ".POINT_EXCHANGE_COUPON"):
		return new(PointsExchangeRequested)
	case strings.HasSuffix(eventType, ".SYNC_USER_POINT"):
		return new(PointsSyncRequested)
	case eventType == "SECURITY_ECHO.SUCCESS":
		return new(SecurityEchoed)
	}
	return nil
}

// ParseNotification reads the body of a request that WeChat Pay made to a template's NotifyURL, verifies its
// signature, decrypts it with [Config].APIv3Key and decodes it. [Client.NotificationHandler] does so and
// answers. The body is read once, up to 1 MiB; no middleware may read or change it before. How long it may take
// to come is up to the server's ReadTimeout, and how long to look for a certificate to the request's context.
//
// The error is a [*SignatureError] when the request does not prove to come from WeChat Pay. It is one, too, for the probes that
// WeChat Pay sends to see who verifies. Answer any error with a status of 400 or more: what is genuine comes again. A body that
// came whole stays readable, so that the client of another merchant number, or one with another APIv3 key, can try it. A
// notification that was answered within five minutes can be repeated by anybody who saw it: key on Notification.ID.
func (c *Client) ParseNotification(request *http.Request) (*Notification, error) {
	if request == nil || request.Body == nil {
		return nil, errors.New("membercard: ParseNotification: the body is missing")
	}
	n, err := c.receive(request.Context(), request)
	if err != nil {
		return nil, fmt.Errorf("membercard: ParseNotification: %w", err)
	}
	return n, nil
}

// receive verifies, decrypts and decodes a notification. What its headers already refuse is not read.
func (c *Client) receive(ctx context.Context, request *http.Request) (*Notification, error) {
	if c.apiv3Key == nil {
		return nil, badNotification(http.StatusInternalServerError, errNoNotificationKey.Error(), nil)
	}
	proof := apiv3.ProofOf(request.Header)
	flaw := proof.Flaw(time.Now())
	if flaw != nil {
		return nil, notificationSignatureError(request, nil, reasons[flaw.Kind], flaw.Skew, explainNotification(flaw, request, nil), nil)
	}
	key, err := c.keys.verificationKey(ctx, proof.Serial, fromNotification)
	if err != nil {
		return nil, notificationSignatureError(request, nil, ReasonUnknownSerial, 0, "", err)
	}
	body, err := readNotification(request)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body)) // it may be for another merchant number, or encrypted with another APIv3 key
	if err := ctx.Err(); err != nil {
		return nil, badNotification(http.StatusBadRequest, "the body took too long to come", err)
	}
	if flaw := proof.Verify(key, body); flaw != nil {
		return nil, notificationSignatureError(request, body, reasons[flaw.Kind], 0, explainNotification(flaw, request, body), nil)
	}
	return decodeNotification(body, c.apiv3Key())
}

// OpenNotification reads a [Notification].Body that was stored: it was verified when it came, and is still encrypted with the
// APIv3 key. An error says that it was damaged since, or that the key is another one. The encryption protects the content and not
// the id and the event type beside it: keep it where nobody else writes.
func (c *Client) OpenNotification(body []byte) (*Notification, error) {
	if c.apiv3Key == nil {
		return nil, fmt.Errorf("membercard: OpenNotification: %w", errNoNotificationKey)
	}
	n, err := decryptNotification(body, c.apiv3Key())
	if err = withAdvice(err); err != nil {
		return nil, fmt.Errorf("membercard: OpenNotification: %w", err)
	}
	return n, nil
}

// readNotification reads the body, bounded.
func readNotification(request *http.Request) ([]byte, error) {
	body, err := wire.ReadAll(request.Body, request.ContentLength, maxNotification)
	var text string
	switch {
	case errors.Is(err, http.ErrBodyReadAfterClose):
		text = "the body was read and closed before, by a middleware perhaps"
	case err != nil:
		text = "the body broke off: " + err.Error()
	case len(body) > maxNotification:
		text = fmt.Sprintf("the body is longer than %d bytes", maxNotification)
	case len(body) == 0:
		text = "the body is empty; " + adviceMiddleware
	default:
		return body, nil
	}
	return nil, badNotification(http.StatusBadRequest, text, err)
}

// explainNotification says what usually is behind a notification that does not verify.
func explainNotification(flaw *apiv3.Flaw, request *http.Request, body []byte) string {
	declared := request.Header.Get("Wechatpay-Signature-Type")
	switch {
	case flaw.Kind == apiv3.Incomplete:
		return flaw.Header + "; " + adviceHeaders
	case flaw.Kind == apiv3.Stale && flaw.Skew < 0:
		return adviceLate
	case flaw.Kind == apiv3.Stale:
		return adviceClock
	case flaw.Kind == apiv3.Probe:
		return ""
	case declared != "" && declared != apiv3.Scheme && declared != apiv3.BrandScheme:
		return fmt.Sprintf("it is signed with the scheme %.40q; known are %s and %s", declared, apiv3.Scheme, apiv3.BrandScheme)
	case request.ContentLength >= 0 && request.ContentLength != int64(len(body)):
		return fmt.Sprintf("the body has %d bytes where Content-Length says %d: a middleware read or changed it", len(body), request.ContentLength)
	}
	return adviceBody
}

// decodeNotification decrypts and decodes the body of a proven notification.
func decodeNotification(body []byte, apiv3Key string) (*Notification, error) {
	n, err := decryptNotification(body, apiv3Key)
	if err = withAdvice(err); err != nil {
		return nil, badNotification(http.StatusInternalServerError, "the notification is signed by WeChat Pay, but "+err.Error(), err)
	}
	return n, nil
}

func decryptNotification(body []byte, apiv3Key string) (*Notification, error) {
	var envelope struct {
		ID         string          `json:"id"`
		CreateTime Timestamp       `json:"create_time,omitzero"` // an odd form of what is optional withholds nothing
		EventType  string          `json:"event_type,omitempty"`
		Summary    string          `json:"summary,omitempty"`
		Resource   *apiv3.Resource `json:"resource"`
	}
	err := unmarshalExactly(body, &envelope)
	switch {
	case err == nil || !json.Valid(body):
	case bytes.TrimSpace(body)[0] != '{':
		err = errNoObject
	default:
		_, err = decodeMembers(exactly(body, &envelope), reflect.ValueOf(&envelope), "")
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be decoded: %w", withoutValue(err))
	}
	if envelope.Resource == nil {
		return nil, errors.New("its resource is missing")
	}
	plaintext, err := envelope.Resource.Decrypt(apiv3Key)
	if err != nil {
		return nil, fmt.Errorf("its resource cannot be decrypted: %w", err)
	}
	if envelope.ID == "" { // by which it is dealt with once
		return nil, errors.New("its id is missing")
	}
	n := &Notification{
		ID: envelope.ID, EventType: envelope.EventType, Summary: envelope.Summary, CreateTime: envelope.CreateTime,
		Event: decodeEvent(envelope.EventType, envelope.Resource.OriginalType, plaintext), Body: bytes.Clone(body),
	}
	var card struct {
		BrandID      string `json:"brand_id"`
		CardID       string `json:"card_id"`
		OpenID       string `json:"openid"`
		UserCardCode string `json:"user_card_code"`
	}
	_ = unmarshalExactly(plaintext, &card) // one of another type does not hide the others, and an unknown event may be no object
	n.BrandID, n.CardID, n.OpenID, n.UserCardCode = card.BrandID, card.CardID, card.OpenID, card.UserCardCode
	return n, nil
}

// decodeEvent decodes the content of a notification.
func decodeEvent(eventType, originalType string, plaintext []byte) Event {
	unknown := &UnknownEvent{OriginalType: originalType, Plaintext: plaintext}
	event := newEvent(eventType)
	if event == nil {
		return unknown
	}
	err := unmarshalExactly(plaintext, event)
	if err == nil && bytes.TrimSpace(plaintext)[0] != '{' { // null is all that remains
		err = errNoObject
	}
	if err != nil {
		unknown.DecodeError = withoutValue(err)
		return unknown
	}
	return event
}

// withoutValue leaves the value out of a decoder's error.
func withoutValue(err error) error {
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := strings.TrimPrefix(mismatch.Field, "UserCard.") // Go's name of an embedded type
		return fmt.Errorf("the value of %s is not a %v", field, mismatch.Type)
	}
	return err
}

// NotificationHandler returns a handler for a template's NotifyURL. It parses each notification, calls
// handle, and answers as WeChat Pay expects: 204 when handle returns nil, 500 when it returns an error or
// panics. It answers 401 to what is not proven to be WeChat Pay's, 400 to what cannot be read, and 405 to what is no
// POST. WeChat Pay sends the notification again after any status but 200 and 204, and after 5 s without an answer: every 60 s, at
// most 11 times; a points question comes once.
//
// The context of handle ends 4.5 s after the request came. It does not end when the other side hangs up.
// handle must obey it, since nothing answers before it returns; work that takes longer is to be stored and done
// afterwards, with a context of its own. The same notification may come several times, also at the same time:
// act once for each Notification.ID, and return nil for one that was dealt with. A body that does not come in
// 4.5 s is given up, unless the server has a ReadTimeout of its own, which then holds. Set one where a middleware
// hides the connection, as http.TimeoutHandler does: the handler cannot set a limit there.
//
// What goes wrong is logged to [Config].Logger, so set one: without it nobody learns why a notification was
// refused, or that handle failed. The records hold no value of a notification but its id and type. Of an error of
// handle they have the type, and the text of an error of this package that it holds; of a panic the stack. Other texts are the
// program's own, and may quote anything: log them in handle.
func (c *Client) NotificationHandler(handle func(context.Context, *Notification) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		start := time.Now()
		// Who hangs up must not end the work on a notification.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), notificationTimeout)
		defer cancel()
		controller := http.NewResponseController(w)
		n, err := c.receiveInTime(ctx, controller, request, start)
		h := handling{status: statusFor(err)}
		defer func() { // also when handle ends its goroutine
			answerNotification(w, h.status)
			h.log(ctx, c.logger, time.Since(start))
			if h.ended {
				_ = controller.Flush() // the server does not
			}
		}()
		if err != nil {
			h.problem = noSecrets(err.Error())
			return
		}
		h.run(ctx, n, handle)
	})
}

// receiveInTime reads and decrypts a notification. A server without a limit of its own gets one for the time in which the
// body is read.
func (c *Client) receiveInTime(ctx context.Context, controller *http.ResponseController, request *http.Request, start time.Time) (*Notification, error) {
	server, ok := request.Context().Value(http.ServerContextKey).(*http.Server)
	limited := !ok || server.ReadTimeout > 0
	if !limited {
		_ = controller.SetReadDeadline(start.Add(notificationTimeout))
	}
	if request.Method != http.MethodPost {
		return nil, badNotification(http.StatusMethodNotAllowed, "a notification is a POST", nil)
	}
	if request.Body == nil {
		request.Body = http.NoBody
	}
	n, err := c.receive(ctx, request)
	if err == nil && !limited { // or it would end the work on this request, and the connection
		_ = controller.SetReadDeadline(time.Time{})
	}
	return n, err
}

// statusFor returns the status to answer with to what cannot be handled.
func statusFor(err error) int {
	if e, ok := errors.AsType[*notificationError](err); ok {
		return e.status
	}
	return http.StatusUnauthorized
}

// answerNotification writes what WeChat Pay is told. The status decides.
func answerNotification(w http.ResponseWriter, status int) {
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"code":"FAIL","message":"`+http.StatusText(status)+`"}`)
}

// handling is what became of a notification in the handler.
type handling struct {
	status        int
	id, eventType string
	problem       string   // "" when there is none
	stack         []string // of a panic
	ended         bool     // the handler has ended its goroutine
}

// run has a notification handled. No panic of handle gets past it.
func (h *handling) run(ctx context.Context, n *Notification, handle func(context.Context, *Notification) error) {
	h.id, h.eventType = noSecrets(n.ID), noSecrets(n.EventType) // it is handle's from now on
	h.status, h.problem, h.ended = http.StatusInternalServerError, "the handler ended its goroutine", true
	defer func() {
		if p := recover(); p != nil {
			h.problem, h.stack, h.ended = fmt.Sprintf("the handler panicked with a %T", p), panicStack(), false
		}
	}()
	err := handle(ctx, n)
	h.ended = false
	switch {
	case err != nil:
		h.problem = fmt.Sprintf("the handler returned a %T", err) + textOf(err)
	case ctx.Err() != nil:
		h.status, h.problem = http.StatusNoContent, "it was handled, but later than WeChat Pay waits, which sends it again"
	default:
		h.status, h.problem = http.StatusNoContent, ""
	}
}

// textOf returns the text of an error of this package within another, whose own text may quote anything; "" where there is none.
func textOf(err error) string {
	if e, ok := errors.AsType[*APIError](err); ok {
		return ": " + e.Error()
	}
	if e, ok := errors.AsType[*SignatureError](err); ok {
		return ": " + e.Error()
	}
	if e, ok := errors.AsType[*callError](err); ok {
		return ": " + e.Error()
	}
	return ""
}

// panicStack says where a panic happened, without the arguments that runtime/debug.Stack shows.
func panicStack() []string {
	var lines []string
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s %s:%d", frame.Function, frame.File, frame.Line))
		if !more {
			return lines
		}
	}
}

// log writes what may be known of a notification.
func (h *handling) log(ctx context.Context, logger *slog.Logger, took time.Duration) {
	level := slog.LevelInfo
	attributes := []slog.Attr{slog.Int("status", h.status), slog.Duration("duration", took)}
	if h.id != "" {
		attributes = append(attributes, slog.String("id", h.id), slog.String("event_type", h.eventType))
	}
	if h.problem != "" {
		level = slog.LevelError
		if h.status < 500 { // anybody can cause one
			level = slog.LevelWarn
		}
		attributes = append(attributes, slog.String("error", h.problem))
	}
	if h.stack != nil {
		attributes = append(attributes, slog.Any("stack", h.stack))
	}
	logger.LogAttrs(ctx, level, "wechatpay notification", attributes...)
}
