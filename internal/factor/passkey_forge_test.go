package factor_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/factor/factortest"
)

// attempt is one ceremony that a row of a table spoils in one thing: what the
// authenticator does, what the client sends, or what the caller holds it against.
type attempt struct {
	*factortest.Authenticator
	owner                factor.Owner
	stored               factor.Credential
	challenge            []byte
	verify, discoverable bool
	response             []byte
}

type forgery struct {
	name   string
	before func(*attempt) // before the authenticator answers
	after  func(*attempt)
	want   string // the reason of the refusal; "": taken
}

// replace edits the client data before it is signed.
func replace(old, new string) func(*attempt) {
	return func(a *attempt) {
		a.ClientData = func(s string) string {
			if !strings.Contains(s, old) {
				panic(s + " lacks " + old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
}

func origin(s string) func(*attempt) { return func(a *attempt) { a.Origin = s } }

// authData edits the authenticator data before it is signed.
func authData(edit func([]byte) []byte) func(*attempt) { return func(a *attempt) { a.AuthData = edit } }

// sent edits the response's text.
func sent(old, new string) func(*attempt) {
	return func(a *attempt) {
		if !bytes.Contains(a.response, []byte(old)) {
			panic(string(a.response) + " lacks " + old)
		}
		a.response = bytes.Replace(a.response, []byte(old), []byte(new), 1)
	}
}

// member edits the bytes of one member of the response's response.
func member(name string, edit func([]byte) []byte) func(*attempt) {
	return func(a *attempt) {
		var all map[string]any
		if err := json.Unmarshal(a.response, &all); err != nil {
			panic(err)
		}
		members := all["response"].(map[string]any)
		raw, err := base64.RawURLEncoding.DecodeString(members[name].(string))
		if err != nil {
			panic(err)
		}
		members[name] = base64.RawURLEncoding.EncodeToString(edit(raw))
		a.response, _ = json.Marshal(all)
	}
}

func flipLast(b []byte) []byte { b[len(b)-1] ^= 1; return b }

func more(b []byte) []byte { return append(b, 0) }

// common are the rows of both ceremonies.
func common() []forgery {
	return []forgery{
		{name: "right"},
		{name: "members that may come later", before: replace(`{`, `{"new_keys_may_be_added_here":"do not compare","x":{"origin":1},`)},
		{name: "spaces", before: replace(`,`, " ,\n ")},
		{name: "an extension that nobody asked for",
			after: sent(`"clientExtensionResults":{}`, `"clientExtensionResults":{"appid":"x","credProps":{"rk":true}}`)},
		{name: "a member twice, of which the last counts", after: sent(`"type":"public-key"`, `"type":"x","type":"public-key"`)},
		{name: "a member twice, the wrong one last", after: sent(`"type":"public-key"`, `"type":"public-key","type":"x"`), want: "ype"},

		{name: "other type", before: func(a *attempt) { a.Type = "payment.get" }, want: "ceremony is payment.get"},
		{name: "other challenge", before: func(a *attempt) { a.Challenge = newChallenge() }, want: "challenge is another"},
		{name: "other ceremony", after: func(a *attempt) { a.challenge = newChallenge() }, want: "challenge is another"},
		{name: "challenge cut short", before: func(a *attempt) { a.Challenge = a.challenge[:31] }, want: "challenge is another"},
		{name: "challenge empty", before: func(a *attempt) { a.Challenge = []byte{} }, want: "challenge is another"},
		{name: "challenge padded", before: replace(`","origin`, `=","origin`), want: "not base64url"},
		{name: "challenge on two lines", before: replace(`","origin`, `\n","origin`), want: "not base64url"},
		{name: "evil origin", before: origin("https://evil.example"), want: "origin is"},
		{name: "http", before: origin("http://login.example.se"), want: "origin is"},
		{name: "other port", before: origin("https://login.example.se:444"), want: "origin is"},
		{name: "its own port", before: origin("https://login.example.se:443"), want: "origin is"},
		{name: "domain below", before: origin("https://x.login.example.se"), want: "origin is"},
		{name: "domain above", before: origin("https://example.se"), want: "origin is"},
		{name: "upper case", before: origin("https://LOGIN.example.se"), want: "origin is"},
		{name: "with a path", before: origin("https://login.example.se/evil"), want: "origin is"},
		{name: "with a user", before: origin("https://evil@login.example.se"), want: "origin is"},
		{name: "no origin", before: origin(""), want: "origin is"},
		{name: "in a frame", before: func(a *attempt) { a.CrossOrigin = true }, want: "frame"},
		{name: "in a frame of our own", before: func(a *attempt) { a.CrossOrigin, a.TopOrigin = true, passkeyOrigin }, want: "frame"},
		{name: "topOrigin alone", before: func(a *attempt) { a.TopOrigin = passkeyOrigin }, want: "frame"},
		{name: "topOrigin empty", before: replace(`}`, `,"topOrigin":""}`), want: "frame"},
		{name: "topOrigin null", before: replace(`}`, `,"topOrigin":null}`), want: "frame"},
		{name: "crossOrigin no boolean", before: replace(`"crossOrigin":false`, `"crossOrigin":"false"`), want: "bool"},
		{name: "origin twice", before: replace(`}`, `,"origin":"https://evil.example"}`), want: "twice"},
		{name: "type in another case", before: replace(`}`, `,"Type":"webauthn.get"}`), want: "two spellings"},
		{name: "origin in another alphabet's case", before: replace(`"crossOrigin":false`, `"cros\u017fOrigin":true`), want: "two spellings"},
		{name: "client data followed by more", before: replace(`}`, `}{}`), want: "follows"},
		{name: "client data a list",
			before: func(a *attempt) { a.ClientData = func(s string) string { return "[" + s + "]" } }, want: "not a JSON object"},
		{name: "client data cut", before: func(a *attempt) { a.ClientData = func(s string) string { return s[:len(s)-1] } }, want: "EOF"},
		{name: "client data empty", before: func(a *attempt) { a.ClientData = func(string) string { return "" } }, want: "not a JSON object"},

		{name: "other relying party", before: func(a *attempt) { a.RPID = "evil.example" }, want: "RP Hash"},
		{name: "our origin as relying party", before: func(a *attempt) { a.RPID = "login.example.se" }, want: "RP Hash"},
		{name: "user not present", before: func(a *attempt) { a.UP = false }, want: "presence"},
		{name: "user not verified", before: func(a *attempt) { a.UV = false }, want: "verification required"},
		{name: "backed up, not eligible", before: func(a *attempt) { a.BS = true }, want: "Backup State"},

		{name: "response followed by more",
			after: func(a *attempt) { a.response = append(a.response, "{}"...) }, want: "after top-level value"},
		{name: "response cut", after: func(a *attempt) { a.response = a.response[:len(a.response)-1] }, want: "unexpected end"},
		{name: "response too long",
			after: func(a *attempt) { a.response = append(a.response, bytes.Repeat([]byte{' '}, 16<<10)...) }, want: "16 KiB"},
		{name: "nothing", after: func(a *attempt) { a.response = []byte("{}") }, want: "credential id"},
		{name: "null", after: func(a *attempt) { a.response = []byte("null") }, want: "credential id"},
		{name: "another id", after: sent(`"rawId":"`, `"rawId":"AAAA`), want: "not match"},
		{name: "other kind of credential", after: sent(`"public-key"`, `"password"`), want: "ype"},
		{name: "ever deeper", after: func(a *attempt) { a.response = bytes.Repeat([]byte{'['}, 16<<10) }, want: "depth"},
	}
}

// assertions are the rows of Check alone.
func assertions(t *testing.T, p *factor.Passkeys) []forgery {
	t.Helper()
	secondFactor := func(a *attempt) { a.NoHandle, a.discoverable = true, false }
	other := enrol(t, p, factortest.New(passkeyOrigin), astrid)
	return []forgery{
		{name: "a registration", before: func(a *attempt) { a.Type = "webauthn.create" }, want: "ceremony is webauthn.create"},
		{name: "unverified where none is asked", before: func(a *attempt) { a.UV, a.verify = false, false }},
		{name: "no handle for a second factor", before: secondFactor},
		{name: "null handle for a second factor", before: secondFactor, after: sent(`"signature"`, `"userHandle":null,"signature"`)},
		{name: "no handle and nobody named", before: func(a *attempt) { a.NoHandle = true }, want: "blank User Handle"},
		{name: "another's handle", before: func(a *attempt) { a.Handle = mallory.Handle }, want: "User handle"},
		{name: "another's handle for a second factor",
			before: func(a *attempt) { a.Handle, a.discoverable = mallory.Handle, false }, want: "User handle"},
		{name: "handle too long", before: func(a *attempt) { a.Handle = make([]byte, 65) }, want: "64 bytes"},
		{name: "held against another person", after: func(a *attempt) { a.owner = mallory }, want: "User handle"},
		{name: "held against another passkey", after: func(a *attempt) { a.stored.ID = []byte{1} }, want: "Unable to find"},
		{name: "held against another key", after: func(a *attempt) { a.stored.PublicKey = other.PublicKey }, want: "signature"},
		{name: "held against no key", after: func(a *attempt) { a.stored.PublicKey = []byte{0xa0} }, want: "public key"},
		{name: "another passkey of the same person", before: func(a *attempt) { enrol(t, p, a.Authenticator, astrid) }, want: "Unable to find"},
		{name: "became eligible for backup", before: func(a *attempt) { a.BE = true }, want: "Backup Eligible"},
		{name: "is no longer eligible for backup", before: func(a *attempt) { a.stored.Flags |= 0x08 }, want: "Backup Eligible"},
		{name: "wrong key", before: func(a *attempt) { a.WrongKey = true }, want: "signature"},
		{name: "no signature", after: member("signature", func([]byte) []byte { return nil }), want: "signature"},
		{name: "signature changed", after: member("signature", flipLast), want: "signature"},
		{name: "signature and more", after: member("signature", more), want: "signature"},
		{name: "client data changed", after: member("clientDataJSON", more), want: "follows"},
		{name: "client data respelled", after: member("clientDataJSON", func(b []byte) []byte { return append(b, ' ') }), want: "signature"},
		{name: "sign count changed", after: member("authenticatorData", flipLast), want: "signature"},
		{name: "flags changed", before: func(a *attempt) { a.UV = false },
			after: member("authenticatorData", func(b []byte) []byte { b[32] |= 0x04; return b }), want: "signature"},
		{name: "data behind the authenticator's", before: authData(more), want: "auth data"},
		{name: "authenticator data cut", before: authData(func(b []byte) []byte { return b[:36] }), want: "auth data"},
		{name: "outputs of extensions promised", before: authData(func(b []byte) []byte { b[32] |= 0x80; return b }), want: "auth data"},
		{name: "outputs of extensions", before: func(a *attempt) {
			a.AuthData = func(b []byte) []byte { b[32] |= 0x80; return append(b, 0xa1, 0x61, 'x', 0xf5) }
		}},
		{name: "id too long", after: sent(`"rawId":"`, `"rawId":"`+strings.Repeat("AAAA", 400)), want: "1,023"},
	}
}

func TestPasskeyForgedAssertion(t *testing.T) {
	p := newPasskeys(t)
	rows := append(common(), assertions(t, p)...)
	for _, row := range rows {
		a := &attempt{Authenticator: factortest.New(passkeyOrigin), owner: astrid, challenge: newChallenge(), verify: true, discoverable: true}
		a.stored = enrol(t, p, a.Authenticator, astrid)
		if row.before != nil {
			row.before(a)
		}
		a.response = assert(t, p, a.Authenticator, nil, a.challenge)
		if row.after != nil {
			row.after(a)
		}
		read, err := factor.ReadAssertion(a.response)
		if err == nil {
			_, err = p.Check(read, a.owner, a.stored, a.challenge, a.verify, a.discoverable)
		}
		held(t, row, err)
	}
	if _, err := p.Check(factor.Assertion{}, astrid, factor.Credential{}, newChallenge(), true, true); err == nil {
		t.Error("an assertion that nobody read is right")
	}
}

func held(t *testing.T, row forgery, err error) {
	t.Helper()
	switch {
	case row.want != "":
		refusedFor(t, row.name, err, row.want)
	case err != nil:
		t.Errorf("%s: %v", row.name, err)
	}
}

// coseOf replaces the key in a registration's authenticator data.
func coseOf(cose ...byte) func(*attempt) {
	return authData(func(b []byte) []byte { return append(b[:55+32:55+32], cose...) })
}

// rsaKey is a COSE_Key for RS256 of some bytes.
func rsaKey(size int, exponent ...byte) []byte {
	cose := []byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, byte(size >> 8), byte(size)}
	cose = append(cose, bytes.Repeat([]byte{0xff}, size)...)
	return append(append(cose, 0x21, 0x40+byte(len(exponent))), exponent...)
}

// certificates is an attestation by n certificates of an RSA key of some bits, none of which holds what it should.
func certificates(t *testing.T, n, bits int) func(*attempt) {
	t.Helper()
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 1<<31 - 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	statement := []byte("\x66packed\x67attStmt\xa3\x63alg\x39\x01\x00\x63sig\x41x\x63x5c")
	statement = append(statement, 0x80+byte(n))
	for range n {
		statement = append(append(statement, 0x59, byte(len(der)>>8), byte(len(der))), der...)
	}
	return member("attestationObject", func(b []byte) []byte {
		return bytes.Replace(b, []byte("\x64none\x67attStmt\xa0"), statement, 1)
	})
}

// parse is all that the library tells of what it cannot read.
const parse = "parsing attestation response"

// object edits the attestation object, which a signature of the authenticator covers only in part.
func object(edit func([]byte) []byte) func(*attempt) { return member("attestationObject", edit) }

func inObject(old, new string) func(*attempt) {
	return object(func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) })
}

func selfAttested(a *attempt) { a.Format = factortest.PackedSelf }

// statements are the rows of Register about the ceremony and the attestation statement.
func statements(t *testing.T) []forgery {
	t.Helper()
	return []forgery{
		{name: "an assertion", before: func(a *attempt) { a.Type = "webauthn.get" }, want: "ceremony is webauthn.get"},
		{name: "EdDSA", before: func(a *attempt) { a.Algorithm = factortest.EdDSA }},
		{name: "RS256", before: func(a *attempt) { a.Algorithm = factortest.RS256 }},
		{name: "an algorithm not offered", before: func(a *attempt) { a.Algorithm = factortest.ES384 }, want: "no algorithm"},
		{name: "id as long as may be", before: func(a *attempt) { a.CredentialID = make([]byte, 1023) }},
		{name: "id too long", before: func(a *attempt) { a.CredentialID = make([]byte, 1024) }, want: "1,023"},
		{name: "id empty", before: func(a *attempt) { a.CredentialID = []byte{} }, want: "1,023"},
		{name: "id not the one attested",
			after: func(a *attempt) { a.response = bytes.ReplaceAll(a.response, []byte(`d":"`), []byte(`d":"AAAA`)) }, want: "attested credential id"},
		{name: "self attestation", before: selfAttested},
		{name: "self attestation by another key",
			before: func(a *attempt) { a.Format, a.WrongKey = factortest.PackedSelf, true }, want: "signature"},
		{name: "certificate", before: func(a *attempt) { a.Format = factortest.PackedCert }},
		{name: "certificate of another key",
			before: func(a *attempt) { a.Format, a.WrongKey = factortest.PackedCert, true }, want: "Signature"},
		{name: "model changed", before: func(a *attempt) { a.Format, a.AAGUID = factortest.PackedSelf, [16]byte([]byte("a model's AAGUID")) },
			after: inObject("a model's AAGUID", "another's AAGUID"), want: "signature"},
		{name: "client data respelled", before: selfAttested,
			after: member("clientDataJSON", func(b []byte) []byte { return append(b, ' ') }), want: "signature"},
		{name: "format none with a statement", before: selfAttested,
			after: inObject("\x63fmt\x66packed", "\x63fmt\x64none"), want: "format none with attestation"},
		{name: "format unknown", before: selfAttested, after: inObject("packed", "pucked"), want: "format is not taken"},
		{name: "format not taken", after: inObject("\x64none", "\x68fido-u2f"), want: "format is not taken"},
		{name: "statement without members", after: inObject("\x64none", "\x66packed"), want: "alg"},
		{name: "apple without members", after: inObject("\x64none", "\x65apple"), want: "x5c"},
		{name: "android-key without members", after: inObject("\x64none", "\x6bandroid-key"), want: "alg"},
		{name: "tpm without members", after: inObject("\x64none", "\x63tpm"), want: "ver value"},
		{name: "certificates that are none",
			after: inObject("\x64none\x67attStmt\xa0", "\x66packed\x67attStmt\xa1\x63x5c\x81\x01"), want: "certificate"},
		{name: "too many certificates", after: certificates(t, 9, 2048), want: "8 certificates"},
		{name: "a certificate dear to check", after: certificates(t, 1, 16384), want: "4,096"},
	}
}

// objects are the rows of Register about the attestation object and the key within.
func objects() []forgery {
	return []forgery{
		{name: "object followed by more", after: object(more), want: parse},
		{name: "object cut", after: object(func(b []byte) []byte { return b[:len(b)-1] }), want: parse},
		{name: "object ever deeper", after: object(func([]byte) []byte { return bytes.Repeat([]byte{0x81}, 8<<10) }), want: parse},
		{name: "object of endless length",
			after: object(func([]byte) []byte { return []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }), want: parse},
		{name: "no attested data", before: authData(func(b []byte) []byte { b[32] &^= 0x40; return b[:37] }), want: parse},
		{name: "data behind the authenticator's", before: authData(more), want: parse},
		{name: "authenticator data cut", before: authData(func(b []byte) []byte { return b[:36] }), want: parse},
		{name: "a point off the curve", before: authData(flipLast), want: "on curve"},
		{name: "an algorithm twice", before: coseOf(0xa5, 1, 2, 3, 0x26, 3, 0x38, 0x22, 0x20, 1, 0x21, 0x40), want: parse},
		{name: "ES256 on no curve", before: coseOf(0xa2, 1, 2, 3, 0x26), want: "curve"},
		{name: "ES256 of RSA", before: func(a *attempt) {
			k := rsaKey(256, 1, 0, 1)
			k[5], k[6] = 0, 0
			coseOf(append(k[:4], append([]byte{0x26}, k[7:]...)...)...)(a)
		}, want: "no algorithm"},
		{name: "RSA of 4,096 bits", before: coseOf(rsaKey(512, 1, 0, 1)...)},
		{name: "RSA of 1,024 bits", before: coseOf(rsaKey(128, 1, 0, 1)...), want: "size"},
		{name: "RSA of 4,104 bits", before: coseOf(rsaKey(513, 1, 0, 1)...), want: "size"},
		{name: "RSA without end", before: coseOf(rsaKey(4096, 1, 0, 1)...), want: "1,024"},
		{name: "RSA with a long exponent", before: coseOf(rsaKey(256, 1, 0, 0, 0, 1)...), want: "size"},
		{name: "RSA with no exponent", before: coseOf(rsaKey(256)...), want: "exponent"},
	}
}

func TestPasskeyForgedRegistration(t *testing.T) {
	rows := slices.Concat(common(), statements(t), objects())
	p := newPasskeys(t)
	for _, row := range rows {
		a := &attempt{Authenticator: factortest.New(passkeyOrigin), owner: astrid, challenge: newChallenge()}
		if row.before != nil {
			row.before(a)
		}
		options, err := p.CreationOptions(a.owner, nil, a.challenge, factor.PasskeyRule{})
		if err != nil {
			t.Fatal(err)
		}
		if a.response, err = a.Create(options); err != nil {
			t.Fatal(err)
		}
		if row.after != nil {
			row.after(a)
		}
		_, err = p.Register(a.owner, a.response, a.challenge, factor.PasskeyRule{})
		held(t, row, err)
	}
}
