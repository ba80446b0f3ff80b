package membercard_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
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
	server.AddPointsExchange(membercard.PointsExchange{CardID: cardID, UserCardCode: code, RecordID: recordID, ExchangeCouponTemplateID: exchangeID})
	server.AddActivity(membercard.Activity{BrandID: brandID, CardID: cardID, ActivityID: activityID, Title: "入会享券", BeginTime: at("2099-01-01T00:00:00+08:00")})
}

func addMember(server *membercardtest.Server) {
	server.AddCard(membercard.Card{BrandID: brandID, CardID: cardID, UserInformation: &membercard.UserInfoForm{
		CommonFieldList: []membercard.CommonFieldFlag{membercard.CommonFieldFlagBirthday},
		CustomFieldList: []membercard.UserCustomFieldForm{{Type: membercard.CustomFieldTypeCheckBox, Name: "喜欢的运动", Values: []string{"足球", "篮球"}}},
	}})
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

const pictureURL = "https://wxpaylogo.qpic.cn/wxpaylogo/xxxxx/0"

// requests holds the valid request of every operation.
var requests = map[membercard.Operation]any{
	membercard.OperationCreateCard: membercard.CreateCardRequest{
		OutRequestNo: requestNo, BrandID: brandID, AppID: "wxea9c30890f48d5ae", CardType: membercard.CardTypeNormal, CardTitle: "测试卡",
		CardColor: "#FFFF00", CardPictureURL: pictureURL, CodeMode: membercard.CodeModeSystemAllocate, CodeType: membercard.CodeTypeBarCode,
		Benefits: "会员折扣、专属价", NotifyURL: "https://www.weixin.qq.com/wxpay/notify.php",
		ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent}, LegalAgreement: "会员协议",
		MemberInformation: &membercard.MemberInfo{JumpAppID: "wxea9c30a90fs8d3fe", JumpPath: "/pages/member"},
	},
	membercard.OperationListCards:          listCardsRequest,
	membercard.OperationGetCard:            membercard.GetCardRequest{CardID: cardID, BrandID: brandID},
	membercard.OperationUpdateCard:         membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID, CardTitle: new("新卡"), NeedPinned: new(false)},
	membercard.OperationInvalidateCard:     membercard.InvalidateCardRequest{CardID: cardID, BrandID: brandID},
	membercard.OperationListUserCards:      listUserCardsRequest,
	membercard.OperationGetUserCard:        getRequest,
	membercard.OperationUpdateUserCard:     updateRequest,
	membercard.OperationInvalidateUserCard: invalidateRequest,
	membercard.OperationConfirmUserCard: membercard.ConfirmUserCardRequest{
		UserCardCode: unconfirmed, CardID: cardID, BrandID: brandID, OpenID: "another", PhoneNumber: membercard.NewSensitive(phone),
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	},
	membercard.OperationImportUserCardByOpenID: membercard.ImportUserCardByOpenIDRequest{
		BrandID: brandID, CardID: cardID, OpenID: "imported", UserCardCode: "imported", PhoneNumber: membercard.NewSensitive(phone),
	},
	membercard.OperationImportUserCardByPhone: membercard.ImportUserCardByPhoneRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: "imported", PhoneNumber: membercard.NewSensitive(phone),
	},
	membercard.OperationSyncUserPoints: membercard.SyncUserPointsRequest{
		OutRequestNo: requestNo, BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: code, PointBalance: 1000,
	},
	membercard.OperationConfirmPointsExchange: membercard.ConfirmPointsExchangeRequest{
		RecordID: recordID, ExchangeCouponTemplateID: exchangeID, BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: code,
		Result: membercard.PointsExchangeResultAllow,
	},
	membercard.OperationCreateUserFeed: membercard.CreateUserFeedRequest{
		BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, OutRequestNo: requestNo,
		Cell: "15_8_1200_SUB1",
	},
	membercard.OperationCreatePreAuthToken: membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: "stranger"},
	membercard.OperationCreatePayViewToken: membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
	membercard.OperationCreateActivity: membercard.CreateActivityRequest{
		OutRequestNo: requestNo, BrandID: brandID, CardID: cardID, ActivityChannel: membercard.ActivityChannelMerchantAppComponent,
		Title: "入会享券", SubTitle: "5张满减券", BeginTime: at("2020-01-20T13:29:35.120+08:00"), EndTime: at("2099-01-29T13:29:35.120+08:00"),
		ApplyTotal: 1000, ProductCouponStockList: []membercard.ProductCouponStock{{ProductCouponID: "701138812971763025610907319729", StockID: "98065001"}},
	},
	membercard.OperationListActivities: membercard.ListActivitiesRequest{BrandID: brandID},
	membercard.OperationGetActivity:    membercard.GetActivityRequest{ActivityID: activityID, BrandID: brandID},
	membercard.OperationUpdateActivity: membercard.UpdateActivityRequest{
		ActivityID: activityID, BrandID: brandID, Title: "新活动", SubTitle: "5张满减券",
		BeginTime: at("2020-01-20T13:29:35+08:00"), EndTime: at("2099-01-29T13:29:35+08:00"),
	},
	membercard.OperationTerminateActivity: membercard.TerminateActivityRequest{ActivityID: activityID, BrandID: brandID},
	membercard.OperationUploadImage:       membercard.UploadImageRequest{Filename: "card.png", Content: picture},
	membercard.OperationSecurityEcho: membercard.SecurityEchoRequest{
		EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("hello"),
	},
}

