package client

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sample returns a valid confidential client, changed by the caller.
func sample(change func(*Client)) *Client {
	c := &Client{ID: "intranet", RedirectURIs: []string{"https://app.example/callback"}}
	c.Normalise()
	if change != nil {
		change(c)
	}
	return c
}

func no() *bool { return new(bool) }

func TestNormalise(t *testing.T) {
	c := &Client{ID: "intranet", RedirectURIs: []string{"https://app.example/cb"}, ResponseTypes: []string{"code"}}
	c.Normalise()
	want := &Client{ID: "intranet", Name: "intranet", RedirectURIs: []string{"https://app.example/cb"},
		GrantTypes: []string{"authorization_code"}, AuthMethod: "client_secret_basic", SigningAlg: "RS256", Scope: "openid"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("a normalised minimal client: %v", err)
	}
	c.Normalise()
	if !reflect.DeepEqual(c, want) {
		t.Errorf("a second call changed it to %+v", c)
	}
	full := &Client{ID: "x", Name: "X", GrantTypes: []string{"client_credentials"}, AuthMethod: "client_secret_post",
		SigningAlg: "EdDSA", Scope: "portvakt.admin"}
	before := *full
	full.Normalise()
	if !reflect.DeepEqual(*full, before) {
		t.Errorf("what was said was changed to %+v", full)
	}
}

