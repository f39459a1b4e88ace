package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// sent counts the text messages that went out, from every instance, once each has been told of.
func (a *attack) sent(t testing.TB) int {
	t.Helper()
	var n map[audit.Kind]int
	eventually(t, "every message is on record", func() bool {
		n = map[audit.Kind]int{}
		for _, e := range a.Events(t, audit.ChallengeMade, audit.SMSSent, audit.SMSFailed) {
			n[e.Kind]++
		}
		return n[audit.SMSSent]+n[audit.SMSFailed] == n[audit.ChallengeMade]
	})
	return n[audit.SMSSent]
}

// TestAttackFactorTextNever (SM-01, SM-02): no message before a right password, whatever is pressed.
func TestAttackFactorTextNever(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		for _, username := range []string{"alice", "nobody", ""} {
			for name, more := range map[string][]string{"way": {"way", "sms"}, "resend": {"action", "resend"}, "both": {"action", "resend", "way", "sms"},
				"phone": {"phone", "+46701740605"}, "wrong": {"password", wrong, "way", "sms"}, "code": {"code", "123456"}, "empty": {"password", "", "code", "", "way", ""}} {
				b := a.Browser(t)
				if p := b.Fill(start(t, b), append([]string{"username", username}, more...)...); p.Status != http.StatusOK {
					t.Errorf("SM-01: %s at the password's step for %q: %d", name, username, p.Status)
				}
				a.clock.Add(4 * time.Minute)
			}
		}
		b := a.Browser(t)
		b.Get("/lost")
		for _, path := range []string{"/account/add/sms", "/account/add/sms/state"} {
			b.Get(path)
			b.Post(path, url.Values{"phone": {"+46701740605"}})
		}
		half := secondPage(t, b, "newcomer") // a password, and no session yet
		_, form := half.Form(t)
		form.Set("phone", "+46701740605")
		form.Set("way", "sms")
		b.Post(half.URL.Path, form)
		b.Post("/account/add/sms", form)
		if n := len(a.Events(t, audit.ChallengeMade, audit.SMSSent, audit.SMSRefused)); n != 0 || len(a.Texts(t)) != 0 {
			t.Errorf("SM-01: %d messages without a right password", n)
		}
	})
}

// TestAttackFactorTextDouble (OT-05): a button pressed twice, at once or again from the same page, sends one message.
func TestAttackFactorTextDouble(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.Browser(t)
		p := secondPage(t, b, "alice")
		press := func(name, value string, p *servertest.Page, path string) {
			t.Helper()
			before := a.sent(t)
			_, form := p.FormWith(t, `name="`+name+`" value="`+value+`"`)
			form.Set(name, value)
			for _, answer := range parallel(6, func(i int) *servertest.Page {
				return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(path, form)
			}) {
				if answer.Status >= 500 {
					t.Errorf("OT-05: a rival got %d", answer.Status)
				}
			}
			b.Post(path, form)
			if n := a.sent(t) - before; n != 1 {
				t.Errorf("OT-05: %s=%s pressed seven times sent %d messages", name, value, n)
			}
		}
		press("way", "sms", p, p.URL.Path)
		p = b.Get(p.URL.Path)
		press("action", "resend", p, p.URL.Path)
	})
}

// TestAttackFactorTextDoubleOwn (OT-05): so do the buttons of a person's own page.
func TestAttackFactorTextDoubleOwn(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		const path = "/account/add/sms"
		press := func(name, value string) {
			t.Helper()
			before := a.sent(t)
			_, form := b.Get(path).FormWith(t, `name="`+name+`"`)
			form.Set(name, value)
			for _, answer := range parallel(6, func(i int) *servertest.Page {
				return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(path, form)
			}) {
				if answer.Status >= 500 {
					t.Errorf("OT-05: a rival got %d", answer.Status)
				}
			}
			b.Post(path, form)
			if n := a.sent(t) - before; n != 1 {
				t.Errorf("OT-05: %s=%s pressed seven times sent %d messages", name, value, n)
			}
		}
		press("phone", "070-174 06 06")
		press("action", "resend")
	})
}

