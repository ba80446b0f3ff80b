package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestTracing(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out))
	assert.Equal(t, 2, strings.Count(out.String(), `span "GetUserCard"`), out.String())
	assert.Contains(t, out.String(), "http.response.status_code=500")
	assert.Contains(t, out.String(), "the card is EFFECTIVE")
}

// TestNothingPersonalInSpans, whatever the operation; nothing is added to what is sent; and failures are
// still known to be unsent.
func TestNothingPersonalInSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	server := membercardtest.NewTestServer(t)
	card := server.AddUserCard(membercard.UserCard{OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA", UserCardCode: "47/8515%26"})
	config := server.Config()
	config.HTTPClient = &http.Client{Transport: Traced(server, provider)}
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	require.NoError(t, err)
	_, err = client.ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: card.BrandID, OpenID: card.OpenID})
	require.NoError(t, err)
	_, err = client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
	})
	require.NoError(t, err)
	_, err = client.ImportUserCardByOpenID(t.Context(), membercard.ImportUserCardByOpenIDRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: "47815155", OpenID: card.OpenID,
	})
	require.ErrorIs(t, err, membercard.ErrInvalidRequest, "the user is a member")
	_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: "47815156", OpenID: card.OpenID, Level: new("x"),
	})
	require.ErrorIs(t, err, membercard.ErrNotFound)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
	_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: "47815155", OpenID: card.OpenID,
	})
	require.Error(t, err)
	assert.False(t, errors.Is(err, membercard.ErrOutcomeUnknown), "the trace events pass through: %v", err)

	spans := recorder.Ended()
	var names []string
	for _, span := range spans {
		names = append(names, span.Name())
		text := span.Name() + fmt.Sprint(span.Attributes(), span.Events(), span.Status())
		for _, secret := range []string{card.OpenID, "4781515", "8515", "openid=", "signature"} {
			assert.NotContains(t, text, secret)
		}
	}
	assert.Equal(t, []string{"ListUserCards", "GetUserCard", "ImportUserCardByOpenID", "UpdateUserCard", "InvalidateUserCard"}, names)
	for _, request := range server.Requests() {
		assert.Empty(t, request.Header.Get("Traceparent"))
	}
}
