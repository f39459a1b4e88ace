package factor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrHash says that a string is no password hash that this package checks.
var ErrHash = errors.New("factor: not an argon2id hash within the limits")

// The limits of a hash made elsewhere.
const (
	maxMemory  = 1 << 20 // KiB, so 1 GiB
	maxTime    = 16
	maxThreads = 16
	minSalt    = 8 // bytes (RFC 9106 §3.1)
	maxSalt    = 64
	minHash    = 16
	maxHash    = 64

	maxPHC = 256 // bytes; the longest within these limits has 208
)

// phc is a parsed $argon2id$v=19$m=…,t=…,p=…$salt$hash.
type phc struct {
	Params
	salt, hash []byte
}

func (p phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.MemoryKiB, p.Time, p.Threads, enc.EncodeToString(p.salt), enc.EncodeToString(p.hash))
}

// below reports whether p costs an attacker less than a new hash would. Threads
// do not count: they spend the same work faster.
func (p phc) below(want Params) bool {
	return p.MemoryKiB < want.MemoryKiB || p.Time < want.Time || len(p.salt) < saltLen || len(p.hash) < hashLen
}

// ValidHash says whether Check can check a hash, made here or elsewhere:
// argon2id of version 19, memory from 8 KiB a thread to 1 GiB, at most 16
// passes and 16 threads, a salt of 8 to 64 bytes and a hash of 16 to 64. The
// string is in the form that Hash writes, to the byte. The error is ErrHash
// with the reason, and without any part of the hash.
func ValidHash(hash string) error {
	_, err := parsePHC(hash)
	return err
}

func parsePHC(s string) (phc, error) {
	refuse := func(why string) (phc, error) { return phc{}, fmt.Errorf("%w: %s", ErrHash, why) }
	if len(s) > maxPHC {
		return refuse("too long")
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" {
		return refuse("want $argon2id$v=19$m=,t=,p=$salt$hash")
	}
	if parts[1] != "argon2id" {
		return refuse("another algorithm")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return refuse("another version")
	}
	memory, time, threads, ok := parseCosts(parts[3])
	switch {
	case !ok:
		return refuse("unreadable costs")
	case time < 1 || time > maxTime:
		return refuse("t is not 1 to 16")
	case threads < 1 || threads > maxThreads:
		return refuse("p is not 1 to 16")
	case memory < 8*threads || memory > maxMemory:
		return refuse("m is not 8 times p to 1048576")
	}
	salt, saltErr := decodeRaw(parts[4])
	hash, hashErr := decodeRaw(parts[5])
	switch {
	case saltErr != nil || len(salt) < minSalt || len(salt) > maxSalt:
		return refuse("the salt is not 8 to 64 bytes in base64")
	case hashErr != nil || len(hash) < minHash || len(hash) > maxHash:
		return refuse("the hash is not 16 to 64 bytes in base64")
	}
	return phc{Params{MemoryKiB: uint32(memory), Time: uint32(time), Threads: uint8(threads)}, salt, hash}, nil
}

// parseCosts reads m=…,t=…,p=… in this order, without leading zeros or signs.
func parseCosts(s string) (memory, time, threads uint64, ok bool) {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return 0, 0, 0, false
	}
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(fields[i], name)
		v, err := strconv.ParseUint(digits, 10, 31)
		if !found || err != nil || strconv.FormatUint(v, 10) != digits {
			return 0, 0, 0, false
		}
		n[i] = v
	}
	return n[0], n[1], n[2], true
}

func decodeRaw(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 would skip them
		return nil, ErrHash
	}
	return base64.RawStdEncoding.Strict().DecodeString(s)
}
