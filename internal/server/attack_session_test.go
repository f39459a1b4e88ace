package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestSessionRotates (SE-01): a session's secret is new after every sign-in, and the old one is dead.
func TestSessionRotates(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		b.SetCookie("portvakt", "planted-by-somebody")
		a.again(t, b, "/account", "alice", servertest.TOTP)
		first := b.Cookie("portvakt")
		a.clock.Add(time.Minute)
		a.again(t, b, authorizeURL("conf", "prompt", "login"), "alice", servertest.TOTP)
		second := b.Cookie("portvakt")
		if first == "planted-by-somebody" || second == first {
			t.Errorf("SE-01: the session's secret went from %q to %q", first, second)
		}
		old := a.Browser(t)
		old.SetCookie("portvakt", first)
		if in(old) {
			t.Error("SE-01: the secret from before the second sign-in still works")
		}
		a.clock.Add(31 * time.Second)
		shared := a.signIn(t, "mallory", servertest.OtherTOTP)
		mallorys := shared.Cookie("portvakt")
		a.again(t, shared, authorizeURL("conf", "prompt", "login"), "alice", servertest.TOTP)
		old.SetCookie("portvakt", mallorys)
		if in(old) {
			t.Error("SE-01: mallory's session in this browser outlived alice's sign-in in it")
		}
		if p := shared.Get("/account"); !strings.Contains(p.Body, "Alice") {
			t.Error("alice is not the one who is signed in")
		}
	})
}

// TestSessionCookies (SE-03): anything but a secret that was given is nobody.
func TestSessionCookies(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	right := b.Cookie("portvakt")
	for _, value := range []string{"deadbeef", "true", "1", "null", "alice", strings.ToLower(right), right + "A", right[:len(right)-1], right[:26],
		strings.Repeat("A", 16<<10), "' or 1=1 --", "%00"} {
		c := a.Browser(t)
		c.SetCookie("portvakt", value)
		if p := c.Get("/account"); p.Status != http.StatusSeeOther {
			t.Errorf("SE-03: the session %.20q got %d", value, p.Status)
		}
	}
	if !in(b) {
		t.Error("the right session ended")
	}
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		c := a.Browser(t)
		for _, set := range c.Get("/account").Header.Values("Set-Cookie") {
			if !strings.Contains(set, want) {
				t.Errorf("the cookie %q lacks %s", set, want)
			}
		}
	}
}

// TestTwoCookiesOfOneName (SE-01, cookie tossing): with https the names carry __Host-, which no other host can set.
func TestTwoCookiesOfOneName(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Issuer: "https://idp.example"})
	r := httptest.NewRequest(http.MethodGet, "https://idp.example/account", nil)
	w := httptest.NewRecorder()
	a.Server.ServeHTTP(w, r)
	cookies := w.Result().Cookies()
	if len(cookies) == 0 {
		t.Fatal("no cookie")
	}
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("SE-01: the cookie %v could be set by another host", c)
		}
	}
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("RM-03: no Strict-Transport-Security with https")
	}
	r = httptest.NewRequest(http.MethodGet, w.Header().Get("Location"), nil)
	r.Header.Set("Cookie", "portvakt-browser="+cookies[0].Value)
	w = httptest.NewRecorder()
	a.Server.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("SE-01: the cookie without its prefix was believed: %d", w.Code)
	}
}

// TestSessionEnds (SE-03): idle and absolute limits.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.ApplyFile(t, "policies:\n  session: {lock_after: 0d}\n")
		b := a.signIn(t, "alice", servertest.TOTP)
		a.clock.Add(7 * time.Hour)
		if !in(b) {
			t.Fatal("the session ended before its idle time")
		}
		a.clock.Add(4 * time.Hour) // 11 h since the sign-in, 4 h since the last use
		if response(t, b.Get(authorizeURL("conf"))).Get("code") == "" {
			t.Fatal("the use at 7 h did not count")
		}
		a.clock.Add(time.Hour)
		if in(b) {
			t.Error("SE-03: the session outlived its 12 h")
		}
		b = a.signIn(t, "alice", servertest.TOTP)
		a.clock.Add(8*time.Hour + time.Second)
		if got := response(t, b.Get(authorizeURL("conf", "prompt", "none"))); in(b) || got.Get("error") != "login_required" {
			t.Errorf("SE-03: the session outlived 8 idle hours: %v", got)
		}
	})
}

