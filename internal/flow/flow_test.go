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
	enrols := []Step{Enrol, EnrolPasskey}
	means := func(m Means) Verdict { m.Enrols = enrols; return Verdict{Step: Password, Person: "a", Means: m} }
	has := means(Means{Has: true, Ways: []Step{TOTP}})
	must := means(Means{Must: true})
	key := Verdict{Step: Password, Person: "a", Key: user.MethodSoftKey, Means: Means{Has: true, Ways: []Step{Passkey}}}
	all := means(Means{Has: true, Ways: []Step{Passkey, TOTP, SMS, Recovery}})
	lost := means(Means{Has: true, Ways: []Step{Recovery}})
	touch := Verdict{Step: Passkey, Person: "a", Key: user.MethodSoftKey}
	newKey := Verdict{Step: EnrolPasskey, Person: "a", Key: user.MethodSoftKey}
	remembered := has
	remembered.Device = true
	renew := has
	renew.Means.Renew = true
	strict := has
	strict.Means.Minimum = user.ACRPhR
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
		"request demands":        {Needs{ACR: user.ACR2FA}, []Verdict{means(Means{})}, Enrol, user.ACR1FA, []audit.Kind{audit.LoginProved}},
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
		"a class out of reach":   {Needs{ACR: "phrh"}, []Verdict{password}, Stuck, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
		"a class nobody defined": {Needs{ACR: "nonsense"}, []Verdict{must}, Stuck, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
		"passkey alone":          {Needs{}, []Verdict{key}, Done, user.ACRPhR, []audit.Kind{audit.LoginProved, audit.LoginSucceeded}},
		"passkey second":         {Needs{}, []Verdict{all, touch}, Done, user.ACRPhR, []audit.Kind{audit.LoginProved, audit.LoginProved, audit.LoginSucceeded}},
		"no key in the verdict":  {Needs{}, []Verdict{all, {Step: Passkey, Person: "a"}}, Passkey, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
		"phr with a code only":   {Needs{ACR: user.ACRPhR}, []Verdict{has, code}, EnrolPasskey, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.LoginProved}},
		"phr by policy":          {Needs{}, []Verdict{strict, code, newKey}, Done, user.ACRPhR, []audit.Kind{audit.LoginProved, audit.LoginProved, audit.FactorEnrolled, audit.LoginProved, audit.LoginSucceeded}},
		"a code is not phr":      {Needs{ACR: user.ACRPhR}, []Verdict{all, {Step: TOTP, Person: "a"}}, Passkey, user.ACR1FA, []audit.Kind{audit.LoginProved}},
		"remembered":             {Needs{}, []Verdict{remembered}, Done, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginProved, audit.LoginSucceeded}},
		"remembered is not 2fa":  {Needs{ACR: user.ACR2FA}, []Verdict{remembered}, TOTP, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginProved}},
		"recovery must enrol":    {Needs{}, []Verdict{lost, {Step: Recovery, Person: "a"}}, Enrol, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.LoginProved}},
		"recovery enrolled":      {Needs{}, []Verdict{lost, {Step: Recovery, Person: "a"}, {Step: Enrol, Person: "a"}}, Done, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.LoginProved, audit.FactorEnrolled, audit.LoginProved, audit.LoginSucceeded}},
		"allowed no more":        {Needs{}, []Verdict{renew, code}, Enrol, user.ACR2FA, []audit.Kind{audit.LoginProved, audit.LoginProved}},
		"a stopped factor":       {Needs{}, []Verdict{means(Means{Has: true})}, Stuck, user.ACR1FA, []audit.Kind{audit.LoginProved, audit.LoginFailed}},
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

func TestChoose(t *testing.T) {
	all := Means{Has: true, Ways: []Step{Passkey, TOTP, SMS, Recovery}, Enrols: []Step{Enrol, EnrolPasskey}}
	f, _ := play(Needs{}, Verdict{Step: Password, Person: "a", Means: all})
	if got := f.Choices(); !slices.Equal(got, all.Ways) {
		t.Errorf("choices %v", got)
	}
	on, ok := Choose(f, SMS, began)
	if !ok || on.Step != SMS || on.Version != f.Version+1 {
		t.Errorf("chose %+v, %v", on, ok)
	}
	for _, to := range []Step{Enrol, EnrolPasskey, Password, Done, Dead, "", "none"} {
		if on, ok := Choose(f, to, began); ok {
			t.Errorf("%q could be chosen: %+v", to, on)
		}
	}
	if _, ok := Choose(f, SMS, began.Add(Life)); ok {
		t.Error("chosen out of time")
	}
	f, _ = play(Needs{ACR: user.ACRPhR}, Verdict{Step: Password, Person: "a", Means: all})
	if got := f.Choices(); !slices.Equal(got, []Step{Passkey, Recovery}) {
		t.Errorf("where phr is demanded: %v", got)
	}
	f, _ = play(Needs{}, Verdict{Step: Password, Person: "a", Means: Means{Must: true, Enrols: all.Enrols}})
	if on, ok := Choose(f, EnrolPasskey, began); !ok || on.Step != EnrolPasskey {
		t.Errorf("what is set up cannot be chosen: %+v", on)
	}
	if over, ok := End(f); !ok || over.Step != Dead {
		t.Errorf("ended: %+v", over)
	}
}

