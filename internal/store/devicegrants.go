package store

import (
	"errors"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/client"
)

// The states of a device grant. One that was approved or refused stays that.
const (
	GrantPending  = "pending"
	GrantApproved = "approved" // there is, or was, a Grant with its id
	GrantRefused  = "refused"  // the person said that it was not them
)

// DeviceGrant is one device authorization request (RFC 8628 §3.1) until a person has decided about it. It has nothing to do with a Device,
// which is a remembered browser.
type DeviceGrant struct {
	ID      string
	Code    []byte // MAC of the user code
	Client  client.ID
	Scope   string
	State   string
	Pace    time.Duration // between two polls
	IP      string        // of the device that asked
	Agent   string
	Created time.Time
	Expires time.Time
}

// CreateDeviceGrant stores a pending request with where it came from, under the key of the month. False if the user code is somebody's.
func (t *Tx) CreateDeviceGrant(g DeviceGrant) (bool, error) {
	m := month(t.now)
	key, err := t.monthKey(m)
	if err != nil {
		return false, err
	}
	personal, err := t.db.sealer.Seal(key, []byte(t.origin.IP+"\n"+t.origin.Agent), "device-grant")
	if err != nil {
		return false, err
	}
	var id string
	err = t.row([]any{&id}, `insert into device_grants (id, user_code, client_id, scope, state, month, personal, pace, polled_at, early, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10) on conflict (user_code) do nothing returning id`,
		g.ID, g.Code, string(g.Client), g.Scope, GrantPending, m, personal, g.Pace.Microseconds(), micros(t.now), micros(g.Expires))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// DeviceGrantByCode reads the request with this user code, whatever became of it, or ErrNotFound.
func (t *Tx) DeviceGrantByCode(code []byte) (DeviceGrant, error) {
	g := DeviceGrant{Code: code}
	var cid, sealedBy string
	var personal []byte
	var created, expires int64
	err := t.row([]any{&g.ID, &cid, &g.Scope, &g.State, &sealedBy, &personal, &created, &expires},
		"select id, client_id, scope, state, month, personal, created_at, expires_at from device_grants where user_code = $1", code)
	if err != nil {
		return g, err
	}
	g.Client, g.Created, g.Expires = client.ID(cid), instant(created), instant(expires)
	key, err := t.monthKey(sealedBy)
	if err != nil {
		return g, err
	}
	text, err := t.unseal(key, "device-grant", personal)
	g.IP, g.Agent, _ = strings.Cut(string(text), "\n")
	return g, err
}

// DecideDeviceGrant approves or refuses a request; it must be undecided and in time (ErrConflict).
func (t *Tx) DecideDeviceGrant(id, state string) {
	t.must("update device_grants set state = $2 where id = $1 and state = $4 and expires_at > $3", id, state, micros(t.now), GrantPending)
}

// DevicePoll is what one poll of a device finds.
type DevicePoll struct {
	State   string
	Expires time.Time
	Early   bool // it came before its pace allowed
}

// PollDeviceGrant counts one poll by the client that the request is of, and gives what it finds. A poll that comes more than slack before the
// pace allows is early, and slows the pace by more (RFC 8628 §3.5): one conditional write decides, whichever instance it comes to.
// ErrNotFound: there is no such request; ErrConflict: it is another client's.
func (t *Tx) PollDeviceGrant(id string, c client.ID, slack, more time.Duration) (DevicePoll, error) {
	var p DevicePoll
	var expires, early int64
	err := t.row([]any{&p.State, &expires, &early}, `update device_grants set polled_at = $3,
  early = case when polled_at + pace > cast($3 as bigint) + $4 then 1 else 0 end,
  pace = case when polled_at + pace > cast($3 as bigint) + $4 then pace + $5 else pace end
where id = $1 and client_id = $2 returning state, expires_at, early`, id, string(c), micros(t.now), slack.Microseconds(), more.Microseconds())
	if errors.Is(err, ErrNotFound) {
		var owner string
		if err = t.row([]any{&owner}, "select client_id from device_grants where id = $1", id); err == nil {
			err = ErrConflict
		}
	}
	p.Expires, p.Early = instant(expires), early == 1
	return p, err
}
