// Package client holds what may ask for a sign-in: an application that is registered with Portvakt, the rules its
// registration must obey, and the comparison of a requested redirect URI with the registered ones.
//
// The package is pure: it reads no clock, no file, no network and no randomness. A secret never enters it; the hash of
// a client's secret lives in the store's row beside the client. A Client that passed Validate has these properties, on
// which the rest of Portvakt relies:
//
//   - every redirect URI is absolute, ASCII, at most 2048 bytes, without fragment, user information, wildcard or dot
//     segment, and reads the same after it was parsed and written again;
//   - its scheme is https, or http on loopback, or (public clients only) a private-use scheme with a dot in it;
//   - a public client cannot switch PKCE off and cannot use client_credentials.
package client

import (
	"slices"
	"strings"
)

// ID is a client_id: 1 to 128 characters of [A-Za-z0-9._~-].
type ID string

// Valid reports whether id can name a client at all; what cannot is not worth a look-up.
func (id ID) Valid() bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(string(id), func(r rune) bool { return !unreserved(r) })
}

// The ways a client authenticates at the token endpoint (OpenID Connect Core 1.0 §9).
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt" // it signs an assertion (RFC 7523 §2.2) with a key of jwks or jwks_uri
	AuthTLS        = "tls_client_auth" // it shows a certificate in the TLS connection (RFC 8705 §2.1)
	AuthNone       = "none"            // a public client: it has no secret and always uses PKCE
)

// The grant types that this version knows (RFC 6749 §1.3, RFC 8628 §3.4).
const (
	GrantCode              = "authorization_code"
	GrantRefresh           = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantExchange          = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
	GrantDevice            = "urn:ietf:params:oauth:grant-type:device_code"    // what has no browser of its own; needs no redirect URI
)

// The forms of an access token.
const (
	FormatOpaque = "opaque" // asked about by introspection; the default
	FormatJWT    = "at+jwt" // RFC 9068: says everything itself, and so lives shorter
)

// Client is one registered application. The tags are the metadata names of OpenID Connect Dynamic Client Registration
// 1.0 §2 and RFC 7591 §2, with Portvakt's own names beside them; JSON and YAML use the same.
type Client struct {
	ID            ID       `json:"client_id" yaml:"client_id"`
	Name          string   `json:"client_name,omitempty" yaml:"client_name,omitempty"`
	RedirectURIs  []string `json:"redirect_uris,omitempty" yaml:"redirect_uris,omitempty"`
	ResponseTypes []string `json:"response_types,omitempty" yaml:"response_types,omitempty"` // absent, or ["code"]

	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty" yaml:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty" yaml:"backchannel_logout_uri,omitempty"`
	FrontchannelLogoutURI  string   `json:"frontchannel_logout_uri,omitempty" yaml:"frontchannel_logout_uri,omitempty"`

	// What people read about it before they sign in: addresses of its privacy policy and its terms of use, shown as links.
	PolicyURI string `json:"policy_uri,omitempty" yaml:"policy_uri,omitempty"`
	TermsURI  string `json:"tos_uri,omitempty" yaml:"tos_uri,omitempty"`

	GrantTypes []string `json:"grant_types,omitempty" yaml:"grant_types,omitempty"`
	AuthMethod string   `json:"token_endpoint_auth_method,omitempty" yaml:"token_endpoint_auth_method,omitempty"`
	SigningAlg string   `json:"id_token_signed_response_alg,omitempty" yaml:"id_token_signed_response_alg,omitempty"`

	UserInfoAlg string `json:"userinfo_signed_response_alg,omitempty" yaml:"userinfo_signed_response_alg,omitempty"` // absent: userinfo is plain JSON

	// Under which sub it knows people: absent, or SubjectPairwise. See Sector.
	SubjectType string `json:"subject_type,omitempty" yaml:"subject_type,omitempty"`
	SectorURI   string `json:"sector_identifier_uri,omitempty" yaml:"sector_identifier_uri,omitempty"`

	AuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty" yaml:"token_endpoint_auth_signing_alg,omitempty"` // of private_key_jwt; absent: any
	JWKS           JWKS   `json:"jwks,omitempty" yaml:"jwks,omitempty"`
	JWKSURI        string `json:"jwks_uri,omitempty" yaml:"jwks_uri,omitempty"`

	// What its certificate is known by, with tls_client_auth; see CertificateNames.
	SubjectDN string `json:"tls_client_auth_subject_dn,omitempty" yaml:"tls_client_auth_subject_dn,omitempty"`
	SANDNS    string `json:"tls_client_auth_san_dns,omitempty" yaml:"tls_client_auth_san_dns,omitempty"`
	SANURI    string `json:"tls_client_auth_san_uri,omitempty" yaml:"tls_client_auth_san_uri,omitempty"`
	SANIP     string `json:"tls_client_auth_san_ip,omitempty" yaml:"tls_client_auth_san_ip,omitempty"`
	SANEmail  string `json:"tls_client_auth_san_email,omitempty" yaml:"tls_client_auth_san_email,omitempty"`

	Scope string `json:"scope,omitempty" yaml:"scope,omitempty"` // tokens, one space between each

	// Resources are what it may ask for tokens for (RFC 8707); none: nothing in particular.
	Resources []string `json:"resources,omitempty" yaml:"resources,omitempty"`

	// How authorization requests arrive: pushed (RFC 9126 §6), and signed (RFC 9101 §10.5). Without an algorithm every one that is known will do.
	RequirePAR        bool   `json:"require_pushed_authorization_requests,omitempty" yaml:"require_pushed_authorization_requests,omitempty"`
	RequireSigned     bool   `json:"require_signed_request_object,omitempty" yaml:"require_signed_request_object,omitempty"`
	RequestSigningAlg string `json:"request_object_signing_alg,omitempty" yaml:"request_object_signing_alg,omitempty"`

	AccessTokenFormat string `json:"access_token_format,omitempty" yaml:"access_token_format,omitempty"`           // FormatOpaque, or FormatJWT
	DPoPBound         bool   `json:"dpop_bound_access_tokens,omitempty" yaml:"dpop_bound_access_tokens,omitempty"` // RFC 9449 §5.2
	RefreshRotation   *bool  `json:"refresh_token_rotation,omitempty" yaml:"refresh_token_rotation,omitempty"`     // nil: true
	RefreshGrace      int    `json:"refresh_grace,omitempty" yaml:"refresh_grace,omitempty"`                       // seconds in which a used refresh token gets its successor once more; 0 to 60
	ExchangeFrom      []ID   `json:"token_exchange_from,omitempty" yaml:"token_exchange_from,omitempty"`           // applications whose access tokens it may exchange for its own (RFC 8693)
	ResourceServer    bool   `json:"resource_server,omitempty" yaml:"resource_server,omitempty"`                   // it may ask about tokens of others; where it names resources, only about those for them

	RequirePKCE    *bool    `json:"require_pkce,omitempty" yaml:"require_pkce,omitempty"` // nil: true
	RequireConsent bool     `json:"require_consent,omitempty" yaml:"require_consent,omitempty"`
	AllowedGroups  []string `json:"allowed_groups,omitempty" yaml:"allowed_groups,omitempty"` // none: everybody
	Kiosk          bool     `json:"kiosk,omitempty" yaml:"kiosk,omitempty"`                   // runs on computers that many share: signs in each time, and the browser keeps nothing of it
	MinimumACR     string   `json:"minimum_acr,omitempty" yaml:"minimum_acr,omitempty"`
	Privacy        *Privacy `json:"privacy,omitempty" yaml:"privacy,omitempty"`

	// Owners are the people who look after the application: user names in an apply file, their ids, which outlive a renaming, in the store.
	Owners []string `json:"owners,omitempty" yaml:"owners,omitempty"`

	// Test says that it is in nobody's use: its owners may have this service answer it with deliberate faults, see Fault.
	Test bool `json:"test,omitempty" yaml:"test,omitempty"`
}

