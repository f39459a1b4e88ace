package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// signer is a client with a key of its own.
type signer struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
	kid string
}

func newSigner(t testing.TB, alg string) signer {
	t.Helper()
	s := signer{alg: jose.SignatureAlgorithm(alg), kid: "key-" + alg}
	var err error
	switch alg {
	case "ES256":
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	default:
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

// set is the key set as an apply file has it: JSON is YAML.
func set(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sign makes a JWS of claims; a nil claim is left out.
func (s signer) sign(t testing.TB, typ string, embed bool, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(typ))
	if !embed {
		o.WithHeader("kid", s.kid)
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range claims {
		if v == nil {
			delete(claims, k)
		}
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// over lays names and values over a map.
func over(claims map[string]any, pairs ...any) map[string]any {
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i].(string)] = pairs[i+1]
	}
	return claims
}

// assertion is a good client assertion (RFC 7523 §3), with some claims replaced.
func (s *refusals) assertion(t testing.TB, by signer, client string, pairs ...any) string {
	t.Helper()
	now := s.Clock().Unix()
	return by.sign(t, "JWT", false, over(map[string]any{"iss": client, "sub": client, "aud": s.URL, "iat": now, "exp": now + 60, "jti": rand.Text()}, pairs...))
}

// asserted is a form with an assertion.
func asserted(assertion string, pairs ...string) url.Values {
	form := url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// proof is a good DPoP proof (RFC 9449 §4.2), with some claims replaced.
func (s *refusals) proof(t testing.TB, by signer, method, path string, pairs ...any) string {
	t.Helper()
	return by.sign(t, "dpop+jwt", true, over(map[string]any{"htm": method, "htu": s.URL + path, "iat": s.Clock().Unix(), "jti": rand.Text()}, pairs...))
}

// nonce asks for one as a client would: by a proof without.
func (s *refusals) nonce(t testing.TB, by signer) string {
	t.Helper()
	p := s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basicOf("conf", servertest.Secret), "DPoP", s.proof(t, by, "POST", "/token"))
	refused(t, "a proof without a nonce", p, "use_dpop_nonce")
	nonce := p.Header.Get("DPoP-Nonce")
	if nonce == "" {
		t.Fatal("no DPoP-Nonce")
	}
	return nonce
}

func ath(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// jkt is the thumbprint of the signer's key.
func (s signer) jkt(t testing.TB) string {
	t.Helper()
	k := s.public()
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// apply adds clients, lines of an apply file, to the site; and waits until the service knows them.
func (s *refusals) apply(t testing.TB, clients ...string) {
	t.Helper()
	text := "clients:\n"
	for _, c := range clients {
		text += "  - {" + c + "}\n"
	}
	s.ApplyFile(t, text)
	s.clock.Add(time.Second)
}

func enc(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
