package membercard_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestFamilyWire pins method, path and query of the family; TestFamilyOfficialRequests pins the bodies.
func TestFamilyWire(t *testing.T) {
	t.Parallel()
	for operation, want := range map[membercard.Operation]string{
		membercard.OperationCreateCard:             "POST " + base + "cards",
		membercard.OperationGetCard:                "GET " + base + "cards/" + cardID + "?brand_id=1004",
		membercard.OperationUpdateCard:             "PATCH " + base + "cards/" + cardID,
		membercard.OperationInvalidateCard:         "POST " + base + "cards/" + cardID + "/invalidate",
		membercard.OperationConfirmUserCard:        "POST " + base + "user-cards/" + unconfirmed + "/confirm",
		membercard.OperationImportUserCardByOpenID: "POST " + base + "user-cards/import-by-openid",
		membercard.OperationImportUserCardByPhone:  "POST " + base + "user-cards/import-by-phone",
		membercard.OperationSyncUserPoints:         "POST " + base + "user-points/sync",
		membercard.OperationConfirmPointsExchange:  "POST " + base + "user-points/exchange-coupon/confirm",
		membercard.OperationCreateUserFeed:         "POST " + base + "user-feeds",
		membercard.OperationCreatePreAuthToken:     "POST " + base + "pre-auth-tokens",
		membercard.OperationCreatePayViewToken:     "POST " + base + "pay-view-tokens",
		membercard.OperationCreateActivity:         "POST " + base + "membership-activities",
		membercard.OperationListActivities:         "GET " + base + "membership-activities?brand_id=1004&offset=0&limit=20",
		membercard.OperationGetActivity:            "GET " + base + "membership-activities/371067?brand_id=1004",
		membercard.OperationUpdateActivity:         "PATCH " + base + "membership-activities/371067",
		membercard.OperationTerminateActivity:      "POST " + base + "membership-activities/371067/terminate",
		membercard.OperationUploadImage:            "POST /v3/marketing/favor/media/image-upload",
	} {
		server := newServer(t)
		_, err := do(t.Context(), server.Client(), requests[operation])
		require.NoError(t, err, operation)
		sent := server.Requests()[0]
		assert.Equal(t, want, sent.Method+" "+sent.RequestURI)
	}
}

// TestZeroIsSent where it means something.
func TestZeroIsSent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	_, err := client.SyncUserPoints(t.Context(), membercard.SyncUserPointsRequest{
		OutRequestNo: "1", BrandID: brandID, CardID: cardID, OpenID: openID, UserCardCode: code,
	})
	require.NoError(t, err)
	_, err = client.UpdateCard(t.Context(), membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID, NeedPinned: new(false)})
	require.NoError(t, err)
	assert.Contains(t, string(server.Requests()[0].Body), `"point_balance":0`)
	assert.Equal(t, `{"brand_id":"1004","need_pinned":false}`, string(server.Requests()[1].Body))
}

func TestFamilyRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for says, request := range map[string]any{
		"UpdateCard: nothing to change":                                                  membercard.UpdateCardRequest{CardID: cardID, BrandID: brandID},
		"UpdateActivity: EndTime (end_time) is required":                                 membercard.UpdateActivityRequest{ActivityID: 1, BrandID: brandID, Title: "t", SubTitle: "s", BeginTime: at("2020-01-20T13:29:35+08:00")},
		"CreateActivity: ProductCouponStockList (product_coupon_stock_list) is required": membercard.CreateActivityRequest{OutRequestNo: "1", BrandID: brandID, CardID: cardID, ActivityChannel: "x", Title: "t", SubTitle: "s", BeginTime: at("2020-01-20T13:29:35+08:00"), EndTime: at("2020-01-20T13:29:35+08:00")},
		"ImportUserCardByPhone: PhoneNumber (phone_number) is required":                  membercard.ImportUserCardByPhoneRequest{BrandID: brandID, CardID: cardID, UserCardCode: "1"},
		"ConfirmUserCard: UserCardConfirmState (user_card_confirm_state) is required":    membercard.ConfirmUserCardRequest{UserCardCode: "1", CardID: cardID, BrandID: brandID, OpenID: openID},
		`GetCard: CardID (card_id) must not be "." or ".."`:                              membercard.GetCardRequest{CardID: "..", BrandID: brandID},
		"CreateCard: UserInformation.CustomFieldList[0].Values[0] holds an emoji": createCardWith(func(r *membercard.CreateCardRequest) {
			r.UserInformation = &membercard.UserInfoForm{CustomFieldList: []membercard.UserCustomFieldForm{{Values: []string{"🏀"}}}}
		}),
		"UploadImage: Content is required":                                                      membercard.UploadImageRequest{Filename: "a.png"},
		"UploadImage: Content has 2097153 bytes, at most 2097152 are allowed":                   membercard.UploadImageRequest{Filename: "a.png", Content: append(bytes.Clone(picture), make([]byte, 2<<20+1-len(picture))...)},
		"UploadImage: Content is text/plain; charset=utf-8, not a JPG, BMP or PNG picture":      membercard.UploadImageRequest{Filename: "a.png", Content: []byte("text")},
		"UploadImage: Filename must end in .jpg, .bmp or .png":                                  membercard.UploadImageRequest{Filename: "a.gif", Content: picture},
		"UploadImage: Filename must be printable ASCII":                                         membercard.UploadImageRequest{Filename: "图.png", Content: picture},
		"UploadImage: Filename must be printable ASCII without quotes, slashes and backslashes": membercard.UploadImageRequest{Filename: "a\".png", Content: picture},
		"UploadImage: Path must be a path such as /v3/marketing":                                membercard.UploadImageRequest{Filename: "a.PNG", Content: picture, Path: "/v3/../x"},
	} {
		_, err := do(t.Context(), server.Client(), request)
		require.ErrorContains(t, err, says)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	}
	assert.Empty(t, server.Requests())
}

