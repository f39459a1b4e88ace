package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestDPoP: tokens bound to a key are good with it alone, at userinfo and at refresh; introspection names the key (RFC 9449).
func TestDPoP(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		s.apply(t, "client_id: spa, token_endpoint_auth_method: none, redirect_uris: ['"+servertest.Redirect+"'], grant_types: [authorization_code, refresh_token], id_token_signed_response_alg: ES256, scope: openid profile offline_access",
			"client_id: api, client_secret: "+servertest.Secret+", resource_server: true, grant_types: [client_credentials], scope: api",
			"client_id: jwt, client_secret: "+servertest.Secret+", access_token_format: at+jwt, "+registered)
		key, other := newSigner(t, "ES256"), newSigner(t, "EdDSA")
		nonce := s.nonce(t, key)
		for _, id := range []string{"spa", "conf", "jwt"} {
			header := func(by signer, path string, pairs ...any) []string {
				h := []string{"DPoP", s.proof(t, by, "POST", path, append([]any{"nonce", nonce}, pairs...)...)}
				if id != "spa" {
					h = append(h, "Authorization", basicOf(id, servertest.Secret))
				}
				return h
			}
			form := codeForm(s.code(t, id))
			form.Set("client_id", id)
			p := s.call(t, http.MethodPost, "/token", form, header(key, "/token")...)
			tokens := object(t, p)
			access, _ := tokens["access_token"].(string)
			refresh, _ := tokens["refresh_token"].(string)
			if p.Status != http.StatusOK || tokens["token_type"] != "DPoP" {
				t.Fatalf("%s: got %d %s", id, p.Status, p.Body)
			}
			info := func(scheme, token string, by *signer, pairs ...any) *servertest.Page {
				h := []string{"Authorization", scheme + " " + token}
				if by != nil {
					h = append(h, "DPoP", s.proof(t, *by, "GET", "/userinfo", append([]any{"nonce", nonce, "ath", ath(token)}, pairs...)...))
				}
				return s.call(t, http.MethodGet, "/userinfo", nil, h...)
			}
			if p := info("DPoP", access, &key); p.Status != http.StatusOK {
				t.Errorf("%s: userinfo got %d %s", id, p.Status, p.Body)
			}
			for what, p := range map[string]*servertest.Page{
				"as a bearer token":     info("Bearer", access, nil),
				"bearer with a proof":   info("Bearer", access, &key),
				"without a proof":       info("DPoP", access, nil),
				"with another key":      info("DPoP", access, &other),
				"no ath":                info("DPoP", access, &key, "ath", nil),
				"another ath":           info("DPoP", access, &key, "ath", ath("x")),
				"another method":        info("DPoP", access, &key, "htm", "POST"),
				"another address":       info("DPoP", access, &key, "htu", "https://evil.example/userinfo"),
				"old":                   info("DPoP", access, &key, "iat", s.Clock().Unix()-120),
				"no nonce":              info("DPoP", access, &key, "nonce", nil),
				"a nonce of its own":    info("DPoP", access, &key, "nonce", "x"),
				"a token that is not":   info("DPoP", access+"x", &key),
				"the refresh token":     info("DPoP", refresh, &key),
				"a proof of the form's": info("DPoP", access, &key, "htu", s.URL+"/token"),
			} {
				if p.Status != http.StatusUnauthorized || !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "DPoP ") && !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%s: userinfo, %s: got %d %q", id, what, p.Status, p.Header.Get("WWW-Authenticate"))
				}
			}
			about := object(t, s.post(t, "/introspect", "api", url.Values{"token": {access}}))
			if cnf, _ := about["cnf"].(map[string]any); about["active"] != true || about["token_type"] != "DPoP" || cnf["jkt"] != key.jkt(t) {
				t.Errorf("%s: introspection says %v", id, about)
			}
			again := refreshForm(refresh)
			again.Set("client_id", id)
			if id == "spa" {
				refused(t, "refresh with another key", s.call(t, http.MethodPost, "/token", again, header(other, "/token")...), "invalid_grant")
				refused(t, "refresh without a key", s.call(t, http.MethodPost, "/token", again), "invalid_grant")
			}
			if p := s.call(t, http.MethodPost, "/token", again, header(key, "/token")...); p.Status != http.StatusOK || object(t, p)["token_type"] != "DPoP" {
				t.Errorf("%s: refresh got %d %s", id, p.Status, p.Body)
			}
		}
	})
}

