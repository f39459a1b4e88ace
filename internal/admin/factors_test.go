package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// TestStopFactors: support stops everything at once, the person is told in the same change, and it is taken back for 72 hours.
func TestStopFactors(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			ctx, clock := context.Background(), storetest.NewClock()
			s := New(storetest.OpenWith(t, e.New(t), store.Options{Sealer: storetest.Ring(t), Now: clock.Now}), nil, nil, nil)
			u := storetest.AddUser(t, s.db, "anna")
			storetest.Change(t, s.db, func(tx *store.Tx) error {
				return errors.Join(tx.AddFactor(store.Factor{User: u.ID, Kind: user.FactorTOTP, Secret: "x"}),
					tx.AddFactor(store.Factor{User: u.ID, Kind: user.FactorPasskey, Secret: "{}", Handle: []byte("h")}), storetest.Event(tx, u.ID))
			})
			_, grant := signedIn(t, s, u.ID)
			told := 0
			tell := func(_ *store.Tx, p *store.Person, factors []store.Factor) error { told += len(factors); return nil }
			unable := func(*store.Tx, *store.Person, []store.Factor) error { return errors.New("no letter box") }
			if _, _, err := s.StopFactors(ctx, storetest.Origin, "anna", unable); err == nil || kinds(t, s)[audit.FactorStopped] != 0 {
				t.Errorf("stopped without a word: %v", err)
			}
			stopped, until, err := s.StopFactors(ctx, storetest.Origin, "Anna", tell)
			if err != nil || len(stopped) != 2 || told != 2 || !until.Equal(clock.Now().Add(72*time.Hour)) {
				t.Errorf("%d stopped, %d told, until %s (%v)", len(stopped), told, until, err)
			}
			over(t, s, "anna", grant)
			if _, _, err := s.StopFactors(ctx, storetest.Origin, "anna", tell); err == nil {
				t.Error("stopped twice")
			}
			clock.Add(72*time.Hour - time.Microsecond)
			if allowed, err := s.AllowFactors(ctx, storetest.Origin, "anna", tell); err != nil || len(allowed) != 2 || told != 4 {
				t.Errorf("%d allowed, %d told (%v)", len(allowed), told, err)
			}
			if _, _, err := s.StopFactors(ctx, storetest.Origin, "anna", tell); err != nil {
				t.Error(err)
			}
			clock.Add(72 * time.Hour)
			if _, err := s.AllowFactors(ctx, storetest.Origin, "anna", tell); err == nil {
				t.Error("allowed after 72 hours")
			}
			if got := kinds(t, s); got[audit.FactorStopped] != 4 || got[audit.FactorAllowed] != 2 || got[audit.SessionEnded] != 1 {
				t.Errorf("the trail has %v", got)
			}
			if _, _, err := s.StopFactors(ctx, storetest.Origin, "nobody", tell); !errors.Is(err, user.ErrNotFound) {
				t.Errorf("nobody: %v", err)
			}
		})
	}
}
