package account

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// seats gives the ids of a person's sessions as they see them.
func (r *rig) seats(me Self) []user.SessionID {
	r.t.Helper()
	all, err := r.other.Sessions(ctx, me) // another instance than the one that ends them
	if err != nil {
		r.t.Fatal(err)
	}
	ids := []user.SessionID{}
	for _, one := range all {
		ids = append(ids, one.ID)
	}
	return ids
}

// signInFrom is signIn from an address with a browser.
func (r *rig) signInFrom(p *store.Person, ip, agent string) Self {
	r.t.Helper()
	now := r.s.DB.Now()
	session := user.Session{ID: user.SessionID(store.NewID(now)), User: p.ID, Proved: []user.Method{user.MethodPassword, user.MethodOTP}, AuthTime: now, ExpiresAt: now.Add(12 * time.Hour)}
	o := audit.Origin{Actor: string(p.ID), IP: ip, Agent: agent}
	err := r.s.DB.Change(ctx, o, func(t *store.Tx) error {
		return errors.Join(t.CreateSession(session, store.HashToken(string(session.ID))), storetest.Event(t, p.ID))
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return Self{Person: p, Session: session, Origin: o}
}

// TestSessions: the present one first, then the last used; with where each was begun, when, and whether it is locked. What is over is not listed.
func TestSessions(t *testing.T) {
	engines(t, func(r *rig) {
		old := r.signInFrom(r.anna, "192.0.2.1", "curl/8")
		r.clock.Add(7 * time.Hour)
		me := r.signInFrom(r.anna, "192.0.2.2", "Firefox/145.0 Windows\nx")
		r.clock.Add(time.Minute)
		phone := r.signInFrom(r.anna, "2001:db8::3", "iPhone")
		r.signInFrom(r.eve, "192.0.2.4", "eve")
		if got, want := r.seats(me), []user.SessionID{me.Session.ID, phone.Session.ID, old.Session.ID}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		all, err := r.s.Sessions(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		if s := all[0]; !s.This || s.Locked || s.IP != "192.0.2.2" || s.Agent != "Firefox/145.0 Windows\nx" || !s.Since.Equal(me.Session.AuthTime) || !s.Used.Equal(s.Since) {
			t.Errorf("the present one: %+v", s)
		}
		if s := all[1]; s.This || s.Locked || s.IP != "2001:db8::3" || s.Agent != "iPhone" {
			t.Errorf("the phone's: %+v", s)
		}
		if s := all[2]; !s.Locked { // not used for 30 minutes
			t.Errorf("the old one: %+v", s)
		}
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error { _, err := tx.LockSession(phone.Session.ID, audit.Administrator); return err })
		if all, err = r.s.Sessions(ctx, me); err != nil || !all[1].Locked {
			t.Errorf("a session that was locked: %+v (%v)", all[1], err)
		}
		r.clock.Add(time.Hour) // the old one was not used for 8
		if got, want := r.seats(me), []user.SessionID{me.Session.ID, phone.Session.ID}; !slices.Equal(got, want) {
			t.Errorf("later %v, want %v", got, want)
		}
		r.policy(func(p *policy.Policy) { p.Session.LockAfter = 0 })
		if all, err = r.s.Sessions(ctx, phone); err != nil || all[1].Locked {
			t.Errorf("nothing locks, and yet: %+v (%v)", all[1], err)
		}
	})
}

// TestEndSession (SE-04): one's own ends at once with what came of it, from a session that is not fresh; somebody else's does not.
func TestEndSession(t *testing.T) {
	engines(t, func(r *rig) {
		me, thief, eves := r.signIn(r.anna, user.MethodPassword), r.signIn(r.anna), r.signIn(r.eve)
		r.clock.Add(time.Hour)
		r.underWay(me, thief)
		before := r.state(r.eve)
		for _, id := range []user.SessionID{eves.Session.ID, user.SessionID(store.NewID(r.clock.Now())), "others", "", "\x00", "\xff"} {
			r.is(string(id), r.s.EndSession(ctx, me, id), ErrGone)
		}
		if after := r.state(r.eve); after != before || len(r.events(r.eve, audit.SessionEnded)) > 0 {
			t.Errorf("eve from %s to %s", before, after)
		}
		r.is("by the thief's", r.s.EndSession(ctx, me, thief.Session.ID), nil)
		r.is("once more", r.other.EndSession(ctx, me, thief.Session.ID), nil)
		r.is("the thief", r.other.EndSession(ctx, thief, me.Session.ID), ErrEnded)
		if got := r.seats(me); !slices.Equal(got, []user.SessionID{me.Session.ID}) {
			t.Errorf("there is %v", got)
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			mine, err := tx.GrantByID("g" + string(me.Session.ID))
			theirs, err2 := tx.GrantByID("g" + string(thief.Session.ID))
			if !mine.Revoked.IsZero() || theirs.Revoked.IsZero() {
				t.Errorf("grants revoked: %v, %v", mine.Revoked, theirs.Revoked)
			}
			return errors.Join(err, err2)
		})
		ended := r.events(r.anna, audit.SessionEnded)
		if len(ended) != 1 || ended[0].Session != string(thief.Session.ID) || ended[0].Actor != string(r.anna.ID) || ended[0].Reason != audit.Logout {
			t.Errorf("the trail has %+v", ended)
		}
		r.is("the present one", r.s.EndSession(ctx, me, me.Session.ID), nil)
		_, err := r.s.NewRecoveryCodes(ctx, me)
		r.is("after it", err, ErrEnded)
		if open := r.seats(me); len(open) != 0 {
			t.Errorf("open: %v", open)
		}
	})
}

// TestEndOthers: all but the present one, and what came of sessions that have run out. What ended nothing is not on record.
func TestEndOthers(t *testing.T) {
	engines(t, func(r *rig) {
		gone := r.signInFrom(r.anna, "192.0.2.1", "x")
		r.clock.Add(13 * time.Hour)
		me, eves := r.signIn(r.anna, user.MethodPassword), r.signIn(r.eve)
		later := r.clock.Now().Add(time.Hour)
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: "gone", Client: "c", User: r.anna.ID, Session: gone.Session.ID, Data: "{}", Expires: later})
			tx.CreateGrant(store.Grant{ID: "mine", Client: "c", User: r.anna.ID, Session: me.Session.ID, Data: "{}", Expires: later})
			tx.CreateGrant(store.Grant{ID: "eves", Client: "c", User: r.eve.ID, Session: eves.Session.ID, Data: "{}", Expires: later})
			return storetest.Event(tx, r.anna.ID)
		})
		revoked := func(want ...string) {
			t.Helper()
			storetest.View(t, r.s.DB, func(tx *store.Tx) error {
				for _, id := range []string{"mine", "eves", "gone"} {
					g, err := tx.GrantByID(id)
					if err != nil || g.Revoked.IsZero() == slices.Contains(want, id) {
						t.Errorf("grant %s: revoked %v (%v)", id, g.Revoked, err)
					}
				}
				return nil
			})
		}
		revoked()
		recorded := func(ended, families int) {
			t.Helper()
			if n, m := len(r.events(r.anna, audit.SessionEnded)), len(r.events(r.anna, audit.TokenRevoked)); n != ended || m != families {
				t.Errorf("%d sessions and %d families on record, want %d and %d", n, m, ended, families)
			}
		}
		r.is("with none open", r.s.EndOthers(ctx, me), nil)
		revoked("gone")
		recorded(0, 1)
		r.is("with nothing to end", r.s.EndOthers(ctx, me), nil)
		recorded(0, 1)
		r.signIn(r.anna)
		r.signIn(r.anna)
		r.is("with two", r.s.EndOthers(ctx, me), nil)
		revoked("gone")
		if got := r.seats(me); !slices.Equal(got, []user.SessionID{me.Session.ID}) {
			t.Errorf("there is %v", got)
		}
		if got := r.seats(eves); len(got) != 1 {
			t.Errorf("of eve's there is %v", got)
		}
		recorded(2, 1)
		r.mailed(r.anna)
	})
}
