package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stock "github.com/coreos/go-oidc/v3/oidc"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const (
	api      = "https://api.example/"
	reports  = "https://reports.example/"
	withKey  = "client_secret: " + servertest.Secret + ", "
	exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// TestJWTAccessToken: an access token in RFC 9068's form, verified as a resource server would with a stock library, and good here like an opaque one.
func TestJWTAccessToken(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		s.apply(t, "client_id: jwt, "+withKey+"access_token_format: at+jwt, resources: ['"+api+"', '"+reports+"'], "+registered,
			"client_id: plain, "+withKey+"access_token_format: at+jwt, "+registered)
		p, err := stock.NewProvider(context.Background(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		read := func(access, audience string) map[string]any {
			t.Helper()
			head, err := base64.RawURLEncoding.DecodeString(access[:strings.IndexByte(access, '.')])
			if err != nil || !strings.Contains(string(head), `"typ":"at+jwt"`) {
				t.Errorf("RFC 9068: the header is %s", head)
			}
			token, err := p.Verifier(&stock.Config{ClientID: audience, SupportedSigningAlgs: []string{"ES256"}, Now: s.Clock}).Verify(context.Background(), access)
			if err != nil {
				t.Fatal(err)
			}
			var c map[string]any
			if err := token.Claims(&c); err != nil {
				t.Fatal(err)
			}
			return c
		}
		tokens := s.tokens(t, "jwt", "resource", api, "scope", "openid profile groups offline_access")
		c := read(tokens["access_token"], api)
		person := read2(t, tokens["id_token"])
		if c["client_id"] != "jwt" || c["sub"] != person["sub"] || c["sid"] != person["sid"] || c["acr"] != "urn:portvakt:acr:2fa" || c["jti"] == "" || c["scope"] != "openid profile groups offline_access" || c["aud"] != api {
			t.Errorf("the claims are %v", c)
		}
		if groups, _ := c["groups"].([]any); len(groups) != 2 {
			t.Errorf("groups are %v", c["groups"])
		}
		if life := c["exp"].(float64) - c["iat"].(float64); life != 600 {
			t.Errorf("it lives %v s", life)
		}
		if p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+s.tokens(t, "jwt")["access_token"]); p.Status != http.StatusOK {
			t.Errorf("userinfo got %d", p.Status)
		}
		if p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["id_token"]); p.Status != http.StatusUnauthorized {
			t.Errorf("F2: an ID token at userinfo got %d", p.Status)
		}
		again := object(t, s.post(t, "/token", "jwt", refreshForm(tokens["refresh_token"])))
		c2 := read(again["access_token"].(string), api)
		if c2["jti"] == c["jti"] || c2["iat"].(float64) < c["iat"].(float64) {
			t.Errorf("after a refresh: %v, before: %v", c2, c)
		}
		own := object(t, s.post(t, "/token", "plain", url.Values{"grant_type": {"client_credentials"}, "scope": {"api"}}))
		if c := read(own["access_token"].(string), s.URL); c["sub"] != "plain" || c["sid"] != nil || c["acr"] != nil {
			t.Errorf("a client's own: %v", c)
		}
		parts := strings.Split(tokens["access_token"], ".")
		forged := parts[0] + "." + enc(strings.Replace(string(must(base64.RawURLEncoding.DecodeString(parts[1]))), `"scope":"openid`, `"scope":"admin`, 1)) + "." + parts[2]
		for what, token := range map[string]string{"forged": forged, "cut": tokens["access_token"][:100], "unsigned": parts[0] + "." + parts[1] + "."} {
			if object(t, s.post(t, "/introspect", "jwt", url.Values{"token": {token}}))["active"] != false {
				t.Errorf("a %s token is active", what)
			}
		}
		s.post(t, "/revoke", "jwt", url.Values{"token": {tokens["access_token"]}})
		if object(t, s.post(t, "/introspect", "jwt", url.Values{"token": {tokens["access_token"]}}))["active"] != false {
			t.Error("after its revocation it is active")
		}
	})
}

