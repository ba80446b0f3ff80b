package membercard_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// newKey returns a key that is nobody's in the fake.
var newKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

type keyWithPublic struct{ public crypto.PublicKey }

func (k keyWithPublic) Public() crypto.PublicKey { return k.public }
func (k keyWithPublic) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, assert.AnError
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

func TestAKeyMadeByHandWorks(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	own := server.Config().PrivateKey.(*rsa.PrivateKey)
	byHand := &rsa.PrivateKey{PublicKey: own.PublicKey, D: own.D, Primes: own.Primes}
	client := newClient(t, server, func(c *membercard.Config) { c.PrivateKey = byHand })
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	assert.Nil(t, byHand.Precomputed.Dp, "the caller's key was changed")
}

func TestConfigAndClientShowNoKey(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	config := server.Config()
	client, err := membercard.New(config)
	require.NoError(t, err)
	private := config.PrivateKey.(*rsa.PrivateKey)
	var out strings.Builder
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, value := range []any{config, &config, client, []membercard.Config{config}, struct{ C *membercard.Client }{client}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb, value)
		}
		logger.Info("message", "value", value)
		data, err := json.Marshal(value)
		require.Error(t, err)
		assert.Nil(t, data)
	}
	for _, secret := range []string{membercardtest.APIv3Key, private.D.String(), private.D.Text(16), private.Primes[0].String()} {
		assertHidden(t, secret, out.String(), "printed")
	}
	assert.Contains(t, out.String(), membercardtest.MchID)
}

func TestParseErrorsSayWhichFile(t *testing.T) {
	t.Parallel()
	_, err := membercard.ParsePrivateKey([]byte("no key"))
	require.ErrorContains(t, err, "apiclient_key.pem")
	_, err = membercard.ParsePublicKey(nil)
	require.ErrorContains(t, err, "pub_key.pem")
	_, err = membercard.ParseCertificate([]byte{0x30, 0x82})
	require.ErrorContains(t, err, "apiclient_cert.p12")
}

func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, noRepeats, func(c *membercard.Config) { c.AttemptTimeout = 20 * time.Millisecond })
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent, Times: 2})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorIs(t, err, membercard.ErrAttemptTimeout)
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown, "a read changes nothing")
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrAttemptTimeout)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
}

// instantKey signs nothing, for tests that count something else.
type instantKey struct{ public crypto.PublicKey }

func (k instantKey) Public() crypto.PublicKey { return k.public }
func (k instantKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 256), nil
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

func TestCertificateSerialOfNothing(t *testing.T) {
	t.Parallel()
	assert.Empty(t, membercard.CertificateSerial(nil))
	assert.Empty(t, membercard.CertificateSerial(&x509.Certificate{}))
}
