package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestSharedBrowser (LK-04): a browser in which two persons have signed in is known to be of both.
func TestSharedBrowser(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	a.clock.Add(31 * time.Second)
	b.Forget("portvakt")
	a.again(t, b, "/account", "mallory", servertest.OtherTOTP)
	b.Forget("portvakt")
	for range 5 {
		guess(t, a.Browser(t), "alice", wrong)
	}
	if p := guess(t, b, "alice", servertest.Password); p.Status != http.StatusSeeOther {
		t.Errorf("LK-04: after a colleague's sign-in strangers keep her out of the browser that she uses: %q", p.Alert())
	}
}

// TestBlockedAddressCosts (CR-03): a try from an address that has to wait costs no hash.
func TestBlockedAddressCosts(t *testing.T) {
	hash := factor.Params{MemoryKiB: 65536, Time: 2}
	a := newAttack(t, storetestSQLite(t), servertest.Options{Hash: hash, Apply: servertest.Sample() + "policies:\n  lockout: {attempts: 1}\n"})
	for i := range 20 {
		guess(t, a.Browser(t), fmt.Sprint("nobody", i), wrong)
	}
	i := 0
	servertest.Thrice(t, func() error {
		i++
		b := a.Browser(t)
		p := start(t, b)
		began := time.Now()
		if p = b.Fill(p, "username", fmt.Sprint("somebody", i), "password", wrong); !strings.Contains(p.Alert(), "minute") {
			t.Fatal(p.Alert())
		}
		took := time.Since(began)
		if whole := hashing(t, hash); took > whole/2 {
			return fmt.Errorf("CR-03: a try from an address that has to wait takes %v, a hash %v", took, whole)
		}
		return nil
	})
}

// TestKioskFormPost: a response by form leaves no cookie at a kiosk either.
func TestKioskFormPost(t *testing.T) {
	t.Parallel()
	a := kiosk(t)
	b := a.Browser(t)
	p := b.Follow(b.Get(authorizeURL("till", "scope", "openid", "response_mode", "form_post")))
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	p = b.Get(b.Fill(p, "code", a.totp(t, servertest.TOTP)).Location)
	if !strings.Contains(p.Body, `name="code"`) {
		t.Fatalf("no code: %d\n%s", p.Status, p.Body)
	}
	for _, c := range []string{"portvakt", "portvakt-known", "portvakt-device", "portvakt-browser"} {
		if b.Cookie(c) != "" {
			t.Errorf("the kiosk keeps the cookie %s", c)
		}
	}
}

// TestKioskSignsOut (LO-02): who signs out of the application at a kiosk, with the ID token that it was given, is signed out.
func TestKioskSignsOut(t *testing.T) {
	t.Parallel()
	a := kiosk(t)
	b := a.Browser(t)
	tokens := a.tokens(t, "till", mustCode(t, a.atTill(t, b, "alice", servertest.TOTP, func() {})))
	b.Follow(b.Get("/logout?id_token_hint=" + tokens["id_token"].(string)))
	if n := a.count(t, audit.SessionEnded, audit.Logout); n != 1 {
		t.Error("LO-02: the session of a kiosk outlives the sign-out of its application")
	}
}

