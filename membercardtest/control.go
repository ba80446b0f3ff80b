package membercardtest

import (
	"cmp"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// Control is the control API of a Server: what happens at WeChat Pay and on the users' phones, as JSON over HTTP, and a page to
// look at. It is for programs in other languages; Go tests have the methods of Server. control.md describes it, and so does its
// own /openapi.json. It listens on another port than the server, on loopback: whoever reaches it can do everything.
//
// A request is refused when its Host is not a loopback name or it comes from a page of another origin. So no web page elsewhere can
// drive the server.
type Control struct {
	Server      *Server
	Seed        Seed // what the server has after a reset
	PerSecond   int  // the rate after a reset, as LimitRate takes it
	AllowRemote bool // any Host is served
}

//go:embed control
var controlFiles embed.FS

// controlError is a refusal of the control API.
type controlError struct {
	status int
	text   string
}

func (e *controlError) Error() string { return e.text }

func notFound(text string) error { return &controlError{http.StatusNotFound, text} }

// controlRoutes are the operations of the control API. A nil answer is 204.
var controlRoutes = map[string]func(*Control, *http.Request, []byte) (any, error){
	"GET /state":              (*Control).state,
	"POST /cards":             (*Control).addCard,
	"POST /user-cards":        (*Control).addUserCard,
	"POST /user-cards/open":   (*Control).openUserCard,
	"POST /user-cards/delete": (*Control).deleteUserCard,
	"POST /activities":        (*Control).addActivity,
	"POST /points-exchanges":  (*Control).addPointsExchange,
	"POST /seed":              (*Control).plant,
	"GET /faults":             (*Control).listFaults,
	"POST /faults":            (*Control).inject,
	"DELETE /faults":          (*Control).clearFaults,
	"POST /keys/rotate":       (*Control).rotate,
	"PUT /rate":               (*Control).setRate,
	"POST /notifications":     (*Control).notify,
	"GET /requests":           (*Control).listRequests,
	"DELETE /requests":        (*Control).clearRequests,
	"GET /effects":            (*Control).listEffects,
	"POST /reset":             (*Control).reset,
}

// ServeHTTP answers a request of the control API, or with the page.
func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if err := c.guard(r); err != nil {
		answerJSON(w, http.StatusForbidden, map[string]string{"error": err.Error()})
		return
	}
	c.mux().ServeHTTP(w, r)
}

func (c *Control) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, handle := range controlRoutes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.answer(w, r, handle) })
	}
	mux.HandleFunc("GET /requests/events", c.watch)
	for path, file := range map[string]string{"/{$}": "page.html", "/page.js": "page.js", "/page.css": "page.css", "/openapi.json": "openapi.json"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, controlFiles, "control/"+file) })
	}
	return mux
}

// guard refuses what a web page elsewhere could send.
func (c *Control) guard(r *http.Request) error {
	if host := (&url.URL{Host: r.Host}).Hostname(); !c.AllowRemote && !isLoopback(host) {
		return errors.New("the Host is not a loopback address")
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return errors.New("the request comes from a page of another origin")
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return errors.New("the request comes from a page of another origin")
	}
	return nil
}

func isLoopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// answer runs an operation. A body is JSON and says so, which a form of another page cannot.
func (c *Control) answer(w http.ResponseWriter, r *http.Request, handle func(*Control, *http.Request, []byte) (any, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err == nil && len(body) > 0 && !isJSON(r.Header.Get("Content-Type")) {
		err = &controlError{http.StatusUnsupportedMediaType, "the body must be application/json"}
	}
	var value any
	if err == nil {
		value, err = handle(c, r, body)
	}
	refused, _ := errors.AsType[*controlError](err)
	switch {
	case refused != nil:
		answerJSON(w, refused.status, map[string]string{"error": refused.text})
	case err != nil:
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		answerJSON(w, http.StatusOK, value)
	}
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(value), '\n'))
}

