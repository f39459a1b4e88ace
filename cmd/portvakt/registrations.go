package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/store"
)

type registrationCmd struct {
	Add    registrationAddCmd    `cmd:"" default:"withargs" help:"Make one; it is printed once."`
	List   registrationListCmd   `cmd:"" help:"List them, without the tokens themselves."`
	Revoke registrationRevokeCmd `cmd:"" help:"Take one away; applications that registered themselves with it stay."`
}

type registrationAddCmd struct {
	Name         string        `help:"What it is for."`
	Life         time.Duration `default:"24h" help:"How long it is good for, to 2160h (90 days)."`
	Uses         int           `default:"1" help:"How many applications can register themselves with it, to 1000."`
	Scope        string        `default:"openid profile email" help:"Scopes that they may have at most."`
	GrantType    []string      `default:"authorization_code,refresh_token" help:"Grant types that they may have at most."`
	AllowedGroup []string      `help:"Groups whose people may use them; none: everybody."`
	MinimumACR   string        `help:"The least authentication context class that they ask for."`
	PKCEOptional bool          `name:"pkce-optional" help:"Those with a secret or key need no PKCE, for libraries that know none."`
}

// Run makes an initial access token.
func (c *registrationAddCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		id, token, err := v.admin.MakeRegistrationToken(ctx, cli, store.RegistrationToken{Uses: c.Uses, Bounds: store.Bounds{Name: c.Name, Scopes: strings.Fields(c.Scope),
			GrantTypes: c.GrantType, Groups: c.AllowedGroup, MinimumACR: c.MinimumACR, PKCEOptional: c.PKCEOptional}}, c.Life)
		if err != nil {
			return err
		}
		fmt.Printf("registration token %s: created\n", id)
		fmt.Printf("initial_access_token: %s\n", token)
		fmt.Printf("discovery: %s/.well-known/openid-configuration\n", s.Issuer)
		return nil
	})
}

type registrationListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
}

// listedRegistration is an initial access token in a listing.
type listedRegistration struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Uses         int       `json:"uses"`
	Used         int       `json:"used"`
	Scope        string    `json:"scope"`
	GrantTypes   []string  `json:"grant_types"`
	Groups       []string  `json:"allowed_groups"`
	MinimumACR   string    `json:"minimum_acr"`
	PKCEOptional bool      `json:"pkce_optional"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires"`
}

// Run lists initial access tokens.
func (c *registrationListCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		t := newTable(c.JSON, "ID", "NAME", "USED", "EXPIRES", "SCOPES", "GROUPS")
		err := v.admin.RegistrationTokens(ctx, func(r store.RegistrationToken) error {
			return t.row(listedRegistration{r.By, r.Name, r.Uses, r.Used, strings.Join(r.Scopes, " "), r.GrantTypes, orNone(r.Groups), r.MinimumACR, r.PKCEOptional, r.Created, r.Expires},
				r.By, r.Name, fmt.Sprintf("%d of %d", r.Used, r.Uses), stamp(r.Expires), join(r.Scopes), join(r.Groups))
		})
		return errors.Join(err, t.out.Flush())
	})
}

type registrationRevokeCmd struct {
	ID string `arg:"" help:"As list shows it."`
}

// Run takes an initial access token away.
func (c *registrationRevokeCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		err := v.admin.RevokeRegistrationToken(ctx, cli, c.ID)
		if err == nil {
			fmt.Printf("registration token %s: revoked\n", c.ID)
		}
		return err
	})
}
