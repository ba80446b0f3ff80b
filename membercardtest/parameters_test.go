package membercardtest_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestDeepJSONIsRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	body := `{"brand_id":` + strings.Repeat("[", 3<<20)
	response, err := server.RoundTrip(sign(t, server, "POST", "/v3/brand/partner/card-member/cards", body, nil))
	require.NoError(t, err)
	assert.Equal(t, 400, response.StatusCode)
	assert.Contains(t, lastReason(server), "nested too deeply")
}

func TestUnknownURLs(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.AllowViolations())
	for _, uri := range []string{"/", "/v3/pay/transactions", "/v3/brand/partner/card-member/nothing", "/v3/brand/partner/card-member/user-cards/1/2/3"} {
		response, err := server.RoundTrip(sign(t, server, "GET", uri, "", nil))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, 404, response.StatusCode, "%s %s", uri, body)
		assert.Empty(t, body)
		assert.Empty(t, response.Header.Get("Wechatpay-Signature"))
	}
}
