package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"math/bits"
	"slices"
	"strings"
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

// wire is what a token says: which grant it belongs to, eight bytes more, and to which DPoP key it is bound, if to one. On the wire it is
//
//	prefix | base64url( kind 1 | grant id 16 | more 8 | HMAC-SHA-256 32 )
//	prefix | base64url( kind 1 | grant id 16 | more 8 | key 32 | HMAC-SHA-256 32 )
//
// 4 + 76 or 4 + 119 characters. It is checked before any read, so a forgery costs no database trip, and a used refresh token of any
// generation is recognised without a row of its own.
type wire struct {
	kind  kind
	grant string // 26 characters of base32hex, 16 bytes on the wire
	more  uint64
	key   thumbprint // zero: to none
}

const (
	wireBytes  = 1 + 16 + 8
	boundBytes = wireBytes + sha256.Size
	boundBit   = 0x08 // of the kind on the wire: a key follows
	wireMost   = boundBytes + sha256.Size
	textMost   = 4 + (wireMost*8+5)/6
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
	var raw [wireMost]byte
	end := w.put(raw[:])
	m.mac(raw[:end], raw[:end])
	var out [textMost]byte
	copy(out[:], w.kind.prefix())
	return string(out[:4+len(rawURL.AppendEncode(out[4:4], raw[:end+sha256.Size]))])
}

// read gives what token says, or false if this service did not make it. There is exactly one spelling of a token.
func (m *minter) read(token string) (wire, bool) {
	if len(token) < 4 || len(token) > textMost || strings.ContainsAny(token, "\r\n") { // the decoder skips line ends
		return wire{}, false
	}
	var raw [wireMost + 2]byte
	n, err := rawURL.Decode(raw[:], []byte(token[4:]))
	if err != nil {
		return wire{}, false
	}
	w, ok := take(raw[:max(n-sha256.Size, 0)])
	if !ok || token[:4] != w.kind.prefix() {
		return wire{}, false
	}
	var sum [sha256.Size]byte
	end := n - sha256.Size
	return w, hmac.Equal(m.mac(sum[:0], raw[:end]), raw[end:n])
}

// put writes w without its MAC and gives the length; take reads it.
func (w wire) put(raw []byte) int {
	raw[0] = byte(w.kind)
	if n, err := grantID.Decode(raw[1:17], []byte(w.grant)); err != nil || n != 16 {
		panic("oidc: a grant id has 26 characters of base32hex: " + w.grant)
	}
	binary.BigEndian.PutUint64(raw[17:], w.more)
	if w.key == (thumbprint{}) {
		return wireBytes
	}
	raw[0] |= boundBit
	return wireBytes + copy(raw[wireBytes:], w.key[:])
}

func take(raw []byte) (wire, bool) {
	if len(raw) < wireBytes {
		return wire{}, false
	}
	w, end := wire{kind: kind(raw[0])}, wireBytes
	if w.kind&boundBit != 0 {
		w.kind, end = w.kind&^boundBit, boundBytes
	}
	if len(raw) != end || w.kind != kindCode && w.kind != kindAccess && w.kind != kindRefresh {
		return wire{}, false
	}
	w.grant, w.more = grantID.EncodeToString(raw[1:17]), binary.BigEndian.Uint64(raw[17:])
	copy(w.key[:], raw[wireBytes:])
	return w, true
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
