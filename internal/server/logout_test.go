package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stock "github.com/coreos/go-oidc/v3/oidc"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// toldApp is an application that takes logout tokens as a stock client would: signature, issuer and audience by go-oidc, the rest by
// OpenID Connect Back-Channel Logout 1.0 §2.6.
type toldApp struct {
	*httptest.Server
	id     string
	issuer []string // of each instance

	mu     sync.Mutex
	ended  []string // sid of each token
	ids    map[string]bool
	answer func(n int) int // status of the nth call, 0: it never answers
	calls  int
}

func newTold(t *testing.T, id string) *toldApp {
	a := &toldApp{id: id, ids: map[string]bool{}}
	gone := make(chan struct{})
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.calls++
		status := http.StatusOK
		if a.answer != nil {
			status = a.answer(a.calls)
		}
		a.mu.Unlock()
		if status == 0 {
			select {
			case <-r.Context().Done():
			case <-gone:
			}
			return
		}
		if status == http.StatusOK {
			if err := a.take(r); err != nil {
				t.Errorf("%s: %v", a.id, err)
				status = http.StatusBadRequest
			}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(a.Close)
	t.Cleanup(func() { close(gone) })
	return a
}

func (a *toldApp) take(r *http.Request) error {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(r.FormValue("logout_token")) == 0 {
		return fmt.Errorf("got %s %v", r.Method, r.Header)
	}
	raw := r.FormValue("logout_token")
	p, err := stock.NewProvider(context.Background(), a.issuer[0])
	if err != nil {
		return err
	}
	token, err := p.Verifier(&stock.Config{ClientID: a.id, SupportedSigningAlgs: []string{"ES256"}, SkipExpiryCheck: true, SkipIssuerCheck: true}).Verify(context.Background(), raw)
	if err != nil {
		return err
	}
	header, _, _ := strings.Cut(raw, ".")
	if b, err := base64.RawURLEncoding.DecodeString(header); err != nil || !strings.Contains(string(b), `"typ":"logout+jwt"`) {
		return fmt.Errorf("the header is %s", b)
	}
	var c struct {
		Iss, Sid, Jti, Sub string
		Nonce              *string
		Iat, Exp           int64
		Events             map[string]json.RawMessage
	}
	if err := token.Claims(&c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.issuer, c.Iss) || c.Sid == "" || c.Sub == "" || c.Jti == "" || a.ids[c.Jti] || c.Nonce != nil || c.Exp-c.Iat != 120 || string(c.Events["http://schemas.openid.net/event/backchannel-logout"]) != "{}" {
		return fmt.Errorf("the claims are %+v", c)
	}
	a.ids[c.Jti] = true
	a.ended = append(a.ended, c.Sid)
	return nil
}

func (a *toldApp) sids() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ended)
}

// tellingSite has three applications that want to be told.
func tellingSite(t *testing.T, url string) (*attack, []*toldApp) {
	apps := []*toldApp{newTold(t, "one"), newTold(t, "two"), newTold(t, "three")}
	text := servertest.Sample()
	for _, a := range apps {
		text += "  - {client_id: " + a.id + ", client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "], id_token_signed_response_alg: ES256, backchannel_logout_uri: " + a.URL + "/out, scope: openid, post_logout_redirect_uris: ['https://app.example/bye']}\n"
	}
	a := newAttack(t, url, servertest.Options{Apply: text})
	for _, app := range apps {
		app.issuer = []string{a.URL}
	}
	return a, apps
}

// visit lets a signed-in browser open an application, and gives the sid of its ID token.
func visit(t *testing.T, a *attack, b *servertest.Browser, id string) string {
	t.Helper()
	tokens := a.tokens(t, id, mustCode(t, b.Get(authorizeURL(id, "scope", "openid"))))
	_, rest, _ := strings.Cut(tokens["id_token"].(string), ".")
	body, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	ok(t, err)
	var c struct{ Sid string }
	ok(t, json.Unmarshal(raw, &c))
	return c.Sid
}

