package oidc_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const (
	apiA = "https://api.example/a"
	apiB = "https://api.example/b?tenant=1"
	apiC = "urn:example:c"
)

// targeted is a site whose client conf may ask for three resources, many for six and 17 scopes, and the others for none.
func targeted(t testing.TB, dbURL string) *refusals {
	t.Helper()
	apply := strings.Replace(servertest.Sample(), "client_id: conf,", "client_id: conf, resources: ['"+apiA+"', '"+apiB+"', '"+apiC+"'],", 1)
	var six, scopes []string
	for i := range 17 {
		scopes = append(scopes, "s"+strconv.Itoa(i))
	}
	for i := range 6 {
		six = append(six, "urn:example:"+strconv.Itoa(i))
	}
	apply += "  - {client_id: many, client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "], grant_types: [authorization_code, refresh_token],\n" +
		"     scope: openid offline_access " + strings.Join(scopes, " ") + ", resources: ['" + strings.Join(six, "', '") + "']}\n"
	return newRefusals(t, dbURL, apply)
}

// aud is what introspection says of a token's audience, "<nil>" if nothing.
func (s *refusals) aud(t testing.TB, client, token string) string {
	t.Helper()
	told := object(t, s.post(t, "/introspect", client, url.Values{"token": {token}}))
	if told["active"] != true {
		t.Fatalf("a token that does not work: %v", told)
	}
	return fmt.Sprint(told["aud"])
}

func resources(form url.Values, values ...string) url.Values {
	form["resource"] = values
	return form
}

// TestResources: what was asked for is the audience of the tokens, and a token request may ask for a part of it (RFC 8707 §2).
func TestResources(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := targeted(t, e.New(t))
			redeem := func(form url.Values) map[string]string {
				t.Helper()
				p := s.post(t, "/token", "conf", form)
				if p.Status != http.StatusOK {
					t.Fatalf("%v got %d %s", form, p.Status, p.Body)
				}
				return words(t, p)
			}
			authorize := func(values ...string) string {
				t.Helper()
				return sent(t, s.authorize(resources(with("conf"), values...))).Get("code")
			}
			tokens := redeem(codeForm(authorize(apiA, apiC, apiA, "")))
			both := "[" + apiA + " " + apiC + "]"
			if got := s.aud(t, "conf", tokens["access_token"]); got != both {
				t.Errorf("the audience is %s", got)
			}
			if got := s.aud(t, "conf", tokens["refresh_token"]); got != both {
				t.Errorf("the refresh token's audience is %s", got)
			}
			part := redeem(resources(refreshForm(tokens["refresh_token"]), apiC))
			if got := s.aud(t, "conf", part["access_token"]); got != apiC {
				t.Errorf("after narrowing the audience is %s", got)
			}
			if got := s.aud(t, "conf", redeem(refreshForm(part["refresh_token"]))["access_token"]); got != both {
				t.Errorf("after a refresh without resource the audience is %s", got)
			}
			part = redeem(resources(codeForm(authorize(apiB, apiA)), apiA, apiA))
			if got := s.aud(t, "conf", part["access_token"]); got != apiA {
				t.Errorf("a code for two, redeemed for one, gave the audience %s", got)
			}
			if got := s.aud(t, "conf", redeem(resources(refreshForm(part["refresh_token"]), apiB, apiA))["access_token"]); got != "["+apiB+" "+apiA+"]" {
				t.Errorf("and at refresh, for both: %s", got)
			}
			if got := s.aud(t, "conf", redeem(codeForm(authorize()))["access_token"]); got != "<nil>" {
				t.Errorf("no resource gave the audience %s", got)
			}
			own := url.Values{"grant_type": {"client_credentials"}}
			if got := s.aud(t, "conf", redeem(resources(own, apiB))["access_token"]); got != apiB {
				t.Errorf("client_credentials: the audience is %s", got)
			}
			if got := s.aud(t, "conf", redeem(url.Values{"grant_type": {"client_credentials"}})["access_token"]); got != "<nil>" {
				t.Errorf("client_credentials without resource: the audience is %s", got)
			}
			code := sent(t, s.alice.Get(pulled("conf", words(t, s.post(t, "/par", "conf", resources(with("conf"), apiA, apiB)))["request_uri"]))).Get("code")
			if got := s.aud(t, "conf", redeem(codeForm(code))["access_token"]); got != "["+apiA+" "+apiB+"]" {
				t.Errorf("pushed: the audience is %s", got)
			}
			e := s.Events(t, audit.CodeIssued)
			if last := e[len(e)-1].Detail["resources"]; last != apiA+" "+apiB {
				t.Errorf("AU-01: the code is on record with the resources %q", last)
			}
		})
	}
}

