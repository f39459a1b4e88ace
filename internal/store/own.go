package store

import (
	"errors"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// OpenSession is a session with where it was begun.
type OpenSession struct {
	user.Session
	IP    string
	Agent string // as the browser named itself then
}

// SessionsOf lists a person's sessions that nobody ended and that have not expired, newest first.
func (t *Tx) SessionsOf(id user.ID) ([]OpenSession, error) {
	var all []OpenSession
	err := t.rows(func(row scanner) error {
		var s sessionScan
		var personal, key []byte
		if err := row.Scan(append(s.dest(), &personal, &key)...); err != nil {
			return err
		}
		text, err := t.unseal(key, "session", personal)
		one := OpenSession{Session: s.session()}
		one.IP, one.Agent, _ = strings.Cut(string(text), "\n")
		all = append(all, one)
		return err
	}, "select "+sessionColumns+`, s.personal, u.sealing_key
from sessions s join users u on u.id = s.user_id where s.user_id = $1 and s.ended_at = 0 and s.expires_at > $2 order by s.created_at desc`,
		string(id), micros(t.now))
	return all, err
}

// GrantsOf lists the grants of a person that still count, newest first: neither revoked nor expired, nor of a session that somebody ended. Those
// without a code are left out: a token exchange made them, and they end with what they were made of.
func (t *Tx) GrantsOf(id user.ID) ([]Grant, error) {
	var all []Grant
	err := t.rows(func(row scanner) error {
		g := Grant{User: id}
		var cid, session string
		var until, used, rotated, expires, created int64
		err := row.Scan(&g.ID, &cid, &session, &g.Data, &until, &used, &g.Gen, &rotated, &expires, &created)
		g.Client, g.Session = client.ID(cid), user.SessionID(session)
		g.CodeUntil, g.CodeUsed, g.Rotated, g.Expires, g.Created = instant(until), instant(used), instant(rotated), instant(expires), instant(created)
		all = append(all, g)
		return err
	}, `select g.id, g.client_id, coalesce(g.session_id, ''), g.data, g.code_until, g.code_used_at, g.gen, g.rotated_at, g.expires_at, g.created_at
from grants g left join sessions s on s.id = g.session_id
where g.user_id = $1 and g.revoked_at = 0 and g.expires_at > $2 and g.code_until > 0 and coalesce(s.ended_at, 0) = 0
order by g.created_at desc, g.id desc`, string(id), micros(t.now))
	return all, err
}

// RevokeGrantsOf ends these families of a person, and gives how many counted until then. ids are in the form of NewID. One statement takes the rows
// in the order in which EndSession does; statements of their own would take them in another, and two orders are a ring.
func (t *Tx) RevokeGrantsOf(id user.ID, ids []string) (int, error) {
	ended := 0
	err := t.rows(func(row scanner) error { ended++; return row.Scan(new(string)) }, `update grants set revoked_at = $3
where user_id = $1 and revoked_at = 0 and $2 like '% ' || id || ' %' returning id`, string(id), " "+strings.Join(ids, " ")+" ", micros(t.now))
	return ended, err
}

// EndOwnSession is EndSession for a session of this person; ErrNotFound if it is not theirs.
func (t *Tx) EndOwnSession(owner user.ID, id user.SessionID, why audit.Reason) (bool, error) {
	t.must("update sessions set id = id where id = $1 and user_id = $2", string(id), string(owner))
	ended, err := t.EndSession(id, why)
	if errors.Is(err, ErrConflict) {
		err = ErrNotFound
	}
	return ended, err
}

// RotateSession gives a live session a new token and leaves all else: it proved nothing new. ErrConflict (at flush) if it was ended meanwhile.
func (t *Tx) RotateSession(id user.SessionID, token []byte) {
	t.must("update sessions set token = $2, seen_at = $3 where id = $1 and ended_at = 0", string(id), token, micros(t.now))
}

// MustBeEnabled makes the unit fail (ErrConflict) unless the person may sign in.
func (t *Tx) MustBeEnabled(id user.ID) {
	t.must("update users set id = id where id = $1 and disabled_at = 0", string(id))
}

// DropShortLinks is DropLinks for those that were made for at most life: what anybody can ask for does not take away what an
// administrator gave for longer.
func (t *Tx) DropShortLinks(kind string, id user.ID, life time.Duration) {
	t.do("delete from links where kind = $1 and user_id = $2 and used_at = 0 and expires_at - created_at <= $3", kind, string(id), life.Microseconds())
}
