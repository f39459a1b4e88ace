package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"time"
)

// NewID gives an id that nobody can guess whole (80 random bits) and that sorts by time, which keeps indexes warm.
func NewID(now time.Time) string {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	rand.Read(b[6:]) // never fails (crypto/rand)
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

// list and words keep a list of words as JSON text.
func list(words []string) string {
	if len(words) == 0 {
		return "[]"
	}
	b, err := json.Marshal(words)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

func words(text string) ([]string, error) {
	if text == "[]" || text == "" {
		return nil, nil
	}
	var w []string
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return nil, fmt.Errorf("store: a list of words is damaged: %w", err)
	}
	return w, nil
}
