package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
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

// The tests in attack_factor_*_test.go attack the second factors.

// oneIssuer is the public address of sites that stand for two instances of one service: a passkey belongs to it.
const oneIssuer = "http://localhost:9"

// factorSites runs a test on both engines, on a service with text messages whose policy is read anew each time.
func factorSites(t *testing.T, apply string, fn func(*testing.T, *attack)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { fn(t, factorSite(t, e.New(t), apply)) })
	}
}

func factorSite(t testing.TB, dbURL, apply string) *attack {
	t.Helper()
	return newAttack(t, dbURL, servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: servertest.Sample() + apply, Issuer: oneIssuer,
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// policies is an apply file of the sample with these policies; then every instance works with it.
func (a *attack) policies(t testing.TB, apply string) {
	t.Helper()
	a.ApplyFile(t, servertest.Sample()+apply)
	a.Settle(t)
}

// person is somebody's row.
func (a *attack) person(t testing.TB, username string) *store.Person {
	t.Helper()
	var p *store.Person
	storetest.View(t, a.DB, func(tx *store.Tx) (err error) { p, err = tx.PersonByName(username); return err })
	return p
}

// kinds lists the kinds of a person's factors, stopped ones too.
func (a *attack) kinds(t testing.TB, username string) []string {
	t.Helper()
	var kinds []string
	storetest.View(t, a.DB, func(tx *store.Tx) error {
		kinds = nil
		p, err := tx.PersonByName(username)
		if err != nil {
			return err
		}
		all, err := tx.FactorsOf(p.ID)
		for _, f := range all {
			kinds = append(kinds, string(f.Kind))
		}
		return err
	})
	slices.Sort(kinds)
	return kinds
}

// factorID is the id of a person's first factor of a kind.
func (a *attack) factorID(t testing.TB, username string, kind user.FactorKind) string {
	t.Helper()
	id := ""
	storetest.View(t, a.DB, func(tx *store.Tx) error {
		p, err := tx.PersonByName(username)
		if err != nil {
			return err
		}
		all, err := tx.FactorsOf(p.ID)
		for _, f := range all {
			if f.Kind == kind && id == "" {
				id = f.ID
			}
		}
		return err
	})
	return id
}

// at is the browser b on another instance: the same cookies.
func at(b *servertest.Browser, s *servertest.Site) *servertest.Browser {
	c := *b
	c.Base = s.URL
	c.Header = maps.Clone(b.Header)
	return &c
}

var dataOptions = regexp.MustCompile(`data-options="([^"]*)"`)

// options is what a page hands to the authenticator.
func options(t testing.TB, p *servertest.Page) []byte {
	t.Helper()
	m := dataOptions.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("no options for a passkey on %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
	return []byte(html.UnescapeString(m[1]))
}

// challengeOf is the challenge in a page's options.
func challengeOf(t testing.TB, p *servertest.Page) []byte {
	t.Helper()
	var o struct{ Challenge string }
	ok(t, json.Unmarshal(options(t, p), &o))
	raw, err := base64.RawURLEncoding.DecodeString(o.Challenge)
	ok(t, err)
	return raw
}

// anyKey edits options so that an authenticator answers with whatever it has, or makes a passkey that it has already.
func anyKey(answer func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(options []byte) ([]byte, error) {
		var o map[string]any
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, err
		}
		delete(o, "allowCredentials")
		delete(o, "excludeCredentials")
		edited, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		return answer(edited)
	}
}

// secondPage is the page after a right password.
func secondPage(t testing.TB, b *servertest.Browser, username string) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Fill(start(t, b), "username", username, "password", servertest.Password))
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL.Path, "/login/") {
		t.Fatalf("no page for a second factor: %d %s %q\n%s", p.Status, p.URL, p.Alert(), p.Body)
	}
	return p
}

