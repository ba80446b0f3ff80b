package membercardtest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// control is a control API over a socket.
type control struct {
	t   *testing.T
	url string
}

func newControl(t *testing.T, server *membercardtest.Server) control {
	t.Helper()
	c := &membercardtest.Control{Server: server, Seed: membercardtest.Seed{Cards: []membercard.Card{{CardID: "t-1", BrandID: "1004"}}}}
	listener := httptest.NewServer(c)
	t.Cleanup(listener.Close)
	return control{t, listener.URL}
}

// call makes a request and returns the status and the decoded answer.
func (c control) call(method, path, body string, headers ...string) (int, any) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := new(http.Client).Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	var value any
	if response.StatusCode != http.StatusNoContent {
		require.NoError(c.t, json.NewDecoder(response.Body).Decode(&value))
	}
	return response.StatusCode, value
}

// newClient returns a client of one attempt.
func newClient(server *membercardtest.Server) *membercard.Client {
	config := server.Config()
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	if err != nil {
		panic(err)
	}
	return client
}

// TestControl goes once through what control.md describes.
func TestControl(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewServer()
	c := newControl(t, server)
	done := func(method, path, body string) map[string]any {
		t.Helper()
		status, value := c.call(method, path, body)
		require.Less(t, status, 300, "%s %s: %v", method, path, value)
		object, _ := value.(map[string]any)
		return object
	}
	var notified []string
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := server.Client().ParseNotification(r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		notified = append(notified, n.EventType)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(merchant.Close)

	done("POST", "/reset", "")
	card := done("POST", "/cards", `{"brand_id":"1005","card_title":"茶","notify_url":"`+merchant.URL+`"}`)
	cardID := card["card_id"].(string)
	member := done("POST", "/user-cards", `{"card_id":"`+cardID+`","openid":"o-1","phone_number":"13800000000"}`)
	assert.Equal(t, "13800000000", member["phone_number"], "in clear")
	opened := done("POST", "/user-cards/open", `{"card_id":"`+cardID+`","openid":"o-2"}`)
	assert.Equal(t, "UNACTIVATED", opened["user_card_state"])
	delivered := done("POST", "/notifications", `{"event":"USER_CARD.CREATE","card_id":"`+cardID+`","openid":"o-2","fault":"signature probe","repeats_ms":[1]}`)
	assert.Equal(t, map[string]any{"statuses": []any{401.0, 204.0}, "accepted": true}, delivered)
	assert.Equal(t, []string{"BRAND_MEMBER_CARD_SP.USER_CARD.CREATE"}, notified)
	deleted := done("POST", "/user-cards/delete", `{"card_id":"`+cardID+`","user_card_code":"`+member["user_card_code"].(string)+`"}`)
	assert.Equal(t, "INVALID", deleted["user_card_state"])
	done("POST", "/activities", `{"card_id":"`+cardID+`","title":"入会享券"}`)
	done("POST", "/points-exchanges", `{"card_id":"`+cardID+`","user_card_code":"`+opened["user_card_code"].(string)+`","record_id":"r-1"}`)
	delivered = done("POST", "/notifications", `{"event":"POINT_EXCHANGE_COUPON","card_id":"`+cardID+`","openid":"o-2","record_id":"r-1","deduct_points":100}`)
	assert.Equal(t, true, delivered["accepted"])
	done("POST", "/seed", `{"user_cards":[{"card_id":"`+cardID+`","openid":"o-3"}]}`)
	state := done("GET", "/state", "")
	assert.Len(t, state["cards"], 2)
	assert.Len(t, state["user_cards"], 3)
	assert.Len(t, state["activities"], 1)
	assert.Len(t, state["points_exchanges"], 1)

	done("POST", "/faults", `{"kind":"error answer","status":429,"code":"RATELIMIT_EXCEEDED","times":3}`)
	_, faults := c.call("GET", "/faults", "")
	assert.Len(t, faults, 1)
	list := membercard.ListCardsRequest{BrandID: "1005"}
	_, err := newClient(server).ListCards(t.Context(), list)
	require.ErrorIs(t, err, membercard.ErrRateLimited)
	done("DELETE", "/faults", "")
	done("PUT", "/rate", `{"per_second":1}`)
	_, _ = newClient(server).ListCards(t.Context(), list)
	_, err = newClient(server).ListCards(t.Context(), list)
	require.ErrorIs(t, err, membercard.ErrRateLimited)
	done("PUT", "/rate", `{"per_second":0}`)
	old := newClient(server)
	keys := done("POST", "/keys/rotate", `{"which":"wechatpay"}`)
	assert.Contains(t, keys["public_key"], "BEGIN PUBLIC KEY")
	_, err = old.ListCards(t.Context(), list)
	require.ErrorIs(t, err, membercard.ErrSignature)
	keys = done("POST", "/keys/rotate", `{"which":"merchant"}`)
	assert.NotEqual(t, membercardtest.CertificateSerial, keys["certificate_serial"])

	_, requests := c.call("GET", "/requests", "")
	require.NotEmpty(t, requests)
	first := requests.([]any)[0].(map[string]any)
	assert.Equal(t, "ListCards", first["operation"])
	_, later := c.call("GET", "/requests?after=1", "")
	assert.Len(t, later, len(requests.([]any))-1)
	done("DELETE", "/requests", "")
	_, requests = c.call("GET", "/requests", "")
	assert.Empty(t, requests)
	_, effects := c.call("GET", "/effects", "")
	assert.Empty(t, effects, "nothing was written")

	done("POST", "/reset", "")
	state = done("GET", "/state", "")
	assert.Len(t, state["cards"], 1, "the seed")
	assert.Empty(t, state["user_cards"])
	_, err = old.ListCards(t.Context(), list)
	require.NoError(t, err, "the keys are those of the beginning")
}

// TestControlRefuses: each with a status and a reason, and without a panic.
func TestControlRefuses(t *testing.T) {
	t.Parallel()
	c := newControl(t, membercardtest.NewServer())
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		"a page elsewhere":      {"POST", "/reset", "", []string{"Origin", "https://evil.example"}, 403, "another origin"},
		"a page of no origin":   {"POST", "/reset", "", []string{"Origin", "null"}, 403, "another origin"},
		"a link elsewhere":      {"GET", "/state", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "another origin"},
		"a form":                {"POST", "/cards", `{}`, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		"no JSON":               {"POST", "/cards", `{`, nil, 400, "EOF"},
		"something behind":      {"POST", "/cards", `{}{}`, nil, 400, "something behind"},
		"an unknown member":     {"POST", "/cards", `{"cardid":"x"}`, nil, 400, `unknown field "cardid"`},
		"another type":          {"POST", "/cards", `{"card_id":1}`, nil, 400, "card_id"},
		"no such template":      {"POST", "/user-cards/open", `{"card_id":"x","openid":"o"}`, nil, 400, "there is no template x in effect"},
		"no such card":          {"POST", "/user-cards/delete", `{"card_id":"x","user_card_code":"1"}`, nil, 400, "there is no such card"},
		"a kind of fault":       {"POST", "/faults", `{"kind":"x"}`, nil, 400, `"x" is no kind of fault`},
		"no rate":               {"PUT", "/rate", `{}`, nil, 400, "per_second is required"},
		"null":                  {"POST", "/cards", `null`, nil, 400, "null is no JSON object"},
		"an empty list":         {"POST", "/seed", `{"members":[]}`, nil, 400, "members is not known"},
		"a negative rate":       {"PUT", "/rate", `{"per_second":-1}`, nil, 400, "must not be negative"},
		"which key":             {"POST", "/keys/rotate", `{"which":"x"}`, nil, 400, "wechatpay or merchant"},
		"a card to notify of":   {"POST", "/notifications", `{"event":"USER_CARD.CREATE","card_id":"t-1"}`, nil, 404, "there is no such card"},
		"a seed":                {"POST", "/seed", `{"user_cards":[{"openid":"o"},{"openid":1}]}`, nil, 400, "user_cards[1]"},
		"a list of a seed":      {"POST", "/seed", `{"members":[{}]}`, nil, 400, "members is not known"},
		"a number":              {"GET", "/requests?after=x", "", nil, 400, "after is not a number"},
		"two cards of one code": {"POST", "/seed", `{"user_cards":[{"card_id":"t","user_card_code":"1"},{"card_id":"t","user_card_code":"1"}]}`, nil, 400, "user_cards[1]: AddUserCard"},
	} {
		status, value := c.call(test.method, test.path, test.body, test.headers...)
		assert.Equal(t, test.status, status, name)
		assert.Contains(t, value.(map[string]any)["error"], test.says, name)
	}
	request := httptest.NewRequest("GET", "/state", nil)
	request.Host = "rebound.example:1234" // a name of somebody else's that leads to this machine
	recorder := httptest.NewRecorder()
	(&membercardtest.Control{Server: membercardtest.NewServer()}).ServeHTTP(recorder, request)
	assert.Equal(t, 403, recorder.Code)
	(&membercardtest.Control{Server: membercardtest.NewServer(), AllowRemote: true}).ServeHTTP(recorder, request)
}

// TestControlIsApart: nothing of the control API can be reached through the modelled port.
func TestControlIsApart(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewServer()
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	c := newControl(t, server)
	response, err := http.Get(c.url + "/openapi.json")
	require.NoError(t, err)
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&document))
	assert.Greater(t, len(document.Paths), 12)
	for path, operations := range document.Paths {
		for method := range operations {
			request := httptest.NewRequest(strings.ToUpper(method), path, nil)
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, request)
			assert.Equal(t, 404, recorder.Code, path)
		}
	}
	response, err = http.Get(c.url + "/")
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, 200, response.StatusCode)
	assert.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'")
}

