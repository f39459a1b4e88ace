package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// told gives the claims about a person in the ID token and at the userinfo endpoint, as texts, without those that are always there.
func (s *refusals) told(t testing.TB, tokens map[string]string) (id, info string) {
	t.Helper()
	p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"])
	if p.Status != http.StatusOK {
		t.Fatalf("userinfo: %d %s", p.Status, p.Body)
	}
	names := func(all map[string]any) string {
		var out []string
		for _, name := range []string{"name", "preferred_username", "locale", "email", "email_verified", "phone_number", "phone_number_verified", "groups", "birthdate"} {
			if v, ok := all[name]; ok {
				out = append(out, fmt.Sprint(name, "=", v))
			}
		}
		return strings.Join(out, " ")
	}
	return names(claims(t, tokens["id_token"])), names(object(t, p))
}

func object(t testing.TB, p *servertest.Page) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(p.Body), &out); err != nil {
		t.Fatalf("%s: %d is no JSON: %v\n%.300s", p.URL, p.Status, err, p.Body)
	}
	return out
}

// TestClaims: single claims come where they were asked for, and no others; nothing comes that the client's registration does not allow.
func TestClaims(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for _, c := range []struct{ claims, id, info string }{
			{``, "", ""}, {`{}`, "", ""},
			{`{"id_token":{"email":null,"name":{"essential":true}},"userinfo":{"groups":{"essential":false},"phone_number":{}}}`, "name=Alice Åkerblom email=alice@example.se", "phone_number=+46701740605 groups=[staff admins]"},
			{`{"userinfo":{"email_verified":null,"phone_number_verified":{"essential":true},"preferred_username":null,"locale":null}}`, "", "preferred_username=alice locale=en email_verified=true phone_number_verified=true"},
			{`{"id_token":{"phone_number_verified":null,"groups":null}}`, "phone_number_verified=true groups=[staff admins]", ""},
			{`{"id_token":{"birthdate":{"essential":true},"name#sv":null,"Email":null,"":null,"verified_claims":[{"x":[]}]},"ID_TOKEN":{"email":null},"purpose":7}`, "", ""},
			{`{"id_token":null,"userinfo":null}`, "", ""},
			{`{"id_token":{"email":{"value":"mallory@example.se"},"name":{"values":[1,null,{}]}}}`, "name=Alice Åkerblom email=alice@example.se", ""}, // a value of these is a wish
		} {
			id, info := s.told(t, s.tokens(t, "conf", "scope", "openid", "claims", c.claims))
			if id != c.id || info != c.info {
				t.Errorf("claims %s gave %q and %q, want %q and %q", c.claims, id, info, c.id, c.info)
			}
		}
		id, info := s.told(t, s.tokens(t, "conf", "scope", "openid email", "claims", `{"id_token":{"name":null}}`))
		if id != "name=Alice Åkerblom email=alice@example.se email_verified=true" || info != "email=alice@example.se email_verified=true" {
			t.Errorf("beside a scope: %q and %q", id, info)
		}
		code := s.code(t, "pub", "scope", "openid", "claims", `{"id_token":{"email":{"essential":true},"groups":null,"name":null},"userinfo":{"phone_number":null,"auth_time":null,"acr":null}}`)
		form := codeForm(code)
		form.Set("client_id", "pub")
		tokens := words(t, s.call(t, http.MethodPost, "/token", form))
		if id, info := s.told(t, tokens); id != "name=Alice Åkerblom" || info != "" {
			t.Errorf("a client without the scopes email, groups and phone got %q and %q", id, info)
		}
		all := object(t, s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"]))
		if all["acr"] != "urn:portvakt:acr:2fa" || all["auth_time"] == nil {
			t.Errorf("acr and auth_time at the userinfo endpoint: %v", all)
		}
		e := s.Events(t, audit.CodeIssued)
		if last := e[len(e)-1].Detail["claims"]; last != "acr auth_time name" {
			t.Errorf("the release of claims is on record as %q", last)
		}
		if first := e[0].Detail; first["claims"] != "" {
			t.Errorf("a release without single claims is on record as %v", first)
		}
	})
}

// TestClaimsRefresh: what was asked for comes with a refreshed token, but not with one of a narrower scope.
func TestClaimsRefresh(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	tokens := s.tokens(t, "conf", "scope", "openid offline_access profile", "claims", `{"id_token":{"email":null},"userinfo":{"groups":null}}`)
	next := words(t, s.post(t, "/token", "conf", refreshForm(tokens["refresh_token"])))
	if id, info := s.told(t, next); !strings.Contains(id, "email=") || !strings.Contains(info, "groups=") {
		t.Errorf("after a refresh: %q and %q", id, info)
	}
	form := refreshForm(next["refresh_token"])
	form.Set("scope", "openid")
	next = words(t, s.post(t, "/token", "conf", form))
	if id, info := s.told(t, next); id != "" || info != "" {
		t.Errorf("with a narrower scope: %q and %q", id, info)
	}
}

