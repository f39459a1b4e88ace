package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/user"
)

// TestAttackFactorPasskeyChallenges (WA-01, WA-02): a challenge belongs to one sign-in, one step of it and one showing, for five minutes.
func TestAttackFactorPasskeyChallenges(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key := factortest.New(oneIssuer)
		a.withPasskey(t, "newcomer", key)
		try := func(name string, b *servertest.Browser, p *servertest.Page, challenge []byte) {
			t.Helper()
			k, n := *key, len(a.Events(t, audit.LoginFailed))
			k.Challenge = challenge
			a.refusedPasskey(t, "WA-02", name, b, b.Passkey(p, k.Get), n, audit.WrongCode)
		}
		other := a.Browser(t)
		theirs := challengeOf(t, start(t, other))
		theirSecond := challengeOf(t, secondPage(t, other, "newcomer"))

		b := a.Browser(t)
		p := start(t, b)
		first := challengeOf(t, p)
		try("that of another sign-in, alone", b, p, theirs)
		p = b.Get(p.URL.Path)
		try("that of an older version, alone", b, p, first)
		p = secondPage(t, b, "newcomer")
		second := challengeOf(t, p)
		try("that of another sign-in", b, p, theirSecond)
		p = b.Get(p.URL.Path)
		try("that of an older version", b, p, second)
		p = b.Get(p.URL.Path)
		try("that of the step before", b, p, first)

		b = a.Browser(t)
		p = start(t, b)
		stale := challengeOf(t, p)
		a.clock.Add(5 * time.Minute)
		p = b.Get(p.URL.Path)
		try("one of five minutes ago", b, p, stale)
		b = a.Browser(t)
		p = start(t, b)
		early := challengeOf(t, p)
		a.clock.Add(-10 * time.Minute)
		p = b.Get(p.URL.Path)
		try("one of the future", b, p, early)
		a.clock.Add(10 * time.Minute)

		// The password's page gives the challenge of a sign-in that anybody may begin: a step later it is worth nothing.
		b = a.Browser(t)
		p = start(t, b)
		k := *key
		k.Challenge = challengeOf(t, p)
		p = secondPage(t, b, "newcomer")
		n := len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "WA-02", "that of the password's step", b, b.Passkey(p, k.Get), n, audit.WrongCode)

		// Shown a while ago and answered in time is what people do.
		b = a.Browser(t)
		p = start(t, b)
		a.clock.Add(4*time.Minute + 59*time.Second)
		b.Get(p.URL.Path)
		if p = b.Passkey(p, key.Get); p.Status != http.StatusSeeOther {
			t.Errorf("in time, and refused: %d %q", p.Status, p.Alert())
		}
	})
}

