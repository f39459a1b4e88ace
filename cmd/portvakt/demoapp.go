package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portvakt/portvakt/internal/admin"
)

//go:embed demo
var demoFiles embed.FS

// sampleApp is an ordinary OpenID Connect client, as a team would write one with a stock library.
type sampleApp struct {
	name   string
	path   string // where it lives, with a slash at both ends
	base   string
	issuer string
	id     string
	secret string
	pages  *demoPages

	mu       sync.Mutex
	provider *oidc.Provider // found at the first sign-in
	pending  map[string]begun
	sessions map[string]signedIn
}

// begun is a sign-in under way, by its state.
type begun struct{ nonce, verifier string }

// signedIn is who uses the application.
type signedIn struct {
	Name, Username, Email string
	Groups                []string
	ACR                   string
	AMR                   []string
	At                    time.Time
	raw, sid              string
}

// newSampleApps serves the applications and the phone, with its messages.
func newSampleApps(issuer, base string, clients []admin.ClientSpec, p *phone, messages *inbox) http.Handler {
	pages := newDemoPages(issuer)
	mux := http.NewServeMux()
	paths := []string{"/", "/wiki/"}
	for i, c := range clients {
		a := &sampleApp{name: c.Name, path: paths[i], base: base, issuer: issuer, id: string(c.ID), secret: c.Secret, pages: pages,
			pending: map[string]begun{}, sessions: map[string]signedIn{}}
		mux.HandleFunc("GET "+a.path+"{$}", a.home)
		mux.HandleFunc("GET "+a.path+"sign-in", a.signIn)
		mux.HandleFunc("GET "+a.path+"callback", a.callback)
		mux.HandleFunc("POST "+a.path+"sign-out", a.signOut)
		mux.HandleFunc("POST "+a.path+"backchannel-logout", a.loggedOut)
	}
	p.pages, p.messages = pages, messages
	mux.HandleFunc("GET /phone", p.show)
	mux.HandleFunc("POST /phone", p.take)
	for _, name := range []string{"demo.css", "icon.svg", "phone.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, demoFiles, "demo/"+name) })
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

func (a *sampleApp) cookie() string { return "sample-" + a.id }

// client gives the provider's metadata and the OAuth configuration.
func (a *sampleApp) client(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider == nil {
		p, err := oidc.NewProvider(ctx, a.issuer)
		if err != nil {
			return nil, nil, err
		}
		a.provider = p
	}
	return a.provider, &oauth2.Config{ClientID: a.id, ClientSecret: a.secret, Endpoint: a.provider.Endpoint(),
		RedirectURL: a.base + a.path + "callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"}}, nil
}

// appPage is what an application shows. Who is nil while nobody is signed in.
type appPage struct {
	ID, App, Path, Issuer string
	Who                   *signedIn
	Today                 string
	What, Detail          string // of a trouble
}

func (a *sampleApp) page() appPage {
	return appPage{ID: a.id, App: a.name, Path: a.path, Issuer: a.issuer, Today: time.Now().Format("Monday 2 January")}
}

func (a *sampleApp) home(w http.ResponseWriter, r *http.Request) {
	page := a.page()
	a.mu.Lock()
	if who, ok := a.sessions[cookieValue(r, a.cookie())]; ok {
		page.Who = &who
	}
	a.mu.Unlock()
	a.pages.render(w, http.StatusOK, "app", page)
}

func (a *sampleApp) signIn(w http.ResponseWriter, r *http.Request) {
	_, conf, err := a.client(context.WithoutCancel(r.Context()))
	if err != nil {
		a.trouble(w, "The identity provider cannot be reached", err.Error())
		return
	}
	state, flow := rand.Text(), begun{nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	a.mu.Lock()
	a.pending[state] = flow
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: a.cookie() + "-state", Value: state, Path: a.path, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, conf.AuthCodeURL(state, oidc.Nonce(flow.nonce), oauth2.S256ChallengeOption(flow.verifier)), http.StatusSeeOther)
}

func (a *sampleApp) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state := q.Get("state")
	a.mu.Lock()
	flow, ok := a.pending[state]
	delete(a.pending, state)
	a.mu.Unlock()
	if !ok || cookieValue(r, a.cookie()+"-state") != state || q.Get("iss") != a.issuer {
		a.trouble(w, "This sign-in was not begun here", "state or iss differs")
		return
	}
	if e := q.Get("error"); e != "" {
		a.trouble(w, "Signing in did not work", e+": "+q.Get("error_description"))
		return
	}
	who, err := a.redeem(r.Context(), q.Get("code"), flow)
	if err != nil {
		a.trouble(w, "Signing in did not work", err.Error())
		return
	}
	id := rand.Text()
	a.mu.Lock()
	a.sessions[id] = who
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: a.cookie(), Value: id, Path: a.path, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, a.path, http.StatusSeeOther)
}

