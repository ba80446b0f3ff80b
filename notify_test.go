package membercard_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// events are one of each kind, with all fields.
func events() map[string]membercard.Event {
	card := membercard.UserCard{
		UserCardCode: userCardCode, CardID: cardID, OpenID: openID, BrandID: brandID, CardType: membercard.CardTypeNormal,
		CardColor: "#FFFF00", CardPictureURL: pictureURL, Level: "钻石会员", PhoneNumber: membercard.NewSensitive(phoneNumber),
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent}, Attach: "brand_data",
		PickupTime: at("2020-05-20T13:29:35.120+08:00"), CreateTime: at("2020-05-20T13:29:35.120+08:00"), ModifyTime: at("2020-05-20T13:29:35.120+08:00"),
		UserCardState: membercard.UserCardStateUnactivated,
		UserInformation: &membercard.UserInfo{
			CommonFieldList: []membercard.UserInfoCommonField{{Name: membercard.CommonFieldFlagSex, Value: membercard.NewSensitive("男性用户答案")}},
			CustomFieldList: []membercard.UserInfoCustomField{{Name: "喜欢的运动", UserChosenValues: []membercard.Sensitive{membercard.NewSensitive("足球比赛现场")}}},
		},
	}
	return map[string]membercard.Event{
		"USER_CARD.CREATE": &membercard.UserCardCreated{UserCard: card},
		"USER_CARD.DELETE": &membercard.UserCardDeleted{UserCard: card},
		"POINT_EXCHANGE_COUPON": &membercard.PointsExchangeRequested{
			RecordID: recordID, BrandID: brandID, CardID: cardID, AppID: "wxea9c30890f48d5ae", OpenID: openID, UserCardCode: userCardCode,
			ExchangeCouponTemplateID: exchangeID, DeductPoints: 1000, ProductCouponID: "200000001",
			ProductCouponStockType: "PRODUCT_COUPON_STOCK_TYPE_BUSI_FAVOR", StockID: "100232301",
		},
		"SYNC_USER_POINT": &membercard.PointsSyncRequested{BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode},
	}
}

// TestNotifications: every kind of event under every spelling, personal data clear and encrypted, signed with
// the public key and with certificates.
func TestNotifications(t *testing.T) {
	t.Parallel()
	for _, options := range [][]membercardtest.Option{nil, {membercardtest.WithCertificates()}} {
		server := newServer(t, options...)
		client := server.Client()
		for suffix, event := range events() {
			for _, prefix := range []string{"BRAND_MEMBER_CARD_SP.", "BRAND_MEMBER_CARD.", "MEMBERCARDSP."} {
				request := server.NotificationRequest(event, membercardtest.NotificationEventType(prefix+suffix), membercardtest.NotificationID("8b33f79f"))
				n, err := client.ParseNotification(request)
				require.NoError(t, err)
				assert.Equal(t, "8b33f79f", n.ID)
				assert.Equal(t, prefix+suffix, n.EventType)
				assert.NotEmpty(t, n.Summary)
				assert.WithinDuration(t, time.Now(), n.CreateTime.Time, time.Minute)
				assert.Equal(t, event, n.Event)
			}
		}
		n, err := client.ParseNotification(server.NotificationRequest(events()["USER_CARD.CREATE"], membercardtest.NotificationSealed()))
		require.NoError(t, err)
		created := n.Event.(*membercard.UserCardCreated)
		for plaintext, value := range map[string]membercard.Sensitive{
			phoneNumber: created.PhoneNumber, "男性用户答案": created.UserInformation.CommonFieldList[0].Value,
			"足球比赛现场": created.UserInformation.CustomFieldList[0].UserChosenValues[0],
		} {
			text, err := json.Marshal(value)
			require.NoError(t, err)
			assert.Len(t, text, 344+2, "it is still encrypted")
			opened, err := client.Decrypt(value)
			require.NoError(t, err)
			assert.Equal(t, plaintext, opened)
		}
	}
}

func TestUnknownEvent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	event := &membercard.UnknownEvent{OriginalType: "user_card_gift", Plaintext: []byte(`{"openid":"` + openID + `"}`)}
	n, err := client.ParseNotification(server.NotificationRequest(event))
	require.NoError(t, err)
	assert.Equal(t, event, n.Event)
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "n", n, "event", n.Event, "value", *n.Event.(*membercard.UnknownEvent))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, n.Event)
		fmt.Fprintf(&out, verb, *n.Event.(*membercard.UnknownEvent))
	}
	assertHidden(t, openID, out.String(), "an unknown event")
	assert.Contains(t, out.String(), "user_card_gift")
}

