package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

var twoFactors = []string{"acr_values", "urn:portvakt:acr:2fa"}

// stepUp begins one for alice, in a browser with a session of one factor.
func (a *attack) stepUp(t testing.TB, b *servertest.Browser) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Get(authorizeURL("conf", twoFactors...)))
	if p.Status != http.StatusOK || !strings.Contains(p.Body, `name="code"`) || strings.Contains(p.Body, `name="password"`) {
		t.Fatalf("no step-up: %d %s\n%s", p.Status, p.URL, p.Body)
	}
	return p
}

// named is code with the person's name in the form, which no page asks for: it finds the person where the row of the sign-in does not say who it is
// (the defect of TestAttackFactorStepUp), so that what lies behind can be tried.
func named(b *servertest.Browser, p *servertest.Page, code string) *servertest.Page {
	return b.FillWith(p, `name="code"`, "code", code, "username", "alice")
}

// TestAttackFactorStepUp (AZ-08, SE-01): a session of one factor that is asked for two proves the second and no more; its secret is new afterwards, the
// old one is dead, the tokens say what was proved, also on refresh and introspection.
func TestAttackFactorStepUp(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.remembered(t)
		old := b.Cookie("portvakt")
		weak := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		p := b.Follow(code(b, a.stepUp(t, b), a.totp(t, servertest.TOTP)))
		if response(t, p).Get("code") == "" {
			t.Fatalf("AZ-08: a step-up ends in %d %s", p.Status, p.URL)
		}
		tokens := a.tokens(t, "conf", mustCode(t, p))
		claims := idToken(t, tokens)
		if claims["acr"] != "urn:portvakt:acr:2fa" || fmt.Sprint(words(claims["amr"])) != "[pwd otp mfa]" {
			t.Errorf("AZ-08: acr %v amr %v", claims["acr"], claims["amr"])
		}
		fresh := idToken(t, object(t, a.refresh(t, "conf", tokens["refresh_token"].(string))))
		q := a.post(t, "/introspect", url.Values{"token": {tokens["access_token"].(string)}}, "Authorization", basic("conf"))
		if fresh["acr"] != claims["acr"] || object(t, q)["acr"] != claims["acr"] {
			t.Errorf("AZ-08: refreshed %v, introspected %s", fresh["acr"], q.Body)
		}
		if got := idToken(t, object(t, a.refresh(t, "conf", weak["refresh_token"].(string)))); got["acr"] != "urn:portvakt:acr:1fa" {
			t.Errorf("AZ-08: tokens of before the step-up now say %v", got["acr"])
		}
		thief := a.Browser(t)
		thief.SetCookie("portvakt", old)
		if b.Cookie("portvakt") == old || in(thief) {
			t.Error("SE-01: the session's secret of before the step-up works")
		}
		if p := b.Get(authorizeURL("conf", append(twoFactors, "prompt", "none")...)); response(t, p).Get("code") == "" {
			t.Errorf("AZ-05: after the step-up: %s", p.Location)
		}
	})
}

// TestAttackFactorStepUpText: a step-up by text message, sent before its page is shown, is as good.
func TestAttackFactorStepUpText(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.remembered(t)
		p := b.Follow(b.Press(a.stepUp(t, b), "way", "sms"))
		if !strings.Contains(p.Body, `data-factor="sms"`) {
			t.Fatalf("no page for a text message: %d", p.Status)
		}
		p = b.Follow(code(b, p, a.AwaitTexts(t, 1)[0].Code()))
		if got := idToken(t, a.tokens(t, "conf", mustCode(t, p))); got["acr"] != "urn:portvakt:acr:2fa" || fmt.Sprint(words(got["amr"])) != "[pwd sms mfa]" {
			t.Errorf("AZ-08: acr %v amr %v", got["acr"], got["amr"])
		}
	})
}

