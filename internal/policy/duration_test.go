package policy

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  time.Duration
		again string // the shortest form
	}{
		{"90s", 90 * time.Second, "90s"},
		{"60s", time.Minute, "1m"},
		{"15m", 15 * time.Minute, "15m"},
		{"90m", 90 * time.Minute, "90m"},
		{"12h", 12 * time.Hour, "12h"},
		{"36h", 36 * time.Hour, "36h"},
		{"24h", 24 * time.Hour, "1d"},
		{"7d", 7 * 24 * time.Hour, "7d"},
		{"730d", 730 * 24 * time.Hour, "730d"},
		{"0d", 0, "0d"},
		{"0s", 0, "0d"},
		{"007m", 7 * time.Minute, "7m"},
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(tt.text)); err != nil || time.Duration(d) != tt.want {
			t.Errorf("%q: got %v, %v; want %v", tt.text, time.Duration(d), err, tt.want)
		}
		if got, err := d.MarshalText(); err != nil || string(got) != tt.again || d.String() != tt.again {
			t.Errorf("%q is written as %q, %q, %v; want %q", tt.text, got, d, err, tt.again)
		}
	}
	for _, text := range []string{"", "s", "5", "d", "-1d", "+1d", "1.5h", "1h30m", "15 m", " 15m", "15m ", "15M", "1w", "1y", "100ms", "5us",
		"1_0m", "0x1h", "1e3s", "٣m", "15min", "106752d", "9223372036854775807d", "99999999999999999999s"} {
		d := Duration(7)
		if err := d.UnmarshalText([]byte(text)); err == nil || d != 7 {
			t.Errorf("%q is read as %v, %v", text, d, err)
		}
	}
	for _, d := range []Duration{-1, Duration(-time.Minute), Duration(time.Millisecond), math.MaxInt64} {
		if text, err := d.MarshalText(); err == nil {
			t.Errorf("%v is written as %q", time.Duration(d), text)
		}
		if d.String() != time.Duration(d).String() {
			t.Errorf("%v prints as %q", time.Duration(d), d.String())
		}
	}
	b, err := json.Marshal(struct{ D Duration }{Duration(time.Hour)})
	if err != nil || string(b) != `{"D":"1h"}` {
		t.Errorf("JSON %s, %v", b, err)
	}
}

// FuzzDuration: what is read is not negative, and its shortest form reads back as the same span.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"90s", "15m", "12h", "7d", "0d", "106751d", "106752d", "1h30m", "-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		out, err := d.MarshalText()
		if err != nil || d < 0 || len(out) > max(len(text), 2) {
			t.Fatalf("%q is %d, written %q, %v", text, d, out, err)
		}
		if err := again.UnmarshalText(out); err != nil || again != d {
			t.Fatalf("%q is %v, but %q is %v, %v", text, d, out, again, err)
		}
	})
}
