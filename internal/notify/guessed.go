package notify

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// LinkBrowser is the kind of the one-time link in the mail about guesses.
const LinkBrowser = "browser"

const (
	guessedLife  = 12 * time.Hour
	guessedQueue = 64
)

// Guessed lets Deliver tell a person that somebody guesses at what they sign in with, and give them a way in meanwhile: a link that makes the
// browser in which it is opened one of their own (lockout.Service.MakeKnown). The answer to a guess does not wait for it: its time would tell
// that there is such a person. Where more are guessed at than can be told, some are told at the next guess.
func (s *Service) Guessed(o audit.Origin, id user.ID) {
	select {
	case s.guessed <- guess{o, id}:
	default:
	}
}

// guess is whose, and from where.
type guess struct {
	origin audit.Origin
	person user.ID
}

// tellGuessed does so twice a day at most.
func (s *Service) tellGuessed(ctx context.Context, g guess) error {
	all, err := s.DB.Policy(ctx)
	if err != nil || !all.Lockout.Notify {
		return err
	}
	token := store.NewToken()
	err = s.DB.Change(ctx, g.origin, func(t *store.Tx) error {
		p, err := t.PersonByID(g.person)
		if err != nil {
			return err
		}
		first := false
		if !p.Disabled() && p.Email != "" {
			first, err = t.TakeAttempt("told:"+string(g.person), 1, guessedLife, false)
		}
		if err == nil && !first {
			err = errTold
		}
		if err != nil {
			return err
		}
		t.CreateLink(store.HashToken(token), LinkBrowser, g.person, guessedLife)
		if err := t.Record(audit.Event{Kind: audit.LinkIssued, Subject: string(g.person), Detail: map[string]string{"link": LinkBrowser}}); err != nil {
			return err
		}
		return s.Mail(t, p, "mail.guessed", "link", s.Issuer.String()+"/link/"+token, "minutes", int((time.Duration(all.Lockout.DelayMax)+time.Minute-1)/time.Minute))
	})
	if errors.Is(err, errTold) || errors.Is(err, user.ErrNotFound) {
		return nil
	}
	return err
}

// errTold ends a change that has nothing to tell.
var errTold = errors.New("notify: the person knows, or cannot be told")
