package membercard_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"runtime"
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

const forgedSerial = "0123456789ABCDEF0123456789ABCDEF01234567"

// count counts the requests for an operation.
func count(server *membercardtest.Server, operation membercard.Operation) (n int) {
	for _, request := range server.Requests() {
		if request.Operation == operation {
			n++
		}
	}
	return n
}

func downloads(server *membercardtest.Server) int {
	return count(server, membercard.OperationDownloadCertificates)
}

func TestPlatformCertificates(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	config := server.Config()
	require.Nil(t, config.PublicKey)
	throttled := 0
	client := newClient(t, server, func(c *membercard.Config) {
		c.Throttle = func(_ context.Context, operation membercard.Operation) error {
			assert.NotEqual(t, membercard.OperationDownloadCertificates, operation)
			throttled++
			return nil
		}
	})
	assert.Empty(t, server.Requests(), "New makes no request")

	var info membercard.ResponseInfo
	card, err := client.UpdateUserCard(membercard.WithResponseInfo(t.Context(), &info), updateRequest)
	require.NoError(t, err)
	assert.Equal(t, "钻石会员", card.Level)
	assert.Equal(t, membercard.ResponseInfo{RequestID: info.RequestID, Host: "api.mch.weixin.qq.com", StatusCode: 200, Attempts: 1}, info)
	opened, err := client.Decrypt(userCard(server, code).PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13900000000", opened, "sealed for the certificate that Wechatpay-Serial names")
	_, err = client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)

	requests := server.Requests()
	require.Len(t, requests, 3)
	assert.Equal(t, "/v3/certificates", requests[0].RequestURI)
	assert.NotContains(t, requests[0].Header, "Wechatpay-Serial", "there is no key to name yet")
	assert.Regexp(t, "^[0-9A-F]{40}$", requests[1].Header.Get("Wechatpay-Serial"))
	assert.Equal(t, requests[1].Header.Get("Wechatpay-Serial"), requests[2].Header.Get("Wechatpay-Serial"))
	assert.Equal(t, 2, throttled)
}

// TestANewCertificateIsDownloaded: an answer signed with one that is not at hand is verified after the
// download, and its request is not sent again.
func TestANewCertificateIsDownloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		for range 3 {
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err)
			time.Sleep(10 * time.Second)
			before := downloads(server)
			server.AddCertificate(time.Now().Add(-time.Second), time.Now().AddDate(1, 0, 0))
			for range 6 { // the certificates take turns
				_, err = client.InvalidateUserCard(t.Context(), membercard.InvalidateUserCardRequest{
					BrandID: brandID, CardID: cardID, UserCardCode: server.AddUserCard(membercard.UserCard{OpenID: "o"}).UserCardCode, OpenID: "o",
				})
				require.NoError(t, err)
			}
			assert.Equal(t, before+1, downloads(server))
		}
		for _, request := range server.Requests() {
			assert.Empty(t, request.Reason)
		}
	})
}

// TestDownloadsAreSpaced: one in ten seconds, and a second after that of the start.
func TestDownloadsAreSpaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		call := func() error {
			server.AddCertificate(time.Now().Add(-time.Second), time.Now().AddDate(1, 0, 0))
			for range 8 { // the certificates take turns
				if _, err := client.GetUserCard(t.Context(), getRequest); err != nil {
					return err
				}
			}
			return nil
		}
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, call())
		time.Sleep(9 * time.Second)
		err = call()
		require.ErrorIs(t, err, membercard.ErrSignature)
		require.ErrorContains(t, err, "which were downloaded a moment ago")
		time.Sleep(time.Second)
		require.NoError(t, call())
		assert.Equal(t, 3, downloads(server))
	})
}

// TestADownloadOutlivesItsCaller: callers that all have less time than a download takes get their certificates, and so
// do those whose client was checked before.
func TestADownloadOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSlow, Delay: 600 * time.Millisecond, Times: -1})
		round := func() (done atomic.Int64) {
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					if _, err := client.GetUserCard(ctx, getRequest); err == nil {
						done.Add(1)
					}
				})
			}
			group.Wait()
			return
		}
		first, second := round(), round()
		assert.Zero(t, first.Load())
		assert.Equal(t, int64(20), second.Load())
		assert.Equal(t, 1, downloads(server))
	})
	server := newServer(t, membercardtest.WithCertificates())
	client := server.Client()
	for _, finding := range client.Check(t.Context()) {
		assert.True(t, finding.OK, finding)
	}
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	assert.Equal(t, 1, downloads(server), "Check keeps what it downloads")
}

