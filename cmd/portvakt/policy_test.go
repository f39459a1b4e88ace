package main

import (
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestPolicyReachesServe: what the command line sets is in force within seconds in every instance that runs, for people who are signed in too.
func TestPolicyReachesServe(t *testing.T) {
	for name, database := range map[string]func(*testing.T) string{
		"sqlite": nil, "postgres": func(t *testing.T) string { return storetest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			in := newInstallation(t)
			if database != nil {
				in.database = database(t)
				in.run("", "migrate")
			}
			in.run("policies: {factors: {required: false}}\nusers: [{username: anna, password: correct horse battery staple}]", "apply", "-f", "-")
			browsers := map[string]*visitor{}
			for _, instance := range []string{"one", "two"} {
				_, base := in.serve()
				v, err := newVisitor(base)
				if err != nil {
					t.Fatal(err)
				}
				if err := v.signIn("anna", "correct horse battery staple", ""); err != nil || !v.signedIn() {
					t.Fatalf("instance %s: %v, status %d", instance, err, v.status)
				}
				browsers[instance] = v
			}
			if out := in.run("", "policy", "set", "factors.required=true"); out != "factors.required: false -> true\n" {
				t.Errorf("it says %q", out)
			}
			set := time.Now()
			for instance, v := range browsers {
				for v.signedIn() {
					if time.Since(set) > 5*time.Second {
						t.Fatalf("instance %s still counts a session that the policy refuses", instance)
					}
					time.Sleep(50 * time.Millisecond)
					if err := v.open("/account"); err != nil {
						t.Fatal(err)
					}
				}
			}
			if out := in.run("", "audit", "list", "--kind", "policy.changed"); !strings.Contains(out, "factors.required: false -> true") {
				t.Errorf("on record is %s", out)
			}
		})
	}
}
