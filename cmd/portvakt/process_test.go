package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it is long because it only ends tests that fail.
const patience = 30 * time.Second

// process is a portvakt that runs beside the test.
type process struct {
	cmd  *exec.Cmd
	out  transcript
	done chan struct{} // closed when it has ended
	err  error         // of its end
}

// transcript gathers what a process says, and wakes who waits for it.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next write
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
	return t.text.Write(b)
}

// so gives what was said so far, and a channel that is closed when there is more.
func (t *transcript) so() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more == nil {
		t.more = make(chan struct{})
	}
	return t.text.String(), t.more
}

// launch starts portvakt in dir; standard output and standard error are one transcript.
func launch(dir string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("portvakt", args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// await gives the first match of re in what the process says, with its groups.
func (p *process) await(re *regexp.Regexp) ([]string, error) {
	limit := time.After(patience)
	for ended := false; ; {
		text, more := p.out.so()
		if m := re.FindStringSubmatch(text); m != nil {
			return m, nil
		}
		if ended {
			return nil, fmt.Errorf("it ended without saying %s:\n%s", re, text)
		}
		select {
		case <-more:
		case <-p.done:
			ended = true // once more: its last words may have come meanwhile
		case <-limit:
			return nil, fmt.Errorf("it did not say %s in time:\n%s", re, text)
		}
	}
}

// end sends a signal, waits, and gives exit status and everything that was said.
func (p *process) end(sig os.Signal) (int, string, error) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, "", err
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		return 0, "", errors.New("it did not end in time")
	}
	text, _ := p.out.so()
	return p.cmd.ProcessState.ExitCode(), text, nil
}

// kill ends what a test that failed left running.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

var servingLine = regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`)

// installation is a fresh Portvakt in a folder of its own, on SQLite.
type installation struct {
	t        *testing.T
	dir      string
	database string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	return &installation{t, dir, "sqlite:" + filepath.Join(dir, "portvakt.db")}
}

func (in *installation) env() []string {
	return append(os.Environ(), "PORTVAKT_DATABASE="+in.database, "PORTVAKT_LISTEN=127.0.0.1:0", "PORTVAKT_LOG_FORMAT=json")
}

// run runs a command that must succeed and gives its standard output.
func (in *installation) run(stdin string, args ...string) string {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "portvakt", args...)
	var out, bad strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = in.dir, in.env(), strings.NewReader(stdin), &out, &bad
	if err := cmd.Run(); err != nil {
		in.t.Fatalf("portvakt %s: %v\n%s%s", strings.Join(args, " "), err, &out, &bad)
	}
	return out.String()
}

// serve starts the service and gives its process and address once it answers.
func (in *installation) serve() (*process, string) {
	in.t.Helper()
	p, err := launch(in.dir, in.env(), "serve")
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(p.kill)
	m, err := p.await(servingLine)
	if err != nil {
		in.t.Fatal(err)
	}
	return p, "http://" + m[1]
}

// stop ends the service in good order and gives what it has said.
func (in *installation) stop(p *process) string {
	in.t.Helper()
	status, said, err := p.end(syscall.SIGTERM)
	if err != nil || status != 0 {
		in.t.Fatalf("serve ended with %d (%v):\n%s", status, err, said)
	}
	return said
}
