package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// TestAttackFactorEnrolRace (MF-04): who knows a newcomer's password and holds a sign-in open at the page that sets up a first factor has nothing
// of it once the newcomer has set up theirs: by then a factor has to be proved.
//
// the unique index. A passkey beside a soft token, a soft token beside a passkey and a passkey beside a passkey are all stored.
func TestAttackFactorEnrolRace(t *testing.T) {
	t.Parallel()
	for _, mine := range []string{"totp", "webauthn"} {
		for _, theirs := range []string{"totp", "webauthn"} {
			t.Run(theirs+" after "+mine, func(t *testing.T) {
				t.Parallel()
				factorSites(t, "", func(t *testing.T, a *attack) {
					thief := a.Browser(t)
					p := secondPage(t, thief, "newcomer")
					if theirs == "webauthn" {
						p = thief.Follow(thief.Press(p, "way", "webauthn"))
					}
					if mine == "webauthn" {
						a.withPasskey(t, "newcomer", factortest.New(oneIssuer))
					} else {
						b := a.Browser(t)
						q := secondPage(t, b, "newcomer")
						done(t, b, b.Fill(q, "code", servertest.Code(t, "otpauth://totp/x?secret="+q.Key(t), a.Clock())))
					}
					if theirs == "webauthn" {
						thief.Passkey(p, factortest.New(oneIssuer).Create)
					} else {
						thief.Fill(p, "code", a.totp(t, "otpauth://totp/x?secret="+p.Key(t)))
					}
					if k := a.kinds(t, "newcomer"); in(thief) || len(k) != 1 {
						t.Errorf("MF-04: the newcomer has a factor, and who knows the password alone set up another: %v, signed in: %v", k, in(thief))
					}
				})
			})
		}
	}
}

// TestAttackFactorEnrolRaceParallel (MF-04): of eight first enrolments at once, half of them passkeys, one counts.
func TestAttackFactorEnrolRaceParallel(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		second := a.Second(t)
		var browsers []*servertest.Browser
		var forms []url.Values
		var paths []string
		for i := range 8 {
			b := a.Browser(t)
			p := secondPage(t, b, "newcomer")
			var form url.Values
			if i%2 == 0 {
				_, form = p.Form(t)
				form.Set("code", servertest.Code(t, "otpauth://totp/x?secret="+p.Key(t), a.Clock()))
			} else {
				p = b.Follow(b.Press(p, "way", "webauthn"))
				_, form = p.FormWith(t, `name="passkey"`)
				form.Set("passkey", string(must(factortest.New(oneIssuer).Create(options(t, p)))))
			}
			browsers, forms, paths = append(browsers, at(b, []*servertest.Site{a.Site, second}[i%2])), append(forms, form), append(paths, p.URL.Path)
		}
		for _, p := range parallel(8, func(i int) *servertest.Page { return browsers[i].Post(paths[i], forms[i]) }) {
			if p.Status >= 500 {
				t.Errorf("MF-04: a rival got %d", p.Status)
			}
		}
		if k := a.kinds(t, "newcomer"); len(k) != 1 {
			t.Errorf("MF-04: of eight first enrolments at once %d count: %v", len(k), k)
		}
	})
}

// TestAttackFactorEnrolAtOwnPage (MF-04): the same when the factor was set up on /account, by somebody of whom policy asks for none.
func TestAttackFactorEnrolAtOwnPage(t *testing.T) {
	t.Parallel()
	factorSites(t, "policies:\n  factors: {required: false}\n", func(t *testing.T, a *attack) {
		thief := a.Browser(t)
		p := thief.Follow(thief.Get(authorizeURL("conf", "acr_values", "urn:portvakt:acr:2fa")))
		p = thief.Follow(thief.Fill(p, "username", "newcomer", "password", servertest.Password))
		p = thief.Follow(thief.Press(p, "way", "webauthn"))
		b := a.Browser(t)
		if q := guess(t, b, "newcomer", servertest.Password); q.Status != http.StatusSeeOther {
			t.Fatal(q.Status)
		}
		addPasskey(t, b, factortest.New(oneIssuer))
		thief.Passkey(p, factortest.New(oneIssuer).Create)
		if k := a.kinds(t, "newcomer"); in(thief) || len(k) != 1 {
			t.Errorf("MF-04: the factors are %v, the thief is signed in: %v", k, in(thief))
		}
	})
}