// TestLogoutReachesApplications: whatever ends or locks a session reaches each application that took part, once, and no other.
func TestLogoutReachesApplications(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a, apps := tellingSite(t, e.New(t))
			second := a.Second(t)
			cli := audit.Origin{Actor: "cli"}
			for _, app := range apps {
				app.issuer = append(app.issuer, second.URL)
			}
			for _, way := range []struct {
				name string
				end  func(*servertest.Browser) error
			}{
				{"sign-out", func(b *servertest.Browser) error { b.Fill(b.Get("/logout")); return nil }},
				{"user disable", func(*servertest.Browser) error { return a.Admin.SetDisabled(t.Context(), cli, "alice", true) }},
				{"end-sessions", func(*servertest.Browser) error {
					_, _, err := second.Admin.EndSessions(t.Context(), cli, "alice")
					return err
				}},
				{"reset-password", func(*servertest.Browser) error {
					return a.Admin.SetPassword(t.Context(), cli, "alice", "another correct battery")
				}},
				{"lock", func(*servertest.Browser) error { _, err := a.Admin.LockSessions(t.Context(), cli, "alice"); return err }},
			} {
				if a.person(t, "alice").Disabled() {
					ok(t, a.Admin.SetDisabled(t.Context(), audit.Origin{Actor: "cli"}, "alice", false))
				}
				ok(t, a.Admin.SetPassword(t.Context(), audit.Origin{Actor: "cli"}, "alice", servertest.Password))
				b := a.signIn(t, "alice", servertest.TOTP)
				sid := visit(t, a, b, "one")
				if again := visit(t, a, b, "one"); again != sid {
					t.Fatalf("%s: two sids %s %s", way.name, sid, again)
				}
				visit(t, a, b, "two")
				ok(t, way.end(b))
				for _, app := range apps[:2] {
					eventually(t, way.name+" reaches "+app.id, func() bool { return slices.Contains(app.sids(), sid) })
				}
			}
			for _, app := range apps[:2] {
				if n := len(app.sids()); n != 5 {
					t.Errorf("%s was told %d times, want 5: %v", app.id, n, app.sids())
				}
			}
			if n := len(apps[2].sids()); n != 0 {
				t.Errorf("an application that took no part was told %d times", n)
			}
			eventually(t, "10 logouts are on record", func() bool { return len(a.Events(t, audit.LogoutSent)) == 10 }) // each after its answer
		})
	}
}

// TestLogoutSlowApplication: one that hangs holds up no other; one that is down is told when it is up again; one that refuses a token gets the
// others; what cannot be told for a day is on record.
func TestLogoutSlowApplication(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a, apps := tellingSite(t, e.New(t))
			up := false
			apps[0].answer = func(int) int { return 0 }
			apps[1].answer = func(int) int {
				if up {
					return http.StatusOK
				}
				return http.StatusBadGateway
			}
			apps[2].answer = func(n int) int {
				if n == 1 {
					return http.StatusBadRequest
				}
				return http.StatusOK
			}
			var sids []string
			for range 3 {
				b := a.signIn(t, "alice", servertest.TOTP)
				sids = append(sids, visit(t, a, b, "one"))
				visit(t, a, b, "two")
				visit(t, a, b, "three")
			}
			_, _, err := a.Admin.EndSessions(t.Context(), audit.Origin{Actor: "cli"}, "alice")
			ok(t, err)
			eventually(t, "two of three tokens reach the application that refused one", func() bool { return len(apps[2].sids()) == 2 })
			apps[0].mu.Lock()
			if apps[0].calls > 1 {
				t.Errorf("the others waited for %d calls of the one that hangs", apps[0].calls-1)
			}
			apps[0].mu.Unlock()
			apps[1].mu.Lock()
			up = true
			apps[1].mu.Unlock()
			eventually(t, "the application that is up again hears of all three", func() bool {
				a.clock.Add(5 * time.Second)
				got := apps[1].sids()
				return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(sids)))
			})
			eventually(t, "the refused token comes again", func() bool { return len(apps[2].sids()) == 3 })
			apps[0].mu.Lock()
			apps[0].answer = func(int) int { return http.StatusServiceUnavailable }
			apps[0].mu.Unlock()
			eventually(t, "a day of failures is on record", func() bool {
				a.clock.Add(2 * time.Hour)
				return len(a.Events(t, audit.LogoutFailed)) == 3
			})
			if apps[1].calls > 20 || apps[0].calls > 60 {
				t.Errorf("an application that was down got %d and %d calls", apps[1].calls, apps[0].calls)
			}
		})
	}
}

