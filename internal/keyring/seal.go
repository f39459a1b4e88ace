package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrSealed says that something does not open: wrong key, wrong label,
// truncated or changed. It never says which.
var ErrSealed = errors.New("keyring: the sealed data does not open with this key and label")

const (
	keySize       = 32 // bytes; AES-256 (FIPS 197)
	sealVersion   = 1  // first byte of what NewKey and Seal return
	sealOverhead  = 1 + 12 + 16
	sealingPrefix = "portvakt-sealing-key-v1 "

	// Each use of the sealing key has a name of its own (RFC 5869 §3.2).
	useID     = "portvakt sealing key id v1\x00"
	useWrap   = "portvakt wrap v1"
	useSecret = "portvakt secret v1\x00"
)

// sealer is the sealing key, ready for its three uses.
type sealer struct {
	id   string
	prk  []byte      // for Secret
	wrap cipher.AEAD // wraps the keys of NewKey
}

func newSealer(key []byte) (sealer, error) {
	sum := sha256.Sum256(append([]byte(useID), key...))
	prk, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		return sealer{}, fmt.Errorf("keyring: %w", err)
	}
	wrapKey, err := hkdf.Expand(sha256.New, prk, useWrap, keySize)
	if err != nil {
		return sealer{}, fmt.Errorf("keyring: %w", err)
	}
	wrap, err := newGCM(wrapKey)
	if err != nil {
		return sealer{}, err
	}
	return sealer{id: hex.EncodeToString(sum[:8]), prk: prk, wrap: wrap}, nil
}

// newGCM is AES-256-GCM with a random nonce of 96 bits in front of the text
// (NIST SP 800-38D §8.2.2: at most 2^32 messages under one key).
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return aead, nil
}

// parseSealing reads sealing.key: one line, no more.
func parseSealing(data []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(strings.TrimSuffix(string(data), "\n"), sealingPrefix)
	if !ok {
		return nil, errors.New("is damaged (not a sealing key of version 1)")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != keySize || len(text) != base64.StdEncoding.EncodedLen(keySize) {
		return nil, errors.New("is damaged (not 32 bytes in base64)")
	}
	return key, nil
}

func formatSealing(key []byte) []byte {
	return []byte(sealingPrefix + base64.StdEncoding.EncodeToString(key) + "\n")
}

// NewKey makes a key of 256 bits for one person, or one month, and returns it
// wrapped under the sealing key: 61 bytes, a version byte in front. Whoever
// deletes every copy of it has erased all that was sealed with it.
func (r *Ring) NewKey() ([]byte, error) {
	key := make([]byte, keySize)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return encrypt(r.seal.wrap, key, ""), nil
}

// Seal encrypts plaintext under a wrapped key. The label (what the text is, and
// whose) is not kept in the result and must be given again to Open. The result
// is 29 bytes longer than the plaintext. At most 2^32 texts under one key.
// A key that does not unwrap is ErrSealed.
func (r *Ring) Seal(wrapped, plaintext []byte, label string) ([]byte, error) {
	aead, err := r.seal.unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	return encrypt(aead, plaintext, label), nil
}

// Open is the way back of Seal. Any failure is ErrSealed.
func (r *Ring) Open(wrapped, sealed []byte, label string) ([]byte, error) {
	aead, err := r.seal.unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	return decrypt(aead, sealed, label)
}

func (s sealer) unwrap(wrapped []byte) (cipher.AEAD, error) {
	key, err := decrypt(s.wrap, wrapped, "")
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, ErrSealed
	}
	return newGCM(key)
}

func encrypt(aead cipher.AEAD, plaintext []byte, label string) []byte {
	out := make([]byte, 1, sealOverhead+len(plaintext))
	out[0] = sealVersion
	return aead.Seal(out, nil, plaintext, []byte(label))
}

func decrypt(aead cipher.AEAD, sealed []byte, label string) ([]byte, error) {
	if len(sealed) < sealOverhead || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	plaintext, err := aead.Open(nil, nil, sealed[1:], []byte(label))
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// Secret derives 32 bytes for a MAC from the sealing key (HKDF-SHA-256, RFC
// 5869), the same for the same purpose as long as the ring lives.
func (r *Ring) Secret(purpose string) []byte {
	secret, err := hkdf.Expand(sha256.New, r.seal.prk, useSecret+purpose, keySize)
	if err != nil {
		panic("keyring: " + err.Error()) // only for lengths over 8,160 bytes
	}
	return secret
}
