package membercard_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
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

func TestNewLooksAtTheCertificate(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	config := server.Config()
	key := config.PrivateKey.(*rsa.PrivateKey)
	config.Certificate = merchantCertificate(t, key, membercardtest.CertificateSerial, time.Now().AddDate(1, 0, 0))
	_, err := membercard.New(config)
	require.NoError(t, err)
	config.Certificate = merchantCertificate(t, newKey(), membercardtest.CertificateSerial, time.Now().AddDate(1, 0, 0))
	_, err = membercard.New(config)
	require.ErrorContains(t, err, "PrivateKey and Certificate do not belong together")
	config.Certificate = merchantCertificate(t, key, "1234", time.Now().AddDate(1, 0, 0))
	_, err = membercard.New(config)
	require.ErrorContains(t, err, "CertificateSerial is not that of Certificate, which is 1234")
	config.Certificate = &x509.Certificate{}
	_, err = membercard.New(config)
	require.Error(t, err)
}

func merchantCertificate(t *testing.T, key *rsa.PrivateKey, serial string, notAfter time.Time) *x509.Certificate {
	t.Helper()
	number, ok := new(big.Int).SetString(serial, 16)
	require.True(t, ok)
	template := &x509.Certificate{SerialNumber: number, NotBefore: notAfter.AddDate(-5, 0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := membercard.ParseCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	require.NoError(t, err)
	return certificate
}

func TestResponseInfo(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var info membercard.ResponseInfo
	_, err := server.Client().GetUserCard(membercard.WithResponseInfo(t.Context(), &info), getRequest)
	require.NoError(t, err)
	assert.Equal(t, membercard.ResponseInfo{RequestID: info.RequestID, Host: "api.mch.weixin.qq.com", StatusCode: 200, Attempts: 1}, info)
	assert.Regexp(t, `^[0-9A-F]{40}-0$`, info.RequestID)

	request := getRequest
	request.UserCardCode = "1"
	_, err = server.Client().GetUserCard(membercard.WithResponseInfo(t.Context(), &info), request)
	require.ErrorIs(t, err, membercard.ErrNotFound)
	assert.Equal(t, 404, info.StatusCode)
	assert.Contains(t, err.Error(), info.RequestID)
}

func TestTheCallersHTTPClientIsCopied(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	followed := false
	shared := &http.Client{Transport: server, CheckRedirect: func(*http.Request, []*http.Request) error { followed = true; return nil }}
	client := newClient(t, server, func(c *membercard.Config) { c.HTTPClient = shared })
	_ = shared.CheckRedirect(nil, nil)
	assert.True(t, followed, "the caller's client was changed")
	shared.Transport = roundTripperFunc(func(*http.Request) (*http.Response, error) { panic("changed afterwards") })
	_, err := client.GetUserCard(t.Context(), getRequest)
	assert.NoError(t, err)
}

func TestSeveralMerchantNumbersShareATransport(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	shared := &http.Client{Transport: membercard.NewTransport()}
	for range 2 {
		client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = server.Start(), shared })
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
	}
	shared.CloseIdleConnections()
}