// read2 reads claims without a look at the signature.
func read2(t testing.TB, token string) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWhomATokenConcerns: introspection tells a client of its own tokens, a resource server of those that are for it, and nobody else anything; by
// a signed answer if that is asked for (RFC 9701).
func TestWhomATokenConcerns(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	s.apply(t, "client_id: app, "+withKey+"resources: ['"+api+"', '"+reports+"'], "+registered,
		"client_id: api, "+withKey+"resource_server: true, resources: ['"+api+"'], id_token_signed_response_alg: ES256, grant_types: [client_credentials], scope: api",
		"client_id: any, "+withKey+"resource_server: true, grant_types: [client_credentials], scope: api")
	tokens := map[string]map[string]string{
		"for the api":     s.tokens(t, "app", "resource", api),
		"for the reports": s.tokens(t, "app", "resource", reports),
		"for nothing":     s.tokens(t, "app"),
	}
	for what, who := range map[string][]string{"for the api": {"app", "api"}, "for the reports": {"app"}, "for nothing": {"app", "any"}} {
		for _, id := range []string{"app", "api", "any", "conf"} {
			about := object(t, s.post(t, "/introspect", id, url.Values{"token": {tokens[what]["access_token"]}}))
			if want := slices.Contains(who, id); about["active"] != want || !want && len(about) != 1 {
				t.Errorf("%s asks about a token %s: %v", id, what, about)
			}
			if about := object(t, s.post(t, "/introspect", id, url.Values{"token": {tokens[what]["refresh_token"]}})); about["active"] != (id == "app") {
				t.Errorf("%s asks about a refresh token: %v", id, about)
			}
		}
	}
	p := s.call(t, http.MethodPost, "/introspect", url.Values{"token": {tokens["for the api"]["access_token"]}}, "Authorization", basicOf("api", servertest.Secret), "Accept", "application/token-introspection+jwt")
	c := read2(t, p.Body)
	about, _ := c["token_introspection"].(map[string]any)
	if p.Header.Get("Content-Type") != "application/token-introspection+jwt" || c["iss"] != s.URL || c["aud"] != "api" || about["active"] != true || about["sub"] == "" || c["sub"] != nil || c["exp"] != nil {
		t.Errorf("RFC 9701: %v %v", p.Header, c)
	}
}

// TestRefreshGrace: where a client is registered for it, the answer to a refresh that was lost can be had once more for some seconds, and is the
// same refresh token, so that the family does not fork (RT-01, RT-02).
func TestRefreshGrace(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		s.apply(t, "client_id: lossy, "+withKey+"refresh_grace: 10, "+registered)
		first := s.tokens(t, "lossy")["refresh_token"]
		var mu sync.Mutex
		got := map[string]int{}
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				p := s.post(t, "/token", "lossy", refreshForm(first))
				mu.Lock()
				defer mu.Unlock()
				if p.Status != http.StatusOK {
					got[p.Body]++
					return
				}
				got[words(t, p)["refresh_token"]]++
			})
		}
		all.Wait()
		second := words(t, s.post(t, "/token", "lossy", refreshForm(first)))["refresh_token"]
		for answer := range got {
			if answer != second && !strings.Contains(answer, "invalid_grant") {
				t.Errorf("RT-02: 30 at once got %v", got)
			}
		}
		if got[second] == 0 || second == first {
			t.Fatalf("RT-02: nobody got the successor: %v", got)
		}
		third := words(t, s.post(t, "/token", "lossy", refreshForm(second)))["refresh_token"]
		if third == "" || third == second {
			t.Fatalf("the successor does not work: %q", third)
		}
		refused(t, "RT-01: two generations old, within the time", s.post(t, "/token", "lossy", refreshForm(first)), "invalid_grant")
		refused(t, "RT-01: the family is dead", s.post(t, "/token", "lossy", refreshForm(third)), "invalid_grant")

		first = s.tokens(t, "lossy")["refresh_token"]
		second = words(t, s.post(t, "/token", "lossy", refreshForm(first)))["refresh_token"]
		s.clock.Add(10 * time.Second)
		refused(t, "RT-01: after 10 s", s.post(t, "/token", "lossy", refreshForm(first)), "invalid_grant")
		refused(t, "RT-01: the family is dead", s.post(t, "/token", "lossy", refreshForm(second)), "invalid_grant")
	})
}

