package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestFlowOutlivesPassword (SE-04, CO-04 in another form): a sign-in that proved a password which is no longer the
// person's must not be finished. Who stole the old one would enrol a soft token of their own.
func TestFlowOutlivesPassword(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		for _, c := range []struct{ name, totp string }{{"newcomer", ""}, {"mallory", servertest.OtherTOTP}} {
			thief := a.Browser(t)
			p := proved(t, thief, c.name)
			ok(t, a.Admin.SetPassword(background, operator, c.name, "an altogether different one"))
			totp := c.totp
			if totp == "" {
				totp = "otpauth://totp/x?secret=" + p.Key(t)
			}
			p = thief.Fill(p, "code", servertest.Code(t, totp, a.Clock()))
			if in(thief) || thief.Cookie("portvakt") != "" {
				t.Errorf("SE-04: %s's old password was proved, then changed, and the sign-in was finished all the same (%d)", c.name, p.Status)
			}
		}
	})
}

// TestFlowOutlivesDisabling: the same for somebody who may no longer sign in, also if they may again later.
func TestFlowOutlivesDisabling(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := proved(t, b, "mallory")
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
		b.Fill(p, "code", servertest.Code(t, servertest.OtherTOTP, a.Clock()))
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", false))
		if in(b) {
			t.Error("SE-04: a sign-in was finished while the person was disabled")
		}
	})
}

// TestTwoPeople (MF-02): flow, person, browser and code belong together.
func TestTwoPeople(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		alice, mallory := a.Browser(t), a.Browser(t)
		hers, his := proved(t, alice, "alice"), proved(t, mallory, "mallory")
		_, fields := hers.Form(t)
		fields.Set("code", servertest.Code(t, servertest.OtherTOTP, a.Clock()))
		if p := alice.Post(hers.URL.Path, fields); p.Alert() == "" || in(alice) {
			t.Errorf("MF-02: mallory's code opened alice's sign-in: %d", p.Status)
		}
		if p := mallory.Post(hers.URL.Path, fields); p.Status != http.StatusForbidden {
			t.Errorf("MF-02: alice's flow answered in mallory's browser got %d", p.Status)
		}
		if p := mallory.Get(hers.URL.Path); p.Status != http.StatusForbidden || strings.Contains(p.Body, `name="code"`) {
			t.Errorf("MF-02: mallory's browser sees alice's flow: %d", p.Status)
		}
		_, fields = his.Form(t)
		fields.Set("username", "alice")
		fields.Set("password", servertest.Password)
		fields.Set("code", servertest.Code(t, servertest.OtherTOTP, a.Clock()))
		mallory.Post(his.URL.Path, fields)
		if p := mallory.Get("/account"); !strings.Contains(p.Body, "<h1>Mallory</h1>") {
			t.Errorf("MF-02: another name in the second step made the session somebody else's: %d\n%s", p.Status, p.Body)
		}
		if n := a.count(t, audit.LoginFailed, audit.WrongBrowser); n != 1 {
			t.Errorf("AU-01: %d events of a wrong browser, want 1", n)
		}
	})
}

// TestFirstStepSwapped (MF-02): the name of the first step may change until a password is right; the code asked for is
// then that person's.
func TestFirstStepSwapped(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	p := b.Fill(start(t, b), "username", "mallory", "password", wrong)
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	if p = b.Fill(p, "code", servertest.Code(t, servertest.OtherTOTP, a.Clock())); p.Status == http.StatusSeeOther {
		t.Error("MF-02: alice's password and mallory's code made a session")
	}
}

