package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const registered = "redirect_uris: ['https://app.example/callback'], id_token_signed_response_alg: ES256, grant_types: [authorization_code, refresh_token, client_credentials], scope: openid profile groups offline_access api"

func signs(id, jwks string) string {
	return "client_id: " + id + ", token_endpoint_auth_method: private_key_jwt, jwks: " + jwks + ", " + registered
}

// TestPrivateKeyJWT: a client of each algorithm authenticates at every endpoint by a signed assertion (RFC 7523, OpenID Connect Core §9).
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for _, alg := range []string{"ES256", "EdDSA", "RS256", "PS256"} {
			by := newSigner(t, alg)
			id := "signs-" + strings.ToLower(alg)
			s.apply(t, signs(id, set(t, newSigner(t, "ES256").public(), by.public())))
			for what, form := range map[string]url.Values{
				"the issuer":         asserted(s.assertion(t, by, id)),
				"the token endpoint": asserted(s.assertion(t, by, id, "aud", s.URL+"/token")),
				"and its client_id":  asserted(s.assertion(t, by, id), "client_id", id),
				"8 s ahead":          asserted(s.assertion(t, by, id, "iat", s.Clock().Unix()+8, "nbf", s.Clock().Unix()+8)),
			} {
				form.Set("grant_type", "client_credentials")
				if p := s.call(t, http.MethodPost, "/token", form); p.Status != http.StatusOK {
					t.Errorf("%s, %s: got %d %s", alg, what, p.Status, p.Body)
				}
			}
			form := codeForm(s.code(t, id))
			for k, v := range asserted(s.assertion(t, by, id)) {
				form[k] = v
			}
			tokens := object(t, s.call(t, http.MethodPost, "/token", form))
			access, _ := tokens["access_token"].(string)
			p := s.call(t, http.MethodPost, "/introspect", asserted(s.assertion(t, by, id), "token", access))
			if object(t, p)["active"] != true {
				t.Errorf("%s: introspection says %s", alg, p.Body)
			}
			if p := s.call(t, http.MethodPost, "/revoke", asserted(s.assertion(t, by, id), "token", access)); p.Status != http.StatusOK {
				t.Errorf("%s: revocation got %d", alg, p.Status)
			}
		}
	})
}

