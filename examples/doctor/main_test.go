package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

var otherKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// patient is a merchant's machine: a folder of keys, and flags.
type patient struct {
	t      *testing.T
	server *membercardtest.Server
	dir    string
	mchID  string // in the certificate
	flags  map[string]string
}

func (p *patient) write(name, blockType string, der []byte, err error) {
	p.t.Helper()
	require.NoError(p.t, err)
	p.text(name, string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})))
}

func (p *patient) text(name, text string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600))
}

func (p *patient) privateKey(key *rsa.PrivateKey) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	p.write("apiclient_key.pem", "PRIVATE KEY", der, err)
}

func (p *patient) publicKey(key *rsa.PublicKey) {
	der, err := x509.MarshalPKIXPublicKey(key)
	p.write("pub_key.pem", "PUBLIC KEY", der, err)
}

func (p *patient) certificate(key *rsa.PrivateKey, serial string, notAfter time.Time) {
	number, _ := new(big.Int).SetString(serial, 16)
	template := &x509.Certificate{SerialNumber: number, Subject: pkix.Name{CommonName: p.mchID}, NotBefore: notAfter.AddDate(-5, 0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	p.write("apiclient_cert.pem", "CERTIFICATE", der, err)
}

func (p *patient) own() *rsa.PrivateKey { return p.server.Config().PrivateKey.(*rsa.PrivateKey) }

// through puts something between the patient and WeChat Pay.
func (p *patient) through(handler http.HandlerFunc) {
	between := httptest.NewServer(handler)
	p.t.Cleanup(between.Close)
	p.flags["base-url"] = between.URL
}

func newPatient(t *testing.T, options ...membercardtest.Option) *patient {
	t.Helper()
	p := &patient{t: t, server: membercardtest.NewTestServer(t, append(options, membercardtest.AllowViolations())...), dir: t.TempDir(), mchID: membercardtest.MchID}
	p.server.AddCard(membercard.Card{BrandID: "1004"})
	p.flags = map[string]string{"keys": p.dir, "base-url": p.server.Start()}
	require.NoError(t, account.Write(p.dir, p.server))
	return p
}

func (p *patient) examine() (string, error) { return p.examineIn("en") }

func (p *patient) examineIn(lang string) (string, error) {
	args := []string{"-lang", lang}
	for name, value := range p.flags {
		args = append(args, "-"+name, value)
	}
	var out bytes.Buffer
	err := run(p.t.Context(), args, &out)
	return out.String(), err
}

// TestMisconfigurations plants one mistake at a time. The doctor names it, and nothing else.
func TestMisconfigurations(t *testing.T) {
	certificates := membercardtest.WithCertificates()
	for name, test := range map[string]struct {
		options []membercardtest.Option
		plant   func(*patient)
		says    string
	}{
		"the certificate in place of the key": {plant: func(p *patient) {
			data, err := os.ReadFile(filepath.Join(p.dir, "apiclient_cert.pem"))
			require.NoError(t, err)
			p.text("apiclient_key.pem", string(data))
		}, says: "LoadConfig: apiclient_key.pem: this is a certificate"},
		"key and certificate of two downloads": {plant: func(p *patient) {
			p.privateKey(otherKey())
		}, says: "PrivateKey and Certificate do not belong together"},
		"the merchant's own public key": {plant: func(p *patient) {
			p.publicKey(&p.own().PublicKey)
		}, says: "PublicKey is the merchant's own key"},
		"a public key of somebody else": {plant: func(p *patient) {
			p.publicKey(&otherKey().PublicKey)
		}, says: "PublicKey is not the key that PublicKeyID names"},
		"the id of another public key": {plant: func(p *patient) {
			p.text("public_key_id.txt", "PUB_KEY_ID_0000000000000000000000000000000001")
		}, says: `WeChat Pay signs with "` + membercardtest.PublicKeyID + `": give that public key and its id`},
		"another merchant number": {plant: func(p *patient) {
			p.mchID = "1900000001"
			p.certificate(p.own(), membercardtest.CertificateSerial, time.Now().AddDate(4, 0, 0))
		}, says: "MchID is another's"},
		"a certificate that was replaced": {plant: func(p *patient) {
			p.certificate(p.own(), "ABCDEF", time.Now().AddDate(2, 0, 0))
		}, says: "the certificate is no longer in use"},
		"an expired certificate": {plant: func(p *patient) {
			p.certificate(p.own(), membercardtest.CertificateSerial, time.Now().AddDate(0, 0, -3))
		}, says: "Certificate: expired on "},
		"an APIv3 key of 31 characters": {plant: func(p *patient) {
			p.text("apiv3_key.txt", membercardtest.APIv3Key[:31])
		}, says: "APIv3Key has 31 bytes, it must have 32"},
		"a reset APIv3 key": {options: []membercardtest.Option{certificates}, plant: func(p *patient) {
			p.text("apiv3_key.txt", strings.Repeat("k", 32))
		}, says: "APIv3Key: is not that of this merchant number"},
		"a clock that is off": {plant: func(p *patient) {
			p.through(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(-20*time.Minute).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"code":"SIGN_ERROR","message":"x"}`))
			})
		}, says: "clock: 20m"},
		"a proxy that answers itself": {plant: func(p *patient) {
			p.through(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "<html>blocked</html>", http.StatusForbidden)
			})
		}, says: "something between here and WeChat Pay answered"},
		"a proxy that removes headers": {plant: func(p *patient) {
			p.through(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				r.Header.Del("Accept-Encoding")
				p.server.ServeHTTP(answer, r)
				w.WriteHeader(answer.Code)
				_, _ = w.Write(answer.Body.Bytes())
			})
		}, says: "Does a proxy remove the Wechatpay- headers"},
		"a path behind the address": {plant: func(p *patient) {
			p.flags["base-url"] += "/pay"
		}, says: "BaseURL has a path, which something on the way must take off"},
		"v3 behind the address": {plant: func(p *patient) {
			p.flags["base-url"] += "/v3/"
		}, says: "BaseURL must not end in /v3"},
		"a mistyped folder": {plant: func(p *patient) {
			p.flags["keys"] += "x"
		}, says: "there is no such folder"},
		"a key file that was cut off": {plant: func(p *patient) {
			data, err := os.ReadFile(filepath.Join(p.dir, "apiclient_key.pem"))
			require.NoError(t, err)
			p.text("apiclient_key.pem", string(data[:len(data)/2]))
		}, says: "a damaged PEM file: its END line is missing"},
		"no way to WeChat Pay": {plant: func(p *patient) {
			p.flags["base-url"] = "http://127.0.0.1:1"
		}, says: "look at DNS, firewall and proxy on the way to it"},
		"a missing file": {plant: func(p *patient) {
			require.NoError(t, os.Remove(filepath.Join(p.dir, "apiclient_cert.pem")))
		}, says: "these files are not there: apiclient_cert.pem"},
		"no merchant number": {plant: func(p *patient) {
			require.NoError(t, os.Remove(filepath.Join(p.dir, "apiclient_cert.pem")))
		}, says: "which is also the common name in apiclient_cert.pem"},
		"another brand": {plant: func(p *patient) {
			p.flags["brand"] = "1005"
		}, says: "brand: has no card template: is this the right id?"},
		"no permission": {plant: func(p *patient) {
			p.flags["brand"] = "1004"
			p.server.Inject(membercardtest.Fault{Operation: membercard.OperationListCards, Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH", Times: 2})
		}, says: "brand: ListCards: 403 NO_AUTH"},
	} {
		p := newPatient(t, test.options...)
		healthy, err := p.examine()
		require.NoError(t, err, "%s: healthy before: %s", name, healthy)
		test.plant(p)
		out, err := p.examine()
		require.Error(t, err, name)
		assert.Contains(t, out, test.says, name)
		for line := range strings.Lines(out) {
			if name != "a clock that is off" && name != "a reset APIv3 key" { // where one cause shows in two places
				assert.True(t, strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "untried ") || strings.Contains(line, test.says), "%s: %s", name, line)
			}
		}
		assert.NotContains(t, out, membercardtest.APIv3Key, name)
		out, err = p.examineIn("zh")
		require.Error(t, err, name)
		assert.Contains(t, out, "有问题", name)
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "有问题") {
				assert.Empty(t, english.FindAllString(line, -1), name)
			}
			assert.NotContains(t, line, test.says, name)
		}
	}
}

// english finds words that were not translated, other than names.
var english = regexp.MustCompile(`\b[a-z]{4,}\b`)

func TestHealthy(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-lang", "en"}, &out))
	assert.Contains(t, out.String(), "ok      PublicKey: verifies what WeChat Pay signs")
	p := newPatient(t)
	p.flags["brand"] = "1004"
	text, err := p.examine()
	require.NoError(t, err)
	assert.Contains(t, text, "brand: card templates: 1")
}

// TestNotification: the whole way of a notification is examined, and what is in the way named.
func TestNotification(t *testing.T) {
	free := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		return listener.Addr().String()
	}
	addr := free()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-notify-url", "http://" + addr + "/notify", "-addr", addr}, &out), out.String())
	assert.Contains(t, out.String(), "ok      notification: it arrived, verifies and opens")

	out.Reset()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, run(ctx, []string{"-notify-url", "http://" + free() + "/notify", "-addr", addr}, &out))
	assert.Contains(t, out.String(), "PROBLEM notification: nothing arrived on "+addr)

	taken, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer taken.Close()
	out.Reset()
	require.Error(t, run(t.Context(), []string{"-notify-url", "http://" + addr + "/notify", "-addr", addr}, &out))
	assert.Contains(t, out.String(), "is another program listening there?")
}
