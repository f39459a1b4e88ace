package main

import (
	"regexp"
	"testing"
	"time"
)

// TestSessionsAndPasswords walks through what a person does about who is signed in as them, as people would: in Swedish on a phone, and in
// English at a desk with JavaScript off.
func TestSessionsAndPasswords(t *testing.T) {
	walks(t, func(w *walk) {
		here, there := w.person(), w.person()
		if w.lang == "en" {
			here.withoutScript()
			there.withoutScript()
		}
		w.bertilIn(here, demoPassword)
		w.later(31 * time.Second)
		w.bertilIn(there, demoPassword)
		w.sessions(here, there)
		w.forgotten(here, there)
		w.newPassword(here, there)
	})
}

// shot keeps what b shows, where a picture can be taken: not without JavaScript.
func (w *walk) shot(b *tab, name string) {
	w.t.Helper()
	if w.lang == "sv" {
		w.picture(b, name)
	}
}

const bertils = "bertil@example.se"

// bertilIn signs bertil in for his own page, with the phone's next code.
func (w *walk) bertilIn(b *tab, password string) {
	w.t.Helper()
	b.open(w.issuer + "/account")
	w.says(b, "h1", "signin.title")
	w.password(b, "bertil", password)
	w.bertilsSecond(b)
}

// bertilsCode answers the second step.
func (w *walk) bertilsSecond(b *tab) {
	w.t.Helper()
	w.says(b, "h1", "code.title")
	w.phone.open(w.intranet + "phone")
	b.fill("#code", w.phone.text("[data-account=bertil]"))
	b.press(submit)
	b.says("h1", "Bertil Öberg")
}

// sessions: there, bertil sees both browsers, and ends the one here.
func (w *walk) sessions(here, there *tab) {
	w.t.Helper()
	w.account(there)
	w.says(there, "[data-session=this] .tag", "sessions.this")
	there.says("[data-session=other] h3", "Chrome, Linux")
	w.shot(there, "sessions")
	there.press("[data-session=other] button")
	w.says(there, "[role=status]", "notice.ended")
	w.shot(there, "sessions-ended")
	here.open(w.issuer + "/account")
	w.says(here, "h1", "signin.title")
}

var mailedLink = regexp.MustCompile(`\n(http://localhost:\d+/link/[A-Z2-7]{52})\n`)

const chosen = "seven quiet lanterns"

// forgotten: here, bertil has forgotten his password. The mail brings a link, the link a new one, and that with the app's code his page.
func (w *walk) forgotten(here, there *tab) {
	w.t.Helper()
	w.shot(here, "signin-forgot")
	here.press("[href='/forgot']")
	w.says(here, "h1", "forgot.title")
	w.shot(here, "forgot")
	here.fill("#username", bertils)
	here.press(submit)
	w.says(here, "h1", "forgot.done_title")
	w.shot(here, "forgot-done")
	w.mailed(bertils, "mail.password_forgotten")
	link := mailedLink.FindStringSubmatch(w.phone.changed("[data-to='"+bertils+"'] .said", "", stepTime))
	if link == nil {
		w.phone.fail("no link in the mail")
	}
	here.open(link[1])
	w.says(here, "h1", "password.reset")
	w.shot(here, "reset")
	here.fill("#password", chosen)
	here.fill("#repeat", chosen)
	here.press(submit)
	w.says(here, "h1", "signin.title")
	if got := here.value("#username"); got != "bertil" {
		here.fail("the user name is %q", got)
	}
	w.mailed(bertils, "mail.password_changed")
	here.fill("#password", chosen)
	here.press(submit)
	w.later(31 * time.Second)
	w.bertilsSecond(here)
	there.open(w.issuer + "/account")
	w.says(there, "h1", "signin.title")
	status, _ := w.sends(there, link[1], nil)
	if status/100 != 4 {
		w.t.Errorf("the used link answers %d", status)
	}
}

// newPassword: here, bertil takes another password, at the second try; the other browser is signed out.
func (w *walk) newPassword(here, there *tab) {
	w.t.Helper()
	w.later(31 * time.Second)
	w.bertilIn(there, chosen)
	w.account(here)
	here.press("[href='/account/password']")
	w.says(here, "h1", "change.title")
	w.shot(here, "change")
	for _, current := range []string{demoPassword, chosen} {
		here.fill("#current", current)
		here.fill("#password", demoPassword)
		here.fill("#repeat", demoPassword)
		here.press(submit)
		if current == demoPassword {
			w.says(here, "[role=alert]", "alert.current")
			w.shot(here, "change-wrong")
		}
	}
	w.says(here, "[role=status]", "notice.password")
	w.shot(here, "changed")
	w.mailed(bertils, "mail.password_changed")
	there.open(w.issuer + "/account")
	w.says(there, "h1", "signin.title")
	w.account(here)
	here.press("[data-session=this] button")
	w.says(here, "h1", "signedout.title")
	w.later(31 * time.Second)
	w.bertilIn(here, demoPassword)
}
