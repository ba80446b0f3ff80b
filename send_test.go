package membercard_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	other := newServer(t)
	client := newClient(t, server, func(c *membercard.Config) {
		c.BaseURL, c.HTTPClient = server.Start(), nil
		c.Retry.MaxAttempts = 1
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultEmpty, Status: status, Header: http.Header{"Location": {other.Start()}}})
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		apiError := (*membercard.APIError)(nil)
		require.ErrorAs(t, err, &apiError)
		assert.Equal(t, status, apiError.StatusCode)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	}
	assert.Empty(t, other.Requests())
	assert.Len(t, server.Requests(), 5)
}

func TestContextIsObeyed(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := server.Client().InvalidateUserCard(ctx, invalidateRequest)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Empty(t, server.Requests())
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

func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, noRetries, func(c *membercard.Config) { c.AttemptTimeout = 20 * time.Millisecond })
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent, Times: 2})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorIs(t, err, membercard.ErrAttemptTimeout)
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown, "a read changes nothing")
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrAttemptTimeout)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
}

// TestTheContextEndsTheRepeats: a wait that would outlast it is not begun, and one that it interrupts
// gives both errors.
func TestTheContextEndsTheRepeats(t *testing.T) {
	t.Parallel()
	fault := membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 503, Code: "SERVICE_UNAVAILABLE", Times: -1, Header: http.Header{"Retry-After": {"30"}}}
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		assert.Zero(t, time.Since(start), "it returns at once")
		assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "deadline")
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	})
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(fault)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		start := time.Now()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		assert.Equal(t, 10*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "canceled")
		assert.NotContains(t, err.Error(), "\n")
		assert.Len(t, server.Requests(), 1)
	})
	synctest.Test(t, func(t *testing.T) { // during an attempt
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent, Times: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := server.Client().UpdateUserCard(ctx, updateRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "during an attempt")
		assert.Len(t, server.Requests(), 1)
	})
}

// TestDoubtStays: once a write may have been carried out, a later refusal does not make that unlikely.
func TestDoubtStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Times: -1})
		_, err := server.Client().UpdateUserCard(t.Context(), updateRequest)
		assertMatches(t, err, []error{membercard.ErrRateLimited, membercard.ErrOutcomeUnknown}, "429 after a cut")
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, userCardCode))
	})
}

// TestNotSent: positive evidence only.
func TestNotSent(t *testing.T) {
	t.Parallel()
	t.Run("a transport without trace hooks proves nothing", func(t *testing.T) {
		t.Parallel()
		calls := 0
		client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			calls++
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		})))
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "no hooks")
		assert.Equal(t, 1, calls)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the cause is kept")
	})
	t.Run("a port where nobody listens", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := "http://" + listener.Addr().String()
		require.NoError(t, listener.Close())
		client := newClient(t, newServer(t), func(c *membercard.Config) {
			c.BaseURL, c.HTTPClient, c.Retry.MinBackoff = address, nil, time.Millisecond
		})
		var info membercard.ResponseInfo
		_, err = client.InvalidateUserCard(membercard.WithResponseInfo(t.Context(), &info), invalidateRequest)
		assertMatches(t, err, nil, "refused")
		assert.Equal(t, 3, info.Attempts, "an irreversible call is repeated when nothing was sent")
		assert.NotContains(t, err.Error(), openID)
		assert.NotContains(t, err.Error(), "user-cards")
		assert.False(t, errors.As(err, new(*url.Error)), "the URL holds the openid, and stays behind errors.As too")
		assert.Contains(t, err.Error(), "InvalidateUserCard: not sent: ")
	})
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run("TLS to an unknown authority, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			var info membercard.ResponseInfo
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, nil })
			_, err := client.InvalidateUserCard(membercard.WithResponseInfo(t.Context(), &info), invalidateRequest)
			assertMatches(t, err, nil, "certificate")
			require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
			assert.Equal(t, 1, info.Attempts, "a certificate error is final")
			assert.Empty(t, server.Requests())
		})
		t.Run("over TLS, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, secure.Client() })
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err)
			// The connection breaks after the request went out on a connection that was had.
			server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true, Times: -1})
			_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
			assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "cut")
			assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, userCardCode))
		})
		t.Run("a context that is over between dial and write, "+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			secure := startTLS(t, server, http2)
			ctx, cancel := context.WithCancel(t.Context())
			transport := secure.Client().Transport.(*http.Transport)
			dial := (&net.Dialer{}).DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				connection, err := dial(ctx, network, address)
				cancel()
				return connection, err
			}
			client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = secure.URL, secure.Client() })
			_, err := client.InvalidateUserCard(ctx, invalidateRequest)
			require.ErrorIs(t, err, context.Canceled)
			assert.NotErrorIs(t, err, membercard.ErrOutcomeUnknown, "no connection was had")
			assert.Zero(t, server.Effects(membercard.OperationInvalidateUserCard, userCardCode))
		})
	}
}

func startTLS(t *testing.T, server *membercardtest.Server, http2 bool) *httptest.Server {
	t.Helper()
	secure := httptest.NewUnstartedServer(server)
	secure.EnableHTTP2 = http2
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	return secure
}

// hostTransport refuses connections to some hosts and counts the requests to each.
type hostTransport struct {
	server *membercardtest.Server
	dead   map[string]bool
	asked  []string
}