// TestRenewAway (MF-01): a password that has to be replaced opens nothing meanwhile by another tab, another way, a passkey field, an old version
// or an empty answer, and policy that gave way meanwhile does not let it through unasked.
func TestRenewAway(t *testing.T) {
	t.Parallel()
	weak(t, "{min_length: 40}", func(t *testing.T, a *attack) {
		b := a.Browser(t)
		tab := start(t, b)
		p := b.Follow(b.Fill(proved(t, b, "alice"), "code", a.totp(t, servertest.TOTP)))
		p = shows(t, p, `autocomplete="new-password"`)
		for _, pairs := range [][]string{{}, {"way", "totp"}, {"way", "done"}, {"way", "enrol"}, {"way", "webauthn"}, {"action", "resend"}, {"passkey", "{}"}, {"code", "000000"},
			{"username", "mallory", "password", servertest.Password, "repeat", servertest.Password}, {"version", "1", "password", another + another, "repeat", another + another},
			{"version", "99", "password", another + another, "repeat", another + another}} {
			if q := b.Fill(b.Get(p.URL.Path), pairs...); in(b) || b.Cookie("portvakt") != "" {
				t.Errorf("MF-01: %q passes: %d", pairs, q.Status)
			}
		}
		b.Fill(b.Get(tab.URL.Path), "username", "mallory", "password", servertest.Password)
		a.ApplyFile(t, "policies:\n  password: {min_length: 12}\n")
		a.Settle(t)
		for _, path := range []string{p.URL.Path, "/authorize?flow=" + strings.TrimPrefix(p.URL.Path, "/login/"), "/account", authorizeURL("conf", "prompt", "none")} {
			if q := b.Get(path); in(b) || q.Status == http.StatusSeeOther && response(t, q).Get("code") != "" {
				t.Errorf("MF-01: %s passes", path)
			}
		}
		p = b.Get(p.URL.Path)
		answers := parallel(8, func(i int) *servertest.Page {
			return b.Fill(p, "password", fmt.Sprint(another, i), "repeat", fmt.Sprint(another, i))
		})
		won := 0
		for i := range answers {
			if q := guess(t, a.Browser(t), "alice", fmt.Sprint(another, i)); q.Status == http.StatusSeeOther {
				won++
			}
			a.clock.Add(20 * time.Minute)
		}
		if n := len(a.Events(t, audit.PasswordChanged)); won != 1 || n != 1 {
			t.Errorf("of eight new passwords at once %d are good, and %d changes are on record", won, n)
		}
	})
}

// TestCodeGuessesAreTold: who is told of guesses at the code behind a right password does not read that passwords were wrong.
func TestCodeGuessesAreTold(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	eve := a.Browser(t)
	p := proved(t, eve, "alice")
	for range 5 {
		p = eve.Fill(p, "code", "000000")
	}
	a.Notify.Wake()
	if m := a.AwaitPost(t, 1)[0]; strings.Contains(m.Body, "wrong passwords") {
		t.Errorf("somebody knows her password, and the mail says:\n%s", m.Body)
	}
}

// TestTwoDoorsOneBudget (OT-04): the strangers' count holds over sign-in, unlocking, the change of the password and codes, over two instances.
func TestTwoDoorsOneBudget(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		b, locked := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP)
		b.Forget("portvakt-known")
		locked.Forget("portvakt-known")
		locked.FillWith(locked.Get("/account"), `action="/account/lock"`)
		p := locked.Follow(locked.Press(unlocks(t, locked, "/account"), "way", "password"))
		eve := second.Browser(t)
		code := proved(t, eve, "alice")
		page := shows(t, b.Get("/account/password"), `autocomplete="current-password"`)
		for range 4 {
			guess(t, second.Browser(t), "ALICE", wrong)
			locked.Fill(locked.Get(p.URL.Path), "password", wrong)
			b.Fill(page, "current", wrong, "password", another, "repeat", another)
			eve.Fill(eve.Get(code.URL.Path), "code", "000000")
		}
		n := a.evaluated(t)
		for _, e := range a.Events(t, audit.PasswordChanged) {
			if e.Reason == audit.WrongPassword {
				n++
			}
		}
		if n != 5 {
			t.Errorf("OT-04: %d guesses over four doors were looked at, want 5", n)
		}
	})
}

// TestRightChangesAreFree: right present passwords, where it is changed, do not count against the address that an office has in common.
func TestRightChangesAreFree(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	a.policies(t, "policies:\n  lockout: {attempts: 1}\n")
	b := a.signIn(t, "alice", servertest.TOTP)
	b.Forget("portvakt-known")
	is, next := servertest.Password, another
	for range 20 {
		if p := changes(t, b, is, next); p.Status != http.StatusSeeOther {
			t.Fatalf("not changed: %q", p.Alert())
		}
		is, next = next, is
	}
	if p := guess(t, a.Browser(t), "mallory", servertest.Password); p.Status != http.StatusSeeOther {
		t.Errorf("after 20 right answers nobody else at the address signs in: %q", p.Alert())
	}
}