// TestAttackFactorPasskeyOfOthers (WA-02, WA-06): a passkey is one person's.
func TestAttackFactorPasskeyOfOthers(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		alices, mallorys := factortest.New(oneIssuer), factortest.New(oneIssuer)
		addPasskey(t, a.signIn(t, "alice", servertest.TOTP), alices)
		mallory := a.signIn(t, "mallory", servertest.OtherTOTP)
		addPasskey(t, mallory, mallorys)

		b := a.Browser(t)
		p := secondPage(t, b, "alice")
		n := len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "WA-02", "mallory's passkey as alice's second", b, b.Passkey(p, anyKey(mallorys.Get)), n, audit.WrongCode)

		for _, handle := range [][]byte{[]byte(a.person(t, "alice").ID), []byte("x")} {
			b, k := a.Browser(t), *mallorys
			k.Handle = handle
			n = len(a.Events(t, audit.LoginFailed))
			a.refusedPasskey(t, "WA-02", "mallory's passkey with another handle", b, b.Passkey(start(t, b), k.Get), n, audit.WrongCode)
		}
		b = a.Browser(t)
		n = len(a.Events(t, audit.LoginFailed))
		stranger := factortest.New(oneIssuer)
		if _, err := stranger.Create(options(t, mallory.Get("/account/add/webauthn"))); err != nil {
			t.Fatal(err)
		}
		a.refusedPasskey(t, "WA-02", "a passkey of nobody", b, b.Passkey(start(t, b), stranger.Get), n, audit.UnknownUser)

		// alice's id, in a registration of mallory's and of somebody's first.
		var id []byte
		response, err := alices.Get(options(t, start(t, a.Browser(t))))
		ok(t, err)
		id = credentialID(t, response)
		thief := factortest.New(oneIssuer)
		thief.CredentialID = id
		n = len(a.Events(t, audit.FactorEnrolled))
		p = mallory.Passkey(mallory.Get("/account/add/webauthn"), thief.Create)
		if p.Status != http.StatusOK || p.Alert() == "" {
			t.Errorf("WA-06: alice's id registered by mallory got %d %s", p.Status, p.Location)
		}
		if fresh := a.since(t, n, audit.FactorEnrolled); len(fresh) != 1 || fresh[0].Outcome != audit.Refused {
			t.Errorf("WA-06: the trail has %+v", fresh)
		}
		b = a.Browser(t)
		thief = factortest.New(oneIssuer)
		thief.CredentialID = id
		n = len(a.Events(t, audit.LoginFailed))
		p = b.Passkey(b.Follow(b.Press(secondPage(t, b, "newcomer"), "way", "webauthn")), thief.Create)
		if p.Status != http.StatusOK || p.Alert() == "" || b.Cookie("portvakt") != "" {
			t.Errorf("WA-06: alice's id registered by a newcomer got %d %s", p.Status, p.Location)
		}
		if fresh := a.since(t, n, audit.LoginFailed); len(fresh) != 1 {
			t.Errorf("WA-06: somebody else's passkey, set up at a sign-in, left %d events in the trail, want 1", len(fresh))
		}
		// The same authenticator twice.
		before := len(a.kinds(t, "mallory"))
		again := *mallorys
		again.CredentialID = credentialID(t, must(mallorys.Get(options(t, start(t, a.Browser(t))))))
		p = mallory.Passkey(mallory.Get("/account/add/webauthn"), anyKey(again.Create))
		if len(a.kinds(t, "mallory")) != before {
			t.Errorf("WA-06: one passkey was stored twice: %d %s", p.Status, p.Location)
		}
		b = a.Browser(t)
		if p := b.Passkey(start(t, b), alices.Get); p.Status != http.StatusSeeOther || !strings.Contains(b.Get("/account").Body, "Alice") {
			t.Errorf("WA-06: afterwards alice's passkey got %d %q", p.Status, p.Alert())
		}
	})
}

