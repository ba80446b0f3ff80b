package membercardtest_test

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestBothFacesBehaveAlike: every fault ends the same way in memory and through a socket.
func TestBothFacesBehaveAlike(t *testing.T) {
	t.Parallel()
	faults := []membercardtest.Fault{
		{Kind: membercardtest.FaultSlow, Delay: time.Millisecond},
		{Kind: membercardtest.FaultRefuse},
		{Kind: membercardtest.FaultCut},
		{Kind: membercardtest.FaultCut, AfterEffect: true},
		{Kind: membercardtest.FaultSilent},
		{Kind: membercardtest.FaultSilent, AfterEffect: true},
		{Kind: membercardtest.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED", Header: http.Header{"Retry-After": {"1"}}},
		{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true},
		{Kind: membercardtest.FaultUnsigned, Status: 404, Code: "NOT_FOUND"},
		{Kind: membercardtest.FaultHTML, Status: 502},
		{Kind: membercardtest.FaultEmpty, Status: 204, AfterEffect: true},
		{Kind: membercardtest.FaultEmpty, Status: 200},
		{Kind: membercardtest.FaultBody, Body: []byte(`{}`)},
		{Kind: membercardtest.FaultForgedBody},
		{Kind: membercardtest.FaultTruncated},
		{Kind: membercardtest.FaultWrongLength},
		{Kind: membercardtest.FaultEndless},
		{Kind: membercardtest.FaultBadSignature},
		{Kind: membercardtest.FaultProbe},
		{Kind: membercardtest.FaultStaleTimestamp},
		{Kind: membercardtest.FaultFutureTimestamp},
		{Kind: membercardtest.FaultUnknownSerial},
		{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Nonce"},
	}
	kinds := map[membercardtest.FaultKind]bool{}
	for _, fault := range faults {
		kinds[fault.Kind] = true
		var outcomes []string
		for _, overSocket := range []bool{false, true} {
			server := newServer(t)
			config := server.Config()
			config.Retry.MaxAttempts = 1
			config.AttemptTimeout = 200 * time.Millisecond
			if fault.Kind != membercardtest.FaultSilent {
				config.AttemptTimeout = time.Minute
			}
			if overSocket {
				config.BaseURL, config.HTTPClient = server.Start(), nil
			}
			client, err := membercard.New(config)
			require.NoError(t, err)
			server.Inject(fault)
			_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
				BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID,
			})
			outcome := "done"
			if err != nil {
				outcome = fmt.Sprintf("unknown %v, signature %v, timeout %v, rate %v, system %v",
					errors.Is(err, membercard.ErrOutcomeUnknown), errors.Is(err, membercard.ErrSignature),
					errors.Is(err, membercard.ErrAttemptTimeout), errors.Is(err, membercard.ErrRateLimited), errors.Is(err, membercard.ErrSystem))
				if apiError, ok := errors.AsType[*membercard.APIError](err); ok {
					outcome += fmt.Sprint(" ", apiError.StatusCode, " ", apiError.Code)
				}
			}
			if fault.Kind == membercardtest.FaultRefuse {
				outcome = fmt.Sprint(err != nil) // a listener that accepts cannot refuse; it hangs up at once
			}
			card, _ := server.UserCard(cardID, code)
			outcomes = append(outcomes, fmt.Sprintf("%s; effects %d, %s", outcome, server.Effects(membercard.OperationInvalidateUserCard, code), card.UserCardState))
		}
		assert.Equal(t, outcomes[0], outcomes[1], "%+v", fault)
		carriedOut := strings.Contains(outcomes[0], "INVALID")
		assert.Equal(t, carriedOut, strings.Contains(outcomes[0], "effects 1"))
		t.Logf("%s (after the effect: %v): %s", fault.Kind, fault.AfterEffect, outcomes[0])
	}
	assert.Len(t, kinds, 19, "a kind of fault is not tested")
}

// TestOneRefusedConnection: a fault strikes one request, however many come at once.
func TestOneRefusedConnection(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	config := server.Config()
	config.Retry.MaxAttempts = 1
	client, err := membercard.New(config)
	require.NoError(t, err)
	for range 20 {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := client.GetUserCard(t.Context(), get); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		left := int32(0)
		for range 2 { // those that no request was left for
			if _, err := client.GetUserCard(t.Context(), get); err != nil {
				left++
			}
		}
		assert.EqualValues(t, 2, failed.Load()+left)
	}
}

func TestInjectRefusesWhatIsNoStatus(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, fault := range []membercardtest.Fault{
		{Kind: membercardtest.FaultStatus},
		{Kind: membercardtest.FaultEmpty, Status: 101},
		{Kind: membercardtest.FaultHTML, Status: 1000},
		{},
		{Kind: "cut"},
		{Kind: membercardtest.FaultMissingHeader},
		{Kind: membercardtest.FaultStatus, Status: 204},
		{Kind: membercardtest.FaultUnsigned, Status: 304},
	} {
		assert.Panics(t, func() { server.Inject(fault) }, "%+v", fault)
	}
}

