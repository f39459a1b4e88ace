package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestJourney walks through the demo as people would, with the program itself and a real browser. Its parts build on
// one another; anna comes back last, when her phone has had time to show another code.
func TestJourney(t *testing.T) {
	d := startDemo(t)
	c := startChromium(t)
	anna := c.person(t, "en")
	phone := anna.another()
	used := d.firstSignIn(anna, phone)
	d.anotherApplication(anna)
	d.swedish(c.person(t, "sv-SE,sv;q=0.9,en;q=0.5"))
	bertil := c.person(t, "en")
	d.withoutScript(bertil)
	admin := c.person(t, "en")
	d.formPost(bertil, admin)
	d.frames(admin)
	d.again(anna, phone, used)
}

// submit is the button of a page's form.
const submit = "form .button"

// firstSignIn: anna has no second factor yet. She copies the key from the page to the phone, and the code from the
// phone to the page.
func (d *demo) firstSignIn(anna, phone *tab) (used string) {
	d.t.Helper()
	anna.open(d.intranet)
	anna.press("#sign-in")
	anna.says("h1", "Sign in")
	d.password(anna, "anna", demoPassword)
	anna.says("h1", "Set up your authenticator app")
	anna.click("summary")
	phone.open(d.intranet + "phone")
	phone.fill("#key", anna.text("#totp-key"))
	phone.press("form button")
	used = phone.text("code[data-account]") // the newest is on top
	anna.fill("#code", used)
	anna.press(submit)
	anna.at(d.intranet)
	anna.says("#name", "Anna Ångström")
	anna.says("#username", "anna")
	anna.says("#amr", "pwd, otp, mfa")
	return used
}

// anotherApplication: signed in at one, nobody asks at the other; signed out there, it is over.
func (d *demo) anotherApplication(anna *tab) {
	d.t.Helper()
	anna.open(d.intranet + "wiki/")
	anna.says("h1", "What we know,\nwritten down")
	anna.visited()
	anna.press("#sign-in")
	anna.says("#name", "Anna Ångström")
	for _, address := range anna.visited() {
		if strings.Contains(address, "/login/") {
			d.t.Errorf("anna was asked to sign in though she was: %s", address)
		}
	}
	anna.press("#sign-out")
	anna.at(d.intranet + "wiki/")
	anna.text("#sign-in")
	over := time.Now()
	for anna.open(d.intranet); anna.text("h1") != "All of work,\nin one place"; anna.open(d.intranet) {
		if time.Since(over) > 30*time.Second {
			d.t.Fatal("signed out at the wiki, anna is still in at the intranet: it was not told")
		}
	}
	anna.open(d.issuer + "/account")
	anna.says("h1", "Sign in")
}

// swedish: by the browser's preference, by the link of the page, and still after a wrong try.
func (d *demo) swedish(b *tab) {
	d.t.Helper()
	b.open(d.intranet + "sign-in")
	in := func(language, title string) {
		d.t.Helper()
		if got := b.language(); got != language {
			b.fail("the page is in %q, want %q", got, language)
		}
		b.says("h1", title)
	}
	in("sv", "Logga in")
	b.press("footer a")
	in("en", "Sign in")
	b.press("footer a")
	in("sv", "Logga in")
	d.password(b, "bertil", "not this one")
	in("sv", "Logga in")
	b.says("[role=alert]", "Användarnamnet eller lösenordet är fel. Kontrollera båda och försök igen.")
	b.press("footer a")
	in("en", "Sign in")
}

// withoutScript: bertil signs in, looks at his page and signs out with JavaScript off, the phone included.
func (d *demo) withoutScript(bertil *tab) {
	d.t.Helper()
	bertil.withoutScript()
	phone := bertil.another()
	phone.withoutScript()
	bertil.open(d.intranet)
	bertil.press("#sign-in")
	d.password(bertil, "bertil", demoPassword)
	phone.open(d.intranet + "phone")
	bertil.fill("#code", phone.text("[data-account=bertil]"))
	bertil.press(submit)
	bertil.says("#name", "Bertil Öberg")
	bertil.open(d.issuer + "/account")
	bertil.says("h1", "Bertil Öberg")
	bertil.open(d.endpoint("end_session_endpoint"))
	bertil.says("h1", "Sign out?")
	bertil.press(".aside a")
	bertil.says("h1", "Bertil Öberg")
}

// again: anna signs in at the Intranet once more. It takes her password and a new code; a wrong one of either says so.
func (d *demo) again(anna, phone *tab, used string) {
	d.t.Helper()
	anna.open(d.intranet)
	anna.press("#sign-in")
	d.password(anna, "anna", "not this one")
	anna.says("[role=alert]", "The user name or the password is wrong. Check both and try again.")
	if got := anna.value("#username"); got != "anna" {
		anna.fail("after a wrong password the user name is %q", got)
	}
	anna.fill("#password", demoPassword)
	anna.press(submit)
	anna.says("h1", "Enter the code from your app")
	fresh := phone.changed("code[data-account]", used, 35*time.Second)
	anna.fill("#code", strings.Map(func(r rune) rune { return '0' + (r-'0'+5)%10 }, strings.ReplaceAll(fresh, " ", "")))
	anna.press(submit)
	anna.says("[role=alert]", "That code is not right. Type the code that the app shows now.")
	anna.fill("#code", fresh)
	anna.press(submit)
	anna.at(d.intranet)
	anna.says("#name", "Anna Ångström")
}

