package server_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// owned are applications that people look after: alice's two, mallory's one, and one of nobody.
const owned = `clients:
  - {client_id: wiki, client_name: "Wiki <script>alert(1)</script>", client_secret: ` + servertest.Secret + `, owners: [Alice], redirect_uris: ["` + servertest.Redirect + `", "https://app.example/cb?a=%3Cb%3E"], scope: openid profile}
  - {client_id: spa, client_name: Shop, token_endpoint_auth_method: none, owners: [alice, mallory], redirect_uris: ["` + servertest.Redirect + `"]}
  - {client_id: loner, client_name: Loner, client_secret: ` + servertest.Secret + `, redirect_uris: ["` + servertest.Redirect + `"]}
`

// ownedSites is a site with owned on each engine.
func ownedSites(t *testing.T, fn func(*testing.T, *attack)) {
	t.Helper()
	onEngines(t, func(t *testing.T, a *attack) { a.ApplyFile(t, owned); fn(t, a) })
}

var tag = regexp.MustCompile(`<[^>]*>`)

// reads is the text of a page, as a person reads it.
func reads(p *servertest.Page) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(p.Body, " "))), " ")
}

// TestApps: an owner finds the application from /account, and sees what went wrong with it, how to connect it and how it is registered.
func TestApps(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		shows(t, b.Get("/account"), `href="/apps"`)
		if p := shows(t, b.Get("/apps"), `href="/apps/wiki"`); !strings.Contains(p.Body, `href="/apps/spa"`) || strings.Contains(p.Body, "loner") {
			t.Errorf("the list:\n%s", p.Body)
		}
		shows(t, b.Get("/apps/wiki"), "Nothing in the last 7 days.")

		stranger := a.Browser(t)
		stranger.Header.Set("Accept-Language", "en")
		for range 3 {
			stranger.Get(authorizeURL("wiki", "redirect_uri", servertest.Redirect+"/"))
		}
		p := stranger.Get(authorizeURL("wiki", "redirect_uri", servertest.Redirect+"/"))
		if !strings.Contains(reads(p), "the redirect_uri sent differs from the registered one in its last character: …/callback/ and …/callback") {
			t.Errorf("the page of the problem says %s", reads(p))
		}
		stranger.Get(authorizeURL("wiki", "scope", "openid", "code_challenge", "", "code_challenge_method", ""))
		stranger.Get(authorizeURL("wiki", "scope", "openid alice@example.se"))
		a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, "Authorization", "Basic d2lraTpndWVzcw==")
		code := mustCode(t, b.Get(authorizeURL("wiki", "scope", "openid")))
		a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect}, "code_verifier": {"another-" + verifier}}, "Authorization", basic("wiki"))

		p = shows(t, b.Get("/apps/wiki"), "What went wrong")
		text := reads(p)
		for _, want := range []string{
			"The redirect URI sent differs from the registered one in its last character: a / at the end.", "4 times, last",
			"Switch PKCE with S256 on", "A scope was asked for that is not registered", "The client secret was wrong", "The code_verifier is not the one",
			"Wiki <script>alert(1)</script>", "client_secret_basic", servertest.Redirect, a.URL + "/token", `oidc.NewProvider(ctx, "` + a.URL + `")`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q:\n%s", want, text)
			}
		}
		for _, secret := range []string{servertest.Secret, "alice@example.se", "127.0.0.1:", "<script>"} {
			if strings.Contains(p.Body, secret) {
				t.Errorf("RM-01, PR-01: the page holds %q", secret)
			}
		}
		shows(t, b.Get("/apps/wiki?for=spring&ui_locales=sv"), "issuer-uri")
		shows(t, b.Get("/apps/wiki?ui_locales=sv"), "Vad som gått fel")
		shows(t, b.Get("/apps/wiki?for=browser&ui_locales=en"), "not made for a client registered like yours")
		shows(t, b.Get("/apps/spa"), "Not at all: it is public")
	})
}

