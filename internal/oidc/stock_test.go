package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	stock "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// onEngines runs a test on both engines.
func onEngines(t *testing.T, fn func(*testing.T, *servertest.Site)) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { fn(t, servertest.New(t, e.New(t), servertest.Options{})) })
	}
}

// stockClient is what an application's developer would write with coreos/go-oidc and x/oauth2.
func stockClient(t testing.TB, s *servertest.Site, id string, scopes ...string) (*stock.Provider, *oauth2.Config) {
	t.Helper()
	p, err := stock.NewProvider(context.Background(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := p.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	secret := servertest.Secret
	if id == "other" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	if id == "pub" {
		endpoint.AuthStyle, secret = oauth2.AuthStyleInParams, ""
	}
	return p, &oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: endpoint, RedirectURL: servertest.Redirect, Scopes: append([]string{"openid"}, scopes...)}
}

// arrive reads the authorization response in a redirect to the application.
func arrive(t testing.TB, p *servertest.Page) url.Values {
	t.Helper()
	u, err := url.Parse(p.Location)
	if err != nil || !strings.HasPrefix(p.Location, servertest.Redirect) || p.Status != http.StatusSeeOther {
		t.Fatalf("got %d %q, want a redirect to the application\n%s", p.Status, p.Location, p.Body)
	}
	return u.Query()
}

// signedIn gives a browser in which alice is signed in.
func signedIn(t testing.TB, s *servertest.Site) *servertest.Browser {
	t.Helper()
	b := s.Browser(t)
	p := b.Follow(b.SignIn(b.Get("/account"), "alice", servertest.Password, servertest.TOTP))
	if p.Status != http.StatusOK || !strings.Contains(p.Body, "Alice Åkerblom") {
		t.Fatalf("alice is not signed in: %d\n%s", p.Status, p.Body)
	}
	return b
}

// TestStockClient: code with PKCE, ID token of each algorithm, userinfo, refresh.
func TestStockClient(t *testing.T) {
	onEngines(t, func(t *testing.T, s *servertest.Site) {
		b := s.Browser(t)
		for i, c := range []struct{ id, alg string }{{"conf", "ES256"}, {"rsa", "RS256"}, {"ed", "EdDSA"}, {"pss", "PS256"}, {"other", "ES256"}, {"pub", "RS256"}} {
			p, conf := stockClient(t, s, c.id, "profile", "offline_access")
			verifier := oauth2.GenerateVerifier()
			page := b.Get(conf.AuthCodeURL("state-1", stock.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier)))
			if i == 0 {
				page = b.Follow(b.SignIn(page, "alice", servertest.Password, servertest.TOTP))
			}
			answer := arrive(t, page) // from the second client on without a prompt
			if answer.Get("state") != "state-1" || answer.Get("iss") != s.URL {
				t.Errorf("%s: the response has %v", c.id, answer)
			}
			token, err := conf.Exchange(context.Background(), answer.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatalf("%s: %v", c.id, err)
			}
			checkToken(t, p, conf, token, c.alg, "nonce-1")
			if c.id != "pub" {
				refreshed, err := conf.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
				if err != nil {
					t.Fatalf("%s: refresh: %v", c.id, err)
				}
				if refreshed.RefreshToken == token.RefreshToken {
					t.Errorf("%s: the refresh token was not rotated", c.id)
				}
				checkToken(t, p, conf, refreshed, c.alg, "")
			}
		}
		if n := len(s.Events(t, audit.LoginSucceeded)); n != 1 {
			t.Errorf("%d sign-ins on record, want 1", n)
		}
		if n := len(s.Events(t, audit.CodeIssued, audit.TokenIssued, audit.TokenRefreshed)); n != 17 {
			t.Errorf("%d token events on record, want 17", n)
		}
	})
}

// TestPublishedAlgorithms: discovery names what the key set has, each with its keys, and nothing else.
func TestPublishedAlgorithms(t *testing.T) {
	s := servertest.New(t, storetest.Engines()[0].New(t), servertest.Options{})
	b := s.Browser(t)
	var said struct {
		Algs []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := json.Unmarshal([]byte(b.Get("/.well-known/openid-configuration").Body), &said); err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []struct{ Alg string } }
	if err := json.Unmarshal([]byte(b.Get("/jwks").Body), &set); err != nil {
		t.Fatal(err)
	}
	keys := map[string]int{}
	for _, k := range set.Keys {
		keys[k.Alg]++
	}
	if want := []string{"RS256", "PS256", "ES256", "EdDSA"}; !slices.Equal(said.Algs, want) || len(keys) != len(want) {
		t.Errorf("discovery names %v, the key set has %v", said.Algs, keys)
	}
	for _, alg := range said.Algs {
		if keys[alg] < 2 {
			t.Errorf("the key set has %d keys for %s, want an active and a next one", keys[alg], alg)
		}
	}
}

func checkToken(t *testing.T, p *stock.Provider, conf *oauth2.Config, token *oauth2.Token, alg, nonce string) {
	t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&stock.Config{ClientID: conf.ClientID, SupportedSigningAlgs: []string{alg}}).Verify(context.Background(), raw)
	if err != nil {
		t.Fatalf("%s: %v", conf.ClientID, err)
	}
	var c struct {
		Name, Acr, Sid string
		Username       string `json:"preferred_username"`
		Amr            []string
		AuthTime       int64 `json:"auth_time"`
	}
	if err := id.Claims(&c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "Alice Åkerblom" || c.Username != "alice" || c.Acr != "urn:portvakt:acr:2fa" || strings.Join(c.Amr, " ") != "pwd otp mfa" || c.AuthTime == 0 || c.Sid == "" || id.Nonce != nonce {
		t.Errorf("%s: the ID token says %+v, nonce %q", conf.ClientID, c, id.Nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("%s: at_hash: %v", conf.ClientID, err)
	}
	info, err := p.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatalf("%s: userinfo: %v", conf.ClientID, err)
	}
	var claims struct{ Name string }
	if err := info.Claims(&claims); err != nil || info.Subject != id.Subject || claims.Name != "Alice Åkerblom" {
		t.Errorf("%s: userinfo says %v %v (%v)", conf.ClientID, info.Subject, claims, err)
	}
}
