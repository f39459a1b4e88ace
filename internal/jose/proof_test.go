package jose

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func (s signer) proof(t testing.TB, claims []byte) string {
	return s.sign(t, `{"typ":"dpop+jwt","alg":"`+s.alg+`","jwk":`+s.jwk(nil)+`}`, string(claims))
}

func proofClaims() map[string]any {
	return map[string]any{"jti": "j1", "htm": "POST", "htu": "https://idp.example/token", "iat": at(0)}
}

// TestProofOfTheRFC is the example of RFC 9449 §4.2 with the thumbprint of §6.1.
func TestProofOfTheRFC(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19" +
		".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
		".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	p, err := ParseProof(proof)
	if err != nil {
		t.Fatal(err)
	}
	if p.JKT != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || p.JTI != "-BwC3ESc6acc2lTc" || p.Alg != es256 || p.Nonce != "" || p.AccessTokenHash != "" {
		t.Errorf("%+v", p)
	}
	issued := time.Unix(1562262616, 0)
	if err := p.Check("POST", "https://server.example.com/token", issued.Add(time.Second), time.Minute); err != nil || !p.Issued.Equal(issued) {
		t.Error(err)
	}
}

func TestParseProof(t *testing.T) {
	for _, alg := range Algs() {
		s := newSigner(t, alg, "")
		jkt, err := Thumbprint([]byte(s.jwk(nil)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseProof(s.proof(t, claimSet(proofClaims(), map[string]any{"nonce": "n1", "ath": "h1", "exp": at(30), "nbf": at(0)})))
		if err != nil || p.JKT != jkt || p.Alg != alg || p.JTI != "j1" || p.Method != "POST" || p.URL != "https://idp.example/token" || !p.Issued.Equal(noon) || p.Nonce != "n1" || p.AccessTokenHash != "h1" {
			t.Errorf("%s: %+v %v", alg, p, err)
		}
	}
}

func TestProofsRefused(t *testing.T) {
	s, other, r := newSigner(t, es256, ""), newSigner(t, es256, ""), newSigner(t, rs256, "")
	claims := string(claimSet(proofClaims(), nil))
	head := func(more string) string { return `{"typ":"dpop+jwt","alg":"ES256","jwk":` + more + `}` }
	with := func(name string, value any) string {
		return s.proof(t, claimSet(proofClaims(), map[string]any{name: value}))
	}
	good := s.proof(t, []byte(claims))
	h, p, sig := parts(good)
	tests := []struct{ name, token, want string }{
		{"typ JWT", s.sign(t, `{"typ":"JWT","alg":"ES256","jwk":`+s.jwk(nil)+`}`, claims), "its typ"},
		{"typ missing", s.sign(t, `{"alg":"ES256","jwk":`+s.jwk(nil)+`}`, claims), "its typ"},
		{"no jwk", s.sign(t, `{"typ":"dpop+jwt","alg":"ES256"}`, claims), "no jwk"},
		{"jwk null", s.sign(t, head("null"), claims), "jwk"},
		{"jwk a string", s.sign(t, head(`"a"`), claims), "jwk"},
		{"jwk private", s.sign(t, head(s.jwk(map[string]any{"d": b64(make([]byte, 32))})), claims), "private part"},
		{"jwk symmetric", signer{"HS256", []byte("secret"), ""}.sign(t, `{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0"}}`, claims), `its alg is "HS256"`},
		{"jwk symmetric under ES256", s.sign(t, head(`{"kty":"oct","k":"c2VjcmV0"}`), claims), "secret"},
		{"jwk short", s.sign(t, `{"typ":"dpop+jwt","alg":"RS256","jwk":{"kty":"RSA","e":"AQAB","n":"`+b64(oddBytes(128))+`"}}`, claims), "1024 bits"},
		{"jwk P-384", s.sign(t, head(`{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`), claims), "P-384"},
		{"jwk for another alg", s.sign(t, head(r.jwk(nil)), claims), "not for alg ES256"},
		{"jwk that names another alg", s.sign(t, head(s.jwk(map[string]any{"alg": "ES384"})), claims), "ES384"},
		{"jwk for encryption", s.sign(t, head(s.jwk(map[string]any{"use": "enc"})), claims), `"enc"`},
		{"jwk of another", s.sign(t, head(other.jwk(nil)), claims), "signature"},
		{"jwk twice", s.sign(t, `{"typ":"dpop+jwt","alg":"ES256","jwk":`+other.jwk(nil)+`,"jwk":`+s.jwk(nil)+`}`, claims), `"jwk" twice`},
		{"jku", s.sign(t, `{"typ":"dpop+jwt","alg":"ES256","jku":"https://evil.example","jwk":`+s.jwk(nil)+`}`, claims), `"jku"`},
		{"x5c", s.sign(t, `{"typ":"dpop+jwt","alg":"ES256","x5c":[],"jwk":`+s.jwk(nil)+`}`, claims), `"x5c"`},
		{"crit", s.sign(t, `{"typ":"dpop+jwt","alg":"ES256","crit":["jwk"],"jwk":`+s.jwk(nil)+`}`, claims), `"crit"`},
		{"alg none", b64([]byte(`{"typ":"dpop+jwt","alg":"none","jwk":`+s.jwk(nil)+`}`)) + "." + p + ".", "part 3"},
		{"no signature", h + "." + p + ".", "part 3"},
		{"signature of another", h + "." + p + "." + b64(other.signature(t, h+"."+p)), "signature"},
		{"signature too long", h + "." + p + "." + sig + "AAAA", "signature"},
		{"htm missing", with("htm", nil), "jti, htm, htu and iat"},
		{"htu missing", with("htu", nil), "jti, htm, htu and iat"},
		{"iat missing", with("iat", nil), "jti, htm, htu and iat"},
		{"jti missing", with("jti", nil), "jti, htm, htu and iat"},
		{"jti empty", with("jti", ""), "jti"},
		{"jti long", with("jti", strings.Repeat("j", 257)), "jti"},
		{"jti a number", with("jti", 1), "jti"},
		{"htm a list", with("htm", []string{"POST"}), "htm is no string"},
		{"htu a number", with("htu", 1), "htu is no string"},
		{"iat a string", with("iat", "1800000000"), "its iat"},
		{"nonce a number", with("nonce", 1), "nonce is no string"},
		{"nonce long", with("nonce", strings.Repeat("n", 513)), "longer than 512"},
		{"ath a number", with("ath", 1), "ath is no string"},
		{"jti twice", s.proof(t, []byte(`{"jti":"a","jti":"b"}`)), `"jti" twice`},
		{"two proofs", good + "," + good, "encrypted"},
	}
	for _, tt := range tests {
		if got, err := ParseProof(tt.token); !refused(err, tt.want) || got.JKT != "" || got.JTI != "" {
			t.Errorf("DPoP: %s: %+v %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if _, err := ParseProof(good); err != nil {
		t.Error(err)
	}
}

func TestProofCheck(t *testing.T) {
	s := newSigner(t, edDSA, "")
	const here = "https://idp.example/token"
	tests := []struct {
		name        string
		change      map[string]any
		method, url string
		want        string
	}{
		{"plain", nil, "POST", here, ""},
		{"query and fragment are ignored", map[string]any{"htu": here + "?a=b#c"}, "POST", here + "?x=y", ""},
		{"scheme and host in other case", map[string]any{"htu": "HTTPS://IDP.Example/token"}, "POST", here, ""},
		{"default port", map[string]any{"htu": "https://idp.example:443/token"}, "POST", here, ""},
		{"default port of ours", nil, "POST", "https://idp.example:443/token", ""},
		{"default port of http", map[string]any{"htu": "http://127.0.0.1/token"}, "POST", "http://127.0.0.1:80/token", ""},
		{"empty path", map[string]any{"htu": "https://idp.example"}, "POST", "https://idp.example/", ""},
		{"other method", nil, "GET", here, "its htm"},
		{"method in other case", map[string]any{"htm": "post"}, "POST", here, "its htm"},
		{"other path", map[string]any{"htu": "https://idp.example/par"}, "POST", here, "its htu"},
		{"path in other case", map[string]any{"htu": "https://idp.example/Token"}, "POST", here, "its htu"},
		{"path with a slash", map[string]any{"htu": here + "/"}, "POST", here, "its htu"},
		{"other host", map[string]any{"htu": "https://evil.example/token"}, "POST", here, "its htu"},
		{"other port", map[string]any{"htu": "https://idp.example:444/token"}, "POST", here, "its htu"},
		{"other scheme", map[string]any{"htu": "http://idp.example/token"}, "POST", here, "its htu"},
		{"http on the port of https", map[string]any{"htu": "http://idp.example:443/token"}, "POST", here, "its htu"},
		{"user name", map[string]any{"htu": "https://a@idp.example/token"}, "POST", here, "its htu"},
		{"no URL", map[string]any{"htu": "token"}, "POST", here, "its htu"},
		{"no URLs on either side", map[string]any{"htu": "x:"}, "POST", "", "its htu"},
		{"10 seconds before", map[string]any{"iat": at(-10)}, "POST", here, ""},
		{"10 seconds after", map[string]any{"iat": at(10)}, "POST", here, ""},
		{"60 seconds after", map[string]any{"iat": at(60)}, "POST", here, ""},
		{"61 seconds after", map[string]any{"iat": at(61)}, "POST", here, "its iat is 1m1s ahead"},
		{"119 seconds before", map[string]any{"iat": at(-119)}, "POST", here, ""},
		{"120 seconds before", map[string]any{"iat": at(-120)}, "POST", here, "it is 2m0s old"},
		{"years before", map[string]any{"iat": 0}, "POST", here, "old"},
		{"exp and nbf", map[string]any{"exp": at(30), "nbf": at(-1)}, "POST", here, ""},
		{"exp past", map[string]any{"exp": at(-60)}, "POST", here, "its exp"},
		{"exp a word", map[string]any{"exp": "x"}, "POST", here, "its exp"},
		{"nbf ahead", map[string]any{"nbf": at(61)}, "POST", here, "its nbf"},
		{"nbf a word", map[string]any{"nbf": "x"}, "POST", here, "its nbf"},
	}
	for _, tt := range tests {
		p, err := ParseProof(s.proof(t, claimSet(proofClaims(), tt.change)))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Check(tt.method, tt.url, noon, 2*time.Minute)
		if tt.want == "" && err != nil || tt.want != "" && !refused(err, tt.want) {
			t.Errorf("DPoP: %s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	s := newSigner(f, edDSA, "")
	good := s.proof(f, claimSet(proofClaims(), nil))
	h, p, _ := parts(good)
	f.Add(good)
	f.Add(h + "." + p + "." + strings.Repeat("A", 86))
	f.Fuzz(func(t *testing.T, token string) {
		p, err := ParseProof(token)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Error(err)
			}
			return
		}
		if len(p.JKT) != 43 || p.JTI == "" || p.Method == "" || p.URL == "" {
			t.Errorf("%+v", p)
		}
		if err := p.Check(p.Method, p.URL, p.Issued, time.Second); err != nil && !errors.Is(err, ErrToken) {
			t.Error(err)
		}
	})
}

// TestProofKeyCost (DO-01): a stranger chooses the key of a proof. One that makes its check dear is refused before that, whatever it has signed.
func TestProofKeyCost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bits int
		e    string
		want string
	}{{4096, "AQAB", "signature"}, {4104, "AQAB", "more than 4096 bits"}, {8192, "AQAB", "more than 4096 bits"}, {2048, "f____w", "an e above 65537"}} {
		n := make([]byte, tt.bits/8)
		for i := range n {
			n[i] = 0xff
		}
		header := `{"typ":"dpop+jwt","alg":"RS256","jwk":{"kty":"RSA","n":"` + base64.RawURLEncoding.EncodeToString(n) + `","e":"` + tt.e + `"}}`
		token := base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30." + base64.RawURLEncoding.EncodeToString(n)
		if _, err := ParseProof(token); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("DO-01: an RSA key of %d bits with e=%s got %v, want %q", tt.bits, tt.e, err, tt.want)
		}
	}
}
