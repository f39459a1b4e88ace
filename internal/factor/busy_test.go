package factor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestParallelBound(t *testing.T) {
	const parallel, callers = 3, 40
	h := quick(parallel)
	var mu sync.Mutex
	running, most, total := 0, 0, 0
	full := make(chan struct{})
	h.hashing = func(d int) {
		mu.Lock()
		running += d
		most = max(most, running)
		total += max(d, 0)
		if running == parallel && total == parallel {
			close(full)
		}
		mu.Unlock()
		if d > 0 {
			<-full // the first ones wait until all places are taken
		}
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, _, err := h.Check(context.Background(), "x", h.Decoy()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != parallel || total != callers || running != 0 {
		t.Errorf("%d at once of %d, %d still run; want %d of %d", most, total, running, parallel, callers)
	}
}

// occupy takes a place of h until the function it returns is called.
func occupy(h *Hasher) (release func()) {
	hold := make(chan struct{})
	entered := make(chan struct{}, 100)
	h.hashing = func(d int) {
		if d > 0 {
			entered <- struct{}{}
			<-hold
		}
	}
	go func() { _, _ = h.Hash(context.Background(), "first") }()
	<-entered
	return func() { close(hold) }
}

func TestBusyAfterTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := quick(1)
		release := occupy(h)
		start := time.Now()
		_, err := h.Hash(context.Background(), "second")
		if waited := time.Since(start); err != ErrBusy || waited != 2*time.Second {
			t.Errorf("%v after %v", err, waited)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start = time.Now()
		_, _, err = h.Check(ctx, "second", h.Decoy())
		if waited := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy) || waited != time.Second {
			t.Errorf("%v after %v", err, waited)
		}
		go func() {
			time.Sleep(1900 * time.Millisecond) // of the bubble's clock
			release()
		}()
		if _, err := h.Hash(context.Background(), "third"); err != nil {
			t.Errorf("a place came free in time: %v", err)
		}
		synctest.Wait()
		if n := h.waiting.Load(); n != 0 || len(h.places) != 0 {
			t.Errorf("%d wait, %d places taken", n, len(h.places))
		}
	})
}

func TestBusyBeyondTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := quick(1)
		release := occupy(h)
		results := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() {
				_, err := h.Hash(context.Background(), "x")
				results <- err
			}()
		}
		synctest.Wait() // all 64 wait now
		start := time.Now()
		if _, err := h.Hash(context.Background(), "x"); err != ErrBusy || time.Since(start) != 0 {
			t.Errorf("the 65th: %v after %v", err, time.Since(start))
		}
		release()
		for range maxWaiting {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if _, err := h.Hash(context.Background(), "x"); err != nil {
			t.Errorf("after the rush: %v", err)
		}
	})
}

func TestContextDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h := quick(1)
	h.hashing = func(int) { t.Error("hashed") }
	if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, _, err := h.Check(ctx, "x", h.Decoy()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Imported hashes that take much memory run one at a time.
func TestHeavyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := quick(4)
		heavyHash := mustHash(t, NewHasher(Params{MemoryKiB: 40, Time: 1}, 1), "x")
		hold := make(chan struct{})
		h.hashing = func(d int) {
			if d > 0 {
				<-hold
			}
		}
		results := make(chan error, 3)
		for range 3 {
			go func() {
				ok, _, err := h.Check(context.Background(), "x", heavyHash)
				if err == nil && !ok {
					err = errors.New("wrong")
				}
				results <- err
			}()
		}
		synctest.Wait()
		if len(h.places) != 1 || len(h.alone) != 1 {
			t.Errorf("%d heavy hashes at once", len(h.places))
		}
		time.Sleep(3 * time.Second) // of the bubble's clock
		close(hold)
		busy := 0
		for range 3 {
			if err := <-results; errors.Is(err, ErrBusy) {
				busy++
			} else if err != nil {
				t.Error(err)
			}
		}
		if busy != 2 || len(h.places) != 0 || len(h.alone) != 0 {
			t.Errorf("%d busy, %d and %d places taken", busy, len(h.places), len(h.alone))
		}
	})
}
