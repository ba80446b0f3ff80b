package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// scratch is a database of its own: of PostgreSQL where PLATFORM_POSTGRES names one, else of SQLite.
func scratch(t *testing.T) string {
	t.Helper()
	address := os.Getenv("PLATFORM_POSTGRES")
	if address == "" {
		return filepath.Join(t.TempDir(), "platform.db")
	}
	name := strings.ToLower("t" + rand.Text()[:12])
	do := func(statement string) {
		db, err := sql.Open("pgx", address)
		require.NoError(t, err)
		_, err = db.ExecContext(context.WithoutCancel(t.Context()), statement)
		require.NoError(t, err)
		require.NoError(t, db.Close())
	}
	do("CREATE DATABASE " + name)
	t.Cleanup(func() { do("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)") })
	return address[:strings.LastIndex(address, "/")+1] + name
}

// platform is a service in this process, and the fake WeChat Pay that it asks.
type platform struct {
	*service
	fake  *membercardtest.Server
	url   string
	files string // the folder of its keys
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{fake: membercardtest.NewTestServer(t), files: filepath.Join(t.TempDir(), "keys")}
	require.NoError(t, writeKeys(p.files, p.fake.KeyFiles()))
	store, err := openStore(t.Context(), scratch(t), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.db.Close() })
	store.hashCost = bcrypt.MinCost
	metrics := newMetrics(store)
	keys, err := openKeys(os.DirFS(p.files), func(config *membercard.Config) {
		config.BaseURL, config.Throttle, config.OnAttempt = p.fake.Start(), store.throttle, metrics.onAttempt
	})
	require.NoError(t, err)
	p.service, err = newService(keys, store, slog.New(slog.DiscardHandler), river.TestConfig{})
	require.NoError(t, err)
	require.NoError(t, p.jobs.Start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() { _ = p.jobs.StopAndCancel(context.WithoutCancel(t.Context())) })
	staff, err := p.staffPages(t.Context(), false)
	require.NoError(t, err)
	server := httptest.NewServer(p.handler(staff, metrics.handler()))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// member has a user open a card, which is confirmed.
func (p *platform) member(t *testing.T, openID string) membercard.UserCard {
	t.Helper()
	template := p.fake.AddCard(membercard.Card{NotifyURL: p.url + "/notify"})
	card := p.fake.OpenUserCard(template.CardID, openID)
	statuses, err := p.fake.Notify(t.Context(), &membercard.UserCardCreated{UserCard: card}, membercardtest.NotificationDuplicates(3))
	require.NoError(t, err)
	require.NotEmpty(t, statuses)
	p.eventually(t, func() bool {
		_, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
		return err == nil
	})
	assert.Equal(t, 1, p.fake.Effects(membercard.OperationConfirmUserCard, card.UserCardCode))
	return card
}

func (p *platform) eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 50*time.Millisecond)
}

// ask asks the database for a number.
func (p *platform) ask(t *testing.T, query string, values ...any) (n int) {
	t.Helper()
	require.NoError(t, p.store.queryRow(t.Context(), nil, query, values...).Scan(&n))
	return n
}

// post is a request of a program of the merchant's.
func (p *platform) post(t *testing.T, path string, body any) int {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	return send(t, p.url+path, data, p.keys.current.Load().token)
}

func send(t *testing.T, url string, body []byte, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// of names a card in a request.
func of(card membercard.UserCard, more map[string]any) map[string]any {
	named := map[string]any{"card_id": card.CardID, "user_card_code": card.UserCardCode}
	maps.Copy(named, more)
	return named
}

// TestPoints are booked once for each id, and WeChat Pay has the balance in the end, at a question at once.
func TestPoints(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	sale := of(card, map[string]any{"id": "1", "points": 70})
	for range 3 {
		require.Equal(t, http.StatusNoContent, p.post(t, "/points", sale))
	}
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 70 })
	sale["user_card_code"] = "nobody"
	assert.Equal(t, http.StatusNotFound, p.post(t, "/points", sale))
	for name, wrong := range map[string]map[string]any{
		"without an id it could be booked twice": {"points": 70},
		"misspelt":                               {"id": "2", "point": 70},
		"nothing":                                {"id": "2", "points": 0},
	} {
		assert.Equal(t, http.StatusBadRequest, p.post(t, "/points", of(card, wrong)), name)
	}
	assert.Equal(t, http.StatusConflict, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 71})), "the id is of another booking")
	assert.Equal(t, http.StatusConflict, p.post(t, "/points", of(card, map[string]any{"id": "2", "points": -71})), "a balance is never negative")
	assert.Equal(t, 1, p.ask(t, "SELECT COUNT(*) FROM ledger"))

	before := p.fake.Effects(membercard.OperationSyncUserPoints, card.UserCardCode)
	_, err := p.fake.Notify(t.Context(), &membercard.PointsSyncRequested{BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode})
	require.NoError(t, err)
	assert.Equal(t, before+1, p.fake.Effects(membercard.OperationSyncUserPoints, card.UserCardCode), "when the notification is answered")
}

