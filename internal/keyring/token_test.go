package keyring

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// jose4 verifies a token with the JWKS of the ring and a library that is not ours.
func jose4(t *testing.T, r *Ring, token, alg, typ string) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		t.Fatal(err)
	}
	h := jws.Signatures[0].Protected
	if got, _ := h.ExtraHeaders[jose.HeaderType].(string); got != typ {
		t.Errorf("typ is %q, want %q", got, typ)
	}
	keys := set.Key(h.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys with kid %q", len(keys), h.KeyID)
	}
	thumb, err := keys[0].Thumbprint(crypto.SHA256)
	if err != nil || b64(thumb) != h.KeyID {
		t.Errorf("kid %s, thumbprint %s, %v", h.KeyID, b64(thumb), err)
	}
	if k := keys[0]; !k.Valid() || !k.IsPublic() || k.Use != "sig" || k.Algorithm != alg {
		t.Errorf("key %+v", k)
	}
	claims, err := jws.Verify(keys[0])
	if err != nil {
		t.Errorf("go-jose refuses %s: %v", alg, err)
	}
	return claims
}

func TestSignIsJWS(t *testing.T) {
	r, _ := newRing(t)
	claims := []byte(`{"iss":"https://id.example","sub":"7","name":"Åsa Öberg <x>"}`)
	for _, alg := range algorithms() {
		for _, typ := range []string{"", "JWT", "at+jwt", "secevent+jwt"} {
			token, err := r.Sign(alg, typ, claims)
			if err != nil {
				t.Fatal(err)
			}
			if got := jose4(t, r, token, alg, typ); string(got) != string(claims) {
				t.Errorf("%s: claims %q", alg, got)
			}
			if got, err := r.VerifyType(token, typ); err != nil || string(got) != string(claims) {
				t.Errorf("%s %q: %q, %v", alg, typ, got, err)
			}
			if _, err := r.VerifyType(token, "logout+jwt"); err != ErrToken {
				t.Errorf("%s: %q passed for logout+jwt: %v", alg, typ, err)
			}
		}
	}
}

// One in 128 ECDSA signatures has an r or s of less than 32 bytes.
func TestES256FixedWidth(t *testing.T) {
	r, _ := newRing(t)
	short := 0
	for range 600 {
		token := mustSign(t, r, "ES256")
		sig, err := decodePart(token[strings.LastIndexByte(token, '.')+1:])
		if err != nil || len(sig) != 64 {
			t.Fatalf("signature of %d bytes, %v", len(sig), err)
		}
		if sig[0] == 0 || sig[32] == 0 {
			short++
			mustVerify(t, r, token)
		}
	}
	t.Logf("%d short ones", short)
	for _, der := range []string{"", "\x30\x00", "\x30\x06\x02\x01\x01\x02\x01\x01\x00", "\x30\x06\x02\x01\xff\x02\x01\x01"} {
		if sig, err := fixedWidth([]byte(der)); err == nil {
			t.Errorf("%x became %x", der, sig)
		}
	}
	sig, err := fixedWidth([]byte("\x30\x07\x02\x01\x01\x02\x02\x00\x80"))
	if err != nil || sig[31] != 1 || sig[63] != 0x80 {
		t.Errorf("%x, %v", sig, err)
	}
}

func TestSignRefusals(t *testing.T) {
	r, _ := newRing(t)
	for _, alg := range []string{"", "none", "HS256", "es256", "PS384"} {
		if token, err := r.Sign(alg, "JWT", []byte("{}")); err == nil {
			t.Errorf("%q signed %s", alg, token)
		}
	}
	for _, typ := range []string{`J"T`, "J\\T", "J T", "J\nT", "jå", strings.Repeat("x", 65)} {
		if token, err := r.Sign("ES256", typ, []byte("{}")); err == nil {
			t.Errorf("typ %q signed %s", typ, token)
		}
	}
}

