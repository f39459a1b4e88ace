package oidc_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestRegistrationLinks (oidcc-registration-policy-uri, oidcc-registration-tos-uri): the sign-in page links to what a client that registered itself
// gave as its privacy policy and terms of use, and says to which host, which reads the same behind a name of any letters.
func TestRegistrationLinks(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		token := s.initial(t)
		page := func(id string) string {
			b := s.Browser(t)
			b.Header.Set("Accept-Language", "en")
			p := b.Follow(b.Get("/authorize?" + with(id).Encode()))
			if p.Status != http.StatusOK || !strings.HasPrefix(p.URL.Path, "/login/") {
				t.Fatalf("no sign-in page: %d %s", p.Status, p.URL)
			}
			return p.Body
		}
		const policy, terms = "https://app.example/privacy?a=1&lang=sv", "https://openid.example/terms"
		links := `"policy_uri":"` + policy + `","tos_uri":"` + terms + `",`
		e := s.enrol(t, token, `{`+links+plainMetadata[1:])
		said := object(t, s.send(t, http.MethodGet, e.URI, e.Token, ""))
		if said["policy_uri"] != policy || said["tos_uri"] != terms {
			t.Errorf("the registration says %v", said)
		}
		body := page(e.ID)
		for _, href := range []string{`href="https://app.example/privacy?a=1&amp;lang=sv"`, `href="https://openid.example/terms"`, "Privacy policy of Self (\u200eapp.example)", "Terms of use of Self (\u200eopenid.example)"} {
			if strings.Count(body, href) != 1 {
				t.Errorf("OpenID Connect Dynamic Client Registration 1.0 §2: the page has no %s", href)
			}
		}
		arabic := s.enrol(t, token, strings.Replace(`{"tos_uri":"https://1-2.openid.example/terms",`+plainMetadata[1:], `"Self"`, `"خدمة"`, 1))
		if !strings.Contains(page(arabic.ID), "خدمة (\u200e1-2.openid.example)") {
			t.Error("RM-02: a browser turns 1-2 to 2-1 behind Arabic letters: no mark keeps the host's order")
		}
		if plain := page(s.enrol(t, token, plainMetadata).ID); strings.Contains(plain, "app.example/") && strings.Contains(plain, "noreferrer") {
			t.Error("the page links to what nobody gave")
		}
		for _, member := range []string{"policy_uri", "tos_uri"} {
			for _, address := range []string{"javascript:alert(1)", "JavaScript://app.example/%0aalert(1)", "data:text/html,x", "https://app.example@evil.example/",
				"http://app.example/", "//app.example/", "/privacy", "com.example.app:/x", `https://app.example/\"><script>`, "https://app.example\\\\evil.example/"} {
				p := s.send(t, http.MethodPost, "/register", token, `{"`+member+`":"`+address+`",`+plainMetadata[1:])
				refused(t, "RM-02, AD-06: "+member+" "+address, p, "invalid_client_metadata")
			}
			p := s.send(t, http.MethodPut, e.URI, e.Token, `{"client_id":"`+e.ID+`","`+member+`":"javascript:alert(1)",`+plainMetadata[1:])
			refused(t, "AD-06: replaced "+member, p, "invalid_client_metadata")
		}
		s.ApplyFile(t, `clients: [{client_id: told, token_endpoint_auth_method: none, scope: openid profile offline_access, redirect_uris: ["`+servertest.Redirect+`"], policy_uri: "https://www.example.se/privacy"}]`)
		if !strings.Contains(page("told"), `href="https://www.example.se/privacy"`) {
			t.Error("an administrator's link is not shown")
		}
	})
}

// TestRegisteredNames (RM-02): the name of a client stands on the sign-in page beside the host of its links. None may turn the order of what is
// read there, break its line or be nothing to the eye.
func TestRegisteredNames(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		token := s.initial(t)
		named := func(name string) string { return strings.Replace(plainMetadata, `"Self"`, `"`+name+`"`, 1) }
		for _, name := range []string{`Bank (exempel.se)\u202e`, `\u2066Bank`, `Bank\u061c`, `Bank\u200f`, `Bank\u2028x`, `Bank\u2029x`, `Bank\u0085x`, ` `, `\u00a0`, `\u200b`, `\ufeff \u2060`} {
			p := s.send(t, http.MethodPost, "/register", token, named(name))
			refused(t, "RM-02: the name "+name, p, "invalid_client_metadata")
		}
		for _, name := range []string{`Självbetjäning`, `خدمة`, `\u05e9\u05dc\u05d5\u05dd 2`, `👩\u200d💻`} {
			if p := s.send(t, http.MethodPost, "/register", token, named(name)); p.Status != http.StatusCreated {
				t.Errorf("the name %s: %d %s", name, p.Status, p.Body)
			}
		}
	})
}

// TestNoRedirect (oidcc-ensure-redirect-uri-in-authorization-request): a request without redirect_uri gets a page that says so, though the client has one
// registered address alone.
func TestNoRedirect(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	e := s.enrol(t, s.initial(t), plainMetadata)
	p := s.authorize(with(e.ID, "redirect_uri", "", "ui_locales", "en"))
	if p.Status != http.StatusBadRequest || p.Header.Get("Location") != "" || !strings.Contains(p.Body, "We don’t know where to send you back") || !strings.Contains(p.Body, "redirect_uri is missing") {
		t.Errorf("OpenID Connect Core §3.1.2.1: %d %v\n%s", p.Status, p.Header, p.Body)
	}
}
