package account

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

var ctx = context.Background()

func TestFresh(t *testing.T) {
	began := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		proved []user.Method
		has    bool
		age    time.Duration
		want   bool
	}{
		"password, no factor yet":   {[]user.Method{"pwd"}, false, 5 * time.Minute, true},
		"password alone":            {[]user.Method{"pwd"}, true, 0, false},
		"two":                       {[]user.Method{"pwd", "otp"}, true, 5 * time.Minute, true},
		"two, too long ago":         {[]user.Method{"pwd", "otp"}, true, 5*time.Minute + time.Microsecond, false},
		"too long ago, no factor":   {[]user.Method{"pwd"}, false, 6 * time.Minute, false},
		"a remembered browser":      {[]user.Method{"pwd", "device"}, true, 0, false},
		"a remembered one and more": {[]user.Method{"pwd", "device", "otp"}, true, 0, false},
		"a passkey alone":           {[]user.Method{"swk", "user"}, true, time.Minute, true},
		"a recovery code":           {[]user.Method{"pwd", "recovery", "otp"}, true, time.Minute, true},
		"nothing":                   {nil, true, 0, false},
	} {
		if got := Fresh(user.Session{Proved: c.proved, AuthTime: began}, c.has, began.Add(c.age)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// changes are all that a person may do to their factors, on factor id.
func (r *rig) changes(me Self, id string) map[string]func() error {
	s := r.s
	reason := func(why audit.Reason, err error) error { return err }
	return map[string]func() error{
		"begin a soft token": func() error { _, err := s.BeginTOTP(ctx, me); return err },
		"add a soft token":   func() error { return reason(s.AddTOTP(ctx, me, "123456")) },
		"see a number":       func() error { _, err := s.Number(ctx, me); return err },
		"send to a number":   func() error { return s.SendNumber(ctx, me, "070-174 06 05", "sv", 0) },
		"add a number":       func() error { return reason(s.AddNumber(ctx, me, "123456")) },
		"begin a passkey":    func() error { _, err := s.BeginPasskey(ctx, me); return err },
		"add a passkey":      func() error { return reason(s.AddPasskey(ctx, me, []byte("{}"), "x")) },
		"rename":             func() error { return s.Rename(ctx, me, id, "mine now") },
		"remove":             func() error { return s.Remove(ctx, me, id) },
		"stop":               func() error { return s.Stop(ctx, me, []string{id}) },
		"see what to stop":   func() error { _, err := s.Stoppable(ctx, me); return err },
		"allow":              func() error { return s.Allow(ctx, me, id) },
		"recovery codes":     func() error { _, err := s.NewRecoveryCodes(ctx, me); return err },
	}
}

// TestNotFresh: no change comes from a session that is old, was proved by the password alone or a remembered browser, or is over; and
// none of them leaves a trace (threats MF-05 a, c).
func TestNotFresh(t *testing.T) {
	engines(t, func(r *rig) {
		key := r.passkey(r.anna, "key")
		old, ended, expired := r.signIn(r.anna), r.signIn(r.anna), r.signIn(r.anna)
		expired.Session.ExpiresAt = r.clock.Now()
		storetest.Change(t, r.s.DB, func(t *store.Tx) error { _, err := t.EndSession(ended.Session.ID, audit.Logout); return err })
		r.clock.Add(5*time.Minute + time.Second)
		ended.Session.AuthTime = r.clock.Now() // as a page had it that was loaded before the end
		another := r.signIn(r.eve)
		another.Person = r.anna // a session that is not theirs
		for name, c := range map[string]struct {
			me   Self
			want error
		}{
			"old": {old, ErrNotFresh}, "password": {r.signIn(r.anna, "pwd"), ErrNotFresh}, "remembered": {r.signIn(r.anna, "pwd", "device"), ErrNotFresh},
			"ended": {ended, ErrEnded}, "another's": {another, ErrEnded},
		} {
			before := r.state(r.anna)
			for change, do := range r.changes(c.me, key.ID) {
				err := do()
				if c.want == ErrEnded && err == nil && (change == "see a number" || change == "see what to stop" || change[:3] == "add") {
					continue // they read, or find nothing to answer
				}
				r.is(name+", "+change, err, c.want)
			}
			if after := r.state(r.anna); after != before {
				t.Errorf("%s: from %s to %s", name, before, after)
			}
		}
		needs, err := r.s.Again(ctx, old)
		if err != nil || needs.ACR != user.ACR2FA || needs.Subject != r.anna.ID || !needs.After.Equal(r.s.DB.Now().Add(-5*time.Minute)) {
			t.Errorf("to be fresh again: %+v (%v)", needs, err)
		}
		if fresh := r.signIn(r.anna); r.s.Rename(ctx, fresh, key.ID, "mine") != nil {
			t.Error("a fresh session could not")
		}
		r.mailed(r.anna)
	})
}

// TestPasswordIsEnough: who has no factor adds the first one with the password alone, and needs it from then on.
func TestPasswordIsEnough(t *testing.T) {
	engines(t, func(r *rig) {
		me := r.signIn(r.anna, "pwd")
		needs, err := r.s.Again(ctx, me)
		if err != nil || needs.ACR != user.ACRNone {
			t.Errorf("%+v (%v)", needs, err)
		}
		if _, err := r.s.BeginTOTP(ctx, me); err != nil {
			t.Error(err)
		}
		if _, err := r.s.NewRecoveryCodes(ctx, me); !errors.Is(err, ErrMissing) {
			t.Errorf("codes that wait for a factor: %v", err)
		}
		r.token(r.anna)
		if _, err := r.s.BeginTOTP(ctx, me); !errors.Is(err, ErrNotFresh) {
			t.Errorf("with a factor meanwhile: %v", err)
		}
	})
}

// TestAnothersFactor: the id of somebody else's factor or device is that of none (threats MF-05 d).
func TestAnothersFactor(t *testing.T) {
	engines(t, func(r *rig) {
		key := r.passkey(r.anna, "key")
		storetest.Change(t, r.s.DB, func(t *store.Tx) error {
			return errors.Join(t.AddDevice(store.Device{User: r.anna.ID, Stamp: "s", ExpiresAt: r.clock.Now().Add(time.Hour)}, []byte("token")), storetest.Event(t, r.anna.ID))
		})
		all, err := r.s.Overview(ctx, r.anna)
		if err != nil || len(all.Devices) != 1 {
			t.Fatalf("%+v (%v)", all, err)
		}
		before, me := r.state(r.anna), r.signIn(r.eve)
		for _, id := range []string{key.ID, "", "nobody's", "\x00"} {
			changes := r.changes(me, id)
			for _, name := range []string{"rename", "remove", "stop", "allow"} {
				r.is(name, changes[name](), ErrGone)
			}
		}
		for _, id := range []string{all.Devices[0].ID, "nobody's"} {
			r.is("forget", r.s.Forget(ctx, me, id), ErrGone)
		}
		r.is("forget all of mine", r.s.Forget(ctx, me, AllDevices), nil)
		r.is("stop all of mine and one of hers", r.s.Stop(ctx, me, []string{r.factors(r.eve)[0].ID, key.ID}), ErrGone)
		if after := r.state(r.anna); after != before {
			t.Errorf("from %s to %s", before, after)
		}
		if f := r.factors(r.eve)[0]; !f.StoppedAt.IsZero() {
			t.Error("a stop that was refused stopped something")
		}
	})
}

// TestKinds: what policy does not allow, or this service cannot, is not added, also when it was begun before.
func TestKinds(t *testing.T) {
	engines(t, func(r *rig) {
		me := r.signIn(r.anna)
		uri, err := r.s.BeginTOTP(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		r.policy(func(p *policy.Policy) { p.Factors.Allowed = []user.FactorKind{user.FactorPasskey} })
		changes := r.changes(me, "")
		for _, name := range []string{"begin a soft token", "add a soft token", "see a number", "send to a number", "add a number"} {
			r.is(name, changes[name](), ErrKind)
		}
		_, err = r.s.AddTOTP(ctx, me, code(t, uri, r.clock.Now()))
		r.is("with the right code", err, ErrKind)
		if all, err := r.s.Overview(ctx, r.anna); err != nil || len(all.Add) != 1 || all.Add[0] != user.FactorPasskey {
			t.Errorf("offered: %v (%v)", all.Add, err)
		}
		if len(r.factors(r.anna)) != 0 {
			t.Error("something was added")
		}
	})
}