// forger makes tokens that are wrong in one thing.
type forger struct {
	*testing.T
	ring          *Ring
	es, rs, ps    *signingKey
	header        string // JSON of a good ES256 token
	good, h, p, s string // the token and its parts
}

func newForger(t *testing.T) forger {
	r, _ := newRing(t)
	active := r.set.Load().active
	f := forger{T: t, ring: r, es: active["ES256"], rs: active["RS256"], ps: active["PS256"], good: mustSign(t, r, "ES256")}
	parts := strings.Split(f.good, ".")
	f.h, f.p, f.s = parts[0], parts[1], parts[2]
	f.header = `{"alg":"ES256","kid":"` + f.es.ID + `","typ":"JWT"}`
	if b64([]byte(f.header)) != f.h {
		t.Fatal("the test's header is not the ring's")
	}
	mustVerify(t, r, f.good)
	mustVerify(t, r, f.sign("ES256", f.header, f.p))
	return f
}

// sign signs header.payload with the active key of alg, whatever they say.
func (f forger) sign(alg, header, payload string) string {
	f.Helper()
	input := b64([]byte(header)) + "." + payload
	sig, err := f.ring.set.Load().active[alg].sign([]byte(input))
	if err != nil {
		f.Fatal(err)
	}
	return input + "." + b64(sig)
}

// with signs the good token with a change in its header.
func (f forger) with(old, new string) string {
	return f.sign("ES256", strings.Replace(f.header, old, new, 1), f.p)
}