// TestThePublishedNotification: the official vector, at its time. Its signature verifies; its content was
// encrypted with a key of 16 bytes, which no merchant has.
func TestThePublishedNotification(t *testing.T) {
	t.Parallel()
	var vectors []struct{ Name, Timestamp, Nonce, Body, Signature string }
	require.NoError(t, json.Unmarshal(readFile(t, "testdata/vectors/verify.json"), &vectors))
	vector := vectors[1]
	require.Equal(t, "a whole notification", vector.Name)
	key, err := membercard.ParsePublicKey(readFile(t, "testdata/vectors/public_key.txt"))
	require.NoError(t, err)
	server := newServer(t)
	client := newClient(t, server, func(c *membercard.Config) { c.PublicKey, c.PublicKeyID = key, "D7CE59D1F522D701" })
	synctest.Test(t, func(t *testing.T) {
		request := func(body string) *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(body))
			for name, value := range map[string]string{"Timestamp": vector.Timestamp, "Nonce": vector.Nonce, "Signature": vector.Signature, "Serial": "D7CE59D1F522D701"} {
				r.Header.Set("Wechatpay-"+name, value)
			}
			return r
		}
		time.Sleep(time.Until(time.Unix(1624523846, 0)))
		_, err := client.ParseNotification(request(vector.Body))
		require.ErrorContains(t, err, "it is signed by WeChat Pay"[3:])
		require.ErrorContains(t, err, "it does not decrypt with the APIv3 key")
		require.NotErrorIs(t, err, membercard.ErrSignature)
		_, err = client.ParseNotification(request(vector.Body + "\n"))
		require.ErrorIs(t, err, membercard.ErrSignature)
		time.Sleep(5 * time.Minute)
		_, err = client.ParseNotification(request(vector.Body))
		require.ErrorContains(t, err, "not within five minutes")
	})
}

// refusals are notifications that must not be believed, each with its status and what its error says.
var refusals = map[string]struct {
	status int
	says   string
	spoil  func(*testing.T, *membercardtest.Server) *http.Request
}{
	"probe":        {401, "a probe of WeChat Pay's", faulty(membercardtest.Fault{Kind: membercardtest.FaultProbe})},
	"signature":    {401, "did a middleware or proxy change the body", faulty(membercardtest.Fault{Kind: membercardtest.FaultBadSignature})},
	"forged":       {401, "the signature does not match", faulty(membercardtest.Fault{Kind: membercardtest.FaultForgedBody})},
	"stale":        {401, "before it); check the clock", faulty(membercardtest.Fault{Kind: membercardtest.FaultStaleTimestamp})},
	"future":       {401, "after it); check the clock", faulty(membercardtest.Fault{Kind: membercardtest.FaultFutureTimestamp})},
	"unknown":      {401, "configure that key", faulty(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial})},
	"unknown cert": {401, "not be downloaded: DownloadCertificates: 404", faulty(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial, Serial: forgedSerial})},
	"no headers":   {401, "does a proxy remove the Wechatpay- headers", changed(func(r *http.Request) { r.Header = http.Header{} })},
	"no timestamp": {401, "missing or malformed", faulty(membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Timestamp"})},
	"other scheme": {401, `signed with the scheme "WECHATPAY2-SM2-WITH-SM3"; known are`, changed(func(r *http.Request) {
		r.Header.Set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3")
		r.Header.Set("Wechatpay-Signature", "x")
	})},
	"consumed":   {400, "the body is empty; if a middleware read it before", changed(func(r *http.Request) { _, _ = io.ReadAll(r.Body) })},
	"no body":    {400, "the body is missing", changed(func(r *http.Request) { r.Body = nil })},
	"broken off": {400, "the body broke off", changed(func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), brokenReader{})) })},
	"closed":     {400, "was read and closed before", changed(func(r *http.Request) { r.Body = io.NopCloser(closedReader{}) })},
	"too long":   {400, "longer than 1048576 bytes", changed(func(r *http.Request) { r.Body = io.NopCloser(io.LimitReader(endless{}, 3<<20)) })},
	"cut":        {401, "a middleware read or changed it", changed(func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 10)) })},
	"re-encoded": {401, "did a middleware or proxy change the body", changed(func(r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		b[1] = ' '
		r.Body = io.NopCloser(bytes.NewReader(b))
	})},
	"GET": {405, "a notification is a POST", changed(func(r *http.Request) { r.Method = http.MethodGet })},
	"no id": {500, "its id is missing", func(t *testing.T, server *membercardtest.Server) *http.Request {
		t.Helper()
		return server.NotificationRequest(events()["USER_CARD.CREATE"], membercardtest.NotificationID(""))
	}},
	"no resource": {500, "its resource is missing", signed(`{"id":"1"}`)},
	"null":        {500, "its resource is missing", signed(`null`)},
	"no JSON":     {500, "it cannot be decoded", signed(`<html>`)},
	"a list":      {500, "it cannot be decoded", signed(`[]`)},
	"an odd id":   {500, "it cannot be decoded", signed(`{"id":1}`)},
	"algorithm":   {500, "another algorithm than AEAD_AES_256_GCM", signed(`{"resource":{"algorithm":"AEAD_SM4_GCM","nonce":"123456789012"}}`)},
	"nonce":       {500, "its nonce has 3 bytes, it must have 12", signed(`{"resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"123"}}`)},
	"ciphertext":  {500, "it does not decrypt with the APIv3 key; was the key reset", signed(`{"resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"123456789012","ciphertext":"QUJD"}}`)},
}

type (
	brokenReader struct{}
	closedReader struct{}
	endless      struct{}
)

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (closedReader) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func faulty(fault membercardtest.Fault) func(*testing.T, *membercardtest.Server) *http.Request {
	return func(_ *testing.T, server *membercardtest.Server) *http.Request {
		return server.NotificationRequest(events()["USER_CARD.CREATE"], membercardtest.NotificationFault(fault))
	}
}

