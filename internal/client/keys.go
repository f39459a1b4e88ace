package client

import (
	"encoding/json"
	"slices"
)

// JWKS is a JSON Web Key Set (RFC 7517 §5) as JSON text with sorted members, so that equal sets compare equal. In YAML it is written as a
// mapping. What is in it is the business of who verifies with it.
type JWKS string

// MarshalJSON writes the set itself, not a text that holds it.
func (k JWKS) MarshalJSON() ([]byte, error) {
	if k == "" {
		return []byte("null"), nil
	}
	return []byte(k), nil
}

// UnmarshalJSON reads a set.
func (k *JWKS) UnmarshalJSON(text []byte) error {
	var set map[string]any
	if err := json.Unmarshal(text, &set); err != nil {
		return err
	}
	return k.from(set)
}

// UnmarshalYAML reads a set.
func (k *JWKS) UnmarshalYAML(read func(any) error) error {
	var set map[string]any
	if err := read(&set); err != nil {
		return err
	}
	return k.from(set)
}

func (k *JWKS) from(set map[string]any) error {
	*k = ""
	if set == nil {
		return nil
	}
	text, err := json.Marshal(set)
	*k = JWKS(text)
	return err
}

// The algorithms by which a client may sign (RFC 7518 §3.1, RFC 8037).
var signingAlgs = [...]string{"RS256", "PS256", "ES256", "EdDSA"}

// maxJWKS is the longest set by value, in bytes.
const maxJWKS = 32 << 10

// checkKeys holds what a client signs with.
func (c *Client) checkKeys(f *faults) {
	if alg := c.AuthSigningAlg; alg != "" && !slices.Contains(signingAlgs[:], alg) {
		f.add("token_endpoint_auth_signing_alg", alg, unavailable+"use RS256, PS256, ES256 or EdDSA, or remove it")
	}
	if len(c.JWKS) > maxJWKS {
		f.add("jwks", "", "is longer than 32 KiB; leave out keys that are not used, or give jwks_uri")
	}
	if uri := c.JWKSURI; uri != "" {
		if text := redirectFault(uri, false); text != "" {
			f.add("jwks_uri", uri, text)
		}
	}
	switch {
	case c.JWKS != "" && c.JWKSURI != "": // OpenID Connect Dynamic Client Registration 1.0 §2
		f.add("jwks_uri", c.JWKSURI, "stands beside jwks; give one of them")
	case c.AuthMethod == AuthPrivateKey && c.JWKS == "" && c.JWKSURI == "":
		f.add("jwks", "", "is missing; private_key_jwt needs jwks or jwks_uri with the public keys")
	}
}