func (h *hostTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked = append(h.asked, r.URL.Host)
	if h.dead[r.URL.Host] {
		h.server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
	}
	return h.server.RoundTrip(r)
}

func TestBackupHost(t *testing.T) {
	t.Parallel()
	const primary, backup = "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		transport := &hostTransport{server: server, dead: map[string]bool{primary: true}}
		client := newClient(t, server, withTransport(transport))
		get := func() string {
			transport.asked = nil
			var info membercard.ResponseInfo
			_, err := client.GetUserCard(membercard.WithResponseInfo(t.Context(), &info), getRequest)
			require.NoError(t, err)
			assert.Equal(t, transport.asked[len(transport.asked)-1], info.Host)
			return strings.Join(transport.asked, " ")
		}
		assert.Equal(t, primary+" "+backup, get(), "the next attempt goes to the backup host")
		assert.Equal(t, backup, get(), "the dead primary is remembered")
		time.Sleep(time.Minute)
		assert.Equal(t, primary+" "+backup, get(), "for a while")
		transport.dead = map[string]bool{backup: true}
		assert.Equal(t, backup+" "+primary, get(), "a dead backup leads back")
		transport.dead = nil
		assert.Equal(t, primary, get())

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 503, Code: "X"})
		assert.Equal(t, primary+" "+primary, get(), "an answer is no reason to change the host")

		transport.dead, transport.asked = map[string]bool{primary: true}, nil
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		require.NoError(t, err, "nothing was sent to the primary")
		assert.Equal(t, []string{primary, backup}, transport.asked)
		assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, userCardCode))
	})
	synctest.Test(t, func(t *testing.T) { // a caller that goes away says nothing about the host
		server := newServer(t)
		transport := &hostTransport{server: server}
		client := newClient(t, server, withTransport(transport))
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.GetUserCard(ctx, getRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		assert.Equal(t, []string{primary, primary}, transport.asked)
	})
	t.Run("no backup beside a BaseURL", func(t *testing.T) {
		t.Parallel()
		for backup, want := range map[string]string{"": "a.example a.example a.example", "https://b.example": "a.example b.example a.example"} {
			synctest.Test(t, func(t *testing.T) {
				server := newServer(t)
				transport := &hostTransport{server: server, dead: map[string]bool{"a.example": true, "b.example": true}}
				client := newClient(t, server, withTransport(transport), func(c *membercard.Config) { c.BaseURL, c.BackupURL = "https://a.example", backup })
				_, err := client.GetUserCard(t.Context(), getRequest)
				require.Error(t, err)
				assert.Equal(t, want, strings.Join(transport.asked, " "))
			})
		}
	})
}

// TestErrorsOfOthersAreKept: the cause of a failure below is there for errors.Is, without matching the
// caller's context.
func TestErrorsOfOthersAreKept(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cause error
		is    error
	}{
		"own error":       {assert.AnError, assert.AnError},
		"no such host":    {&net.DNSError{Err: "no such host", IsNotFound: true}, nil},
		"dial timeout":    {&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, nil},
		"foreign context": {fmt.Errorf("proxy: %w", context.Canceled), nil},
	} {
		client := newClient(t, newServer(t), noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return nil, test.cause
		})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.Error(t, err)
		if test.is != nil {
			require.ErrorIs(t, err, test.is, name)
		}
		assert.False(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled), name)
		assert.NotErrorIs(t, err, membercard.ErrAttemptTimeout, name)
		assert.Contains(t, err.Error(), test.cause.Error())
	}
}

// TestNothingIsSentAfterTheContext: a call whose context ends in the throttle hook or while a slow key
// signs was not sent, and says so. A slow key takes nothing from the attempt's time.
func TestNothingIsSentAfterTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		client := newClient(t, server, func(c *membercard.Config) {
			c.Throttle = func(context.Context, membercard.Operation) error { cancel(); return nil }
		})
		_, err := client.InvalidateUserCard(ctx, invalidateRequest)
		require.ErrorIs(t, err, context.Canceled)
		assertMatches(t, err, nil, "throttle")

		slow := func(c *membercard.Config) { c.PrivateKey = slowKey{c.PrivateKey, time.Minute} }
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = newClient(t, server, slow).InvalidateUserCard(ctx, invalidateRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertMatches(t, err, nil, "slow key")
		assert.Empty(t, server.Requests())

		_, err = newClient(t, server, slow).InvalidateUserCard(t.Context(), invalidateRequest)
		require.NoError(t, err)
	})
}

// TestASuccessIsNoError: an answer that has the identifiers asked for is not read as an error, whatever its members are
// called.
func TestASuccessIsNoError(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"code":"NOT_FOUND","message":"x","user_card_code":"` + userCardCode + `","user_card_state":1}`)})
	_, err := server.Client().GetUserCard(t.Context(), getRequest)
	assertMatches(t, err, nil, "200 with a code")
	require.ErrorContains(t, err, "GetUserCard: 200 OK: the body cannot be decoded")
}

// TestASuccessOfAnotherStatus: nobody signs the status, so a success that comes as a refusal is neither.
func TestASuccessOfAnotherStatus(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	body := []byte(`{"code":"OK","card_id":"` + cardID + `","user_card_code":"` + userCardCode + `","user_card_state":"INVALID"}`)
	for _, status := range []int{400, 403, 404, 409, 429} {
		client := newClient(t, server, noRetries, withTransport(spoilingTransport{server, func(r *http.Response) { r.StatusCode = status }}))
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: body})
		_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown, status)
	}
}
