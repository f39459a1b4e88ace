package sms

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Outbox is a queue, its senders and a breaker before them.
type Outbox struct {
	wire  wire // nil: off
	now   func() time.Time
	log   *slog.Logger
	limit time.Duration // of an attempt
	queue chan item
	work  sync.WaitGroup // the senders

	ctx    context.Context // of every attempt; cancelled when Close has waited long enough
	cancel context.CancelFunc

	sent, failed atomic.Int64

	mu      sync.Mutex // guards what follows and every write to queue
	breaker breaker
	closed  bool // nothing comes in
	halted  bool // nothing goes out
}

type item struct {
	Message
	done func(error)
	at   time.Time // of Send
	try  bool      // was let through an open breaker
}

// newOutbox starts n senders on w; none when w is nil.
func newOutbox(cfg Config, w wire, n int) *Outbox {
	o := &Outbox{wire: w, now: cfg.Now, log: cfg.Log, limit: attempt, queue: make(chan item, waiting)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	for range n {
		o.work.Go(func() {
			for it := range o.queue {
				o.handle(it)
			}
		})
	}
	return o
}

// Format shows none of what the outbox holds, whatever the verb.
func (o *Outbox) Format(f fmt.State, _ rune) { io.WriteString(f, "sms.Outbox") }

// On reports whether messages go anywhere.
func (o *Outbox) On() bool { return o.wire != nil }

// Stats are the counts so far.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Stats{Sent: o.sent.Load(), Failed: o.failed.Load(), Waiting: int64(len(o.queue)), Open: o.breaker.open}
}

// Send queues m and returns at once. done is called exactly once, from another goroutine: with nil when the provider
// took the message, else with the reason (ErrRefused, ErrExpired, ErrUnavailable, wrapped). It should be quick: a sender
// waits for it. When Send itself returns an error, done is never called: ErrOff, ErrUnavailable while the breaker is open
// or after Close, ErrFull when 1000 wait.
func (o *Outbox) Send(m Message, done func(error)) error {
	if !o.On() {
		return ErrOff
	}
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrUnavailable
	}
	if len(o.queue) == cap(o.queue) {
		return ErrFull
	}
	ok, try := o.breaker.admit(now)
	if !ok {
		return ErrUnavailable
	}
	o.queue <- item{m, done, now, try} // has room: only the holder of mu puts anything in
	return nil
}

// handle sends one message, or finds that it may not be sent any more, and reports it.
func (o *Outbox) handle(it item) {
	now := o.now()
	left := it.Expires.Sub(now)
	if err := o.stale(it, left); err != nil {
		o.report(it, err)
		return
	}
	// Who waited behind the first victims of an outage gets less time, and hears of it as soon as they promised: 3 s.
	limit := min(o.limit, max(attempt/2, telling-now.Sub(it.at)))
	ctx, cancel := context.WithTimeout(o.ctx, min(limit, left))
	v, err := o.wire(ctx, it.Message)
	cancel()
	rest := o.note(v, it, err)
	o.report(it, err)
	o.reportAll(rest)
}

// stale says why a message that has waited may not be sent any more, if so.
func (o *Outbox) stale(it item, left time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.halted || o.breaker.open && !it.try:
		return ErrUnavailable
	case left <= 0:
		if it.try {
			o.breaker.untried()
		}
		return ErrExpired
	}
	return nil
}

// note tells the breaker, and returns what waited when it opened.
func (o *Outbox) note(v verdict, it item, cause error) (rest []item) {
	o.mu.Lock()
	opened, closed := false, false
	switch v {
	case answered:
		closed = o.breaker.success()
	case down:
		if opened = o.breaker.failure(o.now()); opened {
			rest = o.drain()
		}
	case unknown:
		if it.try {
			o.breaker.untried()
		}
	}
	o.mu.Unlock()
	if opened {
		o.log.Warn("sms: the provider fails; messages are refused until it answers", "cause", cause, "dropped", len(rest))
	}
	if closed {
		o.log.Info("sms: the provider answers again")
	}
	return rest
}

// drain empties the queue.
func (o *Outbox) drain() []item {
	var rest []item
	for {
		select {
		case it, ok := <-o.queue:
			if !ok {
				return rest
			}
			rest = append(rest, it)
		default:
			return rest
		}
	}
}

// reportAll tells everybody in rest that the provider is unavailable, with as many goroutines as there are senders.
func (o *Outbox) reportAll(rest []item) {
	var all sync.WaitGroup
	for part := range slices.Chunk(rest, len(rest)/senders+1) {
		all.Go(func() {
			for _, it := range part {
				o.report(it, ErrUnavailable)
			}
		})
	}
	all.Wait()
}

func (o *Outbox) report(it item, err error) {
	if err == nil {
		o.sent.Add(1)
	} else {
		o.failed.Add(1)
	}
	if it.done != nil {
		it.done(err)
	}
}

// Close takes nothing more in, goes on sending for 3 seconds, reports what waits then as ErrUnavailable, and gives what
// is under way the 2 seconds it may take. It returns when all are reported, after 5 seconds in any case.
func (o *Outbox) Close() {
	defer o.cancel()
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.queue)
	}
	o.mu.Unlock()

	finished := make(chan struct{})
	go func() { o.work.Wait(); close(finished) }()
	select {
	case <-finished:
		return
	case <-time.After(closing - attempt):
	}
	o.mu.Lock()
	o.halted = true
	o.mu.Unlock()
	reported := make(chan struct{})
	go func() { o.reportAll(o.drain()); <-finished; close(reported) }()
	select {
	case <-reported:
	case <-time.After(attempt):
	}
}
