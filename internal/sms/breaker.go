package sms

import (
	"slices"
	"time"
)

// breaker says whether a message may come in. Five failures within 30 seconds, with no success between, open it; while
// it is open one message each 30 seconds may try. It has no lock of its own.
type breaker struct {
	open   bool
	last   time.Time   // when it opened, or let the last try through
	failed []time.Time // at most 4, since the last success
}

// admit asks for a message; try is true for one that is let through an open breaker.
func (b *breaker) admit(now time.Time) (ok, try bool) {
	if !b.open {
		return true, false
	}
	// A clock that was set back must not keep the breaker open for longer.
	if since := now.Sub(b.last); since >= 0 && since < window {
		return false, false
	}
	b.last = now
	return true, true
}

// untried takes back a try that reached nobody: the next message may try at once.
func (b *breaker) untried() { b.last = time.Time{} }

// failure counts one and reports whether it opened the breaker.
func (b *breaker) failure(now time.Time) (opened bool) {
	if b.open {
		return false
	}
	b.failed = append(slices.DeleteFunc(b.failed, func(t time.Time) bool { return now.Sub(t) > window }), now)
	if len(b.failed) < failures {
		return false
	}
	*b = breaker{open: true, last: now}
	return true
}

// success forgets all failures and reports whether it closed the breaker.
func (b *breaker) success() (closed bool) {
	closed = b.open
	*b = breaker{}
	return closed
}
