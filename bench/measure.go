package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the processor time of this thread.
func cpu() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// processCPU is that of all threads.
func processCPU() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// deep calls f at a random depth of the stack: the same RSA code is a few percent slower at an unlucky
// position, which must not stick to one contender.
func deep(depth int, f func()) byte {
	var pad [64]byte
	if depth > 0 {
		return deep(depth-1, f) + pad[depth%64]
	}
	f()
	return pad[0]
}

// cost is what one call takes.
type cost struct{ cpu, wall time.Duration }

// ratio is a median with its 95 % interval.
type ratio struct{ median, low, high float64 }

func (r ratio) String() string { return fmt.Sprintf("%.3f [%.3f, %.3f]", r.median, r.low, r.high) }

func (r ratio) inverse() ratio { return ratio{1 / r.median, 1 / r.high, 1 / r.low} }

func newRatio(values []float64) ratio {
	slices.Sort(values)
	n := float64(len(values))
	half := 0.98 * math.Sqrt(n) // the ranks that bound the median with 95 % probability
	at := func(rank float64) float64 { return values[min(max(int(rank), 0), len(values)-1)] }
	return ratio{at(n / 2), at(n/2 - half), at(n/2 + half)}
}

// paired times all calls in blocks, in random order, round by round. The first is the floor, and is
// timed twice in each round; every block is divided by the mean of the round's floors, and the second floor
// by the first: that is the noise.
type paired struct {
	cpu, wall  []ratio // by contender; the floor's own is the noise
	floor      cost    // median
	tooNoisy   bool
	noiseLimit float64
}

func measure(rounds, perBlock int, noiseLimit float64, calls []func()) paired {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // collected between rounds; what it costs shows in B/op
	blocks := append([]func(){calls[0]}, calls...)   // the floor twice
	cpuRatios, wallRatios := make([][]float64, len(calls)), make([][]float64, len(calls))
	var floorCPU, floorWall []float64
	for range rounds {
		runtime.GC()
		costs := make([]cost, len(blocks))
		for _, i := range rand.Perm(len(blocks)) {
			deep(rand.IntN(64), func() {
				start, used := time.Now(), cpu()
				for range perBlock {
					blocks[i]()
				}
				costs[i] = cost{cpu() - used, time.Since(start)}
			})
		}
		meanCPU, meanWall := float64(costs[0].cpu+costs[1].cpu)/2, float64(costs[0].wall+costs[1].wall)/2
		floorCPU, floorWall = append(floorCPU, meanCPU), append(floorWall, meanWall)
		cpuRatios[0] = append(cpuRatios[0], float64(costs[1].cpu)/float64(costs[0].cpu))
		wallRatios[0] = append(wallRatios[0], float64(costs[1].wall)/float64(costs[0].wall))
		for i := 1; i < len(calls); i++ {
			cpuRatios[i] = append(cpuRatios[i], float64(costs[i+1].cpu)/meanCPU)
			wallRatios[i] = append(wallRatios[i], float64(costs[i+1].wall)/meanWall)
		}
	}
	p := paired{noiseLimit: noiseLimit}
	for i := range calls {
		p.cpu, p.wall = append(p.cpu, newRatio(cpuRatios[i])), append(p.wall, newRatio(wallRatios[i]))
	}
	p.floor = cost{time.Duration(newRatio(floorCPU).median) / time.Duration(perBlock), time.Duration(newRatio(floorWall).median) / time.Duration(perBlock)}
	p.tooNoisy = math.Abs(p.cpu[0].median-1) > noiseLimit
	return p
}

// allocations returns allocations and bytes per call.
func allocations(call func()) (allocs, bytes uint64) {
	const n = 500
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 10 {
		call()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		call()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / n, (after.TotalAlloc - before.TotalAlloc) / n
}

// must makes a call that may not fail.
func must(c contender) func() {
	return func() {
		if _, err := c.call(context.Background()); err != nil {
			panic(c.name + ": " + err.Error())
		}
	}
}
