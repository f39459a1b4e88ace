package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// statFields returns the fields of /proc/PID/stat after the command name, which may hold spaces (proc_pid_stat(5)).
func statFields(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 15 {
		return nil
	}
	return f
}

// procCPU is the CPU time of a process in ms, at 100 clock ticks a second; with children, that of those it waited for.
func procCPU(pid int, children bool) float64 {
	f := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if f == nil {
		return 0
	}
	end := 13
	if children {
		end = 15
	}
	x := 0.0
	for _, s := range f[11:end] {
		v, _ := strconv.ParseFloat(s, 64)
		x += v
	}
	return x * 10
}

// pgCPU is the CPU time of a postmaster and of its living children.
func pgCPU(postmaster int) float64 {
	if postmaster <= 0 {
		return 0
	}
	x := procCPU(postmaster, true)
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, p := range paths {
		if f := statFields(p); f != nil && f[1] == strconv.Itoa(postmaster) {
			pid, _ := strconv.Atoi(strings.Split(p, "/")[2])
			x += procCPU(pid, false)
		}
	}
	return x
}

// mem is the resident memory of a process and its high-water mark, in kB.
func mem(pid int) (rss, hwm int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone: zero
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == "VmRSS:" {
			rss, _ = strconv.Atoi(f[1])
		} else if len(f) > 1 && f[0] == "VmHWM:" {
			hwm, _ = strconv.Atoi(f[1])
		}
	}
	return rss, hwm
}

// pidList reads -pid.
func (g *generator) pidList() []int {
	var out []int
	for s := range strings.SplitSeq(g.pids, ",") {
		if p, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// serverCPU is the CPU time of all of -pid, in ms.
func (g *generator) serverCPU() float64 {
	x := 0.0
	for _, p := range g.pidList() {
		x += procCPU(p, false)
	}
	return x
}

// serverMem is the memory of all of -pid, in kB.
func (g *generator) serverMem() (rss, hwm int) {
	for _, p := range g.pidList() {
		r, h := mem(p)
		rss, hwm = rss+r, hwm+h
	}
	return rss, hwm
}

// rss is the mode of that name.
func (g *generator) rss() error {
	for _, p := range g.pidList() {
		r, h := mem(p)
		fmt.Printf("%-28s pid %d RSS %.1f MiB HWM %.1f MiB\n", g.label, p, float64(r)/1024, float64(h)/1024)
		if err := g.emit(map[string]any{"rss_mib": float64(r) / 1024, "hwm_mib": float64(h) / 1024}); err != nil {
			return err
		}
	}
	return nil
}

// calib returns CPU ns per SHA-256 of 4 KiB: a yardstick of how slow the core is right now
// (hyperthread siblings and other tenants inflate CPU time too). Divide srv_ms by it to compare runs.
func calib() float64 {
	cpu := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			return 0
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	buf := make([]byte, 4096)
	n, t0, w0 := 0, cpu(), time.Now()
	for time.Since(w0) < 250*time.Millisecond {
		for range 64 {
			s := sha256.Sum256(buf)
			buf[0] = s[0]
		}
		n += 64
	}
	return float64(cpu()-t0) / float64(n)
}
