// Package rotation changes the signing keys, by schedule and by hand, each change with its event. It promises:
//
//   - A key signs when it has been published for Published at least, unless somebody asks for less in an emergency. So
//     whoever keeps the key set for its cache lifetime of 10 minutes can verify every token at every moment.
//   - A retired key stays published for 30 days, the longest that something it signed is of use (keyring.Key.Over).
//   - Of all instances and commands that would rotate a key at the same moment one does, and one event is written.
//   - Nothing is changed without its event, and what an event says is done: if not at once, by the next instance that
//     looks.
//
// The last one needs an order, for the keys are files and the event is a row. The event comes first, with the decision:
// which new key follows. When the database has it and only the rename of the manifest is left, the rename happens. If it
// fails, or the process ends in between, the decision stands in the database and the new key on the disk, and Tick, or the
// next command, finishes it. The other order would let a key sign whose rotation nobody recorded, for as long as the
// database is away. (A Drop or a Complete that fails there is not finished but done anew, with events of its own.)
//
// The decision is a row of its own, written once for each key that becomes active. It is what decides between instances
// that share no lock because each has a copy of the folder: one wins, and the others are told to fetch its folder rather
// than make new keys that nobody else publishes. Four such rows come in a quarter of a year; none is ever deleted.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/store"
)

// Published is how long a key has been in the key set before it signs: the max-age of that answer, 10 minutes, and half
// as much for clocks, proxies and instances that are late.
const Published = 15 * time.Minute

// Options of New.
type Options struct {
	DB    *store.DB
	Ring  *keyring.Ring
	Every time.Duration // the age at which Tick replaces an active key; 0: never
	Log   *slog.Logger
}

// Service changes the keys of one folder, recorded in one database. Its clock is the database's.
type Service struct {
	db    *store.DB
	ring  *keyring.Ring
	every time.Duration
	log   *slog.Logger

	settled time.Time // when Tick last found no decision open
	warned  string    // the kid of which Tick has said that the clock is behind it
}

// New gives the service.
func New(o Options) *Service {
	return &Service{db: o.DB, ring: o.Ring, every: o.Every, log: o.Log}
}

// Rotate makes the next key of alg active, or of every algorithm if alg is empty, and gives the keys that are active
// then. It refuses before the first rotation, not between two, if a next key was not published for Published, unless now
// is true: then applications that keep the key set refuse the new tokens until they fetch it again.
func (s *Service) Rotate(ctx context.Context, o audit.Origin, alg string, now bool) ([]keyring.Key, error) {
	next := s.next(alg)
	if len(next) == 0 {
		return nil, fmt.Errorf("there is no key for %s in this folder, which is of an older version: start the service, it makes one", alg)
	}
	open, err := s.decisions(ctx, next)
	if err != nil {
		return nil, err
	}
	for _, k := range next {
		if usable := k.Since.Add(Published); open[k.ID] == "" && !now && s.db.Now().Before(usable) {
			return nil, fmt.Errorf("the next %s key was published at %s, and applications keep the key set for 10 minutes: wait until %s UTC, or use --now if a key has leaked",
				k.Alg, k.Since.UTC().Format(time.DateTime), usable.UTC().Format(time.DateTime))
		}
	}
	var done []keyring.Key
	for _, k := range next {
		err := keyring.ErrElsewhere
		if open[k.ID] != "" {
			err = s.ring.Resume(k.ID, open[k.ID], s.db.Now())
		}
		if open[k.ID] == "" || now && errors.Is(err, keyring.ErrElsewhere) {
			err = s.rotate(ctx, o, k, now)
		}
		if err != nil {
			return done, explain(k, err)
		}
		done = append(done, k)
	}
	return done, nil
}

