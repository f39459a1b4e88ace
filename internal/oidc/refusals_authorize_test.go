package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestRedirectURIs (RU-01, RU-02, RU-04, RU-06, RU-09): an address that is not registered gets nothing, and the error
// stays here.
func TestRedirectURIs(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	for row, addresses := range map[string][]string{
		"RU-01": {"https://app.example.evil.com/callback", "https://app.example@evil.com/callback", "https://evil.com@@app.example/callback", "https://app.example:pw@evil.com",
			"https://u@app.example/callback", "https://evil.com#@app.example/callback", `https://evil.com\@app.example/callback`, "https://app.example:443/callback", "https://app.example./callback"},
		"RU-02": {"https://app.example/callback/../evil", "https://app.example/callback/..;/evil", "https://app.example/callback/%2e%2e/", "https://app.example/callback%252f..",
			"https://app.example/callback/", "https://app.example/CALLBACK", "HTTPS://app.example/callback", "https://APP.example/callback", "https://app.example/callback?", "https://app.example/callback#",
			"https://app.example/callback?x=1", "https://app.example//callback", "https://app.example/callback ", " https://app.example/callback", "https://app.example/callback\n", "https://app.example/callback\x00",
			"http://app.example/callback", "https:app.example/callback", "//app.example/callback", "/callback", "https://app.example/callbac", "https://app.example/%63allback", "https://app。example/callback"},
		"RU-04": {"http://evil@127.0.0.1:9/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:1/cb?x=1", "http://localhost:1/cb", "http://127.0.0.1.evil/cb", "http://127.1/cb", "http://[::ffff:127.0.0.1]/cb",
			"http://127.0.0.1:0/cb", "http://127.0.0.1:01/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:+1/cb", "http://127.0.0.1:1/CB", "https://127.0.0.1:1/cb", "http://127.0.0.1:1@evil.com/cb", "http://127.0.0.1:1:2/cb",
			"http://127.0.0.1:1/cb#", "http://127.0.0.2/cb", "http://[::1]:1/cb", "http://127.0.0.1:65536/cb", "http://0x7f.1/cb"},
		"RU-09": {""},
	} {
		for _, address := range addresses {
			for _, more := range [][]string{{}, {"response_type", "bad"}, {"scope", "bad"}, {"prompt", "none"}, {"response_mode", "form_post"}} { // RU-06
				q := with("pub", append([]string{"redirect_uri", address}, more...)...)
				if p := s.authorize(q); p.Status != http.StatusBadRequest || p.Location != "" || strings.Contains(p.Body, "code=") || strings.Contains(p.Body, `action="http`) {
					t.Errorf("%s: %q with %v got %d %s", row, address, more, p.Status, p.Location)
				}
			}
		}
	}
	for _, port := range []string{":1", ":8080", ":65535", ""} {
		if p := s.authorize(with("pub", "redirect_uri", "http://127.0.0.1"+port+"/cb")); !strings.HasPrefix(p.Location, "http://127.0.0.1"+port+"/cb?") {
			t.Errorf("RU-04: loopback with port %q got %d %s", port, p.Status, p.Location)
		}
	}
	both := with("conf")
	both.Add("redirect_uri", "https://evil.example/")
	if p := s.authorize(both); p.Status != http.StatusBadRequest || p.Location != "" {
		t.Errorf("RU-06: two addresses got %d %s", p.Status, p.Location)
	}
	ids := with("conf")
	ids.Add("client_id", "pub")
	if p := s.authorize(ids); p.Status != http.StatusBadRequest || p.Location != "" {
		t.Errorf("RU-06: two client ids got %d %s", p.Status, p.Location)
	}
}

