package oidc

import (
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/jose"
	"github.com/portvakt/portvakt/internal/store"
)

// FuzzMetadata (AD-06): whatever a client says of itself, what is registered obeys every rule and stays within the bounds.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{"redirect_uris":["https://app.example/cb"]}`, `{"redirect_uris":["https://app.example/cb"],"scope":"openid","grant_types":["refresh_token","authorization_code"],"minimum_acr":"phr"}`,
		`{"redirect_uris":["https://app.example/cb"],"allowed_groups":["staff"],"kiosk":false,"jwks":null,"require_pkce":true}`, `{"redirect_uris":["https://app.example/cb"],"subject_type":"pairwise","privacy":{}}`,
		`{"redirect_uris":[],"grant_types":["client_credentials"]}`, `{"jwks":{"keys":[{"kty":"OKP"}]},"redirect_uris":["https://app.example/cb"]}`} {
		f.Add([]byte(seed))
	}
	b := store.Bounds{Scopes: []string{"openid", "email"}, GrantTypes: []string{client.GrantCode, client.GrantRefresh}, Groups: []string{"staff"}, MinimumACR: "urn:portvakt:acr:2fa"}
	f.Fuzz(func(t *testing.T, body []byte) {
		said, err := jose.Members(body)
		if err != nil {
			return
		}
		c, err := metadata(said).client("self", b)
		if err != nil {
			if text := describe(err); text == "" || strings.ContainsAny(text, "\n\"\\") {
				t.Fatalf("refused with %q", text)
			}
			return
		}
		again := c
		again.Normalise()
		if err := again.Validate(); err != nil || c.ID != "self" || !slices.Equal(c.AllowedGroups, b.Groups) || !c.PKCE() || c.MinimumACR != "urn:portvakt:acr:2fa" && c.MinimumACR != "phr" ||
			c.Kiosk || c.ResourceServer || c.Privacy != nil || len(c.Resources)+len(c.ExchangeFrom) > 0 {
			t.Fatalf("%v: %+v", err, c)
		}
		for _, s := range c.Scopes() {
			if !has(b.Scopes, s) {
				t.Fatalf("scope %q", s)
			}
		}
		for _, g := range c.GrantTypes {
			if !has(b.GrantTypes, g) {
				t.Fatalf("grant type %q", g)
			}
		}
	})
}
