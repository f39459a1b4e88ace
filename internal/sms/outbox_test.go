package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tally counts what each message was told; more than once is an error at its end.
type tally struct {
	mu    sync.Mutex
	told  map[int][]error
	taken int
}

func (c *tally) send(o *Outbox, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.taken
	err := o.Send(m, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.told == nil {
			c.told = map[int][]error{}
		}
		c.told[id] = append(c.told[id], err)
	})
	if err == nil {
		c.taken++
	}
	return err
}

// check holds the count of messages told kind, and that all were told once.
func (c *tally) check(t *testing.T, kind error, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := 0
	for id, errs := range c.told {
		if len(errs) != 1 {
			t.Errorf("message %d was told %v", id, errs)
		}
		if errors.Is(errs[0], kind) {
			got++
		}
	}
	if got != want {
		t.Errorf("%d messages were told %v, want %d", got, kind, want)
	}
}

func (c *tally) all() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.told)
}

func withWire(out *lockedBuffer, w wire) *Outbox {
	return newOutbox(Config{Now: time.Now, Log: slog.New(slog.NewTextHandler(out, nil))}, w, senders)
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan bool)
		var now, most atomic.Int64
		o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) {
			for n, was := now.Add(1), most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			defer now.Add(-1)
			<-free
			return answered, nil
		})
		var c tally
		for range senders {
			if err := c.send(o, message()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for range waiting {
			if err := c.send(o, message()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.send(o, message()); !errors.Is(err, ErrFull) {
			t.Errorf("message %d: %v", senders+waiting+1, err)
		}
		if s := o.Stats(); s != (Stats{Waiting: waiting}) {
			t.Errorf("%+v", s)
		}
		close(free)
		synctest.Wait()
		c.check(t, nil, senders+waiting)
		if s := o.Stats(); s != (Stats{Sent: senders + waiting}) || most.Load() != senders {
			t.Errorf("%+v, %d at once", s, most.Load())
		}
		o.Close()
	})
}

// dropped is what waited behind 8 to 12 that were begun.
var dropped = regexp.MustCompile(`dropped=(48[89]|49[012])\b`)

// TestOutage is an evening: the provider hangs with a full queue, is tried each 30 s, and comes back.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		var asked atomic.Int64
		var out lockedBuffer
		o := withWire(&out, func(ctx context.Context, m Message) (verdict, error) {
			asked.Add(1)
			if well.Load() {
				return answered, nil
			}
			<-ctx.Done()
			return down, fmt.Errorf("%w: hung", ErrUnavailable)
		})
		defer o.Close()
		var c tally
		for range 500 {
			c.send(o, message())
		}
		time.Sleep(attempt)
		synctest.Wait()
		// The 8 that hung end in one moment. Who was over before the breaker opened, 4 at most, may have begun one more.
		hung := asked.Load()
		if hung < senders || hung > senders+failures-1 || !o.Stats().Open {
			t.Errorf("asked %d times, %+v", hung, o.Stats())
		}
		c.check(t, ErrUnavailable, int(500-(hung-senders)))
		time.Sleep(telling - attempt)
		synctest.Wait()
		c.check(t, ErrUnavailable, 500)
		if n := asked.Load(); n != hung {
			t.Errorf("asked %d times while open", n-hung)
		}
		time.Sleep(attempt - telling + window) // the first try
		if err := c.send(o, message()); err != nil {
			t.Error(err)
		}
		for i := range 3 {
			if err := c.send(o, message()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("while open: %v", err)
			}
			time.Sleep(window - time.Millisecond)
			if err := c.send(o, message()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("30 s are not over: %v", err)
			}
			time.Sleep(time.Millisecond)
			well.Store(i == 2)
			if err := c.send(o, message()); err != nil {
				t.Errorf("the try: %v", err)
			}
			synctest.Wait()
			if n := asked.Load(); n != hung+int64(i+2) {
				t.Errorf("asked %d times", n)
			}
		}
		c.check(t, nil, 1)
		c.check(t, ErrUnavailable, 503)
		if s := o.Stats(); s.Open || c.send(o, message()) != nil {
			t.Errorf("it stays open: %+v", s)
		}
		if s := out.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "hung") || !dropped.MatchString(s) {
			t.Errorf("logged: %s", s)
		}
		noSecret(t, out.String())
	})
}

