package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/fetch"
	"github.com/portvakt/portvakt/internal/jose"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// What a client may say of itself when it registers itself (RFC 7591 §2, OpenID Connect Dynamic Client Registration 1.0 §2). Every name that
// is in none of the three lists is passed over and not kept.
var (
	ownMembers = [...]string{"client_name", "redirect_uris", "response_types", "post_logout_redirect_uris", "backchannel_logout_uri", "frontchannel_logout_uri", "policy_uri", "tos_uri",
		"grant_types", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "id_token_signed_response_alg", "userinfo_signed_response_alg",
		"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
		"jwks", "jwks_uri", "scope", "subject_type", "sector_identifier_uri", "require_pushed_authorization_requests", "require_signed_request_object",
		"request_object_signing_alg", "access_token_format", "dpop_bound_access_tokens", "refresh_token_rotation", "refresh_grace", "require_pkce", "minimum_acr"}
	// givenMembers are an administrator's to set. One that says what holds anyway may stand there: who changes a registration sends all of it.
	givenMembers = [...]string{"allowed_groups", "resources", "resource_server", "token_exchange_from", "kiosk", "require_consent", "privacy", "owners", "test"}
	// missingMembers ask for what this service does not do: who relies on one is told, and not left to believe that it holds.
	missingMembers = [...]string{"default_max_age", "default_acr_values", "id_token_encrypted_response_alg", "id_token_encrypted_response_enc",
		"userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc", "request_object_encryption_alg", "request_object_encryption_enc",
		"introspection_encrypted_response_alg", "introspection_encrypted_response_enc", "authorization_signed_response_alg",
		"authorization_encrypted_response_alg", "authorization_encrypted_response_enc", "tls_client_certificate_bound_access_tokens"}
)

const (
	maxMetadata = 64 << 10 // bytes of a registration
	maxFaults   = 1000     // bytes of an answer's error_description
)

// The errors of RFC 7591 §3.2.2.
var (
	errMetadata  = &fosite.RFC6749Error{ErrorField: "invalid_client_metadata", CodeField: http.StatusBadRequest}
	errRedirect  = &fosite.RFC6749Error{ErrorField: "invalid_redirect_uri", CodeField: http.StatusBadRequest}
	errStatement = &fosite.RFC6749Error{ErrorField: "invalid_software_statement", CodeField: http.StatusBadRequest,
		DescriptionField: "Software statements are not supported; leave software_statement out."}
)

// metadata is the JSON object that a client sent about itself. A member that is null counts as left out (RFC 7592 §2.2).
type metadata map[string]json.RawMessage

