package membercard_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestTrueCauses: what is in the way to WeChat Pay is named, by the error of a call and by Check, and no key is accused.
func TestTrueCauses(t *testing.T) {
	t.Parallel()
	page := func(status int, header map[string]string, body string) func(*testing.T, *membercard.Config) {
		return func(t *testing.T, c *membercard.Config) {
			t.Helper()
			c.BaseURL = answerAll(t, status, header, body).URL
		}
	}
	proxy := func(user *url.Userinfo, own bool) func(*testing.T, *membercard.Config) {
		return func(t *testing.T, c *membercard.Config) {
			t.Helper()
			address, err := url.Parse(answerAll(t, http.StatusForbidden, nil, "").URL)
			require.NoError(t, err)
			address.User = user
			transport := membercard.NewTransport()
			if own {
				transport = &http.Transport{}
			}
			transport.Proxy = http.ProxyURL(address)
			c.HTTPClient, c.BaseURL = &http.Client{Transport: transport}, "https://api.mch.weixin.qq.com"
		}
	}
	secure := func(name string, notAfter time.Time, roots bool) func(*testing.T, *membercard.Config) {
		return func(t *testing.T, c *membercard.Config) {
			t.Helper()
			certificate := selfSigned(t, name, notAfter)
			elsewhere := httptest.NewUnstartedServer(http.NotFoundHandler())
			elsewhere.Config.ErrorLog = log.New(io.Discard, "", 0)
			elsewhere.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			elsewhere.StartTLS()
			t.Cleanup(elsewhere.Close)
			transport := membercard.NewTransport()
			pool := x509.NewCertPool()
			if roots {
				pool.AddCert(certificate.Leaf)
			}
			transport.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "pay.example", MinVersion: tls.VersionTLS12}
			c.HTTPClient, c.BaseURL = &http.Client{Transport: transport}, elsewhere.URL
		}
	}
	for name, cause := range map[string]struct {
		plant func(*testing.T, *membercard.Config)
		says  []string
	}{
		"a portal's page":         {page(200, map[string]string{"Content-Type": "text/html"}, "<!DOCTYPE html>"), []string{"the body is no JSON", "text/html"}},
		"a portal's redirect":     {page(302, map[string]string{"Location": "https://portal.example/login?back=secret"}, ""), []string{"redirects are not followed, this one leads to https://portal.example"}},
		"a redirect to nowhere":   {page(302, map[string]string{"Location": "/login"}, ""), []string{"redirects are not followed"}},
		"a proxy":                 {proxy(url.UserPassword("alice", "hunter2"), false), []string{"the proxy 127.0.0.1:", "refused the tunnel with 403 Forbidden"}},
		"a proxy, own transport":  {proxy(nil, true), []string{"Forbidden; perhaps the proxy on the way refused the tunnel with 403"}},
		"no root certificates":    {secure("pay.example", time.Now().Add(time.Hour), false), []string{"ca-certificates", "SSL_CERT_FILE"}},
		"an expired certificate":  {secure("pay.example", time.Now().Add(-time.Hour), true), []string{"is this machine's clock right? It says 20"}},
		"somebody's certificate":  {secure("portal.example", time.Now().Add(time.Hour), true), []string{"somebody else than WeChat Pay answers there"}},
		"a gateway that compress": {page(200, map[string]string{"Content-Encoding": "br"}, "\x0b\x02\x80"), []string{"still compressed", "br"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := membercardtest.NewServer()
			config := server.Config()
			config.HTTPClient, config.Retry.MaxAttempts = nil, 1
			cause.plant(t, &config)
			client, err := membercard.New(config)
			require.NoError(t, err)
			_, err = client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: brandID})
			require.Error(t, err)
			var findings strings.Builder
			for _, finding := range client.Check(t.Context()) {
				if !finding.OK {
					findings.WriteString(finding.String() + "\n")
				}
				if finding.Subject == "PublicKey" || finding.Subject == "PrivateKey" {
					assert.True(t, finding.OK, finding.Text)
				}
			}
			for _, text := range cause.says {
				assert.Contains(t, err.Error(), text)
				assert.Contains(t, findings.String(), text)
			}
			for _, text := range []string{err.Error(), findings.String()} {
				assert.NotContains(t, text, "hunter2")
				assert.NotContains(t, text, "back=")
			}
		})
	}
}

// answerAll returns a server that gives every request the same answer.
func answerAll(t *testing.T, status int, header map[string]string, body string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server
}

func selfSigned(t *testing.T, name string, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: notAfter.Add(-24 * time.Hour), NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestCausesStay where their text is fit to be printed: those who decide on them, as by errors.Is, find them.
func TestCausesStay(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	transport := membercard.NewTransport()
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: listener.Addr().String(), User: url.UserPassword("user", "password-of-the-proxy")})
	_, err = newClient(t, newServer(t), noRetries, func(c *membercard.Config) { c.BaseURL = "https://api.example" }, withTransport(transport)).GetUserCard(t.Context(), getRequest)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	op, ok := errors.AsType[*net.OpError](err)
	require.True(t, ok)
	assertHidden(t, "password-of-the-proxy", fmt.Sprintf("%v %+v", op, op), "the cause")

	errOpen := errors.New("the breaker is open")
	_, err = newClient(t, newServer(t), noRetries, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("breaker %q: %w", "wechatpay", errOpen)
	}))).GetUserCard(t.Context(), getRequest)
	require.ErrorIs(t, err, errOpen)
}
