package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// losers: who is told that a rival was faster sees what the rival wrote. Callers decide by it: whether a used token came again, or at the same time.
func losers(t *testing.T, e Engine) {
	url := e.New(t)
	dbs := []*store.DB{Open(t, url), Open(t, url)}
	u := AddUser(t, dbs[0], "anna")
	later := dbs[0].Now().Add(time.Hour)
	for round := range 20 {
		id := fmt.Sprint("g", round)
		Change(t, dbs[0], func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: id, Client: "c", User: u.ID, Data: "{}", CodeUntil: later, Expires: later})
			return Event(tx, u.ID)
		})
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				db := dbs[i%2]
				err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { tx.RedeemCode(id, 1, later); return Event(tx, u.ID) })
				if err == nil {
					return
				}
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("a rival got %v", err)
				}
				var g store.Grant
				if err := db.View(context.Background(), func(tx *store.Tx) (err error) { g, err = tx.GrantByID(id); return err }); err != nil || g.CodeUsed.IsZero() {
					t.Errorf("who lost sees a code that nobody used (%v)", err)
				}
			})
		}
		all.Wait()
	}
}

// madeAgain: a person whose making was undone and is tried again, as after a deadlock, is sealed under the key that their row has.
func madeAgain(t *testing.T, e Engine) {
	url := e.New(t)
	ring := Ring(t)
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: ring}) }
	db, other := open(), open()
	boom := errors.New("undone")
	for _, fault := range []error{boom, nil} {
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error {
			return errors.Join(tx.CreateUser(user.User{ID: "again", Username: "again", Phone: "+46701740605"}, ""), Event(tx, "again"), fault)
		})
		if !errors.Is(err, fault) {
			t.Fatal(err)
		}
	}
	View(t, other, func(tx *store.Tx) error {
		p, err := tx.PersonByID("again")
		if err == nil {
			err = p.OpenPhone()
		}
		if err != nil || p.Phone != "+46701740605" {
			t.Errorf("elsewhere the phone number is %q (%v)", p.Phone, err)
		}
		return tx.Events(store.EventFilter{}, func(e audit.Event) error {
			if e.IP != Origin.IP {
				t.Errorf("elsewhere the event is from %q", e.IP)
			}
			return nil
		})
	})
}
