package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

var (
	nonce    = regexp.MustCompile(`[A-Za-z0-9_-]{54}|[A-Z2-7]{16,52}|[A-Za-z0-9_-]{43}|[0-9A-V]{26}`)
	passives = []string{"X-Request-Id", "Date", "Set-Cookie", "Content-Length"}
)

// face is what a visitor can tell an answer by: all but what differs each time.
func face(p *servertest.Page, names ...string) string {
	var b strings.Builder
	for k := range p.Header {
		if !slices.Contains(passives, k) {
			b.WriteString(k + ": " + strings.Join(p.Header[k], ",") + "\n")
		}
	}
	lines := strings.Split(b.String(), "\n")
	slices.Sort(lines)
	body := nonce.ReplaceAllString(p.Body, "·")
	for _, n := range names {
		body = strings.ReplaceAll(body, n, "NAME")
	}
	return http.StatusText(p.Status) + strings.Join(lines, "\n") + body
}

// TestSameFace (EN-01): nobody learns from the sign-in page who exists, who may not sign in, who has no password, and who
// is being guessed at.
func TestSameFace(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: servertest.Sample() + "policies:\n  lockout: {attempts: 5, window: 15m}\n"})
	a.ApplyFile(t, servertest.Sample()+"  - {client_id: filler, client_secret: "+servertest.Secret+", redirect_uris: [https://filler.example/]}\n")
	ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
	a.ApplyFile(t, "users:\n  - {username: invited, locale: sv}\n")
	a.link(t, account.LinkInvitation, "invited", time.Hour)
	want := ""
	for _, c := range []struct{ name, password string }{{"nobody", wrong}, {"alice", wrong}, {"ALICE@example.se", wrong}, {"mallory", wrong},
		{"mallory", servertest.Password}, {"invited", wrong}, {"invited", "x"}, {"alice", strings.Repeat("å", 600)}, {"nobody", "\x00\xff"}, {"alice", "\x00\xff"},
		{"nobody@example.se", strings.Repeat("x", 2000)}} {
		b := a.Browser(t)
		p := guess(t, b, c.name, c.password)
		got := face(p, c.name)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("EN-01: %s with %.20q looks different:\n%s\n---\n%s", c.name, c.password, got, want)
		}
		if len(b.Client.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(a.URL, "http://")})) != 1 {
			t.Errorf("EN-01: %s got another cookie", c.name)
		}
	}
	limit := map[string]string{}
	for _, name := range []string{"nobody2", "newcomer", "mallory"} {
		for range 6 {
			limit[name] = face(guess(t, a.Browser(t), name, wrong), name)
		}
		a.clock.Add(16 * time.Minute)
	}
	if limit["nobody2"] != limit["newcomer"] || limit["nobody2"] != limit["mallory"] {
		t.Error("EN-01: over the limit a name that exists looks different")
	}
}

// TestNameAndMail (EN-01): tries under a user name and under a mail address must not show by their common limit that both
// are one person's, and so that they exist.
func TestNameAndMail(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	last := map[string]string{}
	for _, name := range []string{"alice", "nobody"} {
		for range 5 {
			guess(t, a.Browser(t), name, wrong)
		}
		last[name] = guess(t, a.Browser(t), name+"@example.se", wrong).Alert()
	}
	if last["alice"] != last["nobody"] {
		t.Errorf("EN-01: after 5 tries at a name, the first at its mail address reads %q for a person and %q for nobody", last["alice"], last["nobody"])
	}
}

// TestSameHint (EN-03): login_hint and id_token_hint tell nothing of who exists.
func TestSameHint(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	var faces []string
	for _, hint := range []string{"alice", "nobody", "alice@example.se", "+46701740605"} {
		b := a.Browser(t)
		p := b.Follow(b.Get(authorizeURL("conf", "login_hint", hint)))
		if p.Status != http.StatusOK {
			t.Fatalf("%s: %d", hint, p.Status)
		}
		body := strings.ReplaceAll(face(p, hint), strings.ReplaceAll(hint, "+", "&#43;"), "NAME")
		faces = append(faces, strings.ReplaceAll(body, url.QueryEscape(hint), "NAME"))
	}
	for _, f := range faces[1:] {
		if f != faces[0] {
			t.Errorf("EN-03: a login_hint shows who exists:\n%s\n---\n%s", f, faces[0])
		}
	}
}

