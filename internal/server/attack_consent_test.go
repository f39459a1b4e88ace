package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestRedirectsAfterForms (AZ-04): no hop after a form repeats it: each is a 303, the one that carries the code too.
func TestRedirectsAfterForms(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	p := b.Follow(b.Get(authorizeURL("conf")))
	hop := func(what string) {
		t.Helper()
		if p.Status != http.StatusSeeOther {
			t.Fatalf("AZ-04: %s: %d", what, p.Status)
		}
	}
	p = b.Fill(p, "username", "alice", "password", servertest.Password)
	hop("after the password")
	p = b.Fill(b.Follow(p), "code", servertest.Code(t, servertest.TOTP, a.Clock()))
	hop("after the code")
	for range 5 {
		if p = b.Get(p.Location); strings.HasPrefix(p.Location, servertest.Redirect) {
			break
		}
		hop("on the way back")
	}
	hop("with the code")
	mustCode(t, p)
	p = b.Fill(b.Get("/logout"))
	hop("after signing out")
}

// TestApprovals (CS-03): what one person was asked is answered by nobody else, as something else, or twice: the sign-in that an application waits
// for, and the question of a device. (There is no other consent here.)
func TestApprovals(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b, thief := a.Browser(t), a.signIn(t, "mallory", servertest.OtherTOTP)
		p := b.SignIn(b.Get(authorizeURL("conf")), "alice", servertest.Password, servertest.TOTP)
		flow := p.Location
		for what, address := range map[string]string{"as it is": flow, "for another client": flow + "&client_id=other", "for another address": flow + "&redirect_uri=https://evil.example/"} {
			if p := thief.Follow(thief.Get(address)); p.Status < 400 || strings.Contains(p.Location, "code=") {
				t.Errorf("CS-03: another browser finishes the sign-in %s: %d %s", what, p.Status, p.Location)
			}
		}
		code := response(t, b.Get(flow+"&scope=openid%20email&state=other"))
		if tokens := a.tokens(t, "conf", code.Get("code")); code.Get("state") != "af0ifjsldkj" || tokens["scope"] != "openid profile offline_access" {
			t.Errorf("CS-03: the address of the finished sign-in changed what was asked: %v %v", code, tokens)
		}
		if p := thief.Follow(thief.Get(flow)); p.Status < 400 || strings.Contains(p.Location, "code=") {
			t.Errorf("CS-03: another browser repeats the finished sign-in: %d %s", p.Status, p.Location)
		}
		tv, other := a.television(t, "tv", "openid"), a.television(t, "tv", "openid")
		question := shows(t, b.Follow(b.Get(tv.complete)), `value="allow"`)
		if p := thief.Press(question, "action", "allow"); p.Status != http.StatusForbidden {
			t.Errorf("CS-03: another person answers alice's question: %d", p.Status)
		}
		tv.told(t, "authorization_pending")
		b.Press(question, "action", "allow")
		b.Press(question, "action", "allow")
		other.told(t, "authorization_pending")
		tv.told(t, "")
		tv.told(t, "invalid_grant")
	})
}
