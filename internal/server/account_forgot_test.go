package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// forgot asks for a new password and gives the page that follows.
func forgot(t testing.TB, b *servertest.Browser, username string) *servertest.Page {
	t.Helper()
	return b.Follow(b.Fill(shows(t, b.Get("/forgot"), `autocomplete="username"`), "username", username))
}

// mailedLink waits for the nth mail and gives the path of the link in it. The outbox is not woken by a forgotten password, so the test does.
func (a *attack) mailedLink(t testing.TB, n int) string {
	t.Helper()
	a.Notify.Wake()
	m := a.AwaitPost(t, n)[n-1]
	found := regexp.MustCompile(`(?m)^http://localhost:\d+(/link/[A-Z2-7]{52})$`).FindStringSubmatch(m.Body)
	if found == nil {
		t.Fatalf("no link in %+v", m)
	}
	return found[1]
}

// TestForgotAndBack: from the sign-in page by mail to a new password, and in with it and the second factor.
func TestForgotAndBack(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		b.Header.Set("Accept-Language", "en")
		shows(t, start(t, b), `href="/forgot"`)
		for range 5 { // that is why
			guess(t, b, "alice", wrong)
		}
		a.AwaitPost(t, 1)
		if p := shows(t, forgot(t, b, "alice"), "Look in your e-mail"); strings.Contains(p.Body, "<form") {
			t.Error("the answer asks again")
		}
		path := a.mailedLink(t, 2)
		if m := a.Post(t)[0]; m.Subject != "Somebody is guessing at your password" {
			t.Errorf("the first mail %+v", m)
		}
		m := a.Post(t)[1]
		if m.To != "alice@example.se" || m.Subject != "Choose a new password" || !strings.Contains(m.Body, "20 minutes") {
			t.Errorf("the mail %+v", m)
		}
		page := shows(t, b.Get(path), `autocomplete="new-password"`)
		if page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("Cache-Control") != "no-store" || strings.Contains(page.Body, "http://") && strings.Contains(page.Body, "src=\"http") {
			t.Errorf("RS-03: the page of the link has %v", page.Header)
		}
		p := take(b, page)
		if p.Status != http.StatusSeeOther || in(b) {
			t.Fatalf("the link: %d %q, signed in %v", p.Status, p.Alert(), in(b))
		}
		a.clock.Add(31 * time.Second)
		p = b.Follow(b.Fill(b.Follow(p), "username", "alice", "password", another))
		p = b.Follow(b.Fill(shows(t, p, `name="code"`), "code", servertest.Code(t, servertest.TOTP, a.Clock())))
		shows(t, p, "Alice Åkerblom")
		if m := a.AwaitPost(t, 3)[2]; m.Subject != "Your password was changed" || m.To != "alice@example.se" {
			t.Errorf("the mail %+v", m)
		}
		if p := b.Get(path); p.Status != http.StatusGone {
			t.Errorf("RS-03: the used link shows %d", p.Status)
		}
	})
}

// TestForgotEndsEverything (SE-04, RT-04, CO-04, RS-03): a mailed link and one from an administrator end every session, code, token and
// remembered browser when used.
func TestForgotEndsEverything(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]func(testing.TB, *attack) string{
		"mailed": func(t testing.TB, a *attack) string { forgot(t, a.Browser(t), "alice"); return a.mailedLink(t, 2) }, // the first tells of the remembered browser
		"given":  func(t testing.TB, a *attack) string { return a.link(t, account.LinkReset, "alice", time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, a *attack) {
				a.policies(t, remembering)
				remembered := a.remember(t, "alice", servertest.TOTP)
				half := a.Browser(t)
				code := proved(t, half, "alice")
				everythingEnds(t, a, func(t testing.TB, a *attack) {
					b := a.Browser(t)
					if p := take(b, b.Get(link(t, a))); p.Status != http.StatusSeeOther {
						t.Fatalf("the link got %d %q", p.Status, p.Alert())
					}
				})
				p := remembered.Follow(remembered.Get("/account"))
				if p = remembered.Follow(remembered.Fill(p, "username", "alice", "password", another)); !strings.Contains(p.Body, `name="code"`) {
					t.Errorf("RS-03: a remembered browser gets %d %s", p.Status, p.URL)
				}
				if half.Fill(code, "code", servertest.Code(t, servertest.TOTP, a.Clock())); in(half) {
					t.Error("RS-03: a sign-in that began with the old password came through")
				}
			})
		})
	}
}