// TestPointsOfAnImportedCode: a merchant's own code may have characters that no request number has.
func TestPointsOfAnImportedCode(t *testing.T) {
	p := newPlatform(t)
	card := p.fake.AddUserCard(membercard.UserCard{UserCardCode: "VIP.0001"})
	require.NoError(t, p.store.addMember(t.Context(), nil, card, card.UserCardState))
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 5})))
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 5 })
}

// TestDetails: the last level and the last phone number are those that WeChat Pay has in the end, and the books keep no phone number.
func TestDetails(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: membercard.OperationUpdateUserCard, AfterEffect: true, Times: 2})
	for _, level := range []string{"银卡", "金卡", "铂金卡"} {
		require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"level": level})))
	}
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"phone_number": "13900001234"})))
	require.Equal(t, http.StatusBadRequest, p.post(t, "/details", of(card, nil)))
	p.eventually(t, func() bool {
		now, _ := p.fake.UserCard(card.CardID, card.UserCardCode)
		plain, err := p.keys.client().Decrypt(now.PhoneNumber)
		return err == nil && now.Level == "铂金卡" && plain == "13900001234"
	})
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM members WHERE phone <> ''") == 0 })
}

// TestExchange: points are taken off once, and only when there are enough.
func TestExchange(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 100})))
	for _, want := range []membercard.PointsExchangeState{membercard.PointsExchangeStateSuccess, membercard.PointsExchangeStateFail} {
		exchange := p.fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
		_, err := p.fake.Notify(t.Context(), &membercard.PointsExchangeRequested{
			RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: 60,
			BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
		}, membercardtest.NotificationDuplicates(2))
		require.NoError(t, err)
		now, _ := p.fake.PointsExchange(exchange.RecordID)
		assert.Equal(t, want, now.State, "60 of 100 points, and of 40")
	}
	m, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
	require.NoError(t, err)
	assert.Equal(t, int64(40), m.balance)
	name := cardName{card.CardID, card.UserCardCode}
	for range 2 {
		allowed, err := p.takeOff(t.Context(), "another", name, 60)
		require.NoError(t, err)
		assert.False(t, allowed, "what was decided stays, though there are more points now")
		require.NoError(t, p.addPoints(t.Context(), "sale-2", name, 100, nil))
	}
	var exchanges sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		exchanges.Go(func() {
			allowed, err := p.takeOff(t.Context(), "at the same time", name, 100)
			if !errors.Is(err, errLeased) { // PostgreSQL: it was undone, and comes again
				assert.NoError(t, err)
				assert.True(t, allowed)
				answered.Add(1)
			}
		})
	}
	exchanges.Wait()
	assert.Positive(t, answered.Load())
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 40 })
}

// TestExchangesThatFail: points are given back where the confirm is refused for good, once; an exchange of nothing is allowed each time it
// is asked.
func TestExchangesThatFail(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 100})))
	balance := func() int64 {
		m, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
		require.NoError(t, err)
		return m.balance
	}
	exchange := p.fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	event := &membercard.PointsExchangeRequested{
		RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: 60,
		BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
	}
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND", Operation: membercard.OperationConfirmPointsExchange})
	require.Error(t, p.exchange(t.Context(), event, false))
	assert.Equal(t, int64(100), balance())
	require.NoError(t, p.exchange(t.Context(), event, true), "it is over")
	assert.Equal(t, int64(100), balance())
	assert.Zero(t, p.fake.Effects(membercard.OperationConfirmPointsExchange, card.UserCardCode))

	name := cardName{card.CardID, card.UserCardCode}
	for range 2 {
		allowed, err := p.takeOff(t.Context(), "of nothing", name, 0)
		require.NoError(t, err)
		assert.True(t, allowed)
	}
}

// TestDoubtCountsAsATry, also where the rate permitted no other attempt of the same call: the next try looks first.
func TestDoubtCountsAsATry(t *testing.T) {
	p := newPlatform(t)
	run := func(err error) error {
		w := &worker[balanceJob]{service: p.service, run: func(context.Context, balanceJob, bool) error { return err }}
		return w.Work(t.Context(), &river.Job[balanceJob]{JobRow: &rivertype.JobRow{ID: -1, Kind: "balance", Attempt: 1, MaxAttempts: 5}})
	}
	snooze, ok := errors.AsType[*rivertype.JobSnoozeError](run(errBusy))
	require.True(t, ok)
	assert.Positive(t, snooze.Duration)
	for _, rate := range []error{errBusy, errLeased, membercard.ErrRateLimited} {
		err := run(errors.Join(membercard.ErrOutcomeUnknown, rate))
		_, ok = errors.AsType[*rivertype.JobSnoozeError](err)
		assert.False(t, ok, rate)
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	}
	assert.Equal(t, 1, p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'doubt'"))

	_, err := p.store.exec(t.Context(), nil, "ALTER TABLE attention RENAME TO away")
	require.NoError(t, err)
	_, ok = errors.AsType[*rivertype.JobCancelError](run(finalError{errors.New("refused")}))
	assert.False(t, ok, "a refusal that cannot be stored is not over")
}

// TestATryInTheHandler counts, too: an exchange whose first try is in doubt, and whose second is refused, keeps its points.
func TestATryInTheHandler(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 100})))
	exchange := p.fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: membercard.OperationConfirmPointsExchange, AfterEffect: true, Times: 3})
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND", Operation: membercard.OperationConfirmPointsExchange, Times: -1})
	_, err := p.fake.Notify(t.Context(), &membercard.PointsExchangeRequested{
		RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: 60,
		BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
	})
	require.NoError(t, err)
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'open'") == 1 })
	m, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
	require.NoError(t, err)
	assert.Equal(t, int64(40), m.balance, "the coupon was issued")
}