// readMetadata reads the body of a registration strictly: no name twice, so that no two readers see two registrations.
func readMetadata(r *http.Request) (metadata, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, ok := params["charset"]; err != nil || media != "application/json" || len(params) > 1 || len(params) == 1 && !ok || ok && !strings.EqualFold(charset, "utf-8") {
		return nil, errMetadata.WithHint("The body must be application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMetadata+1))
	if err != nil || len(body) > maxMetadata {
		return nil, errMetadata.WithHint("The body is longer than 64 KiB, or broke off.")
	}
	members, err := jose.Members(body)
	if err != nil {
		return nil, errMetadata.WithHint("The body " + err.Error() + ".")
	}
	for name, value := range members {
		if string(value) == "null" {
			delete(members, name)
		}
	}
	return members, nil
}

// says reports whether a member asks for anything.
func (m metadata) says(name string) bool {
	raw, ok := m[name]
	if !ok {
		return false
	}
	switch string(raw) {
	case "false", `""`, "[]", "{}":
		return false
	}
	return true
}

// text gives a member that is a string; false if it is another thing.
func (m metadata) text(name string) (string, bool) {
	var s string
	raw, ok := m[name]
	if !ok {
		return "", true
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// client reads what it says into a registration, within the bounds of the initial access token that it came by.
func (m metadata) client(id client.ID, b store.Bounds) (client.Client, error) {
	var c client.Client
	if m.says("software_statement") {
		return c, errStatement
	}
	for _, name := range missingMembers {
		if m.says(name) {
			return c, errMetadata.WithHint(name + ": is not available here; remove it.")
		}
	}
	own := map[string]json.RawMessage{}
	for _, name := range ownMembers {
		if raw, ok := m[name]; ok {
			own[name] = raw
		}
	}
	body, err := json.Marshal(own)
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return c, errMetadata.WithHint(kind.Field + ": is a JSON " + kind.Value + ", which it may not be.")
		}
		return c, errMetadata.WithHint("A member of the body has another JSON type than it must have.")
	}
	c.ID, c.AllowedGroups = id, b.Groups
	if c.Scope == "" {
		c.Scope = joinScopes(b.Scopes)
	}
	if c.MinimumACR == "" {
		c.MinimumACR = b.MinimumACR
	}
	if b.PKCEOptional && c.RequirePKCE == nil && !c.Public() {
		c.RequirePKCE = new(bool)
	}
	c.Normalise()
	if err := within(&c, b); err != nil {
		return c, err
	}
	return c, m.leavesAlone(&c)
}

// within holds a registration to its bounds, and then to every rule that an administrator's is held to.
func within(c *client.Client, b store.Bounds) error {
	for _, g := range c.GrantTypes {
		if !has(b.GrantTypes, g) {
			return errMetadata.WithHintf("grant_types %q: is not for clients that register themselves with this token; use %s.", g, strings.Join(b.GrantTypes, ", "))
		}
	}
	for _, s := range c.Scopes() {
		if !has(b.Scopes, s) {
			return errMetadata.WithHintf("scope %q: is not for clients that register themselves with this token; use some of %s.", s, joinScopes(b.Scopes))
		}
	}
	if !b.PKCEOptional && !c.PKCE() {
		return errMetadata.WithHint("require_pkce: is true for clients that register themselves with this token; remove it.")
	}
	if err := errors.Join(c.Validate(), jose.CheckRegistered(string(c.JWKS))); err != nil {
		return faulty(err)
	}
	if c.Pairwise() {
		if err := staysInSector(c); err != nil {
			return err
		}
	}
	if !user.ACR(c.MinimumACR).Meets(user.ACR(b.MinimumACR)) {
		return errMetadata.WithHint("minimum_acr: is weaker than " + b.MinimumACR + ", which clients that register themselves with this token ask for; remove it.")
	}
	return nil
}

// staysInSector refuses what would tell a pairwise client that registered itself by which names a sector that is not its own knows people. Whose
// the sector is shows in where codes go: to redirect URIs on its host, or in its document. So nothing may bring a sub elsewhere.
func staysInSector(c *client.Client) error {
	at := client.Origin(c.BackchannelLogoutURI)
	switch {
	case c.Grant(client.GrantDevice):
		return errMetadata.WithHint("subject_type: pairwise does not go with the grant type " + client.GrantDevice + " for clients that register themselves; leave one of them out.")
	case at != "" && !slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return client.Origin(uri) == at }):
		return errMetadata.WithHint("backchannel_logout_uri: is on another host or port than every redirect URI, and subject_type is pairwise; use the application's own.")
	}
	return nil
}

// leavesAlone refuses a member that is not the client's to set, unless it says what is so.
func (m metadata) leavesAlone(c *client.Client) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var now map[string]any
	if err := json.Unmarshal(text, &now); err != nil {
		return err
	}
	for _, name := range givenMembers {
		var said any
		if m.says(name) && (json.Unmarshal(m[name], &said) != nil || !reflect.DeepEqual(said, now[name])) {
			return errMetadata.WithHint(name + ": is for an administrator to set; remove it.")
		}
	}
	return nil
}

// faulty answers what Validate found (RFC 7591 §3.2.2).
func faulty(err error) error {
	lines := strings.Split(err.Error(), "\n")
	answer := errMetadata
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "redirect_uris") }) {
		answer = errRedirect
	}
	text := strings.Join(lines, "; ")
	if len(text) > maxFaults {
		text = strings.ToValidUTF8(text[:maxFaults], "") + " and more"
	}
	return answer.WithHint(text + ".")
}

// reach says how far calls to the addresses of c may go: an administrator's client may be in the house network or beside us, while one that
// registered itself is where everybody can reach it. In development, where this service itself is nowhere else, so may be its clients.
func (p *Provider) reach(c *store.Client) fetch.Reach {
	switch {
	case c.Dynamic == nil:
		return fetch.Inside | fetch.Loopback
	case p.own:
		return fetch.Loopback
	}
	return fetch.Public
}