// TestForgotTellsNothing (EN-03, RS-04): known, unknown, disabled, without a mail address, over the limit: one answer; and what the trail says.
func TestForgotTellsNothing(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
		a.ApplyFile(t, "users:\n  - {username: mailless, locale: sv}\n")
		names := []string{"alice", "ALICE@example.se", "nobody", "nobody@example.se", "mallory", "mailless", "alice", "alice", "alice", "nobody", strings.Repeat("x", 3000),
			"alice\x00", "\xff", "' or 1=1 --", `"><script>alert(1)</script>`}
		var first, second string
		for _, name := range names {
			b := a.Browser(t)
			p := b.Fill(b.Get("/forgot"), "username", name)
			hop := face(p) + p.Location
			got := face(b.Follow(p), name)
			if first == "" {
				first, second = got, hop
			}
			if got != first || hop != second || len(p.Header.Values("Set-Cookie")) > 0 {
				t.Errorf("EN-03: %.20q is answered by\n%s\n%s\n---\n%s\n%s", name, hop, got, second, first)
			}
			quiet(t, p)
		}
		trail := map[audit.Reason]int{}
		for _, e := range a.Events(t, audit.PasswordForgot) {
			trail[e.Reason]++
		}
		if trail[""] != 3 || trail[audit.Delayed] != 2 || trail[audit.Disabled] != 1 || trail[audit.NotAllowed] != 1 || trail[audit.UnknownUser] != len(names)-7 {
			t.Errorf("the trail has %v", trail)
		}
		a.Notify.Wake()
		if all := a.AwaitPost(t, 3); len(all) != 3 || all[0].To != "alice@example.se" || all[1].To != all[0].To || all[2].To != all[0].To {
			t.Errorf("mails to %+v", all)
		}
		b := a.Browser(t)
		if p := b.Fill(b.Get("/forgot"), "username", ""); p.Alert() == "" || p.Status != http.StatusOK {
			t.Errorf("no name: %d %q", p.Status, p.Alert())
		}
	})
}

// TestForgotFlood (RS-04): from many addresses and at both instances at once a person gets three mails an hour.
func TestForgotFlood(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			second := a.Second(t)
			var browsers []*servertest.Browser
			var pages []*servertest.Page
			for i := range 24 {
				b := a.Browser(t)
				b.Base = []string{a.URL, second.URL}[i%2]
				b.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
				browsers, pages = append(browsers, b), append(pages, b.Get("/forgot"))
			}
			for _, p := range parallel(24, func(i int) *servertest.Page { return browsers[i].Fill(pages[i], "username", "alice") }) {
				if p.Status != http.StatusSeeOther {
					t.Errorf("RS-04: %d", p.Status)
				}
			}
			if n := len(a.Events(t, audit.LinkIssued)); n != 3 {
				t.Errorf("RS-04: %d links", n)
			}
			path := a.mailedLink(t, 3)
			live := 0
			for _, m := range a.Post(t) {
				if a.Browser(t).Get(regexp.MustCompile(`/link/\S+`).FindString(m.Body)).Status == http.StatusOK {
					live++
				}
			}
			if live != 1 {
				t.Errorf("RS-03: %d of 3 links work, %s the last", live, path)
			}
		})
	}
}

// TestForgotLinkDies (RS-03): after 21 minutes, with a newer one, with a new password, and for another person.
func TestForgotLinkDies(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(testing.TB, *attack){
		"21 minutes": func(_ testing.TB, a *attack) { a.clock.Add(21 * time.Minute) },
		"a newer one": func(t testing.TB, a *attack) {
			forgot(t, a.Browser(t), "alice@example.se")
			a.mailedLink(t, 2)
		},
		"an administrator's": func(t testing.TB, a *attack) { a.link(t, account.LinkReset, "alice", time.Hour) },
		"a new password": func(t testing.TB, a *attack) {
			if p := changes(t, a.firefox(t, "alice", servertest.TOTP), servertest.Password, "yet another password"); p.Status != http.StatusSeeOther {
				t.Fatalf("%d %q", p.Status, p.Alert())
			}
		},
		"disabled": func(t testing.TB, a *attack) { ok(t, a.Admin.SetDisabled(background, operator, "alice", true)) },
	} {
		t.Run(name, func(t *testing.T) {
			a := onSQLite(t)
			b := a.Browser(t)
			forgot(t, b, "alice")
			path := a.mailedLink(t, 1)
			page := shows(t, b.Get(path), `autocomplete="new-password"`)
			kill(t, a)
			if p := take(b, page); p.Status != http.StatusGone {
				t.Errorf("RS-03: the link still works: %d", p.Status)
			}
			if p := b.Get(path); p.Status != http.StatusGone || strings.Contains(p.Body, "alice") {
				t.Errorf("RS-03: the link still shows %d", p.Status)
			}
		})
	}
	a := onSQLite(t)
	b := a.Browser(t)
	forgot(t, b, "mallory")
	if p := take(b, b.Get(a.mailedLink(t, 1)), "username", "alice", "user_id", "alice"); p.Status != http.StatusSeeOther || guess(t, a.Browser(t), "alice", another).Status == http.StatusSeeOther {
		t.Errorf("RS-03: mallory's link set alice's password (%d)", p.Status)
	}
}