// Drop takes a retired or a next key away at once: for one that has leaked.
func (s *Service) Drop(ctx context.Context, o audit.Origin, kid string) error {
	open, err := s.decisions(ctx, s.next(""))
	if err != nil {
		return err
	}
	for active, next := range open {
		if err := s.ring.Resume(active, next, s.db.Now()); err != nil && !errors.Is(err, keyring.ErrElsewhere) {
			return err
		}
	}
	err = s.drop(ctx, o, []string{kid}, audit.NoReason)
	if errors.Is(err, keyring.ErrChanged) {
		return fmt.Errorf("there is no key %s; see: portvakt keys list", kid)
	}
	return err
}

// Complete makes the keys of algorithms that a folder of an older version lacks.
func (s *Service) Complete(ctx context.Context, o audit.Origin) error {
	return s.ring.Complete(s.db.Now(), func(made []keyring.Key) error {
		return s.db.Change(ctx, o, func(t *store.Tx) error {
			for _, k := range made {
				if err := t.Record(audit.Event{Kind: audit.KeyCreated, Detail: map[string]string{"alg": k.Alg, "kid": k.ID, "state": k.State}}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// rotate rotates one key with its event. Force goes on although another copy of the folder was first.
func (s *Service) rotate(ctx context.Context, o audit.Origin, next keyring.Key, force bool) error {
	return s.ring.Rotate(next.ID, s.db.Now(), func(r keyring.Rotation) error { return s.record(ctx, o, r, next.Since, force) })
}

// record decides a rotation and writes its event. ErrChanged: another copy of the folder was first.
func (s *Service) record(ctx context.Context, o audit.Origin, r keyring.Rotation, published time.Time, force bool) error {
	return s.db.Change(ctx, o, func(t *store.Tx) error {
		first, err := t.ClaimValue(decision(r.Active), r.Next)
		if err != nil {
			return err
		}
		if first != r.Next && !force {
			return keyring.ErrChanged
		}
		return t.Record(audit.Event{Kind: audit.KeyRotated, Detail: map[string]string{"alg": r.Alg, "kid": r.Active, "retired": r.Retired,
			"next": r.Next, "published": t.Now().Sub(published).Truncate(time.Second).String()}})
	})
}

func (s *Service) drop(ctx context.Context, o audit.Origin, kids []string, why audit.Reason) error {
	return s.ring.Drop(kids, s.db.Now(), func(gone []keyring.Key) error {
		return s.db.Change(ctx, o, func(t *store.Tx) error {
			for _, k := range gone {
				e := audit.Event{Kind: audit.KeyDropped, Reason: why, Detail: map[string]string{"alg": k.Alg, "kid": k.ID, "state": k.State}}
				if err := t.Record(e); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// next lists the next keys, of one algorithm or of all.
func (s *Service) next(alg string) []keyring.Key {
	var next []keyring.Key
	for _, k := range s.ring.Keys() {
		if k.State == keyring.Next && (alg == "" || alg == k.Alg) {
			next = append(next, k)
		}
	}
	return next
}

// decision names the row that says which new key came when the key of this kid was made active.
func decision(kid string) string { return "rotation." + kid }

// decisions gives, for those of the next keys whose rotation is recorded and not done, the new key.
func (s *Service) decisions(ctx context.Context, next []keyring.Key) (map[string]string, error) {
	var open map[string]string
	err := s.db.View(ctx, func(t *store.Tx) error {
		open = make(map[string]string)
		for _, k := range next {
			fresh, err := t.Value(decision(k.ID))
			if err != nil {
				return err
			}
			if fresh != "" {
				open[k.ID] = fresh
			}
		}
		return nil
	})
	return open, err
}

// explain says what to do about what went wrong with a key.
func explain(k keyring.Key, err error) error {
	switch {
	case errors.Is(err, keyring.ErrElsewhere):
		return fmt.Errorf("the %s key %s was made active in another copy of this folder: let all instances share one folder, or copy that one here; "+
			"if it is lost, run: portvakt keys rotate --now --alg %s", k.Alg, k.ID, k.Alg)
	case errors.Is(err, keyring.ErrChanged):
		return fmt.Errorf("somebody else is rotating the %s key %s at this moment; see: portvakt keys list", k.Alg, k.ID)
	}
	return err
}
