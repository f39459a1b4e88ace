package factor

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const rfcSeed = "1234567890123456789012345678901234567890123456789012345678901234"

func rfcTOTP(algorithm string, n int) TOTP {
	return TOTP{Secret: []byte(rfcSeed[:n]), Digits: 8, Period: 30, Algorithm: algorithm}
}

// RFC 6238 Appendix B.
func TestRFC6238(t *testing.T) {
	for _, tt := range []struct {
		at                   int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	} {
		for _, v := range []struct {
			totp TOTP
			code string
		}{{rfcTOTP("SHA1", 20), tt.sha1}, {rfcTOTP("SHA256", 32), tt.sha256}, {rfcTOTP("SHA512", 64), tt.sha512}} {
			at := time.Unix(tt.at, 0)
			if got := v.totp.Code(at); got != v.code {
				t.Errorf("%s at %d: %s, want %s", v.totp.Algorithm, tt.at, got, v.code)
			}
			if step, ok := v.totp.Check(v.code, at, 0); !ok || step != tt.at/30 {
				t.Errorf("%s at %d: %d, %v", v.totp.Algorithm, tt.at, step, ok)
			}
			six := v.totp
			six.Digits = 6
			if got := six.Code(at); got != v.code[2:] {
				t.Errorf("%s at %d in six digits: %s", v.totp.Algorithm, tt.at, got)
			}
		}
	}
}

func TestNewTOTP(t *testing.T) {
	a, b := NewTOTP(), NewTOTP()
	if len(a.Secret) != 20 || bytes.Equal(a.Secret, b.Secret) || a.Digits != 6 || a.Period != 30 || a.Algorithm != "SHA1" {
		t.Errorf("%d bytes, %v", len(a.Secret), a)
	}
	now := time.Now()
	if step, ok := a.Check(a.Code(now), now, 0); !ok || step != now.Unix()/30 {
		t.Errorf("its own code: %d, %v", step, ok)
	}
	zero := TOTP{Secret: a.Secret}
	if zero.Code(now) != a.Code(now) || zero.URI("i", "a") != a.URI("i", "a") {
		t.Error("zero fields are not the defaults")
	}
}

// Steps are of the time 1,000,000,020 (a multiple of 30); codes of the steps
// differ from one another.
func TestSteps(t *testing.T) {
	totp := rfcTOTP("SHA1", 20)
	start := time.Unix(1_000_000_020, 0)
	step := start.Unix() / 30
	code := func(s int64) string { return totp.Code(time.Unix(s*30, 0)) }
	for _, tt := range []struct {
		name string
		code string
		at   time.Duration
		last int64
		want int64 // 0 for refused
	}{
		{"now", code(step), 0, 0, step},
		{"end of the step", code(step), 29*time.Second + 999*time.Millisecond, 0, step},
		{"one step late", code(step), 30 * time.Second, 0, step},
		{"one step late, at its end", code(step), 59 * time.Second, 0, step},
		{"two steps late", code(step), 60 * time.Second, 0, 0},
		{"one step early", code(step), -1 * time.Second, 0, step},
		{"one step early, at its start", code(step), -30 * time.Second, 0, step},
		{"two steps early", code(step), -31 * time.Second, 0, 0},
		{"replay", code(step), 0, step, 0},
		{"replay, late", code(step), 30 * time.Second, step, 0},
		{"an older step after a newer", code(step - 1), 0, step, 0},
		{"the step before, when it is new", code(step - 1), 0, step - 2, step - 1},
		{"the step after", code(step + 1), 0, step, step + 1},
		{"now, after the step after", code(step), 0, step + 1, 0},
		{"last far ahead", code(step), 0, step + 1000, 0},
		{"never used", code(step), 0, -1, step},
	} {
		got, ok := totp.Check(tt.code, start.Add(tt.at), tt.last)
		if got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, ok, tt.want)
		}
	}
}

func TestCodeText(t *testing.T) {
	totp := TOTP{Secret: []byte(rfcSeed[:20])}
	at := time.Unix(59, 0) // 287082
	for code, want := range map[string]bool{
		"287082":                           true,
		" 287 082 ":                        true,
		"287\u00a0082\n":                   true,
		"28708":                            false,
		"2870820":                          false,
		"94287082":                         false,
		"":                                 false,
		"      ":                           false,
		"-87082":                           false,
		"+287082":                          false,
		"28708x":                           false,
		"287-082":                          false,
		"287082\x00":                       false,
		"٢٨٧٠٨٢":                           false,
		"２８７０８２":                           false,
		"287083":                           false,
		"287082" + strings.Repeat(" ", 99): false,
	} {
		if _, ok := totp.Check(code, at, 0); ok != want {
			t.Errorf("%q: %v", code, ok)
		}
	}
}

// pquerna/otp takes an empty secret as a good one (threats.md §2.3).
func TestInvalidNeverMatches(t *testing.T) {
	at := time.Unix(1_000_000_000, 0)
	secret := []byte(rfcSeed[:20])
	for _, totp := range []TOTP{
		{},
		{Digits: 6, Period: 30, Algorithm: "SHA1"},
		{Secret: secret[:9]},
		{Secret: make([]byte, 129)},
		{Secret: secret, Digits: 7},
		{Secret: secret, Digits: -1},
		{Secret: secret, Digits: 1},
		{Secret: secret, Period: 1},
		{Secret: secret, Period: -30},
		{Secret: secret, Algorithm: "MD5"},
		{Secret: secret, Algorithm: "sha1"},
	} {
		if code := totp.Code(at); code != "" {
			t.Errorf("%v has code %s", totp, code)
		}
		n := totp.Digits
		if n != 8 {
			n = 6
		}
		for i := range 1000 {
			if _, ok := totp.Check(fmt.Sprintf("%0*d", n, i), at, 0); ok {
				t.Errorf("%v takes %d", totp, i)
			}
		}
	}
	// The codes that anyone can compute from the empty secret.
	for _, code := range []string{"328482", "812658", "073348", "887919"} {
		if _, ok := (TOTP{}).Check(code, time.Unix(30, 0), 0); ok {
			t.Errorf("the empty secret takes %s", code)
		}
	}
	good := TOTP{Secret: secret}
	if code := good.Code(time.Unix(-1, 0)); code != "" {
		t.Errorf("a code before 1970: %s", code)
	}
	if _, ok := good.Check("287082", time.Unix(-1, 0), -10); ok {
		t.Error("a match before 1970")
	}
	if step, ok := good.Check(good.Code(time.Unix(0, 0)), time.Unix(0, 0), -1); !ok || step != 0 {
		t.Errorf("the first step of all: %d, %v", step, ok)
	}
}

func TestTOTPShowsNoSecret(t *testing.T) {
	totp := TOTP{Secret: []byte(rfcSeed[:20]), Digits: 6, Period: 30, Algorithm: "SHA1"}
	var out bytes.Buffer
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // the time has digits too
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewJSONHandler(&out, timeless)).Info("made", "totp", totp)
	slog.New(slog.NewTextHandler(&out, timeless)).Info("made", "totp", &totp)
	fmt.Fprintf(&out, "%v %+v %s", totp, totp, &totp)
	if s := out.String(); strings.Contains(s, "49") || strings.Contains(s, "GEZD") || strings.Contains(s, "MTIz") || strings.Contains(s, "1234") {
		t.Errorf("%s", s)
	}
}

func BenchmarkTOTPCheck(b *testing.B) {
	totp, at := NewTOTP(), time.Unix(1_000_000_000, 0)
	code := totp.Code(at)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := totp.Check(code, at, 0); !ok {
			b.Fatal("refused")
		}
	}
}