// TestControlEvents: who watches is told of each request.
func TestControlEvents(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewServer(membercardtest.AllowViolations())
	c := newControl(t, server)
	response, err := http.Get(c.url + "/requests/events")
	require.NoError(t, err)
	defer response.Body.Close()
	_, _ = server.Client().ListCards(t.Context(), membercard.ListCardsRequest{BrandID: "1004", Limit: 21})
	lines := bufio.NewScanner(response.Body)
	require.True(t, lines.Scan())
	assert.Equal(t, "id: 1", lines.Text())
	require.True(t, lines.Scan())
	var told map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &told))
	assert.Equal(t, "PARAM_ERROR", told["code"])
	assert.Equal(t, "documented", told["source"])
}

// TestStateBesideWrites: what is written out is no longer changed. The race detector tells.
func TestStateBesideWrites(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	card := server.AddCard(membercard.Card{})
	c := newControl(t, server)
	client := newClient(server)
	var reading sync.WaitGroup
	reading.Go(func() {
		for range 50 {
			status, _ := c.call("GET", "/state", "")
			assert.Equal(t, http.StatusOK, status)
		}
	})
	for range 20 {
		_, err := client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: card.CardID, BrandID: card.BrandID, Benefits: new("会员折扣")})
		require.NoError(t, err)
	}
	reading.Wait()
}

