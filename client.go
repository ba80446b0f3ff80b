package membercard

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard/internal/wire"
)

const (
	primaryURL   = "https://api.mch.weixin.qq.com"
	backupURL    = "https://api2.mch.weixin.qq.com"
	backupPeriod = 30 * time.Second // how long a dead primary host is left alone
)

// Config is what [New] makes a [Client] from. Changing it afterwards has no effect.
type Config struct {
	// MchID is the service provider's merchant number (服务商商户号). Required, unless there is BrandID.
	MchID string
	// BrandID makes a client of the brand edition (品牌商户): a brand that calls for itself, and for no other. Its certificate,
	// public key and API key (品牌API证书, 微信支付公钥, 品牌API密钥) come from the brand platform (品牌经营平台), none of them
	// works for a service provider. BrandID of a request is then empty or this one. The five methods for activities, SecurityEcho,
	// ImportUserCardByPhone, CreatePayViewToken and platform certificates are not in this edition; such a method fails with
	// [ErrInvalidParameter] before anything is sent.
	BrandID string
	// CertificateSerial is the serial number of the merchant API certificate (商户API证书序列号) that
	// belongs to PrivateKey. CertificateSerial reads it from apiclient_cert.pem. Required.
	CertificateSerial string
	// PrivateKey signs requests: the merchant API private key (商户API私钥), apiclient_key.pem, read by
	// ParsePrivateKey, or a key in a KMS or HSM. RSA, at least 2048 bits. When it is also a
	// crypto.Decrypter it decrypts sensitive values. Required.
	PrivateKey crypto.Signer

	// Certificate is the merchant API certificate itself, apiclient_cert.pem. Optional: New then makes sure
	// that PrivateKey and CertificateSerial belong to it, and Client.Check reports when it expires.
	Certificate *x509.Certificate

	// PublicKey is the WeChat Pay public key (微信支付公钥), pub_key.pem, read by ParsePublicKey. PublicKeyID is its id, PUB_KEY_ID_ and
	// digits, from the same page of the merchant platform. They verify answers and notifications and encrypt sensitive values.
	// Required, unless the merchant number still uses platform certificates (平台证书).
	PublicKeyID string
	PublicKey   *rsa.PublicKey
	// APIv3Key (APIv3密钥), 32 characters, decrypts notifications and platform certificates. With it the client downloads the
	// certificates by itself: before the first call when it cannot do without, and again when they are older than 12 hours. It also
	// does so when an answer or a notification is signed with one it does not have. As a plain string it shows when a Config in an
	// unexported field is printed.
	APIv3Key string
	// PreferCertificates encrypts with the newest platform certificate and asks for answers signed with one,
	// though there is a PublicKey. It is for a merchant number whose switch to the public key has not started
	// or is taken back. What signs the notifications is up to WeChat Pay in any case.
	PreferCertificates bool
	// PreviousKeys decrypt values that were encrypted before the merchant certificate was changed.
	PreviousKeys []crypto.Decrypter

	// BaseURL is the service's address; default https://api.mch.weixin.qq.com.
	BaseURL string
	// BackupURL is used after an attempt on BaseURL brought no answer: by the next attempt, and by all
	// calls for 30 s. Default https://api2.mch.weixin.qq.com, or none when BaseURL is set.
	BackupURL string
	// HTTPClient sends the requests. It is copied; without a Transport the copy gets one of its own from NewTransport, so clients
	// that are to share connections must be given the same Transport. A transport that fires no httptrace events is treated as if
	// every failed request had been sent. For an irreversible call it may not ask again for a body that it has read. A failure to
	// connect after that is an unknown outcome. A request of its own needs a context of its own. Redirects are never
	// followed, and net/http is kept from sending a request again by itself once all of it was written.
	HTTPClient *http.Client
	// AttemptTimeout bounds one attempt, from the connection to the last byte; default 10 s. The context
	// of a call bounds all attempts together.
	AttemptTimeout time.Duration
	// Retry says how failed calls are retried.
	Retry RetryPolicy
	// Throttle, when set, is called before every attempt of a method and waits until the operation may be sent.
	// Its error ends the call. The service's limits count per operation and merchant number.
	Throttle func(context.Context, Operation) error
	// IDsInQuery names operations whose card_id (and for InvalidateUserCard brand_id) go into the query, as the official
	// pages of 2025.06.22 had it. Those of 2026-08-08 have them in the body, which is the default. UpdateUserCard,
	// InvalidateUserCard and ConfirmUserCard have the choice. When WeChat Pay's signed answer refuses one place, the client makes
	// the call once more in the other. It keeps to that place, and logs a warning that says what to configure.
	IDsInQuery []Operation
	// OnAttempt, when set, is called after each attempt, those of the download of platform certificates included: for metrics.
	// It runs inside the call, and concurrently for several calls: it must return quickly, and make no call with the client.
	// The context is the call's; of a download it is the download's own.
	OnAttempt func(context.Context, Attempt)
	// Logger gets one record per attempt, with operation, host, status, code, Request-ID and duration. It gets one per notification of
	// a NotificationHandler, and a warning when IDsInQuery should be changed. No record holds a value of a request. Default: nothing
	// is logged.
	Logger *slog.Logger
}

