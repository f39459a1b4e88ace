package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Connection is what an application holds in a person's name for longer than an hour: refresh tokens, or what the person approved for a device.
// Each device is one of its own; the browsers in which a person came to an application are one together.
type Connection struct {
	ID     string        // of one of its grants
	Client *store.Client // with nothing but an id, if it is gone
	Device bool
	Scopes []string
	Since  time.Time // of the oldest grant
	Used   time.Time // when tokens were last given out; zero: never, or not known any more
}

// family is a grant as its person sees it.
type family struct {
	store.Grant
	data grantData
}

// families are the grants of a person that make connections, newest first.
func families(t *store.Tx, id user.ID) ([]family, error) {
	all, err := t.GrantsOf(id)
	if err != nil {
		return nil, err
	}
	var out []family
	for _, g := range all {
		f, err := readFamily(g)
		if err != nil {
			return nil, err
		}
		if f.data.Device || g.Gen > 0 {
			out = append(out, f)
		}
	}
	return out, nil
}

func readFamily(g store.Grant) (family, error) {
	f := family{Grant: g}
	if err := json.Unmarshal([]byte(g.Data), &f.data); err != nil {
		return f, fmt.Errorf("oidc: grant %s is damaged: %w", g.ID, err)
	}
	return f, nil
}

// with reports whether two families are of one connection.
func (f family) with(other family) bool {
	if f.data.Device || other.data.Device {
		return f.ID == other.ID
	}
	return f.Client == other.Client
}

// used is when tokens were last given out. A client whose refresh tokens do not rotate leaves no other mark than the end of the family, which
// each use puts off until it is as late as it may be.
func (f family) used() time.Time {
	last := f.CodeUsed
	if f.Rotated.After(last) {
		last = f.Rotated
	}
	if f.Gen == 0 {
		return last
	}
	if whole := f.Created.Add(familyLife); f.Expires.Before(whole) {
		return f.Expires.Add(-refreshIdle)
	} else if last.Before(whole.Add(-refreshIdle)) {
		return time.Time{}
	}
	return last
}

// Connections lists what is connected in a person's name, the newest first.
func (p *Provider) Connections(ctx context.Context, id user.ID) ([]Connection, error) {
	var mine []family
	err := p.db.View(ctx, func(t *store.Tx) (err error) { mine, err = families(t, id); return err })
	if err != nil {
		return nil, err
	}
	var all []Connection
	var firsts []family
	for _, f := range mine {
		i := slices.IndexFunc(firsts, f.with)
		if i < 0 {
			c, err := p.db.Client(ctx, f.Client)
			if errors.Is(err, store.ErrNotFound) {
				c, err = &store.Client{Client: client.Client{ID: f.Client}}, nil
			}
			if err != nil {
				return nil, err
			}
			i, firsts = len(all), append(firsts, f)
			all = append(all, Connection{ID: f.ID, Client: c, Device: f.data.Device})
		}
		all[i].add(f)
	}
	return all, nil
}

// add takes in a family that is older than those before.
func (c *Connection) add(f family) {
	for _, scope := range dedupe(f.data.Scope) {
		if !slices.Contains(c.Scopes, scope) {
			c.Scopes = append(c.Scopes, scope)
		}
	}
	if used := f.used(); used.After(c.Used) {
		c.Used = used
	}
	c.Since = f.Created
}

// errKept undoes a change that had nothing to do.
var errKept = errors.New("oidc: it is over already")

// Disconnect ends the connection that a grant of this person belongs to: every token that came of it, on every instance at once. One that is over
// already is no fault. store.ErrNotFound: the person has none with this grant; store.ErrConflict: their session was ended meanwhile. The
// application is not told; it sees at its next use.
func (p *Provider) Disconnect(ctx context.Context, o audit.Origin, v Visitor, id string) error {
	if len(id) != 26 || strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUV") != "" {
		return store.ErrNotFound // not the form of an id (store.NewID), and perhaps not one that a database can hold
	}
	me := v.Person.ID
	err := p.db.Change(ctx, o, func(t *store.Tx) error {
		t.Hold(me)
		t.HoldSession(me, v.Session.ID)
		g, err := t.GrantByID(id)
		if err != nil {
			return err
		}
		if g.User != me {
			return store.ErrNotFound
		}
		ended, err := endWith(t, g)
		if err != nil {
			return err
		}
		switch over := !g.Revoked.IsZero() || g.SessionEnded || !t.Now().Before(g.Expires); {
		case ended == 0 && !over:
			return store.ErrNotFound // what lives as long as the session does, and ends with it
		case ended == 0:
			return errKept
		}
		return t.Record(audit.Event{Kind: audit.TokenRevoked, Reason: audit.Logout, Actor: string(me), Subject: string(me), Client: string(g.Client),
			Session: string(v.Session.ID), Detail: map[string]string{"grant": id, "grants": strconv.Itoa(ended)}})
	})
	if errors.Is(err, errKept) {
		return nil
	}
	return err
}

// endWith revokes every grant of the connection that g is of, and gives how many counted until then.
func endWith(t *store.Tx, g store.Grant) (int, error) {
	named, err := readFamily(g)
	if err != nil {
		return 0, err
	}
	mine, err := families(t, g.User)
	if err != nil {
		return 0, err
	}
	var ids []string
	for _, f := range mine {
		if f.with(named) {
			ids = append(ids, f.ID)
		}
	}
	return t.RevokeGrantsOf(g.User, ids)
}
