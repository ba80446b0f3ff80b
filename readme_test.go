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
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocumentsAreCompiled: every block of Go in the documents stands, line by line, in an Example, a test or
// the code under examples.
func TestDocumentsAreCompiled(t *testing.T) {
	t.Parallel()
	var compiled strings.Builder
	for _, pattern := range []string{"examples/*/*.go", "example*_test.go", "migrating_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			compiled.WriteString(trimLines(string(readFile(t, file))))
		}
	}
	for document, least := range map[string]int{"README.md": 3, "README.zh-CN.md": 3, "MIGRATING.md": 3, "MIGRATING.zh-CN.md": 3} {
		blocks := strings.Split(string(readFile(t, document)), "```go\n")[1:]
		require.GreaterOrEqual(t, len(blocks), least, document)
		for _, block := range blocks {
			code, _, closed := strings.Cut(block, "\n```")
			require.True(t, closed)
			assert.Contains(t, withoutComments(compiled.String()), withoutComments(trimLines(code)), "%s: not compiled anywhere", document)
		}
	}
	recipes := trimLines(string(readFile(t, "membercardtest/recipes_test.go")))
	found := 0
	for block := range strings.SplitSeq(string(readFile(t, "membercardtest/doc.go")), "\n//\n") {
		if strings.HasPrefix(block, "//\tfunc ") {
			found++
			code := strings.ReplaceAll(strings.ReplaceAll(block, "\n//", "\n"), "//\tfunc ", "func ")
			assert.Contains(t, recipes, trimLines(code), "membercardtest/doc.go: not compiled anywhere")
		}
	}
	assert.GreaterOrEqual(t, found, 4)
}

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

// TestReadmes have the same code, tables and links in both languages, and are short enough to be read.
func TestReadmes(t *testing.T) {
	t.Parallel()
	english, chinese := string(readFile(t, "README.md")), string(readFile(t, "README.zh-CN.md"))
	for _, readme := range []string{english, chinese} {
		assert.Less(t, strings.Count(readme, "\n"), 150)
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(readme, -1) {
			assert.FileExists(t, link[1])
		}
		for _, path := range regexp.MustCompile("`(?:go run \\./)?((?:examples|cmd)/[a-z/-]+)").FindAllStringSubmatch(readme, -1) {
			assert.DirExists(t, path[1])
		}
	}
	for _, shared := range []*regexp.Regexp{
		regexp.MustCompile("(?s)```go\n.*?```"), regexp.MustCompile("(?m)^## "), regexp.MustCompile(`(?m)^\|`), regexp.MustCompile(`(?m)^\* `),
		regexp.MustCompile("Example[A-Za-z_]+"), regexp.MustCompile(`\d+\.\d+ / \d+\.\d+`), regexp.MustCompile(`\d{4}-\d\d-\d\d`),
	} {
		assert.ElementsMatch(t, shared.FindAllString(withoutComments(english), -1), shared.FindAllString(withoutComments(chinese), -1), shared)
	}
}

var comment = regexp.MustCompile(`(?m)[ \t]*(^|[ \t])//[^\n"]*$`)

// withoutComments drops comments, which may be in Chinese, and the lines that they leave empty.
func withoutComments(code string) string {
	return regexp.MustCompile(`\n+`).ReplaceAllString(comment.ReplaceAllString(code, ""), "\n")
}

func trimLines(code string) string {
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