func changed(change func(*http.Request)) func(*testing.T, *membercardtest.Server) *http.Request {
	return func(_ *testing.T, server *membercardtest.Server) *http.Request {
		request := server.NotificationRequest(events()["USER_CARD.CREATE"])
		change(request)
		return request
	}
}

// signedHeader holds the headers of a body signed with the public key's private half.
func signedHeader(t *testing.T, key *rsa.PrivateKey, now time.Time, body string) http.Header {
	t.Helper()
	timestamp := fmt.Sprint(now.Unix())
	digest := sha256.Sum256([]byte(timestamp + "\nnonce\n" + body + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	return http.Header{
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"nonce"}, "Wechatpay-Serial": {membercardtest.PublicKeyID},
		"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
	}
}

// signed is a body that WeChat Pay would sign, however odd.
func signed(body string) func(*testing.T, *membercardtest.Server) *http.Request {
	return func(t *testing.T, server *membercardtest.Server) *http.Request {
		t.Helper()
		request := httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(body))
		maps.Copy(request.Header, signedHeader(t, server.PlatformKey(), time.Now(), body))
		return request
	}
}

// content is an event of a known type with an odd content.
func content(plaintext string) func(*testing.T, *membercardtest.Server) *http.Request {
	return func(_ *testing.T, server *membercardtest.Server) *http.Request {
		return server.NotificationRequest(&membercard.UnknownEvent{OriginalType: "user_card", Plaintext: []byte(plaintext)},
			membercardtest.NotificationEventType("BRAND_MEMBER_CARD_SP.USER_CARD.CREATE"))
	}
}

// numbers is an event whose number is too large.
func numbers(_ *testing.T, server *membercardtest.Server) *http.Request {
	return server.NotificationRequest(&membercard.UnknownEvent{Plaintext: []byte(`{"deduct_points":13800000000138000000001}`)},
		membercardtest.NotificationEventType("BRAND_MEMBER_CARD_SP.POINT_EXCHANGE_COUPON"))
}

// TestNotificationsThatAreRefused: each by ParseNotification with an error that says what to look for, and by the handler with a
// status of 400 or more. None reaches the merchant's code, and no word of the content is told.
func TestNotificationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, refusal := range refusals {
		var log bytes.Buffer
		server := newServer(t)
		client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		if name != "GET" {
			n, err := client.ParseNotification(refusal.spoil(t, server))
			require.ErrorContains(t, err, refusal.says, name)
			assert.Nil(t, n, name)
			assert.Equal(t, refusal.status == 401, errors.Is(err, membercard.ErrSignature), name)
			assertHidden(t, phoneNumber, fmt.Sprintf("%v%+v%#v", err, err, err), name)
		}
		called := false
		recorder := httptest.NewRecorder()
		client.NotificationHandler(func(context.Context, *membercard.Notification) error {
			called = true
			return nil
		}).ServeHTTP(recorder, refusal.spoil(t, server))
		assert.False(t, called, name)
		assert.Equal(t, refusal.status, recorder.Code, name)
		var answer struct{ Code, Message string }
		require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &answer), name)
		assert.Equal(t, "FAIL", answer.Code, name)
		assert.LessOrEqual(t, len(answer.Message), 64)
		assert.Contains(t, log.String(), "wechatpay notification", name)
		for _, secret := range []string{phoneNumber, openID, userCardCode, membercardtest.APIv3Key, "13800000000"} {
			assertHidden(t, secret, log.String()+recorder.Body.String(), name)
		}
	}
}

func TestParseNotificationNeedsTheKey(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, func(c *membercard.Config) { c.APIv3Key = "" })
	_, err := client.ParseNotification(server.NotificationRequest(events()["USER_CARD.CREATE"]))
	require.ErrorContains(t, err, "Config.APIv3Key is missing")
	client = newClient(t, server, func(c *membercard.Config) { c.APIv3Key = strings.Repeat("k", 32) })
	_, err = client.ParseNotification(server.NotificationRequest(events()["USER_CARD.CREATE"]))
	require.ErrorContains(t, err, "it does not decrypt with the APIv3 key; was the key reset on the merchant platform")
	_, err = client.ParseNotification(nil)
	require.ErrorContains(t, err, "the body is missing")
}

