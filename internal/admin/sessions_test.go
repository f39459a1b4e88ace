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

// TestLockAndEndSessions: each says how many it locked or ended, with an event for each, once; what has nothing to do writes nothing; and a
// refresh token that no session stands behind any more ends too.
func TestLockAndEndSessions(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		anna := storetest.AddUser(t, s.db, "anna")
		bo := storetest.AddUser(t, s.db, "bo")
		for _, nothing := range []func() (int, error){
			func() (int, error) { return s.LockSessions(ctx, storetest.Origin, "anna") },
			func() (int, error) { n, m, err := s.EndSessions(ctx, storetest.Origin, "anna"); return n + m, err },
		} {
			before := kinds(t, s)
			if n, err := nothing(); n != 0 || err != nil || len(kinds(t, s)) != len(before) {
				t.Errorf("with nothing to do it did %d (%v)", n, err)
			}
		}
		_, grant := signedIn(t, s, anna.ID)
		signedIn(t, s, anna.ID)
		_, others := signedIn(t, s, bo.ID)
		for _, want := range []int{2, 0} {
			if n, err := other.LockSessions(ctx, storetest.Origin, "ANNA"); n != want || err != nil {
				t.Errorf("locked %d, want %d (%v)", n, want, err)
			}
		}
		_, sessions, err := s.User(ctx, "anna")
		if err != nil || len(sessions) != 2 || !sessions[0].Locked(s.db.Now()) || !sessions[1].Locked(s.db.Now()) {
			t.Errorf("%+v (%v)", sessions, err)
		}
		storetest.Change(t, s.db, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: store.NewID(tx.Now()), Client: "offline", User: anna.ID, Data: "{}", Expires: tx.Now().Add(time.Hour)})
			return storetest.Event(tx, anna.ID)
		})
		for _, want := range [][2]int{{2, 3}, {0, 0}} {
			if n, m, err := other.EndSessions(ctx, storetest.Origin, "anna"); n != want[0] || m != want[1] || err != nil {
				t.Errorf("ended %d and %d, want %v (%v)", n, m, want, err)
			}
		}
		over(t, s, "anna", grant)
		if _, sessions, err := s.User(ctx, "bo"); err != nil || len(sessions) != 1 || sessions[0].Locked(s.db.Now()) {
			t.Errorf("somebody else's: %+v (%v)", sessions, err)
		}
		storetest.View(t, s.db, func(tx *store.Tx) error {
			g, err := tx.GrantByID(others)
			if err != nil || !g.Revoked.IsZero() {
				t.Errorf("somebody else's grant: %+v (%v)", g, err)
			}
			return nil
		})
		if got := kinds(t, s); got[audit.SessionLocked] != 2 || got[audit.SessionEnded] != 2 || got[audit.TokenRevoked] != 2 {
			t.Errorf("on record is %v", got)
		}
		_, lockErr := s.LockSessions(ctx, storetest.Origin, "nobody")
		_, _, endErr := s.EndSessions(ctx, storetest.Origin, "nobody")
		if !errors.Is(lockErr, user.ErrNotFound) || !errors.Is(endErr, user.ErrNotFound) {
			t.Errorf("nobody: %v, %v", lockErr, endErr)
		}
	})
}

// TestUserSessions: a session is shown as policy has it: locked when it was not used for a while, gone when for longer.
func TestUserSessions(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			clock := storetest.NewClock()
			s := New(storetest.OpenWith(t, e.New(t), store.Options{Sealer: storetest.Ring(t), Now: clock.Now}), nil, nil, nil)
			signedIn(t, s, storetest.AddUser(t, s.db, "anna").ID)
			set(t, s, "session.idle=40m")
			for _, want := range []struct {
				n      int
				locked bool
			}{{1, false}, {1, true}, {0, false}} {
				_, sessions, err := s.User(context.Background(), "anna")
				if err != nil || len(sessions) != want.n || want.n > 0 && sessions[0].Locked(clock.Now()) != want.locked {
					t.Errorf("at %s: %+v (%v)", clock.Now(), sessions, err)
				}
				clock.Add(30 * time.Minute)
			}
		})
	}
}
