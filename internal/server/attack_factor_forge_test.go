package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// forgery is one lie of an authenticator or of the page that it answers to.
type forgery struct {
	name string
	lie  func(*factortest.Authenticator)
	only string // "get", "create", "alone" or "": where it is one
}

func forgeries() []forgery {
	data := func(edit func(string) string) func(*factortest.Authenticator) {
		return func(k *factortest.Authenticator) { k.ClientData = edit }
	}
	swap := func(old, new string) func(*factortest.Authenticator) {
		return data(func(s string) string { return strings.Replace(s, old, new, 1) })
	}
	all := []forgery{
		{"rpId", func(k *factortest.Authenticator) { k.RPID = "evil.example" }, ""},
		{"rpId of a host below", func(k *factortest.Authenticator) { k.RPID = "a.localhost" }, ""},
		{"type of the other ceremony", func(k *factortest.Authenticator) { k.Type = "webauthn.create" }, "get"},
		{"type of the other ceremony", func(k *factortest.Authenticator) { k.Type = "webauthn.get" }, "create"},
		{"type of a payment", func(k *factortest.Authenticator) { k.Type = "payment.get" }, ""},
		{"crossOrigin", func(k *factortest.Authenticator) { k.CrossOrigin = true }, ""},
		{"topOrigin", func(k *factortest.Authenticator) { k.TopOrigin = oneIssuer }, ""},
		{"challenge of its own", func(k *factortest.Authenticator) { k.Challenge = []byte(strings.Repeat("x", 40)) }, ""},
		{"challenge of nothing", func(k *factortest.Authenticator) { k.Challenge = []byte{} }, ""},
		{"challenge from the future", func(k *factortest.Authenticator) { k.Challenge = []byte("\x7f" + strings.Repeat("\xff", 39)) }, ""},
		{"not present", func(k *factortest.Authenticator) { k.UP = false }, ""},
		{"not verified", func(k *factortest.Authenticator) { k.UV = false }, "alone"},
		{"not verified", func(k *factortest.Authenticator) { k.UV = false }, "create"},
		{"another key", func(k *factortest.Authenticator) { k.WrongKey = true }, "get"},
		{"no handle", func(k *factortest.Authenticator) { k.NoHandle = true }, "alone"},
		{"somebody's handle", func(k *factortest.Authenticator) { k.Handle = []byte("somebody") }, "get"},
		{"backed up and not eligible", func(k *factortest.Authenticator) { k.BE, k.BS = false, true }, ""},
		{"eligible all at once", func(k *factortest.Authenticator) { k.BE = true }, "get"},
		{"an algorithm that was not offered", func(k *factortest.Authenticator) { k.Algorithm = factortest.ES384 }, "create"},
		{"a key of no bytes", func(k *factortest.Authenticator) {
			k.AuthData = func(b []byte) []byte { return b[:37+16+2] }
		}, "create"},
		{"cut short", func(k *factortest.Authenticator) { k.AuthData = func(b []byte) []byte { return b[:36] } }, ""},
		{"trailing bytes", func(k *factortest.Authenticator) { k.AuthData = func(b []byte) []byte { return append(b, 0) } }, ""},
		{"two origins", swap(`"origin":`, `"origin":"https://evil.example","origin":`), ""},
		{"origin in two spellings", swap(`"origin":`, `"Origin":"https://evil.example","origin":`), ""},
		{"two challenges", swap(`"challenge":`, `"challenge":"AAAA","challenge":`), ""},
		{"crossOrigin null", swap(`"crossOrigin":false`, `"crossOrigin":"no"`), ""},
		{"client data twice", data(func(s string) string { return s + s }), ""},
		{"client data that is a list", data(func(s string) string { return "[" + s + "]" }), ""},
		{"client data of nothing", data(func(string) string { return "" }), ""},
		{"a long credential id", func(k *factortest.Authenticator) { k.CredentialID = []byte(strings.Repeat("i", 1024)) }, "create"},
		{"an empty credential id", func(k *factortest.Authenticator) { k.CredentialID = []byte{} }, "create"},
	}
	for _, origin := range []string{"https://evil.example", "http://localhost", "http://localhost:10", "https://localhost:9", "http://LOCALHOST:9",
		"http://localhost:9/", "http://a.localhost:9", "http://localhost:9.evil.example", "http://localhost:9@evil.example", "null", "", "http://127.0.0.1:9",
		"http://localhost.:9", "android:apk-key-hash:x"} {
		all = append(all, forgery{"origin " + origin, func(k *factortest.Authenticator) { k.Origin = origin }, ""})
	}
	return all
}

