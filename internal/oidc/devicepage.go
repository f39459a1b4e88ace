package oidc

import (
	"context"
	"errors"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Wrong user codes of a person in any hour (RFC 8628 §5.1). Those that come by a link have a count of their own: any page in the world can
// lead a browser here, and must not keep its person from typing. From one address come as many of all its people.
const (
	userCodeTries    = 10
	userCodePerPlace = 100
	userCodeWindow   = time.Hour
)

// DeviceRequest is what a device asks a person for.
type DeviceRequest struct {
	Code    string // as the device shows it
	Client  *store.Client
	Scopes  []string
	IP      string // where the device asked from
	Agent   string
	Asked   time.Time
	SignIn  *SignIn // the person has to prove more before they may approve it
	scope   string
	id      string
	expires time.Time
}

// Kiosk reports whether the browser is to keep nothing of the sign-in that approved or refused it.
func (d DeviceRequest) Kiosk(v Visitor) bool { return d.Client.Kiosk || v.Session.Kiosk }

// Device finds the undecided request with a user code, as UserCode gives it, for who is signed in. A reason says why there is none to show:
// audit.Delayed, after too many wrong codes; audit.NotAllowed, with its client, where the person may not use that; any other is to read the
// same. byLink: the code came in an address and was not typed. Every refusal is on record.
func (p *Provider) Device(ctx context.Context, o audit.Origin, v Visitor, code string, byLink bool) (DeviceRequest, audit.Reason, error) {
	row, why, err := p.seekDevice(ctx, o, v, code, byLink)
	if err != nil || why != "" {
		return DeviceRequest{id: row.ID}, why, err
	}
	d := DeviceRequest{Code: ShownUserCode(code), Scopes: dedupe(row.Scope), IP: row.IP, Agent: row.Agent, Asked: row.Created,
		scope: row.Scope, id: row.ID, expires: row.Expires}
	d.Client, err = p.db.Client(ctx, row.Client)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return d, audit.UnknownClient, p.refuseDevice(ctx, o, v, row.Client, audit.UnknownClient)
	case err != nil:
		return d, "", err
	case !d.Client.Grant(client.GrantDevice):
		return d, audit.UnknownClient, p.refuseDevice(ctx, o, v, row.Client, audit.UnknownClient)
	case !d.Client.AllowedFor(v.Person.Groups):
		return d, audit.NotAllowed, p.refuseDevice(ctx, o, v, row.Client, audit.NotAllowed)
	}
	needs := flow.Needs{ACR: user.ACR(d.Client.MinimumACR)}
	if d.Client.Kiosk {
		needs.After = row.Created
	}
	if flow.Decide(needs, &v.Session, p.db.Now()) != flow.Proceed {
		d.SignIn = &SignIn{Needs: needs, Client: d.Client, Hint: v.Person.Username}
	}
	return d, "", nil
}

// errSeen undoes the count of a right code.
var errSeen = errors.New("oidc: the user code is right")

// seekDevice counts a try and looks the code up in one unit, so that no number of tries at once is more than the limit.
func (p *Provider) seekDevice(ctx context.Context, o audit.Origin, v Visitor, code string, byLink bool) (found store.DeviceGrant, why audit.Reason, err error) {
	err = p.db.Change(ctx, o, func(t *store.Tx) error {
		within, err := p.takeUserCode(t, o, v, byLink)
		if err != nil {
			return err
		}
		if why = audit.Delayed; within {
			found, err = t.DeviceGrantByCode(p.userCodeMAC(code))
			switch {
			case errors.Is(err, store.ErrNotFound):
				why = audit.WrongCode
			case err != nil:
				return err
			case found.State != store.GrantPending:
				why = audit.Replayed
			case !t.Now().Before(found.Expires):
				why = audit.Expired
			default:
				return errSeen
			}
		}
		return t.Record(refusedDevice(v, found.Client, why))
	})
	if errors.Is(err, errSeen) {
		return found, "", nil
	}
	return found, why, err
}

// takeUserCode counts one try. False: there were too many wrong ones, and this one is not looked at.
func (p *Provider) takeUserCode(t *store.Tx, o audit.Origin, v Visitor, byLink bool) (bool, error) {
	if byLink {
		return t.TakeAttempt(string(v.Person.ID)+":device-grant-link", userCodeTries, userCodeWindow, true)
	}
	mine := string(v.Person.ID) + ":device-grant" // forgotten by user unlock, see lockout.Lift
	within, err := t.TakeAttempt(mine, userCodeTries, userCodeWindow, true)
	if err != nil || !within {
		return false, err
	}
	within, err = t.TakeAttempt("device-grant:codes:"+p.place(o, 32, 64), userCodePerPlace, userCodeWindow, false)
	if err == nil && !within {
		t.GiveBackAttempt(mine)
	}
	return within, err
}

