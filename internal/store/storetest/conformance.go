package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Run is the conformance suite of an engine.
func Run(t *testing.T, e Engine) {
	for name, test := range map[string]func(*testing.T, Engine){
		"Unaudited": unaudited, "Undone": undone, "MigrateTwice": migrateTwice, "MigrateAtOnce": migrateAtOnce, "Users": users,
		"Events": events, "Flows": flows, "Sessions": sessions, "Grants": grants, "Pushed": pushed, "Clients": clients, "Attempts": attempts, "Rolling": rolling, "Several": several,
		"Links": links, "Factors": factors, "Outbox": outbox, "Races": races, "Passwords": earlier, "Group": group, "Sweep": sweep, "DeviceGrants": deviceGrants, "Logouts": logouts, "Trials": trials, "Registrations": registrations, "Origins": origins,
		"OwnGrants": ownGrants, "Losers": losers, "SweptMeanwhile": sweptMeanwhile, "MadeAgain": madeAgain,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

func unaudited(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error {
		return tx.CreateUser(user.User{ID: "x", Username: "x"}, "")
	})
	if !errors.Is(err, store.ErrUnaudited) {
		t.Fatalf("a change without an event gave %v", err)
	}
	View(t, db, func(tx *store.Tx) error {
		if any, err := tx.AnyUser(); err != nil || any {
			t.Errorf("the unaudited change left a user (%v)", err)
		}
		return nil
	})
}

// undone: an error of fn, and a must that touches nothing, take everything back, event included.
func undone(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	boom := errors.New("boom")
	add := func(tx *store.Tx) error {
		return errors.Join(tx.CreateUser(user.User{ID: "x", Username: "x"}, ""), Event(tx, "x"))
	}
	for name, fail := range map[string]func(tx *store.Tx) error{
		"queued": func(*store.Tx) error { return boom },
		"flushed": func(tx *store.Tx) error {
			_, err := tx.AnyUser()
			return errors.Join(err, boom)
		},
		"must": func(tx *store.Tx) error { tx.UseFlow("nothing"); return nil },
		"must after a flush": func(tx *store.Tx) error {
			_, err := tx.AnyUser()
			tx.UseFlow("nothing")
			return err
		},
	} {
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { return errors.Join(add(tx), fail(tx)) })
		if !errors.Is(err, boom) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: got %v", name, err)
		}
		View(t, db, func(tx *store.Tx) error {
			any, err := tx.AnyUser()
			n := 0
			err = errors.Join(err, tx.Events(store.EventFilter{}, func(audit.Event) error { n++; return nil }))
			if err != nil || any || n != 0 {
				t.Errorf("%s: left user %v, %d events (%v)", name, any, n, err)
			}
			return nil
		})
	}
}

func migrateTwice(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	ran, err := db.Migrate(context.Background())
	if err != nil || len(ran) != 0 {
		t.Errorf("a second migration ran %v (%v)", ran, err)
	}
	if has, wants, err := db.Schema(context.Background()); err != nil || has != wants || has == 0 {
		t.Errorf("schema %d of %d (%v)", has, wants, err)
	}
}

