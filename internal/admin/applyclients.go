package admin

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

func (s *Service) planClient(spec ClientSpec, now state, groups []string) ([]step, error) {
	what := "client " + string(spec.ID)
	if err := undeclared(what, spec.AllowedGroups, groups); err != nil {
		return nil, err
	}
	if err := spec.name(now.id); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	was, known := now.clients[spec.ID]
	var mac []byte
	switch {
	case !spec.HasSecret():
		mac = []byte{}
	case spec.Secret != "":
		mac = s.secretMAC(spec.Secret)
	case !known || len(was.Secret) == 0:
		return nil, fmt.Errorf("%s: client_secret is missing; make one with: openssl rand -base64 32", what)
	}
	put := func(kind audit.Kind) func(*store.Tx) error {
		return func(t *store.Tx) error {
			write := t.PutClient
			if !known {
				write = t.AddClient
			}
			if err := write(spec.Client, mac); err != nil {
				return err
			}
			return t.Record(audit.Event{Kind: kind, Client: string(spec.ID)})
		}
	}
	switch {
	case !known:
		return []step{{what + ": created", put(audit.ClientCreated)}}, nil
	case text(was.Client) != text(spec.Client) || was.Dynamic != nil: // who registered itself does not change itself any more
		return []step{{what + ": changed", put(audit.ClientChanged)}}, nil
	case mac != nil && !hmac.Equal(mac, was.Secret):
		return []step{{what + ": new secret", put(audit.ClientSecretMade)}}, nil
	}
	return nil, nil
}

// name puts ids in the place of the owners' user names, in their order, which is theirs alone: so that the same owners are the same text.
func (c *ClientSpec) name(id func(string) (user.ID, error)) error {
	owners := make([]string, 0, len(c.Owners))
	for _, o := range c.Owners {
		id, err := id(o)
		if errors.Is(err, user.ErrNotFound) {
			return fmt.Errorf("owners: there is no user %q; name somebody of the file, or add them first", o)
		}
		if err != nil {
			return err
		}
		owners = append(owners, string(id))
	}
	slices.Sort(owners)
	c.Owners = slices.Compact(owners)
	return nil
}
