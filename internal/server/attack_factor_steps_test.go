package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// odd are values of way that no button has, and steps that no button leads to.
var odd = []string{"done", "dead", "stuck", "password", "enrol", "enrol-passkey", "Enrol", "recovery", "sms", "totp", "webauthn", "none", "skip", "device", " ", "0", "true",
	"../totp", "totp\x00", "null", "pwd", "2fa"}

// TestAttackFactorSkipped (MF-01, MF-02, MF-03): at no step does another step's field, an invented way or an empty form lead on.
func TestAttackFactorSkipped(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		steps := map[string]func() (*servertest.Browser, *servertest.Page){
			"password": func() (*servertest.Browser, *servertest.Page) { b := a.Browser(t); return b, start(t, b) },
			"totp":     func() (*servertest.Browser, *servertest.Page) { b := a.Browser(t); return b, secondPage(t, b, "alice") },
			"enrol": func() (*servertest.Browser, *servertest.Page) {
				b := a.Browser(t)
				return b, secondPage(t, b, "newcomer")
			},
			"enrol-passkey": func() (*servertest.Browser, *servertest.Page) {
				b := a.Browser(t)
				return b, b.Follow(b.Press(secondPage(t, b, "newcomer"), "way", "webauthn"))
			},
			"sms": func() (*servertest.Browser, *servertest.Page) {
				b := a.Browser(t)
				return b, b.Follow(b.Press(secondPage(t, b, "alice"), "way", "sms"))
			},
		}
		allowed := map[string][]string{"totp": {"sms", "totp"}, "sms": {"sms", "totp"}, "enrol": {"webauthn", "enrol-passkey", "totp", "enrol"},
			"enrol-passkey": {"totp", "enrol", "webauthn", "enrol-passkey"}}
		kinds := fmt.Sprint(a.kinds(t, "alice"), a.kinds(t, "newcomer"))
		for name, begin := range steps {
			b, p := begin()
			path, version := p.URL.Path, ""
			send := func(pairs ...string) *servertest.Page {
				_, form := b.Get(path).FormWith(t, `name="version"`)
				clean := url.Values{"form_token": form["form_token"], "version": form["version"]}
				version = form.Get("version")
				for i := 0; i < len(pairs); i += 2 {
					clean.Set(pairs[i], pairs[i+1])
				}
				return b.Post(path, clean)
			}
		ways:
			for _, way := range odd {
				for _, can := range allowed[name] {
					if way == can {
						continue ways
					}
				}
				q := send("way", way)
				if q.Status == http.StatusSeeOther || q.Status >= 500 || b.Cookie("portvakt") != "" || in(b) {
					t.Errorf("MF-03: way=%q at %s got %d %s", way, name, q.Status, q.Location)
				}
				hushed(t, q)
			}
			fields := []string{"code", "000000", "recovery", "AAAAA-AAAAA", "passkey", "{}", "username", "alice", "password", wrong, "step", "done", "skip", "true", "method", "none",
				"acr", "phr", "person", string(a.person(t, "alice").ID), "version ", "9", "flow", path, "remember", "1", "device", "x", "name", "x"}
			for i := 0; i < len(fields); i += 2 {
				if i%8 == 0 {
					a.clock.Add(15 * time.Minute)
					b, p = begin()
					path = p.URL.Path
				}
				for _, value := range []string{"", fields[i+1]} {
					q := send(fields[i], value)
					if q.Status != http.StatusOK || b.Cookie("portvakt") != "" {
						t.Errorf("MF-03: %s=%q at %s got %d %s", fields[i], value, name, q.Status, q.Location)
					}
				}
			}
			// Malformed: no version, another, twice a field, another kind of body.
			_, form := b.Get(path).FormWith(t, `name="version"`)
			good := url.Values{"form_token": form["form_token"], "version": form["version"]}
			for what, edit := range map[string]func(url.Values){"no version": func(f url.Values) { f.Del("version") }, "version of words": func(f url.Values) { f.Set("version", "latest") },
				"two codes": func(f url.Values) { f["code"] = []string{"000000", "111111"} }, "two ways": func(f url.Values) { f["way"] = []string{"sms", "totp"} },
				"no token": func(f url.Values) { f.Del("form_token") }, "two versions": func(f url.Values) { f.Add("version", "1") }} {
				f := url.Values{}
				for k, v := range good {
					f[k] = append([]string{}, v...)
				}
				edit(f)
				if q := b.Post(path, f); q.Status != http.StatusBadRequest && q.Status != http.StatusForbidden {
					t.Errorf("MF-03: %s at %s got %d", what, name, q.Status)
				}
			}
			for _, v := range []string{"0", "-1", "99999999999999999999", "1e1", " 2", version + ".0", "0x2"} {
				f := url.Values{"form_token": good["form_token"], "version": {v}, "code": {"000000"}}
				if q := b.Post(path, f); q.Status != http.StatusOK && q.Status != http.StatusBadRequest || b.Cookie("portvakt") != "" {
					t.Errorf("MF-03: version %q at %s got %d", v, name, q.Status)
				}
			}
			a.clock.Add(15 * time.Minute)
		}
		if now := fmt.Sprint(a.kinds(t, "alice"), a.kinds(t, "newcomer")); now != kinds {
			t.Errorf("MF-04: the factors went from %s to %s", kinds, now)
		}
		if n := len(a.Events(t, audit.LoginSucceeded, audit.SessionStarted)); n != 0 {
			t.Errorf("MF-01: %d sign-ins", n)
		}
	})
}

