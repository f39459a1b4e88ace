package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// spa registers applications in browsers: one that there is (pub of the sample is another), and what must not count as one.
const spa = `clients:
  - {client_id: spa, token_endpoint_auth_method: none, redirect_uris: ["https://SPA.example:443/cb", "http://localhost:5173/cb", "com.example.app:/cb"], grant_types: [authorization_code, refresh_token], scope: openid profile offline_access}
  - {client_id: backend, client_secret: ` + servertest.Secret + `, redirect_uris: ["https://backend.example/cb"]}
`

// origin sends a request as a script of a page at the origin would.
func (a *attack) origin(t testing.TB, method, path, origin string, form url.Values, header ...string) *servertest.Page {
	t.Helper()
	r, err := http.NewRequest(method, a.URL+path, strings.NewReader(form.Encode()))
	ok(t, err)
	r.Header.Set("Origin", origin)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.Browser(t).Do(r)
}

func (a *attack) preflight(t testing.TB, path, origin string) *servertest.Page {
	t.Helper()
	return a.origin(t, http.MethodOptions, path, origin, nil, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,dpop")
}

// TestOriginsOfApplications (TK-03): scripts read the answers that a single-page application needs, at origins where a public client is
// registered and nowhere else, and never with cookies.
func TestOriginsOfApplications(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.ApplyFile(t, spa)
		eventually(t, "the registration", func() bool { return a.preflight(t, "/token", "https://spa.example").Status == http.StatusNoContent })
		for _, origin := range []string{"https://spa.example", "http://localhost:5173", "https://app.example", "http://127.0.0.1"} {
			for path, methods := range map[string]string{"/token": "POST", "/revoke": "POST", "/par": "POST", "/userinfo": "GET, POST"} {
				p := a.preflight(t, path, origin)
				want := map[string]string{"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": methods, "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP",
					"Access-Control-Allow-Credentials": "", "Vary": "Origin"}
				for name, value := range want {
					if p.Header.Get(name) != value || p.Status != http.StatusNoContent {
						t.Errorf("TK-03: preflight of %s at %s: %d %s %q, want %q", path, origin, p.Status, name, p.Header.Get(name), value)
					}
				}
				p = a.origin(t, http.MethodPost, path, origin, url.Values{})
				if h := p.Header; p.Status >= 500 || h.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") ||
					!strings.Contains(h.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") != "Origin" {
					t.Errorf("TK-03: a refusal by %s cannot be read at %s, or by too many: %d %v", path, origin, p.Status, h)
				}
			}
			for _, path := range []string{"/authorize", "/introspect", "/device_authorization", "/login/x", "/account", "/logout", "/device", "/link/x", "/admin", "/api/v1/openapi.json"} {
				for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
					p := a.origin(t, method, path, origin, nil, "Access-Control-Request-Method", "POST")
					if got := p.Header.Get("Access-Control-Allow-Origin"); got != "" {
						t.Errorf("TK-03: %s %s may be read at %s", method, path, got)
					}
				}
			}
		}
		for _, origin := range []string{"https://backend.example", "https://spa.example:8443", "http://spa.example", "https://SPA.example", "https://spa.example.", "https://x.spa.example", "https://spa.example.evil.example",
			"https://spa.example/", "http://localhost", "http://localhost:5174", "http://127.0.0.1:81", "com.example.app:", "null", "*", "", "https://spa.example https://evil.example", "https://spa.example, https://spa.example"} {
			for _, path := range []string{"/token", "/revoke", "/par", "/userinfo"} {
				if p := a.preflight(t, path, origin); p.Status != http.StatusMethodNotAllowed || given(p) {
					t.Errorf("TK-03: preflight of %s at %q: %d %v", path, origin, p.Status, p.Header)
				}
				if p := a.origin(t, http.MethodPost, path, origin, url.Values{}); given(p) {
					t.Errorf("TK-03: %s may be read at %q: %v", path, origin, p.Header)
				}
			}
		}
	})
}

// given reports whether an answer says anything to browsers of other origins.
func given(p *servertest.Page) bool {
	return strings.Contains(fmt.Sprint(p.Header), "Access-Control")
}

// TestTwoOrigins (TK-03): a request with two Origin headers is nobody's.
func TestTwoOrigins(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	for _, method := range []string{"OPTIONS", "POST"} {
		_, header := a.raw(t, method+" /token HTTP/1.1", "Host: x", "Origin: https://app.example", "Origin: https://app.example", "Access-Control-Request-Method: POST")
		if slices.ContainsFunc(header.Values("Access-Control-Allow-Origin"), func(v string) bool { return v != "" }) {
			t.Errorf("TK-03: %s with two origins: %v", method, header)
		}
	}
}

// TestOriginsChange (TK-03): an origin is out when its client is, on every instance, and an application in a browser signs in and refreshes.
func TestOriginsChange(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	const origin = "https://app.example"
	code := mustCode(t, a.signIn(t, "alice", servertest.TOTP).Get(authorizeURL("pub")))
	p := a.origin(t, http.MethodPost, "/token", origin, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect}, "code_verifier": {verifier}, "client_id": {"pub"}})
	if p.Status != http.StatusOK || p.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Fatalf("the code got %d %s %v", p.Status, p.Body, p.Header)
	}
	bearer := "Bearer " + object(t, p)["access_token"].(string)
	if p := a.origin(t, http.MethodGet, "/userinfo", origin, nil, "Authorization", bearer); p.Status != http.StatusOK || p.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("userinfo got %d %v", p.Status, p.Header)
	}
	if p := a.origin(t, http.MethodGet, "/userinfo", "https://evil.example", nil, "Authorization", bearer); given(p) {
		t.Errorf("TK-03: a token's claims may be read at another origin: %v", p.Header)
	}
	ok(t, a.Admin.RemoveClient(t.Context(), storetest.Origin, "pub"))
	eventually(t, "the origin is nobody's", func() bool { return !given(a.preflight(t, "/token", origin)) })
}

// TestOriginsOutage (FT-03): a browser that asks during an outage is told to try later, within 2 s, and one whose answer cannot be looked up
// gets the endpoint's own word for it.
func TestOriginsOutage(t *testing.T) {
	a := newAttack(t, storetest.Postgres(t), servertest.Options{NoWatch: true, Timeout: 2 * time.Second})
	storetest.Stop()
	for name, call := range map[string]func() *servertest.Page{
		"preflight": func() *servertest.Page { return a.preflight(t, "/token", "https://app.example") },
		"token": func() *servertest.Page {
			return a.origin(t, http.MethodPost, "/token", "https://app.example", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"pub"}})
		},
	} {
		servertest.Thrice(t, func() error {
			begun := time.Now()
			p := call()
			if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
				t.Errorf("FT-03: %s during an outage: %d %s", name, p.Status, p.Body)
			}
			if took := time.Since(begun); took > 4*time.Second {
				return fmt.Errorf("FT-03: %s during an outage takes %s", name, took)
			}
			return nil
		})
	}
	storetest.Continue()
}
