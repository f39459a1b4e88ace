package lockout

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// TestPace is the schedule of the default policy: five at once, then 3, 6, 12 and 15 minutes apart; one is forgotten in a quarter of an hour.
func TestPace(t *testing.T) {
	rules, began := policy.Default().Lockout, time.Unix(1e9, 0)
	n, last, now := 0, time.Time{}, began
	var at []string
	for range 10 {
		left, wait := pace(rules, n, last, now)
		if now = now.Add(wait); wait > 0 {
			left, wait = pace(rules, n, last, now)
		}
		if wait != 0 {
			t.Fatalf("after the wait there is another of %s", wait)
		}
		n, last = left+1, now
		at = append(at, now.Sub(began).String())
	}
	if got, want := fmt.Sprint(at), "[0s 0s 0s 0s 0s 3m0s 9m0s 21m0s 36m0s 51m0s]"; got != want {
		t.Errorf("tries at %s, want %s", got, want)
	}
	if left, wait := pace(rules, 9, now, now.Add(151*time.Minute)); left != 0 || wait != 0 {
		t.Errorf("ten windows later: %d, %s", left, wait)
	}
	if left, _ := pace(rules, 3, now, now.Add(-time.Hour)); left != 3 {
		t.Errorf("a clock that goes back forgot: %d", left)
	}
}

// TestTenAnHour: however a guesser spreads their tries, ten count in any hour.
func TestTenAnHour(t *testing.T) {
	rules, r := policy.Default().Lockout, rand.New(rand.NewPCG(3, 4))
	for game := range 2000 {
		n, last, now := 0, time.Time{}, time.Unix(1e9, 0)
		var counted []time.Time
		pause := time.Duration(1+r.IntN(20)) * time.Minute
		for range 200 {
			if left, wait := pace(rules, n, last, now); wait == 0 {
				n, last = left+1, now
				counted = append(counted, now)
			}
			if r.IntN(3) > 0 {
				now = now.Add(time.Duration(r.Int64N(int64(pause))))
			}
		}
		for i := 10; i < len(counted); i++ {
			if span := counted[i].Sub(counted[i-10]); span < time.Hour {
				t.Fatalf("game %d: eleven in %s", game, span)
			}
		}
	}
}

// bench is a service with a person on both engines, and a second instance.
func bench(t *testing.T, fn func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB)) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			url, clock := e.New(t), storetest.NewClock()
			open := func() *store.DB {
				return storetest.OpenWith(t, url, store.Options{Sealer: storetest.Ring(t), Now: clock.Now})
			}
			one := open()
			u := storetest.AddUser(t, one, "anna")
			fn(t, clock, New([]byte("key")), &store.Person{User: u}, one, open())
		})
	}
}

func take(t testing.TB, db *store.DB, c Count, right bool) (out Outcome) {
	t.Helper()
	if err := db.Housekeep(t.Context(), func(tx *store.Tx) (err error) { out, err = c.Take(tx, right); return err }); err != nil {
		t.Error(err)
	}
	return out
}

func try(p *store.Person, ip string) Try {
	return Try{Origin: audit.Origin{IP: ip}, Person: p, Typed: "anna", Rules: policy.Default().Lockout}
}

// TestRivals (LK-03): of wrong answers that come at once, over two instances and from everywhere, as many count as policy lets through, one of
// them trips, and then a right one is refused as well.
func TestRivals(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		for round := range 3 {
			var mu sync.Mutex
			var all sync.WaitGroup
			counted, tripped := 0, 0
			for i := range 60 {
				all.Go(func() {
					out := take(t, []*store.DB{one, two}[i%2], s.Of(try(p, fmt.Sprintf("198.51.%d.7", i))), false)
					mu.Lock()
					defer mu.Unlock()
					if !out.Refused {
						counted++
					}
					if out.Tripped {
						tripped++
					}
				})
			}
			all.Wait()
			if counted != 5 || tripped != 1 {
				t.Errorf("round %d: %d counted and %d tripped, want 5 and 1", round, counted, tripped)
			}
			if out := take(t, two, s.Of(try(p, "203.0.113.1")), true); !out.Refused || out.Wait != 3*time.Minute {
				t.Errorf("round %d: the right answer: %+v", round, out)
			}
			clock.Add(24 * time.Hour)
		}
	})
}

// TestKnown (LK-04): strangers do not slow a browser that the person has used; it has a budget of its own, which a stranger's cookie is not.
func TestKnown(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		mine := try(p, "198.51.100.1")
		mine.Known = s.MakeKnown("", p)
		for range 10 {
			take(t, one, s.Of(try(p, "198.51.100.1")), false)
		}
		if out := take(t, two, s.Of(mine), true); out.Refused {
			t.Error("strangers keep a known browser out")
		}
		for i := range 7 {
			if out := take(t, one, s.Of(mine), false); out.Refused != (i >= 5) || out.Tripped {
				t.Errorf("try %d of a known browser: %+v", i, out)
			}
		}
		if s.MakeKnown(mine.Known, p) != "" || s.MakeKnown(mine.Known, &store.Person{User: user.User{ID: "somebody"}}) == "" || s.MakeKnown("x", p) == "" {
			t.Error("a cookie of the person's own is made again, or another's is taken for it")
		}
		for _, forged := range []string{"x", mine.Known + "A", New([]byte("other")).MakeKnown("", p), s.MakeKnown("", &store.Person{User: user.User{ID: "somebody"}})} {
			f := try(p, "198.51.100.1")
			f.Known = forged
			if out := take(t, one, s.Of(f), true); !out.Refused {
				t.Errorf("a forged cookie %.20q has a budget of its own", forged)
			}
		}
		storetest.Change(t, one, func(tx *store.Tx) error {
			s.Finished(tx, mine.Known, p)
			s.Finished(tx, "x", p)
			return storetest.Event(tx, p.ID)
		})
		if take(t, one, s.Of(mine), true).Refused || !take(t, one, s.Of(try(p, "198.51.100.1")), true).Refused {
			t.Error("a finished sign-in clears the browser's count, and not that of strangers")
		}
	})
}