// TestAttackFactorHalfWay (MF-01, SE-02): with a right password alone nothing else is open.
func TestAttackFactorHalfWay(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := b.Follow(b.Get(authorizeURL("conf")))
		p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
		id := strings.TrimPrefix(p.URL.Path, "/login/")
		for _, path := range []string{"/authorize?flow=" + id, authorizeURL("conf"), authorizeURL("conf", "prompt", "none"), "/account", "/account/add/totp", "/account/add/sms", "/account/add/webauthn", "/account/stop",
			"/account/add/sms/state", "/account/password", "/logout", "/userinfo", "/authorize?flow=" + id + "&client_id=conf", "/login/" + id + "/done", "/authorize?flow=" + id + "&prompt=none"} {
			q := b.Get(path)
			if response(t, q).Get("code") != "" || strings.Contains(q.Body, "Alice") || strings.Contains(q.Body, "+46") {
				t.Errorf("MF-01: after the password %s gives %d %s", path, q.Status, q.Location)
			}
		}
		if b.Cookie("portvakt") != "" {
			t.Error("MF-01: a session after the password")
		}
	})
}

// TestAttackFactorDisown: “this was not me” and “send a new code” at every step, by the browser itself and by others.
func TestAttackFactorDisown(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := secondPage(t, b, "alice")
		other := a.Browser(t)
		start(t, other)
		_, form := p.FormWith(t, `name="way"`)
		for _, action := range []string{"disown", "resend"} {
			form.Set("action", action)
			if q := other.Post(p.URL.Path, form); q.Status != http.StatusForbidden {
				t.Errorf("MF-02: %s by another browser got %d", action, q.Status)
			}
		}
		if q := b.Fill(b.Get(p.URL.Path), "code", a.totp(t, servertest.TOTP)); q.Status != http.StatusSeeOther {
			t.Errorf("MF-02: another browser's “this was not me” ended the sign-in: %d %q", q.Status, q.Alert())
		}
		// Finished, it is not undone.
		form.Set("action", "disown")
		for _, v := range []string{"2", "3", "4"} {
			form.Set("version", v)
			b.Post(p.URL.Path, form)
		}
		if !in(b) {
			t.Error("a finished sign-in was undone")
		}
		// At the password's step it tells alice nothing: nobody knew her password.
		n := len(a.Events(t, audit.MailSent))
		for range 3 {
			c := a.Browser(t)
			c.Fill(start(t, c), "username", "alice", "action", "disown")
		}
		if p := secondPage(t, a.Browser(t), "alice"); p.Status != http.StatusOK {
			t.Errorf("after strangers' “this was not me” alice gets %d", p.Status)
		}
		time.Sleep(100 * time.Millisecond)
		if m := len(a.Events(t, audit.MailSent)); m != n || len(a.Post(t)) != 0 {
			t.Errorf("strangers made %d mails to alice", m-n)
		}
		// Enrolment: it ends the sign-in and what it would have made.
		c := a.Browser(t)
		p = secondPage(t, c, "newcomer")
		key := p.Key(t)
		if q := c.Fill(p, "action", "disown"); q.Status != http.StatusOK {
			t.Errorf("not me at an enrolment: %d", q.Status)
		}
		_, form = p.Form(t)
		form.Set("code", servertest.Code(t, "otpauth://totp/x?secret="+key, a.Clock()))
		if q := c.Post(p.URL.Path, form); q.Status != http.StatusGone || len(a.kinds(t, "newcomer")) != 0 {
			t.Errorf("MF-04: an enrolment went on after “this was not me”: %d %v", q.Status, a.kinds(t, "newcomer"))
		}
	})
}

