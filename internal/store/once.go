package store

import (
	"errors"
	"time"
)

// ErrUsed says that something single-use was used before.
var ErrUsed = errors.New("store: used before")

// UseOnce takes what id names, the hash of a jti and whose it is, as used until a time after which nobody takes it any more. ErrUsed if it was
// taken before; the unit is then to be undone.
func (t *Tx) UseOnce(id []byte, until time.Time) error {
	var one int64
	err := t.row([]any{&one}, "insert into used (id, expires_at) values ($1, $2) on conflict (id) do nothing returning 1", id, micros(until))
	if err == ErrNotFound {
		return ErrUsed
	}
	return err
}
