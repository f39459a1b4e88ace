package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/jose"
)

var rawURL = base64.RawURLEncoding.Strict()

const (
	proofAge    = time.Minute      // of a DPoP proof, by its iat
	nonceWindow = 2 * time.Minute  // a nonce lives through its window and the next
	onceFor     = 10 * time.Minute // a jti is remembered: longer than any proof lives
)

var (
	errProof = &fosite.RFC6749Error{ErrorField: "invalid_dpop_proof", CodeField: http.StatusBadRequest} // RFC 9449 §5
	errNonce = &fosite.RFC6749Error{ErrorField: "use_dpop_nonce", CodeField: http.StatusBadRequest,     // RFC 9449 §8
		DescriptionField: "The DPoP proof needs the nonce of the header DPoP-Nonce."}
	errProofMissing  = errProof.WithHint("This client's tokens are bound to a key; send a DPoP proof (RFC 9449).")
	errProofReplayed = errProof.WithHint("The DPoP proof was used before; sign a new one, with a new jti, for each request.")
	errOtherKey      = fosite.ErrInvalidGrant.WithHint("It is bound to another DPoP key.")
)

// thumbprint is that of a DPoP key (RFC 7638, SHA-256); zero: none.
type thumbprint [sha256.Size]byte

func (t thumbprint) String() string { return rawURL.EncodeToString(t[:]) }

// readThumbprint reads what a request or a proof names.
func readThumbprint(text string) (t thumbprint, ok bool) {
	b, err := rawURL.DecodeString(text)
	return t, err == nil && len(text) == 43 && copy(t[:], b) == len(t)
}

// proof reads the DPoP proof of a request, if it has one, and checks it (RFC 9449 §4.3). ath is the hash of the access token that comes with it;
// empty where none does. The proof's jti is used up by spend.
func (u *unit) proof(w http.ResponseWriter, r *http.Request, path, ath string) error {
	all := r.Header["Dpop"] // as net/http spells it; to ask for "DPoP" costs an allocation
	if len(all) == 0 {
		return nil
	}
	w.Header().Set("DPoP-Nonce", u.p.nonce(u.now))
	if len(all) > 1 {
		return errProof.WithHint("There is more than one DPoP header.")
	}
	proof, err := jose.ParseProof(all[0])
	if err == nil {
		err = proof.Check(r.Method, u.p.issuer+path, u.now, proofAge)
	}
	if err != nil {
		return errProof.WithHintf("The DPoP proof does not count: %s.", strings.TrimPrefix(err.Error(), "jose: token refused: "))
	}
	if proof.AccessTokenHash != ath {
		return errProof.WithHint("The ath of the DPoP proof is not the hash of the access token that came with it.")
	}
	if !u.p.goodNonce(proof.Nonce, u.now) {
		return errNonce
	}
	key, ok := readThumbprint(proof.JKT)
	if !ok {
		return errors.New("oidc: a thumbprint is no SHA-256 hash")
	}
	u.key = key
	u.once = append(u.once, onceOf("dpop", proof.JKT, proof.JTI, u.now.Add(onceFor), errProofReplayed))
	return nil
}

// nonce is what DPoP proofs have to carry now. It names a window of time, so that no instance has to remember any.
func (p *Provider) nonce(now time.Time) string {
	return p.nonceOf(now.Unix() / int64(nonceWindow.Seconds()))
}

func (p *Provider) nonceOf(window int64) string {
	var raw [8 + sha256.Size]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(window))
	p.nonces.mac(raw[:8], raw[:8])
	return rawURL.EncodeToString(raw[:24]) // 128 bits of the MAC
}

func (p *Provider) goodNonce(nonce string, now time.Time) bool {
	window := now.Unix() / int64(nonceWindow.Seconds())
	return hmac.Equal([]byte(nonce), []byte(p.nonceOf(window))) || hmac.Equal([]byte(nonce), []byte(p.nonceOf(window-1)))
}

// bound holds the key of the request against what is bound to one: the code, by dpop_jkt, and the refresh token of a public client (RFC 9449
// §5, §10). Those of a confidential client are bound to the client, which may change its key.
func (u *unit) bound() error {
	if u.client.DPoPBound && u.key == (thumbprint{}) {
		u.reason = audit.BadRequest
		return errProofMissing
	}
	if u.grant == nil {
		return nil
	}
	wanted := u.token.key
	if u.token.kind == kindCode && u.data.Key != "" {
		var ok bool
		if wanted, ok = readThumbprint(u.data.Key); !ok {
			return errOtherKey
		}
	}
	if wanted != (thumbprint{}) && wanted != u.key {
		u.reason = audit.WrongVerifier
		return errOtherKey
	}
	return nil
}
