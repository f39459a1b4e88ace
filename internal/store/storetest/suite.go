package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

var ring = sync.OnceValues(func() (*keyring.Ring, error) {
	dir, err := os.MkdirTemp("", "portvakt-keys-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return keyring.Create(dir, time.Now())
})

// Ring gives the one keyring of a test process.
func Ring(t testing.TB) *keyring.Ring {
	t.Helper()
	r, err := ring()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Open opens the database at url, brings its schema up to date and closes it with the test.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	return OpenWith(t, url, store.Options{Sealer: Ring(t)})
}

// OpenWith is Open with options.
func OpenWith(t testing.TB, url string, o store.Options) *store.DB {
	t.Helper()
	if o.Timeout == 0 { // a test that is not about outages is none because the machine is busy
		o.Timeout, o.Lock = time.Minute, time.Minute
	}
	if _, measured := t.(*testing.B); !measured {
		o.Watch = inOrder(t)
	}
	db, err := store.Open(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// Origin is where the changes of tests come from.
var Origin = audit.Origin{Actor: "test", IP: "192.0.2.7", Agent: "storetest", Request: "r1"}

// AddUser adds a person with these names and gives them back.
func AddUser(t testing.TB, db *store.DB, name string) user.User {
	t.Helper()
	u := user.User{ID: user.ID(rand.Text()), Username: name, Name: "Name of " + name, Email: name + "@example.se",
		Phone: "+46701740605", Groups: []string{"staff"}, Locale: "sv"}
	Change(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.CreateUser(u, "$argon2id$x"), Event(tx, u.ID))
	})
	return u
}

// Event records some event about id.
func Event(tx *store.Tx, id user.ID) error {
	return tx.Record(audit.Event{Kind: audit.UserChanged, Subject: string(id)})
}

// Change runs fn as a Change and fails the test if that fails.
func Change(t testing.TB, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Change(context.Background(), Origin, fn); err != nil {
		t.Fatal(err)
	}
}

// View runs fn as a View and fails the test if that fails.
func View(t testing.TB, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// Race lets rivals compete for one thing, spread over the handles dbs, which share nothing but the database. Each first
// reads; only when all have read do they write: so nothing but the conditional write can decide. It gives the number of
// winners. Any error but ErrConflict and ErrTaken fails the test.
func Race(t testing.TB, rivals int, dbs []*store.DB, read, write func(*store.Tx) error) int {
	t.Helper()
	var ready, done sync.WaitGroup
	ready.Add(rivals)
	results := make(chan error, rivals)
	for i := range rivals {
		db := dbs[i%len(dbs)]
		done.Go(func() {
			err := db.View(context.Background(), read)
			ready.Done()
			ready.Wait()
			if err == nil {
				err = db.Change(context.Background(), Origin, write)
			}
			results <- err
		})
	}
	done.Wait()
	close(results)
	wins := 0
	for err := range results {
		switch {
		case err == nil:
			wins++
		case !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrTaken):
			t.Errorf("a rival got %v", err)
		}
	}
	return wins
}

// Clock is a clock that a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed instant.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
