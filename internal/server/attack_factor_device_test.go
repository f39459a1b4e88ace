package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/user"
)

const remembering = "policies:\n  factors: {required: true, remember_device: 7d}\n"

// remember signs a person in with a code and has the browser remembered.
func (a *attack) remember(t testing.TB, username, totp string) *servertest.Browser {
	t.Helper()
	b := a.Browser(t)
	p := b.FillWith(secondPage(t, b, username), `name="code"`, "code", a.totp(t, totp), "remember", "1")
	if p.Status != http.StatusSeeOther || b.Cookie("portvakt-device") == "" {
		t.Fatalf("not remembered: %d %q", p.Status, p.Alert())
	}
	return b
}

// remembered gives a browser of alice with a session of a password and a remembered device, which is 1fa.
func (a *attack) remembered(t testing.TB) *servertest.Browser {
	t.Helper()
	b := a.remember(t, "alice", servertest.TOTP)
	if !a.spared(t, b, "alice") || !in(b) {
		t.Fatal("the remembered browser is not")
	}
	return b
}

// spared reports whether the password alone signs in, in this browser.
func (a *attack) spared(t testing.TB, b *servertest.Browser, username string) bool {
	t.Helper()
	b.Forget("portvakt")
	p := guess(t, b, username, servertest.Password)
	return b.Cookie("portvakt") != "" && p.Status == http.StatusSeeOther && in(b)
}

// TestAttackFactorDeviceOthers (SE-01): the cookie of a remembered browser spares its owner, with their present password, and nobody else.
func TestAttackFactorDeviceOthers(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		alices := a.remember(t, "alice", servertest.TOTP)
		cookie := alices.Cookie("portvakt-device")
		for name, value := range map[string]string{"alice's": cookie, "made up": strings.Repeat("A", len(cookie)), "short": "x", "alice's id": string(a.person(t, "alice").ID), "empty": "",
			"in lower case": strings.ToLower(cookie), "cut": cookie[:26]} {
			b := a.Browser(t)
			b.SetCookie("portvakt-device", value)
			if a.spared(t, b, "mallory") {
				t.Errorf("SE-01: a cookie that is %s spares mallory the code", name)
			}
			if name != "alice's" && a.spared(t, b, "alice") {
				t.Errorf("SE-01: a cookie that is %s spares alice the code", name)
			}
		}
		// In another browser it is what it is: but it is listed, mailed about, and can be taken back.
		thief := a.Browser(t)
		thief.SetCookie("portvakt-device", cookie)
		if !a.spared(t, thief, "alice") {
			t.Fatal("the cookie does not work in another browser: is it bound to something?")
		}
		me := a.signIn(t, "alice", servertest.TOTP)
		home := me.Get("/account")
		if !strings.Contains(home.Body, `action="/account/devices/`) {
			t.Error("SE-01: a remembered browser is not listed")
		}
		mailed := false
		for _, m := range a.AwaitPost(t, 1) {
			mailed = mailed || strings.Contains(m.Subject, "remembered")
		}
		if !mailed {
			t.Error("SE-01: alice is not told of a remembered browser")
		}
		me.FillWith(home, `action="/account/devices/`)
		if a.spared(t, thief, "alice") || a.spared(t, alices, "alice") {
			t.Error("SE-01: a browser that was forgotten is spared the code")
		}
	})
}

// TestAttackFactorDeviceSession (SE-04): forgetting a browser ends the session that it was spared the code for. Who finds a stolen cookie in use
// can end that by it.
func TestAttackFactorDeviceSession(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		thief := a.remembered(t)
		me := a.signIn(t, "alice", servertest.TOTP)
		me.FillWith(me.Get("/account"), `action="/account/devices/`)
		if in(thief) {
			t.Error("SE-04: the browser was forgotten, and the session that it was spared the code for lives on")
		}
		if !in(me) {
			t.Error("the own session ended")
		}
	})
}

