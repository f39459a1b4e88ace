package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

// maxGroup bounds how many units share one commit, and with it how long the first of them waits.
const maxGroup = 64

// sqliteEngine has one writing connection and many reading ones on a WAL file with synchronous=FULL. Units that arrive
// while another holds the writer join its group: each but the first runs under a savepoint, the last in line commits for
// all, and nobody is answered before that commit. So a power cut takes no answered change, and fsync is paid once a group.
type sqliteEngine struct {
	readers *sql.DB
	writers *sql.DB
	writer  *sql.Conn

	waiting atomic.Int64
	mu      sync.Mutex // holds the writer
	group   *group     // the open transaction; guarded by mu
	stmts   map[string]*sql.Stmt
	reads   sync.Map // sql → *sql.Stmt on readers
}

type group struct {
	size int
	err  error
	done chan struct{}
}

func openSQLite(ctx context.Context, path string, lock time.Duration) (*sqliteEngine, error) {
	if path == "" {
		return nil, errors.New("the database is named sqlite: without a path; write sqlite:portvakt.db")
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the database file cannot be opened; name a file in a folder that the user of portvakt can write in (%w)", err)
	}
	file.Close()
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(" + millis(lock) + ")&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	writers, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	writers.SetMaxOpenConns(1)
	writer, err := writers.Conn(ctx)
	if err != nil {
		writers.Close()
		if lite, ok := errors.AsType[*sqlite.Error](err); ok && lite.Code()&0xff == 26 { // SQLITE_NOTADB
			return nil, fmt.Errorf("the file %s is not a SQLite database; name another, or restore it from a backup", path)
		}
		return nil, fmt.Errorf("the database file %s cannot be opened: %w", path, err)
	}
	readers, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(max(4, 2*runtime.GOMAXPROCS(0)))
	readers.SetMaxIdleConns(max(4, 2*runtime.GOMAXPROCS(0)))
	return &sqliteEngine{readers: readers, writers: writers, writer: writer, stmts: map[string]*sql.Stmt{}}, nil
}

func (e *sqliteEngine) name() string { return "sqlite" }

// close leaves one file behind: the last connection moves the -wal file into it, which open statements would prevent.
func (e *sqliteEngine) close() {
	e.reads.Range(func(_, s any) bool { s.(*sql.Stmt).Close(); return true })
	for _, s := range e.stmts {
		s.Close()
	}
	e.readers.Close()
	e.writer.Close()
	e.writers.Close()
}

func (e *sqliteEngine) script(ctx context.Context, text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.writer.ExecContext(ctx, text)
	return err
}

func (e *sqliteEngine) begin(ctx context.Context, write bool) (unit, error) {
	if !write {
		return &sqliteReader{engine: e}, nil
	}
	e.waiting.Add(1)
	e.mu.Lock()
	e.waiting.Add(-1)
	first := e.group == nil
	if err := e.join(); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	return &sqliteWriter{engine: e, group: e.group, held: true, first: first}, nil
}

// join enters the open group, or opens one. The caller holds mu. It takes no deadline: it waits for no other process
// but a concurrent command line, for at most the busy timeout.
func (e *sqliteEngine) join() error {
	if e.group == nil {
		if err := e.exec("begin immediate"); err != nil {
			return err
		}
		e.group = &group{size: 1, done: make(chan struct{})}
		return nil
	}
	if err := e.exec("savepoint unit"); err != nil {
		e.fail(err)
		return err
	}
	e.group.size++
	return nil
}

// leave ends the caller's turn with the writer and commits the group if nobody waits to join it. The caller holds mu.
func (e *sqliteEngine) leave() {
	if g := e.group; g != nil && (e.waiting.Load() == 0 || g.size >= maxGroup) {
		if err := e.exec("commit"); err != nil {
			e.fail(err)
		} else {
			e.group = nil
			close(g.done)
		}
	}
	e.mu.Unlock()
}

// fail undoes the whole group: everyone who waits for it gets err. The caller holds mu.
func (e *sqliteEngine) fail(err error) {
	g := e.group
	if g == nil {
		return
	}
	_ = e.exec("rollback") // SQLite may have rolled back on its own (SQLITE_FULL)
	g.err, e.group = err, nil
	close(g.done)
}

// exec runs a statement on the writer, prepared once. It takes no context: a cancelled caller must not interrupt the
// transaction that others share.
func (e *sqliteEngine) exec(text string, args ...any) error {
	s, err := e.prepare(text)
	if err != nil {
		return err
	}
	_, err = s.Exec(args...)
	return err
}

func (e *sqliteEngine) prepare(text string) (*sql.Stmt, error) {
	if s := e.stmts[text]; s != nil {
		return s, nil
	}
	s, err := e.writer.PrepareContext(context.Background(), text)
	if err == nil {
		e.stmts[text] = s
	}
	return s, err
}

type sqliteWriter struct {
	engine *sqliteEngine
	group  *group
	held   bool
	first  bool // nobody can join before its turn ends, so that its transaction is the group's and needs no savepoint
}

func (u *sqliteWriter) run(ctx context.Context, b batch) error {
	if !u.held {
		return errors.New("store: this unit is over")
	}
	for i, s := range b.stmts {
		each := b.each
		if i < len(b.stmts)-1 {
			each = nil
		}
		if err := u.step(s, each); err != nil {
			return err
		}
	}
	if !b.commit {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.release(); err != nil {
		return err
	}
	u.held = false
	u.engine.leave()
	<-u.group.done
	return u.group.err
}

func (u *sqliteWriter) release() error {
	if u.first {
		return nil
	}
	return u.engine.exec("release unit")
}

func (u *sqliteWriter) step(s stmt, each func(scanner) error) error {
	p, err := u.engine.prepare(s.sql)
	if err != nil {
		return err
	}
	if each != nil {
		rows, err := p.Query(s.args...)
		return scanRows(context.Background(), rows, err, each)
	}
	res, err := p.Exec(s.args...)
	if err != nil || !s.must {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return ErrConflict
}

func (u *sqliteWriter) end() error {
	if !u.held {
		return nil
	}
	u.held = false
	if u.first {
		u.engine.fail(ErrConflict) // nobody else is in it
		u.engine.leave()
		return nil
	}
	err := u.engine.exec("rollback to unit")
	if err == nil {
		err = u.release()
	}
	if err != nil {
		u.engine.fail(fmt.Errorf("%w: %w", ErrOutage, err))
	}
	u.engine.leave()
	<-u.group.done // who lost to another of the group reads next what that one wrote
	return u.group.err
}

type sqliteReader struct{ engine *sqliteEngine }

// run gives ctx a say between rows only: a context that can end costs two goroutines a query, and what this service asks
// finds its first row within microseconds.
func (u *sqliteReader) run(ctx context.Context, b batch) error {
	for i, s := range b.stmts {
		each := b.each
		if i < len(b.stmts)-1 {
			each = nil
		}
		p, err := u.engine.prepareRead(ctx, s.sql)
		if err != nil {
			return err
		}
		rows, err := p.Query(s.args...)
		if err := scanRows(ctx, rows, err, each); err != nil {
			return err
		}
	}
	return nil
}

func (u *sqliteReader) end() error { return nil }

func (e *sqliteEngine) prepareRead(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := e.reads.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := e.readers.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if old, loaded := e.reads.LoadOrStore(text, s); loaded {
		s.Close()
		return old.(*sql.Stmt), nil
	}
	return s, nil
}

func scanRows(ctx context.Context, rows *sql.Rows, err error, each func(scanner) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