// TestOddForms (MF-03): nothing but a whole right answer moves a sign-in on, and no form is our fault.
func TestOddForms(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(testing.TB, *servertest.Browser) *servertest.Page{
		"password": start,
		"code":     func(t testing.TB, b *servertest.Browser) *servertest.Page { return proved(t, b, "alice") },
		"enrol":    func(t testing.TB, b *servertest.Browser) *servertest.Page { return proved(t, b, "newcomer") },
	} {
		t.Run(name, func(t *testing.T) {
			a := onSQLite(t)
			b := a.Browser(t)
			p := step(t, b)
			_, whole := p.Form(t)
			for _, change := range []url.Values{
				{"version": {""}}, {"version": {"0"}}, {"version": {"-1"}}, {"version": {"99999999999999999999"}}, {"version": {"1", "2"}}, {"version": {"1e0"}},
				{"code": {"123456", "123456"}}, {"code[]": {"1"}}, {"code": {""}}, {"code": {"null"}}, {"code": {"true"}}, {"code": {"{}"}},
				{"method": {"none"}, "skip": {"true"}}, {"step": {"done"}}, {"factor": {"none"}, "code": {"000000"}},
				{"username": {"nobody"}, "version": {"1"}}, {"username": {"alice"}, "version": {"1"}}, {"username": {"mallory"}, "version": {"7"}},
				{"username": {"a", "b"}}, {"password": {"a", "b"}}, {"code": {strings.Repeat("1", 60000)}}, {"form_token": {""}}, {"form_token": {"x"}},
			} {
				form := url.Values{}
				for k, v := range whole {
					form[k] = v
				}
				for k, v := range change {
					form[k] = v
				}
				if got := b.Post(p.URL.Path, form); got.Status >= 500 || got.Status == http.StatusSeeOther {
					t.Errorf("MF-03: %.60v at the step %s got %d", change, name, got.Status)
				}
			}
			if got := b.Post(p.URL.Path, nil); got.Status != http.StatusForbidden {
				t.Errorf("MF-03: an empty POST got %d", got.Status)
			}
			if in(b) || len(a.Events(t, audit.LoginSucceeded)) > 0 {
				t.Error("MF-03: somebody is signed in")
			}
		})
	}
}

// TestOldVersion: an answer to a page that was answered already changes nothing, right or wrong.
func TestOldVersion(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		first := start(t, b)
		b.Fill(first, "username", "alice", "password", wrong)
		before := len(a.Events(t))
		if p := b.Fill(first, "username", "alice", "password", servertest.Password); p.Status != http.StatusOK || p.Alert() == "" {
			t.Errorf("an old page answered got %d %q", p.Status, p.Alert())
		}
		if n := len(a.Events(t)); n != before {
			t.Errorf("an answer to an old page left %d events", n-before)
		}
	})
}

// TestParallelAnswers (LK-03, OT-04): of many answers to one page one counts, right and wrong ones together.
func TestParallelAnswers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := proved(t, b, "alice")
		code := servertest.Code(t, servertest.TOTP, a.Clock())
		pages := parallel(30, func(i int) *servertest.Page {
			if i%3 == 0 {
				return b.Fill(p, "code", code)
			}
			return b.Fill(p, "code", strconv.Itoa(100000+i))
		})
		for _, page := range pages {
			if page.Status >= 500 {
				t.Errorf("an answer got %d", page.Status)
			}
		}
		counted := len(a.Events(t, audit.LoginSucceeded)) + len(a.Events(t, audit.LoginFailed))
		if counted != 1 {
			t.Errorf("LK-03: %d answers to one page counted", counted)
		}
	})
}

// TestFinishedTwice: a finished sign-in is exchanged once, whatever tabs and reloads do, and a forced one once only.
func TestFinishedTwice(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		a.clock.Add(time.Minute)
		p := a.again(t, b, authorizeURL("conf", "prompt", "login"), "alice", servertest.TOTP)
		resume := p.Location
		if !strings.Contains(resume, "/authorize?flow=") {
			t.Fatalf("the sign-in leads to %q", resume)
		}
		codes := 0
		a.clock.Add(time.Second)
		for _, page := range parallel(10, func(int) *servertest.Page { return b.Get(resume) }) {
			if response(t, page).Get("code") != "" {
				codes++
			}
			if page.Status >= 500 {
				t.Errorf("a tab got %d", page.Status)
			}
		}
		if codes != 1 {
			t.Errorf("one forced sign-in gave %d codes", codes)
		}
		a.clock.Add(time.Second)
		for _, tail := range []string{"", "&client_id=conf", "&prompt=none", "&client_id=other&redirect_uri=" + url.QueryEscape(servertest.Redirect)} {
			if page := b.Get(resume + tail); response(t, page).Get("code") != "" {
				t.Errorf("the spent sign-in, with %q, gave another code", tail)
			}
		}
	})
}