func TestDefaultTransport(t *testing.T) {
	t.Parallel()
	transport := membercard.NewTransport()
	assert.GreaterOrEqual(t, transport.MaxIdleConnsPerHost, 64)
	assert.True(t, transport.ForceAttemptHTTP2)
	assert.NotZero(t, transport.TLSHandshakeTimeout)
	require.NotNil(t, transport.Proxy)
	assert.Nil(t, transport.TLSClientConfig, "TLS checks are Go's own")
	assert.NotSame(t, transport, membercard.NewTransport())
	proxied, err := transport.Proxy(&http.Request{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	require.NoError(t, err)
	assert.Nil(t, proxied, "loopback is never proxied")
}

// TestOnAttempt: it is told of every attempt, without personal data.
func TestOnAttempt(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var attempts []membercard.Attempt
	client := newClient(t, server, func(c *membercard.Config) {
		c.OnAttempt = func(_ context.Context, a membercard.Attempt) { attempts = append(attempts, a) }
	})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	require.Len(t, attempts, 2)
	assert.Equal(t, membercard.OperationGetUserCard, attempts[0].Operation)
	assert.Equal(t, "GET", attempts[0].Method)
	assert.Equal(t, "/v3/brand/partner/card-member/user-cards/{user_card_code}", attempts[0].Path)
	assert.Equal(t, "api.mch.weixin.qq.com", attempts[0].Host)
	assert.Equal(t, [2]int{500, 200}, [2]int{attempts[0].StatusCode, attempts[1].StatusCode})
	assert.Equal(t, "SYSTEM_ERROR", attempts[0].Code)
	require.ErrorIs(t, attempts[0].Err, membercard.ErrSystem)
	require.NoError(t, attempts[1].Err)
	for i, a := range attempts {
		assert.Equal(t, i+1, a.Number)
		assert.NotEmpty(t, a.RequestID)
		assert.Positive(t, a.Duration)
		for _, secret := range []string{openID, userCardCode} {
			assertHidden(t, secret, fmt.Sprintf("%+v", a), "attempt")
		}
	}
}

// TestOnAttemptSeesDownloads of the platform certificates, with a context of their own.
func TestOnAttemptSeesDownloads(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	var mu sync.Mutex
	var operations []membercard.Operation
	client := newClient(t, server, func(c *membercard.Config) {
		c.OnAttempt = func(_ context.Context, a membercard.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			operations = append(operations, a.Operation)
		}
	})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	assert.ElementsMatch(t, []membercard.Operation{membercard.OperationDownloadCertificates, membercard.OperationGetUserCard}, operations)
}

// TestOnAttemptSeesAPanic of the transport's as an error, before it goes on to the caller.
func TestOnAttemptSeesAPanic(t *testing.T) {
	t.Parallel()
	var seen error
	client := newClient(t, newServer(t), func(c *membercard.Config) {
		c.OnAttempt = func(_ context.Context, a membercard.Attempt) { seen = a.Err }
		c.HTTPClient = &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) { panic("broken") })}
	})
	assert.PanicsWithValue(t, "broken", func() { _, _ = client.GetUserCard(t.Context(), getRequest) })
	require.ErrorContains(t, seen, "the transport panicked")
}

