package membercard_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

const base = "/v3/brand/partner/card-member/"

// TestEveryOperationOnTheWire pins method, path and query of every operation; TestContractRequests pins the bodies.
func TestEveryOperationOnTheWire(t *testing.T) {
	t.Parallel()
	require.Len(t, table, len(membercard.Operations()))
	for operation, known := range table {
		server := newServer(t)
		got, err := do(t.Context(), server.Client(), known.request)
		require.NoError(t, err, operation)
		require.NotNil(t, got)
		require.Len(t, server.Requests(), 1)
		sent := server.Requests()[0]
		assert.Equal(t, operation, sent.Operation)
		assert.Equal(t, known.wire, sent.Method+" "+sent.RequestURI)
	}
}

// identified returns the body of an answer with what makes it the answer to the operation's request: the identifiers
// that it repeats, the final state of an irreversible call, a token, an address.
func identified(operation membercard.Operation, body []byte) []byte {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		panic(err)
	}
	request := reflect.ValueOf(table[operation].request)
	for field, value := range request.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		repeated := slices.ContainsFunc(slices.Collect(answerOf(operation).Fields()), func(f reflect.StructField) bool {
			answered, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return answered == name
		})
		if repeated && slices.Contains([]string{"user_card_code", "card_id", "openid", "out_request_no", "record_id", "activity_id", "offset", "echo_message"}, name) {
			members[name] = value.Interface()
		}
	}
	if _, list := answerOf(operation).FieldByName("TotalCount"); list && members["total_count"] == nil {
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

// The classes of repeats, in the order of the client's table.
const (
	classRead = iota + 1
	classIdempotentWrite
	classOtherWrite
	classIrreversible
)

// operationCase is what the tests know of an operation.
type operationCase struct {
	class   int       // what may be repeated: a change here is a change of what users rely on
	request any       // a valid one, about the member of newServer
	wire    string    // its method and request URI
	brand   brandCase // the same in the brand edition, if the operation is there
	effect  effect    // what it changes, if it changes something
}

// brandCase is the method, the path, the names in the query, and the names that the body must have.
type brandCase struct{ method, path, query, members string }

// effect says under what the fake counts an effect, and whether a request number makes a repeat have no further one. done tells
// whether the request was carried out.
type effect struct {
	key      string
	numbered bool
	done     func(*membercardtest.Server) bool
}

// table is the one table of the operations.
var table = map[membercard.Operation]operationCase{
	membercard.OperationCreateCard: {
		class: classOtherWrite,
		request: membercard.CreateCardRequest{
			OutRequestNo: requestNo, BrandID: brandID, AppID: "wxea9c30890f48d5ae", CardType: membercard.CardTypeNormal, CardTitle: "测试卡",
			CardColor: "#FFFF00", CardPictureURL: pictureURL, CodeMode: membercard.CodeModeSystemAllocate, CodeType: membercard.CodeTypeBarCode,
			Benefits: "会员折扣、专属价", NotifyURL: "https://www.weixin.qq.com/wxpay/notify.php",
			ValidDateInformation: membercard.DateInfo{Type: membercard.DateTypePermanent}, LegalAgreement: "会员协议",
			MemberInformation: &membercard.MemberInfo{JumpAppID: "wxea9c30a90fs8d3fe", JumpPath: "/pages/member"},
		},
		wire:   "POST " + base + "cards",
		brand:  brandCase{"POST", "/cards", "", "out_request_no appid card_type card_title card_color card_picture_url code_mode code_type benefits notify_url valid_date_information legal_agreement member_information"},
		effect: effect{requestNo, true, func(s *membercardtest.Server) bool { return len(s.Cards()) == 2 }},
	},
	membercard.OperationListCards: {
		class:   classRead,
		request: listCardsRequest,
		wire:    "GET " + base + "cards?brand_id=1004&offset=0&limit=20",
		brand:   brandCase{"GET", "/cards", "offset limit", ""},
	},
	membercard.OperationGetCard: {
		class:   classRead,
		request: membercard.GetCardRequest{CardID: cardID, BrandID: brandID},
		wire:    "GET " + base + "cards/" + cardID + "?brand_id=1004",
		brand:   brandCase{"GET", "/cards/" + cardID, "", ""},
	},
	membercard.OperationUpdateCard: {
		class:   classIdempotentWrite,
		request: membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID, CardTitle: new("新卡"), NeedPinned: new(false)},
		wire:    "PATCH " + base + "cards/" + cardID,
		brand:   brandCase{"PATCH", "/cards/" + cardID, "", "card_title need_pinned"},
		effect:  effect{cardID, false, func(s *membercardtest.Server) bool { return s.Cards()[0].CardTitle == "新卡" }},
	},
	membercard.OperationInvalidateCard: {
		class:   classIrreversible,
		request: membercard.InvalidateCardRequest{CardID: cardID, BrandID: brandID},
		wire:    "POST " + base + "cards/" + cardID + "/invalidate",
		brand:   brandCase{"POST", "/cards/" + cardID + "/invalidate", "", ""},
		effect: effect{cardID, false, func(s *membercardtest.Server) bool {
			return s.Cards()[0].State == membercard.CardStateInvalid
		}},
	},
	membercard.OperationListUserCards: {
		class:   classRead,
		request: listUserCardsRequest,
		wire:    "GET " + base + "user-cards?brand_id=1004&openid=" + openID + "&offset=0&limit=20",
		brand:   brandCase{"GET", "/user-cards", "openid offset limit", ""},
	},
	membercard.OperationGetUserCard: {
		class:   classRead,
		request: getRequest,
		wire:    "GET " + base + "user-cards/" + userCardCode + "?brand_id=1004&card_id=" + cardID + "&openid=" + openID,
		brand:   brandCase{"GET", "/user-cards/" + userCardCode, "card_id openid", ""},
	},
	membercard.OperationUpdateUserCard: {
		class:   classIdempotentWrite,
		request: updateRequest,
		wire:    "PATCH " + base + "user-cards/" + userCardCode,
		brand:   brandCase{"PATCH", "/user-cards/" + userCardCode, "", "card_id openid level phone_number"},
		effect:  effect{userCardCode, false, func(s *membercardtest.Server) bool { return userCard(s, userCardCode).Level == "钻石会员" }},
	},
	membercard.OperationInvalidateUserCard: {
		class:   classIrreversible,
		request: invalidateRequest,
		wire:    "POST " + base + "user-cards/" + userCardCode + "/invalidate",
		brand:   brandCase{"POST", "/user-cards/" + userCardCode + "/invalidate", "", "card_id openid invalid_reason"},
		effect: effect{userCardCode, false, func(s *membercardtest.Server) bool {
			return userCard(s, userCardCode).UserCardState == membercard.UserCardStateInvalid
		}},
	},
	membercard.OperationConfirmUserCard: {
		class: classOtherWrite,
		request: membercard.ConfirmUserCardRequest{
			UserCardCode: unconfirmed, CardID: cardID, BrandID: brandID, OpenID: "another", PhoneNumber: membercard.NewSensitive(phoneNumber),
			UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
		},
		wire:  "POST " + base + "user-cards/" + unconfirmed + "/confirm",
		brand: brandCase{"POST", "/user-cards/" + unconfirmed + "/confirm", "", "card_id openid phone_number user_card_confirm_state"},
		effect: effect{unconfirmed, false, func(s *membercardtest.Server) bool {
			return userCard(s, unconfirmed).UserCardState == membercard.UserCardStateEffective
		}},
	},
	membercard.OperationImportUserCardByOpenID: {
		class: classOtherWrite,
		request: membercard.ImportUserCardByOpenIDRequest{
			BrandID: brandID, CardID: cardID, OpenID: "imported", UserCardCode: "imported", PhoneNumber: membercard.NewSensitive(phoneNumber),
		},
		wire:   "POST " + base + "user-cards/import-by-openid",
		brand:  brandCase{"POST", "/user-cards/import-by-openid", "", "card_id openid user_card_code phone_number"},
		effect: effect{"imported", false, func(s *membercardtest.Server) bool { return userCard(s, "imported").CardID != "" }},
	},
	membercard.OperationImportUserCardByPhone: {
		class: classOtherWrite,
		request: membercard.ImportUserCardByPhoneRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: "imported", PhoneNumber: membercard.NewSensitive(phoneNumber),
		},
		wire:   "POST " + base + "user-cards/import-by-phone",
		effect: effect{"imported", false, func(s *membercardtest.Server) bool { return userCard(s, "imported").CardID != "" }},
	},
	membercard.OperationSyncUserPoints: {
		class: classIdempotentWrite,
		request: membercard.SyncUserPointsRequest{
			OutRequestNo: requestNo, BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode, PointBalance: 1000,
		},
		wire:   "POST " + base + "user-points/sync",
		brand:  brandCase{"POST", "/user-points/sync", "", "out_request_no card_id openid user_card_code point_balance"},
		effect: effect{userCardCode, false, func(s *membercardtest.Server) bool { return s.Points(cardID, userCardCode) == 1000 }},
	},
	membercard.OperationConfirmPointsExchange: {
		class: classIdempotentWrite,
		request: membercard.ConfirmPointsExchangeRequest{
			RecordID: recordID, ExchangeCouponTemplateID: exchangeID, BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: userCardCode,
			Result: membercard.PointsExchangeResultAllow,
		},
		wire:  "POST " + base + "user-points/exchange-coupon/confirm",
		brand: brandCase{"POST", "/user-points/exchange-coupon/confirm", "", "record_id exchange_coupon_template_id card_id openid user_card_code result"},
		effect: effect{userCardCode, true, func(s *membercardtest.Server) bool {
			exchange, _ := s.PointsExchange(recordID)
			return exchange.State == membercard.PointsExchangeStateSuccess
		}},
	},
	membercard.OperationCreateUserFeed: {
		class: classOtherWrite,
		request: membercard.CreateUserFeedRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: userCardCode, OpenID: openID, OutRequestNo: requestNo,
			Cell: "15_8_1200_SUB1",
		},
		wire:   "POST " + base + "user-feeds",
		brand:  brandCase{"POST", "/user-feeds", "", "card_id user_card_code openid out_request_no cell"},
		effect: effect{userCardCode, true, func(s *membercardtest.Server) bool { return len(s.Feeds(cardID, userCardCode)) == 1 }},
	},
	membercard.OperationCreatePreAuthToken: {
		class:   classRead,
		request: membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: "stranger"},
		wire:    "POST " + base + "pre-auth-tokens",
		brand:   brandCase{"POST", "/pre-auth-tokens", "", "card_id openid"},
	},
	membercard.OperationCreatePayViewToken: {
		class:   classRead,
		request: membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID},
		wire:    "POST " + base + "pay-view-tokens",
	},
	membercard.OperationCreateActivity: {
		class: classOtherWrite,
		request: membercard.CreateActivityRequest{
			OutRequestNo: requestNo, BrandID: brandID, CardID: cardID, ActivityChannel: membercard.ActivityChannelMerchantAppComponent,
			Title: "入会享券", SubTitle: "5张满减券", BeginTime: at("2020-01-20T13:29:35.120+08:00"), EndTime: at("2099-01-29T13:29:35.120+08:00"),
			ApplyTotal: 1000, ProductCouponStockList: []membercard.ProductCouponStock{{ProductCouponID: "701138812971763025610907319729", StockID: "98065001"}},
		},
		wire:   "POST " + base + "membership-activities",
		effect: effect{requestNo, true, func(s *membercardtest.Server) bool { return len(s.Activities()) == 2 }},
	},
	membercard.OperationListActivities: {
		class:   classRead,
		request: membercard.ListActivitiesRequest{BrandID: brandID},
		wire:    "GET " + base + "membership-activities?brand_id=1004&offset=0&limit=20",
	},
	membercard.OperationGetActivity: {
		class:   classRead,
		request: membercard.GetActivityRequest{ActivityID: activityID, BrandID: brandID},
		wire:    "GET " + base + "membership-activities/371067?brand_id=1004",
	},
	membercard.OperationUpdateActivity: {
		class: classIdempotentWrite,
		request: membercard.UpdateActivityRequest{
			ActivityID: activityID, BrandID: brandID, Title: "新活动", SubTitle: "5张满减券",
			BeginTime: at("2020-01-20T13:29:35+08:00"), EndTime: at("2099-01-29T13:29:35+08:00"),
		},
		wire:   "PATCH " + base + "membership-activities/371067",
		effect: effect{"371067", false, func(s *membercardtest.Server) bool { return s.Activities()[0].Title == "新活动" }},
	},
	membercard.OperationTerminateActivity: {
		class:   classIrreversible,
		request: membercard.TerminateActivityRequest{ActivityID: activityID, BrandID: brandID},
		wire:    "POST " + base + "membership-activities/371067/terminate",
		effect: effect{"371067", false, func(s *membercardtest.Server) bool {
			return s.Activities()[0].ActivityState == membercard.ActivityStateTerminated
		}},
	},
	membercard.OperationUploadImage: {
		class:   classIdempotentWrite,
		request: membercard.UploadImageRequest{Filename: "card.png", Content: picture},
		wire:    "POST /v3/marketing/favor/media/image-upload",
		brand:   brandCase{"POST", "/media/image-upload", "", "filename file_digest"},
		effect: effect{"card.png", false, func(s *membercardtest.Server) bool {
			digest := sha256.Sum256(picture)
			_, ok := s.Picture("https://wxpaylogo.qpic.cn/wxpaylogo/" + hex.EncodeToString(digest[:]) + "/0")
			return ok
		}},
	},
	membercard.OperationSecurityEcho: {
		class: classRead,
		request: membercard.SecurityEchoRequest{
			EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("hello"),
		},
		wire: "POST /v3/security/echo",
	},
}