// TestResumeIsBound: a finished sign-in is good in its own browser, with its own session, for its own application.
func TestResumeIsBound(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	resume := a.again(t, b, authorizeURL("conf", "prompt", "login"), "alice", servertest.TOTP).Location
	flow := resume[strings.LastIndex(resume, "=")+1:]
	other := a.signIn(t, "mallory", servertest.OtherTOTP)
	if p := other.Get(resume); p.Status != http.StatusForbidden || p.Location != "" {
		t.Errorf("another browser resumed the sign-in: %d %s", p.Status, p.Location)
	}
	mixed := b.Get(authorizeURL("other", "flow", flow, "prompt", "login"))
	if response(t, mixed) != nil || !strings.Contains(mixed.Location, "/login/") {
		t.Errorf("AZ-06: a flow of conf stood in for a sign-in for other: %s", mixed.Location)
	}
	half := a.Browser(t)
	waiting := proved(t, half, "alice")
	if p := half.Get("/authorize?flow=" + strings.TrimPrefix(waiting.URL.Path, "/login/")); !strings.HasSuffix(p.Location, waiting.URL.Path) {
		t.Errorf("MF-01: a half sign-in resumed leads to %q", p.Location)
	}
	ok(t, a.Admin.SetDisabled(background, operator, "alice", true))
	if p := b.Get(resume); response(t, p).Get("code") != "" {
		t.Error("SE-04: a disabled person's finished sign-in gave a code")
	}
}

// TestBeforeSecondFactor (MF-01, SE-02): what a right password alone gives is nothing.
func TestBeforeSecondFactor(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	p := proved(t, b, "alice")
	for _, path := range []string{"/account", "/", authorizeURL("conf"), authorizeURL("conf", "acr_values", "urn:portvakt:acr:1fa"), "/login/" + p.URL.Path[7:] + "?step=done"} {
		if got := b.Get(path); strings.Contains(got.Body, "Alice") || strings.Contains(got.Body, "alice@") || response(t, got).Get("code") != "" || strings.Contains(got.Body, "+4670") {
			t.Errorf("MF-01: %s shows or gives something before the code: %d", path, got.Status)
		}
	}
	if got := response(t, b.Get(authorizeURL("conf", "prompt", "none"))); got.Get("error") != "login_required" || got.Get("iss") != a.URL {
		t.Errorf("AZ-05: prompt=none before the code got %v", got)
	}
	if got := a.post(t, "/userinfo", nil, "Cookie", "portvakt="+b.Cookie("portvakt-browser")); got.Status != http.StatusUnauthorized {
		t.Errorf("SE-02: userinfo with the pre-session got %d", got.Status)
	}
	pre := b.Cookie("portvakt-browser")
	b.SetCookie("portvakt", pre)
	if in(b) {
		t.Error("SE-02: the browser's secret works as a session")
	}
}

// TestPlantedBrowserSecret (SE-01): who knows the browser's secret and the flow from before must not see the step that
// a right password opens: there stands the key of the soft token to be.
func TestPlantedBrowserSecret(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	victim, spy := a.Browser(t), a.Browser(t)
	page := start(t, spy) // the spy was at this computer first, and left the page open
	victim.SetCookie("portvakt-browser", spy.Cookie("portvakt-browser"))
	victim.Follow(victim.Fill(victim.Get(page.URL.Path), "username", "newcomer", "password", servertest.Password))
	if seen := spy.Get(page.URL.Path); strings.Contains(seen.Body, "totp-key") {
		t.Error("SE-01: the secret that ties a sign-in to its browser did not change with the right password: a spy sees the key under enrolment")
	}
}

// TestAbandoned: who hangs up before the answer gains nothing: no uncounted try, no half session.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	p := start(t, b)
	action, fields := p.Form(t)
	fields.Set("username", "alice")
	fields.Set("password", servertest.Password)
	ctx, cancel := context.WithCancel(background)
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+action, strings.NewReader(fields.Encode()))
	ok(t, err)
	if _, err := b.Client.Do(r); err == nil {
		t.Error("the request was not abandoned")
	}
	if got := b.Get(p.URL.Path); !strings.Contains(got.Body, `name="password"`) {
		t.Errorf("an abandoned answer moved the sign-in on: %d", got.Status)
	}
}
