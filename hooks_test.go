package membercard_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

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
		for _, secret := range []string{openID, code} {
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

// TestOperationFrom: a RoundTripper knows what a request is about without looking at its URL.
func TestOperationFrom(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var seen []membercard.Operation
	client := newClient(t, server, func(c *membercard.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			operation, known := membercard.OperationFrom(r.Context())
			assert.True(t, known)
			seen = append(seen, operation)
			return server.RoundTrip(r)
		})}
	})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	_, err = client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, []membercard.Operation{membercard.OperationGetUserCard, membercard.OperationListCards}, seen)
	_, known := membercard.OperationFrom(t.Context())
	assert.False(t, known)
}

// TestLoadConfig: the folder of the merchant platform is a configuration, in whatever form its files are.
func TestLoadConfig(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	folder := func() fstest.MapFS {
		dir := fstest.MapFS{}
		for name, data := range server.KeyFiles() {
			dir[name] = &fstest.MapFile{Data: data}
		}
		return dir
	}
	load := func(dir fstest.MapFS) (*membercard.Client, error) {
		config, err := membercard.LoadConfig(dir)
		if err != nil {
			return nil, err
		}
		config.HTTPClient = server.Config().HTTPClient
		return membercard.New(config)
	}
	other := folder()
	other["wxp_pub.pem"] = other["pub_key.pem"]
	delete(other, "pub_key.pem")
	other["public_key_id.txt"].Data = append([]byte("\ufeff \""), append(other["public_key_id.txt"].Data, "\"\r\n"...)...)
	for _, dir := range []fstest.MapFS{folder(), other} {
		client, err := load(dir)
		require.NoError(t, err)
		for _, finding := range client.Check(t.Context()) {
			assert.True(t, finding.OK, finding.String())
		}
	}
	brand := membercardtest.NewTestServer(t, membercardtest.WithBrandEdition())
	dir := fstest.MapFS{}
	for name, data := range brand.KeyFiles() {
		dir[name] = &fstest.MapFile{Data: data}
	}
	config, err := membercard.LoadConfig(dir)
	require.NoError(t, err)
	assert.Equal(t, [2]string{"", membercardtest.BrandID}, [2]string{config.MchID, config.BrandID})
	for _, missing := range []string{"apiclient_key.pem", "apiclient_cert.pem", "pub_key.pem", "public_key_id.txt"} {
		dir := folder()
		delete(dir, missing)
		_, err := load(dir)
		require.ErrorContains(t, err, missing)
		dir[missing] = &fstest.MapFile{Data: []byte("-----BEGIN")}
		if missing != "public_key_id.txt" {
			_, err = load(dir)
			require.ErrorContains(t, err, "LoadConfig: "+missing+": this is")
		}
	}
	_, err = load(fstest.MapFS{})
	require.ErrorContains(t, err, "there is no such folder, or none of the files")
}