// TestNotificationsByControl are those that WeChat Pay would send of the card.
func TestNotificationsByControl(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewServer()
	c := newControl(t, server)
	var told []*membercard.Notification
	merchant := httptest.NewServer(server.Client().NotificationHandler(func(_ context.Context, n *membercard.Notification) error {
		told = append(told, n)
		return nil
	}))
	t.Cleanup(merchant.Close)
	server.AddCard(membercard.Card{CardID: "t", CodeMode: membercard.CodeModeMerchantAllocate, NotifyURL: merchant.URL + "/notify"})
	card := server.AddUserCard(membercard.UserCard{CardID: "t", UserCardCode: "mine", OpenID: "o-1"})
	other := server.AddUserCard(membercard.UserCard{CardID: "t", UserCardCode: "yours", OpenID: "o-2"})
	exchange := server.AddPointsExchange(membercard.PointsExchange{CardID: "t", UserCardCode: other.UserCardCode})
	notify := func(event, more string) (int, any) {
		return c.call("POST", "/notifications", `{"event":"`+event+`","card_id":"t","user_card_code":"`+card.UserCardCode+`"`+more+`}`)
	}
	status, _ := notify("USER_CARD.CREATE", "")
	assert.Equal(t, 200, status)
	created := told[0].Event.(*membercard.UserCardCreated)
	assert.Empty(t, created.UserCardCode, "as it was when the user opened the card")
	assert.Equal(t, membercard.UserCardStateUnactivated, created.UserCardState)
	status, answer := notify("USER_CARD.DELETE", "")
	assert.Equal(t, 400, status, answer)
	_, err := newClient(server).InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
		UserCardCode: other.UserCardCode, CardID: "t", BrandID: other.BrandID, OpenID: other.OpenID,
	})
	require.NoError(t, err)
	status, _ = c.call("POST", "/notifications", `{"event":"USER_CARD.DELETE","card_id":"t","user_card_code":"yours"}`)
	assert.Equal(t, 400, status, "the merchant invalidated it")
	server.DeleteUserCard("t", "mine")
	status, _ = notify("USER_CARD.DELETE", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, membercard.UserCardStateInvalid, told[1].Event.(*membercard.UserCardDeleted).UserCardState)
	status, _ = notify("POINT_EXCHANGE_COUPON", `,"record_id":"`+exchange.RecordID+`"`)
	assert.Equal(t, 404, status, "of another card")
	status, _ = c.call("POST", "/notifications", `{"event":"POINT_EXCHANGE_COUPON","card_id":"t","user_card_code":"yours","deduct_points":-5,"record_id":"`+exchange.RecordID+`"}`)
	assert.Equal(t, 400, status)
}
