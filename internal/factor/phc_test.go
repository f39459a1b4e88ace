package factor

import (
	"context"
	"errors"
	"strings"
	"testing"
)

const (
	salt8  = "c29tZXNhbHQ"            // 8 bytes
	hash16 = "AAAAAAAAAAAAAAAAAAAAAA" // 16 bytes
)

// bytes64 is 64 bytes in base64; with an A more it is 65.
func bytes64() string { return strings.Repeat("A", 86) }

func TestValidHash(t *testing.T) {
	for _, hash := range []string{
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=1048576,t=16,p=16$" + bytes64() + "$" + bytes64(),
	} {
		if err := ValidHash(hash); err != nil {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func TestInvalidHash(t *testing.T) {
	h := quick(1)
	for _, hash := range []string{
		"$argon2id$v=19$m=1048577,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=7,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=31,t=2,p=4$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=0,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=0,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=17,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=0$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=17$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=257$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=4294967304,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=99999999999999999999,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=-8,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=+8,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=08,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$t=2,m=19456,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=1,x=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456, t=2, p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=16$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2i$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2d$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		" $argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16 + "\n",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16 + "$",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8,
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbA$" + hash16,             // 7 bytes
		"$argon2id$v=19$m=19456,t=2,p=1$" + bytes64() + "A$" + hash16,     // 65 bytes
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16[:20],     // 15 bytes
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + bytes64() + "A", // 65 bytes
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "=$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16[:21] + "B", // stray bits
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + hash16[:9] + "\r\n" + hash16[9:],
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$" + strings.Repeat("-_", 11),
		"$argon2id$v=19$m=19456,t=2,p=1$$" + hash16,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt8 + "$",
		"",
		"$$$$$",
		strings.Repeat("$", 1<<20),
	} {
		err := ValidHash(hash)
		if !errors.Is(err, ErrHash) {
			t.Errorf("%.80q: %v", hash, err)
			continue
		}
		if strings.Contains(err.Error(), salt8) || strings.Contains(err.Error(), hash16) {
			t.Errorf("the error shows the hash: %v", err)
		}
		if ok, stale, err := h.Check(context.Background(), "x", hash); ok || stale || !errors.Is(err, ErrHash) {
			t.Errorf("%.80q: %v, %v, %v", hash, ok, stale, err)
		}
	}
}

// What parses is within the limits and prints as it was read.
func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=+8,t=01,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			if !errors.Is(err, ErrHash) || len(err.Error()) > 120 {
				t.Errorf("%v", err)
			}
			return
		}
		if p.String() != s {
			t.Errorf("%q is printed as %q", s, p)
		}
		if p.bounded() != p.Params || len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 {
			t.Errorf("%q is out of bounds", s)
		}
	})
}
