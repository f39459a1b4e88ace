package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// till is a kiosk that only administrators may use.
const till = "clients:\n  - {client_id: till, client_name: Till, kiosk: true, client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect +
	"], grant_types: [authorization_code, refresh_token], scope: openid offline_access, allowed_groups: [admins]}\n"

func kiosk(t testing.TB) *attack {
	t.Helper()
	a := onSQLite(t)
	a.ApplyFile(t, till)
	return a
}

// atTill signs a person in at the kiosk and gives the answer of the authorization endpoint. between runs before the browser asks it.
func (a *attack) atTill(t testing.TB, b *servertest.Browser, username, totp string, between func()) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Get(authorizeURL("till", "scope", "openid offline_access")))
	p = b.Follow(b.Fill(p, "username", username, "password", servertest.Password))
	p = b.Fill(p, "code", a.totp(t, totp))
	if p.Status != http.StatusSeeOther {
		t.Fatalf("not signed in: %d %q", p.Status, p.Alert())
	}
	between()
	return b.Get(p.Location)
}

// TestKioskRefusal: a kiosk's browser keeps nothing of a sign-in that the application then does not get: who sits down next would be its person.
func TestKioskRefusal(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(*attack){
		"not allowed": func(*attack) {},
		"moved": func(a *attack) {
			a.ApplyFile(t, strings.Replace(till, servertest.Redirect, "https://app.example/elsewhere", 1))
			a.Settle(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := kiosk(t)
			b := a.Browser(t)
			p := a.atTill(t, b, "mallory", servertest.OtherTOTP, func() { between(a) })
			if p.Status < 400 {
				t.Fatalf("the application got %d %s", p.Status, p.Location)
			}
			for _, c := range []string{"portvakt", "portvakt-known", "portvakt-device", "portvakt-browser"} {
				if b.Cookie(c) != "" {
					t.Errorf("the kiosk keeps the cookie %s", c)
				}
			}
			if in(b) {
				t.Error("who comes to the kiosk next is signed in as the one who was refused")
			}
		})
	}
}

// TestKioskHalfWay: a sign-in for a kiosk is worth nothing at other doors, whether or not the browser went on to the application.
func TestKioskHalfWay(t *testing.T) {
	t.Parallel()
	a := kiosk(t)
	b := a.Browser(t)
	a.atTill(t, b, "alice", servertest.TOTP, func() {
		if in(b) {
			t.Error("before the browser went on to the application, it is signed in to /account")
		}
	})
}

// TestKioskOwnSession: a sign-in at a kiosk is no part of the session that its person has in that browser.
func TestKioskOwnSession(t *testing.T) {
	t.Parallel()
	a := kiosk(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	before := a.session(t, "alice")
	tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
	a.clock.Add(31 * time.Second)
	p := a.atTill(t, b, "alice", servertest.TOTP, func() {})
	kiosk := a.tokens(t, "till", mustCode(t, p))
	if idToken(t, kiosk)["sid"] == idToken(t, tokens)["sid"] {
		t.Errorf("contract §5: each sign-in at a kiosk is a new session, and this one is %s", before.ID)
	}
}

// TestKioskForgedBox: a box that the kiosk's page does not have remembers no browser.
func TestKioskForgedBox(t *testing.T) {
	t.Parallel()
	a := kiosk(t)
	a.policies(t, remembering)
	b := a.Browser(t)
	p := b.Follow(b.Get(authorizeURL("till", "scope", "openid offline_access")))
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	b.Get(b.Fill(p, "code", a.totp(t, servertest.TOTP), "remember", "1").Location)
	if n := len(a.Events(t, audit.DeviceRemembered)); n != 0 {
		t.Error("a kiosk is on record as a remembered browser, and its person is told so by mail")
	}
}
