package membercard_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// sampled reports whether a cell of a matrix is tried: all of them with MEMBERCARD_TESTS=all, as .ci/run does, and else
// one in every, so that each row and each column is tried.
func sampled(row, column, every int) bool {
	return os.Getenv("MEMBERCARD_TESTS") == "all" || (row+column)%every == 0
}

// handmade is a service that speaks HTTP by hand, to do on the wire what no server does. It counts the requests that
// came whole, each of which it carries out.
type handmade struct {
	url     string
	mu      sync.Mutex
	answer  []byte // the body of a success
	signed  http.Header
	came    int // requests of which something came
	effects int
}

// set changes the success.
func (s *handmade) set(t *testing.T, body []byte) {
	signed := signedHeader(t, membercardtest.NewServer().PlatformKey(), time.Now(), string(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.signed = body, signed
}

// success returns the signed answer.
func (s *handmade) success() (http.Header, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed, s.answer
}

func (s *handmade) begin() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came++
	return s.came
}

func (s *handmade) carryOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effects++
}

func (s *handmade) counts() (came, effects int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came, s.effects
}

// since returns how many came and were carried out since then.
func (s *handmade) since(came, effects int) (int, int) {
	nowCame, nowEffects := s.counts()
	return nowCame - came, nowEffects - effects
}

// serve accepts connections until the test ends.
func serve(t *testing.T, listener net.Listener, each func(net.Conn)) {
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				each(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
}

// onThisMachine is a TLS certificate for loopback.
var onThisMachine = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

// The frames of HTTP/2 that are needed here.
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7

	endStream  = 1
	endHeaders = 4
)

// h2Conn is a connection that speaks HTTP/2.
type h2Conn struct {
	net.Conn
	service *handmade
}

func (c *h2Conn) frame(kind, flags byte, stream uint32, payload []byte) {
	header := make([]byte, 9, 9+len(payload))
	header[0], header[1], header[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	header[3], header[4] = kind, flags
	binary.BigEndian.PutUint32(header[5:], stream)
	_, _ = c.Write(append(header, payload...))
}

func (c *h2Conn) reset(stream, code uint32) {
	c.frame(frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code))
}

func (c *h2Conn) goAway(last, code uint32) {
	c.frame(frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code))
}

// headers encodes a header block, every name and value as it is.
func headers(status string, header http.Header) []byte {
	var block bytes.Buffer
	write := func(name, value string) {
		block.WriteByte(0)
		for _, text := range []string{name, value} {
			if len(text) < 127 {
				block.WriteByte(byte(len(text)))
			} else {
				rest := len(text) - 127
				block.WriteByte(127)
				for ; rest >= 128; rest >>= 7 {
					block.WriteByte(byte(rest&127) | 128)
				}
				block.WriteByte(byte(rest))
			}
			block.WriteString(text)
		}
	}
	write(":status", status)
	for name, values := range header {
		write(strings.ToLower(name), values[0])
	}
	return block.Bytes()
}

func (c *h2Conn) succeed(stream uint32) {
	signed, body := c.service.success()
	c.frame(frameHeaders, endHeaders, stream, headers("200", signed))
	c.frame(frameData, endStream, stream, body)
}

// h2Act is what a service does with a request: when its header came, and when it came whole.
type h2Act struct {
	name          string
	header, whole func(c *h2Conn, stream uint32, n int)
	carriesOut    bool // what came whole
}

