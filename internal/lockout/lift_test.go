package lockout

import (
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestLiftMeanwhile: counts are lifted while guesses come in, and no two units wait for each other: Postgres would need a second to see it.
func TestLiftMeanwhile(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		var all sync.WaitGroup
		for i := range 6 {
			guess := try(p, "198.51.100.8")
			guess.Rules.Attempts = 100
			all.Go(func() {
				for range 60 {
					began := time.Now()
					if i > 3 {
						storetest.Change(t, two, func(tx *store.Tx) error { Lift(tx, p.User); return storetest.Event(tx, p.ID) })
					} else {
						take(t, one, s.Of(guess), false)
					}
					if took := time.Since(began); took > 900*time.Millisecond {
						t.Errorf("one took %v", took)
					}
				}
			})
		}
		all.Wait()
	})
}
