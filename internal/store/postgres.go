package store

import (
	"context"
	"fmt"
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
	musts sync.Map // sql → the same, made to fail when it touches no row
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
func (p *postgres) mustSQL(sql string) string {
	if s, ok := p.musts.Load(sql); ok {
		return s.(string)
	}
	s := "with touched as (" + sql + " returning 1) select 1 / count(*) from touched"
	p.musts.Store(sql, s)
	return s
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
	var pipe pgx.Batch
	skip := 0
	if u.write && !u.open && !b.commit {
		pipe.Queue("begin")
		u.open, skip = true, 1
	}
	for _, s := range b.stmts {
		if s.must {
			s.sql = u.engine.mustSQL(s.sql)
		}
		pipe.Queue(s.sql, s.args...)
	}
	if b.commit && u.open {
		pipe.Queue("commit")
	}
	if pipe.Len() == 0 {
		return nil
	}
	results := u.conn.SendBatch(ctx, &pipe)
	err := readResults(results, pipe.Len(), skip+len(b.stmts)-1, b.each)
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
