package account

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	forgotLife      = 20 * time.Minute
	forgotPerPerson = 3 // in any hour
	forgotPerPlace  = 20
)

// ErrMailOff says that this service sends no mail.
var ErrMailOff = errors.New("account: this service sends no mail")

// Mails reports whether this service sends mail, and so can help who forgot their password.
func (s *Service) Mails() bool { return s.Notify.Posts() }

// Forgot mails a one-time link for a new password to the person whom login names, if there is one who may sign in and has a mail address. The
// link lives 20 minutes and makes earlier ones of its kind worthless, but not those that an administrator made for longer: a stranger
// can come here. At most 3 go to a person and 20 are asked for from an address in any hour; a browser that the person has signed in with
// before, which known is the cookie of, has its own 3.
//
// Whatever came of it stands in the trail alone (threats EN-03): for everybody the trips and the rows are as many, and the
// outbox is not woken, so that no mail goes out while the next answer is timed.
func (s *Service) Forgot(ctx context.Context, o audit.Origin, login, known string) error {
	if !s.Mails() {
		return ErrMailOff
	}
	login = factor.Name(login)
	token := store.NewToken()
	return s.DB.Change(ctx, o, func(t *store.Tx) error {
		p, err := t.PersonByLogin(login)
		if err != nil && !errors.Is(err, user.ErrNotFound) {
			return err
		}
		why, err := s.mayAsk(t, o, p, login, known)
		if err != nil {
			return err
		}
		e := audit.Event{Kind: audit.PasswordForgot, Reason: why}
		if p != nil {
			e.Subject = string(p.ID)
		}
		if why == "" {
			return errors.Join(t.Record(e), s.mailLink(t, p, token))
		}
		e.Outcome = audit.Refused
		return errors.Join(t.Record(e), s.mailNobody(t, o, token))
	})
}

// mayAsk counts, first the address and then the person, or the name that is nobody's. The reason says why there is no link.
func (s *Service) mayAsk(t *store.Tx, o audit.Origin, p *store.Person, login, known string) (audit.Reason, error) {
	why, who := audit.UnknownUser, "nobody:"+user.NameKey(login)
	if p != nil {
		why, who = "", string(p.ID)+":"+s.Lockout.Known(known, p)
		switch {
		case p.Disabled():
			why = audit.Disabled
		case p.Email == "":
			why = audit.NotAllowed
		}
	}
	place := s.network(o)
	within, err := t.TakeAttempt("forgot:"+place, forgotPerPlace, time.Hour, true)
	if err != nil {
		return "", err
	}
	if !within {
		why, who = audit.Delayed, "nobody:"+place // a person's own count is not a stranger's to fill
	}
	within, err = t.TakeAttempt("forgot:"+who, forgotPerPerson, time.Hour, true)
	if !within {
		why = audit.Delayed
	}
	return why, err
}

func (s *Service) mailLink(t *store.Tx, p *store.Person, token string) error {
	t.DropShortLinks(LinkReset, p.ID, forgotLife)
	t.CreateLink(store.HashToken(token), LinkReset, p.ID, forgotLife)
	err := t.Record(audit.Event{Kind: audit.LinkIssued, Subject: string(p.ID), Detail: map[string]string{"link": LinkReset, "by": "self"}})
	if err != nil {
		return err
	}
	return s.Notify.Mail(t, p, "mail.password_forgotten", "url", s.Notify.Issuer.JoinPath("link", token).String())
}

// mailNobody does what mailLink costs: the link that it writes is nobody's, and nobody has its token.
func (s *Service) mailNobody(t *store.Tx, o audit.Origin, token string) error {
	nobody := user.ID("nobody:" + s.network(o))
	t.DropShortLinks(LinkReset, nobody, forgotLife)
	t.CreateLink(store.HashToken(token), LinkReset, nobody, forgotLife)
	_, err := t.TakeAttempt("mail:"+string(nobody), forgotPerPlace, time.Hour, false)
	return err
}
