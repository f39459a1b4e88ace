package store

import (
	"database/sql"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// Grant is one token family: all that came, or can come, of one authorization. Its code, its refresh tokens of every
// generation and its access tokens name it on the wire and need no rows of their own.
type Grant struct {
	ID        string
	Client    client.ID
	User      user.ID        // empty: the client's own (client_credentials)
	Session   user.SessionID // empty with User
	Data      string         // opaque: the frozen request, written once
	CodeUntil time.Time      // zero: there was no code
	CodeUsed  time.Time
	Gen       int64     // generation of the live refresh token; 0: none
	Rotated   time.Time // when the one before it was used
	Expires   time.Time // end of the family
	Revoked   time.Time
	Created   time.Time

	Person       *Person // with User, unless the person is gone
	SessionEnded bool    // with Session: it was ended; one that ran out and was swept is not
}

// CreateGrant stores g.
func (t *Tx) CreateGrant(g Grant) {
	t.add(`insert into grants (id, client_id, user_id, session_id, data, code_until, code_used_at, gen, rotated_at, expires_at, revoked_at, created_at)
values ($1, $2, $3, $4, $5, $6, 0, 0, 0, $7, 0, $8)`, g.ID, string(g.Client), nullable(string(g.User)), nullable(string(g.Session)), g.Data,
		micros(g.CodeUntil), micros(g.Expires), micros(t.now))
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// GrantByID reads a grant, its person and whether its session was ended, in one trip. Of the person it reads what briefColumns
// names, without the id that the grant has already: every column costs on SQLite.
func (t *Tx) GrantByID(id string) (Grant, error) {
	g := Grant{ID: id}
	var r struct { // one thing on the heap, and not one for each column
		client, session, data                                              string
		gen, until, used, rotated, expires, revoked, created, sessionEnded int64
		person                                                             personScan
	}
	err := t.rowBy(append([]any{&r.client, &r.session, &r.data, &r.until, &r.used, &r.gen, &r.rotated, &r.expires, &r.revoked, &r.created, &r.sessionEnded}, r.person.brief()...),
		`select g.client_id i, coalesce(g.session_id, '') j, g.data k, g.code_until l, g.code_used_at m, g.gen n, g.rotated_at o,
  g.expires_at p, g.revoked_at q, g.created_at r, coalesce(s.ended_at, 0) s, coalesce(g.user_id, '') t, `+briefColumns+`
from grants g left join sessions s on s.id = g.session_id left join users u on u.id = g.user_id
where g.id = $1`, id)
	if err != nil {
		return g, err
	}
	g.Client, g.User, g.Session, g.Data, g.Gen = client.ID(r.client), user.ID(r.person.id), user.SessionID(r.session), r.data, r.gen
	g.CodeUntil, g.CodeUsed, g.Rotated, g.Expires = instant(r.until), instant(r.used), instant(r.rotated), instant(r.expires)
	g.Revoked, g.Created, g.SessionEnded = instant(r.revoked), instant(r.created), r.sessionEnded != 0
	g.Person, err = r.person.person(t)
	return g, err
}

// RedeemCode uses the code of a grant: it must be unused, in time and not revoked (ErrConflict). The family then lives
// until expires; gen is 1 if a refresh token comes of it, else 0.
func (t *Tx) RedeemCode(id string, gen int64, expires time.Time) {
	t.use(`update grants set code_used_at = $2, gen = $3, expires_at = $4
where id = $1 and code_used_at = 0 and revoked_at = 0 and code_until > $2`, id, micros(t.now), gen, micros(expires))
}

// RotateRefresh makes the generation after gen the live one: gen must still be live, unexpired and not revoked (ErrConflict).
func (t *Tx) RotateRefresh(id string, gen int64, expires time.Time) {
	t.use(`update grants set gen = gen + 1, rotated_at = $3, expires_at = $4
where id = $1 and gen = $2 and revoked_at = 0 and expires_at > $3`, id, gen, micros(t.now), micros(expires))
}

// RepeatRefresh gives the token of the live generation out once more: gen must be live, unexpired and not revoked (ErrConflict).
func (t *Tx) RepeatRefresh(id string, gen int64, expires time.Time) {
	t.use("update grants set expires_at = $4\nwhere id = $1 and gen = $2 and revoked_at = 0 and expires_at > $3", id, gen, micros(t.now), micros(expires))
}

// RevokeGrant ends a family. False if it was revoked already.
func (t *Tx) RevokeGrant(id string) (bool, error) {
	var got string
	err := t.row([]any{&got}, "update grants set revoked_at = $2 where id = $1 and revoked_at = 0 returning id", id, micros(t.now))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// RevokeGrantsOfClient ends every family of a client.
func (t *Tx) RevokeGrantsOfClient(id client.ID) {
	t.do("update grants set revoked_at = $2 where client_id = $1 and revoked_at = 0", string(id), micros(t.now))
}
