package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// unlocks gives the page that asks for a proof at an address where a locked session stands.
func unlocks(t testing.TB, b *servertest.Browser, path string) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Get(path))
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL.Path, "/login/") || !strings.Contains(p.Body, `href="/logout"`) {
		t.Fatalf("%s of a locked session gives %d %s\n%s", path, p.Status, p.URL, p.Body)
	}
	return p
}

// session is alice's one session.
func (a *attack) session(t testing.TB, username string) user.Session {
	t.Helper()
	var all []store.OpenSession
	storetest.View(t, a.DB, func(tx *store.Tx) error {
		p, err := tx.PersonByName(username)
		if err != nil {
			return err
		}
		all, err = tx.SessionsOf(p.ID)
		return err
	})
	if len(all) != 1 {
		t.Fatalf("%s has %d sessions", username, len(all))
	}
	return all[0].Session
}

// TestLockedSession: a session that was not used for lock_after asks for one proof and then goes on as it was: same session, same class, same
// auth_time; its secret changes. No page and no authorization passes it, and prompt=none says interaction_required.
func TestLockedSession(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		before, old := a.session(t, "alice"), b.Cookie("portvakt")
		a.clock.Add(29 * time.Minute)
		if !in(b) {
			t.Fatal("locked too early")
		}
		a.clock.Add(30 * time.Minute)
		if got := response(t, b.Get(authorizeURL("conf", "prompt", "none"))); got.Get("error") != "interaction_required" {
			t.Errorf("AZ-05: prompt=none of a locked session: %v", got)
		}
		for _, path := range []string{"/account", "/account/add/totp", "/account/stop", "/account/add/sms/state", authorizeURL("conf"), authorizeURL("other")} {
			unlocks(t, b, path)
		}
		p := unlocks(t, b, authorizeURL("conf"))
		if !strings.Contains(p.Body, `name="code"`) || !strings.Contains(p.Body, `value="password"`) || strings.Contains(p.Body, `value="sms"`) || strings.Contains(p.Body, `name="remember"`) {
			t.Errorf("the page asks for\n%s", p.Body)
		}
		if wrongly := b.Fill(p, "code", "000000"); wrongly.Alert() == "" || wrongly.Status != http.StatusOK {
			t.Errorf("a wrong code: %d", wrongly.Status)
		}
		if refreshed := a.refresh(t, "conf", tokens["refresh_token"].(string)); refreshed.Status != http.StatusOK {
			t.Errorf("the application of a locked session is cut off: %s", refreshed.Body)
		}
		p = b.Follow(b.Press(b.Get(p.URL.Path), "way", "password"))
		p = b.Fill(p, "password", wrong)
		if p.Alert() == "" {
			t.Error("a wrong password has no alert")
		}
		p = b.Fill(b.Get(p.URL.Path), "password", servertest.Password)
		if back := b.Get(p.Location); response(t, back).Get("code") == "" {
			t.Errorf("unlocked, and the application gets %d %s", back.Status, back.Location)
		}
		after := a.session(t, "alice")
		if after.ID != before.ID || !after.AuthTime.Equal(before.AuthTime) || after.ACR() != before.ACR() || !after.ExpiresAt.Equal(before.ExpiresAt) || b.Cookie("portvakt") == old {
			t.Errorf("SE-01: before %+v, after %+v, its secret the same %v", before, after, b.Cookie("portvakt") == old)
		}
		thief := a.Browser(t)
		thief.SetCookie("portvakt", old)
		if in(thief) || !in(b) || len(a.Events(t, audit.SessionUnlocked)) != 1 {
			t.Error("SE-01: the secret from before the unlocking still works, or the new one does not")
		}
	})
}

// TestLockButton: the button locks at once, on every instance; so do administrators.
func TestLockButton(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.signIn(t, "alice", servertest.TOTP)
		if p := b.FillWith(b.Get("/account"), `action="/account/lock"`); p.Status != http.StatusSeeOther {
			t.Fatalf("the button gives %d", p.Status)
		}
		unlocks(t, at(b, second), "/account")
		a.clock.Add(31 * time.Second)
		p := unlocks(t, b, "/account")
		p = b.Fill(p, "code", servertest.Code(t, servertest.TOTP, a.Clock()))
		if !strings.HasSuffix(p.Location, "/account") || !in(b) {
			t.Errorf("unlocked by a code: %d %s", p.Status, p.Location)
		}
		storetest.Change(t, second.DB, func(tx *store.Tx) error {
			n, err := tx.LockSessionsOf(a.session(t, "alice").User, audit.Administrator)
			if n != 1 {
				t.Errorf("%d sessions locked", n)
			}
			return err
		})
		unlocks(t, b, "/account")
		if n := len(a.Events(t, audit.SessionLocked)); n != 2 {
			t.Errorf("%d sessions were locked by somebody, want 2", n)
		}
	})
}

