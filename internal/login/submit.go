package login

import (
	"context"
	"errors"
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

// Answer is what a person sent to a step.
type Answer struct {
	Browser  string
	Version  int // of the page that was answered
	Username string
	Password string
	Repeat   string // a new password once more
	Code     string
	Recovery string
	Passkey  string    // response of navigator.credentials, as JSON
	Name     string    // the person's word for a new passkey
	Way      flow.Step // not empty: choose this step in place of answering
	Disown   bool      // this sign-in is not the person's: end it
	Cancel   bool      // they give up
	Remember bool      // remember this browser
	Device   string    // secret of a remembered browser, if it has one
	Current  string    // secret of the session that the browser has, if any
	Known    string    // cookie of a browser in which somebody has signed in before, if any

	// Lang gives the language of a text message: of the pages that the person sees of this request.
	Lang func(opaque string, p *store.Person) string
}

// Result is what came of an answer.
type Result struct {
	View    View
	Reason  audit.Reason // why the answer did not count; empty if it did
	Wait    time.Duration
	Passkey bool   // a passkey was the answer
	Silent  bool   // the refusal is to read like that of a wrong password
	Kiosk   bool   // with a finished sign-in: the browser is to keep nothing, not even Secret
	Browser string // after a right password: the browser's new secret
	Secret  string // with a finished sign-in: the browser's new session secret
	Known   string // with a finished sign-in: the cookie that makes this browser known, unless it was
	Device  string // with a finished sign-in: the secret that makes this browser remembered
}

// checked is an answer after the work of checking it, which holds no transaction.
type checked struct {
	verdict flow.Verdict
	rules   policy.Policy
	count   lockout.Count
	wait    lockout.Outcome // what count said before the proof was looked at
	made    passwords.Made  // takes the place of the password
	person  *store.Person   // with a passkey in the password's place: whose it is
	phc     string          // the person's password as it stands in the row when all is written
	rehash  string          // PHC string to store in place of the present one
	cloned  string          // id of a passkey whose count did not rise
	device  string          // what a remembered browser brought with a right password

	consume func(*store.Tx) (bool, error) // spends the proof; false: somebody else did
	enrol   *store.Factor                 // to be stored if the answer counts
}

// Submit answers the present step. ErrGone, ErrWrongBrowser and ErrStale are answers to a page that is not the present
// one; factor.ErrBusy and store.ErrOutage say to try later, and nothing was counted.
func (s *Service) Submit(ctx context.Context, o audit.Origin, id string, a Answer) (Result, error) {
	a.Username = factor.Name(a.Username)
	in, err := s.read(ctx, id, a.Browser, a.Username)
	if errors.Is(err, ErrWrongBrowser) {
		return Result{}, s.wrongBrowser(ctx, o, in)
	}
	if err != nil {
		return Result{}, err
	}
	switch {
	case in.Flow.Step == flow.Done:
		return s.shown(ctx, in, nil)
	case a.Version != in.Flow.Version:
		return s.shown(ctx, in, ErrStale)
	case a.Disown:
		return s.disown(ctx, o, in, a)
	case a.Cancel:
		return s.giveUp(ctx, o, in, a)
	case a.Way != "":
		return s.choose(ctx, o, in, a)
	case in.Flow.Step == flow.NewPassword:
		return s.renew(ctx, o, in, a)
	}
	c, err := s.check(ctx, o, in, a)
	if err != nil {
		return Result{}, err
	}
	return s.commit(ctx, o, in, a, c)
}

// shown is the present step and err.
func (s *Service) shown(ctx context.Context, in store.SignIn, err error) (Result, error) {
	view, fault := s.view(ctx, in)
	if fault != nil {
		return Result{}, fault
	}
	return Result{View: view}, err
}

// wrongBrowser records the attempt and gives ErrWrongBrowser.
func (s *Service) wrongBrowser(ctx context.Context, o audit.Origin, in store.SignIn) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		return t.Record(audit.Event{Kind: audit.LoginFailed, Outcome: audit.Refused, Reason: audit.WrongBrowser,
			Client: in.Flow.Client, Subject: string(in.Flow.Person), Detail: map[string]string{"flow": in.Flow.ID, "step": string(in.Flow.Step)}})
	})
	if err != nil {
		return err
	}
	return ErrWrongBrowser
}

func (s *Service) check(ctx context.Context, o audit.Origin, in store.SignIn, a Answer) (checked, error) {
	rules, err := s.rules(ctx, in.Person)
	if err != nil {
		return checked{}, err
	}
	c := checked{rules: rules, verdict: flow.Verdict{Step: in.Flow.Step}}
	switch {
	case in.Flow.Step != flow.Password || in.Flow.Unlock:
		err = s.checkSecond(ctx, o, in, a, &c)
	case a.Passkey != "":
		err = s.checkPasskeyAlone(ctx, in, a, &c)
	default:
		err = s.checkPassword(ctx, o, in, a, &c)
	}
	return c, err
}

// written is what an answer came to.
type written struct {
	out   Result
	after store.SignIn
	text  notify.Prepared
}

