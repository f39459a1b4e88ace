package server_test

import (
	"net/http"
	"net/url"
	"regexp"
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

// withTexts is a site whose text messages go to a file.
func withTexts(t testing.TB) *attack {
	t.Helper()
	return newAttack(t, storetest.SQLite(t), servertest.Options{SMS: sms.Config{Wire: "file"}})
}

// factors gives what a person has, by kind.
func (a *attack) factors(t testing.TB, username string) map[user.FactorKind]store.Factor {
	t.Helper()
	all := map[user.FactorKind]store.Factor{}
	storetest.View(t, a.DB, func(tx *store.Tx) error {
		p, err := tx.PersonByName(username)
		if err != nil {
			return err
		}
		list, err := tx.FactorsOf(p.ID)
		for _, f := range list {
			all[f.Kind] = f
		}
		return err
	})
	return all
}

// shows fails the test unless p is a page.
func shows(t testing.TB, p *servertest.Page, want string) *servertest.Page {
	t.Helper()
	if p.Status != http.StatusOK || !strings.Contains(p.Body, want) {
		t.Fatalf("%s: %d %s, want a page with %q\n%s", p.URL, p.Status, p.Location, want, p.Body)
	}
	return p
}

// told is the page's notice.
func told(p *servertest.Page) string {
	m := regexp.MustCompile(`role="status">([^<]*)<`).FindStringSubmatch(p.Body)
	if m == nil {
		return ""
	}
	return m[1]
}

// TestAccountTOTP: the page of a soft token shows one secret until its code is right; then that one signs in, and the old one does not.
func TestAccountTOTP(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		p := shows(t, b.Get("/account/add/totp"), "totp-key")
		key := p.Key(t)
		if again := b.Get("/account/add/totp"); again.Key(t) != key {
			t.Error("a reload shows another secret")
		}
		uri := "otpauth://totp/x?secret=" + key
		if wrong := shows(t, b.Fill(p, "code", "000000"), "totp-key"); wrong.Alert() == "" || wrong.Key(t) != key {
			t.Errorf("a wrong code: %q", wrong.Alert())
		}
		c := a.Browser(t) // half-enrolled (MF-04)
		a.clock.Add(31 * time.Second)
		if half := c.Fill(proved(t, c, "mallory"), "code", servertest.Code(t, uri, a.clock.Now())); half.Status != http.StatusOK || in(c) {
			t.Errorf("MF-04: a half-enrolled secret signs in: %d", half.Status)
		}
		done := b.Fill(p, "code", servertest.Code(t, uri, a.clock.Now()))
		if home := shows(t, b.Follow(done), `data-factor="totp"`); told(home) == "" || done.Status != http.StatusSeeOther {
			t.Errorf("added: %d, %q", done.Status, told(home))
		}
		if mails := a.AwaitPost(t, 1); mails[0].To != "mallory@example.se" {
			t.Errorf("mails %+v", mails)
		}
		a.clock.Add(31 * time.Second)
		c = a.Browser(t)
		if old := c.Fill(proved(t, c, "mallory"), "code", servertest.Code(t, servertest.OtherTOTP, a.clock.Now())); old.Status != http.StatusOK || in(c) {
			t.Error("the old secret still signs in")
		}
		a.clock.Add(16 * time.Minute)
		a.signIn(t, "mallory", uri)
	})
}