// TestWrongRequests (AZ-01, AZ-02, AZ-06, AZ-10, PK-01): each error goes to the application with state and iss, whether
// somebody is signed in or not, and nobody is asked to sign in for it.
func TestWrongRequests(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		row, error string
		pairs      []string
	}{
		{"AZ-02", "unsupported_response_type", []string{"response_type", "token"}}, {"AZ-02", "unsupported_response_type", []string{"response_type", "id_token"}},
		{"AZ-02", "unsupported_response_type", []string{"response_type", "id_token token"}}, {"AZ-02", "unsupported_response_type", []string{"response_type", "code token"}},
		{"AZ-02", "unsupported_response_type", []string{"response_type", "code id_token token"}}, {"AZ-02", "unsupported_response_type", []string{"response_type", "none"}},
		{"AZ-02", "unsupported_response_type", []string{"response_type", "Code"}}, {"AZ-02", "unsupported_response_type", []string{"response_type", " code"}},
		{"AZ-02", "invalid_request", []string{"response_type", ""}}, {"AZ-02", "invalid_request", []string{"response_mode", "fragment"}}, {"AZ-02", "invalid_request", []string{"response_mode", "web_message"}},
		{"AZ-06", "invalid_request", []string{"max_age", "-1"}}, {"AZ-06", "invalid_request", []string{"max_age", "abc"}}, {"AZ-06", "invalid_request", []string{"max_age", "1180591620717411303424"}},
		{"AZ-06", "invalid_request", []string{"max_age", "1.5"}}, {"AZ-06", "invalid_request", []string{"max_age", " 1"}}, {"AZ-06", "invalid_request", []string{"max_age", "0x1"}},
		{"AZ-05", "invalid_request", []string{"prompt", "none login"}}, {"AZ-05", "invalid_request", []string{"prompt", "create"}}, {"AZ-05", "invalid_request", []string{"prompt", "NONE"}},
		{"AZ-10", "invalid_scope", []string{"scope", "openid admin"}}, {"AZ-10", "invalid_scope", []string{"scope", "a.*"}}, {"AZ-10", "invalid_scope", []string{"scope", "openid *"}},
		{"AZ-10", "invalid_scope", []string{"scope", "openid OPENID"}}, {"AZ-10", "invalid_scope", []string{"scope", "openid \x00"}}, {"AZ-10", "invalid_scope", []string{"scope", `openid "><script>`}},
		{"PK-01", "invalid_request", []string{"code_challenge", ""}}, {"PK-01", "invalid_request", []string{"code_challenge", "", "code_challenge_method", ""}}, {"PK-01", "invalid_request", []string{"code_challenge_method", "plain"}},
		{"PK-01", "invalid_request", []string{"code_challenge_method", ""}}, {"PK-01", "invalid_request", []string{"code_challenge_method", "s256"}}, {"PK-01", "invalid_request", []string{"code_challenge", strings.Repeat("a", 42)}},
		{"PK-01", "invalid_request", []string{"code_challenge", strings.Repeat("a", 129)}}, {"PK-01", "invalid_request", []string{"code_challenge", strings.Repeat("a", 42) + "b"}}, {"PK-01", "invalid_request", []string{"code_challenge", strings.Repeat("=", 43)}},
		{"JW-05", "request_not_supported", []string{"request", "eyJhbGciOiJub25lIn0.e30."}}, {"JW-05", "request_uri_not_supported", []string{"request_uri", "http://127.0.0.1:1/"}}, {"JW-05", "registration_not_supported", []string{"registration", "{}"}},
		{"DO-05", "invalid_request", []string{"state", long}}, {"DO-05", "invalid_request", []string{"nonce", long}}, {"DO-05", "invalid_request", []string{"unknown", long}},
		{"AZ-09", "invalid_request", []string{"id_token_hint", "x"}},
	} {
		for who, b := range map[string]*servertest.Browser{"alice": s.alice, "nobody": s.Browser(t)} {
			p := b.Get("/authorize?" + with("conf", c.pairs...).Encode())
			got := sent(t, p)
			if got.Get("error") != c.error || got.Get("iss") != s.URL || p.Status != http.StatusSeeOther || got.Has("code") || c.pairs[0] != "state" && got.Get("state") != "af0ifjsldkj" {
				t.Errorf("%s: %.60q for %s: got %d %v", c.row, c.pairs, who, p.Status, got)
			}
			if telling.MatchString(p.Location) {
				t.Errorf("TK-07: %.60q: %s", c.pairs, p.Location)
			}
			if who == "alice" && !described.MatchString(got.Get("error_description")) {
				t.Errorf("RFC 6749 §4.1.2.1: %.60q: error_description %q", c.pairs, got.Get("error_description"))
			}
		}
	}
	for _, name := range []string{"state", "scope", "nonce", "prompt", "response_type", "code_challenge", "code_challenge_method", "max_age", "response_mode", "unknown"} {
		q := with("conf")
		q["state"] = []string{"s"}
		q[name] = append(q[name], "a", "b")
		if got := sent(t, s.authorize(q)); got.Get("error") != "invalid_request" || got.Get("iss") != s.URL {
			t.Errorf("F24: %s twice got %v", name, got)
		}
	}
	for _, query := range []string{"client_id=conf;redirect_uri=x", "client_id=%zz", "client_id=conf&redirect_uri=%", "", "client_id=", "client_id=%00", "client_id=conf%00", "client_id=%ff%fe", "client_id=" + strings.Repeat("x", 9000),
		"flow=", "flow=%00", "flow=%ff", "flow=x&client_id=", "flow=' or 1=1"} {
		if p := s.alice.Get("/authorize?" + query); p.Status < 400 || p.Status >= 500 || p.Location != "" {
			t.Errorf("IN-01: /authorize?%.40s got %d %s", query, p.Status, p.Location)
		}
	}
}

