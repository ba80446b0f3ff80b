package membercard

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// NewThrottle returns a [Config].Throttle that lets perSecond requests of each operation pass in a second, evenly spaced and
// in the order of their arrival. The first never waits, and one that gives up leaves its place to the next. It counts for
// this process: share it between clients of one merchant number, and share a rate between machines as examples/cluster does.
// The service counts arrivals, and two requests can arrive closer together than they were sent: give a little less than the
// limit, such as 9.8 for 10 a second. It panics when perSecond is not above 0.
func NewThrottle(perSecond float64) func(context.Context, Operation) error {
	if !(perSecond > 0) {
		panic(fmt.Sprintf("membercard: NewThrottle: perSecond is %v, it must be above 0", perSecond))
	}
	interval := time.Duration(min(float64(time.Second)/perSecond, float64(math.MaxInt64/2)))
	var mu sync.Mutex
	turns := map[Operation]chan time.Time{} // who has the value of a channel is next, and goes when it is time
	turnOf := func(operation Operation) chan time.Time {
		mu.Lock()
		defer mu.Unlock()
		turn, known := turns[operation]
		if !known {
			turn = make(chan time.Time, 1)
			turn <- time.Time{}
			turns[operation] = turn
		}
		return turn
	}
	return func(ctx context.Context, operation Operation) error {
		turn := turnOf(operation)
		select {
		case next := <-turn:
			sleep(ctx, time.Until(next))
			if ctx.Err() == nil {
				next = time.Now().Add(interval)
			}
			turn <- next
		case <-ctx.Done():
		}
		return ctx.Err()
	}
}
