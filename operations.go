package membercard

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// Operation names a method of [Client], such as GetUserCard.
type Operation string

// The operations. The number is the documented limit in requests a second for each merchant number, with the date of
// the page that states it.
const (
	OperationCreateCard     Operation = "CreateCard"     // none documented (2025.06.22), assume 5
	OperationListCards      Operation = "ListCards"      // 5 (2025.08.01), also for each page of AllCards
	OperationGetCard        Operation = "GetCard"        // 5 (2025.08.01)
	OperationUpdateCard     Operation = "UpdateCard"     // none documented (2025.06.22), assume 5
	OperationInvalidateCard Operation = "InvalidateCard" // 10 (2025.08.01; an earlier copy says 5)

	OperationListUserCards          Operation = "ListUserCards"          // 5 (2025.07.25), also for each page of AllUserCards
	OperationGetUserCard            Operation = "GetUserCard"            // none documented (2025.06.22), assume 5
	OperationUpdateUserCard         Operation = "UpdateUserCard"         // none documented (2025.06.22), assume 5
	OperationInvalidateUserCard     Operation = "InvalidateUserCard"     // none documented (2025.06.22), assume 5
	OperationConfirmUserCard        Operation = "ConfirmUserCard"        // 5 (2025.06.22)
	OperationImportUserCardByOpenID Operation = "ImportUserCardByOpenID" // 5 (2025.06.22)
	OperationImportUserCardByPhone  Operation = "ImportUserCardByPhone"  // none documented (2025.06.22), assume 5

	OperationSyncUserPoints        Operation = "SyncUserPoints"        // 5 (2025.08.20)
	OperationConfirmPointsExchange Operation = "ConfirmPointsExchange" // 5 (2025.08.20)
	OperationCreateUserFeed        Operation = "CreateUserFeed"        // 5 (2025.06.22)
	OperationCreatePreAuthToken    Operation = "CreatePreAuthToken"    // 5 (2025.11.19)
	OperationCreatePayViewToken    Operation = "CreatePayViewToken"    // 10 (2025.12.12; another source says 5)

	OperationCreateActivity    Operation = "CreateActivity"    // 5 (2025.11.14)
	OperationListActivities    Operation = "ListActivities"    // 5 (2025.11.14), also for each page of AllActivities
	OperationGetActivity       Operation = "GetActivity"       // 5 (2025.11.14)
	OperationUpdateActivity    Operation = "UpdateActivity"    // 5 (2025.11.14)
	OperationTerminateActivity Operation = "TerminateActivity" // none documented (2025.11.14), assume 5

	OperationUploadImage          Operation = "UploadImage"          // none documented; 100 a minute for direct merchants
	OperationDownloadCertificates Operation = "DownloadCertificates" // 1000; no method, the client's own, Config.Throttle is not asked
)

const base = "/v3/brand/partner/card-member"

var (
	createCard     = define[CreateCardRequest, Card](OperationCreateCard, http.MethodPost, base+"/cards", repeatableWrite)
	listCards      = define[ListCardsRequest, ListCardsResponse](OperationListCards, http.MethodGet, base+"/cards", read)
	getCard        = define[GetCardRequest, Card](OperationGetCard, http.MethodGet, base+"/cards/{card_id}", read)
	updateCard     = define[UpdateCardRequest, Card](OperationUpdateCard, http.MethodPatch, base+"/cards/{card_id}", repeatableWrite)
	invalidateCard = define[InvalidateCardRequest, Card](OperationInvalidateCard, http.MethodPost, base+"/cards/{card_id}/invalidate", irreversible)

	listUserCards          = define[ListUserCardsRequest, ListUserCardsResponse](OperationListUserCards, http.MethodGet, base+"/user-cards", read)
	getUserCard            = define[GetUserCardRequest, UserCard](OperationGetUserCard, http.MethodGet, base+"/user-cards/{user_card_code}", read)
	updateUserCard         = define[UpdateUserCardRequest, UserCard](OperationUpdateUserCard, http.MethodPatch, base+"/user-cards/{user_card_code}", repeatableWrite)
	invalidateUserCard     = define[InvalidateUserCardRequest, UserCard](OperationInvalidateUserCard, http.MethodPost, base+"/user-cards/{user_card_code}/invalidate", irreversible)
	confirmUserCard        = define[ConfirmUserCardRequest, UserCard](OperationConfirmUserCard, http.MethodPost, base+"/user-cards/{user_card_code}/confirm", otherWrite)
	importUserCardByOpenID = define[ImportUserCardByOpenIDRequest, UserCard](OperationImportUserCardByOpenID, http.MethodPost, base+"/user-cards/import-by-openid", otherWrite)
	importUserCardByPhone  = define[ImportUserCardByPhoneRequest, UserCard](OperationImportUserCardByPhone, http.MethodPost, base+"/user-cards/import-by-phone", otherWrite)

	syncUserPoints        = define[SyncUserPointsRequest, UserPoints](OperationSyncUserPoints, http.MethodPost, base+"/user-points/sync", repeatableWrite)
	confirmPointsExchange = define[ConfirmPointsExchangeRequest, PointsExchange](OperationConfirmPointsExchange, http.MethodPost, base+"/user-points/exchange-coupon/confirm", repeatableWrite)
	createUserFeed        = define[CreateUserFeedRequest, UserFeed](OperationCreateUserFeed, http.MethodPost, base+"/user-feeds", repeatableWrite)
	createPreAuthToken    = define[CreatePreAuthTokenRequest, Token](OperationCreatePreAuthToken, http.MethodPost, base+"/pre-auth-tokens", read)
	createPayViewToken    = define[CreatePayViewTokenRequest, Token](OperationCreatePayViewToken, http.MethodPost, base+"/pay-view-tokens", read)

	createActivity    = define[CreateActivityRequest, Activity](OperationCreateActivity, http.MethodPost, base+"/membership-activities", repeatableWrite)
	listActivities    = define[ListActivitiesRequest, ListActivitiesResponse](OperationListActivities, http.MethodGet, base+"/membership-activities", read)
	getActivity       = define[GetActivityRequest, Activity](OperationGetActivity, http.MethodGet, base+"/membership-activities/{activity_id}", read)
	updateActivity    = define[UpdateActivityRequest, Activity](OperationUpdateActivity, http.MethodPatch, base+"/membership-activities/{activity_id}", repeatableWrite)
	terminateActivity = define[TerminateActivityRequest, Activity](OperationTerminateActivity, http.MethodPost, base+"/membership-activities/{activity_id}/terminate", irreversible)

	uploadImage          = define[UploadImageRequest, UploadImageResponse](OperationUploadImage, http.MethodPost, "/v3/marketing/favor/media/image-upload", otherWrite)
	downloadCertificates = define[struct{}, certificateList](OperationDownloadCertificates, http.MethodGet, "/v3/certificates", read)
)