// answerOf is the type of an operation's answer.
func answerOf(operation membercard.Operation) reflect.Type {
	method, found := reflect.TypeFor[*membercard.Client]().MethodByName(string(operation))
	if !found {
		panic(operation)
	}
	return method.Type.Out(0).Elem()
}

// do performs an operation given its request.
func do(ctx context.Context, client *membercard.Client, request any) (any, error) {
	name := strings.TrimSuffix(reflect.TypeOf(request).Name(), "Request")
	results := reflect.ValueOf(client).MethodByName(name).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(request)})
	err, _ := results[1].Interface().(error)
	if results[0].IsNil() { // a nil pointer is to be a nil interface
		return nil, err
	}
	return results[0].Interface(), err
}

// TestOperationTable walks the client's table: every operation has a path of its own, a fake, an example answer, and the class that is
// pinned here.
func TestOperationTable(t *testing.T) {
	t.Parallel()
	operations := membercard.Operations()
	require.Len(t, operations, 24)
	seen := map[string]bool{}
	for _, operation := range operations {
		assert.False(t, seen[operation.Method+operation.Path], "%s: another operation has this path", operation.Name)
		seen[operation.Method+operation.Path] = true
		known, pinned := table[operation.Name]
		require.True(t, pinned, operation.Name)
		assert.Equal(t, known.class, operation.Class, operation.Name)
		require.NotEmpty(t, sampleAnswer(t, operation.Name))
	}
}
