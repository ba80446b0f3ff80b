package membercard

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

const (
	primaryURL = "https://api.mch.weixin.qq.com"
	backupURL  = "https://api2.mch.weixin.qq.com"

	defaultLimit  = 20               // page size of the lists, the most the service allows
	maxBody       = 16 << 20         // of an answer
	clockWindow   = 5 * time.Minute  // how far an answer may be from the local clock
	maxRetryAfter = time.Minute      // the longest the service can make us wait
	backupPeriod  = 30 * time.Second // how long a dead primary host is left alone
)

// Config is what [New] makes a [Client] from. Changing it afterwards has no effect.
type Config struct {
	// MchID is the service provider's merchant number (服务商商户号). Required.
	MchID string
	// CertificateSerial is the serial number of the merchant API certificate (商户API证书序列号) that
	// belongs to PrivateKey. CertificateSerial reads it from apiclient_cert.pem. Required.
	CertificateSerial string
	// PrivateKey signs requests: the merchant API private key (商户API私钥), apiclient_key.pem, read by
	// ParsePrivateKey, or a key in a KMS or HSM. RSA, at least 2048 bits. When it is also a
	// crypto.Decrypter it opens sensitive values. Required.
	PrivateKey crypto.Signer

	// Certificate is the merchant API certificate itself, apiclient_cert.pem. Optional: New then makes sure
	// that PrivateKey and CertificateSerial belong to it, and Client.Check reports when it expires.
	Certificate *x509.Certificate

	// PublicKeyID and PublicKey are the WeChat Pay public key (微信支付公钥), pub_key.pem, read by
	// ParsePublicKey, and its id, PUB_KEY_ID_ and digits, from the same page of the merchant platform.
	// They verify answers and notifications and seal sensitive values. Required, unless the merchant number
	// still uses platform certificates (平台证书).
	PublicKeyID string
	PublicKey   *rsa.PublicKey
	// APIv3Key (APIv3密钥), 32 characters, opens notifications and platform certificates. With it, the
	// certificates are downloaded when an answer or a notification is signed with one that is not at hand;
	// without a PublicKey, or with PreferCertificates, before the first call; and again when they are used and
	// older than 12 hours. Whatever comes in, at most three downloads are begun within 30 s for answers and three
	// for notifications, or one a second each while their callers give up or no call can do without. As a plain string
	// it shows when a Config that sits in an unexported field is printed.
	APIv3Key string
	// PreferCertificates seals with the newest platform certificate and asks for answers signed with one,
	// though there is a PublicKey. It is for a merchant number whose switch to the public key has not begun
	// or is taken back. What signs the notifications is up to WeChat Pay in any case.
	PreferCertificates bool
	// PreviousKeys open values that were sealed before the merchant certificate was changed.
	PreviousKeys []crypto.Decrypter

	// BaseURL is the service's address; default https://api.mch.weixin.qq.com.
	BaseURL string
	// BackupURL is used after an attempt on BaseURL brought no answer: by the next attempt, and by all
	// calls for 30 s. Default https://api2.mch.weixin.qq.com, or none when BaseURL is set.
	BackupURL string
	// HTTPClient sends the requests. It is copied; without a Transport the copy gets one of its own from
	// NewTransport, so clients that are to share connections must be given the same Transport. One that
	// reports no httptrace events leaves it unknown whether a failed request was sent; one that sends a
	// request again by itself must report the events of its last try. Redirects are never followed.
	HTTPClient *http.Client
	// AttemptTimeout bounds one attempt, from the connection to the last byte; default 10 s. The context
	// of a call bounds all attempts together.
	AttemptTimeout time.Duration
	// Retry says how failed calls are repeated.
	Retry RetryPolicy
	// Throttle, when set, is called before every attempt of a method and waits until the operation may be sent.
	// Its error ends the call. The service's limits count per operation and merchant number.
	Throttle func(context.Context, Operation) error
	// IDsInBody names operations whose card_id (and for InvalidateUserCard brand_id) go into the body
	// instead of the query. The official pages changed over time without saying so; an error that names
	// such a parameter says which way to go. UpdateUserCard, InvalidateUserCard and ConfirmUserCard have
	// the choice.
	IDsInBody []Operation
	// Logger gets one record per attempt: operation, host, status, duration and the like, never a value
	// of a request or an answer. Default: nothing is logged.
	Logger *slog.Logger
}

// RetryPolicy says how a failed call is repeated. Which failures are, depends on the operation: reads,
// and writes that may be done twice, whenever that can help; other writes when the service refused
// them for their rate or nothing was sent; irreversible ones only when nothing was sent. Every attempt
// is signed anew. Retry-After is obeyed up to a minute; a wait that would outlast the context is not
// begun. A failed check of the TLS certificate is not repeated.
type RetryPolicy struct {
	MaxAttempts int           // 0: 3; 1: no repeats
	MinBackoff  time.Duration // before the first repeat, then doubled, with jitter; 0: 200 ms
	MaxBackoff  time.Duration // 0: 5 s
}