// state is everything the server has, in clear.
func (c *Control) state(*http.Request, []byte) (any, error) {
	s := c.Server
	s.mu.Lock()
	defer s.mu.Unlock()
	cards, userCards, activities, exchanges := []document{}, []document{}, []document{}, []document{}
	for _, c := range s.cards {
		cards = append(cards, maps.Clone(c)) // what is encoded afterwards is changed by nobody
	}
	for _, u := range s.userCards {
		card := u.current()
		card["points"], card["deleted"] = u.points, u.deleted
		userCards = append(userCards, card)
	}
	for _, a := range s.activities {
		activities = append(activities, currentActivity(a))
	}
	for _, e := range s.exchanges {
		exchanges = append(exchanges, maps.Clone(e.document))
	}
	return document{
		"edition": s.edition.name, "caller": s.edition.caller, "public_key_id": s.keyID, "per_second": s.perSecond,
		"cards": cards, "user_cards": userCards, "activities": activities,
		"points_exchanges": exchanges, "feeds": append([]document{}, s.feeds...),
	}, nil
}

// addAndAnswer runs a method that adds something and answers with it, in clear.
func addAndAnswer[T any](body []byte, add func(T) any) (any, error) {
	value, err := decodeKnown[T](body)
	if err != nil {
		return nil, err
	}
	var result any
	err = try(func() { result = add(value) })
	return result, err
}

func (c *Control) addCard(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(card membercard.Card) any { return c.Server.AddCard(card) })
}

func (c *Control) addUserCard(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(card membercard.UserCard) any { return c.inClear(c.Server.AddUserCard(card)) })
}

func (c *Control) addActivity(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(a membercard.Activity) any { return c.Server.AddActivity(a) })
}

func (c *Control) addPointsExchange(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(e membercard.PointsExchange) any { return c.Server.AddPointsExchange(e) })
}

// userCardName names a card: by its code, or by the user where it has none yet.
type userCardName struct {
	CardID       string `json:"card_id"`
	UserCardCode string `json:"user_card_code"`
	OpenID       string `json:"openid"`
}

func (c *Control) openUserCard(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(n userCardName) any { return c.inClear(c.Server.OpenUserCard(n.CardID, n.OpenID)) })
}

func (c *Control) deleteUserCard(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(n userCardName) any {
		return c.inClear(c.Server.DeleteUserCard(n.CardID, cmp.Or(n.UserCardCode, n.OpenID)))
	})
}

// inClear returns a card's document, which its own JSON would redact.
func (c *Control) inClear(card membercard.UserCard) document {
	return c.Server.userCardDocument(answerRows(membercard.OperationGetUserCard), card)
}

func (c *Control) plant(_ *http.Request, body []byte) (any, error) {
	seed, err := ParseSeed(body)
	if err != nil {
		return nil, err
	}
	return nil, c.Server.Plant(seed)
}

// controlFault is a Fault as JSON.
type controlFault struct {
	Operation   membercard.Operation `json:"operation,omitempty"`
	Times       int                  `json:"times,omitempty"`
	Kind        FaultKind            `json:"kind"`
	Status      int                  `json:"status,omitempty"`
	Code        string               `json:"code,omitempty"`
	Message     string               `json:"message,omitempty"`
	Header      map[string][]string  `json:"header,omitempty"`
	Body        string               `json:"body,omitempty"`
	DelayMS     int                  `json:"delay_ms,omitempty"`
	Missing     string               `json:"missing,omitempty"`
	Serial      string               `json:"serial,omitempty"`
	AfterEffect bool                 `json:"after_effect,omitempty"`
}

func (c *Control) listFaults(*http.Request, []byte) (any, error) {
	c.Server.mu.Lock()
	defer c.Server.mu.Unlock()
	faults := []controlFault{}
	for _, f := range c.Server.faults {
		faults = append(faults, controlFault{
			f.Operation, f.Times, f.Kind, f.Status, f.Code, f.Message, f.Header, string(f.Body), int(f.Delay.Milliseconds()), f.Missing, f.Serial, f.AfterEffect,
		})
	}
	return faults, nil
}

func (c *Control) inject(_ *http.Request, body []byte) (any, error) {
	return addAndAnswer(body, func(f controlFault) any {
		c.Server.Inject(Fault{
			Operation: f.Operation, Times: f.Times, Kind: f.Kind, Status: f.Status, Code: f.Code, Message: f.Message, Header: f.Header,
			Body: []byte(f.Body), Delay: time.Duration(f.DelayMS) * time.Millisecond, Missing: f.Missing, Serial: f.Serial, AfterEffect: f.AfterEffect,
		})
		return nil
	})
}

func (c *Control) clearFaults(*http.Request, []byte) (any, error) {
	c.Server.ClearFaults()
	return nil, nil
}

