package membercardtest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// The identities of every Server. Keys are made anew for each process.
const (
	MchID             = "1900009191"                                    // the service provider's merchant number
	CertificateSerial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"      // of the merchant API certificate
	PublicKeyID       = "PUB_KEY_ID_0119000091912026112200000000000001" // of the WeChat Pay public key
	APIv3Key          = "0123456789abcdefghijklmnopqrstuv"

	rotatedSerial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E2"
)

const maxRequestBody = 4 << 20

var (
	rotatedKey         = sync.OnceValue(newKey)
	rotatedMerchantKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// Server is a WeChat Pay for tests. It is an [http.RoundTripper], for a client in the same process, and
// an [http.Handler], for one elsewhere. It is safe for concurrent use.
type Server struct {
	idsInQuery      []membercard.Operation
	withdrawn       bool // the operations that the service no longer has are answered
	edition         edition
	merchantKey     crypto.Signer
	platformKey     *rsa.PrivateKey
	uploadPath      string
	digestField     string
	allowViolations bool
	refuseReplays   bool
	onRequest       func(Request)
	closed          chan struct{}
	waiting         map[*context.CancelFunc]bool // what Close ends

	reporting    sync.Mutex // orders the calls of onRequest
	mu           sync.Mutex
	tb           testing.TB
	first        keys // of the beginning
	certificates []*platformCertificate
	httpServer   *http.Server
	baseURL      string
	watchers     map[chan Request]bool
	state
}

// keys are the merchant's and WeChat Pay's.
type keys struct {
	merchants []merchantCertificate // that are valid, the newest last
	keyID     string
	key       *rsa.PrivateKey
}

// state is what Reset forgets.
type state struct {
	keys
	switching  bool // from the certificates to the public key
	signatures int  // made with certificates
	notified   int  // notifications made
	cards      []document
	userCards  []*userCard
	nonces     map[string]*usedNonce
	pruned     time.Time // when old nonces were dropped last
	requests   []*Request
	arrived    int // requests
	effects    map[effect]int
	exchanges  []*pointsExchange
	activities []document
	tokens     []*token
	feeds      []document
	echoURLs   map[string]string // where the notification of a security echo goes, by its message
	pictures   map[string][]byte // by URL
	faults     []*Fault
	perSecond  int
	recent     map[membercard.Operation][]time.Time
}

func newState(keys keys) state {
	keys.merchants = slices.Clone(keys.merchants)
	return state{
		keys: keys, nonces: map[string]*usedNonce{}, effects: map[effect]int{}, pictures: map[string][]byte{},
		echoURLs: map[string]string{}, recent: map[membercard.Operation][]time.Time{},
	}
}

// Reset forgets everything but the options and the certificates: cards, requests, faults, the rate. The keys are those of the
// beginning.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = newState(s.first)
}

// usedNonce is what was signed with a nonce, when it arrived, and how it was answered.
type usedNonce struct {
	digest  [32]byte
	at      time.Time
	value   document
	refused *problem
}

type effect struct {
	operation membercard.Operation
	code      string
}

// WithUpload changes where pictures are uploaded and how their digest is named, as
// membercard.UploadImageRequest.Path and DigestField do. The default is /v3/marketing/favor/media/image-upload
// and sha256.
func WithUpload(path, digestField string) Option {
	return func(s *Server) {
		s.uploadPath, s.digestField = "/"+strings.TrimPrefix(path, "/"), digestField
	}
}

// Option changes a Server.
type Option func(*Server)

// WithIDsInQuery makes the server expect card_id (and for InvalidateUserCard brand_id) of these operations in the query, and refuse
// them in the body. The pages of 2025.06.22 had it so. A client of [Server.Config] is not told: it finds out, as one of the
// service's would.
func WithIDsInQuery(operations ...membercard.Operation) Option {
	return func(s *Server) { s.idsInQuery = operations }
}

