package store

import (
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// CreateSession stores s under the hash of the token that its browser holds.
func (t *Tx) CreateSession(s user.Session, token []byte) error {
	personal, err := t.seal(s.User, "session", []byte(t.origin.IP+"\n"+t.origin.Agent))
	if err != nil {
		return err
	}
	t.do(`insert into sessions (id, token, user_id, proved, personal, auth_time, created_at, seen_at, expires_at, ended_at, locked_at)
values ($1, $2, $3, $4, $5, $6, $7, $7, $8, 0, 0)`, string(s.ID), token, string(s.User), list(methods(s.Proved)), personal,
		micros(s.AuthTime), micros(t.now), micros(s.ExpiresAt))
	return nil
}

// RenewSession gives a live session a new token and new proofs, as every new proof must (the old token is dead at once).
// ErrConflict if it was ended meanwhile.
func (t *Tx) RenewSession(s user.Session, token []byte) {
	t.must(`update sessions set token = $2, proved = $3, auth_time = $4, seen_at = $5, expires_at = $6, locked_at = 0 where id = $1 and ended_at = 0`,
		string(s.ID), token, list(methods(s.Proved)), micros(s.AuthTime), micros(t.now), micros(s.ExpiresAt))
}

// SessionByID is SessionByToken for who knows its id.
func (t *Tx) SessionByID(id user.SessionID) (user.Session, *Person, error) {
	return t.sessionBy("s.id = $1", string(id))
}

// TouchSession notes that a session is in use.
func (t *Tx) TouchSession(id user.SessionID) {
	t.do("update sessions set seen_at = $2 where id = $1 and seen_at < $2", string(id), micros(t.now))
}

const sessionColumns = "s.id, s.user_id, s.proved, s.auth_time, s.created_at, s.seen_at, s.expires_at, s.ended_at, s.locked_at"

type sessionScan struct {
	id, user, proved                            string
	auth, created, seen, expires, ended, locked int64
}

func (s *sessionScan) dest() []any {
	return []any{&s.id, &s.user, &s.proved, &s.auth, &s.created, &s.seen, &s.expires, &s.ended, &s.locked}
}

// session leaves IdleUntil at ExpiresAt and LockFrom zero: both are policy, which the reader knows.
func (s *sessionScan) session() user.Session {
	out := user.Session{ID: user.SessionID(s.id), User: user.ID(s.user), AuthTime: instant(s.auth), CreatedAt: instant(s.created),
		SeenAt: instant(s.seen), ExpiresAt: instant(s.expires), IdleUntil: instant(s.expires), EndedAt: instant(s.ended), LockedAt: instant(s.locked)}
	for m := range strings.FieldsSeq(s.proved) {
		out.Proved = append(out.Proved, user.Method(m))
	}
	return out
}

// SessionByToken gives the session whose token hashes to token, and its person. ErrNotFound if there is none; whether it
// still counts is for the caller to see.
func (t *Tx) SessionByToken(token []byte) (user.Session, *Person, error) {
	return t.sessionBy("s.token = $1", token)
}

func (t *Tx) sessionBy(which string, arg any) (user.Session, *Person, error) {
	var s sessionScan
	var p personScan
	err := t.rowBy(append(s.dest(), p.brief()...), "select "+sessionColumns+", u.id, "+briefColumns+
		" from sessions s join users u on u.id = s.user_id where "+which, arg)
	if err != nil {
		return user.Session{}, nil, err
	}
	session := s.session()
	person, err := p.person(t)
	return session, person, err
}

// LockSession makes a session ask for a proof before it goes on, tells the applications, and records why. False if it is over or locked already.
func (t *Tx) LockSession(id user.SessionID, why audit.Reason) (bool, error) {
	all, err := t.lockSessions("id = $1", string(id), why)
	return len(all) == 1, err
}

// LockSessionsOf is LockSession for every session of a person. It gives how many it locked.
func (t *Tx) LockSessionsOf(id user.ID, why audit.Reason) (int, error) {
	all, err := t.lockSessions("user_id = $1", string(id), why)
	return len(all), err
}

func (t *Tx) lockSessions(which, arg string, why audit.Reason) (locked []audit.Event, err error) {
	err = t.rows(func(s scanner) error {
		e := audit.Event{Kind: audit.SessionLocked, Reason: why}
		err := s.Scan(&e.Session, &e.Subject)
		locked = append(locked, e)
		return err
	}, "update sessions set locked_at = $2 where "+which+" and ended_at = 0 and locked_at = 0 and expires_at > $2 returning id, user_id", arg, micros(t.now))
	if len(locked) > 0 {
		t.tellApplications("s.user_id = $3 and s.locked_at = $1", locked[0].Subject)
	}
	for _, e := range locked {
		if err == nil {
			err = t.Record(e)
		}
	}
	return locked, err
}

// EndSession ends one session and every grant that came of it, tells the applications, and records why. False if it was over already. The session's
// row comes before those of its grants, here and wherever both are taken: two orders are a ring.
func (t *Tx) EndSession(id user.SessionID, why audit.Reason) (bool, error) {
	var owner string
	err := t.row([]any{&owner}, "update sessions set ended_at = $2 where id = $1 and ended_at = 0 returning user_id", string(id), micros(t.now))
	t.do("update grants set revoked_at = $2 where session_id = $1 and revoked_at = 0", string(id), micros(t.now))
	if err == ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.tellApplications("s.id = $3 and s.ended_at = $1", string(id))
	return true, t.Record(audit.Event{Kind: audit.SessionEnded, Reason: why, Subject: owner, Session: string(id)})
}

// EndSessionsOf ends every session of a person but keep, and every grant of the ended ones, tells the applications, and records why; with keep
// empty, grants that belong to no session go as well.
func (t *Tx) EndSessionsOf(id user.ID, keep user.SessionID, why audit.Reason) error {
	var ended []string
	err := t.rows(func(s scanner) error {
		var one string
		err := s.Scan(&one)
		ended = append(ended, one)
		return err
	}, "update sessions set ended_at = $3 where user_id = $1 and id <> $2 and ended_at = 0 and expires_at > $3 returning id",
		string(id), string(keep), micros(t.now))
	if err != nil {
		return err
	}
	t.do("update grants set revoked_at = $3 where user_id = $1 and revoked_at = 0 and ($2 = '' or session_id is null or session_id <> $2)",
		string(id), string(keep), micros(t.now))
	if len(ended) > 0 {
		t.tellApplications("s.user_id = $3 and s.ended_at = $1", string(id))
	}
	for _, session := range ended {
		if err := t.Record(audit.Event{Kind: audit.SessionEnded, Reason: why, Subject: string(id), Session: session}); err != nil {
			return err
		}
	}
	return nil
}

func methods(proved []user.Method) []string {
	out := make([]string, len(proved))
	for i, m := range proved {
		out[i] = string(m)
	}
	return out
}

// CreateLink stores a one-time link under the hash of its token.
func (t *Tx) CreateLink(token []byte, kind string, id user.ID, life time.Duration) {
	t.do("insert into links (token, kind, user_id, created_at, expires_at, used_at) values ($1, $2, $3, $4, $5, 0)",
		token, kind, string(id), micros(t.now), micros(t.now.Add(life)))
}

// Link is a one-time link that still works.
type Link struct {
	Kind   string
	Person user.ID // empty for the set-up of the first administrator
}

// LinkByToken gives the link if it is unused and in time, else ErrNotFound.
func (t *Tx) LinkByToken(token []byte) (Link, error) {
	var l Link
	err := t.row([]any{&l.Kind, (*string)(&l.Person)}, "select kind, user_id from links where token = $1 and used_at = 0 and expires_at > $2",
		token, micros(t.now))
	return l, err
}

// UseLink spends a link; it must be unused and in time (ErrConflict).
func (t *Tx) UseLink(token []byte) {
	t.must("update links set used_at = $2 where token = $1 and used_at = 0 and expires_at > $2", token, micros(t.now))
}

// DropLinks makes every unused link of this kind for this person worthless.
func (t *Tx) DropLinks(kind string, id user.ID) {
	t.do("delete from links where kind = $1 and user_id = $2 and used_at = 0", kind, string(id))
}
