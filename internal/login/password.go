package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// checkPassword costs the same for a person who does not exist, has no password or may not sign in.
func (s *Service) checkPassword(ctx context.Context, o audit.Origin, in store.SignIn, a Answer, c *checked) error {
	p := in.Person
	phc := s.hasher.Decoy()
	if p != nil {
		c.verdict.Person = p.ID
		if p.Password != "" {
			phc = p.Password
		}
	}
	c.count = s.Lockout.Of(lockout.Try{Origin: o, Person: p, Typed: a.Username, Known: a.Known, Rules: c.rules.Lockout})
	password, err := factor.Normal(a.Password)
	if err != nil {
		password = "" // too long or not text: wrong, at the price of any other
	}
	waits, err := s.waits(ctx, c)
	if err != nil {
		return err
	}
	if waits {
		phc = s.hasher.Decoy()
	}
	if c.wait.Place {
		return nil // of nobody: it tells nothing, and costs nothing
	}
	right, stale, err := s.hasher.Check(ctx, password, phc)
	if err != nil {
		return err
	}
	switch {
	case waits:
	case p == nil:
		c.verdict.Reason = audit.UnknownUser
	case p.Password == "" || password == "" || !right:
		c.verdict.Reason = audit.WrongPassword
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
	default:
		if c.verdict.Means, err = s.means(ctx, p); err != nil {
			return err
		}
		c.phc = p.Password
		if stale {
			c.rehash, err = s.hasher.Hash(ctx, password)
			c.phc = c.rehash
		}
		c.verdict.Stamp = stamp(c.phc)
		_, unfit := s.Passwords.Fits(c.rules.Password, p.User, password, in.Flow.App)
		refused := (*passwords.Refused)(nil)
		c.verdict.Change = errors.As(unfit, &refused) || c.rules.Password.Outlived(p.PasswordChanged, s.db.Now())
		if c.rules.Factors.RememberDevice > 0 {
			c.device = a.Device
		}
	}
	return err
}

// stamp marks one stored password without telling anything of it.
func stamp(phc string) string {
	sum := sha256.Sum256([]byte("flow stamp of " + phc))
	return hex.EncodeToString(sum[:8])
}

// checkOwn checks the password of the person whose locked session it is.
func (s *Service) checkOwn(ctx context.Context, p *store.Person, a Answer, c *checked) error {
	phc := p.Password
	if phc == "" || c.wait.Refused {
		phc = s.hasher.Decoy()
	}
	right, _, err := s.hasher.Check(ctx, a.Password, phc)
	if err == nil && !c.wait.Refused && (!right || p.Password == "") {
		c.verdict.Reason = audit.WrongPassword
	}
	return err
}

// renew takes the password that replaces one that policy takes no more. The errors of a refused one are those of passwords.Service.Make.
func (s *Service) renew(ctx context.Context, o audit.Origin, in store.SignIn, a Answer) (Result, error) {
	p := in.Person
	if p == nil {
		return Result{}, ErrGone
	}
	if p.Disabled() || stamp(p.Password) != in.Flow.Stamp {
		return Result{}, ErrGone // what was proved counts no more
	}
	rules, err := s.rules(ctx, p)
	if err != nil {
		return Result{}, err
	}
	if a.Password == "" || a.Password != a.Repeat {
		return s.shown(ctx, in, ErrRepeat)
	}
	rules.Password.History = max(rules.Password.History, 1) // a password does not replace itself
	made, err := s.Passwords.Make(ctx, rules.Password, p.User, a.Password, in.Flow.App)
	if err != nil {
		return s.shown(ctx, in, err)
	}
	return s.commit(ctx, o, in, a, checked{rules: rules, phc: p.Password, made: made,
		verdict: flow.Verdict{Step: flow.NewPassword, Person: p.ID, Stamp: stamp(made.PHC)}})
}

// renewed stores it. Every other session ends, which may be somebody's who knew the old one.
func (s *Service) renewed(t *store.Tx, in store.SignIn, c checked, session user.SessionID) error {
	if err := t.SetPassword(in.Person.ID, c.phc, c.made.PHC, c.made.Under, session); err != nil {
		return err
	}
	return s.mail(t, in.Person, "mail.password_changed")
}
