package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// The tests in refusals_*_test.go send what must be refused. Each names the row of the threat list that it belongs to.

// refusals is a site with a clock that the test moves, and a browser in which alice is signed in.
type refusals struct {
	*servertest.Site
	clock *storetest.Clock
	alice *servertest.Browser
}

func newRefusals(t testing.TB, dbURL, apply string) *refusals {
	t.Helper()
	return newRefusalsWith(t, dbURL, servertest.Options{Apply: apply})
}

func newRefusalsWith(t testing.TB, dbURL string, o servertest.Options) *refusals {
	t.Helper()
	clock := storetest.NewClock()
	o.Clock = clock.Now
	s := servertest.New(t, dbURL, o)
	r := &refusals{s, clock, signedIn(t, s)}
	clock.Add(time.Second)
	return r
}

func refusalsOnSQLite(t testing.TB) *refusals {
	t.Helper()
	return newRefusals(t, storetest.SQLite(t), "")
}

func refusalsOnEngines(t *testing.T, fn func(*testing.T, *refusals)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { fn(t, newRefusals(t, e.New(t), "")) })
	}
}

// with is a good authorization request with some parameters replaced, or, if "", removed.
func with(client string, pairs ...string) url.Values {
	q := authorizeQuery(client)
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

func (s *refusals) authorize(q url.Values) *servertest.Page {
	return s.alice.Get("/authorize?" + q.Encode())
}

// code is a code for a client.
func (s *refusals) code(t testing.TB, client string, pairs ...string) string {
	t.Helper()
	code := sent(t, s.authorize(with(client, pairs...))).Get("code")
	if code == "" {
		t.Fatal("no code")
	}
	return code
}

// sent is what a redirect brings the application, or nil.
func sent(t testing.TB, p *servertest.Page) url.Values {
	t.Helper()
	u, err := url.Parse(p.Location)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Location, servertest.Redirect+"?") {
		return nil
	}
	return u.Query()
}

// call is a program's request: form in the body unless body is given by the header "Body".
func (s *refusals) call(t testing.TB, method, path string, form url.Values, header ...string) *servertest.Page {
	t.Helper()
	body := form.Encode()
	r, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Body" {
			body = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	r.Body, r.ContentLength = http.NoBody, 0
	if body != "" {
		again, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		again.Header = r.Header
		r = again
	}
	return s.Browser(t).Do(r)
}

func (s *refusals) post(t testing.TB, path, client string, form url.Values) *servertest.Page {
	t.Helper()
	return s.call(t, http.MethodPost, path, form, "Authorization", basicOf(client, servertest.Secret))
}

func basicOf(client, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+secret))
}

// tokens redeems a fresh code of a client.
func (s *refusals) tokens(t testing.TB, client string, pairs ...string) map[string]string {
	t.Helper()
	p := s.post(t, "/token", client, codeForm(s.code(t, client, pairs...)))
	if p.Status != http.StatusOK {
		t.Fatalf("token: %d %s", p.Status, p.Body)
	}
	return words(t, p)
}

// words are the texts of a JSON answer.
func words(t testing.TB, p *servertest.Page) map[string]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(p.Body), &all); err != nil {
		t.Fatalf("%s: %d is no JSON: %v\n%.300s", p.URL, p.Status, err, p.Body)
	}
	out := map[string]string{}
	for k, v := range all {
		switch v := v.(type) {
		case string:
			out[k] = v
		case bool:
			out[k] = map[bool]string{true: "true", false: "false"}[v]
		}
	}
	return out
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// alive says what of a token response still works: "access", "refresh" or both. It uses the refresh token up.
func (s *refusals) alive(t testing.TB, client string, tokens map[string]string) string {
	t.Helper()
	var out []string
	if s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"]).Status == http.StatusOK {
		out = append(out, "access")
	}
	if words(t, s.post(t, "/introspect", client, url.Values{"token": {tokens["access_token"]}}))["active"] == "true" && len(out) == 0 {
		out = append(out, "introspection")
	}
	if s.post(t, "/token", client, refreshForm(tokens["refresh_token"])).Status == http.StatusOK {
		out = append(out, "refresh")
	}
	return strings.Join(out, " ")
}

// telling is what no answer may contain.
var telling = regexp.MustCompile(`(?i)fosite|\bpgx|sqlite|postgres|\bsql\b|SQLSTATE|/home/|/root/|/tmp/|\.go:\d|goroutine|\bory\b|github\.com|syntax error|constraint`)

// described is what an error_description may consist of (RFC 6749 §5.2).
var described = regexp.MustCompile(`^[\x20\x21\x23-\x5b\x5d-\x7e]*$`)

// refused checks an answer of a JSON endpoint: the error, its status, and everything that such an answer must have.
func refused(t testing.TB, what string, p *servertest.Page, errors ...string) {
	t.Helper()
	h := p.Header
	if h.Get("Cache-Control") != "no-store" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("TK-01: %s: headers %v", what, h)
		return
	}
	w := words(t, p)
	want := http.StatusBadRequest
	if w["error"] == "invalid_client" || w["error"] == "invalid_token" {
		want = http.StatusUnauthorized
	}
	found := false
	for _, e := range errors {
		found = found || w["error"] == e
	}
	if !found || p.Status != want {
		t.Errorf("%s: got %d %q (%s), want one of %v", what, p.Status, w["error"], w["error_description"], errors)
	}
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		t.Errorf("TK-01: %s: 401 without WWW-Authenticate", what)
	}
	if telling.MatchString(p.Body) {
		t.Errorf("TK-07: %s: the answer says %s", what, p.Body)
	}
	if !described.MatchString(w["error_description"]) {
		t.Errorf("RFC 6749 §5.2: %s: error_description %q", what, w["error_description"])
	}
}