// lying is an authenticator with the passkeys of key, and one lie.
func lying(key *factortest.Authenticator, f forgery) *factortest.Authenticator {
	k := *key
	f.lie(&k)
	return &k
}

// refusedPasskey checks that an answer was refused, with this reason in the trail, and that nobody is signed in.
func (a *attack) refusedPasskey(t *testing.T, row, name string, b *servertest.Browser, p *servertest.Page, before int, reason audit.Reason) {
	t.Helper()
	if p.Status != http.StatusOK || p.Alert() == "" || b.Cookie("portvakt") != "" {
		t.Errorf("%s: %s got %d %s %q", row, name, p.Status, p.Location, p.Alert())
	}
	hushed(t, p)
	fresh := a.since(t, before, audit.LoginFailed)
	if len(fresh) != 1 || fresh[0].Reason != reason {
		t.Errorf("%s: %s left %+v in the trail, want one login.failed with %s", row, name, fresh, reason)
	}
}

// TestAttackFactorPasskeyForged (WA-02, WA-03, WA-04): no lie of an authenticator is a proof: alone, as second factor, at the set-up in
// a sign-in and at the set-up on /account.
func TestAttackFactorPasskeyForged(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key := factortest.New(oneIssuer)
		a.withPasskey(t, "newcomer", key)
		a.ApplyFile(t, "users:\n  - {username: fresh, password: "+servertest.Password+"}\n")
		t.Run("alone", func(t *testing.T) {
			for _, f := range forgeries() {
				if f.only == "create" {
					continue
				}
				b := a.Browser(t)
				n := len(a.Events(t, audit.LoginFailed))
				a.refusedPasskey(t, "WA-03", f.name, b, b.Passkey(start(t, b), lying(key, f).Get), n, audit.WrongCode)
			}
		})
		t.Run("second", func(t *testing.T) {
			for _, f := range forgeries() {
				if f.only == "create" || f.only == "alone" {
					continue
				}
				b := a.Browser(t)
				p := secondPage(t, b, "newcomer")
				n := len(a.Events(t, audit.LoginFailed))
				a.refusedPasskey(t, "WA-03", f.name, b, b.Passkey(p, lying(key, f).Get), n, audit.WrongCode)
			}
		})
		t.Run("set-up at sign-in", func(t *testing.T) {
			for _, f := range forgeries() {
				if f.only == "get" || f.only == "alone" {
					continue
				}
				b := a.Browser(t)
				p := b.Follow(b.Press(secondPage(t, b, "fresh"), "way", "webauthn"))
				n := len(a.Events(t, audit.LoginFailed))
				a.refusedPasskey(t, "WA-03", f.name, b, b.Passkey(p, lying(factortest.New(oneIssuer), f).Create), n, audit.WrongCode)
			}
			if k := a.kinds(t, "fresh"); len(k) != 0 {
				t.Errorf("MF-04: a forged passkey was stored: %v", k)
			}
		})
		t.Run("set-up on /account", func(t *testing.T) {
			b := a.signIn(t, "mallory", servertest.OtherTOTP)
			for _, f := range forgeries() {
				if f.only == "get" || f.only == "alone" {
					continue
				}
				n := len(a.Events(t, audit.FactorEnrolled))
				p := b.Passkey(b.Get("/account/add/webauthn"), lying(factortest.New(oneIssuer), f).Create)
				if p.Status != http.StatusOK || p.Alert() == "" {
					t.Errorf("WA-03: %s got %d %s", f.name, p.Status, p.Location)
				}
				hushed(t, p)
				if fresh := a.since(t, n, audit.FactorEnrolled); len(fresh) != 1 || fresh[0].Reason != audit.WrongCode {
					t.Errorf("WA-03: %s left %+v", f.name, fresh)
				}
			}
			if k := a.kinds(t, "mallory"); len(k) != 1 {
				t.Errorf("MF-05: a forged passkey was stored: %v", k)
			}
		})
		b := a.Browser(t)
		if p := b.Passkey(start(t, b), key.Get); p.Status != http.StatusSeeOther || !in(b) {
			t.Errorf("after it all the right passkey got %d %q", p.Status, p.Alert())
		}
	})
}
