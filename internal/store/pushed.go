package store

import (
	"time"

	"github.com/portvakt/portvakt/internal/client"
)

// Pushed is an authorization request that a client pushed ahead of the browser (RFC 9126).
type Pushed struct {
	ID      []byte // SHA-256 of what only its request_uri says
	Client  client.ID
	Data    string    // opaque: the request, written once
	Used    time.Time // when a code was issued for it; zero: not yet
	Expires time.Time // it cannot be begun afterwards
}

// CreatePushed stores p.
func (t *Tx) CreatePushed(p Pushed) {
	t.add("insert into pushed (id, client_id, data, used_at, expires_at) values ($1, $2, $3, 0, $4)", p.ID, string(p.Client), p.Data, micros(p.Expires))
}

// PushedByID reads a pushed request, used or not, in time or not; ErrNotFound if there is none.
func (t *Tx) PushedByID(id []byte) (Pushed, error) {
	p := Pushed{ID: id}
	var owner string
	var used, expires int64
	err := t.rowBy([]any{&owner, &p.Data, &used, &expires}, "select client_id, data, used_at, expires_at from pushed where id = $1", id)
	p.Client, p.Used, p.Expires = client.ID(owner), instant(used), instant(expires)
	return p, err
}

// UsePushed spends a pushed request; it must be unspent, and its time must not have been over for longer than grace, which is how
// long the sign-in may take that was begun in time (ErrConflict).
func (t *Tx) UsePushed(id []byte, grace time.Duration) {
	t.must("update pushed set used_at = $2 where id = $1 and used_at = 0 and expires_at > $3", id, micros(t.now), micros(t.now.Add(-grace)))
}