// redeem exchanges the code and checks the ID token.
func (a *sampleApp) redeem(ctx context.Context, code string, flow begun) (signedIn, error) {
	var who signedIn
	provider, conf, err := a.client(context.WithoutCancel(ctx))
	if err != nil {
		return who, err
	}
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(flow.verifier))
	if err != nil {
		return who, err
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: a.id, SupportedSigningAlgs: []string{"RS256", "ES256"}}).Verify(ctx, raw)
	if err != nil {
		return who, err
	}
	if idToken.Nonce != flow.nonce {
		return who, errors.New("the ID token is for another sign-in")
	}
	var claims struct {
		Name     string   `json:"name"`
		Username string   `json:"preferred_username"`
		Email    string   `json:"email"`
		Groups   []string `json:"groups"`
		ACR      string   `json:"acr"`
		AMR      []string `json:"amr"`
		AuthTime int64    `json:"auth_time"`
		SID      string   `json:"sid"`
	}
	if err := idToken.Claims(&claims); err != nil {
		return who, err
	}
	return signedIn{claims.Name, claims.Username, claims.Email, claims.Groups, claims.ACR, claims.AMR, time.Unix(claims.AuthTime, 0), raw, claims.SID}, nil
}

// signOut ends the application's own session and then the one at the provider (RP-Initiated Logout).
func (a *sampleApp) signOut(w http.ResponseWriter, r *http.Request) {
	id := cookieValue(r, a.cookie())
	a.mu.Lock()
	who := a.sessions[id]
	delete(a.sessions, id)
	provider := a.provider
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: a.cookie(), Path: a.path, MaxAge: -1})
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if provider == nil || provider.Claims(&metadata) != nil || who.raw == "" {
		http.Redirect(w, r, a.path, http.StatusSeeOther)
		return
	}
	q := url.Values{"id_token_hint": {who.raw}, "post_logout_redirect_uri": {a.base + a.path}}
	http.Redirect(w, r, metadata.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

// loggedOut hears from the provider that a session is over, or locked (OpenID Connect Back-Channel Logout 1.0 §2.6). A token that comes twice
// does no harm here.
func (a *sampleApp) loggedOut(w http.ResponseWriter, r *http.Request) {
	var claims struct {
		SID    string                     `json:"sid"`
		Nonce  *string                    `json:"nonce"`
		Events map[string]json.RawMessage `json:"events"`
	}
	provider, _, err := a.client(context.WithoutCancel(r.Context()))
	if err == nil {
		var token *oidc.IDToken
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if token, err = provider.Verifier(&oidc.Config{ClientID: a.id, SupportedSigningAlgs: []string{"RS256", "ES256"}}).Verify(r.Context(), r.PostFormValue("logout_token")); err == nil {
			err = token.Claims(&claims)
		}
	}
	if _, ok := claims.Events["http://schemas.openid.net/event/backchannel-logout"]; err != nil || !ok || claims.SID == "" || claims.Nonce != nil {
		http.Error(w, "not a logout token", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.sessions, func(_ string, who signedIn) bool { return who.sid == claims.SID })
	w.Header().Set("Cache-Control", "no-store")
}

func (a *sampleApp) trouble(w http.ResponseWriter, what, detail string) {
	page := a.page()
	page.What, page.Detail = what, detail
	a.pages.render(w, http.StatusBadGateway, "trouble", page)
}

func cookieValue(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// demoPages are the pages of the applications and of the phone.
type demoPages struct {
	set    *template.Template
	policy string
}

func newDemoPages(issuer string) *demoPages {
	join := func(words []string) string { return strings.Join(words, ", ") }
	set := template.Must(template.New("").Funcs(template.FuncMap{"join": join}).ParseFS(demoFiles, "demo/*.html"))
	// A sign-out is a form that leads on to the provider and back.
	return &demoPages{set, "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self' " +
		issuer + "; frame-ancestors 'none'; base-uri 'none'"}
}

// render makes a page and then sends it.
func (p *demoPages) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := p.set.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.policy)
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the reader has gone: nobody is left to tell
}
