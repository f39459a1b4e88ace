package policy

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration is a span as people write it in the policy: a whole number and one of s, m, h, d, such as 90s, 15m, 12h, 7d
// or 0d. A day is 24 hours. It is never negative when it was read from text.
type Duration time.Duration

const day = Duration(24 * time.Hour)

// units lists the units from the longest; the text is shortest with the longest that divides the span.
func units() []struct {
	name byte
	span Duration
} {
	return []struct {
		name byte
		span Duration
	}{{'d', day}, {'h', Duration(time.Hour)}, {'m', Duration(time.Minute)}, {'s', Duration(time.Second)}}
}

// UnmarshalText reads the form above and nothing else: no sign, no fraction, no second unit.
func (d *Duration) UnmarshalText(text []byte) error {
	if n := len(text); n >= 2 {
		for _, u := range units() {
			if text[n-1] != u.name {
				continue
			}
			v, err := strconv.ParseUint(string(text[:n-1]), 10, 63)
			if err != nil || Duration(v) > math.MaxInt64/u.span {
				break
			}
			*d = Duration(v) * u.span
			return nil
		}
	}
	return fmt.Errorf("policy: duration %.20q: give a whole number and s, m, h or d, such as 15m", text)
}

// MarshalText writes the shortest form: 0d, 90s, 15m, 12h, 7d. What is negative or has a fraction of a second has none.
func (d Duration) MarshalText() ([]byte, error) {
	if d < 0 || d%Duration(time.Second) != 0 {
		return nil, fmt.Errorf("policy: duration %s is not a whole number of seconds", time.Duration(d))
	}
	name, span := byte('s'), Duration(time.Second)
	for _, u := range units() {
		if d%u.span == 0 {
			name, span = u.name, u.span
			break
		}
	}
	return append(strconv.AppendInt(nil, int64(d/span), 10), name), nil
}

// String is MarshalText, or Go's form where that has none.
func (d Duration) String() string {
	if text, err := d.MarshalText(); err == nil {
		return string(text)
	}
	return time.Duration(d).String()
}