// WithWithdrawnOperations makes the server answer ImportUserCardByPhone and CreatePayViewToken, whose pages WeChat Pay has
// withdrawn. Without it they get a bare 404, as a path that does not exist: for tests of programs that still call them.
func WithWithdrawnOperations() Option { return func(s *Server) { s.withdrawn = true } }

// WithMerchantKey makes this key, an RSA key in an HSM perhaps, the one of the merchant API certificate instead of a made one.
func WithMerchantKey(key crypto.Signer) Option {
	return func(s *Server) { s.merchantKey = key }
}

// WithPlatformKey makes this key the one whose public half is the WeChat Pay public key, instead of a made one.
func WithPlatformKey(key *rsa.PrivateKey) Option { return func(s *Server) { s.platformKey = key } }

// AllowViolations keeps a Server of [NewTestServer] from failing the test on a violation of the
// protocol. For tests of clients that are expected to make mistakes.
func AllowViolations() Option { return func(s *Server) { s.allowViolations = true } }

// RefuseReplays refuses a request that comes twice with the same bytes and signature. WeChat Pay is not
// documented to do that, and Go's transport may repeat a read that way on a connection that died.
func RefuseReplays() Option { return func(s *Server) { s.refuseReplays = true } }

// OnRequest calls f with every request when it was judged and before the answer goes out, one at a time. f
// must not make requests to the server.
func OnRequest(f func(Request)) Option { return func(s *Server) { s.onRequest = f } }

// NewServer returns a Server without cards.
func NewServer(options ...Option) *Server {
	s := &Server{
		closed: make(chan struct{}), waiting: map[*context.CancelFunc]bool{}, edition: partnerEdition, watchers: map[chan Request]bool{},
	}
	for _, option := range options {
		option(s)
	}
	if s.edition.keyAlways && len(s.certificates) > 0 {
		panic("membercardtest: WithBrandEdition and WithCertificates: brands have no platform certificates")
	}
	if s.uploadPath == "" {
		s.uploadPath, s.digestField = s.edition.uploadPath, s.edition.digestField
	}
	if s.merchantKey == nil {
		s.merchantKey = s.edition.merchantKey()
	}
	if s.platformKey == nil {
		s.platformKey = s.edition.platformKey()
	}
	s.first = keys{[]merchantCertificate{{s.edition.serial, s.merchantKey}}, s.edition.keyID, s.platformKey}
	s.state = newState(s.first)
	return s
}

// NewTestServer returns a Server that is closed when the test ends. It fails the test when a request
// violates the protocol in a way no correct client does: signature, headers, a parameter that is
// unknown or in the wrong place, a sensitive value in clear. Refusals of the business, such as a card
// that does not exist or a value that is too long, and injected faults do not. A server of a *testing.F, which
// must not be failed from within the fuzz target, is closed and no more.
func NewTestServer(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s := NewServer(options...)
	if _, fuzz := tb.(*testing.F); !fuzz {
		s.tb = tb
	}
	tb.Cleanup(func() {
		s.mu.Lock()
		for _, fault := range s.faults {
			if fault.Times > 0 {
				tb.Logf("membercardtest: a fault has not struck: %s %s", fault.Kind, fault.Operation)
			}
		}
		s.mu.Unlock()
		s.Close()
	})
	return s
}

