package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestRestoredTabs: a browser that opens several applications at once, before it has any cookie of ours, can sign in in
// each of its tabs. Both requests are on their way before the first answer brings a cookie.
func TestRestoredTabs(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	one, two := a.Browser(t), a.Browser(t)
	first, second := one.Get(authorizeURL("conf")), two.Get(authorizeURL("other"))
	b := two // its cookie came last
	for i, p := range []*servertest.Page{second, first} {
		p = b.Follow(p)
		if p.Status != http.StatusOK || !strings.Contains(p.Body, `name="password"`) {
			t.Errorf("tab %d of a restored browser got %d", 2-i, p.Status)
		}
	}
}

// TestForwardedPorts (HD-01): a trusted proxy that writes the port beside the address still names an address; else all
// the world has one address, and one limit.
func TestForwardedPorts(t *testing.T) {
	t.Parallel()
	a := behindProxy(t)
	for header, want := range map[string]string{"203.0.113.9:4711": "203.0.113.9", "[2001:db8::7]:4711": "2001:db8::7", "2001:db8::7": "2001:db8::7"} {
		before := len(a.Events(t, audit.LoginFailed))
		guess(t, from(a.Browser(t), header), "nobody", wrong)
		if got := a.Events(t, audit.LoginFailed)[before:]; len(got) != 1 || got[0].IP != want {
			t.Errorf("HD-01: X-Forwarded-For %q is %q in the trail", header, got[0].IP)
		}
	}
}

// TestFormPostToAnApp (RM-01, AU-01): a form cannot be posted to an app's own scheme. The request is refused before a code
// is made, so that the trail tells of none.
func TestFormPostToAnApp(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: strings.Replace(servertest.Sample(), `"http://127.0.0.1/cb"`, `"com.example.app:/cb"`, 1)})
	b := a.signIn(t, "alice", servertest.TOTP)
	p := b.Get(authorizeURL("pub", "redirect_uri", "com.example.app:/cb", "response_mode", "form_post"))
	if strings.Contains(p.Body, "ZgotmplZ") || strings.Contains(p.Body, "pvc_") {
		t.Errorf("RM-01: the page is\n%s", p.Body)
	}
	if n := len(a.Events(t, audit.CodeIssued)); n != 0 {
		t.Errorf("AU-01: %d codes were issued and none was sent (%d)", n, p.Status)
	}
	if p := b.Get(authorizeURL("pub", "redirect_uri", "com.example.app:/cb")); !strings.HasPrefix(p.Location, "com.example.app:/cb?") {
		t.Errorf("the app's own scheme got %d %s", p.Status, p.Location)
	}
}

// TestHeadDoesNothing: HEAD asks and changes nothing (RFC 9110 §9.2.1): mail scanners and link previews send it.
func TestHeadDoesNothing(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	id := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))["id_token"].(string)
	before := len(a.Events(t))
	for _, path := range []string{authorizeURL("conf"), "/logout?id_token_hint=" + id, authorizeURL("conf", "prompt", "login")} {
		b.Do(request(t, http.MethodHead, a.URL+path))
	}
	if n := len(a.Events(t)) - before; n != 0 || !in(b) {
		t.Errorf("three HEAD requests left %d events; still signed in: %v", n, in(b))
	}
}