func TestNotificationHandler(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var log bytes.Buffer
	client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	serve := func(handle func(context.Context, *membercard.Notification) error, options ...membercardtest.NotificationOption) *httptest.ResponseRecorder {
		log.Reset()
		recorder := httptest.NewRecorder()
		client.NotificationHandler(handle).ServeHTTP(recorder, server.NotificationRequest(events()["USER_CARD.CREATE"], options...))
		return recorder
	}
	recorder := serve(func(ctx context.Context, n *membercard.Notification) error {
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.Less(t, time.Until(deadline), 5*time.Second)
		assert.IsType(t, &membercard.UserCardCreated{}, n.Event)
		return nil
	})
	assert.Equal(t, http.StatusNoContent, recorder.Code)
	assert.Empty(t, recorder.Body.String())
	assert.Contains(t, log.String(), `"event_type":"BRAND_MEMBER_CARD_SP.USER_CARD.CREATE"`)

	// What the merchant's code says of an unknown event, or of one that it changed.
	event := &membercard.UnknownEvent{Plaintext: []byte(`openid=` + openID)}
	for _, handle := range []func(context.Context, *membercard.Notification) error{
		func(context.Context, *membercard.Notification) error { return errors.New("no member " + openID) },
		func(context.Context, *membercard.Notification) error { panic("no member " + openID) },
	} {
		log.Reset()
		client.NotificationHandler(handle).ServeHTTP(httptest.NewRecorder(), server.NotificationRequest(event))
		assert.Contains(t, log.String(), "the handler ")
		assertHidden(t, openID, log.String(), "an unknown event")
	}
	serve(func(_ context.Context, n *membercard.Notification) error {
		created := n.Event.(*membercard.UserCardCreated)
		before := created.OpenID
		created.OpenID = "x"
		return errors.New("no member " + before)
	})
	assertHidden(t, openID, log.String(), "a changed event")

	for name, test := range map[string]struct {
		handle func(context.Context, *membercard.Notification) error
		stack  bool
	}{
		"error": {func(_ context.Context, n *membercard.Notification) error {
			created := n.Event.(*membercard.UserCardCreated)
			opened, err := client.Decrypt(created.PhoneNumber)
			require.NoError(t, err)
			answer, err := client.Decrypt(created.UserInformation.CommonFieldList[0].Value)
			require.NoError(t, err)
			return fmt.Errorf("no member %s %s %s %s", created.OpenID, created.UserCardCode, opened, answer)
		}, false},
		"panic": {func(_ context.Context, n *membercard.Notification) error {
			opened, _ := client.Decrypt(n.Event.(*membercard.UserCardCreated).PhoneNumber)
			panic("no member " + n.Event.(*membercard.UserCardCreated).OpenID + opened)
		}, true},
		"panic of the runtime": {func(context.Context, *membercard.Notification) error {
			return errors.New((*membercard.UserCardCreated)(nil).OpenID) // no member
		}, true},
		"an event that is taken away": {func(_ context.Context, n *membercard.Notification) error {
			n.Event = (*membercard.UserCardCreated)(nil)
			return errors.New(openID)
		}, false},
		"an error that panics": {func(context.Context, *membercard.Notification) error {
			return (*brokenError)(nil)
		}, false},
		"abort": {func(context.Context, *membercard.Notification) error { panic(http.ErrAbortHandler) }, true},
	} {
		for _, option := range [][]membercardtest.NotificationOption{nil, {membercardtest.NotificationSealed()}} {
			recorder := serve(test.handle, option...)
			assert.Equal(t, http.StatusInternalServerError, recorder.Code, name)
			assert.JSONEq(t, `{"code":"FAIL","message":"Internal Server Error"}`, recorder.Body.String(), name)
			assert.Contains(t, log.String(), `"level":"ERROR"`, name)
			if test.stack {
				assert.Contains(t, log.String(), "notify_test.go", name)
			}
			for _, secret := range []string{phoneNumber, openID, userCardCode, "男性用户答案"} {
				assertHidden(t, secret, log.String(), name)
			}
		}
	}
}

// brokenError cannot be asked what it says when it is nil, as happens to those who return one by mistake.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// TestTheEventIsTheMerchants: the handler looks at it no more once it has handed it over. So code that goes on with it after its
// time does not race with the log.
func TestTheEventIsTheMerchants(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var log bytes.Buffer
	client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	var late sync.WaitGroup
	for range 20 {
		client.NotificationHandler(func(_ context.Context, n *membercard.Notification) error {
			late.Go(func() {
				created := n.Event.(*membercard.UserCardCreated)
				created.UserCardCode, created.PhoneNumber, created.UserInformation.CommonFieldList[0].Value = "new", membercard.NewSensitive("1"), membercard.Sensitive{}
				n.ID, n.Event = "", nil
			})
			return errors.New("too late")
		}).ServeHTTP(httptest.NewRecorder(), server.NotificationRequest(events()["USER_CARD.CREATE"]))
	}
	late.Wait()
}

// TestTheConnectionLivesOn: the time limit on one notification ends nothing else on its connection, behind a
// middleware that reads the body and puts it back.
func TestTheConnectionLivesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		handler := server.Client().NotificationHandler(func(ctx context.Context, _ *membercard.Notification) error {
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond)
			return ctx.Err()
		})
		mux := http.NewServeMux()
		mux.HandleFunc("/notify", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			r.Body = io.NopCloser(bytes.NewReader(body))
			handler.ServeHTTP(w, r)
		})
		mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			assert.NoError(t, r.Context().Err())
		})
		near, far := net.Pipe()
		listener := &oneConnection{connection: far, closed: make(chan struct{})}
		merchant := &http.Server{Handler: mux}
		go func() { _ = merchant.Serve(listener) }()
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil },
		}}
		post := func(path string) int {
			request := server.NotificationRequest(events()["USER_CARD.CREATE"])
			sent, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://merchant"+path, request.Body)
			require.NoError(t, err)
			sent.Header = request.Header
			response, err := client.Do(sent)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, response.Body)
			require.NoError(t, response.Body.Close())
			return response.StatusCode
		}
		assert.Equal(t, http.StatusInternalServerError, post("/notify"))
		assert.Equal(t, http.StatusOK, post("/other"))
		client.CloseIdleConnections()
		require.NoError(t, merchant.Close())
	})
}

