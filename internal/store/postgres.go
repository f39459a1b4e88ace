package store

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// postgres runs a batch as one pipeline: one round trip. A unit whose first batch commits needs no begin and no commit: a
// pipeline is one implicit transaction.
type postgres struct {
	links *links
	reads *gatherer
	adds  *gatherer
	stop  chan struct{}
	texts sync.Map // text of a stmt → how it is sent; see write
}

func openPostgres(url string, lock time.Duration) (*postgres, error) {
	links, err := openLinks(url, lock)
	if err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	return &postgres{links: links, stop: stop, reads: newGatherer(links, false, stop), adds: newGatherer(links, true, stop)}, nil
}

func (p *postgres) name() string { return "postgres" }

func (p *postgres) close() {
	close(p.stop)
	p.links.close()
}

func (p *postgres) script(ctx context.Context, sql string) error {
	l, err := p.links.take(ctx)
	if err != nil {
		return err
	}
	defer p.links.give(l)
	_, err = l.conn.Exec(ctx, sql).ReadAll()
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

// freeSQL is recordedSQL that touches a row only if nobody holds it, and writes one row if it did: it waits for nobody, fails for nobody, and writes
// no event of what it did not do. The lock is taken on the newest version of the row, for which the condition is looked at anew;
// the update has it too, and stands by itself.
func freeSQL(s stmt) string {
	update, condition, ok := strings.Cut(s.sql, "\nwhere ")
	if !ok {
		panic("store: no condition on a line of its own: " + s.sql)
	}
	into, _, _ := strings.Cut(insertEvent, "\nvalues ")
	free := "select id from " + strings.Fields(update)[1] + " where " + condition + " for no key update skip locked"
	return "with touched as (" + update + " where id = (" + free + ") and " + condition + " returning 1) " +
		into + " " + shiftParameters(eventFrom, len(s.args)) + " from touched"
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
		key := text{sql: s.sql, must: s.must, recorded: recorded}
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
	sql                  string
	must, recorded, free bool
}

// freely gives a use and its event as one statement of freeSQL.
func (p *postgres) freely(stmts []stmt) stmt {
	use, event := stmts[0], stmts[1]
	key := text{sql: use.sql, free: true}
	sql, ok := p.texts.Load(key)
	if !ok {
		sql, _ = p.texts.LoadOrStore(key, freeSQL(use))
	}
	return stmt{sql: sql.(string), args: append(use.args[:len(use.args):len(use.args)], event.args...)}
}

type postgresUnit struct {
	engine *postgres
	write  bool
	link   *link
	open   bool // an explicit transaction is under way
}

func (u *postgresUnit) run(ctx context.Context, b batch) error {
	if u.link == nil { // who holds a connection must not wait for who needs one
		if err := u.beside(ctx, b); err != errAlone {
			return err
		}
		l, err := u.engine.links.take(ctx)
		if err != nil {
			return err
		}
		u.link = l
	}
	stmts := b.stmts
	if u.write {
		stmts = u.engine.writes(stmts)
	}
	queries := make([]query, 0, len(stmts)+1)
	if u.write && !u.open && !b.commit {
		queries = append(queries, query{sql: "begin"})
		u.open = true
	}
	for _, s := range stmts {
		queries = append(queries, query{sql: s.sql, args: s.args})
	}
	if n := len(queries); len(stmts) > 0 {
		queries[n-1].each = b.each
	}
	if b.commit && u.open {
		queries = append(queries, query{sql: "commit"})
	}
	if len(queries) == 0 {
		return nil
	}
	err := u.link.run(ctx, queries)
	if err == nil && b.commit {
		u.open = false
	}
	return err
}

// beside does b together with what other callers ask for. errAlone: it is not of that kind, or has to be tried by itself.
func (u *postgresUnit) beside(ctx context.Context, b batch) error {
	e, read := u.engine, b.each != nil
	switch {
	case !u.write && read && len(b.stmts) == 1:
		return e.reads.read(ctx, b.stmts[0], b.each)
	case !u.write || read || !b.commit:
	case own(b.stmts):
		return e.adds.change(ctx, e.writes(b.stmts))
	case len(b.stmts) == 2 && b.stmts[0].free && b.stmts[1].sql == insertEvent:
		return e.adds.use(ctx, e.freely(b.stmts))
	}
	return errAlone
}

// own reports whether stmts do nothing but insert rows under new ids.
func own(stmts []stmt) bool {
	return len(stmts) > 0 && !slices.ContainsFunc(stmts, func(s stmt) bool { return !s.own })
}

func (u *postgresUnit) end() error {
	if u.link == nil {
		return nil
	}
	if u.open {
		// The server undoes it all the same if this fails; the connection is then dropped.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = u.link.run(ctx, []query{{sql: "rollback"}})
		cancel()
	}
	u.engine.links.give(u.link)
	u.link = nil
	return nil
}
