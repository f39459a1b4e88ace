package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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
	Known    string // cookie of a browser in which somebody has signed in before, if any
}

// Result is what came of an answer.
type Result struct {
	View    View
	Reason  audit.Reason // why the answer did not count; empty if it did
	Wait    time.Duration
	Silent  bool   // the refusal is to read like that of a wrong password
	Browser string // after a right password: the browser's new secret
	Secret  string // with a finished sign-in: the browser's new session secret
	Known   string // with a finished sign-in: the cookie that makes this browser known, unless it was
}

// checked is an answer after the work of checking it, which holds no transaction.
type checked struct {
	verdict flow.Verdict
	rules   policy.Policy
	lanes   []lane
	phc     string // the person's password as it stands in the row when all is written
	rehash  string // PHC string to store in place of the present one
	step    int64  // of the soft token
}

// lane is a counter of tries.
type lane struct {
	name   string
	limit  int
	window time.Duration
	shared bool // by everybody at an address: a right answer gives its try back; a person's own lane it clears
	silent bool // counts for both names of a person: to say that it is full would tell that they are one person's
}

// Submit answers the present step. ErrGone, ErrWrongBrowser and ErrStale are answers to a page that is not the present
// one; factor.ErrBusy and store.ErrOutage say to try later, and nothing was counted.
func (s *Service) Submit(ctx context.Context, o audit.Origin, id string, a Answer) (Result, error) {
	a.Username = plainName(a.Username)
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
		err = s.checkPassword(ctx, o, in.Person, a, &c)
	} else {
		err = s.checkCode(in, a, &c)
	}
	return c, err
}

// passwordLanes are the counters of a try at a password: of the name as it was typed, of the person behind it, and of the
// address; in a browser that the person has signed in with before, of that browser alone.
func (s *Service) passwordLanes(o audit.Origin, p *store.Person, a Answer, rules policy.Policy) []lane {
	limit, window, site := rules.Lockout.Attempts, time.Duration(rules.Lockout.Window), ":password:"+s.network(o.IP, 48)
	who := "nobody:" + user.NameKey(a.Username) // a counter of no use, at the price of a person's
	if p != nil {
		who = string(p.ID)
		if name, ok := s.known(a.Known, p.ID); ok {
			return []lane{{name: who + ":known:" + name, limit: limit, window: window}}
		}
	}
	return []lane{{name: user.NameKey(a.Username) + site, limit: limit, window: window},
		{name: who + site, limit: limit, window: window, silent: true},
		{name: "address:" + s.network(o.IP, 64), limit: limit * addressRate, window: window, shared: true}}
}

// checkPassword costs the same for a person who does not exist, has no password or may not sign in.
func (s *Service) checkPassword(ctx context.Context, o audit.Origin, p *store.Person, a Answer, c *checked) error {
	phc := s.hasher.Decoy()
	if p != nil {
		c.verdict.Person = p.ID
		if p.Password != "" {
			phc = p.Password
		}
	}
	c.lanes = s.passwordLanes(o, p, a, c.rules)
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
		c.phc = p.Password
		if stale {
			c.rehash, err = s.hasher.Hash(ctx, password)
			c.phc = c.rehash
		}
		c.verdict.Stamp = stamp(c.phc)
	}
	return err
}

// stamp marks one stored password without telling anything of it.
func stamp(phc string) string {
	sum := sha256.Sum256([]byte("flow stamp of " + phc))
	return hex.EncodeToString(sum[:8])
}

// checkCode checks a code against the soft token, or against the one under enrolment.
func (s *Service) checkCode(in store.SignIn, a Answer, c *checked) error {
	p, uri, last := in.Person, in.Flow.Pending, int64(0)
	if p == nil {
		return ErrGone // the person was removed meanwhile
	}
	c.verdict.Person, c.phc = p.ID, p.Password
	c.lanes = []lane{{name: string(p.ID) + ":totp", limit: codeTries, window: codeWindow},
		{name: string(p.ID) + ":totp-row", limit: codeRow, window: 365 * 24 * time.Hour}}
	if in.Flow.Step == flow.TOTP {
		uri, last = p.TOTP, p.TOTPStep
	}
	switch {
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
		return nil
	case stamp(p.Password) != in.Flow.Stamp:
		c.verdict.Reason = audit.Changed // the password that was proved is not theirs any more
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
		if err := s.count(t, &v, c, in.Flow.Step, &out); err != nil {
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
	if out.Reason == audit.Delayed && !out.Silent {
		out.Wait = c.lanes[0].window
	}
	return out, err
}

// count takes one try from each lane, until one is full. Then the verdict becomes delayed, whatever it was: the answer tells
// nothing about the proof. An office behind one address is not slowed by its own number, since right answers do not count.
func (s *Service) count(t *store.Tx, v *flow.Verdict, c checked, step flow.Step, out *Result) error {
	for _, l := range c.lanes {
		ok, err := t.TakeAttempt(l.name, l.limit, l.window, !l.shared)
		if err != nil {
			return err
		}
		if !ok {
			v.Reason, out.Silent = audit.Delayed, l.silent
			return nil
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
	for _, l := range c.lanes {
		if l.shared {
			t.GiveBackAttempt(l.name)
		} else {
			t.ClearAttempts(l.name)
		}
	}
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
	if in.Flow.Step == flow.Password {
		out.Browser = Secret() // who knew the old one knows nothing of what a right password opens
		t.MoveBrowser(Hash(a.Browser), Hash(out.Browser))
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
	t.MustStand(next.Person, c.phc)
	out.Secret = Secret()
	if _, ok := s.known(a.Known, next.Person); !ok {
		out.Known = s.makeKnown(next.Person)
	}
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

// network is what counts as one address: an IPv4 address, or the first bits of an IPv6 one. A guesser often has a whole
// /48, so a person's lane counts that as one; what everybody shares counts a /64, since a /48 can be a whole operator.
func (s *Service) network(ip string, bits int) string {
	if addr, err := netip.ParseAddr(ip); err == nil {
		ip = addr.Unmap().String()
		if prefix, err := addr.WithZone("").Prefix(bits); err == nil && !addr.Unmap().Is4() {
			ip = prefix.String()
		}
	}
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(ip))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// plainName gives a user name in the spelling that rows have (Unicode NFC), or, for what can be nobody's name, a text
// that is nobody's either.
func plainName(name string) string {
	if len(name) > 512 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return "?"
	}
	return norm.NFC.String(name)
}
