package store

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres runs a batch as one pgx pipeline: one round trip, statements prepared once for each connection. A unit whose
// first batch commits needs no begin and no commit: a pipeline is one implicit transaction.
type postgres struct {
	pool  *pgxpool.Pool
	reads *gatherer
	stop  chan struct{}
	texts sync.Map // text of a stmt → how it is sent; see write
}

func openPostgres(ctx context.Context, url string) (*postgres, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database address cannot be read: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = 16
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 2 * time.Second
	}
	params := cfg.ConnConfig.RuntimeParams
	for name, value := range map[string]string{"application_name": "portvakt", "statement_timeout": "10000",
		"lock_timeout": "2000", "idle_in_transaction_session_timeout": "10000"} {
		if params[name] == "" {
			params[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("the database cannot be opened: %w", err)
	}
	stop := make(chan struct{})
	return &postgres{pool: pool, stop: stop, reads: newGatherer(pool, stop)}, nil
}

func (p *postgres) name() string { return "postgres" }

func (p *postgres) close() {
	close(p.stop)
	p.pool.Close()
}

func (p *postgres) script(ctx context.Context, sql string) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Conn().PgConn().Exec(ctx, sql).ReadAll()
	return err
}

func (p *postgres) begin(_ context.Context, write bool) (unit, error) {
	return &postgresUnit{engine: p, write: write}, nil
}

// mustSQL makes a statement divide by the number of rows it touched, so that none is an error (22012) and undoes the
// pipeline on the server, without another trip to ask.
func mustSQL(sql string) string {
	return "with touched as (" + sql + " returning 1) select 1 / count(*) from touched"
}

// recordedSQL makes one statement of a write and the insert of its event. Most changes are such a pair.
func recordedSQL(s stmt) string {
	event := shiftParameters(insertEvent, len(s.args))
	if s.must {
		return "with touched as (" + s.sql + " returning 1), event as (" + event + ") select 1 / count(*) from touched"
	}
	return "with touched as (" + s.sql + ") " + event
}

// shiftParameters renumbers $1, $2, … from by+1 on.
func shiftParameters(sql string, by int) string {
	return parameter.ReplaceAllStringFunc(sql, func(p string) string {
		n, err := strconv.Atoi(p[1:])
		if err != nil {
			panic(err) // parameter matches digits only
		}
		return "$" + strconv.Itoa(n+by)
	})
}

var parameter = regexp.MustCompile(`\$[0-9]+`)

// writes gives the statements of a unit as Postgres gets them: each must made to fail by itself, and a write that is
// followed by an event joined with it.
func (p *postgres) writes(stmts []stmt) []stmt {
	out := make([]stmt, 0, len(stmts))
	for i := 0; i < len(stmts); i++ {
		s := stmts[i]
		recorded := i+1 < len(stmts) && stmts[i+1].sql == insertEvent && s.sql != insertEvent
		if !s.must && !recorded {
			out = append(out, s)
			continue
		}
		key := text{s.sql, s.must, recorded}
		sql, ok := p.texts.Load(key)
		if !ok {
			made := mustSQL(s.sql)
			if recorded {
				made = recordedSQL(s)
			}
			sql, _ = p.texts.LoadOrStore(key, made)
		}
		args := s.args
		if recorded {
			args = append(s.args[:len(s.args):len(s.args)], stmts[i+1].args...)
			i++
		}
		out = append(out, stmt{sql: sql.(string), args: args})
	}
	return out
}

type text struct {
	sql            string
	must, recorded bool
}

type postgresUnit struct {
	engine *postgres
	write  bool
	conn   *pgxpool.Conn
	open   bool // an explicit transaction is under way
}

func (u *postgresUnit) run(ctx context.Context, b batch) error {
	if !u.write && len(b.stmts) == 1 && b.each != nil {
		if err := u.engine.reads.read(ctx, b.stmts[0], b.each); err != errAlone {
			return err
		}
	}
	if u.conn == nil {
		conn, err := u.engine.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		u.conn = conn
	}
	stmts := b.stmts
	if u.write {
		stmts = u.engine.writes(stmts)
		if b.commit && !u.open && len(stmts) == 1 {
			_, err := u.conn.Exec(ctx, stmts[0].sql, stmts[0].args...)
			return err
		}
	}
	return u.pipeline(ctx, stmts, b)
}

func (u *postgresUnit) pipeline(ctx context.Context, stmts []stmt, b batch) error {
	pipe := pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(stmts)+1)}
	skip := 0
	if u.write && !u.open && !b.commit {
		pipe.Queue("begin")
		u.open, skip = true, 1
	}
	for _, s := range stmts {
		pipe.Queue(s.sql, s.args...)
	}
	if b.commit && u.open {
		pipe.Queue("commit")
	}
	if pipe.Len() == 0 {
		return nil
	}
	results := u.conn.SendBatch(ctx, &pipe)
	err := readResults(results, pipe.Len(), skip+len(stmts)-1, b.each)
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err == nil && b.commit {
		u.open = false
	}
	return err
}

// readResults drains n results and hands the rows of number last to each.
func readResults(results pgx.BatchResults, n, last int, each func(scanner) error) error {
	for i := range n {
		if i != last || each == nil {
			if _, err := results.Exec(); err != nil {
				return err
			}
			continue
		}
		rows, err := results.Query()
		if err := readRows(rows, err, each); err != nil {
			return err
		}
	}
	return nil
}

func (u *postgresUnit) end() {
	if u.conn == nil {
		return
	}
	if u.open {
		// The server undoes it all the same if this fails; pgx then drops the connection.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, _ = u.conn.Exec(ctx, "rollback")
		cancel()
	}
	u.conn.Release()
	u.conn = nil
}

func readRows(rows pgx.Rows, err error, each func(scanner) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	return drain(rows, each)
}
