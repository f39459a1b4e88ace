package factor_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/factor/factortest"
)

// fixed is the challenge of all fuzzing: the processes that share a corpus share no chance.
func fixed() []byte { return bytes.Repeat([]byte{'x'}, 32) }

// FuzzReadAssertion: what is not an assertion is ErrPasskey and nothing panics, neither in reading nor in checking.
func FuzzReadAssertion(f *testing.F) {
	p, a := newPasskeys(f), factortest.New(passkeyOrigin)
	stored, challenge := enrol(f, p, a, astrid), fixed()
	right := assert(f, p, a, nil, challenge)
	f.Add(right)
	f.Add(right[:len(right)/2])
	a.AuthData = func(b []byte) []byte { b[32] |= 0x80; return append(b, 0xa1, 0x63, 'u', 'v', 'm', 0x81, 0x83, 1, 2, 3) }
	f.Add(assert(f, p, a, nil, challenge))
	f.Fuzz(func(t *testing.T, response []byte) {
		read, err := factor.ReadAssertion(response)
		if err != nil {
			if !errors.Is(err, factor.ErrPasskey) {
				t.Fatal(err)
			}
			return
		}
		if len(read.ID) == 0 || len(read.ID) > 1023 || len(read.Handle) > 64 {
			t.Fatalf("read %+v", read)
		}
		for _, c := range []factor.Credential{stored, {ID: read.ID, PublicKey: stored.PublicKey}, {ID: read.ID, PublicKey: response}} {
			if _, err := p.Check(read, astrid, c, challenge, true, false); err != nil && !errors.Is(err, factor.ErrPasskey) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzRegister spoils the attestation object behind right client data, and the whole response.
func FuzzRegister(f *testing.F) {
	p, a := newPasskeys(f), factortest.New(passkeyOrigin)
	challenge := fixed()
	options, err := p.CreationOptions(astrid, nil, challenge, factor.PasskeyRule{})
	if err != nil {
		f.Fatal(err)
	}
	var right []byte
	for _, a.Format = range []string{factortest.None, factortest.PackedSelf, factortest.PackedCert} {
		for _, a.Algorithm = range []int{factortest.ES256, factortest.EdDSA, factortest.RS256} {
			if right, err = a.Create(options); err != nil {
				f.Fatal(err)
			}
			f.Add(right, true)
			spoilt := &attempt{response: right}
			member("attestationObject", func(object []byte) []byte { f.Add(object, false); return object })(spoilt)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		response := data
		if !whole {
			spoilt := &attempt{response: right}
			member("attestationObject", func([]byte) []byte { return data })(spoilt)
			response = spoilt.response
		}
		c, err := p.Register(astrid, response, challenge, factor.PasskeyRule{})
		if err != nil {
			if !errors.Is(err, factor.ErrPasskey) {
				t.Fatal(err)
			}
			return
		}
		if stored, err := factor.DecodeCredential(c.Encode()); err != nil || stored.Encode() != c.Encode() {
			t.Fatalf("registered %s: %v", c.Encode(), err)
		}
	})
}
