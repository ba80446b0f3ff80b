package membercard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestTheRequestsOfAnIterator ask for one page after the other, when it is needed.
func TestTheRequestsOfAnIterator(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	var want []string
	for range 45 {
		want = append(want, server.AddCard(membercard.Card{BrandID: brandID}).CardID)
	}
	all := server.Client().AllCards(t.Context(), listCardsRequest)
	assert.Empty(t, server.Requests())
	var got []string
	for card, err := range all {
		require.NoError(t, err)
		got = append(got, card.CardID)
	}
	assert.Equal(t, want, got)
	var uris []string
	for _, r := range server.Requests() {
		_, query, _ := strings.Cut(r.RequestURI, "brand_id=1004&")
		uris = append(uris, query)
	}
	assert.Equal(t, []string{"offset=0&limit=20", "offset=20&limit=20", "offset=40&limit=20"}, uris)
}

// TestIterators holds the three iterators to one contract.
func TestIterators(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID})
	for i := range 45 {
		if i > 0 {
			server.AddCard(membercard.Card{BrandID: brandID, CardID: fmt.Sprint("card-", i)})
		}
		server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: fmt.Sprint("code-", i), OpenID: openID})
		server.AddActivity(membercard.Activity{CardID: cardID, ActivityID: int64(1000 + i), BeginTime: at("2099-01-01T00:00:00+08:00")})
	}
	client := server.Client()
	for name, iterate := range map[string]func(ctx context.Context, offset int) iter.Seq2[string, error]{
		"ListCards": func(ctx context.Context, offset int) iter.Seq2[string, error] {
			return ids(client.AllCards(ctx, membercard.ListCardsRequest{BrandID: brandID, Offset: offset}), func(c *membercard.Card) string { return c.CardID })
		},
		"ListUserCards": func(ctx context.Context, offset int) iter.Seq2[string, error] {
			return ids(client.AllUserCards(ctx, membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID, Offset: offset}), func(c *membercard.UserCard) string { return c.UserCardCode })
		},
		"ListActivities": func(ctx context.Context, offset int) iter.Seq2[string, error] {
			return ids(client.AllActivities(ctx, membercard.ListActivitiesRequest{BrandID: brandID, Offset: offset}), func(a *membercard.Activity) string { return fmt.Sprint(a.ActivityID) })
		},
	} {
		calls := func() (n int) {
			for _, r := range server.Requests() {
				if string(r.Operation) == name {
					n++
				}
			}
			return n
		}
		collect := func(offset int) (got []string, errs []error) {
			for id, err := range iterate(t.Context(), offset) {
				if err != nil {
					assert.Empty(t, id)
					errs = append(errs, err)
				} else {
					got = append(got, id)
				}
			}
			return got, errs
		}
		all := iterate(t.Context(), 0)
		assert.Zero(t, calls(), "%s: lazy", name)
		for n := range 2 { // ranging twice starts over
			got := 0
			for id, err := range all {
				require.NoError(t, err)
				assert.True(t, strings.HasSuffix(id, fmt.Sprint("-", got)) || id == fmt.Sprint(1000+got) || got == 0, id)
				got++
			}
			assert.Equal(t, 45, got, name)
			assert.Equal(t, 3*(n+1), calls(), name)
		}
		before := calls()
		for range iterate(t.Context(), 0) {
			break
		}
		assert.Equal(t, before+1, calls(), "%s: no call after break", name)
		got, errs := collect(44)
		assert.Empty(t, errs)
		assert.Len(t, got, 1, "%s: from an offset", name)

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		got, errs = collect(0)
		assert.Len(t, got, 20, "%s: one error, then stop", name)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], membercard.ErrForbidden)

		before = calls()
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"total_count":1000,"offset":0,"limit":20}`)})
		got, errs = collect(0)
		assert.Empty(t, got, name)
		assert.Empty(t, errs, "%s: an empty page ends it whatever total_count claims", name)
		assert.Equal(t, before+1, calls())

		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"data":[{}],"total_count":45,"offset":0,"limit":20}`)})
		got, errs = collect(0)
		assert.Len(t, got, 45, "%s: advanced by what came", name)
		assert.Empty(t, errs)
	}
}

func ids[T any](all iter.Seq2[*T, error], id func(*T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for value, err := range all {
			text := ""
			if err == nil {
				text = id(value)
			} else if value != nil {
				text = "a value beside an error"
			}
			if !yield(text, err) {
				return
			}
		}
	}
}

// TestPages walks over lists whose total is not what it should be, and ends with an error where the pages are not those
// asked for.
func TestPages(t *testing.T) {
	t.Parallel()
	const all = 45
	page := func(offset, limit int) (data []map[string]any) {
		for i := offset; i < min(offset+limit, all); i++ {
			data = append(data, map[string]any{"user_card_code": fmt.Sprint("code-", i), "card_id": cardID, "openid": openID})
		}
		return data
	}
	for name, test := range map[string]struct {
		answer func(offset, limit int) map[string]any
		n      int // elements that come
		fails  bool
		most   int // requests
	}{
		"as documented": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all, "offset": o}
		}, all, false, 3},
		"remaining": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all - o, "offset": o}
		}, all, false, 3},
		"of this page": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": len(page(o, l)), "offset": o}
		}, all, false, 3},
		"missing": {func(o, l int) map[string]any { return map[string]any{"data": page(o, l)} }, all, false, 3},
		"negative": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": -1, "offset": o}
		}, all, false, 3},
		"one added in front of a full page": {func(o, l int) map[string]any {
			return map[string]any{"data": page(max(0, o-20), l), "total_count": o, "offset": o}
		}, 20, false, 2},
		"huge": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": 1 << 62, "offset": o}
		}, all, false, 4},
		"short pages": {func(o, _ int) map[string]any {
			return map[string]any{"data": page(o, 7), "total_count": all, "offset": o}
		}, all, false, 7},
		"page 1 always": {func(_, l int) map[string]any {
			return map[string]any{"data": page(0, l), "total_count": all, "offset": 0}
		}, 20, true, 2},
		"page 1, no offset": {func(_, l int) map[string]any { return map[string]any{"data": page(0, l), "total_count": all} }, 20, true, 2},
		"one card for ever": {func(o, _ int) map[string]any {
			return map[string]any{"data": page(0, 1), "total_count": 1 << 62, "offset": o}
		}, 1, true, 2},
		"another offset": {func(o, l int) map[string]any {
			return map[string]any{"data": page(o, l), "total_count": all, "offset": o + 1}
		}, 0, true, 1},
		"an empty first": {func(o, _ int) map[string]any { return map[string]any{"total_count": all, "offset": o} }, 0, false, 1},
	} {
		server := newServer(t)
		client := newClient(t, server, noRetries)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte("{}")})
		offset := 0
		answer := func() {
			body, err := json.Marshal(test.answer(offset, 20))
			require.NoError(t, err)
			server.ClearFaults()
			server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: body})
		}
		answer()
		seen, failed := map[string]bool{}, false
		for card, err := range client.AllUserCards(t.Context(), listUserCardsRequest) {
			if err != nil {
				failed = true
				break
			}
			seen[card.UserCardCode] = true
			if sent := len(server.Requests()); sent > 20 {
				require.Fail(t, "no end", name)
			}
			offset = len(seen)
			answer()
		}
		assert.Equal(t, test.fails, failed, name)
		assert.Len(t, seen, test.n, name)
		assert.LessOrEqual(t, len(server.Requests()), test.most, name)
	}
}
