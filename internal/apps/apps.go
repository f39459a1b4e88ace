// Package apps is what the owner of an application sees of it: its registration, what went wrong with it in the last 7 days, and how to write it
// down in common stacks. Owners are the people whom the registration names; whoever holds the role admin sees every application. The role owner
// by itself opens none. Who has a factor has to have proved one in the session, and no remembered browser stands in for it.
//
// Nothing here is about a person: a refusal is told without whom it met, from where and in what session.
package apps

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// The refusals.
var (
	ErrNotYours = errors.New("apps: no application with this client_id that is the person's") // whether there is one or not
	ErrWeak     = errors.New("apps: the session has not proved a factor that the person has")
)

const (
	troubleSince = 7 * 24 * time.Hour
	troubleRead  = 500 // events of one application that a page reads
	troubleShown = 30  // different ones that it shows
)

// Service is safe for concurrent use.
type Service struct {
	db     *store.DB
	issuer string
}

// New gives the service. issuer is a URL without a final /.
func New(db *store.DB, issuer string) *Service { return &Service{db, issuer} }

// Who asks.
type Who struct {
	Person  user.ID
	Session user.Session
}

// Has reports whether a person sees any application. It asks nothing of the session.
func (s *Service) Has(ctx context.Context, person user.ID) (bool, error) {
	var mine []store.Client
	err := s.db.View(ctx, func(t *store.Tx) (err error) { mine, err = seen(t, person); return err })
	return len(mine) > 0, err
}

// List gives the applications that a person sees, by id. ErrWeak.
func (s *Service) List(ctx context.Context, w Who) ([]store.Client, error) {
	var mine []store.Client
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if mine, err = seen(t, w.Person); err != nil {
			return err
		}
		return strong(t, w)
	})
	return mine, err
}

// App is one application, and what went wrong with it.
type App struct {
	store.Client
	Troubles []Trouble
	More     bool // there was more than is told
}

// App gives one. ErrNotYours, and ErrWeak for one that is.
func (s *Service) App(ctx context.Context, w Who, id client.ID) (App, error) {
	var out App
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if out.Client, err = one(t, w, id); err != nil {
			return err
		}
		all, err := t.TroubleOf(id, t.Now().Add(-troubleSince), troubleRead)
		out.Troubles = grouped(all, out.Client)
		out.More = len(all) == troubleRead || len(out.Troubles) > troubleShown
		out.Troubles = out.Troubles[:min(len(out.Troubles), troubleShown)]
		return err
	})
	return out, err
}

// one is an application of the person's.
func one(t *store.Tx, w Who, id client.ID) (store.Client, error) {
	if !id.Valid() {
		return store.Client{}, ErrNotYours
	}
	roles, err := t.RolesOf(w.Person)
	if err != nil {
		return store.Client{}, err
	}
	c, err := t.ClientByID(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c, ErrNotYours
	case err != nil:
		return c, err
	case !slices.Contains(roles, user.RoleAdmin) && !slices.Contains(c.Owners, string(w.Person)):
		return store.Client{}, ErrNotYours
	}
	return c, strong(t, w)
}

// seen are the applications that a person sees.
func seen(t *store.Tx, person user.ID) ([]store.Client, error) {
	roles, err := t.RolesOf(person)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(roles, user.RoleAdmin) {
		return t.ClientsOf(person)
	}
	var all []store.Client
	err = t.Clients(func(c store.Client) error { all = append(all, c); return nil })
	return all, err
}

// strong refuses a session that is weaker than its person can prove.
func strong(t *store.Tx, w Who) error {
	have, err := t.FactorsOf(w.Person)
	if err == nil && len(have) > 0 && !w.Session.ACR().Meets(user.ACR2FA) {
		err = ErrWeak
	}
	return err
}
