package membercard_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// problems returns what Check complains of.
func problems(findings []membercard.Finding) (texts []string) {
	for _, finding := range findings {
		if !finding.OK {
			texts = append(texts, finding.Subject+": "+finding.Text)
		}
	}
	return texts
}

// badSigner is a key that can be asked for its public half and nothing else.
type badSigner struct{ *rsa.PrivateKey }

func (badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, assert.AnError
}

// TestCheckBeforeTheSwitch does not claim that the public key was tried when a certificate signed.
func TestCheckBeforeTheSwitch(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithCertificates(), membercardtest.AllowViolations())
	client := newClient(t, server, func(c *membercard.Config) {
		c.PublicKey, c.PublicKeyID = &newKey().PublicKey, membercardtest.PublicKeyID
	})
	findings := fmt.Sprint(client.Check(t.Context()))
	assert.Contains(t, findings, "PROBLEM encryption: SecurityEcho: 400 PARAM_ERROR", "the key is another's, which no signature shows yet")
	assert.NotContains(t, findings, "verifies what WeChat Pay signs")
	assert.Contains(t, findings, "untried PublicKey: WeChat Pay signs with platform certificates, the switch to the public key has not begun")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := problems(client.Check(ctx))
	require.Len(t, got, 1)
	assert.Contains(t, got[0], "service: DownloadCertificates: not sent: context canceled")

	ctx, cancel = context.WithCancel(t.Context())
	client = newClient(t, server, withTransport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, context.Canceled
	})))
	got = problems(client.Check(ctx))
	require.Len(t, got, 1)
	assert.True(t, strings.HasSuffix(got[0], "no complete answer came: context canceled [host api.mch.weixin.qq.com]"), got[0])
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	client = newClient(t, server, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := server.RoundTrip(r)
		response.Body = cancelling{response.Body, cancel}
		return response, err
	})))
	assert.Empty(t, problems(client.Check(ctx)), "the answer was there before the end")
}

// cancelling ends a context when the answer was read.
type cancelling struct {
	io.ReadCloser
	cancel func()
}

func (c cancelling) Close() error {
	c.cancel()
	return c.ReadCloser.Close()
}