// TestProbes (RM-02): what comes from outside is shown as text.
func TestProbes(t *testing.T) {
	t.Parallel()
	probe := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: `
users:
  - {username: alice, name: '` + probe + `', password: ` + servertest.Password + `}
clients:
  - {client_id: conf, client_name: '` + probe + `', client_secret: ` + servertest.Secret + `, redirect_uris: ["` + servertest.Redirect + `"], post_logout_redirect_uris: ["https://app.example/bye"]}
policies:
  factors: {required: false}
`})
	b := a.Browser(t)
	b.Header.Set("User-Agent", probe)
	b.Header.Set("Accept-Language", probe)
	e := url.QueryEscape(probe)
	check := func(what string, p *servertest.Page) {
		t.Helper()
		if strings.Contains(p.Body, "<script>alert") || strings.Contains(p.Body, "<img src=x") {
			t.Errorf("RM-02: %s: the probe is markup:\n%s", what, p.Body)
		}
		csp := p.Header.Get("Content-Security-Policy")
		if p.Status != http.StatusSeeOther && (strings.Contains(csp, "unsafe") || !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "script>")) {
			t.Errorf("RM-02: %s: the policy is %q", what, csp)
		}
	}
	p := b.Follow(b.Get(authorizeURL("conf", "scope", "openid", "login_hint", probe, "ui_locales", probe, "state", probe, "error", probe)))
	check("sign-in", p)
	check("ui_locales", b.Get(p.URL.Path+"?ui_locales="+e+"&x="+e))
	check("user name", b.Fill(p, "username", probe, "password", "x"))
	check("unknown client", b.Get("/authorize?client_id="+e+"&error_description="+e))
	check("redirect", b.Get("/authorize?client_id=conf&redirect_uri="+e))
	check("nothing there", b.Get("/"+url.PathEscape(probe)+"?"+e))
	check("broken query", b.Get("/authorize?client_id=%zz"+e))
	p = b.Follow(b.Get(authorizeURL("conf", "scope", "openid", "response_mode", "form_post", "state", probe)))
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	check("form_post", p)
	if action, fields := p.Form(t); action != servertest.Redirect || fields.Get("state") != probe || fields.Get("iss") != a.URL || fields.Get("code") == "" {
		t.Errorf("RM-01: the form goes to %s with %v", action, fields)
	}
	check("account", b.Get("/account"))
	check("sign-out", b.Get("/logout?client_id=conf&post_logout_redirect_uri=https://app.example/bye&state="+e+"&id_token_hint="+e))
	p = b.Get(authorizeURL("conf", "scope", "openid", "response_mode", "form_post", "state", probe, "prompt", probe))
	check("form_post of an error", p)
	if _, fields := p.Form(t); fields.Get("error") != "invalid_request" || fields.Get("iss") != a.URL {
		t.Errorf("AZ-01: an error by form_post is %v", fields)
	}
	for _, e := range a.Events(t, audit.LoginFailed) {
		if e.Agent != probe {
			t.Errorf("AU-01: the agent in the trail is %q", e.Agent)
		}
	}
}

// TestPageHeaders (RM-03, LO-05): on every page, whatever its status.
func TestPageHeaders(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	stranger := a.Browser(t)
	pages := map[string]*servertest.Page{
		"account": b.Get("/account"), "sign-in": start(t, stranger), "code": proved(t, a.Browser(t), "alice"), "enrol": proved(t, a.Browser(t), "newcomer"),
		"sign-out": b.Get("/logout"), "signed out": stranger.Get("/signed-out"), "not found": stranger.Get("/nowhere"), "method": stranger.Post("/account", nil),
		"gone": stranger.Get("/login/" + strings.Repeat("0", 26)), "client": stranger.Get("/authorize?client_id=x"), "link": stranger.Get("/link/x"),
		"form_post": b.Get(authorizeURL("conf", "response_mode", "form_post")), "cross-site": stranger.Post("/login/x", url.Values{"a": {"b"}}),
		"set password": stranger.Get(a.link(t, account.LinkReset, "alice", time.Hour)), "not allowed": a.signIn(t, "mallory", servertest.OtherTOTP).Get(authorizeURL("admins-only")),
	}
	for name, p := range pages {
		h := p.Header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "base-uri 'none'") ||
			strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Opener-Policy") == "" || h.Get("Cache-Control") != "no-store" ||
			h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Request-Id") == "" {
			t.Errorf("RM-03: the page %q (%d) has the headers %v", name, p.Status, h)
		}
		if h.Get("Server") != "" || h.Get("X-Powered-By") != "" {
			t.Errorf("the page %q names its server", name)
		}
		quiet(t, p)
	}
	seen := map[string]bool{}
	for range 50 {
		seen[stranger.Get("/nowhere").Header.Get("X-Request-Id")] = true
	}
	if len(seen) != 50 {
		t.Errorf("50 answers have %d request ids", len(seen))
	}
}
