package store

import (
	"context"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Each person has a key of their own, wrapped by the sealing key in keys/. What is sealed under it (soft-token secrets,
// phone number, the personal part of events) is gone for ever when the key is. What is about nobody known is sealed
// under a key of the month.

// keyCache remembers the wrapped keys of persons met, so that an event costs no read. It forgets all when full.
type keyCache struct {
	mu   sync.RWMutex
	keys map[user.ID][]byte
}

const keyCacheSize = 16384

func (c *keyCache) put(id user.ID, wrapped []byte) {
	if id == "" || len(wrapped) == 0 {
		return
	}
	c.mu.RLock()
	_, known := c.keys[id]
	c.mu.RUnlock()
	if !known {
		c.set(id, wrapped)
	}
}

// set is put for a key that was made just now: one of before was undone with its person.
func (c *keyCache) set(id user.ID, wrapped []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= keyCacheSize {
		c.keys = map[user.ID][]byte{}
	}
	c.keys[id] = wrapped
}

func (c *keyCache) get(id user.ID) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keys[id]
}

// personKey gives the wrapped key of a person, or nil if there is no such person.
func (t *Tx) personKey(id user.ID) ([]byte, error) {
	if id == "" {
		return nil, nil
	}
	if k := t.db.keys.get(id); k != nil {
		return k, nil
	}
	var k []byte
	err := t.row([]any{&k}, "select sealing_key from users where id = $1", string(id))
	if err == ErrNotFound {
		return nil, nil
	}
	t.db.keys.put(id, k)
	return k, err
}

func month(t time.Time) string { return t.UTC().Format("2006-01") }

// monthReady makes sure that the key of this month exists and is at hand. It must come before a unit that records.
func (db *DB) monthReady(ctx context.Context) error {
	m := month(db.Now())
	if _, ok := db.months.Load(m); ok || db.sealer == nil {
		return nil
	}
	fresh, err := db.sealer.NewKey()
	if err != nil {
		return err
	}
	var wrapped []byte
	err = db.once(ctx, noOrigin, true, func(t *Tx) error {
		t.do("insert into month_keys (month, sealing_key) values ($1, $2) on conflict (month) do nothing", m, fresh)
		return t.row([]any{&wrapped}, "select sealing_key from month_keys where month = $1", m)
	})
	if err != nil {
		return err
	}
	db.months.Store(m, wrapped)
	return nil
}

// monthKey gives the wrapped key of month m.
func (t *Tx) monthKey(m string) ([]byte, error) {
	if k, ok := t.db.months.Load(m); ok {
		return k.([]byte), nil
	}
	var k []byte
	if err := t.row([]any{&k}, "select sealing_key from month_keys where month = $1", m); err != nil {
		return nil, err
	}
	t.db.months.Store(m, k)
	return k, nil
}

// seal keeps secret under the key of person id; empty stays empty.
func (t *Tx) seal(id user.ID, label string, secret []byte) ([]byte, error) {
	if len(secret) == 0 {
		return []byte{}, nil
	}
	key, err := t.personKey(id)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, user.ErrNotFound
	}
	return t.db.sealer.Seal(key, secret, label)
}

// unseal is the reverse of seal.
func (t *Tx) unseal(key []byte, label string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	return t.db.sealer.Open(key, sealed, label)
}
