package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// toRecovery signs a person in as far as the page for a recovery code.
func (a *attack) toRecovery(t testing.TB, b *servertest.Browser, username string) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Press(secondPage(t, b, username), "way", "recovery"))
	if !strings.Contains(p.Body, `name="recovery"`) {
		t.Fatalf("no page for a recovery code: %d\n%s", p.Status, p.Body)
	}
	return p
}

// sayLost sends the form of the page for who lost their phone.
func sayLost(t testing.TB, b *servertest.Browser, username, code string) *servertest.Page {
	t.Helper()
	return b.Fill(b.Get("/lost"), "username", username, "recovery", code)
}

// stopped reports whether every factor of a person is.
func (a *attack) stopped(t testing.TB, username string) bool {
	t.Helper()
	all := a.factors(t, username)
	for _, f := range all {
		if f.StoppedAt.IsZero() {
			return false
		}
	}
	return len(all) > 0
}

// TestAttackFactorRecoveryOnce (OT-07): one code works once, of eight at once on two instances, at sign-in and at /lost together.
func TestAttackFactorRecoveryOnce(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		codes := a.recoveryCodes(t, "alice")
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for range 6 {
			b := a.Browser(t)
			browsers, pages = append(browsers, b), append(pages, a.toRecovery(t, b, "alice"))
		}
		used := len(a.Events(t, audit.RecoveryUsed))
		for _, p := range parallel(8, func(i int) *servertest.Page {
			if i >= 6 {
				return sayLost(t, second.Browser(t), "alice", codes[0])
			}
			return at(browsers[i], []*servertest.Site{a.Site, second}[i%2]).Fill(pages[i], "recovery", codes[0])
		}) {
			if p.Status >= 500 {
				t.Errorf("OT-07: a rival got %d", p.Status)
			}
		}
		wins := 0
		for _, e := range a.since(t, used, audit.RecoveryUsed) {
			if e.Outcome == "" || e.Outcome == audit.Success {
				wins++
			}
		}
		if wins != 1 {
			t.Errorf("OT-07: one recovery code worked %d times", wins)
		}
		a.clock.Add(2 * time.Hour)                     // the losers' answers count as guesses
		if b := a.Browser(t); !a.stopped(t, "alice") { // not spent at /lost: then sign-ins go on
			if p := b.Fill(a.toRecovery(t, b, "alice"), "recovery", codes[0]); p.Status != http.StatusOK || p.Alert() == "" {
				t.Errorf("OT-07: a used code got %d %s", p.Status, p.Location)
			}
		}
	})
}

// TestAttackFactorRecoveryRing (OT-07): who signs in with a code and who says with the same one that the phone is lost do not wait for each other: both
// take the person's row before the code's.
func TestAttackFactorRecoveryRing(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t) // which fails the test for a deadlock
	a := factorSite(t, address, "")
	code := a.recoveryCodes(t, "alice")[0]
	b := a.Browser(t)
	page := a.toRecovery(t, b, "alice")
	for _, p := range storetest.InRow(t, storetest.Connect(t, address), "update users set id = id where username = 'alice'",
		func() *servertest.Page { return b.Fill(page, "recovery", code) },
		func() *servertest.Page { return sayLost(t, a.Browser(t), "alice", code) },
	) {
		if p.Status >= 500 {
			t.Errorf("OT-07: a rival got %d", p.Status)
		}
	}
}