// TestOddIdentifiers (IN-01): what no database can hold is refused like anything else that does not exist, on both.
func TestOddIdentifiers(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for _, odd := range []string{"\x00", "conf\x00", "\xff", "conf\xff\xfe", "' or 1=1 --", "$1", strings.Repeat("x", 3000), "\u202econf", "\u0000"} {
			e := url.QueryEscape(odd)
			for _, path := range []string{"/authorize?client_id=" + e, "/authorize?flow=" + e, "/login/" + url.PathEscape(odd), "/logout?client_id=" + e, "/logout?id_token_hint=" + e,
				"/link/" + url.PathEscape(odd), "/authorize?" + with("conf", "id_token_hint", odd).Encode()} {
				if p := s.alice.Get(path); p.Status >= 500 || telling.MatchString(p.Body) {
					t.Errorf("IN-01: %.60s got %d", path, p.Status)
				}
			}
			form := url.Values{"grant_type": {"client_credentials"}}
			refused(t, "IN-01: Basic "+strconv.Quote(odd[:min(len(odd), 20)]), s.call(t, http.MethodPost, "/token", form, "Authorization", basicOf(url.QueryEscape(odd), "x")), "invalid_client")
			form.Set("client_id", odd)
			form.Set("client_secret", odd)
			refused(t, "IN-01: body "+strconv.Quote(odd[:min(len(odd), 20)]), s.call(t, http.MethodPost, "/token", form), "invalid_client")
			refused(t, "IN-01: code "+strconv.Quote(odd[:min(len(odd), 20)]), s.post(t, "/token", "conf", codeForm(odd)), "invalid_grant", "invalid_request")
			if q := with("conf", "state", odd, "nonce", odd); true {
				got := sent(t, s.authorize(q))
				if got.Get("state") != odd {
					t.Errorf("the state %.20q came back as %.20q", odd, got.Get("state"))
				}
				if p := s.post(t, "/token", "conf", codeForm(got.Get("code"))); p.Status != http.StatusOK {
					t.Errorf("IN-01: the nonce %.20q made the code get %d", odd, p.Status)
				}
			}
		}
	})
}

