package main

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestBrowserApplication (TK-03): a page at an origin of its own signs somebody in, calls userinfo, refreshes and signs out its tokens by
// fetch alone, with tokens bound to a key. A page of an origin where no public client is registered reads nothing.
func TestBrowserApplication(t *testing.T) {
	d := startDemo(t)
	page, err := template.ParseFiles("testdata/spa.html")
	if err != nil {
		t.Fatal(err)
	}
	serve := func() *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := page.Execute(w, map[string]string{"Issuer": d.issuer, "Client": "spa"}); err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	app, foreign := serve(), serve()
	d.run("clients: [{client_id: spa, token_endpoint_auth_method: none, redirect_uris: ['"+app.URL+"/'], grant_types: [authorization_code, refresh_token], scope: openid profile offline_access}]", "apply", "-f", "-")

	b := startChromium(t).person(t, "en")
	b.mayLog(d.issuer+"/token", d.issuer+"/userinfo") // a refusal that a script is to read is an error to the browser's log
	b.open(app.URL)
	b.press("#sign-in")
	d.password(b, "admin", demoPassword)
	phone := b.another()
	phone.open(d.intranet + "phone")
	b.fill("#code", phone.text("[data-account=admin]"))
	b.press(submit)
	b.says("#end", "done")
	b.says("#steps", `code 400 use_dpop_nonce
code 200 DPoP
userinfo 200 Astrid Administratör
refresh 200 DPoP
userinfo 200 Astrid Administratör
revoke 200
userinfo 401 invalid_token`)

	b.mayLog(foreign.URL)
	b.open(foreign.URL + "/?probe")
	b.says("#end", "TypeError: Failed to fetch")
}