func migrateAtOnce(t *testing.T, e Engine) {
	url := e.New(t)
	var wg sync.WaitGroup
	var steps atomic.Int64
	for range 4 {
		db, err := store.Open(context.Background(), url, store.Options{Sealer: Ring(t), Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		wg.Go(func() {
			ran, err := db.Migrate(context.Background())
			if err != nil {
				t.Error(err)
			}
			steps.Add(int64(len(ran)))
		})
	}
	wg.Wait()
	_, wants, err := Open(t, url).Schema(context.Background())
	if err != nil || int(steps.Load()) != wants {
		t.Errorf("%d steps ran, %d wanted (%v)", steps.Load(), wants, err)
	}
}

func users(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	u := AddUser(t, db, "Åsa.Öst")
	for _, login := range []string{"åsa.öst", " ÅSA.ÖST ", "åsa.öst@EXAMPLE.se"} {
		var f store.Flow
		f.Flow = flow.Begin("f"+login, flow.Needs{}, db.Now())
		f.Browser = []byte("b")
		Change(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateFlow(f), Event(tx, u.ID)) })
		View(t, db, func(tx *store.Tx) error {
			s, err := tx.SignInByName(f.ID, login)
			if err != nil || s.Person == nil || s.Person.ID != u.ID || s.Person.OpenPhone() != nil || s.Person.Phone != u.Phone || s.Person.Name != u.Name {
				t.Errorf("login %q found %+v (%v)", login, s.Person, err)
			}
			return nil
		})
	}
	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error {
		return errors.Join(tx.CreateUser(user.User{ID: "2", Username: "ÅSA.öst"}, ""), Event(tx, "2"))
	})
	if !errors.Is(err, store.ErrTaken) {
		t.Errorf("the same folded name gave %v", err)
	}
	u.Name, u.Groups, u.Phone = "Åsa Ny", []string{"staff", "admins"}, ""
	Change(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.UpdateUser(u), tx.PutFactor(store.Factor{User: u.ID, Kind: user.FactorTOTP, Secret: "otpauth://totp/x?secret=abc", Counter: 7}), Event(tx, u.ID))
	})
	View(t, db, func(tx *store.Tx) error {
		p, err := tx.PersonByName("åsa.öst")
		if err != nil || p.Name != "Åsa Ny" || len(p.Groups) != 2 || p.Phone != "" || p.TOTP != "otpauth://totp/x?secret=abc" || p.TOTPStep != 7 {
			t.Errorf("read back %+v (%v)", p, err)
		}
		if _, err := tx.PersonByID("nobody"); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("nobody gave %v", err)
		}
		return nil
	})
}

func events(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	u := AddUser(t, db, "anna")
	Change(t, db, func(tx *store.Tx) error {
		return tx.Record(audit.Event{Kind: audit.LoginFailed, Outcome: audit.Refused, Reason: audit.UnknownUser, Detail: map[string]string{"step": "password"}})
	})
	if err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { return tx.Record(audit.Event{Kind: "no.such"}) }); err == nil {
		t.Error("an unlisted kind was recorded")
	}
	View(t, db, func(tx *store.Tx) error {
		var got []audit.Event
		err := tx.Events(store.EventFilter{}, func(e audit.Event) error { got = append(got, e); return nil })
		if err != nil || len(got) != 2 {
			t.Fatalf("%d events (%v)", len(got), err)
		}
		for i, e := range got {
			if e.IP != Origin.IP || e.Agent != Origin.Agent || e.Request != Origin.Request || e.Actor != Origin.Actor || e.At.IsZero() {
				t.Errorf("event %d lost its origin: %+v", i, e)
			}
		}
		if got[0].Subject != string(u.ID) || got[1].Detail["step"] != "password" || got[1].Reason != audit.UnknownUser {
			t.Errorf("read back %+v", got)
		}
		only := 0
		filter := store.EventFilter{Subject: u.ID, Kinds: []audit.Kind{audit.UserChanged}, Newest: true}
		if err := tx.Events(filter, func(audit.Event) error { only++; return nil }); err != nil || only != 1 {
			t.Errorf("the filter let %d through (%v)", only, err)
		}
		return nil
	})
}

func flows(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	u := AddUser(t, db, "anna")
	f := store.Flow{Flow: flow.Begin("f1", flow.Needs{ACR: user.ACR2FA, After: db.Now()}, db.Now()), Browser: []byte("b"), Request: "a=b&c=%C3%A5"}
	Change(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateFlow(f), Event(tx, u.ID)) })
	next, _ := flow.Next(f.Flow, flow.Verdict{Step: flow.Password, Person: u.ID, Means: flow.Means{Enrols: []flow.Step{flow.Enrol}}}, db.Now())
	f.Flow, f.Pending = next, "otpauth://totp/y?secret=def"
	Change(t, db, func(tx *store.Tx) error { return errors.Join(tx.AdvanceFlow(f, 1), Event(tx, u.ID)) })
	View(t, db, func(tx *store.Tx) error {
		s, err := tx.SignInByID("f1")
		if err != nil || s.Flow.Step != flow.Enrol || s.Flow.Pending != f.Pending || s.Flow.Request != f.Request || s.Person.ID != u.ID ||
			!s.Flow.Needs.After.Equal(f.Needs.After) || s.Flow.Version != 2 {
			t.Errorf("read back %+v (%v)", s.Flow, err)
		}
		if _, err := tx.SignInByID("none"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no flow gave %v", err)
		}
		return nil
	})
	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { return errors.Join(tx.AdvanceFlow(f, 1), Event(tx, u.ID)) })
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old version gave %v", err)
	}
}