// TestAssertionRefused (JW-01, JW-03, JW-04): whatever is not a fresh assertion of this client by a key of its own is refused, and nothing that
// it points to is fetched.
func TestAssertionRefused(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	by, other := newSigner(t, "ES256"), newSigner(t, "ES256")
	calls := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; _, _ = w.Write([]byte(set(t, other.public()))) }))
	t.Cleanup(elsewhere.Close)
	s.apply(t, signs("signs", set(t, by.public())), signs("others", set(t, other.public())), signs("fapi", set(t, by.public()))+", require_pushed_authorization_requests: true",
		"token_endpoint_auth_signing_alg: EdDSA, "+signs("eddsa", set(t, by.public())))
	now := s.Clock().Unix()
	claims := func(id string) map[string]any {
		return map[string]any{"iss": id, "sub": id, "aud": s.URL, "iat": now, "exp": now + 60, "jti": "jku"}
	}
	parts := strings.Split(s.assertion(t, by, "signs"), ".")
	for what, form := range map[string]url.Values{
		"aud a list":                  asserted(s.assertion(t, by, "signs", "aud", []string{s.URL, "https://evil.example"})),
		"aud a list of one":           asserted(s.assertion(t, by, "signs", "aud", []string{s.URL})),
		"aud of another":              asserted(s.assertion(t, by, "signs", "aud", "https://other.example")),
		"no aud":                      asserted(s.assertion(t, by, "signs", "aud", nil)),
		"aud with a slash":            asserted(s.assertion(t, by, "signs", "aud", s.URL+"/")),
		"token endpoint, fapi":        asserted(s.assertion(t, by, "fapi", "aud", s.URL+"/token")),
		"iss of another":              asserted(s.assertion(t, by, "signs", "iss", "others")),
		"sub of another":              asserted(s.assertion(t, by, "signs", "sub", "others")),
		"no exp":                      asserted(s.assertion(t, by, "signs", "exp", nil)),
		"exp in ten years":            asserted(s.assertion(t, by, "signs", "exp", now+10*365*86400)),
		"expired":                     asserted(s.assertion(t, by, "signs", "exp", now-61)),
		"iat 61 s ahead":              asserted(s.assertion(t, by, "signs", "iat", now+62)),
		"nbf 61 s ahead":              asserted(s.assertion(t, by, "signs", "nbf", now+62)),
		"no jti":                      asserted(s.assertion(t, by, "signs", "jti", nil)),
		"another's key":               asserted(s.assertion(t, other, "signs")),
		"another's assertion":         asserted(s.assertion(t, other, "others"), "client_id", "signs"),
		"another algorithm":           asserted(s.assertion(t, by, "eddsa")),
		"a logout token's type":       asserted(by.sign(t, "logout+jwt", false, claims("signs"))),
		"a proof's type":              asserted(by.sign(t, "dpop+jwt", false, claims("signs"))),
		"an embedded key":             asserted(other.sign(t, "JWT", true, claims("signs"))),
		"no signature":                asserted(parts[0] + "." + parts[1] + "."),
		"alg none":                    asserted(enc(`{"alg":"none"}`) + "." + parts[1] + "."),
		"jku":                         asserted(enc(`{"alg":"ES256","jku":"`+elsewhere.URL+`"}`) + "." + parts[1] + "." + parts[2]),
		"no type of assertion":        {"client_assertion": {s.assertion(t, by, "signs")}},
		"a client with a secret":      asserted(s.assertion(t, by, "conf")),
		"a public client":             asserted(s.assertion(t, by, "pub")),
		"nobody's":                    asserted(s.assertion(t, by, "nobody")),
		"not a token":                 asserted("x", "client_id", "signs"),
		"the id alone":                {"client_id": {"signs"}},
		"a secret for it":             {"client_id": {"signs"}, "client_secret": {"x"}},
		"an empty secret":             {"client_id": {"signs"}, "client_secret": {""}},
		"an empty assertion":          asserted("", "client_id", "signs"),
		"a client_id that is not its": asserted(s.assertion(t, by, "signs"), "client_id", "conf"),
	} {
		form.Set("grant_type", "client_credentials")
		form.Set("token", "x")
		for _, path := range []string{"/token", "/introspect", "/revoke", "/par"} {
			refused(t, "JW-01, JW-03, JW-04: "+what+" at "+path, s.call(t, http.MethodPost, path, form), "invalid_client")
		}
	}
	for what, form := range map[string]url.Values{
		"assertion and secret": asserted(s.assertion(t, by, "signs"), "client_secret", "x", "client_id", "signs"),
		"assertion twice":      {"client_assertion": {"x", "y"}, "client_assertion_type": {"z"}},
	} {
		refused(t, "JW-04: "+what, s.call(t, http.MethodPost, "/token", form), "invalid_request")
	}
	refused(t, "JW-04: assertion and Basic", s.call(t, http.MethodPost, "/token", asserted(s.assertion(t, by, "signs")), "Authorization", basicOf("conf", "x")), "invalid_request")
	if calls != 0 {
		t.Errorf("JW-01: %d calls to an address in a header", calls)
	}
}

