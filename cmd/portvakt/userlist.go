package main

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// person is how a listing shows one.
type person struct {
	ID        user.ID    `json:"id"`
	Username  string     `json:"username"`
	Name      string     `json:"name"`
	Email     string     `json:"email,omitempty"`
	Groups    []string   `json:"groups"`
	Roles     []string   `json:"roles"`
	Factors   []string   `json:"factors"`
	Locale    string     `json:"locale,omitempty"`
	Created   time.Time  `json:"created"`
	Disabled  *time.Time `json:"disabled,omitempty"`
	Sessions  []sitting  `json:"sessions,omitempty"`
	Connected []plugged  `json:"connected,omitempty"`
}

type plugged struct {
	Client client.ID `json:"client_id"`
	Kind   string    `json:"kind"` // device or browser
	Since  time.Time `json:"since"`
	Seen   time.Time `json:"seen,omitzero"` // unless it is not known
}

// plug adds what is connected in the person's name.
func (p *person) plug(all []oidc.Connection) {
	for _, c := range all {
		kind := "browser"
		if c.Device {
			kind = "device"
		}
		p.Connected = append(p.Connected, plugged{c.Client.ID, kind, c.Since, c.Used})
	}
}

type sitting struct {
	ID      user.SessionID `json:"id"`
	Started time.Time      `json:"started"`
	Seen    time.Time      `json:"seen"`
	Expires time.Time      `json:"expires"`
	State   string         `json:"state"` // active or locked
}

func shown(p *store.Person) person {
	out := person{ID: p.ID, Username: p.Username, Name: p.Name, Email: p.Email, Groups: orNone(p.Groups), Roles: orNone(p.Roles), Locale: p.Locale,
		Created: p.CreatedAt, Factors: []string{}}
	for _, kind := range p.Factors {
		out.Factors = append(out.Factors, string(kind))
	}
	if p.Disabled() {
		out.Disabled = &p.DisabledAt
	}
	return out
}

type userListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
}

// Run lists people.
func (c *userListCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		t := newTable(c.JSON, "USER", "NAME", "GROUPS", "ROLES", "FACTORS", "STATE")
		err := v.admin.Users(ctx, func(p *store.Person) error {
			out, state := shown(p), "active"
			if p.Disabled() {
				state = "disabled"
			} else if p.Password == "" {
				state = "invited"
			}
			return t.row(out, out.Username, out.Name, join(out.Groups), join(out.Roles), join(out.Factors), state)
		})
		return errors.Join(err, t.out.Flush())
	})
}

type userShowCmd struct {
	named
	JSON bool `name:"json" help:"One JSON object."`
}

// Run shows one person with the sessions under way, and what is connected in their name.
func (c *userShowCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		p, sessions, err := v.admin.User(ctx, c.Name)
		if err != nil {
			return err
		}
		connected, err := v.oidc.Connections(ctx, p.ID)
		if err != nil {
			return err
		}
		out := shown(p)
		out.plug(connected)
		for _, one := range sessions {
			state := "active"
			if one.Locked(v.db.Now()) {
				state = "locked"
			}
			out.Sessions = append(out.Sessions, sitting{one.ID, one.CreatedAt, one.SeenAt, one.ExpiresAt, state})
		}
		if c.JSON {
			return printJSON(out)
		}
		t := newTable(false, "user", out.Username)
		for _, row := range [][2]string{{"id", string(out.ID)}, {"name", out.Name}, {"email", out.Email}, {"groups", join(out.Groups)},
			{"roles", join(out.Roles)}, {"factors", join(out.Factors)}, {"created", stamp(out.Created)}, {"disabled", stamp(p.DisabledAt)}} {
			_ = t.row(nil, row[0], row[1])
		}
		for _, one := range out.Sessions {
			_ = t.row(nil, "session", stamp(one.Started)+", last used "+stamp(one.Seen)+", "+one.State)
		}
		for _, one := range out.Connected {
			_ = t.row(nil, "connected", string(one.Client)+" ("+one.Kind+"), since "+stamp(one.Since)+", last used "+stamp(one.Seen))
		}
		return t.out.Flush()
	})
}
