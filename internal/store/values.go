package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// NewID gives an id that nobody can guess whole (64 random bits) and that sorts by time, which keeps indexes warm.
func NewID(now time.Time) string { return idAt(now, 0) }

// idAt is NewID for the nth of several of one instant, which sort in that order: 7 bytes of microseconds, n (at most
// 255), 8 random bytes more.
func idAt(now time.Time, n int) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMicro())<<8|uint64(min(n, 255)))
	rand.Read(b[8:]) // never fails (crypto/rand)
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// micros is how a time stands in a row: microseconds UTC, 0 for never.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant is the reverse of micros.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// list keeps words that hold no space (groups, roles, methods) as one text; strings.Fields is its reverse.
func list(words []string) string { return strings.Join(words, " ") }
