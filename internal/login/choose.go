package login

import (
	"context"
	"errors"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/store"
)

// choose goes to another way of proving, or has a code sent once more.
func (s *Service) choose(ctx context.Context, o audit.Origin, in store.SignIn, a Answer) (Result, error) {
	for _, step := range in.Flow.Choices() {
		if kind := step.Enrols(); kind != "" && string(kind) == string(a.Way) {
			a.Way = step // a page names kinds; where factors are set up, it means that
		}
	}
	next := in.Flow
	var ok bool
	if next.Flow, ok = flow.Choose(in.Flow.Flow, a.Way, s.db.Now()); !ok || in.Person == nil {
		return s.shown(ctx, in, ErrStale)
	}
	o.Actor = string(next.Person)
	if next.Step == flow.Enrol && next.Pending == "" {
		next.Pending = factor.NewTOTP().URI(s.Issuer, in.Person.Username)
	}
	if in.Person.Disabled() || stamp(in.Person.Password) != in.Flow.Stamp {
		return s.shown(ctx, in, ErrStale) // the next answer is refused, and says why in the trail
	}
	var text notify.Prepared
	rules, err := s.rules(ctx, in.Person)
	if err != nil {
		return Result{}, err
	}
	if next.Step == flow.SMS {
		err = s.db.Change(ctx, o, func(t *store.Tx) (err error) {
			t.Hold(next.Person)
			if text, err = s.text(t, rules.SMS, o, next, in.Person, a); err != nil {
				return err
			}
			return t.AdvanceFlow(next, in.Flow.Version)
		})
	} else {
		err = s.db.Housekeep(ctx, func(t *store.Tx) error { return t.AdvanceFlow(next, in.Flow.Version) })
	}
	if errors.Is(err, store.ErrConflict) {
		return s.stale(ctx, in.Flow.ID, a.Browser)
	}
	if err != nil {
		return Result{}, err
	}
	if next.Step == flow.SMS {
		s.Notify.Send(o, text)
	}
	return s.shown(ctx, store.SignIn{Flow: next, Person: in.Person}, nil)
}

// giveUp ends a sign-in, and the code that was sent for it, because the person does not go on.
func (s *Service) giveUp(ctx context.Context, o audit.Origin, in store.SignIn, a Answer) (Result, error) {
	e := audit.Event{Kind: audit.LoginCancelled, Outcome: audit.Refused, Reason: audit.Cancelled}
	return s.end(ctx, o, in, a, e, func(*store.Tx) error { return nil })
}

// disown ends a sign-in that the person says is not theirs, and the code that was sent for it.
func (s *Service) disown(ctx context.Context, o audit.Origin, in store.SignIn, a Answer) (Result, error) {
	e := audit.Event{Kind: audit.LoginDisowned, Outcome: audit.Refused, Reason: audit.Disowned}
	out, err := s.end(ctx, o, in, a, e, func(t *store.Tx) error {
		if in.Person == nil || in.Flow.Person != in.Person.ID {
			return nil
		}
		return s.mail(t, in.Person, "mail.disowned")
	})
	if err == nil && s.Notify != nil {
		s.Notify.Wake()
	}
	return out, err
}

// end ends a sign-in for good, with what else is to be done then.
func (s *Service) end(ctx context.Context, o audit.Origin, in store.SignIn, a Answer, e audit.Event, also func(*store.Tx) error) (Result, error) {
	next := in.Flow
	var ok bool
	if next.Flow, ok = flow.End(in.Flow.Flow); !ok {
		return s.shown(ctx, in, ErrStale)
	}
	e.Subject, e.Client = string(in.Flow.Person), in.Flow.Client
	e.Detail = map[string]string{"flow": in.Flow.ID, "step": string(in.Flow.Step)}
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		if in.Person != nil && in.Flow.Person != "" {
			t.Hold(in.Person.ID)
		}
		t.DropChallenge(scope(in.Flow.ID))
		if err := t.AdvanceFlow(next, in.Flow.Version); err != nil {
			return err
		}
		if err := also(t); err != nil {
			return err
		}
		return t.Record(e)
	})
	if errors.Is(err, store.ErrConflict) {
		return s.stale(ctx, in.Flow.ID, a.Browser)
	}
	if err != nil {
		return Result{}, err
	}
	return Result{View: View{Flow: next}, Reason: e.Reason}, nil
}

// stale shows the step that somebody who was faster left behind.
func (s *Service) stale(ctx context.Context, id, browser string) (Result, error) {
	view, err := s.Show(ctx, id, browser)
	if err != nil {
		return Result{}, err
	}
	return Result{View: view}, ErrStale
}