func startH2(t *testing.T, body []byte, act h2Act) (*handmade, *http.Transport) {
	t.Helper()
	pair, pool := onThisMachine()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	service := &handmade{url: "https://" + inner.Addr().String()}
	service.set(t, body)
	listener := tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	serve(t, listener, func(conn net.Conn) {
		c := &h2Conn{conn, service}
		r := bufio.NewReader(conn)
		if _, err := io.CopyN(io.Discard, r, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		c.frame(frameSettings, 0, 0, nil)
		n := 0
		for {
			header := make([]byte, 9)
			if _, err := io.ReadFull(r, header); err != nil {
				return
			}
			payload := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
			if _, err := io.ReadFull(r, payload); err != nil {
				return
			}
			stream := binary.BigEndian.Uint32(header[5:])
			switch kind, flags := header[3], header[4]; {
			case kind == frameSettings && flags == 0:
				c.frame(frameSettings, 1, 0, nil)
			case kind == framePing && flags == 0:
				c.frame(framePing, 1, 0, payload)
			case kind == frameHeaders || kind == frameData:
				if kind == frameHeaders {
					n = service.begin()
					if act.header != nil {
						act.header(c, stream, n)
					}
				}
				if flags&endStream != 0 {
					if act.carriesOut {
						service.carryOut()
					}
					if act.whole != nil {
						act.whole(c, stream, n)
					}
				}
			}
		}
	})
	transport := membercard.NewTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	t.Cleanup(transport.CloseIdleConnections)
	return service, transport
}

func h2Acts() []h2Act {
	var acts []h2Act
	for code := range uint32(14) {
		reset := func(c *h2Conn, stream uint32, _ int) { c.reset(stream, code) }
		acts = append(acts,
			h2Act{fmt.Sprintf("reset with %d after the effect", code), nil, reset, true},
			h2Act{fmt.Sprintf("reset with %d before the effect", code), reset, nil, false},
			h2Act{fmt.Sprintf("reset with %d once, then an answer", code), nil, func(c *h2Conn, stream uint32, n int) {
				if n == 1 {
					c.reset(stream, code)
				} else {
					c.succeed(stream)
				}
			}, true},
		)
	}
	after := func(name string, act func(c *h2Conn, stream uint32)) {
		acts = append(acts, h2Act{name, nil, func(c *h2Conn, stream uint32, _ int) { act(c, stream) }, true})
	}
	after("GOAWAY with this stream, no error", func(c *h2Conn, stream uint32) { c.goAway(stream, 0); c.Close() })
	after("GOAWAY with this stream, an error", func(c *h2Conn, stream uint32) { c.goAway(stream, 2); c.Close() })
	after("GOAWAY with the highest stream", func(c *h2Conn, _ uint32) { c.goAway(1<<31-1, 0); c.Close() })
	after("GOAWAY with stream 0, an error", func(c *h2Conn, _ uint32) { c.goAway(0, 1); c.Close() })
	after("GOAWAY with stream 0, no error", func(c *h2Conn, _ uint32) { c.goAway(0, 0); c.Close() })
	after("GOAWAY with stream 0, connection kept", func(c *h2Conn, _ uint32) { c.goAway(0, 0) })
	after("closed", func(c *h2Conn, _ uint32) { c.Close() })
	after("nonsense", func(c *h2Conn, _ uint32) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) })
	after("100, then reset", func(c *h2Conn, stream uint32) {
		c.frame(frameHeaders, endHeaders, stream, headers("100", nil))
		c.reset(stream, 1)
	})
	after("103 five times, then refused", func(c *h2Conn, stream uint32) {
		for range 5 {
			c.frame(frameHeaders, endHeaders, stream, headers("103", nil))
		}
		c.reset(stream, 7)
	})
	after("half of the header, then closed", func(c *h2Conn, stream uint32) {
		signed, _ := c.service.success()
		block := headers("200", signed)
		c.frame(frameHeaders, 0, stream, block[:len(block)/2])
		c.Close()
	})
	after("the header, then reset", func(c *h2Conn, stream uint32) {
		signed, _ := c.service.success()
		c.frame(frameHeaders, endHeaders, stream, headers("200", signed))
		c.reset(stream, 1)
	})
	after("the header and half of the body, then refused", func(c *h2Conn, stream uint32) {
		signed, body := c.service.success()
		c.frame(frameHeaders, endHeaders, stream, headers("200", signed))
		c.frame(frameData, 0, stream, body[:1])
		c.reset(stream, 7)
	})
	after("an answer", func(c *h2Conn, stream uint32) { c.succeed(stream) })
	return acts
}

// h1Act is what a service does on a connection over which a request comes.
type h1Act struct {
	name string
	do   func(c *h1Conn)
}

type h1Conn struct {
	*net.TCPConn
	r       *bufio.Reader
	service *handmade
}

// read reads a request and carries it out.
func (c *h1Conn) read() *http.Request {
	if _, err := c.r.Peek(1); err != nil {
		return nil
	}
	c.service.begin()
	request, err := http.ReadRequest(c.r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return nil
	}
	c.service.carryOut()
	return request
}

func (c *h1Conn) write(text string) { _, _ = io.WriteString(c, text) }

func (c *h1Conn) success() string {
	signed, body := c.service.success()
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(body))
	_ = signed.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.String()
}

func (c *h1Conn) reset() { _ = c.SetLinger(0); _ = c.Close() }