// withPasskey makes newcomer's first passkey, at a sign-in, and gives the browser that is signed in.
func (a *attack) withPasskey(t testing.TB, username string, key *factortest.Authenticator) *servertest.Browser {
	t.Helper()
	b := a.Browser(t)
	p := b.Follow(b.Press(secondPage(t, b, username), "way", "webauthn"))
	if p = b.Passkey(p, key.Create); p.Status != http.StatusSeeOther || b.Cookie("portvakt") == "" {
		t.Fatalf("%s has no passkey: %d %q\n%s", username, p.Status, p.Alert(), p.Body)
	}
	return b
}

// addPasskey gives a person who is freshly signed in one more passkey.
func addPasskey(t testing.TB, b *servertest.Browser, key *factortest.Authenticator) {
	t.Helper()
	p := b.Passkey(b.Get("/account/add/webauthn"), key.Create)
	if !strings.HasSuffix(p.Location, "done=added") {
		t.Fatalf("no passkey was added: %d %s %q\n%s", p.Status, p.Location, p.Alert(), p.Body)
	}
}

// toText signs a person in as far as the page for the code of a text message, and gives it with the message.
func (a *attack) toText(t testing.TB, b *servertest.Browser, username string) (*servertest.Page, string) {
	t.Helper()
	n := len(a.Texts(t))
	p := b.Follow(b.Press(secondPage(t, b, username), "way", "sms"))
	if !strings.Contains(p.Body, `data-factor="sms"`) {
		t.Fatalf("no page for a text message: %d\n%s", p.Status, p.Body)
	}
	return p, a.AwaitTexts(t, n+1)[n].Code()
}

// code fills in the code of a text message or a soft token.
func code(b *servertest.Browser, p *servertest.Page, code string) *servertest.Page {
	return b.FillWith(p, `name="code"`, "code", code)
}

// otherCode is a six-digit code that is not this one.
func otherCode(code string, i int) string {
	n := 0
	for _, r := range code {
		n = n*10 + int(r-'0')
	}
	n = (n + 1 + i) % 1_000_000
	out := []byte("000000")
	for k := 5; k >= 0; k-- {
		out[k] = byte('0' + n%10)
		n /= 10
	}
	return string(out)
}

// totp is a person's code now, one step after every one before.
func (a *attack) totp(t testing.TB, uri string) string {
	t.Helper()
	a.clock.Add(31 * time.Second)
	return servertest.Code(t, uri, a.Clock())
}

// idToken gives the claims of an ID token without checking them.
func idToken(t testing.TB, tokens map[string]any) map[string]any {
	t.Helper()
	parts := strings.Split(tokens["id_token"].(string), ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	ok(t, err)
	var claims map[string]any
	ok(t, json.Unmarshal(body, &claims))
	return claims
}

// tape records everything that a browser is sent: status line, headers, bodies.
type tape struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// record puts a tape into a browser.
func record(b *servertest.Browser) *tape {
	t := &tape{}
	b.Client.Transport = t
	return t
}

func (t *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.WriteString("\n" + r.Method + " " + r.URL.Path + " " + resp.Status + "\n")
	_ = resp.Header.Write(&t.buf)
	t.buf.Write(body)
	return resp, nil
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// events gives what the trail got since n events.
func (a *attack) since(t testing.TB, n int, kinds ...audit.Kind) []audit.Event {
	t.Helper()
	return a.Events(t, kinds...)[n:]
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// credentialID is the id in an authenticator's response.
func credentialID(t testing.TB, response []byte) []byte {
	t.Helper()
	var r struct{ RawID string }
	ok(t, json.Unmarshal(response, &r))
	id, err := base64.RawURLEncoding.DecodeString(r.RawID)
	ok(t, err)
	return id
}

func storetestSQLite(t testing.TB) string { return storetest.SQLite(t) }

// hashOf is how a browser's secret stands in a row.
func hashOf(secret string) []byte { return store.HashToken(secret) }

// hushed is quiet without what is random: a challenge may spell anything.
func hushed(t testing.TB, p *servertest.Page) {
	t.Helper()
	q := *p
	q.Body = nonce.ReplaceAllString(dataOptions.ReplaceAllString(p.Body, ""), "·")
	quiet(t, &q)
}
