package oidc

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
)

// room is how much of something that is kept may be asked for within a time. A client that proves who it is has one limit, wherever it asks from. Of
// one that does not, strangers can ask in its name: they use up the limit of their own address and network, and nobody else's.
type room struct {
	name       string
	perClient  int // 0: no limit
	perPlace   int // and client; an IPv4 address or IPv6 /64
	perNetwork int // IPv4 /24, IPv6 /48
	window     time.Duration
}

var (
	// Requests of devices; twice as many can be pending.
	deviceRoom = room{"device-grant", 1000, 50, 200, deviceLife}

	// KiB of pushed requests, each rounded up. An office of thousands behind one address begins fewer sign-ins in a minute.
	pushRoom = room{"push", 0, 2000, 5000, time.Minute}

	errDeviceRoom = &fosite.RFC6749Error{ErrorField: "slow_down", CodeField: http.StatusTooManyRequests,
		DescriptionField: "There are too many requests from here that nobody has approved. Try again in ten minutes."}
	errPushRoom = &fosite.RFC6749Error{ErrorField: "temporarily_unavailable", CodeField: http.StatusTooManyRequests, // RFC 9126 §2.3
		DescriptionField: "Too many requests were pushed from here within a minute. Try again in a minute."}
)

// take queues that the client takes n of what r has room for; store.ErrConflict if there is none left, and then nothing of the unit happens.
func (u *unit) take(t *store.Tx, r room, n int) {
	id := string(u.client.ID)
	switch {
	case u.client.Public():
		t.TakeAttempts(r.name+":place:"+u.p.place(u.origin, 32, 64)+":"+id, n, r.perPlace, r.window)
		t.TakeAttempts(r.name+":network:"+u.p.place(u.origin, 24, 48), n, r.perNetwork, r.window)
	case r.perClient > 0:
		t.TakeAttempts(r.name+":client:"+id, n, r.perClient, r.window)
	}
}

// fromElsewhere refuses what a page sends in the name of a public client, unless such a client runs where that page is (threats TK-03): whoever
// visits a stranger's page would else use up the room of everybody behind their address. Pages say where they are (Fetch §3.2); schemes but http
// and https are those of what a person installed.
func (u *unit) fromElsewhere(ctx context.Context, r *http.Request) error {
	origin := r.Header["Origin"]
	if len(origin) == 0 || !u.client.Public() || len(origin) == 1 && origin[0] != "null" && !strings.HasPrefix(origin[0], "http") {
		return nil
	}
	known, err := u.p.db.BrowserOrigin(ctx, origin[0])
	if err != nil {
		u.fault = err
		return err
	}
	if !known || len(origin) > 1 {
		u.reason = audit.NotAllowed
		return fosite.ErrInvalidRequest.WithHint("A page sent this from an origin at which no public client has a redirect URI.")
	}
	return nil
}

// full gives how long to wait for room that was refused by err; 0: it was refused for something else.
func full(err error) time.Duration {
	switch err {
	case errDeviceRoom:
		return deviceRoom.window
	case errPushRoom:
		return pushRoom.window
	}
	return 0
}

// place names an address in a limit by its first bits, of IPv4 and IPv6.
func (p *Provider) place(o audit.Origin, four, six int) string {
	return hex.EncodeToString(p.devices.mac(nil, []byte("place "+o.Network(four, six)))[:8])
}