// Operation names a method of [Client], such as GetUserCard.
type Operation string

// operation is what the client has to know of one.
type operation struct {
	name      Operation
	method    string
	path      string
	repeat    repeatClass
	contested bool // fields marked query|body go into the body on demand
}

var operations = []*operation{
	createCard, listCards, getCard, updateCard, invalidateCard,
	listUserCards, getUserCard, updateUserCard, invalidateUserCard, confirmUserCard, importUserCardByOpenID, importUserCardByPhone,
	syncUserPoints, confirmPointsExchange, createUserFeed, createPreAuthToken, createPayViewToken,
	createActivity, listActivities, getActivity, updateActivity, terminateActivity, uploadImage,
}

type repeatClass int

const (
	read repeatClass = iota + 1
	repeatableWrite
	otherWrite
	irreversible
)

// failure says how an attempt went wrong, as far as repeating it is concerned.
type failure int

const (
	final       failure = iota // repeating cannot help
	notSent                    // certainly
	rateLimited                // refused without being carried out
	uncertain                  // anything may have happened
)

func (r repeatClass) allows(f failure) bool {
	switch f {
	case notSent:
		return true
	case rateLimited:
		return r != irreversible
	case uncertain:
		return r == read || r == repeatableWrite
	default:
		return false
	}
}

// Client calls WeChat Pay's membership card API for one merchant number. It is safe for concurrent use, starts no
// goroutines and needs no closing.
//
// What a method's comment says of errors is what is special about it. Any of them can fail as the package
// comment says under Errors and repeats.
type Client struct {
	mchID, certificateSerial string
	certificate              *x509.Certificate // of the merchant's; nil when it was not given
	signer                   crypto.Signer
	decrypters               []crypto.Decrypter
	keys                     *keyRing
	primary, backup          string
	backupUntil              atomic.Int64 // the primary host is not tried before, in Unix nanoseconds
	http                     http.Client
	attemptTimeout           time.Duration
	retry                    RetryPolicy
	throttle                 func(context.Context, Operation) error
	idsInBody                []Operation
	logger                   *slog.Logger
}

// New checks config and returns a client. It makes no request.
func New(config Config) (*Client, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, fmt.Errorf("membercard: New: %w", err)
	}
	return c, nil
}

