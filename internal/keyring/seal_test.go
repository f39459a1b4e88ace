package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
)

func TestSeal(t *testing.T) {
	r, dir := newRing(t)
	key, err := r.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if len(key) != 61 || bytes.Equal(key, other) {
		t.Fatalf("keys %x and %x", key, other)
	}
	for _, text := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long "), 1000)} {
		sealed, err := r.Seal(key, text, "phone of 7")
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(text)+29 {
			t.Errorf("%d bytes became %d", len(text), len(sealed))
		}
		again, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Open(key, sealed, "phone of 7"); err != nil || !bytes.Equal(got, text) {
			t.Errorf("opened %q, %v", got, err)
		}
	}
}

func TestSealedRefusals(t *testing.T) {
	r, _ := newRing(t)
	stranger, _ := newStranger(t)
	key, _ := r.NewKey()
	other, _ := r.NewKey()
	foreign, _ := stranger.NewKey()
	sealed, err := r.Seal(key, []byte("+46 70 123 45 67"), "phone of 7")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		key, sealed []byte
		label       string
	}{
		{"the key of another person", other, sealed, "phone of 7"},
		{"the key of another ring", foreign, sealed, "phone of 7"},
		{"another label", key, sealed, "phone of 8"},
		{"no label", key, sealed, ""},
		{"no key", nil, sealed, "phone of 7"},
		{"a short key", key[:60], sealed, "phone of 7"},
		{"a long key", append(slices.Clone(key), 0), sealed, "phone of 7"},
		{"a sealed text for a key", sealed, sealed, "phone of 7"},
		{"a key for a sealed text", key, key, ""},
		{"nothing", key, nil, "phone of 7"},
		{"too short for a tag", key, sealed[:28], "phone of 7"},
		{"truncated", key, sealed[:len(sealed)-1], "phone of 7"},
		{"prolonged", key, append(slices.Clone(sealed), 0), "phone of 7"},
	}
	for _, tt := range tests {
		if got, err := r.Open(tt.key, tt.sealed, tt.label); err != ErrSealed || got != nil {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	for i := range sealed {
		bad := slices.Clone(sealed)
		bad[i] ^= 0x10
		if _, err := r.Open(key, bad, "phone of 7"); err != ErrSealed {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := r.Seal(foreign, nil, ""); !errors.Is(err, ErrSealed) {
		t.Errorf("sealed under the key of another ring: %v", err)
	}
	if _, err := stranger.Open(key, sealed, "phone of 7"); err != ErrSealed {
		t.Errorf("another ring: %v", err)
	}
}

func TestSecret(t *testing.T) {
	r, dir := newRing(t)
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.Secret("grants"), r.Secret("csrf")
	if len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, again.Secret("grants")) {
		t.Errorf("secrets %x %x %x", a, b, again.Secret("grants"))
	}
}

// The derivations are fixed: with another, nothing sealed could be read again.
// The values are Python's (hashlib, hmac, and AESGCM of cryptography).
func TestSealVector(t *testing.T) {
	seal, err := newSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &Ring{seal: seal}
	if r.ID() != "081d38ce6d07bd61" {
		t.Errorf("ID %s", r.ID())
	}
	if got := hex.EncodeToString(r.Secret("grants")); got != "715377a26b7237ceebab28f6a5cccc5bd8ea1c57378f7e7c74d822d9823ca989" {
		t.Errorf("secret %s", got)
	}
	wrapped := unhex(t, "0101010101010101010101010197db3c99204fb6875991d45708dd5f08dbb8505840445df34ad9a5b49681714d9d510e48d5cd090a7ae3d7311c6deeff")
	sealed := unhex(t, "01020202020202020202020202d120d0436e73a277dbd62d07e8b2777520c450b21df78daf05e681a3")
	if got, err := r.Open(wrapped, sealed, "phone of 7"); err != nil || string(got) != "+46701234567" {
		t.Errorf("opened %q, %v", got, err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
