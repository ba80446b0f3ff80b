package membercard_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

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
		client := newClient(t, server, noRetries, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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

// TestBadCertificates: each is an error that says what is wrong, before anything is sent. It matches nothing that a caller would
// take for an answer about its card.
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
			client := newClient(t, server, noRetries, func(c *membercard.Config) { c.PreferCertificates = true })
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
	client := newClient(t, server, noRetries)
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
		_, err = client.UploadImage(t.Context(), table[membercard.OperationUploadImage].request.(membercard.UploadImageRequest))
		require.ErrorContains(t, err, "UploadImage: not sent: ")
	})
}

// TestTheListMustProveItself: a list is not believed that does not decrypt, or is signed with a certificate that is not in it.
// Neither is anything that it would verify.
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
			client := newClient(t, server, noRetries)
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
		client := newClient(t, server, noRetries, withTransport(signedList(t, "AA", item(notAfter))), func(c *membercard.Config) {
			c.PublicKey, c.PublicKeyID = nil, ""
		})
		_, err := client.GetUserCard(t.Context(), getRequest)
		require.ErrorContains(t, err, says)
	}
}
