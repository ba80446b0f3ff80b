package membercard_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheFirstProgram of the README, which stands in examples/first, runs beside a folder with a merchant's key files: its way to
// WeChat Pay's host leads through a proxy to the fake.
func TestTheFirstProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere Go does not take root certificates from SSL_CERT_FILE")
	}
	server := newServer(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	for name, data := range server.KeyFiles() {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", name), data, 0o600))
	}
	const host = "api.mch.weixin.qq.com"
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	roots := filepath.Join(dir, "roots.pem")
	require.NoError(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	service := httptest.NewUnstartedServer(server)
	service.EnableHTTP2 = true
	service.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	service.StartTLS()
	t.Cleanup(service.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "CONNECT "+host+":443", r.Method+" "+r.Host)
		there, err := net.Dial("tcp", service.Listener.Addr().String())
		if !assert.NoError(t, err) {
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here) }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(proxy.Close)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "first"), "./examples/first").CombinedOutput()
	require.NoError(t, err, string(out))
	program := exec.CommandContext(ctx, filepath.Join(dir, "first"))
	program.Dir = dir
	program.Env = append(os.Environ(), "HTTPS_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+dir)
	out, err = program.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "EFFECTIVE 黄金会员\n", string(out))
	assert.Len(t, server.Requests(), 1)
}
