package factor_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/factor/factortest"
)

const passkeyOrigin = "https://login.example.se"

var (
	astrid  = factor.Owner{Handle: []byte("handle of astrid"), Username: "astrid", Name: "Astrid Ek"}
	mallory = factor.Owner{Handle: []byte("handle of mallory"), Username: "mallory", Name: "Mallory"}
)

func newPasskeys(t testing.TB) *factor.Passkeys {
	t.Helper()
	p, err := factor.NewPasskeys("example.se", "Portvakt", []string{passkeyOrigin, "https://id.example.se:8443"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newChallenge() []byte {
	challenge := make([]byte, 32)
	rand.Read(challenge)
	return challenge
}

// register runs one registration; the error is Register's.
func register(
	t testing.TB, p *factor.Passkeys, a *factortest.Authenticator, o factor.Owner, rule factor.PasskeyRule,
) (factor.Credential, error) {
	t.Helper()
	challenge := newChallenge()
	options, err := p.CreationOptions(o, nil, challenge, rule)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	return p.Register(o, response, challenge, rule)
}

// enrol registers a passkey and takes it through its stored form.
func enrol(t testing.TB, p *factor.Passkeys, a *factortest.Authenticator, o factor.Owner) factor.Credential {
	t.Helper()
	made, err := register(t, p, a, o, factor.PasskeyRule{})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := factor.DecodeCredential(made.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(made, stored) || made.Encode() != stored.Encode() {
		t.Fatalf("stored as %s, read as %+v", made.Encode(), stored)
	}
	return stored
}

// assert runs the browser's half of one assertion.
func assert(t testing.TB, p *factor.Passkeys, a *factortest.Authenticator, allow []factor.Credential, challenge []byte) []byte {
	t.Helper()
	options, err := p.RequestOptions(allow, challenge, true)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func read(t testing.TB, response []byte) factor.Assertion {
	t.Helper()
	a, err := factor.ReadAssertion(response)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPasskeyDiscoverable(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	stored := enrol(t, p, a, astrid)
	challenge := newChallenge()
	assertion := read(t, assert(t, p, a, nil, challenge))
	if !bytes.Equal(assertion.ID, stored.ID) || !bytes.Equal(assertion.Handle, astrid.Handle) || !bytes.Equal(assertion.Challenge, challenge) {
		t.Errorf("read %x, %q, %x", assertion.ID, assertion.Handle, assertion.Challenge)
	}
	proof, err := p.Check(assertion, astrid, stored, challenge, true, true)
	if err != nil || !proof.UserVerified || proof.Cloned || !reflect.DeepEqual(proof.Credential, stored) {
		t.Errorf("%+v, %v", proof, err)
	}
}

// A second factor knows the person: the handle may be missing and the user unverified.
func TestPasskeySecondFactor(t *testing.T) {
	p, a := newPasskeys(t), factortest.New("https://id.example.se:8443")
	for _, a.Algorithm = range []int{factortest.ES256, factortest.EdDSA, factortest.RS256} {
		stored := enrol(t, p, a, astrid)
		for _, a.UV = range []bool{false, true} {
			for _, a.NoHandle = range []bool{false, true} {
				challenge := newChallenge()
				assertion := read(t, assert(t, p, a, []factor.Credential{stored}, challenge))
				proof, err := p.Check(assertion, astrid, stored, challenge, false, false)
				if err != nil || proof.UserVerified != a.UV {
					t.Errorf("algorithm %d, verified %v, no handle %v: %+v, %v", a.Algorithm, a.UV, a.NoHandle, proof, err)
				}
			}
		}
		a.NoHandle = false
	}
}

func TestPasskeySignCount(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	stored := enrol(t, p, a, astrid)
	for _, tt := range []struct {
		stored, said, next uint32
		cloned             bool
	}{
		{0, 0, 0, false}, // does not count
		{0, 1, 1, false},
		{1, 2, 2, false},
		{7, 4_000_000_000, 4_000_000_000, false},
		{5, 5, 5, true},
		{5, 4, 5, true},
		{5, 0, 5, true},
	} {
		stored.SignCount, a.SignCount = tt.stored, tt.said
		challenge := newChallenge()
		proof, err := p.Check(read(t, assert(t, p, a, nil, challenge)), astrid, stored, challenge, true, true)
		if err != nil || proof.Cloned != tt.cloned || proof.Credential.SignCount != tt.next {
			t.Errorf("%d after %d: cloned %v, count %d, %v", tt.said, tt.stored, proof.Cloned, proof.Credential.SignCount, err)
		}
	}
}

// BS follows each use; everything else of the flags is that of the registration.
func TestPasskeyBackup(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	a.BE = true
	stored := enrol(t, p, a, astrid)
	if !stored.BackupEligible() || stored.BackedUp() || stored.Flags != 0x01|0x04|0x08|0x40 {
		t.Fatalf("flags %08b", stored.Flags)
	}
	for _, a.BS = range []bool{true, true, false} {
		challenge := newChallenge()
		proof, err := p.Check(read(t, assert(t, p, a, nil, challenge)), astrid, stored, challenge, true, true)
		if err != nil {
			t.Fatal(err)
		}
		was := stored.Flags
		if stored, err = factor.DecodeCredential(proof.Credential.Encode()); err != nil {
			t.Fatal(err)
		}
		if stored.BackedUp() != a.BS || stored.Flags&^0x10 != was&^0x10 {
			t.Errorf("backed up %v: flags %08b after %08b", a.BS, stored.Flags, was)
		}
	}
}

func TestPasskeyRule(t *testing.T) {
	const model = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
	listed := [16]byte{0x2f, 0xc0, 0x57, 0x9f, 0x81, 0x13, 0x47, 0xea, 0xb1, 0x16, 0xbb, 0x5a, 0x8d, 0xb9, 0x20, 0x2a}
	direct := factor.PasskeyRule{Attestation: true}
	models := factor.PasskeyRule{Attestation: true, AAGUIDs: []string{"00000000-0000-0000-0000-000000000000", strings.ToUpper(model)}}
	for _, tt := range []struct {
		name   string
		rule   factor.PasskeyRule
		format string
		aaguid [16]byte
		want   string // "": taken
	}{
		{"nothing asked, nothing given", factor.PasskeyRule{}, factortest.None, [16]byte{}, ""},
		{"nothing asked, a model said", factor.PasskeyRule{}, factortest.None, listed, ""},
		{"nothing asked, self attested", factor.PasskeyRule{}, factortest.PackedSelf, listed, ""},
		{"none", direct, factortest.None, listed, "no attestation"},
		{"self", direct, factortest.PackedSelf, [16]byte{}, ""},
		{"certificate", direct, factortest.PackedCert, [16]byte{1}, ""},
		{"a listed model", models, factortest.PackedCert, listed, ""},
		{"a model not listed", models, factortest.PackedCert, [16]byte{1}, "model is not allowed"},
		{"no model, though listed", models, factortest.PackedCert, [16]byte{}, "model is not allowed"},
		{"a listed model with nothing behind it", models, factortest.None, listed, "no attestation"},
		{"a listed model by its own word", models, factortest.PackedSelf, listed, "self attestation"},
	} {
		a := factortest.New(passkeyOrigin)
		a.Format, a.AAGUID = tt.format, tt.aaguid
		c, err := register(t, newPasskeys(t), a, astrid, tt.rule)
		if tt.want != "" {
			refusedFor(t, tt.name, err, tt.want)
			continue
		}
		if err != nil || c.AAGUID != tt.aaguid || c.Attested != (tt.format != factortest.None) || c.Hardware() {
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
		if want := map[bool]string{true: model}[tt.aaguid == listed]; want != "" && c.Model() != want {
			t.Errorf("%s: model %s", tt.name, c.Model())
		}
	}
}

// refusedFor holds an error to be ErrPasskey for this reason and no other.
func refusedFor(t testing.TB, name string, err error, reason string) {
	t.Helper()
	if !errors.Is(err, factor.ErrPasskey) || !strings.Contains(err.Error(), reason) {
		t.Errorf("%s: %v, want a refusal for %q", name, err, reason)
	}
}

func TestPasskeyOptions(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	stored := enrol(t, p, a, astrid)
	challenge := bytes.Repeat([]byte{0xff}, 16)
	rule := factor.PasskeyRule{Attestation: true}
	owner := factor.Owner{Handle: []byte{1}, Username: "</script>", Name: "N"}
	options, err := p.CreationOptions(owner, []factor.Credential{stored}, challenge, rule)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(options, "<>&") {
		t.Errorf("not for HTML: %s", options)
	}
	for _, want := range []string{
		`"rp":{"name":"Portvakt","id":"example.se"}`, `"id":"AQ"`, `"challenge":"_____________________w"`,
		`"pubKeyCredParams":[{"type":"public-key","alg":-7},{"type":"public-key","alg":-8},{"type":"public-key","alg":-257}]`,
		`"timeout":300000`, `"excludeCredentials":[{"type":"public-key","id":"`, `"transports":["hybrid","internal"]`,
		`"residentKey":"required","userVerification":"required"`, `"attestation":"direct"`,
	} {
		if !bytes.Contains(options, []byte(want)) {
			t.Errorf("%s\nlacks %s", options, want)
		}
	}
	if _, err := a.Create(options); !errors.Is(err, factortest.ErrExcluded) {
		t.Errorf("a second passkey on one authenticator: %v", err)
	}
	for verify, want := range map[bool]string{
		true:  `{"challenge":"_____________________w","timeout":300000,"rpId":"example.se","userVerification":"required"}`,
		false: `{"challenge":"_____________________w","timeout":300000,"rpId":"example.se","userVerification":"preferred"}`,
	} {
		if options, err := p.RequestOptions(nil, challenge, verify); err != nil || string(options) != want {
			t.Errorf("%s, %v", options, err)
		}
	}
	options, err = p.RequestOptions([]factor.Credential{stored}, challenge, true)
	if err != nil || !bytes.Contains(options, []byte(`"allowCredentials":[{"type":"public-key","id":"`)) {
		t.Errorf("%s, %v", options, err)
	}
}

// What we get wrong is no refusal: it must not look as if somebody's passkey were.
func TestPasskeyOurFaults(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	stored, good := enrol(t, p, a, astrid), newChallenge()
	response := assert(t, p, a, nil, good)
	for name, fault := range map[string]func() error{
		"no handle": func() error { _, err := p.CreationOptions(factor.Owner{}, nil, good, factor.PasskeyRule{}); return err },
		"long handle": func() error {
			_, err := p.Register(factor.Owner{Handle: make([]byte, 65)}, nil, good, factor.PasskeyRule{})
			return err
		},
		"no challenge":    func() error { _, err := p.RequestOptions(nil, nil, true); return err },
		"short challenge": func() error { _, err := p.Check(read(t, response), astrid, stored, good[:15], true, true); return err },
		"models alone": func() error {
			_, err := p.Register(astrid, nil, good, factor.PasskeyRule{AAGUIDs: []string{"2fc0579f-8113-47ea-b116-bb5a8db9202a"}})
			return err
		},
		"no model": func() error {
			_, err := p.CreationOptions(astrid, nil, good, factor.PasskeyRule{Attestation: true, AAGUIDs: []string{"2fc0579f811347eab116bb5a8db9202a"}})
			return err
		},
	} {
		if err := fault(); err == nil || errors.Is(err, factor.ErrPasskey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasskeyNew(t *testing.T) {
	for _, tt := range []struct {
		rpID, origin string
		ok           bool
	}{
		{"example.se", "https://example.se", true},
		{"example.se", "https://login.example.se:8443", true},
		{"localhost", "http://localhost:8080", true},
		{"localhost", "https://localhost", true},
		{"example.se", "http://example.se", false},
		{"example.se", "https://example.se/", false},
		{"example.se", "https://example.se:443", false},
		{"example.se", "https://example.se:", false},
		{"example.se", "https://Example.se", false},
		{"example.se", "https://user@example.se", false},
		{"example.se", "https://notexample.se", false},
		{"example.se", "https://example.se.evil.test", false},
		{"example.se", "", false},
		{"login.example.se", "https://example.se", false},
		{"Example.se", "https://example.se", false},
		{"127.0.0.1", "http://127.0.0.1", false},
		{"", "https://", false},
	} {
		if _, err := factor.NewPasskeys(tt.rpID, "Portvakt", []string{tt.origin}); (err == nil) != tt.ok {
			t.Errorf("%s on %s: %v", tt.rpID, tt.origin, err)
		}
	}
	if _, err := factor.NewPasskeys("example.se", "", []string{"https://example.se"}); err == nil {
		t.Error("no name is taken")
	}
	if _, err := factor.NewPasskeys("example.se", "Portvakt", nil); err == nil {
		t.Error("no origin is taken")
	}
}

func TestPasskeyDecode(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	text := enrol(t, p, a, astrid).Encode()
	if _, err := factor.DecodeCredential(strings.Replace(text, "{", `{"later":1,`, 1)); err != nil {
		t.Errorf("a later release's passkey: %v", err)
	}
	for _, bad := range []string{
		"", "{}", "null", text + "x", text[1:],
		strings.Replace(text, `"id":"`, `"id":"`+strings.Repeat("AAAA", 400), 1),
		strings.Replace(text, `"key":"`, `"no":"`, 1),
		strings.Replace(text, `"aaguid":"`, `"aaguid":"AAAA`, 1),
		strings.Replace(text, `"flags":69`, `"flags":85`, 1),
		strings.Replace(text, `"flags":69`, `"flags":256`, 1),
	} {
		if c, err := factor.DecodeCredential(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}

func TestPasskeyHardware(t *testing.T) {
	for _, tt := range []struct {
		c    factor.Credential
		want bool
	}{
		{factor.Credential{Attested: true, Format: "apple"}, true},
		{factor.Credential{Attested: true, Format: "android-key"}, true},
		{factor.Credential{Attested: true, Format: "apple", Flags: 0x08}, false},
		{factor.Credential{Attested: true, Format: "packed"}, false},
		{factor.Credential{Attested: true, Format: "tpm"}, false},
		{factor.Credential{Format: "apple"}, false},
		{factor.Credential{}, false},
	} {
		if got := tt.c.Hardware(); got != tt.want {
			t.Errorf("%+v: %v", tt.c, got)
		}
	}
}

func TestPasskeyConcurrently(t *testing.T) {
	p, a := newPasskeys(t), factortest.New(passkeyOrigin)
	stored, challenge := enrol(t, p, a, astrid), newChallenge()
	assertion := read(t, assert(t, p, a, nil, challenge))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				if _, err := p.Check(assertion, astrid, stored, challenge, true, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkPasskeyCheck(b *testing.B) {
	for name, algorithm := range map[string]int{"ES256": factortest.ES256, "EdDSA": factortest.EdDSA, "RS256": factortest.RS256} {
		b.Run(name, func(b *testing.B) {
			p, a := newPasskeys(b), factortest.New(passkeyOrigin)
			a.Algorithm = algorithm
			stored, challenge := enrol(b, p, a, astrid), newChallenge()
			response := assert(b, p, a, nil, challenge)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Check(read(b, response), astrid, stored, challenge, true, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
