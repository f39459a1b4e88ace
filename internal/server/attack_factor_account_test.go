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
	"github.com/portvakt/portvakt/internal/user"
)

// ownForms are the changes that somebody could want of a person's own page.
func (a *attack) ownForms(t testing.TB, username string) map[string]url.Values {
	forms := map[string]url.Values{"/account/add/totp": {"code": {"123456"}}, "/account/add/sms": {"phone": {"070-174 06 99"}}, "/account/add/webauthn": {"passkey": {"{}"}},
		"/account/recovery": {}, "/account/stop": {"factor": {a.factorID(t, username, user.FactorTOTP)}}}
	for i, action := range []string{"remove", "rename", "allow"} {
		forms["/account/factors/"+a.factorID(t, username, user.FactorTOTP)+strings.Repeat("?", i)] = url.Values{"action": {action}, "name": {"x"}}
	}
	return forms
}

// TestAttackFactorOwnPage (MF-05): nothing is changed by a session that is old, or of a password alone, or of somebody who was shut out meanwhile.
func TestAttackFactorOwnPage(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		for name, spoil := range map[string]func(*servertest.Browser) *servertest.Browser{
			"six minutes old": func(b *servertest.Browser) *servertest.Browser { a.clock.Add(6 * time.Minute); return b },
			"of a password": func(b *servertest.Browser) *servertest.Browser {
				storetest.Change(t, a.DB, func(tx *store.Tx) error {
					all, err := tx.SessionsOf(a.person(t, "alice").ID)
					if err != nil {
						return err
					}
					s := all[0]
					s.Proved = []user.Method{user.MethodPassword}
					tx.RenewSession(s.Session, hashOf(b.Cookie("portvakt")))
					return storetest.Event(tx, s.User)
				})
				return b
			},
			"ended": func(b *servertest.Browser) *servertest.Browser {
				storetest.Change(t, a.DB, func(tx *store.Tx) error { return tx.EndSessionsOf(a.person(t, "alice").ID, "", audit.Administrator) })
				return b
			},
			"of somebody disabled": func(b *servertest.Browser) *servertest.Browser {
				ok(t, a.Admin.SetDisabled(background, operator, "alice", true))
				t.Cleanup(func() { _ = a.Admin.SetDisabled(background, operator, "alice", false) })
				return b
			},
		} {
			b := a.signIn(t, "alice", servertest.TOTP)
			form := token(t, b.Get("/account"))
			b = spoil(b)
			before, texts := fmt.Sprint(a.kinds(t, "alice"), a.factors(t, "alice")), len(a.Events(t, audit.ChallengeMade))
			for path, fields := range a.ownForms(t, "alice") {
				fields.Set("form_token", form)
				p := b.Post(path, fields)
				if !strings.Contains(p.Location, "/login/") || recoveryCode.MatchString(p.Body) {
					t.Errorf("MF-05: a session that is %s at %s got %d %s", name, path, p.Status, p.Location)
				}
			}
			for _, path := range []string{"/account/add/totp", "/account/add/sms", "/account/add/webauthn", "/account/stop", "/account/add/sms/state"} {
				if p := b.Get(path); !strings.Contains(p.Location, "/login/") {
					t.Errorf("MF-05: a session that is %s sees %s: %d", name, path, p.Status)
				}
			}
			if now := fmt.Sprint(a.kinds(t, "alice"), a.factors(t, "alice")); now != before || len(a.Events(t, audit.ChallengeMade)) != texts {
				t.Errorf("MF-05: a session that is %s changed %s to %s", name, before, now)
			}
			if name == "of somebody disabled" {
				ok(t, a.Admin.SetDisabled(background, operator, "alice", false))
			}
		}
	})
}

// TestAttackFactorOwnOthers (MF-05 d): factors, devices and what waits of another person, by every way in which an id goes in.
func TestAttackFactorOwnOthers(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		alice := a.remember(t, "alice", servertest.TOTP)
		a.clock.Add(31 * time.Second)
		key := factortest.New(oneIssuer)
		addPasskey(t, alice, key)
		device := ""
		storetest.View(t, a.DB, func(tx *store.Tx) error {
			all, err := tx.DevicesOf(a.person(t, "alice").ID)
			device = all[0].ID
			return err
		})
		mallory := a.signIn(t, "mallory", servertest.OtherTOTP)
		form := token(t, mallory.Get("/account"))
		before := fmt.Sprint(a.factors(t, "alice"))
		for kind, f := range a.factors(t, "alice") {
			for _, action := range []string{"remove", "rename", "allow"} {
				if p := mallory.Post("/account/factors/"+f.ID, url.Values{"form_token": {form}, "action": {action}, "name": {"mine"}}); p.Status != http.StatusNotFound {
					t.Errorf("MF-05: %s of alice's %s: %d %s", action, kind, p.Status, p.Location)
				}
			}
			mine := a.factorID(t, "mallory", user.FactorTOTP)
			for _, ids := range [][]string{{f.ID}, {mine, f.ID}, {f.ID, mine}} {
				if p := mallory.Post("/account/stop", url.Values{"form_token": {form}, "factor": ids}); p.Status == http.StatusSeeOther && strings.Contains(p.Location, "stopped") {
					t.Errorf("MF-05: stop of %v: %d %s", ids, p.Status, p.Location)
				}
				if p := mallory.Post("/account/stop?factor="+ids[0], url.Values{"form_token": {form}}); strings.Contains(p.Location, "stopped") {
					t.Errorf("MF-05: stop by the address: %s", p.Location)
				}
			}
		}
		if p := mallory.Post("/account/devices/"+device, url.Values{"form_token": {form}}); p.Status != http.StatusNotFound {
			t.Errorf("MF-05: alice's device forgotten by mallory: %d", p.Status)
		}
		mallory.Post("/account/devices/all", url.Values{"form_token": {form}})
		if now := fmt.Sprint(a.factors(t, "alice")); now != before || !a.spared(t, alice, "alice") {
			t.Errorf("MF-05: alice's factors went from %s to %s, or her browser was forgotten", before, now)
		}
		if a.stopped(t, "mallory") {
			t.Error("mallory's own was stopped with a list that was refused")
		}
	})
}

