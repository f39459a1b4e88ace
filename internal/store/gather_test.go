package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestGathered: inserts that arrive while Postgres is busy travel together and are committed together; a change that cannot be made fails by
// itself, with its own error, and those beside it stand.
func TestGathered(t *testing.T) {
	address := storetest.Postgres(t)
	db := storetest.Open(t, address)
	const n = 64
	add := func(id, data string) error {
		return db.Change(context.Background(), storetest.Origin, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: id, Client: "c", Data: data, Expires: db.Now().Add(time.Hour)})
			return tx.Record(audit.Event{Kind: audit.TokenIssued, Client: id})
		})
	}
	if err := add("taken", "{}"); err != nil {
		t.Fatal(err)
	}
	for _, round := range []struct {
		name string
		bad  map[int]func() error
		most int // transactions
	}{
		{"good", nil, n / 2},
		{"two bad", map[int]func() error{20: func() error { return add("taken", "{}") }, 40: func() error { return add("odd", "\xff") }}, n},
	} {
		got := together(db, n, func(i int) error {
			if bad := round.bad[i]; bad != nil {
				return bad()
			}
			return add(fmt.Sprint(round.name, i), "{}")
		})
		for i, err := range got {
			if (err != nil) != (round.bad[i] != nil) || i == 20 && err != nil && !errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrOutage) {
				t.Errorf("%s: change %d got %v", round.name, i, err)
			}
		}
		grants, events, commits := written(t, address, round.name)
		if want := n - len(round.bad); grants != want || events != want || commits > round.most {
			t.Errorf("%s: %d grants and %d events in %d commits, want %d in %d at most", round.name, grants, events, commits, want, round.most)
		}
	}
}

// together runs do n times while Postgres answers nothing, and lets it answer when all have asked.
func together(db *store.DB, n int, do func(int) error) []error {
	storetest.Stop()
	_, before := db.Trips()
	got := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { got[i] = do(i) })
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, now := db.Trips(); now == before+int64(n) {
			break
		}
	}
	storetest.Continue()
	all.Wait()
	return got
}

// written counts the grants and events of a round, and the transactions that they came by.
func written(t *testing.T, address, round string) (grants, events, commits int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), "select (select count(*) from grants where id like $1), count(*), count(distinct xmin::text) from events where client_id like $1", round+"%").Scan(&grants, &events, &commits); err != nil {
		t.Fatal(err)
	}
	return grants, events, commits
}
