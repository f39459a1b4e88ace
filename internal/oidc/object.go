package oidc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/jose"
)

var (
	errTwoObjects = fosite.ErrInvalidRequest.WithHint("The parameters request and request_uri cannot stand together (RFC 9101 §5).")
	errNested     = fosite.ErrInvalidRequest.WithHint("A request object cannot hold another.")
	errUnsigned   = fosite.ErrInvalidRequest.WithHint("This client must sign its authorization requests: the parameter request is missing (RFC 9101 §10.5).")
	errKeyless    = fosite.ErrRequestNotSupported.WithHint("The client has no keys registered that could verify a request object; register jwks or jwks_uri.")
	errObject     = &fosite.RFC6749Error{ErrorField: "invalid_request_object", CodeField: http.StatusBadRequest, // RFC 9101 §7
		DescriptionField: "The request object is refused."}
)

// openObject puts the content of a request object in the place of the query that brings it: its parameters alone count, and it names the
// client that the query names (RFC 9101 §5, §6.3). What is wrong with it is noted in a.flaw, and the query then stays as it is.
func (a *asked) openObject(ctx context.Context) {
	token := a.query.Get("request")
	switch {
	case token == "": // a parameter without a value counts as none (RFC 6749 §3.1)
		a.query.Del("request")
		if a.client.RequireSigned {
			a.flaw = errUnsigned
		}
		return
	case a.query.Has("request_uri"):
		a.flaw = errTwoObjects
		return
	case a.client.JWKS == "" && a.client.JWKSURI == "":
		a.flaw = errKeyless
		return
	}
	want := jose.Want{Typs: []string{"", "JWT", "oauth-authz-req+jwt"}}
	if alg := a.client.RequestSigningAlg; alg != "" {
		want.Algs = []string{alg}
	}
	claims, err := a.p.verifyOf(ctx, a.client, token, want)
	if err == nil {
		query, _, _, wrong := jose.CheckRequestObject(claims, jose.WantRequest{Client: string(a.client.ID), Issuer: a.p.issuer, Now: a.now})
		if err = wrong; err == nil {
			a.query = query
			return
		}
	}
	if a.flaw = objectFlaw(err); a.flaw == errNoKeys {
		a.reason = audit.Outage
	}
}

// objectFlaw turns what is wrong with a request object into what the application is told.
func objectFlaw(err error) error {
	switch {
	case errors.Is(err, jose.ErrToken):
		return errObject.WithHint("The request object is refused: " + strings.TrimPrefix(err.Error(), jose.ErrToken.Error()+": "))
	case errors.Is(err, jose.ErrUnreachable):
		return errNoKeys
	case errors.Is(err, jose.ErrKeys):
		return errObject.WithHint("The keys that are registered for the client cannot be used; mend its jwks.")
	}
	return err
}
