package client

import "slices"

// checkRequests holds how authorization requests arrive: what a client has to sign needs keys to verify it with.
func (c *Client) checkRequests(f *faults) {
	keys := c.JWKS != "" || c.JWKSURI != ""
	if alg := c.RequestSigningAlg; alg != "" && !slices.Contains(signingAlgs[:], alg) { // none among them: RFC 9101 §10.1
		f.add("request_object_signing_alg", alg, unavailable+"use RS256, PS256, ES256 or EdDSA, or remove it")
	} else if alg != "" && !keys {
		f.add("request_object_signing_alg", alg, "needs jwks or jwks_uri with the public keys; add one of them or remove this")
	}
	if c.RequireSigned && !keys {
		f.add("require_signed_request_object", "true", "needs jwks or jwks_uri with the public keys; add one of them or remove this")
	}
}