// TestAccountNumber: a number is asked for, texted, and confirmed; its code is on no page (MF-07).
func TestAccountNumber(t *testing.T) {
	t.Parallel()
	a := withTexts(t)
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	page := shows(t, b.Get("/account/add/sms"), `name="phone"`)
	for _, bad := range []string{"", "12", "+47 406 12 345"} {
		if p := shows(t, b.Fill(page, "phone", bad), `name="phone"`); p.Alert() == "" || len(a.Texts(t)) != 0 {
			t.Errorf("%q: %q", bad, p.Alert())
		}
	}
	sent := b.Fill(page, "phone", "070-174 06 06")
	text := a.AwaitTexts(t, 1)[0]
	waits := shows(t, b.Follow(sent), `name="code"`)
	if text.To != "+46701740606" || strings.Contains(waits.Body, text.Code()) || regexp.MustCompile(`174.?06`).MatchString(waits.Body) { // "174" alone stands in a form's version now and then
		t.Errorf("MF-07: to %s: %s", text.To, waits.Body)
	}
	if state := b.Get("/account/add/sms/state"); state.Status != http.StatusOK || !regexp.MustCompile(`^\{"state":"(sending|sent)"\}$`).MatchString(state.Body) {
		t.Errorf("state %s", state.Body)
	}
	if p := shows(t, b.FillWith(waits, `name="code"`, "code", "00000"), `name="code"`); p.Alert() == "" {
		t.Error("a wrong code has no alert")
	}
	again := b.Press(waits, "action", "resend")
	second := a.AwaitTexts(t, 2)[1]
	if again.Status != http.StatusSeeOther || second.To != text.To {
		t.Errorf("resent: %d, %+v", again.Status, second)
	}
	restarted := b.Post("/account/add/sms", url.Values{"form_token": {token(t, waits)}, "action": {"restart"}})
	shows(t, b.Follow(restarted), `name="phone"`)
	shows(t, b.Follow(b.Post("/account/add/sms", url.Values{"form_token": {token(t, waits)}, "code": {second.Code()}})), `name="phone"`)
	b.Fill(page, "phone", "070-174 06 06")
	third := a.AwaitTexts(t, 3)[2]
	waits = shows(t, b.Get("/account/add/sms"), `name="code"`)
	home := shows(t, b.Follow(b.FillWith(waits, `name="code"`, "code", third.Code())), `data-factor="sms"`)
	if told(home) == "" || strings.Contains(home.Body, "174") || a.factors(t, "mallory")[user.FactorSMS].Secret != "+46701740606" {
		t.Errorf("%q: %s", told(home), home.Body)
	}
}

func token(t testing.TB, p *servertest.Page) string {
	t.Helper()
	_, fields := p.Form(t)
	return fields.Get("form_token")
}

// TestAccountPasskey: one is added, named, renamed and removed; a wrong answer gets a page with another challenge.
func TestAccountPasskey(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{})
	b, phone := a.signIn(t, "mallory", servertest.OtherTOTP), factortest.New(a.URL)
	page := shows(t, b.Get("/account/add/webauthn"), "data-options=")
	wrong := shows(t, b.FillWith(page, `name="passkey"`, "passkey", "{}", "name", "min <b>nyckel</b>"), "data-options=")
	if wrong.Alert() == "" || !strings.Contains(wrong.Body, "min &lt;b&gt;nyckel") {
		t.Errorf("a wrong answer: %q", wrong.Alert())
	}
	if late := shows(t, b.Passkey(page, phone.Create), "data-options="); late.Alert() == "" {
		t.Error("WA-01: a challenge that was answered before is good")
	}
	phone = factortest.New(a.URL)
	home := shows(t, b.Follow(b.Passkey(shows(t, b.Get("/account/add/webauthn"), "data-options="), phone.Create, "name", "Malins telefon")), "Malins telefon")
	id := a.factors(t, "mallory")[user.FactorPasskey].ID
	bad := b.Follow(b.FillWith(home, `value="rename"`, "action", "rename", "name", strings.Repeat("x", 65)))
	if shows(t, bad, "Malins telefon").Alert() == "" {
		t.Error("a name that is too long has no alert")
	}
	home = shows(t, b.Follow(b.FillWith(home, `value="rename"`, "action", "rename", "name", "Nyckeln")), "Nyckeln")
	if p := b.Post("/account/factors/"+id, url.Values{"form_token": {token(t, home)}, "action": {"explode"}}); p.Status != http.StatusBadRequest {
		t.Errorf("an unknown action: %d", p.Status)
	}
	home = shows(t, b.Follow(b.Post("/account/factors/"+id, url.Values{"form_token": {token(t, home)}, "action": {"remove"}})), "totp")
	if strings.Contains(home.Body, "Nyckeln") || told(home) == "" {
		t.Errorf("it is still there: %s", home.Body)
	}
	last := shows(t, b.Follow(b.Press(home, "action", "remove")), `data-factor="totp"`)
	if last.Alert() == "" || len(a.factors(t, "mallory")) != 1 {
		t.Errorf("the last factor: %q", last.Alert())
	}
}

// TestAccountNotFresh (MF-05 a): after five minutes a change asks for a sign-in, and comes back to its page.
func TestAccountNotFresh(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	home := shows(t, b.Get("/account"), "mallory")
	id := a.factors(t, "mallory")[user.FactorTOTP].ID
	for path, form := range map[string]url.Values{
		"/account/add/totp": nil, "/account/add/webauthn": nil, "/account/stop": nil,
		"/account/factors/" + id: {"action": {"remove"}}, "/account/recovery": {},
	} {
		a.clock.Add(5*time.Minute + time.Second)
		ask := func() *servertest.Page {
			if form == nil {
				return b.Get(path)
			}
			form.Set("form_token", token(t, shows(t, b.Get("/account"), "mallory")))
			return b.Post(path, form)
		}
		p := ask()
		if !strings.Contains(p.Location, "/login/") {
			t.Errorf("MF-05: %s: %d %s\n%s", path, p.Status, p.Location, p.Body)
			continue
		}
		back := b.SignIn(p, "mallory", servertest.Password, servertest.OtherTOTP)
		want := path
		if form != nil {
			want = "/account?alert=fresh"
		}
		if back.Location != a.URL+want {
			t.Errorf("%s: came back to %s", path, back.Location)
		}
		if form != nil && shows(t, b.Follow(back), "mallory").Alert() == "" {
			t.Errorf("%s: nothing says that it was not done", path)
		}
		if p := ask(); strings.Contains(p.Location, "/login/") {
			t.Errorf("%s: once more", path)
		}
	}
	shows(t, home, "mallory")
}

