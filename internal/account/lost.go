package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Lost is for who lost their phone and cannot sign in: a right recovery code stops every factor and ends every session, with what came
// of it, and every remembered browser, and is spent. The reason says why it did not, and is for the trail alone: for a name that is nobody's,
// a wrong code and a person who may not sign in the work is the same, and the page has to be (threats EN-03).
func (s *Service) Lost(ctx context.Context, o audit.Origin, login, code string) (audit.Reason, error) {
	login = factor.Name(login)
	var out audit.Reason
	err := s.DB.Change(ctx, o, func(t *store.Tx) error {
		p, err := t.PersonByLogin(login)
		if err != nil && !errors.Is(err, user.ErrNotFound) {
			return err
		}
		if out, err = s.lost(t, o, p, code); err != nil || out == "" {
			return err
		}
		e := audit.Event{Kind: audit.RecoveryUsed, Outcome: audit.Refused, Reason: out}
		if p != nil {
			e.Subject = string(p.ID)
		}
		return t.Record(e)
	})
	if err == nil && out == "" {
		s.Notify.Wake()
	}
	return out, err
}

// lost counts tries by the address alone, 50 in 15 minutes: a count of the person's would let a stranger, who needs no password here, keep them
// from their own codes. A code has 49 bits, which nobody guesses.
func (s *Service) lost(t *store.Tx, o audit.Origin, p *store.Person, code string) (audit.Reason, error) {
	owner, why := user.ID(""), audit.UnknownUser
	if p != nil {
		owner, why = p.ID, audit.WrongCode
		if p.Disabled() {
			owner, why = "", audit.Disabled // nobody's: there is no code to find
		}
	}
	address := "lost:" + s.network(o)
	if ok, err := t.TakeAttempt(address, 50, 15*time.Minute, false); err != nil || !ok {
		return audit.Delayed, err
	}
	mac := factor.RecoveryMAC(s.Key, string(owner), code)
	if right, err := t.RecoveryCode(owner, mac); err != nil || !right {
		return why, err
	}
	t.Hold(owner) // before the code, as at sign-in: two that hold in two orders wait for each other
	if fresh, err := t.UseRecoveryCode(owner, mac); err != nil || !fresh {
		return why, err
	}
	t.GiveBackAttempt(address)
	return "", s.stopAll(t, p)
}

func (s *Service) stopAll(t *store.Tx, p *store.Person) error {
	stopped, err := t.StopAll(p.ID, audit.Lost)
	if err != nil {
		return err
	}
	left, err := t.RecoveryCodesLeft(p.ID)
	if err != nil {
		return err
	}
	if err := t.Record(audit.Event{Kind: audit.RecoveryUsed, Subject: string(p.ID), Actor: string(p.ID)}); err != nil {
		return err
	}
	return errors.Join(s.Notify.Mail(t, p, "mail.recovery_used", "left", left), s.tell(t, p, "mail.factor_stopped", stopped...))
}

// network names the address in a lane, in a form that shows none.
func (s *Service) network(o audit.Origin) string {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte("address\x00" + o.Network(32, 64)))
	return hex.EncodeToString(m.Sum(nil)[:8])
}