// TestAttackFactorTextForLong (SM-01): over three days, one who asks all the time gets a number at most three messages in any ten minutes,
// and ten in any 24 hours, also across the hour at which a day's count might begin anew.
func TestAttackFactorTextForLong(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "policies:\n  sms: {per_person_day: 100, per_address_day: 1000, per_prefix_day: 1000, per_day: 1000}\n")
	var at []time.Time
	for range 3 * 24 * 3 {
		a.clock.Add(17 * time.Minute) // and some bursts
		b := a.Browser(t)
		p := b.Follow(b.Press(secondPage(t, b, "alice"), "way", "sms"))
		for range 4 {
			at = append(at, make([]time.Time, a.sent(t)-len(at))...)
			for i := len(at) - 1; i >= 0 && at[i].IsZero(); i-- {
				at[i] = a.clock.Now()
			}
			a.clock.Add(40 * time.Second)
			p = b.Follow(b.Press(p, "action", "resend"))
		}
	}
	for i := range at {
		if i >= 3 && at[i].Sub(at[i-3]) < 10*time.Minute {
			t.Errorf("SM-01: four messages in %s", at[i].Sub(at[i-3]))
		}
		if i >= 10 && at[i].Sub(at[i-10]) < 24*time.Hour {
			t.Errorf("SM-01: eleven messages in %s", at[i].Sub(at[i-10]))
		}
	}
	if len(at) < 25 {
		t.Errorf("%d messages in three days: the limits hold too much", len(at))
	}
}

// TestAttackFactorTextLimits (SM-01): every cap is exact, over two instances and everything at once.
func TestAttackFactorTextLimits(t *testing.T) {
	t.Parallel()
	people := func(n int) string {
		out := "users:\n"
		for i := range n {
			out += fmt.Sprintf("  - {username: p%d, password: %s, phone: \"+467017406%02d\"}\n", i, servertest.Password, 10+i)
		}
		return out
	}
	for _, c := range []struct {
		name, policy string
		person       func(i int) string
		ip           func(i int) string
		want         int
		limit        string
	}{
		{"a number in ten minutes", "{per_number_day: 10}", func(int) string { return "alice" }, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 3, "number"},
		{"a number in a day", "{per_number_day: 2}", func(int) string { return "alice" }, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 2, "number"},
		{"a person", "{per_person_day: 1}", func(int) string { return "alice" }, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 1, "person"},
		{"an address", "{per_address_day: 4}", func(i int) string { return fmt.Sprint("p", i) }, func(int) string { return "198.51.100.7" }, 4, "address"},
		{"a network of IPv6", "{per_address_day: 4}", func(i int) string { return fmt.Sprint("p", i) }, func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, 4, "address"},
		{"a range", "{per_prefix_day: 5}", func(i int) string { return fmt.Sprint("p", i) }, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 5, "prefix"},
		{"the budget", "{per_day: 6}", func(i int) string { return fmt.Sprint("p", i) }, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 6, "day"},
	} {
		t.Run(c.name, func(t *testing.T) {
			factorSites(t, "policies:\n  sms: "+c.policy+"\n", func(t *testing.T, a *attack) {
				second := a.Second(t)
				a.ApplyFile(t, people(12))
				const n = 12
				type try struct {
					b    *servertest.Browser
					path string
					form url.Values
				}
				tries := make([]try, n)
				for i := range tries {
					b := from(a.Browser(t), c.ip(i))
					person := c.person(i)
					p := start(t, b)
					_, form := p.Form(t)
					form.Set("username", person)
					form.Set("password", servertest.Password)
					if person == "alice" { // the app is asked for first
						p = secondPage(t, b, person)
						_, form = p.FormWith(t, `name="way"`)
						form.Set("way", "sms")
					}
					tries[i] = try{b, p.URL.Path, form}
				}
				for _, p := range parallel(n, func(i int) *servertest.Page {
					return at(tries[i].b, []*servertest.Site{a.Site, second}[i%2]).Post(tries[i].path, tries[i].form)
				}) {
					if p.Status != http.StatusSeeOther {
						t.Errorf("SM-01: at the limit the answer is %d", p.Status)
					}
				}
				if got := a.sent(t); got != c.want {
					t.Errorf("SM-01: %d messages went out, want %d", got, c.want)
				}
				refused := a.Events(t, audit.SMSRefused)
				for _, e := range refused {
					if e.Detail["limit"] != c.limit {
						t.Errorf("SM-01: refused for %q, want %q", e.Detail["limit"], c.limit)
					}
				}
				if len(refused) != n-c.want {
					t.Errorf("SM-01: %d refusals in the trail, want %d", len(refused), n-c.want)
				}
				// What was refused took nothing from the other limits, and another sign-in, way or step brings no more.
				b := from(a.Browser(t), c.ip(0))
				p := secondPage(t, b, c.person(0))
				for range 3 {
					if p = b.Follow(b.Get(p.URL.Path)); strings.Contains(p.Body, `value="resend"`) {
						p = b.Follow(b.Press(p, "action", "resend"))
					} else {
						p = b.Follow(b.Press(p, "way", "sms"))
					}
				}
				if got := a.sent(t); got != c.want {
					t.Errorf("SM-01: pressing on brought %d messages, want %d", got, c.want)
				}
			})
		})
	}
}

