package sms

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// unlike are the moods that do different things to a connection; the others differ in what they say on it.
const unlike = "well, duplicate, invalid number, 429 JSON, 429 with 20 KB of text, 500 HTML, 401, 204, redirect 307, half an answer, " +
	"not HTTP, hangs up, endless, hang, trickle, trickling header, dead port"

// TestFlat sends 500 messages in each of those moods, each of which reaches the provider because the clock jumps to the next try
// of the breaker: afterwards there are as many goroutines and connections as before.
func TestFlat(t *testing.T) {
	elsewhere := newFake(t, says(201, accepted))
	for _, m := range moods(elsewhere.URL) {
		if !slices.Contains(strings.Split(unlike, ", "), m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			var k clock
			cfg := at("", io.Discard)
			cfg.Now = k.now
			f, o := m.start(t, cfg)
			o.limit = 25 * time.Millisecond
			if !m.slow {
				o.limit = attempt
			}
			before := runtime.NumGoroutine()
			const all = 500
			var told sync.WaitGroup
			slots := make(chan bool, senders)
			for range all {
				slots <- true
				told.Add(1)
				err := ErrUnavailable
				for errors.Is(err, ErrUnavailable) { // also when the breaker opens between the two
					k.advance(window)
					msg := message()
					msg.Expires = k.now().Add(24 * time.Hour)
					err = o.Send(msg, func(err error) {
						if !errors.Is(err, m.err) {
							t.Errorf("told %v", err)
						}
						<-slots
						told.Done()
					})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			told.Wait()
			// A few wait when the breaker opens, and are not sent; where an attempt is short, a busy machine may end it before it asks.
			few := int64(1)
			if !m.slow {
				few = (all - 50) * m.requests
			}
			if n := f.requests.Load(); n > all*m.requests || n < few {
				t.Errorf("%d requests for %d messages", n, all)
			}
			flat := func() bool { return f.open.Load() == 0 && runtime.NumGoroutine() <= before }
			for end := time.Now().Add(30 * time.Second); !flat() && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if !flat() {
				t.Errorf("%d connections, %d goroutines where %d were", f.open.Load(), runtime.NumGoroutine(), before)
			}
			if s := o.Stats(); s.Sent+s.Failed != all || s.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
