package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// UserInfo answers with the claims of the token's scopes (OpenID Connect Core §5.3). The token comes in the
// Authorization header, or in the body of a POST (RFC 6750 §2.1, §2.2), never in the URL.
func (p *Provider) UserInfo(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	scheme, token, ok := presented(r)
	if !ok {
		w.Header()["Www-Authenticate"] = []string{`Bearer realm="portvakt"`, dpopChallenge}
		writeJSON(w, http.StatusUnauthorized, wireError{"invalid_token", "An access token is needed in the Authorization header."})
		return
	}
	ctx, u := p.begin(r.Context(), o)
	scopes, active := u.resolve(ctx, token)
	var err error
	if active && u.fault == nil {
		err = u.held(ctx, w, r, scheme, token)
	}
	switch {
	case u.fault != nil:
		p.writeFault(w, u.fault)
	case err != nil:
		challenge(w, http.StatusUnauthorized, scheme, publicError(err), describe(err))
	case !active || u.token.kind != kindAccess || u.grant.Person == nil:
		challenge(w, http.StatusUnauthorized, scheme, "invalid_token", "The access token has expired, was revoked or is not one.")
	case !u.forUserInfo():
		challenge(w, http.StatusUnauthorized, scheme, "invalid_token", "The access token is for other resources. Ask for one without resource, or with "+p.issuer+" among them.")
	case !has(scopes, "openid"):
		challenge(w, http.StatusForbidden, scheme, "insufficient_scope", "The access token lacks the scope openid.")
	case u.data.Trial != "" && u.wentOn(ctx) != nil:
		p.writeFault(w, u.fault)
	default:
		p.answerUserInfo(w, u, scopes)
	}
}

// forUserInfo reports whether the loaded access token is for this service: for nothing in particular, or for the issuer among the resources that it
// is for. Who is given a token for another resource, and takes it here, would learn what it was not meant to (RFC 9700 §2.3, RFC 8707 §3).
func (u *unit) forUserInfo() bool {
	wanted := unpackAccess(u.token.more).at(u.data.Resources)
	return len(wanted) == 0 || has(wanted, u.p.issuer)
}

// userInfo is what the userinfo endpoint says. Class and time of the sign-in are there for who asks (OpenID Connect Core §5.5).
type userInfo struct {
	Subject  string   `json:"sub"`
	AuthTime int64    `json:"auth_time,omitempty"`
	ACR      user.ACR `json:"acr,omitempty"`
	personClaims
}

func (p *Provider) answerUserInfo(w http.ResponseWriter, u *unit, scopes []string) {
	out := userInfo{Subject: p.subjectFor(u.owner, u.grant.User)}
	single := u.single(u.owner, scopes, u.data.InInfo)
	if has(single, "auth_time") {
		out.AuthTime = u.data.AuthTime
	}
	if has(single, "acr") {
		out.ACR = user.Level(u.data.Proved)
	}
	var err error
	if out.personClaims, err = releasedTo(scopes, single, u.grant.Person); err != nil {
		p.writeFault(w, err)
		return
	}
	if u.owner.UserInfoAlg != "" {
		p.signedUserInfo(w, u, out)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// userInfoType keeps a signed answer from being taken for an ID token, here and by applications (RFC 8725 §3.11).
const userInfoType = "userinfo+jwt"

// signedUserInfo answers a client that is registered for it with a JWT (OpenID Connect Core §5.3.2).
func (p *Provider) signedUserInfo(w http.ResponseWriter, u *unit, out userInfo) {
	body, err := json.Marshal(struct {
		Issuer   string    `json:"iss"`
		Audience client.ID `json:"aud"`
		userInfo
	}{p.issuer, u.owner.ID, out})
	var token string
	if err == nil {
		token, err = p.ring.Sign(u.owner.UserInfoAlg, userInfoType, body)
	}
	if err != nil {
		p.writeFault(w, err)
		return
	}
	writeJWT(w, "application/jwt", token)
}

const dpopChallenge = `DPoP algs="EdDSA ES256 PS256 RS256"` // RFC 9449 §7.1

// held says whether who presents the loaded access token holds the key that it is bound to (RFC 9449 §7.1). A token that is bound to none needs
// no proof, and one that is bound is nothing without.
func (u *unit) held(ctx context.Context, w http.ResponseWriter, r *http.Request, scheme, token string) error {
	if (scheme == "DPoP") != (u.token.key != (thumbprint{})) {
		return errInvalidToken.WithHint("The scheme of the Authorization header is not that of the access token: DPoP for one that is bound to a key, else Bearer.")
	}
	if scheme != "DPoP" {
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	if err := u.proof(w, r, PathUserInfo, rawURL.EncodeToString(sum[:])); err != nil {
		return err
	}
	if u.key != u.token.key {
		return errInvalidToken.WithHint("The access token is bound to another key than that of the DPoP proof, or there is no proof.")
	}
	return u.spendNow(ctx)
}

var errInvalidToken = &fosite.RFC6749Error{ErrorField: "invalid_token", CodeField: http.StatusUnauthorized}

// challenge answers as RFC 6750 §3 and RFC 9449 §7.1 have it.
func challenge(w http.ResponseWriter, status int, scheme, code, description string) {
	text := scheme + ` realm="portvakt", error="` + code + `", error_description="` + description + `"`
	if scheme == "DPoP" {
		text = dpopChallenge + `, error="` + code + `", error_description="` + description + `"`
	}
	w.Header().Set("WWW-Authenticate", text)
	writeJSON(w, status, wireError{code, description})
}

// presented gives the access token of a request, and the scheme by which it came.
func presented(r *http.Request) (scheme, token string, ok bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, ok = strings.Cut(h, " ")
		for _, known := range []string{"Bearer", "DPoP"} {
			if strings.EqualFold(scheme, known) {
				return known, token, ok && token != ""
			}
		}
		return "", "", false
	}
	if r.Method != http.MethodPost || postForm(r) != nil {
		return "", "", false
	}
	token = r.PostForm.Get("access_token")
	return "Bearer", token, token != ""
}

// Revoke ends the family of a token that its own client gives back (RFC 7009). A token that is not this client's, or
// not one at all, is answered with 200 and left alone (§2.2). A fault of the store is a 503: the token may still live.
func (p *Provider) Revoke(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	err := p.authenticateForm(ctx, u, r)
	if err == nil {
		err = u.spendNow(ctx)
	}
	if err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	if wanted, ok := p.readToken(r.PostForm.Get("token")); ok && wanted.kind.token() {
		_ = u.loadGrant(ctx, wanted) // one that does not count now may count again later: its person may be let in anew
		if u.fault == nil && u.grant != nil && u.grant.Client == u.client.ID {
			u.fault = u.giveBack(ctx)
		}
	}
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	w.Header()["Cache-Control"] = noStore
	w.WriteHeader(http.StatusOK)
}

// giveBack revokes the grant and records it; a grant that somebody else revoked meanwhile needs no second event.
func (u *unit) giveBack(ctx context.Context) error {
	event := audit.Event{Kind: audit.TokenRevoked, Actor: string(u.client.ID), Client: string(u.client.ID), Subject: string(u.grant.User),
		Session: string(u.grant.Session), Detail: map[string]string{"grant": u.grant.ID}}
	u.certified(&event)
	err := u.p.db.Change(ctx, u.origin, func(t *store.Tx) error {
		done, err := t.RevokeGrant(u.grant.ID)
		if err != nil {
			return err
		}
		if !done {
			return store.ErrConflict
		}
		return t.Record(event)
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// ready marshals a document once.
func ready(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and lists always marshal
	}
	return b
}