// TestWithRetry: the policy of the context is that of its calls.
func TestWithRetry(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	fault := membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", Times: 10}
	server.Inject(fault)
	once := membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: 1})
	_, err := client.GetUserCard(once, getRequest)
	require.ErrorIs(t, err, membercard.ErrSystem)
	assert.Len(t, server.Requests(), 1)
	_, err = client.GetUserCard(membercard.WithRetry(once, membercard.RetryPolicy{MaxAttempts: 5, MinBackoff: 1, MaxBackoff: 1}), getRequest)
	require.ErrorIs(t, err, membercard.ErrSystem)
	assert.Len(t, server.Requests(), 6, "the innermost counts")
	_, err = client.GetUserCard(membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: -1}), getRequest)
	require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	assert.Len(t, server.Requests(), 6, "nothing was sent")
	_, err = client.InvalidateUserCard(membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: 5}), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Len(t, server.Requests(), 7, "what is irreversible is not repeated")
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	broken := *newKey()
	broken.D = big.NewInt(3)
	var nilPointer *remoteKey

	for name, test := range map[string]struct {
		change func(*membercard.Config)
		says   string
	}{
		"no merchant number":     {func(c *membercard.Config) { c.MchID = "" }, "MchID is missing"},
		"no serial":              {func(c *membercard.Config) { c.CertificateSerial = "" }, "CertificateSerial is missing"},
		"colons in the serial":   {func(c *membercard.Config) { c.CertificateSerial = "51:57:F0" }, "CertificateSerial is not as WeChat Pay writes it"},
		"both identities":        {func(c *membercard.Config) { c.BrandID = "1004" }, "MchID and BrandID are both given"},
		"a brand's certificates": {func(c *membercard.Config) { c.MchID, c.BrandID, c.PreferCertificates = "", "1004", true }, "there are no platform certificates for brands"},
		"a brand without a key":  {func(c *membercard.Config) { c.MchID, c.BrandID, c.PublicKey, c.PublicKeyID = "", "1004", nil, "" }, "a brand has a WeChat Pay public key of its own"},
		"a brand with a space":   {func(c *membercard.Config) { c.MchID, c.BrandID = "", "1004 " }, "BrandID holds white space"},
		"a decimal serial":       {func(c *membercard.Config) { c.CertificateSerial = strings.Repeat("4", 47) }, "at most 40 hexadecimal digits"},
		"0x in the serial":       {func(c *membercard.Config) { c.CertificateSerial = "0x5157F0" }, "at most 40 hexadecimal digits"},
		"serial= in the serial":  {func(c *membercard.Config) { c.CertificateSerial = "serial=5157F0" }, "at most 40 hexadecimal digits"},
		"a key id as the serial": {func(c *membercard.Config) { c.CertificateSerial = c.PublicKeyID }, "at most 40 hexadecimal digits"},
		"a line feed in the key": {func(c *membercard.Config) { c.APIv3Key += "\n" }, "APIv3Key holds white space"},
		"v3 in the URL":          {func(c *membercard.Config) { c.BaseURL = "https://api.mch.weixin.qq.com/v3/" }, "BaseURL must not end in /v3"},
		"a line feed":            {func(c *membercard.Config) { c.CertificateSerial += "\n" }, "CertificateSerial holds white space"},
		"a quote":                {func(c *membercard.Config) { c.MchID += `"` }, "MchID holds white space, a quote"},
		"no key":                 {func(c *membercard.Config) { c.PrivateKey = nil }, "PrivateKey is nil or empty; it is the merchant API private key, apiclient_key.pem"},
		"a typed nil":            {func(c *membercard.Config) { c.PrivateKey = (*rsa.PrivateKey)(nil) }, "PrivateKey is nil"},
		"another typed nil":      {func(c *membercard.Config) { c.PrivateKey = nilPointer }, "PrivateKey is nil"},
		"an empty key":           {func(c *membercard.Config) { c.PrivateKey = &rsa.PrivateKey{} }, "PrivateKey is nil or empty"},
		"an empty remote key":    {func(c *membercard.Config) { c.PrivateKey = keyWithPublic{&rsa.PublicKey{}} }, "PrivateKey is empty"},
		"a remote key of nil":    {func(c *membercard.Config) { c.PrivateKey = keyWithPublic{(*rsa.PublicKey)(nil)} }, "PrivateKey is empty"},
		"a remote key without":   {func(c *membercard.Config) { c.PrivateKey = keyWithPublic{nil} }, "WeChat Pay uses RSA"},
		"a wrapped nil":          {func(c *membercard.Config) { c.PrivateKey = signOnly{} }, "PrivateKey is nil or empty"},
		"an even exponent":       {func(c *membercard.Config) { c.PublicKey = &rsa.PublicKey{N: newKey().N, E: 65536} }, "PublicKey is not a valid RSA key"},
		"an inconsistent key":    {func(c *membercard.Config) { c.PrivateKey = &broken }, "PrivateKey is not a valid RSA key"},
		"not RSA":                {func(c *membercard.Config) { c.PrivateKey = curve }, "WeChat Pay uses RSA"},
		"too short":              {func(c *membercard.Config) { c.PrivateKey = short }, "has 1024 bits, at least 2048 are needed"},
		"no public key":          {func(c *membercard.Config) { c.PublicKey, c.PublicKeyID, c.APIv3Key = nil, "", "" }, "PublicKey and PublicKeyID are missing"},
		"a key without an id":    {func(c *membercard.Config) { c.PublicKeyID = "" }, "PublicKey is given without PublicKeyID"},
		"an id without a key":    {func(c *membercard.Config) { c.PublicKey = nil }, "PublicKeyID is given without PublicKey"},
		"an id with a line feed": {func(c *membercard.Config) { c.PublicKeyID += "\r\n" }, "PublicKeyID holds white space"},
		"an empty public key":    {func(c *membercard.Config) { c.PublicKey = &rsa.PublicKey{} }, "PublicKey is empty"},
		"a short public key":     {func(c *membercard.Config) { c.PublicKey = &short.PublicKey }, "PublicKey has 1024 bits"},
		"one's own key": {
			func(c *membercard.Config) { c.PublicKey = c.PrivateKey.Public().(*rsa.PublicKey) },
			"PublicKey is the merchant's own key",
		},
		"one's own serial": {
			func(c *membercard.Config) { c.PublicKeyID = strings.ToLower(c.CertificateSerial) },
			"PublicKeyID is the merchant's own CertificateSerial",
		},
		"APIv3 key":         {func(c *membercard.Config) { c.APIv3Key = "0123456789abcdef" }, "APIv3Key has 16 bytes, it must have 32"},
		"previous key":      {func(c *membercard.Config) { c.PreviousKeys = []crypto.Decrypter{newKey(), (*rsa.PrivateKey)(nil)} }, "PreviousKeys[1] is nil"},
		"base URL":          {func(c *membercard.Config) { c.BaseURL = "api.mch.weixin.qq.com" }, "BaseURL must be a URL"},
		"base URL query":    {func(c *membercard.Config) { c.BaseURL = "https://example.com?x=y" }, "BaseURL must be a URL"},
		"base URL hash":     {func(c *membercard.Config) { c.BaseURL = "https://example.com#" }, "BaseURL must be a URL"},
		"base URL question": {func(c *membercard.Config) { c.BaseURL = "https://example.com?" }, "BaseURL must be a URL"},
		"backup URL":        {func(c *membercard.Config) { c.BackupURL = "ftp://example.com" }, "BackupURL must be a URL"},
		"negative timeout":  {func(c *membercard.Config) { c.AttemptTimeout = -1 }, "must not be negative"},
		"negative attempts": {func(c *membercard.Config) { c.Retry.MaxAttempts = -1 }, "must not be negative"},
		"ids in query": {
			func(c *membercard.Config) { c.IDsInQuery = []membercard.Operation{membercard.OperationGetUserCard} },
			`IDsInQuery: "GetUserCard" is not an operation whose ids can travel in the query`,
		},
	} {
		config := server.Config()
		test.change(&config)
		client, err := membercard.New(config)
		require.Error(t, err, name)
		assert.Nil(t, client, name)
		assert.True(t, strings.HasPrefix(err.Error(), "membercard: New: "), name)
		assert.Contains(t, err.Error(), test.says, name)
		assert.NotContains(t, err.Error(), membercardtest.APIv3Key, name)
	}
}