// TestHangingUpEndsNoDownload: a stranger who sends forged notifications and hangs up does not keep the certificates
// from coming.
func TestHangingUpEndsNoDownload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		handler := client.NotificationHandler(func(context.Context, *membercard.Notification) error { return nil })
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSlow, Delay: 80 * time.Millisecond, Times: -1})
		var strangers sync.WaitGroup
		for i := range 300 {
			strangers.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				ctx, hangUp := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer hangUp()
				forged := server.NotificationRequest(events()["SYNC_USER_POINT"], membercardtest.NotificationFault(membercardtest.Fault{
					Kind: membercardtest.FaultUnknownSerial, Serial: fmt.Sprintf("%040X", i),
				}))
				handler.ServeHTTP(httptest.NewRecorder(), forged.WithContext(ctx))
			})
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.GetUserCard(ctx, getRequest)
		require.NoError(t, err)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, server.NotificationRequest(events()["SYNC_USER_POINT"]))
		assert.Equal(t, http.StatusNoContent, recorder.Code)
		strangers.Wait()
		assert.LessOrEqual(t, downloads(server), 4)
	})
}

// TestForgedNotificationsUseUpNothing that an answer needs: one signed with a certificate that came without notice
// is verified all the same.
func TestForgedNotificationsUseUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		for i := range 50 {
			time.Sleep(time.Millisecond)
			_, err := client.ParseNotification(server.NotificationRequest(events()["SYNC_USER_POINT"], membercardtest.NotificationFault(membercardtest.Fault{
				Kind: membercardtest.FaultUnknownSerial, Serial: fmt.Sprintf("%040X", i),
			})))
			require.ErrorIs(t, err, membercard.ErrSignature)
			if i >= 1 {
				require.ErrorContains(t, err, "which were downloaded a moment ago")
			}
		}
		assert.Equal(t, 2, downloads(server), "at the start, and one for notifications")
		time.Sleep(time.Second)
		server.AddCertificate(time.Now().Add(-time.Second), time.Now().AddDate(1, 0, 0))
		for range 4 { // the certificates take turns
			_, err = client.UpdateUserCard(t.Context(), updateRequest)
			require.NoError(t, err)
		}
		assert.Equal(t, 3, downloads(server))
	})
}

// TestTheHandlersTime: the context ends before WeChat Pay stops waiting, also while a certificate is
// downloaded that does not come.
func TestTheHandlersTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		start := time.Now()
		handler := client.NotificationHandler(func(ctx context.Context, _ *membercard.Notification) error {
			<-ctx.Done()
			return ctx.Err()
		})
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, server.NotificationRequest(events()["USER_CARD.CREATE"]))
		assert.Equal(t, http.StatusInternalServerError, recorder.Code)
		assert.Less(t, time.Since(start), 5*time.Second)

		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSilent})
		start = time.Now()
		recorder = httptest.NewRecorder()
		handler.ServeHTTP(recorder, server.NotificationRequest(events()["USER_CARD.CREATE"], membercardtest.NotificationFault(membercardtest.Fault{
			Kind: membercardtest.FaultUnknownSerial, Serial: forgedSerial,
		})))
		assert.Equal(t, http.StatusUnauthorized, recorder.Code)
		assert.Less(t, time.Since(start), 5*time.Second)
		time.Sleep(time.Second) // the download outlives it
	})
}

// TestASlowBody: one that takes longer than WeChat Pay waits is not handled, and over a socket it is given
// up.
func TestASlowBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := server.Client()
		called := false
		handler := client.NotificationHandler(func(context.Context, *membercard.Notification) error {
			called = true
			return nil
		})
		request := server.NotificationRequest(events()["USER_CARD.CREATE"])
		body := request.Body
		request.Body = io.NopCloser(io.MultiReader(readerFunc(func([]byte) (int, error) {
			time.Sleep(10 * time.Second)
			return 0, io.EOF
		}), body))
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		assert.Equal(t, http.StatusBadRequest, recorder.Code)
		assert.False(t, called)

		near, far := net.Pipe()
		listener := &oneConnection{connection: far, closed: make(chan struct{})}
		merchant := &http.Server{Handler: handler}
		go func() { _ = merchant.Serve(listener) }()
		start := time.Now()
		_, err := io.WriteString(near, "POST /notify HTTP/1.1\r\nHost: merchant\r\nContent-Length: 1000\r\n"+headerLines(server)+"\r\n{")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(near), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
		assert.Less(t, time.Since(start), 5*time.Second)
		require.NoError(t, near.Close())
		require.NoError(t, merchant.Close())
	})
}

// TestHandledTooLate: what took longer than WeChat Pay waits is no success in the log, since it comes again.
func TestHandledTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		var log bytes.Buffer
		client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		client.NotificationHandler(func(context.Context, *membercard.Notification) error {
			time.Sleep(8 * time.Second)
			return nil
		}).ServeHTTP(httptest.NewRecorder(), server.NotificationRequest(events()["SYNC_USER_POINT"]))
		assert.Contains(t, log.String(), `"level":"WARN"`)
		assert.Contains(t, log.String(), "later than WeChat Pay waits")
	})
}

