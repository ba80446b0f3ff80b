package membercard_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const base = "/v3/brand/partner/card-member/"

// TestWire pins what goes over the wire: method, path, query and body, each parameter in its place.
func TestWire(t *testing.T) {
	t.Parallel()
	const ids = "brand_id=1004&card_id=pbLatjvWOibDc5-TBnbUk1pD12o0"
	for name, test := range map[string]struct {
		request any
		idsIn   []membercard.Operation
		method  string
		uri     string
		body    string
	}{
		"ListCards": {
			request: listCardsRequest,
			method:  "GET", uri: base + "cards?brand_id=1004&offset=0&limit=20",
		},
		"ListCards, all parameters": {
			request: membercard.ListCardsRequest{BrandID: brandID, State: membercard.CardStateInvalid, Offset: 5, Limit: 3},
			method:  "GET", uri: base + "cards?brand_id=1004&state=CARD_INVALID&offset=5&limit=3",
		},
		"ListUserCards": {
			request: listUserCardsRequest,
			method:  "GET", uri: base + "user-cards?brand_id=1004&openid=" + openID + "&offset=0&limit=20",
		},
		"ListUserCards, all parameters": {
			request: membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID, UserCardState: membercard.UserCardStateEffective, Offset: 20, Limit: 20},
			method:  "GET", uri: base + "user-cards?brand_id=1004&openid=" + openID + "&user_card_state=EFFECTIVE&offset=20&limit=20",
		},
		"GetUserCard": {
			request: getRequest,
			method:  "GET", uri: base + "user-cards/478515832665?" + ids + "&openid=" + openID,
		},
		"UpdateUserCard": {
			request: membercard.UpdateUserCardRequest{
				BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
				CardColor: new("#FFFF00"), Attach: new("自定义数据说明"),
				ValidDateInformation: &membercard.DateInfo{Type: membercard.DateTypePermanent},
				UserInformation:      &membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{}},
			},
			method: "PATCH", uri: base + "user-cards/478515832665",
			body: `{"card_id":"` + cardID + `","brand_id":"1004","openid":"` + openID + `","card_color":"#FFFF00","attach":"自定义数据说明",
				"valid_date_information":{"type":"PERMANENT"},
				"user_information":{"custom_field_list":[]}}`,
		},
		"UpdateUserCard, ids in the query": {
			request: membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, Level: new("钻石会员")},
			idsIn:   []membercard.Operation{membercard.OperationUpdateUserCard},
			method:  "PATCH", uri: base + "user-cards/478515832665?card_id=" + cardID,
			body: `{"brand_id":"1004","openid":"` + openID + `","level":"钻石会员"}`,
		},
		"InvalidateUserCard": {
			request: membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID},
			method:  "POST", uri: base + "user-cards/478515832665/invalidate",
			body: `{"brand_id":"1004","card_id":"` + cardID + `","openid":"` + openID + `"}`,
		},
		"InvalidateUserCard, ids in the query": {
			request: invalidateRequest,
			idsIn:   []membercard.Operation{membercard.OperationInvalidateUserCard},
			method:  "POST", uri: base + "user-cards/478515832665/invalidate?" + ids,
			body: `{"openid":"` + openID + `","invalid_reason":"用户申请注销"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, membercardtest.WithIDsInQuery(test.idsIn...))
			client := newClient(t, server, func(c *membercard.Config) { c.IDsInQuery = test.idsIn })
			_, err := do(t.Context(), client, test.request)
			require.NoError(t, err)
			sent := server.Requests()[0]
			assert.Equal(t, test.method, sent.Method)
			assert.Equal(t, test.uri, sent.RequestURI)
			if test.body == "" {
				assert.Empty(t, sent.Body)
			} else {
				assert.Equal(t, asJSON(t, []byte(test.body)), asJSON(t, sent.Body))
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for operation, request := range requests {
		server := newServer(t)
		_, err := do(t.Context(), server.Client(), request)
		require.NoError(t, err)
		h := server.Requests()[0].Header
		assert.Equal(t, []string{"application/json"}, h.Values("Accept"), operation)
		assert.Equal(t, []string{membercardtest.PublicKeyID}, h.Values("Wechatpay-Serial"), operation)
		assert.Regexp(t, `^wechatpay-cards-membercard/\S+ \(go\S+\)$`, h.Get("User-Agent"))
		assert.Regexp(t, `^WECHATPAY2-SHA256-RSA2048 mchid="1900009191",nonce_str="[0-9A-Za-z]{32}",signature="[^"]{344}",timestamp="\d+",serial_no="5157F09EFDC096DE15EBE81A47057A7232F1B8E1"$`, h.Get("Authorization"))
		if operation == membercard.OperationUploadImage {
			assert.Regexp(t, `^multipart/form-data; boundary=\w+$`, h.Get("Content-Type"))
		} else if len(server.Requests()[0].Body) > 0 {
			assert.Equal(t, []string{"application/json"}, h.Values("Content-Type"), operation)
		} else {
			assert.Empty(t, h.Values("Content-Type"), operation)
		}
		assert.Empty(t, h.Values("Accept-Encoding"), "verification is over what the transport decoded")
	}
}

