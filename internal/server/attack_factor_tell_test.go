package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// TestAttackFactorSameFace (EN-01, EN-03): nobody learns from the sign-in page or from /lost who exists, who has which factor, whose is stopped.
func TestAttackFactorSameFace(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		keys := map[string]*factortest.Authenticator{}
		for _, name := range []string{"stopped", "disabled", "good"} {
			a.ApplyFile(t, "users:\n  - {username: "+name+", password: "+servertest.Password+"}\n")
			keys[name] = factortest.New(oneIssuer)
			b := a.withPasskey(t, name, keys[name])
			if name == "stopped" {
				b.FillWith(b.Get("/account"), `action="/account/recovery"`)
				b.Post("/account/stop", map[string][]string{"form_token": {token(t, b.Get("/account"))}, "factor": {a.factorID(t, name, user.FactorPasskey)}})
			}
		}
		ok(t, a.Admin.SetDisabled(background, operator, "disabled", true))
		keys["nobody's"] = factortest.New(oneIssuer)
		b := a.Browser(t)
		p := b.Follow(b.Press(secondPage(t, b, "newcomer"), "way", "webauthn"))
		must(keys["nobody's"].Create(options(t, p)))
		keys["good"].WrongKey = true

		want, wantName := "", ""
		for name, key := range keys {
			c := a.Browser(t)
			got := face(c.Passkey(start(t, c), key.Get))
			if want == "" {
				want, wantName = got, name
			}
			if got != want {
				t.Errorf("EN-03: the passkey that is %s looks different from the one that is %s:\n%s\n---\n%s", name, wantName, got, want)
			}
		}
		want = ""
		for _, name := range []string{"nobody", "good", "stopped", "disabled", "alice", "newcomer"} {
			c := a.Browser(t)
			got := face(c.Fill(start(t, c), "username", name, "password", wrong), name)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("EN-01: %s looks different:\n%s\n---\n%s", name, got, want)
			}
			if strings.Contains(got, "allowCredentials") {
				t.Errorf("EN-03: %s: a list of passkeys before anybody proved anything", name)
			}
			a.clock.Add(4 * time.Minute)
		}
	})
}

// TestAttackFactorTiming (EN-02): a wrong code at /lost, and a passkey that is nobody's or wrong, take the same time for everybody.
func TestAttackFactorTiming(t *testing.T) {
	factorSites(t, "", func(t *testing.T, a *attack) {
		key, nobodys := factortest.New(oneIssuer), factortest.New(oneIssuer)
		a.withPasskey(t, "newcomer", key)
		b := a.signIn(t, "alice", servertest.TOTP)
		must(nobodys.Create(options(t, b.Get("/account/add/webauthn"))))
		key.WrongKey = true
		b = a.Browser(t)
		lost := func(name string) func() (url.Values, string) {
			return func() (url.Values, string) {
				_, form := b.Get("/lost").Form(t)
				form.Set("username", name)
				form.Set("recovery", "AAAAA-AAAAA")
				return form, "/lost"
			}
		}
		alone := func(key *factortest.Authenticator) func() (url.Values, string) {
			return func() (url.Values, string) {
				p := start(t, b)
				_, form := p.FormWith(t, `name="passkey"`)
				form.Set("passkey", string(must(key.Get(options(t, p)))))
				return form, p.URL.Path
			}
		}
		for name, pair := range map[string][2]func() (url.Values, string){"/lost": {lost("alice"), lost("nobody")}, "a passkey alone": {alone(key), alone(nobodys)}} {
			servertest.Thrice(t, func() error {
				var took [2][]time.Duration
				for i := range 200 {
					if i%40 == 0 {
						a.clock.Add(16 * time.Minute)
					}
					form, path := pair[i%2]()
					began := time.Now()
					b.Post(path, form)
					took[i%2] = append(took[i%2], time.Since(began))
				}
				return servertest.Alike(name+" for somebody and for nobody", took[0], took[1], 2)
			})
		}
	})
}

