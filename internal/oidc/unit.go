package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// unit is the work of one request. It rides in the context through fosite, which asks for and stores many things that
// are all views of one grant: read at most once, written at most once by commit.
type unit struct {
	p      *Provider
	origin audit.Origin
	now    time.Time
	client *store.Client // authenticated, or named by an authorization request

	key           thumbprint // of the DPoP proof
	authenticated bool
	certificate   string // thumbprint of the one that the client showed, if it is registered for tls_client_auth
	once          []once // what the request brought that counts a single time
	replayed      bool   // and does not any more

	token wire         // what was presented
	grant *store.Grant // what it names, with data decoded
	data  grantData
	owner *store.Client   // whose grant it is, once resolve has found it to count
	shown *fosite.Request // the grant as fosite sees it

	verifier string // that came with the code

	fresh     *store.Grant  // to be created
	exchanged *store.Grant  // what it is made of in a token exchange
	redeem    bool          // the code is to be used
	rotate    bool          // the refresh token is to be rotated
	gen       int64         // generation of the new refresh token; 0: none
	repeat    bool          // the refresh token that follows was given out before: in the grace of a lost answer, or because the client's do not rotate
	most      time.Duration // that an access token may live
	life      time.Duration // of the new one
	mask      uint16        // scopes of the new access token among the grant's
	parts     uint16        // and its resources
	reuse     bool          // something used was presented again: the family is to be revoked
	reason    audit.Reason  // why the presented token does not count

	audience []string // resources that are asked for, or that the new access token is for; none: none in particular

	fault error // of the store; outranks whatever fosite makes of it
}

type unitKey struct{}

func (p *Provider) begin(ctx context.Context, o audit.Origin) (context.Context, *unit) {
	u := &unit{p: p, origin: o, now: p.db.Now(), mask: allScopes, parts: allResources, most: accessLife}
	return context.WithValue(ctx, unitKey{}, u), u
}

func unitOf(ctx context.Context) *unit { return ctx.Value(unitKey{}).(*unit) }

// grantData is what a grant freezes of its request, as JSON in its row.
type grantData struct {
	Scope     string        `json:"s,omitempty"`
	Redirect  string        `json:"r,omitempty"`
	Challenge string        `json:"c,omitempty"`
	Nonce     string        `json:"n,omitempty"`
	AuthTime  int64         `json:"t,omitempty"`
	Proved    []user.Method `json:"p,omitempty"`
	Actor     *actor        `json:"x,omitempty"`  // of a token exchange (RFC 8693 §4.1)
	From      string        `json:"f,omitempty"`  // the grant of the token that was exchanged
	Key       string        `json:"k,omitempty"`  // dpop_jkt: whose key the code is bound to (RFC 9449 §10)
	Resources []string      `json:"a,omitempty"`  // RFC 8707
	InID      string        `json:"ci,omitempty"` // claims that the parameter claims brings into the ID token
	InInfo    string        `json:"cu,omitempty"` // and to the userinfo endpoint
	Device    bool          `json:"d,omitempty"`  // a person approved it for a device (RFC 8628)
	Trial     client.Fault  `json:"z,omitempty"`  // what is to be wrong with the answers, on purpose
}

func (d grantData) scopes() []string { return strings.Fields(d.Scope) }

func (d grantData) encode() string {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	return string(b)
}

// load reads the grant that a presented token names. It gives fosite.ErrNotFound, with the reason noted, for what does
// not count, and keeps faults of the store to itself.
func (u *unit) load(ctx context.Context, presented string, want kind) error {
	if u.fault != nil {
		return u.fault
	}
	w, ok := u.p.minter.read(presented)
	if !ok || w.kind != want {
		return u.refuse(audit.BadRequest)
	}
	return u.loadGrant(ctx, w)
}

// loadGrant is load for a token that was read.
func (u *unit) loadGrant(ctx context.Context, w wire) error {
	if u.grant != nil && w == u.token {
		return nil
	}
	u.token = w
	err := u.p.db.View(ctx, func(t *store.Tx) error {
		g, err := t.GrantByID(w.grant)
		if err != nil {
			return err
		}
		u.grant = &g
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return u.refuse(audit.Expired)
	case err != nil:
		u.fault = err
		return err
	}
	if err := json.Unmarshal([]byte(u.grant.Data), &u.data); err != nil {
		u.fault = fmt.Errorf("oidc: grant %s is damaged: %w", w.grant, err)
		return u.fault
	}
	return u.standing()
}

// standing says whether the loaded grant still counts: not revoked, its person neither gone nor disabled, its session
// not ended.
func (u *unit) standing() error {
	g := u.grant
	switch {
	case !g.Revoked.IsZero():
		return u.refuse(audit.Revoked)
	case g.User != "" && g.Person == nil, g.SessionEnded:
		return u.refuse(audit.Revoked)
	case g.Person != nil && g.Person.Disabled():
		return u.refuse(audit.Disabled)
	case u.client != nil && u.client.ID == g.Client && !u.allowed(u.client):
		return u.refuse(audit.NotAllowed)
	}
	return nil
}

// allowed reports whether what the loaded grant came of would be enough for its client c now: a person's groups and the class of their
// sign-in may have been, and are not any more.
func (u *unit) allowed(c *store.Client) bool { return mayUse(c, u.grant.Person, u.data.Proved) }

// mayUse reports whether a person who proved this may use c now; nobody is c itself.
func mayUse(c *store.Client, p *store.Person, proved []user.Method) bool {
	return p == nil || c.AllowedFor(p.Groups) && user.Level(proved).Meets(user.ACR(c.MinimumACR))
}

func (u *unit) refuse(r audit.Reason) error {
	u.reason = r
	return fosite.ErrNotFound
}

// requester shows the loaded grant as the request that fosite once gave away.
func (u *unit) requester() fosite.Requester {
	if u.shown != nil {
		return u.shown
	}
	c := u.client
	if c == nil || c.ID != u.grant.Client {
		c = &store.Client{Client: client.Client{ID: u.grant.Client}} // fosite compares the ids and refuses
		u.reason = audit.WrongClient
	}
	form := url.Values{}
	if u.data.Redirect != "" {
		form["redirect_uri"] = []string{u.data.Redirect}
	}
	if u.data.Challenge != "" {
		form["code_challenge"], form["code_challenge_method"] = []string{u.data.Challenge}, []string{"S256"}
	}
	scopes := u.data.scopes()
	u.shown = &fosite.Request{ID: u.grant.ID, Client: requesting{c}, Form: form, RequestedScope: scopes, GrantedScope: scopes,
		Session: &session{subject: string(u.grant.User)}}
	return u.shown
}

// session is fosite's idea of a session: nothing of it is stored, lifetimes are the provider's.
type session struct{ subject string }

func (s *session) SetExpiresAt(fosite.TokenType, time.Time)        {}
func (s *session) GetExpiresAt(fosite.TokenType) (never time.Time) { return }
func (s *session) GetUsername() string                             { return "" }
func (s *session) GetSubject() string                              { return s.subject }
func (s *session) Clone() fosite.Session                           { return s }

// familyEnd is when a refresh token that is used now dies if it is not used again.
func familyEnd(born, now time.Time) time.Time {
	idle, whole := now.Add(refreshIdle), born.Add(familyLife)
	if whole.Before(idle) {
		return whole
	}
	return idle
}
