package wire

import (
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheAnswerHasCome: what asks for the body afterwards, as http.Client does at a redirect, may have it.
func TestTheAnswerHasCome(t *testing.T) {
	ctx := Watch(t.Context(), nil, 0, "subject")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://host/", strings.NewReader("{}"))
	require.NoError(t, err)
	_, err = Once(transport{"get got headers whole", nil}).RoundTrip(request)
	require.NoError(t, err)
	_, err = request.GetBody()
	require.NoError(t, err)
	httptrace.ContextClientTrace(ctx).GetConn("host")
	require.NoError(t, ctx.Err())
	assert.Equal(t, "subject", ctx.Value(SubjectKey{}))
}

func TestOnceLeavesOthersAlone(t *testing.T) {
	closed := false
	idle := closer{transport{"", nil}, &closed}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://host/", nil)
	require.NoError(t, err)
	_, err = Once(idle).RoundTrip(request)
	require.NoError(t, err)
	(&http.Client{Transport: Once(idle)}).CloseIdleConnections()
	assert.True(t, closed)
	(&http.Client{Transport: Once(transport{})}).CloseIdleConnections()
}

type closer struct {
	http.RoundTripper
	closed *bool
}

func (c closer) CloseIdleConnections() { *c.closed = true }