// TestAttackFactorTextSpellings (SM-02): a number has one form, and the limits count that.
func TestAttackFactorTextSpellings(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		form := token(t, b.Get("/account"))
		for _, phone := range []string{"+46701740605", "0701740605", "0046701740605", "070-174 06 05", "+46 (0)70 174 06 05", "+46\u00a070\u200b1740605", "٠٧٠١٧٤٠٦٠٥",
			"＋４６７０１７４０６０５", "46701740605", "070.174.06.05", "0701740605 "} {
			b.Post("/account/add/sms", url.Values{"form_token": {form}, "action": {"restart"}})
			b.Post("/account/add/sms", url.Values{"form_token": {form}, "phone": {phone}})
		}
		for _, phone := range []string{"+46701740605,+46701740606", "+46701740605;ext=1", "+46701740605 x22", "0701740605\n0701740606", "+46701740605\x00", "tel:+46701740605", "112", "+882161234567",
			"+4790123456", "+19005551234", "+46900123456", "0900 123 45 67", strings.Repeat("0", 5000), "'; drop table factors --", "+467O1740605", "+46 70 174 06 05 06 07 08 09"} {
			p := b.Post("/account/add/sms", url.Values{"form_token": {form}, "phone": {phone}})
			if p.Status != http.StatusOK || p.Alert() == "" {
				t.Errorf("SM-02: the number %.30q got %d %s", phone, p.Status, p.Location)
			}
			hushed(t, p)
		}
		if n := a.sent(t); n != 3 {
			t.Errorf("SM-02: %d messages went to one number in eleven spellings, want 3", n)
		}
		for _, m := range a.Texts(t) {
			if m.To != "+46701740605" {
				t.Errorf("SM-02: a message went to %s", m.To)
			}
		}
	})
}

// TestAttackFactorTextKeptCode: at the limit the button “send a new code” sends nothing, and the code that was sent stays good.
func TestAttackFactorTextKeptCode(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "policies:\n  sms: {per_number_day: 1}\n")
	b := a.Browser(t)
	p, right := a.toText(t, b, "alice")
	p = b.Follow(b.Press(p, "action", "resend"))
	_, form := p.Form(t)
	form.Del("action")
	form.Set("code", right)
	if p = b.Post(p.URL.Path, form); p.Status != http.StatusSeeOther {
		t.Errorf("OT-05: no second message was sent, and the first one's code got %q", p.Alert())
	}
}

// TestAttackFactorTextByLink (SM-01): a link on a foreign page sends alice no message. She is signed in with one factor, and has a number alone.
func TestAttackFactorTextByLink(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		a.ApplyFile(t, "users:\n  - {username: anna, password: "+servertest.Password+", phone: \"+46701740611\"}\n")
		b := a.Browser(t)
		p := secondPage(t, b, "anna")
		done(t, b, b.FillWith(p, `name="code"`, "code", a.AwaitTexts(t, 1)[0].Code(), "remember", "1"))
		b.Forget("portvakt")
		if p := guess(t, b, "anna", servertest.Password); p.Status != http.StatusSeeOther || !in(b) {
			t.Fatalf("the browser is not remembered: %d", p.Status)
		}
		a.clock.Add(11 * time.Minute)
		before := a.sent(t)
		b.Header.Set("Sec-Fetch-Site", "cross-site")
		b.Header.Set("Sec-Fetch-Mode", "navigate")
		for range 4 {
			b.Follow(b.Get(authorizeURL("conf", "acr_values", "urn:portvakt:acr:2fa")))
		}
		if n := a.sent(t) - before; n != 0 {
			t.Errorf("SM-01: a foreign page sent anna %d messages", n)
		}
	})
}