// TestAccountCrossSite (MF-05 b, CS-01): no change without the form token of this browser, nor from another site.
func TestAccountCrossSite(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b, other := a.signIn(t, "mallory", servertest.OtherTOTP), a.signIn(t, "alice", servertest.TOTP)
	id := a.factors(t, "mallory")[user.FactorTOTP].ID
	foreign, own := token(t, other.Get("/account")), token(t, b.Get("/account"))
	before := a.Events(t)
	for path, form := range map[string]url.Values{
		"/account/factors/" + id: {"action": {"remove"}}, "/account/devices/all": {}, "/account/recovery": {}, "/account/stop": {"factor": {id, id}},
		"/account/add/totp": {"code": {"123456"}}, "/account/add/sms": {"phone": {"070-174 06 05"}}, "/account/add/webauthn": {"passkey": {"{}"}},
		"/lost": {"username": {"mallory"}, "recovery": {"AAAAA-AAAAA"}}, "/forgot": {"username": {"mallory"}},
		"/account/password": {"current": {servertest.Password}, "password": {another}, "repeat": {another}}, "/account/sessions/others": {},
	} {
		for name, value := range map[string]string{"none": "", "another browser's": foreign, "made up": "x"} {
			form.Set("form_token", value)
			if p := b.Post(path, form); p.Status != http.StatusForbidden {
				t.Errorf("MF-05: %s with a token that is %s: %d", path, name, p.Status)
			}
		}
		form.Set("form_token", own)
		b.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Post(path, form); p.Status != http.StatusForbidden {
			t.Errorf("MF-05: %s from another site: %d", path, p.Status)
		}
		b.Header.Del("Sec-Fetch-Site")
		form["form_token"] = []string{own, own}
		if p := b.Post(path, form); p.Status != http.StatusBadRequest && p.Status != http.StatusForbidden {
			t.Errorf("MF-02: %s with two tokens: %d", path, p.Status)
		}
	}
	if after := a.Events(t); len(after) != len(before) {
		t.Errorf("the trail grew by %+v", after[len(before):])
	}
}

// TestAccountStrangers: without a session every page leads to a sign-in; another's factor is none; what does not exist is not found.
func TestAccountStrangers(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	b.Get("/lost") // has a cookie of the browser
	for _, path := range []string{"/account", "/account/add/totp", "/account/add/sms", "/account/add/webauthn", "/account/add/sms/state", "/account/stop", "/account/password"} {
		if p := b.Get(path); !strings.Contains(p.Location, "/login/") {
			t.Errorf("%s: %d %s", path, p.Status, p.Location)
		}
	}
	b = a.signIn(t, "mallory", servertest.OtherTOTP)
	form := url.Values{"form_token": {token(t, b.Get("/account"))}}
	alices := a.factors(t, "alice")[user.FactorTOTP].ID
	for path, action := range map[string]string{"/account/factors/" + alices: "remove", "/account/factors/" + alices + "?": "rename", "/account/factors/%00": "remove",
		"/account/factors/x": "allow", "/account/devices/x": "", "/account/sessions/x": "", "/account/sessions/%00": "", "/account/add/recovery": "", "/account/add/none": ""} {
		form.Set("action", action)
		form.Set("name", "mine")
		if p := b.Post(path, form); p.Status != http.StatusNotFound {
			t.Errorf("MF-05: %s: %d %s", path, p.Status, p.Location)
		}
	}
	if p := b.Post("/account/stop", url.Values{"form_token": form["form_token"], "factor": {alices}}); p.Status != http.StatusNotFound || a.factors(t, "alice")[user.FactorTOTP].ID != alices {
		t.Errorf("MF-05: stop: %d", p.Status)
	}
	if p := b.Get("/account/add/none"); p.Status != http.StatusNotFound {
		t.Errorf("a kind that is none: %d", p.Status)
	}
	for _, query := range []string{"done=<script>", "done=notice.added", "alert=<script>", "alert=alert.fresh", "done=added%00"} {
		if p := shows(t, b.Get("/account?"+query), "mallory"); strings.Contains(p.Body, "<script>") || told(p) != "" || p.Alert() != "" {
			t.Errorf("?%s is told: %q %q", query, told(p), p.Alert())
		}
	}
}

