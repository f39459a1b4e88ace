package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// A trial is a sign-in to a test client that is answered with one deliberate fault, because its owner asked for that: for themselves, for their
// next sign-in, within 10 minutes (package apps). What is named in place of the right thing can be nobody: no client has an id with a colon, and
// .invalid is nobody's host (RFC 6761 §6.4). Whatever is signed by another key is signed by one that is made for it and then forgotten.
const (
	trialIssuer   = "https://another-issuer.invalid"
	trialAudience = client.ID("urn:portvakt:trial:another-client")
)

// trial lets the sign-in take a fault that waits for it. Only a test client has any.
func (a *asked) trial(t *store.Tx) error {
	a.data.Trial = ""
	if !a.client.Test {
		return nil
	}
	fault, err := t.TakeTrial(a.client.ID, a.fresh.User, a.fresh.ID)
	if err != nil || fault == "" {
		return err
	}
	a.data.Trial = fault
	a.fresh.Data = a.data.encode()
	return t.Record(audit.Event{Kind: audit.TrialFaulted, Actor: string(a.fresh.User), Subject: string(a.fresh.User), Client: string(a.client.ID),
		Session: string(a.fresh.Session), Detail: map[string]string{"fault": string(fault), "grant": a.fresh.ID}})
}

// spoil puts the fault into the response, if that is where it is.
func (a *asked) spoil(r *Response) {
	switch a.data.Trial {
	case client.FaultState:
		r.Params.Set("state", rand.Text())
	case client.FaultResponse:
		r.Params.Set("iss", trialIssuer)
	}
}

// tried reports whether the ID token is to have a fault: that of the code alone, for a client that still is a test client.
func (u *unit) tried() bool {
	return u.data.Trial != "" && !u.data.Trial.InResponse() && u.token.kind == kindCode && u.client.Test
}

// wentOn notes that a client went on after a faulty answer. Nobody audits that: it is told when the trial is judged.
func (u *unit) wentOn(ctx context.Context) error {
	u.fault = u.p.db.Housekeep(ctx, func(t *store.Tx) error { t.UseTrial(u.grant.ID); return nil })
	return u.fault
}

// faultyIDToken is the ID token of c with the fault of its trial.
func (p *Provider) faultyIDToken(u *unit, c idClaims) (string, error) {
	switch u.data.Trial {
	case client.FaultNonce:
		c.Nonce = rand.Text()
	case client.FaultIssuer:
		c.Issuer = trialIssuer
	case client.FaultAudience:
		c.Audience = trialAudience
	case client.FaultExpired:
		long := int64(24 * time.Hour / time.Second)
		c.Issued, c.Expires, c.AuthTime = c.Issued-long, c.Expires-long, c.AuthTime-long
	case client.FaultAtHash:
		c.AtHash = accessTokenHash(u.client.SigningAlg, rand.Text())
	}
	good, err := p.signID(u, c)
	if err != nil {
		return "", err
	}
	parts := strings.Split(good, ".")
	switch u.data.Trial {
	case client.FaultNone:
		return rawURL.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".", nil
	case client.FaultKey:
		return forge(u.client.SigningAlg, rand.Text(), "JWT", parts[1])
	case client.FaultSignature:
		return forge(u.client.SigningAlg, keyOf(parts[0]), "JWT", parts[1])
	}
	return good, nil
}

// keyOf is the kid of an encoded header.
func keyOf(header string) string {
	var h struct {
		Kid string `json:"kid"`
	}
	raw, err := rawURL.DecodeString(header)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		return ""
	}
	return h.Kid
}

// FaultyLogout sends a test client a logout token of a person's session with one deliberate fault, and gives the status of the answer; 0: there was
// none, or what has to come first was not taken. Any other client, and one without a backchannel_logout_uri, is sent nothing.
func (p *Provider) FaultyLogout(ctx context.Context, id client.ID, person user.ID, sid user.SessionID, f client.Fault) (int, error) {
	c, err := p.db.Client(ctx, id)
	if err != nil || !c.Test || c.BackchannelLogoutURI == "" {
		return 0, err
	}
	token, err := p.faultyLogoutToken(c, person, sid, f)
	if err != nil {
		return 0, err
	}
	send := func() int {
		status, err := p.fetch.PostForm(ctx, c.BackchannelLogoutURI, p.reach(c), url.Values{"logout_token": {token}})
		if err != nil {
			return 0
		}
		return status
	}
	status := send()
	if f == client.FaultLogoutReplayed {
		if status < 200 || status > 299 {
			return 0, nil
		}
		status = send()
	}
	return status, nil
}

func (p *Provider) faultyLogoutToken(c *store.Client, person user.ID, sid user.SessionID, f client.Fault) (string, error) {
	now := p.db.Now()
	claims := map[string]any{"iss": p.issuer, "sub": p.subjectFor(c, person), "aud": c.ID, "iat": now.Unix(), "exp": now.Add(logoutLife).Unix(), "jti": rand.Text(),
		"events": map[string]struct{}{logoutEvent: {}}, "sid": p.sessionFor(c, sid)}
	switch f {
	case client.FaultLogoutIssuer:
		claims["iss"] = trialIssuer
	case client.FaultLogoutAudience:
		claims["aud"] = trialAudience
	case client.FaultLogoutExpired:
		claims["iat"], claims["exp"] = now.Add(-24*time.Hour).Unix(), now.Add(-23*time.Hour).Unix()
	case client.FaultLogoutEvents:
		claims["events"] = map[string]struct{}{"https://another-event.invalid": {}}
	case client.FaultLogoutNonce:
		claims["nonce"] = rand.Text()
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if f == client.FaultLogoutKey {
		return forge(c.SigningAlg, rand.Text(), "logout+jwt", rawURL.EncodeToString(body))
	}
	return p.ring.Sign(c.SigningAlg, "logout+jwt", body)
}

// forge signs an encoded payload with a key that nobody else has, under a kid.
func forge(alg, kid, typ, payload string) (string, error) {
	var key crypto.Signer
	var err error
	switch alg {
	case "RS256", "PS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("oidc: no trial signs with %.20q", alg)
	}
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	body, err := rawURL.DecodeString(payload)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
