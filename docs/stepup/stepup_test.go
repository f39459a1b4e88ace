package stepup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const clientSecret = "s3cret: å/%+" // must be form-encoded inside the Basic header

// start serves introspection as RFC 7662 asks for it, and gives a guard that asks there. Answer gets the token.
func start(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, token string)) *Guard {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		if r.Method != http.MethodPost || id != "the:api" || secret != clientSecret || r.PostFormValue("token_type_hint") != "access_token" {
			t.Errorf("asked by %s as %s:%s with %v", r.Method, id, secret, r.PostForm)
		}
		answer(w, r, r.PostFormValue("token"))
	}))
	t.Cleanup(server.Close)
	return &Guard{Introspect: server.URL + "/introspect", ClientID: "the:api", ClientSecret: clientSecret, Realm: "api"}
}

// says answers every question with one document.
func says(document string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, document)
	}
}

// call sends a request with these Authorization headers and gives the answer, and the token that next saw.
func call(g *Guard, n Need, authorization ...string) (*http.Response, *Token) {
	var seen *Token
	h := g.Require(n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, _ := FromContext(r.Context())
		seen = &t
	}))
	r := httptest.NewRequest(http.MethodGet, "/?access_token=query", strings.NewReader("access_token=form"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), seen
}

// document is an active access token with these members more.
func document(more string) string { return `{"active":true,"token_type":"Bearer"` + more + `}` }

const noError = `Bearer realm="api"`

// asked is a request, what Portvakt says of its token, and the answer.
type asked struct {
	name          string
	authorization []string
	need          Need
	document      string
	status        int
	challenge     string
}

func (tt asked) run(t *testing.T) {
	resp, seen := call(start(t, says(tt.document)), tt.need, tt.authorization...)
	if resp.StatusCode != tt.status || resp.Header.Get("WWW-Authenticate") != tt.challenge {
		t.Errorf("%d %s, want %d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"), tt.status, tt.challenge)
	}
	if refused := tt.status != 200; (seen == nil) != refused || refused && resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("let through: %v, headers %v", seen, resp.Header)
	}
}

