package store

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// gatherer sends what arrives at the same time to Postgres together, as one pipeline: one write and one read on the socket for all of it, which is
// most of what a row by its primary key costs, and of inserts one commit. What comes alone goes at once. A read sees what is committed when it runs,
// as it would alone. Of writes only inserts under new ids are gathered (stmt.own): they wait for no lock and no rival, so those of many callers
// cannot meet others in a ring, nor one caller's conflict undo another's work.
type gatherer struct {
	links *links
	queue chan *asking
	write bool
}

// asking is what waits for its answer.
type asking struct {
	room  [2]query // of asks, mostly
	asks  []query
	each  func(scanner) error // of a read
	fault error               // of each: the caller's own, no reason to fail the others
	end   time.Time           // the caller's deadline
	done  chan error
}

// scan hands a row to each until that fails.
func (a *asking) scan(s scanner) error {
	if a.fault == nil {
		a.fault = a.each(s)
	}
	return nil
}

// errAlone says that something has to be done by itself: its pipeline failed, perhaps for another, and nothing of it was done.
var errAlone = errors.New("store: do it alone")

const (
	gatherWorkers = 3  // some send while others wait for their answer
	gatherMost    = 32 // callers in one pipeline
)

func newGatherer(links *links, write bool, stop <-chan struct{}) *gatherer {
	g := &gatherer{links: links, write: write, queue: make(chan *asking, 4*gatherMost)}
	for range gatherWorkers {
		go g.work(stop)
	}
	return g
}

// read runs one read. It returns when the read is over, which is by the caller's deadline: rows are scanned into the
// caller's variables, so nobody may leave before.
func (g *gatherer) read(ctx context.Context, s stmt, each func(scanner) error) error {
	a := &asking{each: each, done: make(chan error, 1)}
	a.asks = append(a.room[:0], query{sql: s.sql, args: s.args, each: a.scan})
	if err := g.put(ctx, a); err != nil {
		return err
	}
	return <-a.done
}

// change commits stmts. A caller whose time is over leaves, and does not know what became of them.
func (g *gatherer) change(ctx context.Context, stmts []stmt) error {
	a := &asking{done: make(chan error, 1)}
	a.asks = a.room[:0]
	for _, s := range stmts {
		a.asks = append(a.asks, query{sql: s.sql, args: s.args})
	}
	if err := g.put(ctx, a); err != nil {
		return err
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gatherer) put(ctx context.Context, a *asking) error {
	var ok bool
	if a.end, ok = ctx.Deadline(); !ok {
		a.end = time.Now().Add(2 * time.Second)
	}
	select {
	case g.queue <- a:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gatherer) work(stop <-chan struct{}) {
	all := make([]*asking, 0, gatherMost)
	for {
		select {
		case a := <-g.queue:
			all = append(all[:0], a)
		case <-stop:
			return
		}
		runtime.Gosched() // who else is about to ask does it now
	more:
		for len(all) < gatherMost {
			select {
			case a := <-g.queue:
				all = append(all, a)
			default:
				break more
			}
		}
		g.send(all)
	}
}

// send does all together and answers everyone. Reads have the time of the least patient caller, because none may leave; writes that of the most
// patient. Only of an error that Postgres itself tells it is known that nothing of the writes was done.
func (g *gatherer) send(all []*asking) {
	end := all[0].end
	queries := make([]query, 0, 2*len(all))
	for _, a := range all {
		if g.write == a.end.After(end) {
			end = a.end
		}
		queries = append(queries, a.asks...)
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	l, err := g.links.take(ctx)
	if err == nil {
		err = l.run(ctx, queries)
		g.links.give(l)
	}
	if err != nil && len(all) > 1 {
		if _, told := errors.AsType[*pgconn.PgError](err); told || !g.write {
			err = errAlone
		}
	}
	for _, a := range all {
		if err == nil {
			a.done <- a.fault
		} else {
			a.done <- err
		}
	}
}
