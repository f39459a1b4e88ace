package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/policy"
)

// Client is a registered application as it stands in its row. Secret is the MAC of its secret, empty where it has none; OldSecret is that of
// the secret before, which counts until OldUntil.
type Client struct {
	client.Client
	Secret    []byte
	OldSecret []byte
	OldUntil  time.Time
	Granted   []string // its scopes, split once
	Dynamic   *Dynamic // nil: an administrator registered it
	Created   time.Time
	Updated   time.Time
}

// AddClient registers c; ErrTaken (at flush) if its id is in use.
func (t *Tx) AddClient(c client.Client, secret []byte) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	t.do("insert into clients (id, metadata, logout_uri, secret, old_secret, old_until, managed_by, bounds, created_at, updated_at) values ($1, $2, $3, $4, $5, 0, $5, '', $6, $6)",
		string(c.ID), string(body), c.BackchannelLogoutURI, orEmpty(secret), []byte{}, micros(t.now))
	t.bump()
	return nil
}

// SetClientSecret gives a registered client another secret; the present one counts beside it until a time. ErrConflict if the client is not
// registered any more.
func (t *Tx) SetClientSecret(id client.ID, secret []byte, until time.Time) {
	t.must("update clients set old_secret = secret, old_until = $4, secret = $2, updated_at = $3 where id = $1", string(id), secret, micros(t.now), micros(until))
	t.bump()
}

// PutClient replaces the registration of c; ErrConflict (at flush) if there is none. Secret nil keeps the present one. Of a client that registered
// itself an administrator takes over: it cannot change itself any more.
func (t *Tx) PutClient(c client.Client, secret []byte) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	t.must("update clients set metadata = $2, logout_uri = $3, managed_by = $4, bounds = '', updated_at = $5 where id = $1", string(c.ID), string(body),
		c.BackchannelLogoutURI, []byte{}, micros(t.now))
	if secret != nil {
		t.do("update clients set secret = $2, old_until = 0 where id = $1", string(c.ID), secret)
	}
	t.bump()
	return nil
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// RemoveClient removes a registration and revokes every grant of it; ErrConflict if there is none.
func (t *Tx) RemoveClient(id client.ID) {
	t.must("delete from clients where id = $1", string(id))
	t.RevokeGrantsOfClient(id)
	t.do("delete from logouts where client_id = $1", string(id))
	t.do("delete from trials where client_id = $1", string(id))
	t.bump()
}

// Clients calls each for every registration, by id.
func (t *Tx) Clients(each func(Client) error) error {
	return every(t, scanClient, each, "select "+clientColumns+" from clients order by id")
}

// ClientByID reads one registration past the cache, or ErrNotFound.
func (t *Tx) ClientByID(id client.ID) (Client, error) {
	return one(t, scanClient, "select "+clientColumns+" from clients where id = $1", string(id))
}

const clientColumns = "metadata, secret, old_secret, old_until, managed_by, bounds, created_at, updated_at"

func scanClient(s scanner) (Client, error) {
	var c Client
	var body, bounds string
	var managed []byte
	var old, created, updated int64
	if err := s.Scan(&body, &c.Secret, &c.OldSecret, &old, &managed, &bounds, &created, &updated); err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(body), &c.Client); err != nil {
		return c, fmt.Errorf("store: a client's registration is damaged: %w", err)
	}
	if len(managed) > 0 {
		c.Dynamic = &Dynamic{Token: managed}
		if err := json.Unmarshal([]byte(bounds), &c.Dynamic.Bounds); err != nil {
			return c, fmt.Errorf("store: the bounds of a client are damaged: %w", err)
		}
	}
	c.Granted = c.Scopes()
	c.OldUntil, c.Created, c.Updated = instant(old), instant(created), instant(updated)
	return c, nil
}

// PutPolicy stores the policy.
func (t *Tx) PutPolicy(p policy.Policy) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	t.do(`insert into policies (name, body, updated_at) values ('policy', $1, $2) on conflict (name) do update set body = $1, updated_at = $2`,
		string(body), micros(t.now))
	t.bump()
	return nil
}

