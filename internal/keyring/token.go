package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrToken says that a token is not one of this ring. It never says why.
var ErrToken = errors.New("keyring: not a token of this ring")

const (
	maxToken = 16 << 10 // bytes
	es256Len = 64       // r and s, 32 bytes each (RFC 7518 §3.4)
)

// strict refuses set bits after the end of the data. It is never changed.
var strict = base64.RawURLEncoding.Strict()

// Sign makes a compact JWS (RFC 7515 §7.1) of claims with the active key of
// alg. The header is alg, kid and, unless it is empty, typ. Claims are signed
// as they are. Sign sets no limit of length, and Verify refuses over 16 KiB.
func (r *Ring) Sign(alg, typ string, claims []byte) (string, error) {
	k := r.set.Load().active[alg]
	if k == nil {
		return "", fmt.Errorf("keyring: no key signs with %.20q", alg)
	}
	header, ok := k.header(typ)
	if !ok {
		return "", fmt.Errorf("keyring: %.40q is no type of a token", typ)
	}
	enc := base64.RawURLEncoding
	token := make([]byte, 0, len(header)+2+enc.EncodedLen(len(claims))+enc.EncodedLen(rsaBits/8))
	token = append(token, header...)
	token = append(token, '.')
	token = enc.AppendEncode(token, claims)
	sig, err := k.sign(token)
	if err != nil {
		return "", fmt.Errorf("keyring: sign with %s: %w", alg, err)
	}
	token = append(token, '.')
	return string(enc.AppendEncode(token, sig)), nil
}

// Verify gives back the claims of a token that a next, active or retired key
// of this ring has signed; everything else is ErrToken. The header must be byte
// for byte what Sign writes for the key that its kid names, so there is no
// other alg, no crit, no b64, no jwk and no spelling that two parsers read
// differently (RFC 8725 §3.1). Base64url is canonical, the length at most 16 KiB.
// Verify looks at no claim: expiry, issuer and audience are the caller's, and
// so is the kind of token; see VerifyType.
func (r *Ring) Verify(token string) ([]byte, error) {
	_, claims, err := r.verify(token)
	return claims, err
}

// VerifyType is Verify for tokens of one typ: an access token is then not taken
// for an ID token (RFC 8725 §3.11).
func (r *Ring) VerifyType(token, typ string) ([]byte, error) {
	got, claims, err := r.verify(token)
	if err != nil {
		return nil, err
	}
	if got != typ {
		return nil, ErrToken
	}
	return claims, nil
}

func (r *Ring) verify(token string) (string, []byte, error) {
	if len(token) > maxToken {
		return "", nil, ErrToken
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, tail, ok := strings.Cut(rest, ".")
	if !ok || payload == "" {
		return "", nil, ErrToken
	}
	raw, err := decodePart(header)
	if err != nil {
		return "", nil, ErrToken
	}
	var named struct{ Kid, Typ string }
	if err := json.Unmarshal(raw, &named); err != nil {
		return "", nil, ErrToken
	}
	k := r.set.Load().byID[named.Kid]
	if k == nil {
		return "", nil, ErrToken
	}
	if want, ok := k.header(named.Typ); !ok || header != want {
		return "", nil, ErrToken
	}
	sig, err := decodePart(tail) // a third dot is no base64url
	if err != nil || !k.verifies(token[:len(header)+1+len(payload)], sig) {
		return "", nil, ErrToken
	}
	claims, err := decodePart(payload)
	if err != nil {
		return "", nil, ErrToken
	}
	return named.Typ, claims, nil
}

// decodePart decodes canonical base64url: no padding, no stray bits, and none
// of the line ends that encoding/base64 would skip (RFC 7515 §2).
func decodePart(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, ErrToken
	}
	return strict.DecodeString(s)
}

// header is the encoded header of k for a typ: the characters of a media type
// (RFC 6838 §4.2), at most 64, so that nothing in it needs JSON's escapes.
func (k *signingKey) header(typ string) (string, bool) {
	if h, ok := k.headers[typ]; ok {
		return h, true
	}
	if len(typ) > 64 {
		return "", false
	}
	for _, c := range []byte(typ) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("+-._/", c) < 0 {
			return "", false
		}
	}
	return encodeHeader(k.Alg, k.ID, typ), true
}

func (k *signingKey) sign(input []byte) ([]byte, error) {
	if p, ok := k.private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(p, input), nil
	}
	digest := sha256.Sum256(input)
	switch p := k.private.(type) {
	case *rsa.PrivateKey:
		if k.Alg == algPS256 {
			return signPSS(p, input)
		}
		return rsa.SignPKCS1v15(nil, p, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		der, err := ecdsa.SignASN1(rand.Reader, p, digest[:])
		if err != nil {
			return nil, err
		}
		return fixedWidth(der)
	}
	return nil, errors.New("unknown kind of key")
}

func (k *signingKey) verifies(input string, sig []byte) bool {
	if p, ok := k.private.(ed25519.PrivateKey); ok {
		return ed25519.Verify(p.Public().(ed25519.PublicKey), []byte(input), sig)
	}
	digest := sha256.Sum256([]byte(input))
	switch p := k.private.(type) {
	case *rsa.PrivateKey:
		if k.Alg == algPS256 {
			return verifiesPSS(&p.PublicKey, input, sig)
		}
		return rsa.VerifyPKCS1v15(&p.PublicKey, crypto.SHA256, digest[:], sig) == nil
	case *ecdsa.PrivateKey:
		if len(sig) != es256Len {
			return false
		}
		r, s := new(big.Int).SetBytes(sig[:es256Len/2]), new(big.Int).SetBytes(sig[es256Len/2:])
		return ecdsa.Verify(&p.PublicKey, digest[:], r, s)
	}
	return false
}

// pss is RSASSA-PSS as PS256 has it: SHA-256 throughout, and a salt as long as
// the hash, no other (RFC 7518 §3.5).
func pss() *rsa.PSSOptions { return &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256} }

// Of its own, for the digest escapes here and not in sign.
func signPSS(p *rsa.PrivateKey, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	return rsa.SignPSS(rand.Reader, p, crypto.SHA256, digest[:], pss())
}

func verifiesPSS(p *rsa.PublicKey, input string, sig []byte) bool {
	digest := sha256.Sum256([]byte(input))
	return rsa.VerifyPSS(p, crypto.SHA256, digest[:], sig, pss()) == nil
}

// fixedWidth turns the ASN.1 form of an ECDSA signature into r and s of 32
// bytes each, zeros in front (RFC 7518 §3.4).
func fixedWidth(der []byte) ([]byte, error) {
	var r, s []byte
	var inner cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > es256Len/2 || len(s) > es256Len/2 {
		return nil, errors.New("unreadable ECDSA signature")
	}
	sig := make([]byte, es256Len)
	copy(sig[es256Len/2-len(r):], r)
	copy(sig[es256Len-len(s):], s)
	return sig, nil
}

// JWKS is the key set document (RFC 7517 §5) with all keys of the ring: next,
// active and retired, an active key first. It is made once for each load; the
// caller must not change it.
func (r *Ring) JWKS() []byte { return r.set.Load().jwks }
