package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestLocksInOneOrder: sign-ins, and wrong present passwords where it is changed, of one person at once do not wait for each other in a ring until
// the database has no connection left for anybody.
func TestLocksInOneOrder(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.policies(t, "policies:\n  factors: {required: false}\n  lockout: {attempts: 100}\n")
		const n = 24
		bystander := a.signIn(t, "alice", servertest.TOTP)
		mine := a.Browser(t)
		mine.Follow(guess(t, mine, "newcomer", servertest.Password))
		mine.Forget("portvakt-known")
		page := shows(t, mine.Get("/account/password"), `autocomplete="current-password"`)
		for range 2 {
			var pages []*servertest.Page
			var browsers []*servertest.Browser
			for range n {
				b := a.Browser(t)
				browsers, pages = append(browsers, b), append(pages, start(t, b))
			}
			answers := parallel(2*n+1, func(i int) *servertest.Page {
				switch {
				case i == 2*n:
					time.Sleep(100 * time.Millisecond) // while the others are at it
					return bystander.Get("/account")
				case i%2 == 0:
					return browsers[i/2].Fill(pages[i/2], "username", "newcomer", "password", servertest.Password)
				}
				return mine.Fill(page, "current", wrong, "password", another, "repeat", another)
			})
			failed := 0
			for _, p := range answers {
				if p.Status >= 500 {
					failed++
				}
			}
			if failed > 0 {
				t.Errorf("%d of %d answers are 503; that to somebody else is %d", failed, len(answers), answers[2*n].Status)
			}
		}
	})
}

// TestAdmittedOnce: of two browsers that use the link of a mail about guesses at once, over two instances, one becomes known.
func TestAdmittedOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		sites := []*servertest.Site{a.Site, a.Second(t)}
		for range 5 {
			guess(t, a.Browser(t), "alice", wrong)
		}
		path := a.mailedLink(t, 1)
		all := make([]*servertest.Browser, 8)
		pages := make([]*servertest.Page, len(all))
		for i := range all {
			all[i] = sites[i%2].Browser(t)
			pages[i] = all[i].Get(path)
		}
		answers := parallel(len(all), func(i int) *servertest.Page { return all[i].Fill(pages[i]) })
		known := 0
		for i, b := range all {
			if b.Cookie("portvakt-known") != "" {
				known++
			} else if answers[i].Status != http.StatusGone {
				t.Errorf("who was slower got %d", answers[i].Status)
			}
		}
		if known != 1 {
			t.Errorf("%d browsers became known", known)
		}
	})
}