// RetryPolicy says how a failed call is retried. Which failures that covers depends on the operation: reads,
// and writes that may be done twice, whenever that can help; other writes when the service refused
// them for their rate or nothing was sent; irreversible ones only when nothing was sent. Every attempt
// is signed anew. Retry-After is obeyed up to a minute; a wait that would outlast the context is not
// started. A failed check of the TLS certificate is not retried.
type RetryPolicy struct {
	MaxAttempts int           // 0: 3; 1: no retries
	MinBackoff  time.Duration // before the first retry, then doubled, with jitter; 0: 200 ms
	MaxBackoff  time.Duration // 0: 5 s
}

// withDefaults returns the policy with its defaults.
func (p RetryPolicy) withDefaults() (RetryPolicy, error) {
	switch {
	case p.MaxAttempts < 0:
		return p, errors.New("RetryPolicy.MaxAttempts must not be negative")
	case p.MinBackoff < 0:
		return p, errors.New("RetryPolicy.MinBackoff must not be negative")
	case p.MaxBackoff < 0:
		return p, errors.New("RetryPolicy.MaxBackoff must not be negative")
	}
	return RetryPolicy{
		MaxAttempts: cmp.Or(p.MaxAttempts, 3),
		MinBackoff:  cmp.Or(p.MinBackoff, 200*time.Millisecond),
		MaxBackoff:  cmp.Or(p.MaxBackoff, 5*time.Second),
	}, nil
}

type retryPolicyKey struct{}

// WithRetry returns a context whose calls are retried by this policy instead of [Config].Retry. A call that a user waits for may
// have a MaxAttempts of 1. A field of 0 is the default, not that of Config.Retry; a negative one fails the call before anything is
// sent. It never makes a call retry that must not be retried.
func WithRetry(ctx context.Context, policy RetryPolicy) context.Context {
	return context.WithValue(ctx, retryPolicyKey{}, policy)
}

// retryPolicy returns the policy of a call.
func (c *Client) retryPolicy(ctx context.Context) (RetryPolicy, error) {
	if policy, ok := ctx.Value(retryPolicyKey{}).(RetryPolicy); ok {
		return policy.withDefaults()
	}
	return c.retry, nil
}

// backoff returns how long to wait after attempt n: exponential, half of it random.
func (p RetryPolicy) backoff(n int) time.Duration {
	d := min(p.MinBackoff, p.MaxBackoff)
	for range n - 1 {
		if d = 2 * d; d <= 0 || d >= p.MaxBackoff { // or it has overflowed
			d = p.MaxBackoff
			break
		}
	}
	return d/2 + rand.N(d/2+1)
}

// Client calls WeChat Pay's membership card API for one merchant number. It is safe for concurrent use and needs no
// closing. It starts no goroutine but that of a download of platform certificates, which ends within 5 s.
//
// Any method can return the errors that the package comment describes under Errors and retries. The comment of a method names only
// what is special about it.
type Client struct {
	edition           *edition
	certificateSerial string
	certificate       *x509.Certificate // of the merchant's; nil when it was not given
	signer            crypto.Signer
	decrypters        []crypto.Decrypter
	keys              *keyRing
	apiv3Key          secret // of notifications; nil for none
	hosts             *hosts
	http              http.Client
	attemptTimeout    time.Duration
	retry             RetryPolicy
	throttle          func(context.Context, Operation) error
	inQuery           map[*operation]*atomic.Bool    // where contested parameters go
	onAttempt         func(context.Context, Attempt) // nil for none
	logger            *slog.Logger
}

