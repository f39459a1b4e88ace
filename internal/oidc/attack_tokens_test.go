package oidc_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// subjectForm asks for a token of a client's own in the place of one that it was handed (RFC 8693).
func subjectForm(token string) url.Values {
	return url.Values{"grant_type": {exchange}, "subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
}

// reapply changes a registration, and waits until the service has noticed.
func (s *refusals) reapply(t testing.TB, id, line string) {
	t.Helper()
	began := s.Clock()
	s.apply(t, line)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := s.DB.Client(t.Context(), client.ID(id)); err == nil && !c.Updated.Before(began.Truncate(time.Microsecond)) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the service did not notice the changed registration within 30 s")
		}
	}
}

// TestRevokedWhileBarred: an application gives a token back while its person may not use it. The answer is 200, so the token is dead for good:
// also when the person may use it again (RFC 7009 §2.1).
func TestRevokedWhileBarred(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		app := func(groups string) string {
			return "client_id: closed, " + withKey + "allowed_groups: [" + groups + "], " + registered
		}
		s.apply(t, app("admins"))
		tokens := s.tokens(t, "closed")
		s.ApplyFile(t, "groups: [elsewhere]")
		s.reapply(t, "closed", app("elsewhere"))
		refused(t, "RT-04: out of the group", s.post(t, "/token", "closed", refreshForm(tokens["refresh_token"])), "invalid_grant")
		if p := s.post(t, "/revoke", "closed", url.Values{"token": {tokens["refresh_token"]}}); p.Status != http.StatusOK {
			t.Fatalf("revoke got %d", p.Status)
		}
		s.reapply(t, "closed", app("admins"))
		if left := s.alive(t, "closed", tokens); left != "" {
			t.Errorf("FT-01: after a revocation that was answered with 200, what works is: %s", left)
		}
	})
}

// TestExchangedWithItsFamily: what was made of a token ends with the family of that token, over every hand that it went through.
func TestExchangedWithItsFamily(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		service := "client_secret: " + servertest.Secret + ", grant_types: ['" + exchange + "'], scope: profile, "
		s.apply(t, "client_id: front, "+withKey+registered, "client_id: middle, "+service+"access_token_format: at+jwt, token_exchange_from: [front]", "client_id: back, "+service+"token_exchange_from: [middle]")
		for what, end := range map[string]func(map[string]string){
			"given back": func(tokens map[string]string) {
				s.post(t, "/revoke", "front", url.Values{"token": {tokens["refresh_token"]}})
			},
			"a replayed refresh": func(tokens map[string]string) { s.alive(t, "front", tokens); s.alive(t, "front", tokens) },
		} {
			tokens := s.tokens(t, "front")
			middle := words(t, s.post(t, "/token", "middle", subjectForm(tokens["access_token"])))["access_token"]
			back := words(t, s.post(t, "/token", "back", subjectForm(middle)))["access_token"]
			active := func(id, token string) bool {
				return object(t, s.post(t, "/introspect", id, url.Values{"token": {token}}))["active"] == true
			}
			if !active("middle", middle) || !active("back", back) {
				t.Fatal("the exchanged tokens do not work")
			}
			end(tokens)
			if active("front", tokens["access_token"]) {
				t.Fatalf("RT-01: %s: the family lives", what)
			}
			if active("middle", middle) || active("back", back) {
				t.Errorf("RT-01: %s: a token that was made of one of the family is active", what)
			}
			if p := s.post(t, "/token", "back", subjectForm(middle)); p.Status == http.StatusOK {
				t.Errorf("RT-01: %s: and can be exchanged on", what)
			}
		}
	})
}