// password answers the first page of a sign-in.
func (d *demo) password(b *tab, username, password string) {
	d.t.Helper()
	b.fill("#username", username)
	b.fill("#password", password)
	b.press(submit)
}

// formPost: an application that is registered while the service runs gets its answer as a form, from signed (who has a
// session and no JavaScript, and so presses a button) and from other (who signs in, and for whom the form sends itself).
func (d *demo) formPost(signed, other *tab) {
	d.t.Helper()
	answers := make(chan url.Values, 4)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // a request that is no form gives an empty answer
		answers <- r.PostForm
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1>Arrived</h1>`)
	}))
	d.t.Cleanup(app.Close)
	verifier := strings.Repeat("journey-", 6)
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"client_id": {"poster"}, "redirect_uri": {app.URL + "/callback"}, "response_type": {"code"}, "response_mode": {"form_post"},
		"scope": {"openid"}, "state": {"a-state-of-the-journey"}, "nonce": {"a-nonce-of-the-journey"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	address := d.endpoint("authorization_endpoint") + "?" + q.Encode()
	d.register(address, "client", "add", "poster", "--name", "Poster", "--redirect-uri", app.URL+"/callback", "--scope", "openid", "--auth-method", "none")

	signed.open(address)
	signed.says("h1", "One moment")
	signed.press(submit)
	signed.says("h1", "Arrived")
	d.redeem(answers, q, verifier)

	other.open(address)
	d.password(other, "admin", demoPassword)
	phone := other.another()
	phone.open(d.intranet + "phone")
	other.fill("#code", phone.text("[data-account=admin]"))
	other.press(submit)
	other.says("h1", "Arrived")
	d.redeem(answers, q, verifier)
}

// register runs a command beside the service, which must know of the application at address within a second.
func (d *demo) register(address string, args ...string) {
	d.t.Helper()
	if status, _ := d.fetch(http.NewRequest(http.MethodGet, address, nil)); status != http.StatusBadRequest {
		d.t.Fatalf("an application that does not exist gets status %d, want 400", status)
	}
	d.run("", args...)
	begun := time.Now()
	for tick := time.NewTicker(25 * time.Millisecond); ; <-tick.C {
		status, _ := d.fetch(http.NewRequest(http.MethodGet, address, nil))
		took := time.Since(begun)
		if status == http.StatusSeeOther {
			d.t.Logf("the service knew of a new application after %s", took.Round(time.Millisecond))
			return
		}
		if took > 5*time.Second {
			d.t.Fatalf("the service does not know of a new application after %s: status %d", took, status)
		}
	}
}

// redeem checks the one answer that the application got and exchanges its code.
func (d *demo) redeem(answers <-chan url.Values, request url.Values, verifier string) {
	d.t.Helper()
	answer := <-answers
	if len(answers) > 0 || answer.Get("state") != request.Get("state") || answer.Get("iss") != d.issuer || answer.Get("code") == "" {
		d.t.Fatalf("the application got %v", answer)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": answer["code"], "redirect_uri": request["redirect_uri"],
		"client_id": request["client_id"], "code_verifier": {verifier}}
	r, err := http.NewRequest(http.MethodPost, d.endpoint("token_endpoint"), strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	status, body := d.fetch(r, err)
	var tokens struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &tokens); err != nil || status != http.StatusOK || tokens.IDToken == "" {
		d.t.Fatalf("the code gets status %d: %s", status, body)
	}
}

// demo is the program, running as `portvakt demo`.
type demo struct {
	*installation
	issuer, intranet string
}

var demoGuide = regexp.MustCompile(`(?s)Open +(http://\S+).* (http://\S+)/account.*Ctrl\+C`)

// startDemo starts it on free ports. When the test ends it must stop in good order, with nothing wrong in its log.
func startDemo(t *testing.T) *demo {
	t.Helper()
	in := newInstallation(t)
	p, err := launch(in.dir, in.env(), "demo", "--listen", "localhost:0", "--app-listen", "localhost:0", "--data", in.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	guide, err := p.await(demoGuide)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if status, said, err := p.end(syscall.SIGTERM); err != nil || status != 0 || strings.Contains(said, `"level":"ERROR"`) {
			t.Errorf("the demo ended with %d (%v) and said:\n%s", status, err, said)
		}
	})
	return &demo{in, guide[2], guide[1] + "/"}
}

// endpoint finds an address in the service's metadata, as applications do.
func (d *demo) endpoint(name string) string {
	d.t.Helper()
	_, body := d.fetch(http.NewRequest(http.MethodGet, d.issuer+"/.well-known/openid-configuration", nil))
	var metadata map[string]any
	if err := json.Unmarshal(body, &metadata); err != nil {
		d.t.Fatal(err)
	}
	address, ok := metadata[name].(string)
	if !ok {
		d.t.Fatalf("the metadata has no %s", name)
	}
	return address
}

// fetch sends a request without following redirects.
func (d *demo) fetch(r *http.Request, err error) (status int, body []byte) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), stepTime)
	defer cancel()
	resp, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, body
}