// TestAttackFactorResetUnderWay (MF-04, SE-04): “reset the factors” is what support does for somebody whose factor was stolen. A sign-in that has
// proved the stolen factor, or used up a stolen recovery code, must not set up a new one afterwards.
func TestAttackFactorResetUnderWay(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		thief := a.Browser(t)
		p := thief.Follow(thief.Press(secondPage(t, thief, "alice"), "way", "recovery"))
		p = thief.Follow(thief.Fill(p, "recovery", codes[0]))
		ok(t, a.Admin.ResetFactors(background, operator, "alice"))
		thief.Fill(p, "code", a.totp(t, "otpauth://totp/x?secret="+p.Key(t)))
		if k := a.kinds(t, "alice"); in(thief) || len(k) != 0 {
			t.Errorf("MF-04: alice's factors were reset, and a sign-in of before set up %v; signed in: %v", k, in(thief))
		}
		thief = a.Browser(t)
		p = thief.Follow(thief.Get(authorizeURL("conf", "acr_values", "phr")))
		p = thief.Follow(thief.Fill(p, "username", "mallory", "password", servertest.Password))
		p = thief.Follow(thief.Fill(p, "code", a.totp(t, servertest.OtherTOTP)))
		if !strings.Contains(p.Body, `data-passkey="create"`) {
			t.Fatalf("not asked for a passkey: %d %s", p.Status, p.URL)
		}
		ok(t, a.Admin.ResetFactors(background, operator, "mallory"))
		thief.Passkey(p, factortest.New(oneIssuer).Create)
		if k := a.kinds(t, "mallory"); in(thief) || len(k) != 0 {
			t.Errorf("MF-04: mallory's factors were reset, and a sign-in of before set up %v; signed in: %v", k, in(thief))
		}
	})
}

// TestAttackFactorHalfEnrolled (MF-04): what is being set up proves nothing, wherever it is being set up.
func TestAttackFactorHalfEnrolled(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		key := "otpauth://totp/x?secret=" + b.Get("/account/add/totp").Key(t)
		b.Fill(b.Get("/account/add/sms"), "phone", "070-174 06 06")
		sent := a.AwaitTexts(t, 1)[0].Code()
		half := factortest.New(oneIssuer)
		must(half.Create(options(t, b.Get("/account/add/webauthn"))))
		for name, try := range map[string]func(*servertest.Browser, *servertest.Page) *servertest.Page{
			"soft token": func(c *servertest.Browser, p *servertest.Page) *servertest.Page {
				return c.Fill(p, "code", servertest.Code(t, key, a.Clock()))
			},
			"number": func(c *servertest.Browser, p *servertest.Page) *servertest.Page { return c.Fill(p, "code", sent) },
			"way": func(c *servertest.Browser, p *servertest.Page) *servertest.Page {
				return c.Follow(c.Fill(p, "way", "sms"))
			},
			"passkey": func(c *servertest.Browser, p *servertest.Page) *servertest.Page {
				return c.Follow(c.Fill(p, "way", "webauthn"))
			},
			"alone": func(c *servertest.Browser, _ *servertest.Page) *servertest.Page {
				return c.Passkey(start(t, c), half.Get)
			},
		} {
			c := a.Browser(t)
			p := secondPage(t, c, "mallory")
			if strings.Contains(p.Body, `value="sms"`) || strings.Contains(p.Body, `value="webauthn"`) {
				t.Errorf("MF-04: half a factor is offered:\n%s", p.Body)
			}
			if p = try(c, p); c.Cookie("portvakt") != "" || strings.Contains(p.Body, `data-passkey="get" data-start="now"`) || strings.Contains(p.Body, `class="pair"`) {
				t.Errorf("MF-04: half a %s: %d %s", name, p.Status, p.Location)
			}
		}
		// Somebody else's secret that waits, answered in a session or a sign-in of one's own.
		other := a.signIn(t, "alice", servertest.TOTP)
		other.Get("/account/add/totp")
		p := other.Post("/account/add/totp", url.Values{"form_token": {token(t, other.Get("/account"))}, "code": {servertest.Code(t, key, a.Clock())}})
		if strings.Contains(p.Location, "done=added") {
			t.Error("MF-04: mallory's waiting secret became alice's")
		}
		p = other.Post("/account/add/sms", url.Values{"form_token": {token(t, other.Get("/account"))}, "code": {sent}})
		if strings.Contains(p.Location, "done=added") {
			t.Error("MF-04: mallory's waiting number became alice's")
		}
		mine := a.signIn(t, "mallory", servertest.OtherTOTP) // another session of mallory's own
		p = mine.Post("/account/add/sms", url.Values{"form_token": {token(t, mine.Get("/account"))}, "code": {sent}})
		if strings.Contains(p.Location, "done=added") {
			t.Error("MF-04: the number of one session was confirmed in another")
		}
	})
}

