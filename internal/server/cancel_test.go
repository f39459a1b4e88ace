package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestCancel: who gives up signing in goes back to the application, which is told so; nothing is left of the sign-in.
func TestCancel(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		begin := func(b *servertest.Browser, address string) *servertest.Page {
			t.Helper()
			p := b.Follow(b.Get(address))
			if !strings.Contains(p.Body, `value="cancel"`) {
				t.Fatalf("no way back: %d %s\n%s", p.Status, p.Location, p.Body)
			}
			return p
		}
		cancel := func(b *servertest.Browser, p *servertest.Page) *servertest.Page {
			t.Helper()
			return b.FillWith(p, `value="cancel"`, "action", "cancel")
		}
		denied := func(what string, p *servertest.Page) {
			t.Helper()
			if got := response(t, p); got.Get("error") != "access_denied" || got.Get("state") != "af0ifjsldkj" || got.Get("iss") != a.URL || got.Get("code") != "" {
				t.Errorf("%s: the application got %d %q", what, p.Status, p.Location)
			}
		}
		for what, address := range map[string]string{
			"plain":  authorizeURL("conf"),
			"pushed": "/authorize?client_id=conf&request_uri=urn:ietf:params:oauth:request_uri:" + a.pushed(t, "conf"),
		} {
			b := a.Browser(t)
			p := begin(b, address)
			denied(what, cancel(b, p))
			if again := b.Fill(p, "username", "alice", "password", servertest.Password); again.Status == http.StatusSeeOther || in(b) {
				t.Errorf("%s: after that the sign-in went on: %d", what, again.Status)
			}
		}
		b := a.Browser(t)
		p := begin(b, authorizeURL("conf"))
		p = b.Follow(b.FillWith(p, `name="username"`, "username", "alice", "password", servertest.Password))
		stranger := a.Browser(t)
		if p := stranger.FillWith(p, `value="cancel"`, "action", "cancel"); p.Status != http.StatusForbidden {
			t.Errorf("CS-01: another browser gave it up: %d", p.Status)
		}
		denied("at the second step", cancel(b, p))
		b = a.Browser(t)
		p = begin(b, authorizeURL("conf", "response_mode", "form_post"))
		if p = cancel(b, p); p.Status != http.StatusOK || !strings.Contains(p.Body, `value="access_denied"`) {
			t.Errorf("form_post: got %d\n%s", p.Status, p.Body)
		}
		signed := a.signIn(t, "alice", servertest.TOTP)
		a.clock.Add(time.Second)
		denied("asked to sign in anew", cancel(signed, begin(signed, authorizeURL("conf", "prompt", "login"))))
		if !in(signed) {
			t.Error("giving up another sign-in ended the session")
		}
		own := start(t, a.Browser(t))
		if strings.Contains(own.Body, `value="cancel"`) {
			t.Error("a sign-in for the person's own page offers a way back to nothing")
		}
		if n := a.count(t, audit.LoginCancelled, audit.Cancelled); n != 5 {
			t.Errorf("%d on record, want 5", n)
		}
	})
}