// TestNewAccepts: what a merchant may have is not refused.
func TestNewAccepts(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for name, change := range map[string]func(*membercard.Config){
		"an id without the prefix": func(c *membercard.Config) { c.PublicKeyID = "some-id" },
		"letters in MchID":         func(c *membercard.Config) { c.MchID = "sp-1900" },
		"no APIv3 key":             func(c *membercard.Config) { c.APIv3Key = "" },
		"a trailing slash":         func(c *membercard.Config) { c.BaseURL = "https://api.mch.weixin.qq.com/" },
		"no HTTP client":           func(c *membercard.Config) { c.HTTPClient = nil },
	} {
		config := server.Config()
		change(&config)
		_, err := membercard.New(config)
		assert.NoError(t, err, name)
	}
}

func TestChangingTheConfigAfterwardsHasNoEffect(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	config := server.Config()
	public := *config.PublicKey
	public.N = new(big.Int).Set(public.N)
	config.PublicKey = &public
	config.IDsInQuery = []membercard.Operation{}
	client, err := membercard.New(config)
	require.NoError(t, err)
	public.N.SetInt64(15)
	public.E = 1
	_, err = client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	status := func(status int, header http.Header) membercardtest.Fault {
		return membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: status, Code: "X", Header: header, Times: -1}
	}
	for name, test := range map[string]struct {
		fault    membercardtest.Fault
		retry    membercard.RetryPolicy
		attempts int
		min, max time.Duration
	}{
		"default":                {status(500, nil), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"off":                    {status(500, nil), membercard.RetryPolicy{MaxAttempts: 1}, 1, 0, 0},
		"doubled up to a limit":  {status(500, nil), membercard.RetryPolicy{MaxAttempts: 6, MinBackoff: time.Second, MaxBackoff: 4 * time.Second}, 6, 7500 * time.Millisecond, 15 * time.Second},
		"the limit wins":         {status(500, nil), membercard.RetryPolicy{MaxAttempts: 3, MinBackoff: time.Hour, MaxBackoff: time.Second}, 3, time.Second, 2 * time.Second},
		"many attempts":          {status(500, nil), membercard.RetryPolicy{MaxAttempts: 100, MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}, 100, 0, 99},
		"Retry-After in seconds": {status(429, http.Header{"Retry-After": {"7"}}), membercard.RetryPolicy{}, 3, 14 * time.Second, 14 * time.Second},
		"up to a minute":         {status(429, http.Header{"Retry-After": {"86400"}}), membercard.RetryPolicy{}, 3, 2 * time.Minute, 2 * time.Minute},
		"also a huge one":        {status(429, http.Header{"Retry-After": {"9223372036854775807"}}), membercard.RetryPolicy{}, 3, 2 * time.Minute, 2 * time.Minute},
		"not a negative one":     {status(429, http.Header{"Retry-After": {"-5"}}), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"nor nonsense":           {status(429, http.Header{"Retry-After": {"soon"}}), membercard.RetryPolicy{}, 3, 300 * time.Millisecond, 600 * time.Millisecond},
		"a date":                 {status(503, http.Header{"Retry-After": {"Sat, 01 Jan 2000 00:00:30 GMT"}}), membercard.RetryPolicy{MaxAttempts: 2}, 2, 30 * time.Second, 30 * time.Second},
		"a date that is over":    {status(503, http.Header{"Retry-After": {"Fri, 31 Dec 1999 00:00:30 GMT"}}), membercard.RetryPolicy{MaxAttempts: 2}, 2, 100 * time.Millisecond, 200 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t)
			server.Inject(test.fault)
			client := newClient(t, server, func(c *membercard.Config) { c.Retry = test.retry })
			start := time.Now()
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.Error(t, err)
			took := time.Since(start)
			assert.Len(t, server.Requests(), test.attempts, name)
			assert.GreaterOrEqual(t, took, test.min, name)
			assert.LessOrEqual(t, took, test.max, name)
		})
	}
}

