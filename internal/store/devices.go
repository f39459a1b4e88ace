package store

import (
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Device is a browser that a person had remembered: there, the password is enough for two factors.
type Device struct {
	ID        string
	User      user.ID
	Stamp     string // of the password it was remembered with: another one ends it
	Agent     string // as the browser named itself then
	CreatedAt time.Time
	UsedAt    time.Time
	ExpiresAt time.Time
}

// AddDevice remembers the browser of this unit's origin under the hash of its token.
func (t *Tx) AddDevice(d Device, token []byte) error {
	personal, err := t.seal(d.User, "device", []byte(t.origin.IP+"\n"+t.origin.Agent))
	if err != nil {
		return err
	}
	t.do("insert into devices (id, token, user_id, stamp, personal, created_at, used_at, expires_at) values ($1, $2, $3, $4, $5, $6, $6, $7)",
		NewID(t.now), token, string(d.User), d.Stamp, personal, micros(t.now), micros(d.ExpiresAt))
	return nil
}

// UseDevice notes the use of a remembered device; false if the token is none of this person's, of another password, or too old.
func (t *Tx) UseDevice(owner user.ID, token []byte, stamp string, remembered time.Duration) (bool, error) {
	var got string
	err := t.row([]any{&got}, `update devices set used_at = $4
where token = $1 and user_id = $2 and stamp = $3 and expires_at > $4 and created_at > $5 returning id`,
		token, string(owner), stamp, micros(t.now), micros(t.now.Add(-remembered)))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// DevicesOf lists a person's remembered devices, the last used first.
func (t *Tx) DevicesOf(id user.ID) ([]Device, error) {
	var all []Device
	err := t.rows(func(s scanner) error {
		var d Device
		var personal, key []byte
		var created, used, expires int64
		if err := s.Scan(&d.ID, &d.Stamp, &personal, &created, &used, &expires, &key); err != nil {
			return err
		}
		d.User, d.CreatedAt, d.UsedAt, d.ExpiresAt = id, instant(created), instant(used), instant(expires)
		text, err := t.unseal(key, "device", personal)
		_, d.Agent, _ = strings.Cut(string(text), "\n")
		all = append(all, d)
		return err
	}, `select d.id, d.stamp, d.personal, d.created_at, d.used_at, d.expires_at, u.sealing_key
from devices d join users u on u.id = d.user_id where d.user_id = $1 and d.expires_at > $2 order by d.used_at desc`, string(id), micros(t.now))
	return all, err
}

// ForgetDevice ends one remembered device of this person (ErrConflict if it is not theirs).
func (t *Tx) ForgetDevice(owner user.ID, id string) {
	t.must("delete from devices where id = $1 and user_id = $2", id, string(owner))
}

// ForgetDevices ends all of them.
func (t *Tx) ForgetDevices(owner user.ID) {
	t.do("delete from devices where user_id = $1", string(owner))
}
