package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// logouts: the end of a session, and its lock, is due at each application that took part and wants to know, once, until it is told.
func logouts(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	u := AddUser(t, db, "anna")
	Change(t, db, func(tx *store.Tx) error {
		for _, c := range []client.Client{{ID: "told", BackchannelLogoutURI: "https://a.example/out"}, {ID: "other", BackchannelLogoutURI: "https://b.example/out"}, {ID: "deaf"}} {
			if err := tx.AddClient(c, nil); err != nil {
				return err
			}
		}
		for i, s := range []user.SessionID{"s1", "s2", "s3", "s4"} {
			for j, c := range []client.ID{"told", "told", "deaf", "other"} {
				if c != "other" || s == "s1" {
					tx.CreateGrant(store.Grant{ID: fmt.Sprint("g", i, j), Client: c, User: u.ID, Session: s, Data: "{}", Expires: clock.Now().Add(time.Minute)})
				}
			}
			session := user.Session{ID: s, User: u.ID, Proved: []user.Method{"pwd"}, AuthTime: clock.Now(), ExpiresAt: clock.Now().Add(96 * time.Hour)}
			if err := tx.CreateSession(session, []byte("token "+s)); err != nil {
				return err
			}
		}
		return Event(tx, u.ID)
	})
	clock.Add(50 * time.Hour) // the grants are long over, the sessions are not
	Change(t, db, func(tx *store.Tx) error { _, err := tx.Sweep(); return errors.Join(err, Event(tx, u.ID)) })
	due := func(want ...client.ID) {
		t.Helper()
		var got []client.ID
		View(t, db, func(tx *store.Tx) (err error) { got, err = tx.LogoutsDue(10); return err })
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("due at %v, want %v", got, want)
		}
	}
	claim := func(id client.ID, lease time.Duration) (got []store.Logout) {
		Change(t, db, func(tx *store.Tx) (err error) {
			got, err = tx.ClaimLogouts(id, 10, lease)
			return errors.Join(err, Event(tx, u.ID))
		})
		return got
	}
	due()
	Change(t, db, func(tx *store.Tx) error { _, err := tx.LockSession("s2", audit.Administrator); return err })
	due("told")
	Change(t, db, func(tx *store.Tx) error { _, err := tx.EndSession("s1", audit.Logout); return err })
	due("other", "told")
	Change(t, db, func(tx *store.Tx) error { return tx.EndSessionsOf(u.ID, "s4", audit.Changed) })
	clock.Add(time.Second)

	var mu sync.Mutex
	var all []store.Logout
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := claim("told", time.Minute)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, got...)
		})
	}
	wg.Wait()
	if len(all) != 3 {
		t.Fatalf("8 rivals claimed %v, want each of s1, s2 and s3 once", all)
	}
	due("other")
	Change(t, db, func(tx *store.Tx) error {
		for _, l := range all {
			if l.Session != "s3" {
				tx.DropLogout(l)
			}
		}
		return Event(tx, u.ID)
	})
	clock.Add(time.Minute)
	again := claim("told", time.Minute)
	if len(again) != 1 || again[0].Session != "s3" || again[0].User != u.ID || again[0].Tries != 2 {
		t.Errorf("after the lease: %v", again)
	}
	Change(t, db, func(tx *store.Tx) error {
		tx.PutOffLogouts("told", again, time.Hour)
		return Event(tx, u.ID)
	})
	clock.Add(30 * time.Minute)
	due("other")
	clock.Add(31 * time.Minute)
	due("other", "told")
	logoutAgain(t, db, clock, u.ID, claim)
}

// logoutAgain: while an application is being told that a session was locked, the session goes on and is ended. What becomes of the first
// logout takes nothing from the second.
func logoutAgain(t *testing.T, db *store.DB, clock *Clock, u user.ID, claim func(client.ID, time.Duration) []store.Logout) {
	t.Helper()
	claim("told", time.Minute)
	for what, over := range map[string]func(*store.Tx, store.Logout){
		"was told":   func(tx *store.Tx, l store.Logout) { tx.DropLogout(l) },
		"refused it": func(tx *store.Tx, l store.Logout) { tx.PutOffLogout(l, time.Hour) },
	} {
		id := user.SessionID("again " + what)
		Change(t, db, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: "g " + string(id), Client: "told", User: u, Session: id, Data: "{}", Expires: clock.Now().Add(time.Minute)})
			return errors.Join(tx.CreateSession(user.Session{ID: id, User: u, AuthTime: clock.Now(), ExpiresAt: clock.Now().Add(time.Hour)}, []byte("token "+id)), Event(tx, u))
		})
		Change(t, db, func(tx *store.Tx) error { _, err := tx.LockSession(id, audit.Logout); return err })
		first := claim("told", time.Minute)
		if len(first) != 1 || first[0].Session != id {
			t.Fatalf("%s: claimed %v", what, first)
		}
		clock.Add(time.Second)
		Change(t, db, func(tx *store.Tx) error { _, err := tx.EndSession(id, audit.Logout); return err })
		Change(t, db, func(tx *store.Tx) error { over(tx, first[0]); return Event(tx, u) })
		second := claim("told", time.Minute)
		if len(second) != 1 || second[0].Session != id || second[0].Tries != 1 {
			t.Fatalf("LO-05: ended while the application %s: the second logout is %v", what, second)
		}
		Change(t, db, func(tx *store.Tx) error { tx.DropLogout(second[0]); return Event(tx, u) })
	}
}
