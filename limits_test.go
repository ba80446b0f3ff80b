package membercard_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func TestOversizedAnswer(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultEndless, Times: 2})
	var read int
	client := newClient(t, server, withTransport(spoilingTransport{server, func(r *http.Response) {
		r.Body = io.NopCloser(io.TeeReader(r.Body, countingWriter{&read}))
	}}))
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "more than 4194304 bytes")
	require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown)
	_, err = client.UpdateUserCard(t.Context(), updateRequest)
	require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
	assert.Len(t, server.Requests(), 2, "an oversized answer is not asked for again")
	assert.LessOrEqual(t, read, 2*(4<<20+1), "more was read than the bound allows")
}

// TestAGzipBomb for 32 callers at once: of what nobody has proven 64 KiB are read, and kept by the error.
func TestAGzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 15 {
		_, err := w.Write(bytes.Repeat([]byte(" "), 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.Less(t, bomb.Len(), 16<<10)
	for _, status := range []int{200, 400, 502} {
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(status)
			_, _ = w.Write(bomb.Bytes())
		}))
		client := newClient(t, newServer(t), noRetries, func(c *membercard.Config) { c.BaseURL, c.HTTPClient = gateway.URL, nil })
		heap := func() int64 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return int64(stats.HeapInuse)
		}
		runtime.GC()
		before := heap()
		var peak atomic.Int64
		stop := make(chan struct{})
		var watching, calling sync.WaitGroup
		watching.Go(func() {
			for {
				peak.Store(max(peak.Load(), heap()))
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
		errs := make([]error, 32)
		for i := range errs {
			calling.Go(func() { _, errs[i] = client.GetUserCard(t.Context(), getRequest) })
		}
		calling.Wait()
		close(stop)
		watching.Wait()
		assert.Less(t, peak.Load()-before, int64(64<<20), status)
		runtime.GC()
		assert.Less(t, heap()-before, int64(16<<20), "kept by the errors")
		for _, err := range errs {
			if apiError, ok := errors.AsType[*membercard.APIError](err); ok {
				assert.LessOrEqual(t, cap(apiError.Body), 64<<10)
			} else {
				require.ErrorIs(t, err, membercard.ErrSignature)
			}
		}
		gateway.Close()
	}
}

// TestALongAnswerThatProvesNothing is told for what its headers say.
func TestALongAnswerThatProvesNothing(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for i := range 2 {
		server.AddCard(membercard.Card{CardID: fmt.Sprint("long", i), LegalAgreement: strings.Repeat("协", 20480)})
	}
	client := newClient(t, server, noRetries, withTransport(spoilingTransport{server, func(r *http.Response) {
		r.Header.Set("Content-Length", fmt.Sprint(r.ContentLength)) // as over a socket
	}}))
	list := membercard.ListCardsRequest{BrandID: membercardtest.BrandID}
	for reason, fault := range map[membercard.SignatureReason]membercardtest.Fault{
		membercard.ReasonStaleClock:    {Kind: membercardtest.FaultStaleTimestamp},
		membercard.ReasonMissingHeader: {Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Nonce"},
	} {
		server.Inject(fault)
		_, err := client.ListCards(t.Context(), list)
		untrusted, ok := errors.AsType[*membercard.SignatureError](err)
		require.True(t, ok, err)
		assert.Equal(t, reason, untrusted.Reason)
		assert.NotContains(t, err.Error(), "the body", "which the client itself has cut")
		assert.Len(t, untrusted.Body, 64<<10)
	}
	_, err := client.ListCards(t.Context(), list)
	require.NoError(t, err)
}

// TestAnErrorOfAnySize takes no time to be made and printed, and keeps little.
func TestAnErrorOfAnySize(t *testing.T) {
	t.Parallel()
	for _, quoted := range []string{openID, strings.Repeat("a", 28)} {
		body, err := json.Marshal(map[string]any{
			"code": "PARAM_ERROR" + strings.Repeat("x", 1<<20), "message": strings.Repeat(quoted[:1], 1<<20), "detail": map[string]any{"field": strings.Repeat(quoted, 1000)},
		})
		require.NoError(t, err)
		client := newClient(t, newServer(t), noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})))
		request := getRequest
		request.OpenID = quoted
		_, err = client.GetUserCard(t.Context(), request)
		apiError, ok := errors.AsType[*membercard.APIError](err)
		require.True(t, ok)
		assert.Len(t, apiError.Body, 64<<10)
		assert.NotContains(t, err.Error(), quoted[:6])
		assert.Less(t, len(err.Error()), 2000)
	}
	short := bytes.Repeat([]byte("长"), 9000)
	body, err := json.Marshal(map[string]any{"code": "PARAM_ERROR", "message": string(short)})
	require.NoError(t, err)
	client := newClient(t, newServer(t), noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
	})))
	_, err = client.GetUserCard(t.Context(), getRequest)
	apiError, ok := errors.AsType[*membercard.APIError](err)
	require.True(t, ok)
	assert.Len(t, apiError.Message, 4<<10/3*3, "whole characters")
}