func sessions(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	u := AddUser(t, db, "anna")
	now := db.Now()
	for _, id := range []user.SessionID{"s1", "s2", "s3"} {
		Change(t, db, func(tx *store.Tx) error {
			g := store.Grant{ID: "g" + string(id), Client: "c", User: u.ID, Session: id, Data: "{}", Expires: now.Add(time.Hour)}
			tx.CreateGrant(g)
			s := user.Session{ID: id, User: u.ID, Proved: []user.Method{"pwd", "otp"}, AuthTime: now, ExpiresAt: now.Add(time.Hour)}
			return errors.Join(tx.CreateSession(s, []byte("token "+id)), Event(tx, u.ID))
		})
	}
	Change(t, db, func(tx *store.Tx) error {
		ended, err := tx.EndSession("s1", audit.Logout)
		again, err2 := tx.EndSession("s1", audit.Logout)
		if !ended || again {
			t.Errorf("ended %v, again %v", ended, again)
		}
		return errors.Join(err, err2, Event(tx, u.ID))
	})
	Change(t, db, func(tx *store.Tx) error {
		return tx.EndSessionsOf(u.ID, "s2", audit.Changed)
	})
	View(t, db, func(tx *store.Tx) error {
		for id, dead := range map[string]bool{"gs1": true, "gs2": false, "gs3": true} {
			g, err := tx.GrantByID(id)
			if err != nil || g.Revoked.IsZero() == dead || g.SessionEnded != dead {
				t.Errorf("%s: revoked %v, session ended %v (%v)", id, g.Revoked, g.SessionEnded, err)
			}
		}
		ended := map[string]audit.Reason{}
		err := tx.Events(store.EventFilter{Kinds: []audit.Kind{audit.SessionEnded}}, func(e audit.Event) error { ended[e.Session] = e.Reason; return nil })
		if err != nil || len(ended) != 2 || ended["s1"] != audit.Logout || ended["s3"] != audit.Changed {
			t.Errorf("the trail has %v ended (%v)", ended, err)
		}
		s, p, err := tx.SessionByToken([]byte("token s2"))
		if err != nil || p.ID != u.ID || len(s.Proved) != 2 || !s.AuthTime.Equal(now) || !s.EndedAt.IsZero() {
			t.Errorf("session %+v of %v (%v)", s, p, err)
		}
		return nil
	})
}

func grants(t *testing.T, e Engine) {
	db := Open(t, e.New(t))
	u := AddUser(t, db, "anna")
	now := db.Now()
	Change(t, db, func(tx *store.Tx) error {
		tx.CreateGrant(store.Grant{ID: "g", Client: "c", User: u.ID, Data: "{}", CodeUntil: now.Add(time.Minute), Expires: now.Add(time.Hour)})
		tx.CreateGrant(store.Grant{ID: "late", Client: "c", Data: "{}", CodeUntil: now.Add(-time.Second), Expires: now.Add(time.Hour)})
		return Event(tx, u.ID)
	})
	must := func(want error, do func(*store.Tx)) {
		t.Helper()
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { do(tx); return Event(tx, u.ID) })
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	must(store.ErrConflict, func(tx *store.Tx) { tx.RedeemCode("late", 1, now.Add(time.Hour)) })
	must(nil, func(tx *store.Tx) { tx.RedeemCode("g", 1, now.Add(time.Hour)) })
	must(store.ErrConflict, func(tx *store.Tx) { tx.RedeemCode("g", 1, now.Add(time.Hour)) })
	must(nil, func(tx *store.Tx) { tx.RotateRefresh("g", 1, now.Add(time.Hour)) })
	must(store.ErrConflict, func(tx *store.Tx) { tx.RotateRefresh("g", 1, now.Add(time.Hour)) })
	Change(t, db, func(tx *store.Tx) error {
		one, err := tx.RevokeGrant("g")
		two, err2 := tx.RevokeGrant("g")
		if !one || two {
			t.Errorf("revoked %v, again %v", one, two)
		}
		return errors.Join(err, err2, Event(tx, u.ID))
	})
	must(store.ErrConflict, func(tx *store.Tx) { tx.RotateRefresh("g", 2, now.Add(time.Hour)) })
	View(t, db, func(tx *store.Tx) error {
		g, err := tx.GrantByID("g")
		if err != nil || g.Gen != 2 || g.Revoked.IsZero() || g.Person == nil || g.Person.Username != "anna" {
			t.Errorf("read back %+v (%v)", g, err)
		}
		if g, err = tx.GrantByID("late"); err != nil || g.Person != nil || g.User != "" || g.SessionEnded {
			t.Errorf("a grant of nobody reads %+v (%v)", g, err)
		}
		return nil
	})
}

