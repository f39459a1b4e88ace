package lockout

import (
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestLiftMeanwhile: counts are lifted while guesses come in, and no two units wait for each other, as storetest.Postgres sees at the end.
func TestLiftMeanwhile(t *testing.T) {
	bench(t, func(t *testing.T, clock *storetest.Clock, s *Service, p *store.Person, one, two *store.DB) {
		var all sync.WaitGroup
		for i := range 6 {
			guess := try(p, "198.51.100.8")
			guess.Rules.Attempts = 100
			all.Go(func() {
				for range 60 {
					if i > 3 {
						storetest.Change(t, two, func(tx *store.Tx) error { Lift(tx, p.User); return storetest.Event(tx, p.ID) })
					} else {
						take(t, one, s.Of(guess), false)
					}
				}
			})
		}
		all.Wait()
	})
}