// TestTheServersOwnLimit holds when it has one, and no request holds a connection for ever.
func TestTheServersOwnLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, request string
		readTimeout   time.Duration
		status        int
		after, closed time.Duration
	}{
		{"a limit", "POST /notify HTTP/1.1\r\nHost: merchant\r\nContent-Length: 1000\r\n", 500 * time.Millisecond, 400, 500 * time.Millisecond, 10 * time.Second},
		{"none", "POST /notify HTTP/1.1\r\nHost: merchant\r\nContent-Length: 1000\r\n", 0, 400, 4500 * time.Millisecond, 10 * time.Second},
		{"no POST", "PUT /notify HTTP/1.1\r\nHost: merchant\r\nContent-Length: 100\r\n", 0, 405, 4500 * time.Millisecond, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			client := server.Client()
			near, far := net.Pipe()
			merchant := &http.Server{
				Handler:     client.NotificationHandler(func(context.Context, *membercard.Notification) error { return nil }),
				ReadTimeout: test.readTimeout,
			}
			listener := &oneConnection{connection: far, closed: make(chan struct{})}
			go func() { _ = merchant.Serve(listener) }()
			start := time.Now()
			_, err := io.WriteString(near, test.request+headerLines(server)+"\r\n{")
			require.NoError(t, err, test.name)
			response, err := http.ReadResponse(bufio.NewReader(near), nil)
			require.NoError(t, err, test.name)
			assert.Equal(t, test.status, response.StatusCode, test.name)
			assert.Positive(t, response.ContentLength, test.name)
			assert.LessOrEqual(t, time.Since(start), test.after, test.name)
			_, err = io.Copy(io.Discard, near)
			require.NoError(t, err, "%s: the connection is closed", test.name)
			assert.LessOrEqual(t, time.Since(start), test.after+test.closed, test.name)
			require.NoError(t, merchant.Close())
		})
	}
}

// headerLines are the headers of a genuine notification, without which its body is not read.
func headerLines(server *membercardtest.Server) string {
	var lines strings.Builder
	for name, values := range server.NotificationRequest(events()["SYNC_USER_POINT"]).Header {
		if strings.HasPrefix(name, "Wechatpay-") {
			lines.WriteString(name + ": " + values[0] + "\r\n")
		}
	}
	return lines.String()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// oneConnection is a listener in memory, so that its time is the bubble's.
type oneConnection struct {
	connection net.Conn
	closed     chan struct{}
}

func (l *oneConnection) Accept() (net.Conn, error) {
	if connection := l.connection; connection != nil {
		l.connection = nil
		return connection, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

func (l *oneConnection) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

// TestTheFullLoop over loopback: a user opens a card, WeChat Pay notifies, the merchant confirms, and the
// card is effective. The notification comes as a probe first, and in several copies; the merchant acts once.
func TestTheFullLoop(t *testing.T) {
	t.Parallel()
	for _, options := range [][]membercardtest.Option{nil, {membercardtest.WithCertificates()}} {
		server := membercardtest.NewTestServer(t, options...)
		client := server.Client()
		var mu sync.Mutex
		seen := map[string]bool{}
		mux := http.NewServeMux()
		mux.Handle("POST /notify", client.NotificationHandler(func(ctx context.Context, n *membercard.Notification) error {
			mu.Lock()
			defer mu.Unlock()
			if seen[n.ID] {
				return nil
			}
			created, ok := n.Event.(*membercard.UserCardCreated)
			if !ok {
				return nil
			}
			_, err := client.ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
				UserCardCode: created.UserCardCode, CardID: created.CardID, BrandID: created.BrandID, OpenID: created.OpenID,
				UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
			})
			seen[n.ID] = err == nil
			return err
		}))
		merchant := httptest.NewServer(mux)
		t.Cleanup(merchant.Close)
		card := server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID, NotifyURL: merchant.URL + "/notify"})
		opened := server.OpenUserCard(card.CardID, openID)
		assert.Equal(t, membercard.UserCardStateUnactivated, opened.UserCardState)

		statuses, err := server.Notify(t.Context(), &membercard.UserCardCreated{UserCard: opened},
			membercardtest.NotificationFault(membercardtest.Fault{Kind: membercardtest.FaultProbe}), membercardtest.NotificationRepeats(0, 0))
		require.NoError(t, err)
		assert.Equal(t, []int{401, 204}, statuses)
		statuses, err = server.Notify(t.Context(), &membercard.PointsSyncRequested{CardID: cardID}, membercardtest.NotificationDuplicates(7))
		require.NoError(t, err)
		assert.Equal(t, []int{204, 204, 204, 204, 204, 204, 204, 204}, statuses)

		effective, _ := server.UserCard(card.CardID, opened.UserCardCode)
		assert.Equal(t, membercard.UserCardStateEffective, effective.UserCardState)
		assert.Equal(t, 1, server.Effects(membercard.OperationConfirmUserCard, opened.UserCardCode))
	}
}

