package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

const better = "a quite different password"

// hasPassword gives a person a password, as an administrator may.
func (r *rig) hasPassword(p *store.Person, password string) {
	r.t.Helper()
	phc := ""
	if password != "" {
		var err error
		if phc, err = r.s.Hasher.Hash(ctx, password); err != nil {
			r.t.Fatal(err)
		}
	}
	storetest.Change(r.t, r.s.DB, func(t *store.Tx) error { return t.SetPassword(p.ID, "", phc, "", "") })
}

// knows reports whether password is the person's.
func (r *rig) knows(p *store.Person, password string) bool {
	r.t.Helper()
	var now *store.Person
	storetest.View(r.t, r.s.DB, func(t *store.Tx) (err error) { now, err = t.PersonByID(p.ID); return err })
	right, _, err := r.s.Hasher.Check(ctx, password, now.Password)
	if err != nil {
		r.t.Fatal(err)
	}
	return right
}

// change changes a password and gives why it did not.
func (r *rig) change(s *Service, me Self, current, next string) (audit.Reason, error) {
	r.t.Helper()
	out, err := s.ChangePassword(ctx, me, PasswordForm{current, next, next})
	return out.Reason, err
}

// TestChangePassword (SE-04): for a right present password; every other session ends with what came of it, no browser is remembered, links
// are worthless, and the present session has a new secret and is no fresher.
func TestChangePassword(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		me, thief := r.signIn(r.anna, user.MethodPassword), r.signIn(r.anna, user.MethodPassword)
		r.clock.Add(time.Hour) // not fresh
		r.underWay(me, thief)
		reset := link(t, r.s, LinkReset, r.anna.ID, time.Hour)
		out, err := r.s.ChangePassword(ctx, me, PasswordForm{good, better, better})
		if err != nil || out.Reason != "" || out.Secret == "" {
			t.Fatalf("%+v (%v)", out, err)
		}
		if r.knows(r.anna, good) || !r.knows(r.anna, better) {
			t.Error("the password is not the new one")
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			_, _, old := tx.SessionByToken([]byte("token " + me.Session.ID))
			now, p, err := tx.SessionByToken(store.HashToken(out.Secret))
			if !errors.Is(old, store.ErrNotFound) || err != nil || p.ID != r.anna.ID || now.ID != me.Session.ID || !now.AuthTime.Equal(me.Session.AuthTime) ||
				!now.ExpiresAt.Equal(me.Session.ExpiresAt) || len(now.Proved) != 1 {
				t.Errorf("by the old secret: %v; by the new %+v (%v)", old, now, err)
			}
			mine, err := tx.GrantByID("g" + string(me.Session.ID))
			theirs, err2 := tx.GrantByID("g" + string(thief.Session.ID))
			open, err3 := tx.SessionsOf(r.anna.ID)
			devices, err4 := tx.DevicesOf(r.anna.ID)
			if !mine.Revoked.IsZero() || theirs.Revoked.IsZero() || len(open) != 1 || len(devices) != 0 {
				t.Errorf("grants revoked %v, %v; sessions %v; devices %v", mine.Revoked, theirs.Revoked, open, devices)
			}
			return errors.Join(err, err2, err3, err4)
		})
		if _, err := r.s.ReadLink(ctx, reset); !errors.Is(err, ErrLinkGone) {
			t.Errorf("RS-03: a link from before: %v", err)
		}
		r.is("a factor now", r.s.Remove(ctx, me, "x"), ErrNotFresh)
		_, err = r.change(r.other, thief, better, good)
		r.is("the thief", err, ErrEnded)
		r.mailed(r.anna, "mail.password_changed")
		if all := r.events(r.anna, audit.PasswordChanged); len(all) != 2 || all[1].Actor != string(r.anna.ID) || all[1].Outcome != audit.Success {
			t.Errorf("the trail has %+v", all)
		}
	})
}

// TestPasswordRefusals: nothing changes, and only a wrong present password spends a try.
func TestPasswordRefusals(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		me := r.signIn(r.anna, user.MethodPassword)
		before := r.state(r.anna)
		for what, c := range map[string]struct {
			form PasswordForm
			want error
		}{
			"no present one": {PasswordForm{"", better, better}, ErrMissing},
			"no new one":     {PasswordForm{good, "", ""}, ErrMissing},
			"not repeated":   {PasswordForm{good, better, ""}, ErrMissing},
			"two":            {PasswordForm{good, better, good}, ErrMismatch},
			"short":          {PasswordForm{good, "hunter2", "hunter2"}, factor.ErrTooShort},
			"long":           {PasswordForm{good, strings.Repeat("x", 300), strings.Repeat("x", 300)}, factor.ErrTooLong},
			"not text":       {PasswordForm{good, "\xff\xfe is not text at all", "\xff\xfe is not text at all"}, factor.ErrNotText},
			"short, wrong":   {PasswordForm{"wrong", "hunter2", "hunter2"}, factor.ErrTooShort},
		} {
			_, err := r.s.ChangePassword(ctx, me, c.form)
			r.is(what, err, c.want)
		}
		for i, wrong := range []string{better, " " + good, strings.Repeat("long ", 600), "\xff\xfe\x00", strings.ToUpper(good)} {
			why, err := r.change([]*Service{r.s, r.other}[i%2], me, wrong, better)
			r.says(fmt.Sprintf("%.10q", wrong), why, audit.WrongPassword, err)
		}
		out, err := r.s.ChangePassword(ctx, me, PasswordForm{good, better, better})
		r.says("right after five wrong ones", out.Reason, audit.Delayed, err)
		if out.Wait != 3*time.Minute {
			t.Errorf("the wait is %v", out.Wait)
		}
		if after := r.state(r.anna); after != before || !r.knows(r.anna, good) {
			t.Errorf("from %s to %s", before, after)
		}
		trail := map[audit.Reason]int{}
		for _, e := range r.events(r.anna, audit.PasswordChanged) {
			trail[e.Reason]++
			if e.Reason != "" && (e.Outcome != audit.Refused || e.Session != string(me.Session.ID)) {
				t.Errorf("the trail has %+v", e)
			}
		}
		if trail[audit.WrongPassword] != 5 || trail[audit.Delayed] != 1 {
			t.Errorf("the trail has %v", trail)
		}
		r.mailed(r.anna)
		r.clock.Add(3 * time.Minute)
		why, err := r.change(r.s, me, good, good)
		r.says("right", why, "", err)
	})
}