// TestAttackFactorDeviceEnds (SE-04): what ends a remembered browser.
func TestAttackFactorDeviceEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *attack){
		"password": func(t *testing.T, a *attack) {
			ok(t, a.Admin.SetPassword(background, operator, "alice", "a quite different password"))
			ok(t, a.Admin.SetPassword(background, operator, "alice", servertest.Password))
		},
		"link": func(t *testing.T, a *attack) {
			useReset(t, a)
			ok(t, a.Admin.SetPassword(background, operator, "alice", servertest.Password))
		},
		"reset factors": func(t *testing.T, a *attack) {
			ok(t, a.Admin.ResetFactors(background, operator, "alice"))
		},
		"policy off": func(t *testing.T, a *attack) { a.policies(t, "policies:\n  factors: {required: true}\n") },
		"policy off for a group": func(t *testing.T, a *attack) {
			a.policies(t, "policies:\n  factors: {required: true, remember_device: 7d, groups: {staff: {no_remember_device: true}}}\n")
		},
		"policy shorter": func(t *testing.T, a *attack) {
			a.clock.Add(25 * time.Hour)
			a.policies(t, "policies:\n  factors: {required: true, remember_device: 1d}\n")
		},
		"minimum": func(t *testing.T, a *attack) {
			a.policies(t, "policies:\n  factors: {required: true, remember_device: 7d, minimum: \"urn:portvakt:acr:2fa\"}\n")
		},
		"forget all": func(t *testing.T, a *attack) {
			me := a.signIn(t, "alice", servertest.TOTP)
			me.Post("/account/devices/all", url.Values{"form_token": {token(t, me.Get("/account"))}})
		},
		"stop": func(t *testing.T, a *attack) {
			me := a.signIn(t, "alice", servertest.TOTP)
			p := me.Post("/account/stop", url.Values{"form_token": {token(t, me.Get("/account"))}, "factor": {a.factorID(t, "alice", user.FactorSMS)}})
			if !strings.Contains(p.Location, "done=stopped") {
				t.Fatalf("stop: %d %s", p.Status, p.Location)
			}
		},
		"time": func(_ *testing.T, a *attack) { a.clock.Add(7 * 24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			factorSites(t, remembering, func(t *testing.T, a *attack) {
				b := a.remembered(t)
				end(t, a)
				a.clock.Add(time.Minute)
				if a.spared(t, b, "alice") {
					t.Errorf("SE-04: after %q the browser is spared the code", name)
				}
			})
		})
	}
}

// TestAttackFactorDeviceUnasked: remember=1 where it is not offered does nothing: policy says no, the group's policy says no, at the password, at a
// recovery code, at an enrolment, in a form of another sign-in.
func TestAttackFactorDeviceUnasked(t *testing.T) {
	t.Parallel()
	none := "policies:\n  factors: {required: true}\n"
	group := "policies:\n  factors: {required: true, remember_device: 7d, groups: {admins: {no_remember_device: true}}}\n"
	for _, policy := range []string{none, group} {
		factorSites(t, policy, func(t *testing.T, a *attack) {
			b := a.Browser(t)
			p := secondPage(t, b, "alice")
			if strings.Contains(p.Body, `name="remember"`) {
				t.Error("remembering is offered where policy says no")
			}
			done(t, b, b.FillWith(p, `name="code"`, "code", a.totp(t, servertest.TOTP), "remember", "1"))
			if b.Cookie("portvakt-device") != "" || len(a.Events(t, audit.DeviceRemembered)) != 0 {
				t.Error("SE-03: a browser was remembered where policy says no")
			}
		})
	}
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := b.Follow(b.Fill(start(t, b), "username", "alice", "password", servertest.Password, "remember", "1"))
		if b.Cookie("portvakt-device") != "" {
			t.Error("SE-03: a password alone made a browser remembered")
		}
		b.Fill(p, "code", "000000", "remember", "1")
		if b.Cookie("portvakt-device") != "" {
			t.Error("SE-03: a wrong code made a browser remembered")
		}
		c := a.Browser(t)
		p = secondPage(t, c, "newcomer")
		offered := strings.Contains(p.Body, `name="remember"`)
		done(t, c, c.Fill(p, "code", servertest.Code(t, "otpauth://totp/x?secret="+p.Key(t), a.Clock()), "remember", "1"))
		if c.Cookie("portvakt-device") != "" && !offered {
			t.Error("SE-03: a browser was remembered at an enrolment, where it is not offered")
		}
	})
}