// TestAttackFactorMailWords (RM-02): what a visitor says of their browser does not become a sentence in somebody's mail, and never a header.
func TestAttackFactorMailWords(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	agents := []string{"Your account is locked. Call 0900-123 now!", "Go to https://evil.example/ at once", "x\u202egro.live", "evil.example", "Chrome/1 Windows; open evil.example", "a\tb", strings.Repeat("A", 300),
		"\u2028Subject: x", "x\x7fy"[:1] + "<b>", "=?utf-8?q?x?=", "{name} {{.}}"}
	for i, agent := range agents {
		b := a.Browser(t)
		b.Header.Set("User-Agent", agent)
		p := secondPage(t, b, "alice")
		b.Fill(p, "action", "disown")
		m := a.AwaitPost(t, i+1)[i]
		for _, bad := range []string{"0900", "https://evil", "evil.example", "\u202e", "\u2028", "Call", "<b>", "\t", strings.Repeat("A", 41), "Åkerblom {", "{{"} {
			if strings.Contains(m.Body, bad) {
				t.Errorf("RM-02: the browser %q put %q into a mail to %s:\n%s", agent, bad, m.To, m.Body)
			}
		}
		if strings.ContainsAny(m.Subject, "\r\n") || m.To != "alice@example.se" || !strings.Contains(m.Body, "http://localhost:9/account") {
			t.Errorf("RM-02: the mail is to %q, %q", m.To, m.Subject)
		}
	}
}

// TestAttackFactorMailFlood: who has alice's password and nothing else does not fill her letter box.
//
// me” sends one.
func TestAttackFactorMailFlood(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	const n = 60
	for range n {
		b := a.Browser(t)
		b.Fill(secondPage(t, b, "alice"), "action", "disown")
	}
	deadline := time.Now().Add(2 * time.Second)
	for len(a.Post(t)) < n && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if m := len(a.Post(t)); m > 20 {
		t.Errorf("RS-04: %d mails to alice within a second by who has her password", m)
	}
}

// TestAttackFactorMailSwallowed: a bound on mails must not let who has alice's password make the one that matters go missing.
//
// hour alice hears of no new factor, no new number and no used recovery code.
func TestAttackFactorMailSwallowed(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	for range 40 {
		b := a.Browser(t)
		b.Fill(secondPage(t, b, "alice"), "action", "disown")
	}
	a.clock.Add(31 * time.Second)
	addPasskey(t, a.signIn(t, "alice", servertest.TOTP), factortest.New(oneIssuer))
	found := false
	for end := time.Now().Add(30 * time.Second); !found && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, m := range a.Post(t) {
			found = found || strings.Contains(m.Subject, "was added")
		}
	}
	if !found {
		t.Errorf("after 40 sign-ins that she disowned, alice is not told of a new passkey; she got %d mails", len(a.Post(t)))
	}
}

// TestAttackFactorNotLockedOut (LK-04): who knows alice's name and no password spends none of her budgets in a browser of hers: codes, texts, passkeys, recovery.
func TestAttackFactorNotLockedOut(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		key := factortest.New(oneIssuer)
		a.clock.Add(31 * time.Second)
		a.withPasskey(t, "newcomer", key)
		mine := a.known(t, 3)
		for i := range 40 {
			b := from(a.Browser(t), fmt.Sprintf("198.51.100.%d", i))
			p := start(t, b)
			for _, fields := range [][]string{{"code", "000000"}, {"recovery", "AAAAA-AAAAA"}, {"way", "sms"}, {"action", "resend"}, {"passkey", "{}"}, {"password", wrong}, {"action", "disown"}} {
				p = b.FillWith(b.Get(p.URL.Path), `name="username"`, append([]string{"username", "alice"}, fields...)...)
				if p.Status != http.StatusOK {
					break
				}
			}
			sayLost(t, b, "alice", "AAAAA-AAAAA")
		}
		me := from(mine[0], "203.0.113.5")
		p, right := a.toText(t, me, "alice")
		done(t, me, code(me, p, right))
		a.clock.Add(31 * time.Second)
		me = from(mine[1], "203.0.113.5")
		done(t, me, me.Fill(secondPage(t, me, "alice"), "code", a.totp(t, servertest.TOTP)))
		me = from(a.Browser(t), "203.0.113.5")
		done(t, me, me.Passkey(start(t, me), key.Get))
		me = from(mine[2], "203.0.113.5")
		if p := me.Follow(me.Fill(a.toRecovery(t, me, "alice"), "recovery", codes[0])); !strings.Contains(p.Body, "totp-key") {
			t.Errorf("LK-04: alice's recovery code got %q", p.Alert())
		}
	})
}
