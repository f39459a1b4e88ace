package store_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestOutage: a database that answers nothing is ErrOutage within the deadline, for readers and writers, and all is well
// again when it answers (FT-01 to FT-03, F2).
func TestOutage(t *testing.T) {
	url, ring := storetest.Postgres(t), storetest.Ring(t)
	u := storetest.AddUser(t, storetest.OpenWith(t, url, store.Options{Sealer: ring}), "anna")
	db, err := store.Open(t.Context(), url, store.Options{Sealer: ring, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	read := func() error {
		return db.View(context.Background(), func(tx *store.Tx) error { _, err := tx.PersonByID(u.ID); return err })
	}
	write := func() error {
		return db.Change(context.Background(), storetest.Origin, func(tx *store.Tx) error { return storetest.Event(tx, u.ID) })
	}
	storetest.Stop()
	for name, do := range map[string]func() error{"read": read, "write": write} {
		began := time.Now()
		if err := do(); !errors.Is(err, store.ErrOutage) {
			t.Errorf("%s gave %v", name, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	storetest.Continue()
	for end := time.Now().Add(30 * time.Second); ; {
		if read() == nil && write() == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the store did not recover within 30 s")
		}
	}
}

// TestRoundTrips counts on the socket what DB.Trips claims: with statements prepared, a read is one round trip, and a
// change that decides by must is one, event and commit included.
func TestRoundTrips(t *testing.T) {
	wire := listen(t, storetest.Postgres(t))
	db := storetest.Open(t, wire.url)
	u := storetest.AddUser(t, db, "anna")
	least := [2]int64{100, 100}
	for id := range strings.SplitSeq("1 2 3 4 5 6 7 8", " ") {
		storetest.Change(t, db, func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: id, Client: "c", User: u.ID, Data: "{}", CodeUntil: db.Now().Add(time.Minute), Expires: db.Now().Add(time.Hour)})
			return tx.Record(audit.Event{Kind: audit.CodeIssued, Subject: string(u.ID)})
		})
		before := wire.trips.Load()
		storetest.View(t, db, func(tx *store.Tx) error { _, err := tx.GrantByID(id); return err })
		reads := wire.trips.Load() - before
		before = wire.trips.Load()
		storetest.Change(t, db, func(tx *store.Tx) error {
			tx.RedeemCode(id, 1, db.Now().Add(time.Hour))
			return tx.Record(audit.Event{Kind: audit.TokenIssued, Subject: string(u.ID)})
		})
		writes := wire.trips.Load() - before
		least = [2]int64{min(least[0], reads), min(least[1], writes)}
	}
	if least != [2]int64{1, 1} { // the first time of a statement on a connection also prepares it, and after a pause it is asked whether it lives
		t.Errorf("a read took %d round trips, a redeem %d", least[0], least[1])
	}
}

// wire is a relay before Postgres that counts round trips: turns from client to server.
type wire struct {
	url   string
	trips atomic.Int64
}

func listen(t *testing.T, dbURL string) *wire {
	t.Helper()
	u, err := url.Parse(dbURL)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u.Host = l.Addr().String()
	q := u.Query()
	q.Set("pool_max_conns", "1") // one connection: what is prepared once stays so
	u.RawQuery = q.Encode()
	w := &wire{url: u.String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				return
			}
			go w.relay(client, server)
		}
	}()
	return w
}

// relay copies both ways and counts each time the client speaks after the server did.
func (w *wire) relay(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	var mu sync.Mutex
	clientSpoke := false
	go func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 {
				mu.Lock()
				clientSpoke = false
				mu.Unlock()
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			mu.Lock()
			if !clientSpoke {
				w.trips.Add(1)
			}
			clientSpoke = true
			mu.Unlock()
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