// TestAttackFactorPasskeyGone (MF-04, WA-09): who is disabled, whose passkey is stopped or removed, whom policy or the request shuts out.
func TestAttackFactorPasskeyGone(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key, hint := factortest.New(oneIssuer), ""
		alice := a.signIn(t, "alice", servertest.TOTP)
		hint = a.tokens(t, "conf", mustCode(t, alice.Get(authorizeURL("conf"))))["id_token"].(string)
		a.withPasskey(t, "newcomer", key)
		mallory, mallorys := a.signIn(t, "mallory", servertest.OtherTOTP), factortest.New(oneIssuer)
		addPasskey(t, mallory, mallorys)

		// Somebody else is asked for.
		b := a.Browser(t)
		p := b.Follow(b.Get(authorizeURL("conf", "id_token_hint", hint)))
		n := len(a.Events(t, audit.LoginFailed))
		p = b.Passkey(p, key.Get)
		a.refusedPasskey(t, "AZ-09", "a passkey of somebody who was not asked for", b, p, n, audit.WrongPerson)

		// Stopped and removed, before and in the middle of a sign-in.
		b, other := a.Browser(t), a.Browser(t)
		p = secondPage(t, b, "mallory")
		alone := start(t, other)
		codes := recoveryCode.FindAllString(mallory.FillWith(mallory.Get("/account"), `action="/account/recovery"`).Body, -1)
		id := a.factorID(t, "mallory", user.FactorPasskey)
		form := url.Values{"form_token": {token(t, mallory.Get("/account"))}, "factor": {id}}
		if stopped := mallory.Post("/account/stop", form); !strings.HasSuffix(stopped.Location, "done=stopped") || len(codes) != 10 {
			t.Fatalf("stop: %d %s", stopped.Status, stopped.Location)
		}
		if p = b.Passkey(p, mallorys.Get); p.Status == http.StatusSeeOther || in(b) {
			t.Errorf("MF-04: a stopped passkey finished a sign-in: %d", p.Status)
		}
		n = len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "MF-04", "a stopped passkey", other, other.Passkey(alone, mallorys.Get), n, audit.Lost)
		b = a.Browser(t)
		p = secondPage(t, b, "mallory")
		if strings.Contains(p.Body, `data-factor="webauthn"`) {
			t.Error("MF-04: a stopped passkey is offered")
		}
		form = url.Values{"form_token": {token(t, mallory.Get("/account"))}, "action": {"remove"}}
		if gone := mallory.Post("/account/factors/"+id, form); !strings.HasSuffix(gone.Location, "done=removed") {
			t.Fatalf("remove: %d %s", gone.Status, gone.Location)
		}
		b = a.Browser(t)
		n = len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "MF-04", "a removed passkey", b, b.Passkey(start(t, b), mallorys.Get), n, audit.UnknownUser)

		// Policy without passkeys: its own owner as well as in the middle of a sign-in.
		b, other = a.Browser(t), a.Browser(t)
		alone, p = start(t, other), secondPage(t, b, "newcomer")
		a.policies(t, "policies:\n  factors: {required: true, allowed: [totp, sms]}\n")
		n = len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "WA-09", "a passkey that policy forbids", other, other.Passkey(alone, key.Get), n, audit.Policy)
		if fresh := start(t, a.Browser(t)); strings.Contains(fresh.Body, "data-options") {
			t.Error("WA-09: a passkey is asked for that policy forbids")
		}
		_ = p // what policy demands is fixed by the first proof: this one, of before, may be finished
		b = a.Browser(t)
		p = b.Follow(b.Passkey(secondPage(t, b, "newcomer"), key.Get)) // it still keeps others out, and leads to something that is allowed
		if in(b) || !strings.Contains(p.Body, "totp-key") {
			t.Errorf("a kind that policy forbids now, proved: %d %s", p.Status, p.URL)
		}
		a.policies(t, "policies:\n  factors: {required: true, allowed: [totp, sms, webauthn]}\n")

		// Disabled.
		b, other = a.Browser(t), a.Browser(t)
		alone, p = start(t, other), secondPage(t, b, "newcomer")
		ok(t, a.Admin.SetDisabled(background, operator, "newcomer", true))
		n = len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "SE-04", "a passkey of somebody disabled", other, other.Passkey(alone, key.Get), n, audit.Disabled)
		n = len(a.Events(t, audit.LoginFailed))
		a.refusedPasskey(t, "SE-04", "a second factor of somebody disabled", b, b.Passkey(p, key.Get), n, audit.Disabled)
	})
}

// TestAttackFactorPasskeyCloned (WA-05): a count that does not rise is refused, with an alarm, and the passkey is stopped, as the mail says.
func TestAttackFactorPasskeyCloned(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key := factortest.New(oneIssuer)
		key.SignCount = 5
		a.withPasskey(t, "newcomer", key)
		key.SignCount = 6
		b := a.Browser(t)
		done(t, b, b.Passkey(start(t, b), key.Get))
		for _, count := range []uint32{6, 5, 1, 0} {
			key.SignCount = count
			for _, alone := range []bool{true, false} {
				b := a.Browser(t)
				p := start(t, b)
				if !alone {
					p = b.Follow(b.Fill(p, "username", "newcomer", "password", servertest.Password))
					if !strings.Contains(p.Body, `data-passkey="get"`) {
						continue // it is stopped, as it should be
					}
				}
				n, alarms := len(a.Events(t, audit.LoginFailed)), len(a.Events(t, audit.PasskeyCloned))
				p = b.Passkey(p, key.Get)
				if p.Status != http.StatusOK || b.Cookie("portvakt") != "" {
					t.Errorf("WA-05: count %d after 6 got %d", count, p.Status)
				}
				fresh := a.since(t, n, audit.LoginFailed)
				if len(fresh) != 1 || fresh[0].Reason != audit.Cloned && fresh[0].Reason != audit.Lost {
					t.Errorf("WA-05: count %d left %+v", count, fresh)
				}
				if fresh[0].Reason == audit.Cloned && len(a.Events(t, audit.PasskeyCloned)) != alarms+1 {
					t.Errorf("WA-05: count %d raised no alarm", count)
				}
			}
		}
		found := false
		for _, m := range a.AwaitPost(t, 2) {
			found = found || strings.Contains(m.Subject, "kopia") || strings.Contains(m.Subject, "copy")
		}
		if !found {
			t.Errorf("WA-05: no mail about a copy: %+v", a.Post(t))
		}
		key.SignCount = 1000
		b = a.Browser(t)
		if p := b.Passkey(start(t, b), key.Get); p.Status == http.StatusSeeOther {
			t.Error("WA-05: the mail says that the cloned passkey is stopped, and with a higher count it signs in")
		}
	})
}

