package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs testdata/*.txtar: the program as an operator meets it. Beside testscript's own commands a script has:
//
//	refused [-lines=N] portvakt ARG…  exit status 1, and one line (or N) on standard error that say what is wrong
//	misused portvakt ARG…             the same with exit status 2
//	start NAME ARG…                   portvakt beside the script
//	await NAME REGEXP                 until it has said so; named groups become variables
//	stop NAME [INT]                   SIGTERM (or SIGINT), exit status 0; what it said is stdout
//	serve [ARG…]                      start serve on a free port and await it; $URL is its address
//	get [-status=N] URL               what it answers is stdout
//	signin NAME USER PASSWORD [TOTP]  a browser of this name signs in at $URL; ! signin: is refused
//	signedin NAME                     that browser still is
//	listing FILE                      everything that users, applications and keys are
//	postgres, secretive, sql          databases; see database_test.go
//	silent, occupied, disk, fill      a machine in trouble; see trouble_test.go
func TestScript(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files:               scripts,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("TZ", "UTC")
			env.Values[beside{}] = map[string]*process{}
			env.Values[browsers{}] = map[string]*visitor{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused":   func(ts *testscript.TestScript, neg bool, args []string) { fails(ts, neg, 1, args) },
			"misused":   func(ts *testscript.TestScript, neg bool, args []string) { fails(ts, neg, 2, args) },
			"start":     start,
			"await":     await,
			"stop":      stop,
			"serve":     serve,
			"get":       get,
			"signin":    signin,
			"signedin":  signedin,
			"listing":   listing,
			"postgres":  func(ts *testscript.TestScript, _ bool, args []string) { postgres(t, ts, args) },
			"secretive": secretive,
			"sql":       runSQL,
			"silent":    silent,
			"occupied":  occupied,
			"disk":      disk,
			"fill":      fill,
			"sized":     sized,
		},
	})
}

// beside and browsers are the keys of what a script keeps running.
type (
	beside   struct{}
	browsers struct{}
)

// wants ends a script that uses a command wrongly.
func wants(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// fails runs a command that must end with status and say why.
func fails(ts *testscript.TestScript, neg bool, status int, args []string) {
	lines := 1
	if len(args) > 0 {
		if _, err := fmt.Sscanf(args[0], "-lines=%d", &lines); err == nil {
			args = args[1:]
		}
	}
	wants(ts, !neg && len(args) > 0, "refused|misused [-lines=N] command")
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != status {
		ts.Fatalf("it ended with %v, not with exit status %d", err, status)
	}
	said := ts.ReadFile("stderr")
	if n := len(strings.Split(strings.TrimSuffix(said, "\n"), "\n")); n != lines || strings.Count(said, "portvakt: ") < lines {
		ts.Fatalf("it said %d lines, not %d that begin with portvakt:", n, lines)
	}
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) > 1, "start NAME ARG…")
	p, err := launch(ts.Getenv("WORK"), environment(ts), args[1:]...)
	ts.Check(err)
	ts.Value(beside{}).(map[string]*process)[args[0]] = p
	ts.Defer(p.kill)
}

// environment is what a script's own commands see.
func environment(ts *testscript.TestScript) []string {
	var env []string
	ts.Check(ts.Exec("env"))
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		env = append(env, strings.TrimSuffix(line, "\n"))
	}
	return env
}

func running(ts *testscript.TestScript, name string) *process {
	p := ts.Value(beside{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("there is no %s beside the script", name)
	}
	return p
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 2, "await NAME REGEXP")
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	found, err := running(ts, args[0]).await(re)
	ts.Check(err)
	for i, name := range re.SubexpNames() {
		if name != "" {
			ts.Setenv(name, found[i])
		}
	}
}

func stop(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && (len(args) == 1 || len(args) == 2 && args[1] == "INT"), "stop NAME [INT]")
	sig := syscall.SIGTERM
	if len(args) == 2 {
		sig = syscall.SIGINT
	}
	status, said, err := running(ts, args[0]).end(sig)
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), said)
	ts.Check(err)
	if status != 0 {
		ts.Fatalf("%s ended with exit status %d", args[0], status)
	}
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg, "serve [ARG…]")
	start(ts, false, append([]string{"serve", "serve", "--listen=127.0.0.1:0", "--log-format=json"}, args...))
	found, err := running(ts, "serve").await(servingLine)
	ts.Check(err)
	ts.Setenv("URL", "http://"+found[1])
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	status := http.StatusOK
	if len(args) == 2 {
		_, err := fmt.Sscanf(args[0], "-status=%d", &status)
		ts.Check(err)
		args = args[1:]
	}
	wants(ts, !neg && len(args) == 1, "get [-status=N] URL")
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if resp.StatusCode != status {
		ts.Fatalf("it answered %s, not %d", resp.Status, status)
	}
}

func signin(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, len(args) == 3 || len(args) == 4, "signin NAME USER PASSWORD [TOTP]")
	v, err := newVisitor(ts.Getenv("URL"))
	ts.Check(err)
	uri := append(args, "")[3]
	err = v.signIn(args[1], args[2], uri)
	if (err != nil) != neg || neg && v.alert() == "" { // refused is a page that says so, not a failure
		ts.Fatalf("signing in as %s: %v (status %d)", args[1], err, v.status)
	}
	ts.Value(browsers{}).(map[string]*visitor)[args[0]] = v
}

func signedin(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, len(args) == 1, "signedin NAME")
	v := ts.Value(browsers{}).(map[string]*visitor)[args[0]]
	if v == nil {
		ts.Fatalf("there is no browser %s", args[0])
	}
	ts.Check(v.open("/account"))
	if v.signedIn() == neg {
		ts.Fatalf("signed in: %v; it shows %s", !neg, v.at)
	}
}
