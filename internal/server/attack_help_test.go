package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// The tests in attack_*_test.go are those of somebody who wants in, wants through twice, or wants somebody else locked
// out. Each names the row of the threat list that it belongs to.

func TestMain(m *testing.M) { storetest.Main(m) }

// attack is a site with a clock that the test moves. Two sign-ins of one person need two steps of their soft token, so
// sign-ins move it.
type attack struct {
	*servertest.Site
	clock *storetest.Clock
}

func newAttack(t testing.TB, dbURL string, o servertest.Options) *attack {
	t.Helper()
	clock := storetest.NewClock()
	o.Clock = clock.Now
	return &attack{servertest.New(t, dbURL, o), clock}
}

// onEngines runs a test where storage decides.
func onEngines(t *testing.T, fn func(*testing.T, *attack)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { fn(t, newAttack(t, e.New(t), servertest.Options{})) })
	}
}

// onSQLite is a site for a test where it does not.
func onSQLite(t testing.TB) *attack {
	t.Helper()
	return newAttack(t, storetest.SQLite(t), servertest.Options{})
}

// signIn gives a browser in which the person is signed in.
func (a *attack) signIn(t testing.TB, username, totp string) *servertest.Browser {
	t.Helper()
	b := a.Browser(t)
	a.again(t, b, "/account", username, totp)
	return b
}

// again signs a person in, in a browser that may be signed in, and gives the page that follows.
func (a *attack) again(t testing.TB, b *servertest.Browser, path, username, totp string) *servertest.Page {
	t.Helper()
	a.clock.Add(31 * time.Second)
	p := b.SignIn(b.Get(path), username, servertest.Password, totp)
	if p.Status != http.StatusSeeOther || b.Cookie("portvakt") == "" {
		t.Fatalf("%s is not signed in: %d %q\n%s", username, p.Status, p.Alert(), p.Body)
	}
	return p
}

// start gives the first page of a sign-in for /account.
func start(t testing.TB, b *servertest.Browser) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Get("/account"))
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL.Path, "/login/") {
		t.Fatalf("no sign-in page: %d %s\n%s", p.Status, p.URL, p.Body)
	}
	return p
}

// proved gives the page after a right password: the code or the enrolment.
func proved(t testing.TB, b *servertest.Browser, username string) *servertest.Page {
	t.Helper()
	p := b.Follow(b.Fill(start(t, b), "username", username, "password", servertest.Password))
	if !strings.Contains(p.Body, `name="code"`) {
		t.Fatalf("no page for a code: %d %q\n%s", p.Status, p.Alert(), p.Body)
	}
	return p
}

// in reports whether the browser is signed in.
func in(b *servertest.Browser) bool { return b.Get("/account").Status == http.StatusOK }

// guess types a wrong or right password in a flow of its own and gives the answer.
func guess(t testing.TB, b *servertest.Browser, username, password string) *servertest.Page {
	t.Helper()
	return b.Fill(start(t, b), "username", username, "password", password)
}

const (
	wrong    = "wrong horse battery staple"
	verifier = "a-verifier-of-at-least-forty-three-characters-1234"
)

// authorizeURL is a good authorization request, with some parameters replaced, or, if "", removed.
func authorizeURL(client string, pairs ...string) string {
	return "/authorize?" + authorizeQuery(client, pairs...).Encode()
}

func authorizeQuery(client string, pairs ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {servertest.Redirect},
		"scope": {"openid profile offline_access"}, "state": {"af0ifjsldkj"}, "nonce": {"n-0S6_WzA2Mj"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

// response reads what a redirect brings the application; nil if the answer is none.
func response(t testing.TB, p *servertest.Page) url.Values {
	t.Helper()
	if !strings.HasPrefix(p.Location, servertest.Redirect) {
		return nil
	}
	u, err := url.Parse(p.Location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// mustCode is the code in a redirect to the application.
func mustCode(t testing.TB, p *servertest.Page) string {
	t.Helper()
	code := response(t, p).Get("code")
	if code == "" {
		t.Fatalf("no code: %d %s\n%s", p.Status, p.Location, p.Body)
	}
	return code
}

// post sends a form as a program does, with the header pairs.
func (a *attack) post(t testing.TB, path string, form url.Values, header ...string) *servertest.Page {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, a.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.Browser(t).Do(r)
}

func basic(client string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+servertest.Secret))
}

// tokens redeems a code of a client.
func (a *attack) tokens(t testing.TB, client, code string) map[string]any {
	t.Helper()
	p := a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect},
		"code_verifier": {verifier}}, "Authorization", basic(client))
	if p.Status != http.StatusOK {
		t.Fatalf("token: %d %s", p.Status, p.Body)
	}
	return object(t, p)
}

// pushed pushes a good request of a client and gives what its request_uri alone says.
func (a *attack) pushed(t testing.TB, client string, pairs ...string) string {
	t.Helper()
	form, header := authorizeQuery(client, pairs...), []string{"Authorization", basic(client)}
	if form.Has("client_secret") {
		header = nil
	}
	p := a.post(t, "/par", form, header...)
	if p.Status != http.StatusCreated {
		t.Fatalf("push: %d %s", p.Status, p.Body)
	}
	text, ok := strings.CutPrefix(object(t, p)["request_uri"].(string), "urn:ietf:params:oauth:request_uri:")
	if !ok || len(text) != 43 {
		t.Fatalf("a request_uri of %d characters", len(text))
	}
	return text
}

func (a *attack) refresh(t testing.TB, client, token string) *servertest.Page {
	t.Helper()
	return a.post(t, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "Authorization", basic(client))
}

func object(t testing.TB, p *servertest.Page) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(p.Body), &out); err != nil {
		t.Fatalf("%s: %d is no JSON: %v\n%.300s", p.URL, p.Status, err, p.Body)
	}
	return out
}

// userInfo gives the status that an access token gets.
func (a *attack) userInfo(t testing.TB, tokens map[string]any) int {
	t.Helper()
	return a.post(t, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"].(string)).Status
}

// count counts the events with this reason.
func (a *attack) count(t testing.TB, kind audit.Kind, reason audit.Reason) int {
	t.Helper()
	n := 0
	for _, e := range a.Events(t, kind) {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

// eventually waits for what happens by itself: a cache that looks twice a second, a queue. Its limit only ends tests that fail.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 seconds: %s", what)
		}
	}
}

// parallel runs fn n times at once and gives the answers. Where fn has ended the test, an empty one stands.
func parallel(n int, fn func(int) *servertest.Page) []*servertest.Page {
	pages := slices.Repeat([]*servertest.Page{{URL: &url.URL{}}}, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { <-begin; pages[i] = fn(i) })
	}
	close(begin)
	wg.Wait()
	return pages
}

// telling is what no answer may contain.
var telling = regexp.MustCompile(`(?i)fosite|\bpgx|sqlite|postgres|\bsql\b|SQLSTATE|/home/|/root/|/tmp/|\.go:\d|goroutine|\bory\b|argon2|github\.com|syntax error|constraint`)

// quiet checks that an answer tells nothing of what the service is made of.
func quiet(t testing.TB, p *servertest.Page) {
	t.Helper()
	if found := telling.FindString(p.Body); found != "" {
		t.Errorf("TK-07: the answer of %s (%d) says %q", p.URL.Path, p.Status, found)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var operator = audit.Origin{Actor: "cli"}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var background = context.Background()

var recoveryCode = regexp.MustCompile(`\b[2-9A-HJ-NP-TV-Z]{5}-[2-9A-HJ-NP-TV-Z]{5}\b`)