func createCardWith(change func(*membercard.CreateCardRequest)) membercard.CreateCardRequest {
	request := requests[membercard.OperationCreateCard].(membercard.CreateCardRequest)
	change(&request)
	return request
}

// TestUploadImage: only the meta part is signed, as the independent fake demands, and the parts are as
// documented.
func TestUploadImage(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	answer, err := server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{Filename: "card.png", Content: picture})
	require.NoError(t, err)
	stored, ok := server.Picture(answer.MediaURL)
	require.True(t, ok)
	assert.Equal(t, picture, stored)

	sent := server.Requests()[0]
	_, parameters, err := mime.ParseMediaType(sent.Header.Get("Content-Type"))
	require.NoError(t, err)
	form, err := multipart.NewReader(bytes.NewReader(sent.Body), parameters["boundary"]).ReadForm(1 << 20)
	require.NoError(t, err)
	digest := sha256.Sum256(picture)
	assert.JSONEq(t, fmt.Sprintf(`{"filename":"card.png","sha256":%q}`, hex.EncodeToString(digest[:])), form.Value["meta"][0])
	assert.Equal(t, "card.png", form.File["file"][0].Filename)
	assert.Equal(t, "image/png", form.File["file"][0].Header.Get("Content-Type"))
	assert.EqualValues(t, len(picture), form.File["file"][0].Size)

	t.Run("another path and digest field, in the fake", func(t *testing.T) {
		server := membercardtest.NewTestServer(t, membercardtest.WithUpload("/brand/card-member/media/image-upload", "file_digest"))
		_, err := server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{
			Filename: "card.png", Content: picture, Path: "/brand/card-member/media/image-upload", DigestField: "file_digest",
		})
		require.NoError(t, err)
		server = membercardtest.NewTestServer(t, membercardtest.AllowViolations())
		_, err = server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{Filename: "card.png", Content: picture, Path: "/elsewhere"})
		apiError, ok := errors.AsType[*membercard.APIError](err)
		require.True(t, ok)
		assert.Equal(t, 404, apiError.StatusCode)
		require.NotErrorIs(t, err, membercard.ErrNotFound, "no such URL, and not a wrong signature")
	})
	t.Run("another path and digest field", func(t *testing.T) {
		var uri, body string
		client := newClient(t, server, noRepeats, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			data, _ := io.ReadAll(r.Body)
			uri, body = r.URL.RequestURI(), string(data)
			return nil, assert.AnError
		})))
		_, err := client.UploadImage(t.Context(), membercard.UploadImageRequest{
			Filename: "card.png", Content: picture, Path: "/brand/card-member/media/image-upload", DigestField: "file_digest",
		})
		require.ErrorIs(t, err, assert.AnError)
		assert.Equal(t, "/brand/card-member/media/image-upload", uri)
		assert.Contains(t, body, `"file_digest":"`+hex.EncodeToString(digest[:])+`"`)
		assert.NotContains(t, body, `"sha256"`)
	})
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
			}
			if !yield(text, err) {
				return
			}
		}
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	for want, cell := range map[string]struct {
		template membercard.CellTemplate
		values   []string
	}{
		"15_8_1200_SUB1":                     {membercard.CellTemplateBuyDiscounted, []string{"8", "1200", "SUB1"}},
		"16_SUB1_30":                         {membercard.CellTemplateBenefitExpires, []string{"SUB1", "30"}},
		"0":                                  {membercard.CellTemplateOpenMembership, nil},
		"has 3 places, not 2":                {membercard.CellTemplateBuyDiscounted, []string{"1200", "1"}},
		"there is no documented template 18": {18, nil},
		"value 2 is empty":                   {membercard.CellTemplatePointsWorthMoney, []string{"1", ""}},
		"value 1 holds one of the characters _ [ ]": {membercard.CellTemplatePointsEarned, []string{"1_2"}},
		"value 1 is the id of a text":               {membercard.CellTemplateBenefitExpires, []string{"12345678", "1"}},
	} {
		got, err := cell.template.Cell(cell.values...)
		if err != nil {
			got = err.Error()
		}
		assert.Contains(t, got, want)
	}
}

// TestTokenReachesTheComponent: what the client returns is what the component takes.
func TestTokenReachesTheComponent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	token, err := server.Client().CreatePreAuthToken(t.Context(), membercard.CreatePreAuthTokenRequest{BrandID: brandID, CardID: cardID, OpenID: "stranger"})
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), token.ExpireTime.Time, time.Minute)
	require.NoError(t, server.UseToken(token.Token))
	data, err := json.Marshal(token)
	require.NoError(t, err)
	assert.Contains(t, string(data), token.Token)
	assert.Equal(t, "token="+token.Token+"&scene=CARD_MEMBER", token.QueryString())
	assert.Equal(t, "token=a%2Fb%26c&scene=CARD_MEMBER", (&membercard.Token{Token: "a/b&c"}).QueryString())
}
