package membercard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
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
	opened, err := client.Decrypt(userCard(server, userCardCode).PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13900000000", opened, "encrypted for the certificate that Wechatpay-Serial names")
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

// TestTheNewestEffectiveCertificateEncrypts: not one that will be in effect tomorrow, but tomorrow.
func TestTheNewestEffectiveCertificateEncrypts(t *testing.T) {
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
			client := newClient(t, server, noRetries)
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

// TestANotificationHoldsTheSlotForAWhile: its download ends after 5 s, also where the request has no end or its sender went away.
// It uses up nothing of what answers may download.
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
						assert.Equal(t, phone, opened, "what was encrypted decrypts with the key it names")
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
