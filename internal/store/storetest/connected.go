package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// ownGrants: a person's grants are listed as they stand, newest first, and no longer than they count; nobody else's are.
func ownGrants(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	anna, bo := AddUser(t, db, "anna"), AddUser(t, db, "bo")
	begun := db.Now()
	create := func(g store.Grant) {
		t.Helper()
		g.Client, g.Data = "c", `{"s":"x"}`
		clock.Add(time.Second)
		Change(t, db, func(tx *store.Tx) error { tx.CreateGrant(g); return Event(tx, anna.ID) })
	}
	list := func(id user.ID) (ids []string, all []store.Grant) {
		t.Helper()
		View(t, db, func(tx *store.Tx) (err error) { all, err = tx.GrantsOf(id); return err })
		for _, g := range all {
			ids = append(ids, g.ID)
		}
		return ids, all
	}
	Change(t, db, func(tx *store.Tx) error {
		for _, s := range []user.SessionID{"s1", "s2"} {
			if err := tx.CreateSession(user.Session{ID: s, User: anna.ID, AuthTime: begun, ExpiresAt: begun.Add(time.Hour)}, []byte(s)); err != nil {
				return err
			}
		}
		return Event(tx, anna.ID)
	})
	soon, late := begun.Add(time.Minute), begun.Add(48*time.Hour)
	create(store.Grant{ID: "live", User: anna.ID, Session: "s1", CodeUntil: soon, Expires: late})
	create(store.Grant{ID: "signed out", User: anna.ID, Session: "s2", CodeUntil: soon, Expires: late})
	create(store.Grant{ID: "revoked", User: anna.ID, Session: "s1", CodeUntil: soon, Expires: late})
	create(store.Grant{ID: "short", User: anna.ID, CodeUntil: soon, Expires: begun.Add(time.Hour)})
	create(store.Grant{ID: "exchanged", User: anna.ID, Session: "s1", Expires: late})
	create(store.Grant{ID: "bo's", User: bo.ID, CodeUntil: soon, Expires: late})
	create(store.Grant{ID: "nobody's", CodeUntil: soon, Expires: late})
	Change(t, db, func(tx *store.Tx) error {
		_, err := tx.RevokeGrant("revoked")
		tx.RedeemCode("live", 1, late)
		return errors.Join(err, Event(tx, anna.ID))
	})
	used := db.Now()
	clock.Add(time.Second)
	Change(t, db, func(tx *store.Tx) error {
		tx.RotateRefresh("live", 1, late)
		_, err := tx.EndSession("s2", audit.Logout)
		return err
	})
	got, all := list(anna.ID)
	if !slices.Equal(got, []string{"short", "live"}) {
		t.Fatalf("anna has %v", got)
	}
	g := all[1]
	if g.User != anna.ID || g.Client != "c" || g.Session != "s1" || g.Data != `{"s":"x"}` || g.Gen != 2 || !g.CodeUntil.Equal(soon) || !g.CodeUsed.Equal(used) ||
		!g.Rotated.Equal(db.Now()) || !g.Expires.Equal(late) || !g.Created.Equal(begun.Add(time.Second)) || !g.Revoked.IsZero() {
		t.Errorf("read back %+v", g)
	}
	if got, _ := list(bo.ID); !slices.Equal(got, []string{"bo's"}) {
		t.Errorf("bo has %v", got)
	}
	if got, _ := list(""); got != nil {
		t.Errorf("nobody has %v", got)
	}
	revoke := func(id user.ID, want int, ids ...string) {
		t.Helper()
		Change(t, db, func(tx *store.Tx) error {
			n, err := tx.RevokeGrantsOf(id, ids)
			if n != want {
				t.Errorf("of %v, %d were revoked, want %d", ids, n, want)
			}
			return errors.Join(err, Event(tx, anna.ID))
		})
	}
	for _, g := range []string{"A", "B", "AB", "C"} {
		create(store.Grant{ID: g, User: anna.ID, Session: "s1", CodeUntil: soon, Expires: late})
	}
	revoke(bo.ID, 0, "A", "B", "live")
	revoke(anna.ID, 0)
	revoke(anna.ID, 0, "")
	revoke(anna.ID, 2, "A", "nothing", "B", "bo's", "%")
	revoke(anna.ID, 0, "A", "B")
	revoke(anna.ID, 2, "AB", "B", "C")
	if got, _ := list(bo.ID); !slices.Equal(got, []string{"bo's"}) {
		t.Errorf("bo has %v", got)
	}
	clock.Add(time.Hour) // the session has run out, and nobody ended it
	if got, _ := list(anna.ID); !slices.Equal(got, []string{"live"}) {
		t.Errorf("after an hour anna has %v", got)
	}
	clock.Add(48 * time.Hour)
	if got, _ := list(anna.ID); got != nil {
		t.Errorf("after two days anna has %v", got)
	}
}
