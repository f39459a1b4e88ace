package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// kind is the first byte of a token on the wire: what it is, and in its upper half the number of the MAC key.
type kind byte

const (
	kindCode    kind = 0x11
	kindAccess  kind = 0x12
	kindRefresh kind = 0x13
	kindDevice  kind = 0x14 // a device code (RFC 8628 §3.2); its grant is there once a person has approved it
)

// wire is what a token says: which grant it belongs to and eight bytes more. On the wire it is
//
//	prefix | base64url( kind 1 | grant id 16 | more 8 | HMAC-SHA-256 32 )
//
// 4 + 76 characters. It is checked before any read, so a forgery costs no database trip, and a used refresh token of any
// generation is recognised without a row of its own.
type wire struct {
	kind  kind
	grant string // 26 characters of base32hex, 16 bytes on the wire
	more  uint64
}

const (
	wireBytes  = 1 + 16 + 8
	wireLength = 4 + (wireBytes+sha256.Size)*8/6
)

// grantID is how a grant's 16 bytes stand in its row.
var grantID = base32.HexEncoding.WithPadding(base32.NoPadding)

// prefix lets secret scanners know a leaked token by sight.
func (k kind) prefix() string {
	switch k {
	case kindCode:
		return "pvc_"
	case kindAccess:
		return "pva_"
	case kindDevice:
		return "pvd_"
	}
	return "pvr_"
}

// token reports whether it is a token, and not what one is got for.
func (k kind) token() bool { return k == kindAccess || k == kindRefresh }

// macs makes HMAC-SHA-256 sums under one key. It is safe for concurrent use.
type macs struct{ pool sync.Pool }

func newMACs(key []byte) *macs {
	return &macs{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (m *macs) mac(dst, data []byte) []byte {
	h := m.pool.Get().(hash.Hash)
	h.Reset()
	h.Write(data)
	dst = h.Sum(dst)
	m.pool.Put(h)
	return dst
}

// minter makes and checks wire tokens. It is safe for concurrent use.
type minter struct{ *macs }

func newMinter(key []byte) *minter { return &minter{newMACs(key)} }

// mint writes w as a token.
func (m *minter) mint(w wire) string {
	var raw [wireBytes + sha256.Size]byte
	raw[0] = byte(w.kind)
	if n, err := grantID.Decode(raw[1:17], []byte(w.grant)); err != nil || n != 16 {
		panic("oidc: a grant id has 26 characters of base32hex: " + w.grant)
	}
	binary.BigEndian.PutUint64(raw[17:], w.more)
	m.mac(raw[:wireBytes], raw[:wireBytes])
	var out [wireLength]byte
	copy(out[:], w.kind.prefix())
	base64.RawURLEncoding.Encode(out[4:], raw[:])
	return string(out[:])
}

// read gives what token says, or false if this service did not make it. There is exactly one spelling of a token.
func (m *minter) read(token string) (wire, bool) {
	if len(token) != wireLength {
		return wire{}, false
	}
	var raw [wireBytes + sha256.Size]byte
	n, err := base64.RawURLEncoding.Decode(raw[:], []byte(token[4:]))
	if err != nil || n != len(raw) {
		return wire{}, false // the decoder skips line breaks, which makes the text too short
	}
	k := kind(raw[0])
	if token[:4] != k.prefix() || k < kindCode || k > kindDevice {
		return wire{}, false
	}
	var sum [sha256.Size]byte
	if !hmac.Equal(m.mac(sum[:0], raw[:wireBytes]), raw[wireBytes:]) {
		return wire{}, false
	}
	return wire{k, grantID.EncodeToString(raw[1:17]), binary.BigEndian.Uint64(raw[17:])}, true
}

// access is what the eight bytes of an access token say.
type access struct {
	issued time.Time     // to the second
	life   time.Duration // whole minutes, at most 45 days
	scopes uint16        // which of the grant's first 16 scopes it has; allScopes: every one
}

const allScopes = 0xffff

func (a access) pack() uint64 {
	return uint64(uint32(a.issued.Unix()))<<32 | uint64(uint16(a.life/time.Minute))<<16 | uint64(a.scopes)
}

func unpackAccess(v uint64) access {
	return access{time.Unix(int64(v>>32), 0).UTC(), time.Duration(uint16(v>>16)) * time.Minute, uint16(v)}
}

func (a access) expires() time.Time { return a.issued.Add(a.life) }

// of gives the scopes that the token has of those granted.
func (a access) of(granted []string) []string {
	if a.scopes == allScopes {
		return granted
	}
	var out []string
	for i, s := range granted {
		if i < 16 && a.scopes&(1<<i) != 0 {
			out = append(out, s)
		}
	}
	return out
}

// narrow gives the mask for wanted, which must be among granted; false if it is not, or cannot be told in 16 bits.
func narrow(granted, wanted []string) (uint16, bool) {
	var mask uint16
	for _, w := range wanted {
		found := false
		for i, g := range granted {
			if g == w && i < 16 {
				mask, found = mask|1<<i, true
			}
		}
		if !found {
			return 0, false
		}
	}
	if len(wanted) == len(granted) {
		return allScopes, true
	}
	return mask, true
}