// TestFaultsWithCertificates are what they say: an answer of another time is signed properly.
func TestFaultsWithCertificates(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	list := answerTo(t, server, sign(t, server, "GET", "/v3/certificates", "", nil))
	var opened struct {
		Data []struct {
			EncryptCertificate struct {
				Nonce, Ciphertext string
				AssociatedData    string `json:"associated_data"`
			} `json:"encrypt_certificate"`
		}
	}
	require.NoError(t, json.Unmarshal(list.body, &opened))
	require.Len(t, opened.Data, 1)
	sealed := opened.Data[0].EncryptCertificate
	ciphertext, err := base64.StdEncoding.DecodeString(sealed.Ciphertext)
	require.NoError(t, err)
	block, err := aes.NewCipher([]byte(membercardtest.APIv3Key))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plain, err := gcm.Open(nil, []byte(sealed.Nonce), ciphertext, []byte(sealed.AssociatedData))
	require.NoError(t, err)
	decoded, _ := pem.Decode(plain)
	certificate, err := x509.ParseCertificate(decoded.Bytes)
	require.NoError(t, err)
	for _, kind := range []membercardtest.FaultKind{membercardtest.FaultStaleTimestamp, membercardtest.FaultFutureTimestamp} {
		server.Inject(membercardtest.Fault{Kind: kind})
		a := answerTo(t, server, sign(t, server, "GET", cardURI, "", nil))
		timestamp := a.header.Get("Wechatpay-Timestamp")
		seconds, err := strconv.ParseInt(timestamp, 10, 64)
		require.NoError(t, err)
		assert.Greater(t, time.Until(time.Unix(seconds, 0)).Abs(), 9*time.Minute)
		digest := sha256.Sum256([]byte(timestamp + "\n" + a.header.Get("Wechatpay-Nonce") + "\n" + string(a.body) + "\n"))
		signature, err := base64.StdEncoding.DecodeString(a.header.Get("Wechatpay-Signature"))
		require.NoError(t, err)
		require.NoError(t, rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature), kind)
	}
}

// TestWhatIsRecordedOfAFault is what the caller was told.
func TestWhatIsRecordedOfAFault(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 502, AfterEffect: true})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "X", Message: "told"})
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Header: http.Header{"Request-Id": {"mine"}, "Cache-Control": {"max-age=1"}}})
	client := newClient(server)
	for range 3 {
		_, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: "none", BrandID: brandID})
		require.Error(t, err)
	}
	requests := server.Requests()
	require.Len(t, requests, 3)
	assert.Empty(t, requests[0].Code+requests[0].Message)
	assert.Contains(t, requests[0].Reason, "fault: HTML answer; ")
	assert.Equal(t, "told", requests[1].Message)
	assert.Equal(t, "mine", requests[2].RequestID)
	for _, operation := range []membercard.Operation{"getUserCard", "GetUserCar"} {
		assert.Panics(t, func() { server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: operation}) })
	}
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Times: -1})
	_, err := client.GetCard(t.Context(), membercard.GetCardRequest{CardID: cardID, BrandID: brandID})
	require.Error(t, err)
	_, faults := newControl(t, server).call("GET", "/faults", "")
	assert.InDelta(t, -1, faults.([]any)[0].(map[string]any)["times"], 0)
}

// TestATruncatedAnswerHasBegun: what a client sees of it is the beginning, over a socket as well.
func TestATruncatedAnswerHasBegun(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"identity", "gzip"} {
		server := newServer(t)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultTruncated})
		request := sign(t, server, "GET", cardURI, "", nil)
		request.Header.Set("Accept-Encoding", encoding)
		request.URL.Scheme, request.URL.Host, request.RequestURI = "http", strings.TrimPrefix(server.Start(), "http://"), ""
		response, err := new(http.Transport).RoundTrip(request)
		require.NoError(t, err, encoding)
		begin, err := io.ReadAll(response.Body)
		require.Error(t, err)
		assert.NotEmpty(t, begin)
	}
}

// TestARequestWhoseCallerHasGone is carried out all the same: what a caller sees right after its time is up is no proof.
func TestARequestWhoseCallerHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := newClient(server)
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
		require.ErrorIs(t, err, membercard.ErrOutcomeUnknown)
		card, _ := server.UserCard(cardID, code)
		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		card, _ = server.UserCard(cardID, code)
		assert.Equal(t, membercard.UserCardStateInvalid, card.UserCardState)
		assert.Equal(t, 1, server.Effects(membercard.OperationInvalidateUserCard, code))
	})
}

// TestALateRequestKeepsNobody: a server that nobody closes, in a bubble that ends before.
func TestALateRequestKeepsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := membercardtest.NewServer()
		card := server.AddCard(membercard.Card{})
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSlow, Delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := server.Client().GetCard(ctx, membercard.GetCardRequest{BrandID: membercardtest.BrandID, CardID: card.CardID})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestFaultsThatCannotStrike in the brand edition are refused.
func TestFaultsThatCannotStrike(t *testing.T) {
	t.Parallel()
	server := membercardtest.NewTestServer(t, membercardtest.WithBrandEdition())
	assert.Panics(t, func() {
		server.Inject(membercardtest.Fault{Kind: membercardtest.FaultCut, Operation: membercard.OperationCreateActivity})
	})
}

// TestAServerMadeOutside a bubble keeps no time from passing in it.
func TestAServerMadeOutside(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, fault := range []membercardtest.Fault{{Kind: membercardtest.FaultSilent}, {Kind: membercardtest.FaultSlow, Delay: time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			server.Inject(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := server.Client().GetUserCard(ctx, get)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	server.LimitRate(1)
	read := func() error {
		_, err := server.Client().GetUserCard(membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: 1}), get)
		return err
	}
	require.NoError(t, read())
	synctest.Test(t, func(t *testing.T) { require.NoError(t, read(), "the clock is another") })
}

// TestCloseEndsWhatWaits: a request that is kept waiting, and one that comes later.
func TestCloseEndsWhatWaits(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultSilent, Times: -1})
	server.Start()
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := server.Client().GetUserCard(membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: 1}), get)
		assert.Error(t, err)
	})
	require.Eventually(t, func() bool { return len(server.Requests()) == 1 }, 10*time.Second, time.Millisecond)
	server.Close()
	calls.Wait()
	_, err := server.Client().GetUserCard(membercard.WithRetry(t.Context(), membercard.RetryPolicy{MaxAttempts: 1}), get)
	require.ErrorContains(t, err, "the server was closed")
}