// TestDoors: the password and each code share the strangers' count; right answers take nothing, and give back what codes counted; lifting
// forgets all.
func TestDoors(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		code := Try{Origin: audit.Origin{IP: "198.51.100.9"}, Person: p, Kind: user.FactorTOTP, Rules: policy.Default().Lockout}
		own := Try{Origin: code.Origin, Person: p, Rules: code.Rules} // the password of a session that is locked, or where it is changed
		for range 40 {
			for _, c := range []Try{try(p, "198.51.100.8"), code, own} {
				count := s.Of(c)
				if take(t, one, count, true).Refused {
					t.Fatal("right answers are slowed")
				}
				storetest.Change(t, one, func(tx *store.Tx) error { count.Right(tx); return storetest.Event(tx, p.ID) })
			}
		}
		wrong := 0
		for i := range 12 {
			if out := take(t, []*store.DB{one, two}[i%2], s.Of([]Try{try(p, "198.51.100.8"), code, own}[i%3]), false); !out.Refused {
				wrong++
			}
		}
		if wrong != 5 {
			t.Errorf("%d wrong answers over all doors, want 5", wrong)
		}
		storetest.Change(t, two, func(tx *store.Tx) error { Lift(tx, p.User); return storetest.Event(tx, p.ID) })
		if take(t, one, s.Of(code), true).Refused || take(t, one, s.Of(try(p, "198.51.100.8")), true).Refused {
			t.Error("lifted, and still slowed")
		}
	})
}

// TestSame (EN-01): a name of nobody is slowed like one of somebody, and what counts for both names of a person is not told.
func TestSame(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		nobody := try(nil, "198.51.100.1")
		nobody.Typed = "nobody"
		for i := range 8 {
			a, b := take(t, one, s.Of(try(p, "198.51.100.1")), false), take(t, one, s.Of(nobody), false)
			if a.Refused != b.Refused || a.Wait != b.Wait || a.Silent != b.Silent || b.Tripped {
				t.Errorf("try %d: somebody %+v, nobody %+v", i, a, b)
			}
		}
		mail := try(p, "198.51.100.1")
		mail.Typed = "anna@example.se"
		if out := take(t, one, s.Of(mail), false); !out.Refused || !out.Silent {
			t.Errorf("by her other name: %+v", out)
		}
		empty := try(nil, "198.51.100.2")
		empty.Typed = ""
		take(t, one, s.Of(empty), false)
	})
}

// TestAddresses: one address has 100 wrong answers for all names together in a window, and its network 500; right ones take nothing.
func TestAddresses(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		counted := func(ip func(i int) string, n int) (counted int) {
			for i := range n {
				x := try(nil, ip(i))
				x.Typed = fmt.Sprint(ip(0), "somebody", i)
				if !take(t, one, s.Of(x), false).Refused {
					counted++
				}
			}
			return counted
		}
		if n := counted(func(int) string { return "198.51.100.1" }, 105); n != 100 {
			t.Errorf("%d from one address, want 100", n)
		}
		if n := counted(func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i) }, 505); n != 500 {
			t.Errorf("%d from one /48, want 500", n)
		}
		if out := take(t, one, s.Of(Try{Origin: audit.Origin{IP: "198.51.100.1"}, Person: p, Typed: "anna", Known: s.MakeKnown("", p), Rules: policy.Default().Lockout}), true); out.Refused {
			t.Error("a known browser is slowed by what others do at its address")
		}
	})
}

// TestTenThousandAddresses (LK-04): for an hour, ten thousand addresses guess at a person by both names, over two instances: ten guesses count, and a
// browser of hers is never kept out.
func TestTenThousandAddresses(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		mine := try(p, "203.0.113.9")
		mine.Known = s.MakeKnown("", p)
		counted := 0
		const addresses = 10_000
		for i := range addresses {
			guess := try(p, fmt.Sprintf("100.%d.%d.%d", 64+i/2500, i/250%10*25, i%250))
			guess.Typed = []string{"anna", "anna@example.se", "ANNA"}[i%3]
			if !take(t, []*store.DB{one, two}[i%2], s.Of(guess), false).Refused {
				counted++
			}
			if i%100 == 0 && take(t, one, s.Of(mine), true).Refused {
				t.Fatalf("after %d guesses her own browser is kept out", i)
			}
			clock.Add(time.Hour / addresses)
		}
		if counted > 10 {
			t.Errorf("%d guesses counted in an hour", counted)
		}
	})
}