func TestToken(t *testing.T) {
	const (
		invalid = noError + `, error="invalid_token", error_description="The access token is not valid"`
		scope   = noError + `, error="insufficient_scope", scope=`
	)
	good := []string{"Bearer abc"}
	for _, tt := range []asked{
		{"no token", nil, Need{}, document(""), 401, noError},
		{"another scheme", []string{"Basic YTpi"}, Need{}, document(""), 401, noError},
		{"a scheme that begins alike", []string{"Bearerabc"}, Need{}, document(""), 401, noError},
		{"no token after the scheme", []string{"Bearer"}, Need{}, document(""), 401, invalid},
		{"two tokens", []string{"Bearer a b"}, Need{}, document(""), 401, invalid},
		{"two headers", []string{"Bearer a", "Bearer b"}, Need{}, document(""), 401, invalid},
		{"a token that is none", []string{"Bearer a\"b"}, Need{}, document(""), 401, invalid},
		{"padding alone", []string{"Bearer =="}, Need{}, document(""), 401, invalid},
		{"a token too long", []string{"Bearer " + strings.Repeat("a", tokenMax+1)}, Need{}, document(""), 401, invalid},
		{"not active", good, Need{}, `{"active":false}`, 401, invalid},
		{"not active, whatever else", good, Need{}, `{"active":false,"token_type":"Bearer","scope":"a"}`, 401, invalid},
		{"a refresh token", good, Need{}, `{"active":true}`, 401, invalid},
		{"a token bound to a key", good, Need{}, `{"active":true,"token_type":"DPoP"}`, 401, invalid},
		{"active", good, Need{}, document(""), 200, ""},
		{"scheme in small letters", []string{"bearer  a.b-c_d~e+f/g=="}, Need{}, document(""), 200, ""},

		{"the scope", good, Need{Scope: "a"}, document(`,"scope":"b a"`), 200, ""},
		{"both scopes", good, Need{Scope: "a b"}, document(`,"scope":"b c a"`), 200, ""},
		{"no scope", good, Need{Scope: "a"}, document(""), 403, scope + `"a"`},
		{"one scope of two", good, Need{Scope: "a b"}, document(`,"scope":"a"`), 403, scope + `"a b"`},
		{"part of a scope", good, Need{Scope: "a"}, document(`,"scope":"ab a:b A"`), 403, scope + `"a"`},
		{"scope before class", good, Need{Scope: "a", ACR: "phr"}, document(""), 403, scope + `"a"`},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestStepUp(t *testing.T) {
	const (
		weak = noError + `, error="insufficient_user_authentication", error_description="A different authentication level is required"`
		old  = noError + `, error="insufficient_user_authentication", error_description="More recent authentication is required"`
	)
	ago := func(d time.Duration) string { return fmt.Sprintf(`,"auth_time":%d`, time.Now().Add(-d).Unix()) }
	good := []string{"Bearer abc"}
	for _, tt := range []asked{
		{"the class", good, Need{ACR: "phr"}, document(`,"acr":"phr"`), 200, ""},
		{"a class too weak", good, Need{ACR: "phr"}, document(`,"acr":"urn:portvakt:acr:2fa"`), 401, weak + `, acr_values="phr"`},
		{"class too weak, both named", good, Need{ACR: "phr", MaxAge: 5 * time.Minute}, document(`,"acr":"urn:portvakt:acr:2fa"` + ago(0)), 401,
			weak + `, acr_values="phr", max_age="300"`},
		{"young enough", good, Need{MaxAge: time.Minute}, document(ago(30 * time.Second)), 200, ""},
		{"too old", good, Need{MaxAge: time.Minute}, document(ago(90 * time.Second)), 401, old + `, max_age="60"`},
		{"too old, both named", good, Need{ACR: "phr", MaxAge: time.Minute}, document(`,"acr":"phrh"` + ago(time.Hour)), 401,
			old + `, acr_values="phr", max_age="60"`},
		{"nobody signed in", good, Need{MaxAge: time.Minute}, document(""), 401, old + `, max_age="60"`},
		{"any age", good, Need{}, document(ago(1000 * time.Hour)), 200, ""},
		{"all of it", good, Need{Scope: "a", ACR: "phr", MaxAge: time.Minute}, document(`,"scope":"a","acr":"phr"` + ago(time.Second)), 200, ""},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestFromContext(t *testing.T) {
	g := start(t, func(w http.ResponseWriter, r *http.Request, token string) {
		if token != "a+b/c=" {
			t.Errorf("asked about %q", token)
		}
		says(document(`,"sub":"u1","scope":"a b","client_id":"intranet","acr":"phr","auth_time":1700000000,"exp":1700000300,"sid":"x"`))(w, r, token)
	})
	_, seen := call(g, Need{}, "Bearer a+b/c=")
	if want := (Token{"u1", "a b", "intranet", "phr", time.Unix(1700000000, 0), time.Unix(1700000300, 0)}); seen == nil || *seen != want {
		t.Errorf("%+v, want %+v", seen, want)
	}
	if got, ok := FromContext(t.Context()); ok {
		t.Errorf("a token from nowhere: %+v", got)
	}
	_, seen = call(start(t, says(document(""))), Need{}, "Bearer a")
	if seen == nil || *seen != (Token{}) {
		t.Errorf("%+v, want no more than was told", seen)
	}
}

func TestACROrder(t *testing.T) {
	const fa1, fa2 = "urn:portvakt:acr:1fa", "urn:portvakt:acr:2fa"
	for _, tt := range []struct{ need, met, unmet string }{
		{"", " " + fa1 + " " + fa2 + " phr phrh other", "-"},
		{fa1, fa1 + " " + fa2 + " phr phrh", " other PHR"},
		{fa2, fa2 + " phr phrh", " " + fa1 + " other"},
		{"phr", "phr phrh", " " + fa1 + " " + fa2 + " other phr2 PHR"},
		{"phrh", "phrh", " " + fa1 + " " + fa2 + " phr other"},
		{"other", "other", " " + fa1 + " " + fa2 + " phr phrh another Other"},
	} {
		for have := range strings.SplitSeq(tt.met, " ") {
			if !meets(have, tt.need) {
				t.Errorf("%q does not meet %q", have, tt.need)
			}
		}
		for have := range strings.SplitSeq(tt.unmet, " ") {
			if have != "-" && meets(have, tt.need) {
				t.Errorf("%q meets %q", have, tt.need)
			}
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestMaxAge stands on the second at which a sign-in grows too old.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := document(fmt.Sprintf(`,"auth_time":%d`, time.Now().Add(time.Minute).Unix()))
		g := &Guard{Introspect: "https://login.example.se/introspect", ClientID: "a", ClientSecret: "b",
			Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(doc))}, nil
			})}}
		for _, tt := range []struct {
			later time.Duration
			want  int
		}{
			{0, 200}, // its clock is a minute ahead of ours
			{time.Minute, 200},
			{5 * time.Minute, 200},
			{time.Nanosecond, 401},
			{time.Hour, 401},
		} {
			<-time.After(tt.later)
			if resp, _ := call(g, Need{MaxAge: 5 * time.Minute}, "Bearer a"); resp.StatusCode != tt.want {
				t.Errorf("%v later: %d, want %d", tt.later, resp.StatusCode, tt.want)
			}
		}
	})
}

