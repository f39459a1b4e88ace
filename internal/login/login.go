// Package login conducts a sign-in: it loads what is known, has the proof checked, asks flow what follows, and writes
// the next state with its events in one change. It knows an opaque request to come back to and what is needed; it knows
// no OAuth and no pages.
//
// A sign-in survives 10 wrong answers. How many guesses there are at a person, over all sign-ins, is for package lockout. A session that
// is locked is unlocked by a sign-in of one step (flow.BeginUnlock); after 10 wrong answers there the session ends.
package login

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// The refusals that are not a matter of proof.
var (
	ErrGone         = errors.New("login: no such sign-in is under way")
	ErrWrongBrowser = errors.New("login: the sign-in was begun in another browser")
	ErrStale        = errors.New("login: the answer is to an earlier step")
	ErrRepeat       = errors.New("login: the two passwords differ, or there is none")
)

// Options are what a service is made of.
type Options struct {
	DB        *store.DB
	Hasher    *factor.Hasher
	Passwords *passwords.Service
	Lockout   *lockout.Service
	Issuer    string           // the organisation's name, as a soft token shows it
	Key       []byte           // MAC key of passkeys' challenges
	Recovery  []byte           // MAC key of recovery codes
	Passkeys  *factor.Passkeys // nil: none
	Notify    *notify.Service  // nil: no text messages and no mail
}

// Service conducts sign-ins. It is safe for concurrent use.
type Service struct {
	Options
	db     *store.DB
	hasher *factor.Hasher
	key    []byte
}

// New gives the service.
func New(o Options) *Service { return &Service{Options: o, db: o.DB, hasher: o.Hasher, key: o.Key} }

// Request asks for a sign-in.
type Request struct {
	Needs   flow.Needs
	Browser string // secret of the browser; only it may answer
	Client  string // who asked; for the trail
	App     string // its name, for a text message
	Opaque  string // comes back with every View
	Kiosk   bool   // the browser is to keep nothing of it

	Session *user.Session // who is signed in and only has to prove more, or to unlock it; nil: a whole sign-in
	Person  *store.Person // with Session
}

// Begin starts a sign-in and gives its id.
func (s *Service) Begin(ctx context.Context, o audit.Origin, r Request) (string, error) {
	now := s.db.Now()
	f := store.Flow{Flow: flow.Begin(store.NewID(now), r.Needs, now), Browser: store.HashToken(r.Browser), Request: r.Opaque}
	if r.Session != nil {
		in := store.SignIn{Flow: f}
		if err := s.stepUp(ctx, &in, r); err != nil {
			return "", err
		}
		f = in.Flow
	}
	f.Client, f.App, f.Kiosk = r.Client, r.App, r.Kiosk
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		if err := t.CreateFlow(f); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.FlowBegun, Client: f.Client, Subject: string(f.Person), Detail: map[string]string{"flow": f.ID}})
	})
	return f.ID, err // a step-up by text message sends none yet: any page in the world can lead a browser here
}

// stepUp begins with what the session proved, or, where it is locked, asks for one proof.
func (s *Service) stepUp(ctx context.Context, in *store.SignIn, r Request) error {
	var p *store.Person
	if err := s.db.View(ctx, func(t *store.Tx) (err error) { p, err = t.PersonByID(r.Session.User); return err }); err != nil {
		return err
	}
	*r.Person = *p // the session's read does not know the password, which the stamp is of
	means, err := s.means(ctx, p)
	switch now := s.db.Now(); {
	case err != nil:
	case r.Session.Locked(now):
		in.Flow.Flow = flow.BeginUnlock(in.Flow.ID, r.Needs, *r.Session, means, p.Password != "", stamp(p.Password), now)
	default:
		in.Flow.Flow = flow.BeginStepUp(in.Flow.ID, r.Needs, *r.Session, means, stamp(p.Password), now)
	}
	return err
}

// View is what a page shows of a sign-in.
type View struct {
	Flow      store.Flow
	Person    *store.Person // known once the first proof was right
	Account   string        // what a soft token shows under its issuer
	Issuer    string
	Ways      []flow.Step      // the other steps that may be chosen
	Challenge *store.Challenge // at the step SMS; nil: there is none any more
	Masked    string           // the number that it went to
	Options   []byte           // JSON for navigator.credentials at the steps Password, Passkey and EnrolPasskey
	Remember  time.Duration    // how long this browser may be remembered; 0: not at all
	Hint      passwords.Hint   // at the step NewPassword
}

// Show gives the present step. ErrGone: there is none, or its time is over. ErrWrongBrowser: it is another browser's.
func (s *Service) Show(ctx context.Context, id, browser string) (View, error) {
	in, err := s.read(ctx, id, browser, "")
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, in)
}