// TestAttackFactorRecoveryOthers (OT-07): a code is one person's and one set's; how it is written does not matter, what it is does.
func TestAttackFactorRecoveryOthers(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		old := a.recoveryCodes(t, "alice")
		codes := a.recoveryCodes(t, "alice")
		me := a.signIn(t, "mallory", servertest.OtherTOTP)
		his := recoveryCode.FindAllString(me.FillWith(me.Get("/account"), `action="/account/recovery"`).Body, -1)
		b := a.Browser(t)
		p := a.toRecovery(t, b, "alice")
		for name, code := range map[string]string{"mallory's": his[0], "of the set before": old[0], "cut": codes[0][:10], "longer": codes[0] + "A", "two": codes[0] + codes[1],
			"padded": strings.Repeat(" ", 60) + codes[0], "zero": "", "percent": "%", "another": "AAAAA-AAAAA"} {
			if p = b.Follow(b.Fill(p, "recovery", code)); strings.Contains(p.Body, "totp-key") {
				t.Errorf("OT-07: a code that is %s was taken", name)
			}
		}
		a.clock.Add(16 * time.Minute)
		for i, write := range []func(string) string{strings.ToLower, func(s string) string { return strings.ReplaceAll(s, "-", " ") }, func(s string) string { return " " + s + " " },
			func(s string) string { return strings.Join(strings.Split(strings.ReplaceAll(s, "-", ""), ""), " ") }, func(s string) string { return strings.ReplaceAll(s, "-", "–") }} {
			b := a.Browser(t)
			if p := b.Follow(b.Fill(a.toRecovery(t, b, "alice"), "recovery", write(codes[i]))); !strings.Contains(p.Body, "totp-key") {
				t.Errorf("OT-07: %q was refused: %q", write(codes[i]), p.Alert())
			}
		}
		// Wrong at /lost for the one who has none of them.
		sayLost(t, a.Browser(t), "alice", his[1])
		sayLost(t, a.Browser(t), "alice", old[1])
		sayLost(t, a.Browser(t), "nobody", codes[5])
		if a.stopped(t, "alice") || a.stopped(t, "mallory") {
			t.Error("OT-07: somebody else's code stopped factors")
		}
	})
}

// TestAttackFactorRecoveryAbandoned (OT-07, MF-04): a recovery code leads to setting up a factor and to nothing else; who leaves then has used a code.
func TestAttackFactorRecoveryAbandoned(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		b := a.Browser(t)
		p := b.Follow(b.Get(authorizeURL("conf")))
		p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
		p = b.Follow(b.Press(p, "way", "recovery"))
		p = b.Follow(b.Fill(p, "recovery", codes[0], "remember", "1"))
		if !strings.Contains(p.Body, "totp-key") {
			t.Fatalf("not asked for a new factor: %d %s", p.Status, p.URL)
		}
		id := strings.TrimPrefix(p.URL.Path, "/login/")
		for _, path := range []string{"/account", "/authorize?flow=" + id, authorizeURL("conf"), "/account/add/totp"} {
			if q := b.Get(path); in(b) || response(t, q) != nil {
				t.Errorf("OT-07: after a recovery code alone %s gives %d %s", path, q.Status, q.Location)
			}
		}
		for _, way := range []string{"totp", "sms", "recovery", "password", "done"} {
			_, form := p.Form(t)
			form.Set("way", way)
			if q := b.Follow(b.Post(p.URL.Path, form)); !strings.Contains(q.Body, "totp-key") {
				t.Errorf("OT-07: after a recovery code way=%s gives %d", way, q.Status)
			}
		}
		for _, name := range []string{"portvakt", "portvakt-device", "portvakt-known"} {
			if b.Cookie(name) != "" {
				t.Errorf("OT-07: a recovery code gave the cookie %s", name)
			}
		}
		q := secondPage(t, b, "alice")
		if !strings.Contains(q.Body, `name="code"`) || strings.Contains(q.Body, "totp-key") {
			t.Errorf("MF-04: after a recovery that was abandoned the next sign-in shows %s", q.Body)
		}
		if q := b.Follow(b.Fill(a.toRecovery(t, b, "alice"), "recovery", codes[0])); strings.Contains(q.Body, "totp-key") {
			t.Error("OT-07: the code of an abandoned recovery works again")
		}
	})
}

