package storetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// trials: a fault waits for one sign-in of one person to one client, is judged once, and is swept if it never is.
func trials(t *testing.T, e Engine) {
	url, clock := e.New(t), NewClock()
	open := func() *store.DB { return OpenWith(t, url, store.Options{Sealer: Ring(t), Now: clock.Now}) }
	db := open()
	u := AddUser(t, db, "anna").ID
	change := func(fn func(*store.Tx)) {
		t.Helper()
		Change(t, db, func(tx *store.Tx) error { fn(tx); return Event(tx, u) })
	}
	begin := func(c client.ID, f client.Fault, state string) {
		t.Helper()
		change(func(tx *store.Tx) { tx.BeginTrial(c, u, f, state, 10*time.Minute) })
	}
	take := func(c client.ID, who user.ID) (f client.Fault) {
		t.Helper()
		Change(t, db, func(tx *store.Tx) (err error) {
			f, err = tx.TakeTrial(c, who, "g")
			return errors.Join(err, Event(tx, u))
		})
		return f
	}
	read := func(want ...string) {
		t.Helper()
		var got []string
		View(t, db, func(tx *store.Tx) error {
			all, err := tx.TrialsOf("app", u)
			for _, one := range all {
				used := map[bool]string{true: " used"}[one.Used]
				got = append(got, string(one.Fault)+" "+one.State+" "+one.Grant+used+one.Verdict)
			}
			return err
		})
		if !slices.Equal(got, want) {
			t.Errorf("the trials are %q, want %q", got, want)
		}
	}
	begin("app", client.FaultState, store.TrialArmed)
	begin("app", client.FaultNonce, store.TrialArmed) // in the place of the first
	begin("other", client.FaultKey, store.TrialArmed)
	read("nonce armed ")
	if f := take("app", "somebody"); f != "" {
		t.Errorf("somebody else's sign-in took %s", f)
	}
	if f := take("app", u); f != client.FaultNonce {
		t.Errorf("the sign-in took %q", f)
	}
	if f := take("app", u); f != "" {
		t.Errorf("a second sign-in took %s", f)
	}
	change(func(tx *store.Tx) { tx.UseTrial("another grant"); tx.UseTrial("g") })
	read("nonce taken g used")
	wins := Race(t, 8, []*store.DB{db, open()}, func(tx *store.Tx) error { _, err := tx.TrialsOf("app", u); return err }, func(tx *store.Tx) error {
		tx.JudgeTrial("app", u, client.FaultNonce, store.TrialLetIn)
		return Event(tx, u)
	})
	if wins != 1 {
		t.Errorf("%d of 8 judgements count", wins)
	}
	read("nonce judged g used" + store.TrialLetIn)
	trialRivals(t, db, open(), u)
	trialsOver(t, db, clock, u, begin, take, read)
}

// trialRivals: of trials begun at once one stands, and of sign-ins at once one takes it.
func trialRivals(t *testing.T, db, second *store.DB, u user.ID) {
	t.Helper()
	look := func(tx *store.Tx) error { _, err := tx.TrialsOf("race", u); return err }
	faults, n := client.Faults(), atomic.Int64{}
	Race(t, 16, []*store.DB{db, second}, look, func(tx *store.Tx) error {
		tx.Hold(u)
		tx.BeginTrial("race", u, faults[int(n.Add(1))%len(faults)], store.TrialArmed, time.Minute)
		return Event(tx, u)
	})
	View(t, db, func(tx *store.Tx) error {
		all, err := tx.TrialsOf("race", u)
		if err != nil || len(all) != 1 {
			t.Errorf("%d of 16 trials stand (%v)", len(all), err)
		}
		return nil
	})
	wins := Race(t, 8, []*store.DB{db, second}, look, func(tx *store.Tx) error {
		f, err := tx.TakeTrial("race", u, "race")
		if err == nil && f == "" {
			err = store.ErrConflict
		}
		return errors.Join(err, Event(tx, u))
	})
	if wins != 1 {
		t.Errorf("%d of 8 sign-ins took the trial", wins)
	}
}

// trialsOver: one that is out of time is neither shown nor taken; the sweep leaves what was judged; nothing outlives its client.
func trialsOver(t *testing.T, db *store.DB, clock *Clock, u user.ID, begin func(client.ID, client.Fault, string), take func(client.ID, user.ID) client.Fault, read func(...string)) {
	t.Helper()
	judged := "nonce judged g used" + store.TrialLetIn
	rows := func(want int) {
		t.Helper()
		if err := db.Housekeep(context.Background(), func(tx *store.Tx) error { _, err := tx.Sweep(); return err }); err != nil {
			t.Fatal(err)
		}
		got := 0
		View(t, db, func(tx *store.Tx) error {
			for _, c := range []client.ID{"app", "other", "race"} {
				all, err := tx.TrialsOf(c, u)
				if err != nil {
					return err
				}
				got += len(all)
			}
			return nil
		})
		if got != want {
			t.Errorf("after the sweep there are %d trials, want %d", got, want)
		}
	}
	begin("app", client.FaultIssuer, store.TrialArmed)
	clock.Add(10 * time.Minute)
	read(judged)
	if f := take("app", u); f != "" {
		t.Errorf("out of time it was taken: %s", f)
	}
	begin("app", client.FaultLogoutKey, store.TrialTaken)
	read("logout_key taken ", judged)
	rows(3) // with that of race
	clock.Add(24*time.Hour + 9*time.Minute)
	rows(2)
	clock.Add(2 * time.Minute)
	rows(1)
	read(judged)
	Change(t, db, func(tx *store.Tx) error {
		if err := tx.AddClient(client.Client{ID: "app"}, nil); err != nil {
			return err
		}
		tx.RemoveClient("app")
		return Event(tx, u)
	})
	read()
}