// TestLogoutFrames: applications that registered for it are opened in frames when a person signs out, and the page may hold no others.
func TestLogoutFrames(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: servertest.Sample() + `  - {client_id: framed, client_secret: ` + servertest.Secret +
		`, redirect_uris: ["` + servertest.Redirect + `"], id_token_signed_response_alg: ES256, frontchannel_logout_uri: "https://app.example/leave?x=1", post_logout_redirect_uris: ["https://app.example/bye"]}` + "\n"})
	b := a.signIn(t, "alice", servertest.TOTP)
	sid := visit(t, a, b, "framed")
	page := b.Get("/logout?client_id=framed&state=s1&post_logout_redirect_uri=" + url.QueryEscape("https://app.example/bye"))
	page = b.Fill(page)
	want := "https://app.example/leave?iss=" + url.QueryEscape(a.URL) + "&amp;sid=" + sid + "&amp;x=1"
	if page.Status != http.StatusOK || strings.Count(page.Body, "<iframe") != 1 || !strings.Contains(page.Body, `src="`+want+`"`) || !strings.Contains(page.Body, `href="https://app.example/bye?state=s1"`) {
		t.Errorf("got %d, want a frame of %s\n%s", page.Status, want, page.Body)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; frame-src https://app.example") {
		t.Errorf("the policy is %q", policy)
	}
	if p := b.Get("/account"); p.Status != http.StatusSeeOther {
		t.Errorf("still signed in: %d", p.Status)
	}
	other := a.signIn(t, "mallory", servertest.OtherTOTP)
	visit(t, a, other, "conf")
	if p := other.Fill(other.Get("/logout")); p.Status != http.StatusSeeOther || !strings.HasSuffix(p.Location, "/signed-out") {
		t.Errorf("without such an application: %d %q", p.Status, p.Location)
	}
}

// TestLogoutFaultyRequest: a request with something wrong in it ends nothing by itself and leads nowhere; the page asks, and says what is wrong to
// who runs the application (OpenID Connect RP-Initiated Logout 1.0 §3, §4; threats LO-01, LO-02).
func TestLogoutFaultyRequest(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{})
	b := a.signIn(t, "alice", servertest.TOTP)
	id := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))["id_token"].(string)
	parts := strings.Split(id, ".")
	changed := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
	for _, c := range []struct{ what, hint, client, back, says string }{
		{"unregistered address", id, "", "https://app.example/elsewhere", "is not one of those registered"},
		{"query added", id, "", "https://app.example/bye?foo=bar", "is not one of those registered"},
		{"changed hint", changed, "", "https://app.example/bye", "is not an ID token"},
		{"changed hint with a client", changed, "conf", "https://app.example/bye", "is not an ID token"},
		{"another client's hint", id, "other", "", "is not an ID token"},
		{"nothing says whose address", "", "", "https://app.example/bye", "needs an id_token_hint"},
		{"nobody's client_id", "", "nobody", "https://app.example/bye", "no client is registered"},
	} {
		q := url.Values{}
		for name, value := range map[string]string{"id_token_hint": c.hint, "client_id": c.client, "post_logout_redirect_uri": c.back, "state": "x"} {
			if value != "" {
				q.Set(name, value)
			}
		}
		p := b.Get("/logout?" + q.Encode())
		if p.Status != http.StatusOK || p.Location != "" || !strings.Contains(p.Body, "<form") || !strings.Contains(p.Body, c.says) {
			t.Errorf("LO-01: %s: %d %s, want a page that asks and says %q", c.what, p.Status, p.Location, c.says)
		}
		if p := b.Get("/account"); p.Status != http.StatusOK {
			t.Fatalf("LO-02: %s ended the session", c.what)
		}
	}
	p := b.Fill(b.Get("/logout?id_token_hint=" + id + "&post_logout_redirect_uri=" + url.QueryEscape("https://app.example/elsewhere")))
	if p.Location != a.URL+"/signed-out" {
		t.Errorf("LO-01: who agrees is led to %s", p.Location)
	}
}