// rotate changes WeChat Pay's key, or gives the merchant a new certificate, and answers with what the platform shows.
func (c *Control) rotate(_ *http.Request, body []byte) (any, error) {
	which, err := decodeKnown[struct {
		Which string `json:"which"`
	}](body)
	switch {
	case err != nil:
		return nil, err
	case which.Which == "wechatpay":
		c.Server.RotateKey()
	case which.Which == "merchant":
		c.Server.RotateMerchantKey()
	default:
		return nil, errors.New("which is wechatpay or merchant")
	}
	key, id := c.Server.PublicKey()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	files := c.Server.KeyFiles()
	return map[string]string{
		"public_key_id": id, "public_key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"certificate_serial": c.Server.Config().CertificateSerial, "private_key": string(files["apiclient_key.pem"]),
	}, nil
}

func (c *Control) setRate(_ *http.Request, body []byte) (any, error) {
	rate, err := decodeKnown[struct {
		PerSecond *int `json:"per_second"`
	}](body)
	if err == nil && (rate.PerSecond == nil || *rate.PerSecond < 0) {
		err = errors.New("per_second is required and must not be negative; 0 lifts the limit")
	}
	if err == nil {
		c.Server.LimitRate(*rate.PerSecond)
	}
	return nil, err
}

// controlNotification says what WeChat Pay tells the merchant.
type controlNotification struct {
	userCardName
	Event        string  `json:"event"`
	RecordID     string  `json:"record_id"`     // of POINT_EXCHANGE_COUPON
	DeductPoints int64   `json:"deduct_points"` // of POINT_EXCHANGE_COUPON
	URL          string  `json:"url"`           // default: the template's notify_url
	ID           string  `json:"id"`
	Encrypted    bool    `json:"encrypted"` // personal data is encrypted for the merchant once more
	Fault        string  `json:"fault"`     // of the first delivery
	Missing      string  `json:"missing"`   // which signature header, with that fault
	Copies       int     `json:"copies"`    // at the same time
	RepeatsMS    []int64 `json:"repeats_ms"`
	Schedule     bool    `json:"schedule"` // repeat as WeChat Pay does
}

func (c *Control) notify(r *http.Request, body []byte) (any, error) {
	n, err := decodeKnown[controlNotification](body)
	if err != nil {
		return nil, err
	}
	event, err := c.event(n)
	if err != nil {
		return nil, err
	}
	options := []NotificationOption{NotificationDuplicates(n.Copies), NotificationURL(n.URL), NotificationFault(Fault{Kind: FaultKind(n.Fault), Missing: n.Missing})}
	if n.ID != "" {
		options = append(options, NotificationID(n.ID))
	}
	if n.Encrypted {
		options = append(options, NotificationSealed())
	}
	var repeats []time.Duration
	for _, ms := range n.RepeatsMS {
		repeats = append(repeats, time.Duration(ms)*time.Millisecond)
	}
	if repeats != nil || n.Schedule {
		options = append(options, NotificationRepeats(repeats...))
	}
	var statuses []int
	var failed error
	if err := try(func() { statuses, failed = c.Server.Notify(r.Context(), event, options...) }); err != nil {
		return nil, err
	}
	if failed != nil && len(statuses) == 0 { // it was not delivered
		return nil, errors.New(strings.TrimPrefix(failed.Error(), "membercardtest: "))
	}
	return map[string]any{"statuses": append([]int{}, statuses...), "accepted": failed == nil}, nil
}

// card finds a card by its code, or the last one of a user by the openid.
func (c *Control) card(n userCardName) (card membercard.UserCard, found bool) {
	for _, other := range c.Server.UserCards() {
		if other.CardID == n.CardID && n.UserCardCode+n.OpenID != "" && (n.UserCardCode == "" || other.UserCardCode == n.UserCardCode) && (n.OpenID == "" || other.OpenID == n.OpenID) {
			card, found = other, true
		}
	}
	return card, found
}