// TestPrompt (AZ-05, AZ-06): nobody is asked with none, everybody with login, and with max_age who signed in too long ago.
func TestPrompt(t *testing.T) {
	t.Parallel()
	s := newRefusals(t, storetest.SQLite(t), servertest.Sample()+"policies:\n  session: {lock_after: 0d}\n")
	s.clock.Add(time.Hour)
	for _, pairs := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"prompt", "consent login"}, {"max_age", "0"}, {"max_age", "1"}, {"max_age", "3599"}} {
		p := s.authorize(with("conf", pairs...))
		if !strings.HasPrefix(p.Location, s.URL+"/login/") {
			t.Errorf("AZ-06: %v with an hour's session got %d %s", pairs, p.Status, p.Location)
		}
		none := with("conf", pairs...)
		none.Set("prompt", "none")
		if got := sent(t, s.authorize(none)); pairs[0] == "max_age" && got.Get("error") != "login_required" {
			t.Errorf("AZ-06: %v and none got %v", pairs, got)
		}
	}
	for _, pairs := range [][]string{{"max_age", "3700"}, {"prompt", "consent"}, {"prompt", "none"}, {"max_age", "2147483647"}} {
		if got := sent(t, s.authorize(with("conf", pairs...))); got.Get("code") == "" {
			t.Errorf("AZ-06: %v got %v", pairs, got)
		}
	}
	began := s.Clock().Unix()
	s.clock.Add(time.Second)
	p := s.alice.Follow(s.alice.SignIn(s.authorize(with("conf", "max_age", "0")), "alice", servertest.Password, servertest.TOTP))
	id := claims(t, words(t, s.post(t, "/token", "conf", codeForm(sent(t, p).Get("code"))))["id_token"])
	if at, _ := id["auth_time"].(float64); int64(at) <= began {
		t.Errorf("AZ-06: after max_age=0 auth_time is %v, the request was at %d", id["auth_time"], began)
	}
	stranger := s.Browser(t)
	if got := sent(t, stranger.Get("/authorize?"+with("conf", "prompt", "none").Encode())); got.Get("error") != "login_required" || got.Get("state") != "af0ifjsldkj" {
		t.Errorf("AZ-05: none without a session got %v", got)
	}
	m := s.Browser(t)
	m.Follow(m.SignIn(m.Get("/account"), "mallory", servertest.Password, servertest.OtherTOTP))
	if got := sent(t, m.Get("/authorize?"+with("admins-only", "prompt", "none").Encode())); got.Get("error") != "access_denied" {
		t.Errorf("AZ-05: none without the right got %v", got)
	}
}

func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no ID token: %q", token)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStrength (AZ-05, AZ-08): one factor is not two, and the ID token says which.
func TestStrength(t *testing.T) {
	t.Parallel()
	apply := strings.Replace(servertest.Sample(), "grant_types: [authorization_code, refresh_token, client_credentials]", "minimum_acr: \"urn:portvakt:acr:2fa\", grant_types: [authorization_code, refresh_token]", 1) +
		"policies:\n  factors: {required: false}\n"
	s := newRefusals(t, storetest.SQLite(t), apply)
	b := s.Browser(t)
	p := b.Follow(b.Get("/account"))
	if p = b.Fill(p, "username", "newcomer", "password", servertest.Password); p.Status != http.StatusSeeOther {
		t.Fatalf("a password alone got %d", p.Status)
	}
	s.clock.Add(time.Second)
	for _, q := range []url.Values{with("conf"), with("rsa", "acr_values", "urn:portvakt:acr:2fa"), with("rsa", "acr_values", "phrh urn:portvakt:acr:2fa urn:portvakt:acr:1fa"),
		with("rsa", "acr_values", "phr"), with("rsa", "claims", `{"id_token":{"acr":{"essential":true,"values":["phrh","phr"]}}}`)} {
		if p := b.Get("/authorize?" + q.Encode()); !strings.HasPrefix(p.Location, s.URL+"/login/") {
			t.Errorf("AZ-08: %v with one factor got %s", q, p.Location)
		}
		q.Set("prompt", "none")
		if got := sent(t, b.Get("/authorize?"+q.Encode())); got.Get("error") != "interaction_required" {
			t.Errorf("AZ-05: %v with one factor and none got %v", q, got)
		}
	}
	id := claims(t, words(t, s.post(t, "/token", "rsa", codeForm(sent(t, b.Get("/authorize?"+with("rsa", "acr_values", "phrh other").Encode())).Get("code"))))["id_token"])
	if id["acr"] != "urn:portvakt:acr:1fa" {
		t.Errorf("AZ-08: the ID token of one factor says %v", id["acr"])
	}
	for claims, want := range map[string]string{`{"id_token":{"acr":{"essential":true,"value":"phrh"}}}`: "unmet_authentication_requirements",
		`{"id_token":{"acr":{"essential":true,"values":["loa9"]}}}`: "unmet_authentication_requirements", `{"id_token":`: "invalid_request", `[]`: "invalid_request"} {
		if got := sent(t, b.Get("/authorize?"+with("rsa", "claims", claims).Encode())); got.Get("error") != want {
			t.Errorf("AZ-08: claims %s got %v, want %s", claims, got, want)
		}
	}
	for _, claims := range []string{`{"id_token":{"acr":{"essential":true}}}`, `{"id_token":{"acr":null}}`, `{"userinfo":{"acr":{"essential":true,"value":"phrh"}}}`, `{"id_token":{"acr":{"value":"phrh"}}}`} {
		if got := sent(t, b.Get("/authorize?"+with("rsa", "claims", claims).Encode())); got.Get("code") == "" {
			t.Errorf("AZ-08: claims %s got %v", claims, got)
		}
	}
}

