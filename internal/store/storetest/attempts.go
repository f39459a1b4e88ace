package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

func attempts(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	db := OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now})
	take := func(lane string, strict bool) (ok bool) {
		t.Helper()
		err := db.Housekeep(context.Background(), func(tx *store.Tx) (err error) {
			ok, err = tx.TakeAttempt(lane, 3, time.Minute, strict)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for _, strict := range []bool{false, true} {
		lane := fmt.Sprint("lane ", strict)
		for i, want := range []bool{true, true, true, false, false} {
			if got := take(lane, strict); got != want {
				t.Errorf("strict %v, try %d: %v", strict, i, got)
			}
			clock.Add(10 * time.Second)
		}
		clock.Add(10 * time.Second) // a minute after the first try, 40 s after the last that counted
		if got := take(lane, strict); got == strict {
			t.Errorf("strict %v: a minute after the first try: %v", strict, got)
		}
		clock.Add(20 * time.Second)
		if !take(lane, strict) {
			t.Errorf("strict %v: a minute after the last try that counted: refused", strict)
		}
	}
}

// rolling: in no span of 24 hours are more counted than the limit, wherever the span begins, and what was given back is free again.
func rolling(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	take := func() (bucket string, ok bool) {
		t.Helper()
		if err := db.Housekeep(context.Background(), func(tx *store.Tx) (err error) {
			bucket, ok, err = tx.TakeRolling("day", 3)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return bucket, ok
	}
	var counted []time.Time
	for range 200 { // eight days
		if _, ok := take(); ok {
			counted = append(counted, clock.Now())
		}
		clock.Add(57 * time.Minute)
	}
	for i := 3; i < len(counted); i++ {
		if span := counted[i].Sub(counted[i-3]); span < 24*time.Hour || span > 26*time.Hour {
			t.Errorf("four were counted in %s, want a little over 24 h", span)
		}
	}
	if len(counted) < 21 {
		t.Errorf("%d counted in eight days, want 3 a day", len(counted))
	}
	clock.Add(26 * time.Hour)
	bucket, _ := take()
	take()
	take()
	clock.Add(2 * time.Hour)
	if _, ok := take(); ok {
		t.Error("a fourth was counted")
	}
	err := db.Housekeep(context.Background(), func(tx *store.Tx) error {
		tx.GiveBackAttempt(bucket)
		if n, err := tx.Rolling("day"); n != 2 || err != nil {
			t.Errorf("%d (%v) after one was given back, want 2", n, err)
		}
		return nil
	})
	if _, ok := take(); err != nil || !ok {
		t.Errorf("what was given back was not free: %v", err)
	}
}

// several: what counts as several tries is taken whole or not at all, with the rest of its unit, and of rivals no more get room than there is.
func several(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now}) }
	db := open()
	take := func(lane string, cost int) error {
		return db.Housekeep(context.Background(), func(tx *store.Tx) error {
			tx.TakeAttempts("all", cost, 1000, time.Hour)
			tx.TakeAttempts(lane, cost, 10, time.Minute)
			return nil
		})
	}
	for i, c := range []struct {
		after time.Duration
		cost  int
		want  error
	}{{0, 4, nil}, {30 * time.Second, 6, nil}, {29 * time.Second, 1, store.ErrConflict}, {time.Second, 10, nil}, {0, 1, store.ErrConflict}, {time.Minute, 9, nil}, {0, 2, store.ErrConflict}, {0, 1, nil}} {
		clock.Add(c.after)
		if err := take("lane", c.cost); !errors.Is(err, c.want) {
			t.Errorf("take %d of %d: got %v, want %v", i, c.cost, err, c.want)
		}
	}
	View(t, db, func(tx *store.Tx) error {
		got, err := tx.Counts([]string{"lane", "all"})
		if err != nil || got[0].N != 10 || got[1].N != 30 {
			t.Errorf("the lanes count %+v (%v), want 10 and 30", got, err)
		}
		return nil
	})
	wins := Race(t, 20, []*store.DB{db, open()}, func(tx *store.Tx) error { _, err := tx.Counts([]string{"race"}); return err }, func(tx *store.Tx) error {
		tx.TakeAttempts("race", 3, 10, time.Minute)
		return Event(tx, "x")
	})
	if wins != 3 {
		t.Errorf("%d of 20 rivals took 3 of 10 each", wins)
	}
}

// sweptMeanwhile: what was long over and comes to count again while a sweep looks at it stays.
func sweptMeanwhile(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now}) }
	db, other := open(), open()
	u := AddUser(t, db, "anna").ID
	change := func(db *store.DB, also func()) {
		Change(t, db, func(tx *store.Tx) error {
			tx.TakeAttempts("lane", 3, 10, time.Hour)
			tx.BeginTrial("app", u, client.FaultState, store.TrialArmed, time.Minute)
			_, err := tx.Counts([]string{"lane"}) // the writes are done, and not committed
			also()
			return errors.Join(err, Event(tx, u))
		})
	}
	change(db, func() {})
	clock.Add(48 * time.Hour)
	swept := make(chan error, 1)
	change(db, func() {
		go func() {
			swept <- other.Housekeep(context.Background(), func(tx *store.Tx) error { _, err := tx.Sweep(); return err })
		}()
		e.blocked(t, url)
	})
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	View(t, db, func(tx *store.Tx) error {
		got, err := tx.Counts([]string{"lane"})
		trials, err2 := tx.TrialsOf("app", u)
		if errors.Join(err, err2) != nil || got[0].N != 3 || len(trials) != 1 {
			t.Errorf("after a sweep at the same time %+v and %d trials (%v) are left, want 3 tries and 1 trial", got, len(trials), errors.Join(err, err2))
		}
		return nil
	})
}