// TestAppsTrail: what the trail keeps of a refusal is short, and holds nothing of what was sent.
func TestAppsTrail(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		const mine = "alice.secret"
		b.Get(authorizeURL("wiki", "redirect_uri", servertest.Redirect+"?mail="+mine))
		b.Get(authorizeURL("wiki", "scope", "openid '"+mine+"' it's"))
		b.Get(authorizeURL("wiki", "redirect_uri", "https://"+mine+".example/"))
		b.Get(authorizeURL("wiki", "prompt", mine))
		a.post(t, "/token", url.Values{"grant_type": {mine}}, "Authorization", basic("wiki"))
		a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {mine}}, "Authorization", basic("wiki"))
		all := a.Events(t, audit.AuthorizeRefused, audit.TokenRefused)
		if len(all) != 6 {
			t.Fatalf("%d events", len(all))
		}
		for _, e := range all {
			t.Log(e.Detail)
			if strings.Contains(strings.Join([]string{e.Detail["hint"], e.Detail["redirect"], e.Detail["error"]}, " "), mine) || len(e.Detail["hint"]) > 200 || e.Client != "wiki" && e.Detail["error"] != "unsupported_grant_type" {
				t.Errorf("PR-01: %+v", e)
			}
		}
	})
}

// TestAttackApps (AC-01, EN-01): an application is shown to its owners and to administrators, from a session that proved a factor, and to everybody
// else it reads as if there were none.
func TestAttackApps(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		m := a.firefox(t, "mallory", servertest.OtherTOTP)
		nobody := m.Get("/apps/nothing-here")
		shows(t, m.Get("/apps/spa"), "Shop")
		if p := shows(t, m.Get("/apps"), "spa"); strings.Contains(p.Body, "wiki") {
			t.Error("AC-01: the list names another's application")
		}
		reference := regexp.MustCompile(`<code>[A-Z2-7]{16}</code>|(?s)<footer>.*</footer>`)
		for _, path := range []string{"/apps/wiki", "/apps/loner", "/apps/WIKI", "/apps/%77iki", "/apps/wiki%00", "/apps/spa%2F..%2Fwiki", "/apps/..%2fapps%2fwiki", "/apps/%25", "/apps/" + strings.Repeat("a", 5000)} {
			p := m.Get(path)
			if p.Status != http.StatusNotFound || reference.ReplaceAllString(p.Body, "") != reference.ReplaceAllString(nobody.Body, "") {
				t.Errorf("AC-01, EN-01: %s gets %d\n%s", path, p.Status, p.Body)
			}
		}
		if p := m.Follow(m.Get("/apps/spa/../wiki")); p.Status == http.StatusOK {
			t.Errorf("AC-01: a path with dots gets %s", p.URL)
		}
		for _, path := range []string{"/apps", "/apps/spa"} {
			if p := m.Post(path, url.Values{}); p.Status != http.StatusMethodNotAllowed {
				t.Errorf("a form to %s gets %d", path, p.Status)
			}
		}
		out := a.Browser(t)
		out.SetCookie("portvakt", m.Cookie("portvakt"))
		shows(t, out.Get("/apps/spa"), "Shop")
		this, _ := seats(t, m)
		m.FillWith(m.Get("/account"), "/account/sessions/"+this)
		for _, path := range []string{"/apps", "/apps/spa"} {
			if p := out.Follow(out.Get(path)); !strings.HasPrefix(p.URL.Path, "/login/") {
				t.Errorf("SE-02: an ended session gets %d %s", p.Status, p.URL)
			}
		}
	})
}

