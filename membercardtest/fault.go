package membercardtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// Fault is something that goes wrong with the next requests. What strikes before the effect replaces
// the server; what strikes the answer spoils a real one, after the request was carried out.
type Fault struct {
	// Operation restricts the fault to one operation; empty: any.
	Operation membercard.Operation
	// Times is how many requests are struck; 0: one; negative: all.
	Times int
	Kind  FaultKind

	Status  int         // FaultStatus, FaultUnsigned, FaultHTML, FaultEmpty
	Code    string      // FaultStatus, FaultUnsigned
	Message string      // FaultStatus, FaultUnsigned
	Header  http.Header // added to the answer, whatever the kind, or in place of its own: Retry-After, Location
	Body    []byte      // FaultBody: what is signed and sent in place of the answer
	// Delay is waited before the request is carried out, with AfterEffect afterwards; not by FaultRefuse. The request is carried out
	// at the end of it even if its caller has given up meanwhile, as the real service does.
	Delay   time.Duration
	Missing string // FaultMissingHeader: which
	Serial  string // FaultUnknownSerial: which; empty: that of a public key nobody has
	// AfterEffect has FaultStatus, FaultUnsigned, FaultHTML, FaultEmpty, FaultCut, FaultSilent and FaultSlow
	// strike after the request was carried out. The caller cannot tell.
	AfterEffect bool
}

// FaultKind says what goes wrong.
type FaultKind string

// The kinds of fault that [Server.Inject] takes.
const (
	FaultRefuse          FaultKind = "connection refused"          // the connection is not made; over a socket it is dropped at once
	FaultCut             FaultKind = "connection cut"              // the connection breaks
	FaultSilent          FaultKind = "no answer"                   // nothing comes until the client gives up
	FaultSlow            FaultKind = "slow answer"                 // the answer takes Delay
	FaultStatus          FaultKind = "error answer"                // a signed error with Status, Code and Message
	FaultUnsigned        FaultKind = "unsigned answer"             // the same without signature headers
	FaultHTML            FaultKind = "HTML answer"                 // a proxy's page with Status
	FaultEmpty           FaultKind = "empty answer"                // Status, signed, without a body
	FaultBody            FaultKind = "other body"                  // Body in place of the answer's, properly signed
	FaultForgedBody      FaultKind = "forged body"                 // the body is changed after it was signed
	FaultTruncated       FaultKind = "truncated answer"            // the connection breaks within the body
	FaultWrongLength     FaultKind = "wrong Content-Length"        // the body is cut short where Content-Length says
	FaultEndless         FaultKind = "endless answer"              // the body does not end
	FaultBadSignature    FaultKind = "bad signature"               // a signature of something else
	FaultProbe           FaultKind = "signature probe"             // a signature that begins with WECHATPAY/SIGNTEST/
	FaultStaleTimestamp  FaultKind = "stale timestamp"             // signed ten minutes ago
	FaultFutureTimestamp FaultKind = "future timestamp"            // signed in ten minutes
	FaultUnknownSerial   FaultKind = "unknown serial"              // Wechatpay-Serial names a key nobody has
	FaultMissingHeader   FaultKind = "signature header is missing" // the header named in Missing
)

// Inject adds a fault. Faults strike in the order they were injected, one per request. It panics on a
// fault that cannot strike: of no kind or operation, or without what the kind needs. The log of a [NewTestServer] has those that
// have not struck in the end.
func (s *Server) Inject(fault Fault) {
	if fault.Operation != "" && !slices.ContainsFunc(s.edition.routes(), func(r *route) bool { return r.operation == fault.Operation }) {
		panic(fmt.Sprintf("membercardtest: Inject: there is no operation %q", fault.Operation))
	}
	switch fault.Kind {
	case FaultRefuse, FaultCut, FaultSilent, FaultSlow, FaultBody, FaultForgedBody, FaultTruncated, FaultWrongLength, FaultEndless,
		FaultBadSignature, FaultProbe, FaultStaleTimestamp, FaultFutureTimestamp, FaultUnknownSerial:
	case FaultMissingHeader:
		if fault.Missing == "" {
			panic("membercardtest: Inject: FaultMissingHeader needs the name of a header in Missing")
		}
	case FaultStatus, FaultUnsigned, FaultHTML:
		if fault.Status == http.StatusNoContent || fault.Status == http.StatusNotModified {
			panic(fmt.Sprintf("membercardtest: Inject: an answer of status %d has no body; use FaultEmpty", fault.Status))
		}
		fallthrough
	case FaultEmpty:
		if fault.Status < 200 || fault.Status > 599 {
			panic(fmt.Sprintf("membercardtest: Inject: %d is not the status of an answer", fault.Status))
		}
	default:
		panic(fmt.Sprintf("membercardtest: Inject: %q is no kind of fault", fault.Kind))
	}
	if fault.Times == 0 {
		fault.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault)
}