// Config returns the configuration of a client of this server, in memory: no listener is involved. For
// a client that goes through the listener set BaseURL to what [Server.Start] returns, and HTTPClient
// to nil. With [NewTestServer] its Logger writes what goes wrong to the test's log.
func (s *Server) Config() membercard.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	merchant := s.merchants[len(s.merchants)-1]
	config := membercard.Config{
		CertificateSerial: merchant.serial,
		PrivateKey:        merchant.key,
		APIv3Key:          s.edition.apiv3Key,
		HTTPClient:        &http.Client{Transport: s},
	}
	s.edition.configure(&config)
	if len(s.certificates) == 0 || s.switching {
		config.PublicKey, config.PublicKeyID = &s.key.PublicKey, s.keyID
	}
	if s.tb != nil {
		config.Logger = slog.New(slog.NewTextHandler(testLog{s}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return config
}

// testLog is the log of the test, while it goes on.
type testLog struct{ s *Server }

func (l testLog) Write(line []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.tb != nil {
		_, _ = l.s.tb.Output().Write(line)
	}
	return len(line), nil
}

// Client returns a client made from Config.
func (s *Server) Client() *membercard.Client { return newClient(s.Config()) }

func newClient(config membercard.Config) *membercard.Client {
	client, err := membercard.New(config)
	if err != nil {
		panic(err)
	}
	return client
}

// PlatformKey returns the key pair whose public half is the WeChat Pay public key of Config, for tests
// that sign answers of their own.
func (s *Server) PlatformKey() *rsa.PrivateKey { return s.first.key }

// Start listens on a free port of the loopback interface and returns the base URL. Calling it again
// returns the same.
func (s *Server) Start() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.httpServer != nil {
		return s.baseURL
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.baseURL = "http://" + listener.Addr().String()
	s.httpServer = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.httpServer.Serve(listener) }()
	return s.baseURL
}

// Close stops the listener, if there is one, and ends the requests that are being kept waiting. While one waits in a synctest
// bubble, call it there.
func (s *Server) Close() {
	s.mu.Lock()
	server := s.httpServer
	s.tb = nil // a test that is over must not be failed
	if !s.isClosed() {
		close(s.closed)
	}
	for cancel := range s.waiting {
		(*cancel)()
	}
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

// RotateKey makes the server sign with, and expect sensitive values encrypted for, a key that the clients
// do not have. [Server.PublicKey] and Config give the new one out.
func (s *Server) RotateKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.keyID = rotatedKey(), strings.TrimSuffix(s.first.keyID, "1")+"2"
}

// merchantCertificate is a merchant API certificate.
type merchantCertificate struct {
	serial string
	key    crypto.Signer
}

func (c merchantCertificate) public() *rsa.PublicKey { return c.key.Public().(*rsa.PublicKey) }

func rotatedMerchant() merchantCertificate {
	return merchantCertificate{rotatedSerial, rotatedMerchantKey()}
}

// RotateMerchantKey gives the merchant a new API certificate beside the old one, as the merchant platform does. Both sign
// requests; what is encrypted for the merchant is from now on encrypted for the new one. Config has the new one.
func (s *Server) RotateMerchantKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merchants = append(s.merchants, rotatedMerchant())
}

// merchant returns the key with which values for the merchant are encrypted.
func (s *Server) merchant() *rsa.PublicKey { return s.merchants[len(s.merchants)-1].public() }

// PublicKey returns the WeChat Pay public key and its id as the merchant platform shows them now: the new ones after
// [Server.RotateKey], for a client that is configured anew.
func (s *Server) PublicKey() (key *rsa.PublicKey, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.key.PublicKey, s.keyID
}

// LimitRate refuses with 429 what exceeds n requests within a second, for each operation; 0 lifts the
// limit.
func (s *Server) LimitRate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perSecond = max(n, 0)
}

// Request is a request as it arrived, and what became of it.
type Request struct {
	Number     int // of its arrival, from 1
	Time       time.Time
	Operation  membercard.Operation // empty for an unknown path
	Method     string
	Host       string
	RequestURI string // path and query as they stand on the request line
	Path       string // of the operation, with the names of its parameters; of an unknown one as it came
	Header     http.Header
	Body       []byte
	Status     int    // 0 when no answer was given, or not yet
	Code       string // the error code, when it was refused
	Message    string // what the caller was told then: the text in Chinese, also where it asked for English
	RequestID  string // of the answer
	Reason     string // why it was refused, with the source of the rule, or the fault that struck
	Source     string // of the rule that refused it: documented with a page, observed, inferred, or membercardtest
	Verified   string // the message whose signature did not match
	Signed     string // what was probably signed instead, where that can be told
	Violation  bool   // a correct client never sends this
}

