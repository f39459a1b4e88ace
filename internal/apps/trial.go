package apps

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// TrialLife is how long a fault waits for its person to sign in.
const TrialLife = 10 * time.Minute

// The refusals of trials.
var (
	ErrNotTest = errors.New("apps: the client is not registered with test: true")
	ErrNoTrial = errors.New("apps: no such fault, or it waits for no judgement of the person's")
)

// Prove is what is known of a test client.
type Prove struct {
	store.Client
	Trials map[client.Fault]store.Trial
	Now    *store.Trial // the one that is not judged; nil: none
	Next   client.Fault // the first that was never judged; "": all were
}

// Prove gives what a person's trials of an application have shown. ErrNotYours, ErrWeak.
func (s *Service) Prove(ctx context.Context, w Who, id client.ID) (Prove, error) {
	out := Prove{Trials: map[client.Fault]store.Trial{}}
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if out.Client, err = one(t, w, id); err != nil || !out.Test {
			return err
		}
		all, err := t.TrialsOf(id, w.Person)
		for _, trial := range all {
			out.Trials[trial.Fault] = trial
			if trial.State != store.TrialJudged && slices.Contains(client.Faults(), trial.Fault) {
				out.Now = &trial
			}
		}
		return err
	})
	for _, f := range client.Faults() {
		if _, tried := out.Trials[f]; !tried && out.Next == "" {
			out.Next = f
		}
	}
	return out, err
}

// trial runs fn in a change, for an owner of a test client. Whether it is one counts again where the fault is made (package oidc).
func (s *Service) trial(ctx context.Context, o audit.Origin, w Who, id client.ID, f client.Fault, fn func(*store.Tx) error) error {
	if !slices.Contains(append(client.Faults(), client.LogoutFaults()...), f) {
		return ErrNoTrial
	}
	o.Actor = string(w.Person)
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		c, err := one(t, w, id)
		switch {
		case err != nil:
			return err
		case !c.Test:
			return ErrNotTest
		}
		t.Hold(w.Person) // before the session, as everywhere
		t.HoldSession(w.Person, w.Session.ID)
		return fn(t)
	})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTaken) {
		err = ErrNoTrial
	}
	return err
}

// Begin makes a fault ready for the person's next sign-in to a test client; one of a logout token is the caller's to send. ErrNotYours, ErrWeak, ErrNotTest, ErrNoTrial.
func (s *Service) Begin(ctx context.Context, o audit.Origin, w Who, id client.ID, f client.Fault) error {
	state := store.TrialArmed
	if slices.Contains(client.LogoutFaults(), f) {
		state = store.TrialTaken // no sign-in takes it: see Answered
	}
	return s.trial(ctx, o, w, id, f, func(t *store.Tx) error {
		t.BeginTrial(id, w.Person, f, state, TrialLife)
		return record(t, audit.TrialBegun, w, id, map[string]string{"fault": string(f)})
	})
}

// Judge writes down what a test client made of a fault that it got: what the person saw, and what this service did. Refusals as of Begin.
func (s *Service) Judge(ctx context.Context, o audit.Origin, w Who, id client.ID, f client.Fault, letIn bool) error {
	return s.trial(ctx, o, w, id, f, func(t *store.Tx) error {
		verdict, err := seenOf(t, w, id, f)
		if err != nil {
			return err
		}
		if letIn {
			verdict = store.TrialLetIn
		}
		t.JudgeTrial(id, w.Person, f, verdict)
		return record(t, audit.TrialJudged, w, id, map[string]string{"fault": string(f), "verdict": verdict})
	})
}

// Answered writes down what a test client answered to a faulty logout token: a status, 0 for none. It has to refuse it with 400 (OpenID Connect
// Back-Channel Logout 1.0 §2.8). Refusals as of Begin.
func (s *Service) Answered(ctx context.Context, o audit.Origin, w Who, id client.ID, f client.Fault, status int) error {
	verdict := store.TrialUnclear
	switch {
	case status >= 200 && status < 300:
		verdict = store.TrialLetIn
	case status >= 400 && status < 500 && status != 404 && status != 405:
		verdict = store.TrialRefused
	}
	return s.trial(ctx, o, w, id, f, func(t *store.Tx) error {
		t.JudgeTrial(id, w.Person, f, verdict)
		return record(t, audit.TrialJudged, w, id, map[string]string{"fault": string(f), "verdict": verdict, "status": strconv.Itoa(status)})
	})
}

// seenOf is what this service saw a client do with a faulty answer. A code that was redeemed tells of a fault in the response, and a call of the
// userinfo endpoint of any: both come after the check that should have stopped the sign-in.
func seenOf(t *store.Tx, w Who, id client.ID, f client.Fault) (string, error) {
	all, err := t.TrialsOf(id, w.Person)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(one store.Trial) bool { return one.Fault == f && one.State == store.TrialTaken })
	if i < 0 {
		return "", ErrNoTrial
	}
	if all[i].Used {
		return store.TrialWentOn, nil
	}
	g, err := t.GrantByID(all[i].Grant)
	if errors.Is(err, store.ErrNotFound) {
		return store.TrialRefused, nil
	}
	if err == nil && f.InResponse() && !g.CodeUsed.IsZero() {
		return store.TrialWentOn, nil
	}
	return store.TrialRefused, err
}

// Stop takes back a fault that is not judged. Refusals as of Begin.
func (s *Service) Stop(ctx context.Context, o audit.Origin, w Who, id client.ID, f client.Fault) error {
	return s.trial(ctx, o, w, id, f, func(t *store.Tx) error {
		t.DropTrial(id, w.Person)
		return record(t, audit.TrialJudged, w, id, map[string]string{"fault": string(f), "verdict": "stopped"})
	})
}

func record(t *store.Tx, kind audit.Kind, w Who, id client.ID, detail map[string]string) error {
	return t.Record(audit.Event{Kind: kind, Subject: string(w.Person), Client: string(id), Session: string(w.Session.ID), Detail: detail})
}
