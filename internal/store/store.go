// Package store keeps every row and holds the only SQL. It promises, on SQLite and Postgres alike:
//
//   - what View shows is committed;
//   - what Change did is durable when Change returns nil, together with at least one audit event (ErrUnaudited otherwise);
//   - a decision is a conditional write: a Must that touches no row undoes the whole change (ErrConflict);
//   - an engine that cannot answer within 2 seconds is ErrOutage, never a refusal.
//
// Under it lies a seam with one verb: run this batch in one trip, give me the rows of its last statement.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
)

// The sentinels. Everything else that an engine says is wrapped in ErrOutage or is a fault of ours.
var (
	ErrUnaudited = errors.New("store: a change without an audit event")
	ErrConflict  = errors.New("store: somebody else was first")
	ErrNotFound  = errors.New("store: no such row")
	ErrTaken     = errors.New("store: that name is taken")
	ErrOutage    = errors.New("store: the database cannot answer now")
	ErrSchema    = errors.New("store: the schema is not this program's")
)

// Sealer keeps secrets. keyring.Ring is the real one.
type Sealer interface {
	NewKey() ([]byte, error)
	Seal(wrapped, plaintext []byte, label string) ([]byte, error)
	Open(wrapped, sealed []byte, label string) ([]byte, error)
}

// Options are what Open needs besides the address.
type Options struct {
	Sealer  Sealer
	Now     func() time.Time  // nil: time.Now
	Timeout time.Duration     // for one View or Change; 0: 2 s
	Lock    time.Duration     // for a lock that somebody else holds; 0: 2 s, so that a migration does not hold up those who queue behind it
	Watch   func([]Statement) // nil but in tests: told what each unit that wrote has run, in its order
}

// Statement is one that was run.
type Statement struct {
	SQL  string
	Args []any
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	sealer  Sealer
	clock   func() time.Time
	timeout time.Duration
	told    func([]Statement)

	keys   keyCache
	months sync.Map // "2026-11" → wrapped key
	cache  cache

	lastEvent     atomic.Int64 // see eventID
	reads, writes atomic.Int64
	stop          chan struct{}
	stopped       sync.WaitGroup
}

// Open opens the database at url: "sqlite:PATH" or "postgres://…". It does not touch the schema; see Migrate.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	e, err := openEngine(ctx, url, cmp.Or(o.Lock, 2*time.Second))
	if err != nil {
		return nil, err
	}
	db := &DB{engine: e, sealer: o.Sealer, clock: o.Now, timeout: cmp.Or(o.Timeout, 2*time.Second), told: o.Watch, stop: make(chan struct{})}
	if db.clock == nil {
		db.clock = time.Now
	}
	return db, nil
}

func openEngine(ctx context.Context, url string, lock time.Duration) (engine, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return openSQLite(ctx, path, lock)
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return openPostgres(url, lock)
	}
	return nil, fmt.Errorf("the database is named %q; write sqlite:PATH or postgres://…", url)
}

// Close stops the watch and closes every connection. No call may follow it.
func (db *DB) Close() {
	close(db.stop)
	db.stopped.Wait()
	db.engine.close()
}

// Timeout is how long one unit may take: what needs longer is ErrOutage.
func (db *DB) Timeout() time.Duration { return db.timeout }

// Postgres reports whether the engine is Postgres.
func (db *DB) Postgres() bool { return db.engine.name() == "postgres" }

// Trips counts the round trips so far: reads and writes. On SQLite a trip is one call into the engine.
func (db *DB) Trips() (reads, writes int64) { return db.reads.Load(), db.writes.Load() }

// Now is the clock of the database's rows.
func (db *DB) Now() time.Time { return db.clock().UTC().Truncate(time.Microsecond) }

// Tx is one unit of work. It belongs to one goroutine and ends with the function it was given to.
type Tx struct {
	db     *DB
	ctx    context.Context
	unit   unit
	write  bool
	now    time.Time
	origin audit.Origin
	queue  []stmt
	err    error // the first fault; nothing runs after it

	recorded int         // events so far
	bumped   bool        // see bump
	ran      []Statement // for DB.told
}

// Now is fixed at the start of the unit: a row and its event carry the same instant.
func (t *Tx) Now() time.Time { return t.now }

// Context is the unit's: it ends with its time.
func (t *Tx) Context() context.Context { return t.ctx }

// Origin is where the unit's request comes from.
func (t *Tx) Origin() audit.Origin { return t.origin }

// View reads.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	ctx, cancel := db.limit(ctx)
	defer cancel()
	err := db.once(ctx, audit.Origin{}, false, fn)
	if retriable(err) {
		err = db.once(ctx, audit.Origin{}, false, fn)
	}
	return err
}

// limit gives ctx the deadline of one unit, unless its own comes sooner.
func (db *DB) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= db.timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, db.timeout)
}

