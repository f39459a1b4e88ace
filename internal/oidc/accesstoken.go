package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// An access token that says everything itself lives shorter than one that is asked about: until its end nobody can take it back from a
// resource server that does not ask.
const jwtLife = 10 * time.Minute

// accessType is RFC 9068 §2.1.
const accessType = "at+jwt"

// accessClaims are those of a JWT access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer   string        `json:"iss"`
	Subject  string        `json:"sub"`
	Audience audience      `json:"aud"`
	Client   client.ID     `json:"client_id"`
	Expires  int64         `json:"exp"`
	Issued   int64         `json:"iat"`
	ID       string        `json:"jti"` // see jti
	Scope    string        `json:"scope,omitempty"`
	AuthTime int64         `json:"auth_time,omitempty"`
	Session  string        `json:"sid,omitempty"`
	ACR      user.ACR      `json:"acr,omitempty"`
	AMR      []string      `json:"amr,omitempty"`
	Groups   []string      `json:"groups,omitempty"`
	Actor    *actor        `json:"act,omitempty"`
	Key      *confirmation `json:"cnf,omitempty"`
}

// confirmation names the key that a token is bound to (RFC 9449 §6.1).
type confirmation struct {
	JKT string `json:"jkt"`
}

func confirm(key thumbprint) *confirmation {
	if key == (thumbprint{}) {
		return nil
	}
	return &confirmation{key.String()}
}

// actor is who acts for the subject (RFC 8693 §4.1): the client that exchanged a token, and whoever did before it.
type actor struct {
	Subject client.ID `json:"sub"`
	Before  *actor    `json:"act,omitempty"`
}

// accessToken mints an access token of g, in the form that the client is registered for.
func (u *unit) accessToken(g *store.Grant) (string, error) {
	jwt := u.client.AccessTokenFormat == client.FormatJWT
	a := access{issued: u.now, life: accessLife, resources: u.parts, scopes: u.mask}
	if jwt {
		a.life = jwtLife
	}
	a.life = min(a.life, u.most)
	u.life = a.life
	w := wire{kind: kindAccess, grant: g.ID, more: a.pack(), key: u.key}
	if !jwt {
		return u.p.minter.mint(w), nil
	}
	scopes := a.of(u.data.scopes())
	c := accessClaims{Issuer: u.p.issuer, Subject: string(g.Client), Audience: a.at(u.data.Resources), Client: g.Client, Issued: u.now.Unix(),
		Expires: a.expires().Unix(), ID: w.jti(), Scope: joinScopes(scopes), Session: u.p.sessionFor(u.client, g.Session), Actor: u.data.Actor, Key: confirm(u.key)}
	if len(c.Audience) == 0 {
		c.Audience = audience{u.p.issuer} // the default resource (RFC 9068 §3)
	}
	if g.User != "" {
		c.Subject, c.AuthTime, c.ACR, c.AMR = u.p.subjectFor(u.client, g.User), u.data.AuthTime, user.Level(u.data.Proved), user.AMR(u.data.Proved)
	}
	if g.Person != nil && has(scopes, "groups") {
		c.Groups = g.Person.Groups // RFC 9068 §2.2.3.1
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return u.p.ring.Sign(u.client.SigningAlg, accessType, body)
}

// jti is what an opaque token says, without what proves it, and eight bytes of chance: so both forms are read alike, and no jti in somebody's
// log is a token.
func (w wire) jti() string {
	var raw [boundBytes + 8]byte
	end := w.put(raw[:])
	_, _ = rand.Read(raw[end : end+8]) // it never fails
	return rawURL.EncodeToString(raw[:end+8])
}

// readToken gives what an access or refresh token says, whatever its form, or false if this service did not make it.
func (p *Provider) readToken(token string) (wire, bool) {
	if !strings.HasPrefix(token, "ey") {
		return p.minter.read(token)
	}
	body, err := p.ring.VerifyType(token, accessType)
	if err != nil {
		return wire{}, false
	}
	var c struct {
		Issuer string `json:"iss"`
		ID     string `json:"jti"`
	}
	if json.Unmarshal(body, &c) != nil || c.Issuer != p.issuer {
		return wire{}, false
	}
	raw, err := rawURL.DecodeString(c.ID)
	if err != nil || len(raw) < 8 {
		return wire{}, false
	}
	w, ok := take(raw[:len(raw)-8])
	return w, ok && w.kind == kindAccess
}

// resolve reads the grant of a presented access or refresh token, in one trip, and says whether the token counts now. A
// fault of the store is in u.fault.
func (u *unit) resolve(ctx context.Context, token string) (scopes []string, active bool) {
	w, ok := u.p.readToken(token)
	if !ok || !w.kind.token() || u.loadGrant(ctx, w) != nil {
		return nil, false
	}
	c, err := u.p.db.Client(ctx, u.grant.Client)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		u.fault = err
	}
	if err != nil || !u.allowed(c) || u.data.From != "" && !u.rooted(ctx, c) {
		return nil, false
	}
	u.owner = c
	granted := u.data.scopes()
	if w.kind == kindRefresh {
		return granted, int64(w.more) == u.grant.Gen && u.now.Before(u.grant.Expires)
	}
	a := unpackAccess(w.more)
	return a.of(granted), u.now.Before(a.expires())
}
