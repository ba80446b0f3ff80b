package membercard_test

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestContestedPlacement: the client finds out which revision of the pages the service follows.
func TestContestedPlacement(t *testing.T) {
	t.Parallel()
	var operations []membercard.Operation
	for _, operation := range membercard.Operations() {
		if operation.Contested {
			operations = append(operations, operation.Name)
		}
	}
	require.Len(t, operations, 3)
	older := membercardtest.WithIDsInQuery(operations...)
	for _, operation := range operations {
		var log strings.Builder
		server := newServer(t, older)
		client := newClient(t, server, func(c *membercard.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		_, err := do(t.Context(), client, table[operation].request)
		require.NoError(t, err, "a signed refusal of the place has the other one tried")
		require.Len(t, server.Requests(), 2)
		assert.Equal(t, 1, server.Effects(operation, table[operation].effect.key))
		assert.Contains(t, log.String(), `level=WARN msg="wechatpay placement" operation=`+string(operation)+` ids_in=query advice="add the operation to Config.IDsInQuery"`)

		_, _ = do(t.Context(), client, table[operation].request)
		assert.Len(t, server.Requests(), 3, "and kept")

		server = newServer(t)
		client = newClient(t, server, func(c *membercard.Config) { c.IDsInQuery = operations })
		_, err = do(t.Context(), client, table[operation].request)
		require.NoError(t, err)
		assert.Len(t, server.Requests(), 2)
		assert.Equal(t, 1, server.Effects(operation, table[operation].effect.key))

		server = newServer(t, older)
		_, err = do(t.Context(), newClient(t, server, func(c *membercard.Config) { c.IDsInQuery = operations }), table[operation].request)
		require.NoError(t, err)
		assert.Len(t, server.Requests(), 1, "with the setting it is right at once")
	}
}

// TestContestedPlacementWithoutAnAnswer: the other place is kept only when WeChat Pay has answered to it.
func TestContestedPlacementWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithIDsInQuery(membercard.OperationInvalidateUserCard))
	var sent []string
	client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.RawQuery)
		if len(sent) == 2 {
			return nil, io.ErrUnexpectedEOF
		}
		return server.RoundTrip(r)
	})))
	_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.NoError(t, err)
	require.Len(t, sent, 4)
	assert.Empty(t, sent[2], "it begins in the body again")
	assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, userCardCode))
}

// TestContestedPlacementOfAForger: a refusal that nobody signed changes nothing, and says what could be meant.
func TestContestedPlacementOfAForger(t *testing.T) {
	t.Parallel()
	const refusal = `{"code":"PARAM_ERROR","message":"请求中含有未在API文档中定义的参数","detail":{"location":null,"value":["/body/card_id"]}}`
	client := newClient(t, newServer(t), withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(refusal)), Request: r}, nil
	})))
	for range 2 {
		_, err := client.UpdateUserCard(t.Context(), updateRequest)
		require.ErrorIs(t, err, membercard.ErrInvalidParameter)
		assert.Contains(t, err.Error(), "/body/card_id")
		assert.Contains(t, err.Error(), "if WeChat Pay says so, it wants card_id in the query: add UpdateUserCard to Config.IDsInQuery")
	}
}

// TestPlacementIsDeclared: every field of every request says where it travels, and the contested ones are
// those of the operations that have the choice.
func TestPlacementIsDeclared(t *testing.T) {
	t.Parallel()
	for _, operation := range membercard.Operations() {
		if operation.Name == membercard.OperationUploadImage {
			continue
		}
		contested := false
		for field := range reflect.TypeOf(table[operation.Name].request).Fields() {
			in, option, _ := strings.Cut(field.Tag.Get("in"), ",")
			assert.Equal(t, field.Name == "OpenID" || field.Name == "UserCardCode", option == "personal", "%s.%s", operation.Name, field.Name)
			assert.Contains(t, []string{"path", "query", "body", "body|query"}, in, "%s.%s", operation.Name, field.Name)
			contested = contested || in == "body|query"
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			assert.NotEmpty(t, name)
			assert.Equal(t, in == "path", strings.Contains(operation.Path, "{"+name+"}"), "%s.%s", operation.Name, field.Name)
		}
		assert.Equal(t, operation.Contested, contested, operation.Name)
	}
}

// TestAPlacementThatWasNotRead is not kept: a rate limit says nothing of the parameters. The first signature of such a call is not
// quoted by the second.
func TestAPlacementThatWasNotRead(t *testing.T) {
	t.Parallel()
	server, calls, first := newServer(t), 0, ""
	client := newClient(t, server, noRetries, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		status, body := 400, `{"code":"PARAM_ERROR","detail":{"location":"query","field":"card_id"}}`
		switch calls++; calls {
		case 1:
			_, first, _ = strings.Cut(r.Header.Get("Authorization"), `signature="`)
			first, _, _ = strings.Cut(first, `"`)
		case 2:
			assert.NotEmpty(t, r.URL.RawQuery)
			status, body = 429, `{"code":"RATELIMIT_EXCEEDED","message":"seen before: `+first+`"}`
		case 3:
			assert.Empty(t, r.URL.RawQuery)
		}
		w := httptest.NewRecorder()
		maps.Copy(w.Header(), signedHeader(t, server.PlatformKey(), time.Now(), body))
		w.WriteHeader(status)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	})))
	_, err := client.UpdateUserCard(t.Context(), updateRequest)
	require.ErrorIs(t, err, membercard.ErrRateLimited)
	assert.NotContains(t, err.Error(), first)
	_, _ = client.UpdateUserCard(t.Context(), updateRequest)
}