// Change is the only way to write what matters. fn may run again if the engine undid it (a deadlock); it must not have
// effects outside t. A change that recorded no event does not commit.
func (db *DB) Change(ctx context.Context, o audit.Origin, fn func(*Tx) error) error {
	return db.write(ctx, o, func(t *Tx) error {
		if err := fn(t); err != nil {
			return err
		}
		if t.recorded == 0 {
			return ErrUnaudited
		}
		return nil
	})
}

// Housekeep writes what nobody audits: sweeps, last-seen, counters.
func (db *DB) Housekeep(ctx context.Context, fn func(*Tx) error) error {
	return db.write(ctx, audit.Origin{}, fn)
}

func (db *DB) write(ctx context.Context, o audit.Origin, fn func(*Tx) error) error {
	ctx, cancel := db.limit(ctx)
	defer cancel()
	if err := db.monthReady(ctx); err != nil {
		return err
	}
	for try := 0; ; try++ {
		err := db.once(ctx, o, true, fn)
		if try == 2 || !retriable(err) {
			return err
		}
	}
}

func (db *DB) once(ctx context.Context, o audit.Origin, write bool, fn func(*Tx) error) error {
	u, err := db.engine.begin(ctx, write)
	if err != nil {
		return classify(err)
	}
	defer u.end()
	t := &Tx{db: db, ctx: ctx, unit: u, write: write, now: db.Now(), origin: o}
	err = fn(t)
	if err == nil && write {
		if t.bumped {
			t.do(bumpRevision)
		}
		err = t.flush(batch{commit: true})
	}
	if err == nil && write && db.told != nil {
		db.told(t.ran)
	}
	if undone := u.end(); undone != nil { // and with it the reason for err
		err = classify(undone)
	}
	return err
}

// do queues a write that decides nothing.
func (t *Tx) do(sql string, args ...any) { t.queue = append(t.queue, stmt{sql: sql, args: args}) }

// add queues the insert of a row under a new id, of which nobody else can know yet.
func (t *Tx) add(sql string, args ...any) {
	t.queue = append(t.queue, stmt{sql: sql, args: args, own: true})
}

// must queues a conditional write: if it touches no row the whole unit fails with ErrConflict.
func (t *Tx) must(sql string, args ...any) {
	t.queue = append(t.queue, stmt{sql: sql, args: args, must: true})
}

// use is must for an update of one row, with its condition on a line of its own. Where the row is free, it may be done beside those of other callers.
func (t *Tx) use(sql string, args ...any) {
	t.queue = append(t.queue, stmt{sql: sql, args: args, must: true, free: true})
}

// one reads one row by scan, or ErrNotFound.
func one[T any](t *Tx, scan func(scanner) (T, error), sql string, args ...any) (out T, err error) {
	found := false
	err = t.rows(func(s scanner) (err error) {
		found = true
		out, err = scan(s)
		return err
	}, sql, args...)
	if err == nil && !found {
		err = ErrNotFound
	}
	return out, err
}

// every reads rows by scan and calls each with what they hold.
func every[T any](t *Tx, scan func(scanner) (T, error), each func(T) error, sql string, args ...any) error {
	return t.rows(func(s scanner) error {
		out, err := scan(s)
		if err != nil {
			return err
		}
		return each(out)
	}, sql, args...)
}

// rows flushes the queue, runs sql and calls each for every row of it.
func (t *Tx) rows(each func(scanner) error, sql string, args ...any) error {
	return t.read(each, stmt{sql: sql, args: args})
}

func (t *Tx) read(each func(scanner) error, s stmt) error {
	t.queue = append(t.queue, s)
	return t.flush(batch{each: each})
}

// row flushes the queue, runs sql and scans its first row; ErrNotFound if there is none.
func (t *Tx) row(dest []any, sql string, args ...any) error {
	return t.readRow(dest, stmt{sql: sql, args: args})
}

// rowBy is row for a read by a key that one row has at most. Its sql ends in "where KEY = $1".
func (t *Tx) rowBy(dest []any, sql string, key any) error {
	return t.readRow(dest, stmt{sql: sql, args: []any{key}, keyed: true})
}

func (t *Tx) readRow(dest []any, s stmt) error {
	found := false
	err := t.read(func(row scanner) error {
		if found {
			return nil
		}
		found = true
		return row.Scan(dest...)
	}, s)
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

func (t *Tx) flush(b batch) error {
	b.stmts, t.queue = t.queue, nil
	if t.err != nil || len(b.stmts) == 0 && !b.commit {
		return t.err
	}
	if t.db.told != nil {
		for _, s := range b.stmts {
			t.ran = append(t.ran, Statement{s.sql, s.args})
		}
	}
	if t.write {
		t.db.writes.Add(1)
	} else {
		t.db.reads.Add(1)
	}
	t.err = classify(t.unit.run(t.ctx, b))
	return t.err
}
