package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	freshFor = 5 * time.Minute
	allowFor = 72 * time.Hour // how long a stop can be taken back
)

// Self is a person at their own page: what package login says of their session, and where the request comes from.
type Self struct {
	Person  *store.Person
	Session user.Session
	Origin  audit.Origin
	Known   string // the browser's cookie of lockout.Service.MakeKnown
}

// Fresh reports whether s may change the factors of its person at now: the last proof is at most 5 minutes old and, where the
// person has a factor, two were proved, of which none is a remembered browser.
func Fresh(s user.Session, hasFactor bool, now time.Time) bool {
	if now.Sub(s.AuthTime) > freshFor || slices.Contains(s.Proved, user.MethodDevice) {
		return false
	}
	return !hasFactor || s.ACR().Meets(user.ACR2FA)
}

// Again is the sign-in that makes the session fresh.
func (s *Service) Again(ctx context.Context, me Self) (flow.Needs, error) {
	needs := flow.Needs{Subject: me.Person.ID, After: s.DB.Now().Add(-freshFor)}
	err := s.DB.View(ctx, func(t *store.Tx) error {
		have, err := t.FactorsOf(me.Person.ID)
		if len(have) > 0 {
			needs.ACR = user.ACR2FA
		}
		return err
	})
	return needs, err
}

// work is what a change of the person's own knows: the policy for them and every factor they have, stopped ones too.
type work struct {
	*store.Tx
	me    Self
	rules policy.Policy
	have  []store.Factor
}

// own runs fn in one change, from a fresh session. The person is held: what fn decides by is what stands when it is written. Before that runs
// first, which counts a try: a sign-in too holds counts before it holds the person, and two that hold in two orders wait for each other.
func (s *Service) own(ctx context.Context, me Self, fn func(work) error, first ...func(*store.Tx) error) error {
	err := s.held(ctx, me, func(w work) error {
		if !Fresh(me.Session, len(w.have) > 0, w.Now()) {
			return ErrNotFresh
		}
		return fn(w)
	}, first...)
	if err == nil {
		s.Notify.Wake()
	}
	return err
}

// held is own for what needs no fresh session.
func (s *Service) held(ctx context.Context, me Self, fn func(work) error, first ...func(*store.Tx) error) error {
	rules, err := s.rules(ctx, me.Person)
	if err != nil {
		return err
	}
	me.Origin.Actor = string(me.Person.ID)
	err = s.DB.Change(ctx, me.Origin, func(t *store.Tx) error {
		for _, count := range first {
			if err := count(t); err != nil {
				return err
			}
		}
		t.Hold(me.Person.ID)
		t.HoldSession(me.Person.ID, me.Session.ID)
		have, err := t.FactorsOf(me.Person.ID)
		if errors.Is(err, store.ErrConflict) {
			return ErrEnded
		}
		if err != nil {
			return err
		}
		return fn(work{t, me, rules, have})
	})
	switch {
	case errors.Is(err, store.ErrConflict):
		return ErrGone
	case errors.Is(err, store.ErrTaken):
		return ErrTaken
	}
	return err
}

// look is own for pages: it reads.
func (s *Service) look(ctx context.Context, me Self, fn func(work) error) error {
	rules, err := s.rules(ctx, me.Person)
	if err != nil {
		return err
	}
	return s.DB.View(ctx, func(t *store.Tx) error {
		have, err := t.FactorsOf(me.Person.ID)
		if err != nil {
			return err
		}
		if !Fresh(me.Session, len(have) > 0, t.Now()) {
			return ErrNotFresh
		}
		return fn(work{t, me, rules, have})
	})
}

func (s *Service) rules(ctx context.Context, p *store.Person) (policy.Policy, error) {
	all, err := s.DB.Policy(ctx)
	return all.For(p.Groups), err
}

// may reports whether a kind can be added here.
func (s *Service) may(rules policy.Policy, kind user.FactorKind) bool {
	switch kind {
	case user.FactorTOTP:
		return rules.Factors.May(kind)
	case user.FactorSMS:
		return rules.Factors.May(kind) && s.Notify.On()
	case user.FactorPasskey:
		return rules.Factors.May(kind) && s.Passkeys != nil
	}
	return false
}

// record is Record for an event of this session about its person; kind is of the factor, id may be empty.
func (w work) record(e audit.Event, kind user.FactorKind, id string) error {
	e.Subject, e.Session = string(w.me.Person.ID), string(w.me.Session.ID)
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	if kind != "" {
		e.Detail["factor"] = string(kind)
	}
	if id != "" {
		e.Detail["id"] = id
	}
	return w.Record(e)
}

// factor gives one of the person's own, or ErrGone.
func (w work) factor(id string) (store.Factor, error) {
	i := slices.IndexFunc(w.have, func(f store.Factor) bool { return f.ID == id })
	if i < 0 {
		return store.Factor{}, ErrGone
	}
	return w.have[i], nil
}

// tell queues a mail about factors.
func (s *Service) tell(t *store.Tx, p *store.Person, key string, factors ...store.Factor) error {
	return Tell(s.Notify, t, p, key, factors)
}

// Tell queues a mail to a person about some of their factors, whose kinds it names in their language, each once.
func Tell(n *notify.Service, t *store.Tx, p *store.Person, key string, factors []store.Factor) error {
	var told []string
	for _, f := range factors {
		if word := n.Word(p, "kind."+string(f.Kind)); !slices.Contains(told, word) {
			told = append(told, word)
		}
	}
	return n.Mail(t, p, key, "factor", strings.Join(told, ", "))
}

// Factor is one factor as its owner sees it.
type Factor struct {
	ID      string
	Kind    user.FactorKind
	Name    string // the person's own word, or a masked number
	Added   time.Time
	Used    time.Time // zero: never
	Stopped bool
	Allow   bool // the stop may still be taken back
}

// Overview is what a person has.
type Overview struct {
	Factors      []Factor
	Devices      []store.Device
	RecoveryLeft int
	Add          []user.FactorKind // may be added, or put in place of the present one
}

// Overview needs no fresh session.
func (s *Service) Overview(ctx context.Context, p *store.Person) (Overview, error) {
	rules, err := s.rules(ctx, p)
	if err != nil {
		return Overview{}, err
	}
	var out Overview
	for _, kind := range []user.FactorKind{user.FactorPasskey, user.FactorTOTP, user.FactorSMS} {
		if s.may(rules, kind) {
			out.Add = append(out.Add, kind)
		}
	}
	err = s.DB.View(ctx, func(t *store.Tx) error {
		have, err := t.FactorsOf(p.ID)
		if err != nil {
			return err
		}
		out.Factors = s.shown(have, t.Now())
		if out.Devices, err = t.DevicesOf(p.ID); err != nil {
			return err
		}
		out.RecoveryLeft, err = t.RecoveryCodesLeft(p.ID)
		return err
	})
	return out, err
}

func (s *Service) shown(have []store.Factor, now time.Time) []Factor {
	out := make([]Factor, len(have))
	for i, f := range have {
		out[i] = Factor{ID: f.ID, Kind: f.Kind, Name: f.Name, Added: f.CreatedAt, Used: f.UsedAt, Stopped: !f.StoppedAt.IsZero(),
			Allow: f.StoppedAt.After(now.Add(-allowFor))}
		if f.Kind == user.FactorSMS {
			out[i].Name = s.Notify.Masked(f.Secret)
		}
	}
	return out
}
