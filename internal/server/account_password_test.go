package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// changes fills in the page for a new password.
func changes(t testing.TB, b *servertest.Browser, current, next string) *servertest.Page {
	t.Helper()
	return b.Fill(shows(t, b.Get("/account/password"), `autocomplete="current-password"`), "current", current, "password", next, "repeat", next)
}

// TestAccountPassword (SE-04, RT-04, CO-04): with the present password a person sets another. Every other browser is signed out at both instances,
// codes and tokens of theirs are worthless, and this one has a new secret.
func TestAccountPassword(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		mine := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		before := b.Cookie("portvakt")
		half := a.Browser(t)
		code := proved(t, half, "alice")
		everythingEnds(t, a, func(t testing.TB, a *attack) {
			shows(t, b.Get("/account"), `href="/account/password"`)
			a.clock.Add(6 * time.Minute) // not fresh, and need not be
			if p := changes(t, b, wrong, another); p.Alert() == "" || p.Status != http.StatusOK || strings.Contains(p.Body, wrong) {
				t.Errorf("a wrong one: %d %q", p.Status, p.Alert())
			}
			p := shows(t, b.Follow(changes(t, b, servertest.Password, another)), "alice")
			if told(p) != "Your password is changed, and you are signed out everywhere but here." {
				t.Errorf("the page says %q", told(p))
			}
		})
		if !in(b) || a.userInfo(t, mine) != http.StatusOK {
			t.Error("the session in which it was changed ended")
		}
		if b.Cookie("portvakt") == before {
			t.Error("SE-04: the session's secret is the old one")
		}
		old := a.Browser(t)
		old.SetCookie("portvakt", before)
		if in(old) {
			t.Error("SE-04: the old secret still works")
		}
		if p := half.Fill(code, "code", servertest.Code(t, servertest.TOTP, a.Clock())); in(half) {
			t.Errorf("SE-04: a sign-in that began with the old password came through: %d", p.Status)
		}
		if guess(t, a.Browser(t), "alice", servertest.Password).Status == http.StatusSeeOther {
			t.Error("the old password is good")
		}
		if guess(t, a.Browser(t), "alice", another).Status != http.StatusSeeOther {
			t.Error("the new password is not")
		}
		mail := a.AwaitPost(t, 1)[0]
		if mail.To != "alice@example.se" || mail.Subject != "Your password was changed" || !strings.Contains(mail.Body, "Firefox, Windows") {
			t.Errorf("the mail %+v", mail)
		}
	})
}

// TestAccountPasswordForgets (SE-04): a remembered browser asks for the second factor again.
func TestAccountPasswordForgets(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.policies(t, remembering)
		b := a.remember(t, "alice", servertest.TOTP)
		other := a.firefox(t, "alice", servertest.TOTP)
		if p := changes(t, other, servertest.Password, another); p.Status != http.StatusSeeOther {
			t.Fatalf("%d %q", p.Status, p.Alert())
		}
		p := b.Follow(b.Get("/account"))
		if p = b.Follow(b.Fill(p, "username", "alice", "password", another)); !strings.Contains(p.Body, `name="code"`) {
			t.Errorf("SE-04: a browser remembered before the new password gets %d %s", p.Status, p.URL)
		}
	})
}

// TestAccountPasswordAlerts: what is wrong is told at the field, and the page never shows a password.
func TestAccountPasswordAlerts(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.firefox(t, "alice", servertest.TOTP)
	page := shows(t, b.Get("/account/password"), `autocomplete="new-password"`)
	for _, c := range []struct{ current, next, repeat, want string }{
		{"", another, another, "Something is missing"}, {servertest.Password, another, another + "x", "not the same"}, {servertest.Password, "short", "short", "too short"},
		{servertest.Password, strings.Repeat("a", 300), strings.Repeat("a", 300), "too long"}, {wrong, another, another, "not your current password"},
		{"x\x00\xff", another, another, "not your current password"},
	} {
		p := b.Fill(page, "current", c.current, "password", c.next, "repeat", c.repeat)
		if p.Status != http.StatusOK || !strings.Contains(p.Alert(), c.want) || c.next != "" && strings.Contains(p.Body, `value="`+c.next) {
			t.Errorf("%.20q to %.20q: %d %q", c.current, c.next, p.Status, p.Alert())
		}
		quiet(t, p)
	}
	for range 3 {
		changes(t, b, wrong, another)
	}
	if p := changes(t, b, servertest.Password, another); !strings.Contains(p.Alert(), "Wait 3 minutes") {
		t.Errorf("LK-01: over the limit: %d %q", p.Status, p.Alert())
	}
	if p := guess(t, a.Browser(t), "alice", servertest.Password); p.Status != http.StatusSeeOther {
		t.Errorf("LK-04: guesses on the page keep alice from signing in: %q", p.Alert())
	}
	if n := a.count(t, audit.PasswordChanged, audit.WrongPassword); n != 5 {
		t.Errorf("%d wrong ones in the trail", n)
	}
}

// TestAccountPasswordStepsUp: a session that a remembered browser opened proves the factor first; then the page comes back.
func TestAccountPasswordStepsUp(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.policies(t, remembering)
		b := a.remember(t, "alice", servertest.TOTP)
		b.Forget("portvakt")
		a.clock.Add(31 * time.Second)
		if p := b.Fill(start(t, b), "username", "alice", "password", servertest.Password); p.Status != http.StatusSeeOther || !in(b) {
			t.Fatalf("a remembered browser is asked for more: %d %s", p.Status, p.Location)
		}
		form := token(t, b.Get("/account"))
		p := b.Get("/account/password")
		if !strings.Contains(p.Location, "/login/") {
			t.Fatalf("the page for a new password: %d", p.Status)
		}
		posted := b.Post("/account/password", map[string][]string{"form_token": {form}, "current": {servertest.Password}, "password": {another}, "repeat": {another}})
		if !strings.Contains(posted.Location, "/login/") {
			t.Errorf("the form for a new password: %d %s", posted.Status, posted.Location)
		}
		back := b.Follow(b.SignIn(posted, "alice", servertest.Password, servertest.TOTP))
		if back.URL.Path != "/account/password" || back.Alert() == "" {
			t.Errorf("came back to %s %q", back.URL, back.Alert())
		}
		if p := changes(t, b, servertest.Password, another); p.Status != http.StatusSeeOther {
			t.Errorf("after the factor: %d %q", p.Status, p.Alert())
		}
	})
}

// TestAccountWithoutPassword: who has none reads what to do instead.
func TestAccountWithoutPassword(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	alice := a.person(t, "alice")
	session := user.Session{ID: user.SessionID(store.NewID(a.clock.Now())), User: alice.ID, Proved: []user.Method{user.MethodSoftKey, user.MethodPresence},
		AuthTime: a.clock.Now(), ExpiresAt: a.clock.Now().Add(time.Hour)}
	storetest.Change(t, a.DB, func(tx *store.Tx) error {
		if err := tx.SetPassword(alice.ID, "", "", "", ""); err != nil {
			return err
		}
		return tx.CreateSession(session, hashOf("a-secret"))
	})
	b := a.Browser(t)
	b.SetCookie("portvakt", "a-secret")
	p := shows(t, b.Get("/account/password"), `href="/forgot"`)
	if strings.Contains(p.Body, `type="password"`) {
		t.Error("it asks for a password")
	}
	p = b.Post("/account/password", map[string][]string{"form_token": {token(t, b.Get("/account"))}, "current": {"anything"}, "password": {another}, "repeat": {another}})
	shows(t, p, `href="/forgot"`)
}
