package server_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestAttackFactorTextOnce (OT-06): one code is one sign-in, of eight at once on two instances, and none later.
func TestAttackFactorTextOnce(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		b := a.Browser(t)
		p, right := a.toText(t, b, "alice")
		_, form := p.FormWith(t, `name="code"`)
		form.Set("code", right)
		for _, answer := range parallel(8, func(i int) *servertest.Page {
			return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(p.URL.Path, form)
		}) {
			if answer.Status >= 500 {
				t.Errorf("OT-06: a rival got %d", answer.Status)
			}
		}
		b.Post(p.URL.Path, form)
		if n, s := len(a.Events(t, audit.LoginSucceeded)), len(a.Events(t, audit.SessionStarted)); n != 1 || s != 1 {
			t.Errorf("OT-06: one code made %d sign-ins, %d sessions", n, s)
		}
		c := a.Browser(t)
		p, _ = a.toText(t, c, "alice")
		if p = code(c, p, right); p.Status != http.StatusOK || c.Cookie("portvakt") != "" {
			t.Errorf("OT-06: a used code in another sign-in got %d", p.Status)
		}
	})
}

// TestAttackFactorTextElsewhere (OT-06, MF-02): a code is good in the sign-in that it was sent for, and there for five minutes.
func TestAttackFactorTextElsewhere(t *testing.T) {
	t.Parallel()
	phones := strings.Replace(servertest.Sample(), "mallory@example.se, groups", `mallory@example.se, phone: "+46701740699", groups`, 1)
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: phones, Issuer: oneIssuer})
			no := func(name string, b *servertest.Browser, p *servertest.Page) {
				t.Helper()
				if b.Cookie("portvakt") != "" && in(b) || strings.Contains(p.Location, "/account") || p.Status >= 500 {
					t.Errorf("OT-06: %s: %d %s", name, p.Status, p.Location)
				}
				hushed(t, p)
			}
			alice, other, mallory := a.Browser(t), a.Browser(t), a.Browser(t)
			p, right := a.toText(t, alice, "alice")
			hers, rights := a.toText(t, other, "alice")
			his, malicious := a.toText(t, mallory, "mallory")
			no("that of another sign-in", alice, code(alice, p, rights))
			no("alice's in mallory's sign-in", mallory, code(mallory, his, right))
			no("mallory's in alice's sign-in", other, code(other, hers, malicious))

			// Another browser, with each cookie of the right one but the one that counts, and mallory's with alice's flow.
			_, form := p.FormWith(t, `name="code"`)
			form.Set("code", right)
			no("in a browser without cookies", a.Browser(t), a.Browser(t).Post(p.URL.Path, form))
			no("in mallory's browser", mallory, mallory.Post(p.URL.Path, form))
			no("in another browser of alice's", other, other.Post(p.URL.Path, form))
			_, form = his.FormWith(t, `name="code"`)
			form.Set("code", right)
			no("with mallory's form token", alice, alice.Post(p.URL.Path, form))
			form.Set("code", right)
			no("in mallory's flow by alice's browser", alice, alice.Post(his.URL.Path, form))
			if s := mallory.Get(p.URL.Path + "/text"); s.Status != http.StatusForbidden {
				t.Errorf("MF-07: mallory's browser reads the state of alice's message: %d %s", s.Status, s.Body)
			}

			// After a second message, after another way and back, after five minutes, after "this was not me".
			a.clock.Add(10*time.Minute + time.Second)
			b := a.Browser(t)
			p, right = a.toText(t, b, "alice")
			n := len(a.Texts(t))
			p = b.Follow(b.Press(p, "action", "resend"))
			next := a.AwaitTexts(t, n+1)[n].Code()
			p = code(b, p, right)
			no("the one before the second message", b, p)
			p = b.Follow(b.Press(p, "way", "totp"))
			p = code(b, p, next)
			no("at the step of another way", b, p)
			p = b.Follow(b.Press(p, "way", "sms"))
			last := a.AwaitTexts(t, n+2)[n+1].Code()
			p = code(b, p, next)
			no("the one before another way", b, p)
			a.clock.Add(5 * time.Minute)
			p = code(b, p, last)
			no("one of five minutes ago", b, p)

			a.clock.Add(20 * time.Minute)
			b = a.Browser(t)
			p, right = a.toText(t, b, "alice")
			_, form = p.FormWith(t, `name="code"`)
			form.Set("code", right)
			if gone := b.Press(p, "action", "disown"); gone.Status != http.StatusOK {
				t.Errorf("not me: %d", gone.Status)
			}
			no("after “this was not me”", b, b.Post(p.URL.Path, form))
			for _, v := range []string{"3", "4", "5"} {
				form.Set("version", v)
				no("after “this was not me”", b, b.Post(p.URL.Path, form))
			}
			c := a.Browser(t)
			p, _ = a.toText(t, c, "alice")
			no("of a sign-in that was disowned, in a new one", c, code(c, p, right))

			// For another purpose: the number's confirmation, and the other way round.
			a.clock.Add(20 * time.Minute)
			me := a.signIn(t, "alice", servertest.TOTP)
			n = len(a.Texts(t))
			sent := me.Fill(me.Get("/account/add/sms"), "phone", "070-174 06 05")
			own := a.AwaitTexts(t, n+1)[n].Code()
			c = a.Browser(t)
			p, right = a.toText(t, c, "alice")
			no("that of a number's confirmation", c, code(c, p, own))
			if answer := code(me, me.Follow(sent), right); answer.Status == http.StatusSeeOther {
				t.Errorf("OT-06: the code of a sign-in confirmed a number: %s", answer.Location)
			}
			thief := a.signIn(t, "mallory", servertest.OtherTOTP)
			if answer := thief.Post("/account/add/sms", url.Values{"form_token": {token(t, thief.Get("/account"))}, "code": {own}}); strings.Contains(answer.Location, "done=added") {
				t.Error("OT-06: alice's confirmation made a number mallory's")
			}
		})
	}
}

