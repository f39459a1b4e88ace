package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// races: every single-use thing, eight rivals on two handles, twenty rounds, one winner each.
func races(t *testing.T, e Engine) {
	url := e.New(t)
	dbs := []*store.DB{Open(t, url), Open(t, url)}
	u := AddUser(t, dbs[0], "anna")
	for round := range 20 {
		id := fmt.Sprint("r", round)
		now := dbs[0].Now()
		f := store.Flow{Flow: flow.Begin(id, flow.Needs{}, now), Browser: []byte("b")}
		Change(t, dbs[0], func(tx *store.Tx) error {
			tx.CreateGrant(store.Grant{ID: id, Client: "c", User: u.ID, Session: user.SessionID(id), Data: "{}", CodeUntil: now.Add(time.Minute), Expires: now.Add(time.Hour)})
			tx.CreateLink([]byte(id), "reset", u.ID, time.Hour)
			tx.CreatePushed(store.Pushed{ID: []byte(id), Client: "c", Data: "{}", Expires: now.Add(time.Minute)})
			s := user.Session{ID: user.SessionID(id), User: u.ID, AuthTime: now, ExpiresAt: now.Add(time.Hour)}
			return errors.Join(tx.CreateSession(s, []byte(id)), tx.CreateFlow(f), Event(tx, u.ID))
		})
		raceFactors(t, dbs, u.ID, round)
		raceRound(t, dbs, u.ID, f, id, int64(round))
	}
}

func raceRound(t *testing.T, dbs []*store.DB, uid user.ID, f store.Flow, id string, step int64) {
	t.Helper()
	grant := func(tx *store.Tx) error { _, err := tx.GrantByID(id); return err }
	signin := func(tx *store.Tx) error { _, err := tx.SignInByID(id); return err }
	later := dbs[0].Now().Add(time.Hour)
	next := f
	next.Version++
	for _, c := range []struct {
		name        string
		read, write func(*store.Tx) error
	}{
		{"code", grant, func(tx *store.Tx) error { tx.RedeemCode(id, 1, later); return nil }},
		{"refresh token", grant, func(tx *store.Tx) error { tx.RotateRefresh(id, 1, later); return nil }},
		{"flow step", signin, func(tx *store.Tx) error { return tx.AdvanceFlow(next, 1) }},
		{"finished flow", signin, func(tx *store.Tx) error { tx.UseFlow(id); return nil }},
		{"pushed request", func(tx *store.Tx) error { _, err := tx.PushedByID([]byte(id)); return err }, func(tx *store.Tx) error { tx.UsePushed([]byte(id), 0); return nil }},
		{"one-time link", signin, func(tx *store.Tx) error { tx.UseLink([]byte(id)); return nil }},
		{"password", signin, func(tx *store.Tx) error {
			return tx.SetPassword(uid, presentPassword(step), presentPassword(step+1), "", user.SessionID(id))
		}},
		{"end of a session", signin, func(tx *store.Tx) error {
			ok, err := tx.EndSession(user.SessionID(id), audit.Logout)
			if err == nil && !ok {
				err = store.ErrConflict
			}
			return err
		}},
	} {
		wins := Race(t, 8, dbs, c.read, func(tx *store.Tx) error { return errors.Join(c.write(tx), Event(tx, uid)) })
		if wins != 1 {
			t.Errorf("%s: %d of 8 rivals won", c.name, wins)
		}
	}
}