// moved answers with a Date that is off.
func moved(server *membercardtest.Server, by time.Duration) http.RoundTripper {
	return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := server.RoundTrip(r)
		if err == nil {
			response.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		}
		return response, err
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	other := &newKey().PublicKey
	for name, test := range map[string]struct {
		certificates bool
		change       func(*testing.T, *membercardtest.Server, *membercard.Config)
		says         []string // of the problems, in order; none when all is well
		untried      string   // subjects; of the rows that name any
	}{
		"all is well": {change: func(*testing.T, *membercardtest.Server, *membercard.Config) {}, untried: "Certificate APIv3Key"},
		"all is well with certificates": {
			certificates: true, change: func(*testing.T, *membercardtest.Server, *membercard.Config) {}, untried: "Certificate",
		},
		"all is well with the merchant certificate": {change: func(t *testing.T, _ *membercardtest.Server, c *membercard.Config) {
			c.Certificate = merchantCertificate(t, c.PrivateKey.(*rsa.PrivateKey), c.CertificateSerial, time.Now().AddDate(1, 0, 0))
		}},
		"without the APIv3 key": {change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) { c.APIv3Key = "" }, untried: "Certificate APIv3Key"},
		"an answer that is cut": {change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
			s.Inject(membercardtest.Fault{Kind: membercardtest.FaultTruncated})
		}, says: []string{"service: DownloadCertificates: no complete answer came"}, untried: "Certificate"},
		"an old answer": {change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
			s.Inject(membercardtest.Fault{Kind: membercardtest.FaultStaleTimestamp})
		}, says: []string{"does a cache or a proxy keep answers?"}, untried: "Certificate service APIv3Key"},
		"an answer of the future": {change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
			s.Inject(membercardtest.Fault{Kind: membercardtest.FaultFutureTimestamp})
		}, says: []string{"after it); check the clock [Request-ID"}, untried: "Certificate service APIv3Key"},
		"certificates preferred before the switch": {
			certificates: true, change: func(_ *testing.T, s *membercardtest.Server, c *membercard.Config) {
				c.PublicKey, c.PublicKeyID, c.PreferCertificates = &s.PlatformKey().PublicKey, membercardtest.PublicKeyID, true
			}, untried: "Certificate",
		},
		"another address": {change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
			s.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 404, Code: "NOT_FOUND"})
		}, says: []string{"does BaseURL have a path?"}},
		"another status": {change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
			s.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "RESOURCE_NOT_EXISTS"})
		}, says: []string{"service: DownloadCertificates: 400 RESOURCE_NOT_EXISTS"}},
		"another TLS certificate": {change: func(t *testing.T, _ *membercardtest.Server, c *membercard.Config) {
			t.Helper()
			elsewhere := httptest.NewUnstartedServer(http.NotFoundHandler())
			elsewhere.Config.ErrorLog = log.New(io.Discard, "", 0)
			elsewhere.StartTLS()
			t.Cleanup(elsewhere.Close)
			c.BaseURL, c.HTTPClient = elsewhere.URL, nil
		}, says: []string{"are the root certificates missing, as in a container without the package ca-certificates"}, untried: "Certificate"},
		"expired certificate": {
			change: func(t *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.Certificate = merchantCertificate(t, c.PrivateKey.(*rsa.PrivateKey), c.CertificateSerial, time.Now().AddDate(0, 0, -1))
			}, says: []string{"Certificate: expired on "},
		},
		"certificate that expires soon": {
			change: func(t *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.Certificate = merchantCertificate(t, c.PrivateKey.(*rsa.PrivateKey), c.CertificateSerial, time.Now().AddDate(0, 0, 20))
			}, says: []string{"Certificate: expires on "},
		},
		"certificate of the future": {
			change: func(t *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.Certificate = merchantCertificate(t, c.PrivateKey.(*rsa.PrivateKey), c.CertificateSerial, time.Now().AddDate(6, 0, 0))
			}, says: []string{"Certificate: is valid from "},
		},
		"merchant number": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) { c.MchID = "1900000000" },
			says:   []string{"; MchID, or BrandID of a brand, CertificateSerial and PrivateKey must belong together, and the certificate must be the one in use"},
		},
		"another merchant's key": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) { c.PrivateKey = newKey() },
			says:   []string{"so PrivateKey and CertificateSerial do not belong together"},
		},
		"public key of another": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) { c.PublicKey = other },
			says:   []string{"PublicKey: "},
		},
		"rotated public key": {
			change: func(_ *testing.T, s *membercardtest.Server, c *membercard.Config) {
				s.RotateKey()
			},
			says: []string{"PublicKey: WeChat Pay signs with \"PUB_KEY_ID_0119000091912026112200000000000002\": give that public key"},
		},
		"APIv3 key": {
			certificates: true, change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.APIv3Key = strings.Repeat("k", 32)
			},
			says: []string{"platform certificates: could not be decrypted, see APIv3Key", "APIv3Key: is not that of this merchant number"},
		},
		"no certificates": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.PublicKey, c.PublicKeyID = nil, ""
			},
			says: []string{"platform certificates: "},
		},
		"certificates preferred where there are none": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) { c.PreferCertificates = true },
			says:   []string{"PublicKey: PreferCertificates is set, but this merchant number has no platform certificates"},
		},
		"certificates without the APIv3 key": {
			certificates: true, change: func(_ *testing.T, s *membercardtest.Server, c *membercard.Config) {
				c.PublicKey, c.PublicKeyID, c.APIv3Key = &s.PlatformKey().PublicKey, membercardtest.PublicKeyID, ""
			}, says: []string{"PublicKey: DownloadCertificates: 200: the answer cannot be trusted: it is signed with a key that is not known"},
		},
		"a probe": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultProbe})
			},
		},
		"a proxy's 401": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 401})
			}, says: []string{"something between here and WeChat Pay answered"},
		},
		"a proxy": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultHTML, Status: 403})
			}, says: []string{"something between here and WeChat Pay answered"},
		},
		"no network": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultRefuse})
			}, says: []string{"connection refused [host api.mch.weixin.qq.com]; look at DNS, firewall and proxy"},
		},
		"a system error": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR"})
			}, says: []string{"service: DownloadCertificates: 500 SYSTEM_ERROR"},
		},
		"headers stripped": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultMissingHeader, Missing: "Wechatpay-Signature"})
			}, says: []string{"PublicKey: DownloadCertificates: 404: the answer cannot be trusted: a signature header is missing"},
		},
		"clock ahead": {
			change: func(_ *testing.T, s *membercardtest.Server, c *membercard.Config) {
				c.HTTPClient.Transport = moved(s, -time.Hour)
			}, says: []string{"clock: 1h0m"},
		},
		"clock behind": {
			change: func(_ *testing.T, s *membercardtest.Server, c *membercard.Config) {
				c.HTTPClient.Transport = moved(s, 2*time.Minute)
			}, says: []string{"behind the service's: signatures fail at 5 minutes"},
		},
		"answers of an unknown key": {
			change: func(_ *testing.T, s *membercardtest.Server, _ *membercard.Config) {
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial, Serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8FF", Times: -1})
			}, says: []string{"encryption: SecurityEcho: 200: the answer cannot be trusted"},
		},
		"answers of an unknown key, and a certificate that ends": {
			change: func(t *testing.T, s *membercardtest.Server, c *membercard.Config) {
				t.Helper()
				c.Certificate = merchantCertificate(t, c.PrivateKey.(*rsa.PrivateKey), c.CertificateSerial, time.Now().AddDate(0, 0, 20))
				s.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial, Serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8FF", Times: -1})
			}, says: []string{"Certificate: expires on", "encryption: SecurityEcho: 200: the answer cannot be trusted"},
		},
		"a limiter that is away": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.Throttle = func(context.Context, membercard.Operation) error { return fmt.Errorf("redis is %s", "away") }
			}, says: []string{"Throttle: SecurityEcho: not sent: Config.Throttle: redis is away"},
		},
		"an HSM that is away": {
			change: func(_ *testing.T, _ *membercardtest.Server, c *membercard.Config) {
				c.PrivateKey = badSigner{c.PrivateKey.(*rsa.PrivateKey)}
			}, says: []string{"PrivateKey: DownloadCertificates: not sent: sign with Config.PrivateKey"},
		},
	} {
		options := []membercardtest.Option{membercardtest.AllowViolations()}
		if test.certificates {
			options = append(options, membercardtest.WithCertificates())
		}
		server := newServer(t, options...)
		client := newClient(t, server, func(c *membercard.Config) { test.change(t, server, c) })
		findings := client.Check(t.Context())
		got := problems(findings)
		require.Len(t, got, len(test.says), "%s: %q", name, findings)
		var untried []string
		for _, finding := range findings {
			if finding.Untried {
				untried = append(untried, finding.Subject)
			}
		}
		if test.untried != "" {
			assert.Equal(t, test.untried, strings.Join(untried, " "), name)
		}
		for i, says := range test.says {
			assert.Contains(t, got[i], says, name)
		}
		assert.LessOrEqual(t, len(server.Requests()), 4, name)
		for _, finding := range findings {
			assert.NotContains(t, finding.String(), membercardtest.APIv3Key)
			assert.Equal(t, !finding.OK, strings.HasPrefix(finding.String(), "PROBLEM "), name)
			assert.Equal(t, finding.OK && finding.Untried, strings.HasPrefix(finding.String(), "untried "), name)
			assert.False(t, finding.Untried && !finding.OK, name)
		}
	}
}

// TestCheckBelievesTheBody: a signed error is one, whatever status it comes with.
func TestCheckBelievesTheBody(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultBody, Body: []byte(`{"code":"SIGN_ERROR","message":"错误的签名"}`), Times: -1})
	for _, finding := range server.Client().Check(t.Context()) {
		if finding.Subject == "service" {
			assert.False(t, finding.OK, finding)
			return
		}
	}
	require.Fail(t, "nothing was found out about the service")
}