// Privacy is what the register of processing says about a client (GDPR Article 30). Portvakt shows it and decides
// nothing by it.
type Privacy struct {
	Purpose    string `json:"purpose,omitempty" yaml:"purpose,omitempty"`
	LegalBasis string `json:"legal_basis,omitempty" yaml:"legal_basis,omitempty"`
	Role       string `json:"role,omitempty" yaml:"role,omitempty"`
	Retention  string `json:"retention,omitempty" yaml:"retention,omitempty"`
	Agreement  string `json:"agreement,omitempty" yaml:"agreement,omitempty"`
}

// Normalise fills what was left out: grant_types [authorization_code], client_secret_basic, RS256, scope "openid" and
// the client_id as name. response_types ["code"] says nothing and is dropped, so that equal clients compare equal.
// Call it before Validate; calling it twice changes nothing.
func (c *Client) Normalise() {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{GrantCode}
	}
	if c.AuthMethod == "" {
		c.AuthMethod = AuthBasic
	}
	if c.SigningAlg == "" {
		c.SigningAlg = "RS256" // OpenID Connect Core 1.0 §15.1: mandatory to implement, and the default
	}
	if c.Scope == "" {
		c.Scope = "openid"
	}
	if c.Name == "" {
		c.Name = string(c.ID)
	}
	if c.AccessTokenFormat == FormatOpaque {
		c.AccessTokenFormat = ""
	}
	if c.SubjectType == SubjectPublic {
		c.SubjectType = ""
	}
	if len(c.ResponseTypes) == 0 || slices.Equal(c.ResponseTypes, []string{"code"}) {
		c.ResponseTypes = nil
	}
}

// Public reports whether the client cannot prove who it is (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.AuthMethod == AuthNone }

// HasSecret reports whether the client proves who it is by a secret.
func (c *Client) HasSecret() bool { return c.AuthMethod == AuthBasic || c.AuthMethod == AuthPost }

// PKCE reports whether an authorization request must carry a code challenge. It is true unless a confidential client
// says require_pkce: false (RFC 9700 §2.1.1).
func (c *Client) PKCE() bool { return c.Public() || c.RequirePKCE == nil || *c.RequirePKCE }

// Rotates reports whether each use of a refresh token gives the next one. It is true unless a confidential client says
// refresh_token_rotation: false (RFC 9700 §2.2.2, FAPI 2.0 Security Profile §5.3.2.1).
func (c *Client) Rotates() bool { return c.Public() || c.RefreshRotation == nil || *c.RefreshRotation }

// Scopes returns the scope tokens in the order in which they are registered.
func (c *Client) Scopes() []string { return strings.Fields(c.Scope) }

// Allows reports whether one scope token is registered. The comparison is exact: no prefixes, no wildcards.
func (c *Client) Allows(scope string) bool { return slices.Contains(c.Scopes(), scope) }

// Grant reports whether the client may use one grant type.
func (c *Client) Grant(name string) bool { return slices.Contains(c.GrantTypes, name) }

// AllowedFor reports whether a person of these groups may sign in to the client: one shared group is enough, and a
// client that names no group is open to everybody.
func (c *Client) AllowedFor(groups []string) bool {
	if len(c.AllowedGroups) == 0 {
		return true
	}
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(c.AllowedGroups, g) })
}