// TestWithdrawn: what a registration does not allow any more, its refresh tokens do not bring: a resource, and a claim that was asked for by its
// name (RT-05, AZ-10).
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		app := func(resources, scope string) string {
			return "client_id: app, " + withKey + "redirect_uris: ['https://app.example/callback'], id_token_signed_response_alg: ES256, grant_types: [authorization_code, refresh_token], resources: [" + resources + "], scope: openid " + scope + " offline_access"
		}
		s.apply(t, app("'"+api+"', '"+s.URL+"'", "profile email groups"))
		q := resources(with("app", "scope", "openid offline_access", "claims", `{"id_token":{"email":null,"name":null},"userinfo":{"groups":null,"name":null}}`), api, s.URL)
		tokens := words(t, s.post(t, "/token", "app", codeForm(sent(t, s.authorize(q)).Get("code"))))
		if id, info := s.told(t, tokens); !strings.Contains(id, "email=") || !strings.Contains(info, "groups=") {
			t.Fatalf("the claims are %q and %q", id, info)
		}
		s.reapply(t, "app", app("'"+s.URL+"'", "profile"))
		next := words(t, s.post(t, "/token", "app", refreshForm(tokens["refresh_token"])))
		if id, info := s.told(t, next); strings.Contains(id, "email=") || strings.Contains(info, "groups=") || !strings.Contains(id, "name=") || !strings.Contains(info, "name=") {
			t.Errorf("AZ-10: the client lost the scopes email and groups, and a refresh brings %q and %q", id, info)
		}
		if aud := s.aud(t, "app", next["access_token"]); aud != s.URL {
			t.Errorf("RT-05: the client lost a resource, and the audience after a refresh is %s", aud)
		}
		refused(t, "RT-05: asked for by name", s.post(t, "/token", "app", resources(refreshForm(next["refresh_token"]), api)), "invalid_target")
		s.reapply(t, "app", app("'https://new.example/'", "profile"))
		refused(t, "RT-05: with no resource left", s.post(t, "/token", "app", refreshForm(next["refresh_token"])), "invalid_target")
		s.reapply(t, "app", app("'"+api+"', '"+s.URL+"'", "profile"))
		if aud := s.aud(t, "app", words(t, s.post(t, "/token", "app", refreshForm(next["refresh_token"])))["access_token"]); aud != "["+api+" "+s.URL+"]" {
			t.Errorf("with both again the audience is %s", aud)
		}
	})
}

// TestObjectAsAssertion: a request object goes through the browser of whoever asks for it. One that has a sub, which RFC 9101 §10.8 advises
// against and libraries add, must not authenticate the client.
func TestObjectAsAssertion(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	by := newSigner(t, "ES256")
	s.apply(t, signs("signs", set(t, by.public())))
	now := s.Clock().Unix()
	object := map[string]any{"iss": "signs", "sub": "signs", "aud": s.URL, "iat": now, "exp": now + 60, "jti": rand.Text()}
	for name, values := range with("signs") {
		object[name] = values[0]
	}
	for _, typ := range []string{"JWT", "oauth-authz-req+jwt", "client-authentication+jwt"} {
		request := by.sign(t, typ, false, maps.Clone(object))
		if typ != "client-authentication+jwt" {
			if got := sent(t, s.authorize(url.Values{"client_id": {"signs"}, "request": {request}})); got.Get("code") == "" {
				t.Fatalf("it is no good request object: %v", got)
			}
		}
		form := asserted(request)
		form.Set("grant_type", "client_credentials")
		refused(t, "JW-01: a request object of the type "+typ+" as a client assertion", s.call(t, http.MethodPost, "/token", form), "invalid_client")
	}
	if got := sent(t, s.authorize(url.Values{"client_id": {"signs"}, "redirect_uri": {servertest.Redirect}, "request": {s.assertion(t, by, "signs")}})); got.Get("error") != "invalid_request_object" {
		t.Errorf("JW-05: a client assertion as a request object got %v", got)
	}
}

