package jose

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestVerify(t *testing.T) {
	for _, alg := range Algs() {
		s := newSigner(t, alg, "k1")
		other, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: s.private, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			t.Fatal(err)
		}
		jws, err := other.Sign([]byte(`{"iss":"pkj"}`))
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		for _, jwk := range []string{s.jwk(nil), s.jwk(map[string]any{"alg": alg, "use": "sig", "key_ops": []string{"verify"}})} {
			keys := parse(t, jwk)
			for _, token := range []string{foreign, s.sign(t, s.header(`"typ":"JWT"`), `{"iss":"pkj"}`)} {
				claims, h, err := keys.Verify(token, Want{Typs: anyType()})
				if err != nil || string(claims) != `{"iss":"pkj"}` || h != (Header{alg, "k1", "JWT"}) {
					t.Errorf("%s: %s %v %v", alg, claims, h, err)
				}
			}
		}
	}
}

// TestForeignTokens are the tricks of JW-01 with the header, each under a signature that is right.
func TestForeignTokens(t *testing.T) {
	s, other := newSigner(t, es256, "k1"), newSigner(t, es256, "k2")
	keys := parse(t, s.jwk(nil))
	const claims = `{"iss":"pkj"}`
	good := s.sign(t, s.header(), claims)
	h, p, sig := parts(good)
	tests := []struct{ name, token, want string }{
		{"jku", s.sign(t, s.header(`"jku":"https://evil.example/jwks"`), claims), `holds "jku"`},
		{"x5u", s.sign(t, s.header(`"x5u":"https://evil.example/x5"`), claims), `holds "x5u"`},
		{"x5c", s.sign(t, s.header(`"x5c":["MIIB"]`), claims), `holds "x5c"`},
		{"embedded jwk", other.sign(t, s.header(`"jwk":`+other.jwk(nil)), claims), `holds "jwk"`},
		{"own jwk embedded", s.sign(t, s.header(`"jwk":`+s.jwk(nil)), claims), `holds "jwk"`},
		{"jwk null", s.sign(t, s.header(`"jwk":null`), claims), `holds "jwk"`},
		{"crit unknown", s.sign(t, s.header(`"crit":["x"]`, `"x":1`), claims), `holds "crit"`},
		{"crit empty", s.sign(t, s.header(`"crit":[]`), claims), `holds "crit"`},
		{"crit b64", s.sign(t, s.header(`"crit":["b64"]`, `"b64":false`), claims), `holds "crit"`},
		{"b64", s.sign(t, s.header(`"b64":false`), claims), `holds "b64"`},
		{"zip", s.sign(t, s.header(`"zip":"DEF"`), claims), `holds "zip"`},
		{"escaped jku", s.sign(t, s.header(`"j\u006bu":"https://evil.example/jwks"`), claims), `holds "jku"`},
		{"alg twice", s.sign(t, `{"alg":"none","alg":"ES256","kid":"k1"}`, claims), `"alg" twice`},
		{"alg twice, escaped", s.sign(t, `{"alg":"ES256","kid":"k1","\u0061lg":"none"}`, claims), `"alg" twice`},
		{"kid twice", s.sign(t, s.header(`"kid":"k2"`), claims), `"kid" twice`},
		{"claim twice", s.sign(t, s.header(), `{"iss":"a","iss":"b"}`), `payload holds "iss" twice`},
		{"claim twice inside", s.sign(t, s.header(), `{"a":[{"b":{"c":1,"c":2}}]}`), `payload holds "c" twice`},
		{"ALG", s.sign(t, `{"ALG":"ES256","kid":"k1"}`, claims), `its alg is ""`},
		{"alg empty", s.sign(t, `{"alg":"","kid":"k1"}`, claims), `alg is empty`},
		{"alg null", s.sign(t, `{"alg":null,"kid":"k1"}`, claims), `alg is no string`},
		{"alg a list", s.sign(t, `{"alg":["ES256"],"kid":"k1"}`, claims), `alg is no string`},
		{"es256", s.sign(t, `{"alg":"es256","kid":"k1"}`, claims), `its alg is "es256"`},
		{"another's kid", other.sign(t, other.header(), claims), `none has the kid "k2"`},
		{"another's key under this kid", other.sign(t, s.header(), claims), `not of the key "k1"`},
		{"another's key, no kid", other.sign(t, `{"alg":"ES256"}`, claims), "no key of the client's key set has signed it"},
		{"kid a number", s.sign(t, `{"alg":"ES256","kid":1}`, claims), "kid is no string"},
		{"kid empty", s.sign(t, `{"alg":"ES256","kid":""}`, claims), "kid is empty"},
		{"kid long", s.sign(t, `{"alg":"ES256","kid":"`+strings.Repeat("k", 257)+`"}`, claims), "kid is longer"},
		{"kid in other case", s.sign(t, `{"alg":"ES256","kid":"K1"}`, claims), `none has the kid "K1"`},
		{"other typ", s.sign(t, s.header(`"typ":"at+jwt"`), claims), `its typ is "at+jwt"`},
		{"typ empty", s.sign(t, s.header(`"typ":""`), claims), "typ is empty"},
		{"typ below another type", s.sign(t, s.header(`"typ":"application/x/JWT"`), claims), "its typ is"},
		{"header no object", s.sign(t, `["ES256"]`, claims), "header is no JSON object"},
		{"header no JSON", s.sign(t, `{"alg":"ES256"}}`, claims), "header is not JSON"},
		{"header two values", s.sign(t, `{"alg":"ES256"} {}`, claims), "header is not JSON"},
		{"header not UTF-8", s.sign(t, "{\"alg\":\"ES256\",\"a\":\"\xff\"}", claims), "header is not UTF-8"},
		{"payload no object", s.sign(t, s.header(), `"pkj"`), "payload is no JSON object"},
		{"payload not UTF-8", s.sign(t, s.header(), "{\"iss\":\"\xff\"}"), "payload is not UTF-8"},
		{"payload deep", s.sign(t, s.header(), `{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+"}"), "nested deeper than 32"},
		{"payload with a byte order mark", s.sign(t, s.header(), "\ufeff{}"), "payload is not JSON"},
		{"empty payload", s.sign(t, s.header(), ""), "part 2 is empty"},
		{"no signature", h + "." + p + ".", "part 3 is empty"},
		{"two parts", h + "." + p, "2 parts"},
		{"four parts", good + ".", "4 parts"},
		{"JWE", good + "." + sig + "." + sig, "encrypted"},
		{"many parts", strings.Repeat(".", 5000), "6 parts"},
		{"empty", "", "1 parts"},
		{"JSON", `{"payload":"` + p + `","protected":"` + h + `","signature":"` + sig + `"}`, "JSON serialisation"},
		{"JSON after a space", ` {"payload":"` + p + `","signatures":[]}`, "JSON serialisation"},
		{"padded", good + "=", "part 3"},
		{"padded header", h + "=." + p + "." + sig, "part 1"},
		{"space before", " " + good, "part 1"},
		{"line end after", good + "\n", "part 3"},
		{"line end inside", h + "." + p[:4] + "\r\n" + p[4:] + "." + sig, "part 2"},
		{"too long", s.sign(t, s.header(), `{"a":"`+strings.Repeat("a", 13<<10)+`"}`), "longer than 16384 bytes"},
	}
	for _, tt := range tests {
		if claims, _, err := keys.Verify(tt.token, Want{Typs: anyType()}); !refused(err, tt.want) || claims != nil {
			t.Errorf("JW-01: %s: %q, %v, want %q", tt.name, claims, err, tt.want)
		}
	}
	if _, _, err := keys.Verify(good, Want{Typs: anyType()}); err != nil {
		t.Error(err)
	}
	if _, _, err := keys.Verify(tests[len(tests)-1].token, Want{Typs: anyType(), Limit: 32 << 10}); err != nil {
		t.Errorf("with a higher limit: %v", err)
	}
	if _, _, err := keys.Verify(good, Want{}); !refused(err, "typ") {
		t.Errorf("with no typ asked for: %v", err)
	}
}

func parts(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// TestAlgs holds each alg against keys that are not for it.
func TestAlgs(t *testing.T) {
	ec, ed, r := newSigner(t, es256, ""), newSigner(t, edDSA, ""), newSigner(t, rs256, "")
	pss := signer{ps256, r.private, ""}
	der, err := x509.MarshalPKIXPublicKey(r.private.(*rsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	free := []string{ec.jwk(nil), ed.jwk(nil), r.jwk(nil)}
	onlyPS := []string{r.jwk(map[string]any{"alg": "PS256"})}
	token := func(s signer) string { return s.sign(t, s.header(), `{}`) }
	tests := []struct {
		name  string
		jwks  []string
		algs  []string
		token string
		want  string
	}{
		{"none", free, nil, token(signer{"none", nil, ""}), "part 3 is empty"},
		{"none with a signature", free, nil, ec.sign(t, `{"alg":"none"}`, `{}`), `its alg is "none"`},
		{"NonE", free, nil, ec.sign(t, `{"alg":"NonE"}`, `{}`), `its alg is "NonE"`},
		{"HS256 of the PEM", free, nil, token(signer{"HS256", public, ""}), `its alg is "HS256"`},
		{"HS256 of the DER", free, nil, token(signer{"HS256", der, ""}), `its alg is "HS256"`},
		{"HS256 of the JWK", free, nil, token(signer{"HS256", []byte(r.jwk(nil)), ""}), `its alg is "HS256"`},
		{"HS256 asked for by mistake", free, []string{"HS256"}, token(signer{"HS256", public, ""}), `its alg is "HS256"`},
		{"RS256 where the client has PS256", free, []string{ps256}, token(r), `its alg is "RS256"`},
		{"RS256 with a key for PS256", onlyPS, nil, token(r), "no key of the client's key set"},
		{"RS256 signature called PS256", onlyPS, nil, signer{rs256, r.private, ""}.sign(t, `{"alg":"PS256"}`, `{}`), "no key of the client's key set"},
		{"PS256 signature called RS256", free, nil, signer{ps256, r.private, ""}.sign(t, `{"alg":"RS256"}`, `{}`), "no key of the client's key set"},
		{"ES256 with an RSA key", []string{r.jwk(nil)}, nil, token(ec), "no key of the client's key set"},
		{"RS256 with an EC key", []string{ec.jwk(nil)}, nil, token(r), "no key of the client's key set"},
		{"EdDSA with an EC key", []string{ec.jwk(nil)}, nil, token(ed), "no key of the client's key set"},
		{"RS512", free, nil, r.sign(t, `{"alg":"RS512"}`, `{}`), `its alg is "RS512"`},
		{"ES256K", free, nil, ec.sign(t, `{"alg":"ES256K"}`, `{}`), `its alg is "ES256K"`},
		{"no algs asked for", free, []string{}, token(ec), "its alg is"},
		{"PS256 with a key for PS256", onlyPS, []string{ps256}, token(pss), ""},
		{"EdDSA among others", free, nil, token(ed), ""},
		{"RS256 with a free key", free, nil, token(r), ""},
		{"PS256 with a free key", free, nil, token(pss), ""},
	}
	for _, tt := range tests {
		_, _, err := parse(t, tt.jwks...).Verify(tt.token, Want{Algs: tt.algs, Typs: anyType()})
		if tt.want == "" && err != nil || tt.want != "" && !refused(err, tt.want) {
			t.Errorf("JW-01: %s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSameKid(t *testing.T) {
	a, b, r := newSigner(t, es256, "k"), newSigner(t, es256, "k"), newSigner(t, rs256, "k")
	keys := parse(t, r.jwk(nil), a.jwk(nil), b.jwk(nil))
	for _, s := range []signer{a, b, r} {
		if _, _, err := keys.Verify(s.sign(t, s.header(), `{}`), Want{Typs: anyType()}); err != nil {
			t.Error(err)
		}
	}
	ed := newSigner(t, edDSA, "k")
	if _, _, err := keys.Verify(ed.sign(t, ed.header(), `{}`), Want{Typs: anyType()}); !refused(err, "is not for EdDSA") || errors.Is(err, errOtherKey) {
		t.Errorf("a kid of other kinds of keys: %v", err)
	}
}

func TestWithoutKid(t *testing.T) {
	var jwks []string
	var last signer
	for i := range maxTries + 1 {
		last = newSigner(t, es256, fmt.Sprint("k", i))
		jwks = append(jwks, last.jwk(nil))
	}
	token := last.sign(t, `{"alg":"ES256"}`, `{}`)
	if _, _, err := parse(t, jwks[1:]...).Verify(token, Want{Typs: anyType()}); err != nil {
		t.Errorf("the last of %d keys: %v", maxTries, err)
	}
	if _, _, err := parse(t, jwks...).Verify(token, Want{Typs: anyType()}); !refused(err, "name one by kid") {
		t.Errorf("the last of %d keys: %v", maxTries+1, err)
	}
	named := last.sign(t, last.header(), `{}`)
	if _, _, err := parse(t, jwks...).Verify(named, Want{Typs: anyType()}); err != nil {
		t.Error(err)
	}
	unnamed := signer{es256, last.private, ""}
	if _, _, err := parse(t, unnamed.jwk(nil)).Verify(named, Want{Typs: anyType()}); !refused(err, "none has the kid") {
		t.Errorf("a kid and a key without one: %v", err)
	}
}

// TestEveryByte changes each byte of a token into one of each class; none may pass.
func TestEveryByte(t *testing.T) {
	for _, alg := range Algs() {
		s := newSigner(t, alg, "k")
		keys := parse(t, s.jwk(nil))
		good := []byte(s.sign(t, s.header(), `{"iss":"pkj","n":12}`))
		for i, was := range good {
			for _, now := range []byte("Aa9_.=+/ \n\x00\x7f\xff") {
				if now == was {
					continue
				}
				good[i] = now
				if claims, _, err := keys.Verify(string(good), Want{Typs: anyType()}); !errors.Is(err, ErrToken) || claims != nil {
					t.Fatalf("%s: byte %d as %q passes: %v", alg, i, now, err)
				}
			}
			good[i] = was
		}
		for i := range good {
			if _, _, err := keys.Verify(string(good[:i]), Want{Typs: anyType()}); !errors.Is(err, ErrToken) {
				t.Fatalf("%s: cut after %d bytes: %v", alg, i, err)
			}
		}
	}
}

func TestTypes(t *testing.T) {
	s := newSigner(t, edDSA, "")
	keys := parse(t, s.jwk(nil))
	want := Want{Typs: []string{"", "JWT", "client-authentication+jwt"}}
	for typ, ok := range map[string]bool{
		"JWT": true, "jwt": true, "application/jwt": true, "Application/JWT": true,
		"client-authentication+jwt": true, "application/client-authentication+jwt": true,
		"dpop+jwt": false, "application/": false, "text/JWT": false, "JWT ": false, "application/application/JWT": false,
	} {
		_, h, err := keys.Verify(s.sign(t, s.header(`"typ":"`+typ+`"`), `{}`), want)
		if (err == nil) != ok || ok && h.Typ != typ {
			t.Errorf("%q: %q %v", typ, h.Typ, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f, es256, "k")
	keys := parse(f, s.jwk(nil))
	f.Add(s.header(), `{"iss":"a","aud":["b",{"c":null}],"exp":1e3}`, true)
	f.Add(s.header(`"typ":"JWT"`), "{ \"a\" : [ ] , \"\\u0061\\\"\" : \"\\\\\" }", true)
	f.Add(`{"alg":"none"}`, `{}`, false)
	f.Fuzz(func(t *testing.T, header, payload string, compact bool) {
		token := header
		if compact {
			token = s.sign(t, header, payload)
		}
		claims, _, err := keys.Verify(token, Want{Typs: anyType()})
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Error(err)
			}
			return
		}
		o, err := parseObject(claims)
		if err != nil || string(claims) != payload {
			t.Errorf("%q: %v", claims, err)
		}
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(claims, &plain); err != nil || len(plain) != len(o) {
			t.Errorf("%q: %d members, encoding/json sees %d, %v", claims, len(o), len(plain), err)
		}
		for name, raw := range plain {
			if string(o[name]) != string(raw) {
				t.Errorf("%q: %q is %q, encoding/json sees %q", claims, name, o[name], raw)
			}
		}
	})
}
