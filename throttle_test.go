package membercard_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var asked []membercard.Operation
	client := newClient(t, server, func(c *membercard.Config) {
		c.Throttle = func(_ context.Context, operation membercard.Operation) error {
			asked = append(asked, operation)
			if operation == membercard.OperationInvalidateUserCard {
				return assert.AnError
			}
			return nil
		}
	})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, assert.AnError)
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Equal(t, []membercard.Operation{membercard.OperationGetUserCard, membercard.OperationInvalidateUserCard}, asked)
	assert.Len(t, server.Requests(), 1)
}

func TestTheThrottleIsAskedBeforeEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Times: 2, AfterEffect: true})
		asked := 0
		client := newClient(t, server, func(c *membercard.Config) {
			c.Throttle = func(ctx context.Context, operation membercard.Operation) error {
				asked++
				assert.Equal(t, membercard.OperationUpdateUserCard, operation)
				time.Sleep(10 * time.Minute) // longer than a signature lives
				return nil
			}
		})
		_, err := client.UpdateUserCard(t.Context(), updateRequest)
		require.NoError(t, err, "the request is signed after the wait")
		assert.Equal(t, 3, asked)

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, AfterEffect: true})
		client = newClient(t, server, func(c *membercard.Config) {
			asked = 0
			c.Throttle = func(context.Context, membercard.Operation) error {
				if asked++; asked == 2 {
					return assert.AnError
				}
				return nil
			}
		})
		_, err = client.UpdateUserCard(t.Context(), updateRequest)
		require.ErrorIs(t, err, assert.AnError)
		assertMatches(t, err, []error{membercard.ErrOutcomeUnknown}, "what was sent before stays in doubt")
	})
}

func TestAForeignDeadlineInTheThrottle(t *testing.T) {
	t.Parallel()
	client := newClient(t, newServer(t), func(c *membercard.Config) {
		c.Throttle = func(context.Context, membercard.Operation) error {
			return fmt.Errorf("redis: %w", context.DeadlineExceeded)
		}
	})
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "GetUserCard: not sent: Config.Throttle: redis: context deadline exceeded")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
}

// TestNewThrottle: the first never waits, the others pass in order and evenly spaced, each operation for itself.
func TestNewThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle, start := membercard.NewThrottle(10), time.Now()
		var mu sync.Mutex
		var order []int
		var times []time.Duration
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				assert.NoError(t, throttle(t.Context(), membercard.OperationGetUserCard))
				mu.Lock()
				defer mu.Unlock()
				order, times = append(order, i), append(times, time.Since(start))
			})
			synctest.Wait() // so that they arrive one after the other
		}
		require.NoError(t, throttle(t.Context(), membercard.OperationListCards))
		assert.Zero(t, time.Since(start), "another operation")
		callers.Wait()
		for i := range order {
			assert.Equal(t, i, order[i])
			assert.Equal(t, time.Duration(i)*100*time.Millisecond, times[i])
		}
		time.Sleep(time.Minute)
		start = time.Now()
		require.NoError(t, throttle(t.Context(), membercard.OperationGetUserCard))
		require.NoError(t, throttle(t.Context(), membercard.OperationGetUserCard))
		assert.Equal(t, 100*time.Millisecond, time.Since(start), "a pause saves up nothing")
	})
}

// TestThrottleGivesUp: one who gives up, whether in the queue or at its head, costs the others nothing.
func TestThrottleGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle, start := membercard.NewThrottle(1), time.Now()
		require.NoError(t, throttle(t.Context(), "x"))
		for range 50 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				assert.ErrorIs(t, throttle(ctx, "x"), context.DeadlineExceeded)
			}()
		}
		synctest.Wait()
		require.NoError(t, throttle(t.Context(), "x"))
		assert.Equal(t, time.Second, time.Since(start))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Hour)
		for range 100 {
			require.ErrorIs(t, throttle(over, "x"), context.Canceled)
		}
		start = time.Now()
		require.NoError(t, throttle(t.Context(), "x"))
		assert.Zero(t, time.Since(start))
	})
}

func TestThrottleNeedsARate(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, -1, math.NaN()} {
		assert.Panics(t, func() { membercard.NewThrottle(rate) })
	}
	require.NoError(t, membercard.NewThrottle(math.Inf(1))(t.Context(), "x"))
	seldom := membercard.NewThrottle(1e-10)
	require.NoError(t, seldom(t.Context(), "x"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, seldom(ctx, "x"), context.DeadlineExceeded)
}