// TestKeysThatHang (FT-03): the key set of an application never comes. Each answer says so within 2 s, each is on record as an outage, and none
// is taken for one of the database.
func TestKeysThatHang(t *testing.T) {
	keysThatHang := func(t *testing.T, s *refusals) {
		gone := make(chan struct{})
		web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-gone:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(web.Close)
		t.Cleanup(func() { close(gone) })
		by := newSigner(t, "ES256")
		s.apply(t, "client_id: hang, token_endpoint_auth_method: private_key_jwt, jwks_uri: '"+web.URL+"/jwks', "+registered)
		for range 2 {
			began := time.Now()
			p := s.call(t, http.MethodPost, "/token", asserted(s.assertion(t, by, "hang"), "grant_type", "client_credentials"))
			for range 3 { // on a busy machine the time that is left may not be enough to put it on record: the answer is that of the database
				if !strings.Contains(p.Body, "jwks_uri") && p.Status == http.StatusServiceUnavailable {
					p = s.call(t, http.MethodPost, "/token", asserted(s.assertion(t, by, "hang"), "grant_type", "client_credentials"))
				}
			}
			if w := words(t, p); p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || w["error"] != "temporarily_unavailable" || !strings.Contains(w["error_description"], "jwks_uri") {
				t.Errorf("FT-03: got %d %s", p.Status, p.Body)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("FT-03: it took %v", took)
			}
		}
		s.authorize(url.Values{"client_id": {"hang"}, "redirect_uri": {servertest.Redirect}, "request": {s.assertion(t, by, "hang")}})
		events := s.Events(t, audit.TokenRefused, audit.AuthorizeRefused)
		if len(events) != 3 {
			t.Errorf("AU-01: 3 refusals left %d events", len(events))
		}
		for _, e := range events {
			if e.Reason != audit.Outage {
				t.Errorf("AU-01: %s is on record with the reason %q", e.Kind, e.Reason)
			}
		}
	}
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			keysThatHang(t, newRefusalsWith(t, e.New(t), servertest.Options{Timeout: 2 * time.Second}))
		})
	}
}

// TestRefreshBoundLater: the refresh token that a public client gets with a proof is bound to its key, also where the one before it was bound to
// none (RFC 9449 §5).
func TestRefreshBoundLater(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	key, other := newSigner(t, "ES256"), newSigner(t, "ES256")
	nonce := s.nonce(t, key)
	ask := func(form url.Values, by *signer) *servertest.Page {
		form.Set("client_id", "pub")
		if by == nil {
			return s.call(t, http.MethodPost, "/token", form)
		}
		return s.call(t, http.MethodPost, "/token", form, "DPoP", s.proof(t, *by, "POST", "/token", "nonce", nonce))
	}
	first := words(t, ask(codeForm(s.code(t, "pub")), nil))["refresh_token"]
	second := words(t, ask(refreshForm(first), &key))["refresh_token"]
	refused(t, "RFC 9449 §5: without a proof", ask(refreshForm(second), nil), "invalid_grant")
	refused(t, "RFC 9449 §5: with another key", ask(refreshForm(second), &other), "invalid_grant")
	if p := ask(refreshForm(second), &key); p.Status != http.StatusOK {
		t.Errorf("with its key: %d %s", p.Status, p.Body)
	}
}

// TestPollOnce (JW-02): an assertion, and a proof, count for one poll of a device that waits.
func TestPollOnce(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		by, key := newSigner(t, "ES256"), newSigner(t, "EdDSA")
		s.apply(t, "client_id: box, token_endpoint_auth_method: private_key_jwt, jwks: "+set(t, by.public())+", scope: openid, grant_types: ['"+client.GrantDevice+"']")
		code := words(t, s.call(t, http.MethodPost, "/device_authorization", asserted(s.assertion(t, by, "box"), "scope", "openid")))["device_code"]
		poll := func(assertion, proof string) *servertest.Page {
			return s.call(t, http.MethodPost, "/token", asserted(assertion, "grant_type", client.GrantDevice, "device_code", code), "DPoP", proof)
		}
		nonce := s.nonce(t, key)
		proof := func() string { return s.proof(t, key, "POST", "/token", "nonce", nonce) }
		one, first := s.assertion(t, by, "box"), proof()
		s.clock.Add(5 * time.Second)
		refused(t, "the first poll", poll(one, first), "authorization_pending")
		s.clock.Add(5 * time.Second)
		refused(t, "JW-02: with the same assertion", poll(one, proof()), "invalid_client")
		refused(t, "RFC 9449 §11.1: with the same proof", poll(s.assertion(t, by, "box"), first), "invalid_dpop_proof")
		refused(t, "a good poll, at the pace", poll(s.assertion(t, by, "box"), proof()), "authorization_pending")
	})
}

// TestPushedSize (DO-01): what strangers can have kept in the name of a public client has a size.
func TestPushedSize(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	push := func(n int) *servertest.Page {
		form := with("pub", "state", strings.Repeat("s", 4096), "nonce", strings.Repeat("n", 4096))
		for i := range n {
			form.Set("x"+string(rune('a'+i)), strings.Repeat("x", 4000))
		}
		return s.call(t, http.MethodPost, "/par", form)
	}
	if p := push(1); p.Status != http.StatusCreated {
		t.Errorf("12 KiB got %d %s", p.Status, p.Body)
	}
	refused(t, "DO-01: 48 KiB", push(10), "invalid_request")
}

