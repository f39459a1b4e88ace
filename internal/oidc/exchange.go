package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// The token types of RFC 8693 §3 that are known here.
const (
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
)

// maxActors is how often a token can be exchanged on.
const maxActors = 5

var errSubject = fosite.ErrInvalidRequest.WithHint("The subject_token has expired, was revoked, or is no access token of an application in this client's token_exchange_from.")

// exchange gives a client an access token of its own for the person whose token it was handed (RFC 8693): the client has to name the application
// that it came from in its registration. The new token is bound to the same session, has no more scopes than the old one, lives no
// longer, and says who acts (act). There is no refresh token and no ID token.
func (p *Provider) exchange(ctx context.Context, u *unit, form url.Values) (*tokenResponse, error) {
	if !u.client.Grant(client.GrantExchange) {
		u.reason = audit.NotAllowed
		return nil, fosite.ErrUnauthorizedClient.WithHint("The client is not registered for token exchange.")
	}
	kind, wanted := form.Get("subject_token_type"), form.Get("requested_token_type")
	switch {
	case form.Has("actor_token"):
		return nil, fosite.ErrInvalidRequest.WithHint("The actor is the client that authenticated; leave actor_token out.")
	case form.Get("subject_token") == "" || kind != typeAccess && kind != typeJWT:
		return nil, fosite.ErrInvalidRequest.WithHint("The subject_token is an access token: subject_token_type is " + typeAccess + ".")
	case wanted != "" && wanted != typeAccess:
		return nil, fosite.ErrInvalidRequest.WithHint("The requested_token_type is " + typeAccess + ", or left out.")
	}
	scopes, active := u.resolve(ctx, form.Get("subject_token"))
	if u.fault != nil {
		return nil, u.fault
	}
	subject, expires := u.grant, unpackAccess(u.token.more).expires()
	if !active || u.token.kind != kindAccess || subject.Person == nil || !slices.Contains(u.client.ExchangeFrom, subject.Client) {
		u.grant = nil
		if u.reason == "" {
			u.reason = audit.NotAllowed
		}
		return nil, errSubject
	}
	if u.token.key != (thumbprint{}) && u.key == (thumbprint{}) {
		u.grant, u.reason = nil, audit.BadRequest
		return nil, errProof.WithHint("The subject_token is bound to a key, so what it is exchanged for has to be as well; send a DPoP proof.")
	}
	if !u.allowed(u.client) {
		u.reason = audit.NotAllowed
		return nil, fosite.ErrInvalidGrant.WithHint("The person may not use this client, or did not sign in strongly enough for it.")
	}
	may, err := exchanged(scopes, dedupe(form.Get("scope")), u.client)
	if err != nil {
		return nil, err
	}
	if u.audience, err = targets(form["resource"], u.client.Resources); err != nil {
		u.reason = audit.NotAllowed
		return nil, err
	}
	return u.exchangeFor(subject, may, expires)
}

// exchanged gives the scopes of the new token: those asked for, or all that the old token and the client's registration share.
func exchanged(had, asked []string, c *store.Client) ([]string, error) {
	var may []string
	for _, scope := range had {
		if scope != "offline_access" && c.Allows(scope) {
			may = append(may, scope)
		}
	}
	if len(asked) == 0 {
		asked = may
	}
	for _, scope := range asked {
		if !has(may, scope) {
			return nil, fosite.ErrInvalidScope.WithHintf("The scope %q is not both the subject_token's and registered for this client.", scope)
		}
	}
	if len(asked) == 0 {
		return nil, fosite.ErrInvalidScope.WithHint("The subject_token and this client share no scope.")
	}
	return asked, nil
}

func (u *unit) exchangeFor(subject *store.Grant, scopes []string, expires time.Time) (*tokenResponse, error) {
	acts := &actor{Subject: u.client.ID, Before: u.data.Actor}
	depth := 0
	for a := acts; a != nil; a = a.Before {
		depth++
	}
	if u.most = min(u.most, expires.Sub(u.now)).Truncate(time.Minute); u.most <= 0 || depth > maxActors {
		u.grant, u.reason = nil, audit.Expired
		return nil, fosite.ErrInvalidRequest.WithHint("The subject_token expires within a minute, or was exchanged too often.")
	}
	u.data = grantData{Scope: joinScopes(scopes), Resources: u.audience, AuthTime: u.data.AuthTime, Proved: u.data.Proved, Actor: acts, From: subject.ID}
	u.parts, u.exchanged, u.grant = allResources, subject, nil
	u.fresh = &store.Grant{ID: store.NewID(u.now), Client: u.client.ID, User: subject.User, Session: subject.Session, Data: u.data.encode(),
		Expires: u.now.Add(u.most), Person: subject.Person}
	token, err := u.accessToken(u.fresh)
	return &tokenResponse{AccessToken: token, IssuedTokenType: typeAccess, TokenType: tokenType(u.key), ExpiresIn: int64(u.life.Seconds()), Scope: u.data.Scope}, err
}

// rooted reports whether every grant that the loaded one came of by exchange still counts, and by which application: who revokes a family, or keeps
// its person from the application that it was given to, means what was made of it, too, and so does who takes that application from the
// token_exchange_from of the one that exchanged. It is one read for each exchange; registrations come from the cache.
func (u *unit) rooted(ctx context.Context, owner *store.Client) bool {
	came, err := u.ancestors(ctx)
	for i := 0; err == nil && i < len(came); i++ {
		g := came[i]
		var c *store.Client
		c, err = u.p.db.Client(ctx, g.Client)
		switch {
		case err != nil:
		case !g.Revoked.IsZero() || !slices.Contains(owner.ExchangeFrom, g.Client):
			err = store.ErrNotFound
		case !mayUse(c, g.Person, g.data.Proved):
			u.reason = audit.NotAllowed
			return false
		}
		owner = c
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		u.reason = audit.Revoked
	case err != nil:
		u.fault = err
	}
	return err == nil
}

// ancestor is a grant whose token was exchanged.
type ancestor struct {
	store.Grant
	data grantData
}

// ancestors reads the grants that the loaded one came of, the last exchange first; store.ErrNotFound if one is gone.
func (u *unit) ancestors(ctx context.Context) (all []ancestor, err error) {
	err = u.p.db.View(ctx, func(t *store.Tx) error {
		all = nil
		for from := u.data.From; from != ""; {
			g, err := t.GrantByID(from)
			if err != nil {
				return err
			}
			one := ancestor{Grant: g}
			if err := json.Unmarshal([]byte(g.Data), &one.data); err != nil {
				return fmt.Errorf("oidc: grant %s is damaged: %w", from, err)
			}
			all, from = append(all, one), one.data.From
		}
		return nil
	})
	return all, err
}
