package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLeave closes a connection over which nothing came, and no other.
func TestCloseIfSilent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, err = (&Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:0")
	require.Error(t, err)
	for name, test := range map[string]struct {
		answers, inTLS, written, closed bool
	}{
		"silent":          {written: true, closed: true},
		"silent, in TLS":  {written: true, inTLS: true, closed: true},
		"alive":           {written: true, answers: true},
		"nothing written": {},
	} {
		conn, err := (&Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		require.NoError(t, err, name)
		far, err := listener.Accept()
		require.NoError(t, err, name)
		sent := Watch(t.Context(), nil, 0, "subject")
		trace := httptrace.ContextClientTrace(sent)
		seen := conn
		if test.inTLS {
			seen = tls.Client(conn, &tls.Config{ServerName: "host"})
		}
		trace.GotConn(httptrace.GotConnInfo{Conn: seen})
		if test.written {
			trace.WroteRequest(httptrace.WroteRequestInfo{})
		}
		if test.answers {
			_, err = far.Write([]byte("x"))
			require.NoError(t, err, name)
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, err, name)
		}
		assert.Equal(t, test.closed, sent.CloseIfSilent(), name)
		assert.Equal(t, test.closed, sent.ClosedAsSilent(), name)
		_, err = conn.Write([]byte("x"))
		assert.Equal(t, test.closed, errors.Is(err, net.ErrClosed), name)

		next := Watch(t.Context(), nil, 0, "subject") // which the transport gives the same connection
		trace = httptrace.ContextClientTrace(next)
		trace.GetConn("host")
		trace.GotConn(httptrace.GotConnInfo{Conn: seen})
		trace.WroteHeaders() // into a buffer
		trace.WroteRequest(httptrace.WroteRequestInfo{})
		assert.Equal(t, test.closed, next.Nothing(), name)
		_ = conn.Close()
		_ = far.Close()
	}
	assert.False(t, Watch(t.Context(), nil, 0, "subject").CloseIfSilent()) // there is no connection
}