// TestRefreshWithoutRotation: a confidential client whose refresh tokens do not rotate uses one as long as it lives, each use making that longer.
func TestRefreshWithoutRotation(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		s.apply(t, "client_id: still, "+withKey+"refresh_token_rotation: false, "+registered)
		tokens := s.tokens(t, "still")
		for range 4 {
			s.clock.Add(10 * 24 * time.Hour)
			again := words(t, s.post(t, "/token", "still", refreshForm(tokens["refresh_token"])))
			if again["refresh_token"] != tokens["refresh_token"] || again["access_token"] == tokens["access_token"] {
				t.Fatalf("a refresh gave %v", again)
			}
		}
		refused(t, "RT-03: by another client", s.post(t, "/token", "conf", refreshForm(tokens["refresh_token"])), "invalid_grant")
		refused(t, "RT-03: after that", s.post(t, "/token", "still", refreshForm(tokens["refresh_token"])), "invalid_grant")
		idle := s.tokensOf(t, "still")
		s.clock.Add(14*24*time.Hour + time.Second)
		refused(t, "after 14 days without a use", s.post(t, "/token", "still", refreshForm(idle)), "invalid_grant")
	})
}

// tokensOf signs alice in anew and gives a refresh token.
func (s *refusals) tokensOf(t testing.TB, id string) string {
	t.Helper()
	s.alice = signedIn(t, s.Site)
	return s.tokens(t, id)["refresh_token"]
}

