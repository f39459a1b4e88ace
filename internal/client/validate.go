package client

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrInvalid is what errors.Is finds in every error of Validate.
var ErrInvalid = errors.New("client: invalid registration")

// Limits of a registration. They bound what one client costs to compare, to store and to show.
const (
	maxURIs   = 50
	maxName   = 200
	maxText   = 1000
	maxScope  = 2048
	maxGroups = 1000
	maxOwners = 50
)

const unavailable = "is not available in this version; "

const grantTypes = "authorization_code, refresh_token, client_credentials, " + GrantExchange + " or " + GrantDevice

// fault is one line of what Validate found: the field, its value, what is wrong and what to do.
type fault struct{ field, value, text string }

func (f fault) Error() string {
	if f.value == "" {
		return f.field + ": " + f.text
	}
	v := f.value
	if len(v) > 100 {
		v = strings.ToValidUTF8(v[:100], "") + "…"
	}
	return f.field + " " + strconv.Quote(v) + ": " + f.text
}

func (f fault) Is(target error) bool { return target == ErrInvalid }

// faults collects; its order is that of the fields.
type faults []error

func (f *faults) add(field, value, text string) { *f = append(*f, fault{field, value, text}) }

// Validate returns every fault of a normalised client, joined, one line each, or nil. Nothing is repaired in silence.
func (c *Client) Validate() error {
	var f faults
	c.checkNames(&f)
	c.checkURIs(&f)
	c.checkGrants(&f)
	c.checkTokens(&f)
	c.checkResources(&f)
	c.checkRequests(&f)
	c.checkKeys(&f)
	c.checkCertificate(&f)
	c.checkSubject(&f)
	return errors.Join(f...)
}

// checkNames holds what identifies a client and what people read about it.
func (c *Client) checkNames(f *faults) {
	id := string(c.ID)
	switch {
	case id == "":
		f.add("client_id", "", "is missing; give 1 to 128 characters of A-Z a-z 0-9 . _ ~ -")
	case len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return !unreserved(r) }):
		f.add("client_id", id, "has characters that are not allowed, or too many; use 1 to 128 of A-Z a-z 0-9 . _ ~ -")
	case id == "." || id == "..":
		// The id is a path segment of the administration pages, where these two would walk (RFC 3986 §5.2.4).
		f.add("client_id", id, "is a dot segment; use a name with a letter or digit")
	}
	checkText(f, "client_name", c.Name, maxName)
	if c.Name != "" && !strings.ContainsFunc(c.Name, seen) { // an empty one became the client_id
		f.add("client_name", c.Name, "has nothing to read; give a name or remove it")
	}
	if len(c.AllowedGroups) > maxGroups {
		f.add("allowed_groups", "", fmt.Sprintf("has %d names; give at most %d", len(c.AllowedGroups), maxGroups))
	}
	for i, g := range c.AllowedGroups {
		if g == "" || slices.Contains(c.AllowedGroups[:i], g) {
			f.add("allowed_groups", g, "is empty or stands twice; remove it")
		}
	}
	if len(c.Owners) > maxOwners {
		f.add("owners", "", fmt.Sprintf("has %d names; give at most %d", len(c.Owners), maxOwners))
	}
	for i, o := range c.Owners {
		if o == "" || slices.Contains(c.Owners[:i], o) {
			f.add("owners", o, "is empty or stands twice; remove it")
		}
	}
	if p := c.Privacy; p != nil {
		checkText(f, "privacy.purpose", p.Purpose, maxText)
		checkText(f, "privacy.legal_basis", p.LegalBasis, maxText)
		checkText(f, "privacy.role", p.Role, maxText)
		checkText(f, "privacy.retention", p.Retention, maxText)
		checkText(f, "privacy.agreement", p.Agreement, maxText)
	}
}

// checkURIs bounds the lists and holds every address against redirectFault (RFC 9700 §2.1).
func (c *Client) checkURIs(f *faults) {
	if c.Grant(GrantCode) && len(c.RedirectURIs) == 0 {
		f.add("redirect_uris", "", "is missing; authorization_code needs at least one address to return to")
	}
	lists := []struct {
		field string
		uris  []string
	}{{"redirect_uris", c.RedirectURIs}, {"post_logout_redirect_uris", c.PostLogoutRedirectURIs}}
	for _, l := range lists {
		if len(l.uris) > maxURIs {
			f.add(l.field, "", fmt.Sprintf("has %d addresses; give at most %d", len(l.uris), maxURIs))
			continue
		}
		for _, uri := range l.uris {
			if text := redirectFault(uri, c.Public()); text != "" {
				f.add(l.field, uri, text)
			}
		}
	}
	// Portvakt itself calls this one, so a private-use scheme makes no sense even for a public client.
	if uri := c.BackchannelLogoutURI; uri != "" {
		if text := redirectFault(uri, false); text != "" {
			f.add("backchannel_logout_uri", uri, text)
		}
	}
	for _, link := range [...]struct{ field, uri string }{{"policy_uri", c.PolicyURI}, {"tos_uri", c.TermsURI}} {
		if text := linkFault(link.uri); link.uri != "" && text != "" {
			f.add(link.field, link.uri, text)
		}
	}
	if uri := c.FrontchannelLogoutURI; uri != "" {
		if text := redirectFault(uri, false); text != "" {
			f.add("frontchannel_logout_uri", uri, text)
		} else if !slices.ContainsFunc(c.RedirectURIs, func(r string) bool { return sameOrigin(r, uri) }) { // OpenID Connect Front-Channel Logout 1.0 §2
			f.add("frontchannel_logout_uri", uri, "is on another host or port than every redirect URI; use the application's own")
		}
	}
}

