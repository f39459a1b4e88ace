package oidc

import (
	"context"
	"errors"
	"net/url"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Logout is what a request to end a session asks for (OpenID Connect RP-Initiated Logout 1.0 §2).
type Logout struct {
	Client  *store.Client // nil: not told, or not known
	Back    string        // where to go afterwards, with state; empty: nowhere
	Subject user.ID       // from a good hint
	Session user.SessionID
	Fault   string // what is wrong with the request, for the application's developer; empty: nothing
}

// ReadLogout reads the parameters. A hint that this service did not sign counts as none; a post_logout_redirect_uri
// that is not registered for the client counts as none. Fault says so: what failed is not used (§4).
func (p *Provider) ReadLogout(ctx context.Context, get func(string) string) (Logout, error) {
	var out Logout
	id, token, back := client.ID(get("client_id")), get("id_token_hint"), get("post_logout_redirect_uri")
	h, hinted := p.readHint(token)
	if hinted = hinted && (id == "" || id == h.Audience); hinted {
		id = h.Audience
	} else if token != "" {
		out.Fault = foreignHint
	}
	if id == "" {
		if back != "" && out.Fault == "" {
			out.Fault = "a post_logout_redirect_uri needs an id_token_hint or a client_id beside it"
		}
		return out, nil
	}
	c, err := p.db.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Logout{Fault: "no client is registered with this client_id"}, nil
	}
	if err != nil {
		return out, err
	}
	out.Client = c
	if hinted {
		if who, session, ok := p.about(c, h); ok {
			out.Subject, out.Session = who, session
		} else {
			out.Fault = foreignHint
		}
	}
	if c.MatchPostLogout(back) {
		out.Back = (&Response{Redirect: back, Params: stateOnly(get("state"))}).Location()
	} else if back != "" && out.Fault == "" {
		out.Fault = "the post_logout_redirect_uri sent is not one of those registered for this client, compared character by character"
	}
	return out, nil
}

const foreignHint = "the id_token_hint is not an ID token that this service gave to this client"

func stateOnly(state string) map[string][]string {
	if state == "" {
		return nil
	}
	return map[string][]string{"state": {state}}
}

// maxFrames bounds the page that holds them.
const maxFrames = 50

// LogoutFrames gives the addresses at which applications that took part in a session end their own (OpenID Connect Front-Channel Logout 1.0
// §3), with iss and sid.
func (p *Provider) LogoutFrames(ctx context.Context, session user.SessionID) ([]string, error) {
	var all []client.ID
	if err := p.db.View(ctx, func(t *store.Tx) (err error) { all, err = t.Participants(session); return err }); err != nil {
		return nil, err
	}
	var frames []string
	for _, id := range all {
		c, err := p.db.Client(ctx, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && c.FrontchannelLogoutURI == "" {
			continue
		}
		if err != nil {
			return frames, err
		}
		if len(frames) < maxFrames {
			r := Response{Redirect: c.FrontchannelLogoutURI, Params: url.Values{"iss": {p.issuer}, "sid": {p.sessionFor(c, session)}}}
			frames = append(frames, r.Location())
		}
	}
	return frames, nil
}
