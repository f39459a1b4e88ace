package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

const (
	secretPassword = "correct horse battery staple"
	secretTOTP     = "otpauth://totp/Portvakt:bert?secret=KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU&issuer=Portvakt"
	secretPhone    = "+46701740605"
	callback       = "https://app.example.se/callback"

	secretsYAML = `
groups: [staff]
users:
  - {username: bert, name: Bert Berg, groups: [staff], password: ` + secretPassword + `, totp: "` + secretTOTP + `", phone: "` + secretPhone + `"}
clients:
  - client_id: app
    client_secret: the-long-secret-of-the-app
    redirect_uris: [` + callback + `]
    grant_types: [authorization_code, refresh_token]
    scope: openid profile phone offline_access
`
)

// secrets gathers what nobody may find again. logged is for what must not stand in the log; stored for what must not
// stand in the database either. The one-time codes of a soft token are only looked for in the log: six digits may stand
// in any file by chance.
type secrets struct {
	t              *testing.T
	logged, stored map[string]string
}

func (s *secrets) keep(name, value string) string {
	s.t.Helper()
	if len(value) < 6 {
		s.t.Fatalf("%s is %q", name, value)
	}
	s.logged[name], s.stored[name] = value, value
	return value
}

func (s *secrets) keepCode(name, value string) string {
	s.logged[name] = value
	return value
}

// TestSecretsStayAway drives every way of signing in and every use of a token, right and wrong, and then looks for what
// was secret in everything that serve has said and in the files of the database (threats CR-06).
func TestSecretsStayAway(t *testing.T) {
	in := newInstallation(t)
	in.run(secretsYAML, "apply", "-f", "-")
	s := &secrets{t, map[string]string{}, map[string]string{}}
	s.keep("password", secretPassword)
	s.keep("client secret", "the-long-secret-of-the-app")
	s.stored["phone number"] = secretPhone[1:]
	s.keepTOTP("imported", secretTOTP)
	s.keep("made client secret", word(t, `client_secret: (\w+)`, in.run("", "client", "add", "other", "--redirect-uri", callback)))
	invitation := s.keep("invitation", word(t, `/link/(\w+)`, in.run("", "user", "add", "carla", "--phone", secretPhone)))
	s.keep("reset link", word(t, `/link/(\w+)`, in.run("", "user", "reset-password", "bert")))

	p, base := in.serve()
	code := s.signIn(base)
	s.tokens(base, code)
	s.invited(base, invitation)

	database := s.read(in.dir)
	said := in.stop(p)
	s.look("the log", regexp.MustCompile(`"time":"[^"]*"`).ReplaceAllString(said, ""), s.logged)
	s.look("the database", database, s.stored)
	s.look("the database after the end", s.read(in.dir), s.stored)
	if !strings.Contains(said, `"msg":"serving"`) || !strings.Contains(database, "Bert Berg") {
		t.Error("nothing of what does stand in log and database was found: the test looks in the wrong place")
	}
}

func word(t *testing.T, pattern, text string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no %s in %s", pattern, text)
	}
	return html.UnescapeString(m[1])
}

func (s *secrets) keepTOTP(name, uri string) {
	s.t.Helper()
	token, err := factor.ParseTOTP(uri)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keep("TOTP secret, "+name, word(s.t, `secret=(\w+)`, uri))
	s.stored["raw TOTP secret, "+name] = string(token.Secret)
}

func (s *secrets) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// verifier is that of PKCE; it stays with the application until the code is exchanged.
const verifier = "a-verifier-of-at-least-forty-three-characters-here"

func authorizePath(more string) string {
	sum := sha256.Sum256([]byte(verifier))
	return "/authorize?" + url.Values{"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {"openid profile phone offline_access"}, "state": {"some-state"}, "nonce": {"some-nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}.Encode() + more
}