// pushed: a request is spent once, and within the grace after its time.
func pushed(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	u := AddUser(t, db, "anna")
	for _, id := range []string{"used", "late"} {
		p := store.Pushed{ID: []byte(id), Client: "c", Data: id + "=%C3%A5", Expires: clock.Now().Add(time.Minute)}
		if err := db.Housekeep(context.Background(), func(tx *store.Tx) error { tx.CreatePushed(p); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	use := func(id string, want error) {
		t.Helper()
		err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { tx.UsePushed([]byte(id), time.Hour); return Event(tx, u.ID) })
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", id, err, want)
		}
	}
	clock.Add(time.Hour)
	use("used", nil)
	use("used", store.ErrConflict)
	use("none", store.ErrConflict)
	clock.Add(time.Minute)
	use("late", store.ErrConflict)
	View(t, db, func(tx *store.Tx) error {
		one, err := tx.PushedByID([]byte("used"))
		two, err2 := tx.PushedByID([]byte("late"))
		if err != nil || err2 != nil || one.Client != "c" || one.Data != "used=%C3%A5" || one.Used.IsZero() || !two.Used.IsZero() || !two.Expires.Equal(clock.Now().Add(-time.Hour)) {
			t.Errorf("read back %+v (%v) and %+v (%v)", one, err, two, err2)
		}
		if _, err := tx.PushedByID([]byte("none")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("none gave %v", err)
		}
		return nil
	})
}

func clients(t *testing.T, e Engine) {
	url := e.New(t)
	a, b := Open(t, url), Open(t, url)
	a.Watch()
	put := func(name string) {
		t.Helper()
		Change(t, b, func(tx *store.Tx) error {
			c := client.Client{ID: "app", Name: name}
			return errors.Join(putClient(tx, c, []byte("mac")), tx.Record(audit.Event{Kind: audit.ClientChanged}))
		})
	}
	if _, err := a.Client(context.Background(), "app"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown client gave %v", err)
	}
	for _, name := range []string{"one", "two"} {
		put(name)
		soon(t, func() bool {
			c, err := a.Client(context.Background(), "app")
			return err == nil && c.Name == name && string(c.Secret) == "mac"
		})
	}
	p := policy.Default()
	p.Password.MinLength = 20
	Change(t, b, func(tx *store.Tx) error {
		return errors.Join(tx.PutPolicy(p), tx.Record(audit.Event{Kind: audit.PolicyChanged}))
	})
	soon(t, func() bool {
		p, err := a.Policy(context.Background())
		return err == nil && p.Password.MinLength == 20
	})
	reads, _ := a.Trips()
	for range 50 {
		if _, err := a.Client(context.Background(), "app"); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := a.Trips(); after-reads > 5 {
		t.Errorf("50 look-ups of a cached client cost %d trips", after-reads)
	}
	Change(t, b, func(tx *store.Tx) error {
		tx.RemoveClient("app")
		return tx.Record(audit.Event{Kind: audit.ClientRemoved})
	})
	soon(t, func() bool {
		_, err := a.Client(context.Background(), "app")
		return errors.Is(err, store.ErrNotFound)
	})
}

// soon waits until ok, for at most the second that the design allows (and slack for a busy machine).
func soon(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Error("another instance did not notice within 5 s")
}

func links(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	u := AddUser(t, db, "anna")
	Change(t, db, func(tx *store.Tx) error { tx.CreateLink([]byte("t"), "reset", u.ID, time.Hour); return Event(tx, u.ID) })
	View(t, db, func(tx *store.Tx) error {
		l, err := tx.LinkByToken([]byte("t"))
		if err != nil || l.Kind != "reset" || l.Person != u.ID {
			t.Errorf("read back %+v (%v)", l, err)
		}
		return nil
	})
	clock.Add(time.Hour + time.Second)
	err := db.Change(context.Background(), Origin, func(tx *store.Tx) error { tx.UseLink([]byte("t")); return Event(tx, u.ID) })
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("an expired link gave %v", err)
	}
}