// TestResourcesRefused (RT-05): nothing beyond what is registered, then nothing beyond what was granted.
func TestResourcesRefused(t *testing.T) {
	t.Parallel()
	s := targeted(t, storetest.SQLite(t))
	for _, values := range [][]string{{"https://api.example"}, {apiA + "/"}, {apiA, "https://evil.example"}, {"HTTPS://api.example/a"}, {apiA + "#x"}, {"https://api.example/b"}, {"*"}, {"\x00"}, {"/a"}, {strings.Repeat("x", 3000)}, {apiA + " " + apiB}} {
		if got := sent(t, s.authorize(resources(with("conf"), values...))); got.Get("error") != "invalid_target" || got.Get("state") == "" {
			t.Errorf("RT-05: %.80q got %v", values, got)
		}
		refused(t, "RT-05: pushed", s.post(t, "/par", "conf", resources(with("conf"), values...)), "invalid_target")
		refused(t, "RT-05: of its own", s.post(t, "/token", "conf", resources(url.Values{"grant_type": {"client_credentials"}}, values...)), "invalid_target")
	}
	if got := sent(t, s.authorize(resources(with("rsa"), apiA))); got.Get("error") != "invalid_target" {
		t.Errorf("RT-05: a client without resources got %v", got)
	}
	one := func() string { return sent(t, s.authorize(resources(with("conf"), apiA))).Get("code") }
	refused(t, "RT-05: a code for one, redeemed for another", s.post(t, "/token", "conf", resources(codeForm(one()), apiB)), "invalid_target")
	refused(t, "RT-05: a code for none, redeemed for one", s.post(t, "/token", "conf", resources(codeForm(s.code(t, "conf")), apiB)), "invalid_target")
	tokens := words(t, s.post(t, "/token", "conf", codeForm(one())))
	for _, values := range [][]string{{apiB}, {apiA, apiB}, {"x"}} {
		refused(t, "RT-05: refresh", s.post(t, "/token", "conf", resources(refreshForm(tokens["refresh_token"]), values...)), "invalid_target")
	}
	if p := s.post(t, "/token", "conf", resources(refreshForm(tokens["refresh_token"]), apiA)); p.Status != http.StatusOK {
		t.Errorf("RT-05: a refused target took the refresh token with it: %d %s", p.Status, p.Body)
	}
	last := s.Events(t, audit.TokenRefused)
	if e := last[len(last)-1]; e.Reason != audit.NotAllowed || e.Detail["error"] != "invalid_target" {
		t.Errorf("AU-01: the refusal is on record as %+v", e)
	}
	for _, path := range []string{"/introspect", "/revoke"} {
		refused(t, "F24: resource twice at "+path, s.post(t, path, "conf", resources(url.Values{"token": {"x"}}, "a", "b")), "invalid_request")
	}
}

// TestUserInfoAudience: a token for another resource does not open userinfo for whoever was given it; the issuer among its resources does
// (RFC 9700 §2.3).
func TestUserInfoAudience(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		may := registered + ", resources: ['" + apiA + "', '" + apiC + "', '" + s.URL + "', '" + s.URL + "/']"
		s.apply(t, "client_id: opaque, "+withKey+may, "client_id: jwt, "+withKey+"access_token_format: at+jwt, "+may,
			"client_id: behind, "+withKey+"grant_types: ['"+exchange+"'], scope: openid, resources: ['"+apiA+"', '"+s.URL+"'], token_exchange_from: [opaque, jwt]")
		opens := func(what, token string, want bool) {
			t.Helper()
			p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+token)
			if !want {
				refused(t, "RT-05: "+what, p, "invalid_token")
			} else if p.Status != http.StatusOK {
				t.Errorf("%s: %d %s", what, p.Status, p.Body)
			}
		}
		for _, id := range []string{"opaque", "jwt"} {
			get := func(values ...string) map[string]string {
				t.Helper()
				return words(t, s.post(t, "/token", id, codeForm(sent(t, s.authorize(resources(with(id), values...))).Get("code"))))
			}
			again := func(refresh string, values ...string) map[string]string {
				t.Helper()
				return words(t, s.post(t, "/token", id, resources(refreshForm(refresh), values...)))
			}
			opens("for nothing in particular", get()["access_token"], true)
			opens("for another", get(apiA)["access_token"], false)
			opens("for two others", get(apiC, apiA)["access_token"], false)
			opens("for what is spelled otherwise", get(s.URL + "/")["access_token"], false)
			opens("for the issuer", get(s.URL)["access_token"], true)
			both := get(apiA, s.URL)
			opens("for another and the issuer", both["access_token"], true)
			part := again(both["refresh_token"], apiA)
			opens("at refresh, for the other", part["access_token"], false)
			opens("at refresh, for the issuer", again(part["refresh_token"], s.URL)["access_token"], true)
			swap := func(values ...string) string {
				return words(t, s.post(t, "/token", "behind", resources(subjectForm(both["access_token"]), values...)))["access_token"]
			}
			opens("exchanged for another", swap(apiA), false)
			opens("exchanged for the issuer", swap(s.URL), true)
		}
	})
}

// TestManyResources: what the eight bytes of an opaque token cannot tell is refused, never widened.
func TestManyResources(t *testing.T) {
	t.Parallel()
	s := targeted(t, storetest.SQLite(t))
	var six []string
	for i := range 6 {
		six = append(six, "urn:example:"+strconv.Itoa(i))
	}
	grant := func() map[string]string {
		t.Helper()
		q := resources(with("many"), six...)
		q.Set("scope", "openid offline_access s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14")
		return words(t, s.post(t, "/token", "many", codeForm(sent(t, s.authorize(q)).Get("code"))))
	}
	tokens := grant()
	if got := s.aud(t, "many", tokens["access_token"]); got != "["+strings.Join(six, " ")+"]" {
		t.Errorf("six resources gave the audience %s", got)
	}
	for _, values := range [][]string{six[4:5], six[:4], six[:5]} {
		refused(t, "RT-05: a part that cannot be told", s.post(t, "/token", "many", resources(refreshForm(tokens["refresh_token"]), values...)), "invalid_target")
	}
	p := s.post(t, "/token", "many", resources(refreshForm(tokens["refresh_token"]), six[3], six[0]))
	if got := s.aud(t, "many", words(t, p)["access_token"]); got != "["+six[0]+" "+six[3]+"]" {
		t.Errorf("two of the first four gave the audience %s", got)
	}
	form := refreshForm(words(t, p)["refresh_token"])
	form.Set("scope", "openid offline_access s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13")
	refused(t, "RT-05: the first 16 of 17 scopes", s.post(t, "/token", "many", form), "invalid_scope")
}