// TestAttackFactorPhishable (AZ-08): an essential class that only a passkey reaches is not reached by a code.
func TestAttackFactorPhishable(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		claims := `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`
		b := a.Browser(t)
		p := b.Follow(b.Get(authorizeURL("conf", "claims", claims)))
		p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
		p = b.Follow(b.Fill(p, "code", a.totp(t, servertest.TOTP)))
		for _, way := range []string{"totp", "sms", "enrol", "recovery"} {
			_, form := p.Form(t)
			form.Set("way", way)
			if p = b.Follow(b.Post(p.URL.Path, form)); response(t, p) != nil || !strings.Contains(p.Body, `data-passkey="create"`) {
				t.Errorf("AZ-08: way=%s: %d %s %s", way, p.Status, p.URL, p.Location)
			}
		}
		if q := b.Get(authorizeURL("conf", "claims", claims, "prompt", "none")); response(t, q).Get("error") == "" {
			t.Errorf("AZ-08: a code for phr: %s", q.Location)
		}
		key := factortest.New(oneIssuer)
		p = b.Follow(b.Passkey(p, key.Create))
		got := idToken(t, a.tokens(t, "conf", mustCode(t, p)))
		if got["acr"] != "phr" {
			t.Errorf("AZ-08: acr %v amr %v", got["acr"], got["amr"])
		}
		// phrh is what nobody reaches here; essential, it is refused.
		q := b.Get(authorizeURL("conf", "claims", `{"id_token":{"acr":{"essential":true,"values":["phrh","urn:x"]}}}`))
		if response(t, q).Get("code") != "" || response(t, q).Get("error") == "" {
			t.Errorf("AZ-08: phrh: %d %s", q.Status, q.Location)
		}
	})
}

// TestAttackFactorWrongPersonSaid: who is not the person that the request names reads the same as for a wrong password (server/login.go alertFor says so).
//
// redirect and a new secret, and no alert. Who is not asked for learns nothing of why, and a program learns that the password was right.
func TestAttackFactorWrongPersonSaid(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		hint := a.tokens(t, "conf", mustCode(t, a.signIn(t, "alice", servertest.TOTP).Get(authorizeURL("conf"))))["id_token"].(string)
		answers := map[string]string{}
		for _, password := range []string{servertest.Password, wrong} {
			b := a.Browser(t)
			p := b.Follow(b.Get(authorizeURL("conf", "id_token_hint", hint)))
			p = b.Fill(p, "username", "mallory", "password", password)
			answers[password] = fmt.Sprint(p.Status, " ", p.Alert())
		}
		if answers[servertest.Password] != answers[wrong] {
			t.Errorf("EN-01: where alice is asked for, mallory's right password reads %q, a wrong one %q", answers[servertest.Password], answers[wrong])
		}
	})
}

