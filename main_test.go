package membercard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// The member of all tests.
const (
	brandID = "1004"
	cardID  = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	openID  = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
	code    = "478515832665"
	phone   = "13800000000"
)

func TestMain(m *testing.M) {
	if os.Getenv("MEMBERCARD_TEST_KEY_PROCESS") != "" {
		serveKey(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// newServer returns a fake with one template and one member.
func newServer(tb testing.TB, options ...membercardtest.Option) *membercardtest.Server {
	tb.Helper()
	server := membercardtest.NewTestServer(tb, options...)
	addMember(server)
	return server
}

func addMember(server *membercardtest.Server) {
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID})
	server.AddUserCard(membercard.UserCard{
		CardID: cardID, UserCardCode: code, OpenID: openID, Level: "黄金会员",
		PhoneNumber: membercard.NewSensitive(phone),
		UserInformation: &membercard.UserInfo{
			CommonFieldList: []membercard.UserInfoCommonField{{
				Name: membercard.CommonFieldFlagBirthday, Value: membercard.NewSensitive("1990-01-01"),
			}},
			CustomFieldList: []membercard.UserInfoCustomField{{
				Name: "喜欢的运动", UserChosenValues: []membercard.Sensitive{membercard.NewSensitive("足球"), membercard.NewSensitive("篮球")},
			}},
		},
	})
}

// newClient returns a client of the fake, its configuration changed by the given functions.
func newClient(tb testing.TB, server *membercardtest.Server, changes ...func(*membercard.Config)) *membercard.Client {
	tb.Helper()
	config := server.Config()
	for _, change := range changes {
		change(&config)
	}
	client, err := membercard.New(config)
	require.NoError(tb, err)
	return client
}

// withTransport makes a configuration use a RoundTripper of the test's.
func withTransport(transport http.RoundTripper) func(*membercard.Config) {
	return func(c *membercard.Config) { c.HTTPClient = &http.Client{Transport: transport} }
}

func noRepeats(c *membercard.Config) { c.Retry.MaxAttempts = 1 }

// roundTripperFunc is a RoundTripper that fires no trace hooks.
type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The valid request of every operation about the member of newServer.
var (
	getRequest = membercard.GetUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
	}
	updateRequest = membercard.UpdateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
		Level: new("钻石会员"), PhoneNumber: membercard.NewSensitive("13900000000"),
	}
	invalidateRequest = membercard.InvalidateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, InvalidReason: "用户申请注销",
	}
	listUserCardsRequest = membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID}
	listCardsRequest     = membercard.ListCardsRequest{BrandID: brandID}
)

// requests holds the valid request of every operation.
var requests = map[membercard.Operation]any{
	membercard.OperationListCards:          listCardsRequest,
	membercard.OperationListUserCards:      listUserCardsRequest,
	membercard.OperationGetUserCard:        getRequest,
	membercard.OperationUpdateUserCard:     updateRequest,
	membercard.OperationInvalidateUserCard: invalidateRequest,
}

// do performs an operation given its request.
func do(ctx context.Context, client *membercard.Client, request any) (any, error) {
	switch r := request.(type) {
	case membercard.ListCardsRequest:
		return result(client.ListCards(ctx, r))
	case membercard.ListUserCardsRequest:
		return result(client.ListUserCards(ctx, r))
	case membercard.GetUserCardRequest:
		return result(client.GetUserCard(ctx, r))
	case membercard.UpdateUserCardRequest:
		return result(client.UpdateUserCard(ctx, r))
	case membercard.InvalidateUserCardRequest:
		return result(client.InvalidateUserCard(ctx, r))
	}
	panic("unknown request")
}

// result keeps a nil pointer from becoming a non-nil interface.
func result[T any](value *T, err error) (any, error) {
	if value == nil {
		return nil, err
	}
	return value, err
}

func TestEveryOperationHasARequest(t *testing.T) {
	t.Parallel()
	operations := membercard.Operations()
	require.Len(t, requests, len(operations))
	for _, operation := range operations {
		server := newServer(t)
		got, err := do(t.Context(), server.Client(), requests[operation.Name])
		require.NoError(t, err, operation.Name)
		require.NotNil(t, got)
		require.Len(t, server.Requests(), 1)
		require.Equal(t, operation.Name, server.Requests()[0].Operation)
	}
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	require.NoError(tb, err)
	return data
}

// asJSON brings JSON into a form that can be compared.
func asJSON(tb testing.TB, data []byte) any {
	tb.Helper()
	var value any
	require.NoError(tb, json.Unmarshal(data, &value), string(data))
	return value
}
