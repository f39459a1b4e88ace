package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"

	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

// TestFactors walks through second factors as people would.
func TestFactors(t *testing.T) {
	walks(t, func(w *walk) {
		w.textMessage()
		w.noScript()
		w.passkey()
		w.recovery()
		w.picture(w.phone, "phone")
	})
}

// walks goes one way with the demo and a real browser: in Swedish on a phone and in English at a desk.
func walks(t *testing.T, way func(*walk)) {
	texts, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []walk{{lang: "sv", width: 390, height: 844}, {lang: "en", width: 1280, height: 800}} {
		t.Run(w.lang, func(t *testing.T) {
			w.begin(t, texts)
			way(&w)
		})
	}
}

// walk is one journey: the demo, people in their browsers, and everybody's phone.
type walk struct {
	*demo
	browser       *chromium
	phone         *tab
	lang          string
	texts         map[string]words.Texts
	width, height int64
	said          string        // the last message that was read
	clock         string        // the demo's test clock file
	ahead         time.Duration // what it holds
}

// begin starts the demo, a browser, and the phone in a tab of its own.
func (w *walk) begin(t *testing.T, texts map[string]words.Texts) {
	t.Helper()
	w.clock = filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(w.clock, []byte("0s"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PORTVAKT_TEST_CLOCK_FILE", w.clock)
	w.demo, w.texts = startDemo(t), texts
	w.browser = startChromium(t)
	w.phone = w.person()
	w.phone.open(w.intranet + "phone")
}

// person opens a browser of its own.
func (w *walk) person() *tab {
	w.t.Helper()
	b := w.browser.person(w.t, w.lang)
	b.sized(w.width, w.height)
	return b
}

// word is a text that the pages have.
func (w *walk) word(key string, args ...any) string {
	w.t.Helper()
	text, err := w.texts[w.lang].Plain(key, args)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// says waits until an element shows a text in the journey's language.
func (w *walk) says(b *tab, selector, key string, args ...any) {
	w.t.Helper()
	b.says(selector, w.word(key, args...))
}

var bertilsCode = regexp.MustCompile(`data-account="bertil">[0-9 ]+<`)

// later lets time pass, and waits until the demo knows.
func (w *walk) later(d time.Duration) {
	w.t.Helper()
	code := func() string {
		_, page := w.fetch(http.NewRequest(http.MethodGet, w.intranet+"phone", nil))
		return string(bertilsCode.Find(page))
	}
	old := code()
	w.ahead += d
	if err := os.WriteFile(w.clock+".new", []byte(w.ahead.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.clock+".new", w.clock); err != nil {
		w.t.Fatal(err)
	}
	// The code may change by itself just then; the demo looks each half second.
	written, limit := time.Now(), time.Now().Add(stepTime)
	for tick := time.NewTicker(25 * time.Millisecond); code() == old || time.Since(written) < time.Second; <-tick.C {
		if time.Now().After(limit) {
			w.t.Fatalf("the demo's clock does not go on by %s", d)
		}
	}
}

// signIn begins at the Intranet and gives the password.
func (w *walk) signIn(b *tab, name string) {
	w.t.Helper()
	b.open(w.intranet + "sign-in")
	w.says(b, "h1", "signin.title")
	w.password(b, name, demoPassword)
}

// arrived waits for the Intranet, and compares what proved the person.
func (w *walk) arrived(b *tab, name, amr string) {
	w.t.Helper()
	b.says("#name", name)
	b.at(w.intranet)
	b.says("#amr", amr)
}

// account goes to the person's own page.
func (w *walk) account(b *tab) {
	w.t.Helper()
	b.open(w.issuer + "/account")
	w.says(b, ".lead", "home.lead")
}

// signOut leaves by the Intranet.
func (w *walk) signOut(b *tab) {
	w.t.Helper()
	b.open(w.intranet)
	b.press("#sign-out")
	b.at(w.intranet)
}

// sends posts a form with the cookies of b, past the browser: that would call an answer of 400 and more an error.
func (w *walk) sends(b *tab, address string, form url.Values) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{address}}).Cookies {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	status, body := w.fetch(r, err)
	return status, string(body)
}

// picture keeps what b shows.
func (w *walk) picture(b *tab, name string) {
	w.t.Helper()
	b.picture(name, w.width, w.height)
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// texted gives the code of the next message, which must have the mark of the page in b. The phone shows it without being touched.
func (w *walk) texted(b *tab, number string) string {
	w.t.Helper()
	mark := b.text(".pair b")
	said := w.phone.reads("[data-to='"+number+"'] .said", "the mark "+mark, func(text string) bool {
		return text != w.said && strings.Contains(text, " "+mark+",")
	})
	w.said = said
	code := sixDigits.FindString(said)
	if !strings.HasSuffix(said, "\n\n@localhost #"+code) || !strings.HasPrefix(said, "Intranet: ") {
		w.t.Errorf("the message is not for one app and host: %q", said)
	}
	return code
}

// mailed waits until the phone shows a mail as the newest to a person. The demo's people have no language of their own, so mail is in
// the organisation's.
func (w *walk) mailed(address, key string) {
	w.t.Helper()
	w.phone.says("[data-to='"+address+"'] summary", w.texts["sv"][key+".subject"])
}

// newApp copies the key of the page to the phone and the phone's code to the page.
func (w *walk) newApp(b *tab) {
	w.t.Helper()
	b.click("summary")
	w.phone.fill("#key", b.text("#totp-key"))
	w.phone.press("form button")
	b.fill("#code", w.phone.text("code[data-account]")) // the newest is on top
	b.press("form.stack .button")
}

const cecilias = "+46701740607"

// textMessage: cecilia has nothing but a number.
func (w *walk) textMessage() {
	w.t.Helper()
	b := w.person()
	w.signIn(b, "cecilia")
	w.says(b, "h1", "sms.title")
	first := w.texted(b, cecilias)
	w.picture(b, "sms")
	b.press("[name=action][value=resend]")
	second := w.texted(b, cecilias)
	b.fill("#code", first)
	b.press(submit)
	w.says(b, "[role=alert]", "alert.code_sms")
	w.picture(b, "sms-wrong")
	b.fill("#code", second)
	b.press(submit)
	w.arrived(b, "Cecilia Sundström", "pwd, sms, mfa")
	w.account(b)
	w.picture(b, "account-number")
	w.signOut(b)

	w.later(11 * time.Minute) // one number gets three messages in ten
	w.signIn(b, "cecilia")
	code := w.texted(b, cecilias)
	address, form := b.address(), url.Values{"code": {code}, "version": {b.value("[name=version]")}, "form_token": {b.value("[name=form_token]")}}
	b.press("[value=disown]")
	w.says(b, "h1", "problem.disowned.title")
	w.picture(b, "disowned")
	w.mailed("cecilia@example.se", "mail.disowned")
	if status, page := w.sends(b, address, form); status != http.StatusGone {
		w.t.Errorf("a sign-in that was stopped goes on: %d\n%s", status, page)
	}

	w.signIn(b, "cecilia")
	b.press("[value=resend]")
	b.press("[value=resend]")
	w.says(b, "[role=alert]", "alert.sms_kept")
	w.picture(b, "sms-kept")
	other := w.person()
	w.signIn(other, "cecilia")
	w.says(other, "h1", "sms.none")
	w.picture(other, "sms-full")
	w.later(11 * time.Minute)
}

// noScript: cecilia and bertil, their phone too, with JavaScript off. A passkey cannot be used then, and the page says what to do.
func (w *walk) noScript() {
	w.t.Helper()
	b, phone := w.person(), w.person()
	b.withoutScript()
	phone.withoutScript()
	w.signIn(b, "cecilia")
	w.says(b, "h1", "sms.title")
	mark := " " + b.text(".pair b") + ","
	said := ""
	for limit := time.Now().Add(stepTime); !strings.Contains(said, mark) && time.Now().Before(limit); {
		phone.open(w.intranet + "phone")
		said = phone.text("[data-to='" + cecilias + "'] .said")
	}
	b.fill("#code", sixDigits.FindString(said))
	b.press("form[data-factor=sms] .button")
	w.arrived(b, "Cecilia Sundström", "pwd, sms, mfa")
	w.signOut(b)

	w.signIn(b, "bertil")
	w.says(b, "h1", "code.title")
	b.press("[data-factor=sms]")
	w.says(b, "h1", "sms.title")
	b.press("[data-factor=totp]")
	phone.open(w.intranet + "phone")
	b.fill("#code", phone.text("[data-account=bertil]"))
	b.press(submit)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
	w.signOut(b)
}

// passkey: anna has nothing yet, and sets up a passkey in place of the app.
func (w *walk) passkey() {
	w.t.Helper()
	b := w.person()
	key := b.authenticator()
	w.signIn(b, "anna")
	w.says(b, "h1", "enrol.title")
	w.picture(b, "enrol")
	b.press("[data-factor=webauthn]")
	w.says(b, "h1", "enrolpasskey.title")
	w.picture(b, "enrolpasskey")
	key.verifies(false)
	b.click("form .button")
	w.says(b, "[role=alert]", "enrolpasskey.cancelled")
	w.picture(b, "enrolpasskey-cancelled")
	key.verifies(true)
	b.fill("#name", "Nyckelknippa")
	b.press(submit)
	w.arrived(b, "Anna Ångström", "pwd, swk, user, mfa")
	w.mailed("anna@example.se", "mail.factor_added")
	w.signOut(b)
	w.passkeyAlone(b, key)
	w.passkeySecond(b, key)
	w.passkeyAccount(b, key)
}

// passkeyAlone: by what the user name's field offers, which this authenticator chooses by itself, and by the button.
func (w *walk) passkeyAlone(b *tab, key authenticator) {
	w.t.Helper()
	b.open(w.intranet + "sign-in")
	w.arrived(b, "Anna Ångström", "swk, user, mfa")
	w.signOut(b)

	key.present(false) // a request that begins now stays open, as it does for a person who does nothing
	b.open(w.intranet + "sign-in")
	w.says(b, "h1", "signin.title")
	key.asked("conditional")
	w.picture(b, "signin")
	key.present(true)
	key.verifies(false)
	b.click("[data-passkey] .button")
	w.says(b, "[data-passkey] [role=alert]", "passkey.cancelled")
	w.picture(b, "signin-cancelled")
	key.verifies(true)
	b.press("[data-passkey] .button")
	w.arrived(b, "Anna Ångström", "swk, user, mfa")
	w.signOut(b)
}

// passkeySecond: after a password the page asks for the passkey by itself, and again when told to.
func (w *walk) passkeySecond(b *tab, key authenticator) {
	w.t.Helper()
	for _, right := range []bool{false, true} {
		key.present(false)
		b.open(w.intranet + "sign-in")
		w.says(b, "h1", "signin.title")
		key.asked("conditional")
		key.present(true)
		key.verifies(right)
		w.password(b, "anna", demoPassword)
		if !right {
			w.says(b, "[role=alert]", "passkey.cancelled")
			w.picture(b, "passkey")
			key.verifies(true)
			b.press(submit)
		}
		w.arrived(b, "Anna Ångström", "pwd, swk, user, mfa")
		w.signOut(b)
	}
}

// passkeyAccount: anna's only factor cannot be taken away, and can be when she has another.
func (w *walk) passkeyAccount(b *tab, key authenticator) {
	w.t.Helper()
	b.open(w.intranet + "sign-in")
	w.arrived(b, "Anna Ångström", "swk, user, mfa")
	w.account(b)
	b.says("[data-factor=webauthn] h3 + p", "Nyckelknippa")
	b.press("[data-factor=webauthn] [value=remove]")
	w.says(b, "[role=alert]", "alert.last_factor")
	w.picture(b, "account-last")
	b.click("[data-factor=webauthn] summary")
	b.clear("[data-factor=webauthn] [name=name]")
	b.fill("[data-factor=webauthn] [name=name]", "Annas telefon")
	b.press("[data-factor=webauthn] [value=rename]")
	w.says(b, "[role=status]", "notice.renamed")
	b.says("[data-factor=webauthn] h3 + p", "Annas telefon")

	b.press("a[data-factor=webauthn]")
	b.click("form .button")
	w.says(b, "[role=alert]", "alert.passkey_known")
	w.account(b)
	b.press("a[data-factor=totp]")
	w.says(b, "h1", "enrol.title")
	w.newApp(b)
	w.says(b, "[role=status]", "notice.added")
	w.picture(b, "account-two")
	w.passkeyNoScript()
	b.press("[data-factor=webauthn] [value=remove]")
	w.says(b, "[role=status]", "notice.removed")
	w.mailed("anna@example.se", "mail.factor_removed")
	w.signOut(b)
	key.forgets()
	w.signIn(b, "anna")
	w.says(b, "h1", "code.title")
}

// passkeyNoScript: the page of a passkey without JavaScript leads to another way.
func (w *walk) passkeyNoScript() {
	w.t.Helper()
	b := w.person()
	b.withoutScript()
	w.later(31 * time.Second) // the app's first code has been used
	w.signIn(b, "anna")
	w.says(b, "h1", "passkey.title")
	w.says(b, ".alert.note", "passkey.script")
	w.picture(b, "passkey-noscript")
	b.press("[data-factor=totp]")
	w.phone.open(w.intranet + "phone")
	b.fill("#code", w.phone.text("code[data-account]"))
	b.press(submit)
	w.arrived(b, "Anna Ångström", "pwd, otp, mfa")
}

// recovery: bertil makes codes, loses his phone, and then another one.
func (w *walk) recovery() {
	w.t.Helper()
	b := w.person()
	w.later(31 * time.Second)
	w.signIn(b, "bertil")
	w.picture(b, "code")
	w.phone.open(w.intranet + "phone")
	b.fill("#code", w.phone.text("[data-account=bertil]"))
	b.press(submit)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
	w.account(b)
	w.picture(b, "account-none")
	b.press("button[data-factor=recovery]")
	codes := strings.Fields(b.text("#recovery-codes"))
	if len(codes) != 10 {
		w.t.Fatalf("%d recovery codes: %q", len(codes), codes)
	}
	w.picture(b, "codes")
	b.press(".onward a")
	w.picture(b, "account-codes")
	w.mailed("bertil@example.se", "mail.recovery_made")
	w.signOut(b)

	w.recover(b, strings.ToLower(codes[0]))
	w.lost(b, codes[1])
	w.signIn(b, "bertil")
	w.says(b, "h1", "recovery.title") // nothing else is left
	b.fill("#recovery", codes[2])
	b.press(submit)
	w.says(b, "h1", "enrol.title")
	w.newApp(b)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
	w.account(b)
	w.picture(b, "account-stopped")
	b.open(w.issuer + "/account/stop")
	w.picture(b, "stop")
	b.open(w.issuer + "/account/add/sms")
	w.picture(b, "addnumber")
	b.fill("#phone", "070-174 06 08")
	b.press(submit)
	w.says(b, "h1", "sms.title")
	w.picture(b, "addnumber-code")
}

// recover: a code that is not right, one that is, and a new app in place of the lost one.
func (w *walk) recover(b *tab, code string) {
	w.t.Helper()
	w.signIn(b, "bertil")
	b.press("[data-factor=recovery]")
	w.says(b, "h1", "recovery.title")
	b.fill("#recovery", "not one of them")
	b.press(submit)
	w.says(b, "[role=alert]", "alert.recovery")
	w.picture(b, "recovery")
	b.fill("#recovery", code)
	b.press(submit)
	w.says(b, "h1", "enrol.title")
	w.picture(b, "recovery-enrol")
	w.newApp(b)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
	w.mailed("bertil@example.se", "mail.factor_added")
}

// lost: whoever has a code stops everything from any browser.
func (w *walk) lost(b *tab, code string) {
	w.t.Helper()
	other := w.person()
	other.open(w.issuer + "/lost")
	w.says(other, "h1", "lost.title")
	w.picture(other, "lost")
	other.fill("#username", "bertil")
	other.fill("#recovery", code)
	other.press(submit)
	w.says(other, "h1", "lost.done_title")
	w.picture(other, "lost-done")
	w.mailed("bertil@example.se", "mail.factor_stopped")
	b.open(w.issuer + "/account")
	w.says(b, "h1", "signin.title")
}
