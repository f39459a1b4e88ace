package oidc

import (
	"context"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// storage gives fosite the many small stores that it asks for. Reads are views of the unit's one grant; writes are notes
// in the unit; deletions are nothing, since a grant's row says by itself what was used.
type storage struct{ p *Provider }

// GetClient implements fosite.ClientManager.
func (s storage) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	u := unitOf(ctx)
	c, err := s.p.db.Client(ctx, client.ID(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fosite.ErrNotFound
	case err != nil:
		u.fault = err
		return nil, err
	}
	u.client = c
	return requesting{c}, nil
}

// ClientAssertionJWTValid and SetClientAssertionJWT are not reached: authenticate knows no assertions.
func (storage) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrInvalidClient }

// SetClientAssertionJWT see ClientAssertionJWTValid.
func (storage) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrInvalidClient
}

// CreateAuthorizeCodeSession is a note: Authorize made the grant already.
func (storage) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error {
	return nil
}

// GetAuthorizeCodeSession gives the request behind a code; a used code comes with fosite.ErrInvalidatedAuthorizeCode.
func (storage) GetAuthorizeCodeSession(ctx context.Context, code string, _ fosite.Session) (fosite.Requester, error) {
	u := unitOf(ctx)
	if err := u.load(ctx, code, kindCode); err != nil {
		return nil, err
	}
	if !u.grant.CodeUsed.IsZero() {
		u.reuse, u.reason = true, audit.Replayed
		return u.requester(), fosite.ErrInvalidatedAuthorizeCode
	}
	return u.requester(), nil
}

// InvalidateAuthorizeCodeSession notes that the code is to be used.
func (storage) InvalidateAuthorizeCodeSession(ctx context.Context, _ string) error {
	unitOf(ctx).redeem = true
	return nil
}

// CreateAccessTokenSession is a note for client_credentials and nothing else: an access token names its grant.
func (storage) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }

// GetAccessTokenSession is not reached: resolve reads access tokens.
func (storage) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// DeleteAccessTokenSession has nothing to delete.
func (storage) DeleteAccessTokenSession(context.Context, string) error { return nil }

// CreateRefreshTokenSession has nothing to store: the generation stands in the grant.
func (storage) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}

// GetRefreshTokenSession gives the request behind a refresh token; one of an older generation comes with
// fosite.ErrInactiveToken (RFC 9700 §4.14.2).
func (storage) GetRefreshTokenSession(ctx context.Context, token string, _ fosite.Session) (fosite.Requester, error) {
	u := unitOf(ctx)
	if err := u.load(ctx, token, kindRefresh); err != nil {
		return nil, err
	}
	r := u.requester()
	switch gen := int64(u.token.more); {
	case gen == u.grant.Gen-1 && u.graced(), gen == u.grant.Gen && u.client != nil && u.client.ID == u.grant.Client && !u.client.Rotates():
		u.repeat = true
	case gen < u.grant.Gen:
		u.reuse, u.reason = true, audit.Replayed
		return r, fosite.ErrInactiveToken
	case gen > u.grant.Gen:
		return nil, u.refuse(audit.BadRequest)
	}
	return r, nil
}

// graced reports whether the last rotation is so young that its answer may have been lost on the way: the client's refresh_grace. What the
// used token then gets is what it got, so the family does not fork.
func (u *unit) graced() bool {
	if u.client == nil || u.client.ID != u.grant.Client || u.client.RefreshGrace == 0 { // a rival may have been later than u.now
		return false
	}
	return u.now.Sub(u.grant.Rotated) < time.Duration(u.client.RefreshGrace)*time.Second
}

// DeleteRefreshTokenSession has nothing to delete.
func (storage) DeleteRefreshTokenSession(context.Context, string) error { return nil }

// RotateRefreshToken notes that the presented generation is to be followed by the next.
func (storage) RotateRefreshToken(ctx context.Context, _, _ string) error {
	unitOf(ctx).rotate = true
	return nil
}

