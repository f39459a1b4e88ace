package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
)

// signer signs whatever it is told to, as an attacker's would.
type signer struct {
	alg     string
	private any // a crypto.Signer, or []byte for HS256, or nil for none
	kid     string
}

func newSigner(t testing.TB, alg, kid string) signer {
	t.Helper()
	var private any
	var err error
	switch alg {
	case es256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case edDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{alg, private, kid}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// header is an ordinary one, with more members if given, such as `"jku":"x"`.
func (s signer) header(more ...string) string {
	h := []string{`"alg":"` + s.alg + `"`}
	if s.kid != "" {
		h = append(h, `"kid":"`+s.kid+`"`)
	}
	return "{" + strings.Join(append(h, more...), ",") + "}"
}

// sign makes a compact JWS of exactly this header and payload.
func (s signer) sign(t testing.TB, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(s.signature(t, input))
}

func (s signer) signature(t testing.TB, input string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(input))
	switch p := s.private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(p, []byte(input))
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, p, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		sign := func() ([]byte, error) { return rsa.SignPKCS1v15(nil, p, crypto.SHA256, digest[:]) }
		if s.alg == ps256 {
			sign = func() ([]byte, error) {
				return rsa.SignPSS(rand.Reader, p, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
			}
		}
		sig, err := sign()
		if err != nil {
			t.Fatal(err)
		}
		return sig
	case []byte:
		mac := hmac.New(sha256.New, p)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
	return nil
}

// jwk is the public key as RFC 7518 §6 and RFC 8037 §2 write it, with these members beside.
func (s signer) jwk(more map[string]any) string {
	m := map[string]any{}
	switch p := s.private.(type) {
	case ed25519.PrivateKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(p.Public().(ed25519.PublicKey))
	case *ecdsa.PrivateKey:
		point, _ := p.PublicKey.Bytes()
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PrivateKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	}
	if s.kid != "" {
		m["kid"] = s.kid
	}
	for k, v := range more {
		m[k] = v
	}
	out, _ := json.Marshal(m)
	return string(out)
}

func keySet(jwks ...string) []byte { return []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`) }

func parse(t testing.TB, jwks ...string) *Keys {
	t.Helper()
	k, err := ParseKeys(keySet(jwks...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// refused says whether err is ErrToken and holds a text.
func refused(err error, text string) bool {
	return errors.Is(err, ErrToken) && strings.Contains(err.Error(), text)
}

// anyType is the typ that most tests take.
func anyType() []string { return []string{"", "JWT"} }