// TestAccountStop: from one browser a person stops what was on the phone; the other browser is signed out, the phone's codes are worthless,
// and what was stopped is allowed again by who proves with something else.
func TestAccountStop(t *testing.T) {
	t.Parallel()
	a := withTexts(t)
	thief := a.signIn(t, "alice", servertest.TOTP)
	b, key := a.signIn(t, "alice", servertest.TOTP), factortest.New(a.URL)
	shows(t, b.Follow(b.Passkey(b.Get("/account/add/webauthn"), key.Create)), `data-factor="webauthn"`)
	have := a.factors(t, "alice")
	page := shows(t, b.Get("/account/stop"), have[user.FactorSMS].ID)
	form := url.Values{"form_token": {token(t, page)}}
	if p := shows(t, b.Post("/account/stop", form), have[user.FactorSMS].ID); p.Alert() == "" {
		t.Error("nothing was chosen, and nothing is said")
	}
	form["factor"] = []string{have[user.FactorTOTP].ID, have[user.FactorSMS].ID, have[user.FactorPasskey].ID}
	if p := shows(t, b.Post("/account/stop", form), have[user.FactorSMS].ID); p.Alert() == "" || !in(thief) {
		t.Error("all are stopped, without a recovery code")
	}
	form["factor"] = form["factor"][:2]
	home := shows(t, b.Follow(b.Post("/account/stop", form)), `value="allow"`)
	if told(home) == "" || in(thief) || !in(b) {
		t.Errorf("%q; the thief is signed in: %v", told(home), in(thief))
	}
	p := b.Follow(b.Press(home, "action", "allow")) // this session was proved by what is lost
	if !strings.HasPrefix(p.URL.Path, "/login/") {
		t.Fatalf("allowed by the lost phone: %s", p.Body)
	}
	p = b.Follow(b.Passkey(p, key.Get))
	if p.URL.Path != "/account" || p.Alert() == "" {
		t.Fatalf("came back to %s: %s", p.URL, p.Body)
	}
	shows(t, b.Follow(b.Press(p, "action", "allow")), `data-factor="totp"`)
	stopped := 0
	for _, f := range a.factors(t, "alice") {
		if !f.StoppedAt.IsZero() {
			stopped++
		}
	}
	if stopped != 1 {
		t.Errorf("%d are stopped, want one of two", stopped)
	}
}

// TestAccountRecovery: ten codes, shown on that page and no other.
func TestAccountRecovery(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	p := shows(t, b.FillWith(b.Get("/account"), `action="/account/recovery"`), "recovery-codes")
	codes := regexp.MustCompile(`[2-9A-Z]{5}-[2-9A-Z]{5}`).FindAllString(p.Body, -1)
	if len(codes) != 10 || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d codes, Cache-Control %q", len(codes), p.Header.Get("Cache-Control"))
	}
	for _, path := range []string{"/account", "/account/stop"} {
		if strings.Contains(b.Get(path).Body, codes[0]) {
			t.Errorf("a code is on %s", path)
		}
	}
	for _, e := range a.Events(t) {
		for _, value := range e.Detail {
			if strings.Contains(value, codes[0]) {
				t.Errorf("a code is in the trail: %+v", e)
			}
		}
	}
}

// TestAccountRemembered: in a remembered browser the password alone changes nothing, and the way to a change is no circle.
func TestAccountRemembered(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: servertest.Sample() + "policies:\n  factors: {remember_device: 30d}\n"})
	b := a.Browser(t)
	a.clock.Add(31 * time.Second)
	p := proved(t, b, "mallory")
	b.Follow(b.FillWith(p, `name="code"`, "code", servertest.Code(t, servertest.OtherTOTP, a.clock.Now()), "remember", "1"))
	shows(t, b.Get("/account"), "/account/devices/")
	b.SetCookie("portvakt", "") // signed out
	b.Follow(b.Fill(start(t, b), "username", "mallory", "password", servertest.Password))
	if !in(b) {
		t.Fatal("the browser is not remembered")
	}
	p = b.Get("/account/add/totp")
	if !strings.Contains(p.Location, "/login/") {
		t.Fatalf("a remembered browser was enough: %d %s", p.Status, p.Body)
	}
	a.clock.Add(31 * time.Second)
	shows(t, b.Follow(b.SignIn(p, "mallory", servertest.Password, servertest.OtherTOTP)), "totp-key")
	forgotten := shows(t, b.Follow(b.FillWith(b.Get("/account"), `action="/account/devices/`)), "mallory")
	if told(forgotten) == "" || strings.Contains(forgotten.Body, "/account/devices/") {
		t.Errorf("it is still remembered: %s", forgotten.Body)
	}
}

