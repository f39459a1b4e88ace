package oidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// tokenResponse is RFC 6749 §5.1 with OpenID Connect Core §3.1.3.3.
type tokenResponse struct {
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	IssuedTokenType string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
	ExpiresIn       int64  `json:"expires_in"`
	Scope           string `json:"scope,omitempty"`
	RefreshToken    string `json:"refresh_token,omitempty"`
	IDToken         string `json:"id_token,omitempty"`
}

// Token answers the token endpoint (RFC 6749 §3.2).
func (p *Provider) Token(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	out, err := p.token(ctx, u, w, r)
	if err == nil {
		err = u.commit(ctx)
	}
	if err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (p *Provider) token(ctx context.Context, u *unit, w http.ResponseWriter, r *http.Request) (*tokenResponse, error) {
	if err := postForm(r, "resource"); err != nil {
		return nil, err
	}
	if r.PostForm.Has("audience") {
		return nil, errAudience
	}
	if err := u.proof(w, r, PathToken, ""); err != nil {
		return nil, err
	}
	u.verifier = r.PostForm.Get("code_verifier")
	if len(r.PostForm.Get("scope")) > maxScope {
		return nil, errLongScope
	}
	switch r.PostForm.Get("grant_type") {
	case client.GrantCode, client.GrantRefresh, client.GrantClientCredentials, "":
		return p.fositeToken(ctx, u, r)
	case client.GrantDevice:
		return p.deviceToken(ctx, u, r)
	case client.GrantExchange:
		if _, err := p.authenticate(ctx, r, r.PostForm); err != nil {
			return nil, err
		}
		if err := u.bound(); err != nil {
			return nil, err
		}
		return p.exchange(ctx, u, r.PostForm)
	}
	return nil, errUnsupportedGrantType
}

// fositeToken answers for the grants that fosite runs.
func (p *Provider) fositeToken(ctx context.Context, u *unit, r *http.Request) (*tokenResponse, error) {
	req, err := p.fosite.NewAccessRequest(ctx, r, &session{})
	if err != nil {
		return nil, err
	}
	if err := u.bound(); err != nil {
		return nil, err
	}
	if err := u.narrow(r.PostForm.Get("scope")); err != nil {
		return nil, err
	}
	if err := u.target(r.PostForm["resource"]); err != nil {
		return nil, err
	}
	resp, err := p.fosite.NewAccessResponse(ctx, req)
	if err != nil {
		return nil, err
	}
	refresh, _ := resp.GetExtra("refresh_token").(string)
	return p.answer(u, resp.GetAccessToken(), refresh)
}

// answer is the response with these tokens; refresh may be empty.
func (p *Provider) answer(u *unit, accessToken, refresh string) (out *tokenResponse, err error) {
	scopes := access{scopes: u.mask}.of(u.data.scopes())
	out = &tokenResponse{AccessToken: accessToken, TokenType: tokenType(u.key), ExpiresIn: int64(u.life.Seconds()), Scope: joinScopes(scopes), RefreshToken: refresh}
	if u.grant != nil && has(scopes, "openid") {
		out.IDToken, err = p.idToken(u, scopes, out.AccessToken)
	}
	return out, err
}

// narrow honours a narrower scope at refresh (RFC 6749 §6), which fosite ignores, and refuses a wider one.
func (u *unit) narrow(scope string) error {
	if u.grant == nil || u.token.kind != kindRefresh || scope == "" {
		return nil
	}
	mask, ok := narrow(u.data.scopes(), dedupe(scope), allScopes)
	if !ok {
		return fosite.ErrInvalidScope.WithHint("The scope asked for at refresh goes beyond the scope granted.")
	}
	u.mask = mask
	return nil
}

// commit writes what the request decided, in one trip: the conditional use of what was presented, and the event. If
// somebody else used it meanwhile, the family is revoked and the answer is invalid_grant.
func (u *unit) commit(ctx context.Context) error {
	event := audit.Event{Kind: audit.TokenIssued, Actor: string(u.client.ID), Client: string(u.client.ID),
		Detail: map[string]string{"scope": u.data.Scope}}
	u.certified(&event)
	was := u.grant
	err := u.p.db.Change(ctx, u.origin, func(t *store.Tx) error {
		if err := u.spend(t); err != nil {
			return err
		}
		switch {
		case u.fresh != nil:
			t.CreateGrant(*u.fresh)
			event.Subject, event.Session, event.Detail["grant"] = string(u.fresh.User), string(u.fresh.Session), u.fresh.ID
			if u.exchanged != nil {
				event.Detail["exchanged"] = u.exchanged.ID
			}
			return t.Record(event)
		case u.redeem:
			expires := u.now.Add(accessLife)
			if u.gen > 0 {
				expires = familyEnd(u.grant.Created, u.now)
			}
			t.RedeemCode(u.grant.ID, u.gen, expires)
		case u.repeat:
			event.Kind, event.Detail["repeated"] = audit.TokenRefreshed, "true"
			t.RepeatRefresh(u.grant.ID, u.gen, familyEnd(u.grant.Created, u.now))
		case u.rotate:
			event.Kind = audit.TokenRefreshed
			t.RotateRefresh(u.grant.ID, u.gen-1, familyEnd(u.grant.Created, u.now))
		default:
			return errors.New("oidc: fosite answered without using anything")
		}
		event.Subject, event.Session, event.Detail["grant"] = string(u.grant.User), string(u.grant.Session), u.grant.ID
		return t.Record(event)
	})
	if u.replayed {
		return u.spent(err)
	}
	if errors.Is(err, store.ErrConflict) && u.rotate && u.client.RefreshGrace > 0 && u.raced(ctx) {
		u.rotate, u.repeat = false, true
		return u.commit(ctx)
	}
	if errors.Is(err, store.ErrConflict) {
		return u.lost(ctx, was)
	}
	if err != nil {
		u.fault = err
	}
	return err
}

// lost says why a conditional use found nothing to use: the grant ended meanwhile, as by a sign-out or by its time, or a rival used what was
// presented, which is a replay.
func (u *unit) lost(ctx context.Context, was *store.Grant) error {
	u.grant = nil
	_ = u.loadGrant(ctx, u.token)
	switch {
	case u.fault != nil:
		return u.fault
	case u.grant == nil:
		u.grant = was
	}
	if was != nil && u.grant.Gen == was.Gen && u.grant.CodeUsed.Equal(was.CodeUsed) { // every use changes one of them
		u.reason = cmp.Or(u.reason, audit.Expired)
		return fosite.ErrInvalidGrant.WithHint("It expired or was revoked while this request was under way.")
	}
	u.reuse, u.reason = true, audit.Replayed
	return fosite.ErrInvalidGrant.WithHint("It was used by another request at the same time.")
}

// raced reports whether a rival rotated the refresh token a moment ago, so that this request may have the same successor.
func (u *unit) raced(ctx context.Context) bool {
	was := u.grant.Gen
	u.grant = nil
	return u.loadGrant(ctx, u.token) == nil && u.grant.Gen == was+1 && u.graced()
}

// refuseToken records a refusal and what it takes along, then answers. A refusal that cannot be recorded is an outage. A device that is told
// to wait was refused nothing.
func (p *Provider) refuseToken(ctx context.Context, w http.ResponseWriter, u *unit, err error) {
	if u.fault == nil && !waits(err) {
		u.fault = u.recordRefusal(ctx, err)
	}
	if u.fault != nil {
		p.writeFault(w, u.fault)
		return
	}
	writeError(w, err)
}

// recordRefusal writes the event of a refused token request. A used code or refresh token that comes again takes its
// family with it (RFC 6749 §4.1.2, RFC 9700 §4.14.2), and so does a code or refresh token that a client presents although
// it is not its own, or a code with a wrong verifier or redirect URI: it is in the wrong hands. See burns.
func (u *unit) recordRefusal(ctx context.Context, why error) error {
	event := audit.Event{Kind: audit.TokenRefused, Outcome: audit.Refused, Reason: u.reason, Detail: map[string]string{"error": publicError(why)}}
	if hint := keptHint(why); hint != "" {
		event.Detail["hint"] = hint
	}
	if u.client != nil {
		event.Client = string(u.client.ID)
	}
	u.certified(&event)
	if event.Reason == "" {
		event.Reason = audit.BadRequest
	}
	burn := false
	if u.grant != nil {
		event.Subject, event.Session, event.Detail["grant"] = string(u.grant.User), string(u.grant.Session), u.grant.ID
		burn = u.burns()
		switch {
		case u.reuse && u.token.kind != kindRefresh:
			event.Kind = audit.CodeReplayed
		case u.reuse:
			event.Kind = audit.TokenReplayed
		case u.token.kind == kindCode && u.reason == "" && u.data.Challenge != "":
			event.Reason = audit.WrongVerifier
		}
	}
	return u.p.db.Change(ctx, u.origin, func(t *store.Tx) error {
		if burn {
			if _, err := t.RevokeGrant(u.grant.ID); err != nil {
				return err
			}
		}
		return t.Record(event)
	})
}

// burns says whether a refusal takes the family with it. Codes pass through browsers and stay in
// their histories, so a used one ends nothing when it comes from somebody who proves nothing: a public client without the
// right verifier.
func (u *unit) burns() bool {
	switch {
	case u.replayed: // an assertion or proof that came again says nothing of what came with it
		return false
	case u.token.kind == kindAccess: // of a token exchange
		return false
	case u.token.kind == kindRefresh:
		return u.reuse || u.reason == audit.WrongClient
	case u.token.kind == kindDevice: // it passes through no browser
		return true
	}
	sum := sha256.Sum256([]byte(u.verifier))
	verified := u.data.Challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) == u.data.Challenge
	own := u.client != nil && u.client.ID == u.grant.Client
	return !u.reuse || u.client != nil && !u.client.Public() || own && verified
}

func has(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