// TestAttackFactorRecoveryMinimum (AZ-08): where policy demands phr a recovery code leads to a passkey and to nothing less.
func TestAttackFactorRecoveryMinimum(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key := factortest.New(oneIssuer)
		b := a.signIn(t, "alice", servertest.TOTP)
		addPasskey(t, b, key)
		codes := recoveryCode.FindAllString(b.FillWith(b.Get("/account"), `action="/account/recovery"`).Body, -1)
		a.policies(t, "policies:\n  factors: {required: true, groups: {admins: {minimum: phr}}}\n")
		b = a.Browser(t)
		p := b.Follow(b.Fill(a.toRecovery(t, b, "alice"), "recovery", codes[0]))
		if !strings.Contains(p.Body, `data-passkey="create"`) || strings.Contains(p.Body, "totp-key") {
			t.Fatalf("AZ-08: a recovery code under phr leads to %d %s", p.Status, p.URL)
		}
		for _, way := range []string{"totp", "enrol", "sms"} {
			_, form := p.Form(t)
			form.Set("way", way)
			form.Set("code", "123456")
			if q := b.Follow(b.Post(p.URL.Path, form)); strings.Contains(q.Body, "totp-key") || in(b) {
				t.Errorf("AZ-08: way=%s: %d", way, q.Status)
			}
		}
		fresh := factortest.New(oneIssuer)
		done(t, b, b.Passkey(b.Get(p.URL.Path), anyKey(fresh.Create)))
		if e := a.Events(t, audit.LoginSucceeded); e[len(e)-1].Detail["acr"] != "phr" {
			t.Errorf("AZ-08: signed in as %v", e[len(e)-1].Detail)
		}
	})
}

// TestAttackFactorRecoveryGuessing (OT-04, OT-07): guesses with alice's password are five together, and then wait; a right
// code after them is refused; a password does not begin the count anew.
func TestAttackFactorRecoveryGuessing(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		codes := a.recoveryCodes(t, "alice")
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for i := range 19 {
			b := at(a.Browser(t), []*servertest.Site{a.Site, second}[i%2])
			browsers, pages = append(browsers, b), append(pages, a.toRecovery(t, b, "alice"))
		}
		parallel(18, func(i int) *servertest.Page {
			return browsers[i].Fill(pages[i], "recovery", fmt.Sprintf("AAAAA-AAA%02d", 22+i))
		})
		n := 0
		for _, e := range a.Events(t, audit.LoginFailed) {
			if e.Detail["step"] == "recovery" && e.Reason == audit.WrongCode {
				n++
			}
		}
		if n != 5 {
			t.Errorf("OT-04: %d guesses at a recovery code were looked at, want 5", n)
		}
		if p := browsers[18].Follow(browsers[18].Fill(pages[18], "recovery", codes[0])); strings.Contains(p.Body, "totp-key") {
			t.Error("OT-04: after five wrong ones the sixth, right, was taken at once")
		}
	})
}

// TestAttackFactorRecoveryStranger (LK-04): a stranger who knows alice's name, and nothing else, does not keep her from using her recovery codes:
// not for a quarter of an hour, and not until an operator unlocks her.
func TestAttackFactorRecoveryStranger(t *testing.T) {
	t.Parallel()
	for name, tries := range map[string]int{"ten": 10, "a hundred": 100} {
		t.Run(name, func(t *testing.T) {
			factorSites(t, "", func(t *testing.T, a *attack) {
				codes := a.recoveryCodes(t, "alice")
				for i := range tries {
					stranger := from(a.Browser(t), fmt.Sprintf("198.51.100.%d", i%50))
					sayLost(t, stranger, "alice", fmt.Sprintf("AAAAA-AA%03d", 222+i))
					if i%10 == 9 && i+1 < tries {
						a.clock.Add(15*time.Minute + time.Second)
					}
				}
				if tries == 100 {
					a.clock.Add(30 * 24 * time.Hour)
				}
				sayLost(t, from(a.Browser(t), "203.0.113.77"), "alice", codes[1])
				if !a.stopped(t, "alice") {
					t.Errorf("LK-04: after a stranger's %d wrong codes alice's own does not stop her factors", tries)
				}
				b := from(a.Browser(t), "203.0.113.77")
				p := b.Follow(b.Fill(start(t, b), "username", "alice", "password", servertest.Password))
				if strings.Contains(p.Body, `value="recovery"`) {
					p = b.Follow(b.Press(p, "way", "recovery"))
				}
				if p = b.Follow(b.Fill(p, "recovery", codes[0])); !strings.Contains(p.Body, "totp-key") {
					t.Errorf("LK-04: after a stranger's %d wrong codes alice's own gets %q at sign-in", tries, p.Alert())
				}
			})
		})
	}
}