func newClient(config Config) (*Client, error) {
	if err := checkID("MchID", config.MchID, "the service provider's merchant number"); err != nil {
		return nil, err
	}
	if err := checkID("CertificateSerial", config.CertificateSerial, "the serial number of apiclient_cert.pem, which the function of this name reads"); err != nil {
		return nil, err
	}
	if strings.Contains(config.CertificateSerial, ":") {
		return nil, errors.New("CertificateSerial holds colons, which some tools put in; WeChat Pay writes it without")
	}
	own, err := checkKey(config.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("PrivateKey %w; it is the merchant API private key, apiclient_key.pem, read with ParsePrivateKey", err)
	}
	if certificate := config.Certificate; certificate != nil {
		if serial := CertificateSerial(certificate); !strings.EqualFold(serial, config.CertificateSerial) {
			return nil, fmt.Errorf("CertificateSerial is not that of Certificate, which is %s", serial)
		}
		if !own.Equal(certificate.PublicKey) {
			return nil, errors.New("PrivateKey and Certificate do not belong together; use the apiclient_key.pem and apiclient_cert.pem of one download")
		}
	}
	keys, err := newKeyRing(config, own)
	if err != nil {
		return nil, err
	}
	if config.AttemptTimeout < 0 || config.Retry.MaxAttempts < 0 || config.Retry.MinBackoff < 0 || config.Retry.MaxBackoff < 0 {
		return nil, errors.New("AttemptTimeout and Retry must not be negative")
	}
	for _, name := range config.IDsInBody {
		if !slices.ContainsFunc(operations, func(op *operation) bool { return op.name == name && op.contested }) {
			return nil, fmt.Errorf("IDsInBody: %q is not an operation whose ids can travel in the body", name)
		}
	}
	if config.BaseURL == "" {
		config.BaseURL = primaryURL
		config.BackupURL = cmp.Or(config.BackupURL, backupURL)
	}
	primary, err := checkURL("BaseURL", config.BaseURL)
	if err != nil {
		return nil, err
	}
	backup, err := checkURL("BackupURL", cmp.Or(config.BackupURL, config.BaseURL))
	if err != nil {
		return nil, err
	}

	c := &Client{
		mchID:             config.MchID,
		certificateSerial: config.CertificateSerial,
		certificate:       config.Certificate,
		signer:            config.PrivateKey,
		keys:              keys,
		primary:           primary,
		backup:            backup,
		attemptTimeout:    cmp.Or(config.AttemptTimeout, 10*time.Second),
		throttle:          config.Throttle,
		idsInBody:         slices.Clone(config.IDsInBody),
		logger:            cmp.Or(config.Logger, slog.New(slog.DiscardHandler)),
		retry: RetryPolicy{
			MaxAttempts: cmp.Or(config.Retry.MaxAttempts, 3),
			MinBackoff:  cmp.Or(config.Retry.MinBackoff, 200*time.Millisecond),
			MaxBackoff:  cmp.Or(config.Retry.MaxBackoff, 5*time.Second),
		},
	}
	keys.download = c.downloadCertificates
	if key, ok := config.PrivateKey.(*rsa.PrivateKey); ok {
		fast := *key // a key put together by hand may lack the values that make signing fast
		fast.Precompute()
		c.signer = &fast
	}
	if key, ok := c.signer.(crypto.Decrypter); ok {
		c.decrypters = append(c.decrypters, key)
	}
	for i, key := range config.PreviousKeys {
		if _, err := checkKey(key); err != nil {
			return nil, fmt.Errorf("PreviousKeys[%d] %w", i, err)
		}
		c.decrypters = append(c.decrypters, key)
	}
	if config.HTTPClient != nil {
		c.http = *config.HTTPClient
	}
	if c.http.Transport == nil {
		c.http.Transport = NewTransport()
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// NewTransport returns the transport of a [Config] without an HTTPClient: enough kept connections for
// many concurrent calls to one host, HTTP/2, time limits on connecting, the environment's proxy. Use
// it to share connections between clients, or below a RoundTripper of your own.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   3 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   128, // Go's default of 2 makes most of 64 concurrent callers reconnect
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// checkID refuses what cannot stand in a header, above all the line feed of a file read whole.
func checkID(name, value, meaning string) error {
	if value == "" {
		return fmt.Errorf("%s is missing: it is %s", name, meaning)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
		return fmt.Errorf("%s holds white space, a quote or another character that does not belong there", name)
	}
	return nil
}

func checkURL(name, value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(value, "?#") {
		return "", fmt.Errorf("%s must be a URL such as %s, without user, query or fragment", name, primaryURL)
	}
	value = strings.TrimRight(value, "/")
	if strings.HasSuffix(value, "/v3") {
		return "", fmt.Errorf("%s must not end in /v3, with which the path of every operation begins", name)
	}
	return value, nil
}

// userAgent names this module, its version as far as the build knows it, and Go.
var userAgent = sync.OnceValue(func() string {
	version := "devel"
	module := reflect.TypeFor[Client]().PkgPath()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Replace == nil && m.Version != "" {
				version = strings.Trim(m.Version, "()")
			}
		}
	}
	return "wechatpay-cards-membercard/" + version + " (" + runtime.Version() + ")"
})

// Format writes the merchant number and no key, whatever the verb.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.Client{MchID: %s}", c.mchID)
}

// LogValue returns the merchant number and no key.
func (c *Client) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalJSON fails: a client holds keys.
func (c *Client) MarshalJSON() ([]byte, error) {
	return nil, errors.New("membercard: a Client cannot be written as JSON")
}

// Format writes the identifiers and no key, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.Config{MchID: %s, CertificateSerial: %s, PublicKeyID: %s}", c.MchID, c.CertificateSerial, c.PublicKeyID)
}

// LogValue returns the identifiers and no key.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalJSON fails: a configuration holds keys.
func (c Config) MarshalJSON() ([]byte, error) {
	return nil, errors.New("membercard: a Config cannot be written as JSON")
}

// ResponseInfo says how a call went over the wire.
type ResponseInfo struct {
	RequestID  string // of the last answer; quote it to WeChat Pay's support
	Host       string // of the last attempt
	StatusCode int    // of the last answer, 0 when there was none
	Attempts   int    // how often the request was made
}

// all iterates over the elements of pages. list returns one page from an offset on and how many elements
// there are in all. The first error ends it, and so does an empty page, whatever the total claims.
func all[T any](offset int, list func(offset int) ([]T, int, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for offset := offset; ; {
			page, total, err := list(offset)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if offset += len(page); len(page) == 0 || offset >= total {
				return
			}
		}
	}
}

type responseInfoKey struct{}

// WithResponseInfo returns a context whose next call fills in info, also when it fails; nothing is in it
// when nothing was sent. Use one for one call; the iterators leave what belongs to their last page.
func WithResponseInfo(ctx context.Context, info *ResponseInfo) context.Context {
	return context.WithValue(ctx, responseInfoKey{}, info)
}

func infoOf(ctx context.Context) *ResponseInfo {
	info, _ := ctx.Value(responseInfoKey{}).(*ResponseInfo)
	return info
}

// resetInfo clears what an earlier call left.
func resetInfo(ctx context.Context) {
	if info := infoOf(ctx); info != nil {
		*info = ResponseInfo{}
	}
}