func at(text string) (t membercard.Timestamp) {
	if err := json.Unmarshal([]byte(`"`+text+`"`), &t); err != nil {
		panic(err)
	}
	return t
}

// effects says, for every operation that changes something, under what the fake counts it, whether a
// request number makes a repeat have no further effect, and how to see that it was carried out.
var effects = map[membercard.Operation]struct {
	key      string
	numbered bool
	done     func(*membercardtest.Server) bool
}{
	membercard.OperationCreateCard: {requestNo, true, func(s *membercardtest.Server) bool { return len(s.Cards()) == 2 }},
	membercard.OperationUpdateCard: {cardID, false, func(s *membercardtest.Server) bool { return s.Cards()[0].CardTitle == "新卡" }},
	membercard.OperationInvalidateCard: {cardID, false, func(s *membercardtest.Server) bool {
		return s.Cards()[0].State == membercard.CardStateInvalid
	}},
	membercard.OperationUpdateUserCard: {code, false, func(s *membercardtest.Server) bool { return userCard(s, code).Level == "钻石会员" }},
	membercard.OperationInvalidateUserCard: {code, false, func(s *membercardtest.Server) bool {
		return userCard(s, code).UserCardState == membercard.UserCardStateInvalid
	}},
	membercard.OperationConfirmUserCard: {unconfirmed, false, func(s *membercardtest.Server) bool {
		return userCard(s, unconfirmed).UserCardState == membercard.UserCardStateEffective
	}},
	membercard.OperationImportUserCardByOpenID: {"imported", false, func(s *membercardtest.Server) bool { return userCard(s, "imported").CardID != "" }},
	membercard.OperationImportUserCardByPhone:  {"imported", false, func(s *membercardtest.Server) bool { return userCard(s, "imported").CardID != "" }},
	membercard.OperationSyncUserPoints:         {code, false, func(s *membercardtest.Server) bool { return s.Points(cardID, code) == 1000 }},
	membercard.OperationConfirmPointsExchange: {code, true, func(s *membercardtest.Server) bool {
		exchange, _ := s.PointsExchange(recordID)
		return exchange.State == membercard.PointsExchangeStateSuccess
	}},
	membercard.OperationCreateUserFeed: {code, true, func(s *membercardtest.Server) bool { return len(s.Feeds(cardID, code)) == 1 }},
	membercard.OperationCreateActivity: {requestNo, true, func(s *membercardtest.Server) bool { return len(s.Activities()) == 2 }},
	membercard.OperationUpdateActivity: {"371067", false, func(s *membercardtest.Server) bool { return s.Activities()[0].Title == "新活动" }},
	membercard.OperationTerminateActivity: {"371067", false, func(s *membercardtest.Server) bool {
		return s.Activities()[0].ActivityState == membercard.ActivityStateTerminated
	}},
	membercard.OperationUploadImage: {"card.png", false, func(s *membercardtest.Server) bool {
		digest := sha256.Sum256(picture)
		_, ok := s.Picture("https://wxpaylogo.qpic.cn/wxpaylogo/" + hex.EncodeToString(digest[:]) + "/0")
		return ok
	}},
}

