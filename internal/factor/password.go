package factor

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// What is wrong with a password as text, before any policy. ErrNotText is for
// one that is empty, not UTF-8 or has a NUL in it.
var (
	ErrTooLong = errors.New("factor: the password is longer than 1,024 bytes")
	ErrNotText = errors.New("factor: the password is empty or not text")
)

// ErrBusy says that the machine has more passwords to check than it can. The
// person should try again soon; nothing is said about the password.
var ErrBusy = errors.New("factor: too many passwords at once")

const (
	maxPassword = 1024 // bytes
	saltLen     = 16   // bytes (RFC 9106 §3.1 recommends 16)
	hashLen     = 32   // bytes

	maxWait    = 2 * time.Second
	maxWaiting = 64

	// heavy is how many times the memory of the hasher's own parameters an
	// imported hash may take before it has to go alone.
	heavy = 4
)

// Params are the costs of argon2id. A zero field is the default: 19456 KiB, 2
// passes, 1 thread (OWASP Password Storage Cheat Sheet). NewHasher brings other
// values within what ValidHash allows.
type Params struct {
	MemoryKiB, Time uint32
	Threads         uint8
}

func (p Params) bounded() Params {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 19456
	}
	if p.Time == 0 {
		p.Time = 2
	}
	if p.Threads == 0 {
		p.Threads = 1
	}
	p.Threads = min(p.Threads, maxThreads)
	p.Time = min(p.Time, maxTime)
	p.MemoryKiB = min(max(p.MemoryKiB, 8*uint32(p.Threads)), maxMemory)
	return p
}

// Hasher makes and checks password hashes, not too many at once. Its methods
// may be called at the same time.
type Hasher struct {
	params  Params
	decoy   string
	places  chan struct{} // one for each hash that runs
	alone   chan struct{} // one for heavy hashes, taken before a place
	waiting atomic.Int32
	hashing func(delta int) // tests count with it; else nil
}

// NewHasher makes a Hasher that runs at most parallel hashes at once (at least
// 1). Its memory is parallel × MemoryKiB, as much again until the garbage is
// collected, and that of one heavy imported hash.
func NewHasher(p Params, parallel int) *Hasher {
	h := &Hasher{params: p.bounded(), places: make(chan struct{}, max(parallel, 1)), alone: make(chan struct{}, 1)}
	decoy := phc{Params: h.params, salt: make([]byte, saltLen), hash: make([]byte, hashLen)}
	rand.Read(decoy.salt)
	rand.Read(decoy.hash) // of no password: nobody knows a preimage
	h.decoy = decoy.String()
	return h
}

// Decoy is a hash that no password matches, of the hasher's own parameters. To
// Check it makes an unknown person cost what a known one does.
func (h *Hasher) Decoy() string { return h.decoy }

// Hash makes the PHC string of a password. The errors are those of Normal,
// ErrBusy, and the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	password, err := Normal(password)
	if err != nil {
		return "", err
	}
	made := phc{Params: h.params, salt: make([]byte, saltLen), hash: make([]byte, hashLen)}
	rand.Read(made.salt)
	if made.hash, err = h.derive(ctx, password, made); err != nil {
		return "", err
	}
	return made.String(), nil
}

// Check compares a password with a PHC string in constant time. Stale is set
// only for a right password whose hash costs less than the hasher's parameters
// want: the caller then stores a new one. A password that is wrong, or that
// Normal refuses, is no error. The errors are ErrBusy, ErrHash for a string
// that ValidHash refuses, and the context's.
func (h *Hasher) Check(ctx context.Context, password, hash string) (ok, stale bool, err error) {
	stored, err := parsePHC(hash)
	if err != nil {
		return false, false, err
	}
	password, err = Normal(password)
	if err != nil {
		return false, false, nil // no hash was ever made of such a password
	}
	got, err := h.derive(ctx, password, stored)
	if err != nil {
		return false, false, err
	}
	if subtle.ConstantTimeCompare(got, stored.hash) != 1 {
		return false, false, nil
	}
	return true, stored.below(h.params), nil
}

// derive runs argon2id with the parameters of want, when its turn has come.
func (h *Hasher) derive(ctx context.Context, password string, want phc) ([]byte, error) {
	leave, err := h.enter(ctx, want.MemoryKiB/heavy > h.params.MemoryKiB)
	if err != nil {
		return nil, err
	}
	defer leave()
	if h.hashing != nil {
		h.hashing(+1)
		defer h.hashing(-1)
	}
	return argon2.IDKey([]byte(password), want.salt, want.Time, want.MemoryKiB, want.Threads, uint32(len(want.hash))), nil
}

// enter takes a place, at once or after at most 2 seconds.
func (h *Hasher) enter(ctx context.Context, alone bool) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("factor: check a password: %w", err)
	}
	if !alone {
		select {
		case h.places <- struct{}{}:
			return func() { <-h.places }, nil
		default:
		}
	}
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiting {
		return nil, ErrBusy
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	if alone {
		if err := wait(ctx, h.alone, timer); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, h.places, timer); err != nil {
		if alone {
			<-h.alone
		}
		return nil, err
	}
	return func() {
		<-h.places
		if alone {
			<-h.alone
		}
	}, nil
}

func wait(ctx context.Context, places chan struct{}, timer *time.Timer) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("factor: check a password: %w", ctx.Err())
	}
}

// Normal is a password in its one spelling: spaces of any kind as U+0020, and
// Unicode NFC (RFC 8265 §4.2.2). Nothing is trimmed and no case is changed. It
// refuses more than 1,024 bytes, before any work and again after it, so that
// Normal of a result is that result.
func Normal(password string) (string, error) {
	switch {
	case len(password) > maxPassword:
		return "", ErrTooLong
	case password == "" || strings.IndexByte(password, 0) >= 0 || !utf8.ValidString(password):
		return "", ErrNotText
	}
	password = norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
	if len(password) > maxPassword {
		return "", ErrTooLong
	}
	return password, nil
}
