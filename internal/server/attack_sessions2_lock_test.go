package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/user"
)

// TestUnlockRemembers: a code that unlocks a session does no more: no field makes its browser a remembered one.
func TestUnlockRemembers(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetestSQLite(t), servertest.Options{Apply: servertest.Sample() + remembering})
	b := a.signIn(t, "alice", servertest.TOTP)
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	p := unlocks(t, b, "/account")
	if strings.Contains(p.Body, `name="remember"`) {
		t.Fatal("the page has the box")
	}
	b.Fill(p, "code", a.totp(t, servertest.TOTP), "remember", "1")
	if b.Cookie("portvakt-device") != "" || len(a.Events(t, audit.DeviceRemembered)) != 0 {
		t.Error("a code that unlocked a session made the browser a remembered one")
	}
}

// TestStepUpUnlocks: a session that is locked while somebody proves more in it is unlocked by what unlocks a session, and not by a text message.
func TestStepUpUnlocks(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetestSQLite(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: servertest.Sample() +
		"policies:\n  factors: {required: false, remember_device: 7d}\n"})
	b := a.remembered(t)
	p := b.Follow(b.Get(authorizeURL("conf", "claims", `{"id_token":{"acr":{"essential":true,"value":"`+string(user.ACR2FA)+`"}}}`)))
	if !strings.Contains(p.Body, `value="sms"`) {
		t.Fatalf("no way by text message: %d\n%s", p.Status, p.Body)
	}
	sent := len(a.Texts(t))
	p = b.Follow(b.Press(p, "way", "sms"))
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	unlocks(t, b, "/account")
	text := a.AwaitTexts(t, sent+1)[sent].Code()
	b.FillWith(b.Get(p.URL.Path), `name="code"`, "code", text)
	if in(b) || a.count(t, audit.SessionUnlocked, "") != 0 {
		t.Error("a text message unlocked the session")
	}
}

// TestLockedDoors (SE-02): a locked session does nothing at any door, with forms from before it was locked.
func TestLockedDoors(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b, other := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP)
	home := b.Get("/account")
	_, seats := seats(t, b)
	token := token(t, home)
	tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
	b.FillWith(home, `action="/account/lock"`)
	n := len(a.Events(t))
	for path, form := range map[string]url.Values{
		"/account/sessions/others":      {},
		"/account/sessions/" + seats[0]: {},
		"/account/password":             {"current": {servertest.Password}, "password": {another}, "repeat": {another}},
		"/account/recovery":             {},
		"/account/devices/all":          {"action": {"forget"}},
		"/account/add/totp":             {"code": {"000000"}},
		"/account/stop":                 {"factor": {"x"}},
		"/account/lock":                 {},
	} {
		form.Set("form_token", token)
		if p := b.Post(path, form); p.Status != http.StatusSeeOther || !strings.Contains(p.Location, "/login/") {
			t.Errorf("SE-02: POST %s of a locked session got %d %s", path, p.Status, p.Location)
		}
	}
	for _, e := range a.Events(t)[n:] {
		if e.Kind != audit.FlowBegun {
			t.Errorf("SE-02: a locked session did %+v", e)
		}
	}
	hint := tokens["id_token"].(string)
	for _, more := range [][]string{{}, {"prompt", "none"}, {"prompt", "login"}, {"prompt", "consent"}, {"prompt", "select_account"}, {"max_age", "9999"}, {"max_age", "0"}, {"id_token_hint", hint},
		{"id_token_hint", hint, "prompt", "none"}, {"response_mode", "form_post"}, {"response_mode", "form_post", "prompt", "none"}, {"acr_values", string(user.ACRPhR)}} {
		p := b.Get(authorizeURL("conf", more...))
		if response(t, p).Get("code") != "" || strings.Contains(p.Body, `name="code"`) {
			t.Errorf("SE-02: %v of a locked session gave a code", more)
		}
	}
	if p := b.Get("/userinfo"); p.Status == http.StatusOK {
		t.Error("SE-02: /userinfo by cookie")
	}
	if !in(other) {
		t.Error("another session of hers ended")
	}
}