// TestAttackFactorTextGuessing (OT-04, OT-05): ten guesses in a quarter of an hour, over sign-ins, instances and the page of the person's own
// number; neither a new message nor a right password gives more, and after them the right code is refused like a wrong one.
func TestAttackFactorTextGuessing(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		sites := []*servertest.Site{a.Site, a.Second(t)}
		me := a.signIn(t, "alice", servertest.TOTP) // her own page is open beside it
		me.Fill(me.Get("/account/add/sms"), "phone", "070-174 06 77")
		a.AwaitTexts(t, 1)
		const n = 16
		browsers, pages := make([]*servertest.Browser, n), make([]*servertest.Page, n)
		var right string
		for i := range n {
			browsers[i] = sites[i%2].Browser(t)
			if i == 0 {
				pages[i], right = a.toText(t, browsers[i], "alice")
				continue
			}
			pages[i] = browsers[i].Follow(browsers[i].Press(secondPage(t, browsers[i], "alice"), "way", "sms"))
		}
		guessed := func() int {
			n := 0
			for _, e := range a.Events(t, audit.LoginFailed) {
				if e.Detail["step"] == "sms" && e.Reason != audit.Delayed {
					n++
				}
			}
			return n + a.count(t, audit.FactorEnrolled, audit.WrongCode)
		}
		for round := range 3 {
			parallel(n+2, func(i int) *servertest.Page {
				if i >= n {
					return me.Post("/account/add/sms", url.Values{"form_token": {token(t, me.Get("/account"))}, "code": {otherCode(right, i)}})
				}
				if i == 0 && round > 0 {
					return nil
				}
				q := browsers[i].Get(pages[i].URL.Path)
				if !strings.Contains(q.Body, `name="code"`) { // no message was sent for it: a form made by hand
					_, form := q.Form(t)
					form.Del("way")
					form.Del("action")
					form.Set("code", otherCode(right, i))
					return browsers[i].Post(q.URL.Path, form)
				}
				return code(browsers[i], q, otherCode(right, i+round*n))
			})
		}
		if n := guessed(); n != 10 {
			t.Errorf("OT-04: %d guesses at a texted code were looked at, want 10", n)
		}
		b := browsers[0]
		p := code(b, b.Get(pages[0].URL.Path), right)
		false_ := code(b, p, otherCode(right, 5))
		if in(b) || p.Alert() != false_.Alert() || p.Alert() == "" {
			t.Errorf("OT-04: after the cap the right code reads %q, a wrong one %q", p.Alert(), false_.Alert())
		}
		a.clock.Add(10*time.Minute + time.Second) // messages may be sent again; the window is not over
		b = a.Browser(t)
		p, right = a.toText(t, b, "alice")
		if p = code(b, p, right); in(b) {
			t.Error("OT-05: a new sign-in and a new message gave new guesses")
		}
		all := a.Texts(t)
		p = b.Follow(b.Press(p, "action", "resend"))
		if code(at(b, sites[1]), p, a.AwaitTexts(t, len(all)+1)[len(all)].Code()); in(b) {
			t.Error("OT-05: a second message gave new guesses")
		}
		a.clock.Add(15*time.Minute + time.Second)
		b = a.Browser(t)
		p, right = a.toText(t, b, "alice")
		if p = code(b, p, right); p.Status != http.StatusSeeOther {
			t.Errorf("after the window the right code got %d %q", p.Status, p.Alert())
		}
	})
}