// commit writes an answer, and tells what came of it. Nothing is decided before that write.
func (s *Service) commit(ctx context.Context, o audit.Origin, in store.SignIn, a Answer, c checked) (Result, error) {
	var w written
	if c.person != nil {
		in.Person = c.person
	}
	err := s.db.Change(ctx, o, func(t *store.Tx) (err error) { w, err = s.write(ctx, t, o, in, a, c); return err })
	if errors.Is(err, store.ErrTaken) && c.enrol != nil {
		if fault := s.taken(ctx, o, in, c); fault != nil {
			return Result{}, fault
		}
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTaken) {
		err = ErrStale // another answer to the same step was faster
	}
	if errors.Is(err, ErrStale) {
		return s.stale(ctx, in.Flow.ID, a.Browser)
	}
	if err != nil {
		return Result{}, err
	}
	if s.Notify != nil {
		s.Notify.Send(o, w.text)
		s.Notify.Wake()
	}
	w.out.Passkey = a.Passkey != ""
	w.out.View, err = s.view(ctx, w.after)
	return w.out, err
}

// write takes the try from its lanes, asks flow what follows, and writes that with its events.
func (s *Service) write(ctx context.Context, t *store.Tx, o audit.Origin, in store.SignIn, a Answer, c checked) (written, error) {
	var w written
	v := c.verdict
	s.Lockout.Hold(t, a.Known, in.Person)
	if err := s.count(t, in, &v, c, &w.out); err != nil {
		return w, err
	}
	next := in.Flow
	var events []audit.Event
	next.Flow, events = flow.Next(in.Flow.Flow, v, t.Now())
	if events == nil {
		return w, ErrStale
	}
	if events[0].Kind == audit.LoginFailed {
		v.Reason = events[0].Reason // right, and yet no answer here: another person's
	}
	if next.Unlock { // before the session, which a right answer renews and the last wrong one ends
		if err := s.unlocking(t, next, v.Reason); err != nil {
			return w, err
		}
	}
	if err := s.follow(t, in, a, c, v, &next, &w.out, &events); err != nil {
		return w, err
	}
	if v.Reason == "" && next.Step == flow.SMS {
		var err error
		if w.text, err = s.text(t, c.rules.SMS, o, next, in.Person, a); err != nil {
			return w, err
		}
	}
	if v.Reason == "" && in.Flow.Step == flow.Password {
		w.out.Browser = store.NewToken() // who knew the old one knows nothing of what a right password opens
		t.MoveBrowser(store.HashToken(a.Browser), store.HashToken(w.out.Browser))
	}
	if err := t.AdvanceFlow(next, in.Flow.Version); err != nil {
		return w, err
	}
	for _, e := range events {
		e.Client = next.Client
		if next.Person != "" {
			e.Actor = string(next.Person)
		}
		if next.Step == flow.Done {
			e.Session = string(next.Session)
		}
		if err := t.Record(e); err != nil {
			return w, err
		}
	}
	w.out.Reason = v.Reason
	w.after = store.SignIn{Flow: next, Person: in.Person}
	return w, nil
}

// taken records that a factor was not set up: it is somebody's already, or another first one was faster.
func (s *Service) taken(ctx context.Context, o audit.Origin, in store.SignIn, c checked) error {
	return s.db.Change(ctx, o, func(t *store.Tx) error {
		return t.Record(audit.Event{Kind: audit.LoginFailed, Outcome: audit.Refused, Reason: audit.NotAllowed, Actor: string(in.Flow.Person),
			Subject: string(in.Flow.Person), Client: in.Flow.Client, Detail: map[string]string{"flow": in.Flow.ID, "step": string(in.Flow.Step)}})
	})
}

// unlocking counts the wrong answers at a locked session, over all its pages: the tenth ends it. One that had to wait is none.
func (s *Service) unlocking(t *store.Tx, f store.Flow, why audit.Reason) error {
	lane := "unlock:" + string(f.From)
	switch why {
	case "":
		t.ClearAttempts(lane)
		return nil
	case audit.Delayed:
		return nil
	}
	t.Hold(f.Person)
	within, err := t.TakeAttempt(lane, flow.MaxFailures-1, 30*24*time.Hour, true)
	if err == nil && !within {
		_, err = t.EndSession(f.From, audit.Delayed)
	}
	return err
}

// waits reports whether a try has to wait. Its proof is then not looked at: c is wrong, and count says delayed.
func (s *Service) waits(ctx context.Context, c *checked) (bool, error) {
	err := s.db.View(ctx, func(t *store.Tx) (err error) { c.wait, err = c.count.Waits(t); return err })
	if c.wait.Refused {
		c.verdict.Reason = audit.Delayed
	}
	return c.wait.Refused, err
}