// TestDPoPRefused: proofs at the token endpoint that do not count, clients that must bring one, and codes that are bound from the start.
func TestDPoPRefused(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	s.apply(t, "client_id: must, client_secret: "+servertest.Secret+", dpop_bound_access_tokens: true, "+registered)
	key, other := newSigner(t, "ES256"), newSigner(t, "ES256")
	nonce := s.nonce(t, key)
	ask := func(proofs ...string) *servertest.Page {
		r, err := http.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", basicOf("must", servertest.Secret))
		r.Header["Dpop"] = proofs
		return s.Browser(t).Do(r)
	}
	good := func(pairs ...any) string {
		return s.proof(t, key, "POST", "/token", append([]any{"nonce", nonce}, pairs...)...)
	}
	used := good()
	if p := ask(used); p.Status != http.StatusOK {
		t.Fatalf("a good proof got %d %s", p.Status, p.Body)
	}
	refused(t, "none", ask(), "invalid_dpop_proof")
	refused(t, "used", ask(used), "invalid_dpop_proof")
	refused(t, "two", ask(good(), good()), "invalid_dpop_proof")
	refused(t, "with ath", ask(good("ath", ath("x"))), "invalid_dpop_proof")
	refused(t, "another method", ask(good("htm", "GET")), "invalid_dpop_proof")
	refused(t, "another address", ask(good("htu", s.URL+"/par")), "invalid_dpop_proof")
	refused(t, "61 s old", ask(good("iat", s.Clock().Unix()-61)), "invalid_dpop_proof")
	refused(t, "no jti", ask(good("jti", nil)), "invalid_dpop_proof")
	refused(t, "another type", ask(key.sign(t, "JWT", true, map[string]any{"htm": "POST", "htu": s.URL + "/token", "jti": "j", "iat": s.Clock().Unix(), "nonce": nonce})), "invalid_dpop_proof")
	refused(t, "no key", ask(key.sign(t, "dpop+jwt", false, map[string]any{"htm": "POST", "htu": s.URL + "/token", "jti": "j", "iat": s.Clock().Unix(), "nonce": nonce})), "invalid_dpop_proof")
	refused(t, "garbage", ask("x"), "invalid_dpop_proof")
	if p := ask(good("htu", strings.Replace(s.URL, "http://", "HTTP://", 1)+"/token?x=1#y")); p.Status != http.StatusOK {
		t.Errorf("another spelling of the address got %d %s", p.Status, p.Body)
	}
	s.clock.Add(5 * time.Minute)
	refused(t, "an old nonce", ask(good()), "use_dpop_nonce")
	nonce = s.nonce(t, key)

	code := s.code(t, "must", "dpop_jkt", key.jkt(t))
	theirs := s.proof(t, other, "POST", "/token", "nonce", nonce)
	refused(t, "a code that is bound to another key", s.call(t, http.MethodPost, "/token", codeForm(code), "Authorization", basicOf("must", servertest.Secret), "DPoP", theirs), "invalid_grant")
	if problem := s.authorize(with("must", "dpop_jkt", "x")); !strings.Contains(problem.Location, "error=invalid_request") {
		t.Errorf("dpop_jkt=x: %s", problem.Location)
	}
	push := with("must")
	p := s.call(t, http.MethodPost, "/par", push, "Authorization", basicOf("must", servertest.Secret), "DPoP", s.proof(t, key, "POST", "/par", "nonce", nonce))
	uri, _ := object(t, p)["request_uri"].(string)
	code = sent(t, s.alice.Get("/authorize?"+url.Values{"client_id": {"must"}, "request_uri": {uri}}.Encode())).Get("code")
	theirs = s.proof(t, other, "POST", "/token", "nonce", nonce)
	refused(t, "a code of a request that was pushed with another key", s.call(t, http.MethodPost, "/token", codeForm(code), "Authorization", basicOf("must", servertest.Secret), "DPoP", theirs), "invalid_grant")
	push.Set("dpop_jkt", other.jkt(t))
	refused(t, "dpop_jkt of another key than the proof's", s.call(t, http.MethodPost, "/par", push, "Authorization", basicOf("must", servertest.Secret), "DPoP", s.proof(t, key, "POST", "/par", "nonce", nonce)), "invalid_dpop_proof")
}

// TestDPoPExchange: a bound token is exchanged for one that is bound, to the key of the client that exchanges it.
func TestDPoPExchange(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	s.apply(t, "client_id: middle, client_secret: "+servertest.Secret+", grant_types: ['"+exchange+"'], scope: profile, token_exchange_from: [conf]")
	key, own := newSigner(t, "ES256"), newSigner(t, "ES256")
	nonce := s.nonce(t, key)
	first := object(t, s.call(t, http.MethodPost, "/token", codeForm(s.code(t, "conf")), "Authorization", basicOf("conf", servertest.Secret), "DPoP", s.proof(t, key, "POST", "/token", "nonce", nonce)))
	form := url.Values{"grant_type": {exchange}, "subject_token": {first["access_token"].(string)}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
	refused(t, "without a proof", s.post(t, "/token", "middle", form), "invalid_dpop_proof")
	p := s.call(t, http.MethodPost, "/token", form, "Authorization", basicOf("middle", servertest.Secret), "DPoP", s.proof(t, own, "POST", "/token", "nonce", nonce))
	if got := object(t, p); p.Status != http.StatusOK || got["token_type"] != "DPoP" {
		t.Errorf("got %d %s", p.Status, p.Body)
	}
}

// TestDPoPOnce: one proof counts once, over two instances.
func TestDPoPOnce(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		key := newSigner(t, "ES256")
		nonce := s.nonce(t, key)
		proof := s.proof(t, key, "POST", "/token", "nonce", nonce)
		var mu sync.Mutex
		statuses := map[int]int{}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				p := s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basicOf("conf", servertest.Secret), "DPoP", proof)
				mu.Lock()
				defer mu.Unlock()
				statuses[p.Status]++
			})
		}
		all.Wait()
		if statuses[http.StatusOK] != 1 || statuses[http.StatusBadRequest] != 49 {
			t.Errorf("50 uses of one proof got %v", statuses)
		}
	})
}
