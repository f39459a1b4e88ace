package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// texting is a site that sends text messages to a file.
func texting(t *testing.T, fn func(*testing.T, *attack), apply ...string) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			fn(t, newAttack(t, e.New(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: servertest.Sample() + strings.Join(apply, "")}))
		})
	}
}

// done fails unless p ends a sign-in.
func done(t *testing.T, b *servertest.Browser, p *servertest.Page) {
	t.Helper()
	if p.Status != http.StatusSeeOther || b.Cookie("portvakt") == "" {
		t.Fatalf("not signed in: %d %q\n%s", p.Status, p.Alert(), p.Body)
	}
}

// TestTextMessage: a person chooses a text message in place of the app, asks for a second one, and signs in with its code alone.
func TestTextMessage(t *testing.T) {
	t.Parallel()
	texting(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := proved(t, b, "alice")
		if p = b.Follow(b.Press(p, "way", "sms")); !strings.Contains(p.Body, `data-factor="sms"`) {
			t.Fatalf("no page for a text message:\n%s", p.Body)
		}
		first := a.AwaitTexts(t, 1)[0]
		p = b.Follow(b.Press(p, "action", "resend"))
		second := a.AwaitTexts(t, 2)[1]
		if first.To != "+46701740605" || first.Code() == "" || strings.Contains(p.Body, second.Code()) {
			t.Errorf("messages %+v and %+v", first, second)
		}
		if p = b.Fill(p, "code", first.Code()); p.Status != http.StatusOK || p.Alert() == "" {
			t.Fatalf("OT-05: the first code after the second: %d", p.Status)
		}
		p = b.Fill(p, "code", second.Code())
		done(t, b, p)
		if e := a.Events(t, audit.LoginSucceeded); e[0].Detail["acr"] != "urn:portvakt:acr:2fa" {
			t.Errorf("signed in as %+v", e[0])
		}
	})
}

// TestPasskeyJourney: set up at the first sign-in in place of the app, used as second factor, and used alone.
func TestPasskeyJourney(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b, key := a.Browser(t), factortest.New(a.URL)
		p := b.Follow(b.Press(proved(t, b, "newcomer"), "way", "webauthn"))
		done(t, b, b.Passkey(p, key.Create, "name", "Telefonen"))
		b = a.Browser(t)
		p = b.Follow(guess(t, b, "newcomer", servertest.Password))
		done(t, b, b.Passkey(p, key.Get))
		b = a.Browser(t)
		done(t, b, b.Passkey(b.Follow(b.Get("/account")), key.Get))
		acr := []string{}
		for _, e := range a.Events(t, audit.LoginSucceeded) {
			acr = append(acr, e.Detail["acr"])
		}
		if len(acr) != 3 || acr[0] != "phr" || acr[1] != "phr" || acr[2] != "phr" {
			t.Errorf("classes %v", acr)
		}
	})
}

// TestRecovery: who lost the phone signs in with a recovery code, which leads to a new app and works once.
func TestRecovery(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		codes := a.recoveryCodes(t, "alice")
		b := a.Browser(t)
		p := b.Follow(b.Press(proved(t, b, "alice"), "way", "recovery"))
		p = b.Follow(b.Fill(p, "recovery", strings.ToLower(codes[0])))
		if !strings.Contains(p.Body, "totp-key") {
			t.Fatalf("a recovery code did not lead to a new factor:\n%s", p.Body)
		}
		a.clock.Add(31 * time.Second)
		done(t, b, b.Fill(p, "code", servertest.Code(t, "otpauth://totp/x?secret="+p.Key(t), a.Clock())))
		other := a.Browser(t)
		p = other.Follow(other.Press(proved(t, other, "alice"), "way", "recovery"))
		if p = other.Fill(p, "recovery", codes[0]); p.Status != http.StatusOK || p.Alert() == "" {
			t.Errorf("OT-07: a code worked twice: %d", p.Status)
		}
		found := false
		for _, m := range a.AwaitPost(t, 3) { // made, used, new factor
			found = found || m.To == "alice@example.se"
		}
		if !found {
			t.Error("no mail about a recovery code")
		}
	})
}

// TestRememberedBrowser: where policy allows it, a browser is spared the second factor, but not where a class is asked for, not with another password, and not another browser.
func TestRememberedBrowser(t *testing.T) {
	t.Parallel()
	apply := "policies:\n  factors: {required: true, remember_device: 7d}\n"
	texting(t, func(t *testing.T, a *attack) {
		b := a.Browser(t)
		p := proved(t, b, "alice")
		done(t, b, b.Fill(p, "code", servertest.Code(t, servertest.TOTP, a.Clock()), "remember", "1"))
		again := func(path string) *servertest.Page {
			a.clock.Add(31 * time.Second)
			b.Forget("portvakt")
			p := b.Follow(b.Get(path))
			return b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
		}
		if p := again("/account"); strings.Contains(p.Body, `name="code"`) || b.Cookie("portvakt") == "" {
			t.Errorf("a remembered browser was asked again: %s", p.URL)
		}
		if p := again(authorizeURL("conf", "acr_values", "urn:portvakt:acr:2fa")); !strings.Contains(p.Body, `name="code"`) {
			t.Errorf("a class was asked for, and the browser was not asked for a code: %s", p.URL)
		}
		a.clock.Add(8 * 24 * time.Hour)
		if p := again("/account"); !strings.Contains(p.Body, `name="code"`) {
			t.Errorf("after its time a browser is remembered still: %s", p.URL)
		}
	}, apply)
}

// recoveryCodes makes a set for a person.
func (a *attack) recoveryCodes(t *testing.T, name string) []string {
	t.Helper()
	b := a.signIn(t, name, servertest.TOTP)
	p := b.FillWith(b.Get("/account"), `action="/account/recovery"`)
	codes := recoveryCode.FindAllString(p.Body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes:\n%s", len(codes), p.Body)
	}
	return codes
}

// TestNumberWithoutTexts: who has only a number from a list, in a service that sends no text messages, sets up a factor at the first sign-in.
func TestNumberWithoutTexts(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.ApplyFile(t, "users:\n  - {username: nina, phone: \"+46701740609\", password: "+servertest.Password+"}\n")
		b := a.Browser(t)
		p := proved(t, b, "nina")
		done(t, b, b.Fill(p, "code", servertest.Code(t, "otpauth://totp/x?secret="+p.Key(t), a.Clock())))
	})
}

// TestUsedNumberWithoutTexts: who has signed in with their number has a second factor. That text messages are switched off later does not
// let a password alone set up another.
func TestUsedNumberWithoutTexts(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.ApplyFile(t, "users:\n  - {username: nina, phone: \"+46701740609\", password: "+servertest.Password+"}\n")
		number := a.factors(t, "nina")[user.FactorSMS]
		storetest.Change(t, a.DB, func(tx *store.Tx) error {
			if ok, err := tx.UseFactor(number, 1, ""); err != nil || !ok {
				t.Fatalf("the number cannot be used: %v", err)
			}
			return tx.Record(audit.Event{Kind: audit.LoginProved, Subject: string(number.User)})
		})
		b := a.Browser(t)
		p := b.Follow(guess(t, b, "nina", servertest.Password))
		if strings.Contains(p.Body, `name="code"`) || in(b) || a.factors(t, "nina")[user.FactorTOTP].ID != "" {
			t.Errorf("a password alone goes on to\n%s", p.Body)
		}
		hushed(t, p)
	})
}
