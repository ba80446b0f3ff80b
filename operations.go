package membercard

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/wechatpay-cards/membercard/internal/wire"
)

// Operation names a method of [Client], such as GetUserCard.
type Operation string

// The operations. The number is the documented limit in requests a second for each merchant number and operation, with
// the date that the page has. The pages are followed as their text was on 2026-08-08.
const (
	OperationCreateCard     Operation = "CreateCard"     // 10 (2025.08.01)
	OperationListCards      Operation = "ListCards"      // 10 (2025.08.01), also for each page of AllCards
	OperationGetCard        Operation = "GetCard"        // 10 (2025.08.01)
	OperationUpdateCard     Operation = "UpdateCard"     // 10 (2025.08.01)
	OperationInvalidateCard Operation = "InvalidateCard" // 10 (2025.08.01)

	OperationListUserCards          Operation = "ListUserCards"          // 10 (2025.07.25), also for each page of AllUserCards
	OperationGetUserCard            Operation = "GetUserCard"            // 10 (2025.07.25)
	OperationUpdateUserCard         Operation = "UpdateUserCard"         // 10 (2025.07.25)
	OperationInvalidateUserCard     Operation = "InvalidateUserCard"     // 10 (2025.07.25)
	OperationConfirmUserCard        Operation = "ConfirmUserCard"        // 10 (2025.06.22)
	OperationImportUserCardByOpenID Operation = "ImportUserCardByOpenID" // 10 (2025.06.22)
	OperationImportUserCardByPhone  Operation = "ImportUserCardByPhone"  // none documented (2025.06.22); withdrawn

	OperationSyncUserPoints        Operation = "SyncUserPoints"        // 10 (2025.08.20)
	OperationConfirmPointsExchange Operation = "ConfirmPointsExchange" // 10 (2025.08.20)
	OperationCreateUserFeed        Operation = "CreateUserFeed"        // 10 (2025.11.14)
	OperationCreatePreAuthToken    Operation = "CreatePreAuthToken"    // 10 (2025.11.19)
	OperationCreatePayViewToken    Operation = "CreatePayViewToken"    // 10 (2025.12.12); withdrawn

	OperationCreateActivity    Operation = "CreateActivity"    // 10 (2025.11.14)
	OperationListActivities    Operation = "ListActivities"    // 10 (2025.11.14), also for each page of AllActivities
	OperationGetActivity       Operation = "GetActivity"       // 10 (2025.11.14)
	OperationUpdateActivity    Operation = "UpdateActivity"    // 10 (2025.11.14)
	OperationTerminateActivity Operation = "TerminateActivity" // 10 (2025.11.14)

	OperationUploadImage          Operation = "UploadImage"          // none documented (2025.11.14)
	OperationSecurityEcho         Operation = "SecurityEcho"         // none documented (2026.04.08)
	OperationDownloadCertificates Operation = "DownloadCertificates" // 1000 (2024.10.15); no method, the client's own, Config.Throttle is not asked
)

var (
	createCard     = define[CreateCardRequest, Card](OperationCreateCard, http.MethodPost, basePath+"/cards", otherWrite)
	listCards      = define[ListCardsRequest, ListCardsResponse](OperationListCards, http.MethodGet, basePath+"/cards", read)
	getCard        = define[GetCardRequest, Card](OperationGetCard, http.MethodGet, basePath+"/cards/{card_id}", read)
	updateCard     = define[UpdateCardRequest, Card](OperationUpdateCard, http.MethodPatch, basePath+"/cards/{card_id}", idempotentWrite)
	invalidateCard = define[InvalidateCardRequest, Card](OperationInvalidateCard, http.MethodPost, basePath+"/cards/{card_id}/invalidate", irreversible)

	listUserCards          = define[ListUserCardsRequest, ListUserCardsResponse](OperationListUserCards, http.MethodGet, basePath+"/user-cards", read)
	getUserCard            = define[GetUserCardRequest, UserCard](OperationGetUserCard, http.MethodGet, basePath+"/user-cards/{user_card_code}", read)
	updateUserCard         = define[UpdateUserCardRequest, UserCard](OperationUpdateUserCard, http.MethodPatch, basePath+"/user-cards/{user_card_code}", idempotentWrite)
	invalidateUserCard     = define[InvalidateUserCardRequest, UserCard](OperationInvalidateUserCard, http.MethodPost, basePath+"/user-cards/{user_card_code}/invalidate", irreversible)
	confirmUserCard        = define[ConfirmUserCardRequest, UserCard](OperationConfirmUserCard, http.MethodPost, basePath+"/user-cards/{user_card_code}/confirm", otherWrite)
	importUserCardByOpenID = define[ImportUserCardByOpenIDRequest, UserCard](OperationImportUserCardByOpenID, http.MethodPost, basePath+"/user-cards/import-by-openid", otherWrite)
	importUserCardByPhone  = define[ImportUserCardByPhoneRequest, UserCard](OperationImportUserCardByPhone, http.MethodPost, basePath+"/user-cards/import-by-phone", otherWrite)

	syncUserPoints        = define[SyncUserPointsRequest, UserPoints](OperationSyncUserPoints, http.MethodPost, basePath+"/user-points/sync", idempotentWrite)
	confirmPointsExchange = define[ConfirmPointsExchangeRequest, PointsExchange](OperationConfirmPointsExchange, http.MethodPost, basePath+"/user-points/exchange-coupon/confirm", idempotentWrite)
	createUserFeed        = define[CreateUserFeedRequest, UserFeed](OperationCreateUserFeed, http.MethodPost, basePath+"/user-feeds", otherWrite)
	createPreAuthToken    = define[CreatePreAuthTokenRequest, Token](OperationCreatePreAuthToken, http.MethodPost, basePath+"/pre-auth-tokens", read)
	createPayViewToken    = define[CreatePayViewTokenRequest, Token](OperationCreatePayViewToken, http.MethodPost, basePath+"/pay-view-tokens", read)

	createActivity    = define[CreateActivityRequest, Activity](OperationCreateActivity, http.MethodPost, basePath+"/membership-activities", otherWrite)
	listActivities    = define[ListActivitiesRequest, ListActivitiesResponse](OperationListActivities, http.MethodGet, basePath+"/membership-activities", read)
	getActivity       = define[GetActivityRequest, Activity](OperationGetActivity, http.MethodGet, basePath+"/membership-activities/{activity_id}", read)
	updateActivity    = define[UpdateActivityRequest, Activity](OperationUpdateActivity, http.MethodPatch, basePath+"/membership-activities/{activity_id}", idempotentWrite)
	terminateActivity = define[TerminateActivityRequest, Activity](OperationTerminateActivity, http.MethodPost, basePath+"/membership-activities/{activity_id}/terminate", irreversible)

	uploadImage          = define[UploadImageRequest, UploadImageResponse](OperationUploadImage, http.MethodPost, "/v3/marketing/favor/media/image-upload", idempotentWrite)
	securityEcho         = define[SecurityEchoRequest, SecurityEchoResponse](OperationSecurityEcho, http.MethodPost, "/v3/security/echo", read)
	downloadCertificates = define[struct{}, certificateList](OperationDownloadCertificates, http.MethodGet, "/v3/certificates", read)
)