// signIn proves bert, with wrong answers first, and gives the authorization code.
func (s *secrets) signIn(base string) string {
	t := s.t
	t.Helper()
	v, err := newVisitor(base)
	s.must(err)
	s.must(v.open(authorizePath("")))
	wrong := s.keep("wrong password", "a wrong password, typed by bert")
	s.must(v.prove("bert", wrong, ""))
	if v.alert() == "" {
		t.Fatalf("a wrong password is not refused:\n%s", v.page)
	}
	s.must(v.prove("bert", secretPassword, ""))
	right, err := codeOf(secretTOTP, time.Now())
	s.must(err)
	s.keepCode("code", right)
	old, err := codeOf(secretTOTP, time.Now().Add(-time.Hour))
	s.must(err)
	s.must(v.fill(map[string]string{"one-time-code": s.keepCode("wrong code", old)}))
	if v.alert() == "" {
		t.Fatalf("a wrong code is not refused:\n%s", v.page)
	}
	s.must(v.fill(map[string]string{"one-time-code": right}))
	if !strings.HasPrefix(v.at.String(), callback) {
		t.Fatalf("the sign-in ends at %s: %s", v.at, v.alert())
	}
	s.keep("session cookie", v.cookie("portvakt"))
	s.keep("browser cookie", v.cookie("portvakt-browser"))
	return s.keep("authorization code", v.at.Query().Get("code"))
}

// tokens uses a code in every way, right and wrong.
func (s *secrets) tokens(base, code string) {
	t := s.t
	t.Helper()
	call := func(path, secret string, form url.Values) map[string]any {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, base+path, strings.NewReader(form.Encode()))
		s.must(err)
		r.SetBasicAuth("app", secret)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, body := answer(t, r)
		return body
	}
	secret := s.logged["client secret"]
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	call("/token", s.keep("wrong client secret", "a-wrong-secret-of-the-app"), exchange)
	first := call("/token", secret, exchange)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		s.keep(name, text(first, name))
	}
	second := call("/token", secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(first, "refresh_token")}})
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		s.keep("second "+name, text(second, name))
	}
	r, err := http.NewRequest(http.MethodGet, base+"/userinfo", nil)
	s.must(err)
	r.Header.Set("Authorization", "Bearer "+text(second, "access_token"))
	if _, body := answer(t, r); text(body, "phone_number") != secretPhone {
		t.Errorf("userinfo: %v", body)
	}
	if body := call("/introspect", secret, url.Values{"token": {text(second, "refresh_token")}}); body["active"] != true {
		t.Errorf("introspection: %v", body)
	}
	v, err := newVisitor(base)
	s.must(err)
	s.must(v.open("/logout?" + url.Values{"id_token_hint": {text(second, "id_token")}}.Encode()))
	s.must(v.open(authorizePath("&prompt=login&login_hint=bert")))
	if body := call("/token", secret, exchange); body["error"] != "invalid_grant" {
		t.Errorf("a used code: %v", body)
	}
	if body := call("/token", secret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(first, "refresh_token")}}); body["error"] != "invalid_grant" {
		t.Errorf("a used refresh token: %v", body)
	}
}

func text(body map[string]any, name string) string {
	value, _ := body[name].(string)
	return value
}

// invited takes up a link, sets a password and enrols a soft token.
func (s *secrets) invited(base, link string) {
	t := s.t
	t.Helper()
	v, err := newVisitor(base)
	s.must(err)
	s.must(v.open("/link/" + link))
	password := s.keep("new password", "battery staple, correct horse")
	s.must(v.fill(map[string]string{"new-password": password}))
	s.must(v.open("/account"))
	s.must(v.prove("carla", password, ""))
	uri := word(t, `href="(otpauth://[^"]+)"`, v.page)
	s.keepTOTP("enrolled", uri)
	code, err := codeOf(uri, time.Now())
	s.must(err)
	s.must(v.fill(map[string]string{"one-time-code": s.keepCode("first code", code)}))
	if !v.signedIn() {
		t.Fatalf("not signed in: %s %s", v.at, v.alert())
	}
	s.keep("session cookie of carla", v.cookie("portvakt"))
}

// read gives the files of the database, one after another.
func (s *secrets) read(dir string) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "portvakt.db*"))
	s.must(err)
	var all bytes.Buffer
	for _, name := range files {
		b, err := os.ReadFile(name)
		s.must(err)
		all.Write(b)
	}
	return all.String()
}

func (s *secrets) look(where, text string, secrets map[string]string) {
	s.t.Helper()
	for name, value := range secrets {
		if strings.Contains(text, value) {
			s.t.Errorf("%s holds the %s", where, name)
		}
	}
}