// TestExchange: a service gets a token of its own for the person whose token it was handed, and with it no more than it had (RFC 8693).
func TestExchange(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		service := "client_secret: " + servertest.Secret + ", grant_types: [client_credentials, '" + exchange + "'], scope: profile groups api, id_token_signed_response_alg: ES256, "
		s.apply(t, "client_id: front, "+withKey+registered, "client_id: middle, "+service+"access_token_format: at+jwt, token_exchange_from: [front]",
			"client_id: back, "+service+"token_exchange_from: [middle]", "client_id: closed, "+service+"token_exchange_from: [front], allowed_groups: [admins]",
			"client_id: strong, "+service+"token_exchange_from: [front], minimum_acr: phr")
		b := s.tokens(t, "front", "scope", "openid profile groups offline_access")
		ask := func(id, token string, pairs ...string) *servertest.Page {
			form := url.Values{"grant_type": {exchange}, "subject_token": {token}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
			for i := 0; i < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			return s.post(t, "/token", id, form)
		}
		p := ask("middle", b["access_token"])
		got := object(t, p)
		if p.Status != http.StatusOK || got["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" || got["scope"] != "profile groups" || got["refresh_token"] != nil || got["id_token"] != nil {
			t.Fatalf("got %d %s", p.Status, p.Body)
		}
		middle := got["access_token"].(string)
		c := read2(t, middle)
		if act, _ := c["act"].(map[string]any); c["client_id"] != "middle" || c["sub"] != read2(t, b["id_token"])["sub"] || act["sub"] != "middle" || act["act"] != nil {
			t.Errorf("the claims are %v", c)
		}
		back := object(t, ask("back", middle, "scope", "profile"))["access_token"].(string)
		about := object(t, s.post(t, "/introspect", "back", url.Values{"token": {back}}))
		act, _ := about["act"].(map[string]any)
		before, _ := act["act"].(map[string]any)
		if about["scope"] != "profile" || act["sub"] != "back" || before["sub"] != "middle" || about["username"] != "alice" || about["client_id"] != "back" {
			t.Errorf("introspection says %v", about)
		}
		refused(t, "of an application that is not named", ask("back", b["access_token"]), "invalid_request")
		refused(t, "with more scopes", ask("middle", b["access_token"], "scope", "api"), "invalid_scope")
		refused(t, "back to more scopes", ask("back", middle, "scope", "profile api"), "invalid_scope")
		refused(t, "a refresh token", ask("middle", b["refresh_token"]), "invalid_request")
		refused(t, "an ID token", ask("middle", b["id_token"]), "invalid_request")
		refused(t, "another type", ask("middle", b["id_token"], "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), "invalid_request")
		refused(t, "for another type", ask("middle", b["access_token"], "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request")
		refused(t, "with an actor", ask("middle", b["access_token"], "actor_token", back), "invalid_request")
		refused(t, "for a resource", ask("middle", b["access_token"], "resource", api), "invalid_target")
		refused(t, "by one that is not registered", ask("conf", b["access_token"]), "unauthorized_client")
		refused(t, "too weak a sign-in", ask("strong", b["access_token"]), "invalid_grant")
		if p := ask("closed", b["access_token"]); p.Status != http.StatusOK {
			t.Errorf("alice is an administrator and got %d", p.Status)
		}
		own := words(t, s.post(t, "/token", "front", url.Values{"grant_type": {"client_credentials"}}))["access_token"]
		refused(t, "a token of nobody", ask("middle", own), "invalid_request")
		if events := s.Events(t, audit.TokenIssued); !slices.ContainsFunc(events, func(e audit.Event) bool {
			return e.Client == "middle" && e.Detail["exchanged"] != "" && e.Subject != ""
		}) {
			t.Error("no exchange on record")
		}
		if s.alive(t, "front", b) != "access refresh" {
			t.Error("refusals ended what the person had")
		}
		s.clock.Add(59 * time.Minute)
		if left := object(t, ask("middle", b["access_token"]))["expires_in"]; left != 60.0 {
			t.Errorf("a minute before its end the new token lives %v s", left)
		}
		s.clock.Add(30 * time.Second)
		refused(t, "within a minute of its end", ask("middle", b["access_token"]), "invalid_request")
		s.alice = signedIn(t, s.Site) // her session is locked by now
		fresh := object(t, ask("middle", s.tokens(t, "front", "scope", "openid profile")["access_token"]))["access_token"].(string)
		s.alice.Fill(s.alice.Get("/logout"))
		if object(t, s.post(t, "/introspect", "middle", url.Values{"token": {fresh}}))["active"] != false {
			t.Error("RT-04: after the session ended the exchanged token is active")
		}
	})
}

// TestTwoSecrets: while a secret is rotated, both count; one that leaked can be ended at once.
func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		works := func(secret string) bool {
			return s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basicOf("conf", secret)).Status == http.StatusOK
		}
		within := func(what string, ok func() bool) {
			t.Helper()
			for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal(what)
				}
			}
		}
		rotate := func(keep time.Duration) string {
			fresh, err := s.Admin.RotateSecret(t.Context(), audit.Origin{Actor: "cli"}, client.ID("conf"), keep)
			if err != nil {
				t.Fatal(err)
			}
			return fresh
		}
		second := rotate(time.Hour)
		within("the new secret does not work", func() bool { return works(second) })
		if !works(servertest.Secret) {
			t.Error("the old secret works no more")
		}
		third := rotate(time.Hour)
		within("the newest secret does not work", func() bool { return works(third) })
		if !works(second) || works(servertest.Secret) || works("") {
			t.Error("not the two newest secrets work")
		}
		s.clock.Add(time.Hour)
		if works(second) || !works(third) {
			t.Error("after its time the old secret works, or the new one does not")
		}
		fourth := rotate(0)
		within("the secret that leaked works", func() bool { return works(fourth) && !works(third) })
	})
}

// TestRefreshSlowClock (RT-01): an instance whose clock is behind takes a refresh token that was just used elsewhere for a used one.
func TestRefreshSlowClock(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			address := e.New(t)
			s := newRefusals(t, address, "")
			slow := &refusals{servertest.New(t, address, servertest.Options{Clock: func() time.Time { return s.clock.Now().Add(-5 * time.Second) }}), s.clock, nil}
			first := s.tokens(t, "conf")["refresh_token"]
			second := words(t, s.post(t, "/token", "conf", refreshForm(first)))["refresh_token"]
			refused(t, "RT-01: the used one, at the slow instance", slow.post(t, "/token", "conf", refreshForm(first)), "invalid_grant")
			refused(t, "RT-01: and what followed it", s.post(t, "/token", "conf", refreshForm(second)), "invalid_grant")
		})
	}
}