// ClearRequests forgets the requests so far, for a server that runs for long.
func (s *Server) ClearRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Requests returns all requests in the order of their arrival, those under way included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var requests []Request
	for _, r := range s.requests {
		requests = append(requests, *r)
	}
	return requests
}

// Effects returns how often an operation was carried out on the user card with this code. It counts what would have been carried
// out had the card not been in that state already: more than one invalidation is a doubled call, even if the second one is refused.
// Operations on templates and activities count under the card_id or the activity_id, those that create them under the
// out_request_no, an upload under its filename. A creation that is refused for its request number is no further effect.
// SyncUserPoints counts each time, and a security echo under its echo_message.
func (s *Server) Effects(operation membercard.Operation, code string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.effects[effect{operation, code}]
}

// RoundTrip answers a request of a client in the same process.
func (s *Server) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if request.Body != nil {
		defer request.Body.Close()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		trace = &httptrace.ClientTrace{}
	}
	if trace.GetConn != nil {
		trace.GetConn(request.URL.Host)
	}
	arrived := request.Clone(ctx)
	if _, set := arrived.Header["User-Agent"]; !set { // as net/http does; one set to "" is left out
		arrived.Header.Set("User-Agent", "Go-http-client/1.1")
	}
	arrived.RequestURI = request.URL.RequestURI()
	arrived.Host = request.URL.Host
	if s.refusesConnection(arrived) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	response, err := s.answer(arrived)
	if err != nil {
		return nil, err
	}
	if trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	response.Request = request
	return response, nil
}

// ServeHTTP answers a request of a client elsewhere. Where RoundTrip returns an error it drops the
// connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.URL.IsAbs() { // as a client with a proxy sends it
		_, rest, _ := strings.Cut(request.RequestURI, "://")
		_, path, _ := strings.Cut(rest, "/")
		request.RequestURI = "/" + path
	}
	if s.refusesConnection(request) {
		panic(http.ErrAbortHandler)
	}
	response, err := s.answer(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	maps.Copy(w.Header(), response.Header)
	if response.ContentLength >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(response.ContentLength))
	}
	var out io.Writer = w
	if acceptsGzip(request.Header) && response.ContentLength > 0 {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Del("Content-Length")
		compressed := gzip.NewWriter(w)
		defer func() { _ = compressed.Close() }()
		out = compressed
	}
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(out, response.Body); err != nil {
		if compressed, ok := out.(*gzip.Writer); ok {
			_ = compressed.Flush()
		}
		_ = http.NewResponseController(w).Flush() // the client gets what there is before it breaks off
		panic(http.ErrAbortHandler)
	}
}

// acceptsGzip reports whether a request admits gzip, with a weight above 0.
func acceptsGzip(header http.Header) bool {
	for item := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(item, ";")
		weight, hasWeight := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") && (!hasWeight || strings.Trim(weight, "0.") != "") {
			return true
		}
	}
	return false
}

// errCut is what a client sees of a connection that was cut.
func errCut() error { return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET} }

