// Package flow is the sign-in as a state machine. It is pure: what was proved comes in as a Verdict, the next state and
// the events to record come out. Nothing else in Portvakt decides whether a person has signed in.
//
// The promise, which the fuzz test holds it to: a flow is Done only if a password was right or a verified passkey was, and,
// where the person has a second factor or policy or the request demands one, that factor was right too, to the class that is
// demanded, all for one and the same person; and a password that policy takes no more was replaced. A flow that unlocks a session
// asks for one of these proofs alone, and gives the session nothing that it had not.
package flow

import (
	"slices"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// Step is what the person is asked for now.
type Step string

// The steps.
const (
	Password     Step = "password"      // user name and password; a passkey signs in here as well
	TOTP         Step = "totp"          // a code from the soft token
	SMS          Step = "sms"           // a code sent to the person's number
	Passkey      Step = "webauthn"      // a passkey as second factor
	Recovery     Step = "recovery"      // a recovery code
	Enrol        Step = "enrol"         // set up a soft token and prove it
	EnrolPasskey Step = "enrol-passkey" // set up a passkey and prove it
	NewPassword  Step = "new-password"  // choose another password: policy takes the present one no more
	Done         Step = "done"          // signed in; waits to be exchanged for a session
	Dead         Step = "dead"          // too many wrong answers, or ended by the person; begin anew
	Stuck        Step = "stuck"         // what is demanded can be reached by nothing that this person may use
)

const (
	// Life is how long a sign-in may take.
	Life = 15 * time.Minute
	// MaxFailures is how many wrong answers one flow survives, over all its steps.
	MaxFailures = 10
)

// Needs is what a request for a sign-in asks for. It is fixed when the request arrives.
type Needs struct {
	ACR     user.ACR  `json:"acr,omitempty"`     // at least this class
	After   time.Time `json:"after,omitzero"`    // the last proof must not be older than this: prompt=login, max_age
	Subject user.ID   `json:"subject,omitempty"` // this person and no other: id_token_hint
}

// Flow is one sign-in under way. Version rises with every answer; an answer to an older version changes nothing.
type Flow struct {
	ID       string         `json:"-"`
	Version  int            `json:"-"`
	Step     Step           `json:"step"`
	Needs    Needs          `json:"needs"`
	Client   string         `json:"client,omitempty"`  // who asked; for the trail
	App      string         `json:"app,omitempty"`     // its name; for what is sent to the person
	Person   user.ID        `json:"person,omitempty"`  // set by the first right proof
	From     user.SessionID `json:"from,omitempty"`    // the session that proves more, or is unlocked; it has to be alive at the end
	Kiosk    bool           `json:"kiosk,omitempty"`   // the browser keeps nothing of it: its session is new, and for the client alone
	Unlock   bool           `json:"unlock,omitempty"`  // the session From is locked: one proof is enough
	Means    Means          `json:"means,omitzero"`    // of that person
	Second   bool           `json:"second,omitempty"`  // a second factor is needed
	Recover  bool           `json:"recover,omitempty"` // a factor is to be set up before anything else
	Change   bool           `json:"change,omitempty"`  // the password is to be replaced before the end
	Proved   []user.Method  `json:"proved,omitempty"`
	Failures int            `json:"failures,omitempty"`
	Stamp    string         `json:"stamp,omitempty"` // which password the person had at the first proof; see Verdict
	Began    time.Time      `json:"began"`
	Expires  time.Time      `json:"expires"`
}

// Means is what a person may prove with, and what policy demands of them. It is fixed by the first right proof.
type Means struct {
	Ways    []Step   `json:"ways,omitempty"`    // second factors that the person has and may use, the one to ask for first in front
	Enrols  []Step   `json:"enrols,omitempty"`  // what may be set up: Enrol, EnrolPasskey
	Must    bool     `json:"must,omitempty"`    // policy demands a second factor
	Has     bool     `json:"has,omitempty"`     // the person has one, even if it may not be used now
	Renew   bool     `json:"renew,omitempty"`   // policy allows none of Ways any more: another is to be set up
	Minimum user.ACR `json:"minimum,omitempty"` // policy demands this class
}

// Begin gives a new flow.
func Begin(id string, n Needs, now time.Time) Flow {
	return Flow{ID: id, Version: 1, Step: Password, Needs: n, Began: now, Expires: now.Add(Life)}
}

// BeginStepUp gives a flow for somebody who is signed in and has to prove more: it begins after what the session proved. If the
// person has nothing that reaches further, it begins with the password: only a whole sign-in may set up a factor.
func BeginStepUp(id string, n Needs, s user.Session, m Means, stamp string, now time.Time) Flow {
	f := Begin(id, n, now)
	on := f
	on.Person, on.From, on.Means, on.Stamp, on.Second = s.User, s.ID, m, stamp, true
	on.Proved = slices.DeleteFunc(slices.Clone(s.Proved), func(p user.Method) bool { return p == user.MethodDevice })
	on.Means.Ways = slices.DeleteFunc(slices.Clone(m.Ways), func(w Step) bool { return w == Recovery || !w.reach().Meets(on.demand()) })
	on, _ = on.advance(nil)
	if slices.Contains(on.Means.Ways, on.Step) {
		return on
	}
	return f
}

// BeginUnlock gives a flow for a session that is locked. Person, class and age of what was proved stay as they are: a text message or a
// recovery code is no quick proof, the password is, if the person has one.
func BeginUnlock(id string, n Needs, s user.Session, m Means, password bool, stamp string, now time.Time) Flow {
	f := Begin(id, n, now)
	f.Person, f.From, f.Stamp, f.Unlock = s.User, s.ID, stamp, true
	f.Means.Ways = slices.DeleteFunc(slices.Clone(m.Ways), func(w Step) bool { return w == Recovery || w == SMS })
	if password {
		f.Means.Ways = append(f.Means.Ways, Password)
	}
	f, _ = f.advance(nil)
	return f
}

// Verdict is what the check of one answer found.
type Verdict struct {
	Step   Step         // the step that was answered
	Reason audit.Reason // empty: the answer was right
	Person user.ID      // who answered, if known; for Password the person named by the form
	Key    user.Method  // with a right passkey: MethodSoftKey or MethodHardKey. At the step Password it took the password's place
	Means  Means        // with the first right proof
	Stamp  string       // with the first right proof: a mark of the person's password, which changes with it
	Device bool         // with a right password: the browser is a remembered device of the person
	Change bool         // with a right password: policy takes it no more
}

// Next gives the state after v and the events to record with it. Events carry kind, outcome, reason, subject and detail;
// the caller adds where they came from. A verdict on another step than the present one, or on a flow that is over,
// changes nothing and records nothing.
func Next(f Flow, v Verdict, now time.Time) (Flow, []audit.Event) {
	if v.Step != f.Step || f.Over() {
		return f, nil
	}
	f.Version++
	if !now.Before(f.Expires) {
		f.Step = Dead
		return f, []audit.Event{failed(f, v, audit.Expired)}
	}
	switch {
	case v.Reason != "":
		return f.fail(v, v.Reason)
	case f.Step == Password && !f.Unlock:
		return f.provedFirst(v)
	case v.Person != f.Person:
		return f.fail(v, audit.WrongPerson)
	case f.Step == NewPassword:
		f.Change, f.Stamp = false, v.Stamp
		return f.advance(nil)
	}
	return f.provedNext(v)
}

// Choose lets the person prove by another of their ways, or set up another kind of factor: to is one of Choices. False: it is not.
func Choose(f Flow, to Step, now time.Time) (Flow, bool) {
	if !slices.Contains(f.Choices(), to) || !now.Before(f.Expires) {
		return f, false
	}
	f.Version++
	f.Step = to
	return f, true
}

// End gives the flow that the person stopped themselves: somebody else is at it.
func End(f Flow) (Flow, bool) {
	if f.Over() {
		return f, false
	}
	f.Version++
	f.Step = Dead
	return f, true
}

// Over reports whether the flow takes no more answers.
func (f Flow) Over() bool { return f.Step == Done || f.Step == Dead || f.Step == Stuck }

// provedFirst takes the password, or the passkey in its place.
func (f Flow) provedFirst(v Verdict) (Flow, []audit.Event) {
	if v.Person == "" {
		return f.fail(v, audit.UnknownUser)
	}
	if f.Needs.Subject != "" && f.Needs.Subject != v.Person {
		return f.fail(v, audit.WrongPerson)
	}
	f.Person, f.Stamp, f.Means = v.Person, v.Stamp, v.Means
	f.Change = v.Change
	f.Second = v.Means.Has || len(v.Means.Ways) > 0 || v.Means.Must || !user.ACR1FA.Meets(f.demand())
	if v.Key != "" {
		f.Proved = []user.Method{v.Key, user.MethodPresence}
		return f.advance([]audit.Event{proved(f, v.Key)})
	}
	f.Proved = []user.Method{user.MethodPassword}
	events := []audit.Event{proved(f, user.MethodPassword)}
	if v.Device {
		f.Proved = append(f.Proved, user.MethodDevice)
		events = append(events, proved(f, user.MethodDevice))
	}
	return f.advance(events)
}

// provedNext takes a second factor.
func (f Flow) provedNext(v Verdict) (Flow, []audit.Event) {
	var events []audit.Event
	if kind := f.Step.Enrols(); kind != "" {
		events = append(events, audit.Event{Kind: audit.FactorEnrolled, Outcome: audit.Success, Subject: string(f.Person),
			Detail: map[string]string{"factor": string(kind)}})
		f.Recover = false
	} else if f.Step == Recovery || f.Means.Renew {
		f.Recover = true
	}
	var gave []user.Method
	switch f.Step {
	case Password:
		gave = []user.Method{user.MethodPassword}
	case TOTP, Enrol:
		gave = []user.Method{user.MethodOTP}
	case SMS:
		gave = []user.Method{user.MethodSMS}
	case Recovery:
		gave = []user.Method{user.MethodRecovery}
	case Passkey, EnrolPasskey:
		if v.Key == "" {
			return f.fail(v, audit.WrongCode)
		}
		gave = []user.Method{v.Key, user.MethodPresence}
	}
	f.Proved = append(slices.DeleteFunc(slices.Clone(f.Proved), func(m user.Method) bool { return m == user.MethodDevice }), gave...)
	return f.advance(append(events, proved(f, gave[0])))
}

// fail counts a wrong answer. The step stays: neither the form nor its address tells what was wrong.
func (f Flow) fail(v Verdict, r audit.Reason) (Flow, []audit.Event) {
	f.Failures++
	events := []audit.Event{failed(f, v, r)}
	if f.Failures >= MaxFailures {
		f.Step = Dead
		events = append(events, audit.Event{Kind: audit.LoginLocked, Outcome: audit.Refused, Reason: audit.Delayed,
			Subject: subject(f, v), Detail: map[string]string{"flow": f.ID}})
	}
	return f, events
}

func proved(f Flow, m user.Method) audit.Event {
	return audit.Event{Kind: audit.LoginProved, Outcome: audit.Success, Subject: string(f.Person),
		Detail: map[string]string{"flow": f.ID, "method": string(m)}}
}

func failed(f Flow, v Verdict, r audit.Reason) audit.Event {
	return audit.Event{Kind: audit.LoginFailed, Outcome: audit.Refused, Reason: r, Subject: subject(f, v),
		Detail: map[string]string{"flow": f.ID, "step": string(v.Step)}}
}

// subject is whom a failure is about: the proved person, else the one the form named.
func subject(f Flow, v Verdict) string {
	if f.Person != "" {
		return string(f.Person)
	}
	return string(v.Person)
}