// TestAttackFactorPasskeyReplay (WA-01): one assertion is one sign-in, of eight at once on two instances, and none later; the same for a registration.
func TestAttackFactorPasskeyReplay(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		key := factortest.New(oneIssuer)
		a.withPasskey(t, "newcomer", key)
		wins := func() int { return len(a.Events(t, audit.LoginSucceeded)) }
		for _, alone := range []bool{true, false} {
			b := a.Browser(t)
			p := start(t, b)
			if !alone {
				p = secondPage(t, b, "newcomer")
			}
			_, form := p.FormWith(t, `name="passkey"`)
			form.Set("passkey", string(must(key.Get(options(t, p)))))
			before := wins()
			for _, answer := range parallel(8, func(i int) *servertest.Page {
				return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(p.URL.Path, form)
			}) {
				if answer.Status >= 500 {
					t.Errorf("WA-01: a rival got %d", answer.Status)
				}
			}
			if n := wins() - before; n != 1 {
				t.Errorf("WA-01: one assertion made %d sign-ins (alone: %v)", n, alone)
			}
			b.Post(p.URL.Path, form)
			at(b, second).Post(p.URL.Path, form)
			thief := a.Browser(t)
			thief.SetCookie("portvakt-browser", b.Cookie("portvakt-browser"))
			thief.Post(p.URL.Path, form)
			if n := wins() - before; n != 1 || in(thief) {
				t.Errorf("WA-01: sent again, an assertion made %d sign-ins; another browser is in: %v", n, in(thief))
			}
			// In a sign-in of its own, the response as it is.
			b = a.Browser(t)
			p = start(t, b)
			if !alone {
				p = secondPage(t, b, "newcomer")
			}
			_, fresh := p.FormWith(t, `name="passkey"`)
			fresh.Set("passkey", form.Get("passkey"))
			n := len(a.Events(t, audit.LoginFailed))
			a.refusedPasskey(t, "WA-01", "an assertion of another sign-in", b, b.Post(p.URL.Path, fresh), n, audit.WrongCode)
		}

		// Registration: at a sign-in and on /account.
		a.ApplyFile(t, "users:\n  - {username: fresh, password: "+servertest.Password+"}\n")
		b := a.Browser(t)
		p := b.Follow(b.Press(secondPage(t, b, "fresh"), "way", "webauthn"))
		_, form := p.FormWith(t, `name="passkey"`)
		form.Set("passkey", string(must(factortest.New(oneIssuer).Create(options(t, p)))))
		before := wins()
		parallel(8, func(i int) *servertest.Page {
			return at(b, []*servertest.Site{a.Site, second}[i%2]).Post(p.URL.Path, form)
		})
		if n, k := wins()-before, a.kinds(t, "fresh"); n != 1 || len(k) != 1 {
			t.Errorf("WA-01: one registration made %d sign-ins and the factors %v", n, k)
		}
		mallory, mallorys := a.signIn(t, "mallory", servertest.OtherTOTP), factortest.New(oneIssuer)
		p = mallory.Get("/account/add/webauthn")
		_, form = p.FormWith(t, `name="passkey"`)
		form.Set("passkey", string(must(mallorys.Create(options(t, p)))))
		for _, answer := range parallel(8, func(i int) *servertest.Page {
			return at(mallory, []*servertest.Site{a.Site, second}[i%2]).Post("/account/add/webauthn", form)
		}) {
			if answer.Status >= 500 {
				t.Errorf("WA-01: a rival got %d", answer.Status)
			}
		}
		mallory.Post("/account/add/webauthn", form)
		if k := a.kinds(t, "mallory"); len(k) != 2 {
			t.Errorf("WA-01: one registration made the factors %v", k)
		}
		// One answered wrong is worth nothing afterwards; and one of five minutes ago neither.
		for _, spoil := range []func(form url.Values){
			func(form url.Values) {
				bad := url.Values{"form_token": form["form_token"], "passkey": {"{}"}}
				mallory.Post("/account/add/webauthn", bad)
			},
			func(url.Values) { a.clock.Add(5 * time.Minute) },
		} {
			a.clock.Add(time.Minute)
			again := mallory.Passkey(mallory.Follow(mallory.Get(authorizeURL("conf", "prompt", "login"))), mallorys.Get)
			if again.Status != http.StatusSeeOther {
				t.Fatalf("mallory's new passkey: %d %q", again.Status, again.Alert())
			}
			p = mallory.Get("/account/add/webauthn")
			_, form = p.FormWith(t, `name="passkey"`)
			form.Set("passkey", string(must(factortest.New(oneIssuer).Create(options(t, p)))))
			spoil(form)
			mallory.Post("/account/add/webauthn", form)
			if k := a.kinds(t, "mallory"); len(k) != 2 {
				t.Errorf("WA-01: a spent registration made the factors %v", k)
			}
		}
	})
}