// TestLockedEnds: ten wrong answers at one unlocking end the session and what came of it.
func TestLockedEnds(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: servertest.Sample() + "policies:\n  lockout: {attempts: 50}\n"})
	b := a.signIn(t, "alice", servertest.TOTP)
	tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	p := b.Follow(b.Press(unlocks(t, b, "/account"), "way", "password"))
	for range 10 {
		p = b.Fill(p, "password", wrong)
	}
	if p.Status != http.StatusTooManyRequests {
		t.Errorf("after ten wrong answers: %d", p.Status)
	}
	if got := a.refresh(t, "conf", tokens["refresh_token"].(string)); !strings.Contains(got.Body, "invalid_grant") {
		t.Errorf("the session's refresh token still works: %s", got.Body)
	}
	if p := start(t, b); !strings.Contains(p.Body, `name="username"`) || strings.Contains(p.Body, "readonly") {
		t.Error("the session did not end")
	}
}

// TestLockedPasskey: a passkey unlocks, but not by a touch alone.
func TestLockedPasskey(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{})
	key := factortest.New(a.URL)
	b := a.withPasskey(t, "newcomer", key)
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	key.UV = false
	if b.Passkey(unlocks(t, b, "/account"), key.Get); in(b) {
		t.Error("WA-04: a touch without verification unlocked a machine that was left")
	}
	key.UV = true
	if b.Passkey(unlocks(t, b, "/account"), key.Get); !in(b) {
		t.Error("her own passkey does not unlock")
	}
}

// weak is a site whose rules have become stricter than alice's password.
func weak(t *testing.T, policies string, fn func(t *testing.T, a *attack)) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: servertest.Sample()})
			a.ApplyFile(t, "policies:\n  password: "+policies+"\n")
			fn(t, a)
		})
	}
}

// TestReplacedPassword: who signs in with a password that policy takes no more replaces it before anything else, after the second factor; then
// every other session is over, and she is told.
func TestReplacedPassword(t *testing.T) {
	t.Parallel()
	weak(t, "{min_length: 40}", func(t *testing.T, a *attack) {
		const better = "a horse, a battery, a staple and forty more characters"
		elsewhere := a.Browser(t)
		elsewhere.Header.Set("Sec-Fetch-Site", "none")
		b := a.Browser(t)
		p := b.Follow(b.Fill(proved(t, b, "alice"), "code", a.totp(t, servertest.TOTP)))
		if !strings.Contains(p.Body, `autocomplete="new-password"`) || in(b) {
			t.Fatalf("the page after the code asks for\n%s", p.Body)
		}
		id := strings.TrimPrefix(p.URL.Path, "/login/")
		for _, path := range []string{"/authorize?flow=" + id, authorizeURL("conf", "prompt", "none"), "/account"} {
			if got := b.Get(path); response(t, got).Get("code") != "" || got.Status == http.StatusOK {
				t.Errorf("MF-01: %s passes a password that has to be replaced: %d", path, got.Status)
			}
		}
		for password, repeat := range map[string]string{"": "", "short": "short", better: "another", servertest.Password: servertest.Password} {
			if q := b.Fill(p, "password", password, "repeat", repeat); q.Status != http.StatusOK || q.Alert() == "" || in(b) {
				t.Errorf("%q and %q: %d %q", password, repeat, q.Status, q.Alert())
			}
		}
		done(t, b, b.Fill(p, "password", better, "repeat", better))
		if !in(b) {
			t.Error("the new password did not finish the sign-in")
		}
		if q := guess(t, a.Browser(t), "alice", servertest.Password); q.Status == http.StatusSeeOther {
			t.Error("the old password still works")
		}
		again := a.Browser(t)
		q := again.Follow(again.Fill(start(t, again), "username", "alice", "password", better))
		if again.Fill(q, "code", a.totp(t, servertest.TOTP)); !in(again) {
			t.Error("the new password does not sign in without another question")
		}
		eventually(t, "a mail", func() bool { return len(a.Post(t)) > 0 })
		if n := len(a.Events(t, audit.PasswordChanged)); n != 1 {
			t.Errorf("%d changes in the trail", n)
		}
	})
}