// New checks config and returns a client. It makes no request.
func New(config Config) (*Client, error) {
	c := &Client{
		certificateSerial: config.CertificateSerial, certificate: config.Certificate,
		attemptTimeout: cmp.Or(config.AttemptTimeout, 10*time.Second),
		hosts:          &hosts{created: time.Now()},
		throttle:       config.Throttle,
		onAttempt:      config.OnAttempt,
		logger:         cmp.Or(config.Logger, slog.New(slog.DiscardHandler)),
	}
	for _, set := range []func(*Config) error{c.setIdentity, c.setKeys, c.setDecrypters, c.setHosts, c.setRetry, c.setPlacement} {
		if err := set(&config); err != nil {
			return nil, fmt.Errorf("membercard: New: %w", err)
		}
	}
	if config.HTTPClient != nil {
		c.http = *config.HTTPClient
	}
	if c.http.Transport == nil {
		c.http.Transport = NewTransport()
	}
	c.http.Transport = wire.Once(c.http.Transport)
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// setIdentity checks who calls.
func (c *Client) setIdentity(config *Config) (err error) {
	if c.edition, err = editionOf(config); err != nil {
		return err
	}
	if err := checkID("CertificateSerial", config.CertificateSerial, "the serial number of apiclient_cert.pem, which LoadConfig and the function of this name read"); err != nil {
		return err
	}
	if !serialForm.MatchString(config.CertificateSerial) {
		return errors.New("CertificateSerial is not as WeChat Pay writes it: at most 40 hexadecimal digits (not a decimal number) and nothing else, such as 5157F09EFDC096DE15EBE81A47057A7232F1B8E1")
	}
	return nil
}

// setKeys takes over the key that signs, makes sure that it fits the certificate, and makes the ring of WeChat Pay's keys.
func (c *Client) setKeys(config *Config) error {
	own, err := checkKey(config.PrivateKey)
	if err != nil {
		return fmt.Errorf("PrivateKey %w; it is the merchant API private key, apiclient_key.pem, which LoadConfig and ParsePrivateKey read", err)
	}
	if certificate := config.Certificate; certificate != nil {
		if serial := CertificateSerial(certificate); !strings.EqualFold(serial, config.CertificateSerial) {
			return fmt.Errorf("CertificateSerial is not that of Certificate, which is %s", serial)
		}
		if !own.Equal(certificate.PublicKey) {
			return errors.New("PrivateKey and Certificate do not belong together; use the apiclient_key.pem and apiclient_cert.pem of one download")
		}
	}
	c.signer = config.PrivateKey
	if key, ok := config.PrivateKey.(*rsa.PrivateKey); ok {
		fast := *key // a key put together by hand may lack the values that make signing fast
		fast.Precompute()
		c.signer = &fast
	}
	if c.keys, err = newKeyRing(config, own, c); err != nil {
		return err
	}
	c.apiv3Key = newSecret(config.APIv3Key)
	return nil
}

// setDecrypters takes over the keys that decrypt.
func (c *Client) setDecrypters(config *Config) error {
	if key, ok := c.signer.(crypto.Decrypter); ok {
		c.decrypters = append(c.decrypters, key)
	}
	for i, key := range config.PreviousKeys {
		if _, err := checkKey(key); err != nil {
			return fmt.Errorf("PreviousKeys[%d] %w", i, err)
		}
		c.decrypters = append(c.decrypters, key)
	}
	return nil
}

func (c *Client) setHosts(config *Config) error {
	base, backup := config.BaseURL, config.BackupURL
	if base == "" {
		base, backup = primaryURL, cmp.Or(backup, backupURL)
	}
	var err error
	if c.hosts.primary, err = checkURL("BaseURL", base); err != nil {
		return err
	}
	c.hosts.backup, err = checkURL("BackupURL", cmp.Or(backup, base))
	return err
}

func (c *Client) setRetry(config *Config) (err error) {
	if config.AttemptTimeout < 0 {
		return errors.New("AttemptTimeout must not be negative")
	}
	c.retry, err = config.Retry.withDefaults()
	return err
}

func (c *Client) setPlacement(config *Config) error {
	c.inQuery = map[*operation]*atomic.Bool{}
	for _, op := range operations {
		if op.contested {
			c.inQuery[op] = new(atomic.Bool)
			c.inQuery[op].Store(slices.Contains(config.IDsInQuery, op.name))
		}
	}
	for _, name := range config.IDsInQuery {
		if !slices.ContainsFunc(operations, func(op *operation) bool { return op.name == name && op.contested }) {
			return fmt.Errorf("IDsInQuery: %q is not an operation whose ids can travel in the query", name)
		}
	}
	return nil
}

// host is an address of the service.
type host struct {
	url  string // without a slash behind it
	name string // host and port
}

// hasPath reports whether the address is more than a host.
func (h host) hasPath() bool { return !strings.HasSuffix(h.url, h.name) }

// hosts are the service's addresses, and which of them is in use.
type hosts struct {
	primary, backup host
	created         time.Time    // what backupUntil counts from, so that a clock that is set does not matter
	backupUntil     atomic.Int64 // the primary is left alone until then
}

// next returns the address for the next attempt.
func (h *hosts) next() *host {
	if int64(time.Since(h.created)) < h.backupUntil.Load() {
		return &h.backup
	}
	return &h.primary
}

// markFailed makes the next attempts go to the other host.
func (h *hosts) markFailed(failed *host) {
	until := int64(0)
	if failed == &h.primary {
		until = int64(time.Since(h.created) + backupPeriod)
	}
	h.backupUntil.Store(until)
}

// NewTransport returns the transport of a [Config] without an HTTPClient: enough kept connections for many concurrent calls to one
// host, HTTP/2 with pings, and time limits on connecting. It reads at most 64 KiB of response headers, and uses the environment's
// proxy. Use it to share connections between clients, or below a RoundTripper of your own. A connection that has gone silent costs
// one attempt: with HTTP/2 it is closed after 4 s without a sign of life, with HTTP/1.1 when an attempt exceeds
// [Config].AttemptTimeout.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&wire.Dialer{Dialer: net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}}).DialContext,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second},
		TLSHandshakeTimeout:    3 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    128, // Go's default of 2 makes most of 64 concurrent callers reconnect
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		OnProxyConnectResponse: checkTunnel,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// checkTunnel returns an error that names the proxy when it refused the tunnel, without its password.
func checkTunnel(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("the proxy %s refused the tunnel with %d %s", proxy.Host, answer.StatusCode, http.StatusText(answer.StatusCode))
}

// serialForm is that of a certificate's serial number.
var serialForm = regexp.MustCompile(`^[0-9A-Fa-f]{1,40}$`)

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

func checkURL(name, value string) (host, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(value, "?#") {
		return host{}, fmt.Errorf("%s must be a URL such as %s, without user, query or fragment", name, primaryURL)
	}
	value = strings.TrimRight(value, "/")
	if strings.HasSuffix(value, "/v3") || strings.HasSuffix(value, "/brand") {
		return host{}, fmt.Errorf("%s must not end in /v3 or /brand, with which the path of every operation begins", name)
	}
	return host{value, u.Host}, nil
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

// Format writes the merchant number or the brand's id, and no key, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.Client{%s: %s}", c.edition.field, c.edition.identity.Value)
}

// LogValue returns the merchant number or the brand's id, and no key.
func (c Client) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalJSON fails: a client holds keys.
func (c Client) MarshalJSON() ([]byte, error) {
	return nil, errors.New("membercard: a Client cannot be written as JSON")
}

// Format writes the identifiers and no key, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "membercard.Config{MchID: %s, BrandID: %s, CertificateSerial: %s, PublicKeyID: %s}", c.MchID, c.BrandID, c.CertificateSerial, c.PublicKeyID)
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
	Undecoded  string // names of optional members of the result that are left empty: they have another form than the page says
}

type responseInfoKey struct{}

// WithResponseInfo returns a context whose next call fills in info, also when it fails; it stays empty when no attempt was made.
// Use one for one call; the iterators leave what belongs to their last page.
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

// fillInfo fills in what WithResponseInfo asked for.
func fillInfo(ctx context.Context, a *attempt, v verdict) {
	info := infoOf(ctx)
	if info == nil {
		return
	}
	*info = ResponseInfo{
		RequestID: v.answer.header.Get("Request-Id"), Host: a.host.name, StatusCode: v.answer.status, Attempts: a.n, Undecoded: v.undecoded,
	}
}