// TestEverythingEnds (SE-04, RT-04, CO-04): what ends a person's sessions ends them in every browser and with them every
// code and token, at once, on both instances.
func TestEverythingEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(testing.TB, *attack){
		"disabled": func(t testing.TB, a *attack) { ok(t, a.Admin.SetDisabled(background, operator, "alice", true)) },
		"password": func(t testing.TB, a *attack) {
			ok(t, a.Admin.SetPassword(background, operator, "alice", "a quite different password"))
		},
		"factors":        func(t testing.TB, a *attack) { ok(t, a.Admin.ResetFactors(background, operator, "alice")) },
		"link":           useReset,
		"factor swapped": func(t testing.TB, a *attack) { swapToken(t, a) },
	} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, a *attack) { everythingEnds(t, a, end) })
		})
	}
}

func everythingEnds(t *testing.T, a *attack, end func(testing.TB, *attack)) {
	second := a.Second(t)
	browsers := []*servertest.Browser{a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP)}
	tokens := a.tokens(t, "conf", mustCode(t, browsers[0].Get(authorizeURL("conf"))))
	code := mustCode(t, browsers[1].Get(authorizeURL("conf")))
	bystander := a.signIn(t, "mallory", servertest.OtherTOTP)
	end(t, a)
	for i, b := range browsers {
		b.Base = []string{a.URL, second.URL}[i%2]
		if in(b) {
			t.Errorf("SE-04: browser %d is still signed in", i)
		}
	}
	if s := a.userInfo(t, tokens); s != http.StatusUnauthorized {
		t.Errorf("RT-04: the access token got %d", s)
	}
	for _, token := range []string{"access_token", "refresh_token"} {
		if p := a.post(t, "/introspect", url.Values{"token": {tokens[token].(string)}}, "Authorization", basic("conf")); object(t, p)["active"] != false {
			t.Errorf("RT-04: introspection of the %s says %.60s", token, p.Body)
		}
	}
	if p := a.refresh(t, "conf", tokens["refresh_token"].(string)); p.Status != http.StatusBadRequest || object(t, p)["error"] != "invalid_grant" {
		t.Errorf("RT-04: the refresh token got %d %.60s", p.Status, p.Body)
	}
	p := a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect},
		"code_verifier": {verifier}}, "Authorization", basic("conf"))
	if p.Status != http.StatusBadRequest || object(t, p)["error"] != "invalid_grant" {
		t.Errorf("CO-04: the code got %d %.60s", p.Status, p.Body)
	}
	if !in(bystander) {
		t.Error("somebody else's session ended")
	}
}

func useReset(t testing.TB, a *attack) {
	link, err := a.Admin.MakeLink(background, operator, "reset", "alice", time.Hour)
	ok(t, err)
	b := a.Browser(t)
	p := b.Fill(b.Get("/link/"+link), "password", "a quite different password", "repeat", "a quite different password")
	if p.Status != http.StatusSeeOther {
		t.Fatalf("the link got %d %s", p.Status, p.Alert())
	}
}

func swapToken(t testing.TB, a *attack) {
	a.ApplyFile(t, strings.ReplaceAll(servertest.Sample(), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK"))
}

// TestRightsTaken (RT-04): who is no longer in a group that an application asks for gets nothing more for it: not by
// refreshing, not by a code under way.
func TestRightsTaken(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "admins-only", mustCode(t, b.Get(authorizeURL("admins-only"))))
		code := mustCode(t, b.Get(authorizeURL("admins-only")))
		a.ApplyFile(t, strings.Replace(servertest.Sample(), "groups: [staff, admins], password", "groups: [staff], password", 1))
		if p := b.Get(authorizeURL("admins-only")); p.Status != http.StatusForbidden {
			t.Errorf("not_allowed: %d", p.Status)
		}
		if p := a.refresh(t, "admins-only", tokens["refresh_token"].(string)); p.Status != http.StatusBadRequest {
			t.Errorf("RT-04: the group was taken away and the refresh token got %d", p.Status)
		}
		p := a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect},
			"code_verifier": {verifier}}, "Authorization", basic("admins-only"))
		if p.Status != http.StatusBadRequest {
			t.Errorf("RT-04: the group was taken away and the code got %d", p.Status)
		}
	})
}

