package membercard_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// relay is a TCP proxy whose established connections can go silent, as after the failover of a firewall. New ones work.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	silent   []*atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{listener: listener}
	serve(t, listener, func(near net.Conn) {
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer far.Close()
		silent := new(atomic.Bool)
		r.mu.Lock()
		r.silent = append(r.silent, silent)
		r.mu.Unlock()
		var both sync.WaitGroup
		pump := func(to, from net.Conn) {
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				if n > 0 && !silent.Load() {
					_, _ = to.Write(buffer[:n])
				}
				if err != nil {
					_ = to.Close()
					return
				}
			}
		}
		both.Go(func() { pump(far, near) })
		both.Go(func() { pump(near, far) })
		both.Wait()
	})
	return r
}

// fallSilent swallows from now on what comes over the connections there are.
func (r *relay) fallSilent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, silent := range r.silent {
		silent.Store(true)
	}
}

func (r *relay) url() string { return "https://" + r.listener.Addr().String() }

// TestADeadConnectionIsLeft after one attempt, whatever the protocol: over HTTP/2 it would be used for every call until
// the kernel gives it up.
func TestADeadConnectionIsLeft(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup // most of the time they wait
	for _, http2 := range []bool{false, true} {
		for _, withBackup := range []bool{false, true} {
			for _, callers := range []int{1, 16} {
				running.Go(func() { testDeadConnection(t, http2, withBackup, callers) })
			}
		}
	}
	running.Wait()
}

func testDeadConnection(t *testing.T, http2, withBackup bool, callers int) {
	where := fmt.Sprintf("HTTP/2 %v, backup %v, %d callers", http2, withBackup, callers)
	server := newServer(t)
	secure := startTLS(t, server, http2)
	primary, backup := newRelay(t, secure.Listener.Addr().String()), newRelay(t, secure.Listener.Addr().String())
	transport := membercard.NewTransport()
	transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	defer transport.CloseIdleConnections()
	client := newClient(t, server, func(c *membercard.Config) {
		c.BaseURL, c.HTTPClient, c.AttemptTimeout = primary.url(), &http.Client{Transport: transport}, 3*time.Second
		if withBackup {
			c.BackupURL = backup.url()
		}
		c.Retry = membercard.RetryPolicy{MinBackoff: 50 * time.Millisecond, MaxBackoff: 50 * time.Millisecond} // in which the transport notices
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	together := func() (attempts int) {
		var group sync.WaitGroup
		var mu sync.Mutex
		for range callers {
			group.Go(func() {
				var info membercard.ResponseInfo
				_, err := client.GetUserCard(membercard.WithResponseInfo(ctx, &info), getRequest)
				assert.NoError(t, err, where)
				mu.Lock()
				defer mu.Unlock()
				attempts = max(attempts, info.Attempts)
			})
		}
		group.Wait()
		return attempts
	}
	together()
	primary.fallSilent()
	assert.LessOrEqual(t, together(), 2, where)
	assert.Equal(t, 1, together(), "%s: afterwards", where)

	primary.fallSilent()
	backup.fallSilent()
	_, err := client.InvalidateUserCard(ctx, invalidateRequest)
	assert.ErrorIs(t, err, membercard.ErrOutcomeUnknown, where)
	assert.ErrorIs(t, err, membercard.ErrAttemptTimeout, where)
	_, err = client.InvalidateUserCard(ctx, invalidateRequest)
	assert.NoError(t, err, "%s: only the first write is in doubt", where)
}
