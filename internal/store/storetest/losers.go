package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store"
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