// answer is the server: it reads, judges, carries out and answers one request. An error means that the
// connection breaks instead.
func (s *Server) answer(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(request.Body, maxRequestBody+1)); err != nil {
			return nil, err
		}
		if len(body) > maxRequestBody { // so that the caller reads the answer
			_, _ = io.CopyN(io.Discard, request.Body, 16*maxRequestBody)
		}
	}
	route, pathValues := s.match(request)
	record := Request{
		Operation: route.operation, Method: request.Method, Host: request.Host, RequestURI: request.RequestURI,
		Header: request.Header.Clone(), Body: body, Time: time.Now(), Path: "/" + strings.Join(route.path, "/"),
	}
	if route.operation == "" {
		record.Path = request.URL.Path
	}
	entry := s.recordArrival(&record)
	fault := s.takeFault(route.operation, true)
	if fault != nil {
		record.Reason = "fault: " + string(fault.Kind)
		if err := fault.beforeEffect(request.Context(), s); err != nil {
			if fault.carriesOut() && request.Context().Err() != nil {
				s.carryOutLate(fault.Delay-time.Since(record.Time), request, route, pathValues, body)
			}
			s.record(entry, record, nil)
			return nil, err
		}
	}
	a := reply{status: http.StatusOK, header: http.Header{}, signed: true}
	if fault == nil || fault.carriesOut() {
		value, refused := s.process(request, route, pathValues, body)
		if refused != nil {
			record.Violation = refused.violation
			record.Reason = strings.TrimPrefix(record.Reason+fmt.Sprintf("; %s (%s)", refused.reason, refused.source), "; ")
			record.Message, record.Source, record.Verified, record.Signed = refused.message, string(refused.source), refused.verified, refused.signed
			a.status, a.signed, a.code, a.idSuffix = refused.status, !refused.unsigned && !refused.bare, refused.code, refused.idSuffix
		}
		switch {
		case refused == nil:
			a.body = encode(value)
		case !refused.bare:
			a.body = encode(refused.in(language(request.Header)))
		}
	}
	if fault != nil {
		if err := fault.afterEffect(request.Context(), s); err != nil {
			s.record(entry, record, nil)
			return nil, err
		}
		if fault.changeReply(&a) {
			record.Message = fault.Message
		}
	}
	response := s.sign(&a, request.Header)
	if fault != nil {
		s.changeSigned(fault, response, &a)
	}
	s.record(entry, record, &a)
	return response, nil
}

// carryOutLate carries out a request after a while, whose caller has gone.
func (s *Server) carryOutLate(after time.Duration, request *http.Request, route *route, pathValues map[string]string, body []byte) {
	request = request.Clone(context.WithoutCancel(request.Context()))
	time.AfterFunc(after, func() {
		if !s.isClosed() {
			s.process(request, route, pathValues, body)
		}
	})
}

// process authenticates a request, and carries it out unless it came before.
func (s *Server) process(request *http.Request, route *route, pathValues map[string]string, body []byte) (document, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if route.operation == "" {
		return route.handle(s, input{})
	}
	if refused := checkHeaders(request, route, body); refused != nil {
		return nil, refused.unproven()
	}
	if len(body) > maxRequestBody {
		return nil, tooLarge().unproven()
	}
	signed := body
	if route.upload {
		signed = readUpload(request.Header.Get("Content-Type"), body).meta
	}
	used, repeated, refused := s.authenticate(request, signed, body)
	switch {
	case refused != nil:
		return nil, refused.unproven()
	case !repeated, route.method == http.MethodGet, used.refused.isOfTheRate(): // a read is answered with what is there now
		used.value, used.refused = s.carryOut(request, route, pathValues, body)
	}
	return used.value, used.refused
}

// carryOut validates an authenticated request, and changes the state.
func (s *Server) carryOut(request *http.Request, route *route, pathValues map[string]string, body []byte) (document, *problem) {
	if refused := s.checkKeyID(request); refused != nil {
		return nil, refused
	}
	input, refused := s.validate(route, pathValues, request.RequestURI, request.Header, body)
	if refused != nil {
		return nil, refused
	}
	if route.serial && request.Header.Get("Wechatpay-Serial") == "" {
		return nil, invalidHeader("Wechatpay-Serial", "is missing; this operation requires it")
	}
	if s.exceedsRate(route.operation) {
		return nil, rateLimited()
	}
	answer, refused := route.handle(s, s.edition.complete(input, route.method))
	if refused != nil || route.response == nil {
		return answer, refused
	}
	return project(route.response, answer, valueEncrypter(s.merchant())), nil
}

func (s *Server) exceedsRate(operation membercard.Operation) bool {
	if s.perSecond == 0 {
		return false
	}
	now := time.Now()
	recent := slices.DeleteFunc(s.recent[operation], func(t time.Time) bool { return now.Sub(t).Abs() >= time.Second }) // the clock of a synctest bubble is another
	exceeds := len(recent) >= s.perSecond
	if !exceeds {
		recent = append(recent, now)
	}
	s.recent[operation] = recent
	return exceeds
}