// hs256 is the token of an attacker who takes the public key for a secret.
func (f forger) hs256() string {
	der, err := x509.MarshalPKIXPublicKey(f.rs.private.Public())
	if err != nil {
		f.Fatal(err)
	}
	input := b64([]byte(`{"alg":"HS256","kid":"`+f.rs.ID+`","typ":"JWT"}`)) + "." + f.p
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

func (f forger) refused(tokens map[string]string) {
	for name, token := range tokens {
		if claims, err := f.ring.Verify(token); err != ErrToken || claims != nil {
			f.Errorf("%s: %q, %v", name, claims, err)
		}
	}
}

// RFC 8725 §2.1, §3.1.
func TestVerifyRefusesHeaders(t *testing.T) {
	f := newForger(t)
	none := func(header string) string { return b64([]byte(header)) + "." + f.p + "." }
	f.refused(map[string]string{
		"alg none":                  none(`{"alg":"none"}`),
		"alg none with kid":         none(`{"alg":"none","kid":"` + f.es.ID + `","typ":"JWT"}`),
		"alg None, signed":          f.with("ES256", "None"),
		"HS256 with the public key": f.hs256(),
		"alg of another key":        f.with("ES256", "RS256"),
		"RS256 for PS256":           f.sign("RS256", `{"alg":"PS256","kid":"`+f.ps.ID+`","typ":"JWT"}`, f.p),
		"PS256 for RS256":           f.sign("PS256", `{"alg":"RS256","kid":"`+f.rs.ID+`","typ":"JWT"}`, f.p),
		"RS256 by a key for PS256":  f.sign("PS256", `{"alg":"RS256","kid":"`+f.ps.ID+`","typ":"JWT"}`, f.p),
		"PS256 by a key for RS256":  f.sign("RS256", `{"alg":"PS256","kid":"`+f.rs.ID+`","typ":"JWT"}`, f.p),
		"kid of another key":        f.with(f.es.ID, f.rs.ID),
		"unknown kid":               f.with(f.es.ID, b64(make([]byte, 32))),
		"no kid":                    f.with(`"kid":"`+f.es.ID+`",`, ""),
		"crit":                      f.with(`,"typ"`, `,"crit":["exp"],"exp":1,"typ"`),
		"b64":                       f.with(`,"typ"`, `,"b64":false,"crit":["b64"],"typ"`),
		"jwk":                       f.with(`,"typ"`, `,"jwk":{"kty":"oct","k":"AA"},"typ"`),
		"jku":                       f.with(`,"typ"`, `,"jku":"https://evil.example/","typ"`),
		"alg twice":                 f.with(`{`, `{"alg":"none",`),
		"ALG too":                   f.with(`{`, `{"ALG":"none",`),
		"spaces in the header":      f.with(`,`, `, `),
		"another order":             f.sign("ES256", `{"kid":"`+f.es.ID+`","alg":"ES256","typ":"JWT"}`, f.p),
		"empty typ":                 f.with(`"typ":"JWT"`, `"typ":""`),
		"typ with escapes":          f.with(`"JWT"`, `"\u004aWT"`),
		"typ of no string":          f.with(`"JWT"`, `1`),
		"header of no object":       f.sign("ES256", `[]`, f.p),
		"header of no JSON":         f.sign("ES256", `{`, f.p),
	})
}

func TestVerifyRefusesForms(t *testing.T) {
	f := newForger(t)
	stranger, _ := newStranger(t)
	foreign := mustSign(t, stranger, "ES256")
	long, err := f.ring.Sign("EdDSA", "JWT", make([]byte, maxToken))
	if err != nil {
		t.Fatal(err)
	}
	good, h, p, s := f.good, f.h, f.p, f.s
	changed := func(i int, c byte) string { return good[:i] + string(c) + good[i+1:] }
	payload := func(p string) string { return f.sign("ES256", f.header, p) }
	f.refused(map[string]string{
		"nothing":                 "",
		"two dots":                "..",
		"one dot":                 h + "." + p,
		"no dot":                  h,
		"three dots":              good + ".",
		"five parts":              good + ".x.y",
		"no signature":            h + "." + p + ".",
		"no payload":              h + ".." + s,
		"detached":                payload(""),
		"over 16 KiB":             long,
		"other ring":              foreign,
		"other ring's signature":  h + "." + p + foreign[strings.LastIndexByte(foreign, '.'):],
		"padded signature":        good + "==",
		"padded payload":          payload("e30="),
		"standard base64":         payload("++//"),
		"payload of no base64":    payload("e30*"),
		"payload with stray bits": payload("e31"),
		"CRLF in the payload":     payload("e3\r\n0"),
		"CRLF in the signature":   good[:len(good)-10] + "\r\n" + good[len(good)-10:],
		"LF in the header":        h[:4] + "\n" + good[4:],
		"LF at the end":           good + "\n",
		"space in front":          " " + good,
		"stray bits":              changed(len(good)-1, good[len(good)-1]+1),
		"changed header":          changed(3, 'A'),
		"changed payload":         changed(len(h)+3, 'A'),
		"changed signature":       changed(len(good)-9, s[len(s)-9]^1),
		"short signature":         h + "." + p + "." + s[:40],
		"zero signature":          h + "." + p + "." + b64(make([]byte, 64)),
		"DER signature":           h + "." + p + "." + b64([]byte("\x30\x06\x02\x01\x01\x02\x01\x01")),
		"JSON serialization":      `{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`,
	})
}

// The next key verifies too: another instance may have rotated already.
func TestVerifyNextKey(t *testing.T) {
	r, dir := newRing(t)
	ahead, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := *ahead.set.Load()
	for _, k := range set.keys {
		if k.State == Next {
			set.active[k.Alg] = k
		}
	}
	for _, alg := range algorithms() {
		mustVerify(t, r, mustSign(t, ahead, alg))
	}
}

// Whatever Verify takes carries claims that this ring has signed.
func FuzzVerify(f *testing.F) {
	r, _ := newRing(f)
	for _, alg := range algorithms() {
		token := mustSign(f, r, alg)
		f.Add(token)
		f.Add(token + "=")
		f.Add(strings.Replace(token, ".", "..", 1))
	}
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := r.Verify(token)
		switch {
		case err == nil && string(claims) != `{"sub":"7"}`:
			t.Errorf("%q gives %q", token, claims)
		case err != nil && (err != ErrToken || claims != nil):
			t.Errorf("%q gives %q, %v", token, claims, err)
		}
	})
}
