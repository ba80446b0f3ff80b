package membercard

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
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
}

// Event is what a [Notification] is about: a *[UserCardCreated], *[UserCardDeleted],
// *[PointsExchangeRequested], *[PointsSyncRequested] or *[UnknownEvent].
type Event interface{ event() }

// UserCardCreated says that a user opened a card (用户开通会员卡通知). Answer with [Client.ConfirmUserCard], also when
// the merchant cannot serve the user; until then the card is unactivated. With CodeModeMerchantAllocate it
// has no UserCardCode, the confirm gives it one. Document 4015283692.
//
// The personal data may be sealed or in clear, the sources disagree: [Client.Decrypt] takes both.
type UserCardCreated struct{ UserCard }

// UserCardDeleted says that a user deleted a card (用户删除会员卡通知). Document 4015283692.
type UserCardDeleted struct{ UserCard }

// PointsExchangeRequested says that a user wants to swap points for a coupon (用户积分兑券通知). Take the points off
// and answer with [Client.ConfirmPointsExchange]. Act once for each RecordID. Document 4015878622.
type PointsExchangeRequested struct {
	RecordID                 string `json:"record_id"` // the swap
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
// [Client.SyncUserPoints]. Document 4016096820.
type PointsSyncRequested struct {
	BrandID      string `json:"brand_id"`
	CardID       string `json:"card_id"`
	OpenID       string `json:"openid"`
	UserCardCode string `json:"user_card_code"`
}

// UnknownEvent is an event that this version does not know. Answer it with success, or it comes again.
type UnknownEvent struct {
	OriginalType string // the kind of object in Plaintext
	Plaintext    []byte // what was decrypted, JSON in all known events; may hold personal data
}

func (*UserCardCreated) event()         {}
func (*UserCardDeleted) event()         {}
func (*PointsExchangeRequested) event() {}
func (*PointsSyncRequested) event()     {}
func (*UnknownEvent) event()            {}

// Format writes the kind of the event and not its content, whatever the verb.
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
	}
	return nil
}

// What went wrong with a notification that is no matter of its signature.
var (
	errNoPost  = errors.New("a notification is a POST")
	errBody    = errors.New("the body")
	errContent = errors.New("the notification is signed by WeChat Pay, but")
)

// ParseNotification reads the body of a request that WeChat Pay made to a template's NotifyURL, verifies its
// signature, decrypts it with [Config].APIv3Key and decodes it. [Client.NotificationHandler] does so and
// answers. The body is read once, up to 1 MiB; no middleware may read or change it before. How long it may take
// to come is up to the server's ReadTimeout, and how long to look for a certificate to the request's context.
//
// The error is a [*SignatureError] when the request does not prove to come from WeChat Pay, and so for the
// probes that WeChat Pay sends to see who verifies. On any error answer with a status of 400 or more: what
// is genuine comes again. A notification that was answered within five minutes can be repeated by anybody
// who saw it: key on Notification.ID.
func (c *Client) ParseNotification(request *http.Request) (*Notification, error) {
	n, err := c.parseNotification(request)
	if err != nil {
		return nil, fmt.Errorf("membercard: ParseNotification: %w", err)
	}
	return n, nil
}

func (c *Client) parseNotification(request *http.Request) (*Notification, error) {
	body, err := readNotification(request)
	if err != nil {
		return nil, err
	}
	return c.openNotification(request.Context(), request, body)
}

// openNotification verifies, decrypts and decodes a notification whose body was read.
func (c *Client) openNotification(ctx context.Context, request *http.Request, body []byte) (*Notification, error) {
	if c.keys.apiv3Key == "" {
		return nil, errors.New("Config.APIv3Key is missing, which opens notifications; set it on the merchant platform first")
	}
	keyOf := func(serial string) (*rsa.PublicKey, error) { return c.keys.verify(ctx, serial, fromNotification) }
	if untrusted := verifySignature(request.Header, body, keyOf); untrusted != nil {
		untrusted.RequestID, untrusted.Body = request.Header.Get("Request-ID"), body
		untrusted.hint = notificationHint(request, untrusted.Reason, len(body))
		return nil, untrusted
	}
	return decodeNotification(body, c.keys.apiv3Key)
}

// readNotification reads the body, bounded.
func readNotification(request *http.Request) ([]byte, error) {
	if request == nil || request.Body == nil {
		return nil, fmt.Errorf("%w is missing", errBody)
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, maxNotification+1))
	switch {
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return nil, fmt.Errorf("%w was read and closed before, by a middleware perhaps", errBody)
	case err != nil:
		return nil, fmt.Errorf("%w broke off: %w", errBody, err)
	case len(body) > maxNotification:
		return nil, fmt.Errorf("%w is longer than %d bytes", errBody, maxNotification)
	case len(body) == 0:
		return nil, fmt.Errorf("%w is empty; if a middleware read it before, it must put it back", errBody)
	}
	return body, nil
}

