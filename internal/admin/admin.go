// Package admin is what operators do: people, applications, one-time links and the apply file. The command line is its
// first face; pages and the API come to the same functions. Every change names its operator in the origin.
package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Service is safe for concurrent use.
type Service struct {
	db        *store.DB
	hasher    *factor.Hasher
	passwords *passwords.Service
	secretMAC func(string) []byte // how a client secret stands in its row
}

// New gives the service.
func New(db *store.DB, hasher *factor.Hasher, chosen *passwords.Service, secretMAC func(string) []byte) *Service {
	return &Service{db, hasher, chosen, secretMAC}
}

// Users calls each for every person, by user name.
func (s *Service) Users(ctx context.Context, each func(*store.Person) error) error {
	return s.db.View(ctx, func(t *store.Tx) error { return t.Persons(each) })
}

// User gives one person by user name, with the sessions that are under way; user.ErrNotFound if there is none.
func (s *Service) User(ctx context.Context, username string) (*store.Person, []store.OpenSession, error) {
	var p *store.Person
	var sessions []store.OpenSession
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if p, err = t.PersonByName(username); err != nil {
			return err
		}
		kinds, err := t.Kinds(p.ID)
		if err != nil {
			return err
		}
		p.Factors = kinds[p.ID]
		sessions, err = alive(t, p)
		return err
	})
	if errors.Is(err, user.ErrNotFound) {
		err = noUser(username)
	}
	return p, sessions, err
}

// AddUser adds a person. password may be empty: they then need a link.
func (s *Service) AddUser(ctx context.Context, o audit.Origin, u user.User, password string) (user.User, error) {
	if err := validUser(u); err != nil {
		return u, err
	}
	made, err := s.make(ctx, u, password)
	if err != nil {
		return u, err
	}
	u.ID = user.ID(rand.Text())
	if u.Name == "" {
		u.Name = u.Username
	}
	err = s.db.Change(ctx, o, func(t *store.Tx) error {
		if err := knownGroups(t, u.Groups); err != nil {
			return err
		}
		if err := t.CreateUser(u, made.PHC); err != nil {
			return err
		}
		t.PasswordMade(u.ID, made.Under)
		if err := t.Record(audit.Event{Kind: audit.UserCreated, Subject: string(u.ID)}); err != nil || u.Phone == "" {
			return err
		}
		return giveNumber(t, u)
	})
	if errors.Is(err, store.ErrTaken) {
		err = fmt.Errorf("user %s: somebody has this user name or mail address already; choose another, or see: portvakt user list", u.Username)
	}
	return u, err
}

// SetDisabled forbids or allows a person to sign in. Forbidding ends every session and every token at once.
func (s *Service) SetDisabled(ctx context.Context, o audit.Origin, username string, disabled bool) error {
	err := s.change(ctx, o, username, func(t *store.Tx, p *store.Person) error {
		t.SetDisabled(p.ID, disabled)
		if !disabled {
			return t.Record(audit.Event{Kind: audit.UserEnabled, Subject: string(p.ID)})
		}
		if err := t.Record(audit.Event{Kind: audit.UserDisabled, Subject: string(p.ID)}); err != nil {
			return err
		}
		return t.EndSessionsOf(p.ID, "", audit.Administrator)
	})
	switch {
	case errors.Is(err, store.ErrConflict) && disabled:
		err = fmt.Errorf("user %s is disabled already; nothing was changed", username)
	case errors.Is(err, store.ErrConflict):
		err = fmt.Errorf("user %s is not disabled; nothing was changed", username)
	}
	return err
}

// SetPassword gives a person a new password and ends their sessions.
func (s *Service) SetPassword(ctx context.Context, o audit.Origin, username, password string) error {
	p, _, err := s.User(ctx, username)
	if err != nil {
		return err
	}
	made, err := s.make(ctx, p.User, password)
	if err != nil {
		return err
	}
	err = s.change(ctx, o, username, func(t *store.Tx, p *store.Person) error {
		return t.SetPassword(p.ID, made.Was, made.PHC, made.Under, "")
	})
	if errors.Is(err, store.ErrConflict) {
		err = fmt.Errorf("user %s: the password was changed by somebody else at the same time; nothing was changed, so try again", username)
	}
	return err
}

// ResetFactors takes away every second factor of a person and ends their sessions: the next sign-in enrols anew.
func (s *Service) ResetFactors(ctx context.Context, o audit.Origin, username string) error {
	return s.held(ctx, o, username, func(t *store.Tx, p *store.Person) error {
		t.RemoveFactors(p.ID)
		if err := t.Record(audit.Event{Kind: audit.FactorRemoved, Reason: audit.Administrator, Subject: string(p.ID),
			Detail: map[string]string{"factor": "all"}}); err != nil {
			return err
		}
		err := t.EndSessionsOf(p.ID, "", audit.Administrator)
		t.DropSignIns(p.ID) // one of them may be about to set up another factor
		return err
	})
}

// Unlock clears a person's counters of wrong tries.
func (s *Service) Unlock(ctx context.Context, o audit.Origin, username string) error {
	return s.change(ctx, o, username, func(t *store.Tx, p *store.Person) error {
		lockout.Lift(t, p.User)
		return t.Record(audit.Event{Kind: audit.UserUnlocked, Subject: string(p.ID)})
	})
}

// MakeLink gives the secret of a new one-time link of this kind; earlier unused ones of the same kind stop working.
// username is empty for the set-up link.
func (s *Service) MakeLink(ctx context.Context, o audit.Origin, kind, username string, life time.Duration) (string, error) {
	secret := store.NewToken()
	issue := func(t *store.Tx, id user.ID) error {
		t.DropLinks(kind, id)
		t.CreateLink(store.HashToken(secret), kind, id, life)
		return t.Record(audit.Event{Kind: audit.LinkIssued, Subject: string(id), Detail: map[string]string{"link": kind}})
	}
	if username == "" {
		return secret, s.db.Change(ctx, o, func(t *store.Tx) error { return issue(t, "") })
	}
	return secret, s.held(ctx, o, username, func(t *store.Tx, p *store.Person) error { return issue(t, p.ID) })
}

// held is change for what is the person's: nobody else changes that meanwhile.
func (s *Service) held(ctx context.Context, o audit.Origin, username string, fn func(*store.Tx, *store.Person) error) error {
	return s.change(ctx, o, username, func(t *store.Tx, p *store.Person) error {
		t.Hold(p.ID)
		return fn(t, p)
	})
}

// change runs fn for one person, in one change.
func (s *Service) change(ctx context.Context, o audit.Origin, username string, fn func(*store.Tx, *store.Person) error) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		p, err := t.PersonByName(username)
		if err != nil {
			return err
		}
		return fn(t, p)
	})
	if errors.Is(err, user.ErrNotFound) {
		err = noUser(username)
	}
	return err
}

// Events calls each for the events that f lets through, and records that they were read, by whom.
func (s *Service) Events(ctx context.Context, o audit.Origin, f store.EventFilter, each func(audit.Event) error) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		return t.Record(audit.Event{Kind: audit.AuditRead, Subject: string(f.Subject)})
	})
	if err != nil {
		return err
	}
	return s.db.View(ctx, func(t *store.Tx) error { return t.Events(f, each) })
}
