package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestGrantTypes (AZ-03).
func TestGrantTypes(t *testing.T) {
	t.Parallel()
	apply := servertest.Sample() + "  - {client_id: plain, client_secret: " + servertest.Secret + ", redirect_uris: [" + servertest.Redirect + "]}\n"
	s := newRefusals(t, storetest.SQLite(t), apply)
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "authorization_code refresh_token",
		"Authorization_Code", " authorization_code", "authorization_code\x00", "none", "refresh_token client_credentials", "client_credentials "} {
		form := url.Values{"grant_type": {grant}, "username": {"alice"}, "password": {servertest.Password}, "scope": {"openid"}}
		refused(t, "AZ-03: "+grant, s.post(t, "/token", "conf", form), "unsupported_grant_type", "invalid_request", "unauthorized_client")
	}
	refused(t, "AZ-03: none", s.post(t, "/token", "conf", url.Values{"scope": {"x"}}), "invalid_request")
	refused(t, "AZ-03: empty", s.post(t, "/token", "conf", nil), "invalid_request")
	refused(t, "AZ-03: not its own", s.post(t, "/token", "plain", url.Values{"grant_type": {"client_credentials"}}), "unauthorized_client")
	refused(t, "AZ-03: public", s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"pub"}}), "unauthorized_client", "invalid_client", "invalid_grant")
	refused(t, "AZ-10: own scope", s.post(t, "/token", "conf", url.Values{"grant_type": {"client_credentials"}, "scope": {"admin"}}), "invalid_scope")
	if p := s.post(t, "/token", "plain", codeForm(s.code(t, "plain", "scope", "openid"))); p.Status != http.StatusOK || words(t, p)["refresh_token"] != "" {
		t.Errorf("AZ-03: a client without refresh_token got %d %s", p.Status, p.Body)
	}
	own := words(t, s.post(t, "/token", "conf", url.Values{"grant_type": {"client_credentials"}, "scope": {"openid api"}}))
	if own["id_token"]+own["refresh_token"] != "" {
		t.Errorf("client_credentials gave %v", own)
	}
	refused(t, "userinfo of no person", s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+own["access_token"]), "invalid_token")
}

// TestClientAuthentication (JW-04, EN-04): exactly the registered method; all that is wrong reads the same.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	own := func(pairs ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	assertion := "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	same := map[string]bool{}
	for what, c := range map[string]struct {
		form   url.Values
		header string
	}{
		"none for basic":           {own("client_id", "conf"), ""},
		"body for basic":           {own("client_id", "conf", "client_secret", servertest.Secret), ""},
		"basic for body":           {own(), basicOf("other", servertest.Secret)},
		"none for body":            {own("client_id", "other"), ""},
		"empty for basic":          {own(), basicOf("conf", "")},
		"empty for body":           {own("client_id", "other", "client_secret", ""), ""},
		"wrong":                    {own(), basicOf("conf", "x")},
		"longer":                   {own(), basicOf("conf", servertest.Secret+strings.Repeat("x", 72))},
		"72 bytes and more":        {own(), basicOf("conf", strings.Repeat(servertest.Secret, 4)[:72]+"x")},
		"another's":                {own(), basicOf("nobody", servertest.Secret)},
		"unknown, body":            {own("client_id", "nobody", "client_secret", servertest.Secret), ""},
		"a secret from the public": {own("client_id", "pub", "client_secret", "x"), ""},
		"an empty one from it":     {own("client_id", "pub", "client_secret", ""), ""},
		"basic from the public":    {own(), basicOf("pub", "")},
		"nobody":                   {own(), ""},
		"bearer":                   {own("client_id", "conf"), "Bearer " + servertest.Secret},
		"broken base64":            {own(), "Basic ***"},
		"no colon":                 {own(), "Basic Y29uZg=="},
		"broken percent":           {own(), basicOf("conf", "%zz")},
		"NUL":                      {own(), basicOf("conf", servertest.Secret+"\x00")},
		"plus for a space":         {own(), basicOf("co+nf", servertest.Secret)},
		"assertion":                {own("client_id", "conf", "client_assertion_type", assertion, "client_assertion", "x.y.z"), ""},
		"assertion for another":    {own("client_id", "pub", "client_assertion_type", assertion, "client_assertion", "x.y.z"), ""},
	} {
		header := []string{}
		if c.header != "" {
			header = []string{"Authorization", c.header}
		}
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			c.form.Set("token", "x")
			p := s.call(t, http.MethodPost, path, c.form, header...)
			refused(t, "JW-04: "+what+" at "+path, p, "invalid_client")
			if what == "wrong" || what == "another's" || what == "none for basic" {
				same[p.Body] = true
			}
		}
	}
	if len(same) != 1 {
		t.Errorf("EN-04: unknown clients and wrong secrets read differently: %v", same)
	}
	refused(t, "JW-04: both", s.call(t, http.MethodPost, "/token", own("client_id", "conf", "client_secret", servertest.Secret), "Authorization", basicOf("conf", servertest.Secret)), "invalid_request")
	refused(t, "JW-04: two names", s.call(t, http.MethodPost, "/token", own("client_id", "other"), "Authorization", basicOf("conf", servertest.Secret)), "invalid_request")
	if p := s.call(t, http.MethodPost, "/token", own("client_id", "conf"), "Authorization", basicOf("conf", url.QueryEscape(servertest.Secret))); p.Status != http.StatusOK {
		t.Errorf("the right credentials got %d", p.Status)
	}
}