// TestAttackFactorStepUpEnded (SE-04, LO-05): what a step-up began with has to be alive at its end: no session comes back to life by it.
func TestAttackFactorStepUpEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *attack, *servertest.Browser){
		"logout": func(t *testing.T, a *attack, b *servertest.Browser) {
			c := at(b, a.Site)
			c.Post("/logout", url.Values{"form_token": {token(t, b.Get("/account"))}})
		},
		"all sessions ended": func(t *testing.T, a *attack, _ *servertest.Browser) {
			storetest.Change(t, a.DB, func(tx *store.Tx) error { return tx.EndSessionsOf(a.person(t, "alice").ID, "", audit.Administrator) })
		},
		"disabled and allowed again": func(t *testing.T, a *attack, _ *servertest.Browser) {
			ok(t, a.Admin.SetDisabled(background, operator, "alice", true))
			ok(t, a.Admin.SetDisabled(background, operator, "alice", false))
		},
		"another password": func(t *testing.T, a *attack, _ *servertest.Browser) {
			ok(t, a.Admin.SetPassword(background, operator, "alice", "a quite different password"))
		},
		"mallory signed in": func(t *testing.T, a *attack, b *servertest.Browser) {
			p := b.Follow(b.Get(authorizeURL("conf", "prompt", "login")))
			p = b.Follow(b.Fill(p, "username", "mallory", "password", servertest.Password))
			if p = b.Fill(p, "code", a.totp(t, servertest.OtherTOTP)); p.Status != http.StatusSeeOther {
				t.Fatalf("mallory: %d", p.Status)
			}
		},
		"the cookie is mallory's": func(t *testing.T, a *attack, b *servertest.Browser) {
			b.SetCookie("portvakt", a.signIn(t, "mallory", servertest.OtherTOTP).Cookie("portvakt"))
		},
		"the cookie is of another session": func(t *testing.T, a *attack, b *servertest.Browser) {
			other := a.Browser(t)
			other.SetCookie("portvakt-device", b.Cookie("portvakt-device"))
			if !a.spared(t, other, "alice") {
				t.Fatal("not spared")
			}
			b.SetCookie("portvakt", other.Cookie("portvakt"))
		},
		"no cookie": func(_ *testing.T, _ *attack, b *servertest.Browser) { b.Forget("portvakt") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			factorSites(t, remembering, func(t *testing.T, a *attack) {
				b := a.remembered(t)
				p := a.stepUp(t, b)
				old := b.Cookie("portvakt")
				a.clock.Add(time.Second)
				end(t, a, b)
				q := b.Follow(named(b, p, a.totp(t, servertest.TOTP)))
				if response(t, q).Get("code") != "" || strings.Contains(b.Get("/account").Body, "<h1>Alice") && b.Cookie("portvakt") != old && name != "the cookie is of another session" {
					t.Errorf("SE-04: %s: the step-up was finished: %d %s", name, q.Status, q.Location)
				}
				thief := a.Browser(t)
				thief.SetCookie("portvakt", old)
				if p := thief.Get(authorizeURL("conf", twoFactors...)); response(t, p).Get("code") != "" {
					t.Errorf("SE-04: %s: the old session is of two factors now", name)
				}
				if q.Status >= 500 {
					t.Errorf("%s: %d", name, q.Status)
				}
			})
		})
	}
}

// TestAttackFactorStepUpIdle (SE-03): a session that was not used for its idle time between the begin and the end of a step-up stays over.
//
// alone brings a session back that had ended, without the password.
func TestAttackFactorStepUpIdle(t *testing.T) {
	t.Parallel()
	factorSites(t, "policies:\n  factors: {required: true, remember_device: 7d}\n  session: {idle: 5m, absolute: 12h}\n", func(t *testing.T, a *attack) {
		b := a.remembered(t)
		p := a.stepUp(t, b)
		a.clock.Add(6 * time.Minute)
		if in(b) {
			t.Fatal("the session is not over")
		}
		q := b.Follow(named(b, b.Get(p.URL.Path), a.totp(t, servertest.TOTP)))
		if in(b) || response(t, q).Get("code") != "" {
			t.Errorf("SE-03: a step-up brought a session back that was over: %d %s", q.Status, q.Location)
		}
	})
}

