package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
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
	Code     string
	Current  string // secret of the session that the browser has, if any
}

// Result is what came of an answer.
type Result struct {
	View   View
	Reason audit.Reason // why the answer did not count; empty if it did
	Wait   time.Duration
	Secret string // with a finished sign-in: the browser's new session secret
}

// checked is an answer after the work of checking it, which holds no transaction.
type checked struct {
	verdict flow.Verdict
	rules   policy.Policy
	lanes   []lane
	rehash  string // PHC string to store in place of the present one
	step    int64  // of the soft token
}

// lane is a counter of tries.
type lane struct {
	name   string
	limit  int
	window time.Duration
}

// Submit answers the present step. ErrGone, ErrWrongBrowser and ErrStale are answers to a page that is not the present
// one; factor.ErrBusy and store.ErrOutage say to try later, and nothing was counted.
func (s *Service) Submit(ctx context.Context, o audit.Origin, id string, a Answer) (Result, error) {
	in, err := s.read(ctx, id, a.Browser, a.Username)
	if errors.Is(err, ErrWrongBrowser) {
		return Result{}, s.wrongBrowser(ctx, o, in)
	}
	if err != nil {
		return Result{}, err
	}
	if in.Flow.Step == flow.Done {
		return Result{View: s.view(in)}, nil
	}
	if a.Version != in.Flow.Version {
		return Result{View: s.view(in)}, ErrStale
	}
	if in.Flow.Step != flow.Password && a.Username != "" {
		if in, err = s.read(ctx, id, a.Browser, ""); err != nil { // a user name has no say in a later step
			return Result{}, err
		}
	}
	c, err := s.check(ctx, o, in, a)
	if err != nil {
		return Result{}, err
	}
	return s.commit(ctx, o, in, a, c)
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
	if in.Flow.Step == flow.Password {
		return c, s.checkPassword(ctx, o, in.Person, a, &c)
	}
	return c, s.checkCode(in, a, &c)
}

// checkPassword costs the same for a person who does not exist, has no password or may not sign in.
func (s *Service) checkPassword(ctx context.Context, o audit.Origin, p *store.Person, a Answer, c *checked) error {
	limit, window, address := c.rules.Lockout.Attempts, time.Duration(c.rules.Lockout.Window), network(o.IP)
	who, phc := "?"+nameHash(a.Username), s.hasher.Decoy()
	if p != nil {
		who, c.verdict.Person = string(p.ID), p.ID
		if p.Password != "" {
			phc = p.Password
		}
	}
	c.lanes = []lane{{"address:" + address, limit * addressRate, window}, {who + ":password:" + address, limit, window}}
	password, err := factor.Normal(a.Password)
	if err != nil {
		password = "" // too long or not text: wrong, at the price of any other
	}
	right, stale, err := s.hasher.Check(ctx, password, phc)
	if err != nil {
		return err
	}
	switch {
	case p == nil:
		c.verdict.Reason = audit.UnknownUser
	case p.Password == "" || password == "" || !right:
		c.verdict.Reason = audit.WrongPassword
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
	default:
		c.verdict.HasFactor, c.verdict.MustHave = p.HasTOTP(), c.rules.Factors.Required
		if stale {
			c.rehash, err = s.hasher.Hash(ctx, password)
		}
	}
	return err
}

// checkCode checks a code against the soft token, or against the one under enrolment.
func (s *Service) checkCode(in store.SignIn, a Answer, c *checked) error {
	p, uri, last := in.Person, in.Flow.Pending, int64(0)
	if p == nil {
		return ErrGone // the person was removed meanwhile
	}
	c.verdict.Person = p.ID
	c.lanes = []lane{{string(p.ID) + ":totp", codeTries, codeWindow}}
	if in.Flow.Step == flow.TOTP {
		uri, last = p.TOTP, p.TOTPStep
	}
	if p.Disabled() {
		c.verdict.Reason = audit.Disabled
		return nil
	}
	if uri == "" {
		c.verdict.Reason = audit.WrongCode // the factor was removed meanwhile
		return nil
	}
	token, err := factor.ParseTOTP(uri)
	if err != nil {
		return err
	}
	step, ok := token.Check(a.Code, s.db.Now(), 0)
	switch {
	case !ok:
		c.verdict.Reason = audit.WrongCode
	case step <= last:
		c.verdict.Reason = audit.Replayed
	}
	c.step = step
	return nil
}

