package oidc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/jose"
)

// The paths of the protocol endpoints. Clients find them by discovery and nowhere else.
const (
	PathDiscovery  = "/.well-known/openid-configuration"
	PathMetadata   = "/.well-known/oauth-authorization-server" // RFC 8414
	PathJWKS       = "/jwks"
	PathAuthorize  = "/authorize"
	PathPush       = "/par" // RFC 9126
	PathToken      = "/token"
	PathUserInfo   = "/userinfo"
	PathIntrospect = "/introspect"
	PathRevoke     = "/revoke"
	PathLogout     = "/logout"
	PathRegister   = "/register"             // RFC 7591; a client's own place is below it (RFC 7592)
	PathDeviceAuth = "/device_authorization" // RFC 8628 §3.1
	PathDevice     = "/device"               // where a person approves it: a page
)

// documents are served as ready bytes.
type documents struct {
	discovery *document
	jwks      atomic.Pointer[document]
}

// document is a body with the headers that go with it.
type document struct {
	body []byte
	etag string
	head map[string][]string
}

// maxAge is how long a client may keep the keys: a key is published for longer than that before its first use
// (rotation.Published).
const maxAge = "public, max-age=600"

func newDocument(body []byte) *document {
	sum := sha256.Sum256(body)
	d := &document{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	d.head = map[string][]string{"Content-Type": {"application/json"}, "Cache-Control": {maxAge}, "Etag": {d.etag},
		"Access-Control-Allow-Origin": {"*"}, "Content-Length": {strconv.Itoa(len(body))}}
	return d
}

func (d *document) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for k, v := range d.head {
		h[k] = v
	}
	if match := r.Header["If-None-Match"]; len(match) == 1 && match[0] == d.etag {
		delete(h, "Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(d.body)
	}
}

// Discovery answers with the provider's metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
func (p *Provider) Discovery(w http.ResponseWriter, r *http.Request) { p.docs.discovery.serve(w, r) }

// JWKS answers with the public keys (RFC 7517 §5). They are made anew when the keyring changed.
func (p *Provider) JWKS(w http.ResponseWriter, r *http.Request) {
	keys, d := p.ring.JWKS(), p.docs.jwks.Load()
	if d == nil || !bytes.Equal(keys, d.body) {
		d = newDocument(keys)
		p.docs.jwks.Store(d)
	}
	d.serve(w, r)
}

// metadata is what discovery says. What is not here is not supported.
func (p *Provider) metadata() []byte {
	at := func(path string) string { return p.issuer + path }
	methods := []string{client.AuthBasic, client.AuthPost, client.AuthPrivateKey}
	if p.issuers != nil {
		methods = append(methods, client.AuthTLS)
	}
	signing := p.ring.Algorithms()
	return ready(map[string]any{
		"issuer":                                                   p.issuer,
		"authorization_endpoint":                                   at(PathAuthorize),
		"pushed_authorization_request_endpoint":                    at(PathPush), // RFC 9126 §5
		"require_pushed_authorization_requests":                    false,        // of everybody; of some, by registration
		"token_endpoint":                                           at(PathToken),
		"userinfo_endpoint":                                        at(PathUserInfo),
		"jwks_uri":                                                 at(PathJWKS),
		"introspection_endpoint":                                   at(PathIntrospect),
		"revocation_endpoint":                                      at(PathRevoke),
		"end_session_endpoint":                                     at(PathLogout),
		"backchannel_logout_supported":                             true,
		"backchannel_logout_session_supported":                     true,
		"frontchannel_logout_supported":                            true,
		"frontchannel_logout_session_supported":                    true,
		"device_authorization_endpoint":                            at(PathDeviceAuth), // RFC 8628 §4
		"registration_endpoint":                                    at(PathRegister),   // RFC 7591, with an initial access token
		"scopes_supported":                                         []string{"openid", "profile", "email", "phone", "groups", "offline_access"},
		"response_types_supported":                                 []string{"code"},
		"response_modes_supported":                                 []string{"query", "form_post"},
		"grant_types_supported":                                    []string{client.GrantCode, client.GrantRefresh, client.GrantClientCredentials, client.GrantExchange, client.GrantDevice},
		"subject_types_supported":                                  []string{client.SubjectPublic, client.SubjectPairwise},
		"userinfo_signing_alg_values_supported":                    signing,
		"id_token_signing_alg_values_supported":                    signing,
		"token_endpoint_auth_methods_supported":                    append(methods[:len(methods):len(methods)], client.AuthNone),
		"introspection_endpoint_auth_methods_supported":            methods,
		"revocation_endpoint_auth_methods_supported":               append(methods[:len(methods):len(methods)], client.AuthNone),
		"token_endpoint_auth_signing_alg_values_supported":         jose.Algs(),
		"introspection_endpoint_auth_signing_alg_values_supported": jose.Algs(),
		"revocation_endpoint_auth_signing_alg_values_supported":    jose.Algs(),
		"dpop_signing_alg_values_supported":                        jose.Algs(), // RFC 9449 §5.1
		"introspection_signing_alg_values_supported":               signing,     // RFC 9701 §7
		"code_challenge_methods_supported":                         []string{"S256"},
		"authorization_response_iss_parameter_supported":           true, // RFC 9207
		"request_parameter_supported":                              true, // signed ones, by clients with keys
		"request_object_signing_alg_values_supported":              jose.Algs(),
		"request_uri_parameter_supported":                          false,
		"claims_parameter_supported":                               true,
		"prompt_values_supported":                                  []string{"none", "login", "select_account", "consent"},
		"acr_values_supported":                                     []string{"urn:portvakt:acr:1fa", "urn:portvakt:acr:2fa", "phr"},
		"ui_locales_supported":                                     []string{"sv", "en"},
		"claims_supported": []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid", "acr", "amr", "name",
			"preferred_username", "locale", "email", "email_verified", "phone_number", "phone_number_verified", "groups"},
	})
}