// TestTheNewestEffectiveCertificateSeals: not one that will be in effect tomorrow, but tomorrow.
func TestTheNewestEffectiveCertificateSeals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		current := server.AddCertificate(time.Now().AddDate(0, -1, 0), time.Now().AddDate(0, 0, 3))
		next := server.AddCertificate(time.Now().Add(24*time.Hour), time.Now().AddDate(5, 0, 0))
		named := func() string {
			_, err := client.UpdateUserCard(t.Context(), updateRequest)
			require.NoError(t, err)
			synctest.Wait() // for a download that it does not wait for
			serial := ""
			for _, request := range server.Requests() {
				if request.Operation == membercard.OperationUpdateUserCard {
					serial = request.Header.Get("Wechatpay-Serial")
				}
			}
			return serial
		}
		for range 25 {
			assert.Equal(t, current, named())
			time.Sleep(57 * time.Minute)
		}
		time.Sleep(time.Hour)
		assert.Equal(t, next, named())
		assert.Equal(t, 3, downloads(server), "at the start, after 12 hours, and after 24")
		time.Sleep(100 * 24 * time.Hour)
		assert.Equal(t, next, named(), "the other has expired")
	})
}

// TestAWithdrawnCertificate encrypts no more, but what it signed is believed for a day; the case of a serial number
// does not matter.
func TestAWithdrawnCertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates(), membercardtest.AllowViolations())
		own, now := newKey(), time.Now()
		list := func(serials map[string]time.Time) {
			var data []any
			for serial, notBefore := range serials {
				data = append(data, certificateItem(t, serial, membercardtest.APIv3Key, &own.PublicKey, own, notBefore, now.AddDate(4, 0, 0)))
			}
			body, err := json.Marshal(map[string]any{"data": data})
			require.NoError(t, err)
			server.ClearFaults()
			server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultBody, Body: body, Times: -1})
		}
		sealedWith := ""
		client := newClient(t, server, noRepeats, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			response, err := server.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			serial := "aa"
			if r.URL.Path != "/v3/certificates" {
				sealedWith, serial = r.Header.Get("Wechatpay-Serial"), "bb"
			}
			response.Body, response.Header = io.NopCloser(bytes.NewReader(body)), signedHeader(t, own, time.Now(), string(body))
			response.Header.Set("Wechatpay-Serial", serial)
			return response, nil
		})))
		call := func() {
			_, err := client.ListCards(t.Context(), listCardsRequest)
			synctest.Wait() // for a download that it does not wait for
			require.NoError(t, err, "the answer was believed")
		}
		list(map[string]time.Time{"AA": now.Add(-2 * time.Hour), "BB": now.Add(-time.Hour)})
		call()
		assert.Equal(t, "BB", sealedWith, "the newest")
		list(map[string]time.Time{"AA": now.Add(-2 * time.Hour)})
		time.Sleep(13 * time.Hour)
		call()
		for range 2 { // lists
			call()
			assert.Equal(t, "AA", sealedWith, "the other was withdrawn")
			time.Sleep(11 * time.Hour)
		}
		call()
		time.Sleep(3 * time.Hour)
		_, err := client.ListCards(t.Context(), listCardsRequest)
		require.ErrorIs(t, err, membercard.ErrSignature, "withdrawn a day ago")
	})
}

// TestOneDownloadAtATime: 64 callers at the start, and again when the certificates are old, make one
// download; while it goes on the callers use the old ones.
func TestOneDownloadAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		callers := func() (slowest time.Duration) {
			var group sync.WaitGroup
			var mu sync.Mutex
			for range 64 {
				group.Go(func() {
					start := time.Now()
					_, err := client.GetUserCard(t.Context(), getRequest)
					assert.NoError(t, err)
					mu.Lock()
					defer mu.Unlock()
					slowest = max(slowest, time.Since(start))
				})
			}
			group.Wait()
			return slowest
		}
		slow := membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSlow, Delay: 3 * time.Second}
		server.Inject(slow)
		assert.Equal(t, 3*time.Second, callers())
		assert.Equal(t, 1, downloads(server))
		time.Sleep(13 * time.Hour)
		server.Inject(slow)
		assert.Zero(t, callers(), "nobody waits")
		time.Sleep(3 * time.Second)
		assert.Equal(t, 2, downloads(server))

		time.Sleep(13 * time.Hour)
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultRefuse, Times: -1})
		for range 5 {
			callers() // they live on with the old ones
			time.Sleep(time.Minute)
		}
		server.ClearFaults()
		assert.Equal(t, 2, downloads(server))
		callers()
		synctest.Wait()
		assert.Equal(t, 3, downloads(server))
	})
}