// TestAttackFactorOwnLast (MF-04): the last factors are not lost by requests at once: removed, stopped and removed, on two instances.
func TestAttackFactorOwnLast(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"remove", "remove"}, {"stop", "remove"}, {"stop", "stop"}} {
		t.Run(pair[0]+" "+pair[1], func(t *testing.T) {
			factorSites(t, "", func(t *testing.T, a *attack) {
				second := a.Second(t)
				for range 4 {
					b := a.signIn(t, "alice", servertest.TOTP) // a soft token and a number
					form := token(t, b.Get("/account"))
					ids := []string{a.factorID(t, "alice", user.FactorTOTP), a.factorID(t, "alice", user.FactorSMS)}
					for _, p := range parallel(6, func(i int) *servertest.Page {
						c := at(b, []*servertest.Site{a.Site, second}[i%2])
						if pair[i%2] == "stop" {
							return c.Post("/account/stop", url.Values{"form_token": {form}, "factor": {ids[i%2]}})
						}
						return c.Post("/account/factors/"+ids[i%2], url.Values{"form_token": {form}, "action": {"remove"}})
					}) {
						if p.Status >= 500 {
							t.Errorf("MF-04: a rival got %d", p.Status)
						}
					}
					left := 0
					for _, f := range a.factors(t, "alice") {
						if f.StoppedAt.IsZero() {
							left++
						}
					}
					if left != 1 {
						t.Fatalf("MF-04: %s and %s at once left %d factors that work", pair[0], pair[1], left)
					}
					ok(t, a.Admin.ResetFactors(background, operator, "alice"))
					a.ApplyFile(t, strings.Replace(strings.Replace(servertest.Sample(), `phone: "+46701740605", `, "", 1), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK", 1))
					a.ApplyFile(t, servertest.Sample())
				}
			})
		})
	}
}

// TestAttackFactorOwnReads: a GET changes nothing that counts, a HEAD nothing at all.
func TestAttackFactorOwnReads(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		b := a.remember(t, "alice", servertest.TOTP)
		a.clock.Add(time.Minute)
		before := fmt.Sprint(a.kinds(t, "alice"), a.factors(t, "alice"))
		id := a.factorID(t, "alice", user.FactorSMS)
		form := token(t, b.Get("/account"))
		trail := func() (n int) {
			for _, e := range a.Events(t) {
				if e.Kind != audit.MailSent { // mails of before may still leave
					n++
				}
			}
			return n
		}
		n, texts := trail(), len(a.Texts(t))
		q := "?" + url.Values{"form_token": {form}, "action": {"remove"}, "factor": {id}, "code": {"123456"}, "phone": {"0701740699"}, "passkey": {"{}"}, "username": {"alice"}, "recovery": {"x"}}.Encode()
		paths := []string{"/account", "/account/factors/" + id, "/account/devices/all", "/account/recovery", "/account/stop", "/lost", "/account/add/sms", "/account/add/sms/state",
			"/account/password", "/account/sessions/others", "/forgot"}
		for _, path := range paths {
			p := b.Get(path + q)
			if p.Status >= 500 || recoveryCode.MatchString(p.Body) {
				t.Errorf("a GET of %s: %d", path, p.Status)
			}
		}
		for _, path := range append(paths, "/account/add/totp", "/account/add/webauthn", "/login/x", "/authorize") {
			for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
				r := request(t, method, a.URL+path+q)
				r.Header.Set("X-HTTP-Method-Override", "POST")
				if p := b.Do(r); p.Status < 400 || p.Status >= 500 {
					t.Errorf("%s of %s: %d", method, path, p.Status)
				}
			}
		}
		if now := fmt.Sprint(a.kinds(t, "alice"), a.factors(t, "alice")); now != before || trail() != n || len(a.Texts(t)) != texts {
			t.Errorf("reading changed %s to %s, %d events, %d texts", before, now, trail()-n, len(a.Texts(t))-texts)
		}
	})
}