// TestHints (AZ-09): a hint that is not ours, not this client's or not unchanged is no hint, and one of somebody else asks.
func TestHints(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	id, others := s.tokens(t, "conf"), s.tokens(t, "rsa")["id_token"]
	parts := strings.Split(id["id_token"], ".")
	enc := func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }
	changed := enc(strings.Replace(string(must(base64.RawURLEncoding.DecodeString(parts[1]))), `"sub":"`, `"sub":"X`, 1))
	for what, hint := range map[string]string{
		"none": enc(`{"alg":"none"}`) + "." + parts[1] + ".", "none, kept signature": enc(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + "." + parts[2], "HS256": enc(`{"alg":"HS256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"changed": parts[0] + "." + changed + "." + parts[2], "no signature": parts[0] + "." + parts[1] + ".", "another client's": others, "access token": id["access_token"], "two parts": parts[0] + "." + parts[1],
		"dots": strings.Repeat(".", 4000), "embedded key": enc(`{"alg":"ES256","typ":"JWT","jwk":{"kty":"EC"},"jku":"http://127.0.0.1:1/"}`) + "." + parts[1] + "." + parts[2], "code": s.code(t, "conf"), "space": " " + id["id_token"], "padding": id["id_token"] + "=",
	} {
		for _, prompt := range []string{"", "none"} {
			if got := sent(t, s.authorize(with("conf", "id_token_hint", hint, "prompt", prompt))); got.Get("error") != "invalid_request" {
				t.Errorf("AZ-09: %s with prompt %q got %v", what, prompt, got)
			}
		}
	}
	if got := sent(t, s.authorize(with("conf", "id_token_hint", id["id_token"], "prompt", "none"))); got.Get("code") == "" {
		t.Errorf("AZ-09: alice's own hint got %v", got)
	}
	m := s.Browser(t)
	m.Follow(m.SignIn(m.Get("/account"), "mallory", servertest.Password, servertest.OtherTOTP))
	if got := sent(t, m.Get("/authorize?"+with("conf", "id_token_hint", id["id_token"], "prompt", "none").Encode())); got.Get("error") != "login_required" {
		t.Errorf("AZ-09: alice's hint in mallory's browser got %v", got)
	}
	s.clock.Add(time.Minute)
	p := m.SignIn(m.Get("/authorize?"+with("conf", "id_token_hint", id["id_token"]).Encode()), "mallory", servertest.Password, servertest.OtherTOTP)
	if p.Status == http.StatusSeeOther || sent(t, p) != nil {
		t.Errorf("AZ-09: alice was asked for and mallory signed in: %s", p.Location)
	}
	if n := len(s.Events(t, audit.LoginFailed)); n != 1 {
		t.Errorf("AZ-09: %d events of the wrong person, want 1", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
