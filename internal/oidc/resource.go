package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// resolve reads the grant of a presented access or refresh token, in one trip, and says whether the token counts now. A
// fault of the store is in u.fault.
func (u *unit) resolve(ctx context.Context, token string) (scopes []string, active bool) {
	w, ok := u.p.minter.read(token)
	if !ok || w.kind == kindCode || u.load(ctx, token, w.kind) != nil {
		return nil, false
	}
	c, err := u.p.db.Client(ctx, u.grant.Client)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		u.fault = err
	}
	if err != nil || !u.allowed(c) {
		return nil, false
	}
	granted := u.data.scopes()
	if w.kind == kindRefresh {
		return granted, int64(w.more) == u.grant.Gen && u.now.Before(u.grant.Expires)
	}
	a := unpackAccess(w.more)
	return a.of(granted), u.now.Before(a.expires())
}

// UserInfo answers with the claims of the token's scopes (OpenID Connect Core §5.3). The token comes in the
// Authorization header, or in the body of a POST (RFC 6750 §2.1, §2.2), never in the URL.
func (p *Provider) UserInfo(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	token, ok := bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="portvakt"`)
		writeJSON(w, http.StatusUnauthorized, wireError{"invalid_token", "An access token is needed in the Authorization header."})
		return
	}
	ctx, u := p.begin(r.Context(), o)
	scopes, active := u.resolve(ctx, token)
	switch {
	case u.fault != nil:
		p.writeFault(w, u.fault)
	case !active || u.token.kind != kindAccess || u.grant.Person == nil:
		challenge(w, http.StatusUnauthorized, "invalid_token", "The access token has expired, was revoked or is not one.")
	case !has(scopes, "openid"):
		challenge(w, http.StatusForbidden, "insufficient_scope", "The access token lacks the scope openid.")
	default:
		p.answerUserInfo(w, u, scopes)
	}
}

// userInfo is what the userinfo endpoint says. Class and time of the sign-in are there for who asks (OpenID Connect Core §5.5).
type userInfo struct {
	Subject  user.ID  `json:"sub"`
	AuthTime int64    `json:"auth_time,omitempty"`
	ACR      user.ACR `json:"acr,omitempty"`
	personClaims
}

func (p *Provider) answerUserInfo(w http.ResponseWriter, u *unit, scopes []string) {
	out := userInfo{Subject: u.grant.User}
	single := u.single(scopes, u.data.InInfo)
	if has(single, "auth_time") {
		out.AuthTime = u.data.AuthTime
	}
	if has(single, "acr") {
		out.ACR = user.Level(u.data.Proved)
	}
	var err error
	if out.personClaims, err = releasedTo(scopes, single, u.grant.Person); err != nil {
		p.writeFault(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// challenge answers as RFC 6750 §3 has it.
func challenge(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="portvakt", error="`+code+`", error_description="`+description+`"`)
	writeJSON(w, status, wireError{code, description})
}

func bearer(r *http.Request) (string, bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, ok := strings.Cut(h, " ")
		return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
	}
	if r.Method != http.MethodPost || postForm(r) != nil {
		return "", false
	}
	token := r.PostForm.Get("access_token")
	return token, token != ""
}

// introspection is RFC 7662 §2.2.
type introspection struct {
	Active    bool      `json:"active"`
	Scope     string    `json:"scope,omitempty"`
	ClientID  client.ID `json:"client_id,omitempty"`
	Username  string    `json:"username,omitempty"`
	TokenType string    `json:"token_type,omitempty"`
	Expires   int64     `json:"exp,omitempty"`
	Issued    int64     `json:"iat,omitempty"`
	Subject   string    `json:"sub,omitempty"`
	Issuer    string    `json:"iss,omitempty"`
	Session   string    `json:"sid,omitempty"`
	ACR       user.ACR  `json:"acr,omitempty"`
	AuthTime  int64     `json:"auth_time,omitempty"`
	Audience  audience  `json:"aud,omitempty"`
}

// Introspect tells an authenticated confidential client about a token (RFC 7662). A refresh token is told only to the
// client it was given to. When the store cannot answer, neither does this: never active:false.
func (p *Provider) Introspect(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	if err := p.authenticateForm(ctx, u, r); err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	scopes, active := u.resolve(ctx, r.PostForm.Get("token"))
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	if !active || u.token.kind == kindRefresh && u.grant.Client != u.client.ID {
		writeJSON(w, http.StatusOK, introspection{})
		return
	}
	out := introspection{Active: true, Scope: joinScopes(scopes), ClientID: u.grant.Client, Issuer: p.issuer, Subject: string(u.grant.User),
		Session: string(u.grant.Session), ACR: user.Level(u.data.Proved), AuthTime: u.data.AuthTime, Expires: u.grant.Expires.Unix(),
		Audience: u.data.Resources}
	if u.token.kind == kindAccess {
		a := unpackAccess(u.token.more)
		out.TokenType, out.Expires, out.Issued, out.Audience = "Bearer", a.expires().Unix(), a.issued.Unix(), a.at(u.data.Resources)
	}
	if u.grant.Person != nil {
		out.Username = u.grant.Person.Username
	} else {
		out.Subject = string(u.grant.Client) // RFC 9068 §2.2: a client acting for itself is its own subject
	}
	writeJSON(w, http.StatusOK, out)
}

// authenticateForm reads a POSTed form and authenticates the confidential client that sent it.
func (p *Provider) authenticateForm(ctx context.Context, u *unit, r *http.Request) error {
	if err := postForm(r); err != nil {
		return err
	}
	if _, err := p.authenticate(ctx, r, r.PostForm); err != nil {
		return err
	}
	if u.client.Public() && r.URL.Path == PathIntrospect {
		u.reason = audit.NotAllowed
		return fosite.ErrInvalidClient.WithHint("A public client cannot introspect tokens.")
	}
	if r.PostForm.Get("token") == "" {
		return fosite.ErrInvalidRequest.WithHint("The parameter token is missing.")
	}
	return nil
}

// Revoke ends the family of a token that its own client gives back (RFC 7009). A token that is not this client's, or
// not one at all, is answered with 200 and left alone (§2.2). A fault of the store is a 503: the token may still live.
func (p *Provider) Revoke(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	if err := p.authenticateForm(ctx, u, r); err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	token := r.PostForm.Get("token")
	if wanted, ok := p.minter.read(token); ok && wanted.kind != kindCode && u.load(ctx, token, wanted.kind) == nil && u.grant.Client == u.client.ID {
		if err := u.giveBack(ctx); err != nil {
			u.fault = err
		}
	}
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
}

// giveBack revokes the grant and records it; a grant that somebody else revoked meanwhile needs no second event.
func (u *unit) giveBack(ctx context.Context) error {
	err := u.p.db.Change(ctx, u.origin, func(t *store.Tx) error {
		done, err := t.RevokeGrant(u.grant.ID)
		if err != nil {
			return err
		}
		if !done {
			return store.ErrConflict
		}
		return t.Record(audit.Event{Kind: audit.TokenRevoked, Actor: string(u.client.ID), Client: string(u.client.ID),
			Subject: string(u.grant.User), Session: string(u.grant.Session), Detail: map[string]string{"grant": u.grant.ID}})
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// ready marshals a document once.
func ready(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and lists always marshal
	}
	return b
}