// TestCodesWithPunctuation: a card code may hold any half-width punctuation. It is escaped once, and
// what is signed is what is sent, in memory and through a socket.
func TestCodesWithPunctuation(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	overSocket := newClient(t, server, func(c *membercard.Config) {
		c.BaseURL, c.HTTPClient = server.Start(), nil
	})
	codes := []string{"A/B#1", "50%25+&?=", `a"b\c'd`, "~!@$^*()_+-", "{}[]|:;<>,.", "...", "a.", ".a", "`", "%2F", "%", "/", "//", "?", "a b"[:1] + "!"}
	for b := '!'; b <= '~'; b++ {
		if b != '.' { // alone it is refused
			codes = append(codes, string(b))
		}
	}
	for i, code := range codes {
		cardID := "card-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		server.AddUserCard(membercard.UserCard{CardID: cardID, BrandID: brandID, UserCardCode: code, OpenID: openID})
		for _, client := range []*membercard.Client{server.Client(), overSocket} {
			card, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
				BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			})
			require.NoError(t, err, code)
			assert.Equal(t, code, card.UserCardCode)
		}
	}
	assert.NotContains(t, server.Requests()[0].RequestURI, "%25", "A/B#1 was escaped twice")
	assert.Contains(t, server.Requests()[0].RequestURI, "A%2FB%231")
}

func TestQueryValuesAreEscaped(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	openID := "a b+c&d=e/f?%#字"
	server.AddUserCard(membercard.UserCard{UserCardCode: "1", OpenID: openID})
	page, err := server.Client().ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	assert.Equal(t, openID, page.Data[0].OpenID)
	assert.Contains(t, server.Requests()[0].RequestURI, "openid=a%20b%2Bc%26d%3De%2Ff%3F%25%23%E5%AD%97&")
}

// TestRefusedBeforeSending: only what the client can be sure of, in words that name the field.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	for says, request := range map[string]any{
		"GetUserCard: BrandID (brand_id) is required":            membercard.GetUserCardRequest{CardID: cardID, UserCardCode: code, OpenID: openID},
		"GetUserCard: CardID (card_id) is required":              membercard.GetUserCardRequest{BrandID: brandID, UserCardCode: code, OpenID: openID},
		"GetUserCard: UserCardCode (user_card_code) is required": membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
		"GetUserCard: OpenID (openid) is required":               membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code},
		`must not be "." or ".."`:                                membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: "..", OpenID: openID},
		`UserCardCode (user_card_code) must not be "."`:          membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: ".", OpenID: openID},
		"nor hold control characters":                            membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: "a\nb", OpenID: openID},
		"ListCards: BrandID (brand_id) is required":              membercard.ListCardsRequest{},
		"ListUserCards: OpenID (openid) is required":             membercard.ListUserCardsRequest{BrandID: brandID},
		"UpdateUserCard: nothing to change":                      membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID},
		"Level holds an emoji":                                   membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, Level: new("👑")},
		"Attach holds an emoji or another character":             membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, Attach: new("\xff")},
		"UserInformation.CustomFieldList[0].Name holds an emoji": membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			UserInformation: &membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{{Name: "🏀"}}},
		},
		"ValidDateInformation (valid_date_information)": membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			ValidDateInformation: &membercard.DateInfo{AvailableEndTime: membercard.Timestamp{Time: time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)}},
		},
		"InvalidateUserCard: UserCardCode (user_card_code) is required": membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
	} {
		got, err := do(t.Context(), client, request)
		require.ErrorContains(t, err, says)
		assert.Nil(t, got)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		assert.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
		assert.NotContains(t, err.Error(), openID)
	}
	assert.Empty(t, server.Requests())
}

// TestNotStricterThanDesigned: lengths, alphabets, enums and page sizes are the service's to refuse.
func TestNotStricterThanDesigned(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	long := strings.Repeat("x", 600)
	for name, request := range map[string]any{
		"page size": membercard.ListCardsRequest{BrandID: brandID, Limit: 21},
		"offset":    membercard.ListCardsRequest{BrandID: brandID, Offset: -1},
		"enum":      membercard.ListCardsRequest{BrandID: brandID, State: "NEW_STATE"},
		"length":    membercard.GetUserCardRequest{BrandID: long, CardID: long, UserCardCode: long, OpenID: long},
		"alphabet":  membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: "字", OpenID: openID},
		"colour":    membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, CardColor: new("red")},
		"empty":     membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, Level: new("")},
	} {
		_, err := do(t.Context(), client, request)
		apiError := (*membercard.APIError)(nil)
		require.ErrorAs(t, err, &apiError, name)
		assert.Equal(t, "PARAM_ERROR", apiError.Code, name)
	}
}

