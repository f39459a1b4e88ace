package login_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// pairs is how many times each kind of name is tried.
const pairs = 400

// TestTimes (EN-02): at the real price of a hash, a wrong password for somebody takes as long as one for nobody, over 400
// pairs.
func TestTimes(t *testing.T) {
	clock := storetest.NewClock()
	s := servertest.New(t, storetest.SQLite(t), servertest.Options{Clock: clock.Now, Hash: factor.Params{MemoryKiB: 19456, Time: 2}})
	try := func(name string) time.Duration {
		b := s.Browser(t)
		p := b.Follow(b.Get("/account"))
		began := time.Now()
		p = b.Fill(p, "username", name, "password", "wrong horse battery staple")
		took := time.Since(began)
		if p.Status != http.StatusOK || p.Alert() == "" {
			t.Fatalf("%s got %d", name, p.Status)
		}
		return took
	}
	try("alice")
	try("nobody")
	var known, unknown []time.Duration
	for i := range pairs {
		if i%2 == 0 {
			known = append(known, try("alice"))
			unknown = append(unknown, try(fmt.Sprint("nobody", i)))
		} else {
			unknown = append(unknown, try(fmt.Sprint("nobody", i)))
			known = append(known, try("alice"))
		}
		clock.Add(16 * time.Minute)
	}
	// The two of a pair are neighbours in time, so what else the machine does falls on both. The bound is the 5 ms of the
	// gallery at the real price of a hash, about 40 ms; under the race detector all is slower and the bound with it.
	diffs := make([]time.Duration, pairs)
	for i := range diffs {
		diffs[i] = known[i] - unknown[i]
	}
	slices.Sort(diffs)
	slices.Sort(known)
	if d, bound := diffs[pairs/2], max(5*time.Millisecond, known[pairs/2]/20); d.Abs() > bound {
		t.Errorf("EN-02: the median of the differences between somebody and nobody is %v, at a median of %v", d, known[pairs/2])
	}
}

// between runs do while a right password of newcomer is being checked: after the row was read, before the session is
// written. Their hash is a heavy one, so there is time.
func between(t *testing.T, e storetest.Engine, do func(*servertest.Site) error) (b *servertest.Browser, s *servertest.Site) {
	t.Helper()
	clock := storetest.NewClock()
	s = servertest.New(t, e.New(t), servertest.Options{Clock: clock.Now, NoWatch: true,
		Apply: servertest.Sample() + "policies:\n  factors: {required: false}\n"})
	slow, err := factor.NewHasher(factor.Params{MemoryKiB: 65536, Time: 10}, 1).Hash(t.Context(), servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	s.ApplyFile(t, "users:\n  - {username: newcomer, name: Newcomer, email: newcomer@example.se, password_hash: '"+slow+"'}\n")
	b = s.Browser(t)
	p := b.Follow(b.Get("/account"))
	reads, _ := s.DB.Trips()
	done := make(chan *servertest.Page, 1)
	go func() { done <- b.Fill(p, "username", "newcomer", "password", servertest.Password) }()
	for now := reads; now < reads+2; now, _ = s.DB.Trips() { // the flow with the person, and policy; then comes the slow check
		time.Sleep(time.Millisecond)
	}
	if err := do(s); err != nil {
		t.Fatal(err)
	}
	if len(done) > 0 {
		t.Fatal("the check was over before the change: this machine is too quick for the test")
	}
	<-done
	return b, s
}

// TestChangedMeanwhile (SE-04): a password that was right when it was read and is not when the session is written makes
// none; nor does a person who was disabled between.
func TestChangedMeanwhile(t *testing.T) {
	origin := audit.Origin{Actor: "cli"}
	other, err := factor.NewHasher(factor.Params{MemoryKiB: 64, Time: 1}, 1).Hash(t.Context(), "another one altogether")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range storetest.Engines() {
		for name, do := range map[string]func(*servertest.Site) error{
			"password": func(s *servertest.Site) error {
				s.ApplyFile(t, "users:\n  - {username: newcomer, name: Newcomer, email: newcomer@example.se, password_hash: '"+other+"'}\n")
				return nil
			},
			"disabled": func(s *servertest.Site) error { return s.Admin.SetDisabled(t.Context(), origin, "newcomer", true) },
		} {
			t.Run(name+"/"+e.Name, func(t *testing.T) {
				b, s := between(t, e, do)
				if name == "disabled" {
					if err := s.Admin.SetDisabled(t.Context(), origin, "newcomer", false); err != nil {
						t.Fatal(err)
					}
				}
				if b.Get("/account").Status == http.StatusOK {
					t.Error("SE-04: what changed while the password was being checked did not stop the session")
				}
			})
		}
	}
}