// TestAttackFactorStepUpAbsolute (SE-03): neither the absolute end of a session nor its auth_time moves by a second factor.
func TestAttackFactorStepUpAbsolute(t *testing.T) {
	t.Parallel()
	factorSites(t, "policies:\n  factors: {required: true, remember_device: 7d}\n  session: {idle: 1h, absolute: 1h}\n", func(t *testing.T, a *attack) {
		b := a.remembered(t)
		a.clock.Add(50 * time.Minute)
		named(b, a.stepUp(t, b), a.totp(t, servertest.TOTP))
		for _, query := range [][]string{{"max_age", "600"}, {"prompt", "login"}} {
			if p := b.Get(authorizeURL("conf", query...)); response(t, p) != nil {
				t.Errorf("AZ-06: a password of 50 minutes ago and a code satisfy %v: %s", query, p.Location)
			}
		}
		if p := b.Get("/account/add/totp"); !strings.Contains(p.Location, "/login/") {
			t.Errorf("MF-05: a password of 50 minutes ago and a code are fresh: %d", p.Status)
		}
		a.clock.Add(11 * time.Minute)
		if in(b) {
			t.Error("SE-03: a step-up made a session longer")
		}
	})
}

// TestAttackFactorStepUpElsewhere (MF-02): alice's step-up in mallory's browser; a name in its form; its code at another sign-in.
func TestAttackFactorStepUpElsewhere(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.remembered(t)
		p := a.stepUp(t, b)
		_, form := p.FormWith(t, `name="code"`)
		form.Set("username", "alice")
		form.Set("code", a.totp(t, servertest.TOTP))
		mallory := a.signIn(t, "mallory", servertest.OtherTOTP)
		if q := mallory.Post(p.URL.Path, form); q.Status != http.StatusForbidden {
			t.Errorf("MF-02: alice's step-up in mallory's browser: %d", q.Status)
		}
		// mallory has alice's browser secret, and his own session; or none.
		thief := a.Browser(t)
		thief.SetCookie("portvakt-browser", b.Cookie("portvakt-browser"))
		for _, session := range []string{"", mallory.Cookie("portvakt"), "x"} {
			thief.SetCookie("portvakt", session)
			q := thief.Post(p.URL.Path, form)
			if c := thief.Cookie("portvakt"); c != session || q.Status == http.StatusSeeOther {
				t.Errorf("MF-02: alice's step-up with the session %.5q: %d", session, q.Status)
			}
		}
		for _, name := range []string{"mallory", "mallory@example.se", "newcomer"} {
			form.Set("username", name)
			form.Set("code", a.totp(t, servertest.OtherTOTP))
			if q := b.Get(p.URL.Path); q.Status == http.StatusOK {
				_, now := q.FormWith(t, `name="code"`)
				form.Set("version", now.Get("version"))
			}
			q := b.Post(p.URL.Path, form)
			if home := b.Get("/account"); q.Status == http.StatusSeeOther || strings.Contains(home.Body, "<h1>Mallory") {
				t.Errorf("MF-02: with the name %q mallory's code finished alice's step-up: %d", name, q.Status)
			}
		}
	})
}

// TestAttackFactorStepUpEnrols (MF-05): a step-up sets up no factor: who sits at an unlocked browser of one factor and has the phone, but not the
// password, must not make a key of their own.
//
// person cannot reach, the step-up takes what there is (a code) and then leads to a new passkey; by a recovery code, to a new soft token.
func TestAttackFactorStepUpEnrols(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		b := a.remembered(t)
		p := b.Follow(b.Get(authorizeURL("conf", "acr_values", "phr")))
		if !strings.Contains(p.Body, `name="password"`) {
			p = b.Follow(named(b, p, a.totp(t, servertest.TOTP)))
			if strings.Contains(p.Body, `data-passkey="create"`) {
				t.Error("MF-05: without the password a code led to setting up a passkey")
			}
		}
		p = a.stepUp(t, b)
		if strings.Contains(p.Body, `value="recovery"`) {
			p = b.Follow(b.Press(p, "way", "recovery", "username", "alice"))
			p = b.Follow(b.Fill(p, "recovery", codes[0]))
			if strings.Contains(p.Body, "totp-key") || strings.Contains(p.Body, `data-passkey="create"`) {
				t.Error("MF-05: without the password a recovery code led to setting up a factor")
			}
		}
	})
}