// h1Acts happen to a request that came whole and was carried out, but for the first ones.
func h1Acts() []h1Act {
	acts := []h1Act{
		{"closed at once", func(*h1Conn) {}},
		{"reset at once", func(c *h1Conn) { c.reset() }},
		{"reset after the first byte", func(c *h1Conn) { _, _ = c.r.Peek(1); c.service.begin(); c.reset() }},
		{"closed after the header", func(c *h1Conn) { _, _ = http.ReadRequest(c.r); c.service.begin() }},
	}
	for name, act := range map[string]func(c *h1Conn){
		"closed":             func(*h1Conn) {},
		"reset":              func(c *h1Conn) { c.reset() },
		"silence":            func(c *h1Conn) { _, _ = c.Read(make([]byte, 1)) },
		"half a status line": func(c *h1Conn) { c.write("HTTP/1.1 2") },
		"half of the header": func(c *h1Conn) { c.write(c.success()[:80]) },
		"the header":         func(c *h1Conn) { header, _, _ := strings.Cut(c.success(), "\r\n\r\n"); c.write(header + "\r\n\r\n") },
		"half of the body":   func(c *h1Conn) { all := c.success(); c.write(all[:len(all)-1]); c.reset() },
		"100, then closed":   func(c *h1Conn) { c.write("HTTP/1.1 100 Continue\r\n\r\n") },
		"103, then reset":    func(c *h1Conn) { c.write(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 9)); c.reset() },
		"101": func(c *h1Conn) {
			c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
		},
		"garbage":                   func(c *h1Conn) { c.write("SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n") },
		"two lengths":               func(c *h1Conn) { c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}") },
		"chunks that end too early": func(c *h1Conn) { c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n") },
		"408": func(c *h1Conn) {
			c.write("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		},
		"307 to nowhere": func(c *h1Conn) {
			c.write("HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
		},
		"an answer":          func(c *h1Conn) { c.write(c.success()) },
		"an answer and more": func(c *h1Conn) { c.write(c.success() + "garbage") },
	} {
		acts = append(acts, h1Act{name, func(c *h1Conn) {
			if c.read() != nil {
				act(c)
			}
		}})
	}
	return acts
}

// startH1 starts a service. kept: a warming read is answered first, so that the act strikes on a kept connection.
func startH1(t *testing.T, body []byte, act h1Act, kept bool) *handmade {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	service := &handmade{url: "http://" + listener.Addr().String()}
	service.set(t, body)
	warm := !kept
	serve(t, listener, func(conn net.Conn) {
		c := &h1Conn{conn.(*net.TCPConn), bufio.NewReader(conn), service}
		service.mu.Lock()
		first := !warm
		warm = true
		service.mu.Unlock()
		if first {
			if c.read() == nil {
				return
			}
			c.write(c.success())
		}
		act.do(c)
	})
	return service
}

// idempotencyKey is a RoundTripper that has net/http take any request for one that can be repeated.
type idempotencyKey struct{ next http.RoundTripper }

func (t idempotencyKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Idempotency-Key", "x")
	return t.next.RoundTrip(r)
}

func handmadeClient(t *testing.T, service *handmade, transport http.RoundTripper, changes ...func(*membercard.Config)) *membercard.Client {
	t.Helper()
	config := membercardtest.NewServer().Config()
	config.BaseURL, config.HTTPClient = service.url, &http.Client{Transport: transport}
	config.AttemptTimeout = 300 * time.Millisecond
	config.Retry = membercard.RetryPolicy{MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}
	for _, change := range changes {
		change(&config)
	}
	client, err := membercard.New(config)
	require.NoError(t, err)
	return client
}

// outcomeOf returns what a caller is told.
func outcomeOf(err error) told {
	switch {
	case errors.Is(err, membercard.ErrOutcomeUnknown):
		return toldUnknown
	case err != nil:
		return toldNotDone
	}
	return toldDone
}

// assertOnce requires what is promised of an operation that a handmade service has carried out so often.
// reads is how often a read may come.
func assertOnce(t *testing.T, operation membercard.OperationInfo, err error, came, effects, reads int, where string) {
	t.Helper()
	where = fmt.Sprintf("%s: came %d times, carried out %d times: %v", where, came, effects, err)
	if operation.Read {
		assert.LessOrEqual(t, came, reads, where)
		return
	}
	if !operation.Idempotent {
		assert.LessOrEqual(t, effects, 1, where)
	}
	assert.LessOrEqual(t, came, 3*4, "%s: a flood", where)
	switch outcomeOf(err) {
	case toldDone:
		assert.GreaterOrEqual(t, effects, 1, where)
	case toldNotDone:
		assert.Zero(t, effects, where)
	}
}

// TestNothingIsSentTwice: net/http sends requests again by itself, over HTTP/2 after RST_STREAM and GOAWAY, over HTTP/1.1
// on kept connections. Whatever a service does on the wire, a write that may not be repeated is carried out once at most. Nobody is
// told the wrong thing, and reads do not flood.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	cells := 0
	var running sync.WaitGroup
	places := make(chan struct{}, 16) // most of the time they wait
	try := func(cell func()) {
		cells++
		places <- struct{}{}
		running.Go(func() { defer func() { <-places }(); cell() })
	}
	for column, operation := range membercard.Operations() {
		body := identified(operation.Name, []byte("{}"))
		call := func(client *membercard.Client) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := do(ctx, client, table[operation.Name].request)
			return err
		}
		for row, act := range h2Acts() {
			if !sampled(row, column, 23) {
				continue
			}
			try(func() {
				service, transport := startH2(t, body, act)
				err := call(handmadeClient(t, service, transport))
				came, effects := service.counts()
				assertOnce(t, operation, err, came, effects, 4, fmt.Sprintf("%s over HTTP/2, %s", operation.Name, act.name))
			})
		}
		for row, act := range h1Acts() {
			for shift := range 4 {
				kept, keyed := shift&1 != 0, shift&2 != 0
				if !sampled(row+7*shift, column, 23) {
					continue
				}
				try(func() {
					service := startH1(t, body, act, kept)
					transport := membercard.NewTransport()
					defer transport.CloseIdleConnections()
					if kept {
						// With time enough: what it has the service do must not be counted below.
						assert.NoError(t, call(handmadeClient(t, service, transport, noRetries, func(c *membercard.Config) { c.AttemptTimeout = 10 * time.Second })))
					}
					came, effects := service.counts()
					client := handmadeClient(t, service, transport)
					if keyed {
						client = handmadeClient(t, service, idempotencyKey{transport})
					}
					err := call(client)
					came, effects = service.since(came, effects)
					assertOnce(t, operation, err, came, effects, 4, fmt.Sprintf("%s over HTTP/1.1, %s, kept %v, with a key %v", operation.Name, act.name, kept, keyed))
				})
			}
		}
	}
	running.Wait()
	t.Logf("%d cells", cells)
}

// told is what a caller was told about a call.
type told string

// ownContext is a RoundTripper that sends requests with a context of its own, so that no trace events tell of them.
type ownContext struct{ next http.RoundTripper }

func (o ownContext) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	time.AfterFunc(time.Second, cancel)
	return o.next.RoundTrip(r.WithContext(ctx))
}