func (s *Service) view(ctx context.Context, in store.SignIn) (View, error) {
	v := View{Flow: in.Flow, Issuer: s.Issuer}
	if in.Flow.Person != "" && in.Person != nil && in.Person.ID == in.Flow.Person {
		v.Person, v.Account = in.Person, in.Person.Username
	}
	for _, step := range in.Flow.Choices() {
		if step != in.Flow.Step {
			v.Ways = append(v.Ways, step)
		}
	}
	rules, err := s.rules(ctx, v.Person)
	if err != nil {
		return v, err
	}
	switch in.Flow.Step {
	case flow.NewPassword:
		v.Hint = s.Passwords.Hint(rules.Password, in.Person.User, in.Flow.App)
	case flow.SMS:
		err = s.showText(ctx, &v)
	case flow.Password, flow.Passkey, flow.EnrolPasskey:
		v.Options, err = s.options(ctx, in, rules)
	}
	if in.Flow.Step.Enrols() == "" && in.Flow.Step != flow.Recovery && in.Flow.Step != flow.NewPassword && mayRemember(in.Flow, rules) && v.Person != nil {
		v.Remember = time.Duration(rules.Factors.RememberDevice)
	}
	return v, err
}

// mayRemember reports whether a sign-in can make its browser a remembered one.
func mayRemember(f store.Flow, rules policy.Policy) bool {
	return rules.Factors.RememberDevice > 0 && !f.Unlock && !f.Kiosk && !rules.Session.Kiosk
}

// read gives a live flow of this browser, with the person named by login, or, if that is empty, the person it is about.
func (s *Service) read(ctx context.Context, id, browser, login string) (store.SignIn, error) {
	var in store.SignIn
	if len(id) != 26 || strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUV") != "" {
		return in, ErrGone // not the form of an id (store.NewID), and perhaps not one that a database can hold
	}
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if login != "" {
			in, err = t.SignInByName(id, login)
		} else {
			in, err = t.SignInByID(id)
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return in, ErrGone
	case err != nil:
		return in, err
	case string(in.Flow.Browser) != string(store.HashToken(browser)): // both are SHA-256 sums: nothing to learn from the time
		return in, ErrWrongBrowser
	case !in.Flow.UsedAt.IsZero() || in.Flow.Step == flow.Dead || !s.db.Now().Before(in.Flow.Expires):
		return in, ErrGone
	}
	return in, nil
}

// Session gives the session behind a browser's secret and its person, or a nil person if there is none that counts: it
// is over, was not used for the idle time of policy, or its person may not sign in any more. One that is locked counts, and opens nothing
// but its unlocking: see user.Session.Locked.
func (s *Service) Session(ctx context.Context, secret string) (user.Session, *store.Person, error) {
	if secret == "" {
		return user.Session{}, nil, nil
	}
	return s.session(ctx, func(t *store.Tx) (user.Session, *store.Person, error) {
		return t.SessionByToken(store.HashToken(secret))
	})
}

// Kiosk is Session for the one that a finished sign-in led to, of which the browser has no secret.
func (s *Service) Kiosk(ctx context.Context, id user.SessionID) (user.Session, *store.Person, error) {
	session, person, err := s.session(ctx, func(t *store.Tx) (user.Session, *store.Person, error) { return t.SessionByID(id) })
	session.Kiosk = true
	return session, person, err
}

func (s *Service) session(ctx context.Context, read func(*store.Tx) (user.Session, *store.Person, error)) (user.Session, *store.Person, error) {
	var session user.Session
	var person *store.Person
	err := s.db.View(ctx, func(t *store.Tx) (err error) { session, person, err = read(t); return err })
	if errors.Is(err, store.ErrNotFound) {
		return user.Session{}, nil, nil
	}
	if err != nil {
		return session, nil, err
	}
	p, err := s.db.Policy(ctx)
	if err != nil {
		return session, nil, err
	}
	rules := p.For(person.Groups)
	session = rules.Session.Of(session)
	if !session.Live(s.db.Now()) || person.Disabled() || flow.Weak(rules.Factors, session.Proved) {
		return user.Session{}, nil, nil
	}
	return session, person, nil
}

// Lock makes a session ask for a proof before it goes on.
func (s *Service) Lock(ctx context.Context, o audit.Origin, session user.Session) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		locked, err := t.LockSession(session.ID, audit.NoReason)
		if err == nil && !locked {
			err = store.ErrConflict
		}
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // it was locked or over already
	}
	return err
}

// Touch notes that a session is in use, at most once a minute.
func (s *Service) Touch(ctx context.Context, session user.Session) error {
	if !session.Stale(s.db.Now()) {
		return nil
	}
	return s.db.Housekeep(ctx, func(t *store.Tx) error { t.TouchSession(session.ID); return nil })
}

// Logout ends a session and what applications got through it.
func (s *Service) Logout(ctx context.Context, o audit.Origin, session user.Session) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		ended, err := t.EndSession(session.ID, audit.Logout)
		if err == nil && !ended {
			err = store.ErrConflict
		}
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // it was over already
	}
	return err
}

// rules gives the policy for a person; for nobody known, the general one.
func (s *Service) rules(ctx context.Context, p *store.Person) (policy.Policy, error) {
	all, err := s.db.Policy(ctx)
	if err != nil || p == nil {
		return all, err
	}
	return all.For(p.Groups), nil
}
