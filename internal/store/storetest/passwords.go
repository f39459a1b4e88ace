package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// earlier: the last 24 passwords of a person are kept, in order, also while the clock stands still; and those of one person.
func earlier(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	anna, bo := AddUser(t, db, "anna"), AddUser(t, db, "bo")
	has := func(id user.ID, before int, wantNow string, want []string) {
		t.Helper()
		View(t, db, func(tx *store.Tx) error {
			now, got, err := tx.Passwords(id, before)
			if err != nil || now != wantNow || !slices.Equal(got, want) {
				t.Errorf("%d before: %q, %q, %v; want %q, %q", before, now, got, err, wantNow, want)
			}
			return nil
		})
	}
	has(anna.ID, 5, "$argon2id$x", nil)
	has("nobody", 5, "", nil)
	last, all := "$argon2id$x", []string{}
	for i := range 30 {
		next := fmt.Sprint("p", i)
		Change(t, db, func(tx *store.Tx) error { return tx.SetPassword(anna.ID, last, next, "made under "+next, "") })
		all, last = slices.Insert(all, 0, last), next
	}
	has(anna.ID, 24, "p29", all[:24])
	has(anna.ID, 100, "p29", all[:24])
	has(anna.ID, 2, "p29", []string{"p28", "p27"})
	has(anna.ID, 0, "p29", nil)
	has(bo.ID, 24, "$argon2id$x", nil)
	View(t, db, func(tx *store.Tx) error {
		p, err := tx.PersonByID(anna.ID)
		if err != nil || p.Password != "p29" || p.PasswordMade != "made under p29" || !p.PasswordChanged.Equal(clock.Now()) {
			t.Errorf("%+v, %v", p, err)
		}
		return nil
	})

	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { return tx.SetPassword(anna.ID, "p28", "other", "", "") })
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("a change of what is not the present password: %v", err)
	}
	has(anna.ID, 1, "p29", []string{"p28"})

	// Who has none yet leaves nothing behind.
	carl := user.User{ID: "carl", Username: "carl"}
	Change(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateUser(carl, ""), Event(tx, carl.ID)) })
	Change(t, db, func(tx *store.Tx) error { return tx.SetPassword(carl.ID, "", "first", "", "") })
	has(carl.ID, 24, "first", nil)
	Change(t, db, func(tx *store.Tx) error { tx.PasswordMade(carl.ID, "rules"); return Event(tx, carl.ID) })
	View(t, db, func(tx *store.Tx) error {
		if p, err := tx.PersonByID(carl.ID); err != nil || p.PasswordMade != "rules" {
			t.Errorf("%+v, %v", p, err)
		}
		return nil
	})
}
