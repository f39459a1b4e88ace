package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ErrKeys says that a key or a key set is none that can be used. The text around it says why, and what to do.
var ErrKeys = errors.New("jose: unusable keys")

const (
	maxKeySet = 64 << 10 // bytes
	maxKeys   = 50
	maxKid    = 256 // bytes
	minRSA    = 2048
	maxRSA    = 8192 // bits; a check at that size takes about 1 ms
)

// Keys are the public keys of one party. They do not change.
type Keys struct{ list []key }

type key struct {
	kid    string // empty: it has no name
	alg    string // empty: every alg of its kind
	public any    // *rsa.PublicKey, *ecdsa.PublicKey on P-256, ed25519.PublicKey
}

// ParseKeys reads a JWK Set (RFC 7517 §5) of at most 64 KiB and 50 keys. A symmetric or private key makes it refuse the
// set: it was shown to somebody, and whoever sent it has to make another. Keys that cannot check a signature here are
// passed over, as RFC 7517 §5 has it: of another kind, curve, alg or use, too short, malformed. When none is left, the
// error says why each was passed over.
func ParseKeys(jwks []byte) (*Keys, error) {
	if len(jwks) > maxKeySet {
		return nil, fmt.Errorf("%w: the key set is longer than %d bytes", ErrKeys, maxKeySet)
	}
	set, err := parseObject(jwks)
	if err != nil {
		return nil, fmt.Errorf("%w: the key set %w", ErrKeys, err)
	}
	var raw []json.RawMessage
	if m := set["keys"]; len(m) == 0 || m[0] != '[' || json.Unmarshal(m, &raw) != nil {
		return nil, fmt.Errorf(`%w: the key set has no list "keys"; its form is {"keys":[{"kty":…}]}`, ErrKeys)
	}
	if len(raw) == 0 || len(raw) > maxKeys {
		return nil, fmt.Errorf("%w: the key set has %d keys; send 1 to %d", ErrKeys, len(raw), maxKeys)
	}
	keys := &Keys{list: make([]key, 0, len(raw))}
	var passed []string
	for i, r := range raw {
		k, err := parseKey(r)
		switch {
		case errors.Is(err, errSecret):
			return nil, fmt.Errorf("%w: key %d %w", ErrKeys, i+1, err)
		case err != nil:
			passed = append(passed, fmt.Sprintf("key %d %v", i+1, err))
		default:
			keys.list = append(keys.list, k)
		}
	}
	if len(keys.list) == 0 {
		return nil, fmt.Errorf("%w: no key of the set can check a signature (%s): %.500s", ErrKeys, strings.Join(Algs(), ", "), strings.Join(passed, "; "))
	}
	return keys, nil
}

// CheckRegistered says what is wrong with the member jwks of a client's registration, or nil; without one nothing is.
func CheckRegistered(jwks string) error {
	if jwks == "" {
		return nil
	}
	if _, err := ParseKeys([]byte(jwks)); err != nil {
		return fmt.Errorf("jwks: %s", strings.TrimPrefix(err.Error(), "jose: "))
	}
	return nil
}

// Thumbprint is the SHA-256 of a public key (RFC 7638) as base64url. It takes the keys that ParseKeys takes.
func Thumbprint(jwk []byte) (string, error) {
	if len(jwk) > maxKeySet {
		return "", fmt.Errorf("%w: the key is longer than %d bytes", ErrKeys, maxKeySet)
	}
	k, err := parseKey(jwk)
	if err != nil {
		return "", fmt.Errorf("%w: the key %w", ErrKeys, err)
	}
	return k.thumbprint()
}

