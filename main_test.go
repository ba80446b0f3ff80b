package membercard_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const forgedSerial = "0123456789ABCDEF0123456789ABCDEF01234567"

// count counts the requests for an operation.
func count(server *membercardtest.Server, operation membercard.Operation) (n int) {
	for _, request := range server.Requests() {
		if request.Operation == operation {
			n++
		}
	}
	return n
}

func downloads(server *membercardtest.Server) int {
	return count(server, membercard.OperationDownloadCertificates)
}

// The member of all tests.
const (
	brandID      = "1004"
	cardID       = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	openID       = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
	userCardCode = "478515832665"
	phoneNumber  = "13800000000"

	unconfirmed = "478515832666" // a card of the same user that waits for its confirm
	recordID    = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	exchangeID  = "0Flpo7FqTQ"
	activityID  = 371067
	requestNo   = "100002322019090134234sfdf"
)

// picture is a PNG of one pixel.
var picture = func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err)
	}
	return b.Bytes()
}()

func TestMain(m *testing.M) {
	if os.Getenv("MEMBERCARD_TEST_KEY_PROCESS") != "" {
		serveKey(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// edition is an edition of the service.
type edition struct {
	name    string
	options []membercardtest.Option // of the fake
	lacks   []membercard.Operation
}

var editions = []edition{
	{name: "partner"},
	{"brand", []membercardtest.Option{membercardtest.WithBrandEdition()}, []membercard.Operation{
		membercard.OperationImportUserCardByPhone, membercard.OperationCreatePayViewToken, membercard.OperationCreateActivity,
		membercard.OperationListActivities, membercard.OperationGetActivity, membercard.OperationUpdateActivity,
		membercard.OperationTerminateActivity, membercard.OperationSecurityEcho,
	}},
}

func (e edition) has(operation membercard.Operation) bool {
	return !slices.Contains(e.lacks, operation)
}

// withoutBrand returns a request without the brand, where it is not a parameter.
func (e edition) withoutBrand(request any) any {
	if e.name != "brand" {
		return request
	}
	v := reflect.New(reflect.TypeOf(request)).Elem()
	v.Set(reflect.ValueOf(request))
	if field := v.FieldByName("BrandID"); field.IsValid() {
		field.SetZero()
	}
	return v.Interface()
}

// inEditions runs a test for each edition.
func inEditions(t *testing.T, test func(*testing.T, edition)) {
	t.Helper()
	for _, e := range editions {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// newServer returns a fake with one template and one member.
func newServer(tb testing.TB, options ...membercardtest.Option) *membercardtest.Server {
	tb.Helper()
	server := membercardtest.NewTestServer(tb, append(options, membercardtest.WithWithdrawnOperations())...)
	addMember(server)
	addMore(server)
	return server
}

// addMore adds what the operations beside cards need.
func addMore(server *membercardtest.Server) {
	server.AddUserCard(membercard.UserCard{CardID: cardID, UserCardCode: unconfirmed, OpenID: "another", UserCardState: membercard.UserCardStateUnactivated})
	server.AddPointsExchange(membercard.PointsExchange{CardID: cardID, UserCardCode: userCardCode, RecordID: recordID, ExchangeCouponTemplateID: exchangeID})
	server.AddActivity(membercard.Activity{BrandID: brandID, CardID: cardID, ActivityID: activityID, Title: "入会享券", BeginTime: at("2099-01-01T00:00:00+08:00")})
}

func addMember(server *membercardtest.Server) {
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID, UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagBirthday},
		CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeCheckBox, Name: "喜欢的运动", Values: []string{"足球", "篮球"}}},
	}})
	server.AddUserCard(membercard.UserCard{
		CardID: cardID, UserCardCode: userCardCode, OpenID: openID, Level: "黄金会员",
		PhoneNumber: membercard.NewSensitive(phoneNumber),
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

func noRetries(c *membercard.Config) { c.Retry.MaxAttempts = 1 }

// roundTripperFunc is a RoundTripper that fires no trace hooks.
type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The valid request of every operation about the member of newServer.
var (
	getRequest = membercard.GetUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
	}
	updateRequest = membercard.UpdateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID,
		Level: new("钻石会员"), PhoneNumber: membercard.NewSensitive("13900000000"),
	}
	invalidateRequest = membercard.InvalidateUserCardRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, InvalidReason: "用户申请注销",
	}
	listUserCardsRequest = membercard.ListUserCardsRequest{BrandID: brandID, OpenID: openID}
	listCardsRequest     = membercard.ListCardsRequest{BrandID: brandID}
)

const pictureURL = "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0"

func at(text string) (t membercard.Timestamp) {
	if err := json.Unmarshal([]byte(`"`+text+`"`), &t); err != nil {
		panic(err)
	}
	return t
}

func userCard(server *membercardtest.Server, code string) membercard.UserCard {
	card, _ := server.UserCard(cardID, code)
	return card
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

// newKey returns a key that is nobody's in the fake.
var newKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})