func TestResponseInfo(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	var info membercard.ResponseInfo
	_, err := server.Client().GetUserCard(membercard.WithResponseInfo(t.Context(), &info), getRequest)
	require.NoError(t, err)
	assert.Equal(t, membercard.ResponseInfo{RequestID: info.RequestID, Host: "api.mch.weixin.qq.com", StatusCode: 200, Attempts: 1}, info)
	assert.Regexp(t, `^[0-9A-F]{40}-0$`, info.RequestID)

	request := getRequest
	request.UserCardCode = "1"
	_, err = server.Client().GetUserCard(membercard.WithResponseInfo(t.Context(), &info), request)
	require.ErrorIs(t, err, membercard.ErrNotFound)
	assert.Equal(t, 404, info.StatusCode)
	assert.Contains(t, err.Error(), info.RequestID)
}

func TestAllCards(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t)
	var want []string
	for range 45 {
		want = append(want, server.AddCard(membercard.Card{BrandID: brandID}).CardID)
	}
	client := server.Client()
	collect := func(request membercard.ListCardsRequest) (ids []string, errs []error) {
		for card, err := range client.AllCards(t.Context(), request) {
			if err != nil {
				assert.Nil(t, card)
				errs = append(errs, err)
				continue
			}
			ids = append(ids, card.CardID)
		}
		return ids, errs
	}
	uris := func() (uris []string) {
		for _, r := range server.Requests() {
			_, query, _ := strings.Cut(r.RequestURI, "brand_id=1004&")
			uris = append(uris, query)
		}
		return uris
	}
	all := client.AllCards(t.Context(), listCardsRequest)
	assert.Empty(t, server.Requests(), "lazy")
	var got []string
	for range 2 { // ranging again starts over
		got = nil
		for card, err := range all {
			require.NoError(t, err)
			got = append(got, card.CardID)
		}
		assert.Equal(t, want, got)
	}
	assert.Equal(t, []string{"offset=0&limit=20", "offset=20&limit=20", "offset=40&limit=20", "offset=0&limit=20", "offset=20&limit=20", "offset=40&limit=20"}, uris())

	t.Run("from an offset", func(t *testing.T) {
		got, errs := collect(membercard.ListCardsRequest{BrandID: brandID, Offset: 30, Limit: 10})
		assert.Empty(t, errs)
		assert.Equal(t, want[30:], got)
	})
	t.Run("no call after break", func(t *testing.T) {
		before := len(server.Requests())
		for range client.AllCards(t.Context(), listCardsRequest) {
			break
		}
		assert.Len(t, server.Requests(), before+1)
	})
	t.Run("one error, then stop", func(t *testing.T) {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		got, errs := collect(listCardsRequest)
		assert.Equal(t, want[:20], got)
		require.Len(t, errs, 1)
		assert.ErrorIs(t, errs[0], membercard.ErrForbidden)
	})
	t.Run("an empty page ends it whatever total_count claims", func(t *testing.T) {
		before := len(server.Requests())
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"total_count":1000,"offset":0,"limit":20}`)})
		got, errs := collect(listCardsRequest)
		assert.Empty(t, got)
		assert.Empty(t, errs)
		assert.Len(t, server.Requests(), before+1)
	})
	t.Run("short pages are advanced by what came", func(t *testing.T) {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"data":[{"card_id":"first"}],"total_count":45,"offset":0,"limit":20}`)})
		got, errs := collect(listCardsRequest)
		assert.Empty(t, errs)
		assert.Equal(t, append([]string{"first"}, want[1:]...), got)
	})
}

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

func TestTheCallersHTTPClientIsCopied(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	followed := false
	shared := &http.Client{Transport: server, CheckRedirect: func(*http.Request, []*http.Request) error { followed = true; return nil }}
	client := newClient(t, server, func(c *membercard.Config) { c.HTTPClient = shared })
	_ = shared.CheckRedirect(nil, nil)
	assert.True(t, followed, "the caller's client was changed")
	shared.Transport = roundTripperFunc(func(*http.Request) (*http.Response, error) { panic("changed afterwards") })
	_, err := client.GetUserCard(t.Context(), getRequest)
	assert.NoError(t, err)
}

func TestSeveralMerchantNumbersShareATransport(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	shared := &http.Client{Transport: membercard.NewTransport()}
	for range 2 {
		client := newClient(t, server, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = server.Start(), shared })
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
	}
	shared.CloseIdleConnections()
}

func TestDefaultTransport(t *testing.T) {
	t.Parallel()
	transport := membercard.NewTransport()
	assert.GreaterOrEqual(t, transport.MaxIdleConnsPerHost, 64)
	assert.True(t, transport.ForceAttemptHTTP2)
	assert.NotZero(t, transport.TLSHandshakeTimeout)
	require.NotNil(t, transport.Proxy)
	assert.Nil(t, transport.TLSClientConfig, "TLS checks are Go's own")
	assert.NotSame(t, transport, membercard.NewTransport())
	proxied, err := transport.Proxy(&http.Request{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	require.NoError(t, err)
	assert.Nil(t, proxied, "loopback is never proxied")
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
