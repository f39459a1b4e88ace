package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
)

// deviceGrants: a request is read back by its code, polled at its pace by its own client, and decided once, in time.
func deviceGrants(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now}) }
	db := open()
	begun := db.Now()
	made := func(id, code string) (ok bool) {
		t.Helper()
		Change(t, db, func(tx *store.Tx) (err error) {
			ok, err = tx.CreateDeviceGrant(store.DeviceGrant{ID: id, Code: []byte(code), Client: "tv", Scope: "openid x", Pace: 5 * time.Second, Expires: begun.Add(10 * time.Minute)})
			return errors.Join(err, Event(tx, "x"))
		})
		return ok
	}
	if !made("1", "a") || made("2", "a") || !made("2", "b") {
		t.Error("of two requests with one user code both were stored, or none")
	}
	View(t, db, func(tx *store.Tx) error {
		g, err := tx.DeviceGrantByCode([]byte("a"))
		if err != nil || g.ID != "1" || g.Client != "tv" || g.Scope != "openid x" || g.State != store.GrantPending || g.IP != Origin.IP || g.Agent != Origin.Agent ||
			!g.Created.Equal(begun) || !g.Expires.Equal(begun.Add(10*time.Minute)) || !bytes.Equal(g.Code, []byte("a")) {
			t.Errorf("read back %+v (%v)", g, err)
		}
		if _, err := tx.DeviceGrantByCode([]byte("c")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a code that never was gave %v", err)
		}
		return nil
	})
	polls(t, db, clock)
	wins := Race(t, 8, []*store.DB{db, open()}, func(tx *store.Tx) error { _, err := tx.DeviceGrantByCode([]byte("a")); return err },
		func(tx *store.Tx) error { tx.DecideDeviceGrant("1", store.GrantApproved); return Event(tx, "x") })
	if wins != 1 {
		t.Errorf("%d of 8 decisions count", wins)
	}
	clock.Add(10 * time.Minute)
	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error {
		tx.DecideDeviceGrant("2", store.GrantRefused)
		return tx.Record(audit.Event{Kind: audit.DeviceRefused})
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("an expired request was decided: %v", err)
	}
}

// polls: the second of request 1 that comes within 5 s, but for one of slack, is early, and from then on 10 s are asked for.
func polls(t *testing.T, db *store.DB, clock *Clock) {
	t.Helper()
	poll := func(id, client string) (p store.DevicePoll, err error) {
		err = db.Housekeep(context.Background(), func(tx *store.Tx) (err error) {
			p, err = tx.PollDeviceGrant(id, "tv", time.Second, 5*time.Second)
			if client != "tv" {
				p, err = tx.PollDeviceGrant(id, "other", time.Second, 5*time.Second)
			}
			return err
		})
		return p, err
	}
	for i, c := range []struct {
		after time.Duration
		early bool
	}{{0, false}, {4 * time.Second, false}, {3999 * time.Millisecond, true}, {9 * time.Second, false}, {8999 * time.Millisecond, true}, {14 * time.Second, false}} {
		clock.Add(c.after)
		p, err := poll("1", "tv")
		if err != nil || p.Early != c.early || p.State != store.GrantPending || p.Expires.IsZero() {
			t.Errorf("poll %d: %+v (%v), want early %v", i, p, err, c.early)
		}
	}
	if _, err := poll("nothing", "tv"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a poll of nothing gave %v", err)
	}
	if _, err := poll("2", "other"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a poll of another client's gave %v", err)
	}
}
