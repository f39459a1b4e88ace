package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

const another = "a quite different password"

// link makes a one-time link and gives its path.
func (a *attack) link(t testing.TB, kind, username string, life time.Duration) string {
	t.Helper()
	token, err := a.Admin.MakeLink(background, operator, kind, username, life)
	ok(t, err)
	return "/link/" + token
}

func take(b *servertest.Browser, p *servertest.Page, pairs ...string) *servertest.Page {
	return b.Fill(p, append([]string{"password", another, "repeat", another}, pairs...)...)
}

// TestLinkOnce (RS-03): a link works once, whoever comes at the same time.
func TestLinkOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		path := a.link(t, account.LinkReset, "alice", time.Hour)
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for i := range 16 {
			b := a.Browser(t)
			b.Base = []string{a.URL, second.URL}[i%2]
			browsers, pages = append(browsers, b), append(pages, b.Get(path))
		}
		wins := 0
		for _, p := range parallel(16, func(i int) *servertest.Page { return take(browsers[i], pages[i]) }) {
			switch p.Status {
			case http.StatusSeeOther:
				wins++
			case http.StatusGone:
			default:
				t.Errorf("RS-03: a rival got %d %s", p.Status, p.Alert())
			}
		}
		if n := len(a.Events(t, audit.LinkUsed)); wins != 1 || n != 1 {
			t.Errorf("RS-03: the link worked %d times, %d events", wins, n)
		}
		if p := browsers[0].Get(path); p.Status != http.StatusGone || strings.Contains(p.Body, "alice") {
			t.Errorf("RS-03: a used link shows %d", p.Status)
		}
	})
}

// TestLinkDies (RS-03): in time, with a newer one, and with anything else that set the password since.
func TestLinkDies(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(testing.TB, *attack){
		"time":  func(_ testing.TB, a *attack) { a.clock.Add(time.Hour) },
		"newer": func(t testing.TB, a *attack) { a.link(t, account.LinkReset, "alice", time.Hour) },
		"password set by an operator": func(t testing.TB, a *attack) {
			ok(t, a.Admin.SetPassword(background, operator, "alice", another))
		},
		"password set by another link": func(t testing.TB, a *attack) {
			b := a.Browser(t)
			if p := take(b, b.Get(a.link(t, account.LinkInvitation, "alice", time.Hour))); p.Status != http.StatusSeeOther {
				t.Fatalf("the invitation got %d", p.Status)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := onSQLite(t)
			path := a.link(t, account.LinkReset, "alice", time.Hour)
			b := a.Browser(t)
			page := b.Get(path)
			kill(t, a)
			if p := take(b, page); p.Status != http.StatusGone {
				t.Errorf("RS-03: the link still works: %d", p.Status)
			}
		})
	}
}

// TestLinkIsOnes (RS-03): the form of a link can change nothing but the password of its own person.
func TestLinkIsOnes(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	path := a.link(t, account.LinkReset, "mallory", time.Hour)
	b := a.Browser(t)
	p := take(b, b.Get(path), "username", "alice", "name", "Somebody", "email", "x@example.se", "roles", "admin", "kind", "setup", "user_id", "1")
	if p.Status != http.StatusSeeOther {
		t.Fatalf("the link got %d", p.Status)
	}
	if p := guess(t, a.Browser(t), "alice", another); p.Status == http.StatusSeeOther {
		t.Error("RS-03: mallory's link set alice's password")
	}
	person, _, err := a.Admin.User(background, "mallory")
	ok(t, err)
	if person.Name != "Mallory" || len(person.Roles) > 0 || person.Email != "mallory@example.se" {
		t.Errorf("AD-01: the link's form made mallory %+v", person.User)
	}
	for _, bad := range []string{"/link/", "/link/x", "/link/%00", "/link/%ff", "/link/..%2f..%2faccount", path + "x", strings.ToLower(path), "/link/" + strings.Repeat("A", 9000)} {
		if p := a.Browser(t).Get(bad); p.Status != http.StatusGone && p.Status != http.StatusNotFound {
			t.Errorf("RS-03: %.40s got %d", bad, p.Status)
		}
	}
	if got := b.Get(a.link(t, account.LinkReset, "mallory", time.Hour)); got.Header.Get("Referrer-Policy") != "no-referrer" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("RS-03: a link's page has %v", got.Header)
	}
}

// TestSetupOnce (AD-03): the set-up link makes the first administrator, once, and only while there is nobody.
func TestSetupOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		path := a.link(t, account.LinkSetup, "", time.Hour)
		b := a.Browser(t)
		page := b.Get(path)
		if page.Status == http.StatusOK {
			page = take(b, page, "username", "root", "name", "Root", "email", "root@example.se")
		}
		if _, _, err := a.Admin.User(background, "root"); err == nil {
			t.Errorf("AD-03: a set-up link made an administrator of a service that has people already (%d)", page.Status)
		}
		again := a.link(t, account.LinkSetup, "", time.Hour)
		if page = b.Get(again); page.Status == http.StatusOK {
			take(b, page, "username", "root2", "name", "Root", "email", "root2@example.se")
		}
		if _, _, err := a.Admin.User(background, "root2"); err == nil {
			t.Error("AD-03: a second set-up link made a second administrator")
		}
	})
}

// TestLinkPasswords (CR-02): bounds are kept before any hashing.
func TestLinkPasswords(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	path := a.link(t, account.LinkReset, "alice", time.Hour)
	for _, c := range []struct {
		password, repeat string
		good             bool
	}{
		{"short", "short", false}, {"", "", false}, {another, another + " ", false}, {strings.Repeat("a", 257), strings.Repeat("a", 257), false},
		{"twelve\x00chars!", "twelve\x00chars!", false}, {"twelve\xffchars!", "twelve\xffchars!", false}, {strings.Repeat("åäö ", 63) + "hejå", strings.Repeat("åäö ", 63) + "hejå", true},
	} {
		p := b.Fill(b.Get(path), "password", c.password, "repeat", c.repeat)
		if (p.Status == http.StatusSeeOther) != c.good || p.Status >= 500 {
			t.Errorf("CR-02: %.20q (%d bytes) got %d %s", c.password, len(c.password), p.Status, p.Alert())
		}
	}
}