// Policy reads the policy past the cache; the default if none was set.
func (t *Tx) Policy() (policy.Policy, error) {
	p, _, err := t.PolicyRow()
	return p, err
}

// bump tells every instance that clients or policies changed. Every such change writes this one row: it does so last, whatever else it does.
func (t *Tx) bump() { t.bumped = true }

const bumpRevision = "update instance set value = cast(cast(value as bigint) + 1 as text) where name = 'revision'"

// cache holds registrations and the policy for as long as the revision in the database stands. The watch reads it each
// half second; if it could not be read for 5 seconds, nothing is taken from the cache.
type cache struct {
	mu       sync.RWMutex
	clients  map[client.ID]*Client
	policy   *policy.Policy
	origins  map[string]bool // of Client.Origins; nil: not read yet
	revision string
	seen     time.Time // wall clock of the last look at the revision; zero: there is no watch
}

const (
	watchEvery = 500 * time.Millisecond
	cacheLife  = 5 * time.Second
	cacheSize  = 4096
)

func (c *cache) fresh() bool { return time.Since(c.seen) < cacheLife }

// see notes the revision and forgets everything if it is another one.
func (c *cache) see(revision string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision != c.revision || len(c.clients) > cacheSize {
		c.clients, c.policy, c.origins, c.revision = map[client.ID]*Client{}, nil, nil, revision
	}
	c.seen = time.Now()
}

// Client gives a registration, or ErrNotFound. It is at most about half a second old.
func (db *DB) Client(ctx context.Context, id client.ID) (*Client, error) {
	db.cache.mu.RLock()
	c, ok := db.cache.clients[id]
	ok = ok && db.cache.fresh()
	revision := db.cache.revision
	db.cache.mu.RUnlock()
	if !id.Valid() {
		return nil, ErrNotFound
	}
	if !ok {
		var err error
		if c, err = db.readClient(ctx, id, revision); err != nil {
			return nil, err
		}
	}
	if c == nil {
		return nil, ErrNotFound
	}
	return c, nil
}

// Forget drops a registration from what this instance remembers: who has just changed it through this instance is to find it changed. Others
// notice as Client says.
func (db *DB) Forget(id client.ID) {
	db.cache.mu.Lock()
	defer db.cache.mu.Unlock()
	delete(db.cache.clients, id)
}

func (db *DB) readClient(ctx context.Context, id client.ID, revision string) (*Client, error) {
	var c *Client
	err := db.View(ctx, func(t *Tx) error {
		got, err := t.ClientByID(id)
		if err == ErrNotFound {
			return nil
		}
		c = &got
		return err
	})
	if err != nil || c == nil {
		return nil, err
	}
	db.cache.mu.Lock()
	defer db.cache.mu.Unlock()
	if db.cache.clients != nil && db.cache.revision == revision && len(db.cache.clients) <= cacheSize {
		db.cache.clients[id] = c
	}
	return c, nil
}

// Policy gives the policy in force. It is at most about half a second old.
func (db *DB) Policy(ctx context.Context) (policy.Policy, error) {
	db.cache.mu.RLock()
	p, ok, revision := db.cache.policy, db.cache.fresh(), db.cache.revision
	db.cache.mu.RUnlock()
	if p != nil && ok {
		return *p, nil
	}
	var read policy.Policy
	err := db.View(ctx, func(t *Tx) (err error) {
		read, err = t.Policy()
		return err
	})
	if err != nil {
		return read, err
	}
	db.cache.mu.Lock()
	defer db.cache.mu.Unlock()
	if db.cache.clients != nil && db.cache.revision == revision {
		db.cache.policy = &read
	}
	return read, nil
}

// Watch keeps the cache true until Close. Without it nothing is cached.
func (db *DB) Watch() {
	look := func() {
		var revision string
		err := db.View(context.Background(), func(t *Tx) error {
			return t.row([]any{&revision}, "select value from instance where name = 'revision'")
		})
		if err == nil {
			db.cache.see(revision)
		}
	}
	look()
	db.stopped.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				look()
			case <-db.stop:
				return
			}
		}
	})
}
