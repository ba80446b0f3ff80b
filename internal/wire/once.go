package wire

import (
	"io"
	"net/http"
)

// Once wraps a transport, so that it sends a request whose context is a [Sent] again only while that
// cannot carry it out twice.
func Once(next http.RoundTripper) http.RoundTripper { return once{next} }

type once struct{ next http.RoundTripper }

func (t once) RoundTrip(r *http.Request) (*http.Response, error) {
	s, ok := r.Context().Value(sentKey{}).(*Sent)
	if !ok {
		return t.next.RoundTrip(r)
	}
	if r.GetBody != nil {
		guarded := *r // http.Client asks the original for the body at a redirect, when the answer has come
		guarded.GetBody = s.body(r.GetBody)
		if s.once {
			guarded.Body = &sentBody{r.Body, s}
		}
		r = &guarded
	}
	response, err := t.next.RoundTrip(r)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answered = true
	}
	return response, err
}

// sentBody is the body of a request, which tells that it is read.
type sentBody struct {
	io.ReadCloser
	sent *Sent
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.sent.mu.Lock()
	b.sent.read = true
	b.sent.mu.Unlock()
	return b.ReadCloser.Read(p)
}

// CloseIdleConnections closes those of the transport.
func (t once) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
