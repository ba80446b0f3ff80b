package membercardtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// notification is a message to a merchant before it is signed.
type notification struct {
	id         string
	eventType  string
	encrypted  bool
	fault      Fault
	repeats    []time.Duration
	schedule   bool   // repeats are WeChat Pay's
	url        string // instead of the template's
	duplicates int
}

// NotificationOption changes a notification.
type NotificationOption func(*notification)

// NotificationID gives the notification an id; by default it has a new one.
func NotificationID(id string) NotificationOption { return func(n *notification) { n.id = id } }

// NotificationEventType replaces the event type, such as MEMBERCARDSP.USER_CARD.CREATE of older pages.
func NotificationEventType(eventType string) NotificationOption {
	return func(n *notification) { n.eventType = eventType }
}

// NotificationSealed encrypts the personal data in the content for the merchant once more. The official
// pages disagree on whether the service does that.
func NotificationSealed() NotificationOption { return func(n *notification) { n.encrypted = true } }

// NotificationFault makes the notification one that must be refused; with [Server.Notify] the first
// delivery of it. The kinds are FaultProbe, FaultBadSignature, FaultForgedBody, FaultStaleTimestamp,
// FaultFutureTimestamp, FaultUnknownSerial with Serial, and FaultMissingHeader with Missing.
func NotificationFault(fault Fault) NotificationOption {
	return func(n *notification) { n.fault = fault }
}

// NotificationRepeats has [Server.Notify] deliver the notification again after these times, one after the
// other, until it is accepted; without a time as WeChat Pay does it: every 60 s, at most 11 times, and never for a points
// question.
func NotificationRepeats(after ...time.Duration) NotificationOption {
	return func(n *notification) { n.repeats, n.schedule = after, len(after) == 0 }
}

// NotificationURL sends the notification to another address than the NotifyURL of the event's template.
func NotificationURL(url string) NotificationOption { return func(n *notification) { n.url = url } }

// NotificationDuplicates has [Server.Notify] deliver n more copies at the same time as the first.
func NotificationDuplicates(n int) NotificationOption {
	return func(notification *notification) { notification.duplicates = n }
}

// NotificationRequest returns the request that WeChat Pay makes to a template's NotifyURL about an event, for
// a handler under test. It is signed now, with the key that it would be signed with, so make it when it is
// needed.
func (s *Server) NotificationRequest(event membercard.Event, options ...NotificationOption) *http.Request {
	n := s.newNotification(event, options)
	target := cmp.Or(n.url, s.notifyURL(event), "https://www.weixin.qq.com/wxpay/notify.php")
	return s.notificationRequest(context.Background(), target, n, event, n.fault)
}