// TestAssertionOnce (JW-02): an assertion counts once, whatever it is used for; its jti is its client's own.
func TestAssertionOnce(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := newRefusals(t, e.New(t), "")
			by := newSigner(t, "ES256")
			s.apply(t, signs("signs", set(t, by.public())), signs("twin", set(t, by.public())))
			second := s.Second(t)
			assertion := s.assertion(t, by, "signs", "jti", "the-same", "aud", s.URL)
			var mu sync.Mutex
			statuses := map[int]int{}
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					path := []string{"/token", "/introspect", "/revoke"}[i%3]
					p := s.call(t, http.MethodPost, path, asserted(assertion, "grant_type", "client_credentials", "token", "x"))
					mu.Lock()
					defer mu.Unlock()
					statuses[p.Status]++
				})
			}
			all.Wait()
			if statuses[http.StatusOK] != 1 || statuses[http.StatusUnauthorized] != 49 {
				t.Errorf("JW-02: 50 uses of one assertion got %v", statuses)
			}
			elsewhere := &refusals{second, s.clock, nil}
			for _, path := range []string{"/token", "/introspect", "/revoke"} {
				form := asserted(s.assertion(t, by, "signs", "jti", "the-same", "aud", second.URL), "grant_type", "client_credentials", "token", "x")
				refused(t, "JW-02: at another instance, "+path, elsewhere.call(t, http.MethodPost, path, form), "invalid_client")
			}
			if p := s.call(t, http.MethodPost, "/token", asserted(s.assertion(t, by, "twin", "jti", "the-same"), "grant_type", "client_credentials")); p.Status != http.StatusOK {
				t.Errorf("JW-02: the jti of another client was taken as this one's: %d %s", p.Status, p.Body)
			}
			if !slices.ContainsFunc(s.Events(t, audit.TokenRefused), func(e audit.Event) bool { return e.Reason == audit.Replayed && e.Client == "signs" }) {
				t.Error("no replay on record")
			}
			code := s.code(t, "signs")
			form := codeForm(code)
			for k, v := range asserted(assertion) {
				form[k] = v
			}
			refused(t, "JW-02: a used assertion with a good code", s.call(t, http.MethodPost, "/token", form), "invalid_client")
			for k, v := range asserted(s.assertion(t, by, "signs")) {
				form[k] = v
			}
			if p := s.call(t, http.MethodPost, "/token", form); p.Status != http.StatusOK {
				t.Errorf("the code died with a used assertion: %d %s", p.Status, p.Body)
			}
		})
	}
}

// TestKeysByAddress: keys behind jwks_uri are fetched once, and an address that does not answer is told as such.
func TestKeysByAddress(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	by := newSigner(t, "ES256")
	var mu sync.Mutex
	calls, down := 0, false
	address := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if calls++; down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(set(t, by.public())))
	}))
	t.Cleanup(address.Close)
	s.apply(t, "client_id: far, token_endpoint_auth_method: private_key_jwt, jwks_uri: '"+address.URL+"/jwks', "+registered,
		"client_id: gone, token_endpoint_auth_method: private_key_jwt, jwks_uri: 'http://127.0.0.1:1/jwks', "+registered,
		"client_id: metadata, token_endpoint_auth_method: private_key_jwt, jwks_uri: 'https://169.254.169.254/jwks', "+registered)
	ask := func(id string, with signer) int {
		form := asserted(s.assertion(t, with, id), "grant_type", "client_credentials")
		p := s.call(t, http.MethodPost, "/token", form)
		if p.Status == http.StatusServiceUnavailable && (p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, "jwks_uri")) {
			t.Errorf("%s: %v %s", id, p.Header, p.Body)
		}
		return p.Status
	}
	for range 5 {
		if status := ask("far", by); status != http.StatusOK {
			t.Fatalf("got %d", status)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls for 5 requests", calls)
	}
	mu.Lock()
	down = true
	mu.Unlock()
	if status := ask("far", by); status != http.StatusOK {
		t.Errorf("while the address is down, a known key: %d", status)
	}
	began := time.Now()
	if status := ask("gone", by); status != http.StatusServiceUnavailable {
		t.Errorf("an address that does not answer: %d", status)
	}
	if status := ask("metadata", by); status != http.StatusServiceUnavailable || time.Since(began) > 4*time.Second {
		t.Errorf("an address that must not be called: %d", status)
	}
}
