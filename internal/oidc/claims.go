package oidc

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// personClaims are what the scopes profile, email, phone and groups release (OpenID Connect Core §5.1, §5.4). Addresses
// and numbers are set by administrators, who vouch for them: they count as verified.
type personClaims struct {
	Name          string   `json:"name,omitempty"`
	Username      string   `json:"preferred_username,omitempty"`
	Locale        string   `json:"locale,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Phone         string   `json:"phone_number,omitempty"`
	PhoneVerified bool     `json:"phone_number_verified,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

// releasedTo gives what scopes release, and the single claims beside them.
func releasedTo(scopes, single []string, p *store.Person) (personClaims, error) {
	var c personClaims
	for _, s := range scopes {
		switch s {
		case "profile":
			c.Name, c.Username, c.Locale = p.Name, p.Username, p.Locale
		case "email":
			c.Email, c.EmailVerified = p.Email, p.Email != ""
		case "phone":
			if err := p.OpenPhone(); err != nil {
				return c, err
			}
			c.Phone, c.PhoneVerified = p.Phone, p.Phone != ""
		case "groups":
			c.Groups = p.Groups
		}
	}
	return c, c.add(single, p)
}

// single gives the claims that were asked for one by one, as a grant keeps them, if its client is still registered for them. Who narrowed the
// scope at refresh wants a token that says less: it releases what its scopes do.
func (u *unit) single(c *store.Client, scopes []string, kept string) []string {
	if kept == "" || len(scopes) < len(u.data.scopes()) {
		return nil
	}
	return slices.DeleteFunc(strings.Fields(kept), func(claim string) bool { return !c.Allows(scopeOf(claim)) })
}

// idClaims are the claims of an ID token (OpenID Connect Core §2, contract §4).
type idClaims struct {
	Issuer   string    `json:"iss"`
	Subject  string    `json:"sub"`
	Audience client.ID `json:"aud"`
	Expires  int64     `json:"exp"`
	Issued   int64     `json:"iat"`
	AuthTime int64     `json:"auth_time"`
	Nonce    string    `json:"nonce,omitempty"`
	AtHash   string    `json:"at_hash,omitempty"`
	Session  string    `json:"sid,omitempty"`
	ACR      user.ACR  `json:"acr,omitempty"`
	AMR      []string  `json:"amr,omitempty"`
	personClaims
}

// idToken signs an ID token for the unit's grant. At refresh it carries the sign-in's own auth_time and no nonce
// (OpenID Connect Core §12.2).
func (p *Provider) idToken(u *unit, scopes []string, accessToken string) (string, error) {
	g := u.grant
	released, err := releasedTo(scopes, u.single(u.client, scopes, u.data.InID), g.Person)
	if err != nil {
		return "", err
	}
	c := idClaims{
		Issuer: p.issuer, Subject: p.subjectFor(u.client, g.User), Audience: g.Client, Issued: u.now.Unix(), Expires: u.now.Add(idTokenLife).Unix(),
		AuthTime: u.data.AuthTime, AtHash: accessTokenHash(u.client.SigningAlg, accessToken), Session: p.sessionFor(u.client, g.Session),
		ACR: user.Level(u.data.Proved), AMR: user.AMR(u.data.Proved), personClaims: released,
	}
	if u.token.kind == kindCode {
		c.Nonce = u.data.Nonce
	}
	if u.tried() {
		return p.faultyIDToken(u, c)
	}
	return p.signID(u, c)
}

func (p *Provider) signID(u *unit, c idClaims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return p.ring.Sign(u.client.SigningAlg, "JWT", body)
}

// accessTokenHash is at_hash (OpenID Connect Core §3.1.3.6). For EdDSA with Ed25519 the hash of the curve is SHA-512.
func accessTokenHash(alg, token string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// hint is what an id_token_hint says of itself, once its signature is right.
type hint struct {
	Issuer   string    `json:"iss"`
	Subject  string    `json:"sub"` // as its client knows the person; see about
	Audience client.ID `json:"aud"` // this service signs no list
	Session  string    `json:"sid"`
	Issued   int64     `json:"iat"`
}

// readHint gives the content of an ID token that this service signed, however old: a hint may have expired (OpenID
// Connect Core §3.1.2.1).
func (p *Provider) readHint(token string) (hint, bool) {
	body, err := p.ring.VerifyType(token, "JWT")
	if err != nil {
		return hint{}, false
	}
	var h hint
	if err := json.Unmarshal(body, &h); err != nil || h.Issuer != p.issuer || h.Subject == "" || h.Audience == "" {
		return hint{}, false
	}
	return h, true
}

// about gives whom and which session a hint of c is about, or false if its names are none that c knows any more.
func (p *Provider) about(c *store.Client, h hint) (user.ID, user.SessionID, bool) {
	who, known := p.personOf(c, h.Subject)
	session, same := p.sessionOf(c, h.Session)
	return who, session, known && same
}