// FuzzNotification: whatever comes in, it is refused with an error or it is what WeChat Pay signed; no
// panic. A body that is signed but odd is an error, or an event.
func FuzzNotification(f *testing.F) {
	f.Add([]byte(`{"id":"1","event_type":"X.USER_CARD.CREATE","resource":{"algorithm":"AEAD_AES_256_GCM"}}`), []byte(`{"openid":"o"}`), "X.USER_CARD.CREATE", uint8(0))
	f.Add([]byte(`null`), []byte(`null`), ".SYNC_USER_POINT", uint8(1))
	f.Add([]byte(`{"resource":{}}`), []byte(`{"user_information":{"common_field_list":[{"value":null}]}}`), "MEMBERCARDSP.USER_CARD.DELETE", uint8(2))
	server := newServer(f)
	client := server.Client()
	key := server.PlatformKey()
	f.Fuzz(func(t *testing.T, body, plaintext []byte, eventType string, how uint8) {
		check := func(n *membercard.Notification, err error) {
			if (n == nil) == (err == nil) {
				t.Fatal("value or error, never both")
			}
			if err == nil && n.Event == nil {
				t.Fatal("no event")
			}
		}
		request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		if how%2 == 0 {
			maps.Copy(request.Header, signedHeader(t, key, time.Now(), string(body)))
		}
		n, err := client.ParseNotification(request)
		check(n, err)
		if how%2 == 1 && err == nil {
			t.Fatal("believed without a signature")
		}
		check(client.ParseNotification(server.NotificationRequest(
			&membercard.UnknownEvent{Plaintext: plaintext}, membercardtest.NotificationEventType(eventType))))
	})
}

// TestOfficialNotifications: the contents of the official pages are read completely, and the fake writes the
// same.
func TestOfficialNotifications(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	for _, page := range eventPages(t) {
		for _, eventType := range page.EventTypes {
			parsed, err := client.ParseNotification(server.NotificationRequest(
				&membercard.UnknownEvent{Plaintext: page.Sample}, membercardtest.NotificationEventType(eventType)))
			require.NoError(t, err)
			written, err := client.ParseNotification(server.NotificationRequest(parsed.Event, membercardtest.NotificationEventType("X.NEW")))
			require.NoError(t, err)
			sample := bytes.ReplaceAll(page.Sample, []byte(`:35+08:00"`), []byte(`:35.000+08:00"`)) // the fake writes milliseconds
			assert.Equal(t, asJSON(t, sample), asJSON(t, written.Event.(*membercard.UnknownEvent).Plaintext), eventType)
		}
	}
}

// TestAKnownEventOfAnotherForm: what is proven and decrypted is not lost when a member has another type than its page says.
func TestAKnownEventOfAnotherForm(t *testing.T) {
	t.Parallel()
	for plaintext, says := range map[string]string{
		"not JSON": "invalid character", "null": "it is not an object", " ": "unexpected end",
		`{"openid":13800000000}`:           "the value of openid is not a string",
		`{"pickup_time":"13800000000"}`:    "is not a membercard.Timestamp",
		`{"card_id":"c","card_color":[1]}`: "the value of card_color is not a string",
	} {
		server := newServer(t)
		n, err := server.Client().ParseNotification(content(plaintext)(t, server))
		require.NoError(t, err, plaintext)
		unknown, ok := n.Event.(*membercard.UnknownEvent)
		require.True(t, ok, plaintext)
		assert.Equal(t, plaintext, string(unknown.Plaintext))
		require.ErrorContains(t, unknown.DecodeError, says)
		assertHidden(t, "13800000000", unknown.DecodeError.Error(), plaintext)
		assert.Equal(t, strings.Contains(plaintext, `"c"`), n.CardID == "c", "what can be read is")
	}
	server := newServer(t)
	n, err := server.Client().ParseNotification(numbers(t, server))
	require.NoError(t, err)
	require.ErrorContains(t, n.Event.(*membercard.UnknownEvent).DecodeError, "the value of deduct_points is not a int64")
}

// TestAnOddEnvelope withholds nothing that is there.
func TestAnOddEnvelope(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	event := &membercard.PointsSyncRequested{BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode}
	body, err := io.ReadAll(server.NotificationRequest(event).Body)
	require.NoError(t, err)
	for _, odd := range []string{
		`"create_time":"2026-11-26T10:00:00"`, `"create_time":1790000000`, `"summary":{}`, `"summary":1`, `"event_type":7`, `"resource_type":1`,
		`"resource.original_type":1`,
	} {
		path, value, _ := strings.Cut(odd, ":")
		path = strings.Trim(path, `"`)
		var envelope map[string]any
		require.NoError(t, json.Unmarshal(body, &envelope))
		members := envelope
		if inner, found := strings.CutPrefix(path, "resource."); found {
			members, path = envelope["resource"].(map[string]any), inner
		}
		members[path] = json.RawMessage(value)
		changed, err := json.Marshal(envelope)
		require.NoError(t, err)
		n, err := server.Client().ParseNotification(signed(string(changed))(t, server))
		require.NoError(t, err, odd)
		assert.Equal(t, openID, n.OpenID)
		_, unknown := n.Event.(*membercard.UnknownEvent)
		assert.Equal(t, path == "event_type", unknown, odd)
	}
	_, err = server.Client().OpenNotification([]byte("[]"))
	require.ErrorContains(t, err, "it cannot be decoded: it is not an object")
}

// TestTheBodyStaysReadable for a client with another APIv3 key.
func TestTheBodyStaysReadable(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := server.NotificationRequest(&membercard.PointsSyncRequested{CardID: cardID, OpenID: openID, UserCardCode: userCardCode})
	_, err := newClient(t, server, func(c *membercard.Config) { c.APIv3Key = strings.Repeat("o", 32) }).ParseNotification(request)
	require.ErrorContains(t, err, "does not decrypt with the APIv3 key")
	n, err := server.Client().ParseNotification(request)
	require.NoError(t, err)
	assert.Equal(t, openID, n.OpenID)
}

