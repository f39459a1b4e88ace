package flow

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

var began = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// play puts verdicts through a new flow.
func play(n Needs, verdicts ...Verdict) (Flow, []audit.Event) {
	f := Begin("f", n, began)
	var all []audit.Event
	for _, v := range verdicts {
		var events []audit.Event
		f, events = Next(f, v, began.Add(time.Minute))
		all = append(all, events...)
	}
	return f, all
}

func kinds(events []audit.Event) []audit.Kind {
	var out []audit.Kind
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

func TestNext(t *testing.T) {
	password := Verdict{Step: Password, Person: "a"}
	has := Verdict{Step: Password, Person: "a", HasFactor: true}
	must := Verdict{Step: Password, Person: "a", MustHave: true}
	wrong := Verdict{Step: Password, Person: "a", Reason: audit.WrongPassword}
	code := Verdict{Step: TOTP, Person: "a"}
	for name, c := range map[string]struct {
		needs    Needs
		verdicts []Verdict
		step     Step
		acr      user.ACR
		kinds    []audit.Kind
	}{
		"password alone":         {Needs{}, []Verdict{password}, Done, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginSucceeded}},
		"has a factor":           {Needs{}, []Verdict{has}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"password and code":      {Needs{}, []Verdict{has, code}, Done, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.LoginProved, audit.LoginSucceeded}},
		"policy demands":         {Needs{}, []Verdict{must}, Enrol, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"request demands":        {Needs{ACR: user.ACR2FA}, []Verdict{password}, Enrol, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"enrolled":               {Needs{}, []Verdict{must, {Step: Enrol, Person: "a"}}, Done, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.FactorEnrolled, audit.LoginProved, audit.LoginSucceeded}},
		"wrong then right":       {Needs{}, []Verdict{wrong, password}, Done, user.ACR1FA, []audit.Kind{audit.LoginFailed, audit.LoginProved, audit.LoginSucceeded}},
		"nobody":                 {Needs{}, []Verdict{{Step: Password}}, Password, user.ACRNone, []audit.Kind{audit.LoginFailed}},
		"not the one asked for":  {Needs{Subject: "b"}, []Verdict{password}, Password, user.ACRNone, []audit.Kind{audit.LoginFailed}},
		"another's code":         {Needs{}, []Verdict{has, {Step: TOTP, Person: "b"}}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
		"code before password":   {Needs{}, []Verdict{code}, Password, user.ACRNone, nil},
		"enrol instead of code":  {Needs{}, []Verdict{has, {Step: Enrol, Person: "a"}}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"password over again":    {Needs{}, []Verdict{has, password}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"done says itself":       {Needs{}, []Verdict{password, {Step: Done, Person: "a"}}, Done, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginSucceeded}},
		"replayed code":          {Needs{}, []Verdict{has, {Step: TOTP, Person: "a", Reason: audit.Replayed}}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
		"disabled":               {Needs{}, []Verdict{{Step: Password, Person: "a", Reason: audit.Disabled}}, Password, user.ACRNone, []audit.Kind{audit.LoginFailed}},
		"a class out of reach":   {Needs{ACR: "phr"}, []Verdict{password}, Enrol, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"a class nobody defined": {Needs{ACR: "nonsense"}, []Verdict{password}, Enrol, user.ACR1FA, []audit.Kind{audit.LoginProved}},
	} {
		f, events := play(c.needs, c.verdicts...)
		if f.Step != c.step || user.Level(f.Proved) != c.acr || !slices.Equal(kinds(events), c.kinds) {
			t.Errorf("%s: at %s with %q, events %v", name, f.Step, user.Level(f.Proved), kinds(events))
		}
	}
}

func TestEnd(t *testing.T) {
	f := Begin("f", Needs{}, began)
	if f, events := Next(f, Verdict{Step: Password, Person: "a"}, began.Add(Life)); f.Step != Dead || len(f.Proved) != 0 || events[0].Reason != audit.Expired {
		t.Errorf("an answer out of time led to %+v, %v", f, events)
	}
	for range MaxFailures - 1 {
		f, _ = Next(f, Verdict{Step: Password, Reason: audit.WrongPassword}, began)
	}
	if f.Step != Password {
		t.Fatalf("dead after %d failures", f.Failures)
	}
	f, events := Next(f, Verdict{Step: Password, Reason: audit.WrongPassword}, began)
	if f.Step != Dead || !slices.Contains(kinds(events), audit.LoginLocked) {
		t.Errorf("the last failure led to %s, %v", f.Step, kinds(events))
	}
	if after, events := Next(f, Verdict{Step: Dead, Person: "a"}, began); !reflect.DeepEqual(after, f) || events != nil {
		t.Error("a dead flow moved")
	}
}

func TestDecide(t *testing.T) {
	strong := user.Session{User: "a", Proved: []user.Method{user.MethodPassword, user.MethodOTP}, AuthTime: began,
		ExpiresAt: began.Add(time.Hour), IdleUntil: began.Add(time.Hour)}
	weak := strong
	weak.Proved = weak.Proved[:1]
	ended := strong
	ended.EndedAt = began
	now := began.Add(time.Minute)
	for name, c := range map[string]struct {
		needs   Needs
		session *user.Session
		want    Decision
	}{
		"nobody":            {Needs{}, nil, SignIn},
		"somebody":          {Needs{}, &strong, Proceed},
		"ended":             {Needs{}, &ended, SignIn},
		"the right one":     {Needs{Subject: "a"}, &strong, Proceed},
		"the wrong one":     {Needs{Subject: "b"}, &strong, WrongOne},
		"too old":           {Needs{After: began.Add(time.Second)}, &strong, SignIn},
		"just fresh enough": {Needs{After: began}, &strong, Proceed},
		"too weak":          {Needs{ACR: user.ACR2FA}, &weak, StepUp},
		"strong enough":     {Needs{ACR: user.ACR2FA}, &strong, Proceed},
		"out of reach":      {Needs{ACR: user.ACRPhR}, &strong, StepUp},
		"undefined class":   {Needs{ACR: "x"}, &strong, StepUp},
	} {
		if got := Decide(c.needs, c.session, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := Decide(Needs{}, &strong, began.Add(time.Hour)); got != SignIn {
		t.Error("an expired session was enough")
	}
}

// FuzzNext: whatever verdicts come in whatever order, a flow is Done only with a right password, and, where the person
// has a factor or must have one, a right code, of the same person, each of them within the life of the flow.
func FuzzNext(f *testing.F) {
	f.Add([]byte{0x10, 0x21}, false)
	f.Add([]byte{0x00, 0x10, 0x32, 0x21, 0x21}, true)
	f.Fuzz(func(t *testing.T, script []byte, strict bool) {
		n := Needs{}
		if strict {
			n = Needs{ACR: user.ACR2FA, Subject: "a"}
		}
		flow := Begin("f", n, began)
		var person user.ID
		var needSecond, second bool
		now := began
		for _, b := range script {
			now = now.Add(time.Duration(b&3) * time.Minute)
			v := Verdict{
				Step:      []Step{Password, TOTP, Enrol, Done, Dead, "", Password, TOTP}[b>>2&7],
				Person:    []user.ID{"a", "b", "", "a"}[b>>5&3],
				HasFactor: b&4 != 0, MustHave: b&8 != 0,
			}
			if b&0x80 != 0 {
				v.Reason = audit.WrongCode
			}
			before := flow
			var events []audit.Event
			flow, events = Next(flow, v, now)
			if before.Over() && !reflect.DeepEqual(before, flow) {
				t.Fatal("a flow that was over moved")
			}
			if (events == nil) != (flow.Version == before.Version) {
				t.Fatal("a change without an event, or an event without a change")
			}
			right := v.Step == before.Step && v.Reason == "" && now.Before(flow.Expires)
			switch {
			case right && v.Step == Password && flow.Person != "" && before.Person == "":
				person, needSecond = v.Person, v.HasFactor || v.MustHave || strict
			case right && (v.Step == TOTP || v.Step == Enrol) && v.Person == person:
				second = true
			}
			if flow.Step == Done && (person == "" || flow.Person != person || needSecond && !second || strict && person != "a") {
				t.Fatalf("done without what was needed: %+v", flow)
			}
			if second != slices.Contains(flow.Proved, user.MethodOTP) {
				t.Fatalf("proved %v, second factor right: %v", flow.Proved, second)
			}
		}
	})
}