// TestOutage holds what is no answer about a token; none may come out as a 401.
func TestOutage(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request, string) {
		return func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(code)
			if code != http.StatusNoContent {
				_, _ = io.WriteString(w, document(""))
			}
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, string){
		"201":             status(201),
		"204":             status(204),
		"400":             status(400),
		"401":             status(401),
		"403":             status(403),
		"404":             status(404),
		"429":             status(429),
		"500":             status(500),
		"503":             status(503),
		"empty":           says(""),
		"null":            says("null"),
		"list":            says("[]"),
		"cut off":         says(`{"active":true,"token_type":"Bearer"`),
		"two":             says(document("") + document("")),
		"HTML":            says("<!doctype html><title>Sign in</title>"),
		"no active":       says(`{"token_type":"Bearer"}`),
		"active is null":  says(`{"active":null,"token_type":"Bearer"}`),
		"active is text":  says(`{"active":"true","token_type":"Bearer"}`),
		"scope is a list": says(document(`,"scope":["a"]`)),
		"time is text":    says(document(`,"auth_time":"soon"`)),
		"huge":            says(document(`,"x":"` + strings.Repeat("x", answerMax) + `"`)),
		"endless": func(w http.ResponseWriter, _ *http.Request, _ string) {
			for err := error(nil); err == nil; {
				_, err = w.Write(bytes.Repeat([]byte(" "), 4096))
			}
		},
		"shorter than said": func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, document(""))
		},
		"closed": func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) { checkUnavailable(t, start(t, answer)) })
	}
	t.Run("nobody there", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		checkUnavailable(t, &Guard{Introspect: server.URL, ClientID: "a", ClientSecret: "b"})
	})
}

func checkUnavailable(t *testing.T, g *Guard) {
	t.Helper()
	resp, seen := call(g, Need{}, "Bearer abc")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "5" || resp.Header.Get("WWW-Authenticate") != "" || seen != nil {
		t.Errorf("%d %v, let through: %v", resp.StatusCode, resp.Header, seen)
	}
}

// counted is a body that tells how much of it was read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func (c *counted) Close() error { return nil }

// TestLarge is the largest answer that is taken, and how much of a larger one is read.
func TestLarge(t *testing.T) {
	fill := strings.Repeat(" ", answerMax-len(document("")))
	for doc, want := range map[string]int{
		document("") + fill:                                  200,
		document("") + fill + " ":                            503,
		document("") + fill + strings.Repeat(" ", answerMax): 503,
	} {
		body := &counted{Reader: strings.NewReader(doc)}
		g := &Guard{Introspect: "https://login.example.se/introspect", ClientID: "a", ClientSecret: "b",
			Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: body}, nil
			})}}
		if resp, _ := call(g, Need{}, "Bearer abc"); resp.StatusCode != want || body.n > answerMax+1 {
			t.Errorf("%d bytes: %d after %d, want %d", len(doc), resp.StatusCode, body.n, want)
		}
	}
}

func TestNoRedirect(t *testing.T) {
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		says(document(""))(w, r, "")
	}))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, client := range []*http.Client{nil, {}, {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
			g := start(t, func(w http.ResponseWriter, r *http.Request, _ string) { http.Redirect(w, r, other.URL, code) })
			g.Client = client
			checkUnavailable(t, g)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("followed %d times", n)
	}
}