// call is the way of every operation: validate, seal and encode the request, send it, decode the
// answer.
func call[Result any](ctx context.Context, c *Client, op *operation, request any) (*Result, error) {
	resetInfo(ctx)
	p, err := c.prepare(ctx, op, request)
	if err != nil {
		return nil, err
	}
	return complete[Result](ctx, c, p)
}

// complete sends a prepared request and decodes the answer.
func complete[Result any](ctx context.Context, c *Client, p *preparedCall) (*Result, error) {
	answer, err := c.send(ctx, p)
	if err != nil {
		return nil, err
	}
	result := new(Result)
	err = json.Unmarshal(answer.body, result)
	if err == nil && bytes.TrimSpace(answer.body)[0] != '{' { // null is all that remains
		err = errNoObject
	}
	if err != nil {
		return nil, p.doubtIf(true, p.apiError(answer, err))
	}
	return result, nil
}

var errNoObject = errors.New("it is not an object")

// preparedCall is a request as it goes over the wire, but for what each attempt adds: time, nonce and
// signature.
type preparedCall struct {
	*operation
	uri     string    // escaped path and query
	body    []byte    // nil for none
	upload  *upload   // with a body that is no JSON
	keyID   string    // for Wechatpay-Serial: the key that sealed
	private []string  // values that no error text may quote
	ids     [2]string // room for the first of them: the openid and the card code

	idsInBody bool // fields marked query|body are in the body
}

type sealable interface{ seal(*sealer) any }

// parameter is a field of a request, as its tags declare it: json has the name and, by omitempty or
// omitzero, that it is optional; in has the place.
type parameter struct {
	field, name     string // Go's and the service's
	place, inBody   string // path, query or body; with Config.IDsInBody
	optional        bool
	mayBeZero       bool // the service may accept it
	private, number bool
}

// parametersOf holds the parameters of each request type, so that tags are read once.
var parametersOf sync.Map

func parameters(request reflect.Type) []parameter {
	if known, ok := parametersOf.Load(request); ok {
		return known.([]parameter)
	}
	var all []parameter
	for field := range request.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		place, inBody, contested := strings.Cut(field.Tag.Get("in"), "|")
		if !contested {
			inBody = place
		}
		number := field.Type.Kind() == reflect.Int || field.Type.Kind() == reflect.Int64
		all = append(all, parameter{
			field: field.Name, name: name, place: place, inBody: inBody, optional: options != "", number: number,
			mayBeZero: number || field.Type == reflect.TypeFor[DateInfo](),
			private:   field.Name == "OpenID" || field.Name == "UserCardCode",
		})
	}
	parametersOf.Store(request, all)
	return all
}

// prepare validates, seals and encodes a request. Its errors are ready to be returned.
func (c *Client) prepare(ctx context.Context, op *operation, request any) (*preparedCall, error) {
	p := &preparedCall{operation: op, idsInBody: slices.Contains(c.idsInBody, op.name)}
	if err := p.validate(reflect.ValueOf(request)); err != nil {
		return nil, refuse(p, err)
	}
	key, err := c.keys.seal(ctx)
	if err != nil {
		return nil, p.describe(ctx, &answer{}, "not sent", err)
	}
	p.keyID = key.id
	if r, ok := request.(sealable); ok {
		s := &sealer{client: c, key: key.key}
		request = r.seal(s)
		if p.private = append(p.private, s.plaintexts...); s.err != nil {
			return nil, refuse(p, s.err)
		}
	}
	if err := p.encode(reflect.ValueOf(request)); err != nil {
		return nil, refuse(p, err)
	}
	return p, nil
}

// validate refuses what cannot be meant. It collects the values that no error text may quote.
func (p *preparedCall) validate(request reflect.Value) error {
	declared := parameters(request.Type())
	p.private = p.ids[:0]
	for i, parameter := range declared {
		if parameter.private {
			p.private = append(p.private, request.Field(i).String())
		}
	}
	for i, parameter := range declared {
		value := request.Field(i)
		if !parameter.optional && !parameter.mayBeZero && isZero(value) {
			return fmt.Errorf("%s (%s) is required", parameter.field, parameter.name)
		}
		if where, ok := checkText(value); !ok {
			return fmt.Errorf("%s%s holds an emoji or another character of four UTF-8 bytes, or invalid UTF-8, which the service does not take", parameter.field, where)
		}
		if parameter.place != "path" {
			continue
		}
		if segment := value.String(); segment == "." || segment == ".." || strings.ContainsFunc(segment, unicode.IsControl) {
			return fmt.Errorf("%s (%s) must not be \".\" or \"..\" nor hold control characters", parameter.field, parameter.name)
		}
	}
	return nil
}

