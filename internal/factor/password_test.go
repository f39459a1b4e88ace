package factor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// quick is a hasher with the least of costs, for tests of everything else.
func quick(parallel int) *Hasher { return NewHasher(Params{MemoryKiB: 8, Time: 1}, parallel) }

func mustHash(t testing.TB, h *Hasher, password string) string {
	t.Helper()
	hash, err := h.Hash(context.Background(), password)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestHashAndCheck(t *testing.T) {
	h := NewHasher(Params{}, 2)
	hash := mustHash(t, h, "korrekt häst batteri häftstift")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || ValidHash(hash) != nil {
		t.Errorf("hash %s", hash)
	}
	if again := mustHash(t, h, "korrekt häst batteri häftstift"); again == hash {
		t.Error("two hashes with the same salt")
	}
	check(t, h, "korrekt häst batteri häftstift", hash, true, false)
	check(t, h, "korrekt häst batteri häftstif", hash, false, false)
	check(t, h, "", hash, false, false)
}

func check(t *testing.T, h *Hasher, password, hash string, wantOK, wantStale bool) {
	t.Helper()
	ok, stale, err := h.Check(context.Background(), password, hash)
	if ok != wantOK || stale != wantStale || err != nil {
		t.Errorf("%.40q: %v, %v, %v; want %v, %v", password, ok, stale, err, wantOK, wantStale)
	}
}

// The reference implementation's own vector (argon2 of the PHC, test.c:
// version 0x13, t=2, m=2^16, p=1, "password", "somesalt"), argon2id.
func TestKnownHash(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := NewHasher(Params{}, 1)
	check(t, h, "password", hash, true, true) // its salt has 8 bytes
	check(t, h, "Password", hash, false, false)
}

func TestParamsDefaultAndBounded(t *testing.T) {
	for _, tt := range []struct{ in, want Params }{
		{Params{}, Params{19456, 2, 1}},
		{Params{Time: 3}, Params{19456, 3, 1}},
		{Params{MemoryKiB: 1, Threads: 4}, Params{32, 2, 4}},
		{Params{1 << 30, 1000, 255}, Params{1 << 20, 16, 16}},
	} {
		h := NewHasher(tt.in, 0)
		if h.params != tt.want || ValidHash(h.Decoy()) != nil || cap(h.places) != 1 {
			t.Errorf("%+v became %+v with decoy %s", tt.in, h.params, h.Decoy())
		}
	}
}

func TestNormal(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		err            error
	}{
		{"plain", "hunter2", "hunter2", nil},
		{"spaces kept", "  a  b ", "  a  b ", nil},
		{"NFC", "caf\u00e9", "caf\u00e9", nil},
		{"NFD", "cafe\u0301", "caf\u00e9", nil},
		{"Swedish NFD", "A\u030angstro\u0308m", "\u00c5ngstr\u00f6m", nil},
		{"no NFKC", "\ufb01\u00b2", "\ufb01\u00b2", nil},
		{"case kept", "AbC", "AbC", nil},
		{"no-break space", "a\u00a0b", "a b", nil},
		{"ideographic space", "a\u3000b", "a b", nil},
		{"tab kept", "a\tb", "a\tb", nil},
		{"emoji", "\U0001f511\u200d\U0001f9c2", "\U0001f511\u200d\U0001f9c2", nil},
		{"one byte", "x", "x", nil},
		{"1,024 bytes", strings.Repeat("x", 1024), strings.Repeat("x", 1024), nil},
		{"1,025 bytes", strings.Repeat("x", 1025), "", ErrTooLong},
		{"1,025 bytes of no text", strings.Repeat("\xff", 1025), "", ErrTooLong},
		{"longer by NFC", strings.Repeat("\u0958", 340), "", ErrTooLong},
		{"shorter by NFC, yet too long before", strings.Repeat("e\u0301", 400), "", ErrTooLong},
		{"empty", "", "", ErrNotText},
		{"NUL", "a\x00b", "", ErrNotText},
		{"no UTF-8", "a\xffb", "", ErrNotText},
		{"surrogate", "a\xed\xa0\x80", "", ErrNotText},
	} {
		if got, err := Normal(tt.in); got != tt.want || err != tt.err {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestSpellings(t *testing.T) {
	h := quick(1)
	check(t, h, "cafe\u0301 \u00e5", mustHash(t, h, "caf\u00e9\u00a0a\u030a"), true, false)
	check(t, h, "Café", mustHash(t, h, "café"), false, false)
	check(t, h, "café", mustHash(t, h, " café"), false, false)
	check(t, h, "café", mustHash(t, h, "café "), false, false)
}

// threats.md CR-01: bcrypt would cut both after 72 bytes.
func TestNoTruncation(t *testing.T) {
	h := quick(1)
	for _, n := range []int{55, 64, 72, 127, 128, 255, 256, 1023} {
		long := strings.Repeat("a", n)
		hash := mustHash(t, h, long+"X")
		check(t, h, long+"X", hash, true, false)
		check(t, h, long+"Y", hash, false, false)
		check(t, h, long, hash, false, false)
	}
}

// threats.md CR-02: refused before any hashing, and at once.
func TestMegabyte(t *testing.T) {
	h := quick(1)
	h.hashing = func(int) { t.Error("hashed") }
	mega := strings.Repeat("å", 1<<19)
	best := time.Hour
	for range 20 { // the best of 20: the machine may be busy with other things
		start := time.Now()
		if _, err := h.Hash(context.Background(), mega); err != ErrTooLong {
			t.Fatal(err)
		}
		if ok, _, err := h.Check(context.Background(), mega, h.Decoy()); ok || err != nil {
			t.Fatal(ok, err)
		}
		best = min(best, time.Since(start))
	}
	if best > time.Millisecond {
		t.Errorf("took %v", best)
	}
	for _, bad := range []string{"", "a\x00", "\xff"} {
		if ok, stale, err := h.Check(context.Background(), bad, h.Decoy()); ok || stale || err != nil {
			t.Errorf("%q: %v, %v, %v", bad, ok, stale, err)
		}
	}
}

func TestDecoy(t *testing.T) {
	h := NewHasher(Params{MemoryKiB: 64, Time: 3, Threads: 2}, 1)
	decoy, err := parsePHC(h.Decoy())
	if err != nil {
		t.Fatal(err)
	}
	real, err := parsePHC(mustHash(t, h, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if decoy.Params != real.Params || len(decoy.salt) != len(real.salt) || len(decoy.hash) != len(real.hash) {
		t.Errorf("decoy %s", h.Decoy())
	}
	if first := h.Decoy(); first != h.Decoy() || first == NewHasher(h.params, 1).Decoy() {
		t.Error("a decoy is one for each hasher")
	}
	ran := 0
	h.hashing = func(d int) { ran += max(d, 0) }
	check(t, h, "x", h.Decoy(), false, false)
	if ran != 1 {
		t.Errorf("the decoy cost %d hashes", ran)
	}
}

func TestStale(t *testing.T) {
	old := mustHash(t, NewHasher(Params{MemoryKiB: 64, Time: 2}, 1), "x")
	for _, tt := range []struct {
		now  Params
		want bool
	}{
		{Params{64, 2, 1}, false},
		{Params{32, 2, 1}, false},
		{Params{64, 1, 1}, false},
		{Params{64, 2, 4}, false},
		{Params{65, 2, 1}, true},
		{Params{64, 3, 1}, true},
		{Params{32, 3, 1}, true},
	} {
		h := NewHasher(tt.now, 1)
		check(t, h, "x", old, true, tt.want)
		check(t, h, "y", old, false, false)
	}
}

func FuzzNormal(f *testing.F) {
	for _, s := range []string{"", "a", "e\u0301", "\u0958", "a\u00a0b", "\xff", "a\x00", strings.Repeat("x", 1025)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := Normal(s)
		if err != nil {
			if once != "" || err != ErrTooLong && err != ErrNotText {
				t.Errorf("%q, %v", once, err)
			}
			return
		}
		if twice, err := Normal(once); twice != once || err != nil {
			t.Errorf("%q becomes %q becomes %q, %v", s, once, twice, err)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := NewHasher(Params{}, 2)
	b.ReportAllocs()
	for b.Loop() {
		mustHash(b, h, "korrekt häst batteri häftstift")
	}
}

func BenchmarkCheckParallel(b *testing.B) {
	for _, parallel := range []int{1, 2} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			h := NewHasher(Params{}, parallel)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, _, err := h.Check(context.Background(), "x", h.Decoy()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