// event makes the event of a notification from what the server knows of the card.
func (c *Control) event(n controlNotification) (membercard.Event, error) {
	card, found := c.card(n.userCardName)
	if !found {
		return nil, notFound("there is no such card: name it by card_id and user_card_code or openid")
	}
	switch n.Event {
	case "USER_CARD.CREATE": // as it was then
		card.UserCardState, card.InvalidTime, card.InvalidReason = membercard.UserCardStateUnactivated, membercard.Timestamp{}, ""
		if c.Server.cardNamed(card.CardID).text("code_mode") == "MERCHANT_ALLOCATE" {
			card.UserCardCode = ""
		}
		return &membercard.UserCardCreated{UserCard: card}, nil
	case "USER_CARD.DELETE":
		if !c.Server.wasDeleted(card) {
			return nil, errors.New("the user has not deleted this card: POST /user-cards/delete first")
		}
		return &membercard.UserCardDeleted{UserCard: card}, nil
	case "SYNC_USER_POINT":
		return &membercard.PointsSyncRequested{BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode}, nil
	case "POINT_EXCHANGE_COUPON":
		exchange, found := c.Server.PointsExchange(n.RecordID)
		if !found || exchange.CardID != card.CardID || exchange.UserCardCode != card.UserCardCode {
			return nil, notFound("there is no exchange with this record_id of this card")
		}
		if n.DeductPoints < 0 {
			return nil, errors.New("deduct_points must not be negative")
		}
		return &membercard.PointsExchangeRequested{
			RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: n.DeductPoints,
			BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
			ProductCouponID: exchange.ProductCouponID, ProductCouponStockType: exchange.ProductCouponStockType, StockID: exchange.StockID,
		}, nil
	}
	return nil, errors.New("event is USER_CARD.CREATE, USER_CARD.DELETE, POINT_EXCHANGE_COUPON or SYNC_USER_POINT")
}

// controlRequest is a Request as JSON.
type controlRequest struct {
	Number    int                  `json:"number"`
	Time      string               `json:"time"`
	Operation membercard.Operation `json:"operation"`
	Method    string               `json:"method"`
	URI       string               `json:"uri"`
	Header    http.Header          `json:"header"`
	Body      string               `json:"body"`
	Status    int                  `json:"status"`
	Code      string               `json:"code"`
	Message   string               `json:"message"`
	RequestID string               `json:"request_id"`
	Reason    string               `json:"reason"`
	Source    string               `json:"source"`
	Violation bool                 `json:"violation"`
	Verified  string               `json:"verified"`
	Signed    string               `json:"signed"`
}

func asJSON(r Request) controlRequest {
	return controlRequest{
		r.Number, r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Operation, r.Method, r.RequestURI, r.Header, strings.ToValidUTF8(string(r.Body), "\ufffd"),
		r.Status, r.Code, r.Message, r.RequestID, r.Reason, r.Source, r.Violation, r.Verified, r.Signed,
	}
}

func (c *Control) listRequests(r *http.Request, _ []byte) (any, error) {
	after, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("after"), "0"))
	if err != nil {
		return nil, errors.New("after is not a number")
	}
	requests := []controlRequest{}
	for _, request := range c.Server.Requests() {
		if request.Number > after {
			requests = append(requests, asJSON(request))
		}
	}
	return requests, nil
}

func (c *Control) clearRequests(*http.Request, []byte) (any, error) {
	c.Server.ClearRequests()
	return nil, nil
}

// watch sends each request when it was answered, as server-sent events.
func (c *Control) watch(w http.ResponseWriter, r *http.Request) {
	s := c.Server
	watcher := make(chan Request, 256)
	s.mu.Lock()
	s.watchers[watcher] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, watcher)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	controller := http.NewResponseController(w)
	for {
		if err := controller.Flush(); err != nil {
			return
		}
		select {
		case request := <-watcher:
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", request.Number, encode(asJSON(request))); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.closed:
			return
		}
	}
}

// controlEffect is how often an operation was carried out.
type controlEffect struct {
	Operation membercard.Operation `json:"operation"`
	Key       string               `json:"key"`
	Count     int                  `json:"count"`
}

func (c *Control) listEffects(*http.Request, []byte) (any, error) {
	c.Server.mu.Lock()
	effects := maps.Clone(c.Server.effects)
	c.Server.mu.Unlock()
	list := []controlEffect{}
	for e, count := range effects {
		list = append(list, controlEffect{e.operation, e.code, count})
	}
	slices.SortFunc(list, func(a, b controlEffect) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Key, b.Key))
	})
	return list, nil
}

func (c *Control) reset(*http.Request, []byte) (any, error) {
	c.Server.Reset()
	c.Server.LimitRate(c.PerSecond)
	return nil, c.Server.Plant(c.Seed)
}
