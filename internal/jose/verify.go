// Package jose verifies what others signed: client assertions, request objects and DPoP proofs. The signatures are
// go-jose's to check; this package decides what is let through to it, and reads the claims.
//
// What holds for every token: the compact serialisation, canonical base64url, at most 16 KiB unless the caller says
// otherwise, JSON without a member that stands twice, an alg of EdDSA, ES256, PS256 and RS256 that the caller asked for
// and that the key is for, a typ that the caller asked for, and a key that the caller had before the token came: header
// parameters that bring or name a key (jku, jwk, x5u, x5c) or change how a token is read (crit, b64, zip) are refused,
// and nothing is ever fetched because a token says so (RFC 8725 §3, RFC 7515 §4).
//
// That a jti is used once is the caller's to see to, by a conditional write.
package jose

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ErrToken says that a token is refused. The text around it says what is wrong, for developers: it may hold short
// quoted pieces of the token's header and claims, never a signature or a key.
var ErrToken = errors.New("jose: token refused")

// errOtherKey is ErrToken where a newer key set might hold the key.
var errOtherKey = errors.New("no key of the client's key set has signed it")

const (
	edDSA = "EdDSA"
	es256 = "ES256"
	ps256 = "PS256"
	rs256 = "RS256"

	maxToken = 16 << 10 // bytes, where Want.Limit is 0
	maxTries = 5        // keys that are tried for one token

	// Of a key that a token brings along: anybody can send one, and a check with the largest key takes 20 times as long.
	maxOwnRSA = 4096 // bits
	maxOwnE   = 65537
)

// Algs are the algorithms that are verified.
func Algs() []string { return []string{edDSA, es256, ps256, rs256} }

// Want is what a token has to be.
type Want struct {
	// Algs narrows the algorithms down to these; nil leaves all of the package's.
	Algs []string
	// Typs are the types of token that are taken; an empty string among them lets typ be absent. Nil takes none. They are
	// compared as media types: without regard to case, with or without application/ (RFC 7515 §4.1.9).
	Typs []string
	// Limit is the most bytes of a token; 0 stands for 16 KiB.
	Limit int
}

// Header is what the header of a verified token says.
type Header struct {
	Alg string
	Kid string // empty: none
	Typ string // as it stands in the token; empty: none
}

// Verify checks a token and gives back its claims: a JSON object in which no name stands twice. They are to be read by
// exact names, which encoding/json's structs do not do; see CheckAssertion. A kid has to name a key; without one, every
// key of the fitting kind is tried, if they are at most 5. Errors are ErrToken.
func (k *Keys) Verify(token string, want Want) ([]byte, Header, error) {
	t, err := parseToken(token, want, false)
	if err != nil {
		return nil, Header{}, err
	}
	claims, err := k.verify(t)
	if err != nil {
		return nil, Header{}, err
	}
	return claims, t.Header, nil
}

func (k *Keys) verify(t parsedToken) ([]byte, error) {
	named, tries := false, make([]key, 0, maxTries)
	for _, c := range k.list {
		if t.Kid != "" && c.kid != t.Kid {
			continue
		}
		named = true
		if !c.fits(t.Alg) {
			continue
		}
		if len(tries) == maxTries {
			return nil, refuse("more than %d keys of the client's key set could have signed it; name one by kid", maxTries)
		}
		tries = append(tries, c)
	}
	switch {
	case !named:
		return nil, fmt.Errorf("%w: %w: none has the kid %.40q", ErrToken, errOtherKey, t.Kid)
	case len(tries) == 0 && t.Kid != "":
		return nil, refuse("the key %.40q of the client's key set is not for %s", t.Kid, t.Alg)
	}
	for _, c := range tries {
		if claims, err := t.jws.Verify(c.public); err == nil {
			return wholesome(claims)
		}
	}
	if t.Kid != "" {
		return nil, refuse("its signature is not of the key %.40q", t.Kid)
	}
	return nil, fmt.Errorf("%w: %w, with %s", ErrToken, errOtherKey, t.Alg)
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrToken}, args...)...)
}

// parsedToken is a token whose header has been found in order and whose signature has not been looked at.
type parsedToken struct {
	Header
	own key // the key that it brings along, where it has to
	jws *jose.JSONWebSignature
}

