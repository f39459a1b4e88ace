package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Clients calls each for every application, by id.
func (s *Service) Clients(ctx context.Context, each func(store.Client) error) error {
	return s.db.View(ctx, func(t *store.Tx) error { return t.Clients(each) })
}

// Client gives one application, or ErrNoClient.
func (s *Service) Client(ctx context.Context, id client.ID) (store.Client, error) {
	var c store.Client
	err := s.db.View(ctx, func(t *store.Tx) (err error) { c, err = t.ClientByID(id); return err })
	if errors.Is(err, store.ErrNotFound) {
		err = noClient(id)
	}
	return c, err
}

// AddClient registers an application and gives the secret that was made for it, which is not kept in clear; "" for one that has none, or brings its own.
func (s *Service) AddClient(ctx context.Context, o audit.Origin, c ClientSpec) (string, error) {
	c.Normalise()
	if err := c.check(); err != nil {
		return "", err
	}
	secret, mac := "", []byte{}
	switch {
	case c.Secret != "":
		mac = s.secretMAC(c.Secret)
	case c.HasSecret():
		secret, mac = newSecret(s)
	}
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		if err := knownGroups(t, c.AllowedGroups); err != nil {
			return err
		}
		owned := c
		if err := owned.name(idsOf(t)); err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
		if err := t.AddClient(owned.Client, mac); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.ClientCreated, Client: string(c.ID)})
	})
	if errors.Is(err, store.ErrTaken) {
		err = fmt.Errorf("there is a client %q already; change it with apply, or remove it first", c.ID)
	}
	if err != nil {
		return "", err
	}
	return secret, nil
}

// idsOf finds people by user name.
func idsOf(t *store.Tx) func(string) (user.ID, error) {
	return func(name string) (user.ID, error) {
		p, err := t.PersonByName(name)
		if err != nil {
			return "", err
		}
		return p.ID, nil
	}
}

func newSecret(s *Service) (string, []byte) {
	secret := store.NewToken()
	return secret, s.secretMAC(secret)
}

// RotateSecret gives a confidential application a new secret. The present one works beside it for as long as keep, the one before it no more.
func (s *Service) RotateSecret(ctx context.Context, o audit.Origin, id client.ID, keep time.Duration) (string, error) {
	secret, mac := newSecret(s)
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		c, err := t.ClientByID(id)
		if err != nil {
			return err
		}
		if !c.HasSecret() {
			return fmt.Errorf("client %q has no secret: its token_endpoint_auth_method is %s", id, c.AuthMethod)
		}
		t.SetClientSecret(id, mac, t.Now().Add(keep))
		return t.Record(audit.Event{Kind: audit.ClientSecretMade, Client: string(id)})
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		err = noClient(id)
	}
	if err != nil {
		return "", err
	}
	return secret, nil
}

// RemoveClient removes an application; its tokens stop working at once.
func (s *Service) RemoveClient(ctx context.Context, o audit.Origin, id client.ID) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		t.RemoveClient(id)
		return t.Record(audit.Event{Kind: audit.ClientRemoved, Client: string(id)})
	})
	if errors.Is(err, store.ErrConflict) {
		err = noClient(id)
	}
	return err
}
