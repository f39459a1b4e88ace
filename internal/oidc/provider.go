// Package oidc speaks OAuth 2.0 and OpenID Connect: it turns a session into codes and tokens, and tokens into answers.
// It knows no passwords. It is the only package that imports fosite, which runs the code, refresh and client-credentials
// grants and PKCE; what fosite lacks or does wrong (docs/design.md §3) is done here.
//
// Storage under fosite is one row a grant. A request loads it at most once and writes at most once, after fosite has
// answered and before the response is written:
//
//	/par 1 write · /authorize 1 write, and 1 read if it was pushed
//	/token, refresh and a device's poll 1 read, 1 write · /introspect, /userinfo 1 read
//
// Lifetimes: a pushed request 60 s until it is begun, a code 60 s, an access token 1 h, an ID token 1 h, a refresh token
// 14 days from its last use and never more than 90 days from the sign-in.
package oidc

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/pkce"

	"github.com/portvakt/portvakt/internal/fetch"
	"github.com/portvakt/portvakt/internal/jose"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/mtls"
	"github.com/portvakt/portvakt/internal/store"
)

const (
	codeLife    = 60 * time.Second
	accessLife  = time.Hour
	idTokenLife = time.Hour
	refreshIdle = 14 * 24 * time.Hour
	familyLife  = 90 * 24 * time.Hour
)

// Options are what a provider is made of.
type Options struct {
	DB     *store.DB
	Ring   *keyring.Ring
	Issuer string        // a URL
	Fetch  *fetch.Client // calls addresses that applications registered
	Log    *slog.Logger

	Authorities *mtls.Authorities // issue the certificates of clients; nil: tls_client_auth is off
}

// Provider answers the protocol endpoints. It is safe for concurrent use.
type Provider struct {
	db      *store.DB
	ring    *keyring.Ring
	issuer  string
	minter  *minter
	secrets *macs // of client secrets
	nonces  *macs // of DPoP
	devices *macs // of user codes, and of addresses in the names of limits
	names   *pseudonyms
	own     bool          // the issuer is on this machine: development
	callers chan struct{} // a seat for each registration that waits for an answer from elsewhere
	fosite  *fosite.Fosite
	docs    documents
	fetch   *fetch.Client
	remote  *jose.Remote // keys of clients
	issuers *mtls.Authorities
	log     *slog.Logger
}

// New gives the provider.
func New(o Options) *Provider {
	p := &Provider{db: o.DB, ring: o.Ring, issuer: strings.TrimSuffix(o.Issuer, "/"), minter: newMinter(o.Ring.Secret("token")),
		secrets: newMACs(o.Ring.Secret("client-secret")), nonces: newMACs(o.Ring.Secret("dpop-nonce")), devices: newMACs(o.Ring.Secret("device-grant")), fetch: o.Fetch, remote: jose.NewRemote(o.Fetch), issuers: o.Authorities, log: o.Log}
	p.names = newPseudonyms(o.Ring.Secret("pairwise-iv"), o.Ring.Secret("pairwise"))
	p.own = fetch.Check(p.issuer, fetch.Public) != nil && fetch.Check(p.issuer, fetch.Loopback) == nil
	p.callers = make(chan struct{}, sectorCalls)
	p.fosite = p.compose()
	p.docs.discovery = newDocument(p.metadata())
	return p
}

// compose builds fosite from the handlers that are allowed, by struct literal: what is not named here does not exist.
func (p *Provider) compose() *fosite.Fosite {
	strategy, storage := strategy{p}, storage{p}
	cfg := &fosite.Config{
		AuthorizeCodeLifespan: codeLife,
		AccessTokenLifespan:   accessLife,
		RefreshTokenLifespan:  refreshIdle,
		IDTokenLifespan:       idTokenLife,
		IDTokenIssuer:         p.issuer,
		AccessTokenIssuer:     p.issuer,
		ScopeStrategy:         fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: func(_, needle []string) error {
			if len(needle) > 0 {
				return fosite.ErrInvalidRequest.WithHint("The parameter 'audience' is not supported.")
			}
			return nil
		},
		RefreshTokenScopes:           []string{"offline_access"},
		OmitRedirectScopeParam:       true,
		SanitationWhiteList:          []string{"redirect_uri"},
		ClientAuthenticationStrategy: p.authenticate,
		// Redirect URIs are checked when a client is registered; see client.Validate.
		RedirectSecureChecker: func(context.Context, *url.URL) bool { return true },
	}
	code := &oauth2.AuthorizeExplicitGrantHandler{AccessTokenStrategy: strategy, RefreshTokenStrategy: strategy,
		AuthorizeCodeStrategy: strategy, CoreStorage: storage, TokenRevocationStorage: storage, Config: cfg}
	// EnforcePKCE is off in fosite because it is a property of the client here: Authorize refuses a missing challenge,
	// and a grant that has a challenge is never redeemed without its verifier.
	proof := &pkce.Handler{AuthorizeCodeStrategy: strategy, Storage: storage, Config: cfg}
	refresh := &oauth2.RefreshTokenGrantHandler{AccessTokenStrategy: strategy, RefreshTokenStrategy: strategy,
		TokenRevocationStorage: storage, Config: cfg}
	own := &oauth2.ClientCredentialsGrantHandler{Config: cfg,
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: strategy, AccessTokenStorage: storage, Config: cfg}}
	cfg.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, proof}
	cfg.TokenEndpointHandlers = fosite.TokenEndpointHandlers{code, proof, refresh, own}
	return &fosite.Fosite{Store: storage, Config: cfg}
}