// operations are those that have a method.
var operations = []*operation{
	createCard.operation, listCards.operation, getCard.operation, updateCard.operation, invalidateCard.operation,
	listUserCards.operation, getUserCard.operation, updateUserCard.operation, invalidateUserCard.operation, confirmUserCard.operation,
	importUserCardByOpenID.operation, importUserCardByPhone.operation,
	syncUserPoints.operation, confirmPointsExchange.operation, createUserFeed.operation, createPreAuthToken.operation, createPayViewToken.operation,
	createActivity.operation, listActivities.operation, getActivity.operation, updateActivity.operation, terminateActivity.operation,
	uploadImage.operation, securityEcho.operation,
}

// retryClass says after which failures an operation may be retried.
type retryClass int

const (
	read            retryClass = iota + 1 // changes nothing
	idempotentWrite                       // done twice it leaves the same state
	otherWrite                            // the second is refused, and the refusal can mean that it was done
	irreversible
)

// failure says how an attempt went wrong, as far as a retry is concerned.
type failure int

const (
	final       failure = iota // a retry cannot help
	notSent                    // certainly
	rateLimited                // refused without being carried out
	uncertain                  // anything may have happened
)

func (r retryClass) allows(f failure) bool {
	switch f {
	case notSent:
		return true
	case rateLimited:
		return r != irreversible
	case uncertain:
		return r == read || r == idempotentWrite
	default:
		return false
	}
}

// operation is what the client knows of an operation. The tags of its request and its result say the rest.
type operation struct {
	name       Operation
	method     string
	path       string
	class      retryClass
	parameters []parameter // of the request
	contested  bool        // some of them have two places
	shape      resultShape
}

// OperationFrom returns the operation of a request by its context, for a RoundTripper of [Config].HTTPClient: a URL has
// personal data in it, the operation does not.
func OperationFrom(ctx context.Context) (Operation, bool) {
	op, ok := ctx.Value(wire.SubjectKey{}).(*operation)
	if !ok {
		return "", false
	}
	return op.name, true
}

// endpoint ties an operation to its request and its result, so that the compiler keeps them together.
type endpoint[Request, Result any] struct{ *operation }

func define[Request, Result any](name Operation, method, path string, class retryClass) endpoint[Request, Result] {
	parameters := parametersOf(reflect.TypeFor[Request]())
	contested := slices.ContainsFunc(parameters, func(p parameter) bool { return p.place != p.older })
	return endpoint[Request, Result]{&operation{name, method, path, class, parameters, contested, resultOf(reflect.TypeFor[Result](), parameters)}}
}

// parameter is a field of a request, as its tags declare it: json has the name and, by omitempty or omitzero, that it
// is optional; in has the place, and says whether the value is personal.
type parameter struct {
	index        int
	field, name  string // Go's and the service's
	place, older string // path, query or body; and where Config.IDsInQuery puts it
	optional     bool
	personal     bool // no text may quote it
	number       bool // 0 is a value
}

func parametersOf(request reflect.Type) []parameter {
	var all []parameter
	for i := range request.NumField() {
		field := request.Field(i)
		name, options := jsonName(field)
		place, option, _ := strings.Cut(field.Tag.Get("in"), ",")
		if place == "" { // no parameter: UploadImage makes its body of them
			continue
		}
		place, older, contested := strings.Cut(place, "|")
		if !contested {
			older = place
		}
		all = append(all, parameter{
			index: i, field: field.Name, name: name, place: place, older: older,
			optional: options != "", personal: option == "personal", number: field.Type.Kind() == reflect.Int || field.Type.Kind() == reflect.Int64,
		})
	}
	return all
}

func jsonName(field reflect.StructField) (name, options string) {
	name, options, _ = strings.Cut(field.Tag.Get("json"), ",")
	return name, options
}
