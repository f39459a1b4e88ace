package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Seat is one of a person's sessions as they see it.
type Seat struct {
	ID     user.SessionID
	Agent  string // as the browser named itself when the session began
	IP     string // where it began
	Since  time.Time
	Used   time.Time
	This   bool // the one that asks
	Locked bool // it asks for a proof before it goes on
}

// Sessions lists the sessions of a person that still count, the present one first and then the last used. It needs no fresh session.
func (s *Service) Sessions(ctx context.Context, me Self) ([]Seat, error) {
	rules, err := s.rules(ctx, me.Person)
	if err != nil {
		return nil, err
	}
	var seats []Seat
	err = s.DB.View(ctx, func(t *store.Tx) error {
		all, err := t.SessionsOf(me.Person.ID)
		seats = nil
		for _, one := range all {
			one.Session = rules.Session.Of(one.Session)
			if this := one.ID == me.Session.ID; this || one.Live(t.Now()) {
				seats = append(seats, Seat{ID: one.ID, Agent: one.Agent, IP: one.IP, Since: one.CreatedAt, Used: one.SeenAt, This: this,
					Locked: !this && one.Locked(t.Now())})
			}
		}
		return err
	})
	slices.SortStableFunc(seats, func(a, b Seat) int {
		switch {
		case a.This:
			return -1
		case b.This:
			return 1
		}
		return b.Used.Compare(a.Used)
	})
	return seats, err
}

// EndSession ends one of a person's sessions and what came of it, on every instance at once; the present one too, which is signing out.
// It needs no fresh session, since it opens nothing. One that is over already is no fault; ErrGone: it is not theirs.
func (s *Service) EndSession(ctx context.Context, me Self, id user.SessionID) error {
	if len(id) != 26 || strings.Trim(string(id), "0123456789ABCDEFGHIJKLMNOPQRSTUV") != "" {
		return ErrGone // not the form of an id (store.NewID), and perhaps not one that a database can hold
	}
	err := s.held(ctx, me, func(w work) error {
		ended, err := w.EndOwnSession(me.Person.ID, id, audit.Logout)
		if err == nil && !ended {
			err = errKept
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrGone
	case errors.Is(err, errKept):
		return nil
	}
	return err
}

// EndOthers ends every session of a person but the present one, and what came of them: also of such as have run out. It needs no
// fresh session.
func (s *Service) EndOthers(ctx context.Context, me Self) error {
	err := s.held(ctx, me, func(w work) error {
		sessions, grants, err := w.EndEverything(me.Person.ID, me.Session.ID, audit.Logout)
		if err == nil && sessions+grants == 0 {
			err = errKept
		}
		return err
	})
	if errors.Is(err, errKept) {
		return nil
	}
	return err
}