func TestBeginStepUp(t *testing.T) {
	s := user.Session{User: "a", Proved: []user.Method{user.MethodPassword, user.MethodOTP}}
	all := Means{Has: true, Ways: []Step{TOTP, Passkey, Recovery}, Enrols: []Step{Enrol, EnrolPasskey}}
	f := BeginStepUp("f", Needs{ACR: user.ACRPhR}, s, all, "stamp", began)
	if f.Step != Passkey || f.Person != "a" || f.Stamp != "stamp" {
		t.Errorf("with a passkey: %+v", f)
	}
	if f, _ = Next(f, Verdict{Step: Passkey, Person: "a", Key: user.MethodSoftKey}, began); f.Step != Done || user.Level(f.Proved) != user.ACRPhR {
		t.Errorf("proved: %+v", f)
	}
	all.Ways = []Step{TOTP, Recovery}
	if f := BeginStepUp("f", Needs{ACR: user.ACRPhR}, s, all, "", began); f.Step != Password || f.Person != "" || f.Proved != nil {
		t.Errorf("without one: %+v", f)
	}
	s.Proved = []user.Method{user.MethodPassword, user.MethodDevice}
	if f := BeginStepUp("f", Needs{ACR: user.ACR2FA}, s, all, "", began); f.Step != TOTP {
		t.Errorf("a remembered device counted: %+v", f)
	}
}

func TestBeginUnlock(t *testing.T) {
	s := user.Session{ID: "s", User: "a", Proved: []user.Method{user.MethodPassword, user.MethodOTP}}
	m := Means{Has: true, Must: true, Ways: []Step{Passkey, TOTP, SMS, Recovery}, Enrols: []Step{Enrol}}
	f := BeginUnlock("f", Needs{}, s, m, true, "stamp", began)
	if f.Step != Passkey || !reflect.DeepEqual(f.Choices(), []Step{Passkey, TOTP, Password}) || f.Person != "a" || f.From != "s" || f.Stamp != "stamp" {
		t.Errorf("%+v offers %v", f, f.Choices())
	}
	f, ok := Choose(f, Password, began)
	if again, back := Choose(f, TOTP, began); !ok || !back || again.Step != TOTP {
		t.Error("no choice")
	}
	if wrong, events := Next(f, Verdict{Step: Password, Person: "b"}, began); wrong.Step != Password || wrong.Failures != 1 || events[0].Reason != audit.WrongPerson {
		t.Errorf("somebody else: %+v", wrong)
	}
	done, events := Next(f, Verdict{Step: Password, Person: "a", Change: true}, began)
	if done.Step != Done || events[len(events)-1].Kind != audit.SessionUnlocked || events[len(events)-1].Session != "s" {
		t.Errorf("%+v %+v", done, events)
	}
	for range MaxFailures {
		f, _ = Next(f, Verdict{Step: Password, Person: "a", Reason: audit.WrongPassword}, began)
	}
	if f.Step != Dead {
		t.Errorf("after %d wrong answers: %+v", MaxFailures, f)
	}
	if f := BeginUnlock("f", Needs{}, s, Means{Ways: []Step{SMS, Recovery}, Enrols: []Step{Enrol}}, false, "", began); f.Step != Stuck {
		t.Errorf("with nothing: %+v", f)
	}
}

// FuzzUnlock: a locked session is unlocked only by a right proof of its person, of a kind that they have, in time.
func FuzzUnlock(f *testing.F) {
	f.Add([]byte{0x00}, byte(1))
	f.Add([]byte{0x41, 0x01}, byte(3))
	steps := []Step{Password, TOTP, SMS, Passkey, Recovery, Enrol, EnrolPasskey, NewPassword}
	f.Fuzz(func(t *testing.T, script []byte, kind byte) {
		m := Means{Ways: steps[1 : 2+kind&3], Has: true, Enrols: []Step{Enrol, EnrolPasskey}}
		flow := BeginUnlock("f", Needs{}, user.Session{ID: "s", User: "a"}, m, kind&4 != 0, "", began)
		now := began
		for _, b := range script {
			step, who, wrong := steps[b&7], []user.ID{"a", "b", "", "a"}[b>>3&3], b&0x80 != 0
			before := flow
			if b&0x40 != 0 {
				now = now.Add(time.Minute)
				flow, _ = Choose(flow, step, now)
				if flow.Step == Done && before.Step != Done {
					t.Fatal("unlocked by a choice")
				}
				continue
			}
			v := Verdict{Step: step, Person: who}
			if step == Passkey && b&0x20 == 0 {
				v.Key = user.MethodSoftKey
			}
			if wrong {
				v.Reason = audit.WrongCode
			}
			flow, _ = Next(flow, v, now)
			if flow.Step != Done || before.Step == Done {
				continue
			}
			has := slices.Contains(m.Ways, step) && step != SMS && step != Recovery || step == Password && kind&4 != 0
			if wrong || who != "a" || step != before.Step || !has || !now.Before(flow.Expires) || step == Passkey && v.Key == "" {
				t.Fatalf("%+v unlocked %+v", v, before)
			}
		}
	})
}