// parseToken reads the header. embedded says that the token has to bring its key along, as DPoP proofs do.
func parseToken(token string, want Want, embedded bool) (parsedToken, error) {
	var t parsedToken
	limit := want.Limit
	if limit == 0 {
		limit = maxToken
	}
	if len(token) > limit {
		return t, refuse("it is longer than %d bytes", limit)
	}
	parts := strings.SplitN(token, ".", 6)
	switch {
	case strings.HasPrefix(strings.TrimSpace(token), "{"):
		return t, refuse("it is in the JSON serialisation; send the compact one (RFC 7515 §7.1)")
	case len(parts) == 5:
		return t, refuse("it is encrypted; send it signed only")
	case len(parts) != 3:
		return t, refuse("it has %d parts; a signed token has 3 (RFC 7515 §7.1)", len(parts))
	}
	var header object
	for i, part := range parts {
		data, err := decodePart(part)
		if err != nil || len(data) == 0 {
			return t, refuse("its part %d is empty or not canonical base64url (RFC 7515 §2)", i+1)
		}
		if i > 0 {
			continue
		}
		if header, err = parseObject(data); err != nil {
			return t, refuse("its header %w", err)
		}
	}
	if err := t.readHeader(header, want, embedded); err != nil {
		return t, err
	}
	var err error
	if t.jws, err = jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.Alg)}); err != nil {
		return t, refuse("its header has a member of the wrong kind (RFC 7515 §4.1)")
	}
	return t, nil
}

func (t *parsedToken) readHeader(h object, want Want, embedded bool) error {
	for _, name := range []string{"jku", "x5u", "jwk", "x5c", "crit", "b64", "zip"} {
		if _, ok := h[name]; ok && !(embedded && name == "jwk") {
			return refuse("its header holds %q, which is not allowed here", name)
		}
	}
	var err error
	for _, m := range []struct {
		name string
		to   *string
	}{{"alg", &t.Alg}, {"kid", &t.Kid}, {"typ", &t.Typ}} {
		if *m.to, err = h.text(m.name); err != nil {
			return refuse("its header's %w", err)
		}
		if _, ok := h[m.name]; ok && *m.to == "" {
			return refuse("its header's %s is empty", m.name)
		}
	}
	algs := want.Algs
	if algs == nil {
		algs = Algs()
	}
	if !slices.Contains(Algs(), t.Alg) || !slices.Contains(algs, t.Alg) {
		return refuse("its alg is %.20q; sign with %s", t.Alg, strings.Join(algs, " or "))
	}
	if len(t.Kid) > maxKid {
		return refuse("its kid is longer than %d bytes", maxKid)
	}
	if !slices.ContainsFunc(want.Typs, func(w string) bool { return sameType(w, t.Typ) }) {
		return refuse("its typ is %.40q, which is another kind of token (RFC 8725 §3.11)", t.Typ)
	}
	if embedded {
		return t.readOwn(h)
	}
	return nil
}

func (t *parsedToken) readOwn(h object) error {
	raw, ok := h["jwk"]
	if !ok {
		return refuse("its header has no jwk; it has to bring its public key along")
	}
	var err error
	if t.own, err = parseKey(raw); err != nil {
		return refuse("its jwk %w", err)
	}
	if !t.own.fits(t.Alg) {
		return refuse("its jwk is not for alg %s", t.Alg)
	}
	if r, ok := t.own.public.(*rsa.PublicKey); ok && (r.N.BitLen() > maxOwnRSA || r.E > maxOwnE) {
		return refuse("its jwk has more than %d bits, or an e above %d", maxOwnRSA, maxOwnE)
	}
	return nil
}

// sameType compares two values of typ (RFC 7515 §4.1.9). An absent one is empty, and the same as no other.
func sameType(a, b string) bool {
	return a == b || a != "" && b != "" && strings.EqualFold(mediaType(a), mediaType(b))
}

// mediaType puts application/ before a typ that has no slash.
func mediaType(typ string) string {
	if strings.Contains(typ, "/") {
		return typ
	}
	return "application/" + typ
}

// wholesome gives the claims of a token whose signature is right, if no two readers can read them differently.
func wholesome(claims []byte) ([]byte, error) {
	if _, err := parseObject(claims); err != nil {
		return nil, refuse("its payload %w", err)
	}
	return claims, nil
}
