package membercard_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// gateways are programs that speak HTTP/2 over TLS in front and HTTP/1.1 behind. A configuration is given the port, the
// file with key and certificate, the port of the service, and a folder.
var gateways = map[string]struct{ configuration, command string }{
	"haproxy": {`
global
	maxconn 100
defaults
	mode http
	timeout connect 1s
	timeout client 10s
	timeout server 200ms
frontend front
	bind 127.0.0.1:%[1]d ssl crt %[2]s alpn h2,http/1.1
	default_backend back
backend back
	server service 127.0.0.1:%[3]d
`, "haproxy -db -f %s"},
	"apache2": {`
ServerRoot %[4]s
ServerName localhost
PidFile %[4]s/pid
ErrorLog %[4]s/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
User www-data
Group www-data
StartServers 1
Listen 127.0.0.1:%[1]d
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile %[2]s
SSLCertificateKeyFile %[2]s
AllowEncodedSlashes NoDecode
ProxyTimeout 1
ProxyPass / http://127.0.0.1:%[3]d/ nocanon
`, "apache2 -DFOREGROUND -f %s"},
}

// TestGateways puts real gateways in front of a service that carries requests out and then fails in some twenty ways.
// MEMBERCARD_GATEWAYS=1 runs it; .ci/run installs the gateways.
func TestGateways(t *testing.T) {
	if os.Getenv("MEMBERCARD_GATEWAYS") == "" {
		t.Skip("set MEMBERCARD_GATEWAYS=1 where haproxy and apache2 are installed")
	}
	for name, gateway := range gateways {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			if _, err := exec.LookPath(name); err != nil {
				t.Fatalf("%s is not installed", name)
			}
			var mu sync.Mutex
			cells, tally := 0, map[string]int{}
			var running sync.WaitGroup
			places := make(chan struct{}, 8)
			for _, act := range append(h1Acts(), badHeaders()...) {
				for some := range slices.Chunk(membercard.Operations(), 8) {
					places <- struct{}{}
					running.Go(func() {
						defer func() { <-places }()
						service := startH1(t, nil, act, false)
						address, stop := startGateway(t, gateway.configuration, gateway.command, service.url)
						defer stop()
						for _, operation := range some {
							outcome, effects := throughGateway(t, name, address, service, act, operation)
							mu.Lock()
							cells++
							if !operation.Read {
								tally[fmt.Sprintf("told %s, carried out %d times", outcome, effects)]++
							}
							mu.Unlock()
						}
					})
				}
			}
			running.Wait()
			t.Logf("%d cells; of writes: %v", cells, tally)
		})
	}
}

// throughGateway makes one call and requires what is promised of it.
func throughGateway(t *testing.T, name, address string, service *handmade, act h1Act, operation membercard.OperationInfo) (told, int) {
	service.set(t, identified(operation.Name, []byte("{}")))
	_, pool := onThisMachine()
	transport := membercard.NewTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	defer transport.CloseIdleConnections()
	client := handmadeClient(t, &handmade{url: address}, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := transport.RoundTrip(r)
		if err == nil {
			assert.Equal(t, "HTTP/2.0", response.Proto, "the gateway speaks it")
		}
		return response, err
	}), func(c *membercard.Config) { c.AttemptTimeout = 2 * time.Second })
	came, effects := service.counts()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := do(ctx, client, table[operation.Name].request)
	came, effects = service.since(came, effects)
	where := fmt.Sprintf("%s behind %s, %s", operation.Name, name, act.name)
	// A gateway sends a request on before it has all of it, and again by itself when its own connection dies.
	assertOnce(t, operation, err, came, effects, 6, where)
	return outcomeOf(err), effects
}

// badHeaders are answers whose headers gateways refuse.
func badHeaders() []h1Act {
	var acts []h1Act
	for name, line := range map[string]string{"a bad name": "Bad Name: x", "a bad value": "Bad: \x01", "no colon": "nothing"} {
		acts = append(acts, h1Act{"a header with " + name, func(c *h1Conn) {
			if c.read() != nil {
				c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + line + "\r\n\r\n{}")
			}
		}})
	}
	return acts
}

// gatewayPort returns a port for a gateway, each time another one: two gateways that were given the same would both listen on it. Below
// the ports that the system gives to connections none of them can take it before the gateway does.
func gatewayPort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20000 + int(gatewayPorts.Add(1))
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			require.NoError(t, listener.Close())
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

var gatewayPorts atomic.Int32

func startGateway(t *testing.T, configuration, command, service string) (address string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755)) // the gateway has a user of its own
	pair, pool := onThisMachine()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})...)
	certificate := filepath.Join(dir, "both.pem")
	require.NoError(t, os.WriteFile(certificate, both, 0o600))
	port := gatewayPort(t)
	var behind int
	_, err = fmt.Sscanf(service, "http://127.0.0.1:%d", &behind)
	require.NoError(t, err)
	file := filepath.Join(dir, "configuration")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, configuration, port, certificate, behind, dir), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	running := exec.CommandContext(t.Context(), "sh", "-c", "exec "+fmt.Sprintf(command, file))
	running.Stdout, running.Stderr = log, log
	require.NoError(t, running.Start())
	address = fmt.Sprintf("https://127.0.0.1:%d", port)
	require.Eventually(t, func() bool { // a gateway that answers a handshake is awake
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, string(readFile(t, log.Name())))
	return address, func() {
		_ = running.Process.Signal(os.Interrupt)
		_ = running.Wait()
		_ = log.Close()
	}
}
