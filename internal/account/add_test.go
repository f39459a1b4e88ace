package account

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func code(t *testing.T, uri string, now time.Time) string {
	t.Helper()
	token, err := factor.ParseTOTP(uri)
	if err != nil {
		t.Fatal(err)
	}
	return token.Code(now)
}

// TestAddTOTP: a secret is the person's when its first code was right, and not before (threats MF-04); the code counts as used.
func TestAddTOTP(t *testing.T) {
	engines(t, func(r *rig) {
		me := r.signIn(r.anna)
		uri, err := r.s.BeginTOTP(ctx, me)
		again, err2 := r.other.BeginTOTP(ctx, me)
		if err != nil || err2 != nil || uri != again || !strings.HasPrefix(uri, "otpauth://totp/Exempelbolaget:anna?") {
			t.Fatalf("%s and then %s (%v, %v)", uri, again, err, err2)
		}
		if elsewhere, err := r.s.BeginTOTP(ctx, r.signIn(r.anna, "pwd")); err != nil || elsewhere == uri {
			t.Errorf("another session has the same secret (%v)", err)
		}
		if len(r.factors(r.anna)) != 0 {
			t.Error("a half-enrolled secret is a factor")
		}
		why, err := r.s.AddTOTP(ctx, me, "000000")
		r.says("wrong", why, audit.WrongCode, err)
		right := code(t, uri, r.clock.Now())
		why, err = r.s.AddTOTP(ctx, r.signIn(r.anna, "pwd"), right)
		r.says("in another session", why, audit.Expired, err)
		results := race(adds(r.s, me, right), adds(r.other, me, right), adds(r.s, me, right), adds(r.other, me, right))
		if n := r.won(results, errRefused); n != 1 {
			t.Errorf("%d of 4 rivals added it", n)
		}
		all := r.factors(r.anna)
		if len(all) != 1 || all[0].Secret != uri || all[0].Counter != r.clock.Now().Unix()/30 {
			t.Fatalf("%+v", all)
		}
		strong := r.signIn(r.anna)
		why, err = r.s.AddTOTP(ctx, strong, right)
		r.says("nothing was begun", why, audit.Expired, err)
		r.mailed(r.anna, "mail.factor_added")
		trail := map[audit.Reason]int{}
		for _, e := range r.events(r.anna, audit.FactorEnrolled) {
			trail[e.Reason]++
			if e.Actor != string(r.anna.ID) || e.Session == "" || (e.Reason == "") != (e.Outcome == audit.Success) {
				t.Errorf("the trail has %+v", e)
			}
		}
		if trail[""] != 1 || trail[audit.WrongCode] != 1 {
			t.Errorf("the trail has %v", trail)
		}
		r.replaceTOTP(strong, uri)
	})
}

// replaceTOTP: another secret takes the place of the first, and a sign-in that waits for a code of the first is over.
func (r *rig) replaceTOTP(me Self, was string) {
	r.t.Helper()
	uri, err := r.s.BeginTOTP(ctx, me)
	if err != nil || uri == was {
		r.t.Fatalf("the same secret again (%v)", err)
	}
	r.clock.Add(4 * time.Minute)
	why, err := r.s.AddTOTP(ctx, me, code(r.t, uri, r.clock.Now()))
	r.says("in place of the first", why, "", err)
	if all := r.factors(r.anna); len(all) != 1 || all[0].Secret != uri {
		r.t.Errorf("%+v", all)
	}
	late := r.signIn(r.anna)
	if uri, err = r.s.BeginTOTP(ctx, late); err != nil {
		r.t.Fatal(err)
	}
	r.clock.Add(15 * time.Minute)
	late.Session.AuthTime = r.clock.Now() // proved anew meanwhile
	why, err = r.s.AddTOTP(ctx, late, code(r.t, uri, r.clock.Now()))
	r.says("after 15 minutes", why, audit.Expired, err)
}

var errRefused = errors.New("refused")

func adds(s *Service, me Self, code string) func() error {
	return func() error {
		why, err := s.AddTOTP(ctx, me, code)
		if err == nil && why != "" {
			err = errRefused
		}
		return err
	}
}

