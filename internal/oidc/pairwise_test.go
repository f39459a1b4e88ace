package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	stock "github.com/coreos/go-oidc/v3/oidc"
)

const pairwise = withKey + "subject_type: pairwise, "

// TestPairwise: a person is another to each sector and the same to the clients of one, wherever a client sees a sub or a sid (OpenID Connect
// Core §8.1); nobody but this service can tell that two of them are one.
func TestPairwise(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		here := strings.Replace(registered, "redirect_uris: [", "redirect_uris: ['https://b.example/cb', ", 1)
		s.apply(t, "client_id: one, "+pairwise+registered, "client_id: two, "+pairwise+"access_token_format: at+jwt, "+registered,
			"client_id: far, "+pairwise+"sector_identifier_uri: 'https://sector.example/uris.json', "+here, "client_id: open, "+withKey+registered)
		subs, sids, tokens := map[string]string{}, map[string]string{}, map[string]map[string]string{}
		for _, id := range []string{"one", "two", "far", "open"} {
			tokens[id] = s.tokens(t, id, "scope", "openid offline_access")
			c := claims(t, tokens[id]["id_token"])
			subs[id], sids[id] = c["sub"].(string), c["sid"].(string)
		}
		if subs["one"] != subs["two"] || sids["one"] != sids["two"] {
			t.Errorf("in one sector: %v %v", subs, sids)
		}
		for _, all := range []map[string]string{subs, sids} {
			if all["one"] == all["far"] || all["one"] == all["open"] || all["far"] == all["open"] || strings.Contains(all["one"], all["open"]) {
				t.Errorf("across sectors: %v", all)
			}
		}
		for _, id := range []string{"one", "far", "open"} {
			said := map[string]any{}
			said["userinfo"] = object(t, s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens[id]["access_token"]))["sub"]
			told := object(t, s.post(t, "/introspect", id, url.Values{"token": {tokens[id]["access_token"]}}))
			said["introspection"] = told["sub"]
			if told["sid"] != sids[id] || (told["username"] == nil) != (id != "open") {
				t.Errorf("%s: introspection says %v", id, told)
			}
			said["refresh"] = claims(t, words(t, s.post(t, "/token", id, refreshForm(tokens[id]["refresh_token"])))["id_token"])["sub"]
			for where, sub := range said {
				if sub != subs[id] {
					t.Errorf("%s, %s: %v, want %s", id, where, sub, subs[id])
				}
			}
		}
		if c := read2(t, tokens["two"]["access_token"]); c["sub"] != subs["two"] || c["sid"] != sids["two"] {
			t.Errorf("the at+jwt says %v", c)
		}
		s.readBack(t, subs, tokens)
	})
}

// readBack: what a client knows somebody by counts when it comes back, and what another sector knows them by does not.
func (s *refusals) readBack(t *testing.T, subs map[string]string, tokens map[string]map[string]string) {
	t.Helper()
	ask := func(sub string) string { return `{"id_token":{"sub":{"value":"` + sub + `"}}}` }
	if q := sent(t, s.authorize(with("one", "scope", "openid", "prompt", "none", "claims", ask(subs["two"])))); q.Get("code") == "" {
		t.Errorf("the claim sub: %v", q)
	}
	if q := sent(t, s.authorize(with("one", "scope", "openid", "prompt", "none", "id_token_hint", tokens["one"]["id_token"]))); q.Get("code") == "" {
		t.Errorf("id_token_hint: %v", q)
	}
	for what, sub := range map[string]string{"another sector's": subs["far"], "the public one": subs["open"], "none": "x", "a changed one": subs["one"][:len(subs["one"])-2] + "AA"} {
		if q := sent(t, s.authorize(with("one", "scope", "openid", "prompt", "none", "claims", ask(sub)))); q.Get("error") != "invalid_request" {
			t.Errorf("the claim sub, %s: %v", what, q)
		}
	}
	if q := sent(t, s.authorize(with("one", "scope", "openid", "id_token_hint", tokens["far"]["id_token"]))); q.Get("error") != "invalid_request" {
		t.Errorf("another client's hint: %v", q)
	}
	s.apply(t, "client_id: open, "+pairwise+registered)
	for end := time.Now().Add(30 * time.Second); sent(t, s.authorize(with("open", "scope", "openid", "prompt", "none", "id_token_hint", tokens["open"]["id_token"]))).Get("error") != "invalid_request"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) { // the change is known everywhere within half a second
			t.Fatal("a hint of before the client was pairwise counts")
		}
	}
	p := s.alice.Get("/logout?" + url.Values{"id_token_hint": {tokens["one"]["id_token"]}}.Encode())
	if !strings.HasSuffix(p.Location, "/signed-out") {
		t.Errorf("signing out by a hint: %d %q %s", p.Status, p.Location, p.Body)
	}
}

// TestPairwiseLogout: the logout token has the sub and the sid that the application knows.
func TestPairwiseLogout(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	got := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.PostFormValue("logout_token") }))
	t.Cleanup(app.Close)
	s.apply(t, "client_id: told, "+pairwise+"backchannel_logout_uri: '"+app.URL+"', "+registered)
	id := claims(t, s.tokens(t, "told", "scope", "openid")["id_token"])
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { s.OIDC.TellApplications(ctx); close(over) }()
	defer func() { stop(); <-over }()
	s.alice.FillWith(s.alice.Get("/logout"), `action="/logout"`)
	if c := read2(t, <-got); c["sub"] != id["sub"] || c["sid"] != id["sid"] || c["sub"] == nil {
		t.Errorf("the logout token says %v, the ID token %v", c, id)
	}
}

// TestSignedUserInfo: a client that is registered for it gets userinfo as a JWT (OpenID Connect Core §5.3.2), which is no ID token.
func TestSignedUserInfo(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	s.apply(t, "client_id: signed, "+withKey+"userinfo_signed_response_alg: PS256, "+registered)
	tokens := s.tokens(t, "signed", "scope", "openid profile")
	p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"])
	if p.Status != http.StatusOK || p.Header.Get("Content-Type") != "application/jwt" || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v %s", p.Status, p.Header, p.Body)
	}
	provider, err := stock.NewProvider(context.Background(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := stock.NewRemoteKeySet(context.Background(), s.URL+"/jwks").VerifySignature(context.Background(), p.Body)
	var c map[string]any
	if err != nil || json.Unmarshal(body, &c) != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if c["iss"] != s.URL || c["aud"] != "signed" || c["sub"] != claims(t, tokens["id_token"])["sub"] || c["name"] != "Alice Åkerblom" {
		t.Errorf("it says %v", c)
	}
	if _, err := provider.Verifier(&stock.Config{ClientID: "signed", SupportedSigningAlgs: []string{"PS256"}, Now: s.Clock}).Verify(context.Background(), p.Body); err == nil {
		t.Error("RFC 8725 §3.11: it passes for an ID token")
	}
	if q := sent(t, s.authorize(with("signed", "scope", "openid", "id_token_hint", p.Body))); q.Get("error") != "invalid_request" {
		t.Errorf("RFC 8725 §3.11: it passes for a hint: %v", q)
	}
}