// Notify delivers a notification to the NotifyURL of the event's template, which must be on loopback. It returns the status of each
// delivery in the order they ended, and 0 for one without an answer within 5 s. It fails when no delivery was accepted with 200 or
// 204.
func (s *Server) Notify(ctx context.Context, event membercard.Event, options ...NotificationOption) ([]int, error) {
	n := s.newNotification(event, options)
	target := cmp.Or(n.url, s.notifyURL(event))
	if target == "" {
		return nil, errors.New("membercardtest: Notify: there is no template of the event's CardID, or no SecurityEcho with its message and a NotifyURL")
	}
	if err := requireLoopback(target); err != nil {
		return nil, fmt.Errorf("membercardtest: Notify: %w", err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var mu sync.Mutex
	var statuses []int
	accepted := false
	deliver := func(fault Fault) {
		status := 0
		response, err := client.Do(s.notificationRequest(ctx, target, n, event, fault))
		if err == nil {
			status = response.StatusCode
			_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
			_ = response.Body.Close()
		}
		mu.Lock()
		defer mu.Unlock()
		statuses = append(statuses, status)
		accepted = accepted || status == http.StatusOK || status == http.StatusNoContent
	}
	var copies sync.WaitGroup
	for range n.duplicates {
		copies.Go(func() { deliver(Fault{}) })
	}
	deliver(n.fault)
	copies.Wait()
	for _, after := range n.repeats {
		if accepted {
			break
		}
		if after > 0 {
			if err := s.await(ctx, after); err != nil {
				return statuses, err
			}
		}
		deliver(Fault{})
	}
	if !accepted && ctx.Err() != nil {
		return statuses, ctx.Err()
	}
	if !accepted {
		return statuses, fmt.Errorf("membercardtest: Notify: the notification was not accepted: %v; 0 is no answer: does a service listen there?", statuses)
	}
	return statuses, nil
}

func requireLoopback(notifyURL string) error {
	u, err := url.Parse(notifyURL)
	if err != nil {
		return err
	}
	if !isLoopback(u.Hostname()) {
		return fmt.Errorf("the URL %s is not on loopback", notifyURL)
	}
	return nil
}

func (s *Server) newNotification(event membercard.Event, options []NotificationOption) *notification {
	id := randomHex(16)
	n := &notification{id: strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")}
	for _, option := range options {
		option(n)
	}
	if n.fault.Kind == FaultMissingHeader && n.fault.Missing == "" {
		panic("membercardtest: NotificationFault: FaultMissingHeader needs the name of a header in Missing")
	}
	switch n.fault.Kind {
	case "", FaultProbe, FaultBadSignature, FaultForgedBody, FaultStaleTimestamp, FaultFutureTimestamp, FaultUnknownSerial, FaultMissingHeader:
	default:
		panic(fmt.Sprintf("membercardtest: NotificationFault: %q is no fault of a notification", n.fault.Kind))
	}
	switch event.(type) {
	case *membercard.UserCardCreated:
		n.eventType = cmp.Or(n.eventType, s.edition.events+".USER_CARD.CREATE")
	case *membercard.UserCardDeleted:
		n.eventType = cmp.Or(n.eventType, s.edition.events+".USER_CARD.DELETE")
	case *membercard.PointsExchangeRequested:
		n.eventType = cmp.Or(n.eventType, s.edition.events+".POINT_EXCHANGE_COUPON")
	case *membercard.PointsSyncRequested:
		n.eventType = cmp.Or(n.eventType, s.edition.events+".SYNC_USER_POINT")
	case *membercard.SecurityEchoed:
		n.eventType = cmp.Or(n.eventType, "SECURITY_ECHO.SUCCESS")
	case *membercard.UnknownEvent:
		n.eventType = cmp.Or(n.eventType, s.edition.events+".SOMETHING_NEW")
	default:
		panic(fmt.Sprintf("membercardtest: a notification about %T", event))
	}
	if n.schedule {
		n.repeats = documentedRepeats(event)
	}
	return n
}

// documentedRepeats returns what WeChat Pay waits before it delivers a notification again.
func documentedRepeats(event membercard.Event) []time.Duration {
	switch event.(type) {
	case *membercard.PointsSyncRequested:
		return nil
	case *membercard.SecurityEchoed:
		return []time.Duration{
			0, 15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute,
			30 * time.Minute, 30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour,
		}
	}
	return slices.Repeat([]time.Duration{time.Minute}, 11)
}

// notifyURL returns where notifications about an event go, "" when there is no such template.
func (s *Server) notifyURL(event membercard.Event) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if echo, ok := event.(*membercard.SecurityEchoed); ok {
		return s.echoURLs[echo.EchoMessage]
	}
	if c := s.findCard(cardOf(event)); c != nil {
		return c.text("notify_url")
	}
	return ""
}

// appIDOf returns the AppID of the template that an event is about, and the key for what is encrypted in it.
func (s *Server) appIDOf(event membercard.Event) (appID string, merchant *rsa.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.findCard(cardOf(event)); c != nil {
		return c.text("appid"), s.merchant()
	}
	return "", s.merchant()
}

// cardOf returns the template an event is about.
func cardOf(event membercard.Event) string {
	switch e := event.(type) {
	case *membercard.UserCardCreated:
		return e.CardID
	case *membercard.UserCardDeleted:
		return e.CardID
	case *membercard.PointsExchangeRequested:
		return e.CardID
	case *membercard.PointsSyncRequested:
		return e.CardID
	}
	return ""
}

// cardNamed returns a copy of a template, nil where there is none.
func (s *Server) cardNamed(cardID string) document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.findCard(cardID))
}