// recordArrival numbers a request that arrived, and keeps it.
func (s *Server) recordArrival(r *Request) *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived++
	r.Number = s.arrived
	entry := new(*r)
	s.requests = append(s.requests, entry)
	return entry
}

// record keeps what became of a request, reports it, and fails the test where that is due.
func (s *Server) record(entry *Request, r Request, a *reply) {
	if a != nil {
		r.Status, r.Code, r.RequestID = a.status, a.code, a.header.Get("Request-ID")
	}
	func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*entry = r
		if s.tb != nil {
			s.reportToTest(r)
		}
		for watcher := range s.watchers {
			select {
			case watcher <- r:
			default: // who is too slow misses it, and can ask for all
			}
		}
	}()
	if s.onRequest != nil {
		s.reporting.Lock()
		defer s.reporting.Unlock()
		s.onRequest(r)
	}
}

func (s *Server) reportToTest(r Request) {
	s.tb.Helper()
	switch {
	case r.Violation && !s.allowViolations:
		s.tb.Errorf("membercardtest: %s %s violates the protocol: %s", r.Method, r.Operation, r.Reason)
	case r.Reason != "":
		s.tb.Logf("membercardtest: %s answered %d %s: %s", r.Operation, r.Status, r.Code, r.Reason)
	}
}

// reply is an answer before it is signed.
type reply struct {
	status   int
	code     string
	idSuffix string // behind the hyphen of the Request-ID
	header   http.Header
	body     []byte
	signed   bool
}

// sign turns a reply into an answer as WeChat Pay sends it to a request with these headers.
func (s *Server) sign(a *reply, request http.Header) *http.Response {
	s.mu.Lock()
	key, keyID := s.signingKey(request.Get("Wechatpay-Serial"))
	s.mu.Unlock()
	now := time.Now()
	h := a.header
	setDefault := func(name, value string) {
		if h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	if len(a.body) > 0 {
		setDefault("Content-Type", "application/json; charset=utf-8")
	}
	setDefault("Content-Language", language(request))
	setDefault("X-Content-Type-Options", "nosniff")
	setDefault("Date", now.UTC().Format(http.TimeFormat))
	setDefault("Request-ID", requestID(a.status, a.idSuffix))
	setDefault("Cache-Control", "no-cache, must-revalidate")
	if a.signed {
		timestamp, nonce := fmt.Sprint(now.Unix()), randomHex(16)
		h.Set("Wechatpay-Timestamp", timestamp)
		h.Set("Wechatpay-Nonce", nonce)
		h.Set("Wechatpay-Serial", keyID)
		h.Set("Wechatpay-Signature-Type", s.edition.scheme)
		h.Set("Wechatpay-Signature", signAnswer(key, timestamp, nonce, a.body))
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}
}

// requestID has the documented shape: an id, and behind the last hyphen 0 or an internal error number.
func requestID(status int, number string) string {
	if number == "" {
		number = map[int]string{
			http.StatusOK: "0", http.StatusNoContent: "0",
			http.StatusUnauthorized: "268443699", http.StatusTooManyRequests: "268447840",
		}[status]
	}
	return strings.ToUpper(randomHex(20)) + "-" + cmp.Or(number, "268435461")
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}

// await waits for d, or for ever when d is 0. It returns early, with an error, when the client or the
// server goes away. Only the context tells of both: in a synctest bubble time would stand still beside a channel of a server that was
// made outside.
func (s *Server) await(ctx context.Context, d time.Duration) error {
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.waiting[&cancel] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, &cancel)
	}()
	if s.isClosed() {
		return errClosed
	}
	var elapsed <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-elapsed:
		return nil
	case <-waitCtx.Done():
		return cmp.Or(ctx.Err(), errClosed)
	}
}

var errClosed = errors.New("membercardtest: the server was closed")

func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
