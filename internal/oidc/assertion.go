package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/jose"
	"github.com/portvakt/portvakt/internal/store"
)

var (
	errReplayedAssertion = fosite.ErrInvalidClient.WithHint("The client assertion was used before; sign a new one, with a new jti, for each request.")
	errNoKeys            = &fosite.RFC6749Error{ErrorField: "temporarily_unavailable", CodeField: http.StatusServiceUnavailable,
		DescriptionField: "The keys at the client's jwks_uri cannot be fetched; see that the address answers with a key set within a second."}
)

// recordTime is what a request keeps of its time while it waits for keys, so that its refusal can be put on record.
const recordTime = 700 * time.Millisecond

// readAssertion finds out whose assertion it is. What it says of itself counts only when its signature is right.
func readAssertion(form url.Values) (credentials, error) {
	assertion := form.Get("client_assertion")
	if form.Get("client_assertion_type") != assertionType || assertion == "" {
		return credentials{}, fosite.ErrInvalidClient.WithHint("A client assertion needs client_assertion and client_assertion_type=" + assertionType + " (RFC 7523 §2.2).")
	}
	id := form.Get("client_id")
	if id == "" {
		id = saidSubject(assertion)
	}
	return credentials{id: id, assertion: assertion, method: client.AuthPrivateKey}, nil
}

// saidSubject is the sub of an assertion that is not verified yet, to know whose keys to take.
func saidSubject(assertion string) string {
	_, rest, _ := strings.Cut(assertion, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var said struct {
		Subject string `json:"sub"`
	}
	body, err := rawURL.DecodeString(payload)
	if err != nil || len(body) > maxParameter || json.Unmarshal(body, &said) != nil {
		return ""
	}
	return said.Subject
}

// checkAssertion verifies the assertion of a client that is registered for private_key_jwt (RFC 7523 §3). Its jti is used up by spend, with what
// the request decides. The audience is the issuer, or, as OpenID Connect Core §9 has it, the token endpoint; for a client that has to push its
// requests it is the issuer alone and RS256 is out (FAPI 2.0 Security Profile §5.3.2.1, §5.4).
func (p *Provider) checkAssertion(ctx context.Context, u *unit, assertion string) error {
	c := u.client
	algs, audiences := jose.Algs(), []string{p.issuer, p.issuer + PathToken}
	if c.RequirePAR {
		algs, audiences = slices.DeleteFunc(algs, func(alg string) bool { return alg == "RS256" }), audiences[:1]
	}
	if c.AuthSigningAlg != "" {
		algs = []string{c.AuthSigningAlg}
	}
	claims, err := p.verifyOf(ctx, c, assertion, jose.Want{Algs: algs, Typs: []string{"", "JWT", "client-authentication+jwt"}})
	if errors.Is(err, jose.ErrUnreachable) {
		return errNoKeys
	}
	if err == nil {
		var jti string
		var until time.Time
		jti, until, err = jose.CheckAssertion(claims, jose.WantAssertion{Client: string(c.ID), Audiences: audiences, Now: u.now})
		if err == nil {
			u.once = append(u.once, onceOf("assertion", string(c.ID), jti, until, errReplayedAssertion))
			return nil
		}
	}
	return fosite.ErrInvalidClient.WithHintf("The client assertion does not count: %s.", strings.TrimPrefix(err.Error(), "jose: token refused: "))
}

// verifyOf verifies what a client signed, by its keys.
func (p *Provider) verifyOf(ctx context.Context, c *store.Client, token string, want jose.Want) ([]byte, error) {
	if c.JWKSURI != "" {
		if end, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, end.Add(-recordTime))
			defer cancel()
		}
		claims, _, err := p.remote.Verify(ctx, c.JWKSURI, p.reach(c), token, want)
		return claims, err
	}
	keys, err := jose.ParseKeys([]byte(c.JWKS))
	if err != nil {
		return nil, err
	}
	claims, _, err := keys.Verify(token, want)
	return claims, err
}

// once is something that counts a single time, and how the second use is refused.
type once struct {
	id      []byte
	until   time.Time
	refusal error
}

func onceOf(what, whose, id string, until time.Time, refusal error) once {
	sum := sha256.Sum256([]byte(what + "\n" + whose + "\n" + id))
	return once{sum[:], until, refusal}
}

// spend uses up what the request brought that counts once, in the unit that writes what the request decides.
func (u *unit) spend(t *store.Tx) error {
	for _, o := range u.once {
		err := t.UseOnce(o.id, o.until)
		if errors.Is(err, store.ErrUsed) {
			u.replayed = true
			return o.refusal
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spendNow is spend for a request that writes nothing else.
func (u *unit) spendNow(ctx context.Context) error {
	if len(u.once) == 0 {
		return nil
	}
	err := u.p.db.Housekeep(ctx, u.spend)
	return u.spent(err)
}

// spent tells a refusal of spend from a fault.
func (u *unit) spent(err error) error {
	switch {
	case err == nil:
	case u.replayed:
		u.reason = audit.Replayed
	default:
		u.fault = err
	}
	return err
}
