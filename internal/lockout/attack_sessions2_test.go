package lockout

import (
	"fmt"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestClockThatWasAhead (LK-04): wrong answers that were counted while a clock was far ahead keep nobody out for longer than delay_max.
func TestClockThatWasAhead(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		clock.Add(30 * 24 * time.Hour)
		for range 5 {
			take(t, one, s.Of(try(p, "198.51.100.1")), false)
		}
		clock.Add(-30 * 24 * time.Hour)
		for range 5 {
			clock.Add(16 * time.Minute)
			if out := take(t, two, s.Of(try(p, "198.51.100.1")), true); !out.Refused {
				return
			}
		}
		t.Error("LK-04: a clock that was ahead for a moment keeps a person out for a month")
	})
}

// TestRefusedCountsNothing: a try that has to wait leaves every count as it is, whichever count it is that is full, right or wrong.
func TestRefusedCountsNothing(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		for i := range 100 {
			other := try(nil, "198.51.100.1")
			other.Typed = fmt.Sprint("nobody", i)
			take(t, one, s.Of(other), false)
		}
		for range 4 {
			if out := take(t, two, s.Of(try(p, "198.51.100.1")), false); !out.Refused {
				t.Fatal("the address is not full")
			}
		}
		for range 4 {
			if out := take(t, one, s.Of(try(p, "203.0.113.1")), false); out.Refused {
				t.Fatal("tries that were refused for their address count against the person")
			}
		}
	})
}
