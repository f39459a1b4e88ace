package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// frames: an application that registered for it is opened in a hidden frame when somebody signs out, and the browser then goes back by itself.
func (d *demo) frames(b *tab) {
	d.t.Helper()
	left := make(chan url.Values, 4)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		title := "Arrived"
		switch r.URL.Path {
		case "/leave":
			left <- r.URL.Query()
		case "/bye":
			title = "Goodbye"
		}
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1>`+title+`</h1>`)
	}))
	d.t.Cleanup(app.Close)
	q := url.Values{"client_id": {"framed"}, "redirect_uri": {app.URL + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"a-state-of-the-journey"},
		"code_challenge": {strings.Repeat("0123456789-", 4)[:42] + "A"}, "code_challenge_method": {"S256"}}
	d.run("clients: [{client_id: framed, client_name: Framed, token_endpoint_auth_method: none, redirect_uris: ['"+app.URL+"/callback'], post_logout_redirect_uris: ['"+app.URL+"/bye'], frontchannel_logout_uri: '"+app.URL+"/leave'}]", "apply", "-f", "-")
	b.open(d.endpoint("authorization_endpoint") + "?" + q.Encode())
	b.says("h1", "Arrived")
	out := url.Values{"client_id": {"framed"}, "post_logout_redirect_uri": {app.URL + "/bye"}}
	b.open(d.endpoint("end_session_endpoint") + "?" + out.Encode())
	b.says("h1", "Sign out?")
	b.press(submit)
	b.says("h1", "Goodbye")
	if got := <-left; got.Get("iss") != d.issuer || got.Get("sid") == "" || len(left) > 0 {
		d.t.Errorf("the frame was opened with %v, and %d times more", got, len(left))
	}
	b.open(d.issuer + "/account")
	b.says("h1", "Sign in")
}