// notifiedCard is a card as a notification has it. Its colour and its picture are always there.
func (s *Server) notifiedCard(n *notification, u membercard.UserCard, merchant *rsa.PublicKey) document {
	rows := answerRows(membercard.OperationGetUserCard)
	card := s.userCardDocument(rows, u)
	if template := s.cardNamed(u.CardID); template != nil {
		card.setDefault("card_color", template.text("card_color"))
		card.setDefault("card_picture_url", template.text("card_picture_url"))
	}
	if n.encrypted {
		return project(rows, card, valueEncrypter(merchant))
	}
	return card
}

// content returns the kind of the event's content, and the content as it is before it is encrypted.
func (s *Server) content(n *notification, event membercard.Event, appID string, merchant *rsa.PublicKey) (originalType string, _ []byte) {
	switch e := event.(type) {
	case *membercard.UserCardCreated:
		return "user_card", encode(s.notifiedCard(n, e.UserCard, merchant))
	case *membercard.UserCardDeleted:
		return "user_card", encode(s.notifiedCard(n, e.UserCard, merchant))
	case *membercard.PointsExchangeRequested:
		content := documentOf(eventRows()["BRAND_MEMBER_CARD_SP.POINT_EXCHANGE_COUPON"], e)
		if appID != "" {
			content.setDefault("appid", appID)
		}
		return "point_coupon", encode(content)
	case *membercard.PointsSyncRequested:
		return "sync_user_point", encode(documentOf(eventRows()["BRAND_MEMBER_CARD_SP.SYNC_USER_POINT"], e))
	case *membercard.SecurityEchoed:
		content := document{"echo_message": e.EchoMessage}
		if !e.EncryptEchoMessage.IsZero() {
			content["encrypt_echo_message"] = encryptValue(merchant, s.plaintext(e.EncryptEchoMessage))
		}
		return "security", encode(content)
	case *membercard.UnknownEvent:
		return e.OriginalType, e.Plaintext
	}
	panic("unreachable: newNotification has looked at it")
}

func (s *Server) notificationRequest(ctx context.Context, target string, n *notification, event membercard.Event, fault Fault) *http.Request {
	appID, merchant := s.appIDOf(event)
	originalType, plaintext := s.content(n, event, appID, merchant)
	content := encryptResource(s.edition.apiv3Key, plaintext, originalType)
	content.OriginalType = originalType
	body := encode(struct {
		ID           string   `json:"id"`
		CreateTime   string   `json:"create_time"`
		ResourceType string   `json:"resource_type"`
		EventType    string   `json:"event_type"`
		Summary      string   `json:"summary"`
		Resource     resource `json:"resource"`
	}{n.id, time.Now().In(zone).Format(time.RFC3339), "encrypt-resource", n.eventType, "会员卡通知", content})

	s.mu.Lock()
	named := ""
	if s.notified++; s.notified%2 == 0 { // while the switch goes on
		named = s.keyID
	}
	key, keyID := s.signingKey(named)
	s.mu.Unlock()
	now := time.Now()
	switch fault.Kind {
	case FaultStaleTimestamp:
		now = now.Add(-10 * time.Minute)
	case FaultFutureTimestamp:
		now = now.Add(10 * time.Minute)
	case FaultUnknownSerial:
		keyID = cmp.Or(fault.Serial, "PUB_KEY_ID_UNKNOWN")
	case FaultBadSignature:
		key = rotatedMerchantKey() // which is not WeChat Pay's
	}
	timestamp, nonce := fmt.Sprint(now.Unix()), randomHex(16)
	signature := signAnswer(key, timestamp, nonce, body)
	switch fault.Kind {
	case FaultProbe:
		signature = "WECHATPAY/SIGNTEST/" + signature[19:]
	case FaultForgedBody:
		body = bytes.Replace(body, []byte(`"summary"`), []byte(`"summarx"`), 1)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header = http.Header{
		"Content-Type":             {"application/json"},
		"User-Agent":               {"Mozilla/4.0"},
		"Request-Id":               {requestID(http.StatusOK, "")},
		"Wechatpay-Timestamp":      {timestamp},
		"Wechatpay-Nonce":          {nonce},
		"Wechatpay-Serial":         {keyID},
		"Wechatpay-Signature-Type": {s.edition.scheme},
		"Wechatpay-Signature":      {signature},
	}
	if fault.Kind == FaultMissingHeader {
		request.Header.Del(fault.Missing)
	}
	return request
}
