package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestTwoInstances: two processes on one Postgres count guesses as one, also after one of them was restarted; and what an administrator ends,
// locks or disables is over on both within a second.
func TestTwoInstances(t *testing.T) {
	in := newInstallation(t)
	in.database = storetest.Postgres(t)
	in.run("", "migrate")
	const password = "correct horse battery staple"
	in.run("policies: {factors: {required: false}}\nusers: [{username: anna, password: "+password+"}, {username: bertil, password: "+password+"}]", "apply", "-f", "-")
	first, one := in.serve()
	_, two := in.serve()
	guess := func(base string) {
		v, err := newVisitor(base)
		for again, late := true, time.Now().Add(time.Minute); again && err == nil && time.Now().Before(late); again = v.status == 503 { // busy: "try again in a moment"
			if err = v.open("/account"); err == nil && v.status != 503 {
				err = v.prove("anna", "not this one", "")
			}
		}
		if err != nil || v.signedIn() || v.alert() == "" {
			t.Errorf("a guess got %d (%v)", v.status, err)
		}
	}
	counted := func() int {
		return strings.Count(in.run("", "audit", "list", "--json", "--kind", "login.failed"), `"reason":"wrong_password"`)
	}
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() { guess([]string{one, two}[i%2]) })
	}
	all.Wait()
	if n := counted(); n != 5 {
		t.Errorf("LK-03: two processes looked at %d guesses, want 5", n)
	}
	in.stop(first)
	_, one = in.serve()
	guess(one)
	if n := counted(); n != 5 {
		t.Errorf("LK-03: after a restart they looked at %d guesses, want 5", n)
	}
	for command, over := range map[string]func(*visitor) bool{
		"end-sessions": func(v *visitor) bool {
			return strings.Contains(v.page, `name="username"`) && !strings.Contains(v.page, "readonly")
		},
		"lock": func(v *visitor) bool { return strings.Contains(v.page, `href="/logout"`) },
	} {
		in.over(command, over, one, two)
	}
	in.over("disable", func(v *visitor) bool { return strings.Contains(v.page, `name="username"`) }, one, two)
}

// over signs bertil in at each instance, runs a command on him, and wants both sessions over within a second.
func (in *installation) over(command string, over func(*visitor) bool, bases ...string) {
	in.t.Helper()
	var browsers []*visitor
	for _, base := range bases {
		v, err := newVisitor(base)
		if err == nil {
			err = v.signIn("bertil", "correct horse battery staple", "")
		}
		if err != nil {
			in.t.Fatalf("%s: %v", command, err)
		}
		browsers = append(browsers, v)
	}
	in.run("", "user", command, "bertil")
	done := time.Now()
	for i, v := range browsers {
		for {
			began := time.Now()
			if err := v.open("/account"); err != nil {
				in.t.Fatal(err)
			}
			if over(v) {
				break
			}
			if began.Sub(done) > time.Second {
				in.t.Errorf("user %s: a second later instance %d shows %s", command, i, v.at)
				break
			}
		}
	}
}