// TestLinkToOldMailbox (RS-03): a link that went to an address which is hers no more opens nothing.
func TestLinkToOldMailbox(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	forgot(t, a.Browser(t), "alice")
	path := a.mailedLink(t, 1)
	a.ApplyFile(t, strings.Replace(servertest.Sample(), "alice@example.se", "alice@new.example.se", 1))
	b := a.Browser(t)
	if p := b.Get(path); p.Status != http.StatusGone {
		if p = take(b, p); p.Status == http.StatusSeeOther {
			t.Error("RS-03: who reads the mailbox that was taken from her account sets her password")
		}
	}
}

// TestOutlivedAgain: a password that is too old is not replaced by itself.
func TestOutlivedAgain(t *testing.T) {
	t.Parallel()
	weak(t, "{max_age: 30d}", func(t *testing.T, a *attack) {
		a.clock.Add(31 * 24 * time.Hour)
		b := a.Browser(t)
		p := b.Follow(b.Fill(proved(t, b, "alice"), "code", a.totp(t, servertest.TOTP)))
		p = shows(t, p, `autocomplete="new-password"`)
		if b.Fill(p, "password", servertest.Password, "repeat", servertest.Password); in(b) {
			t.Error("contract §5: the password that max_age takes no more replaced itself")
		}
	})
}

// TestUnlockForgives (OT-04): who unlocks a session by a code has no new guesses at its person's password.
func TestUnlockForgives(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	for range 5 {
		b.FillWith(b.Get("/account"), `action="/account/lock"`)
		p := b.Follow(b.Press(unlocks(t, b, "/account"), "way", "password"))
		for range 4 {
			p = b.Fill(p, "password", wrong)
		}
		p = b.Follow(b.Press(p, "way", "totp"))
		if b.Fill(p, "code", a.totp(t, servertest.TOTP)); !in(b) {
			break // the code has to wait with the password: all doors share the count
		}
	}
	if n := a.count(t, audit.LoginFailed, audit.WrongPassword); n > 10 {
		t.Errorf("OT-04: %d guesses at the password were looked at in three minutes, with codes between them", n)
	}
}

// TestWaitingEndsNothing (LK-04): right answers that have to wait, because strangers guess, do not end the session that they would unlock.
func TestWaitingEndsNothing(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	b.Forget("portvakt-known") // or a colleague signed in here since
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	for range 5 {
		guess(t, a.Browser(t), "alice", wrong)
	}
	p := b.Follow(b.Press(unlocks(t, b, "/account"), "way", "password"))
	for range 10 {
		p = b.Fill(p, "password", servertest.Password)
		if p.Status != http.StatusOK {
			break
		}
	}
	a.clock.Add(4 * time.Minute)
	if p := b.Follow(b.Get("/account")); !strings.Contains(p.Body, `href="/logout"`) {
		t.Error("LK-04: her session is over, and nobody gave a wrong answer in it")
	}
}

// TestDisabledMeanwhile (SE-04): who may sign in no more while a page is open gets nothing by it.
func TestDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	weak(t, "{min_length: 40}", func(t *testing.T, a *attack) {
		long := another + another + another
		renewing := a.Browser(t)
		renew := renewing.Follow(renewing.Fill(proved(t, renewing, "alice"), "code", a.totp(t, servertest.TOTP)))
		for range 5 {
			guess(t, a.Browser(t), "alice", wrong)
		}
		admit := a.mailedLink(t, 1)
		forgot(t, a.Browser(t), "alice")
		reset := a.mailedLink(t, 2)
		b := a.Browser(t)
		pages := map[string]*servertest.Page{admit: b.Get(admit), reset: b.Get(reset)}
		ok(t, a.Admin.SetDisabled(background, operator, "alice", true))
		n := len(a.Events(t, audit.PasswordChanged, audit.LinkUsed, audit.SessionStarted))
		renewing.Fill(renew, "password", long, "repeat", long)
		for path, page := range pages {
			if p := b.Fill(page, "password", long, "repeat", long); p.Status != http.StatusGone {
				t.Errorf("%s: %d", path, p.Status)
			}
		}
		if in(renewing) || b.Cookie("portvakt-known") != "" || len(a.Events(t, audit.PasswordChanged, audit.LinkUsed, audit.SessionStarted)) != n {
			t.Error("SE-04: something was done for somebody disabled")
		}
		sent := len(a.Events(t, audit.LinkIssued))
		if forgot(t, a.Browser(t), "alice"); len(a.Events(t, audit.LinkIssued)) != sent {
			t.Error("a link for somebody disabled")
		}
	})
}
