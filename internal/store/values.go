package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// NewID gives an id that nobody can guess whole (64 random bits) and that sorts by time, which keeps indexes warm.
func NewID(now time.Time) string { return idAt(now.UnixMicro() << 8) }

// eventID is NewID for an event: each sorts after the one that this process made before it, also when the clock stands
// still or goes back.
func (db *DB) eventID(now time.Time) string {
	for {
		last, next := db.lastEvent.Load(), now.UnixMicro()<<8
		next = max(next, last+1)
		if db.lastEvent.CompareAndSwap(last, next) {
			return idAt(next)
		}
	}
}

// idAt is 8 bytes of time, in units of 1/256 microsecond, and 8 random bytes.
func idAt(when int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(when))
	rand.Read(b[8:]) // never fails (crypto/rand)
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// NewToken gives 260 random bits as text, for whoever is to hold them.
func NewToken() string { return rand.Text() + rand.Text() }

// HashToken is how such a token stands in a row: who reads the database holds none.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
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