// TestOldCertificatesServeOn while the download hangs: no caller waits, and none fails.
func TestOldCertificatesServeOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		time.Sleep(13 * time.Hour)
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSilent, Times: -1})
		waited := time.Duration(0)
		for range 20 {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := client.GetUserCard(ctx, getRequest)
			cancel()
			require.NoError(t, err)
			waited += time.Since(start)
			n, err := client.ParseNotification(server.NotificationRequest(events()["SYNC_USER_POINT"]))
			require.NoError(t, err)
			require.NotNil(t, n)
			time.Sleep(10 * time.Second)
		}
		assert.Zero(t, waited)
	})
}

// TestAnErrorOfTheDownload that is signed with a certificate only the download would have brought is an error
// like any other: it is repeated, and it is named.
func TestAnErrorOfTheDownload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", Times: 2})
		_, err := server.Client().GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		assert.Equal(t, 3, downloads(server))
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		findings := server.Client().Check(t.Context())
		require.Len(t, problems(findings), 1)
		assert.Contains(t, problems(findings)[0], "403 NO_AUTH [Request-ID")
		assert.Contains(t, problems(findings)[0], ", its signature could not be verified, ")
		assert.Contains(t, fmt.Sprint(findings), "untried platform certificates: the answer is an error, signed with a platform certificate")
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH"})
		_, err = server.Client().GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, "could not be downloaded: 403 NO_AUTH, and the answer could not be verified")
		require.NotErrorIs(t, err, membercard.ErrForbidden)
	})
}

// TestForgedSerialsCauseNoFlood, neither when they come at once nor for hours, nor when downloads fail.
func TestForgedSerialsCauseNoFlood(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"certificates", "failing downloads", "public key alone"} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.WithCertificates())
			if how == "public key alone" {
				server = newServer(t)
			}
			client := newClient(t, server, noRepeats)
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err)
			if how == "failing downloads" {
				server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultStatus, Status: 500, Times: -1})
			}
			var group sync.WaitGroup
			forged := func(serial string) {
				server.Inject(membercardtest.Fault{Operation: membercard.OperationListCards, Kind: membercardtest.FaultUnknownSerial, Serial: serial})
				_, err := client.ListCards(t.Context(), listCardsRequest)
				untrusted, ok := errors.AsType[*membercard.SignatureError](err)
				if assert.True(t, ok, err) {
					assert.Equal(t, membercard.ReasonUnknownSerial, untrusted.Reason)
				}
			}
			for i := range 64 {
				group.Go(func() { forged(fmt.Sprintf("%040X", i)) })
			}
			group.Wait()
			assert.LessOrEqual(t, downloads(server), 2)
			start := time.Now()
			for i := range 200 {
				forged(fmt.Sprintf("%040X", i))
				time.Sleep(time.Second)
			}
			most := int(time.Since(start)/(10*time.Second)) + 2
			assert.LessOrEqual(t, downloads(server), most)
			assert.Greater(t, downloads(server), most/2, "they go on: "+how)
			server.ClearFaults()
			_, err = client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err)
		})
	}
}

// TestPublicKeysAreNotLookedForAmongCertificates: a forged id of a public key causes no download at all.
func TestPublicKeysAreNotLookedForAmongCertificates(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial})
	_, err := client.ListCards(t.Context(), listCardsRequest)
	require.ErrorContains(t, err, "configure that key as Config.PublicKey and PublicKeyID")
	assert.Zero(t, downloads(server))
	client = newClient(t, server, func(c *membercard.Config) { c.APIv3Key = "" })
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial, Serial: forgedSerial})
	_, err = client.ListCards(t.Context(), listCardsRequest)
	require.ErrorContains(t, err, "give Config.APIv3Key and it is downloaded")
	assert.Zero(t, downloads(server))
}

