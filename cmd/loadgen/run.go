package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The phases of a run. Only what begins and ends while it is measured counts.
const (
	warming = iota
	measured
	stopping
)

// run is the shared state of the workers of one measurement.
type run struct {
	g         *generator
	phase     atomic.Int32
	ops, errs atomic.Int64
	mu        sync.Mutex
	seen      map[string]int // error text -> count; guarded by mu
	latencies [][]uint32     // µs, one slice a worker
}

// work repeats one operation until the run stops.
func (r *run) work(i int, op func() error) {
	for r.phase.Load() != stopping {
		t := time.Now()
		err := op()
		d := time.Since(t)
		counts := r.phase.Load() == measured
		if err != nil {
			r.fault(err, counts)
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if counts {
			r.latencies[i] = append(r.latencies[i], uint32(d.Microseconds()))
			if n := r.ops.Add(1); r.g.maxOps > 0 && n >= r.g.maxOps {
				r.phase.Store(stopping)
			}
		}
	}
}

// fault counts an error by the first 160 bytes of its text.
func (r *run) fault(err error, counts bool) {
	if counts {
		r.errs.Add(1)
	}
	k := err.Error()
	if len(k) > 160 {
		k = k[:160]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[k]++
}

// usage is what the processes and the wire have used so far: CPU in ms.
type usage struct {
	server, postgres, self float64
	requests               int64
}

// usage reads the counters now; a run is the difference of two readings.
func (g *generator) usage() usage {
	return usage{g.serverCPU(), pgCPU(g.pgpid), procCPU(os.Getpid(), false), g.sent.Load()}
}

// run prepares the workers, warms up, measures and reports.
func (g *generator) run() error {
	r := &run{g: g, seen: map[string]int{}, latencies: make([][]uint32, g.workers)}
	ops := make([]func() error, g.workers)
	for i := range ops {
		c := newClient(g)
		defer c.close()
		var err error
		if ops[i], err = c.prepare(); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	cal := calib()
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Go(func() { r.work(i, op) })
	}
	time.Sleep(g.warm)
	before := g.usage()
	t0 := time.Now()
	r.phase.Store(measured)
	for time.Since(t0) < g.duration && r.phase.Load() == measured {
		time.Sleep(10 * time.Millisecond)
	}
	r.phase.Store(stopping)
	elapsed := time.Since(t0).Seconds()
	n := float64(r.ops.Load())
	after := g.usage()
	wg.Wait()
	return r.print(elapsed, n, before, after, (cal+calib())/2)
}

// print writes the line for people and, with -json, the one for programs.
func (r *run) print(elapsed, n float64, before, after usage, cal float64) error {
	g := r.g
	all := slices.Concat(r.latencies...)
	slices.Sort(all)
	q := func(p float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[min(len(all)-1, int(p*float64(len(all))))]) / 1000
	}
	if n == 0 {
		n = 1e-9 // nothing done: ratios become absurd instead of NaN
	}
	server, postgres, self := after.server-before.server, after.postgres-before.postgres, after.self-before.self
	http := float64(after.requests-before.requests) / n
	rss, hwm := g.serverMem()
	fmt.Printf("%-28s %-10s c=%-3d %9.1f op/s  p50 %.2f p99 %.2f ms  cpu/op srv %.3f ms pg %.3f ms (lg %.3f)  http/op %.1f  busy srv %.0f%% lg %.0f%%  err %d  rss %.0f MiB  cal %.0f\n",
		g.label, g.mode, g.workers, n/elapsed, q(.5), q(.99), server/n, postgres/n, self/n, http,
		server/elapsed/10, self/elapsed/10, r.errs.Load(), float64(rss)/1024, cal)
	for k, v := range r.seen {
		fmt.Fprintf(os.Stderr, "   error x%d: %s\n", v, k)
	}
	return g.emit(map[string]any{"c": g.workers, "ops": n / elapsed, "p50": q(.5), "p99": q(.99), "srv_ms": server / n, "pg_ms": postgres / n,
		"lg_ms": self / n, "http_per_op": http, "errs": r.errs.Load(), "rss_mib": float64(rss) / 1024, "hwm_mib": float64(hwm) / 1024,
		"cal_ns": cal, "busy_srv": server / elapsed / 10, "busy_lg": self / elapsed / 10, "path": g.path})
}
