package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestForeignForms (CS-01, CS-02): a form that is not ours, or not this browser's, does nothing.
func TestForeignForms(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	victim := a.signIn(t, "alice", servertest.TOTP)
	mallory := a.Browser(t)
	his := start(t, mallory)
	_, stolen := his.Form(t)
	p := start(t, a.Browser(t))
	for what, header := range map[string]map[string]string{
		"another site":     {"Origin": "https://evil.example"},
		"null":             {"Origin": "null"},
		"fetch cross-site": {"Sec-Fetch-Site": "cross-site"},
		"fetch same-site":  {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
		"no header at all": {},
		"another port":     {"Origin": "http://127.0.0.1:1"},
	} {
		for path, form := range map[string]url.Values{"/logout": {"form_token": stolen["form_token"]}, his.URL.Path: stolen, p.URL.Path: {"username": {"mallory"}}} {
			r, err := http.NewRequest(http.MethodPost, a.URL+path, strings.NewReader(form.Encode()))
			ok(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, v := range header {
				r.Header.Set(k, v)
			}
			if got := victim.Do(r); got.Status != http.StatusForbidden && !strings.HasPrefix(got.Location, a.URL+"/logout?") {
				t.Errorf("CS-01: %s: POST %s got %d %s", what, path, got.Status, got.Location)
			}
		}
	}
	_, own := victim.Get("/account").Form(t)
	for _, media := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencoded, text/plain"} {
		r, err := http.NewRequest(http.MethodPost, a.URL+"/logout", strings.NewReader(own.Encode()))
		ok(t, err)
		r.Header.Set("Content-Type", media)
		if got := victim.Do(r); got.Status < 400 {
			t.Errorf("CS-01: a form as %q got %d", media, got.Status)
		}
	}
	if got := victim.Post("/logout?form_token="+own.Get("form_token"), nil); got.Status != http.StatusForbidden {
		t.Errorf("CS-01: the token in the address got %d", got.Status)
	}
	r, err := http.NewRequest(http.MethodPost, a.URL+"/logout", strings.NewReader("a=1&a=2"))
	ok(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := victim.Do(r); strings.Count(got.Body, "<!doctype") != 1 {
		t.Errorf("a broken sign-out form of another site is answered %d times", strings.Count(got.Body, "<!doctype"))
	}
	if !in(victim) || !strings.Contains(victim.Get("/account").Body, "Alice") {
		t.Error("CS-02: the victim is signed out, or is somebody else")
	}
}

// TestSignOut (LO-01, LO-02, LO-05).
func TestSignOut(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	id := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))["id_token"].(string)
	parts := strings.Split(id, ".")
	bye := url.QueryEscape("https://app.example/bye")
	for what, query := range map[string]string{
		"nothing": "", "no hint": "client_id=conf&post_logout_redirect_uri=" + bye, "only state": "state=x",
		"changed signature": "id_token_hint=" + parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])) + "&post_logout_redirect_uri=" + bye,
		"no algorithm":      "id_token_hint=eyJhbGciOiJub25lIn0." + parts[1] + ".&post_logout_redirect_uri=" + bye,
		"another client":    "client_id=other&id_token_hint=" + id, "rubbish": "id_token_hint=x.y.z&client_id=conf",
		"twice": "id_token_hint=x&id_token_hint=" + id,
	} {
		if p := b.Get("/logout?" + query); p.Status != http.StatusOK || p.Location != "" || !strings.Contains(p.Body, "<form") {
			t.Errorf("LO-02: %s: %d %s", what, p.Status, p.Location)
		}
	}
	if p := b.Do(request(t, http.MethodHead, a.URL+"/logout")); p.Status != http.StatusMethodNotAllowed || !in(b) {
		t.Errorf("LO-02: HEAD got %d", p.Status)
	}
	for _, back := range []string{"https://evil.example", "https://app.example/bye/", "https://app.example/bye?x=1", "https://app.example/BYE", "https://app.example/bye#x",
		"//evil.example", `/\evil.example`, `\\evil.example`, "javascript:alert(1)", "https://app.example/bye/../x", "https://app.example%2fbye", "https://u@app.example/bye",
		"https://app.example/bye\r\nX: y", "https:app.example/bye", "", "/", servertest.Redirect} {
		c := a.Browser(t)
		c.SetCookie("portvakt", b.Cookie("portvakt"))
		for _, who := range []*servertest.Browser{a.Browser(t), c} {
			p := who.Get("/logout?client_id=conf&state=1&post_logout_redirect_uri=" + url.QueryEscape(back))
			if p.Location != "" && p.Location != a.URL+"/signed-out" || strings.Contains(p.Body, `href="`+back) && back != "/" && back != "" {
				t.Errorf("LO-01: %q leads to %s", back, p.Location)
			}
		}
	}
	cookie := b.Cookie("portvakt")
	p := b.Get("/logout?state=a%0d%0ab&post_logout_redirect_uri=" + bye + "&id_token_hint=" + id)
	if !strings.HasPrefix(p.Location, "https://app.example/bye?state=a%0D%0Ab") {
		t.Errorf("LO-02: the good request leads to %d %s", p.Status, p.Location)
	}
	b.SetCookie("portvakt", cookie)
	if got := response(t, b.Get(authorizeURL("conf", "prompt", "none"))); in(b) || got.Get("error") != "login_required" {
		t.Errorf("LO-05: the old cookie after signing out: %v", got)
	}
	if n := len(a.Events(t, audit.SessionEnded)); n != 1 {
		t.Errorf("AU-01: %d sessions ended in the trail, want 1", n)
	}
}

