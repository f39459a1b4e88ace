package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
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
		grants, events, commits, statements := written(t, address, round.name)
		if want := n - len(round.bad); grants != want || events != want || commits > round.most || statements > round.most {
			t.Errorf("%s: %d grants and %d events in %d commits and %d statements, want %d in %d at most", round.name, grants, events, commits, statements, want, round.most)
		}
	}
}

// TestReadsBesideBad: a read that Postgres refuses spoils none of those that went with it, also where they have two connections among them and read
// twice; and none is given its rows twice.
func TestReadsBesideBad(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t)+"&pool_max_conns=2")
	for range 3 {
		storetest.Change(t, db, func(tx *store.Tx) error { return tx.Record(audit.Event{Kind: audit.TokenIssued}) })
	}
	got := together(db, 28, func(i int) error {
		return db.View(context.Background(), func(tx *store.Tx) error {
			if i == 14 {
				_, err := tx.GrantByID("\xff")
				return err
			}
			rows := 0
			err := tx.Events(store.EventFilter{}, func(audit.Event) error { rows++; return nil })
			if err == nil && rows != 3 {
				err = fmt.Errorf("%d rows of 3", rows)
			}
			_, second := tx.Value("x")
			return errors.Join(err, second)
		})
	})
	for i, err := range got {
		if (err != nil) != (i == 14) || errors.Is(err, store.ErrOutage) {
			t.Errorf("read %d got %v", i, err)
		}
	}
}

// TestReadsByKey: reads by a key that travel together are one statement, and everyone gets the row of their own key: also who asks for what another
// asks for, for nothing there is, or by another kind of key.
func TestReadsByKey(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t))
	const n = 48
	id := func(i int) string { return fmt.Sprint("it's ", i/2*2, "\\") }
	anna := storetest.AddUser(t, db, "anna")
	storetest.Change(t, db, func(tx *store.Tx) error {
		for i := range n / 2 {
			s := user.Session{ID: user.SessionID(id(2 * i)), User: anna.ID, AuthTime: db.Now(), ExpiresAt: db.Now().Add(time.Hour)}
			if err := tx.CreateSession(s, []byte{0, byte(i)}); err != nil {
				return err
			}
			tx.CreateGrant(store.Grant{ID: id(2 * i), Client: "c", Data: id(2 * i), Expires: db.Now().Add(time.Hour)})
			tx.CreatePushed(store.Pushed{ID: []byte{0, byte(i)}, Client: "c", Data: id(2 * i), Expires: db.Now().Add(time.Hour)})
		}
		return tx.Record(audit.Event{Kind: audit.TokenIssued})
	})
	for i, err := range together(db, n, func(i int) error {
		return db.View(context.Background(), func(tx *store.Tx) error {
			var data, want string
			var err error
			switch i % 12 {
			case 0, 1, 2, 3:
				var g store.Grant
				g, err = tx.GrantByID(id(i))
				data, want = g.Data, id(i)
			case 4:
				if _, err := tx.GrantByID(id(i) + "x"); err != store.ErrNotFound {
					return fmt.Errorf("what there is not: %v", err)
				}
			case 5, 6, 7:
				var p store.Pushed
				p, err = tx.PushedByID([]byte{0, byte(i / 2)})
				data, want = p.Data, id(i)
			case 8, 9:
				var s user.Session
				s, _, err = tx.SessionByToken([]byte{0, byte(i / 2)})
				data, want = string(s.ID), id(i)
			default:
				var s user.Session
				s, _, err = tx.SessionByID(user.SessionID(id(i)))
				data, want = string(s.ID), id(i)
			}
			if err == nil && data != want {
				err = fmt.Errorf("data %q", data)
			}
			return err
		})
	}) {
		if err != nil {
			t.Errorf("read %d: %v", i, err)
		}
	}
	texts := strings.Join(store.Alike(db), "\n")
	for _, key := range []string{"g.id = k.key", "from pushed where id = k.key", "s.token = k.key", "s.id = k.key"} {
		if !strings.Contains(texts, key) {
			t.Errorf("no statement has %q:\n%s", key, texts)
		}
	}
}

// TestGone: what a caller asks for whose time is over is not done, and spoils nothing.
func TestGone(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t))
	record := func(ctx context.Context, client string) error {
		return db.Change(ctx, storetest.Origin, func(tx *store.Tx) error { return tx.Record(audit.Event{Kind: audit.TokenIssued, Client: client}) })
	}
	if err := record(context.Background(), "here"); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for i, err := range together(db, 40, func(i int) error {
		if i%2 == 0 {
			return record(context.Background(), "here")
		}
		return record(gone, "gone")
	}) {
		if (err == nil) != (i%2 == 0) {
			t.Errorf("change %d got %v", i, err)
		}
	}
	events := map[string]int{}
	storetest.View(t, db, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{}, func(e audit.Event) error { events[e.Client]++; return nil })
	})
	if events["here"] != 21 || events["gone"] != 0 {
		t.Errorf("on record: %v", events)
	}
}

// together runs do n times while Postgres answers nothing, and lets it answer when all have asked.
func together(db *store.DB, n int, do func(int) error) []error {
	storetest.Stop()
	trips := func() int64 { r, w := db.Trips(); return r + w }
	before := trips()
	got := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { got[i] = do(i) })
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if trips() >= before+int64(n) {
			break
		}
	}
	storetest.Continue()
	all.Wait()
	return got
}

// written counts the grants and events of a round, and the transactions and statements that they came by.
func written(t *testing.T, address, round string) (grants, events, commits, statements int) {
	t.Helper()
	conn := storetest.Connect(t, address)
	if err := conn.QueryRow(t.Context(), `select (select count(*) from grants where id like $1), count(*), count(distinct xmin::text), count(distinct (xmin::text, cmin::text))
from events where client_id like $1`, round+"%").Scan(&grants, &events, &commits, &statements); err != nil {
		t.Fatal(err)
	}
	return grants, events, commits, statements
}

// TestSlowPipelines: reads and writes that wait in Postgres, as many as are out at once, hold nobody else back.
func TestSlowPipelines(t *testing.T) {
	address := storetest.Postgres(t)
	db := storetest.Open(t, address)
	conn := storetest.Connect(t, address)
	if _, err := conn.Exec(t.Context(), "begin; lock table grants"); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		return db.View(context.Background(), func(tx *store.Tx) error { _, err := tx.GrantByID("x"); return err })
	}
	write := func() error {
		return db.Change(context.Background(), storetest.Origin, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: "y", Client: "c", Data: "{}", Expires: db.Now().Add(time.Hour)})
			return tx.Record(audit.Event{Kind: audit.TokenIssued})
		})
	}
	slow := []func() error{read, read, write}
	over := make(chan error, len(slow))
	for i, do := range slow {
		go func() { over <- do() }()
		for waiting := 0; waiting <= i; {
			if len(over) > 0 {
				t.Fatalf("it did not have to wait: %v", <-over)
			}
			if err := conn.QueryRow(t.Context(), "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())").Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		storetest.View(t, db, func(tx *store.Tx) error { _, err := tx.Value("x"); return err })
		storetest.Change(t, db, func(tx *store.Tx) error { return tx.Record(audit.Event{Kind: audit.TokenIssued}) })
	}
	if _, err := conn.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	for range slow {
		if err := <-over; err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("who had to wait got %v", err)
		}
	}
}