// TestAttackFactorStepUpMinimum (AZ-08, WA-09): a client that demands phr takes no session of a code; with the passkey it gets one; who has none
// signs in as a whole; prompt=none says what is missing; max_age and prompt=login ask for everything anew.
func TestAttackFactorStepUpMinimum(t *testing.T) {
	t.Parallel()
	strict := "  - {client_id: strict, client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "], minimum_acr: phr, scope: openid offline_access, grant_types: [authorization_code, refresh_token]}\n"
	factorSites(t, strict, func(t *testing.T, a *attack) {
		ask := func(more ...string) string {
			return authorizeURL("strict", append([]string{"scope", "openid"}, more...)...)
		}
		b, key := a.signIn(t, "alice", servertest.TOTP), factortest.New(oneIssuer)
		for _, p := range []*servertest.Page{b.Get(ask()), b.Get(ask("acr_values", "urn:portvakt:acr:1fa")), b.Get(ask("claims", `{"id_token":{"acr":{"essential":true,"value":"urn:portvakt:acr:2fa"}}}`))} {
			if response(t, p) != nil {
				t.Errorf("AZ-08: a session of a code got %s", p.Location)
			}
		}
		if p := b.Get(ask("prompt", "none")); response(t, p).Get("error") != "interaction_required" {
			t.Errorf("AZ-05: prompt=none: %s", p.Location)
		}
		if p := b.Follow(b.Get(ask())); !strings.Contains(p.Body, `name="password"`) {
			t.Errorf("who has no passkey signs in as a whole: %s", p.URL)
		}
		addPasskey(t, b, key)
		a.clock.Add(time.Minute)
		for _, more := range [][]string{{"prompt", "login"}, {"max_age", "10"}, {"max_age", "0"}} {
			if p := b.Follow(b.Get(ask(more...))); !strings.Contains(p.Body, `name="password"`) {
				t.Errorf("AZ-06: %v asks for less than everything: %s", more, p.URL)
			}
		}
		p := b.Follow(b.Get(ask()))
		if strings.Contains(p.Body, `name="password"`) || strings.Contains(p.Body, `value="totp"`) || strings.Contains(p.Body, `value="sms"`) {
			t.Errorf("AZ-08: a step-up to phr offers less:\n%s", p.Body)
		}
		_, form := p.Form(t)
		for _, way := range []string{"totp", "sms", "password"} {
			form.Set("way", way)
			form.Set("code", a.totp(t, servertest.TOTP))
			if q := b.Follow(b.Post(p.URL.Path, form)); response(t, q) != nil {
				t.Errorf("WA-09: way=%s: %s", way, q.Location)
			}
		}
		q := b.Follow(b.Passkey(b.Get(p.URL.Path), key.Get))
		got := idToken(t, a.tokens(t, "strict", mustCode(t, q)))
		if got["acr"] != "phr" {
			t.Errorf("AZ-08: acr %v amr %v", got["acr"], got["amr"])
		}
	})
}

// TestAttackFactorStepUpParallel (WA-01, OT-01): several step-ups of one session at once: one code, one success; the session stays one.
func TestAttackFactorStepUpParallel(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.remembered(t)
		var paths []string
		var forms []url.Values
		for range 6 {
			p := a.stepUp(t, b)
			_, form := p.FormWith(t, `name="code"`)
			paths, forms = append(paths, p.URL.Path), append(forms, form)
		}
		right := a.totp(t, servertest.TOTP)
		n := len(a.Events(t, audit.LoginSucceeded))
		for _, p := range parallel(6, func(i int) *servertest.Page {
			forms[i].Set("code", right)
			return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(paths[i], forms[i])
		}) {
			if p.Status >= 500 {
				t.Errorf("OT-01: a rival got %d", p.Status)
			}
		}
		if m := len(a.Events(t, audit.LoginSucceeded)) - n; m != 1 {
			t.Errorf("OT-01: one code made %d step-ups", m)
		}
	})
}