// TestReplacedOnce (SE-04): of two who replace one old password at once, one does; what the other proved is worth nothing.
func TestReplacedOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		a.ApplyFile(t, "policies:\n  password: {min_length: 40}\n")
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for i := range 4 {
			b := at(a.Browser(t), []*servertest.Site{a.Site, second}[i%2])
			browsers, pages = append(browsers, b), append(pages, b.Follow(b.Fill(proved(t, b, "alice"), "code", a.totp(t, servertest.TOTP))))
		}
		parallel(4, func(i int) *servertest.Page {
			word := strings.Repeat(string(rune('a'+i))+" word of many ", 4)
			return browsers[i].Fill(pages[i], "password", word, "repeat", word)
		})
		signed := 0
		for _, b := range browsers {
			if in(b) {
				signed++
			}
		}
		if n := len(a.Events(t, audit.PasswordChanged)); n != 1 || signed != 1 {
			t.Errorf("SE-04: %d passwords were set and %d are signed in, want 1", n, signed)
		}
	})
}

// TestOldPassword: max_age asks for another password when the time is over, and a passkey alone is not asked.
func TestOldPassword(t *testing.T) {
	t.Parallel()
	weak(t, "{max_age: 30d}", func(t *testing.T, a *attack) {
		a.signIn(t, "alice", servertest.TOTP)
		key := factortest.New(a.URL)
		a.withPasskey(t, "newcomer", key)
		a.clock.Add(31 * 24 * time.Hour)
		b := a.Browser(t)
		if p := b.Follow(b.Fill(proved(t, b, "alice"), "code", a.totp(t, servertest.TOTP))); !strings.Contains(p.Body, `autocomplete="new-password"`) {
			t.Error("a password of 31 days is not replaced")
		}
		b = a.Browser(t)
		if done(t, b, b.Passkey(start(t, b), key.Get)); !in(b) {
			t.Error("who used no password is asked for another")
		}
	})
}

// TestKioskRefused: a kiosk keeps no cookie of a person either who may not use the application.
func TestKioskRefused(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	a.ApplyFile(t, "groups: [nobodys]\nclients:\n  - {client_id: till, kiosk: true, allowed_groups: [nobodys], client_secret: "+servertest.Secret+", redirect_uris: ["+servertest.Redirect+"], scope: openid}\n")
	b := a.Browser(t)
	p := b.Follow(b.Get(authorizeURL("till", "scope", "openid")))
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	p = b.Fill(p, "code", a.totp(t, servertest.TOTP))
	if p = b.Get(p.Location); p.Status != http.StatusForbidden || b.Cookie("portvakt") != "" || in(b) {
		t.Errorf("refused at a kiosk with %d, she is signed in: %v", p.Status, in(b))
	}
}

// TestKiosk: on a computer that many share an application signs in each time, and the browser keeps no cookie of it; the application's tokens go on.
func TestKiosk(t *testing.T) {
	t.Parallel()
	for name, apply := range map[string]string{
		"client": "clients:\n  - {client_id: till, kiosk: true, client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect +
			"], grant_types: [authorization_code, refresh_token], scope: openid offline_access}\n",
		"group": "policies:\n  session: {groups: {staff: {kiosk: true}}}\n  factors: {remember_device: 7d}\n",
	} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, a *attack) {
				a.ApplyFile(t, apply)
				app := map[string]string{"client": "till", "group": "conf"}[name]
				b := a.Browser(t)
				for range 2 {
					p := b.Follow(b.Get(authorizeURL(app, "scope", "openid offline_access")))
					if !strings.Contains(p.Body, `name="username"`) || strings.Contains(p.Body, `value="alice"`) {
						t.Fatalf("the kiosk does not ask who is there: %d\n%s", p.Status, p.Body)
					}
					p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
					if strings.Contains(p.Body, `name="remember"`) {
						t.Error("a kiosk offers to be remembered")
					}
					p = b.Fill(p, "code", a.totp(t, servertest.TOTP), "remember", "1")
					tokens := a.tokens(t, app, mustCode(t, b.Get(p.Location)))
					for _, c := range []string{"portvakt", "portvakt-known", "portvakt-device", "portvakt-browser"} {
						if b.Cookie(c) != "" {
							t.Errorf("the kiosk keeps the cookie %s", c)
						}
					}
					if got := a.refresh(t, app, tokens["refresh_token"].(string)); got.Status != http.StatusOK {
						t.Errorf("the application's token does not go on: %s", got.Body)
					}
				}
				if got := response(t, b.Get(authorizeURL(app, "prompt", "none", "scope", "openid"))); got.Get("error") != "login_required" {
					t.Errorf("prompt=none at a kiosk: %v", got)
				}
			})
		})
	}
}