func userCard(server *membercardtest.Server, code string) membercard.UserCard {
	card, _ := server.UserCard(cardID, code)
	return card
}

// do performs an operation given its request.
func do(ctx context.Context, client *membercard.Client, request any) (any, error) {
	switch r := request.(type) {
	case membercard.CreateCardRequest:
		return result(client.CreateCard(ctx, r))
	case membercard.ListCardsRequest:
		return result(client.ListCards(ctx, r))
	case membercard.GetCardRequest:
		return result(client.GetCard(ctx, r))
	case membercard.UpdateCardRequest:
		return result(client.UpdateCard(ctx, r))
	case membercard.InvalidateCardRequest:
		return result(client.InvalidateCard(ctx, r))
	case membercard.ListUserCardsRequest:
		return result(client.ListUserCards(ctx, r))
	case membercard.GetUserCardRequest:
		return result(client.GetUserCard(ctx, r))
	case membercard.UpdateUserCardRequest:
		return result(client.UpdateUserCard(ctx, r))
	case membercard.InvalidateUserCardRequest:
		return result(client.InvalidateUserCard(ctx, r))
	case membercard.ConfirmUserCardRequest:
		return result(client.ConfirmUserCard(ctx, r))
	case membercard.ImportUserCardByOpenIDRequest:
		return result(client.ImportUserCardByOpenID(ctx, r))
	case membercard.ImportUserCardByPhoneRequest:
		return result(client.ImportUserCardByPhone(ctx, r))
	case membercard.SyncUserPointsRequest:
		return result(client.SyncUserPoints(ctx, r))
	case membercard.ConfirmPointsExchangeRequest:
		return result(client.ConfirmPointsExchange(ctx, r))
	case membercard.CreateUserFeedRequest:
		return result(client.CreateUserFeed(ctx, r))
	case membercard.CreatePreAuthTokenRequest:
		return result(client.CreatePreAuthToken(ctx, r))
	case membercard.CreatePayViewTokenRequest:
		return result(client.CreatePayViewToken(ctx, r))
	case membercard.CreateActivityRequest:
		return result(client.CreateActivity(ctx, r))
	case membercard.ListActivitiesRequest:
		return result(client.ListActivities(ctx, r))
	case membercard.GetActivityRequest:
		return result(client.GetActivity(ctx, r))
	case membercard.UpdateActivityRequest:
		return result(client.UpdateActivity(ctx, r))
	case membercard.TerminateActivityRequest:
		return result(client.TerminateActivity(ctx, r))
	case membercard.UploadImageRequest:
		return result(client.UploadImage(ctx, r))
	case membercard.SecurityEchoRequest:
		return result(client.SecurityEcho(ctx, r))
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

// identified returns the body of an answer with what makes it the answer to the operation's request: the identifiers
// that it repeats, the final state of an irreversible call, a token, an address.
func identified(operation membercard.Operation, body []byte) []byte {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		panic(err)
	}
	request := reflect.ValueOf(requests[operation])
	for field, value := range request.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		repeated := slices.ContainsFunc(slices.Collect(answers[operation].Fields()), func(f reflect.StructField) bool {
			answered, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return answered == name
		})
		if repeated && slices.Contains([]string{"user_card_code", "card_id", "openid", "out_request_no", "record_id", "activity_id", "offset", "echo_message"}, name) {
			members[name] = value.Interface()
		}
	}
	if _, list := answers[operation].FieldByName("TotalCount"); list && members["total_count"] == nil {
		members["total_count"] = 0
	}
	for name, value := range map[membercard.Operation][2]string{
		membercard.OperationInvalidateCard:     {"state", "CARD_INVALID"},
		membercard.OperationInvalidateUserCard: {"user_card_state", "INVALID"},
		membercard.OperationTerminateActivity:  {"activity_state", "MEMBERSHIP_ACTIVITY_TERMINATED"},
		membercard.OperationCreatePreAuthToken: {"token", "d2df23f2f4fasf3gws"},
		membercard.OperationCreatePayViewToken: {"token", "d2df23f2f4fasf3gws"},
		membercard.OperationUploadImage:        {"media_url", pictureURL},
	} {
		if name == operation {
			members[value[0]] = value[1]
		}
	}
	identified, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return identified
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
