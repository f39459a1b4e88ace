package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// rotation makes grants named by name and a number, and gives what rotates the refresh token of one.
func rotation(t *testing.T, db *store.DB, name string, n int) func(i int, gen int64) error {
	t.Helper()
	for i := range n {
		storetest.Change(t, db, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: fmt.Sprint(name, i), Client: "c", Data: "{}", Expires: db.Now().Add(time.Hour), CodeUntil: db.Now().Add(time.Minute)})
			tx.RedeemCode(fmt.Sprint(name, i), 1, db.Now().Add(time.Hour))
			return tx.Record(audit.Event{Kind: audit.TokenIssued})
		})
	}
	return func(i int, gen int64) error {
		return db.Change(context.Background(), storetest.Origin, func(tx *store.Tx) error {
			tx.RotateRefresh(fmt.Sprint(name, i), gen, db.Now().Add(time.Hour))
			return tx.Record(audit.Event{Kind: audit.TokenRefreshed, Client: fmt.Sprint(name, i)})
		})
	}
}

// TestUsesBeside: uses that arrive together are committed together; of rivals for one row one wins, the others are told so, leave no event, and spoil
// nothing for anybody.
func TestUsesBeside(t *testing.T) {
	address := storetest.Postgres(t)
	db := storetest.Open(t, address)
	const n = 64
	rotate := rotation(t, db, "many", n)
	for _, rivals := range []int{0, 24} { // who ask for the first one
		who := func(i int) int { return max(0, i-rivals) }
		gen := int64(1 + rivals/24)
		won := map[int]int{}
		for i, err := range together(db, n, func(i int) error { return rotate(who(i), gen) }) {
			switch {
			case err == nil:
				won[who(i)]++
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("%d rivals: use %d got %v", rivals, i, err)
			}
		}
		for i := range n - rivals {
			if won[i] != 1 {
				t.Errorf("%d rivals: %d of those who used %d were told that they did", rivals, won[i], i)
			}
		}
	}
	conn := storetest.Connect(t, address)
	var first, rest, commits int
	if err := conn.QueryRow(t.Context(), `select count(*) filter (where client_id = 'many0'), count(*), count(distinct xmin::text)
from events where kind = 'token.refreshed'`).Scan(&first, &rest, &commits); err != nil {
		t.Fatal(err)
	}
	if first != 2 || rest != n+n-24 || commits > n {
		t.Errorf("%d events of the first and %d in all, in %d commits; want 2 and %d in %d at most", first, rest, commits, n+n-24, n)
	}
}

// TestUsesWaitForNobody: a row that somebody holds keeps nobody waiting but who wants it, and who holds rows in any order meets no ring,
// which storetest counts.
func TestUsesWaitForNobody(t *testing.T) {
	address := storetest.Postgres(t)
	db := storetest.Open(t, address)
	const n = 8
	rotate := rotation(t, db, "held", n)
	conn := storetest.Connect(t, address)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("begin; update grants set expires_at = expires_at + 1 where id = 'held0'")
	waits := make(chan error, 1)
	for i, err := range together(db, n, func(i int) error {
		if i == 0 {
			go func() { waits <- rotate(0, 1) }()
			return nil
		}
		return rotate(i, 1)
	}) {
		if err != nil {
			t.Errorf("use %d, beside a held row: %v", i, err)
		}
	}
	for storetest.Waiting(t, conn) == 0 {
		if len(waits) > 0 {
			t.Fatalf("who wants a held row was told %v", <-waits)
		}
	}
	exec("commit")
	if err := <-waits; err != nil {
		t.Errorf("who waited for a row was told %v", err)
	}

	var all sync.WaitGroup
	over := make(chan struct{})
	defer all.Wait()
	defer close(over)
	for i := range n {
		all.Go(func() {
			for gen := int64(2); ; gen++ {
				select {
				case <-over:
					return
				default:
				}
				if err := rotate(i, gen); err != nil {
					t.Errorf("while others hold rows: %v", err)
					return
				}
			}
		})
	}
	for i := range 200 { // as a sign-out: one row, and then the others, from either end
		a, b := "held1", "held7"
		if i%2 == 0 {
			a, b = b, a
		}
		exec("begin; update grants set expires_at = expires_at + 1 where id = '" + a + "'; update grants set expires_at = expires_at + 1 where id = '" + b + "'; commit")
	}
}
