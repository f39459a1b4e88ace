package account

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func TestRename(t *testing.T) {
	engines(t, func(r *rig) {
		key, token, me := r.passkey(r.anna, "key"), r.token(r.anna), r.signIn(r.anna)
		r.is("a passkey", r.s.Rename(ctx, me, key.ID, " Nyckeln på jobbet "), nil)
		r.is("a soft token", r.s.Rename(ctx, me, token.ID, "x"), ErrGone)
		r.is("nothing", r.s.Rename(ctx, me, key.ID, "  "), ErrMissing)
		r.is("long", r.s.Rename(ctx, me, key.ID, strings.Repeat("å", 65)), user.ErrName)
		r.is("no text", r.s.Rename(ctx, me, key.ID, "a\x00b"), user.ErrName)
		if all := r.factors(r.anna); all[0].Name != "Nyckeln på jobbet" || all[1].Name != "" {
			t.Errorf("%+v", all)
		}
		if n := len(r.events(r.anna, audit.FactorRenamed)); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// TestLast: what policy demands stays, whatever else the person has that does not count.
func TestLast(t *testing.T) {
	required := func(p *policy.Policy) { p.Factors.Required = true }
	free := func(p *policy.Policy) { p.Factors.Required = false }
	strict := func(p *policy.Policy) { p.Factors.Minimum = user.ACRPhR }
	forStaff := func(p *policy.Policy) {
		p.Factors.Required = false
		p.Factors.Groups = map[string]policy.FactorRule{"staff": {Minimum: user.ACR2FA}}
	}
	noTexts := func(p *policy.Policy) { p.Factors.Allowed = []user.FactorKind{user.FactorTOTP, user.FactorPasskey} }
	totp, text, key := user.FactorTOTP, user.FactorSMS, user.FactorPasskey
	for name, c := range map[string]struct {
		rules   func(*policy.Policy)
		have    []user.FactorKind
		stopped string // kinds that are
		codes   bool
		remove  user.FactorKind
		want    error
	}{
		"the only one":                     {required, []user.FactorKind{totp}, "", false, totp, ErrLast},
		"the only one, with codes":         {required, []user.FactorKind{totp}, "", true, totp, ErrLast},
		"one of two":                       {required, []user.FactorKind{totp, text}, "", false, totp, nil},
		"the other is stopped":             {required, []user.FactorKind{totp, text}, "sms", true, totp, ErrLast},
		"the stopped one":                  {required, []user.FactorKind{totp, text}, "sms", false, text, nil},
		"the stopped one, alone":           {required, []user.FactorKind{text}, "sms", true, text, ErrLast},
		"the other is not allowed":         {noTexts, []user.FactorKind{totp, text}, "", false, totp, ErrLast},
		"the one that is not allowed":      {noTexts, []user.FactorKind{totp, text}, "", false, text, nil},
		"where policy demands none":        {free, []user.FactorKind{totp}, "", false, totp, nil},
		"none demanded, a stopped one":     {free, []user.FactorKind{totp, text}, "sms", false, totp, ErrLast},
		"none demanded, stopped and codes": {free, []user.FactorKind{totp, text}, "sms", true, totp, nil},
		"demanded of a group":              {forStaff, []user.FactorKind{totp}, "", false, totp, ErrLast},
		"the only passkey":                 {strict, []user.FactorKind{totp, key}, "", true, key, ErrLast},
		"beside the passkey":               {strict, []user.FactorKind{totp, key}, "", false, totp, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, clock: storetest.NewClock()}
			r.s = r.service(storetest.SQLite(t), "file:"+t.TempDir()+"/sms")
			r.other, r.anna = r.s, r.person("anna")
			r.policy(c.rules)
			ids := map[user.FactorKind]string{}
			for _, kind := range c.have {
				f := r.give(r.anna, store.Factor{Kind: kind, Secret: "+46701740605", Handle: handleOf(kind)})
				ids[kind] = f.ID
				if strings.Contains(c.stopped, string(kind)) {
					storetest.Change(t, r.s.DB, func(t *store.Tx) error { t.StopFactor(r.anna.ID, f.ID); return storetest.Event(t, r.anna.ID) })
				}
			}
			if c.codes {
				storetest.Change(t, r.s.DB, func(t *store.Tx) error {
					t.PutRecoveryCodes(r.anna.ID, [][]byte{[]byte("code")})
					return storetest.Event(t, r.anna.ID)
				})
			}
			r.is("remove", r.s.Remove(ctx, r.signIn(r.anna), ids[c.remove]), c.want)
			if gone := len(r.factors(r.anna)) < len(c.have); gone != (c.want == nil) {
				t.Errorf("gone: %v", gone)
			}
		})
	}
}

func handleOf(kind user.FactorKind) []byte {
	if kind == user.FactorPasskey {
		return []byte("handle")
	}
	return nil
}

// TestLastRaced: of two who take away one of two factors each, at the same time, one is refused.
func TestLastRaced(t *testing.T) {
	engines(t, func(r *rig) {
		r.signIn(r.anna)
		for round := range 10 {
			key, token := r.passkey(r.anna, "key"+string(rune('a'+round))), r.token(r.anna)
			one := r.signIn(r.anna) // removing a factor ends every other session
			two := one
			results := race(func() error { return r.s.Remove(ctx, one, key.ID) }, func() error { return r.other.Remove(ctx, two, token.ID) })
			if n := r.won(results, ErrLast); n != 1 || len(r.factors(r.anna)) != 1 {
				t.Fatalf("%d won, %d factors are left", n, len(r.factors(r.anna)))
			}
			both := race(func() error { return r.s.Stop(ctx, one, []string{r.factors(r.anna)[0].ID}) },
				func() error { return r.other.Remove(ctx, two, r.factors(r.anna)[0].ID) })
			if n := r.won(both, ErrLast); n != 0 {
				t.Fatal("the last one is gone")
			}
			r.policy(func(p *policy.Policy) { p.Factors.Required = false })
			r.is("where policy demands none", r.s.Remove(ctx, one, r.factors(r.anna)[0].ID), nil)
			r.policy(func(*policy.Policy) {})
		}
	})
}

// TestStop: what was on a lost phone proves nothing, nobody else is signed in, and what they were doing is over.
func TestStop(t *testing.T) {
	engines(t, func(r *rig) {
		key, token := r.passkey(r.anna, "key"), r.token(r.anna)
		number := r.give(r.anna, store.Factor{Kind: user.FactorSMS, Secret: "+46701740605"})
		me, thief, eve := r.signIn(r.anna), r.signIn(r.anna), r.signIn(r.eve)
		r.underWay(me, thief)
		r.is("none", r.s.Stop(ctx, me, nil), ErrMissing)
		r.is("all", r.s.Stop(ctx, me, []string{key.ID, token.ID, number.ID}), ErrLast)
		list, err := r.s.Stoppable(ctx, me)
		if err != nil || len(list) != 3 {
			t.Errorf("%+v (%v)", list, err)
		}
		r.is("the phone's", r.s.Stop(ctx, me, []string{token.ID, number.ID}), nil)
		r.is("again", r.s.Stop(ctx, me, []string{token.ID}), ErrGone)
		for _, f := range r.factors(r.anna) {
			if f.StoppedAt.IsZero() != (f.ID == key.ID) {
				t.Errorf("stopped: %+v", f)
			}
		}
		r.isOver(me, thief)
		r.is("the thief", r.s.Rename(ctx, thief, key.ID, "x"), ErrEnded)
		_, err = r.s.BeginTOTP(ctx, eve)
		r.is("eve", err, nil)
		r.mailed(r.anna, "mail.factor_stopped")
		if stops := r.events(r.anna, audit.FactorStopped); len(stops) != 2 || stops[0].Reason != audit.Lost || stops[0].Actor != string(r.anna.ID) {
			t.Errorf("the trail has %+v", stops)
		}
		r.is("the key, without codes", r.s.Stop(ctx, me, []string{key.ID}), ErrLast)
		if _, err := r.s.NewRecoveryCodes(ctx, me); err != nil {
			t.Fatal(err)
		}
		r.is("the key, with codes", r.s.Stop(ctx, me, []string{key.ID}), nil)
	})
}

// underWay makes what a stop has to end: grants, remembered devices, a sign-in that has the password.
func (r *rig) underWay(me, thief Self) {
	r.t.Helper()
	later := r.clock.Now().Add(time.Hour)
	storetest.Change(r.t, r.s.DB, func(t *store.Tx) error {
		for _, one := range []Self{me, thief} {
			t.CreateGrant(store.Grant{ID: "g" + string(one.Session.ID), Client: "c", User: r.anna.ID, Session: one.Session.ID, Data: "{}", Expires: later})
		}
		f := store.Flow{Flow: flow.Begin("thief", flow.Needs{}, r.clock.Now()), Browser: []byte("b")}
		err := t.CreateFlow(f)
		f.Person, f.Version = r.anna.ID, 2
		return errors.Join(err, t.AdvanceFlow(f, 1), t.AddDevice(store.Device{User: r.anna.ID, Stamp: "s", ExpiresAt: later}, []byte("token")), storetest.Event(t, r.anna.ID))
	})
}

func (r *rig) isOver(me, thief Self) {
	r.t.Helper()
	storetest.View(r.t, r.s.DB, func(t *store.Tx) error {
		mine, err := t.GrantByID("g" + string(me.Session.ID))
		theirs, err2 := t.GrantByID("g" + string(thief.Session.ID))
		open, err3 := t.SessionsOf(r.anna.ID)
		devices, err4 := t.DevicesOf(r.anna.ID)
		if !mine.Revoked.IsZero() || theirs.Revoked.IsZero() || len(open) != 1 || open[0].ID != me.Session.ID || len(devices) != 0 {
			r.t.Errorf("grants revoked %v, %v; sessions %v; devices %v", mine.Revoked, theirs.Revoked, open, devices)
		}
		if _, err := t.SignInByID("thief"); !errors.Is(err, store.ErrNotFound) {
			r.t.Errorf("the sign-in goes on: %v", err)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

// TestAllow: a stop is taken back within 72 hours, by who proves with something that was not stopped.
func TestAllow(t *testing.T) {
	engines(t, func(r *rig) {
		r.passkey(r.anna, "key")
		token := r.token(r.anna)
		me, byKey := r.signIn(r.anna), r.signIn(r.anna, user.MethodSoftKey, user.MethodPresence)
		r.is("an active one", r.s.Allow(ctx, me, token.ID), ErrGone)
		r.is("stop", r.s.Stop(ctx, me, []string{token.ID}), nil)
		r.is("by the lost phone itself", r.s.Allow(ctx, me, token.ID), ErrNotFresh)
		r.is("by a session that was ended", r.s.Allow(ctx, byKey, token.ID), ErrEnded)
		byKey = r.signIn(r.anna, user.MethodSoftKey, user.MethodPresence)
		r.is("by the key", r.s.Allow(ctx, byKey, token.ID), nil)
		r.is("twice", r.s.Allow(ctx, byKey, token.ID), ErrGone)
		if f := r.factors(r.anna)[1]; !f.StoppedAt.IsZero() {
			t.Errorf("%+v", f)
		}
		r.mailed(r.anna, "mail.factor_stopped", "mail.factor_allowed")
		r.is("stop once more", r.s.Stop(ctx, byKey, []string{token.ID}), nil)
		r.clock.Add(72*time.Hour - time.Microsecond)
		if all, err := r.s.Overview(ctx, r.anna); err != nil || !all.Factors[1].Allow || !all.Factors[1].Stopped {
			t.Errorf("%+v (%v)", all.Factors, err)
		}
		r.clock.Add(time.Microsecond)
		late := r.signIn(r.anna, user.MethodSoftKey, user.MethodPresence)
		r.is("after 72 hours", r.s.Allow(ctx, late, token.ID), ErrGone)
		if all, err := r.s.Overview(ctx, r.anna); err != nil || all.Factors[1].Allow || !all.Factors[1].Stopped {
			t.Errorf("%+v (%v)", all.Factors, err)
		}
		r.is("remove it then", r.s.Remove(ctx, late, token.ID), nil)
	})
}

// TestRecoveryCodes: ten, in place of those before; each is the person's own.
func TestRecoveryCodes(t *testing.T) {
	engines(t, func(r *rig) {
		r.token(r.anna)
		me := r.signIn(r.anna)
		first, err := r.s.NewRecoveryCodes(ctx, me)
		second, err2 := r.s.NewRecoveryCodes(ctx, me)
		if err != nil || err2 != nil || len(second) != factor.RecoveryCodes {
			t.Fatalf("%d codes (%v, %v)", len(second), err, err2)
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			for code, want := range map[string]bool{first[0]: false, second[0]: true, strings.ToLower(second[9]): true, "": false} {
				if ok, err := tx.RecoveryCode(r.anna.ID, factor.RecoveryMAC(r.s.Key, string(r.anna.ID), code)); err != nil || ok != want {
					t.Errorf("%q: %v (%v)", code, ok, err)
				}
			}
			left, err := tx.RecoveryCodesLeft(r.anna.ID)
			if left != factor.RecoveryCodes {
				t.Errorf("%d are left", left)
			}
			return err
		})
		r.mailed(r.anna, "mail.recovery_made", "mail.recovery_made")
	})
}

func TestForget(t *testing.T) {
	engines(t, func(r *rig) {
		for _, token := range []string{"one", "two", "three"} {
			storetest.Change(t, r.s.DB, func(t *store.Tx) error {
				return errors.Join(t.AddDevice(store.Device{User: r.anna.ID, Stamp: "s", ExpiresAt: r.clock.Now().Add(time.Hour)}, []byte(token)), storetest.Event(t, r.anna.ID))
			})
		}
		me := r.signIn(r.anna, "pwd", "device")
		left := func(want int) []store.Device {
			t.Helper()
			all, err := r.s.Overview(ctx, r.anna)
			if err != nil || len(all.Devices) != want {
				t.Fatalf("%+v (%v)", all.Devices, err)
			}
			return all.Devices
		}
		first := left(3)[0].ID
		r.is("one", r.s.Forget(ctx, me, first), nil)
		r.is("twice", r.s.Forget(ctx, me, first), ErrGone)
		left(2)
		r.is("all", r.s.Forget(ctx, me, AllDevices), nil)
		left(0)
		if n := len(r.events(r.anna, audit.DeviceForgotten)); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// TestEndsSignIns: a sign-in that may wait for a factor, or have proved it, ends when that is removed or replaced, and with the last
// factor go the remembered browsers.
func TestEndsSignIns(t *testing.T) {
	engines(t, func(r *rig) {
		r.policy(func(p *policy.Policy) { p.Factors.Required = false })
		r.token(r.anna)
		me := r.signIn(r.anna)
		uri, err := r.s.BeginTOTP(ctx, me)
		r.is("begin", err, nil)
		over := func(what string, devices int) {
			t.Helper()
			storetest.View(t, r.s.DB, func(tx *store.Tx) error {
				_, err := tx.SignInByID("thief")
				left, err2 := tx.DevicesOf(r.anna.ID)
				if !errors.Is(err, store.ErrNotFound) || len(left) != devices {
					t.Errorf("%s: sign-in %v, devices %v", what, err, left)
				}
				return err2
			})
		}
		r.underWay(r.signIn(r.anna), r.signIn(r.anna))
		why, err := r.s.AddTOTP(ctx, me, code(t, uri, r.clock.Now()))
		r.says("replace", why, "", err)
		over("replaced", 1)
		storetest.Change(t, r.s.DB, func(t *store.Tx) error { t.ForgetDevices(r.anna.ID); return storetest.Event(t, r.anna.ID) })
		r.underWay(r.signIn(r.anna), r.signIn(r.anna))
		r.is("remove", r.s.Remove(ctx, me, r.factors(r.anna)[0].ID), nil)
		over("removed", 0)
	})
}
