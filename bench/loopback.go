package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// service answers over TLS on loopback and counts the connections.
type service struct {
	*httptest.Server
	accepted atomic.Int64
}

func serve(handler http.Handler) *service {
	s := &service{Server: httptest.NewUnstartedServer(handler)}
	s.Config.ErrorLog = log.New(&bytes.Buffer{}, "", 0)
	s.EnableHTTP2 = false // as many connections as callers: HTTP/2 would have one
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.accepted.Add(1)
		}
	}
	s.StartTLS()
	return s
}

// trusting makes a transport accept the service's certificate.
func (s *service) trusting(t *http.Transport) *http.Transport {
	t.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
	t.ForceAttemptHTTP2 = false
	return t
}

// load is what many callers cost.
type load struct {
	wall, cpuPerCall time.Duration
	connections      int64
}

func concurrently(callers, calls int, c contender) time.Duration {
	start := time.Now()
	var group sync.WaitGroup
	var made atomic.Int64
	for range callers {
		group.Go(func() {
			for made.Add(1) <= int64(calls) {
				if _, err := c.call(context.Background()); err != nil {
					panic(c.name + ": " + err.Error())
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

func (s *service) underLoad(callers, calls int, c contender) load {
	before, used := s.accepted.Load(), processCPU()
	l := load{wall: concurrently(callers, calls, c)}
	l.cpuPerCall = (processCPU() - used) / time.Duration(calls)
	l.connections = s.accepted.Load() - before
	return l
}

func openSockets() (n int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// overTLS compares clients of 64 callers over TLS on loopback: each with a transport of its own, in rounds and in
// random order, compared within the round.
func overTLS(t *table, k *keys, a *answer, rounds int) {
	const callers, calls = 64, 3000
	s := serve(a)
	defer s.Close()
	contenders := []struct {
		name string
		make func() contender
	}{
		{"floor, our transport", func() contender {
			return floor(k, &http.Client{Transport: s.trusting(membercard.NewTransport())}, s.URL)
		}},
		{"membercard", func() contender {
			return ours(newOurs(k, k.merchant, &http.Client{Transport: s.trusting(membercard.NewTransport())}, s.URL), 0)
		}},
		{"wechatpay-go, its default", func() contender { // a http.Client with a timeout and Go's default transport
			return official(k, &http.Client{Timeout: 30 * time.Second, Transport: s.trusting(http.DefaultTransport.(*http.Transport).Clone())}, s.URL, false)
		}},
		{"wechatpay-go, our transport", func() contender {
			return official(k, &http.Client{Timeout: 30 * time.Second, Transport: s.trusting(membercard.NewTransport())}, s.URL, false)
		}},
		{"gopay, its timeout and Go's transport", func() contender {
			return other(k, &http.Client{Timeout: 60 * time.Second, Transport: s.trusting(http.DefaultTransport.(*http.Transport).Clone())}, s.URL)
		}},
	}
	const own, theirs, same = 1, 2, 3
	runs := make([][]load, len(contenders))
	for range rounds {
		for _, i := range rand.Perm(len(contenders)) {
			runs[i] = append(runs[i], s.underLoad(callers, calls, contenders[i].make()))
			s.CloseClientConnections()
		}
	}
	t.section(fmt.Sprintf("%d callers, %d calls, TLS on loopback, client and server in one process, medians of %d rounds", callers, calls, rounds))
	median := func(i int, of func(load) float64) float64 {
		var values []float64
		for _, l := range runs[i] {
			values = append(values, of(l))
		}
		return newRatio(values).median
	}
	for i, c := range contenders {
		t.row(c.name, fmt.Sprintf("%.0f connections, %.0f calls/s, %.2f ms CPU per call",
			median(i, func(l load) float64 { return float64(l.connections) }),
			median(i, func(l load) float64 { return calls / l.wall.Seconds() }),
			median(i, func(l load) float64 { return ms(l.cpuPerCall) })), "", true)
	}
	most := int64(0)
	for _, l := range runs[own] {
		most = max(most, l.connections)
	}
	t.check("connections accepted, the most of all rounds", float64(most), "%.0f", 128)
	compare := func(with int, of func(load) time.Duration) ratio { // with's over ours, round by round
		var values []float64
		for round := range rounds {
			values = append(values, float64(of(runs[with][round]))/float64(of(runs[own][round])))
		}
		return newRatio(values)
	}
	wall := func(l load) time.Duration { return l.wall }
	cpu := func(l load) time.Duration { return l.cpuPerCall }
	r := compare(theirs, wall)
	t.row("throughput over wechatpay-go's default", r.String(), "at least 1.5", r.median >= 1.5)
	r = compare(theirs, cpu).inverse()
	t.row("CPU per call over wechatpay-go's default", r.String(), "at most 0.75", r.median <= 0.75)
	r = compare(same, wall)
	t.row("throughput over wechatpay-go with our transport", r.String(), "no worse: at least 0.97", r.median >= 0.97)
	r = compare(same, cpu).inverse()
	t.row("CPU per call over wechatpay-go with our transport", r.String(), "no worse: at most 1.03", r.median <= 1.03)

	c := contenders[own].make()
	var sockets, goroutines [2]int
	for i := range 2 {
		concurrently(callers, calls, c)
		time.Sleep(50 * time.Millisecond) // connections that are not kept are being closed
		sockets[i], goroutines[i] = openSockets(), runtime.NumGoroutine()
	}
	t.row("sockets after 3,000 and 6,000 calls", fmt.Sprint(sockets[0], ", ", sockets[1]), "equal within 2", abs(sockets[0]-sockets[1]) <= 2)
	t.row("goroutines after 3,000 and 6,000 calls", fmt.Sprint(goroutines[0], ", ", goroutines[1]), "equal within 6, as 2 for a connection and the runtime's own", abs(goroutines[0]-goroutines[1]) <= 6)
}

// againstLatency has the service take 20 ms for each answer.
func againstLatency(t *table, k *keys, a *answer) {
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		a.ServeHTTP(w, r)
	}))
	defer s.Close()
	client := ours(newOurs(k, k.merchant, &http.Client{Transport: s.trusting(membercard.NewTransport())}, s.URL), 0)
	concurrently(64, 128, client) // connections are there
	const calls = 384
	one, many := concurrently(1, calls, client), concurrently(64, calls, client)
	for range 2 {
		many = min(many, concurrently(64, calls, client))
	}
	t.check("64 callers against 20 ms of latency: wall time over one caller's", many.Seconds()/one.Seconds(), "%.3f", 0.06)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func abs(n int) int { return max(n, -n) }
