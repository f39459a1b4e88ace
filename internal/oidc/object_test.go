package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// signing is a site whose client signed has the public half of key by value, fetched has it at an address, must has to sign, picky signs with
// RS256 alone, and conf has none.
type signing struct {
	*refusals
	key *ecdsa.PrivateKey
	web *httptest.Server
}

func newSigning(t testing.TB, dbURL string) *signing {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	t.Cleanup(web.Close)
	apply := servertest.Sample()
	for _, c := range []string{"signed, jwks: " + string(set), "fetched, jwks_uri: " + web.URL + "/jwks", "gone, jwks_uri: http://127.0.0.1:1/jwks", "must, require_signed_request_object: true, jwks: " + string(set),
		"picky, request_object_signing_alg: RS256, jwks: " + string(set), "pushes, require_signed_request_object: true, require_pushed_authorization_requests: true, jwks: " + string(set)} {
		apply += "  - {client_id: " + c + ", client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "], scope: openid profile email, resources: ['" + apiA + "', '" + apiC + "']}\n"
	}
	return &signing{newRefusals(t, dbURL, apply), key, web}
}

// content is what a good request object of a client says, with some members replaced, or, if nil, removed.
func (s *signing) content(client string, pairs ...any) map[string]any {
	out := map[string]any{"iss": client, "aud": s.URL, "exp": s.clock.Now().Add(time.Minute).Unix()}
	for name, values := range with(client, "scope", "openid profile", "state", "inside") {
		out[name] = values[0]
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// object signs a content, under a header in which some members may be replaced.
func (s *signing) object(t testing.TB, content map[string]any, pairs ...any) string {
	t.Helper()
	header := map[string]any{"alg": "ES256", "kid": "k", "typ": "oauth-authz-req+jwt"}
	for i := 0; i < len(pairs); i += 2 {
		header[pairs[i].(string)] = pairs[i+1]
	}
	maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
	enc := base64.RawURLEncoding.EncodeToString
	input := enc(must(json.Marshal(header))) + "." + enc(must(json.Marshal(content)))
	sum := sha256.Sum256([]byte(input))
	switch header["alg"] {
	case "none":
		return input + "."
	case "HS256": // keyed with the public key, which everybody has
		mac := hmac.New(sha256.New, must(s.key.PublicKey.Bytes()))
		mac.Write([]byte(input))
		return input + "." + enc(mac.Sum(nil))
	}
	r, sig, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + enc(append(r.FillBytes(make([]byte, 32)), sig.FillBytes(make([]byte, 32))...))
}

// outside is the query of a request object: what RFC 9101 §5 asks for, and where a refusal can be told.
func outside(client, object string) url.Values {
	return url.Values{"client_id": {client}, "request": {object}, "redirect_uri": {servertest.Redirect}, "state": {"outside"}}
}

// TestRequestObject: what a client signed is its request, by value at both endpoints, with a sign-in between, and nothing beside it counts.
func TestRequestObject(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := newSigning(t, e.New(t))
			for _, client := range []string{"signed", "fetched", "must"} {
				q := url.Values{"client_id": {client}, "request": {s.object(t, s.content(client, "claims", map[string]any{"id_token": map[string]any{"email": nil}}, "resource", []string{apiC, apiA}))}}
				for _, more := range []url.Values{{}, {"state": {"outside"}, "scope": {"admin"}, "redirect_uri": {"https://evil.example/"}, "response_type": {"token"}, "nonce": {"outside"}, "prompt": {"none"}, "max_age": {"-1"}, "claims": {"["}, "resource": {"x"}}} {
					all := maps.Clone(q)
					maps.Copy(all, more)
					got := sent(t, s.authorize(all))
					if got.Get("code") == "" || got.Get("state") != "inside" {
						t.Fatalf("%s, beside %v: got %v", client, more, got)
					}
					p := s.post(t, "/token", client, codeForm(got.Get("code")))
					if p.Status != http.StatusOK {
						t.Fatalf("%s: %d %s", client, p.Status, p.Body)
					}
					tokens := words(t, p)
					if id := claims(t, tokens["id_token"]); id["nonce"] != "n-0S6_WzA2Mj" || id["email"] != "alice@example.se" || tokens["scope"] != "openid profile" {
						t.Errorf("%s: the ID token says %v, the scope is %q", client, id, tokens["scope"])
					}
					if aud := s.aud(t, client, tokens["access_token"]); aud != "["+apiC+" "+apiA+"]" {
						t.Errorf("%s: the audience is %s", client, aud)
					}
				}
			}
			for _, client := range []string{"signed", "pushes"} {
				p := s.post(t, "/par", client, url.Values{"request": {s.object(t, s.content(client, "prompt", "login"))}, "state": {"outside"}, "client_id": {client}})
				if p.Status != http.StatusCreated {
					t.Fatalf("pushed: %d %s", p.Status, p.Body)
				}
				uri := words(t, p)["request_uri"]
				s.clock.Add(50 * time.Second)
				page := s.alice.Get(pulled(client, uri))
				s.clock.Add(14 * time.Minute) // the object has expired, the sign-in has not
				got := sent(t, s.alice.Follow(s.alice.SignIn(page, "alice", servertest.Password, servertest.TOTP)))
				if got.Get("code") == "" || got.Get("state") != "inside" {
					t.Errorf("JW-05: pushed by %s, after a sign-in: %v", client, got)
				}
				if got := sent(t, s.alice.Get(pulled(client, uri))); got.Get("error") != "invalid_request_uri" {
					t.Errorf("PA-02: used twice: %v", got)
				}
			}
			s.clock.Add(31 * time.Second)
			b := s.Browser(t)
			page := b.Follow(b.Get("/authorize?" + outside("signed", s.object(t, s.content("signed", "max_age", 60))).Encode()))
			s.clock.Add(10 * time.Minute)
			if got := sent(t, b.Follow(b.SignIn(page, "alice", servertest.Password, servertest.TOTP))); got.Get("code") == "" || got.Get("state") != "inside" {
				t.Errorf("JW-05: by value, after a sign-in: %v", got)
			}
		})
	}
}