// TestAttackFactorLost (RT-04, SE-04): a right code at /lost ends everything at once; what is disabled, or nobody's, stays as it is.
func TestAttackFactorLost(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		second := a.Second(t)
		codes := a.recoveryCodes(t, "alice")
		thief := a.remembered(t)
		session := a.signIn(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "conf", mustCode(t, session.Get(authorizeURL("conf"))))
		half := a.Browser(t)
		p := secondPage(t, half, "alice")
		texted := a.Browser(t)
		q, right := a.toText(t, texted, "alice")
		key := a.Browser(t)
		recovering := key.Follow(key.Fill(a.toRecovery(t, key, "alice"), "recovery", codes[1]))
		sayLost(t, second.Browser(t), "alice", codes[0])
		if in(thief) || in(session) || a.refresh(t, "conf", tokens["refresh_token"].(string)).Status != http.StatusBadRequest || a.userInfo(t, tokens) != http.StatusUnauthorized {
			t.Error("SE-04: after /lost a session or a token of alice's lives on")
		}
		half.Fill(p, "code", a.totp(t, servertest.TOTP))
		code(texted, q, right)
		key.Fill(recovering, "code", a.totp(t, "otpauth://totp/x?secret="+recovering.Key(t)))
		thief.Forget("portvakt")
		p = thief.Follow(thief.Fill(start(t, thief), "username", "alice", "password", servertest.Password))
		if in(half) || in(texted) || in(key) || in(thief) || !strings.Contains(p.Body, `name="recovery"`) {
			t.Errorf("MF-04: after /lost: a sign-in by code %v, by text %v, by a recovery of before %v, by a remembered browser %v", in(half), in(texted), in(key), in(thief))
		}
		if !a.stopped(t, "alice") {
			t.Error("MF-04: after /lost a factor works")
		}

		me := a.signIn(t, "mallory", servertest.OtherTOTP)
		his := recoveryCode.FindAllString(me.FillWith(me.Get("/account"), `action="/account/recovery"`).Body, -1)
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
		n := len(a.Events(t, audit.RecoveryUsed))
		sayLost(t, a.Browser(t), "mallory", his[0])
		if fresh := a.since(t, n, audit.RecoveryUsed); len(fresh) != 1 || fresh[0].Reason != audit.Disabled || a.stopped(t, "mallory") {
			t.Errorf("SE-04: a disabled person's code at /lost left %+v", fresh)
		}
	})
}

// TestAttackFactorRecoveryMaking (MF-05): new codes are made by a fresh session of two factors, and are shown to nobody else.
func TestAttackFactorRecoveryMaking(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		b := a.remembered(t)
		if p := b.FillWith(b.Get("/account"), `action="/account/recovery"`); recoveryCode.MatchString(p.Body) {
			t.Error("MF-05: a remembered browser made recovery codes")
		}
		b = a.signIn(t, "alice", servertest.TOTP)
		page := b.Get("/account")
		a.clock.Add(5*time.Minute + time.Second)
		if p := b.FillWith(page, `action="/account/recovery"`); recoveryCode.MatchString(p.Body) {
			t.Error("MF-05: a session of six minutes made recovery codes")
		}
		for _, path := range []string{"/account", "/account/recovery", "/account/stop"} {
			if p := b.Get(path); strings.Contains(p.Body, codes[0]) || recoveryCode.MatchString(p.Body) {
				t.Errorf("OT-07: %s shows recovery codes", path)
			}
		}
	})
}
