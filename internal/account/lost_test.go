package account

import (
	"fmt"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// codes gives the person new recovery codes.
func (r *rig) codes(p *store.Person) []string {
	r.t.Helper()
	codes, err := r.s.NewRecoveryCodes(ctx, r.signIn(p))
	if err != nil {
		r.t.Fatal(err)
	}
	return codes
}

func from(n int) audit.Origin {
	return audit.Origin{IP: fmt.Sprintf("198.51.100.%d", n), Agent: "test"}
}

// TestLost: a recovery code, used once by whoever is first, stops everything; the next works too.
func TestLost(t *testing.T) {
	engines(t, func(r *rig) {
		r.passkey(r.anna, "key")
		r.token(r.anna)
		codes := r.codes(r.anna)
		thief := r.signIn(r.anna)
		r.underWay(r.signIn(r.anna), thief)
		r.mailed(r.anna, "mail.recovery_made")
		rival := func(s *Service) func() error {
			return func() error {
				why, err := s.Lost(ctx, from(1), "ANNA", " "+codes[3]+" ")
				if err == nil && why != "" {
					err = errRefused
				}
				return err
			}
		}
		if n := r.won(race(rival(r.s), rival(r.other), rival(r.s), rival(r.other)), errRefused); n != 1 {
			t.Errorf("%d of 4 rivals used the code", n)
		}
		for _, f := range r.factors(r.anna) {
			if f.StoppedAt.IsZero() {
				t.Errorf("not stopped: %+v", f)
			}
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			open, err := tx.SessionsOf(r.anna.ID)
			g, err2 := tx.GrantByID("g" + string(thief.Session.ID))
			devices, err3 := tx.DevicesOf(r.anna.ID)
			if err != nil || err2 != nil || err3 != nil || len(open) != 0 || g.Revoked.IsZero() || len(devices) != 0 {
				t.Errorf("sessions %v, grant revoked %v, devices %v", open, g.Revoked, devices)
			}
			return nil
		})
		r.mailed(r.anna, "mail.recovery_used", "mail.factor_stopped")
		if all, err := r.s.Overview(ctx, r.anna); err != nil || all.RecoveryLeft != 9 {
			t.Errorf("%d codes are left (%v)", all.RecoveryLeft, err)
		}
		used := map[audit.Reason]int{}
		for _, e := range r.events(r.anna, audit.RecoveryUsed) {
			used[e.Reason]++
		}
		if used[""] != 1 || used[audit.WrongCode] != 3 || len(r.events(r.anna, audit.FactorStopped)) != 2 {
			t.Errorf("the trail has %v", used)
		}
		why, err := r.s.Lost(ctx, from(1), "anna@example.se", codes[4])
		r.says("the next code, by mail address", why, "", err)
	})
}

// TestLostIsNobodys: a wrong name, a wrong code, another's code and a person who may not sign in change nothing.
func TestLostIsNobodys(t *testing.T) {
	engines(t, func(r *rig) {
		r.token(r.anna)
		annas, eves := r.codes(r.anna), r.codes(r.eve)
		before := r.state(r.anna)
		var cost [2]int64 // reads and writes; the same for each, since time tells too
		for i, c := range []struct {
			name, code string
			want       audit.Reason
		}{
			{"anna", eves[0], audit.WrongCode}, {"anna", "", audit.WrongCode}, {"anna", annas[0][:9], audit.WrongCode},
			{"nobody", annas[0], audit.UnknownUser}, {"", annas[0], audit.UnknownUser}, {"anna\x00", annas[0], audit.UnknownUser}, {"\xff", annas[0], audit.UnknownUser},
		} {
			reads, writes := r.s.DB.Trips()
			why, err := r.s.Lost(ctx, from(1), c.name, c.code)
			r.says(c.name+" "+c.code, why, c.want, err)
			after, afterWrites := r.s.DB.Trips()
			if spent := [2]int64{after - reads, afterWrites - writes}; i == 0 {
				cost = spent
			} else if spent != cost {
				t.Errorf("%q %q: %v reads and writes, the first %v", c.name, c.code, spent, cost)
			}
		}
		if after := r.state(r.anna); after != before {
			t.Errorf("from %s to %s", before, after)
		}
		storetest.Change(t, r.s.DB, func(t *store.Tx) error { t.SetDisabled(r.anna.ID, true); return storetest.Event(t, r.anna.ID) })
		why, err := r.s.Lost(ctx, from(1), "anna", annas[0])
		r.says("disabled", why, audit.Disabled, err)
		storetest.Change(t, r.s.DB, func(t *store.Tx) error { t.SetDisabled(r.anna.ID, false); return storetest.Event(t, r.anna.ID) })
		if after := r.state(r.anna); after != before {
			t.Errorf("from %s to %s", before, after)
		}
		r.mailed(r.anna, "mail.recovery_made", "mail.recovery_made")
	})
}

// TestLostIsCounted: fifty tries from one address, whatever the names; and a stranger's tries keep nobody from their own codes, neither
// here nor at sign-in.
func TestLostIsCounted(t *testing.T) {
	engines(t, func(r *rig) {
		r.token(r.anna)
		codes := r.codes(r.anna)
		for i := range 120 {
			if why, err := r.s.Lost(ctx, from(i), "anna", "AAAAA-AAAAA"); err != nil || why != audit.WrongCode {
				t.Errorf("try %d: %q (%v)", i, why, err)
			}
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			got, err := tx.Counts([]string{string(r.anna.ID) + ":recovery"})
			if err != nil || got[0].N != 0 {
				t.Errorf("%d tries of strangers stand in the way at sign-in (%v)", got[0].N, err)
			}
			return nil
		})
		r.clock.Add(15 * time.Minute)
		why, err := r.s.Lost(ctx, from(1), "anna", codes[0])
		r.says("later", why, "", err)
		for i := range 50 {
			if why, err := r.s.Lost(ctx, audit.Origin{IP: fmt.Sprintf("2001:db8::%x", i+1)}, fmt.Sprint("name", i), "x"); err != nil || why != audit.UnknownUser {
				t.Errorf("try %d from an address: %q (%v)", i, why, err)
			}
		}
		why, err = r.s.Lost(ctx, audit.Origin{IP: "2001:db8::ffff"}, "anna", codes[1])
		r.says("from that address", why, audit.Delayed, err)
		why, err = r.s.Lost(ctx, audit.Origin{IP: "2001:db8:0:1::1"}, "anna", codes[1])
		r.says("from another", why, "", err)
	})
}