// TestAttackFactorOwnStale (WA-01): a form of before: a secret that was replaced, one of 15 minutes ago, one whose session was signed in anew, one sent twice.
func TestAttackFactorOwnStale(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		p := b.Get("/account/add/totp")
		key := "otpauth://totp/x?secret=" + p.Key(t)
		_, form := p.FormWith(t, `name="code"`)
		form.Set("code", servertest.Code(t, key, a.Clock()))
		n := len(a.Events(t, audit.FactorEnrolled))
		for _, answer := range parallel(8, func(i int) *servertest.Page {
			return at(b, []*servertest.Site{a.Site, second}[i%2]).Post("/account/add/totp", form)
		}) {
			if answer.Status >= 500 {
				t.Errorf("MF-05: a rival got %d", answer.Status)
			}
		}
		b.Post("/account/add/totp", form)
		enrolled := 0
		for _, e := range a.since(t, n, audit.FactorEnrolled) {
			if e.Reason == "" {
				enrolled++
			}
		}
		if enrolled != 1 {
			t.Errorf("MF-05: one code set up %d soft tokens", enrolled)
		}
		thief := a.Browser(t) // the code that set it up signs nobody in
		thief.Fill(secondPage(t, thief, "mallory"), "code", servertest.Code(t, key, a.Clock()))
		if in(thief) {
			t.Error("OT-01: the code that set up a soft token signed in")
		}
		a.clock.Add(31 * time.Second)
		b = a.signIn(t, "mallory", key)
		p = b.Get("/account/add/totp")
		next := "otpauth://totp/x?secret=" + p.Key(t)
		a.clock.Add(15 * time.Minute)
		a.again(t, b, authorizeURL("conf", "prompt", "login"), "mallory", key)
		_, form = p.FormWith(t, `name="code"`)
		form.Set("form_token", token(t, b.Get("/account")))
		form.Set("code", servertest.Code(t, next, a.Clock()))
		if q := b.Post("/account/add/totp", form); strings.Contains(q.Location, "done=added") {
			t.Error("MF-05: a secret of 15 minutes ago was set up")
		}
	})
}

// TestAttackFactorOwnRemoved (SE-04): what was proved with a factor that its owner removes or replaces, in other browsers, ends with it.
//
// thief's that had the phone, live on. An administrator's change of the same factors ends them.
func TestAttackFactorOwnRemoved(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		for _, how := range []string{"replaced", "removed"} {
			b := a.signIn(t, "alice", servertest.TOTP)
			thief := a.Browser(t)
			p, right := a.toText(t, thief, "alice")
			done(t, thief, code(thief, p, right))
			if how == "removed" {
				b.Post("/account/factors/"+a.factorID(t, "alice", user.FactorSMS), url.Values{"form_token": {token(t, b.Get("/account"))}, "action": {"remove"}})
			} else {
				n := len(a.Texts(t))
				p = b.Follow(b.Fill(b.Get("/account/add/sms"), "phone", "070-174 06 88"))
				if p = code(b, p, a.AwaitTexts(t, n+1)[n].Code()); !strings.Contains(p.Location, "done=added") {
					t.Fatalf("replace: %d", p.Status)
				}
			}
			if in(thief) {
				t.Errorf("SE-04: alice's number was %s, and a session of another browser that was proved with it lives on", how)
			}
			if !in(b) {
				t.Errorf("%s: the own session ended", how)
			}
			a.clock.Add(11 * time.Minute)
		}
	})
}

// TestAttackFactorOwnNames (RM-02): a passkey's name is shown as what it is, and is nobody's markup.
func TestAttackFactorOwnNames(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	for _, name := range []string{`"><script>alert(1)</script>`, "{{.}}", "x\r\nSet-Cookie: a=b", strings.Repeat("å", 64), strings.Repeat("å", 65), "\u202egnp", "\x00", "\xff", "' or 1=1 --"} {
		p := b.Follow(b.Passkey(b.Get("/account/add/webauthn"), anyKey(factortest.New(oneIssuer).Create), "name", name))
		home := b.Get("/account")
		if strings.Contains(home.Body+p.Body, "<script>alert") || p.Status >= 500 || p.Header.Get("Set-Cookie") == "a=b" {
			t.Errorf("RM-02: the name %q: %d", name, p.Status)
		}
		hushed(t, home)
	}
	// At the set-up in a sign-in.
	c := a.Browser(t)
	p := c.Follow(c.Press(secondPage(t, c, "newcomer"), "way", "webauthn"))
	p = c.Follow(c.Passkey(p, factortest.New(oneIssuer).Create, "name", "<script>alert(1)</script>\x00"))
	if home := c.Get("/account"); strings.Contains(home.Body, "<script>alert") || home.Status != http.StatusOK {
		t.Errorf("RM-02: %d %s", home.Status, p.URL)
	}
}
