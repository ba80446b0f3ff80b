package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// ErrSentOnce ends an attempt whose request was written whole and is about to be sent again by the transport.
var ErrSentOnce = errors.New("the connection failed after the request was sent; it is not sent again without a new signature")

var errHidden = errors.New("the transport wants the body again that it has read, and fires no httptrace events that say what became of the request; it is not sent again")

var errTooOften = errors.New("the transport began anew with the request too often")

// maxRestarts bounds how often the transport may begin anew with a request that it did not write whole.
const maxRestarts = 3

// Sent watches one attempt: what of its request has left this machine. It also keeps the transport from sending the
// request again by itself. net/http does that after some failures that prove nothing: over HTTP/2 after a reset stream
// or a GOAWAY, over HTTP/1.1 on a kept connection that died, and always with an Idempotency-Key.
//
// It is the context of the attempt's request, so that [Once] finds it there.
type Sent struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelFunc
	once            bool // the body may not be had again where nobody can tell what became of the request
	subject         any

	mu        sync.Mutex
	asked     bool      // for a connection
	read      bool      // something of the body was read
	hidden    bool      // before a connection was asked for: it may have been sent without trace events
	connected bool      // the last connection asked for was had
	closed    bool      // and it was closed as silent before, so that nothing can be written to it
	wrote     bool      // the header, perhaps only into a buffer
	whole     time.Time // when all of the request was written; zero: not yet
	answered  bool      // the transport has returned an answer
	resends   resends
	conn      net.Conn
	hooks     httptrace.ClientTrace
}

// resends is what the transport may do with the request by itself, and has done.
type resends struct {
	remaining int  // how often a whole request may be sent again
	refused   bool // to send it again
	restarts  int  // with one that was not written whole
}

type sentKey struct{}

// SubjectKey is the key of what an attempt is about in its context.
type SubjectKey struct{}

// Never is for requests that must not be sent again, where it cannot be seen that it would be so either.
const Never = -1

// Watch returns the context of one attempt, made from one that can be canceled. again is how often the transport may
// send the whole request again by itself, or [Never]; subject is what the context has under [SubjectKey].
func Watch(ctx context.Context, cancel context.CancelFunc, again int, subject any) *Sent {
	s := &Sent{resends: resends{remaining: max(again, 0)}, once: again == Never, cancel: cancel, subject: subject}
	s.hooks = httptrace.ClientTrace{GetConn: s.getConn, GotConn: s.gotConn, WroteHeaders: s.wroteHeaders, WroteRequest: s.wroteRequest}
	s.Context = httptrace.WithClientTrace(ctx, &s.hooks)
	return s
}

// Value finds s itself and its subject, besides what is in the context that it was made from.
func (s *Sent) Value(key any) any {
	switch key {
	case sentKey{}:
		return s
	case SubjectKey{}:
		return s.subject
	}
	return s.Context.Value(key)
}

// Refused reports whether the attempt was ended because its request would have been sent again.
func (s *Sent) Refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resends.refused
}

// Nothing reports whether nothing was sent. It is true on positive evidence only: a connection was asked for, and
// none was had but one that another attempt had closed, which the transport had not noticed yet. A transport that fires
// no httptrace events leaves it false. So does, with [Never], one that reads the body before it asks for a connection.
func (s *Sent) Nothing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked && (!s.connected || s.closed) && !s.wrote && !s.hidden
}

func (s *Sent) getConn(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = s.hidden || s.read && !s.asked
	s.asked, s.connected, s.closed = true, false, false
	s.resend()
}

func (s *Sent) gotConn(info httptrace.GotConnInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.conn = true, info.Conn
	c := s.watched()
	s.closed = c != nil && c.closedAsSilent()
	if s.resend(); s.resends.refused && info.Conn != nil && !isHTTP2(info.Conn) { // where the transport may write although the context is over
		_ = info.Conn.Close()
	}
}

func isHTTP2(conn net.Conn) bool {
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && c.ConnectionState().NegotiatedProtocol == "h2"
}

func (s *Sent) wroteHeaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote = s.wrote || !s.closed
}

func (s *Sent) wroteRequest(info httptrace.WroteRequestInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Err == nil && !s.closed {
		s.whole = time.Now()
	}
}

// resend is called when a connection is looked for. It ends the attempt when that would send a whole request again.
func (s *Sent) resend() {
	if s.whole.IsZero() || s.answered {
		return
	}
	if s.resends.remaining == 0 {
		s.resends.refused = true
		s.cancel()
		return
	}
	s.resends.remaining--
	s.whole = time.Time{}
}

// body makes GetBody of a request: the body can be had again only while that sends nothing twice.
func (s *Sent) body(get func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.resends.restarts++
		switch {
		case !s.whole.IsZero():
			return nil, ErrSentOnce
		case s.read && !s.asked:
			return nil, errHidden
		case s.resends.restarts > maxRestarts:
			return nil, errTooOften
		}
		return get()
	}
}

// CloseIfSilent closes the connection of an attempt that ran out of time. It does so if the connection is one of a [Dialer] and
// nothing has come over it since the request was written. Over HTTP/2 it would be used again. It reports whether that was so.
func (s *Sent) CloseIfSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.watched()
	return c != nil && !s.whole.IsZero() && c.closeIfSilent(s.whole)
}

// ClosedAsSilent reports whether the connection of the attempt was closed by another attempt that ran out of time.
func (s *Sent) ClosedAsSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.watched()
	return c != nil && c.closedAsSilent()
}

// watched returns the connection of the attempt, nil when it is not of a Dialer.
func (s *Sent) watched() *watchedConn {
	conn := s.conn
	for {
		switch c := conn.(type) {
		case *watchedConn:
			return c
		case interface{ NetConn() net.Conn }: // TLS
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
