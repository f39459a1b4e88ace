package store

import (
	"errors"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Challenge is something sent or shown that waits for its answer: a code in a text message, a ceremony of a passkey. It belongs
// to a scope, a sign-in or a session, which has one at most: a new one makes the one before it worthless.
type Challenge struct {
	Scope   string
	ID      string
	Kind    user.FactorKind
	User    user.ID
	Proof   []byte // MAC of the code, or the challenge itself
	Data    string // opened: the number, the secret under enrolment
	Mark    string // the pairing mark that page and message show
	State   string // Sending, Sent, Failed, Full or Kept
	Created time.Time
	Expires time.Time
}

// What became of the message of a challenge.
const (
	Sending = "sending"
	Sent    = "sent"
	Failed  = "failed" // the provider did not take it
	Full    = "full"   // a limit is reached: nothing was sent
	Kept    = "kept"   // a limit is reached, and the code that was sent before still counts
)

// PutChallenge stores c in place of the scope's present one and gives it its id.
func (t *Tx) PutChallenge(c Challenge) (string, error) {
	data, err := t.seal(c.User, "challenge", []byte(c.Data))
	if err != nil {
		return "", err
	}
	id := NewID(t.now)
	t.do(`insert into challenges (scope, id, kind, user_id, proof, data, mark, state, created_at, expires_at, used_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)
on conflict (scope) do update set id = $2, kind = $3, user_id = $4, proof = $5, data = $6, mark = $7, state = $8, created_at = $9, expires_at = $10, used_at = 0`,
		c.Scope, id, string(c.Kind), string(c.User), orEmpty(c.Proof), data, c.Mark, c.State, micros(t.now), micros(c.Expires))
	return id, nil
}

// ChallengeOf gives the challenge of a scope if it is unused and in time, else ErrNotFound.
func (t *Tx) ChallengeOf(scope string) (Challenge, error) {
	c := Challenge{Scope: scope}
	var data, key []byte
	var created, expires int64
	err := t.row([]any{&c.ID, (*string)(&c.Kind), (*string)(&c.User), &c.Proof, &data, &c.Mark, &c.State, &created, &expires, &key},
		`select c.id, c.kind, c.user_id, c.proof, c.data, c.mark, c.state, c.created_at, c.expires_at, u.sealing_key
from challenges c join users u on u.id = c.user_id where c.scope = $1 and c.used_at = 0 and c.expires_at > $2`, scope, micros(t.now))
	if err != nil {
		return c, err
	}
	c.Created, c.Expires = instant(created), instant(expires)
	text, err := t.unseal(key, "challenge", data)
	c.Data = string(text)
	return c, err
}

// UseChallenge spends the challenge of a scope; false if another took its place, it was used, or its time is over.
func (t *Tx) UseChallenge(scope, id string) (bool, error) {
	var got string
	err := t.row([]any{&got}, "update challenges set used_at = $3 where scope = $1 and id = $2 and used_at = 0 and expires_at > $3 returning id",
		scope, id, micros(t.now))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// MarkChallenge says what became of its message, unless another challenge took its place.
func (t *Tx) MarkChallenge(scope, id, state string) {
	t.do("update challenges set state = $3 where scope = $1 and id = $2", scope, id, state)
}

// DropChallenge makes the challenge of a scope worthless.
func (t *Tx) DropChallenge(scope string) { t.do("delete from challenges where scope = $1", scope) }

// Mail waits in the outbox, sealed under the key of whom it is about.
type Mail struct {
	ID      string
	User    user.ID
	To      string
	Subject string
	Body    string
	Tries   int
}

const mailLife = 24 * time.Hour

// QueueMail puts a mail into the outbox, where it waits up to a day for the server to take it. Without an address it does nothing.
func (t *Tx) QueueMail(m Mail) error {
	if m.To == "" {
		return nil
	}
	body, err := t.seal(m.User, "mail", []byte(m.To+"\n"+m.Subject+"\n"+m.Body))
	if err != nil {
		return err
	}
	t.do("insert into outbox (id, user_id, body, tries, next_at, expires_at, created_at) values ($1, $2, $3, 0, $4, $5, $4)",
		NewID(t.now), string(m.User), body, micros(t.now), micros(t.now.Add(mailLife)))
	return nil
}

// ClaimMail takes up to n mails that are due, for as long as lease: if they are not taken out by then, another claims them.
// Each claim counts as a try.
func (t *Tx) ClaimMail(n int, lease time.Duration) ([]Mail, error) {
	var all []Mail
	err := t.rows(func(s scanner) error {
		var m Mail
		var body, key []byte
		var tries int64
		if err := s.Scan(&m.ID, (*string)(&m.User), &body, &tries, &key); err != nil {
			return err
		}
		text, err := t.unseal(key, "mail", body)
		if err != nil {
			return err
		}
		parts := strings.SplitN(string(text), "\n", 3)
		if len(parts) != 3 {
			return errors.New("store: a mail in the outbox is damaged")
		}
		m.To, m.Subject, m.Body, m.Tries = parts[0], parts[1], parts[2], int(tries)
		all = append(all, m)
		return nil
	}, `update outbox set tries = tries + 1, next_at = $3 where id in (select id from outbox where next_at <= $1 and expires_at > $1 order by next_at limit $2) and next_at <= $1
returning id, user_id, body, tries, (select sealing_key from users where users.id = outbox.user_id)`,
		micros(t.now), int64(n), micros(t.now.Add(lease)))
	return all, err
}

// PutOffMail lets a mail wait before its next try.
func (t *Tx) PutOffMail(id string, wait time.Duration) {
	t.do("update outbox set next_at = $2 where id = $1", id, micros(t.now.Add(wait)))
}

// DropMail takes a mail out of the outbox: it was sent, or never will be.
func (t *Tx) DropMail(id string) { t.do("delete from outbox where id = $1", id) }