// TestSignOutToLoopback: the question page lets its form lead where the application asked to go, also with a state.
func TestSignOutToLoopback(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: strings.ReplaceAll(servertest.Sample(), `["https://app.example/bye"]`, `["http://localhost:8081/"]`)})
	p := a.signIn(t, "alice", servertest.TOTP).Get("/logout?client_id=conf&state=x&post_logout_redirect_uri=" + url.QueryEscape("http://localhost:8081/"))
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "http://localhost:8081") {
		t.Errorf("browsers will stop the redirect after this form: %s", csp)
	}
}

func request(t testing.TB, method, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, address, nil)
	ok(t, err)
	return r
}

// raw sends bytes and gives the answer's head.
func (a *attack) raw(t testing.TB, lines ...string) (int, http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL, "http://"))
	ok(t, err)
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	ok(t, err)
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if strings.Contains(string(body), "evil.example") && !strings.Contains(lines[0], "evil.example") {
		t.Errorf("HD-02: the answer to %v names the host that was sent", lines)
	}
	return resp.StatusCode, resp.Header
}

// TestPaths (AD-07, LO-03): another spelling of a path is another page or none, and never leads off this host.
func TestPaths(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	for _, path := range []string{"//evil.example/", "//evil.example/..", "/\\evil.example", "/%09/evil.example", "///evil.example/../", "/authorize/", "//authorize", "/./account", "/login/../account",
		"/login/%2e%2e/account", "/login/x/../../token", "/account/", "/ACCOUNT", "/account%00", "/account;x=1", "/assets/../../keys/", "/assets/..%2f..%2fgo.mod", "/assets/%2e%2e/x", "/.git/config",
		"/link/../account", "/%2faccount", "//evil.example%2f%2e%2e", "/login//evil.example", "/.well-known/../account", "http://evil.example/account", "http://evil.example/nowhere", "*"} {
		status, header := a.raw(t, "GET "+path+" HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Original-URL: /account", "X-Rewrite-URL: /account")
		l := header.Get("Location")
		if status == http.StatusOK || status >= 500 || strings.HasPrefix(l, "//") || strings.HasPrefix(l, `/\`) || l != "" && l[0] != '/' {
			t.Errorf("AD-07: %s got %d %s", path, status, l)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "BREW"} {
		for _, path := range []string{"/account", "/token", "/authorize", "/login/x", "/logout", "/introspect"} {
			status, header := a.raw(t, method+" "+path+" HTTP/1.1", "Host: x", "X-HTTP-Method-Override: POST", "X-HTTP-Method: POST")
			if status != http.StatusMethodNotAllowed && status != http.StatusBadRequest && status != http.StatusNotFound || len(header.Values("Access-Control-Allow-Origin")) > 0 {
				t.Errorf("AD-07: %s %s got %d", method, path, status)
			}
		}
	}
}

// TestHostGames (HD-02, RS-01): what a request says of its host is believed nowhere.
func TestHostGames(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1]", "localhost"} {
		for _, path := range []string{"/.well-known/openid-configuration", "/account", "/authorize?client_id=x", "/login/x", "/", "/logout", authorizeURL("conf", "prompt", "none")} {
			r := request(t, http.MethodGet, a.URL+path)
			r.Host = host
			for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "Forwarded"} {
				r.Header.Set(h, "host=evil.example")
			}
			p := a.Browser(t).Do(r)
			if strings.Contains(p.Body+fmt.Sprint(p.Header), "evil.example") {
				t.Errorf("HD-02: with Host %s, %s answers %v\n%.200s", host, path, p.Header, p.Body)
			}
			if strings.HasPrefix(path, "/.well") && !strings.Contains(p.Body, `"issuer":"`+a.URL+`"`) {
				t.Errorf("HD-02: the issuer became %.200s", p.Body)
			}
			if iss := response(t, p).Get("iss"); strings.Contains(path, "prompt") && iss != a.URL {
				t.Errorf("HD-02: iss became %q", iss)
			}
		}
	}
}

// TestForeignOrigins (TK-03): nothing but the public documents may be read by another site's scripts.
func TestForeignOrigins(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1.evil.example"} {
		for _, path := range []string{"/token", "/userinfo", "/introspect", "/revoke", "/login/x", "/account", "/logout", "/authorize", "/.well-known/openid-configuration", "/jwks"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
				r := request(t, method, a.URL+path)
				r.Header.Set("Origin", origin)
				r.Header.Set("Access-Control-Request-Method", "POST")
				r.Header.Set("Access-Control-Request-Headers", "authorization")
				h := b.Do(r).Header
				public := strings.HasPrefix(path, "/.well") || path == "/jwks"
				if h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Access-Control-Allow-Origin") != "" && !public {
					t.Errorf("TK-03: %s %s for %s: %v", method, path, origin, h)
				}
			}
		}
	}
}