// TestAttackFactorChosenEnrolment (MF-05): somebody who has a factor is never led to setting up another with the password alone: not by
// stopping it, not by a policy that forbids its kind, not by texts being off.
func TestAttackFactorChosenEnrolment(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		me := a.signIn(t, "mallory", servertest.OtherTOTP)
		me.FillWith(me.Get("/account"), `action="/account/recovery"`)
		id := a.factorID(t, "mallory", user.FactorTOTP)
		if p := me.Post("/account/stop", url.Values{"form_token": {token(t, me.Get("/account"))}, "factor": {id}}); !strings.Contains(p.Location, "done=stopped") {
			t.Fatalf("stop: %d %s", p.Status, p.Location)
		}
		enrols := func(name string, b *servertest.Browser, p *servertest.Page) {
			t.Helper()
			if strings.Contains(p.Body, "totp-key") || strings.Contains(p.Body, `data-passkey="create"`) || in(b) {
				t.Errorf("MF-05: %s leads to a new factor: %d %s", name, p.Status, p.URL)
			}
		}
		b := a.Browser(t)
		p := secondPage(t, b, "mallory")
		enrols("a stopped factor", b, p)
		for _, way := range []string{"enrol", "enrol-passkey", "totp", "webauthn"} {
			_, form := p.Form(t)
			form.Set("way", way)
			p = b.Follow(b.Post(p.URL.Path, form))
			enrols("a stopped factor and way="+way, b, p)
		}
		storetest.Change(t, a.DB, func(tx *store.Tx) error { // no codes are left: stuck
			tx.PutRecoveryCodes(a.person(t, "mallory").ID, nil)
			return storetest.Event(tx, a.person(t, "mallory").ID)
		})
		b = a.Browser(t)
		p = b.Follow(b.Fill(start(t, b), "username", "mallory", "password", servertest.Password))
		enrols("a stopped factor without codes", b, p)
		if p.Status != http.StatusForbidden {
			t.Errorf("who cannot go on is told so: %d", p.Status)
		}
		a.policies(t, "policies:\n  factors: {required: true, allowed: [webauthn]}\n")
		for _, name := range []string{"alice", "mallory"} {
			b = a.Browser(t)
			p = b.Follow(b.Fill(start(t, b), "username", name, "password", servertest.Password))
			enrols("a policy that forbids "+name+"'s kinds", b, p)
		}
	})
}
