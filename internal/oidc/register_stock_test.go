package oidc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	stock "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestStockRegistration: what an application's developer would write: find the endpoint by discovery, register as a pairwise client with a sector of two
// hosts, and sign somebody in with coreos/go-oidc and x/oauth2.
func TestStockRegistration(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, s *servertest.Site) {
		sector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`["` + servertest.Redirect + `","https://b.example/cb"]`))
		}))
		t.Cleanup(sector.Close)
		_, token, err := s.Admin.MakeRegistrationToken(context.Background(), audit.Origin{Actor: "test"}, bounds(), 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		p, err := stock.NewProvider(context.Background(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		var found struct {
			Registration string   `json:"registration_endpoint"`
			Subjects     []string `json:"subject_types_supported"`
		}
		if err := p.Claims(&found); err != nil || len(found.Subjects) != 2 {
			t.Fatalf("discovery: %v %+v", err, found)
		}
		body, err := json.Marshal(map[string]any{"application_type": "web", "redirect_uris": []string{servertest.Redirect, "https://b.example/cb"}, "client_name": "My app", "client_name#sv": "Min app",
			"logo_uri": "https://app.example/logo.png", "contacts": []string{"dev@app.example"}, "subject_type": "pairwise", "sector_identifier_uri": sector.URL + "/uris.json", "require_auth_time": true})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, found.Registration, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var e enrolled
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("%d %v %+v", resp.StatusCode, err, e)
		}
		conf := &oauth2.Config{ClientID: e.ID, ClientSecret: e.Secret, Endpoint: p.Endpoint(), RedirectURL: servertest.Redirect, Scopes: []string{"openid", "profile"}}
		verifier := oauth2.GenerateVerifier()
		page := signedIn(t, s).Get(conf.AuthCodeURL("s", stock.Nonce("n"), oauth2.S256ChallengeOption(verifier)))
		got, err := conf.Exchange(context.Background(), arrive(t, page).Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		checkToken(t, p, conf, got, "RS256", "n")
	})
}