// TestWaitersObeyTheirContexts: who waits for a download leaves when its context ends, and does not spoil it for the
// others.
func TestWaitersObeyTheirContexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSilent, Times: 2})
		start := time.Now()
		call := func(timeout time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := client.GetUserCard(ctx, getRequest)
			return err
		}
		var group sync.WaitGroup
		for _, timeout := range []time.Duration{3 * time.Second, 2 * time.Second} { // the first begins the download
			group.Go(func() {
				assert.ErrorIs(t, call(timeout), context.DeadlineExceeded)
				assert.Equal(t, timeout, time.Since(start))
			})
			synctest.Wait()
		}
		for range 10 {
			group.Go(func() {
				assert.ErrorContains(t, call(time.Minute), "could not be downloaded")
				assert.Equal(t, 5*time.Second, time.Since(start), "a download ends")
			})
		}
		group.Wait()
		assert.NoError(t, call(time.Minute))
		assert.Equal(t, 3, downloads(server), "the first one had two attempts")
		assert.Equal(t, 1, count(server, membercard.OperationGetUserCard), "nothing is sent without a key")
	})
}

// TestANotificationHoldsTheSlotForAWhile: its download ends after 5 s, also where the request has no end or its sender
// went away, and uses up nothing of what answers may download.
func TestANotificationHoldsTheSlotForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSilent, Times: 4})
		start := time.Now()
		_, err := client.ParseNotification(server.NotificationRequest(events()["SYNC_USER_POINT"]))
		require.ErrorIs(t, err, membercard.ErrSignature)
		assert.Equal(t, 5*time.Second, time.Since(start))

		time.Sleep(time.Minute)
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = client.ParseNotification(server.NotificationRequest(events()["SYNC_USER_POINT"]).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, 5, downloads(server), "the first two had two attempts each")
	})
}

// TestADownloadThatGoesWrong: what the user's transport does costs one download, and neither the program nor the client.
func TestADownloadThatGoesWrong(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(){
		"panics":              func() { panic("a transport of the user's") },
		"ends its goroutine":  runtime.Goexit,
		"comes back too late": func() { time.Sleep(time.Minute) },
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.WithCertificates())
			var begun atomic.Bool
			client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/v3/certificates" && begun.CompareAndSwap(false, true) {
					wrong()
				}
				return server.RoundTrip(r)
			})))
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.ErrorContains(t, err, "the platform certificates could not be downloaded", name)
			require.NotErrorIs(t, err, membercard.ErrOutcomeUnknown, name)
			time.Sleep(2 * time.Minute)
			_, err = client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err, name)
		})
	}
}

// TestADownloadTriesTheBackup: a primary host that is silent does not keep the certificates away.
func TestADownloadTriesTheBackup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := newClient(t, server, func(c *membercard.Config) { c.BackupURL = "https://api2.mch.weixin.qq.com" },
			withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "api.mch.weixin.qq.com" {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return server.RoundTrip(r)
			})))
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		assert.Equal(t, 1, downloads(server))
	})
}

// TestGivingUpCausesNoFlood: callers that go away begin no further downloads.
func TestGivingUpCausesNoFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		client := server.Client()
		server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultSilent, Times: -1})
		start := time.Now()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := client.GetUserCard(ctx, getRequest)
			cancel()
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}
		assert.LessOrEqual(t, downloads(server), 2*(int(time.Since(start)/(5*time.Second))+1), "each has two attempts")
		server.ClearFaults()
		time.Sleep(5 * time.Second)
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
	})
}

