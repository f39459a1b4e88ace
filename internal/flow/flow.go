// Package flow is the sign-in as a state machine. It is pure: what was proved comes in as a Verdict, the next state and
// the events to record come out. Nothing else in Portvakt decides whether a person has signed in.
//
// The promise, which the fuzz test holds it to: a flow is Done only if the password was right, and, where the person has
// a second factor or policy or the request demands one, that factor was right too, all for one and the same person.
package flow

import (
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// Step is what the person is asked for now.
type Step string

// The steps.
const (
	Password Step = "password" // user name and password
	TOTP     Step = "totp"     // a code from the soft token
	Enrol    Step = "enrol"    // set up a soft token and prove it
	Done     Step = "done"     // signed in; waits to be exchanged for a session
	Dead     Step = "dead"     // too many wrong answers; begin anew
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
	ID       string        `json:"-"`
	Version  int           `json:"-"`
	Step     Step          `json:"step"`
	Needs    Needs         `json:"needs"`
	Client   string        `json:"client,omitempty"` // who asked; for the trail
	Person   user.ID       `json:"person,omitempty"` // set by a right password
	Second   bool          `json:"second,omitempty"` // a second factor is needed
	Proved   []user.Method `json:"proved,omitempty"`
	Failures int           `json:"failures,omitempty"`
	Stamp    string        `json:"stamp,omitempty"` // which password was proved; see Verdict
	Began    time.Time     `json:"began"`
	Expires  time.Time     `json:"expires"`
}

// Begin gives a new flow.
func Begin(id string, n Needs, now time.Time) Flow {
	return Flow{ID: id, Version: 1, Step: Password, Needs: n, Began: now, Expires: now.Add(Life)}
}

// Verdict is what the check of one answer found.
type Verdict struct {
	Step      Step         // the step that was answered
	Reason    audit.Reason // empty: the answer was right
	Person    user.ID      // who answered, if known; for Password the person named by the form
	HasFactor bool         // with a right password: the person has a second factor
	MustHave  bool         // with a right password: policy demands a second factor of this person
	Stamp     string       // with a right password: a mark of it, which changes with it
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
	case f.Step == Password:
		return f.provedPassword(v)
	case v.Person != f.Person:
		return f.fail(v, audit.WrongPerson)
	}
	return f.provedCode(v)
}

// Over reports whether the flow takes no more answers.
func (f Flow) Over() bool { return f.Step == Done || f.Step == Dead }

func (f Flow) provedPassword(v Verdict) (Flow, []audit.Event) {
	if v.Person == "" {
		return f.fail(v, audit.UnknownUser)
	}
	if f.Needs.Subject != "" && f.Needs.Subject != v.Person {
		return f.fail(v, audit.WrongPerson)
	}
	f.Person, f.Stamp, f.Proved = v.Person, v.Stamp, []user.Method{user.MethodPassword}
	f.Second = v.HasFactor || v.MustHave || !user.ACR1FA.Meets(f.Needs.ACR)
	events := []audit.Event{proved(f, user.MethodPassword)}
	switch {
	case !f.Second:
		return f.done(events)
	case v.HasFactor:
		f.Step = TOTP
	default:
		f.Step = Enrol
	}
	return f, events
}

func (f Flow) provedCode(v Verdict) (Flow, []audit.Event) {
	var events []audit.Event
	if f.Step == Enrol {
		events = append(events, audit.Event{Kind: audit.FactorEnrolled, Outcome: audit.Success, Subject: string(f.Person),
			Detail: map[string]string{"factor": "totp"}})
	}
	f.Proved = append(f.Proved[:len(f.Proved):len(f.Proved)], user.MethodOTP)
	return f.done(append(events, proved(f, user.MethodOTP)))
}

func (f Flow) done(events []audit.Event) (Flow, []audit.Event) {
	f.Step = Done
	return f, append(events, audit.Event{Kind: audit.LoginSucceeded, Outcome: audit.Success, Subject: string(f.Person),
		Detail: map[string]string{"flow": f.ID, "acr": string(user.Level(f.Proved))}})
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