// TestOutageOfTokens (FT-01, FT-02, FT-03): while the database is away, what came last says "try later" within 2 s as the rest does, and nothing
// that counts once is used up by it.
func TestOutageOfTokens(t *testing.T) {
	s := newRefusalsWith(t, storetest.Postgres(t), servertest.Options{Timeout: 2 * time.Second})
	by, key := newSigner(t, "ES256"), newSigner(t, "ES256")
	s.apply(t, signs("signs", set(t, by.public())), "client_id: lossy, "+withKey+"refresh_grace: 30, "+registered, "client_id: still, "+withKey+"refresh_token_rotation: false, "+registered,
		"client_id: ex, "+withKey+"grant_types: ['"+exchange+"'], scope: profile, token_exchange_from: [conf, ex]")
	nonce, code := s.nonce(t, key), s.code(t, "signs")
	proof := func(method, path, token string) string {
		if token == "" {
			return s.proof(t, key, method, path, "nonce", nonce)
		}
		return s.proof(t, key, method, path, "nonce", nonce, "ath", ath(token))
	}
	conf := basicOf("conf", servertest.Secret)
	bound := words(t, s.call(t, http.MethodPost, "/token", codeForm(s.code(t, "conf")), "Authorization", conf, "DPoP", proof("POST", "/token", "")))
	front, lossy, still := s.tokens(t, "conf"), s.tokens(t, "lossy"), s.tokens(t, "still")
	exchanged := words(t, s.post(t, "/token", "ex", subjectForm(front["access_token"])))["access_token"]
	redeem := codeForm(code)
	for name, values := range asserted(s.assertion(t, by, "signs")) {
		redeem[name] = values
	}
	push := with("signs", "scope", "openid")
	for name, values := range asserted(s.assertion(t, by, "signs")) {
		push[name] = values
	}
	token, own := proof("POST", "/token", ""), proof("GET", "/userinfo", bound["access_token"])
	about, given := asserted(s.assertion(t, by, "signs"), "token", front["access_token"]), asserted(s.assertion(t, by, "signs"), "token", "x")
	calls := map[string]func() *servertest.Page{
		"a code, with assertion and proof": func() *servertest.Page { return s.call(t, http.MethodPost, "/token", redeem, "DPoP", token) },
		"a push, with an assertion":        func() *servertest.Page { return s.call(t, http.MethodPost, "/par", push) },
		"introspection by assertion":       func() *servertest.Page { return s.call(t, http.MethodPost, "/introspect", about) },
		"revocation by assertion":          func() *servertest.Page { return s.call(t, http.MethodPost, "/revoke", given) },
		"userinfo with a proof": func() *servertest.Page {
			return s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "DPoP "+bound["access_token"], "DPoP", own)
		},
		"an exchange":                    func() *servertest.Page { return s.post(t, "/token", "ex", subjectForm(front["access_token"])) },
		"about an exchanged token":       func() *servertest.Page { return s.post(t, "/introspect", "ex", url.Values{"token": {exchanged}}) },
		"a refresh with grace":           func() *servertest.Page { return s.post(t, "/token", "lossy", refreshForm(lossy["refresh_token"])) },
		"a refresh that does not rotate": func() *servertest.Page { return s.post(t, "/token", "still", refreshForm(still["refresh_token"])) },
	}
	storetest.Stop()
	var all sync.WaitGroup
	for what, call := range calls {
		all.Go(func() {
			began := time.Now()
			p := call()
			if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || words(t, p)["error"] != "temporarily_unavailable" {
				t.Errorf("FT-03: %s got %d %s", what, p.Status, p.Body)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("FT-03: %s took %v", what, took)
			}
		})
	}
	all.Wait()
	storetest.Continue()
	for end := time.Now().Add(30 * time.Second); s.post(t, "/introspect", "conf", url.Values{"token": {"x"}}).Status != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the service is not whole again")
		}
	}
	for what, call := range calls {
		if p := call(); p.Status/100 != 2 {
			t.Errorf("FT-03: after the outage %s got %d %s", what, p.Status, p.Body)
		}
	}
}