// TestAttackFactorPasskeyLarge (DO-01): the field takes what an authenticator says and no more, quickly.
func TestAttackFactorPasskeyLarge(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetestSQLite(t), "")
	key := factortest.New(oneIssuer)
	a.withPasskey(t, "newcomer", key)
	mallory := a.signIn(t, "mallory", servertest.OtherTOTP)
	for name, text := range map[string]string{
		"64 KiB": strings.Repeat("x", 64<<10), "60,000 of JSON": `{"id":"` + strings.Repeat("A", 60000) + `"}`, "17 KiB": `{"id":"` + strings.Repeat("A", 17<<10) + `"}`,
		"nested": strings.Repeat("[", 60000), "nested objects": strings.Repeat(`{"a":`, 10000), "closed": strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
		"null": "null", "number": "1", "list": "[]", "empty": "{}", "zero byte": "\x00", "not text": "\xff\xfe", "response of null": `{"id":"AA","rawId":"AA","type":"public-key","response":null}`,
		"response of numbers": `{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":1}}`,
		"keys twice":          `{"id":"AA","id":"BB","rawId":"AA","rawId":"BB","type":"public-key","response":{}}`,
		"many keys":           "{" + strings.Repeat(`"a":1,`, 9000) + `"b":1}`,
	} {
		for _, step := range []string{"alone", "second", "account"} {
			b := a.Browser(t)
			var p *servertest.Page
			began := time.Now()
			switch step {
			case "alone":
				p = b.FillWith(start(t, b), `name="passkey"`, "passkey", text)
			case "second":
				p = b.FillWith(secondPage(t, b, "newcomer"), `name="passkey"`, "passkey", text)
			default:
				p = mallory.FillWith(mallory.Get("/account/add/webauthn"), `name="passkey"`, "passkey", text)
			}
			if p.Status != http.StatusOK && p.Status != http.StatusRequestEntityTooLarge || b.Cookie("portvakt") != "" || time.Since(began) > 10*time.Second {
				t.Errorf("DO-01: %s, %s: %d after %v", name, step, p.Status, time.Since(began))
			}
			hushed(t, p)
		}
	}
}

// TestAttackFactorPasskeyOffice (LK-04): strangers behind alice's address who know nothing do not keep her passkey out; a signature cannot be guessed.
func TestAttackFactorPasskeyOffice(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetestSQLite(t), "")
	key := factortest.New(oneIssuer)
	b := a.withPasskey(t, "newcomer", key)
	stranger := a.Browser(t)
	p := start(t, stranger)
	for i := range 101 {
		if i%9 == 0 {
			stranger = a.Browser(t)
			p = start(t, stranger)
		}
		p = stranger.FillWith(p, `name="passkey"`, "passkey", "{}")
	}
	a.clock.Add(time.Minute)
	p = b.Follow(b.Get(authorizeURL("conf", "prompt", "login")))
	if p = b.Passkey(p, key.Get); p.Status != http.StatusSeeOther {
		t.Errorf("LK-04: 101 empty answers of a stranger behind the same address, and the right passkey in a known browser gets %q", p.Alert())
	}
}
