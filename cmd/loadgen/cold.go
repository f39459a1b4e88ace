package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// cold starts -exec -n times and reports the medians of time to the first 200 and of memory.
func (g *generator) cold() error {
	if g.exec == "" || g.n < 1 {
		return errors.New("cold needs -exec CMD and -n of at least 1")
	}
	var times []float64
	var rss, hwm []int
	for i := range g.n {
		d, r, h, err := g.coldOnce(i)
		if err != nil {
			return err
		}
		times, rss, hwm = append(times, d.Seconds()*1000), append(rss, r), append(hwm, h)
	}
	slices.Sort(times)
	slices.Sort(rss)
	slices.Sort(hwm)
	ms, least, most := times[len(times)/2], times[0], times[len(times)-1]
	r, h := float64(rss[len(rss)/2])/1024, float64(hwm[len(hwm)/2])/1024
	fmt.Printf("%-28s cold median %.0f ms (min %.0f max %.0f)  idle RSS %.1f MiB  HWM %.1f MiB\n", g.label, ms, least, most, r, h)
	return g.emit(map[string]any{"cold_ms": ms, "min": least, "max": most, "rss_mib": r, "hwm_mib": h})
}

// coldOnce runs the command until its first 200, lets it idle for 1.5 s, reads its memory and stops it.
func (g *generator) coldOnce(i int) (d time.Duration, rss, hwm int, err error) {
	cmd := exec.Command("/bin/sh", "-c", "exec "+g.exec)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if g.verbose {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	t0 := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	defer stop(cmd)
	for !g.answers() {
		if time.Since(t0) > 60*time.Second {
			return 0, 0, 0, errors.New("cold: no 200 in 60 s")
		}
		time.Sleep(2 * time.Millisecond)
	}
	d = time.Since(t0)
	cpu := procCPU(cmd.Process.Pid, false)
	time.Sleep(1500 * time.Millisecond)
	rss, hwm = mem(cmd.Process.Pid)
	fmt.Fprintf(os.Stderr, "  cold %d: %.0f ms, cpu %.0f ms, rss %d kB, hwm %d kB\n", i, d.Seconds()*1000, cpu, rss, hwm)
	return d, rss, hwm, nil
}

// answers asks once, on a connection of its own.
func (g *generator) answers() bool {
	c := newClient(g)
	defer c.close()
	return c.get() == nil
}

// stop asks a process to end and kills it after 8 s.
func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(8 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}