// checkGrants holds how the client may get tokens and how it proves who it is. What is left out of this version is
// refused by name, so that nobody believes it is on.
func (c *Client) checkGrants(f *faults) {
	if len(c.GrantTypes) == 0 {
		f.add("grant_types", "", "is empty; name "+grantTypes)
	}
	for i, g := range c.GrantTypes {
		switch {
		case g != GrantCode && g != GrantRefresh && g != GrantClientCredentials && g != GrantExchange && g != GrantDevice:
			f.add("grant_types", g, unavailable+"use "+grantTypes)
		case slices.Contains(c.GrantTypes[:i], g):
			f.add("grant_types", g, "stands twice; remove one")
		}
	}
	if c.Grant(GrantRefresh) && !c.Grant(GrantCode) && !c.Grant(GrantDevice) {
		f.add("grant_types", GrantRefresh, "needs authorization_code or "+GrantDevice+" beside it; add one of them or remove this")
	}
	if c.Grant(GrantClientCredentials) && c.Public() { // RFC 6749 §4.4
		f.add("grant_types", GrantClientCredentials, "needs a client that can prove who it is; use client_secret_basic or private_key_jwt, or remove it")
	}
	if c.Grant(GrantExchange) != (len(c.ExchangeFrom) > 0) || c.Grant(GrantExchange) && c.Public() {
		f.add("token_exchange_from", "", "goes with the grant type "+GrantExchange+" and a client that can prove who it is; name the applications whose tokens it may exchange")
	}
	if !c.HasSecret() && c.AuthMethod != AuthPrivateKey && c.AuthMethod != AuthTLS && !c.Public() {
		f.add("token_endpoint_auth_method", c.AuthMethod, unavailable+"use client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or none")
	}
	if c.Public() && c.RequirePKCE != nil && !*c.RequirePKCE { // RFC 9700 §2.1.1
		f.add("require_pkce", "false", "is refused for a client without a secret; remove it or set it to true")
	}
	if c.RequireConsent {
		f.add("require_consent", "true", unavailable+"remove it or set it to false")
	}
	if len(c.ResponseTypes) > 0 && !slices.Equal(c.ResponseTypes, []string{"code"}) { // RFC 9700 §2.1.2
		f.add("response_types", strings.Join(c.ResponseTypes, ", "), unavailable+"remove it or give [code]")
	}
}

// checkTokens holds what goes into tokens: algorithm, assurance and scope. none and HS256 have no way in (RFC 8725 §3.1).
func (c *Client) checkTokens(f *faults) {
	if a := c.SigningAlg; a != "RS256" && a != "PS256" && a != "ES256" && a != "EdDSA" {
		f.add("id_token_signed_response_alg", a, unavailable+"use RS256, PS256, ES256 or EdDSA")
	}
	if a := c.UserInfoAlg; a != "" && !slices.Contains(signingAlgs[:], a) {
		f.add("userinfo_signed_response_alg", a, unavailable+"use RS256, PS256, ES256 or EdDSA, or remove it")
	}
	if c.AccessTokenFormat != "" && c.AccessTokenFormat != FormatJWT {
		f.add("access_token_format", c.AccessTokenFormat, "is not known; use opaque or at+jwt")
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > 60 {
		f.add("refresh_grace", strconv.Itoa(c.RefreshGrace), "is not 0 to 60 seconds; give fewer, or remove it")
	}
	if c.RefreshRotation != nil && !*c.RefreshRotation && (c.Public() || c.RefreshGrace != 0) {
		f.add("refresh_token_rotation", "false", "is refused for a client without a secret or key, and leaves refresh_grace nothing to do; remove one")
	}
	if c.ResourceServer && c.Public() {
		f.add("resource_server", "true", "needs a client that can prove who it is; use client_secret_basic or private_key_jwt, or remove it")
	}
	switch c.MinimumACR {
	case "", "urn:portvakt:acr:1fa", "urn:portvakt:acr:2fa", "phr":
	default:
		f.add("minimum_acr", c.MinimumACR, unavailable+"use urn:portvakt:acr:1fa, urn:portvakt:acr:2fa or phr, or remove it")
	}
	if len(c.Scope) > maxScope {
		f.add("scope", c.Scope, fmt.Sprintf("is longer than %d characters; remove scopes", maxScope))
		return
	}
	tokens := strings.Split(c.Scope, " ")
	for i, s := range tokens {
		switch {
		case s == "":
			f.add("scope", c.Scope, "has an empty name; put exactly one space between names")
			return
		case strings.ContainsFunc(s, func(r rune) bool { return !scopeChar(r) }):
			f.add("scope", s, `has a character that RFC 6749 §3.3 does not allow; use visible ASCII without " and \`)
		case strings.Contains(s, "*"):
			f.add("scope", s, "has a wildcard; name each scope")
		case slices.Contains(tokens[:i], s):
			f.add("scope", s, "stands twice; remove one")
		}
	}
}

// checkText bounds what people will read: valid UTF-8, at most limit bytes, and no character that breaks lines or turns the order of what stands
// beside it, such as the host of a link (UAX #9 §2, threats RM-02).
func checkText(f *faults, field, text string, limit int) {
	if len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) }) {
		f.add(field, text, fmt.Sprintf("is longer than %d bytes or has control characters; shorten or clean it", limit))
	}
}

// seen reports whether a character leaves a mark.
func seen(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// unreserved is RFC 3986 §2.3.
func unreserved(r rune) bool { return letterOrDigit(r) || strings.ContainsRune("-._~", r) }

func letterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// scopeChar is RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E.
func scopeChar(r rune) bool { return '!' <= r && r <= '~' && r != '"' && r != '\\' }
