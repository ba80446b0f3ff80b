package membercard_test

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestValidationComesFirst: a request that cannot be meant needs no key.
func TestValidationComesFirst(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	_, err := server.Client().GetUserCard(t.Context(), membercard.GetUserCardRequest{})
	require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	assert.Empty(t, server.Requests())
}

// TestTheBodyCanBeRewound: net/http sends a request again by itself when a kept connection turns out to be
// closed before anything was sent, and needs the body anew.
func TestTheBodyCanBeRewound(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		again, err := r.GetBody()
		require.NoError(t, err)
		body, err := io.ReadAll(again)
		require.NoError(t, err)
		require.Len(t, body, int(r.ContentLength))
		return server.RoundTrip(r)
	})))
	_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.NoError(t, err)
}

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
				BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
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
			request: membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, Level: new("钻石会员")},
			idsIn:   []membercard.Operation{membercard.OperationUpdateUserCard},
			method:  "PATCH", uri: base + "user-cards/478515832665?card_id=" + cardID,
			body: `{"brand_id":"1004","openid":"` + openID + `","level":"钻石会员"}`,
		},
		"InvalidateUserCard": {
			request: membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID},
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
	for operation, known := range table {
		request := known.request
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

// TestRefusedBeforeSending: only what the client can be sure of, in words that name the field.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	assertRefused(t, map[string]any{
		"GetUserCard: BrandID (brand_id) is required":            membercard.GetUserCardRequest{CardID: cardID, UserCardCode: userCardCode, OpenID: openID},
		"GetUserCard: CardID (card_id) is required":              membercard.GetUserCardRequest{BrandID: brandID, UserCardCode: userCardCode, OpenID: openID},
		"GetUserCard: UserCardCode (user_card_code) is required": membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
		"GetUserCard: OpenID (openid) is required":               membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode},
		`must not be "." or ".."`:                                membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: "..", OpenID: openID},
		`UserCardCode (user_card_code) must not be "."`:          membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: ".", OpenID: openID},
		"nor hold control characters":                            membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: "a\nb", OpenID: openID},
		"ListCards: BrandID (brand_id) is required":              membercard.ListCardsRequest{},
		"ListUserCards: OpenID (openid) is required":             membercard.ListUserCardsRequest{BrandID: brandID},
		"UpdateUserCard: nothing to change":                      membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID},
		"Level holds an emoji":                                   membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, Level: new("👑")},
		"Attach holds an emoji or another character":             membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, Attach: new("\xff")},
		"UserInformation.CustomFieldList[0].Name holds an emoji": membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
			UserInformation: &membercard.UserInfo{CustomFieldList: []membercard.UserInfoCustomField{{Name: "🏀"}}},
		},
		"ValidDateInformation (valid_date_information)": membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
			ValidDateInformation: &membercard.DateInfo{AvailableEndTime: membercard.Timestamp{Time: time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)}},
		},
		"InvalidateUserCard: UserCardCode (user_card_code) is required":                  membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
		"UpdateCard: nothing to change":                                                  membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID},
		"UpdateActivity: EndTime (end_time) is required":                                 membercard.UpdateActivityRequest{ActivityID: 1, BrandID: brandID, Title: "t", SubTitle: "s", BeginTime: at("2020-01-20T13:29:35+08:00")},
		"CreateActivity: ProductCouponStockList (product_coupon_stock_list) is required": membercard.CreateActivityRequest{OutRequestNo: "1", BrandID: brandID, CardID: cardID, ActivityChannel: "x", Title: "t", SubTitle: "s", BeginTime: at("2020-01-20T13:29:35+08:00"), EndTime: at("2020-01-20T13:29:35+08:00")},
		"ImportUserCardByPhone: PhoneNumber (phone_number) is required":                  membercard.ImportUserCardByPhoneRequest{BrandID: brandID, CardID: cardID, UserCardCode: "1"},
		"ConfirmUserCard: UserCardConfirmState (user_card_confirm_state) is required":    membercard.ConfirmUserCardRequest{UserCardCode: "1", CardID: cardID, BrandID: brandID, OpenID: openID},
		`GetCard: CardID (card_id) must not be "." or ".."`:                              membercard.GetCardRequest{CardID: "..", BrandID: brandID},
		"CreateCard: UserInformation.CustomFieldList[0].Values[0] holds an emoji": createCardWith(func(r *membercard.CreateCardRequest) {
			r.UserInformation = &membercard.UserInfoForm{CustomFieldList: []membercard.UserCustomFieldForm{{Values: []string{"🏀"}}}}
		}),
	})
}

// assertRefused: each request is refused before it is sent, with words that name the field.
func assertRefused(t *testing.T, requests map[string]any) {
	t.Helper()
	server := newServer(t)
	for says, request := range requests {
		got, err := do(t.Context(), server.Client(), request)
		require.ErrorContains(t, err, says)
		assert.Nil(t, got)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
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
		"colour":    membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, CardColor: new("red")},
		"empty":     membercard.UpdateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, Level: new("")},
	} {
		_, err := do(t.Context(), client, request)
		apiError := (*membercard.APIError)(nil)
		require.ErrorAs(t, err, &apiError, name)
		assert.Equal(t, "PARAM_ERROR", apiError.Code, name)
	}
}

func createCardWith(change func(*membercard.CreateCardRequest)) membercard.CreateCardRequest {
	request := table[membercard.OperationCreateCard].request.(membercard.CreateCardRequest)
	change(&request)
	return request
}

// TestEverySensitiveFieldIsEncrypted fills every Sensitive of every request type, and requires a ciphertext
// in each place and no clear text anywhere.
func TestEverySensitiveFieldIsEncrypted(t *testing.T) {
	t.Parallel()
	slots := 0
	for operation, known := range table {
		request := known.request
		server := newServer(t)
		filled := reflect.New(reflect.TypeOf(request)).Elem()
		filled.Set(reflect.ValueOf(request))
		n := fillSensitive(filled, new(int))
		if n == 0 {
			continue
		}
		slots += n
		before := fmt.Sprintf("%#v", filled.Interface())
		_, err := do(t.Context(), server.Client(), filled.Interface())
		if err != nil { // the values are no answers to what the template asks
			require.ErrorIs(t, err, membercard.ErrInvalidParameter, operation)
		}
		assert.Equal(t, before, fmt.Sprintf("%#v", filled.Interface()), "the caller's request was changed")
		body := string(server.Requests()[0].Body)
		assert.NotContains(t, body, "canary")
		assert.NotContains(t, body, "redacted")
		assert.Equal(t, n, countCiphertexts(asJSON(t, []byte(body))), "%s: %s", operation, body)
	}
	assert.Equal(t, 17, slots, "of five operations")
}

func TestAForgottenEncryptionIsRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	request := updateRequest
	request.Attach = new("[redacted]")
	_, err := server.Client().UpdateUserCard(t.Context(), request)
	require.ErrorContains(t, err, "[redacted]")
	assert.Empty(t, server.Requests())
}

// TestATransportThatReadsTheBody and takes it anew, as one that logs does, goes on working for what can be done twice. For what cannot
// it must put the body back itself.
func TestATransportThatReadsTheBody(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.ReadAll(r.Body)
			again, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = again
		}
		return server.RoundTrip(r)
	})))
	_, err := client.UpdateUserCard(t.Context(), updateRequest)
	require.NoError(t, err)
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorContains(t, err, "wants the body again")
	assert.Zero(t, server.Effects(membercard.OperationInvalidateUserCard, userCardCode))
}