// TestBackoffDoesNotOverflow, whatever the policy and the number of attempts.
func TestBackoffDoesNotOverflow(t *testing.T) {
	t.Parallel()
	for _, minimum := range []time.Duration{1, time.Second, 20 * time.Second, 1 << 61, 1<<62 + 1, 1<<63 - 1} {
		for _, maximum := range []time.Duration{1, time.Minute, 1 << 62, 1<<63 - 1} {
			for attempt := range 100 {
				d := membercard.Backoff(membercard.RetryPolicy{MinBackoff: minimum, MaxBackoff: maximum}, attempt+1)
				assert.Positive(t, d+1)
				assert.LessOrEqual(t, d, maximum)
			}
		}
	}
}

func TestNilResponseInfo(t *testing.T) {
	t.Parallel()
	_, err := newServer(t).Client().UpdateUserCard(membercard.WithResponseInfo(t.Context(), nil), updateRequest)
	require.NoError(t, err)
}

// TestResponseInfoOfNothing: what an earlier call left is gone when nothing was sent.
func TestResponseInfoOfNothing(t *testing.T) {
	t.Parallel()
	client := newServer(t).Client()
	var info membercard.ResponseInfo
	ctx := membercard.WithResponseInfo(t.Context(), &info)
	_, err := client.GetUserCard(ctx, getRequest)
	require.NoError(t, err)
	require.NotZero(t, info)
	_, err = client.GetUserCard(ctx, membercard.GetUserCardRequest{})
	require.Error(t, err)
	assert.Zero(t, info)
}

// TestACopyOfAClient shows no key either.
func TestACopyOfAClient(t *testing.T) {
	t.Parallel()
	client := newClient(t, newServer(t))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "client", *client)
	for _, text := range []string{fmt.Sprint(*client), fmt.Sprintf("%+v %#v", *client, *client), fmt.Sprintf("%+v", struct{ Client membercard.Client }{*client}), log.String()} {
		assert.NotContains(t, text, membercardtest.APIv3Key)
		assert.Contains(t, text, membercardtest.MchID)
	}
	_, err := json.Marshal(*client)
	require.Error(t, err)
}

// TestNewRefusesWhatCannotWork: an address without a name, and a key that crypto/rsa does not take.
func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	config := newServer(t).Config()
	config.BaseURL = "https://:443"
	_, err := membercard.New(config)
	require.ErrorContains(t, err, "BaseURL")
	config = newServer(t).Config()
	config.PublicKey = &rsa.PublicKey{N: config.PublicKey.N, E: 1<<62 + 1}
	_, err = membercard.New(config)
	require.ErrorContains(t, err, "PublicKey")
}
