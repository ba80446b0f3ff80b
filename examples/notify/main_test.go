package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// syncBuffer is a buffer for several goroutines: the service logs while the fake reports.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestNotify(t *testing.T) {
	var out syncBuffer
	require.NoError(t, run(t.Context(), nil, &out))
	for _, line := range []string{
		"a user opened a card, it is UNACTIVATED", "which answered [401 204]: the card is EFFECTIVE",
		"the service sent it 1 time: 1200 points", "POINT_EXCHANGE_COUPON_SUCCESS", "a probe of WeChat Pay's",
	} {
		assert.Contains(t, out.String(), line)
	}
	assert.NotContains(t, out.String(), "obLatjnx9gnqzS4myYGmLZ7LgLBA", "no openid in the log")
}

// TestConfirmIsSettled: after a confirm without an answer the card is effective, and the user was confirmed once. The same holds
// after a repeat of the notification to a service that has forgotten it.
func TestConfirmIsSettled(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	template := server.AddCard(membercard.Card{})
	opened := server.OpenUserCard(template.CardID, "o-1")
	n := &membercard.Notification{ID: "1", Event: &membercard.UserCardCreated{UserCard: opened}}
	merchants := server.AddCard(membercard.Card{CodeMode: membercard.CodeModeMerchantAllocate})
	withoutCode := server.OpenUserCard(merchants.CardID, "o-2")
	require.Empty(t, withoutCode.UserCardCode)
	service := newMembers(t, server.Client())
	require.NoError(t, service.handle(t.Context(), &membercard.Notification{ID: "8b33f79f-8869-5ae5-b41b-3c0b59f957d0", Event: &membercard.UserCardCreated{UserCard: withoutCode}}))
	allocated, ok := server.UserCard(merchants.CardID, "8b33f79f88695ae5b41b3c0b59f957d0")
	require.True(t, ok)
	assert.Equal(t, membercard.UserCardStateEffective, allocated.UserCardState)

	server.Inject(membercardtest.Fault{Operation: membercard.OperationConfirmUserCard, Kind: membercardtest.FaultCut, AfterEffect: true})
	for range 2 {
		service := newMembers(t, server.Client())
		require.NoError(t, service.handle(t.Context(), n))
	}
	card, _ := server.UserCard(template.CardID, opened.UserCardCode)
	assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
}

func TestFailuresMakeItComeAgain(t *testing.T) {
	server := membercardtest.NewTestServer(t)
	template := server.AddCard(membercard.Card{})
	opened := server.OpenUserCard(template.CardID, "o-1")
	service := newMembers(t, server.Client())
	n := &membercard.Notification{ID: "1", Event: &membercard.UserCardCreated{UserCard: opened}}
	server.Inject(membercardtest.Fault{Operation: membercard.OperationConfirmUserCard, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
	require.ErrorIs(t, service.handle(t.Context(), n), membercard.ErrForbidden)
	require.NoError(t, service.handle(t.Context(), n), "the repeat")
}

func TestTheAPIv3KeyIsNeeded(t *testing.T) {
	dir := t.TempDir()
	fake := membercardtest.NewTestServer(t)
	for name, data := range fake.KeyFiles() {
		if name != "apiv3_key.txt" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		}
	}
	err := run(t.Context(), []string{"-keys", dir, "-base-url", fake.Start(), "-database", filepath.Join(dir, "notify.db")}, io.Discard)
	require.ErrorContains(t, err, "apiv3_key.txt")
}

func TestRefusals(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.Error(t, run(ctx, []string{"-keys", t.TempDir()}, &syncBuffer{}), "there are no keys")
	require.Error(t, run(ctx, []string{"-addr", "nowhere"}, &syncBuffer{}))
	require.ErrorContains(t, run(ctx, []string{"-database", filepath.Join(t.TempDir(), "no", "such.db")}, &syncBuffer{}), "-database")
	require.ErrorContains(t, run(ctx, []string{"-database", "mysql://nonsense"}, &syncBuffer{}), "-database")
}

func newMembers(t *testing.T, client *membercard.Client) *members {
	t.Helper()
	return &members{client: client, store: newStore(t, filepath.Join(t.TempDir(), "notify.db"))}
}

func newStore(t *testing.T, address string) *store {
	t.Helper()
	s, err := openStore(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = s.db.Exec("DROP TABLE notifications") // of a database that others use as well
		_ = s.db.Close()
	})
	return s
}

// TestStore: of many who claim a notification at the same time one gets it; a claim that is left behind expires, and what is
// done stays done. NOTIFY_POSTGRES and NOTIFY_MYSQL name databases to run it on, too.
func TestStore(t *testing.T) {
	for name, address := range map[string]string{
		"SQLite": filepath.Join(t.TempDir(), "store.db"), "PostgreSQL": os.Getenv("NOTIFY_POSTGRES"), "MySQL": os.Getenv("NOTIFY_MYSQL"),
	} {
		t.Run(name, func(t *testing.T) {
			if address == "" {
				t.Skip("no database")
			}
			s := newStore(t, address)
			claimed, underWay := 0, 0
			var won int64
			var mu sync.Mutex
			var claims sync.WaitGroup
			for range 20 {
				claims.Go(func() {
					until, done, err := s.claim(t.Context(), "n-1")
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && !done:
						claimed++
						won = until
					case assert.ErrorIs(t, err, errUnderWay):
						underWay++
					}
				})
			}
			claims.Wait()
			assert.Equal(t, [2]int{1, 19}, [2]int{claimed, underWay})

			require.NoError(t, s.finish(t.Context(), "n-1", won, false))
			again, done, err := s.claim(t.Context(), "n-1")
			require.NoError(t, err, "it failed, and comes again")
			assert.False(t, done)
			require.NoError(t, s.finish(t.Context(), "n-1", again, true))
			require.NoError(t, s.finish(t.Context(), "n-1", again, false), "a late failure of another copy")
			_, done, err = s.claim(t.Context(), "n-1")
			require.NoError(t, err)
			assert.True(t, done)

			s.lease = -time.Second // the process crashes, and the time passes
			expired, _, err := s.claim(t.Context(), "n-2")
			require.NoError(t, err)
			s.lease = lease
			_, done, err = s.claim(t.Context(), "n-2")
			require.NoError(t, err)
			assert.False(t, done)
			require.NoError(t, s.finish(t.Context(), "n-2", expired, false), "the first process was only slow")
			_, _, err = s.claim(t.Context(), "n-2")
			require.ErrorIs(t, err, errUnderWay)
		})
	}
}