// certificateItem is a row of the list, with a certificate of the test's.
func certificateItem(t *testing.T, serial, key string, public any, signer any, notBefore, notAfter time.Time) map[string]any {
	t.Helper()
	number, ok := new(big.Int).SetString(serial, 16)
	require.True(t, ok)
	template := &x509.Certificate{SerialNumber: number, NotBefore: notBefore, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	require.NoError(t, err)
	block, err := aes.NewCipher([]byte(key))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	sealed := gcm.Seal(nil, []byte("4de73afd28b6"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), []byte("certificate"))
	return map[string]any{"serial_no": serial, "encrypt_certificate": map[string]any{
		"algorithm": "AEAD_AES_256_GCM", "nonce": "4de73afd28b6", "associated_data": "certificate",
		"ciphertext": base64.StdEncoding.EncodeToString(sealed),
	}}
}

// TestBadCertificates: each is an error that says what is wrong, before anything is sent, and matches
// nothing that a caller would take for an answer about its card.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own, now := newKey(), time.Now()
	good := func() map[string]any {
		return certificateItem(t, "5157F09E", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(-time.Hour), now.Add(time.Hour))
	}
	with := func(item map[string]any, name string, value any) map[string]any {
		item["encrypt_certificate"].(map[string]any)[name] = value
		return item
	}
	for says, item := range map[string]any{
		"its key is a *ecdsa.PublicKey; WeChat Pay uses RSA": certificateItem(t, "5157F09E", membercardtest.APIv3Key, &elliptical.PublicKey, elliptical, now.Add(-time.Hour), now.Add(time.Hour)),
		"no platform certificate is valid now":               certificateItem(t, "5157F09E", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(-2*time.Hour), now.Add(-time.Hour)),
		"no platform certificate is valid now; check":        certificateItem(t, "5157F09E", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(time.Hour), now.Add(2*time.Hour)),
		"it does not decrypt with the APIv3 key":             certificateItem(t, "5157F09E", strings.Repeat("k", 32), &own.PublicKey, own, now.Add(-time.Hour), now.Add(time.Hour)),
		"its nonce has 3 bytes, it must have 12":             with(good(), "nonce", "abc"),
		"another algorithm than AEAD_AES_256_GCM":            with(good(), "algorithm", "AEAD_SM4_GCM"),
		"its ciphertext is not standard Base64":              with(good(), "ciphertext", "%"),
		"certificate 1 of 1: it is encrypted with another":   map[string]any{"serial_no": "5157F09E"},
		"it has the serial number 5157F09E": func() any {
			item := good()
			item["serial_no"] = "5157F09F"
			return item
		}(),
		"the list is empty":      nil,
		"cannot be decoded":      []any{1},
		"cannot be decoded: jso": "x",
	} {
		body := map[string]any{"data": []any{item}}
		if item == nil {
			body["data"] = []any{}
		}
		data, err := json.Marshal(body)
		require.NoError(t, err)
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.WithCertificates())
			server.StartSwitch()
			client := newClient(t, server, noRepeats, func(c *membercard.Config) { c.PreferCertificates = true })
			server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultBody, Body: data})
			_, err = client.UpdateUserCard(t.Context(), updateRequest)
			require.ErrorContains(t, err, "UpdateUserCard: not sent: ")
			require.ErrorContains(t, err, says)
			for _, sentinel := range []error{
				membercard.ErrNotFound, membercard.ErrInvalidParameter, membercard.ErrOutcomeUnknown, membercard.ErrSignature, membercard.ErrSystem,
			} {
				require.NotErrorIs(t, err, sentinel, says)
			}
			assert.Zero(t, count(server, membercard.OperationUpdateUserCard))
			assert.NotContains(t, err.Error(), membercardtest.APIv3Key)
			server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultBody, Body: data, Times: -1})
			for range 4 { // more than are looked up
				_, err = client.UpdateUserCard(t.Context(), updateRequest)
				require.ErrorContains(t, err, says)
			}
		})
	}
}

// TestOneGoodCertificateIsEnough: those of no use beside it do no harm, and one that has expired says so
// when something is signed with it.
func TestOneGoodCertificateIsEnough(t *testing.T) {
	t.Parallel()
	own, now := newKey(), time.Now()
	item := func(serial string, notBefore, notAfter time.Time) any {
		return certificateItem(t, serial, membercardtest.APIv3Key, &own.PublicKey, own, notBefore, notAfter)
	}
	data, err := json.Marshal(map[string]any{"data": []any{
		map[string]any{"serial_no": "1"},
		item("AA", now.Add(-2*time.Hour), now.Add(-time.Hour)),
		item("BB", now.Add(time.Hour), now.Add(2*time.Hour)),
		item("CC", now.Add(-time.Hour), now.Add(time.Hour)),
	}})
	require.NoError(t, err)
	server := newServer(t, membercardtest.WithCertificates())
	server.StartSwitch()
	client := newClient(t, server, noRepeats)
	server.Inject(membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: membercardtest.FaultBody, Body: data, Times: -1})
	for serial, says := range map[string]string{"AA": "that platform certificate is valid from", "BB": "that platform certificate is valid from", "CC": "does not match"} {
		server.Inject(membercardtest.Fault{Operation: membercard.OperationListCards, Kind: membercardtest.FaultUnknownSerial, Serial: serial})
		_, err := client.ListCards(t.Context(), listCardsRequest)
		require.ErrorContains(t, err, says)
	}
}

