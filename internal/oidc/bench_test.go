package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// bench drives the service without a socket: what is counted is the service's own work and its trips to the database.
type bench struct {
	site    *servertest.Site
	handler http.Handler
	cookie  string
	client  string
}

const verifier = "a-verifier-of-at-least-forty-three-characters-1234"

func newBench(t testing.TB, e storetest.Engine, client string) *bench {
	s := servertest.New(t, e.New(t), servertest.Options{NoMail: true}) // sending writes, too, and whenever it comes to it
	b := signedIn(t, s)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, c := range b.Client.Jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return &bench{s, s.Server, strings.Join(pairs, "; "), client}
}

func (b *bench) do(t testing.TB, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r, err := http.NewRequest(method, path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.1:1234"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func (b *bench) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(b.client+":"+servertest.Secret))
}

// code gives a fresh authorization code.
func (b *bench) code(t testing.TB) string {
	t.Helper()
	w := b.do(t, http.MethodGet, b.authorizeURL(), nil, "Cookie", b.cookie)
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || u.Query().Get("code") == "" {
		t.Fatalf("authorize: %d %v\n%s", w.Code, u, w.Body)
	}
	return u.Query().Get("code")
}

func (b *bench) authorizeURL() string { return "/authorize?" + authorizeQuery(b.client).Encode() }

// authorizeQuery is a good authorization request.
func authorizeQuery(clientID string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return url.Values{"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {servertest.Redirect},
		"scope": {"openid profile offline_access"}, "state": {"af0ifjsldkj"}, "nonce": {"n-0S6_WzA2Mj"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
}

func (b *bench) token(t testing.TB, form url.Values) string {
	t.Helper()
	w := b.do(t, http.MethodPost, "/token", form, "Authorization", b.basic())
	if w.Code != http.StatusOK {
		t.Fatalf("token: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// field cuts a string out of a token response, at less cost than decoding it.
func field(t testing.TB, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `"`+name+`":"`)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("no %s in %s", name, body)
	}
	return value
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect}, "code_verifier": {verifier}}
}

// measure runs op b.N times and reports trips beside time and allocations.
func measure(b *testing.B, s *bench, op func(i int)) {
	op(-1) // warms statements, pools and caches
	b.ReportAllocs()
	b.ResetTimer()
	reads, writes := s.site.DB.Trips()
	for i := range b.N {
		op(i)
	}
	b.StopTimer()
	r, w := s.site.DB.Trips()
	b.ReportMetric(float64(r-reads)/float64(b.N), "reads/op")
	b.ReportMetric(float64(w-writes)/float64(b.N), "writes/op")
}

// BenchmarkProtocol times each endpoint on each engine, ES256.
func BenchmarkProtocol(b *testing.B) {
	for _, e := range storetest.Engines() {
		for name, run := range map[string]func(*testing.B, *bench){
			"authorize": benchAuthorize, "token": benchToken, "refresh": benchRefresh, "client_credentials": benchOwn,
			"introspect": benchIntrospect, "userinfo": benchUserInfo, "discovery": benchDiscovery, "jwks": benchJWKS,
		} {
			b.Run(name+"/"+e.Name, func(b *testing.B) { run(b, newBench(b, e, "conf")) })
		}
	}
}

// BenchmarkHarness is what asking costs by itself: take it off the others' figures.
func BenchmarkHarness(b *testing.B) {
	s := &bench{client: "conf", handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })}
	form := codeForm("code")
	b.ReportAllocs()
	for b.Loop() {
		s.token(b, form)
	}
}

func benchAuthorize(b *testing.B, s *bench) { measure(b, s, func(int) { s.code(b) }) }

func benchToken(b *testing.B, s *bench) {
	codes := make([]string, b.N+1)
	for i := range codes {
		codes[i] = s.code(b)
	}
	form := codeForm("")
	measure(b, s, func(i int) {
		form.Set("code", codes[i+1])
		s.token(b, form)
	})
}

func benchRefresh(b *testing.B, s *bench) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {field(b, s.token(b, codeForm(s.code(b))), "refresh_token")}}
	measure(b, s, func(int) { form.Set("refresh_token", field(b, s.token(b, form), "refresh_token")) })
}

func benchOwn(b *testing.B, s *bench) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"api"}}
	measure(b, s, func(int) { s.token(b, form) })
}

func benchIntrospect(b *testing.B, s *bench) {
	form := url.Values{"token": {field(b, s.token(b, codeForm(s.code(b))), "access_token")}}
	measure(b, s, func(int) {
		if w := s.do(b, http.MethodPost, "/introspect", form, "Authorization", s.basic()); !strings.Contains(w.Body.String(), `"active":true`) {
			b.Fatal(w.Body)
		}
	})
}

func benchUserInfo(b *testing.B, s *bench) {
	token := field(b, s.token(b, codeForm(s.code(b))), "access_token")
	measure(b, s, func(int) {
		if w := s.do(b, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+token); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	})
}

func benchDiscovery(b *testing.B, s *bench) {
	measure(b, s, func(int) { s.do(b, http.MethodGet, "/.well-known/openid-configuration", nil) })
}

func benchJWKS(b *testing.B, s *bench) {
	measure(b, s, func(int) { s.do(b, http.MethodGet, "/jwks", nil) })
}
