package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
)

// stopFor is how long a stop can be taken back.
const stopFor = 72 * time.Hour

// Tell queues the mail that tells a person what was done to these factors of theirs.
type Tell func(*store.Tx, *store.Person, []store.Factor) error

// StopFactors is for a person who lost their phone or key and has no recovery code: every factor proves nothing until it is allowed
// again, and every session ends with what came of it. It gives the factors, and until when AllowFactors takes it back.
func (s *Service) StopFactors(ctx context.Context, o audit.Origin, username string, tell Tell) ([]store.Factor, time.Time, error) {
	var stopped []store.Factor
	var until time.Time
	err := s.held(ctx, o, username, func(t *store.Tx, p *store.Person) (err error) {
		if stopped, err = t.StopAll(p.ID, audit.Lost); err != nil {
			return err
		}
		if len(stopped) == 0 {
			return fmt.Errorf("user %s has no factor that could be stopped; nothing was changed", username)
		}
		until = t.Now().Add(stopFor)
		return tell(t, p, stopped)
	})
	return stopped, until, err
}

// AllowFactors takes back what was stopped in the last 72 hours, by whomever. It gives the factors.
func (s *Service) AllowFactors(ctx context.Context, o audit.Origin, username string, tell Tell) ([]store.Factor, error) {
	var allowed []store.Factor
	err := s.held(ctx, o, username, func(t *store.Tx, p *store.Person) (err error) {
		if allowed, err = t.AllowAll(p.ID, stopFor); err != nil {
			return err
		}
		if len(allowed) == 0 {
			return fmt.Errorf("user %s: nothing was stopped in the last 72 hours; nothing was changed", username)
		}
		return tell(t, p, allowed)
	})
	return allowed, err
}