// TestCertificatesThatWereNotFound are not a card that was not found.
func TestCertificatesThatWereNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		client := newClient(t, server, func(c *membercard.Config) { c.PreferCertificates = true })
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, "404 RESOURCE_NOT_EXISTS")
		require.NotErrorIs(t, err, membercard.ErrNotFound)
		assert.Zero(t, count(server, membercard.OperationGetUserCard))
		_, err = client.UploadImage(t.Context(), requests[membercard.OperationUploadImage].(membercard.UploadImageRequest))
		require.ErrorContains(t, err, "UploadImage: not sent: ")
	})
}

// TestTheListMustProveItself: a list that does not decrypt, or is signed with a certificate that is not in
// it, is not believed, and neither is anything that it would verify.
func TestTheListMustProveItself(t *testing.T) {
	t.Parallel()
	for kind, says := range map[membercardtest.FaultKind]string{
		membercardtest.FaultBadSignature:    "the signature does not match",
		membercardtest.FaultForgedBody:      "could not be downloaded: 200: the answer cannot be trusted",
		membercardtest.FaultProbe:           "a probe of WeChat Pay's",
		membercardtest.FaultStaleTimestamp:  "not within five minutes",
		membercardtest.FaultUnknownSerial:   "it is not among the certificates in the answer",
		membercardtest.FaultHTML:            "502, and the answer could not be verified",
		membercardtest.FaultMissingHeader:   "a signature header is missing",
		membercardtest.FaultTruncated:       "no complete answer",
		membercardtest.FaultEmpty:           "cannot be decoded",
		membercardtest.FaultEndless:         "too long",
		membercardtest.FaultFutureTimestamp: "not within five minutes",
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(t, membercardtest.WithCertificates())
			client := newClient(t, server, noRepeats)
			fault := membercardtest.Fault{Operation: membercard.OperationDownloadCertificates, Kind: kind, Missing: "Wechatpay-Nonce", Status: 502, Serial: forgedSerial}
			if kind == membercardtest.FaultEmpty {
				fault.Status = 200
			}
			server.Inject(fault)
			_, err := client.GetUserCard(t.Context(), getRequest)
			require.ErrorContains(t, err, says, kind)
			require.ErrorContains(t, err, "the platform certificates could not be downloaded", kind)
			assert.Zero(t, count(server, membercard.OperationGetUserCard), kind)
			time.Sleep(time.Millisecond)
			_, err = client.GetUserCard(t.Context(), getRequest)
			require.NoError(t, err, "the next download is a good one")
		})
	}
	server := newServer(t, membercardtest.WithCertificates())
	client := newClient(t, server, func(c *membercard.Config) { c.APIv3Key = strings.Repeat("k", 32) })
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "it does not decrypt with the APIv3 key")
}

// signedList is the answer of a download, signed with a certificate that is in it.
func signedList(t *testing.T, serial string, items ...any) http.RoundTripper {
	t.Helper()
	body, err := json.Marshal(map[string]any{"data": items})
	require.NoError(t, err)
	return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		header := signedHeader(t, newKey(), time.Now(), string(body))
		header.Set("Wechatpay-Serial", serial)
		return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
	})
}

// TestAnExpiredCertificateProvesNothing, not even the list it is in.
func TestAnExpiredCertificateProvesNothing(t *testing.T) {
	t.Parallel()
	own, now := newKey(), time.Now()
	item := func(notAfter time.Time) any {
		return certificateItem(t, "AA", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(-2*time.Hour), notAfter)
	}
	server := newServer(t)
	for expired, says := range map[bool]string{
		true:  "that platform certificate is valid from",
		false: "it is not the answer to this request", // by the same transport, which answers everything with the list
	} {
		notAfter := now.Add(time.Hour)
		if expired {
			notAfter = now.Add(-time.Hour)
		}
		client := newClient(t, server, noRepeats, withTransport(signedList(t, "AA", item(notAfter))), func(c *membercard.Config) {
			c.PublicKey, c.PublicKeyID = nil, ""
		})
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, says)
	}
}