// TestRequestObjectAge (JW-05, F11): a number counts as one.
func TestRequestObjectAge(t *testing.T) {
	t.Parallel()
	s := newSigning(t, storetest.SQLite(t))
	s.clock.Add(2 * time.Minute)
	for age, asks := range map[any]bool{60: true, 3600: false, "60": true} {
		p := s.authorize(outside("signed", s.object(t, s.content("signed", "max_age", age))))
		if asked := strings.HasPrefix(p.Location, s.URL+"/login/"); asked != asks {
			t.Errorf("JW-05: max_age %v two minutes after the sign-in: asked %v", age, asked)
		}
	}
}

// TestRequestObjectRefused (JW-05): the refusal goes to an address that the query names, if it is registered, and else is shown.
func TestRequestObjectRefused(t *testing.T) {
	t.Parallel()
	s := newSigning(t, storetest.SQLite(t))
	good := s.content("signed")
	stranger := *s
	stranger.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	called := false
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	t.Cleanup(trap.Close)
	now := s.clock.Now()
	whole, other := s.object(t, good), s.object(t, s.content("signed", "state", "x"))
	for what, object := range map[string]string{
		"none": s.object(t, good, "alg", "none"), "None": s.object(t, good, "alg", "None"), "HS256 with the public key": s.object(t, good, "alg", "HS256"), "no alg": s.object(t, good, "alg", nil), "another alg": s.object(t, good, "alg", "RS256"),
		"no signature": whole[:strings.LastIndex(whole, ".")+1], "another signature": other[:strings.LastIndex(other, ".")] + whole[strings.LastIndex(whole, "."):], "another key": stranger.object(t, good), "another key, no kid": stranger.object(t, good, "kid", nil),
		"its own key": stranger.object(t, good, "jwk", jose.JSONWebKey{Key: stranger.key.Public()}), "jku": s.object(t, good, "jku", trap.URL), "x5u": s.object(t, good, "x5u", trap.URL), "crit": s.object(t, good, "crit", []string{"x"}, "x", 1),
		"typ of an access token": s.object(t, good, "typ", "at+jwt"), "typ of a proof": s.object(t, good, "typ", "dpop+jwt"),
		"no iss": s.object(t, s.content("signed", "iss", nil)), "another iss": s.object(t, s.content("signed", "iss", "conf")), "no aud": s.object(t, s.content("signed", "aud", nil)), "another aud": s.object(t, s.content("signed", "aud", "https://other.example")),
		"no client_id": s.object(t, s.content("signed", "client_id", nil)), "another client": s.object(t, s.content("signed", "client_id", "conf")), "another client throughout": s.object(t, s.content("must")),
		"expired": s.object(t, s.content("signed", "exp", now.Add(-2*time.Minute).Unix())), "no exp": s.object(t, s.content("signed", "exp", nil)), "ten years": s.object(t, s.content("signed", "exp", now.AddDate(10, 0, 0).Unix())), "exp as text": s.object(t, s.content("signed", "exp", "soon")),
		"not yet": s.object(t, s.content("signed", "nbf", now.Add(2*time.Minute).Unix())), "nested": s.object(t, s.content("signed", "request", whole)), "nested by address": s.object(t, s.content("signed", "request_uri", trap.URL)),
		"a secret in it": s.object(t, s.content("signed", "client_secret", servertest.Secret)), "a fraction": s.object(t, s.content("signed", "max_age", 1.5)), "a list": s.object(t, s.content("signed", "scope", []string{"openid"})), "true": s.object(t, s.content("signed", "prompt", true)),
		"an assertion": s.object(t, map[string]any{"iss": "signed", "sub": "signed", "aud": s.URL, "exp": now.Add(time.Minute).Unix(), "jti": "1"}), "an ID token": s.tokens(t, "conf")["id_token"], "rubbish": "x", "dots": strings.Repeat(".", 300), "long": whole + strings.Repeat("A", 17<<10), "space": " " + whole,
	} {
		p := s.authorize(outside("signed", object))
		if got := sent(t, p); got.Get("error") != "invalid_request_object" || got.Get("state") != "outside" || got.Get("iss") != s.URL || !described.MatchString(got.Get("error_description")) || telling.MatchString(p.Location) {
			t.Errorf("JW-05: %s got %d %v", what, p.Status, got)
		}
		if p := s.authorize(url.Values{"client_id": {"signed"}, "request": {object}}); p.Status != http.StatusBadRequest || p.Location != "" {
			t.Errorf("JW-05: %s, with nobody to tell, got %d %s", what, p.Status, p.Location)
		}
		refused(t, "JW-05: pushed, "+what, s.post(t, "/par", "signed", url.Values{"request": {object}}), "invalid_request_object")
	}
	if called {
		t.Error("JW-05: an address in an object was called")
	}
	if p := s.post(t, "/par", "signed", url.Values{"request": {strings.Repeat("A", 2<<20)}}); p.Status != http.StatusBadRequest {
		t.Errorf("JW-05: 2 MB got %d", p.Status)
	}
	empty, both := with("must", "scope", "openid"), outside("signed", whole)
	empty["request"], both["request_uri"] = []string{""}, []string{"https://app.example/request.jwt"}
	for what, c := range map[string]struct {
		q     url.Values
		error string
	}{
		"what a query may not have":       {outside("signed", s.object(t, s.content("signed", "response_type", "token"))), "unsupported_response_type"},
		"a scope that is not registered":  {outside("signed", s.object(t, s.content("signed", "scope", "openid admin"))), "invalid_scope"},
		"no challenge":                    {outside("signed", s.object(t, s.content("signed", "code_challenge", nil))), "invalid_request"},
		"a resource that is not its own":  {outside("signed", s.object(t, s.content("signed", "resource", "https://evil.example"))), "invalid_target"},
		"a client without keys":           {outside("conf", s.object(t, s.content("conf"), "alg", "none")), "request_not_supported"},
		"a client that signs with RS256":  {outside("picky", s.object(t, s.content("picky"))), "invalid_request_object"},
		"keys that cannot be had":         {outside("gone", s.object(t, s.content("gone"))), "temporarily_unavailable"},
		"no object, from who has to sign": {with("must", "scope", "openid"), "invalid_request"},
		"an empty one":                    {empty, "invalid_request"},
		"a request_uri beside it":         {both, "invalid_request"},
		"not pushed, from who has to":     {outside("pushes", s.object(t, s.content("pushes"))), "invalid_request"},
	} {
		if got := sent(t, s.authorize(c.q)); got.Get("error") != c.error || got.Get("iss") != s.URL {
			t.Errorf("JW-05: %s got %v, want %s", what, got, c.error)
		}
	}
}
