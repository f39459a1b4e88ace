package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// stmt is one statement of a batch. A must that touches no row makes the batch fail with ErrConflict.
type stmt struct {
	sql   string
	args  []any
	must  bool
	own   bool // inserts a row under a new id, of which nobody else can know yet
	keyed bool // is "select …\nwhere KEY = $1", and gives one row at most
	free  bool // with must: is "update TABLE set …\nwhere …" of at most one row, and may be done beside other callers' if nobody holds that row
}

// batch is what travels in one round trip. With commit the unit ends with it, durably.
type batch struct {
	stmts  []stmt
	each   func(scanner) error // called for each row of the last statement; nil: its rows are not wanted
	commit bool
}

// scanner reads the present row into destinations: *string, *int64 and *[]byte, which alone takes a null.
type scanner interface{ Scan(dest ...any) error }

// unit is one unit of work on an engine.
type unit interface {
	run(ctx context.Context, b batch) error
	end() error // gives everything back; undoes what was not committed. An error: what it saw of rivals is undone, too
}

// engine is the seam under DB: Postgres through pgconn, SQLite through one grouping writer and many readers.
type engine interface {
	name() string
	begin(ctx context.Context, write bool) (unit, error)
	script(ctx context.Context, sql string) error // several statements, as they stand, outside any unit
	close()
}

// retriable reports whether the engine undid everything for a reason that a second try can outlive.
func retriable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization failure, deadlock
	}
	return err != nil && pgconn.SafeToRetry(err)
}

// classify gives an engine's error its meaning.
func classify(err error) error {
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrOutage) || errors.Is(err, ErrTaken) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "22012": // division by zero: a must that touched no row, see postgres.go
			return ErrConflict
		case pg.Code == "23505":
			return fmt.Errorf("%w: %s", ErrTaken, pg.ConstraintName)
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57"),
			strings.HasPrefix(pg.Code, "58"), pg.Code == "25006", pg.Code == "55P03", pg.Code == "40001", pg.Code == "40P01":
			return fmt.Errorf("%w: %w", ErrOutage, err) // connection, resources, shutdown, I/O, read-only, locks
		}
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return classifyLite(lite.Code(), err)
	}
	var dial *pgconn.ConnectError
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) || errors.As(err, &dial) ||
		errors.As(err, &network) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) || lostConnection(err) {
		return fmt.Errorf("%w: %w", ErrOutage, err)
	}
	return err
}

// classifyLite reads SQLite's result codes (https://www.sqlite.org/rescode.html).
func classifyLite(code int, err error) error {
	switch code {
	case 2067, 1555: // SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	switch code & 0xff {
	case 5, 6, 8, 9, 10, 13, 14: // busy, locked, read-only, interrupt, I/O, full, cannot open
		return fmt.Errorf("%w: %w", ErrOutage, err)
	}
	return err
}

func lostConnection(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") ||
		strings.Contains(text, "closed pool") || strings.Contains(text, "connection reset")
}
