package store

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/user"
)

// What follows reads everybody's at once, for the rehearsal of a policy.

// AllFactors calls each for every factor, the stopped ones too. Of secrets it opens numbers alone.
func (t *Tx) AllFactors(each func(Factor) error) error {
	return t.rows(func(s scanner) error {
		var key []byte
		f, sealed, err := t.factor(s, &key)
		if err != nil {
			return err
		}
		if f.Kind == user.FactorSMS {
			number, err := t.unseal(key, string(f.Kind), sealed)
			if err != nil {
				return err
			}
			f.Secret = string(number)
		}
		return each(f)
	}, "select "+factorColumns+", u.sealing_key from factors f join users u on u.id = f.user_id order by f.user_id, f.id")
}

// AllRecoveryCodes counts the unused codes of each person.
func (t *Tx) AllRecoveryCodes() (map[user.ID]int, error) {
	all := map[user.ID]int{}
	err := t.rows(func(s scanner) error {
		var id string
		var n int64
		err := s.Scan(&id, &n)
		all[user.ID(id)] = int(n)
		return err
	}, "select user_id, count(*) from recovery_codes where used_at = 0 group by user_id")
	return all, err
}

// AllSessions calls each for every session that nobody ended and that has not expired.
func (t *Tx) AllSessions(each func(user.Session) error) error {
	return t.rows(func(row scanner) error {
		var s sessionScan
		if err := row.Scan(s.dest()...); err != nil {
			return err
		}
		return each(s.session())
	}, "select "+sessionColumns+" from sessions s where s.ended_at = 0 and s.expires_at > $1 order by s.user_id, s.id", micros(t.now))
}

// AllDevices calls each for every remembered browser whose time is not over, without what it called itself.
func (t *Tx) AllDevices(each func(Device) error) error {
	return t.rows(func(s scanner) error {
		var d Device
		var created, used, expires int64
		err := s.Scan(&d.ID, (*string)(&d.User), &created, &used, &expires)
		if err != nil {
			return err
		}
		d.CreatedAt, d.UsedAt, d.ExpiresAt = instant(created), instant(used), instant(expires)
		return each(d)
	}, "select id, user_id, created_at, used_at, expires_at from devices where expires_at > $1 order by user_id, id", micros(t.now))
}

// SignedIn is a finished sign-in as the trail has it, without where it came from.
type SignedIn struct {
	At     time.Time
	User   user.ID
	Client client.ID     // empty: at Portvakt's own pages
	ACR    user.ACR      // that it came to
	Proved []user.Method // in that sign-in; a step-up began with more
}

// SignIns calls each for every sign-in that was finished since then, the oldest first.
func (t *Tx) SignIns(since time.Time, each func(SignedIn) error) error {
	proved := map[string][]user.Method{} // by sign-in under way
	return t.rows(func(s scanner) error {
		var at int64
		var kind, subject, clientID, text string
		if err := s.Scan(&at, &kind, &subject, &clientID, &text); err != nil {
			return err
		}
		var detail struct {
			Flow   string      `json:"flow"`
			Method user.Method `json:"method"`
			ACR    user.ACR    `json:"acr"`
		}
		if err := json.Unmarshal([]byte(text), &detail); err != nil {
			return fmt.Errorf("store: the detail of an event is damaged: %w", err)
		}
		if kind == string(audit.LoginProved) {
			proved[detail.Flow] = append(proved[detail.Flow], detail.Method)
			return nil
		}
		one := SignedIn{At: instant(at), User: user.ID(subject), Client: client.ID(clientID), ACR: detail.ACR, Proved: proved[detail.Flow]}
		delete(proved, detail.Flow)
		if one.At.Before(since) {
			return nil
		}
		return each(one)
	}, "select e.at, e.kind, e.subject, e.client_id, e.detail from events e where e.id >= $1"+kindFilter([]audit.Kind{audit.LoginProved, audit.LoginSucceeded})+" order by e.id",
		idFrom(since.Add(-flow.Life)))
}

// idFrom sorts before every id of then and later, and behind those of earlier.
func idFrom(then time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(then.UnixMicro()<<8))
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}
