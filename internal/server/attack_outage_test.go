package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestOutage (FT-01, FT-02, FT-03): a database that does not answer makes every answer that needs it "try later", within
// 5 s: never a refusal, never a success. Afterwards nothing was used up and nobody was counted against.
func TestOutage(t *testing.T) {
	a := newAttack(t, storetest.Postgres(t), servertest.Options{Timeout: 2 * time.Second})
	a.ApplyFile(t, televisions)
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	code := mustCode(t, b.Get(authorizeURL("conf")))
	old := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
	access, renew := old["access_token"].(string), old["refresh_token"].(string)
	alice, newcomer, hint := a.Browser(t), a.Browser(t), old["id_token"].(string)
	step, first := proved(t, alice, "alice"), start(t, newcomer)
	path := a.link(t, "reset", "newcomer", time.Hour)
	linkPage := newcomer.Get(path)
	signOut, kept := b.Get("/logout"), connected(t, b)[0].id
	a.clock.Add(31 * time.Second) // mallory's next code; the code to redeem has 29 s left
	tv, asking := a.television(t, "tv", "openid"), b.Get("/device")
	codeForm := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {servertest.Redirect}, "code_verifier": {verifier}}
	pushed := "/authorize?client_id=conf&request_uri=urn:ietf:params:oauth:request_uri:" + a.pushed(t, "conf")
	initial := a.initial(t)
	calls := map[string]func() *servertest.Page{
		"registration":        func() *servertest.Page { return a.registers(t, http.MethodPost, "/register", initial) },
		"a registration read": func() *servertest.Page { return a.registers(t, http.MethodGet, "/register/conf", initial) },
		"a registration ends": func() *servertest.Page { return a.registers(t, http.MethodDelete, "/register/conf", initial) },
		"FT-01 revoke": func() *servertest.Page {
			return a.post(t, "/revoke", url.Values{"token": {access}}, "Authorization", basic("conf"))
		},
		"FT-01 revoke again": func() *servertest.Page {
			return a.post(t, "/revoke", url.Values{"token": {renew}}, "Authorization", basic("conf"))
		},
		"FT-02 introspect": func() *servertest.Page {
			return a.post(t, "/introspect", url.Values{"token": {access}}, "Authorization", basic("conf"))
		},
		"FT-03 code":    func() *servertest.Page { return a.post(t, "/token", codeForm, "Authorization", basic("conf")) },
		"FT-03 refresh": func() *servertest.Page { return a.refresh(t, "conf", renew) },
		"FT-03 own": func() *servertest.Page {
			return a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("conf"))
		},
		"FT-03 wrong secret": func() *servertest.Page {
			return a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("conf")+"x")
		},
		"FT-03 unread client": func() *servertest.Page {
			return a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("ed"))
		},
		"FT-03 unknown client": func() *servertest.Page {
			return a.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basic("nobody"))
		},
		"FT-03 push": func() *servertest.Page {
			return a.post(t, "/par", authorizeQuery("conf"), "Authorization", basic("conf"))
		},
		"FT-03 push, wrong secret": func() *servertest.Page {
			return a.post(t, "/par", authorizeQuery("conf"), "Authorization", basic("conf")+"x")
		},
		"FT-03 pushed":          func() *servertest.Page { return b.Get(pushed) },
		"FT-03 pushed, forged":  func() *servertest.Page { return b.Get(pushed + "x") },
		"userinfo":              func() *servertest.Page { return a.post(t, "/userinfo", nil, "Authorization", "Bearer "+access) },
		"FT-03 authorize":       func() *servertest.Page { return b.Get(authorizeURL("conf")) },
		"FT-03 authorize, none": func() *servertest.Page { return b.Get(authorizeURL("conf", "prompt", "none")) },
		"FT-03 stranger":        func() *servertest.Page { return a.Browser(t).Get(authorizeURL("rsa")) },
		"FT-03 stranger, none":  func() *servertest.Page { return a.Browser(t).Get(authorizeURL("conf", "prompt", "none")) },
		"FT-03 unknown":         func() *servertest.Page { return a.Browser(t).Get("/authorize?client_id=whoever") },
		"account":               func() *servertest.Page { return b.Get("/account") },
		"sign-in page":          func() *servertest.Page { return newcomer.Get(first.URL.Path) },
		"right password": func() *servertest.Page {
			return newcomer.Fill(first, "username", "newcomer", "password", servertest.Password)
		},
		"wrong password": func() *servertest.Page { return newcomer.Fill(first, "username", "newcomer", "password", wrong) },
		"right one-time code": func() *servertest.Page {
			return alice.Fill(step, "code", servertest.Code(t, servertest.TOTP, a.Clock()))
		},
		"device":             func() *servertest.Page { return a.asks(t, "tv") },
		"device polls":       func() *servertest.Page { return tv.polls(t) },
		"device page":        func() *servertest.Page { return b.Get("/device") },
		"device by link":     func() *servertest.Page { return b.Get(tv.complete) },
		"device allowed":     func() *servertest.Page { return b.Fill(asking, "user_code", tv.code, "action", "allow") },
		"device, wrong code": func() *servertest.Page { return b.Fill(asking, "user_code", "BCDF-GHJK") },
		"link":               func() *servertest.Page { return newcomer.Get(path) },
		"link used":          func() *servertest.Page { return newcomer.Fill(linkPage, "password", another, "repeat", another) },
		"disconnect": func() *servertest.Page {
			return b.Post("/account/connected/"+kept, url.Values{"form_token": {token(t, signOut)}})
		},
		"sign-out":                func() *servertest.Page { return b.Fill(signOut) },
		"sign-out by application": func() *servertest.Page { return b.Get("/logout?id_token_hint=" + hint) },
	}
	storetest.Stop()
	var wg sync.WaitGroup
	for what, call := range calls {
		wg.Go(func() {
			began := time.Now()
			p := call()
			if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
				t.Errorf("%s: got %d, Retry-After %q: %.120s", what, p.Status, p.Header.Get("Retry-After"), p.Body)
			}
			took := time.Since(began)
			for i := 0; i < 2 && took > 5*time.Second; i++ { // a busy machine is asked again
				began = time.Now()
				call()
				took = time.Since(began)
			}
			if took > 5*time.Second {
				t.Errorf("%s: took %v", what, took)
			}
			for _, never := range []string{"invalid_client", "invalid_grant", `"active"`, "wrong", "password is not right"} {
				if strings.Contains(p.Body, never) {
					t.Errorf("%s: the answer says %q", what, never)
				}
			}
			for _, cookie := range p.Header.Values("Set-Cookie") {
				if strings.HasPrefix(cookie, "portvakt=") {
					t.Errorf("%s: sets %s", what, cookie)
				}
			}
			quiet(t, p)
		})
	}
	wg.Wait()
	if p := a.Browser(t).Get("/jwks"); p.Status != http.StatusOK {
		t.Errorf("the keys during the outage: %d", p.Status)
	}
	storetest.Continue()
	eventually(t, "the service is whole again", func() bool { return in(b) })
	if n := len(a.Events(t, audit.LoginFailed, audit.SessionEnded, audit.TokenRevoked, audit.CodeReplayed, audit.TokenReplayed, audit.LinkUsed)); n != 0 {
		t.Errorf("F2: the outage left %d events of refusals or ends", n)
	}
	a.tokens(t, "conf", code)
	mustCode(t, b.Get(pushed))
	if p := a.registers(t, http.MethodPost, "/register", initial); p.Status != http.StatusCreated {
		t.Errorf("after the outage the initial access token got %d %s", p.Status, p.Body)
	}
	tv.told(t, "authorization_pending")
	allows(t, b, b.Get(tv.complete))
	if p := a.refresh(t, "conf", renew); p.Status != http.StatusOK {
		t.Errorf("after the outage the refresh token got %d %s", p.Status, p.Body)
	}
	if p := alice.Fill(alice.Get(step.URL.Path), "code", servertest.Code(t, servertest.TOTP, a.Clock())); p.Status != http.StatusSeeOther {
		t.Errorf("after the outage the one-time code got %d %q", p.Status, p.Alert())
	}
	if p := newcomer.Get(path); p.Status != http.StatusOK {
		t.Errorf("after the outage the link got %d", p.Status)
	}
}

// initial is an initial access token for one registration.
func (a *attack) initial(t *testing.T) string {
	t.Helper()
	_, token, err := a.Admin.MakeRegistrationToken(t.Context(), audit.Origin{Actor: "test"}, store.RegistrationToken{Uses: 1,
		Bounds: store.Bounds{Scopes: []string{"openid"}, GrantTypes: []string{"authorization_code"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (a *attack) registers(t *testing.T, method, path, token string) *servertest.Page {
	t.Helper()
	r, err := http.NewRequest(method, a.URL+path, strings.NewReader(`{"redirect_uris":["`+servertest.Redirect+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	return a.Browser(t).Do(r)
}
