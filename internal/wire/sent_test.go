package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// transport is a RoundTripper that tells what it does in one word a step.
type transport struct {
	steps string
	err   error
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	for step := range strings.FieldsSeq(t.steps) {
		switch step {
		case "get":
			trace.GetConn("host")
		case "got":
			trace.GotConn(httptrace.GotConnInfo{})
		case "headers":
			trace.WroteHeaders()
		case "whole":
			trace.WroteRequest(httptrace.WroteRequestInfo{})
		case "broken":
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: io.ErrClosedPipe})
		case "read":
			_, _ = io.ReadAll(r.Body)
		case "again":
			if _, err := r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
	if t.err == nil {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}
	return nil, t.err
}

func TestSent(t *testing.T) {
	failed := errors.New("failed")
	for _, test := range []struct {
		steps   string
		again   int
		nothing bool
		err     error // of the transport
		refused bool
	}{
		{"", 0, false, failed, false},
		{"get", 0, true, failed, false},
		{"get got", 0, false, failed, false},
		{"get got headers", 0, false, failed, false},
		{"get got get", 0, true, failed, false},
		{"get got headers get", 0, false, failed, false},
		{"get got headers broken again get got", 0, false, failed, false},
		{"get got headers whole again", 0, false, ErrSentOnce, false},
		{"get got headers whole again", 1, false, ErrSentOnce, false},
		{"read get", Never, false, failed, false},
		{"read get", 0, true, failed, false},
		{"get read", Never, true, failed, false},
		{"again read", Never, false, failed, false},
		{"read again", Never, false, errHidden, false},
		{"read again", 0, false, failed, false},
		{"get got read broken again", Never, false, failed, false},
		{"get got headers whole again", Never, false, ErrSentOnce, false},
		{"get got again again again", 0, false, failed, false},
		{"get got again again again again", 0, false, errTooOften, false},
		{"get got headers whole get", 0, false, failed, true},
		{"get got headers whole got", 0, false, failed, true},
		{"get got headers whole get got headers", 1, false, failed, false},
		{"get got headers whole get got headers whole got", 1, false, failed, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sent := Watch(ctx, cancel, test.again, nil)
		request, err := http.NewRequestWithContext(sent, http.MethodPost, "http://host/", strings.NewReader("{}"))
		require.NoError(t, err)
		_, err = Once(transport{test.steps, failed}).RoundTrip(request)
		assert.Equal(t, test.err, err, test.steps)
		assert.Equal(t, test.refused, sent.Refused(), test.steps)
		assert.Equal(t, test.refused, sent.Err() != nil, test.steps)
		assert.Equal(t, test.nothing, sent.Nothing(), test.steps)
	}
}

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

// TestNothingIsNoSign: a Read that brings no byte is no sign of life.
func TestNothingIsNoSign(t *testing.T) {
	near, far := net.Pipe()
	require.NoError(t, far.Close())
	conn := &watchedConn{Conn: near}
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	assert.True(t, conn.closeIfSilent(time.Now().Add(-time.Hour)))
}

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

// protocolConn is a connection over TLS that speaks a protocol.
type protocolConn struct {
	net.Conn
	protocol string
	closed   bool
}

func (c *protocolConn) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{NegotiatedProtocol: c.protocol}
}

func (c *protocolConn) Close() error { c.closed = true; return nil }

// TestRefusedConnection: over HTTP/1.1 the transport may write to a kept connection although the context is over; over
// HTTP/2 the connection is everybody's.
func TestRefusedConnection(t *testing.T) {
	for protocol, closed := range map[string]bool{"": true, "http/1.1": true, "h2": false} {
		ctx, cancel := context.WithCancel(t.Context())
		sent := Watch(ctx, cancel, 0, nil)
		trace := httptrace.ContextClientTrace(sent)
		trace.WroteRequest(httptrace.WroteRequestInfo{})
		trace.GetConn("host")
		conn := &protocolConn{protocol: protocol}
		trace.GotConn(httptrace.GotConnInfo{Conn: conn})
		assert.True(t, sent.Refused())
		assert.Equal(t, closed, conn.closed, protocol)
	}
}
