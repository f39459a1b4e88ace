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
}

// ReadLogout reads the parameters. A hint that this service did not sign counts as none; a post_logout_redirect_uri
// that is not registered for the client counts as none.
func (p *Provider) ReadLogout(ctx context.Context, get func(string) string) (Logout, error) {
	var out Logout
	id := client.ID(get("client_id"))
	if h, ok := p.readHint(get("id_token_hint")); ok && (id == "" || id == h.Audience) {
		id, out.Subject, out.Session = h.Audience, h.Subject, h.Session
	}
	if id == "" {
		return out, nil
	}
	c, err := p.db.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Logout{}, nil
	}
	if err != nil {
		return out, err
	}
	out.Client = c
	if back := get("post_logout_redirect_uri"); c.MatchPostLogout(back) {
		out.Back = (&Response{Redirect: back, Params: stateOnly(get("state"))}).Location()
	}
	return out, nil
}

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
			r := Response{Redirect: c.FrontchannelLogoutURI, Params: url.Values{"iss": {p.issuer}, "sid": {string(session)}}}
			frames = append(frames, r.Location())
		}
	}
	return frames, nil
}
