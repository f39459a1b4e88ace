package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestLinks: more callers than connections share them, with statements that succeed and that fail; and when the server has
// ended every connection, also in the middle of work, the store makes new ones and no answer is for another's question.
func TestLinks(t *testing.T) {
	address := storetest.Postgres(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery += "&pool_max_conns=3"
	db := storetest.Open(t, u.String())
	people := make([]string, 8)
	for i := range people {
		people[i] = string(storetest.AddUser(t, db, fmt.Sprintf("anna%d", i)).ID)
	}
	admin := storetest.Connect(t, address)
	for round := range 4 {
		var callers sync.WaitGroup
		for i := range people {
			callers.Go(func() { calls(t, db, i) })
		}
		if round%2 == 1 {
			if _, err := admin.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"); err != nil {
				t.Error(err)
			}
		}
		callers.Wait()
	}
	used, err := 4, error(nil)
	for end := time.Now().Add(20 * time.Second); used > 3 && err == nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // the last ones may be on their way out
		err = admin.QueryRow(t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'portvakt'").Scan(&used)
	}
	if err != nil || used > 3 {
		t.Errorf("%d connections, %v", used, err)
	}
}

// calls reads and writes as caller i.
func calls(t *testing.T, db *store.DB, i int) {
	name := fmt.Sprintf("anna%d", i)
	for n := range 40 {
		err := db.View(context.Background(), func(tx *store.Tx) error {
			p, err := tx.PersonByName(name)
			if err == nil && p.Username != name {
				t.Errorf("asked for %s, got %s", name, p.Username)
			}
			return err
		})
		if err != nil && !errors.Is(err, store.ErrOutage) {
			t.Errorf("read: %v", err)
		}
		group := fmt.Sprintf("g%d-%d", i, n/2) // every second one is taken
		err = db.Change(context.Background(), storetest.Origin, func(tx *store.Tx) error {
			tx.AddGroup(group)
			return tx.Record(audit.Event{Kind: audit.CodeIssued})
		})
		if err != nil && !errors.Is(err, store.ErrOutage) && !errors.Is(err, store.ErrTaken) {
			t.Errorf("write: %v", err)
		}
	}
}