// TestHostileForms: what no page sends is refused on each new form, and no answer is a server's fault.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.policies(t, "policies:\n  password: {min_length: 20, history: 3}\n")
		b, locked, renewing := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP), a.Browser(t)
		a.ApplyFile(t, "policies:\n  password: {min_length: 40}\n")
		a.Settle(t)
		locked.FillWith(locked.Get("/account"), `action="/account/lock"`)
		unlock := unlocks(t, locked, "/account")
		unlock = locked.Follow(locked.Press(unlock, "way", "password"))
		a.clock.Add(31 * time.Second)
		renew := renewing.Follow(renewing.Fill(proved(t, renewing, "alice"), "code", a.totp(t, servertest.TOTP)))
		outside := a.Browser(t)
		reset := a.link(t, account.LinkReset, "mallory", time.Hour)
		for _, form := range []struct {
			b *servertest.Browser
			p *servertest.Page
		}{{b, b.Get("/account/password")}, {locked, unlock}, {renewing, renew}, {outside, outside.Get("/forgot")}, {outside, outside.Get(reset)}} {
			action, fields := form.p.Form(t)
			token := "form_token=" + url.QueryEscape(fields.Get("form_token")) + "&version=" + fields.Get("version")
			for name, body := range map[string]string{
				"NUL":        "&username=alice%00&password=%00&repeat=%00&current=%00&code=%00&way=%00",
				"no UTF-8":   "&username=%ff%fe&password=%ff&repeat=%ff&current=%ff&code=%ff&way=%ff&passkey=%ff",
				"long":       "&username=" + strings.Repeat("a", 60000),
				"longer":     "&password=" + strings.Repeat("a", 70000),
				"long words": "&password=" + strings.Repeat("ä", 10000) + "&repeat=" + strings.Repeat("ä", 10000) + "&current=x",
				"twice":      "&password=a&password=b&repeat=a&repeat=b&username=a&username=b",
				"many":       strings.Repeat("&a=1", 10000),
				"arrays":     "&password[]=a&repeat[]=a&username[$ne]=x&current[]=1",
				"way":        "&way=done",
				"ways":       "&way=new-password",
				"unlocked":   "&way=enrol",
				"escapes":    "&username=%zz&password=%",
				"semicolon":  ";username=alice;password=x",
				"surrogates": "&username=%ed%a0%80&password=%ed%a0%80%ed%b0%80aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&repeat=%ed%a0%80%ed%b0%80aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
				"combining":  "&password=e" + strings.Repeat("%CC%81", 8000) + "&repeat=e" + strings.Repeat("%CC%81", 8000) + "&current=x",
			} {
				r, err := http.NewRequest(http.MethodPost, a.URL+action, strings.NewReader(token+body))
				ok(t, err)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("User-Agent", "\xff<script>\x80"+strings.Repeat("x", 5000))
				if p := form.b.Do(r); p.Status >= 500 {
					t.Errorf("%s at %s: %d", name, action, p.Status)
				}
			}
		}
		b.SetCookie("portvakt-known", "AAAAAAAAAAAAAAAAAAAAAAAAAA."+strings.Repeat("A", 3000))
		b.SetCookie("portvakt-device", "'; drop table users; --")
		for _, id := range []string{"%00", "others%2f..", "%ff", strings.Repeat("0", 26), strings.Repeat("Z", 5000), "..%2f..%2flock"} {
			form := url.Values{"form_token": {token(t, b.Get("/account"))}}
			if p := b.Post("/account/sessions/"+id, form); p.Status >= 500 || p.Status == http.StatusSeeOther {
				t.Errorf("/account/sessions/%.10s: %d %s", id, p.Status, p.Location)
			}
		}
		if !in(b) || slices.ContainsFunc(a.Events(t, audit.PasswordChanged), func(e audit.Event) bool { return e.Outcome != audit.Refused }) {
			t.Error("something was done")
		}
	})
}

// TestForeignHost (RS-01): whatever a request says of the host, the links of mails go to the service's own address.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	b.Header.Set("X-Forwarded-Host", "evil.example")
	b.Header.Set("Forwarded", "host=evil.example;proto=http")
	b.Header.Set("X-Original-Url", "http://evil.example/")
	for range 5 {
		guess(t, b, "alice", wrong)
	}
	forgot(t, b, "alice")
	a.Notify.Wake()
	for _, m := range a.AwaitPost(t, 2) {
		if strings.Contains(m.Body, "evil") || !strings.Contains(m.Body, a.URL+"/link/") {
			t.Errorf("RS-01: %+v", m)
		}
	}
}

// TestSilentCosts (EN-02): when strangers have to wait for a person by one of their names, a wrong password under the other costs what it does for a
// name that is nobody's.
func TestSilentCosts(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetestSQLite(t), servertest.Options{NoWatch: true})
	for range 5 {
		guess(t, a.Browser(t), "alice", wrong)
	}
	cost := func(name string) string {
		b := a.Browser(t)
		p := start(t, b)
		reads, writes := a.DB.Trips()
		b.Fill(p, "username", name, "password", wrong)
		r, w := a.DB.Trips()
		return fmt.Sprintf("%d+%d", r-reads, w-writes)
	}
	if hers, none := cost("alice@example.se"), cost("nobody@example.se"); hers != none {
		t.Errorf("EN-02: her mail address costs %s reads and writes, another %s", hers, none)
	}
}