// notificationHint says what usually is behind a notification that does not verify.
func notificationHint(request *http.Request, reason SignatureReason, length int) string {
	switch declared := request.Header.Get("Wechatpay-Signature-Type"); {
	case reason == ReasonMissingHeader:
		return "does a proxy remove the Wechatpay- headers, or did somebody else than WeChat Pay call?"
	case reason == ReasonMismatch && declared != "" && declared != apiv3.Scheme:
		return fmt.Sprintf("it is signed with the scheme %.40q; known is %s", declared, apiv3.Scheme)
	case reason == ReasonMismatch && request.ContentLength >= 0 && request.ContentLength != int64(length):
		return fmt.Sprintf("the body has %d bytes where Content-Length says %d: a middleware read or changed it", length, request.ContentLength)
	case reason == ReasonMismatch:
		return "did a middleware or proxy change the body, or is it not from WeChat Pay?"
	}
	return ""
}

// decodeNotification decrypts and decodes the body of a proven notification.
func decodeNotification(body []byte, apiv3Key string) (*Notification, error) {
	var envelope struct {
		ID         string          `json:"id"`
		CreateTime Timestamp       `json:"create_time"`
		EventType  string          `json:"event_type"`
		Summary    string          `json:"summary"`
		Resource   *apiv3.Resource `json:"resource"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, fmt.Errorf("%w it cannot be decoded: %w", errContent, withoutValue(err))
	}
	if envelope.Resource == nil {
		return nil, fmt.Errorf("%w its resource is missing", errContent)
	}
	plaintext, err := envelope.Resource.Open(apiv3Key)
	if err != nil {
		return nil, fmt.Errorf("%w its resource cannot be opened: %w", errContent, err)
	}
	if envelope.ID == "" { // by which it is dealt with once
		return nil, fmt.Errorf("%w its id is missing", errContent)
	}
	n := &Notification{
		ID: envelope.ID, EventType: envelope.EventType, Summary: envelope.Summary, CreateTime: envelope.CreateTime,
		Event: newEvent(envelope.EventType),
	}
	if n.Event == nil {
		n.Event = &UnknownEvent{OriginalType: envelope.Resource.OriginalType, Plaintext: plaintext}
		return n, nil
	}
	err = json.Unmarshal(plaintext, n.Event)
	if err == nil && bytes.TrimSpace(plaintext)[0] != '{' { // null is all that remains
		err = errNoObject
	}
	if err != nil {
		return nil, fmt.Errorf("%w its content cannot be decoded: %w", errContent, withoutValue(err))
	}
	return n, nil
}

// withoutValue leaves the value out of a decoder's error.
func withoutValue(err error) error {
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("the value of %s is not a %v", mismatch.Field, mismatch.Type)
	}
	return err
}

// NotificationHandler returns a handler for a template's NotifyURL. It parses each notification, calls
// handle, and answers as WeChat Pay expects: 204 when handle returns nil, 500 when it returns an error or
// panics, 401 to what does not prove to come from WeChat Pay, 400 to what cannot be read, 405 to what is no
// POST. After any status but 200 and 204, and after 5 s without an answer, WeChat Pay sends the notification
// again, first after 15 s, some 15 times within a day.
//
// The context given to handle ends 4.5 s after the request came, and not before, even if the other side hangs up.
// handle must obey it, since nothing answers before it returns; work that takes longer is to be stored and done
// afterwards, with a context of its own. The same notification may come several times, also at the same time:
// act once for each Notification.ID, and return nil for one that was dealt with. A body that does not come in
// 4.5 s is given up, unless the server has a ReadTimeout of its own, which then holds. Set one where a middleware
// hides the connection, as http.TimeoutHandler does: the handler cannot set a limit there.
//
// What goes wrong is logged to [Config].Logger, so set one: without it nobody learns why a notification was
// refused, or that handle panicked. The records are without the openid, card code, attach and sensitive values that
// the notification came with, also where an error or a panic of handle quotes them verbatim, and for an
// [UnknownEvent], of which nobody knows what is personal, without the text of such an error.
func (c *Client) NotificationHandler(handle func(context.Context, *Notification) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		start := time.Now()
		// Who hangs up must not end a download of certificates that others wait for.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), notificationTimeout)
		defer cancel()
		o := c.notified(ctx, http.NewResponseController(w), request, start, handle)
		answerNotification(w, o.status)
		o.log(ctx, c.logger, time.Since(start))
	})
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

// outcome is what became of a notification in the handler.
type outcome struct {
	status        int
	id, eventType string
	problem       string   // "" when there is none
	stack         []string // of a panic
}

// notified reads and opens a notification and has it handled.
func (c *Client) notified(ctx context.Context, controller *http.ResponseController, request *http.Request, start time.Time, handle func(context.Context, *Notification) error) outcome {
	body, err := readInTime(controller, request, start)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("%w took too long to come", errBody)
	}
	var n *Notification
	if err == nil {
		n, err = c.openNotification(ctx, request, body)
	}
	if err == nil {
		err = ctx.Err() // a download took too long
	}
	if err != nil {
		return outcome{status: refusal(err), problem: oneLine(err.Error(), nil)}
	}
	return handled(ctx, n, handle)
}

// readInTime reads the body of a notification. A server without a limit of its own gets one for that time.
func readInTime(controller *http.ResponseController, request *http.Request, start time.Time) ([]byte, error) {
	server, ok := request.Context().Value(http.ServerContextKey).(*http.Server)
	limited := !ok || server.ReadTimeout > 0
	if !limited {
		_ = controller.SetReadDeadline(start.Add(notificationTimeout))
	}
	if request.Method != http.MethodPost {
		return nil, errNoPost
	}
	body, err := readNotification(request)
	if err == nil && !limited { // or it would end the work on this request, and the connection
		_ = controller.SetReadDeadline(time.Time{})
	}
	return body, err
}

// refusal returns the status to answer with to what cannot be handled.
func refusal(err error) int {
	switch {
	case errors.Is(err, errNoPost):
		return http.StatusMethodNotAllowed
	case errors.Is(err, ErrSignature):
		return http.StatusUnauthorized
	case errors.Is(err, errBody):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// handled has a notification handled. No panic of handle gets past it.
func handled(ctx context.Context, n *Notification, handle func(context.Context, *Notification) error) (o outcome) {
	private := n.private()
	_, unknown := n.Event.(*UnknownEvent)
	o = outcome{status: http.StatusNoContent, id: oneLine(n.ID, private()), eventType: oneLine(n.EventType, private())}
	fail := func(text string) {
		if unknown {
			text = "the text of the failure is left out: it may quote an event of which nobody knows what is personal"
		}
		o.status, o.problem = http.StatusInternalServerError, redact(text, private(), 1)
	}
	defer func() {
		if p := recover(); p != nil {
			o.stack = stack()
			fail(fmt.Sprintf("panic: %v", p))
		}
	}()
	if err := handle(ctx, n); err != nil {
		fail(err.Error())
	} else if ctx.Err() != nil {
		o.problem = "it was handled, but later than WeChat Pay waits, which sends it again"
	}
	return o
}

// stack says where a panic happened, without the arguments that runtime/debug.Stack shows.
func stack() []string {
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
func (o *outcome) log(ctx context.Context, logger *slog.Logger, took time.Duration) {
	level := slog.LevelInfo
	attributes := []slog.Attr{slog.Int("status", o.status), slog.Duration("duration", took)}
	if o.id != "" {
		attributes = append(attributes, slog.String("id", o.id), slog.String("event_type", o.eventType))
	}
	if o.problem != "" {
		level = slog.LevelError
		if o.status < 500 { // anybody can cause one
			level = slog.LevelWarn
		}
		attributes = append(attributes, slog.String("error", o.problem))
	}
	if o.stack != nil {
		attributes = append(attributes, slog.Any("stack", o.stack))
	}
	logger.LogAttrs(ctx, level, "wechatpay notification", attributes...)
}

// private returns a function for the values of the notification that no log may quote. It looks at the
// notification now, since it is handle's afterwards, and at what handle opened when it is called.
func (n *Notification) private() func() []string {
	var values []string
	var sensitive []Sensitive
	user := func(card *UserCard) {
		values = append(values, card.OpenID, card.UserCardCode, card.Attach)
		sensitive = append(sensitive, card.PhoneNumber)
		if card.UserInformation == nil {
			return
		}
		for _, common := range card.UserInformation.CommonFieldList {
			sensitive = append(sensitive, common.Value)
		}
		for _, custom := range card.UserInformation.CustomFieldList {
			sensitive = append(sensitive, custom.UserChosenValues...)
		}
	}
	switch event := n.Event.(type) {
	case *UserCardCreated:
		user(&event.UserCard)
	case *UserCardDeleted:
		user(&event.UserCard)
	case *PointsExchangeRequested:
		values = append(values, event.OpenID, event.UserCardCode)
	case *PointsSyncRequested:
		values = append(values, event.OpenID, event.UserCardCode)
	}
	return func() []string {
		all := slices.Clone(values)
		for _, s := range sensitive {
			all = append(all, s.get().known())
		}
		return all
	}
}