// TestAttackFactorTextShown (MF-07): no answer holds a code or what stands for it in the database, and neither do the trail and the log.
func TestAttackFactorTextShown(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			log := &lines{}
			a := newAttack(t, e.New(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Issuer: oneIssuer, Log: log})
			b, me := a.Browser(t), a.signIn(t, "mallory", servertest.OtherTOTP)
			seen, own := record(b), record(me)
			p := b.Follow(b.Get(authorizeURL("conf")))
			p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
			p = b.Follow(b.Press(p, "way", "sms"))
			me.Follow(me.Fill(me.Get("/account/add/sms"), "phone", "070-174 06 06"))
			a.AwaitTexts(t, 2)
			var proofs []store.Challenge
			storetest.View(t, a.DB, func(tx *store.Tx) error {
				c, err := tx.ChallengeOf("flow:" + strings.TrimPrefix(p.URL.Path, "/login/"))
				proofs = []store.Challenge{c}
				return err
			})
			for _, path := range []string{"", "/text", "?debug=1", "?ui_locales=sv", "/code", ".json"} {
				b.Get(p.URL.Path + path)
			}
			me.Get("/account/add/sms/state")
			me.Get("/account")
			p = b.Follow(b.Press(b.Get(p.URL.Path), "action", "resend"))
			a.AwaitTexts(t, 3)
			code(b, p, "000000")
			eventually(t, "the message's fate is on record", func() bool { return len(a.Events(t, audit.SMSSent)) == 3 })
			b.Get(p.URL.Path + "/text")
			said := seen.String() + own.String()
			for _, e := range a.Events(t) {
				said += fmt.Sprint(e)
			}
			for _, m := range a.Texts(t) {
				if strings.Contains(strings.ReplaceAll(said, "000000", ""), m.Code()) && m.Code() != "000000" {
					t.Errorf("MF-07: the code %s was shown", m.Code())
				}
				if strings.Contains(log.String(), m.Code()) || strings.Contains(log.String(), "+46") {
					t.Error("IN-03: the log holds a code or a number")
				}
			}
			for _, c := range proofs {
				for _, form := range []string{hex.EncodeToString(c.Proof), base64.StdEncoding.EncodeToString(c.Proof), base64.RawURLEncoding.EncodeToString(c.Proof), c.ID} {
					if form != "" && strings.Contains(seen.String(), form) {
						t.Errorf("MF-07: an answer holds %q", form)
					}
				}
			}
			if strings.Contains(said, "174060") || strings.Contains(strings.ReplaceAll(said, "For example 070-174 06 05", ""), "174 06") {
				t.Error("SE-02: a whole number was shown")
			}
		})
	}
}