// TestValidate changes one thing at a time and expects one line that names the field, or none.
func TestValidate(t *testing.T) {
	many := func(n int) []string { return slices.Repeat([]string{"https://app.example/cb"}, n) }
	public := func(c *Client) { c.AuthMethod = AuthNone }
	tests := []struct {
		name   string
		change func(*Client)
		want   string // the beginning of the only line; "" for none
	}{
		{"plain", nil, ""},
		{"no id", func(c *Client) { c.ID = "" }, "client_id: is missing"},
		{"id of 128", func(c *Client) { c.ID = ID(strings.Repeat("a", 128)) }, ""},
		{"id of 129", func(c *Client) { c.ID = ID(strings.Repeat("a", 129)) }, "client_id "},
		{"every id character", func(c *Client) { c.ID = "AZaz09._~-" }, ""},
		{"id with space", func(c *Client) { c.ID = "a b" }, `client_id "a b": `},
		{"id with slash", func(c *Client) { c.ID = "a/b" }, `client_id "a/b": `},
		{"id with colon", func(c *Client) { c.ID = "a:b" }, `client_id "a:b": `},
		{"id not ASCII", func(c *Client) { c.ID = "å" }, `client_id "å": `},
		{"id of one dot", func(c *Client) { c.ID = "." }, `client_id ".": `},
		{"id of two dots", func(c *Client) { c.ID = ".." }, `client_id "..": `},
		{"name with a line end", func(c *Client) { c.Name = "a\nb" }, `client_name "a\nb": `},
		{"name in Swedish", func(c *Client) { c.Name = "Löner & närvaro" }, ""},
		{"name too long", func(c *Client) { c.Name = strings.Repeat("a", 201) }, "client_name "},
		{"name not UTF-8", func(c *Client) { c.Name = "\xff" }, "client_name "},

		{"no redirect URI", func(c *Client) { c.RedirectURIs = nil }, "redirect_uris: is missing"},
		{"50 redirect URIs", func(c *Client) { c.RedirectURIs = many(50) }, ""},
		{"51 redirect URIs", func(c *Client) { c.RedirectURIs = many(51) }, "redirect_uris: has 51"},
		{"a bad redirect URI", func(c *Client) { c.RedirectURIs = []string{"javascript:alert(1)"} }, `redirect_uris "javascript:`},
		{"a bad logout URI", func(c *Client) { c.PostLogoutRedirectURIs = []string{"//evil"} }, `post_logout_redirect_uris "//evil"`},
		{"a logout URI", func(c *Client) { c.PostLogoutRedirectURIs = []string{"https://app.example/"} }, ""},
		{"front channel", func(c *Client) { c.FrontchannelLogoutURI = "https://app.example/out" }, ""},
		{"front channel elsewhere", func(c *Client) { c.FrontchannelLogoutURI = "https://other.example/out" }, "frontchannel_logout_uri "},
		{"front channel plain", func(c *Client) { c.FrontchannelLogoutURI = "http://app.example/out" }, "frontchannel_logout_uri "},
		{"front channel on another IPv6 host", func(c *Client) {
			c.RedirectURIs, c.FrontchannelLogoutURI = []string{"https://[2001:db8::1]/cb"}, "https://[2001:db8::2]/out"
		}, "frontchannel_logout_uri "},
		{"links", func(c *Client) {
			c.PolicyURI, c.TermsURI = "https://www.example.se/privacy", "http://localhost:8081/terms"
		}, ""},
		{"policy in a long page", func(c *Client) { c.PolicyURI = "https://app.example/legal#privacy/1" }, ""},
		{"policy with a tag", func(c *Client) { c.PolicyURI = "https://app.example/legal#<script>" }, "policy_uri "},
		{"policy too long", func(c *Client) { c.PolicyURI = "https://app.example/#" + strings.Repeat("a", 2048) }, "policy_uri "},
		{"policy as a script", func(c *Client) { c.PolicyURI = "javascript:alert(1)" }, "policy_uri "},
		{"terms plain", func(c *Client) { c.TermsURI = "http://app.example/terms" }, "tos_uri "},
		{"terms of an app", func(c *Client) { public(c); c.TermsURI = "com.example.app:/terms" }, "tos_uri "},
		{"back channel", func(c *Client) { c.BackchannelLogoutURI = "https://app.example/out" }, ""},
		{"back channel on loopback", func(c *Client) { c.BackchannelLogoutURI = "http://localhost:8081/out" }, ""},
		{"back channel plain", func(c *Client) { c.BackchannelLogoutURI = "http://app.example/out" }, "backchannel_logout_uri "},
		{"back channel fragment", func(c *Client) { c.BackchannelLogoutURI = "https://a.example/#x" }, "backchannel_logout_uri "},
		{"back channel of a public client", func(c *Client) {
			public(c)
			c.BackchannelLogoutURI = "com.example.app:/out"
		}, "backchannel_logout_uri "},

		{"no grant", func(c *Client) { c.GrantTypes = nil }, "grant_types: is empty"},
		{"code and refresh", func(c *Client) { c.GrantTypes = []string{GrantCode, GrantRefresh} }, ""},
		{"refresh alone", func(c *Client) { c.GrantTypes = []string{GrantRefresh} }, `grant_types "refresh_token"`},
		{"device alone", func(c *Client) { c.GrantTypes, c.RedirectURIs = []string{GrantDevice}, nil }, ""},
		{"device and refresh", func(c *Client) { c.GrantTypes, c.RedirectURIs = []string{GrantDevice, GrantRefresh}, nil }, ""},
		{"device, public", func(c *Client) { public(c); c.GrantTypes, c.RedirectURIs = []string{GrantDevice}, nil }, ""},
		{"device and code, no redirect URI", func(c *Client) { c.GrantTypes, c.RedirectURIs = []string{GrantDevice, GrantCode}, nil }, "redirect_uris: is missing"},
		{"device by a short name", func(c *Client) { c.GrantTypes = []string{"device_code"} }, `grant_types "device_code": is not available`},
		{"credentials alone", func(c *Client) { c.GrantTypes, c.RedirectURIs = []string{GrantClientCredentials}, nil }, ""},
		{"credentials, public", func(c *Client) {
			public(c)
			c.GrantTypes = []string{GrantClientCredentials}
		}, `grant_types "client_credentials"`},
		{"password", func(c *Client) { c.GrantTypes = []string{GrantCode, "password"} }, `grant_types "password"`},
		{"implicit", func(c *Client) { c.GrantTypes = []string{GrantCode, "implicit"} }, `grant_types "implicit"`},
		{"grant twice", func(c *Client) { c.GrantTypes = []string{GrantCode, GrantCode} }, `grant_types "authorization_code"`},

		{"post", func(c *Client) { c.AuthMethod = AuthPost }, ""},
		{"public", public, ""},
		{"resources", func(c *Client) {
			c.Resources = []string{"https://api.example", "https://api.example/a?b=c", "urn:example:api", "api://default/x", "https://[::1]:8443/"}
		}, ""},
		{"resource empty", func(c *Client) { c.Resources = []string{""} }, "resources: is empty"},
		{"resource relative", func(c *Client) { c.Resources = []string{"/api"} }, `resources "/api": is not absolute`},
		{"resource without more", func(c *Client) { c.Resources = []string{"https:"} }, `resources "https:": is not absolute`},
		{"resource without scheme", func(c *Client) { c.Resources = []string{"api.example"} }, `resources "api.example": is not absolute`},
		{"resource with fragment", func(c *Client) { c.Resources = []string{"https://api.example/#"} }, `resources "https://api.example/#": has a fragment`},
		{"resource with a wildcard", func(c *Client) { c.Resources = []string{"https://*.example/"} }, `resources "https://*.example/": has a wildcard`},
		{"resource with a space", func(c *Client) { c.Resources = []string{"https://api.example/ x"} }, `resources "https://api.example/ x": has a character`},
		{"resource with a user", func(c *Client) { c.Resources = []string{"https://u@api.example/"} }, `resources "https://u@api.example/": has user information`},
		{"resource twice", func(c *Client) { c.Resources = []string{"urn:a:b", "urn:a:b"} }, `resources "urn:a:b": stands twice`},
		{"resource too long", func(c *Client) { c.Resources = []string{"urn:a:" + strings.Repeat("x", 507)} }, `resources "urn:a:xx`},
		{"resources too many", func(c *Client) { c.Resources = many(51) }, "resources: has 51 addresses"},
		{"pushed", func(c *Client) { c.RequirePAR = true }, ""},
		{"signed requests", func(c *Client) { c.RequireSigned, c.RequestSigningAlg, c.JWKS = true, "ES256", `{"keys":[]}` }, ""},
		{"signed requests by address", func(c *Client) { c.RequireSigned, c.JWKSURI = true, "https://app.example/jwks" }, ""},
		{"signed requests without keys", func(c *Client) { c.RequireSigned = true }, `require_signed_request_object "true": needs jwks or jwks_uri`},
		{"an algorithm of requests without keys", func(c *Client) { c.RequestSigningAlg = "PS256" }, `request_object_signing_alg "PS256": needs jwks or jwks_uri`},
		{"requests that are not signed", func(c *Client) { c.RequestSigningAlg, c.JWKS = "none", `{"keys":[]}` }, `request_object_signing_alg "none": is not available`},
		{"requests with a secret", func(c *Client) { c.RequestSigningAlg, c.JWKS = "HS256", `{"keys":[]}` }, `request_object_signing_alg "HS256": is not available`},
		{"no rotation", func(c *Client) { c.RefreshRotation = no() }, ""},
		{"no rotation, public", func(c *Client) { public(c); c.RefreshRotation = no() }, "refresh_token_rotation "},
		{"grace", func(c *Client) { c.RefreshGrace = 60 }, ""},
		{"grace of 61 s", func(c *Client) { c.RefreshGrace = 61 }, "refresh_grace "},
		{"at+jwt", func(c *Client) { c.AccessTokenFormat = FormatJWT }, ""},
		{"other format", func(c *Client) { c.AccessTokenFormat = "jwt" }, "access_token_format "},
		{"resource server, public", func(c *Client) { public(c); c.ResourceServer = true }, "resource_server "},
		{"exchange", func(c *Client) { c.GrantTypes, c.ExchangeFrom = append(c.GrantTypes, GrantExchange), []ID{"a"} }, ""},
		{"exchange of nobody's", func(c *Client) { c.GrantTypes = append(c.GrantTypes, GrantExchange) }, "token_exchange_from: "},
		{"exchange without the grant", func(c *Client) { c.ExchangeFrom = []ID{"a"} }, "token_exchange_from: "},
		{"private_key_jwt without keys", func(c *Client) { c.AuthMethod = AuthPrivateKey }, "jwks: is missing"},
		{"private_key_jwt", func(c *Client) { c.AuthMethod, c.JWKS = AuthPrivateKey, `{"keys":[]}` }, ""},
		{"private_key_jwt by address", func(c *Client) { c.AuthMethod, c.JWKSURI = AuthPrivateKey, "https://app.example/jwks" }, ""},
		{"keys twice", func(c *Client) { c.JWKS, c.JWKSURI = `{"keys":[]}`, "https://app.example/jwks" }, "jwks_uri "},
		{"keys by plain http", func(c *Client) { c.JWKSURI = "http://app.example/jwks" }, "jwks_uri "},
		{"33 KiB of keys", func(c *Client) { c.JWKS = JWKS(strings.Repeat("a", 33<<10)) }, "jwks: is longer"},
		{"assertions by HMAC", func(c *Client) { c.AuthSigningAlg = "HS256" }, "token_endpoint_auth_signing_alg "},
		{"self-signed certificate", func(c *Client) { c.AuthMethod = "self_signed_tls_client_auth" }, "token_endpoint_auth_method "},
		{"no method", func(c *Client) { c.AuthMethod = "" }, "token_endpoint_auth_method: "},
		{"method in capitals", func(c *Client) { c.AuthMethod = "NONE" }, "token_endpoint_auth_method "},
		{"no PKCE", func(c *Client) { c.RequirePKCE = no() }, ""},
		{"no PKCE, public", func(c *Client) { public(c); c.RequirePKCE = no() }, "require_pkce "},
		{"consent", func(c *Client) { c.RequireConsent = true }, `require_consent "true": is not available in this version`},
		{"response type", func(c *Client) { c.ResponseTypes = []string{"code"} }, ""},
		{"implicit response", func(c *Client) { c.ResponseTypes = []string{"code", "token"} }, `response_types "code, token"`},

		{"ES256", func(c *Client) { c.SigningAlg = "ES256" }, ""},
		{"PS256", func(c *Client) { c.SigningAlg = "PS256" }, ""},
		{"PS384", func(c *Client) { c.SigningAlg = "PS384" }, `id_token_signed_response_alg "PS384"`},
		{"EdDSA", func(c *Client) { c.SigningAlg = "EdDSA" }, ""},
		{"alg none", func(c *Client) { c.SigningAlg = "none" }, `id_token_signed_response_alg "none"`},
		{"HS256", func(c *Client) { c.SigningAlg = "HS256" }, `id_token_signed_response_alg "HS256"`},
		{"scopes", func(c *Client) { c.Scope = "openid profile email phone groups offline_access" }, ""},
		{"every scope character", func(c *Client) { c.Scope = "!#$%&'()+,-./09:;<=>?@AZ[]^_`az{|}~" }, ""},
		{"scope wildcard", func(c *Client) { c.Scope = "openid a.*" }, `scope "a.*": has a wildcard`},
		{"scope quote", func(c *Client) { c.Scope = `openid a"b` }, "scope "},
		{"scope backslash", func(c *Client) { c.Scope = `openid a\b` }, "scope "},
		{"scope tab", func(c *Client) { c.Scope = "openid\tprofile" }, "scope "},
		{"scope not ASCII", func(c *Client) { c.Scope = "openid å" }, `scope "å"`},
		{"scope twice", func(c *Client) { c.Scope = "openid email openid" }, `scope "openid": stands twice`},
		{"two spaces", func(c *Client) { c.Scope = "openid  email" }, "scope "},
		{"100,000 scopes", func(c *Client) { c.Scope = strings.Repeat("a ", 100_000) }, "scope "},
		{"1fa", func(c *Client) { c.MinimumACR = "urn:portvakt:acr:1fa" }, ""},
		{"2fa", func(c *Client) { c.MinimumACR = "urn:portvakt:acr:2fa" }, ""},
		{"phr", func(c *Client) { c.MinimumACR = "phr" }, ""},
		{"phrh", func(c *Client) { c.MinimumACR = "phrh" }, `minimum_acr "phrh": is not available in this version`},
		{"other acr", func(c *Client) { c.MinimumACR = "0" }, `minimum_acr "0"`},

		{"groups", func(c *Client) { c.AllowedGroups = []string{"staff", "admins"} }, ""},
		{"group twice", func(c *Client) { c.AllowedGroups = []string{"staff", "staff"} }, `allowed_groups "staff"`},
		{"group empty", func(c *Client) { c.AllowedGroups = []string{""} }, "allowed_groups: "},
		{"privacy", func(c *Client) { c.Privacy = &Privacy{Purpose: "payroll", LegalBasis: "contract", Role: "controller"} }, ""},
		{"privacy too long", func(c *Client) { c.Privacy = &Privacy{Retention: strings.Repeat("a", 1001)} }, "privacy.retention "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := sample(tt.change).Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want == "":
			case err == nil:
				t.Error("accepted")
			case !errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n"):
				t.Errorf("got %q, want one line that begins with %q", err, tt.want)
			case !strings.Contains(err.Error(), "; "):
				t.Errorf("%q does not say what to do", err)
			}
		})
	}
}