// TestShapes (TK-01, TK-02): a form in the body of a POST and nothing else; what stands in the address does not count.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	tokens := s.tokens(t, "conf")
	good := map[string]url.Values{"/token": {"grant_type": {"client_credentials"}}, "/introspect": {"token": {tokens["access_token"]}}, "/revoke": {"token": {tokens["access_token"]}}}
	auth := basicOf("conf", servertest.Secret)
	for path, form := range good {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			if p := s.call(t, method, path+"?"+form.Encode(), nil, "Authorization", auth); p.Status != http.StatusMethodNotAllowed || p.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("TK-02: %s %s got %d", method, path, p.Status)
			}
		}
		refused(t, "TK-02: parameters in the address of "+path, s.call(t, http.MethodPost, path+"?"+form.Encode(), nil, "Authorization", auth), "invalid_request")
		refused(t, "TK-02: credentials in the address of "+path, s.call(t, http.MethodPost, path+"?client_id=other&client_secret="+servertest.Secret, form), "invalid_client")
		for media, body := range map[string]string{
			"application/json": `{"grant_type":"client_credentials","token":"` + tokens["access_token"] + `"}`, "text/plain": form.Encode(), "": form.Encode(),
			"multipart/form-data; boundary=x":    "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n",
			"application/x-www-form-urlencodedx": form.Encode(), "application/x-www-form-urlencoded; charset=utf-7; charset=utf-8": form.Encode(), "multipart/form-data": "x",
		} {
			refused(t, "TK-02: "+media+" to "+path, s.call(t, http.MethodPost, path, nil, "Authorization", auth, "Content-Type", media, "Body", body), "invalid_request")
		}
		for _, body := range []string{form.Encode() + "&" + form.Encode(), form.Encode() + "&grant_type=password&token=y", "%zz=1&" + form.Encode(), "a;b=c&" + form.Encode(), form.Encode() + "&client_id=conf&client_id=other", "\x00\xff", strings.Repeat("a=&", 30000)} {
			refused(t, "F24: "+path, s.call(t, http.MethodPost, path, nil, "Authorization", auth, "Body", body), "invalid_request")
		}
	}
	if p := s.call(t, http.MethodPost, "/token", good["/token"], "Authorization", auth, "Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8"); p.Status != http.StatusOK || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("TK-01: a good request got %d %v", p.Status, p.Header)
	}
	for what, p := range map[string]*servertest.Page{
		"in the address": s.call(t, http.MethodGet, "/userinfo?access_token="+tokens["access_token"], nil),
		"nothing":        s.call(t, http.MethodGet, "/userinfo", nil),
		"basic":          s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", auth),
		"rubbish":        s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer x"),
		"refresh token":  s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["refresh_token"]),
		"ID token":       s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["id_token"]),
		"code":           s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+s.code(t, "conf")),
		"changed":        s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+strings.ToLower(tokens["access_token"])),
		"prefix":         s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer pvr_"+tokens["access_token"][4:]),
		"line break":     s.call(t, http.MethodPost, "/userinfo", url.Values{"access_token": {tokens["access_token"][:20] + "\n" + tokens["access_token"][20:]}}),
		"twice":          s.call(t, http.MethodPost, "/userinfo", url.Values{"access_token": {tokens["access_token"], "x"}}),
	} {
		refused(t, "TK-01: userinfo, "+what, p, "invalid_token", "invalid_request")
	}
}