func (k key) thumbprint() (string, error) {
	sum, err := (&jose.JSONWebKey{Key: k.public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKeys, err) // not a key of publicKey's
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// errSecret says that somebody showed what nobody may see.
var errSecret = errors.New("make a new key and send its public part alone")

// parseKey reads one JWK (RFC 7517 §4). The text of its error goes on after "the key".
func parseKey(raw json.RawMessage) (key, error) {
	o, err := parseObject(raw)
	if err != nil {
		return key{}, err
	}
	kty, err := o.text("kty")
	if err != nil {
		return key{}, err
	}
	if _, ok := o["k"]; ok || kty == "oct" {
		return key{}, fmt.Errorf("is a secret that both sides would share; %w", errSecret)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, ok := o[name]; ok {
			return key{}, fmt.Errorf("holds its private part (%q); %w", name, errSecret)
		}
	}
	var k key
	if k.kid, err = o.text("kid"); err == nil {
		k.alg, err = o.text("alg")
	}
	if err != nil {
		return key{}, err
	}
	if len(k.kid) > maxKid {
		return key{}, fmt.Errorf("has a kid of more than %d bytes", maxKid)
	}
	if err := forSignatures(o); err != nil {
		return key{}, err
	}
	if k.public, err = publicKey(kty, o); err != nil {
		return key{}, err
	}
	if k.alg != "" && !k.fits(k.alg) {
		return key{}, fmt.Errorf("is for alg %.20q", k.alg)
	}
	return k, nil
}

// forSignatures holds a key against its own use and key_ops (RFC 7517 §4.2, §4.3).
func forSignatures(o object) error {
	if use, err := o.text("use"); err != nil || o["use"] != nil && use != "sig" {
		return fmt.Errorf(`is for use %.20q, not "sig"`, use)
	}
	if raw, ok := o["key_ops"]; ok {
		if ops, err := texts(raw); err != nil || !slices.Contains(ops, "verify") {
			return errors.New(`has key_ops without "verify"`)
		}
	}
	return nil
}

// publicKey reads the members that make the key, and shows the library those alone. It is held on a short lead: of
// itself it pads or cuts an Ed25519 key of the wrong length and cuts an RSA exponent that is too long for an int.
func publicKey(kty string, o object) (any, error) {
	crv, err := o.text("crv")
	if err != nil {
		return nil, err
	}
	var need []string
	switch {
	case kty == "RSA":
		need = []string{"n", "e"}
	case kty == "EC" && crv == "P-256":
		need = []string{"x", "y"}
	case kty == "OKP" && crv == "Ed25519":
		need = []string{"x"}
	default:
		return nil, fmt.Errorf("is of the kind %.20q %.20q; known are RSA, EC P-256 and OKP Ed25519", kty, crv)
	}
	plain, sizes := map[string]string{"kty": kty}, map[string]int{}
	if crv != "" {
		plain["crv"] = crv
	}
	for _, name := range need {
		s, err := o.text(name)
		if err != nil {
			return nil, err
		}
		b, err := decodePart(s)
		if err != nil || len(b) == 0 {
			return nil, fmt.Errorf("has no %s, or not in base64url without padding", name)
		}
		plain[name], sizes[name] = s, len(b)
	}
	if kty == "OKP" && sizes["x"] != ed25519.PublicKeySize || sizes["e"] > 4 || sizes["n"] > maxRSA/8+1 {
		return nil, errors.New("has a member of the wrong length")
	}
	data, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return nil, errors.New("is malformed: its members are not those of a point on the curve")
	}
	if r, ok := parsed.Key.(*rsa.PublicKey); ok {
		if bits := r.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("has %d bits; RSA keys have %d to %d", bits, minRSA, maxRSA)
		}
		if r.N.Bit(0) == 0 || r.E < 3 || r.E%2 == 0 || int64(r.E) >= 1<<31 {
			return nil, errors.New("is no RSA key")
		}
	}
	return parsed.Key, nil
}

// fits says whether a signature of alg can be checked with k: an RS256 key is no PS256 key (RFC 8725 §3.1).
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch k.public.(type) {
	case *rsa.PublicKey:
		return alg == rs256 || alg == ps256
	case *ecdsa.PublicKey:
		return alg == es256
	case ed25519.PublicKey:
		return alg == edDSA
	}
	return false
}