// TestAnOddSuccessIsNotBelieved: only errors of the download may stay unverified, not a 201.
func TestAnOddSuccessIsNotBelieved(t *testing.T) {
	t.Parallel()
	own, now := newKey(), time.Now()
	list := signedList(t, "BB", certificateItem(t, "AA", membercardtest.APIv3Key, &own.PublicKey, own, now.Add(-time.Hour), now.Add(time.Hour)))
	client := newClient(t, newServer(t), noRepeats, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := list.RoundTrip(r)
		response.StatusCode = http.StatusCreated
		return response, err
	})), func(c *membercard.Config) { c.PublicKey, c.PublicKeyID = nil, "" })
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.ErrorContains(t, err, "GetUserCard: not sent: the platform certificates could not be downloaded: 201: the answer cannot be trusted")
}

// TestValidationComesFirst: a request that cannot be meant needs no key.
func TestValidationComesFirst(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	_, err := server.Client().GetUserCard(t.Context(), membercard.GetUserCardRequest{})
	require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	assert.Empty(t, server.Requests())
}

// TestTheBodyCanBeRewound: net/http sends a request again by itself when a kept connection turns out to be
// closed before anything was sent, and needs the body anew.
func TestTheBodyCanBeRewound(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		again, err := r.GetBody()
		require.NoError(t, err)
		body, err := io.ReadAll(again)
		require.NoError(t, err)
		require.Len(t, body, int(r.ContentLength))
		return server.RoundTrip(r)
	})))
	_, err := client.InvalidateUserCard(t.Context(), invalidateRequest)
	require.NoError(t, err)
}

// TestTheSwitch from certificates to the public key: whatever the client prefers, it verifies both.
func TestTheSwitch(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates())
	onlyCertificates := server.Client()
	_, err := onlyCertificates.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	server.StartSwitch()
	publicKey := server.Client()
	preferring := newClient(t, server, func(c *membercard.Config) { c.PreferCertificates = true })
	named := func(client *membercard.Client) string {
		_, err := client.UpdateUserCard(t.Context(), updateRequest)
		require.NoError(t, err)
		requests := server.Requests()
		return requests[len(requests)-1].Header.Get("Wechatpay-Serial")
	}
	before := downloads(server)
	assert.Equal(t, membercardtest.PublicKeyID, named(publicKey))
	assert.Equal(t, before, downloads(server), "the public key is enough for what asks for it")
	assert.Len(t, named(preferring), 40)
	assert.Len(t, named(onlyCertificates), 40)

	_, err = membercard.New(func() membercard.Config {
		c := server.Config()
		c.PreferCertificates, c.APIv3Key = true, ""
		return c
	}())
	require.ErrorContains(t, err, "PreferCertificates needs APIv3Key")
}

// TestRotation runs 64 callers through the life of a merchant number: certificates that replace each
// other, forged serial numbers, the switch to the public key, its end. No call fails that was answered
// genuinely, what was encrypted opens, and there is no storm of downloads.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, membercardtest.WithCertificates())
		var client atomic.Pointer[membercard.Client]
		client.Store(server.Client())
		cards := make([]membercard.UserCard, 64)
		for i := range cards {
			cards[i] = server.AddUserCard(membercard.UserCard{CardID: cardID, OpenID: fmt.Sprintf("o-%d", i)})
		}
		round := func() {
			var group sync.WaitGroup
			for i, card := range cards {
				group.Go(func() {
					phone := fmt.Sprintf("138%08d", i)
					_, err := client.Load().UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
						BrandID: brandID, CardID: cardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID, PhoneNumber: membercard.NewSensitive(phone),
					})
					assert.NoError(t, err)
					got, err := client.Load().GetUserCard(t.Context(), membercard.GetUserCardRequest{
						BrandID: brandID, CardID: cardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
					})
					if assert.NoError(t, err) {
						opened, err := client.Load().Decrypt(got.PhoneNumber)
						assert.NoError(t, err)
						assert.Equal(t, phone, opened, "what was sealed opens with the key it names")
					}
				})
			}
			for i := range 8 {
				group.Go(func() {
					server.Inject(membercardtest.Fault{Operation: membercard.OperationListCards, Kind: membercardtest.FaultUnknownSerial, Serial: fmt.Sprintf("%040X", i)})
					_, err := client.Load().ListCards(t.Context(), listCardsRequest)
					assert.ErrorIs(t, err, membercard.ErrSignature)
				})
			}
			group.Wait()
		}
		for range 4 {
			round()
			time.Sleep(time.Hour)
			server.AddCertificate(time.Now(), time.Now().AddDate(1, 0, 0)) // without notice
		}
		server.StartSwitch()
		round()
		client.Store(server.Client()) // with the public key, while calls are under way
		time.Sleep(time.Hour)
		round()
		assert.LessOrEqual(t, downloads(server), 6*3+1)
		for _, request := range server.Requests() {
			assert.False(t, request.Violation, request.Reason)
		}
	})
}