// TestAppsRoles: an administrator sees every application, the role owner opens none by itself, and what was taken away is gone at once.
func TestAppsRoles(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		m := a.firefox(t, "mallory", servertest.OtherTOTP)
		person := `users: [{username: mallory, name: Mallory, email: mallory@example.se, groups: [staff], roles: [%]}]`
		a.ApplyFile(t, strings.Replace(person, "%", "owner, auditor", 1))
		if p := m.Get("/apps/loner"); p.Status != http.StatusNotFound {
			t.Errorf("AC-02: the role owner opens an application: %d", p.Status)
		}
		a.ApplyFile(t, strings.Replace(person, "%", "admin", 1))
		shows(t, m.Get("/apps/loner"), "Loner")
		shows(t, m.Get("/apps"), "admins-only")
		a.ApplyFile(t, strings.Replace(person, "%", "", 1)+"\nclients: [{client_id: spa, client_name: Shop, token_endpoint_auth_method: none, owners: [alice], redirect_uris: ['"+servertest.Redirect+"']}]")
		for _, path := range []string{"/apps/loner", "/apps/spa"} {
			if p := m.Get(path); p.Status != http.StatusNotFound {
				t.Errorf("AC-02: %s is still shown: %d", path, p.Status)
			}
		}
		if p := shows(t, m.Get("/apps"), "no application"); strings.Contains(m.Get("/account").Body, `href="/apps"`) {
			t.Errorf("who looks after nothing is led there:\n%s", p.Body)
		}
	})
}

// TestAppsWeak (SE-05): a remembered browser is no proof; the missing factor is asked for, and leads back.
func TestAppsWeak(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		a.policies(t, remembering)
		b := a.remembered(t)
		a.clock.Add(time.Minute)
		for _, path := range []string{"/apps", "/apps/wiki"} {
			p := b.Follow(b.Get(path))
			if !strings.HasPrefix(p.URL.Path, "/login/") || strings.Contains(p.Body, "Wiki") {
				t.Fatalf("SE-05: %s gets %d %s", path, p.Status, p.URL)
			}
		}
		p := b.Follow(b.Get("/apps/wiki"))
		p = b.Follow(b.Fill(p, "code", servertest.Code(t, servertest.TOTP, a.Clock())))
		if p.Status != http.StatusOK || p.URL.Path != "/apps/wiki" {
			t.Errorf("after the factor: %d %s", p.Status, p.URL)
		}
	})
}

// TestAppsReturn: who has to sign in first comes back to the stack that the link was for, and to nothing else that stood in it.
func TestAppsReturn(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		for query, want := range map[string]string{"for=node&x=1": "for=node", "for=%2F%2Fevil.example": "", "for=node%0d%0aX:1": ""} {
			b := a.Browser(t)
			b.Header.Set("Accept-Language", "en")
			p := b.Follow(a.again(t, b, "/apps/wiki?"+query, "alice", servertest.TOTP))
			if p.Status != http.StatusOK || p.URL.Path != "/apps/wiki" || p.URL.RawQuery != want {
				t.Errorf("LO-03: %s comes back to %d %s", query, p.Status, p.URL)
			}
		}
	})
}

// TestAppsCertificate: who looks after a client of tls_client_auth sees by which name its certificate is known, and what was wrong with one.
func TestAppsCertificate(t *testing.T) {
	t.Parallel()
	ownedSites(t, func(t *testing.T, a *attack) {
		a.ApplyFile(t, `clients: [{client_id: robot, token_endpoint_auth_method: tls_client_auth, tls_client_auth_subject_dn: 'CN=\<b\>robot,C=SE', owners: [alice], grant_types: [client_credentials]}]`)
		a.clock.Add(time.Second)
		a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot"}})
		p := shows(t, a.firefox(t, "alice", servertest.TOTP).Get("/apps/robot?ui_locales=en"), "The client certificate did not count.")
		for _, want := range []string{"tls_client_auth_subject_dn", `CN=\<b\>robot,C=SE`, "With a certificate in the TLS connection", "This service takes no client certificates"} {
			if !strings.Contains(reads(p), want) {
				t.Errorf("the page does not say %q:\n%s", want, reads(p))
			}
		}
	})
}