// TestAttackFactorDeviceClass (AZ-08): a remembered browser reaches no class beyond its password: the tokens say 1fa, where a class is demanded the
// code is asked for, /account does not count as fresh.
func TestAttackFactorDeviceClass(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.remembered(t)
		tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		claims := idToken(t, tokens)
		if claims["acr"] != "urn:portvakt:acr:1fa" || strings.Contains(strings.Join(words(claims["amr"]), " "), "mfa") {
			t.Errorf("AZ-08: a remembered browser's ID token says acr %v amr %v", claims["acr"], claims["amr"])
		}
		p := a.post(t, "/introspect", url.Values{"token": {tokens["access_token"].(string)}}, "Authorization", basic("conf"))
		if object(t, p)["acr"] != "urn:portvakt:acr:1fa" {
			t.Errorf("AZ-08: introspection says %s", p.Body)
		}
		fresh := object(t, a.refresh(t, "conf", tokens["refresh_token"].(string)))
		if got := idToken(t, fresh); got["acr"] != "urn:portvakt:acr:1fa" {
			t.Errorf("AZ-08: after refresh the ID token says %v", got["acr"])
		}
		for name, query := range map[string][]string{"acr_values": {"acr_values", "urn:portvakt:acr:2fa"}, "essential": {"claims", `{"id_token":{"acr":{"essential":true,"value":"urn:portvakt:acr:2fa"}}}`},
			"phr": {"acr_values", "phr"}, "unknown and 2fa": {"acr_values", "urn:x urn:portvakt:acr:2fa"}} {
			if p := b.Get(authorizeURL("conf", query...)); response(t, p) != nil {
				t.Errorf("AZ-08: %s: a remembered browser got %s", name, p.Location)
			}
			if p := b.Get(authorizeURL("conf", append(query, "prompt", "none")...)); response(t, p).Get("error") != "interaction_required" {
				t.Errorf("AZ-05: %s with prompt=none: %s", name, p.Location)
			}
			// Signed in anew for it, with the device cookie.
			c := a.Browser(t)
			c.SetCookie("portvakt-device", b.Cookie("portvakt-device"))
			p := c.Follow(c.Get(authorizeURL("conf", query...)))
			if p = c.Follow(c.Fill(p, "username", "alice", "password", servertest.Password)); response(t, p) != nil || in(c) {
				t.Errorf("AZ-08: %s: a password and a remembered browser got %s", name, p.Location)
			}
		}
		form := url.Values{"form_token": {token(t, b.Get("/account"))}, "action": {"remove"}}
		for _, path := range []string{"/account/factors/" + a.factorID(t, "alice", user.FactorTOTP), "/account/add/totp", "/account/add/sms", "/account/add/webauthn", "/account/recovery", "/account/stop"} {
			if p := b.Post(path, form); !strings.Contains(p.Location, "/login/") {
				t.Errorf("MF-05: %s from a remembered browser: %d %s", path, p.Status, p.Location)
			}
		}
	})
}

func words(v any) []string {
	var out []string
	if list, ok := v.([]any); ok {
		for _, one := range list {
			out = append(out, one.(string))
		}
	}
	return out
}

// TestAttackFactorDeviceGuessing: a remembered browser's cookie gives a guesser of the password no more tries.
func TestAttackFactorDeviceGuessing(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetestSQLite(t), remembering)
	cookie := a.remember(t, "alice", servertest.TOTP).Cookie("portvakt-device")
	for range 20 {
		b := a.Browser(t)
		b.SetCookie("portvakt-device", cookie)
		guess(t, b, "alice", wrong)
	}
	if n := a.count(t, audit.LoginFailed, audit.WrongPassword); n != 5 {
		t.Errorf("LK-03: with a device cookie %d guesses were looked at, want 5", n)
	}
}
