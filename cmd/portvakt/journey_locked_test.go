package main

import (
	"testing"
	"time"
)

// TestLocked walks through sessions that lock and a password that policy takes no more.
func TestLocked(t *testing.T) {
	walks(t, func(w *walk) {
		b := w.person()
		w.bertil(b)
		w.lockAndUnlock(b)
		w.left(b)
		w.outgrown(b)
	})
}

// bertil signs in with the code that the phone shows.
func (w *walk) bertil(b *tab) {
	w.t.Helper()
	w.signIn(b, "bertil")
	w.says(b, "h1", "code.title")
	w.bertilsCode(b)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
}

func (w *walk) bertilsCode(b *tab) {
	w.t.Helper()
	w.later(31 * time.Second)
	w.phone.open(w.intranet + "phone")
	b.fill("#code", w.phone.text("[data-account=bertil]"))
	b.press("form.stack .button")
}

// lockAndUnlock: he locks by the button, and goes on where he was by his password.
func (w *walk) lockAndUnlock(b *tab) {
	w.t.Helper()
	w.account(b)
	b.press("form[action='/account/lock'] button")
	w.says(b, "h1", "code.title")
	w.says(b, ".lead", "unlock.lead_code")
	w.picture(b, "unlock-code")
	b.press("[name=way][value=password]")
	w.says(b, "h1", "unlock.title")
	w.picture(b, "unlock-password")
	b.fill("#password", "not this one")
	b.press("form.stack .button")
	w.says(b, "[role=alert]", "alert.password")
	b.fill("#password", demoPassword)
	b.press("form.stack .button")
	w.says(b, ".lead", "home.lead")
}

// left: after half an hour an application asks for one proof, and nothing else.
func (w *walk) left(b *tab) {
	w.t.Helper()
	w.later(31 * time.Minute)
	b.open(w.intranet + "sign-in")
	w.says(b, ".lead", "unlock.lead_code")
	w.bertilsCode(b)
	w.arrived(b, "Bertil Öberg", "pwd, otp, mfa")
}

// outgrown: the rules change, and at the next sign-in he chooses another password.
func (w *walk) outgrown(b *tab) {
	w.t.Helper()
	w.run("policies:\n  password: {min_length: 40}\n", "apply", "-f", "-")
	w.later(31 * time.Second)
	other := w.person()
	w.signIn(other, "bertil")
	w.says(other, "h1", "code.title")
	w.bertilsCode(other)
	w.says(other, "h1", "renew.title")
	w.picture(other, "renew")
	const better = "a sentence about a lighthouse keeper and his eleven cats"
	other.fill("#password", better)
	other.fill("#repeat", "something else")
	other.press("form.stack .button")
	w.says(other, "[role=alert]", "alert.mismatch")
	w.picture(other, "renew-alert")
	other.fill("#password", better)
	other.fill("#repeat", better)
	other.press("form.stack .button")
	w.arrived(other, "Bertil Öberg", "pwd, otp, mfa")
	b.open(w.issuer + "/account")
	w.says(b, "h1", "signin.title")
}