// FuzzNext: whatever verdicts and choices come in whatever order, a flow is Done only with a right password or passkey, and, where
// the person has a factor or must have one, a right second, of the same person, to the class demanded, within the life of the flow.
func FuzzNext(f *testing.F) {
	f.Add([]byte{0x00, 0x09}, byte(0))
	f.Add([]byte{0x80, 0x00, 0x41, 0x09, 0x10}, byte(0x15))
	f.Add([]byte{0x00, 0x21, 0x29}, byte(0x33))
	f.Add([]byte{0x18, 0x05}, byte(0x05)) // a factor in the place of a remembered device
	f.Add([]byte{0x00, 0x07}, byte(0x80))
	steps := []Step{Password, TOTP, SMS, Passkey, Recovery, Enrol, EnrolPasskey, NewPassword}
	f.Fuzz(func(t *testing.T, script []byte, kind byte) {
		n := Needs{ACR: []user.ACR{"", user.ACR2FA, user.ACRPhR, "nonsense"}[kind&3]}
		m := Means{Must: kind&4 != 0, Has: kind&8 != 0, Minimum: []user.ACR{"", user.ACRPhR}[kind>>4&1], Enrols: []Step{Enrol, EnrolPasskey}}
		if m.Has {
			m.Ways = steps[1 : 2+kind>>5&3]
		}
		flow := Begin("f", n, began)
		var person user.ID
		var right []Step // answered right, in order
		replaced, device := false, false
		now := began
		for _, b := range script {
			step, who, wrong, key := steps[b&7], []user.ID{"a", "b", "", "a"}[b>>3&3], b&0x80 != 0, b&0x20 == 0
			if b&0x40 != 0 {
				now = now.Add(2 * time.Minute)
				before := flow
				if on, ok := Choose(flow, step, now); ok {
					if before.Over() || before.Step == Password || on.Step == Done || on.Step == Dead || on.Step == Stuck || len(on.Proved) != len(before.Proved) {
						t.Fatalf("chose from %+v to %+v", before, on)
					}
					flow = on
				}
				continue
			}
			v := Verdict{Step: step, Person: who, Means: m, Device: b&0x10 != 0 && !m.Has, Change: kind&0x80 != 0}
			if key && (step == Passkey || step == EnrolPasskey) {
				v.Key = user.MethodSoftKey
			}
			if wrong {
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
			if !slices.Equal(flow.Proved, before.Proved) {
				if wrong || step != before.Step || before.Person != "" && who != before.Person || !now.Before(flow.Expires) {
					t.Fatalf("%+v proved something in %+v", v, before)
				}
				person, right = flow.Person, append(right, step)
				device = device || v.Device && step == Password
			}
			replaced = replaced || before.Step == NewPassword && step == NewPassword && !wrong && who == before.Person && now.Before(flow.Expires)
			if flow.Step != Done || before.Step == Done {
				continue
			}
			second := slices.ContainsFunc(right, func(s Step) bool { return s != Password }) || device
			strong := slices.Contains(right, Passkey) || slices.Contains(right, EnrolPasskey)
			last := right[len(right)-1]
			switch {
			case person == "" || flow.Person != person || right[0] != Password:
				t.Fatalf("done without a first proof: %+v", flow)
			case (m.Has || m.Must || n.ACR != "") && !second:
				t.Fatalf("done without a second factor: %+v", flow)
			case (n.ACR == user.ACRPhR || m.Minimum == user.ACRPhR) && !strong, n.ACR == "nonsense":
				t.Fatalf("done below the class demanded: %+v", flow)
			case replaced != (kind&0x80 != 0):
				t.Fatalf("done with a password that policy takes no more: %+v", flow)
			case last == Recovery:
				t.Fatalf("done by a recovery code without setting up a factor: %+v", flow)
			case m.Has && !slices.ContainsFunc(right, func(s Step) bool { return slices.Contains(m.Ways, s) }):
				t.Fatalf("done without any factor that the person has: %+v", flow)
			}
		}
	})
}
