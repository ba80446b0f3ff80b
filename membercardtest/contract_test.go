package membercardtest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestWithdrawnOperations: what the service no longer has is not there.
func TestWithdrawnOperations(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t, membercardtest.AllowViolations())
	_, err := server.Client().CreatePayViewToken(t.Context(), membercard.CreatePayViewTokenRequest{BrandID: brandID, CardID: cardID, OpenID: openID})
	var refused *membercard.APIError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 404, refused.StatusCode)
	assert.Empty(t, refused.Code)
	assert.Contains(t, server.Requests()[0].Reason, "WithWithdrawnOperations")
}
