package acceptance

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestOpenAPI: the document is valid, and what the control API takes and answers is what it describes.
func TestOpenAPI(t *testing.T) {
	server := membercardtest.NewServer(membercardtest.AllowViolations())
	control := httptest.NewServer(&membercardtest.Control{Server: server})
	t.Cleanup(control.Close)
	response, err := http.Get(control.URL + "/openapi.json")
	require.NoError(t, err)
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	document, err := openapi3.NewLoader().LoadFromData(data)
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	document.Servers = openapi3.Servers{{URL: control.URL}}
	router, err := legacy.NewRouter(document)
	require.NoError(t, err)

	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(merchant.Close)
	used := map[string]bool{}
	call := func(method, path, body string, want int) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, control.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		route, parameters, err := router.FindRoute(request)
		require.NoError(t, err, path)
		used[method+" "+route.Path] = true
		input := &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route}
		if want < 300 {
			require.NoError(t, openapi3filter.ValidateRequest(t.Context(), input), "%s %s", method, path)
		}
		request.Body = io.NopCloser(strings.NewReader(body))
		answer, err := new(http.Client).Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		assert.Equal(t, want, answer.StatusCode, "%s %s: %s", method, path, data)
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(data)),
		}), "%s %s: %s", method, path, data)
		return string(data)
	}
	call("POST", "/cards", `{"card_id":"t-1","brand_id":"1004","notify_url":"`+merchant.URL+`"}`, 200)
	call("POST", "/user-cards", `{"card_id":"t-1","user_card_code":"1","openid":"o-1","phone_number":"13800000000"}`, 200)
	call("POST", "/user-cards/open", `{"card_id":"t-1","openid":"o-2"}`, 200)
	call("POST", "/activities", `{"card_id":"t-1","title":"x"}`, 200)
	call("POST", "/points-exchanges", `{"card_id":"t-1","user_card_code":"1","record_id":"r-1"}`, 200)
	call("POST", "/notifications", `{"event":"USER_CARD.CREATE","card_id":"t-1","openid":"o-2"}`, 200)
	call("POST", "/notifications", `{"event":"USER_CARD.CREATE","card_id":"t-1","openid":"nobody"}`, 404)
	call("POST", "/user-cards/delete", `{"card_id":"t-1","user_card_code":"1"}`, 200)
	call("POST", "/seed", `{"cards":[{"card_id":"t-2"}]}`, 204)
	call("POST", "/seed", `{"cards":[{"card_id":"t-2"}]}`, 400)
	call("POST", "/faults", `{"kind":"error answer","status":500,"code":"SYSTEM_ERROR"}`, 204)
	call("POST", "/faults", `{"kind":"nonsense"}`, 400)
	call("GET", "/faults", "", 200)
	call("DELETE", "/faults", "", 204)
	call("PUT", "/rate", `{"per_second":10}`, 204)
	_, _ = server.Client().InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{BrandID: "1004", CardID: "t-1", UserCardCode: "2", OpenID: "o"})
	call("GET", "/requests?after=0", "", 200)
	call("GET", "/effects", "", 200)
	call("GET", "/state", "", 200)
	call("POST", "/keys/rotate", `{"which":"wechatpay"}`, 200)
	call("DELETE", "/requests", "", 204)
	call("POST", "/reset", "", 204)
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			assert.True(t, used[method+" "+path] || path == "/requests/events", "%s %s was not tried", method, path)
		}
	}
}
