package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// kind is the first byte of a token on the wire: what it is, and in its upper half the number of the MAC key.
type kind byte

const (
	kindCode    kind = 0x11
	kindAccess  kind = 0x12
	kindRefresh kind = 0x13
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
	}
	return "pvr_"
}

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
	if token[:4] != k.prefix() || k != kindCode && k != kindAccess && k != kindRefresh {
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
	issued    time.Time     // to the second
	life      time.Duration // whole minutes, at most 68 hours (12 bits)
	resources uint16        // which of the grant's first 4 resources it is for; allResources: every one
	scopes    uint16        // which of the grant's first 16 scopes it has; allScopes: every one
}

const (
	scopeBits    = 16
	allScopes    = 1<<scopeBits - 1
	resourceBits = 4
	allResources = 1<<resourceBits - 1
)

func (a access) pack() uint64 {
	minutes := uint64(a.life/time.Minute) & 0xfff
	return uint64(uint32(a.issued.Unix()))<<32 | minutes<<20 | uint64(a.resources&allResources)<<16 | uint64(a.scopes)
}

func unpackAccess(v uint64) access {
	return access{time.Unix(int64(v>>32), 0).UTC(), time.Duration(v>>20&0xfff) * time.Minute, uint16(v>>16) & allResources, uint16(v)}
}

func (a access) expires() time.Time { return a.issued.Add(a.life) }

// of gives the scopes that the token has of those granted.
func (a access) of(granted []string) []string { return widen(a.scopes, allScopes, granted) }

// at gives the resources that the token is for of those granted.
func (a access) at(granted []string) []string { return widen(a.resources, allResources, granted) }

// narrow gives the mask of as many bits as all has for wanted, words that stand once each, which must be among granted; false if they are
// not, or cannot be told in so many bits. The mask all stands for every word granted.
func narrow(granted, wanted []string, all uint16) (uint16, bool) {
	var mask uint16
	for _, w := range wanted {
		bit := uint16(0)
		if i := slices.Index(granted, w); i >= 0 && i < bits.Len16(all) {
			bit = 1 << i
		}
		if bit == 0 {
			return 0, false
		}
		mask |= bit
	}
	if len(wanted) == len(granted) {
		return all, true
	}
	return mask, mask != all
}

// widen gives the words of granted that mask names.
func widen(mask, all uint16, granted []string) []string {
	if mask == all {
		return granted
	}
	var out []string
	for i, s := range granted {
		if i < bits.Len16(all) && mask&(1<<i) != 0 {
			out = append(out, s)
		}
	}
	return out
}
