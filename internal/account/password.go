package account

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// The refusals of a new password beside those of package passwords.
var (
	ErrNoPassword = errors.New("account: the person has no password to change")
	ErrOvertaken  = errors.New("account: the password was changed by somebody else meanwhile")
)

// PasswordForm is what the page for a new password sends.
type PasswordForm struct{ Current, New, Repeat string }

// Changed is what came of it.
type Changed struct {
	Secret string        // of the present session, whose old one is dead
	Reason audit.Reason  // WrongPassword or Delayed: nothing was changed
	Wait   time.Duration // with Delayed
	Known  string        // the cookie of a browser that was known with the old password; "" if it was not
}

// strong reports whether a session may change the password of its person. The present password is the proof, so its age does not
// matter; but where the person has a factor it was proved too, and no remembered browser stood in for it: a password that was
// seen must not be enough to keep its owner out.
func strong(s user.Session, hasFactor bool) bool { return Fresh(s, hasFactor, s.AuthTime) }

// PasswordRules are those of policy for the person's next password. ErrNotFresh: the session is too weak to change it; ErrNoPassword.
func (s *Service) PasswordRules(ctx context.Context, me Self) (policy.Password, error) {
	_, rules, err := s.ownPassword(ctx, me)
	return rules.Password, err
}

// ownPassword gives the person with the password that they have now, and the rules for the next.
func (s *Service) ownPassword(ctx context.Context, me Self) (*store.Person, policy.Policy, error) {
	var p *store.Person
	err := s.DB.View(ctx, func(t *store.Tx) (err error) {
		if p, err = t.PersonByID(me.Person.ID); err != nil {
			return err
		}
		have, err := t.FactorsOf(p.ID)
		switch {
		case err != nil:
			return err
		case !strong(me.Session, len(have) > 0):
			return ErrNotFresh
		case p.Password == "":
			return ErrNoPassword
		}
		return nil
	})
	if errors.Is(err, user.ErrNotFound) {
		err = ErrEnded
	}
	if err != nil {
		return nil, policy.Policy{}, err
	}
	rules, err := s.rules(ctx, p)
	return p, rules, err
}

// ChangePassword gives a person a new password for a right present one. Every other session ends with what came of it, no browser is
// remembered, and the present session gets a new secret: it becomes neither fresher nor longer. Of two changes at once one wins; the
// other is ErrOvertaken, or ErrEnded from another session. The other refusals: ErrNotFresh, ErrNoPassword, ErrMissing, ErrMismatch and
// those of passwords.Service.Make.
func (s *Service) ChangePassword(ctx context.Context, me Self, f PasswordForm) (Changed, error) {
	p, rules, err := s.ownPassword(ctx, me)
	switch {
	case err != nil:
		return Changed{}, err
	case f.Current == "" || f.New == "" || f.Repeat == "":
		return Changed{}, ErrMissing
	case f.New != f.Repeat:
		return Changed{}, ErrMismatch
	}
	if _, err := s.Passwords.Fits(rules.Password, p.User, f.New); err != nil {
		return Changed{}, err // no try is spent
	}
	count := s.Lockout.Of(lockout.Try{Origin: me.Origin, Person: p, Known: me.Known, Rules: rules.Lockout})
	wait, right, err := s.tried(ctx, p, count, f.Current)
	if err != nil {
		return Changed{}, err
	}
	var made passwords.Made
	var refusal error // told only to who is within the limit: it says that the present password was right
	if right {
		made, refusal = s.Passwords.Make(ctx, rules.Password, p.User, f.New)
	}
	var out Changed
	var counted lockout.Outcome
	err = s.held(ctx, me, func(w work) error {
		out = Changed{}
		if !strong(me.Session, len(w.have) > 0) {
			return ErrNotFresh
		}
		switch {
		case counted.Refused:
			out.Reason, out.Wait = audit.Delayed, counted.Wait
		case !right:
			out.Reason = audit.WrongPassword
		case refusal != nil:
			return refusal
		default:
			count.Right(w.Tx)
			var err error
			out.Secret, out.Known, err = s.setOwn(w, p, made)
			return err
		}
		return w.record(audit.Event{Kind: audit.PasswordChanged, Outcome: audit.Refused, Reason: out.Reason}, "", "")
	}, func(t *store.Tx) (err error) {
		if counted, err = count.Take(t, right); counted.Tripped {
			s.Notify.Guessed(me.Origin, p.ID)
		}
		if wait.Refused && !counted.Refused {
			counted = wait // it had to when the answer came
		}
		return err
	})
	if errors.Is(err, ErrGone) {
		err = ErrOvertaken
	}
	if err != nil {
		return Changed{}, err
	}
	s.Notify.Wake()
	return out, nil
}

// tried says whether a try at the present password of p has to wait, and else whether it is right. What has to wait is not looked at: its
// time would tell.
func (s *Service) tried(ctx context.Context, p *store.Person, count lockout.Count, password string) (wait lockout.Outcome, right bool, err error) {
	if err = s.DB.View(ctx, func(t *store.Tx) (err error) { wait, err = count.Waits(t); return err }); err != nil {
		return wait, false, err
	}
	phc := p.Password
	if wait.Refused {
		phc = s.Hasher.Decoy()
	}
	right, err = s.isPassword(ctx, phc, password)
	return wait, right, err
}

// isPassword reports whether password is that of phc.
func (s *Service) isPassword(ctx context.Context, phc, password string) (bool, error) {
	normal, err := factor.Normal(password)
	if err != nil {
		normal = "" // too long or not text: wrong, at the price of any other
	}
	right, _, err := s.Hasher.Check(ctx, normal, phc)
	return right && normal != "", err
}

// setOwn writes the new password in place of the one that p has, and tells its owner. It gives the present session's new secret, and the cookie of
// a browser that is known, which the old password's is not any more.
func (s *Service) setOwn(w work, p *store.Person, made passwords.Made) (secret, known string, err error) {
	if err := w.SetPassword(p.ID, p.Password, made.PHC, made.Under, w.me.Session.ID); err != nil {
		return "", "", err
	}
	secret = store.NewToken()
	w.RotateSession(w.me.Session.ID, store.HashToken(secret))
	if s.Lockout.Known(w.me.Known, p) != "" {
		after := *p
		after.PasswordChanged = w.Now()
		known = s.Lockout.MakeKnown("", &after)
	}
	return secret, known, s.Notify.Mail(w.Tx, w.me.Person, "mail.password_changed")
}