// encode makes URI and body of a request that was validated and sealed.
func (p *preparedCall) encode(request reflect.Value) error {
	head, segment, tail := p.path, "", "" // of the path
	query, body := make([]byte, 0, 256), []byte(nil)
	changeable, changes := 0, 0
	for i, parameter := range parameters(request.Type()) {
		value := request.Field(i)
		if parameter.optional {
			changeable++
			if isZero(value) {
				continue
			}
		}
		place := parameter.place
		if p.idsInBody {
			place = parameter.inBody
		}
		switch place {
		case "path":
			head, tail, _ = strings.Cut(p.path, "{"+parameter.name+"}")
			segment = escape(value.String())
		case "query":
			query = append(append(append(query, '&'), parameter.name...), '=')
			if parameter.number {
				query = strconv.AppendInt(query, value.Int(), 10)
			} else {
				query = append(query, escape(value.String())...)
			}
		case "body":
			member, err := json.Marshal(value.Interface())
			if err != nil {
				return fmt.Errorf("%s (%s): %w", parameter.field, parameter.name, err)
			}
			body = append(append(body, `,"`+parameter.name+`":`...), member...)
			if parameter.optional {
				changes++
			}
		}
	}
	if p.method == http.MethodPatch && changeable > 0 && changes == 0 {
		return errors.New("nothing to change: every optional field is empty")
	}
	if len(query) > 0 {
		query[0] = '?'
	}
	var uri strings.Builder
	uri.Grow(len(head) + len(segment) + len(tail) + len(query))
	uri.WriteString(head)
	uri.WriteString(segment)
	uri.WriteString(tail)
	uri.Write(query)
	p.uri = uri.String()
	if body != nil {
		body[0] = '{'
		p.body = append(body, '}')
	}
	if bytes.Contains(p.body, []byte(redactedAs)) { // a forgotten seal must not send clear text, nor this
		return fmt.Errorf("the body holds the text %s, which stands for a value that must not be sent", redactedAs)
	}
	return nil
}

// escape escapes whatever may mean something in a path or a query. A space is %20 and a plus sign %2B, so
// that no server can take one for the other.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// placementHint returns what to do when the service does not know a contested parameter.
func (p *preparedCall) placementHint(detail *ErrorDetail) string {
	place, advice := "/query/", "the service wants %s in the body: add %s to Config.IDsInBody"
	if p.idsInBody {
		place, advice = "/body/", "the service wants %s in the query: remove %s from Config.IDsInBody"
	}
	for _, pointer := range detail.pointers() {
		if name, ok := strings.CutPrefix(pointer, place); ok && p.contested && (name == "card_id" || name == "brand_id") {
			return fmt.Sprintf(advice, name, p.name)
		}
	}
	return ""
}