// TestAttackFactorTextWords (SM-01): what the message says is ours: the application's registered name, our host, a language that we have.
func TestAttackFactorTextWords(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	evil := "http://evil.example"
	for i, query := range [][]string{
		{"client_name", "Your bank", "app", "Your bank", "name", "x"}, {"login_hint", "Call 0900 123"}, {"ui_locales", "sv"}, {"ui_locales", "../../x en"}, {"state", evil}, {"acr_values", evil},
	} {
		if i%3 == 0 {
			a.clock.Add(11 * time.Minute)
		}
		b := a.Browser(t)
		b.Header.Set("User-Agent", "Ring 0900-123 \u202e"+evil)
		b.Header.Set("Accept-Language", "xx, "+evil)
		b.Header.Set("X-Forwarded-Host", "evil.example")
		b.Header.Set("Forwarded", "host=evil.example")
		n := len(a.Texts(t))
		p := b.Follow(b.Get(authorizeURL("conf", query...)))
		p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
		page := b.Follow(b.Press(p, "way", "sms", "app", evil, "App", evil, "lang", evil, "client", evil, "number", "+46701234567", "phone", "+46701234567", "to", "+46701234567"))
		m := a.AwaitTexts(t, n+1)[n]
		lines := strings.Split(m.Body, "\n")
		if m.To != "+46701740605" || !strings.HasPrefix(m.Body, "conf: ") || lines[len(lines)-1] != "@localhost #"+m.Code() || strings.Contains(m.Body, "evil") || strings.Contains(m.Body, "0900") || len(lines) != 3 {
			t.Errorf("SM-01: with %q the message to %s is %q", query, m.To, m.Body)
		}
		if swedish, page := strings.Contains(m.Body, "kod"), strings.Contains(page.Body, `<html lang="sv">`); swedish != page {
			t.Errorf("with %q the page is Swedish: %v, and the message %q", query, page, m.Body)
		}
	}
}

// TestAttackFactorTextNumberChanged (MF-04): a code that is on its way to a number which is not the person's any more proves nothing: an
// administrator changes the number because the phone was stolen, and the thief, who knows the password, holds the code.
func TestAttackFactorTextNumberChanged(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		thief := a.Browser(t)
		p, right := a.toText(t, thief, "alice")
		a.ApplyFile(t, strings.Replace(servertest.Sample(), `phone: "+46701740605"`, `phone: "+46701740688"`, 1))
		if p = code(thief, p, right); in(thief) {
			t.Errorf("MF-04: alice's number was changed, and the code that went to the old one signed in (%d)", p.Status)
		}
	})
}

// TestAttackFactorTextStopped (MF-04): the same for a number that its owner stopped, removed or changed herself meanwhile.
func TestAttackFactorTextStopped(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		me := a.signIn(t, "alice", servertest.TOTP)
		for _, how := range []string{"changed", "stopped", "allowed again", "removed"} {
			a.clock.Add(11 * time.Minute)
			a.again(t, me, authorizeURL("conf", "prompt", "login"), "alice", servertest.TOTP)
			thief := a.Browser(t)
			p, right := a.toText(t, thief, "alice")
			form := url.Values{"form_token": {token(t, me.Get("/account"))}}
			id := a.factorID(t, "alice", "sms")
			var did *servertest.Page
			switch how {
			case "changed":
				n := len(a.Texts(t))
				did = me.Fill(me.Get("/account/add/sms"), "phone", "070-174 06 88")
				did = code(me, me.Follow(did), a.AwaitTexts(t, n+1)[n].Code())
			case "stopped", "allowed again":
				form.Set("factor", id)
				did = me.Post("/account/stop", form)
				form.Del("factor")
				form.Set("action", "allow")
				me.Post("/account/factors/"+id, form)
			case "removed":
				form.Set("action", "remove")
				did = me.Post("/account/factors/"+id, form)
			}
			if !strings.Contains(did.Location, "done=") {
				t.Fatalf("%s: %d %s", how, did.Status, did.Location)
			}
			if p = code(thief, p, right); in(thief) {
				t.Errorf("MF-04: the number was %s, and the code from before signed in (%d)", how, p.Status)
			}
		}
	})
}

// TestAttackFactorTextWithPasskey: who has a passkey has no text message beside it, unless policy says so: a phished code must not do.
func TestAttackFactorTextWithPasskey(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		addPasskey(t, a.signIn(t, "alice", servertest.TOTP), factortest.New(oneIssuer))
		b := a.Browser(t)
		p := secondPage(t, b, "alice")
		_, form := p.FormWith(t, `name="way"`)
		for _, way := range []string{"sms", "SMS", " sms"} {
			form.Set("way", way)
			p = b.Follow(b.Post(p.URL.Path, form))
			if strings.Contains(p.Body, `data-factor="sms"`) {
				t.Errorf("WA-09: %q is offered beside a passkey", way)
			}
			_, form = p.FormWith(t, `name="way"`)
		}
		form.Del("way")
		form.Set("action", "resend")
		b.Post(p.URL.Path, form)
		if n := len(a.Events(t, audit.ChallengeMade, audit.SMSSent, audit.SMSRefused)); n != 1 { // that of her passkey
			t.Errorf("WA-09: %d challenges", n)
		}
	})
}
