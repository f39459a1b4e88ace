package server_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// firefox signs a person in, in a browser with a name.
func (a *attack) firefox(t testing.TB, username, totp string) *servertest.Browser {
	t.Helper()
	b := a.Browser(t)
	b.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0")
	b.Header.Set("Accept-Language", "en")
	a.again(t, b, "/account", username, totp)
	return b
}

var seat = regexp.MustCompile(`(?s)<li data-session="(this|other)">.*?action="/account/sessions/([0-9A-V]{26})"`)

// seats gives the ids of the sessions on a person's page: the present one, and the others.
func seats(t testing.TB, b *servertest.Browser) (this string, others []string) {
	t.Helper()
	for _, m := range seat.FindAllStringSubmatch(shows(t, b.Get("/account"), "data-session").Body, -1) {
		if m[1] == "this" {
			this = m[2]
		} else {
			others = append(others, m[2])
		}
	}
	return this, others
}

// TestAccountSessions: the page lists every browser, each with its own button that ends it at both instances with what it gave to
// applications; to end the present one is to sign out.
func TestAccountSessions(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		phone, b := a.signIn(t, "alice", servertest.TOTP), a.firefox(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "conf", mustCode(t, phone.Get(authorizeURL("conf"))))
		mine := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		page := shows(t, b.Get("/account"), "From the address 127.0.0.1")
		for _, want := range []string{"Firefox, Windows", "Go-http-client", "This one", "Sign out there", "Sign out everywhere but here"} {
			shows(t, page, want)
		}
		this, others := seats(t, b)
		theirs, mirrored := seats(t, phone)
		if len(others) != 1 || others[0] != theirs || len(mirrored) != 1 || mirrored[0] != this {
			t.Fatalf("here %s and %v, there %s and %v", this, others, theirs, mirrored)
		}
		p := b.FillWith(page, `action="/account/sessions/`+others[0]+`"`)
		if p = shows(t, b.Follow(p), "alice"); told(p) != "You are signed out there." {
			t.Errorf("the page says %q", told(p))
		}
		phone.Base = second.URL
		if in(phone) || !in(b) || a.userInfo(t, tokens) != http.StatusUnauthorized || a.userInfo(t, mine) != http.StatusOK {
			t.Error("SE-04: the wrong session ended")
		}
		if p := a.refresh(t, "conf", tokens["refresh_token"].(string)); p.Status != http.StatusBadRequest {
			t.Errorf("SE-04: the refresh token of the ended session got %d", p.Status)
		}
		if _, others := seats(t, b); len(others) != 0 {
			t.Errorf("still listed: %v", others)
		}
		if again := b.Post("/account/sessions/"+theirs, url.Values{"form_token": {token(t, p)}}); again.Location != a.URL+"/account?done=ended" {
			t.Errorf("pressed twice: %d %s", again.Status, again.Location)
		}
		p = b.FillWith(b.Get("/account"), `action="/account/sessions/`+this+`"`)
		if p.Location != a.URL+"/signed-out" || b.Cookie("portvakt") != "" || in(b) || a.userInfo(t, mine) != http.StatusUnauthorized {
			t.Errorf("the present one: %d %s", p.Status, p.Location)
		}
	})
}

// TestAccountOthers: one button ends every other session; it needs no fresh one.
func TestAccountOthers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		var elsewhere []*servertest.Browser
		for range 3 {
			elsewhere = append(elsewhere, a.signIn(t, "alice", servertest.TOTP))
		}
		b, mallory := a.firefox(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		a.clock.Add(10 * time.Minute)
		p := shows(t, b.Follow(b.FillWith(b.Get("/account"), `action="/account/sessions/others"`)), "alice")
		if told(p) != "You are signed out everywhere but here." || strings.Contains(p.Body, "/account/sessions/others") {
			t.Errorf("the page says %q", told(p))
		}
		for i, one := range elsewhere {
			if in(one) {
				t.Errorf("browser %d is still signed in", i)
			}
		}
		if !in(mallory) || len(a.Events(t, audit.SessionEnded)) != 3 {
			t.Errorf("mallory: %v; the trail has %+v", in(mallory), a.Events(t, audit.SessionEnded))
		}
	})
}

// TestForeignSessions (SE-04, AD-02): nobody ends another person's session, whatever the address and the form say.
func TestForeignSessions(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		alice, mallory := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		target, _ := seats(t, alice)
		own, _ := seats(t, mallory)
		form := url.Values{"form_token": {token(t, mallory.Get("/account"))}}
		for _, path := range []string{target, strings.ToLower(target), target + "?session=" + own, own + "/../" + target, "..%2f" + target, "others?user=alice", target[:25] + "%00", "%ff"} {
			for _, extra := range []string{"", "session", "user_id", "id"} {
				fields := url.Values{"form_token": form["form_token"]}
				if extra != "" {
					fields.Set(extra, target)
				}
				if p := mallory.Post("/account/sessions/"+path, fields); p.Status >= 500 || strings.Contains(p.Location, "done=ended") {
					t.Errorf("AD-02: %s with %s: %d %s", path, extra, p.Status, p.Location)
				}
			}
		}
		if !in(alice) || !in(mallory) {
			t.Errorf("AD-02: alice %v, mallory %v, %+v", in(alice), in(mallory), a.Events(t, audit.SessionEnded))
		}
		for _, e := range a.Events(t, audit.SessionEnded) {
			if e.Session != "" || e.Subject != string(a.person(t, "mallory").ID) {
				t.Errorf("AD-02: the trail has %+v", e)
			}
		}
		if strings.Contains(mallory.Get("/account").Body, target) {
			t.Error("AD-02: mallory's page names alice's session")
		}
		stranger := a.Browser(t)
		if p := stranger.Post("/account/sessions/"+target, url.Values{"form_token": {token(t, stranger.Get("/forgot"))}}); !strings.Contains(p.Location, "/login/") || !in(alice) {
			t.Errorf("a stranger: %d %s", p.Status, p.Location)
		}
	})
}