// ClearFaults removes the faults that have not struck.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault returns the next fault for a request of this operation, if it strikes where the caller is:
// FaultRefuse before the request arrives, the others after.
func (s *Server) takeFault(operation membercard.Operation, arrived bool) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, fault := range s.faults {
		if fault.Operation != "" && fault.Operation != operation {
			continue
		}
		if (fault.Kind != FaultRefuse) != arrived {
			return nil
		}
		if fault.Times > 0 {
			fault.Times--
		}
		if fault.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		taken := *fault
		return &taken
	}
	return nil
}

// refusesConnection reports whether a fault keeps a request from arriving.
func (s *Server) refusesConnection(request *http.Request) bool {
	route, _ := s.match(request)
	return s.takeFault(route.operation, false) != nil
}

// carriesOut reports whether the request is carried out all the same.
func (f *Fault) carriesOut() bool {
	switch f.Kind {
	case FaultStatus, FaultUnsigned, FaultHTML, FaultEmpty, FaultCut, FaultSilent:
		return f.AfterEffect
	}
	return true
}

// beforeEffect does what happens before the effect.
func (f *Fault) beforeEffect(ctx context.Context, s *Server) error {
	if f.AfterEffect {
		return nil
	}
	return f.breakOff(ctx, s)
}

// afterEffect does what happens between the effect and the answer.
func (f *Fault) afterEffect(ctx context.Context, s *Server) error {
	if !f.AfterEffect {
		return nil
	}
	return f.breakOff(ctx, s)
}

func (f *Fault) breakOff(ctx context.Context, s *Server) error {
	if f.Delay > 0 {
		if err := s.await(ctx, f.Delay); err != nil {
			return err
		}
	}
	switch f.Kind {
	case FaultCut:
		return errCut()
	case FaultSilent:
		return s.await(ctx, 0)
	}
	return nil
}

// changeReply changes what is going to be signed. It reports whether that is another answer than the request's own.
func (f *Fault) changeReply(a *reply) (another bool) {
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	switch f.Kind {
	case FaultStatus, FaultUnsigned:
		a.status, a.code = f.Status, f.Code
		a.body = encode(&problem{code: f.Code, message: f.Message})
		a.signed = f.Kind == FaultStatus
	case FaultHTML:
		a.status, a.code, a.signed = f.Status, "", false
		a.header.Set("Content-Type", "text/html")
		a.body = []byte("<html><body><h1>" + http.StatusText(f.Status) + "</h1></body></html>")
	case FaultEmpty:
		a.status, a.code, a.body = f.Status, "", nil
	case FaultBody:
		a.body = f.Body
	default:
		return false
	}
	return true
}

// changeSigned changes an answer that was signed.
func (s *Server) changeSigned(f *Fault, response *http.Response, a *reply) {
	h := response.Header
	switch f.Kind {
	case FaultForgedBody:
		forged := bytes.Replace(a.body, []byte("1"), []byte("2"), 1)
		if bytes.Equal(forged, a.body) {
			forged = append(forged, ' ')
		}
		response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(forged)), int64(len(forged))
	case FaultTruncated:
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.body[:len(a.body)/2]), failingReader{}))
	case FaultWrongLength:
		short := a.body[:len(a.body)/2]
		response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(short)), int64(len(short))
	case FaultEndless:
		response.Body, response.ContentLength = io.NopCloser(endlessReader{}), -1
	case FaultBadSignature, FaultProbe, FaultStaleTimestamp, FaultFutureTimestamp:
		if a.signed { // what is not, has no signature to spoil
			s.spoilSignature(f.Kind, h, a.body)
		}
	case FaultUnknownSerial:
		h.Set("Wechatpay-Serial", cmp.Or(f.Serial, "PUB_KEY_ID_UNKNOWN"))
	case FaultMissingHeader:
		h.Del(f.Missing)
	}
}

// spoilSignature replaces the signature of an answer.
func (s *Server) spoilSignature(kind FaultKind, h http.Header, body []byte) {
	switch kind {
	case FaultBadSignature:
		h.Set("Wechatpay-Signature", signAnswer(rotatedKey(), h.Get("Wechatpay-Timestamp"), h.Get("Wechatpay-Nonce"), body))
	case FaultProbe:
		h.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+strings.Repeat("A", 325))
	case FaultStaleTimestamp, FaultFutureTimestamp:
		shift := -10 * time.Minute
		if kind == FaultFutureTimestamp {
			shift = 10 * time.Minute
		}
		timestamp := strconv.FormatInt(time.Now().Add(shift).Unix(), 10)
		h.Set("Wechatpay-Timestamp", timestamp)
		h.Set("Wechatpay-Signature", signAnswer(s.keyWithID(h.Get("Wechatpay-Serial")), timestamp, h.Get("Wechatpay-Nonce"), body))
	}
}

// keyWithID returns the private half of a key by what Wechatpay-Serial calls it.
func (s *Server) keyWithID(id string) *rsa.PrivateKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.certificates {
		if c.serial == id {
			return c.key
		}
	}
	return s.key
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