// TestNothingIsSentTwiceBehindAHidingTransport: nor where the transport does not tell what it does.
func TestNothingIsSentTwiceBehindAHidingTransport(t *testing.T) {
	t.Parallel()
	for _, act := range h2Acts() {
		service, transport := startH2(t, identified(membercard.OperationInvalidateUserCard, []byte("{}")), act)
		_, err := handmadeClient(t, service, ownContext{transport}).InvalidateUserCard(t.Context(), invalidateRequest)
		_, effects := service.counts()
		assert.LessOrEqual(t, effects, 1, "%s, told %v", act.name, outcomeOf(err))
	}
}

// TestAFallback: a RoundTripper that has read the body before it asks for a connection may have sent it without trace events.
func TestAFallback(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	sent := 0
	client := newClient(t, newServer(t), func(c *membercard.Config) { c.BaseURL = "http://" + listener.Addr().String() },
		withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			sent++
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			return membercard.NewTransport().RoundTrip(again)
		})))
	_, err = client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Equal(t, 1, sent)
}

// TestACallWithoutABody has none on the wire either, over HTTP/1.1 and HTTP/2.
func TestACallWithoutABody(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		fake := membercardtest.NewTestServer(t, membercardtest.WithBrandEdition())
		template := fake.AddCard(membercard.Card{})
		service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, http2, r.ProtoMajor == 2)
			assert.Empty(t, r.TransferEncoding)
			assert.Empty(t, r.Header.Get("Content-Type"))
			fake.ServeHTTP(w, r)
		}))
		service.EnableHTTP2 = http2
		service.StartTLS()
		t.Cleanup(service.Close)
		config := fake.Config()
		config.BaseURL, config.HTTPClient = service.URL, service.Client()
		client, err := membercard.New(config)
		require.NoError(t, err)
		_, err = client.InvalidateCard(t.Context(), membercard.InvalidateCardRequest{CardID: template.CardID})
		require.NoError(t, err)
	}
}
