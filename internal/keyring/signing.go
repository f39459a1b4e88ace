package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	algRS256 = "RS256"
	algPS256 = "PS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"

	rsaBits       = 2048 // RFC 7518 §3.3
	signingPrefix = "signing-"
	pemType       = "PRIVATE KEY"
)

// signingKey is one key of a set, checked and ready. It does not change.
type signingKey struct {
	Key
	private crypto.Signer
	public  jwk
	sha256  string            // hex, of the PKIX DER
	headers map[string]string // typ to the encoded header, for the usual types
}

// jwk is a public key as RFC 7517 and RFC 7518 §6 write it.
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

// generate makes a key. One of RSA takes from 50 ms to a second, the others nothing.
func generate(alg string) (*signingKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case algRS256, algPS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case algES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algEdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("keyring: unknown algorithm %.20q: choose RS256, PS256, ES256 or EdDSA", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: make a key for %s: %w", alg, err)
	}
	return newSigningKey(private, alg)
}

// newSigningKey derives from a private key all that is public about it. It
// refuses a key that is not of the kind that alg wants.
func newSigningKey(private crypto.Signer, alg string) (*signingKey, error) {
	k := &signingKey{Key: Key{Alg: alg}, private: private, public: jwk{Use: "sig", Alg: alg}}
	var members string // RFC 7638 §3.2: the required ones, in the order of their names
	j := &k.public
	switch p := private.(type) {
	case *rsa.PrivateKey:
		if alg != algRS256 && alg != algPS256 || p.N.BitLen() < rsaBits {
			return nil, errors.New("not a key for " + alg)
		}
		j.Kty, j.N, j.E = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
		members = `{"e":"` + j.E + `","kty":"RSA","n":"` + j.N + `"}`
	case *ecdsa.PrivateKey:
		point, err := p.PublicKey.Bytes()
		if err != nil || alg != algES256 || p.Curve != elliptic.P256() {
			return nil, errors.New("not a key for " + alg)
		}
		j.Kty, j.Crv, j.X, j.Y = "EC", "P-256", b64(point[1:33]), b64(point[33:65])
		members = `{"crv":"P-256","kty":"EC","x":"` + j.X + `","y":"` + j.Y + `"}`
	case ed25519.PrivateKey:
		if alg != algEdDSA {
			return nil, errors.New("not a key for " + alg)
		}
		j.Kty, j.Crv, j.X = "OKP", "Ed25519", b64(p.Public().(ed25519.PublicKey))
		members = `{"crv":"Ed25519","kty":"OKP","x":"` + j.X + `"}`
	default:
		return nil, errors.New("not a key for " + alg)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	thumb, sum := sha256.Sum256([]byte(members)), sha256.Sum256(der)
	k.ID, k.sha256 = b64(thumb[:]), hex.EncodeToString(sum[:])
	j.Kid = k.ID
	k.headers = make(map[string]string)
	for _, typ := range []string{"", "JWT", "at+jwt", "logout+jwt", "token-introspection+jwt"} {
		k.headers[typ] = encodeHeader(alg, k.ID, typ)
	}
	return k, nil
}

// parseKey reads the file of a manifest's entry and holds it against the entry.
// The libraries derive the public half from the private one (elliptic curves)
// or check the two against each other (RSA), so damage in either is seen.
func parseKey(e entry, data []byte) (*signingKey, error) {
	k, err := decodeKey(e.Alg, data)
	if err != nil {
		return nil, err
	}
	if k.ID != e.ID || k.sha256 != e.SHA256 {
		return nil, errors.New("is another key than " + manifestName + " says")
	}
	k.State, k.Created, k.Since = e.State, e.Created, e.Since
	return k, nil
}

// decodeKey reads a file as a key for alg.
func decodeKey(alg string, data []byte) (*signingKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(rest) != 0 {
		return nil, errors.New("is damaged (not one PEM block of a private key)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is damaged (not a whole PKCS#8 key)")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("is damaged (not a signing key)")
	}
	k, err := newSigningKey(private, alg)
	if err != nil {
		return nil, fmt.Errorf("is damaged (%w)", err)
	}
	return k, nil
}

// as is a new key in its first state.
func (k *signingKey) as(state string, now time.Time) *signingKey {
	k.State, k.Created, k.Since = state, now, now
	return k
}

func (k *signingKey) encode() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("keyring: encode a key for %s: %w", k.Alg, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func (k *signingKey) entry() entry {
	return entry{ID: k.ID, Alg: k.Alg, State: k.State, Created: k.Created, Since: k.Since, SHA256: k.sha256}
}

// isThumbprint reports whether s is 32 bytes in canonical base64url.
func isThumbprint(s string) bool {
	b, err := decodePart(s)
	return err == nil && len(b) == sha256.Size
}

func encodeHeader(alg, kid, typ string) string {
	header := `{"alg":"` + alg + `","kid":"` + kid + `"`
	if typ != "" {
		header += `,"typ":"` + typ + `"`
	}
	return b64([]byte(header + "}"))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// encodeJWKS is the key set document (RFC 7517 §5).
func encodeJWKS(keys []*signingKey) ([]byte, error) {
	doc := struct {
		Keys []jwk `json:"keys"`
	}{Keys: make([]jwk, len(keys))}
	for i, k := range keys {
		doc.Keys[i] = k.public
	}
	return json.Marshal(doc)
}
