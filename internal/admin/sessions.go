package admin

import (
	"context"
	"errors"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
)

// errNothing undoes a change that had nothing to do.
var errNothing = errors.New("admin: nothing to do")

// LockSessions makes every session of a person ask for a proof before it goes on, and gives how many it locked.
func (s *Service) LockSessions(ctx context.Context, o audit.Origin, username string) (int, error) {
	n := 0
	err := s.held(ctx, o, username, func(t *store.Tx, p *store.Person) (err error) {
		if n, err = t.LockSessionsOf(p.ID, audit.Administrator); err == nil && n == 0 {
			err = errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return n, err
}

// EndSessions ends every session of a person, and every token that they gave to applications. It gives how many of each: sessions, and
// applications' grants.
func (s *Service) EndSessions(ctx context.Context, o audit.Origin, username string) (sessions, grants int, err error) {
	err = s.held(ctx, o, username, func(t *store.Tx, p *store.Person) (err error) {
		if sessions, grants, err = t.EndEverything(p.ID, "", audit.Administrator); err == nil && sessions+grants == 0 {
			err = errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return sessions, grants, err
}

// alive lists the sessions of a person that count by the policy in force, with what it says of when they are over or locked.
func alive(t *store.Tx, p *store.Person) ([]store.OpenSession, error) {
	all, err := t.SessionsOf(p.ID)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	rules, err := t.Policy()
	if err != nil {
		return nil, err
	}
	var out []store.OpenSession
	for _, s := range all {
		if s.Session = rules.For(p.Groups).Session.Of(s.Session); s.Live(t.Now()) {
			out = append(out, s)
		}
	}
	return out, nil
}