// operations are those that have a method.
var operations = []*operation{
	createCard.operation, listCards.operation, getCard.operation, updateCard.operation, invalidateCard.operation,
	listUserCards.operation, getUserCard.operation, updateUserCard.operation, invalidateUserCard.operation, confirmUserCard.operation,
	importUserCardByOpenID.operation, importUserCardByPhone.operation,
	syncUserPoints.operation, confirmPointsExchange.operation, createUserFeed.operation, createPreAuthToken.operation, createPayViewToken.operation,
	createActivity.operation, listActivities.operation, getActivity.operation, updateActivity.operation, terminateActivity.operation,
	uploadImage.operation,
}

// repeatClass says after which failures an operation may be repeated.
type repeatClass int

const (
	read            repeatClass = iota + 1 // changes nothing
	repeatableWrite                        // a repeat leaves the same state
	otherWrite                             // a repeat is refused, or does it again
	irreversible
)

// failure says how an attempt went wrong, as far as repeating it is concerned.
type failure int

const (
	final       failure = iota // repeating cannot help
	notSent                    // certainly
	rateLimited                // refused without being carried out
	uncertain                  // anything may have happened
)

func (r repeatClass) allows(f failure) bool {
	switch f {
	case notSent:
		return true
	case rateLimited:
		return r != irreversible
	case uncertain:
		return r == read || r == repeatableWrite
	default:
		return false
	}
}

// operation is what the client knows of an operation. The tags of its request and its result say the rest.
type operation struct {
	name       Operation
	method     string
	path       string
	repeat     repeatClass
	parameters []parameter // of the request
	contested  bool        // some of them have two places
	result     result
}

// endpoint ties an operation to its request and its result, so that the compiler keeps them together.
type endpoint[Request, Result any] struct{ *operation }

func define[Request, Result any](name Operation, method, path string, repeat repeatClass) endpoint[Request, Result] {
	parameters := parametersOf(reflect.TypeFor[Request]())
	contested := slices.ContainsFunc(parameters, func(p parameter) bool { return p.place != p.other })
	return endpoint[Request, Result]{&operation{name, method, path, repeat, parameters, contested, resultOf(reflect.TypeFor[Result](), parameters)}}
}

// call is the way of every operation.
func (e endpoint[Request, Result]) call(ctx context.Context, c *Client, in Request) (*Result, error) {
	resetInfo(ctx)
	r, err := c.build(ctx, e.operation, reflect.ValueOf(in)) // validate, encrypt, encode: once
	if err != nil {
		return nil, err
	}
	return e.send(ctx, c, r)
}

// send sends a request that was built.
func (e endpoint[Request, Result]) send(ctx context.Context, c *Client, r *request) (*Result, error) {
	v, err := c.send(ctx, r) // throttle, sign, send, read, verify, judge: for each attempt
	if err != nil {
		return nil, err
	}
	return v.result.(*Result), nil
}

// parameter is a field of a request, as its tags declare it: json has the name and, by omitempty or omitzero, that it
// is optional; in has the place, and says whether the value is personal.
type parameter struct {
	index        int
	field, name  string // Go's and the service's
	place, other string // path, query or body; and where Config.IDsInBody puts it
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
		place, other, contested := strings.Cut(place, "|")
		if !contested {
			other = place
		}
		all = append(all, parameter{
			index: i, field: field.Name, name: name, place: place, other: other,
			optional: options != "", personal: option == "personal", number: field.Type.Kind() == reflect.Int || field.Type.Kind() == reflect.Int64,
		})
	}
	return all
}

func jsonName(field reflect.StructField) (name, options string) {
	name, options, _ = strings.Cut(field.Tag.Get("json"), ",")
	return name, options
}