// TestMerchantKeyRotation exchanges the client under load when the merchant certificate changes. What was
// encrypted for the old key still opens.
func TestMerchantKeyRotation(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	old := server.Config().PrivateKey.(*rsa.PrivateKey)
	var current atomic.Pointer[membercard.Client]
	current.Store(server.Client())
	next := newKey()
	stored, err := current.Load().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	storedJSON, err := json.Marshal(stored.PhoneNumber) // as a database keeps it, encrypted for the old key
	require.NoError(t, err)

	var swapped atomic.Bool
	acceptsBoth := roundTripperFunc(func(r *http.Request) (*http.Response, error) { // as the service does for a while
		if strings.Contains(r.Header.Get("Authorization"), `serial_no="5157"`) {
			swapped.Store(true)
		}
		return server.RoundTrip(resign(t, r, old))
	})
	newConfig := server.Config()
	newConfig.PrivateKey, newConfig.CertificateSerial = next, "5157"
	newConfig.PreviousKeys = append(newConfig.PreviousKeys, old)
	newConfig.HTTPClient = &http.Client{Transport: acceptsBoth}
	renewed, err := membercard.New(newConfig)
	require.NoError(t, err)

	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 20 {
				if i == 0 && j == 10 {
					current.Store(renewed)
				}
				card, err := current.Load().GetUserCard(t.Context(), getRequest)
				if assert.NoError(t, err) {
					_, err = current.Load().Decrypt(card.PhoneNumber)
					assert.NoError(t, err)
				}
			}
		})
	}
	group.Wait()
	assert.True(t, swapped.Load())
	var kept membercard.Sensitive
	require.NoError(t, json.Unmarshal(storedJSON, &kept))
	opened, err := renewed.Decrypt(kept)
	require.NoError(t, err)
	assert.Equal(t, phone, opened)
}

// resign replaces the signature by one that the fake accepts.
func resign(t *testing.T, r *http.Request, key *rsa.PrivateKey) *http.Request {
	t.Helper()
	authorization := r.Header.Get("Authorization")
	if !strings.Contains(authorization, `serial_no="5157"`) {
		return r
	}
	item := func(name string) string {
		_, rest, _ := strings.Cut(authorization, name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	message := strings.Join([]string{r.Method, r.URL.RequestURI(), item("timestamp"), item("nonce_str"), "", ""}, "\n")
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	signed := r.Clone(r.Context())
	signed.Header.Set("Authorization", fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",timestamp="%s",serial_no="%s",signature="%s"`,
		membercardtest.MchID, item("nonce_str"), item("timestamp"), membercardtest.CertificateSerial, base64.StdEncoding.EncodeToString(signature)))
	return signed
}

func TestNewLooksAtTheCertificate(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	config := server.Config()
	key := config.PrivateKey.(*rsa.PrivateKey)
	config.Certificate = merchantCertificate(t, key, membercardtest.CertificateSerial, time.Now().AddDate(1, 0, 0))
	_, err := membercard.New(config)
	require.NoError(t, err)
	config.Certificate = merchantCertificate(t, newKey(), membercardtest.CertificateSerial, time.Now().AddDate(1, 0, 0))
	_, err = membercard.New(config)
	require.ErrorContains(t, err, "PrivateKey and Certificate do not belong together")
	config.Certificate = merchantCertificate(t, key, "1234", time.Now().AddDate(1, 0, 0))
	_, err = membercard.New(config)
	require.ErrorContains(t, err, "CertificateSerial is not that of Certificate, which is 1234")
	config.Certificate = &x509.Certificate{}
	_, err = membercard.New(config)
	require.Error(t, err)
}

func merchantCertificate(t *testing.T, key *rsa.PrivateKey, serial string, notAfter time.Time) *x509.Certificate {
	t.Helper()
	number, ok := new(big.Int).SetString(serial, 16)
	require.True(t, ok)
	template := &x509.Certificate{SerialNumber: number, NotBefore: notAfter.AddDate(-5, 0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := membercard.ParseCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	require.NoError(t, err)
	return certificate
}