// TestRefusals sends 50 messages that the provider refuses, or that our settings keep from it: the breaker stays shut.
func TestRefusals(t *testing.T) {
	for _, v := range []verdict{answered, unknown} {
		synctest.Test(t, func(t *testing.T) {
			o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) { return v, ErrRefused })
			defer o.Close()
			var c tally
			for range 50 {
				if err := c.send(o, message()); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			c.check(t, ErrRefused, 50)
		})
	}
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var limit atomic.Int64
		o := withWire(&lockedBuffer{}, func(ctx context.Context, _ Message) (verdict, error) {
			asked.Add(1)
			at, _ := ctx.Deadline()
			limit.Store(int64(time.Until(at)))
			time.Sleep(1500 * time.Millisecond)
			return answered, nil
		})
		defer o.Close()
		var c tally
		for range senders {
			c.send(o, message())
		}
		synctest.Wait()
		for _, left := range []time.Duration{time.Second, 1500 * time.Millisecond, 1600 * time.Millisecond} {
			m := message()
			m.Expires = time.Now().Add(left)
			c.send(o, m)
		}
		c.send(o, Message{To: testTo, Body: "no Expires"})
		time.Sleep(time.Minute)
		c.check(t, ErrExpired, 3)
		c.check(t, nil, senders+1)
		if n := asked.Load(); n != senders+1 || time.Duration(limit.Load()) != 100*time.Millisecond {
			t.Errorf("asked %d times, the last for %v", n, time.Duration(limit.Load()))
		}
	})
}

// TestExpiredTry lets the one message that may try be too old: the next one may.
func TestExpiredTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := down
		o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) { return v, ErrUnavailable })
		defer o.Close()
		var c tally
		for range failures {
			c.send(o, message())
			synctest.Wait()
		}
		time.Sleep(window)
		v = unknown
		for _, m := range []Message{{To: testTo}, message(), message()} {
			if err := c.send(o, m); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		c.check(t, ErrExpired, 1)
		if !o.Stats().Open {
			t.Error("nothing closed it")
		}
	})
}

// TestTooLate gives a sender a message that it took just before the breaker opened, or before Close gave up.
func TestTooLate(t *testing.T) {
	for _, late := range []func(*Outbox){
		func(o *Outbox) { o.breaker = breaker{open: true, last: o.now()} },
		func(o *Outbox) { o.halted = true },
	} {
		o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) {
			t.Error("sent")
			return answered, nil
		})
		defer o.Close()
		late(o)
		var told error
		o.handle(item{Message: message(), at: o.now(), done: func(err error) { told = err }})
		if !errors.Is(told, ErrUnavailable) {
			t.Errorf("told %v", told)
		}
	}
}

// TestClose has more in the queue than 3 s are enough for.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) {
			time.Sleep(1100 * time.Millisecond)
			return answered, nil
		})
		var c tally
		for range 100 {
			c.send(o, message())
		}
		start := time.Now()
		go o.Close()
		time.Sleep(time.Millisecond)
		if err := c.send(o, message()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
		o.Close()
		if took := time.Since(start); took != 3300*time.Millisecond {
			t.Errorf("Close took %v", took)
		}
		c.check(t, nil, 3*senders)
		c.check(t, ErrUnavailable, 100-3*senders)
	})
}

// TestCloseHung has a wire and a done that never end: Close does after 5 s.
func TestCloseHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan bool)
		o := withWire(&lockedBuffer{}, func(context.Context, Message) (verdict, error) { <-free; return answered, nil })
		var c tally
		for range 20 {
			c.send(o, message())
		}
		start := time.Now()
		o.Close()
		if took := time.Since(start); took != closing || o.ctx.Err() == nil {
			t.Errorf("Close took %v, the context says %v", took, o.ctx.Err())
		}
		c.check(t, ErrUnavailable, 20-senders)
		close(free)
		synctest.Wait()
		c.check(t, nil, senders)
	})
}

// TestOnceEach throws messages, verdicts and clock jumps at an outbox from many sides: whatever was taken is told once.
func TestOnceEach(t *testing.T) {
	var k clock
	cfg := Config{Now: k.now, Log: slog.New(slog.DiscardHandler)}
	o := newOutbox(cfg, func(context.Context, Message) (verdict, error) {
		v := verdict(rand.IntN(3))
		return v, []error{unknown: ErrUnavailable, answered: nil, down: ErrUnavailable}[v]
	}, senders)
	var c tally
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2000 {
				m := message()
				m.Expires = k.now().Add(time.Duration(rand.IntN(100)-5) * time.Second)
				c.send(o, m)
				if rand.IntN(8) == 0 {
					k.advance(window)
				}
			}
		})
	}
	all.Wait()
	o.Close()
	s := o.Stats()
	if c.taken == 0 || c.all() != c.taken || s.Sent+s.Failed != int64(c.taken) || s.Waiting != 0 {
		t.Errorf("%d taken, %d told, %+v", c.taken, c.all(), s)
	}
	c.check(t, nil, int(s.Sent))
}
