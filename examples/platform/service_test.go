package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// open starts a service in this process, and has a user open a card, which is confirmed.
func open(t *testing.T) (*membercardtest.Server, *service, string, membercard.UserCard) {
	t.Helper()
	fake := membercardtest.NewTestServer(t)
	store, err := openStore(t.Context(), filepath.Join(t.TempDir(), "platform.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.db.Close() })
	s, err := newService(fake.Config(), store, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, s.jobs.Start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() { _ = s.jobs.StopAndCancel(context.WithoutCancel(t.Context())) })
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	template := fake.AddCard(membercard.Card{NotifyURL: server.URL + "/notify"})
	card := fake.OpenUserCard(template.CardID, "o-1")
	statuses, err := fake.Notify(t.Context(), &membercard.UserCardCreated{UserCard: card}, membercardtest.NotificationDuplicates(3))
	require.NoError(t, err)
	require.NotEmpty(t, statuses)
	require.Eventually(t, func() bool {
		_, err := store.member(t.Context(), nil, card.CardID, card.UserCardCode)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	assert.Equal(t, 1, fake.Effects(membercard.OperationConfirmUserCard, card.UserCardCode))
	return fake, s, server.URL, card
}

func post(t *testing.T, url string, body any) int {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(data))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// TestPoints are booked once for each id, and WeChat Pay has the balance in the end, at a question at once.
func TestPoints(t *testing.T) {
	fake, _, url, card := open(t)
	sale := map[string]any{"id": "sale-1", "card_id": card.CardID, "user_card_code": card.UserCardCode, "points": 70}
	for range 3 {
		require.Equal(t, http.StatusNoContent, post(t, url+"/points", sale))
	}
	require.Eventually(t, func() bool { return fake.Points(card.CardID, card.UserCardCode) == 70 }, 20*time.Second, 50*time.Millisecond)
	sale["user_card_code"] = "nobody"
	assert.Equal(t, http.StatusNotFound, post(t, url+"/points", sale))

	before := fake.Effects(membercard.OperationSyncUserPoints, card.UserCardCode)
	_, err := fake.Notify(t.Context(), &membercard.PointsSyncRequested{BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode})
	require.NoError(t, err)
	assert.Equal(t, before+1, fake.Effects(membercard.OperationSyncUserPoints, card.UserCardCode), "when the notification is answered")
}

// TestExchange: points are taken off once, and only when there are enough.
func TestExchange(t *testing.T) {
	fake, s, url, card := open(t)
	require.Equal(t, http.StatusNoContent, post(t, url+"/points", map[string]any{"id": "sale-1", "card_id": card.CardID, "user_card_code": card.UserCardCode, "points": 100}))
	for _, want := range []membercard.PointsExchangeState{membercard.PointsExchangeStateSuccess, membercard.PointsExchangeStateFail} {
		exchange := fake.AddPointsExchange(membercard.PointsExchange{CardID: card.CardID, UserCardCode: card.UserCardCode})
		_, err := fake.Notify(t.Context(), &membercard.PointsExchangeRequested{
			RecordID: exchange.RecordID, ExchangeCouponTemplateID: exchange.ExchangeCouponTemplateID, DeductPoints: 60,
			BrandID: card.BrandID, CardID: card.CardID, OpenID: card.OpenID, UserCardCode: card.UserCardCode,
		}, membercardtest.NotificationDuplicates(2))
		require.NoError(t, err)
		now, _ := fake.PointsExchange(exchange.RecordID)
		assert.Equal(t, want, now.State, "60 of 100 points, and of 40")
	}
	m, err := s.store.member(t.Context(), nil, card.CardID, card.UserCardCode)
	require.NoError(t, err)
	assert.Equal(t, int64(40), m.balance)
	name := cardName{card.CardID, card.UserCardCode}
	for range 2 {
		allowed, err := s.takeOff(t.Context(), "another", name, 60)
		require.NoError(t, err)
		assert.False(t, allowed, "what was decided stays, though there are more points now")
		require.NoError(t, s.addPoints(t.Context(), "sale-2", name, 100))
	}
	var exchanges sync.WaitGroup
	for range 8 {
		exchanges.Go(func() {
			allowed, err := s.takeOff(t.Context(), "at the same time", name, 100)
			assert.NoError(t, err)
			assert.True(t, allowed)
		})
	}
	exchanges.Wait()
	require.Eventually(t, func() bool { return fake.Points(card.CardID, card.UserCardCode) == 40 }, 20*time.Second, 50*time.Millisecond)
}

// TestRefusals are for a person, and are not repeated.
func TestRefusals(t *testing.T) {
	fake, s, url, card := open(t)
	require.Equal(t, http.StatusNoContent, post(t, url+"/levels", map[string]any{"card_id": card.CardID, "user_card_code": card.UserCardCode, "level": "👑"}))
	decisions := func() (n int) {
		require.NoError(t, s.store.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM decisions").Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return decisions() == 1 }, 20*time.Second, 50*time.Millisecond)
	assert.Zero(t, fake.Effects(membercard.OperationUpdateUserCard, card.UserCardCode))
	name := map[string]any{"card_id": card.CardID, "user_card_code": card.UserCardCode}
	assert.Equal(t, http.StatusBadRequest, post(t, url+"/invalidations", name), "without consent")
	name["consent"] = "signed at the counter"
	for range 2 {
		require.Equal(t, http.StatusNoContent, post(t, url+"/invalidations", name))
	}
	require.Eventually(t, func() bool { return fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode) == 1 }, 20*time.Second, 50*time.Millisecond)
}

// TestDoubt: what was carried out, though no answer came, is looked at and not done again.
func TestDoubt(t *testing.T) {
	fake, s, url, card := open(t)
	cut := func(operation membercard.Operation) {
		fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: operation, AfterEffect: true})
	}
	cut(membercard.OperationConfirmUserCard)
	opened := fake.OpenUserCard(card.CardID, "o-2")
	_, err := fake.Notify(t.Context(), &membercard.UserCardCreated{UserCard: opened})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := s.store.member(t.Context(), nil, opened.CardID, opened.UserCardCode)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	assert.Equal(t, 1, fake.Effects(membercard.OperationConfirmUserCard, opened.UserCardCode))

	cut(membercard.OperationInvalidateUserCard)
	require.Equal(t, http.StatusNoContent, post(t, url+"/invalidations", map[string]any{"card_id": card.CardID, "user_card_code": card.UserCardCode, "consent": "signed"}))
	require.Eventually(t, func() bool {
		var state string
		row := s.store.db.QueryRowContext(t.Context(), "SELECT state FROM members WHERE user_card_code = ?1", card.UserCardCode)
		return row.Scan(&state) == nil && state == string(membercard.UserCardStateInvalid)
	}, 20*time.Second, 50*time.Millisecond)
	assert.Equal(t, 1, fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode))
}

// TestThrottle: turns are a spacing apart, whoever takes them.
func TestThrottle(t *testing.T) {
	store, err := openStore(t.Context(), filepath.Join(t.TempDir(), "platform.db"))
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
