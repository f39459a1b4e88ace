package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// factors: what a person has, whose it is, and what a stop does.
func factors(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	anna, bo := AddUser(t, db, "anna"), AddUser(t, db, "bo")
	handle := []byte{0, 1, 2, 255}
	Change(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.AddFactor(store.Factor{User: anna.ID, Kind: user.FactorSMS, Secret: "+46701740605"}),
			tx.AddFactor(store.Factor{User: anna.ID, Kind: user.FactorTOTP, Secret: "otpauth://totp/x", Counter: 3}),
			tx.AddFactor(store.Factor{User: anna.ID, Kind: user.FactorPasskey, Name: "Nyckel å", Secret: "{}", Handle: handle, Counter: 0}), Event(tx, anna.ID))
	})
	all := factorsOf(t, db, anna.ID)
	if len(all) != 3 || all[user.FactorSMS].Secret != "+46701740605" || all[user.FactorPasskey].Name != "Nyckel å" || string(all[user.FactorPasskey].Handle) != string(handle) {
		t.Fatalf("read back %+v", all)
	}
	for _, f := range []store.Factor{
		{User: anna.ID, Kind: user.FactorTOTP, Secret: "another"}, {User: bo.ID, Kind: user.FactorPasskey, Secret: "{}", Handle: handle},
	} {
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { return errors.Join(tx.AddFactor(f), Event(tx, f.User)) })
		if !errors.Is(err, store.ErrTaken) {
			t.Errorf("a second %s gave %v", f.Kind, err)
		}
	}
	key := all[user.FactorPasskey]
	for name, change := range map[string]func(*store.Tx){
		"remove": func(tx *store.Tx) { tx.RemoveFactor(bo.ID, key.ID) }, "rename": func(tx *store.Tx) { tx.RenameFactor(bo.ID, key.ID, "x") },
		"stop": func(tx *store.Tx) { tx.StopFactor(bo.ID, key.ID) }, "allow": func(tx *store.Tx) { tx.AllowFactor(anna.ID, key.ID, time.Hour) },
	} {
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { change(tx); return Event(tx, bo.ID) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s of another's or an active factor gave %v", name, err)
		}
	}
	uses := func(counter int64, want bool) {
		t.Helper()
		Change(t, db, func(tx *store.Tx) error {
			ok, err := tx.UseFactor(key, counter, "")
			if ok != want {
				t.Errorf("count %d: %v, want %v", counter, ok, want)
			}
			return errors.Join(err, Event(tx, anna.ID))
		})
	}
	uses(0, true) // a passkey that counts nothing
	uses(0, true)
	uses(5, true)
	uses(5, false)
	uses(0, false)
	Change(t, db, func(tx *store.Tx) error { tx.StopFactor(anna.ID, key.ID); return Event(tx, anna.ID) })
	uses(6, false)
	View(t, db, func(tx *store.Tx) error {
		f, err := tx.PasskeyByHandle(handle)
		if err != nil || f.User != anna.ID || f.StoppedAt.IsZero() {
			t.Errorf("by handle: %+v (%v)", f, err)
		}
		if _, err := tx.PasskeyByHandle([]byte{9}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown handle gave %v", err)
		}
		return nil
	})
	allow := func() error {
		return db.Change(context.Background(), Origin, func(tx *store.Tx) error { tx.AllowFactor(anna.ID, key.ID, time.Hour); return Event(tx, anna.ID) })
	}
	clock.Add(time.Hour)
	if err := allow(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("allowed too late: %v", err)
	}
	clock.Add(-time.Second)
	if err := allow(); err != nil {
		t.Error(err)
	}
	uses(6, true)
	challenges(t, db, clock, anna.ID)
}

func factorsOf(t *testing.T, db *store.DB, id user.ID) map[user.FactorKind]store.Factor {
	t.Helper()
	all := map[user.FactorKind]store.Factor{}
	View(t, db, func(tx *store.Tx) error {
		list, err := tx.FactorsOf(id)
		for _, f := range list {
			all[f.Kind] = f
		}
		return err
	})
	return all
}

