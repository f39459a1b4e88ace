package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
)

// schedule is the origin of what nobody asked for at that moment.
var schedule = audit.Origin{Actor: "schedule"}

const (
	lookAgain = time.Hour // for decisions that somebody left open
	behind    = time.Hour // how far the clock may be behind a key before that is said
)

// Tick does what is due: it finishes rotations that were recorded and not done, rotates each algorithm whose active key
// is as old as Options.Every and whose next key was published for Published, and drops keys that are over. Call it every
// few seconds, from one goroutine: when nothing is due it asks neither the database nor the disk, but for once an hour.
// After an error, what could be done is done; call it again later.
//
// A clock that jumps rotates at most once: a key that became active at a wrong time in the future is due when the clock
// has passed it by Options.Every, and not before. Until then Rotate does it by hand.
func (s *Service) Tick(ctx context.Context) error {
	now := s.db.Now()
	if len(s.due(now)) == 0 && len(s.over(now)) == 0 && time.Since(s.settled) < lookAgain {
		return nil
	}
	stuck, err := s.settle(ctx, now)
	if err != nil {
		return err
	}
	var faults []error
	for _, fault := range stuck {
		faults = append(faults, fault)
	}
	for _, k := range s.due(now) { // by the keys as they are now
		if stuck[k.ID] != nil {
			continue
		}
		switch err := s.rotate(ctx, schedule, k, false); {
		case err == nil:
			s.log.Info("signing key rotated", "alg", k.Alg, "kid", k.ID)
		case !errors.Is(err, keyring.ErrChanged): // else another instance was first
			faults = append(faults, err)
		}
	}
	if over := s.over(now); len(over) > 0 {
		switch err := s.drop(ctx, schedule, over, audit.Expired); {
		case err == nil:
			s.log.Info("retired signing keys dropped", "kids", over)
		case !errors.Is(err, keyring.ErrChanged):
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// settle finishes the rotations that are recorded and not done, and gives the next keys with which that cannot be.
func (s *Service) settle(ctx context.Context, now time.Time) (map[string]error, error) {
	if _, err := s.ring.Reload(); err != nil {
		return nil, err
	}
	next := s.next("")
	open, err := s.decisions(ctx, next)
	if err != nil {
		return nil, err
	}
	stuck := make(map[string]error)
	for _, k := range next {
		if open[k.ID] == "" {
			continue
		}
		if err := s.ring.Resume(k.ID, open[k.ID], now); err != nil {
			stuck[k.ID] = explain(k, err)
			continue
		}
		s.log.Info("signing key rotated, as another process had recorded", "alg", k.Alg, "kid", k.ID)
	}
	s.settled = time.Now()
	return stuck, nil
}

// due lists the next keys that are to become active.
func (s *Service) due(now time.Time) []keyring.Key {
	if s.every == 0 {
		return nil
	}
	old := make(map[string]bool)
	for _, k := range s.ring.Keys() {
		if k.State != keyring.Active {
			continue
		}
		old[k.Alg] = now.Sub(k.Since) >= s.every
		if k.Since.Sub(now) > behind && s.warned == "" {
			s.warned = k.ID
			s.log.Warn("the clock is behind the signing keys: none is rotated by schedule until it has passed them; portvakt keys rotate does it at once",
				"alg", k.Alg, "active_since", k.Since, "now", now)
		}
	}
	var due []keyring.Key
	for _, k := range s.next("") {
		if old[k.Alg] && now.Sub(k.Since) >= Published {
			due = append(due, k)
		}
	}
	return due
}

// over lists the keys of which nothing is of use any more.
func (s *Service) over(now time.Time) []string {
	var over []string
	for _, k := range s.ring.Keys() {
		if k.Over(now) {
			over = append(over, k.ID)
		}
	}
	return over
}