// TestAttackFactorSwapped (MF-02): two people's browsers with each other's flows, forms and cookies.
func TestAttackFactorSwapped(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		alice, mallory := a.Browser(t), a.Browser(t)
		hers, his := secondPage(t, alice, "alice"), secondPage(t, mallory, "mallory")
		_, form := hers.Form(t)
		his.Form(t)
		code := a.totp(t, servertest.OtherTOTP)
		for _, name := range []string{"alice", "mallory", "alice@example.se", ""} {
			form.Set("username", name)
			form.Set("password", servertest.Password)
			form.Set("code", code)
			if p := mallory.Post(hers.URL.Path, form); p.Status != http.StatusForbidden {
				t.Errorf("MF-02: %q in alice's flow from mallory's browser got %d", name, p.Status)
			}
			p := alice.Get(hers.URL.Path)
			_, own := p.Form(t)
			own.Set("username", name)
			own.Set("password", servertest.Password)
			own.Set("code", code)
			if alice.Post(hers.URL.Path, own); in(alice) {
				t.Errorf("MF-02: mallory's code with the name %q signed alice's browser in", name)
			}
		}
		// Cookies swapped whole: the flow goes with its browser's secret, and is still alice's own.
		was := alice.Cookie("portvakt-browser")
		alice.SetCookie("portvakt-browser", mallory.Cookie("portvakt-browser"))
		mallory.SetCookie("portvakt-browser", was)
		if p := mallory.Fill(mallory.Get(hers.URL.Path), "code", servertest.Code(t, servertest.OtherTOTP, a.Clock())); in(mallory) {
			t.Errorf("MF-02: mallory's code opened alice's sign-in: %d", p.Status)
		}
		if p := alice.Fill(alice.Get(his.URL.Path), "code", servertest.Code(t, servertest.TOTP, a.Clock())); in(alice) {
			t.Errorf("MF-02: alice's code opened mallory's sign-in: %d", p.Status)
		}
	})
}

// TestAttackFactorFormTokens (CS-01): a form token of a sign-in is that sign-in's, and no cookie makes another.
//
// between the two kinds; a browser whose cookie is "flow ID" is given the token of that sign-in.
func TestAttackFactorFormTokens(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	b := a.Browser(t)
	p := secondPage(t, b, "alice")
	_, form := p.Form(t)
	thief := a.Browser(t)
	thief.SetCookie("portvakt-browser", `"flow `+strings.TrimPrefix(p.URL.Path, "/login/")+`"`)
	r := request(t, http.MethodGet, a.URL+"/lost")
	r.Header.Set("Cookie", "portvakt-browser=flow "+strings.TrimPrefix(p.URL.Path, "/login/"))
	if got := token(t, a.Browser(t).Do(r)); got == form.Get("form_token") {
		t.Error("CS-01: with a cookie made of its address anybody is given the form token of alice's sign-in")
	}
}

// TestAttackFactorFailures (MF-03): ten wrong answers end a sign-in, whatever the mix of steps; choosing another way gives no new ones.
func TestAttackFactorFailures(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := secondPage(t, b, "alice")
		path := p.URL.Path
		n := 0
		for i := 0; p.Status == http.StatusOK && i < 30; i++ {
			if p = b.Get(path); p.Status != http.StatusOK {
				break
			}
			if i%2 == 0 && i < 8 {
				p = b.Follow(b.Press(p, "way", map[bool]string{true: "sms", false: "totp"}[i%4 == 0]))
			}
			_, form := p.Form(t)
			form.Del("way")
			form.Del("action")
			form.Set("code", strconv.Itoa(100000+i))
			p = b.Post(path, form)
			n++
		}
		if n != 10 || p.Status != http.StatusTooManyRequests {
			t.Errorf("MF-03: a sign-in took %d wrong answers, and then %d", n, p.Status)
		}
	})
}