// TestClaimsRefused: what is not as OpenID Connect Core §5.5 has it, and what contradicts itself.
func TestClaimsRefused(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	for _, text := range []string{"null", "[]", "1", `"x"`, "{", `{"id_token":[]}`, `{"id_token":"email"}`, `{"id_token":{"email":true}}`, `{"id_token":{"email":["x"]}}`, `{"id_token":{"email":{"essential":"yes"}}}`,
		`{"id_token":{"email":null,"email":null}}`, `{"id_token":{},"id_token":{}}`, `{"userinfo":{"email":{"essential":true,"essential":false}}}`, `{"id_token":{"acr":{"value":1}}}`, `{"id_token":{"acr":{"values":"x"}}}`,
		`{"id_token":{"sub":{"value":7}}}`, `{"id_token":{"sub":{"value":""}}}`, `{"id_token":{"sub":{"values":["a","b"]}}}`, `{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`,
		`{"id_token":{"sub":{"value":"` + strings.Repeat("x", 256) + `"}}}`, `{} {}`, `{"id_token":{"email":null}}x`, strings.Repeat(`{"id_token":`, 300), `{"id_token":{"x":` + strings.Repeat("[", 4000), `{"x":"` + strings.Repeat("y", 5000) + `"}`} {
		q := with("conf")
		q.Set("claims", text)
		if got := sent(t, s.authorize(q)); got.Get("error") != "invalid_request" || !described.MatchString(got.Get("error_description")) {
			t.Errorf("claims %.60s got %v", text, got)
		}
	}
	q := with("conf", "claims", "{}")
	q.Add("claims", "{}")
	if got := sent(t, s.authorize(q)); got.Get("error") != "invalid_request" {
		t.Errorf("F24: claims twice got %v", got)
	}
}

// TestClaimedSubject (AZ-09): a value of sub names the person as a hint does.
func TestClaimedSubject(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	hint := s.tokens(t, "conf")["id_token"]
	alice := claims(t, hint)["sub"].(string)
	m := s.Browser(t)
	m.Follow(m.SignIn(m.Get("/account"), "mallory", servertest.Password, servertest.OtherTOTP))
	for _, form := range []string{`{"id_token":{"sub":{"value":"%s"}}}`, `{"userinfo":{"sub":{"essential":true,"value":"%s"}}}`, `{"id_token":{"sub":{"values":["%[1]s"]}},"userinfo":{"sub":{"value":"%[1]s"}}}`} {
		text := fmt.Sprintf(form, alice)
		if got := sent(t, s.authorize(with("conf", "claims", text, "prompt", "none"))); got.Get("code") == "" {
			t.Errorf("AZ-09: alice, who was asked for by %s, got %v", text, got)
		}
		if got := sent(t, m.Get("/authorize?"+with("conf", "claims", text, "prompt", "none").Encode())); got.Get("error") != "login_required" {
			t.Errorf("AZ-09: mallory in alice's place, by %s, got %v", text, got)
		}
		other := fmt.Sprintf(form, "somebody-else")
		if got := sent(t, s.authorize(with("conf", "claims", other, "id_token_hint", hint))); got.Get("error") != "invalid_request" {
			t.Errorf("AZ-09: a hint of alice and %s got %v", other, got)
		}
		if got := sent(t, s.authorize(with("conf", "claims", text, "id_token_hint", hint))); got.Get("code") == "" {
			t.Errorf("AZ-09: a hint of alice and %s got %v", text, got)
		}
	}
	text := fmt.Sprintf(`{"id_token":{"sub":{"value":"%s"}}}`, alice)
	s.clock.Add(time.Minute)
	if p := m.SignIn(m.Get("/authorize?"+with("conf", "claims", text).Encode()), "mallory", servertest.Password, servertest.OtherTOTP); p.Status == http.StatusSeeOther || sent(t, p) != nil {
		t.Errorf("AZ-09: alice was asked for and mallory signed in: %s", p.Location)
	}
	uri := s.pushed(t, "conf", "claims", text, "prompt", "none")
	if got := sent(t, m.Get(pulled("conf", uri))); got.Get("error") != "login_required" {
		t.Errorf("AZ-09: pushed, mallory in alice's place got %v", got)
	}
	if got := sent(t, s.alice.Get(pulled("conf", uri))); got.Get("code") == "" {
		t.Errorf("AZ-09: pushed, alice got %v", got)
	}
}

// TestClaimsOnTheWay: what was asked for outlives a sign-in.
func TestClaimsOnTheWay(t *testing.T) {
	t.Parallel()
	s := newRefusals(t, storetest.SQLite(t), strings.Replace(servertest.Sample(), "client_id: conf,", "client_id: conf, resources: [https://api.example/, 'urn:example:b'],", 1))
	s.clock.Add(time.Minute)
	b := s.Browser(t)
	q := with("conf", "claims", `{"id_token":{"email":null}}`, "scope", "openid")
	q["resource"] = []string{"urn:example:b", "https://api.example/"}
	got := arrive(t, b.Follow(b.SignIn(b.Get("/authorize?"+q.Encode()), "alice", servertest.Password, servertest.TOTP)))
	tokens := words(t, s.post(t, "/token", "conf", codeForm(got.Get("code"))))
	if id := claims(t, tokens["id_token"]); id["email"] != "alice@example.se" || id["name"] != nil {
		t.Errorf("after a sign-in the ID token says %v", id)
	}
	if aud := fmt.Sprint(object(t, s.post(t, "/introspect", "conf", url.Values{"token": {tokens["access_token"]}}))["aud"]); aud != "[urn:example:b https://api.example/]" {
		t.Errorf("after a sign-in the audience is %s", aud)
	}
}