// TestPasswordNeedsFactor: who knows the password, and has a session that the factor was not asked for in, must not keep its owner out.
func TestPasswordNeedsFactor(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		factor := r.token(r.anna)
		for what, proved := range map[string][]user.Method{
			"password":     {user.MethodPassword},
			"remembered":   {user.MethodPassword, user.MethodDevice},
			"and a factor": {user.MethodPassword, user.MethodOTP, user.MethodDevice},
			"text alone":   {user.MethodSMS},
		} {
			me := r.signIn(r.anna, proved...)
			_, err := r.s.PasswordRules(ctx, me)
			r.is(what, err, ErrNotFresh)
			_, err = r.change(r.s, me, good, better)
			r.is(what, err, ErrNotFresh)
		}
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error {
			return tx.StopFactors(r.anna.ID, []store.Factor{factor}, "", audit.Lost)
		})
		_, err := r.change(r.s, r.signIn(r.anna, user.MethodPassword), good, better)
		r.is("a stopped factor is one too", err, ErrNotFresh)
		if !r.knows(r.anna, good) {
			t.Error("the password changed")
		}
		for what, proved := range map[string][]user.Method{"two": {user.MethodPassword, user.MethodOTP}, "a passkey": {user.MethodSoftKey, user.MethodPresence}} {
			me := r.signIn(r.anna, proved...)
			r.clock.Add(time.Hour)
			if rules, err := r.s.PasswordRules(ctx, me); err != nil || rules.MinLength == 0 {
				t.Errorf("%s: %+v (%v)", what, rules, err)
			}
			why, err := r.change(r.s, me, good, good)
			r.says(what, why, "", err)
		}
	})
}

// TestNoPassword: who has none is not asked for it, and none is right.
func TestNoPassword(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, "")
		me := r.signIn(r.anna, user.MethodSoftKey)
		_, err := r.s.PasswordRules(ctx, me)
		r.is("the page", err, ErrNoPassword)
		_, err = r.change(r.s, me, "anything at all", better)
		r.is("the change", err, ErrNoPassword)
		r.hasPassword(r.anna, good)
		_, err = r.change(r.s, me, good, better)
		r.is("a session from before", err, ErrEnded)
	})
}

// TestPasswordRace (CR-04): of changes at once one wins, in one session and in several, and the wrong ones are all counted.
func TestPasswordRace(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		me, elsewhere := r.signIn(r.anna), r.signIn(r.anna)
		rival := func(s *Service, me Self, current, next string) func() error {
			return func() error {
				why, err := r.change(s, me, current, next)
				if err == nil && why != "" || errors.Is(err, ErrOvertaken) || errors.Is(err, ErrEnded) {
					err = errRefused
				}
				return err
			}
		}
		if n := r.won(race(rival(r.s, me, good, "the first new password"), rival(r.other, me, good, "the second new password"), rival(r.s, elsewhere, good, "the third new password"),
			rival(r.other, elsewhere, good, "the fourth new password")), errRefused); n != 1 {
			t.Errorf("%d of 4 changes won", n)
		}
		if r.knows(r.anna, good) || len(r.events(r.anna, audit.PasswordChanged)) < 2 {
			t.Error("nothing changed")
		}
		r.mailed(r.anna, "mail.password_changed")

		r.hasPassword(r.anna, good)
		r.clock.Add(15 * time.Minute) // a rival that came late found its password wrong
		me = r.signIn(r.anna)
		var guesses []func() error
		for i := range 24 {
			guesses = append(guesses, rival([]*Service{r.s, r.other}[i%2], me, fmt.Sprint("guess number ", i), better))
		}
		race(guesses...)
		told := map[audit.Reason]int{}
		for _, e := range r.events(r.anna, audit.PasswordChanged) {
			if e.Session == string(me.Session.ID) {
				told[e.Reason]++
			}
		}
		if told[audit.WrongPassword] != 5 || told[audit.Delayed] != 19 {
			t.Errorf("LK-03: of 24 guesses %v", told)
		}
	})
}

// TestOvertaken: who meets a password that was changed after theirs was found right is told so.
func TestOvertaken(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		me := r.signIn(r.anna)
		p, _, err := r.s.ownPassword(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		why, err := r.change(r.other, me, good, better) // the session goes on
		r.says("the first", why, "", err)
		err = r.s.held(ctx, me, func(w work) error {
			_, _, err := r.s.setOwn(w, p, passwords.Made{PHC: "$argon2id$other"})
			return err
		})
		r.is("the second", err, ErrGone) // which ChangePassword calls ErrOvertaken
		if !r.knows(r.anna, better) {
			t.Error("the second won")
		}
	})
}
