package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// introspection is RFC 7662 §2.2.
type introspection struct {
	Active    bool          `json:"active"`
	Scope     string        `json:"scope,omitempty"`
	ClientID  client.ID     `json:"client_id,omitempty"`
	Username  string        `json:"username,omitempty"`
	TokenType string        `json:"token_type,omitempty"`
	Expires   int64         `json:"exp,omitempty"`
	Issued    int64         `json:"iat,omitempty"`
	Subject   string        `json:"sub,omitempty"`
	Issuer    string        `json:"iss,omitempty"`
	Session   string        `json:"sid,omitempty"`
	ACR       user.ACR      `json:"acr,omitempty"`
	AuthTime  int64         `json:"auth_time,omitempty"`
	Audience  audience      `json:"aud,omitempty"`
	Actor     *actor        `json:"act,omitempty"`
	Key       *confirmation `json:"cnf,omitempty"`
}

// Introspect tells an authenticated confidential client about a token that concerns it (RFC 7662). When the store cannot answer, neither does
// this: never active:false.
func (p *Provider) Introspect(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	err := p.authenticateForm(ctx, u, r)
	if err == nil {
		err = u.spendNow(ctx)
	}
	if err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	scopes, active := u.resolve(ctx, r.PostForm.Get("token"))
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	var out introspection
	if active && u.concerns() {
		out = u.introspection(scopes)
	}
	if !strings.Contains(r.Header.Get("Accept"), introspectionType) {
		writeJSON(w, http.StatusOK, out)
		return
	}
	p.signedIntrospection(w, u, out)
}

// concerns reports whether the client may know of the loaded token: its own, or, for a resource server, an access token that is for it. A
// resource server that names no resources is one for every token that is for nothing in particular.
func (u *unit) concerns() bool {
	switch {
	case u.grant.Client == u.client.ID:
		return true
	case u.token.kind != kindAccess || !u.client.ResourceServer:
		return false
	}
	wanted := unpackAccess(u.token.more).at(u.data.Resources)
	if len(wanted) == 0 || len(u.client.Resources) == 0 {
		return len(wanted) == 0 && len(u.client.Resources) == 0
	}
	for _, one := range wanted {
		if has(u.client.Resources, one) {
			return true
		}
	}
	return false
}

func (u *unit) introspection(scopes []string) introspection {
	out := introspection{Active: true, Scope: joinScopes(scopes), ClientID: u.grant.Client, Issuer: u.p.issuer, Subject: u.p.subjectFor(u.client, u.grant.User),
		Session: u.p.sessionFor(u.client, u.grant.Session), ACR: user.Level(u.data.Proved), AuthTime: u.data.AuthTime, Expires: u.grant.Expires.Unix(),
		Audience: u.data.Resources, Actor: u.data.Actor, Key: confirm(u.token.key)}
	if u.token.kind == kindAccess {
		a := unpackAccess(u.token.more)
		out.TokenType, out.Expires, out.Issued, out.Audience = tokenType(u.token.key), a.expires().Unix(), a.issued.Unix(), a.at(u.data.Resources)
	}
	switch {
	case u.grant.Person != nil && u.client.Pairwise(): // a user name would tell what sub does not
	case u.grant.Person != nil:
		out.Username = u.grant.Person.Username
	default:
		out.Subject = string(u.grant.Client) // RFC 9068 §2.2: a client acting for itself is its own subject
	}
	return out
}

// tokenType is what token_type says of a token that is bound to key, or to none.
func tokenType(key thumbprint) string {
	if key == (thumbprint{}) {
		return "Bearer"
	}
	return "DPoP"
}

const introspectionType = "application/token-introspection+jwt"

// signedIntrospection answers with a signed answer (RFC 9701 §5).
func (p *Provider) signedIntrospection(w http.ResponseWriter, u *unit, out introspection) {
	body, err := json.Marshal(struct {
		Issuer   string        `json:"iss"`
		Audience client.ID     `json:"aud"`
		Issued   int64         `json:"iat"`
		Answer   introspection `json:"token_introspection"`
	}{p.issuer, u.client.ID, u.now.Unix(), out})
	var token string
	if err == nil {
		token, err = p.ring.Sign(u.client.SigningAlg, "token-introspection+jwt", body)
	}
	if err != nil {
		p.writeFault(w, err)
		return
	}
	writeJWT(w, introspectionType, token)
}

// writeJWT answers with a token that is the answer itself.
func writeJWT(w http.ResponseWriter, media, token string) {
	h := w.Header()
	h["Content-Type"] = []string{media}
	h["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(token))
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