// TestCodesAreCounted: ten wrong codes in 15 minutes, together with those at sign-in, whatever the session (threats OT-04).
func TestCodesAreCounted(t *testing.T) {
	engines(t, func(r *rig) {
		me := r.signIn(r.anna, "pwd")
		uri, err := r.s.BeginTOTP(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Change(t, r.s.DB, func(t *store.Tx) error { // three at sign-in
			for range 3 {
				if _, err := t.TakeAttempt(string(r.anna.ID)+":totp", 10, 15*time.Minute, true); err != nil {
					return err
				}
			}
			return storetest.Event(t, r.anna.ID)
		})
		for range 7 {
			why, err := r.s.AddTOTP(ctx, me, "000000")
			r.says("wrong", why, audit.WrongCode, err)
		}
		for range 3 {
			why, err := r.other.AddTOTP(ctx, me, code(t, uri, r.clock.Now()))
			r.says("over the limit", why, audit.Delayed, err)
		}
		r.clock.Add(14 * time.Minute)
		me.Session.AuthTime = r.clock.Now()
		why, err := r.s.AddTOTP(ctx, me, code(t, uri, r.clock.Now()))
		r.says("still", why, audit.Delayed, err)
		r.clock.Add(time.Minute)
		fresh := r.signIn(r.anna, "pwd")
		if uri, err = r.s.BeginTOTP(ctx, fresh); err != nil {
			t.Fatal(err)
		}
		why, err = r.s.AddTOTP(ctx, fresh, code(t, uri, r.clock.Now()))
		r.says("later", why, "", err)
	})
}

// TestAddNumber: a number is the person's when they have the code that went to it, in this session, once, in time (threats OT-05, OT-06, SM-02).
func TestAddNumber(t *testing.T) {
	engines(t, func(r *rig) {
		me := r.signIn(r.anna, "pwd")
		for raw, want := range map[string]error{"": ErrMissing, "12": notify.ErrNumber, "070-174 06 05 ext 4": notify.ErrNumber, "08-123 45 67": notify.ErrNumber,
			"+47 406 12 345": notify.ErrCountry, "+1 202 555 0123": notify.ErrCountry, "112": notify.ErrNumber} {
			r.is(raw, r.send(me, raw, "sv"), want)
		}
		if n, err := r.s.Number(ctx, me); err != nil || n != (Number{}) {
			t.Errorf("something waits: %+v (%v)", n, err)
		}
		r.is("a good one", r.send(me, "0046 70 174 06 05", "sv"), nil)
		to, first := r.text(1)
		n, err := r.s.Number(ctx, me)
		if err != nil || to != "+46701740605" || strings.Contains(n.Masked, "174") || !strings.HasSuffix(n.Masked, "05") || len(n.Mark) != 2 {
			t.Errorf("%s, %+v (%v)", to, n, err)
		}
		why, err := r.s.AddNumber(ctx, r.signIn(r.anna, "pwd"), first)
		r.says("in another session", why, audit.Expired, err)
		eve := r.signIn(r.eve)
		r.is("eve's own", r.send(eve, "070-174 06 05", "sv"), nil)
		r.text(2)
		why, err = r.s.AddNumber(ctx, eve, first)
		r.says("anna's code", why, audit.WrongCode, err)
		r.is("once more", r.send(me, "", "sv"), nil)
		_, second := r.text(3)
		if first != second {
			why, err = r.s.AddNumber(ctx, me, first)
			r.says("the one before", why, audit.WrongCode, err)
		}
		if len(r.factors(r.anna)) != 0 {
			t.Error("a number that was not confirmed is a factor")
		}
		why, err = r.s.AddNumber(ctx, me, second[:3]+" "+second[3:])
		r.says("the last", why, "", err)
		if all := r.factors(r.anna); len(all) != 1 || all[0].Secret != "+46701740605" || all[0].Kind != user.FactorSMS {
			t.Errorf("%+v", all)
		}
		strong := r.signIn(r.anna)
		why, err = r.s.AddNumber(ctx, strong, second)
		r.says("twice", why, audit.Expired, err)
		r.mailed(r.anna, "mail.factor_added")
		r.changeNumber(strong)
	})
}

// send sends from the page as it stands, and presses the button twice.
func (r *rig) send(me Self, raw, lang string) error {
	r.t.Helper()
	n, err := r.s.Number(ctx, me)
	if err != nil {
		r.t.Fatal(err)
	}
	sent := r.s.SendNumber(ctx, me, raw, lang, n.Version)
	if after, err := r.s.Number(ctx, me); sent == nil {
		if err != nil || after.Version == n.Version {
			r.t.Errorf("sent, and the version stays %d (%v)", n.Version, err)
		}
		r.is("twice", r.s.SendNumber(ctx, me, raw, lang, n.Version), nil)
		if twice, err := r.s.Number(ctx, me); err != nil || twice.Mark != after.Mark || twice.Version != after.Version {
			r.t.Errorf("the second press sent another message (%v)", err)
		}
	}
	return sent
}

// changeNumber: another number takes the place of the first; its code ends after five minutes, and with the wish for another.
func (r *rig) changeNumber(me Self) {
	r.t.Helper()
	r.is("another", r.send(me, "+46 70 174 06 06", "en"), nil)
	_, code := r.text(4)
	r.is("and yet another", r.s.DropNumber(ctx, me), nil)
	why, err := r.s.AddNumber(ctx, me, code)
	r.says("the one that was given up", why, audit.Expired, err)
	r.is("no number waits", r.send(me, "", "en"), ErrMissing)
	r.is("late", r.send(me, "+46701740607", "en"), nil)
	_, code = r.text(5)
	r.clock.Add(5 * time.Minute)
	me.Session.AuthTime = r.clock.Now()
	why, err = r.s.AddNumber(ctx, me, code)
	r.says("after five minutes", why, audit.Expired, err)
	r.is("at last", r.send(me, "+46701740607", "en"), nil)
	_, code = r.text(6)
	if all := r.factors(r.anna); len(all) != 1 || all[0].Secret != "+46701740605" {
		r.t.Errorf("before it was confirmed: %+v", all)
	}
	why, err = r.s.AddNumber(ctx, me, code)
	r.says("confirmed", why, "", err)
	if all := r.factors(r.anna); len(all) != 1 || all[0].Secret != "+46701740607" {
		r.t.Errorf("%+v", all)
	}
	r.mailed(r.anna, "mail.number_changed")
	for range 10 {
		n, err := r.s.Number(ctx, me)
		r.is("where it stands", err, nil)
		r.is("over the limit", r.s.SendNumber(ctx, me, "+46701740608", "en", n.Version), nil)
	}
	if n, err := r.s.Number(ctx, me); err != nil || n.State != store.Kept {
		r.t.Errorf("%+v (%v)", n, err)
	}
}

// TestNoTextMessages: a service without them adds no number, and a number is nothing to sign in with.
func TestNoTextMessages(t *testing.T) {
	r := &rig{t: t, clock: storetest.NewClock()}
	r.s = r.service(storetest.SQLite(t), "off")
	r.anna = r.person("anna")
	me := r.signIn(r.anna)
	r.is("send", r.s.SendNumber(ctx, me, "070-174 06 05", "sv", 0), notify.ErrOff)
	_, err := r.s.Number(ctx, me)
	r.is("see", err, notify.ErrOff)
	_, err = r.s.AddNumber(ctx, me, "123456")
	r.is("add", err, ErrKind)
	r.give(r.anna, store.Factor{Kind: user.FactorSMS, Secret: "+46701740605"})
	token := r.token(r.anna)
	r.is("remove the soft token", r.s.Remove(ctx, me, token.ID), ErrLast)
	if all, err := r.s.Overview(ctx, r.anna); err != nil || len(all.Add) != 2 {
		t.Errorf("offered: %v (%v)", all.Add, err)
	}
}

// TestAddPasskey: one answer a ceremony, right or wrong, of this session, in time (threats WA-01, WA-02, WA-06).
func TestAddPasskey(t *testing.T) {
	engines(t, func(r *rig) {
		me, phone := r.signIn(r.anna), factortest.New("https://login.example.se")
		make := func(by *factortest.Authenticator, me Self) []byte {
			t.Helper()
			options, err := r.s.BeginPasskey(ctx, me)
			if err != nil {
				t.Fatal(err)
			}
			response, err := by.Create(options)
			if err != nil {
				t.Fatal(err)
			}
			return response
		}
		why, err := r.s.AddPasskey(ctx, me, []byte("{}"), "")
		r.says("nothing was begun", why, audit.Expired, err)
		first := make(factortest.New("https://login.example.se"), me)
		right := make(phone, me)
		why, err = r.s.AddPasskey(ctx, me, first, "")
		r.says("of the ceremony before", why, audit.WrongCode, err)
		why, err = r.s.AddPasskey(ctx, me, right, "")
		r.says("after a wrong answer", why, audit.Expired, err)
		evil := factortest.New("https://login.example.se.evil.example")
		why, err = r.s.AddPasskey(ctx, me, make(evil, me), "")
		r.says("of another site", why, audit.WrongCode, err)
		right = make(phone, me)
		why, err = r.s.AddPasskey(ctx, r.signIn(r.anna, "pwd"), right, "")
		r.says("in another session", why, audit.Expired, err)
		for _, name := range []string{strings.Repeat("å", 65), "\xff", "a\nb"} {
			_, err = r.s.AddPasskey(ctx, me, right, name)
			r.is(name, err, user.ErrName)
		}
		if len(r.factors(r.anna)) != 0 {
			t.Error("there is a passkey already")
		}
		rival := func(s *Service) func() error {
			return func() error {
				why, err := s.AddPasskey(ctx, me, right, " Annas nyckel ")
				if err == nil && why != "" {
					err = errRefused
				}
				return err
			}
		}
		if n := r.won(race(rival(r.s), rival(r.other), rival(r.s), rival(r.other)), errRefused); n != 1 {
			t.Errorf("%d of 4 rivals added it", n)
		}
		all := r.factors(r.anna)
		if len(all) != 1 || all[0].Name != "Annas nyckel" || len(all[0].Handle) == 0 {
			t.Fatalf("%+v", all)
		}
		r.mailed(r.anna, "mail.factor_added")
		r.takenPasskey(phone, all[0].Handle)
	})
}

// takenPasskey: one that somebody has is nobody else's, and not theirs a second time.
func (r *rig) takenPasskey(phone *factortest.Authenticator, handle []byte) {
	r.t.Helper()
	eve, before := r.signIn(r.eve), r.state(r.anna)
	forged := factortest.New("https://login.example.se")
	forged.CredentialID = handle
	options, err := r.s.BeginPasskey(ctx, eve)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := forged.Create(options)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.s.AddPasskey(ctx, eve, response, "")
	r.is("anna's, as eve's", err, ErrTaken)
	why, err := r.s.AddPasskey(ctx, eve, response, "")
	r.says("once more", why, audit.Expired, err)
	if after := r.state(r.anna); after != before || len(r.factors(r.eve)) != 1 {
		r.t.Errorf("from %s to %s", before, after)
	}
	me := r.signIn(r.anna)
	if options, err = r.s.BeginPasskey(ctx, me); err != nil {
		r.t.Fatal(err)
	}
	if _, err := phone.Create(options); !errors.Is(err, factortest.ErrExcluded) {
		r.t.Errorf("the options do not exclude what anna has: %v", err)
	}
	if options, err = r.s.BeginPasskey(ctx, me); err != nil {
		r.t.Fatal(err)
	}
	other, err := factortest.New("https://login.example.se").Create(options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.clock.Add(5 * time.Minute)
	why, err = r.s.AddPasskey(ctx, me, other, "")
	r.says("after five minutes", why, audit.Expired, err)
	if all := r.factors(r.anna); len(all) != 1 || !bytes.Equal(all[0].Handle, handle) {
		r.t.Errorf("%+v", all)
	}
}