// lost sends the form of the page for who lost their phone.
func lost(t testing.TB, b *servertest.Browser, username, code string) *servertest.Page {
	t.Helper()
	return b.Fill(shows(t, b.Get("/lost"), `name="recovery"`), "username", username, "recovery", code)
}

// TestLostTellsNothing (EN-03): the answer is the same for nobody, for a wrong code, for who may not sign in, over the limit, and for a right code.
func TestLostTellsNothing(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		codes := a.codes(t, "mallory", servertest.OtherTOTP)
		b := a.Browser(t)
		want := lost(t, b, "nobody", "AAAAA-AAAAA")
		page := shows(t, b.Follow(want), "/account")
		same := func(name string, got *servertest.Page) {
			t.Helper()
			if got.Status != want.Status || got.Location != want.Location || got.Body != want.Body || len(got.Header) != len(want.Header) {
				t.Errorf("EN-03: %s: %d %s %v, nobody: %d %s %v", name, got.Status, got.Location, got.Header, want.Status, want.Location, want.Header)
			}
			if shown := b.Follow(got); without(shown.Body) != without(page.Body) {
				t.Errorf("EN-03: %s shows\n%s\nnobody shows\n%s", name, shown.Body, page.Body)
			}
		}
		same("a wrong code", lost(t, b, "mallory", "AAAAA-AAAAA"))
		if err := a.Admin.SetDisabled(t.Context(), audit.Origin{Actor: "test"}, "alice", true); err != nil {
			t.Fatal(err)
		}
		same("who may not sign in", lost(t, b, "alice", codes[0]))
		same("another's code", lost(t, b, "newcomer", codes[0]))
		same("the right code", lost(t, b, "mallory", codes[0]))
		for range 11 {
			same("over the limit", lost(t, b, "mallory", "AAAAA-AAAAA"))
		}
		if f := a.factors(t, "mallory")[user.FactorTOTP]; f.StoppedAt.IsZero() {
			t.Error("the right code stopped nothing")
		}
		if p := lost(t, b, "", codes[1]); p.Alert() == "" {
			t.Error("an empty name has no alert")
		}
	})
}

// without is a page without what is its own each time.
func without(body string) string {
	return regexp.MustCompile(`(name="form_token" value="|Reference[^<]*<[^>]*>)[^"<]*`).ReplaceAllString(body, "")
}

// codes gives a person recovery codes.
func (a *attack) codes(t testing.TB, username, totp string) []string {
	t.Helper()
	b := a.signIn(t, username, totp)
	p := shows(t, b.FillWith(b.Get("/account"), `action="/account/recovery"`), "recovery-codes")
	return regexp.MustCompile(`[2-9A-Z]{5}-[2-9A-Z]{5}`).FindAllString(p.Body, -1)
}

// TestLostAndBack: who lost their phone stops it with one code, signs in with the password and another, and sets up a new factor.
func TestLostAndBack(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	codes := a.codes(t, "mallory", servertest.OtherTOTP)
	thief := a.signIn(t, "mallory", servertest.OtherTOTP)
	b := a.Browser(t)
	lost(t, b, "mallory", codes[0])
	if in(thief) {
		t.Error("the thief is still signed in")
	}
	p := shows(t, b.Follow(b.Fill(start(t, b), "username", "mallory", "password", servertest.Password)), `name="recovery"`)
	if p := b.FillWith(p, `name="recovery"`, "recovery", codes[0]); p.Alert() == "" || in(b) {
		t.Error("OT-07: a code works twice")
	}
	p = b.Follow(b.FillWith(b.Get(p.URL.String()), `name="recovery"`, "recovery", codes[1]))
	if in(b) {
		t.Error("a recovery code alone signs in")
	}
	uri := "otpauth://totp/x?secret=" + p.Key(t)
	b.Follow(b.FillWith(p, `name="code"`, "code", servertest.Code(t, uri, a.clock.Now())))
	if !in(b) {
		t.Error("not signed in with the new factor")
	}
	for _, f := range a.factors(t, "mallory") {
		if f.Secret == servertest.OtherTOTP && f.StoppedAt.IsZero() {
			t.Error("the lost factor counts again")
		}
	}
}
