package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// gatherer sends what arrives at the same time to Postgres together, as one pipeline: one write and one read on the socket for all of it, which is
// most of what a row by its primary key costs, and of inserts one commit. What comes alone goes at once. A read sees what is committed when it runs,
// as it would alone. While what went out is quick to come back, nothing more goes out than turns say: who asks meanwhile makes the next pipeline
// larger, and a commit costs the same for eight as for one. Of writes those are gathered that wait for no rival, so that many callers'
// cannot meet others in a ring, nor one caller's conflict undo another's work: inserts under new ids (stmt.own), and uses of rows that nobody
// holds (stmt.free). What holds rows comes last in a pipeline.
type gatherer struct {
	links *links
	queue chan *asking
	turns chan struct{} // one for each worker whose pipeline is out, unless it is slow, or who waits to make one
	write bool
	stop  <-chan struct{}
	work  sync.WaitGroup // the workers
	texts sync.Map       // alike → text of them as one; see pipeline
}

// asking is what waits for its answer.
type asking struct {
	room  [2]query // of asks, mostly
	asks  []query
	at    int                 // where its read stands in the pipeline
	each  func(scanner) error // of a read
	begun bool                // each was called
	hit   int64               // rows that a use wrote
	fault error               // of each: the caller's own, no reason to fail the others
	ctx   context.Context
	end   time.Time // of ctx
	done  chan error
}

// scan hands a row to each until that fails.
func (a *asking) scan(s scanner) error {
	a.begun = true
	if a.fault == nil {
		a.fault = a.each(s)
	}
	return nil
}

// served reports whether a read, which was part of q, was given all there is. By a key there is one row.
func (a *asking) served(q query) bool { return q.over || q.alike && a.begun }

// errAlone says that something has to be done by itself: its pipeline failed, perhaps for another, and nothing of it was done.
var errAlone = errors.New("store: do it alone")

const (
	gatherReads   = 2                      // quick pipelines at once: one is read by Postgres while the other is made and answered
	gatherWrites  = 1                      // a second would halve the first, and both would be synced to disk
	gatherWorkers = 3                      // pipelines at once, with those that are slow
	gatherSlow    = 5 * time.Millisecond   // who is out for longer holds nobody back
	gatherMost    = 16                     // callers in one pipeline: it fits into what TCP sends at once, so that no part of it waits in Postgres for the rest
	gatherLeft    = 100 * time.Millisecond // who has less goes alone, and spoils nobody's pipeline
)

func newGatherer(links *links, write bool, stop <-chan struct{}) *gatherer {
	turns := gatherReads
	if write {
		turns = gatherWrites
	}
	g := &gatherer{links: links, write: write, queue: make(chan *asking, 4*gatherMost), turns: make(chan struct{}, turns), stop: stop}
	for range gatherWorkers {
		g.work.Go(g.run)
	}
	return g
}

// read runs one read. It returns when the read is over, which is by the caller's deadline: rows are scanned into the
// caller's variables, so nobody may leave before.
func (g *gatherer) read(ctx context.Context, s stmt, each func(scanner) error) error {
	a := &asking{each: each, done: make(chan error, 1)}
	a.asks = append(a.room[:0], query{sql: s.sql, args: s.args, each: a.scan, alike: s.keyed})
	if err := g.put(ctx, a); err != nil {
		return err
	}
	select {
	case err := <-a.done:
		return err
	case <-g.stop:
		g.work.Wait()
		return a.answer(fmt.Errorf("%w: it is being closed", ErrOutage))
	}
}

// change commits stmts. A caller whose time is over leaves, and does not know what became of them.
func (g *gatherer) change(ctx context.Context, stmts []stmt) error {
	a := &asking{done: make(chan error, 1)}
	a.asks = a.room[:0]
	for _, s := range stmts {
		a.asks = append(a.asks, query{sql: s.sql, args: s.args, alike: true})
	}
	if err := g.put(ctx, a); err != nil {
		return err
	}
	return a.wait()
}

// use does a statement of freeSQL; errAlone if its row was not free, or its condition does not hold.
func (g *gatherer) use(ctx context.Context, s stmt) error {
	a := &asking{done: make(chan error, 1)}
	a.asks = append(a.room[:0], query{sql: s.sql, args: s.args, hit: &a.hit})
	if err := g.put(ctx, a); err != nil {
		return err
	}
	if err := a.wait(); err != nil || a.hit == 1 {
		return err
	}
	return errAlone
}

// wait gives what became of a write. Its caller leaves when their time is over.
func (a *asking) wait() error {
	select {
	case err := <-a.done:
		return err
	case <-a.ctx.Done():
		return a.answer(a.ctx.Err())
	}
}

// answer is what became of a, or else if nobody knows.
func (a *asking) answer(otherwise error) error {
	select {
	case err := <-a.done:
		return err
	default:
		return otherwise
	}
}

func (g *gatherer) put(ctx context.Context, a *asking) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var ok bool
	if a.end, ok = ctx.Deadline(); !ok {
		a.end = time.Now().Add(2 * time.Second)
	}
	if a.ctx = ctx; time.Until(a.end) < gatherLeft {
		return errAlone
	}
	select {
	case g.queue <- a:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gatherer) run() {
	all, room := make([]*asking, 0, gatherMost), newPipeline()
	slow := time.AfterFunc(time.Hour, func() { <-g.turns })
	for slow.Stop(); ; {
		select {
		case g.turns <- struct{}{}:
		case <-g.stop:
			return
		}
		select {
		case a := <-g.queue:
			all = append(all[:0], a)
		case <-g.stop:
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
		slow.Reset(gatherSlow)
		g.send(all, room)
		room.clear()
		if clear(all); slow.Stop() {
			<-g.turns
		}
	}
}

// send does all together and answers everyone who is still there. Reads have the time of the least patient caller, because none may leave; writes
// that of the most patient.
func (g *gatherer) send(all []*asking, room *pipeline) {
	end := all[0].end
	for _, a := range all {
		if g.write == a.end.After(end) {
			end = a.end
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	l, err := g.links.take(ctx)
	here := all[:0]
	for _, a := range all {
		if gone := a.ctx.Err(); gone != nil {
			a.done <- gone
			continue
		}
		here = append(here, a)
	}
	queries := room.of(here, &g.texts)
	if err == nil {
		if len(here) > 0 {
			err = l.run(ctx, queries)
		}
		g.links.give(l)
	}
	for _, a := range here {
		if err == nil || !g.write && a.served(queries[a.at]) { // that is right, whatever came to the others
			a.done <- a.fault
		} else {
			a.done <- g.outcome(err, a, len(here))
		}
	}
}

// outcome is what a caller among n is told of the fault of their pipeline: errAlone if nothing of theirs was done, and it may be another's. Of writes
// that is known only if Postgres says what it refused.
func (g *gatherer) outcome(err error, a *asking, n int) error {
	_, told := errors.AsType[*pgconn.PgError](err)
	if n > 1 && !a.begun && (!g.write || told && !errors.Is(classify(err), ErrOutage)) {
		return errAlone
	}
	return err
}
