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
	list := func(id user.ID) ([]string, []store.Grant) { t.Helper(); return listed(t, db, id) }
	Change(t, db, func(tx *store.Tx) error {
		for _, s := range []user.SessionID{"s1", "s2"} {
			if err := tx.CreateSession(user.Session{ID: s, User: anna.ID, AuthTime: begun, ExpiresAt: begun.Add(time.Hour)}, []byte(s)); err != nil {
				return err
			}
		}
		return Event(tx, anna.ID)
	})
	soon, late := begun.Add(time.Minute), begun.Add(48*time.Hour)
	for _, g := range []store.Grant{{ID: "live", User: anna.ID, Session: "s1", CodeUntil: soon, Expires: late}, {ID: "signed out", User: anna.ID, Session: "s2", CodeUntil: soon, Expires: late},
		{ID: "revoked", User: anna.ID, Session: "s1", CodeUntil: soon, Expires: late}, {ID: "short", User: anna.ID, CodeUntil: soon, Expires: begun.Add(time.Hour)},
		{ID: "exchanged", User: anna.ID, Session: "s1", Expires: late}, {ID: "bo's", User: bo.ID, CodeUntil: soon, Expires: late}, {ID: "nobody's", CodeUntil: soon, Expires: late}} {
		g.Client, g.Data = "c", `{"s":"x"}`
		clock.Add(time.Second)
		Change(t, db, func(tx *store.Tx) error { tx.CreateGrant(g); return Event(tx, anna.ID) })
	}
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
	revokesOwn(t, db, anna.ID, bo.ID)
	clock.Add(time.Hour) // the session has run out, and nobody ended it
	if got, _ := list(anna.ID); !slices.Equal(got, []string{"live"}) {
		t.Errorf("after an hour anna has %v", got)
	}
	clock.Add(48 * time.Hour)
	if got, _ := list(anna.ID); got != nil {
		t.Errorf("after two days anna has %v", got)
	}
}

// revokesOwn: of the grants A, B, AB and C of owner those end that are named, by owner, once.
func revokesOwn(t *testing.T, db *store.DB, owner, other user.ID) {
	t.Helper()
	later := db.Now().Add(time.Hour)
	Change(t, db, func(tx *store.Tx) error {
		for _, id := range []string{"A", "B", "AB", "C"} {
			tx.CreateGrant(store.Grant{ID: id, Client: "c", User: owner, Data: "{}", CodeUntil: later, Expires: later})
		}
		return Event(tx, owner)
	})
	before, _ := listed(t, db, other)
	for _, c := range []struct {
		by   user.ID
		want int
		ids  []string
	}{{other, 0, []string{"A", "B", "live"}}, {owner, 0, nil}, {owner, 0, []string{""}}, {owner, 2, []string{"A", "nothing", "B", "bo's", "%"}},
		{owner, 0, []string{"A", "B"}}, {owner, 2, []string{"AB", "B", "C"}}} {
		Change(t, db, func(tx *store.Tx) error {
			n, err := tx.RevokeGrantsOf(c.by, c.ids)
			if n != c.want {
				t.Errorf("of %v, %d were revoked, want %d", c.ids, n, c.want)
			}
			return errors.Join(err, Event(tx, owner))
		})
	}
	if after, _ := listed(t, db, other); !slices.Equal(after, before) {
		t.Errorf("somebody else had %v, and has %v", before, after)
	}
}

// listed gives a person's grants, and their ids.
func listed(t *testing.T, db *store.DB, id user.ID) (ids []string, all []store.Grant) {
	t.Helper()
	View(t, db, func(tx *store.Tx) (err error) { all, err = tx.GrantsOf(id); return err })
	for _, g := range all {
		ids = append(ids, g.ID)
	}
	return ids, all
}