// count lets the try count, and spends what proves it. A try that has to wait becomes delayed, whatever it was: the answer tells
// nothing about the proof. An office behind one address is not slowed by its own number, since right answers do not count.
func (s *Service) count(t *store.Tx, in store.SignIn, v *flow.Verdict, c checked, out *Result) error {
	counted, err := c.count.Take(t, v.Reason == "")
	if err != nil {
		return err
	}
	if counted.Tripped && s.Notify != nil {
		s.Notify.Guessed(t.Origin(), in.Person.ID)
	}
	if c.wait.Refused && !counted.Refused {
		counted = c.wait // it had to when the answer came
	}
	switch {
	case counted.Refused:
		v.Reason, out.Silent = audit.Delayed, counted.Silent
		if !out.Silent {
			out.Wait = counted.Wait
		}
		return nil
	case v.Reason != "":
		return nil
	}
	t.Hold(v.Person) // before all that is theirs: two that hold in two orders wait for each other
	if c.consume != nil {
		fresh, err := c.consume(t)
		if err != nil {
			return err
		}
		if !fresh {
			v.Reason = audit.Replayed
			return nil
		}
	}
	if c.device != "" {
		var err error
		if v.Device, err = t.UseDevice(v.Person, store.HashToken(c.device), v.Stamp, time.Duration(c.rules.Factors.RememberDevice)); err != nil {
			return err
		}
	}
	c.count.Right(t)
	return nil
}

// follow does what belongs to the new state: the secret to enrol, the enrolled factor, the session.
func (s *Service) follow(t *store.Tx, in store.SignIn, a Answer, c checked, v flow.Verdict, next *store.Flow, out *Result, events *[]audit.Event) error {
	if v.Reason == audit.Cloned {
		return s.clone(t, in.Person, c, events)
	}
	if v.Reason != "" {
		return nil
	}
	if c.rehash != "" {
		t.Rehash(v.Person, in.Person.Password, c.rehash)
	}
	if next.Step == flow.Enrol && in.Flow.Step != flow.Enrol {
		next.Pending = factor.NewTOTP().URI(s.Issuer, in.Person.Username)
	}
	if c.enrol != nil {
		if err := s.enrolled(t, in, c); err != nil {
			return err
		}
		next.Pending = ""
	}
	if in.Flow.Step == flow.Recovery {
		if err := s.recovered(t, in.Person, events); err != nil {
			return err
		}
	}
	if next.Step != flow.Done {
		return nil
	}
	if a.Remember && mayRemember(in.Flow, c.rules) && in.Flow.Step != flow.Password && c.enrol == nil && c.made.PHC == "" {
		if err := s.remember(t, in, c, next, out, events); err != nil {
			return err
		}
	}
	if err := s.open(t, in.Person, a, c, next, out, events); err != nil || c.made.PHC == "" {
		return err
	}
	return s.renewed(t, in, c, next.Session)
}

// open gives the browser a session with a new secret: its present one, if it is the same person's and alive, renewed;
// else a new one, and another person's present one ends. A kiosk's browser gets none: what it has has nothing to do with the sign-in.
func (s *Service) open(t *store.Tx, p *store.Person, a Answer, c checked, next *store.Flow, out *Result, events *[]audit.Event) error {
	if !next.Unlock {
		s.Lockout.Finished(t, a.Known, p)
	}
	t.MustStand(next.Person, c.phc)
	out.Secret = store.NewToken()
	next.Kiosk = next.Kiosk || c.rules.Session.Kiosk && next.Client != "" && next.From == ""
	if out.Kiosk = next.Kiosk; !out.Kiosk && !c.rules.Session.Kiosk {
		who := *p
		if c.made.PHC != "" {
			who.PasswordChanged = t.Now()
		}
		out.Known = s.Lockout.MakeKnown(a.Known, &who)
	}
	session := user.Session{ID: user.SessionID(store.NewID(t.Now())), User: next.Person, Proved: next.Proved, AuthTime: t.Now(),
		ExpiresAt: t.Now().Add(time.Duration(c.rules.Session.Absolute))}
	if next.Kiosk {
		a.Current = ""
	}
	old, _, err := t.SessionByToken(store.HashToken(a.Current))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	old = c.rules.Session.Of(old)
	if next.From != "" && (err != nil || old.ID != next.From || !old.Live(t.Now()) || old.Locked(t.Now()) && !next.Unlock) {
		return ErrGone // what the sign-in began with is over, or was locked meanwhile
	}
	if err == nil && old.User == session.User && old.Live(t.Now()) {
		session.ID = old.ID
		if next.From != "" { // one factor more makes a session stronger, neither fresher nor longer
			session.AuthTime, session.ExpiresAt = old.AuthTime, old.ExpiresAt
		}
		if next.Unlock {
			session.Proved = old.Proved
		}
		t.RenewSession(session, store.HashToken(out.Secret))
		next.Session = session.ID
		return nil
	}
	if err == nil {
		if _, err := t.EndSession(old.ID, audit.Logout); err != nil {
			return err
		}
	}
	next.Session = session.ID
	*events = append(*events, audit.Event{Kind: audit.SessionStarted, Subject: string(session.User), Session: string(session.ID)})
	return t.CreateSession(session, store.HashToken(out.Secret))
}
