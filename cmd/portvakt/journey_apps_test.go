package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestAppsPages walks through what the owner of an application sees of it.
func TestAppsPages(t *testing.T) {
	walks(t, func(w *walk) {
		w.troubles()
		b := w.person()
		w.bertil(b)
		w.account(b)
		b.press("[href='/apps']")
		w.says(b, "h1", "apps.title")
		w.picture(b, "apps")
		b.press("[href='/apps/intranet']")
		b.says("h1", "Intranet")
		w.says(b, ".rows li p", "trouble.secret")
		w.picture(b, "app")
		b.press("[href*='for=spring']")
		if text := b.text("pre"); !strings.Contains(text, "issuer-uri: \""+w.issuer+"\"") {
			b.fail("the snippet is %s", text)
		}
		b.press("[href*='for=browser']")
		w.says(b, "#snippet .note", "app.misfit")
		w.picture(b, "app-misfit")
		b.press("[href*='for=apache']")
		b.press("footer a")
		b.press("footer a")
		b.says("h1", "Intranet")
	})
}

// TestProvePage walks through the trials of a test client that notices nothing, and of one that stops.
func TestProvePage(t *testing.T) {
	walks(t, func(w *walk) {
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1>Arrived</h1>`)
		}))
		t.Cleanup(app.Close)
		w.run(`clients: [{client_id: prov, client_name: Intranätets prov, test: true, token_endpoint_auth_method: none, owners: [bertil], redirect_uris: ['`+app.URL+`/callback']}]`, "apply", "-f", "-")
		b := w.person()
		w.bertil(b)
		b.open(w.issuer + "/apps/wiki/prove")
		w.says(b, ".note", "prove.not_test")
		b.open(w.issuer + "/apps/prov")
		b.press("[href='/apps/prov/prove']")
		w.says(b, "h1", "prove.title")
		w.picture(b, "prove")
		b.press("main > form [value=begin]")
		w.says(b, "section h2", "fault.state")
		w.picture(b, "prove-armed")
		w.signInTo(b, "prov", app.URL+"/callback")
		b.open(w.issuer + "/apps/prov/prove")
		w.says(b, "section .next", "prove.taken")
		w.picture(b, "prove-taken")
		b.press("[value=in]")
		b.press("main > form [value=begin]")
		w.signInTo(b, "prov", app.URL+"/callback")
		b.open(w.issuer + "/apps/prov/prove")
		b.press("[value=out]")
		w.says(b, ".rows .tag", "prove.let_in")
		w.says(b, ".rows .calm", "prove.refused")
		w.picture(b, "prove-table")
	})
}

// signInTo has the browser ask for a sign-in to a client, which does nothing with the answer.
func (w *walk) signInTo(b *tab, id, redirect string) {
	w.t.Helper()
	q := url.Values{"client_id": {id}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"a-state-of-the-journey"},
		"code_challenge": {strings.Repeat("0123456789-", 4)[:42] + "A"}, "code_challenge_method": {"S256"}}
	b.open(w.endpoint("authorization_endpoint") + "?" + q.Encode())
	b.says("h1", "Arrived")
}

// troubles is what a developer does wrong on the first day.
func (w *walk) troubles() {
	w.t.Helper()
	ask := func(pairs ...string) {
		q := url.Values{"client_id": {"intranet"}, "redirect_uri": {w.intranet + "callback"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"a-state-of-the-journey"},
			"code_challenge": {strings.Repeat("0123456789-", 4)[:42] + "A"}, "code_challenge_method": {"S256"}}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		w.fetch(http.NewRequest(http.MethodGet, w.endpoint("authorization_endpoint")+"?"+q.Encode(), nil))
	}
	ask("redirect_uri", w.intranet+"callback/")
	ask("redirect_uri", w.intranet+"callback/")
	ask("redirect_uri", strings.Replace(w.intranet, "localhost", "127.0.0.1", 1)+"callback")
	ask("redirect_uri", w.intranet+"oauth2/callback")
	r, err := http.NewRequest(http.MethodPost, w.endpoint("token_endpoint"), strings.NewReader("grant_type=authorization_code&code=x"))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("intranet", "demo-secret-of-wiki")
	}
	w.fetch(r, err)
}