// TestAStoredNotificationIsWhole: the body that was stored gives the same notification again; JSON, which would lose it, is an
// error.
func TestAStoredNotificationIsWhole(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	for name, event := range events() {
		n, err := client.ParseNotification(server.NotificationRequest(event))
		require.NoError(t, err, name)
		assertHidden(t, phoneNumber, string(n.Body), "still encrypted")
		again, err := client.OpenNotification(n.Body)
		require.NoError(t, err, name)
		assert.Equal(t, n.ID, again.ID)
		assert.IsType(t, n.Event, again.Event)
		if created, ok := again.Event.(*membercard.UserCardCreated); ok {
			opened, err := client.Decrypt(created.PhoneNumber)
			require.NoError(t, err)
			assert.Equal(t, phoneNumber, opened)
			assert.Equal(t, [4]string{brandID, cardID, openID, userCardCode}, [4]string{n.BrandID, n.CardID, n.OpenID, n.UserCardCode})
		}
		for _, value := range []any{n, *n, []any{n}} {
			_, err = json.Marshal(value)
			require.ErrorContains(t, err, "OpenNotification", name)
		}
		require.ErrorContains(t, json.Unmarshal(n.Body, n), "OpenNotification")
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			for _, value := range []any{n, *n} {
				text := fmt.Sprintf(format, value)
				assert.Contains(t, text, n.ID)
				assert.NotContains(t, text, openID)
			}
		}
		for how, damaged := range map[string][]byte{
			"cut off": n.Body[:len(n.Body)-1], "something behind": append(bytes.Clone(n.Body), '{'), "empty": nil, "null": []byte("null"),
			"changed": bytes.Replace(n.Body, []byte(`"ciphertext":"`), []byte(`"ciphertext":"AAAA`), 1),
		} {
			_, err = client.OpenNotification(damaged)
			require.Error(t, err, name+how)
		}
	}
	other := newClient(t, server, func(c *membercard.Config) { c.APIv3Key = strings.Repeat("k", 32) })
	n, err := client.ParseNotification(server.NotificationRequest(events()["USER_CARD.CREATE"]))
	require.NoError(t, err)
	_, err = other.OpenNotification(n.Body)
	require.ErrorContains(t, err, "was the key reset")
}

// TestAHandlerThatEndsItsGoroutine, as require does in a test, is answered with 500 and logged.
func TestAHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var log bytes.Buffer
	client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	handler := httptest.NewServer(client.NotificationHandler(func(context.Context, *membercard.Notification) error {
		runtime.Goexit()
		return nil
	}))
	defer handler.Close()
	n := server.NotificationRequest(events()["SYNC_USER_POINT"])
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, handler.URL, n.Body)
	require.NoError(t, err)
	request.Header = n.Header
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	handler.Close()
	assert.Contains(t, log.String(), "ended its goroutine")
}

// TestWhyTheHandlerFailed is in the log where the library says it, and the program's own words are not.
func TestWhyTheHandlerFailed(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var log bytes.Buffer
	client := newClient(t, server, noRetries, func(c *membercard.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	faults := map[string]membercardtest.Fault{
		"RATELIMIT_EXCEEDED":           {Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED"},
		"the answer cannot be trusted": {Kind: membercardtest.FaultBadSignature},
		"connection refused":           {Kind: membercardtest.FaultRefuse},
	}
	for says, fault := range faults {
		log.Reset()
		server.Inject(fault)
		w := httptest.NewRecorder()
		client.NotificationHandler(func(ctx context.Context, n *membercard.Notification) error {
			_, err := client.GetUserCard(ctx, getRequest)
			return fmt.Errorf("of %s: %w", n.OpenID, err)
		}).ServeHTTP(w, server.NotificationRequest(events()["SYNC_USER_POINT"]))
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		_, record, _ := strings.Cut(log.String(), "wechatpay notification")
		assert.Contains(t, record, says)
		assert.NotContains(t, record, openID)
	}
}

// TestNamesOfANotification are compared exactly, as those of an answer.
func TestNamesOfANotification(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	n, err := newClient(t, server).ParseNotification(content(`{"openid":"A","OpenID":"B","user_card_code":"1","u\u017fer_card_code":"2"}`)(t, server))
	require.NoError(t, err)
	assert.Equal(t, "A", n.OpenID)
	assert.Equal(t, "1", n.UserCardCode)
	assert.Equal(t, "1", n.Event.(*membercard.UserCardCreated).UserCardCode)
}

// keptAnswer is a middleware that keeps the answer until the handler has returned.
type keptAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *keptAnswer) WriteHeader(status int)      { w.status = status }
func (w *keptAnswer) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *keptAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *keptAnswer) send() {
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(w.body.Bytes())
}

// TestAMiddlewareThatKeepsTheAnswer sends the status that was meant.
func TestAMiddlewareThatKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	inner := newClient(t, server).NotificationHandler(func(context.Context, *membercard.Notification) error { return errors.New("down") })
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := &keptAnswer{ResponseWriter: w, status: http.StatusOK}
		inner.ServeHTTP(kept, r)
		kept.send()
	}))
	defer service.Close()
	statuses, err := server.Notify(t.Context(), events()["SYNC_USER_POINT"], membercardtest.NotificationURL(service.URL))
	require.Error(t, err)
	assert.Equal(t, []int{http.StatusInternalServerError}, statuses)
}