// TestForgotHost (RS-01): whatever address a request was sent to, the link leads to the configured one.
func TestForgotHost(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	b := a.Browser(t)
	_, form := b.Get("/forgot").Form(t)
	host := strings.TrimPrefix(a.URL, "http://")
	evil := []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Server: evil.example", "Forwarded: host=evil.example;proto=https", "X-Original-URL: https://evil.example/",
		"X-Rewrite-URL: /evil", "X-Host: evil.example", "Referer: https://evil.example/"}
	n := 0
	for i, lines := range [][]string{{"POST /forgot HTTP/1.1", "Host: evil.example"}, {"POST http://evil.example/forgot HTTP/1.1", "Host: " + host}, {"POST /forgot HTTP/1.1", "Host: " + host, "Host: evil.example"},
		{"POST /forgot HTTP/1.1", "Host: " + host + "@evil.example"}, {"POST //evil.example/forgot HTTP/1.1", "Host: " + host}} {
		form.Set("username", []string{"alice", "mallory", "newcomer"}[i%3])
		body := form.Encode()
		conn, err := net.Dial("tcp", host)
		ok(t, err)
		lines = append(append(lines, evil...), "Cookie: portvakt-browser="+b.Cookie("portvakt-browser"), "Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)), "Connection: close")
		_, err = conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body))
		ok(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		ok(t, err)
		_ = resp.Body.Close()
		_ = conn.Close()
		if location := resp.Header.Get("Location"); strings.Contains(location, "evil") && i != 4 {
			t.Errorf("RS-01: %s leads to %s", lines[0], location)
		}
		if resp.StatusCode == http.StatusSeeOther {
			n++
		}
	}
	if n == 0 || n != len(a.Events(t, audit.LinkIssued)) {
		t.Fatalf("%d were let, %d links", n, len(a.Events(t, audit.LinkIssued)))
	}
	a.Notify.Wake()
	for _, m := range a.AwaitPost(t, n) {
		if strings.Contains(m.Body+m.Subject, "evil") || strings.Count(m.Body, "http") != 1 || !strings.Contains(m.Body, "\n"+a.URL+"/link/") {
			t.Errorf("RS-01: the mail says %s", m.Body)
		}
	}
}

// TestForgotWithoutMail: where no mail goes out the page says whom to ask, whoever it is.
func TestForgotWithoutMail(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{NoMail: true})
	b := a.Browser(t)
	b.Header.Set("Accept-Language", "en")
	b.Get("/lost") // gives the browser its secret
	page := shows(t, b.Get("/forgot"), "Ask your administrator")
	if strings.Contains(page.Body, "<form") {
		t.Error("it asks for a name")
	}
	for _, name := range []string{"alice", "nobody"} {
		p := b.Post("/forgot", url.Values{"form_token": {token(t, b.Get("/lost"))}, "username": {name}})
		if p.Status != http.StatusOK || face(p) != face(page) {
			t.Errorf("%s: %d\n%s", name, p.Status, p.Body)
		}
	}
	if n := len(a.Events(t, audit.PasswordForgot, audit.LinkIssued)); n != 0 {
		t.Errorf("%d events", n)
	}
}

// TestForgotTimes (EN-02, EN-03): over 400 pairs the answer for somebody takes as long as the one for nobody, and for somebody who may not sign in.
func TestForgotTimes(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{})
			ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
			b := a.Browser(t)
			_, form := b.Get("/forgot").Form(t)
			ask := func(name string) time.Duration {
				form.Set("username", name)
				began := time.Now()
				if p := b.Post("/forgot", form); p.Status != http.StatusSeeOther {
					t.Fatalf("%s got %d", name, p.Status)
				}
				return time.Since(began)
			}
			links := 0
			servertest.Thrice(t, func() error {
				links += 400
				var took [3][]time.Duration
				for i := range 400 {
					if i%3 == 0 {
						a.clock.Add(time.Hour)
					}
					for j := range took {
						kind := (i + j) % 3 // each comes first as often
						took[kind] = append(took[kind], ask([]string{"alice", fmt.Sprint("nobody", i), "mallory"}[kind]))
					}
				}
				if n := len(a.Events(t, audit.LinkIssued)); n != links {
					t.Fatalf("%d links", n)
				}
				return errors.Join(servertest.Alike("somebody and nobody", took[0], took[1], 400), servertest.Alike("somebody and somebody disabled", took[0], took[2], 400))
			})
		})
	}
}
