package store

import (
	"context"
	"errors"
	"time"
)

// gatherer sends reads that arrive at the same time to Postgres together, as one pipeline: one write and one read on the
// socket for all of them, which is most of what a read by primary key costs. What comes alone goes at once. Each read sees
// what is committed when it runs, as it would alone. Changes are not gathered: tried, one transaction for many callers
// made each wait for two commits, and Postgres groups the fsyncs of separate ones by itself.
type gatherer struct {
	links *links
	queue chan *reading
}

// reading is one read that waits for its rows.
type reading struct {
	stmt  stmt
	each  func(scanner) error
	fault error     // of each: the caller's own, no reason to fail the others
	end   time.Time // the caller's deadline
	done  chan error
}

// scan hands a row to each until that fails.
func (r *reading) scan(s scanner) error {
	if r.fault == nil {
		r.fault = r.each(s)
	}
	return nil
}

// errAlone says that a read has to be done by itself: its pipeline failed, perhaps for another.
var errAlone = errors.New("store: read alone")

const (
	gatherWorkers = 3  // some send while others wait for their answer
	gatherMost    = 32 // reads in one pipeline
)

func newGatherer(links *links, stop <-chan struct{}) *gatherer {
	g := &gatherer{links: links, queue: make(chan *reading, 4*gatherMost)}
	for range gatherWorkers {
		go g.work(stop)
	}
	return g
}

// read runs one read. It returns when the read is over, which is by the caller's deadline: rows are scanned into the
// caller's variables, so nobody may leave before.
func (g *gatherer) read(ctx context.Context, s stmt, each func(scanner) error) error {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(2 * time.Second)
	}
	r := &reading{stmt: s, each: each, end: end, done: make(chan error, 1)}
	select {
	case g.queue <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gatherer) work(stop <-chan struct{}) {
	reads := make([]*reading, 0, gatherMost)
	for {
		select {
		case r := <-g.queue:
			reads = append(reads[:0], r)
		case <-stop:
			return
		}
	more:
		for len(reads) < gatherMost {
			select {
			case r := <-g.queue:
				reads = append(reads, r)
			default:
				break more
			}
		}
		g.send(reads)
	}
}

// send does reads together and answers everyone.
func (g *gatherer) send(reads []*reading) {
	end := reads[0].end
	for _, r := range reads[1:] {
		if r.end.Before(end) {
			end = r.end
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	l, err := g.links.take(ctx)
	if err == nil {
		queries := make([]query, len(reads))
		for i, r := range reads {
			queries[i] = query{sql: r.stmt.sql, args: r.stmt.args, each: r.scan}
		}
		err = l.run(ctx, queries)
		g.links.give(l)
	}
	if err != nil && len(reads) > 1 {
		err = errAlone
	}
	for _, r := range reads {
		if err == nil {
			r.done <- r.fault
		} else {
			r.done <- err
		}
	}
}