func TestValidateFindsEveryFault(t *testing.T) {
	c := sample(func(c *Client) {
		c.ID, c.Scope, c.SigningAlg, c.MinimumACR, c.RequireConsent = "a b", "*", "none", "phrh", true
		c.RedirectURIs = []string{"https://ok.example/", "file:///etc/passwd", "https://*.example/" + strings.Repeat("a", 500)}
	})
	lines := strings.Split(c.Validate().Error(), "\n")
	if len(lines) != 7 {
		t.Errorf("got %d lines, want 7: %q", len(lines), lines)
	}
	for _, l := range lines {
		if len(l) > 300 {
			t.Errorf("a line of %d bytes; a value is cut at 100", len(l))
		}
	}
}

func TestAnswers(t *testing.T) {
	c := sample(func(c *Client) {
		c.Scope, c.GrantTypes = "openid email", []string{GrantCode, GrantRefresh}
	})
	if !slices.Equal(c.Scopes(), []string{"openid", "email"}) || !c.Allows("email") || !c.Grant(GrantRefresh) {
		t.Errorf("scopes %v, grants %v", c.Scopes(), c.GrantTypes)
	}
	for _, s := range []string{"", "mail", "Email", "openid email", "email.read", "e"} {
		if c.Allows(s) {
			t.Errorf("scope %q is allowed", s)
		}
	}
	if c.Grant(GrantClientCredentials) || c.Grant("") {
		t.Error("a grant that is not registered is allowed")
	}
	if !c.AllowedFor(nil) {
		t.Error("a client without groups refuses somebody")
	}
	c.AllowedGroups = []string{"staff"}
	if c.AllowedFor(nil) || c.AllowedFor([]string{"Staff", "guests"}) || !c.AllowedFor([]string{"guests", "staff"}) {
		t.Error("allowed_groups is not an exact comparison with any of the groups")
	}
	yes := true
	for _, tt := range []struct {
		method string
		pkce   *bool
		want   bool
	}{{AuthBasic, nil, true}, {AuthBasic, &yes, true}, {AuthBasic, no(), false}, {AuthPost, no(), false}, {AuthNone, no(), true}} {
		if c.AuthMethod, c.RequirePKCE = tt.method, tt.pkce; c.PKCE() != tt.want {
			t.Errorf("%s with require_pkce %v: PKCE %v", tt.method, tt.pkce, c.PKCE())
		}
	}
}

// TestTags pins the names on the outside: JSON and YAML agree, and nothing that looks like a secret is in the type.
func TestTags(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[Client](), reflect.TypeFor[Privacy]()} {
		for f := range typ.Fields() {
			j, y := f.Tag.Get("json"), f.Tag.Get("yaml")
			if j == "" || j != y || strings.Contains(j, "secret") {
				t.Errorf("%s.%s: json %q, yaml %q", typ.Name(), f.Name, j, y)
			}
		}
	}
	b, err := json.Marshal(Client{ID: "a"})
	if err != nil || string(b) != `{"client_id":"a"}` {
		t.Errorf("an empty client is written as %s (%v)", b, err)
	}
}