// TestClassAtRefresh: a client whose minimum_acr was raised gets no more tokens of weaker sign-ins, and the person is asked for more.
func TestClassAtRefresh(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "admins-only", mustCode(t, b.Get(authorizeURL("admins-only"))))
		a.ApplyFile(t, strings.Replace(servertest.Sample(), "admins-only, allowed_groups", "admins-only, minimum_acr: phr, allowed_groups", 1))
		eventually(t, "the change is in force", func() bool { return a.userInfo(t, tokens) == http.StatusUnauthorized })
		if p := a.refresh(t, "admins-only", tokens["refresh_token"].(string)); !strings.Contains(p.Body, "invalid_grant") {
			t.Errorf("below the class of its client, a refresh token got %d %s", p.Status, p.Body)
		}
		if p := b.Get(authorizeURL("admins-only", "prompt", "none")); response(t, p).Get("error") != "interaction_required" {
			t.Errorf("prompt=none got %v", response(t, p))
		}
	})
}

// TestRefreshOutlivesSweep: a refresh token lives as long as it says (14 days from its last use), not until the sweep
// forgets the session that it came of.
func TestRefreshOutlivesSweep(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
		a.clock.Add(12*time.Hour + 25*time.Hour)
		ok(t, a.DB.Housekeep(background, func(tx *store.Tx) error { _, err := tx.Sweep(); return err }))
		if p := a.refresh(t, "conf", tokens["refresh_token"].(string)); p.Status != http.StatusOK {
			t.Errorf("after 37 h and a sweep the refresh token got %d %.60s", p.Status, p.Body)
		}
	})
}

// TestFactorGone (MF-04): policy is asked anew at each sign-in; half a factor is none.
func TestFactorGone(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		half := proved(t, a.Browser(t), "newcomer")
		b := a.Browser(t)
		other := proved(t, b, "newcomer")
		if half.Key(t) == other.Key(t) {
			t.Error("MF-04: two enrolments share a key")
		}
		if p := b.Fill(other, "code", servertest.Code(t, "otpauth://totp/x?secret="+half.Key(t), a.Clock())); p.Status == http.StatusSeeOther {
			t.Error("MF-04: the key of another enrolment made a factor")
		}
		ok(t, a.Admin.ResetFactors(background, operator, "alice"))
		if p := proved(t, a.Browser(t), "alice"); !strings.Contains(p.Body, "totp-key") {
			t.Error("MF-04: without her factor alice is not asked to enrol")
		}
	})
}

// TestParallelEnrolments (MF-04): of several enrolments of one person one counts, and the loser's key is nothing.
func TestParallelEnrolments(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for i := range 8 {
			b := a.Browser(t)
			b.Base = []string{a.URL, second.URL}[i%2]
			browsers, pages = append(browsers, b), append(pages, proved(t, b, "newcomer"))
		}
		answers := parallel(8, func(i int) *servertest.Page {
			return browsers[i].Fill(pages[i], "code", servertest.Code(t, "otpauth://totp/x?secret="+pages[i].Key(t), a.Clock()))
		})
		wins := 0
		for i, p := range answers {
			if p.Status >= 500 {
				t.Errorf("MF-04: an enrolment got %d", p.Status)
			}
			if in(browsers[i]) {
				wins++
			}
		}
		if n := len(a.Events(t, audit.FactorEnrolled)); wins != 1 || n != 4 { // three came with the sample
			t.Errorf("MF-04: %d of 8 enrolments won, %d events", wins, n)
		}
	})
}

// TestPolicyTightened (MF-04): a session of one factor is not enough once policy asks for two.
func TestPolicyTightened(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: servertest.Sample() + "policies:\n  factors: {required: false}\n"})
	b := a.Browser(t)
	if p := guess(t, b, "newcomer", servertest.Password); p.Status != http.StatusSeeOther || !in(b) {
		t.Fatalf("a password alone got %d", p.Status)
	}
	a.ApplyFile(t, servertest.Sample()+"policies:\n  factors: {required: true}\n")
	eventually(t, "MF-04: policy asks for two factors and the session of one gives no code", func() bool {
		a.clock.Add(time.Second)
		return response(t, b.Get(authorizeURL("conf"))).Get("code") == ""
	})
}