// TestTheLastTry is shown to a person.
func TestTheLastTry(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: membercard.OperationUpdateUserCard, Times: -1})
	require.NoError(t, p.store.setDetails(t.Context(), nil, cardName{card.CardID, card.UserCardCode}, "金卡", ""))
	_, err := p.jobs.Insert(t.Context(), detailsJob{cardName{card.CardID, card.UserCardCode}}, &river.InsertOpts{MaxAttempts: 1})
	require.NoError(t, err)
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'open'") == 1 })
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM river_job WHERE state = 'cancelled'") == 1 })
}

// TestRefusals are for a person, and are not retried.
func TestRefusals(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"level": "👑"})))
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'open'") == 1 })
	assert.Zero(t, p.fake.Effects(membercard.OperationUpdateUserCard, card.UserCardCode))
	name := of(card, nil)
	assert.Equal(t, http.StatusBadRequest, p.post(t, "/invalidations", name), "without consent")
	name["consent"] = "signed at the counter"
	for range 2 {
		require.Equal(t, http.StatusNoContent, p.post(t, "/invalidations", name))
	}
	p.eventually(t, func() bool { return p.fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode) == 1 })
}

// TestDoubt: what was carried out, though no answer came, is looked at and not done again.
func TestDoubt(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	cut := func(operation membercard.Operation) {
		p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: operation, AfterEffect: true})
	}
	cut(membercard.OperationConfirmUserCard)
	opened := p.fake.OpenUserCard(card.CardID, "o-2")
	_, err := p.fake.Notify(t.Context(), &membercard.UserCardCreated{UserCard: opened})
	require.NoError(t, err)
	p.eventually(t, func() bool {
		_, err := p.store.member(t.Context(), nil, cardName{opened.CardID, opened.UserCardCode})
		return err == nil
	})
	assert.Equal(t, 1, p.fake.Effects(membercard.OperationConfirmUserCard, opened.UserCardCode))

	cut(membercard.OperationInvalidateUserCard)
	require.Equal(t, http.StatusNoContent, p.post(t, "/invalidations", of(card, map[string]any{"consent": "signed"})))
	p.eventually(t, func() bool {
		m, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
		return err == nil && m.state == string(membercard.UserCardStateInvalid)
	})
	assert.Equal(t, 1, p.fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode))
}

// TestSettled: what waits for a person about a card's details is settled when later ones were accepted.
func TestSettled(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	waiting := func() int { return p.ask(t, "SELECT COUNT(*) FROM attention WHERE state = 'open'") }
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"level": "👑"})))
	p.eventually(t, func() bool { return waiting() == 1 })
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 5})))
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 5 })
	assert.Equal(t, 1, waiting(), "points say nothing of a level")
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"level": "金卡"})))
	p.eventually(t, func() bool { return waiting() == 0 })
}

// TestCleaning: what is needed no longer goes, and nothing else.
func TestCleaning(t *testing.T) {
	p := newPlatform(t)
	p.member(t, "o-1")
	p.eventually(t, func() bool { return p.ask(t, "SELECT COUNT(*) FROM notifications WHERE done = 1 AND body = ''") == 1 })
	for job, state := range map[int64]string{-1: attentionDoubt, -2: attentionDecided, -3: attentionOpen} {
		require.NoError(t, p.store.setAttention(t.Context(), job, "details", cardName{}, state, "why"))
	}
	require.NoError(t, p.clean(t.Context()))
	assert.Equal(t, 1, p.ask(t, "SELECT COUNT(*) FROM notifications"))
	for _, table := range []string{"notifications", "attention"} {
		_, err := p.store.exec(t.Context(), nil, "UPDATE "+table+" SET at = 0")
		require.NoError(t, err)
	}
	require.NoError(t, p.clean(t.Context()))
	assert.Zero(t, p.ask(t, "SELECT COUNT(*) FROM notifications"))
	assert.Equal(t, 1, p.ask(t, "SELECT COUNT(*) FROM attention"), "what is for a person waits for one")
}

// TestThrottle: turns are a spacing apart, whoever takes them.
func TestThrottle(t *testing.T) {
	store, err := openStore(t.Context(), scratch(t), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.db.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var callers sync.WaitGroup
	var passed atomic.Int64
	for range 60 {
		callers.Go(func() {
			if err := store.throttle(ctx, membercard.OperationGetUserCard); err == nil {
				passed.Add(1)
			} else {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			}
		})
	}
	callers.Wait()
	assert.LessOrEqual(t, passed.Load(), int64(2*time.Second/spacing)+1)
	assert.Positive(t, passed.Load())
}
