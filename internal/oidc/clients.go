package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

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

// credentials are what a client presented, and by which method. assertion is the one of private_key_jwt.
type credentials struct {
	id, secret, assertion string
	method                string
}

// assertionType is RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// readCredentials finds them in the header or the body, never in the URL (RFC 6749 §2.3.1), and one way alone.
func readCredentials(r *http.Request, form url.Values) (credentials, error) {
	header, asserted := r.Header.Get("Authorization"), form.Has("client_assertion") || form.Has("client_assertion_type")
	ways := 0
	for _, way := range []bool{header != "", form.Has("client_secret"), asserted} {
		if way {
			ways++
		}
	}
	switch {
	case ways > 1:
		return credentials{}, fosite.ErrInvalidRequest.WithHint("The client authenticates twice; use the one method that is registered (RFC 6749 §2.3).")
	case asserted:
		return readAssertion(form)
	case header != "":
		return readBasic(r, form.Get("client_id"))
	case form.Has("client_secret"):
		return credentials{id: form.Get("client_id"), secret: form.Get("client_secret"), method: client.AuthPost}, nil
	}
	return credentials{id: form.Get("client_id"), method: client.AuthNone}, nil
}

func readBasic(r *http.Request, id string) (credentials, error) {
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok {
		return credentials{}, fosite.ErrInvalidClient.WithHint("The Authorization header is not HTTP Basic.")
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
	return credentials{id: basicID, secret: basicSecret, method: client.AuthBasic}, nil
}

// authenticate implements fosite.ClientAuthenticationStrategy: exactly the registered method, and the same work for a
// client that does not exist.
func (p *Provider) authenticate(ctx context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	u := unitOf(ctx)
	if u.authenticated {
		return requesting{u.client}, nil
	}
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
	if c != nil {
		u.client = c
		if got.method == client.AuthNone && c.AuthMethod == client.AuthTLS { // RFC 8705 §2: it says its client_id, and the connection the rest
			got.method = client.AuthTLS
		}
	}
	right := p.rightSecret(c, got.secret, u.now)
	switch {
	case c == nil:
		u.reason = audit.UnknownClient
	case got.method != c.AuthMethod:
		u.reason = audit.WrongSecret
	case got.method == client.AuthPrivateKey:
		if err := p.checkAssertion(ctx, u, got.assertion); err != nil {
			if u.reason = audit.WrongSecret; errors.Is(err, errNoKeys) {
				u.reason = audit.Outage
			}
			return nil, err
		}
		right = true
	case got.method == client.AuthTLS:
		if err := u.checkCertificate(ctx, r); err != nil {
			return nil, err
		}
		right = true
	case got.method == client.AuthNone:
		right = len(c.Secret) == 0
	}
	if u.reason == "" && right {
		u.authenticated = true
		return requesting{c}, nil
	}
	if u.reason == "" {
		u.reason = audit.WrongSecret
	}
	return nil, fosite.ErrInvalidClient.WithHint("The client is unknown, or its secret or its way of authenticating is not the registered one.")
}

// rightSecret compares with both live secrets of a client, and with as many of nobody's.
func (p *Provider) rightSecret(c *store.Client, secret string, now time.Time) bool {
	present := p.SecretMAC(secret)
	want, old := make([]byte, sha256.Size), make([]byte, sha256.Size)
	kept := false
	if c != nil {
		copy(want, c.Secret)
		kept = copy(old, c.OldSecret) == sha256.Size && now.Before(c.OldUntil)
	}
	right, before := hmac.Equal(present, want), hmac.Equal(present, old)
	return c != nil && c.HasSecret() && secret != "" && len(c.Secret) > 0 && (right || before && kept)
}