func isZero(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return v.IsZero()
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// checkText refuses, in all that travels in clear, what the service cannot read: invalid UTF-8 and
// characters of four bytes, such as emoji. It says where in the value they are.
func checkText(v reflect.Value) (where string, ok bool) {
	switch v.Kind() {
	case reflect.String:
		return "", utf8.ValidString(v.String()) && !strings.ContainsFunc(v.String(), func(r rune) bool { return r > 0xFFFF })
	case reflect.Pointer:
		if !v.IsNil() {
			return checkText(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			if where, ok := checkText(v.Index(i)); !ok {
				return fmt.Sprintf("[%d]%s", i, where), false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).CanInterface() { // unexported
				continue
			}
			if where, ok := checkText(v.Field(i)); !ok {
				return "." + v.Type().Field(i).Name + where, false
			}
		}
	}
	return "", true
}

// answer is what one attempt brought.
type answer struct {
	host       string
	onBackup   bool
	attempts   int
	status     int // 0 when there was no answer
	requestID  string
	body       []byte
	verified   bool
	unproven   bool   // it is signed with a certificate that is not at hand
	serial     string // of the key that verified it
	retryAfter time.Duration
	url        *url.URL
	header     http.Header
	signed     []byte // the message this attempt signed
	signature  []byte // of it
	trace      sentTrace
	date       time.Time // the service's clock

	err     error
	failure failure
	inDoubt bool // the service may have carried the request out
}

// send is the attempt loop: throttle, sign, send, read, verify and classify, until the call is done
// or repeating it cannot help.
func (c *Client) send(ctx context.Context, p *preparedCall) (*answer, error) {
	var lastErr error
	inDoubt := false // some attempt may have been carried out
	for attempt := 1; ; attempt++ {
		a := &answer{attempts: attempt}
		if err := c.sign(ctx, p, a); err != nil {
			err = p.describe(ctx, a, "not sent", err)
			if lastErr != nil {
				err = join(lastErr, "; not repeated: ", err)
			}
			return nil, p.doubtIf(inDoubt, err)
		}
		c.exchange(ctx, p, a)
		if info := infoOf(ctx); info != nil {
			*info = ResponseInfo{RequestID: a.requestID, Host: a.host, StatusCode: a.status, Attempts: attempt}
		}
		if a.err == nil {
			return a, nil
		}
		lastErr, inDoubt = a.err, inDoubt || a.inDoubt
		delay := c.backoff(a)
		deadline, limited := ctx.Deadline()
		if attempt >= c.retry.MaxAttempts || !p.repeat.allows(a.failure) || errors.Is(lastErr, ctx.Err()) ||
			limited && time.Until(deadline) <= delay {
			return nil, p.doubtIf(inDoubt, lastErr)
		}
		sleep(ctx, delay)
	}
}

// backoff is how long to wait after a failed attempt: exponential, half of it random, and not shorter
// than the service asked for.
func (c *Client) backoff(a *answer) time.Duration {
	d := min(c.retry.MinBackoff, c.retry.MaxBackoff)
	for range a.attempts - 1 {
		if d = 2 * d; d <= 0 || d >= c.retry.MaxBackoff { // or it has overflowed
			d = c.retry.MaxBackoff
			break
		}
	}
	return max(d/2+rand.N(d/2+1), a.retryAfter)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// doubtIf adds ErrOutcomeUnknown to the error of a write that may have been carried out.
func (p *preparedCall) doubtIf(inDoubt bool, err error) error {
	if inDoubt && p.repeat != read {
		return join(err, "; ", ErrOutcomeUnknown)
	}
	return err
}

// sign makes the URL and the header of one attempt, when the throttle hook lets it through. It signs after
// the wait, so that no signature grows old in a queue, and signs what will be sent.
func (c *Client) sign(ctx context.Context, p *preparedCall, a *answer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.throttle != nil && p.operation != downloadCertificates {
		if err := c.throttle(ctx, p.name); err != nil {
			return err
		}
	}
	base := c.primary
	if a.onBackup = time.Now().UnixNano() < c.backupUntil.Load(); a.onBackup {
		base = c.backup
	}
	u, err := url.Parse(base + p.uri)
	if err != nil {
		return err
	}
	nonce, err := apiv3.Nonce()
	if err != nil {
		return err
	}
	timestamp := time.Now().Unix()
	a.url, a.host = u, u.Host
	signedBody, contentType := p.body, "application/json"
	if p.upload != nil {
		signedBody, contentType = p.upload.meta, p.upload.contentType
	}
	a.signed = apiv3.RequestMessage(p.method, u.RequestURI(), timestamp, nonce, signedBody)
	signature, err := apiv3.Sign(c.signer, a.signed)
	if err != nil {
		return fmt.Errorf("sign with Config.PrivateKey: %w", err)
	}
	a.signature = signature
	a.header = make(http.Header, 5)
	values := make([]string, 0, 5)
	set := func(name, value string) { // as Header.Set, but all values in one array: four allocations less in every call
		values = append(values, value)
		a.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Accept", "application/json")
	set("Authorization", apiv3.Authorization(c.mchID, c.certificateSerial, nonce, timestamp, signature))
	set("User-Agent", userAgent())
	if p.keyID != "" { // the key that sealed, and with which the answer is to be signed
		set("Wechatpay-Serial", p.keyID)
	}
	if p.body != nil {
		set("Content-Type", contentType)
	}
	return ctx.Err() // net/http reports nothing of a request whose context is over
}

// exchange sends a signed request, reads the answer, and verifies it before its body is looked at.
func (c *Client) exchange(ctx context.Context, p *preparedCall, a *answer) {
	start := time.Now()
	defer func() { c.log(ctx, p, a, time.Since(start)) }()
	attemptCtx, cancel := context.WithTimeout(ctx, c.attemptTimeout)
	defer cancel()
	sendCtx := attemptCtx
	if p.repeat != read { // nothing depends on whether a read was sent
		sendCtx = httptrace.WithClientTrace(attemptCtx, a.trace.watch())
	}
	response, err := c.http.Do(p.request(sendCtx, a))
	if err == nil {
		a.status = response.StatusCode
		a.requestID = response.Header.Get("Request-Id")
		a.retryAfter = retryAfter(response.Header.Get("Retry-After"))
		if response.StatusCode == http.StatusUnauthorized || p.operation == downloadCertificates { // Check compares the clocks
			a.date, _ = http.ParseTime(response.Header.Get("Date"))
		}
		a.body, err = readAll(response)
		_ = response.Body.Close()
	}
	switch {
	case err != nil:
		if ctx.Err() == nil && attemptCtx.Err() != nil {
			err = ErrAttemptTimeout
		}
		_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
		if a.status == 0 && a.trace.notSent() {
			a.err, a.failure = p.describe(ctx, a, "not sent", err), notSent
		} else {
			a.err, a.failure, a.inDoubt = p.describe(ctx, a, p.noAnswer(), err), uncertain, true
		}
		if badCertificate {
			a.failure = final
		} else if ctx.Err() == nil { // otherwise the caller went away, which says nothing about the host
			c.switchHost(!a.onBackup)
		}
	case len(a.body) > maxBody:
		a.err, a.inDoubt = p.describe(ctx, a, p.noAnswer(), fmt.Errorf("the answer is longer than %d bytes", maxBody)), true
	default:
		a.err = c.verify(ctx, p, response.Header, a)
		if untrusted, ok := errors.AsType[*SignatureError](a.err); ok {
			a.inDoubt = true
			if untrusted.Reason == ReasonMismatch || untrusted.Reason == ReasonProbe {
				a.failure = uncertain
			}
			return
		}
		p.classify(a)
	}
}

// request is [http.NewRequestWithContext] for a URL that was parsed to be signed.
func (p *preparedCall) request(ctx context.Context, a *answer) *http.Request {
	r := (&http.Request{
		Method: p.method, URL: a.url, Host: a.host, Header: a.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if p.body != nil {
		r.ContentLength = int64(len(p.body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.body)), nil }
		r.Body, _ = r.GetBody()
	}
	return r
}

// noAnswer says what is known of a request without a complete answer.
func (p *preparedCall) noAnswer() string {
	if p.repeat == read {
		return "no complete answer came"
	}
	return "sent, but no complete answer came"
}

// readAll reads a body, at most one byte more than is allowed.
func readAll(response *http.Response) ([]byte, error) {
	size := int64(bytes.MinRead)
	if n := response.ContentLength; n >= 0 && n <= maxBody {
		size = min(n+1, 64<<10) // so that the end is seen without growing; nobody has proven the length
	}
	body := make([]byte, 0, size)
	for len(body) <= maxBody {
		n, err := response.Body.Read(body[len(body):min(cap(body), maxBody+1)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
	return body, nil
}

// describe returns the error of an attempt that brought no complete answer.
func (p *preparedCall) describe(ctx context.Context, a *answer, what string, err error) error {
	err = withoutURL(err)
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errors.New(err.Error()) // of somebody below; the caller's own context goes on
	}
	private := p.private
	if a.signature != nil {
		private = append(slices.Clone(private), base64.StdEncoding.EncodeToString(a.signature))
	}
	text := oneLine(fmt.Sprintf("%s: %s: %v", p.name, what, err), private)
	return &callError{text: text + suffix(private, a.host, a.attempts, a.requestID), cause: err}
}

// withoutURL drops what net/http wraps around an error: the URL, which holds the openid.
func withoutURL(err error) error {
	for urlError := (*url.Error)(nil); errors.As(err, &urlError); {
		err = urlError.Err
	}
	return err
}

// switchHost makes the next attempts go to the other host.
func (c *Client) switchHost(toBackup bool) {
	until := int64(0)
	if toBackup {
		until = time.Now().Add(backupPeriod).UnixNano()
	}
	c.backupUntil.Store(until)
}

// verify checks the signature of an answer. An error without any signature header stays unverified.
func (c *Client) verify(ctx context.Context, p *preparedCall, header http.Header, a *answer) error {
	if a.status < 200 || a.status > 299 {
		signed := slices.ContainsFunc(signatureHeaders, func(name string) bool { return header.Get(name) != "" })
		if !signed {
			return nil
		}
	}
	keyOf := func(serial string) (*rsa.PublicKey, error) { return c.keys.verify(ctx, serial, fromAnswer) }
	if p.operation == downloadCertificates {
		keyOf = func(serial string) (*rsa.PublicKey, error) { return c.keys.verifyDownload(serial, a.body) }
	}
	untrusted := verifySignature(header, a.body, keyOf)
	if untrusted == nil {
		a.verified, a.serial = true, header.Get("Wechatpay-Serial")
		return nil
	}
	if p.operation == downloadCertificates && untrusted.Reason == ReasonUnknownSerial && a.status >= 300 && !strings.HasPrefix(untrusted.Serial, publicKeyPrefix) {
		a.unproven = true // signed with a certificate that only a success would have brought: an error, unverified
		return nil
	}
	untrusted.Operation, untrusted.StatusCode, untrusted.RequestID = p.name, a.status, a.requestID
	untrusted.Host, untrusted.Attempts, untrusted.Body, untrusted.private = a.host, a.attempts, a.body, newSecrets(p.private)
	return untrusted
}

var signatureHeaders = []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"}

// verifySignature checks that WeChat Pay signed a body, an answer's or a notification's, over the bytes as
// they came. It returns nil for a proven one.
func verifySignature(header http.Header, body []byte, keyOf func(serial string) (*rsa.PublicKey, error)) *SignatureError {
	timestamp, nonce := header.Get("Wechatpay-Timestamp"), header.Get("Wechatpay-Nonce")
	signature, serial := header.Get("Wechatpay-Signature"), header.Get("Wechatpay-Serial")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || nonce == "" || signature == "" || serial == "" {
		return &SignatureError{Reason: ReasonMissingHeader, Serial: serial}
	}
	if skew := time.Until(time.Unix(seconds, 0)).Round(time.Second); skew.Abs() >= clockWindow {
		return &SignatureError{Reason: ReasonStaleClock, Skew: skew, Serial: serial}
	}
	key, err := keyOf(serial)
	switch {
	case err != nil:
		return &SignatureError{Reason: ReasonUnknownSerial, Serial: serial, cause: err}
	case apiv3.Verify(key, timestamp, nonce, body, signature):
		return nil
	case strings.HasPrefix(signature, "WECHATPAY/SIGNTEST/"):
		return &SignatureError{Reason: ReasonProbe, Serial: serial}
	}
	return &SignatureError{Reason: ReasonMismatch, Serial: serial}
}

// classify decides what a complete answer means for the call.
func (p *preparedCall) classify(a *answer) {
	status := a.status
	if status >= 200 && status < 300 && status != http.StatusAccepted && status != http.StatusNoContent && len(a.body) > 0 {
		return
	}
	apiError := p.apiError(a, nil)
	a.err = apiError
	switch {
	case errors.Is(apiError, ErrRateLimited) && (status < 500 || a.verified): // a proxy's 5xx proves nothing
		a.failure = rateLimited
	case status == http.StatusAccepted, status >= 500:
		a.failure, a.inDoubt = uncertain, true
	case status < 400:
		a.inDoubt = true
	}
}

func (p *preparedCall) apiError(a *answer, decodeErr error) *APIError {
	var parsed apiv3.ErrorBody
	if a.status >= 400 { // the body of a success is no error, whatever its members are called
		parsed = apiv3.ParseErrorBody(a.body)
	}
	e := &APIError{
		Operation: p.name, StatusCode: a.status, Code: parsed.Code, Message: parsed.Message, RequestID: a.requestID,
		Verified: a.verified, unproven: a.unproven, Host: a.host, Attempts: a.attempts, Body: a.body, private: newSecrets(p.private), decodeErr: decodeErr,
	}
	if parsed.Detail.Raw != nil {
		e.Detail = (*ErrorDetail)(&parsed.Detail)
	}
	switch {
	case errors.Is(e, ErrInvalidParameter):
		e.hint = p.placementHint(e.Detail)
	case errors.Is(e, ErrUnauthorized):
		e.Diagnosis = apiv3.Diagnose(parsed.Detail.Raw, a.signed)
		if skew := time.Until(a.date).Round(time.Second); !a.date.IsZero() && skew.Abs() >= clockWindow {
			e.Diagnosis = fmt.Sprintf("this machine's clock is off by %v from the service's", -skew)
		}
		if e.Diagnosis == "" {
			e.hint = "MchID, CertificateSerial and PrivateKey must be of one merchant number, and the certificate the one in use"
		}
	}
	return e
}

// log writes what may be known of an attempt: no value of the request or the answer.
func (c *Client) log(ctx context.Context, p *preparedCall, a *answer, took time.Duration) {
	level, code := slog.LevelInfo, ""
	if a.err != nil {
		level = slog.LevelWarn
	}
	if !c.logger.Enabled(ctx, level) {
		return
	}
	if e, ok := errors.AsType[*APIError](a.err); ok {
		code = oneLine(e.Code, p.private)
	}
	c.logger.LogAttrs(ctx, level, "wechatpay attempt",
		slog.String("operation", string(p.name)),
		slog.String("method", p.method),
		slog.String("path", p.path),
		slog.String("host", a.host),
		slog.Int("status", a.status),
		slog.String("code", code),
		slog.String("request_id", oneLine(a.requestID, p.private)),
		slog.Duration("duration", took),
		slog.Int("attempt", a.attempts),
	)
}

// retryAfter reads the header's seconds or date, up to a minute.
func retryAfter(value string) time.Duration {
	if value == "" {
		return 0
	}
	var d time.Duration
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		d = time.Duration(min(seconds, 3600)) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		d = time.Until(date)
	}
	return min(max(d, 0), maxRetryAfter)
}

// sentTrace watches whether anything of a request left the machine. A RoundTripper that reports
// nothing leaves it unknown.
type sentTrace struct {
	asked, connected, wrote atomic.Bool
	hooks                   httptrace.ClientTrace
}

func (t *sentTrace) watch() *httptrace.ClientTrace {
	t.hooks.GetConn = func(string) { t.asked.Store(true); t.connected.Store(false) }
	t.hooks.GotConn = func(httptrace.GotConnInfo) { t.connected.Store(true) }
	t.hooks.WroteHeaders = func() { t.wrote.Store(true) }
	return &t.hooks
}

// notSent is true on positive evidence only: a connection was asked for and none was had.
func (t *sentTrace) notSent() bool { return t.asked.Load() && !t.connected.Load() && !t.wrote.Load() }