// raceFactors: what proves a second time, eight rivals, one winner each.
func raceFactors(t *testing.T, dbs []*store.DB, uid user.ID, round int) {
	t.Helper()
	code, scope, handle := fmt.Append(nil, "code", round), fmt.Sprint("flow:", round), fmt.Append(nil, "key", round)
	var challenge string
	Change(t, dbs[0], func(tx *store.Tx) (err error) {
		tx.PutRecoveryCodes(uid, [][]byte{code, fmt.Append(nil, "code", round, "x")})
		tx.DropChallenge(scope)
		challenge, err = tx.PutChallenge(store.Challenge{Scope: scope, Kind: user.FactorSMS, User: uid, Proof: code, Data: "+46701740605", State: store.Sent, Expires: tx.Now().Add(time.Minute)})
		return errors.Join(err, tx.PutFactor(store.Factor{User: uid, Kind: user.FactorTOTP, Secret: "otpauth://x", Counter: int64(round)}),
			tx.AddFactor(store.Factor{User: uid, Kind: user.FactorPasskey, Secret: "{}", Handle: handle, Counter: 7}),
			tx.AddFactor(store.Factor{User: uid, Kind: user.FactorPasskey, Secret: "{}", Handle: fmt.Append(nil, "key", round, "s")}), Event(tx, uid))
	})
	var token, key, other store.Factor
	View(t, dbs[0], func(tx *store.Tx) error {
		all, err := tx.FactorsOf(uid)
		for _, f := range all {
			if f.Kind == user.FactorTOTP {
				token = f
			} else if string(f.Handle) == string(handle) {
				key = f
			} else if string(f.Handle) == string(handle)+"s" {
				other = f
			}
		}
		return err
	})
	won := func(ok bool, err error) error {
		if err == nil && !ok {
			err = store.ErrConflict
		}
		return err
	}
	read := func(tx *store.Tx) error { _, err := tx.FactorsOf(uid); return err }
	for name, write := range map[string]func(*store.Tx) error{
		"soft token step": func(tx *store.Tx) error { return won(tx.UseFactor(token, int64(round)+1, "")) },
		"passkey count":   func(tx *store.Tx) error { return won(tx.UseFactor(key, 8, `{"n":8}`)) },
		"recovery code":   func(tx *store.Tx) error { return won(tx.UseRecoveryCode(uid, code)) },
		"challenge":       func(tx *store.Tx) error { return won(tx.UseChallenge(scope, challenge)) },
		"new passkey": func(tx *store.Tx) error {
			return tx.AddFactor(store.Factor{User: uid, Kind: user.FactorPasskey, Secret: "{}", Handle: fmt.Append(nil, "new", round)})
		},
		"stop": func(tx *store.Tx) error { tx.StopFactor(uid, other.ID); return nil },
	} {
		if wins := Race(t, 8, dbs, read, func(tx *store.Tx) error { return errors.Join(write(tx), Event(tx, uid)) }); wins != 1 {
			t.Errorf("%s: %d of 8 rivals won", name, wins)
		}
	}
}

func presentPassword(round int64) string {
	if round == 0 {
		return "$argon2id$x"
	}
	return fmt.Sprint("$argon2id$", round)
}

// group: many changes at once, some of which fail, on two handles: exactly those that answered nil are there.
func group(t *testing.T, e Engine) {
	url := e.New(t)
	dbs := []*store.DB{Open(t, url), Open(t, url)}
	var wg sync.WaitGroup
	var kept sync.Map
	for w := range 16 {
		wg.Go(func() {
			for i := range 12 {
				id := fmt.Sprintf("%d-%d", w, i)
				err := dbs[w%2].Change(context.Background(), Origin, func(tx *store.Tx) error {
					tx.CreateGrant(store.Grant{ID: id, Client: "c", Data: "{}"})
					if i%3 == 1 {
						tx.UseFlow("nothing")
					}
					if i%3 == 2 {
						return errors.Join(tx.Record(audit.Event{Kind: audit.TokenIssued}), errors.New("boom"))
					}
					return tx.Record(audit.Event{Kind: audit.TokenIssued})
				})
				if (err == nil) != (i%3 == 0) {
					t.Errorf("%s: %v", id, err)
				}
				kept.Store(id, err == nil)
			}
		})
	}
	wg.Wait()
	View(t, dbs[0], func(tx *store.Tx) error {
		kept.Range(func(id, want any) bool {
			_, err := tx.GrantByID(id.(string))
			if (err == nil) != want.(bool) {
				t.Errorf("%s: kept %v, found %v", id, want, err)
			}
			return true
		})
		return nil
	})
}

func sweep(t *testing.T, e Engine) {
	clock := NewClock()
	db := OpenWith(t, e.New(t), store.Options{Sealer: Ring(t), Now: clock.Now})
	u := AddUser(t, db, "anna")
	Change(t, db, func(tx *store.Tx) error {
		tx.CreateGrant(store.Grant{ID: "g", Client: "c", Data: "{}", Expires: clock.Now().Add(time.Hour)})
		tx.CreatePushed(store.Pushed{ID: []byte("p"), Client: "c", Data: "{}", Expires: clock.Now().Add(time.Minute)})
		return errors.Join(tx.CreateFlow(store.Flow{Flow: flow.Begin("f", flow.Needs{}, clock.Now()), Browser: []byte("b")}), Event(tx, u.ID))
	})
	gone := func() (n int64) {
		if err := db.Housekeep(context.Background(), func(tx *store.Tx) (err error) { n, err = tx.Sweep(); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := gone(); n != 0 {
		t.Errorf("%d rows swept at once", n)
	}
	clock.Add(3 * time.Hour)
	if n := gone(); n != 2 {
		t.Errorf("%d rows swept after 3 h, want the flow and the pushed request", n)
	}
	clock.Add(48 * time.Hour)
	if n := gone(); n != 1 {
		t.Errorf("%d rows swept after 51 h, want the grant", n)
	}
}