// TestEndlessHeaders: at most 64 KiB of them are taken.
func TestEndlessHeaders(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	service := startH1(t, []byte("{}"), h1Act{"endless", func(c *h1Conn) {
		if c.read() == nil {
			return
		}
		c.write("HTTP/1.1 200 OK\r\n")
		for {
			n, err := fmt.Fprintf(c, "X-%s: %s\r\n", strings.Repeat("a", 100), strings.Repeat("b", 4000))
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}}, false)
	_, err := handmadeClient(t, service, membercard.NewTransport(), noRetries).GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "exceeded 65536 bytes")
	assert.Less(t, sent.Load(), int64(8<<20), "what the kernel buffers, and no more")
}

// TestStrangersNotificationsAreNotRead where their headers refuse them, and the body stays there for another client.
func TestStrangersNotificationsAreNotRead(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	genuine := server.NotificationRequest(events()["SYNC_USER_POINT"]).Header
	for name, change := range map[string]func(http.Header){
		"no headers":        func(h http.Header) { clear(h) },
		"a header missing":  func(h http.Header) { h.Del("Wechatpay-Nonce") },
		"stale":             func(h http.Header) { h.Set("Wechatpay-Timestamp", "1554208460") },
		"an unknown key":    func(h http.Header) { h.Set("Wechatpay-Serial", "PUB_KEY_ID_X") },
		"a control in it":   func(h http.Header) { h.Set("Wechatpay-Nonce", "a\nb") },
		"a sign before it":  func(h http.Header) { h.Set("Wechatpay-Timestamp", "+"+h.Get("Wechatpay-Timestamp")) },
		"nothing but blank": func(h http.Header) { h.Set("Wechatpay-Timestamp", " ") },
	} {
		request := httptest.NewRequest(http.MethodPost, "/", readerFunc(func([]byte) (int, error) {
			assert.Fail(t, "the body is read", name)
			return 0, io.EOF
		}))
		request.Header = genuine.Clone()
		change(request.Header)
		_, err := client.ParseNotification(request)
		require.ErrorIs(t, err, membercard.ErrSignature, name)
		recorder := httptest.NewRecorder()
		client.NotificationHandler(func(context.Context, *membercard.Notification) error { return nil }).ServeHTTP(recorder, request)
		assert.Equal(t, http.StatusUnauthorized, recorder.Code, name)
	}
	of := server.NotificationRequest(events()["SYNC_USER_POINT"])
	other := newClient(t, server, func(c *membercard.Config) { c.PublicKey = &newKey().PublicKey })
	_, err := other.ParseNotification(of)
	require.ErrorIs(t, err, membercard.ErrSignature)
	_, err = client.ParseNotification(of)
	require.NoError(t, err, "whose it is")
}

// countingReader is a body without an end.
type countingReader struct{ read int }

func (r *countingReader) Read(p []byte) (int, error) {
	r.read += len(p)
	return len(p), nil
}

// TestNotificationsAreReadBounded: no more than a byte beyond the limit is read of a body that does not end.
func TestNotificationsAreReadBounded(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	body := &countingReader{}
	request := server.NotificationRequest(events()["USER_CARD.CREATE"])
	request.Body = io.NopCloser(body)
	_, err := server.Client().ParseNotification(request)
	require.ErrorContains(t, err, "longer than 1048576 bytes")
	assert.LessOrEqual(t, body.read, 1<<20+1)
}