// TestGivingBack (TK-06) and telling: revocation and introspection of what is one's own and what is not.
func TestGivingBack(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		tokens := s.tokens(t, "conf")
		for _, token := range []string{"access_token", "refresh_token"} {
			for _, p := range []*servertest.Page{s.post(t, "/revoke", "rsa", url.Values{"token": {tokens[token]}}),
				s.call(t, http.MethodPost, "/revoke", url.Values{"token": {tokens[token]}, "client_id": {"pub"}})} {
				if p.Status != http.StatusOK && p.Status != http.StatusBadRequest || p.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("TK-06: another's %s got %d", token, p.Status)
				}
			}
		}
		if p := s.post(t, "/introspect", "rsa", url.Values{"token": {tokens["refresh_token"]}}); words(t, p)["active"] != "false" {
			t.Errorf("F4: another client is told of a refresh token: %s", p.Body)
		}
		if got := words(t, s.post(t, "/introspect", "conf", url.Values{"token": {tokens["refresh_token"]}, "token_type_hint": {"access_token"}})); got["active"] != "true" || got["client_id"] != "conf" {
			t.Errorf("TK-06: after another client's revocation: %v", got)
		}
		refused(t, "introspection by the public client", s.call(t, http.MethodPost, "/introspect", url.Values{"token": {tokens["access_token"]}, "client_id": {"pub"}}), "invalid_client")
		for _, token := range []string{"x", "pva_", tokens["access_token"] + "x", tokens["id_token"], s.code(t, "conf"), strings.Repeat("x", 60000), "\x00", "pva_" + tokens["refresh_token"][4:]} {
			if p := s.post(t, "/revoke", "conf", url.Values{"token": {token}}); p.Status != http.StatusOK {
				t.Errorf("TK-06: revocation of %.20q got %d", token, p.Status)
			}
			if p := s.post(t, "/introspect", "conf", url.Values{"token": {token}}); p.Status != http.StatusOK || strings.TrimSpace(p.Body) != `{"active":false}` {
				t.Errorf("F4: introspection of %.20q says %d %s", token, p.Status, p.Body)
			}
		}
		refused(t, "TK-06: no token", s.post(t, "/revoke", "conf", url.Values{"token": {""}}), "invalid_request")
		if p := s.post(t, "/revoke", "conf", url.Values{"token": {tokens["refresh_token"]}, "token_type_hint": {"rubbish"}}); p.Status != http.StatusOK {
			t.Errorf("TK-06: one's own got %d", p.Status)
		}
		if what := s.alive(t, "conf", tokens); what != "" {
			t.Errorf("TK-06: after its revocation this still works: %s", what)
		}
		if n := len(s.Events(t, audit.TokenRevoked)); n != 1 {
			t.Errorf("AU-01: %d events of revocation, want 1", n)
		}
		public := words(t, s.call(t, http.MethodPost, "/token", with("", "grant_type", "authorization_code", "code", s.code(t, "pub"), "client_id", "pub", "code_verifier", verifier)))
		for range 2 {
			if p := s.call(t, http.MethodPost, "/revoke", url.Values{"token": {public["access_token"]}, "client_id": {"pub"}}); p.Status != http.StatusOK {
				t.Errorf("TK-06: the public client's own got %d", p.Status)
			}
		}
		refused(t, "TK-06", s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+public["access_token"]), "invalid_token")
	})
}

// TestRegistrations (RU-03, RU-05): what could lead astray is refused when it is registered, and nothing of it is kept.
func TestRegistrations(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	for _, address := range []string{"https://app.example*", "https://*.example", "https://foo.example.com/*", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "https://a/#f", "//evil",
		`https://a\@b`, "https://a/\r\nX: y", "https://a/\tb", "https://аpp.example/", "https://a/" + strings.Repeat("x", 5000), "http://app.example/cb", "https://u:p@app.example/", "com.example.app:/cb", "", " https://a/", "https://"} {
		c := client.Client{ID: "astray", RedirectURIs: []string{address}}
		if _, err := s.Admin.AddClient(t.Context(), audit.Origin{Actor: "test"}, admin.ClientSpec{Client: c}); err == nil {
			t.Errorf("RU-05: %.60q can be registered", address)
		}
		c.RedirectURIs, c.PostLogoutRedirectURIs = []string{servertest.Redirect}, []string{address}
		if _, err := s.Admin.AddClient(t.Context(), audit.Origin{Actor: "test"}, admin.ClientSpec{Client: c}); err == nil {
			t.Errorf("RU-05: %.60q can be registered to go to after signing out", address)
		}
	}
	if _, err := s.Admin.Client(t.Context(), "astray"); err == nil {
		t.Error("RU-05: something was kept")
	}
	dotted := client.Client{ID: "dotted", RedirectURIs: []string{"https://foo.example.com"}}
	if _, err := s.Admin.AddClient(t.Context(), audit.Origin{Actor: "test"}, admin.ClientSpec{Client: dotted}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if p := s.authorize(with("dotted", "redirect_uri", "https://foo.example.com", "scope", "openid")); strings.HasPrefix(p.Location, "https://foo.example.com?") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the new client is not known after 30 seconds")
		}
	}
	for _, address := range []string{"https://fooaexample.com", "https://foo.exampleXcom", "https://foo.example.com/"} {
		if p := s.authorize(with("dotted", "redirect_uri", address, "scope", "openid")); p.Status != http.StatusBadRequest || p.Location != "" {
			t.Errorf("RU-03: %s got %d %s", address, p.Status, p.Location)
		}
	}
	if _, err := admin.ReadFile(strings.NewReader("clients:\n  - {client_id: x, redirect_uris: ['https://*.example']}\n")); err == nil {
		t.Error("RU-03: an apply file may have a wildcard")
	}
}