// TestSilent waits the 2 seconds that a guard without a client of its own gives.
func TestSilent(t *testing.T) {
	t.Parallel()
	g := start(t, func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() })
	begin := time.Now()
	checkUnavailable(t, g)
	if took := time.Since(begin); took < 2*time.Second || took > 8*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		``:                           `""`,
		`api`:                        `"api"`,
		`a "b" \c`:                   `"a \"b\" \\c"`,
		"a\r\nSet-Cookie: b=c\x00\t": `"aSet-Cookie: b=c"`,
		"löner\x7f":                  `"löner"`,
		`", error="x`:                `"\", error=\"x"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		g := start(t, says(document("")))
		g.Realm = in
		server := httptest.NewServer(g.Require(Need{ACR: `a"b\`}, http.NotFoundHandler()))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a")
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		server.Close()
		header := resp.Header.Get("WWW-Authenticate")
		if !strings.HasPrefix(header, "Bearer realm="+want+", error=") || !strings.HasSuffix(header, `, acr_values="a\"b\\"`) || len(resp.Cookies()) > 0 {
			t.Errorf("%q: %s", in, header)
		}
	}
}

// TestRequirePanics holds what can never work, found when the program starts.
func TestRequirePanics(t *testing.T) {
	good := Guard{Introspect: "https://login.example.se/introspect", ClientID: "a", ClientSecret: "b"}
	with := func(change func(*Guard)) Guard { g := good; change(&g); return g }
	for _, tt := range []struct {
		g    Guard
		n    Need
		want bool
	}{
		{good, Need{}, false},
		{with(func(g *Guard) { g.Introspect = "http://localhost:8080/introspect" }), Need{}, false},
		{with(func(g *Guard) { g.Introspect = "http://[::1]:8080/introspect" }), Need{}, false},
		{with(func(g *Guard) { g.Introspect = "http://login.example.se/introspect" }), Need{}, true},
		{with(func(g *Guard) { g.Introspect = "http://localhost.example.se/introspect" }), Need{}, true},
		{with(func(g *Guard) { g.Introspect = "/introspect" }), Need{}, true},
		{with(func(g *Guard) { g.Introspect = "" }), Need{}, true},
		{with(func(g *Guard) { g.ClientID = "" }), Need{}, true},
		{with(func(g *Guard) { g.ClientSecret = "" }), Need{}, true},
		{good, Need{MaxAge: -time.Second}, true},
		{good, Need{MaxAge: 1500 * time.Millisecond}, true},
		{good, Need{ACR: "phr phrh"}, true},
	} {
		func() {
			defer func() {
				if got := recover(); (got != nil) != tt.want || strings.Contains(fmt.Sprint(got), clientSecret) {
					t.Errorf("%+v %+v: %v, want a panic: %v", tt.g, tt.n, got, tt.want)
				}
			}()
			tt.g.Require(tt.n, http.NotFoundHandler())
		}()
	}
}

// TestConcurrent sends many at once and looks whether anyone sees another's token; and that each was asked about anew.
func TestConcurrent(t *testing.T) {
	var asked atomic.Int32
	g := start(t, func(w http.ResponseWriter, r *http.Request, token string) {
		asked.Add(1)
		says(document(fmt.Sprintf(`,"sub":%q`, token)))(w, r, token)
	})
	g.Client = &http.Client{Timeout: time.Minute} // a busy machine does not answer a hundred in 2 s
	h := g.Require(Need{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := FromContext(r.Context())
		_, _ = io.WriteString(w, token.Subject)
	}))
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := fmt.Sprintf("t%d", i%50)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+name)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || w.Body.String() != name {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 100 {
		t.Errorf("asked %d times", n)
	}
}

// TestLogged shows that a fault is logged, and neither the token nor the secret with it.
func TestLogged(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	call(start(t, func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(401) }), Need{}, "Bearer t0ken")
	if got := out.String(); !strings.Contains(got, "401 Unauthorized") || strings.Contains(got, "t0ken") || strings.Contains(got, "s3cret") {
		t.Errorf("logged %q", got)
	}
	out.Reset()
	left, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(left, http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer t0ken")
	start(t, says(document(""))).Require(Need{}, http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 503 || out.Len() > 0 {
		t.Errorf("%d for a caller who has left, logged %q", w.Code, out.String())
	}
}

// TestReadme holds the example of the README against the one that compiles.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\nfunc main() {\n")
	body, _, found := strings.Cut(rest, "```")
	if !found || !strings.HasSuffix(string(example), "func ExampleGuard_Require() {\n"+body) {
		t.Error("the example of README.md is not that of example_test.go")
	}
}
