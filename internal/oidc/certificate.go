package oidc

import (
	"context"
	"net/http"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
)

// certificateKey is where a request's context has the client's certificate.
type certificateKey struct{}

// WithCertificate gives a request the certificate that its client showed in the TLS connection (RFC 8705 §2.1): the values of the header in which
// a trusted proxy passes it on, unread. It counts for clients that are registered for tls_client_auth and is not looked at for others. From
// nowhere else does this package take one.
func WithCertificate(ctx context.Context, values []string) context.Context {
	return context.WithValue(ctx, certificateKey{}, values)
}

// checkCertificate authenticates the client of the unit, which is registered for tls_client_auth, by its certificate. A browser shows one without
// being asked, to whatever page sends it here, so what comes from a page counts for nothing.
func (u *unit) checkCertificate(ctx context.Context, r *http.Request) error {
	u.reason = audit.WrongSecret
	if u.p.issuers == nil {
		return fosite.ErrInvalidClient.WithHint("This service takes no client certificates; its operator sets client-certificate-ca.")
	}
	if len(r.Header["Origin"]) > 0 {
		return fosite.ErrInvalidClient.WithHint("A page in a browser cannot authenticate by a certificate.")
	}
	values, _ := ctx.Value(certificateKey{}).([]string)
	thumbprint, err := u.p.issuers.Check(values, &u.client.Client, u.now)
	u.certificate = thumbprint
	if err != nil {
		return fosite.ErrInvalidClient.WithHintf("The client certificate does not count: %s.", err.Error())
	}
	u.reason = ""
	return nil
}

// certified notes by which certificate a client authenticated, or did not, if there was one.
func (u *unit) certified(e *audit.Event) {
	if u.certificate != "" {
		e.Detail["certificate"] = u.certificate
	}
}