// challenges: a new one takes the place of the one before, and time ends it; a remembered device ends with its password.
func challenges(t *testing.T, db *store.DB, clock *Clock, id user.ID) {
	var first, second string
	put := func(tx *store.Tx) (id2 string, err error) {
		return tx.PutChallenge(store.Challenge{Scope: "s", Kind: user.FactorSMS, User: id, Proof: []byte("p"), Data: "+467", Mark: "KR", State: store.Sending, Expires: clock.Now().Add(time.Minute)})
	}
	Change(t, db, func(tx *store.Tx) (err error) { first, err = put(tx); return errors.Join(err, Event(tx, id)) })
	Change(t, db, func(tx *store.Tx) (err error) { second, err = put(tx); return errors.Join(err, Event(tx, id)) })
	Change(t, db, func(tx *store.Tx) error {
		tx.MarkChallenge("s", first, store.Failed) // too late: another took its place
		ok, err := tx.UseChallenge("s", first)
		if ok {
			t.Error("the first challenge was worth something after the second")
		}
		return errors.Join(err, Event(tx, id))
	})
	View(t, db, func(tx *store.Tx) error {
		c, err := tx.ChallengeOf("s")
		if err != nil || c.ID != second || c.Data != "+467" || c.State != store.Sending || c.Mark != "KR" {
			t.Errorf("read back %+v (%v)", c, err)
		}
		return nil
	})
	clock.Add(time.Minute)
	Change(t, db, func(tx *store.Tx) error {
		ok, err := tx.UseChallenge("s", second)
		if _, gone := tx.ChallengeOf("s"); ok || !errors.Is(gone, store.ErrNotFound) {
			t.Errorf("used out of time: %v, %v", ok, gone)
		}
		return errors.Join(err, tx.AddDevice(store.Device{User: id, Stamp: "one", ExpiresAt: clock.Now().Add(time.Hour)}, []byte("token")), Event(tx, id))
	})
	for _, c := range []struct {
		owner      user.ID
		stamp      string
		remembered time.Duration
		want       bool
	}{{id, "one", time.Hour, true}, {id, "two", time.Hour, false}, {"another", "one", time.Hour, false}, {id, "one", 0, false}} {
		Change(t, db, func(tx *store.Tx) error {
			ok, err := tx.UseDevice(c.owner, []byte("token"), c.stamp, c.remembered)
			if ok != c.want {
				t.Errorf("%+v: %v", c, ok)
			}
			return errors.Join(err, Event(tx, id))
		})
	}
}

// outbox: a mail is claimed by one at a time, waits when it is put off, and is gone when it is dropped.
func outbox(t *testing.T, e Engine) {
	clock := NewClock()
	url := e.New(t)
	ring := Ring(t)
	dbs := []*store.DB{OpenWith(t, url, store.Options{Sealer: ring, Now: clock.Now}), OpenWith(t, url, store.Options{Sealer: ring, Now: clock.Now})}
	anna := AddUser(t, dbs[0], "anna")
	mail := store.Mail{User: anna.ID, To: "anna@example.se", Subject: "Hej å", Body: "one\n\ntwo"}
	Change(t, dbs[0], func(tx *store.Tx) error {
		return errors.Join(tx.QueueMail(mail), tx.QueueMail(store.Mail{User: anna.ID}), Event(tx, anna.ID))
	})
	claim := func(db *store.DB) (all []store.Mail) {
		t.Helper()
		if err := db.Housekeep(context.Background(), func(tx *store.Tx) (err error) { all, err = tx.ClaimMail(10, time.Minute); return err }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	one, two := claim(dbs[0]), claim(dbs[1])
	if len(one) != 1 || len(two) != 0 || one[0].To != mail.To || one[0].Subject != mail.Subject || one[0].Body != mail.Body || one[0].Tries != 1 {
		t.Fatalf("claimed %+v and %+v", one, two)
	}
	clock.Add(time.Minute)
	if again := claim(dbs[1]); len(again) != 1 || again[0].Tries != 2 {
		t.Errorf("after the lease: %+v", again)
	}
	if err := dbs[0].Housekeep(context.Background(), func(tx *store.Tx) error { tx.DropMail(one[0].ID); return nil }); err != nil {
		t.Fatal(err)
	}
	clock.Add(time.Hour)
	if left := claim(dbs[0]); len(left) != 0 {
		t.Errorf("a mail that was sent is still there: %+v", left)
	}
}
