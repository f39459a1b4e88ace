// Package mtls verifies the certificate by which a client authenticates (RFC 8705 §2.1), as a proxy passes it on that ended the TLS connection.
//
// The proxy has seen that the client holds the key, and that alone is taken from it. Everything else is done here: the certificate is one of an
// authority of the service's own list, valid now, for the authentication of clients, and has the one name that the client is registered with.
// Revocation lists are not read: they are the proxy's. The package knows no clock; who asks says what time it is.
package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/client"
)

const (
	maxList = 1 << 20  // bytes of a list of authorities
	maxText = 16 << 10 // bytes of a certificate in a header
)

// ErrRefused is what errors.Is finds in every error of Authorities.Check. Its text says what is wrong with the certificate, in ASCII and without
// anything of what it holds.
var ErrRefused = errors.New("mtls: certificate refused")

type refusal string

func (r refusal) Error() string        { return string(r) }
func (r refusal) Is(target error) bool { return target == ErrRefused }

// The refusals.
const (
	errNone       refusal = "the proxy passed none on"
	errTwo        refusal = "there is more than one"
	errLong       refusal = "it is longer than 16 KiB"
	errUnreadable refusal = "the header of the proxy holds none, neither as a byte sequence (RFC 9440) nor as PEM, escaped as in a URL"
	errEarly      refusal = "it is not valid yet"
	errLate       refusal = "it has expired"
	errPurpose    refusal = "it is not for the authentication of clients (extended key usage clientAuth, and key usage digitalSignature if it has any)"
	errIssuer     refusal = "no authority that this service trusts issued it"
	errAuthority  refusal = "it is that of an authority"
	errName       refusal = "its name is not the registered one"
)

// Authorities issue the certificates of clients. They are safe for concurrent use.
type Authorities struct{ pool *x509.CertPool }

// Open reads a file with certificates of authorities in PEM, which must hold nothing else. Each is trusted by itself, whoever issued it.
func Open(path string) (*Authorities, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxList+1))
	if err != nil {
		return nil, err
	}
	a, err := New(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// New is Open for a text.
func New(text []byte) (*Authorities, error) {
	if len(text) > maxList {
		return nil, errors.New("is longer than 1 MiB")
	}
	a, n := &Authorities{x509.NewCertPool()}, 0
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s; leave certificates alone in it", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d is damaged: %w", n, err)
		}
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %d is not that of an authority (basic constraints CA:TRUE); give those that issue the clients' certificates", n)
		}
		a.pool.AddCert(c)
		text = rest
	}
	if n == 0 || bytes.Contains(text, []byte("-----BEGIN")) {
		return nil, errors.New("holds no certificate in PEM, or one that is damaged")
	}
	return a, nil
}

// Check says whether the certificate in the values of a proxy's header authenticates c at a moment, and gives its thumbprint (RFC 8705 §3.1),
// empty if there is no certificate. Errors are ErrRefused.
func (a *Authorities) Check(values []string, c *client.Client, now time.Time) (thumbprint string, err error) {
	der, err := read(values)
	if err != nil {
		return "", err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", errUnreadable
	}
	sum := sha256.Sum256(der)
	thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	if err := a.verify(cert, now); err != nil {
		return thumbprint, err
	}
	names := c.CertificateNames()
	if len(names) != 1 || !has(cert, names[0]) {
		return thumbprint, errName
	}
	return thumbprint, nil
}

// read gives the certificate of a header: a byte sequence (RFC 9440 §2.1, RFC 8941 §3.3.5), or PEM, whose line ends may be escaped, as nginx
// does, or spaces, as Apache has them.
func read(values []string) ([]byte, error) {
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return nil, errNone
	case len(values) > 1:
		return nil, errTwo
	case len(values[0]) > maxText:
		return nil, errLong
	}
	text := values[0]
	body, rest, ok := "", "", false
	if sequence, is := strings.CutPrefix(text, ":"); is {
		body, rest, ok = strings.Cut(sequence, ":")
	} else {
		plain, err := url.PathUnescape(text) // a + is one
		if inner, is := strings.CutPrefix(plain, "-----BEGIN CERTIFICATE-----"); is && err == nil {
			body, rest, ok = strings.Cut(inner, "-----END CERTIFICATE-----")
			body, rest = strings.Join(strings.Fields(body), ""), strings.TrimSpace(rest)
		}
	}
	der, err := base64.StdEncoding.DecodeString(body)
	if !ok || rest != "" || err != nil || strings.ContainsAny(body, "\r\n") {
		return nil, errUnreadable
	}
	return der, nil
}

// verify holds a certificate against the list and a moment (RFC 5280 §6.1).
func (a *Authorities) verify(cert *x509.Certificate, now time.Time) error {
	switch {
	case cert.IsCA:
		return errAuthority
	case now.Before(cert.NotBefore):
		return errEarly
	case now.After(cert.NotAfter):
		return errLate
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0: // RFC 8446 §4.4.2.2
		return errPurpose
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: a.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return errPurpose
	}
	return errIssuer
}

// has reports whether a certificate has the name.
func has(cert *x509.Certificate, n client.Named) bool {
	if n.Field == client.CertificateDN {
		wanted, err := client.ParseDN(n.Value)
		return err == nil && sameName(cert.RawSubject, wanted)
	}
	kind, value := alternative(n)
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(subjectAltName) && listed(e.Value, kind, value) })
}
