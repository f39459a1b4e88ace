package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

type clientCmd struct {
	Add          clientAddCmd    `cmd:"" help:"Register an application; its secret is printed once."`
	List         clientListCmd   `cmd:"" help:"List applications."`
	Show         clientShowCmd   `cmd:"" help:"Show one application."`
	Remove       clientRemoveCmd `cmd:"" help:"Remove an application; its tokens stop working at once."`
	RotateSecret clientRotateCmd `cmd:"" help:"Give an application a new secret, printed once; the present one works for a day more."`

	RegistrationToken registrationCmd `cmd:"" help:"Tokens with which applications register themselves (RFC 7591)."`
}

type identified struct {
	ID client.ID `arg:"" help:"client_id."`
}

type clientAddCmd struct {
	identified
	Name                  string   `help:"Name that people see."`
	RedirectURI           []string `help:"Address to return to after a sign-in; give the flag once for each." sep:"none"`
	PostLogoutRedirectURI []string `help:"Address to return to after a sign-out; give the flag once for each." sep:"none"`
	GrantType             []string `help:"authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code." default:"authorization_code"`
	Scope                 string   `help:"Scopes." default:"openid profile email"`
	SigningAlg            string   `help:"RS256, PS256, ES256 or EdDSA." default:"RS256"`
	AuthMethod            string   `help:"client_secret_basic, client_secret_post or none." default:"client_secret_basic"`
	AllowedGroup          []string `help:"Groups whose people may use it; none: everybody."`
	MinimumACR            string   `help:"The least authentication context class."`
}

// Run registers an application.
func (c *clientAddCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		secret, err := v.admin.AddClient(ctx, cli, client.Client{ID: c.ID, Name: c.Name, RedirectURIs: c.RedirectURI,
			PostLogoutRedirectURIs: c.PostLogoutRedirectURI, GrantTypes: c.GrantType, Scope: c.Scope, SigningAlg: c.SigningAlg,
			AuthMethod: c.AuthMethod, AllowedGroups: c.AllowedGroup, MinimumACR: c.MinimumACR})
		if err != nil {
			return err
		}
		fmt.Printf("client %s: created\n", c.ID)
		if secret != "" {
			fmt.Printf("client_secret: %s\n", secret)
		}
		fmt.Printf("discovery: %s/.well-known/openid-configuration\n", s.Issuer)
		return nil
	})
}

type clientListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
}

// Run lists applications.
func (c *clientListCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		t := newTable(c.JSON, "CLIENT", "NAME", "GRANTS", "AUTHENTICATION", "ALG", "GROUPS", "REGISTERED BY")
		err := v.admin.Clients(ctx, func(c store.Client) error {
			return t.row(listed(c), string(c.ID), c.Name, join(c.GrantTypes), c.AuthMethod, c.SigningAlg, join(c.AllowedGroups), registeredBy(c))
		})
		return errors.Join(err, t.out.Flush())
	})
}

// listedClient is a registration, and the registration token by which it came if it registered itself.
type listedClient struct {
	client.Client
	By string `json:"registered_by,omitempty"`
}

func listed(c store.Client) listedClient {
	l := listedClient{Client: c.Client}
	if c.Dynamic != nil {
		l.By = c.Dynamic.Bounds.By
	}
	return l
}

// registeredBy names the registration token for people.
func registeredBy(c store.Client) string {
	if c.Dynamic == nil {
		return "-"
	}
	return cmp.Or(c.Dynamic.Bounds.Name, c.Dynamic.Bounds.By)
}

type clientShowCmd struct {
	identified
	JSON bool `name:"json" help:"One JSON object."`
}

// Run shows one registration; there is only one good form for it.
func (c *clientShowCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		got, err := v.admin.Client(ctx, c.ID)
		if err != nil {
			return err
		}
		return printJSON(listed(got))
	})
}

type clientRemoveCmd struct{ identified }

// Run removes an application.
func (c *clientRemoveCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		err := v.admin.RemoveClient(ctx, cli, c.ID)
		if err == nil {
			fmt.Printf("client %s: removed\n", c.ID)
		}
		return err
	})
}

type clientRotateCmd struct {
	identified
	Keep time.Duration `name:"keep" default:"24h" help:"How long the present secret works beside the new one; 0s where it has leaked."`
}

// Run gives a new secret.
func (c *clientRotateCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		if c.Keep < 0 || c.Keep > 90*24*time.Hour {
			return errors.New("--keep is a time from 0s to 2160h (90 days)")
		}
		secret, err := v.admin.RotateSecret(ctx, cli, c.ID, c.Keep)
		if err == nil {
			fmt.Printf("client_secret: %s\n", secret)
		}
		return err
	})
}