// refusedDevice is the event of a user code that led to nothing.
func refusedDevice(v Visitor, c client.ID, why audit.Reason) audit.Event {
	return audit.Event{Kind: audit.DeviceRefused, Outcome: audit.Refused, Reason: why, Actor: string(v.Person.ID), Subject: string(v.Person.ID),
		Session: string(v.Session.ID), Client: string(c)}
}

func (p *Provider) refuseDevice(ctx context.Context, o audit.Origin, v Visitor, c client.ID, why audit.Reason) error {
	return p.db.Change(ctx, o, func(t *store.Tx) error { return t.Record(refusedDevice(v, c, why)) })
}

// ApproveDevice is Device for the person's yes: what it gives was approved, unless there is a reason, or a SignIn that is needed before. One
// of any number of approvals and refusals at once counts; to the others the code is a used one. tell runs in the unit of the one that counts: what
// it queues is sent if that is committed.
func (p *Provider) ApproveDevice(ctx context.Context, o audit.Origin, v Visitor, code string, tell func(*store.Tx, DeviceRequest) error) (DeviceRequest, audit.Reason, error) {
	d, why, err := p.Device(ctx, o, v, code, false)
	switch {
	case err == nil && why == audit.Replayed:
		return p.pressedTwice(ctx, v, d)
	case err != nil || why != "" || d.SignIn != nil:
		return d, why, err
	}
	s := v.Session
	data := grantData{Scope: d.scope, AuthTime: s.AuthTime.Unix(), Proved: s.Proved, Device: true}
	d, why, err = p.decideDevice(ctx, o, v, d, store.GrantApproved, func(t *store.Tx) error {
		if s.Stale(t.Now()) {
			t.TouchSession(s.ID)
		}
		if err := tell(t, d); err != nil {
			return err
		}
		t.CreateGrant(store.Grant{ID: d.id, Client: d.Client.ID, User: s.User, Session: s.ID, Data: data.encode(), CodeUntil: d.expires, Expires: d.expires})
		return t.Record(audit.Event{Kind: audit.DeviceApproved, Actor: string(s.User), Subject: string(s.User), Client: string(d.Client.ID),
			Session: string(s.ID), Detail: map[string]string{"grant": d.id, "scope": d.scope}})
	})
	if err == nil && why == audit.Replayed {
		return p.pressedTwice(ctx, v, d)
	}
	return d, why, err
}

// pressedTwice answers for a used code: who approved it in this very session is told once more that it is done.
func (p *Provider) pressedTwice(ctx context.Context, v Visitor, d DeviceRequest) (DeviceRequest, audit.Reason, error) {
	var g store.Grant
	err := p.db.View(ctx, func(t *store.Tx) (err error) { g, err = t.GrantByID(d.id); return err })
	if errors.Is(err, store.ErrNotFound) || err == nil && (g.User != v.Person.ID || g.Session != v.Session.ID) {
		return d, audit.Replayed, nil
	}
	if err == nil {
		d.Client, err = p.db.Client(ctx, g.Client)
	}
	return d, "", err
}

// RefuseDevice is ApproveDevice for the person's no: "this was not me". It needs nothing more proved.
func (p *Provider) RefuseDevice(ctx context.Context, o audit.Origin, v Visitor, code string) (DeviceRequest, audit.Reason, error) {
	d, why, err := p.Device(ctx, o, v, code, false)
	if d.SignIn = nil; err != nil || why != "" {
		return d, why, err
	}
	return p.decideDevice(ctx, o, v, d, store.GrantRefused, func(t *store.Tx) error {
		e := refusedDevice(v, d.Client.ID, audit.Disowned)
		e.Detail = map[string]string{"grant": d.id}
		return t.Record(e)
	})
}

func (p *Provider) decideDevice(ctx context.Context, o audit.Origin, v Visitor, d DeviceRequest, state string, also func(*store.Tx) error) (DeviceRequest, audit.Reason, error) {
	err := p.db.Change(ctx, o, func(t *store.Tx) error {
		t.DecideDeviceGrant(d.id, state)
		return also(t)
	})
	if errors.Is(err, store.ErrConflict) {
		return d, audit.Replayed, p.refuseDevice(ctx, o, v, d.Client.ID, audit.Replayed)
	}
	return d, "", err
}
