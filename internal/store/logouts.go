package store

import (
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// Logout is a session that is over, or locked, of which an application has to be told (OpenID Connect Back-Channel Logout 1.0 §2.3).
type Logout struct {
	Session user.SessionID
	Client  client.ID
	User    user.ID
	Tries   int       // with this one
	Expires time.Time // also tells it from a later one for the same session, which takes its place
}

// logoutLife is how long an application is tried for.
const logoutLife = 24 * time.Hour

// tellApplications queues a logout for each application that took part in the sessions of which which is true, in the unit that
// ends or locks them. $1 is the unit's time.
// An application takes part from its first code on, as long as the session lives: see Sweep.
func (t *Tx) tellApplications(which string, args ...any) {
	t.do(`insert into logouts (session_id, client_id, user_id, tries, next_at, expires_at)
select distinct s.id, g.client_id, s.user_id, 0, cast($1 as bigint), cast($2 as bigint)
from sessions s join grants g on g.session_id = s.id join clients c on c.id = g.client_id where c.logout_uri <> '' and `+which+`
on conflict (session_id, client_id) do update set tries = 0, next_at = excluded.next_at, expires_at = excluded.expires_at`,
		append([]any{micros(t.now), micros(t.now.Add(logoutLife))}, args...)...)
}

// Participants names the applications that took part in a session.
func (t *Tx) Participants(id user.SessionID) ([]client.ID, error) {
	return t.clientIDs("select distinct client_id from grants where session_id = $1 order by client_id", string(id))
}

// LogoutsDue names up to n applications for which logouts are due.
func (t *Tx) LogoutsDue(n int) ([]client.ID, error) {
	return t.clientIDs("select distinct client_id from logouts where next_at <= $1 limit $2", micros(t.now), int64(n))
}

func (t *Tx) clientIDs(sql string, args ...any) ([]client.ID, error) {
	var all []client.ID
	err := t.rows(func(s scanner) error {
		var id string
		err := s.Scan(&id)
		all = append(all, client.ID(id))
		return err
	}, sql, args...)
	return all, err
}

// ClaimLogouts takes up to n logouts of one application that are due, for as long as lease: one that is neither dropped nor put off by then is
// due again. Each claim counts as a try.
func (t *Tx) ClaimLogouts(id client.ID, n int, lease time.Duration) ([]Logout, error) {
	var all []Logout
	err := t.rows(func(s scanner) error {
		l := Logout{Client: id}
		var tries, expires int64
		err := s.Scan((*string)(&l.Session), (*string)(&l.User), &tries, &expires)
		l.Tries, l.Expires = int(tries), instant(expires)
		all = append(all, l)
		return err
	}, `update logouts set tries = tries + 1, next_at = $4 where client_id = $1 and next_at <= $2
and session_id in (select session_id from logouts where client_id = $1 and next_at <= $2 order by next_at limit $3)
returning session_id, user_id, tries, expires_at`, string(id), micros(t.now), int64(n), micros(t.now.Add(lease)))
	return all, err
}

// PutOffLogouts lets every logout of an application wait before its next try, those claimed among them: it could not be reached.
func (t *Tx) PutOffLogouts(id client.ID, claimed []Logout, wait time.Duration) {
	t.do("update logouts set next_at = $2 where client_id = $1 and next_at < $2", string(id), micros(t.now.Add(wait)))
	for _, l := range claimed {
		t.PutOffLogout(l, wait)
	}
}

// PutOffLogout lets one logout wait before its next try. One that has taken its place meanwhile does not wait.
func (t *Tx) PutOffLogout(l Logout, wait time.Duration) {
	t.do("update logouts set next_at = $3 where session_id = $1 and client_id = $2 and expires_at = $4", string(l.Session), string(l.Client), micros(t.now.Add(wait)), micros(l.Expires))
}

// DropLogout takes a logout out of the outbox: the application was told, or never will be. One that has taken its place
// meanwhile stays: a session that was locked goes on, and is ended while the application is being told.
func (t *Tx) DropLogout(l Logout) {
	t.do("delete from logouts where session_id = $1 and client_id = $2 and expires_at = $3", string(l.Session), string(l.Client), micros(l.Expires))
}