// commit takes the try from its lanes, asks flow what follows and writes it. Nothing is decided before that write.
func (s *Service) commit(ctx context.Context, o audit.Origin, in store.SignIn, a Answer, c checked) (Result, error) {
	var out Result
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		out = Result{}
		v := c.verdict
		if err := s.count(t, &v, c, in.Flow.Step); err != nil {
			return err
		}
		next := in.Flow
		var events []audit.Event
		next.Flow, events = flow.Next(in.Flow.Flow, v, t.Now())
		if events == nil {
			return ErrStale
		}
		if err := s.follow(t, in, a, c, v, &next, &out, &events); err != nil {
			return err
		}
		if err := t.AdvanceFlow(next, in.Flow.Version); err != nil {
			return err
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
				return err
			}
		}
		out.Reason = v.Reason
		out.View = s.view(store.SignIn{Flow: next, Person: in.Person})
		return nil
	})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTaken) {
		err = ErrStale // another answer to the same step was faster
	}
	if errors.Is(err, ErrStale) {
		view, err := s.Show(ctx, in.Flow.ID, a.Browser)
		if err != nil {
			return Result{}, err
		}
		return Result{View: view}, ErrStale
	}
	if out.Reason == audit.Delayed {
		out.Wait = c.lanes[len(c.lanes)-1].window
	}
	return out, err
}

// count takes one try from each lane. Over the limit the verdict becomes delayed, whatever it was: the answer tells
// nothing about the proof. A right answer clears the person's own lane and gives its try back to the address's, so that
// an office behind one address is not slowed by its own number.
func (s *Service) count(t *store.Tx, v *flow.Verdict, c checked, step flow.Step) error {
	for _, l := range c.lanes {
		ok, err := t.TakeAttempt(l.name, l.limit, l.window)
		if err != nil {
			return err
		}
		if !ok {
			v.Reason = audit.Delayed
		}
	}
	if v.Reason != "" {
		return nil
	}
	if step == flow.TOTP {
		fresh, err := t.UseTOTPStep(v.Person, c.step)
		if err != nil {
			return err
		}
		if !fresh {
			v.Reason = audit.Replayed
			return nil
		}
	}
	for _, l := range c.lanes[:len(c.lanes)-1] {
		t.GiveBackAttempt(l.name)
	}
	t.ClearAttempts(c.lanes[len(c.lanes)-1].name)
	return nil
}

// follow does what belongs to the new state: the secret to enrol, the enrolled factor, the session.
func (s *Service) follow(t *store.Tx, in store.SignIn, a Answer, c checked, v flow.Verdict, next *store.Flow, out *Result, events *[]audit.Event) error {
	if v.Reason != "" {
		return nil
	}
	if c.rehash != "" {
		t.Rehash(v.Person, in.Person.Password, c.rehash)
	}
	if next.Step == flow.Enrol && in.Flow.Step != flow.Enrol {
		next.Pending = factor.NewTOTP().URI(s.issuer, in.Person.Username)
	}
	if in.Flow.Step == flow.Enrol && next.Step == flow.Done {
		if err := t.AddTOTP(v.Person, in.Flow.Pending, c.step); err != nil {
			return err
		}
		next.Pending = ""
	}
	if next.Step != flow.Done {
		return nil
	}
	return s.open(t, a, c, next, out, events)
}

// open gives the browser a session with a new secret: its present one, if it is the same person's and alive, renewed;
// else a new one, and another person's present one ends.
func (s *Service) open(t *store.Tx, a Answer, c checked, next *store.Flow, out *Result, events *[]audit.Event) error {
	out.Secret = Secret()
	session := user.Session{ID: user.SessionID(store.NewID(t.Now())), User: next.Person, Proved: next.Proved, AuthTime: t.Now(),
		ExpiresAt: t.Now().Add(time.Duration(c.rules.Session.Absolute))}
	old, _, err := t.SessionByToken(Hash(a.Current))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err == nil && old.User == session.User && old.Live(t.Now()) {
		session.ID = old.ID
		t.RenewSession(session, Hash(out.Secret))
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
	return t.CreateSession(session, Hash(out.Secret))
}

// network is what counts as one address: an IPv4 address, or the /64 of an IPv6 one.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}

func nameHash(name string) string {
	sum := sha256.Sum256([]byte(user.Fold(name)))
	return hex.EncodeToString(sum[:8])
}
