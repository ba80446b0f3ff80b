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

// TestNothingIsNoSign: a Read that brings no byte is no sign of life.
func TestNothingIsNoSign(t *testing.T) {
	near, far := net.Pipe()
	require.NoError(t, far.Close())
	conn := &watchedConn{Conn: near}
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	assert.True(t, conn.closeIfSilent(time.Now().Add(-time.Hour)))
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
