package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseKeys(t *testing.T) {
	ec, ed, r := newSigner(t, es256, "e"), newSigner(t, edDSA, "d"), newSigner(t, rs256, "r")
	n := b64(r.private.(*rsa.PrivateKey).N.Bytes())
	x := `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	with := func(s signer, name string, value any) string { return s.jwk(map[string]any{name: value}) }
	tests := []struct {
		name, jwks string
		left       int
		want       string // part of the refusal; empty: taken
	}{
		{"three", string(keySet(ec.jwk(nil), ed.jwk(nil), r.jwk(nil))), 3, ""},
		{"members unknown", `{"a":1,"keys":[` + with(ec, "zzz", []int{1}) + `]}`, 1, ""},
		{"certificates are not looked at", string(keySet(with(ec, "x5c", []string{"nonsense"}))), 1, ""},
		{"other kinds beside", string(keySet(`{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`, `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, `{"kty":"OKP","crv":"X25519",`+x+`}`, ec.jwk(nil))), 1, ""},
		{"for encryption, beside", string(keySet(with(r, "use", "enc"), ec.jwk(nil))), 1, ""},
		{"for another alg, beside", string(keySet(with(r, "alg", "RSA-OAEP-256"), with(r, "alg", "RS512"), ec.jwk(nil))), 1, ""},
		{"short, beside", string(keySet(`{"kty":"RSA","n":"`+n[:170]+`","e":"AQAB"}`, ec.jwk(nil))), 1, ""},
		{"malformed, beside", string(keySet(`"key"`, `{"kty":1}`, `{}`, ec.jwk(nil))), 1, ""},
		{"the most", string(keySet(slicesOf(ec.jwk(nil), 50)...)), 50, ""},

		{"too many", string(keySet(slicesOf(ec.jwk(nil), 51)...)), 0, "51 keys"},
		{"too long", strings.Repeat(" ", 64<<10) + string(keySet(ec.jwk(nil))), 0, "longer than 65536"},
		{"none", `{"keys":[]}`, 0, "0 keys"},
		{"a bare key", ec.jwk(nil), 0, `no list "keys"`},
		{"keys null", `{"keys":null}`, 0, `no list "keys"`},
		{"keys twice", `{"keys":[],"keys":[]}`, 0, `"keys" twice`},
		{"a member twice", `{"keys":[{"kty":"EC","kty":"oct"}]}`, 0, `"kty" twice`},
		{"no JSON", `<html>`, 0, "not JSON"},
		{"empty", ``, 0, "not JSON"},
		{"a list", `[]`, 0, "no JSON object"},
		{"null", `null`, 0, "no JSON object"},

		{"symmetric", string(keySet(ec.jwk(nil), `{"kty":"oct","k":"c2VjcmV0"}`)), 0, "key 2 is a secret that both sides would share"},
		{"symmetric without a kind", string(keySet(ec.jwk(nil), `{"k":"c2VjcmV0"}`)), 0, "key 2 is a secret"},
		{"private EC", string(keySet(with(ec, "d", "AA"))), 0, `private part ("d")`},
		{"private RSA beside good ones", string(keySet(ec.jwk(nil), with(r, "p", "AA"))), 0, `key 2 holds its private part ("p")`},
		{"private of another kind", string(keySet(ec.jwk(nil), `{"kty":"AKP","priv":"AA"}`)), 0, "private part"},

		{"only for encryption", string(keySet(with(ec, "use", "enc"))), 0, `use "enc"`},
		{"use of another kind", string(keySet(with(ec, "use", 1))), 0, `not "sig"`},
		{"use empty", string(keySet(with(ec, "use", ""))), 0, `not "sig"`},
		{"key_ops", string(keySet(with(ec, "key_ops", []string{"encrypt"}))), 0, "key_ops"},
		{"key_ops no list", string(keySet(with(ec, "key_ops", "verify"))), 0, "key_ops"},
		{"alg of another kind", string(keySet(with(ec, "alg", "RS256"))), 0, `for alg "RS256"`},
		{"alg of HMAC", string(keySet(with(r, "alg", "HS256"))), 0, `for alg "HS256"`},
		{"P-384", string(keySet(`{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`)), 0, `"P-384"`},
		{"X25519", string(keySet(`{"kty":"OKP","crv":"X25519",` + x + `}`)), 0, `"X25519"`},
		{"secp256k1", string(keySet(with(ec, "crv", "secp256k1"))), 0, "secp256k1"},
		{"EC not on the curve", string(keySet(with(ec, "x", b64(make([]byte, 32))))), 0, "malformed"},
		{"EC at infinity", string(keySet(ec.jwk(map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}))), 0, "malformed"},
		{"EC short x", string(keySet(with(ec, "x", b64(make([]byte, 31))))), 0, "malformed"},
		{"EC long x", string(keySet(with(ec, "x", b64(make([]byte, 33))))), 0, "malformed"},
		{"EC without y", string(keySet(with(ec, "y", ""))), 0, "no y"},
		{"Ed25519 short", string(keySet(with(ed, "x", b64(make([]byte, 31))))), 0, "wrong length"},
		{"Ed25519 long", string(keySet(with(ed, "x", b64(make([]byte, 33))))), 0, "wrong length"},
		{"padded", string(keySet(with(ed, "x", b64(make([]byte, 32))+"="))), 0, "base64url"},
		{"line end", string(keySet(with(ed, "x", b64(make([]byte, 32))+"\n"))), 0, "base64url"},
		{"RSA of 2048 bits", string(keySet(with(r, "n", b64(oddBytes(256))))), 1, ""},
		{"RSA of 8192 bits", string(keySet(with(r, "n", b64(oddBytes(1024))))), 1, ""},
		{"RSA with a zero in front", string(keySet(with(r, "n", b64(append([]byte{0}, oddBytes(1024)...))))), 1, ""},
		{"RSA of 2040 bits", string(keySet(with(r, "n", b64(oddBytes(255))))), 0, "2040 bits"},
		{"RSA of 8200 bits", string(keySet(with(r, "n", b64(oddBytes(1025))))), 0, "8200 bits"},
		{"RSA of 16384 bits", string(keySet(with(r, "n", b64(oddBytes(2048))))), 0, "wrong length"},
		{"RSA even", string(keySet(with(r, "n", b64(append(oddBytes(255), 2))))), 0, "no RSA key"},
		{"RSA e 1", string(keySet(with(r, "e", "AQ"))), 0, "no RSA key"},
		{"RSA e even", string(keySet(with(r, "e", "AQAA"))), 0, "no RSA key"},
		{"RSA e of 32 bits", string(keySet(with(r, "e", "_____w"))), 0, "no RSA key"},
		{"RSA e of 72 bits", string(keySet(with(r, "e", "AQAAAAAAAAAB"))), 0, "wrong length"},
		{"kid a number", string(keySet(with(ec, "kid", 1))), 0, "kid is no string"},
		{"kid long", string(keySet(with(ec, "kid", strings.Repeat("k", 257)))), 0, "kid"},
	}
	for _, tt := range tests {
		k, err := ParseKeys([]byte(tt.jwks))
		if tt.want != "" {
			if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tt.want) || k != nil {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil || len(k.list) != tt.left {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func slicesOf(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func oddBytes(n int) []byte {
	return []byte(strings.Repeat("\xff", n))
}

func TestThumbprint(t *testing.T) {
	tests := map[string]string{
		// RFC 7638 §3.1
		`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		// RFC 8037 appendix A.3
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		// RFC 9449 §6.1: the key of the example of §4.2
		`{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
	}
	for jwk, want := range tests {
		if got, err := Thumbprint([]byte(jwk)); got != want || err != nil {
			t.Errorf("%.40s: %s, %v", jwk, got, err)
		}
	}
	for _, jwk := range []string{`{}`, ``, `{"kty":"oct","k":"AA"}`, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, strings.Repeat(" ", 65<<10)} {
		if got, err := Thumbprint([]byte(jwk)); !errors.Is(err, ErrKeys) || got != "" {
			t.Errorf("%.40s: %s, %v", jwk, got, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	s := signer{es256, p, "k"}
	token := s.sign(f, s.header(), `{}`)
	f.Add(keySet(s.jwk(nil)))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","key_ops":["verify"]}]}`))
	f.Add([]byte(fmt.Sprintf(`{"keys":[{"kty":"RSA","e":"AQAB","n":%q}]}`, b64(oddBytes(256)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKeys(data)
		if err != nil {
			if !errors.Is(err, ErrKeys) {
				t.Error(err)
			}
			return
		}
		var plain struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(data, &plain); err != nil || len(k.list) == 0 || len(k.list) > len(plain.Keys) {
			t.Errorf("%d keys of %d: %v", len(k.list), len(plain.Keys), err)
		}
		for _, k := range k.list {
			if sum, err := k.thumbprint(); err != nil || len(sum) != 43 {
				t.Errorf("%q, %v", sum, err)
			}
		}
		_, _, _ = k.Verify(token, Want{Typs: anyType()}) // no key may make it panic
	})
}
