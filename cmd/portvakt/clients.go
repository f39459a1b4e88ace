package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/admin"
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
	ID                    client.ID `arg:"" optional:"" help:"client_id; with -f the file has it."`
	File                  string    `short:"f" xor:"n,r,p,g,s,a,m,w,c" help:"File with the whole registration, as one entry of an apply file's clients, in place of the other flags; - is standard input." placeholder:"FILE"`
	Name                  string    `xor:"n" help:"Name that people see."`
	RedirectURI           []string  `xor:"r" help:"Address to return to after a sign-in; give the flag once for each." sep:"none"`
	PostLogoutRedirectURI []string  `xor:"p" help:"Address to return to after a sign-out; give the flag once for each." sep:"none"`
	GrantType             []string  `xor:"g" help:"authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code (authorization_code)."`
	Scope                 string    `xor:"s" help:"Scopes (openid profile email)."`
	SigningAlg            string    `xor:"a" help:"RS256, PS256, ES256 or EdDSA (RS256)."`
	AuthMethod            string    `xor:"m" help:"client_secret_basic, client_secret_post or none (client_secret_basic)."`
	AllowedGroup          []string  `xor:"w" help:"Groups whose people may use it; none: everybody."`
	MinimumACR            string    `xor:"c" help:"The least authentication context class."`
}

// spec is the registration that was asked for.
func (c *clientAddCmd) spec() (admin.ClientSpec, error) {
	if c.File == "" && c.ID == "" {
		return admin.ClientSpec{}, errors.New("give a client_id, or -f FILE with one entry of an apply file's clients")
	}
	if c.File == "" {
		return admin.ClientSpec{Client: client.Client{ID: c.ID, Name: c.Name, RedirectURIs: c.RedirectURI,
			PostLogoutRedirectURIs: c.PostLogoutRedirectURI, GrantTypes: c.GrantType, Scope: cmp.Or(c.Scope, "openid profile email"), SigningAlg: c.SigningAlg,
			AuthMethod: c.AuthMethod, AllowedGroups: c.AllowedGroup, MinimumACR: c.MinimumACR}}, nil
	}
	spec, err := given(c.File, admin.ReadClient)
	if err == nil && c.ID != "" && c.ID != spec.ID {
		err = fmt.Errorf("the file is of the client %q, not of %q; leave the client_id out", spec.ID, c.ID)
	}
	return spec, err
}

// Run registers an application.
func (c *clientAddCmd) Run(s *settings) error {
	spec, err := c.spec()
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		secret, err := v.admin.AddClient(ctx, cli, spec)
		if err != nil {
			return err
		}
		fmt.Printf("client %s: created\n", spec.ID)
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