// RevokeRefreshToken and RevokeAccessToken are how fosite answers reuse; the unit noted it when it saw it.
func (storage) RevokeRefreshToken(context.Context, string) error { return nil }

// RevokeAccessToken see RevokeRefreshToken.
func (storage) RevokeAccessToken(context.Context, string) error { return nil }

// CreatePKCERequestSession has nothing to store: the challenge stands in the grant and is never deleted.
func (storage) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }

// GetPKCERequestSession gives the request with its challenge, or fosite.ErrNotFound if it had none.
func (storage) GetPKCERequestSession(ctx context.Context, code string, _ fosite.Session) (fosite.Requester, error) {
	u := unitOf(ctx)
	if err := u.load(ctx, code, kindCode); err != nil {
		return nil, err
	}
	if u.data.Challenge == "" {
		return nil, fosite.ErrNotFound
	}
	return u.requester(), nil
}

// DeletePKCERequestSession deletes nothing: a wrong verifier must not make the right one unnecessary.
func (storage) DeletePKCERequestSession(context.Context, string) error { return nil }

// strategy makes tokens on the wire. A token is its own signature to fosite, which hands that to storage as the key.
type strategy struct{ p *Provider }

// GenerateAuthorizeCode mints the code of the grant that Authorize made.
func (s strategy) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (string, string, error) {
	code := s.p.minter.mint(wire{kind: kindCode, grant: unitOf(ctx).fresh.ID, more: 0})
	return code, code, nil
}

// AuthorizeCodeSignature is the code itself.
func (strategy) AuthorizeCodeSignature(_ context.Context, code string) string { return code }

// ValidateAuthorizeCode refuses a code that is out of time.
func (strategy) ValidateAuthorizeCode(ctx context.Context, _ fosite.Requester, _ string) error {
	if u := unitOf(ctx); !u.now.Before(u.grant.CodeUntil) {
		u.reason = audit.Expired
		return fosite.ErrTokenExpired
	}
	return nil
}

// GenerateAccessToken mints an access token of the unit's grant; for client_credentials it makes the grant first.
func (s strategy) GenerateAccessToken(ctx context.Context, r fosite.Requester) (string, string, error) {
	u := unitOf(ctx)
	g := u.grant
	if g == nil {
		for _, scope := range r.GetRequestedScopes() {
			r.GrantScope(scope)
		}
		u.data = grantData{Scope: joinScopes(r.GetGrantedScopes()), Resources: u.audience}
		u.fresh = &store.Grant{ID: store.NewID(u.now), Client: u.client.ID, Data: u.data.encode(), Expires: u.now.Add(accessLife)}
		g = u.fresh
	}
	token, err := u.accessToken(g)
	return token, token, err
}

// AccessTokenSignature is the token itself.
func (strategy) AccessTokenSignature(_ context.Context, token string) string { return token }

// ValidateAccessToken is not reached: resolve reads access tokens.
func (strategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return fosite.ErrInactiveToken
}

// GenerateRefreshToken mints the next generation.
func (s strategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	u := unitOf(ctx)
	if u.gen = u.grant.Gen; !u.repeat {
		u.gen++
	}
	w := wire{kind: kindRefresh, grant: u.grant.ID, more: uint64(u.gen), key: u.token.key}
	if w.key == (thumbprint{}) && u.client.Public() {
		w.key = u.key // RFC 9449 §5: who can prove nothing else proves the key
	}
	token := s.p.minter.mint(w)
	return token, token, nil
}

// RefreshTokenSignature is the token itself.
func (strategy) RefreshTokenSignature(_ context.Context, token string) string { return token }

// ValidateRefreshToken refuses a token whose family is out of time.
func (strategy) ValidateRefreshToken(ctx context.Context, _ fosite.Requester, _ string) error {
	if u := unitOf(ctx); !u.now.Before(u.grant.Expires) {
		u.reason = audit.Expired
		return fosite.ErrTokenExpired
	}
	return nil
}
