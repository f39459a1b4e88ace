package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// requesting shows a registration to fosite.
type requesting struct{ c *store.Client }

func (r requesting) GetID() string             { return string(r.c.ID) }
func (r requesting) GetHashedSecret() []byte   { return nil } // authenticate compares
func (r requesting) GetRedirectURIs() []string { return r.c.RedirectURIs }
func (r requesting) GetGrantTypes() fosite.Arguments {
	return r.c.GrantTypes
}
func (r requesting) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (r requesting) GetScopes() fosite.Arguments        { return r.c.Granted }
func (r requesting) IsPublic() bool                     { return r.c.Public() }
func (r requesting) GetAudience() fosite.Arguments      { return nil }

// GetResponseModes implements fosite.ResponseModeClient.
func (r requesting) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{fosite.ResponseModeQuery, fosite.ResponseModeFormPost}
}

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }

// SecretMAC is how a client secret stands in its row: an HMAC under a key of the keyring, so that a stolen database does
// not let anybody try secrets.
func (p *Provider) SecretMAC(secret string) []byte { return p.secrets.mac(nil, []byte(secret)) }

// credentials are what a client presented, and by which method.
type credentials struct {
	id, secret string
	method     string
}

// readCredentials finds them in the header or the body, never in the URL (RFC 6749 §2.3.1).
func readCredentials(r *http.Request, form url.Values) (credentials, error) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return credentials{}, fosite.ErrInvalidClient.WithHint("Client assertions are not supported; authenticate with the registered method.")
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		if form.Has("client_secret") {
			return credentials{id, secret, client.AuthPost}, nil
		}
		return credentials{id, "", client.AuthNone}, nil
	}
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok {
		return credentials{}, fosite.ErrInvalidClient.WithHint("The Authorization header is not HTTP Basic.")
	}
	if form.Has("client_secret") {
		return credentials{}, fosite.ErrInvalidRequest.WithHint("The client authenticates twice, in the header and in the body; use one.")
	}
	basicID, err := url.QueryUnescape(rawID)
	if err != nil {
		return credentials{}, fosite.ErrInvalidClient.WithHint("The client id in the Authorization header is not form-encoded (RFC 6749 §2.3.1).")
	}
	basicSecret, err := url.QueryUnescape(rawSecret)
	if err != nil {
		return credentials{}, fosite.ErrInvalidClient.WithHint("The client secret in the Authorization header is not form-encoded (RFC 6749 §2.3.1).")
	}
	if id != "" && id != basicID {
		return credentials{}, fosite.ErrInvalidRequest.WithHint("The client ids in the header and in the body differ.")
	}
	return credentials{basicID, basicSecret, client.AuthBasic}, nil
}

// authenticate implements fosite.ClientAuthenticationStrategy: exactly the registered method, and the same work for a
// client that does not exist.
func (p *Provider) authenticate(ctx context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	u := unitOf(ctx)
	got, err := readCredentials(r, form)
	if err != nil {
		u.reason = audit.BadRequest
		return nil, err
	}
	c, err := p.db.Client(ctx, client.ID(got.id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		u.fault = err
		return nil, err
	}
	present, want := p.SecretMAC(got.secret), make([]byte, sha256.Size)
	if c != nil {
		u.client = c
		copy(want, c.Secret)
	}
	right := hmac.Equal(present, want)
	switch {
	case c == nil:
		u.reason = audit.UnknownClient
	case got.method != c.AuthMethod:
		u.reason = audit.WrongSecret
	case got.method == client.AuthNone && len(c.Secret) == 0, got.method != client.AuthNone && got.secret != "" && len(c.Secret) > 0 && right:
		return requesting{c}, nil
	default:
		u.reason = audit.WrongSecret
	}
	return nil, fosite.ErrInvalidClient.WithHint("The client is unknown, or its secret or its way of authenticating is not the registered one.")
}
