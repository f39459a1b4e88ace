package client

import (
	"net/netip"
	"net/url"
	"strings"
)

// maxSubject is the longest name by which a client's certificate is known, in bytes.
const maxSubject = 1024

// The metadata names of what a client's certificate is known by (RFC 8705 §2.1.2).
const (
	CertificateDN    = "tls_client_auth_subject_dn" // its subject, written as RFC 4514 has it; see ParseDN
	CertificateDNS   = "tls_client_auth_san_dns"
	CertificateURI   = "tls_client_auth_san_uri"
	CertificateIP    = "tls_client_auth_san_ip" // as RFC 5952 and dotted decimal have it
	CertificateEmail = "tls_client_auth_san_email"
)

// Named is a name that a client's certificate has to have, and the metadata name that says which kind it is.
type Named struct{ Field, Value string }

// CertificateNames are the names that are given: exactly one in a valid client that is registered for tls_client_auth, none in any other.
func (c *Client) CertificateNames() []Named {
	var out []Named
	for _, n := range []Named{{CertificateDN, c.SubjectDN}, {CertificateDNS, c.SANDNS}, {CertificateURI, c.SANURI}, {CertificateIP, c.SANIP}, {CertificateEmail, c.SANEmail}} {
		if n.Value != "" {
			out = append(out, n)
		}
	}
	return out
}

// checkCertificate holds how the client's certificate is known.
func (c *Client) checkCertificate(f *faults) {
	names := c.CertificateNames()
	for i, n := range names {
		switch {
		case c.AuthMethod != AuthTLS:
			f.add(n.Field, n.Value, "goes with token_endpoint_auth_method tls_client_auth; remove it")
		case i > 0:
			f.add(n.Field, n.Value, "stands beside "+names[0].Field+"; give exactly one of them (RFC 8705 §2.1.2)")
		default:
			if text := subjectFault(n); text != "" {
				f.add(n.Field, n.Value, text)
			}
		}
	}
	if c.AuthMethod == AuthTLS && len(names) == 0 {
		f.add(CertificateDN, "", "is missing; tls_client_auth needs exactly one of tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip and _san_email (RFC 8705 §2.1.2)")
	}
}

// subjectFault says what is wrong with a name, or nothing.
func subjectFault(n Named) string {
	if len(n.Value) > maxSubject {
		return "is longer than 1024 bytes"
	}
	if n.Field == CertificateDN {
		if _, err := ParseDN(n.Value); err != nil {
			return err.Error()
		}
		return ""
	}
	if strings.ContainsFunc(n.Value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "has a space, or a character that is not ASCII; write it as it stands in the certificate"
	}
	switch n.Field {
	case CertificateDNS:
		if strings.ContainsFunc(n.Value, func(r rune) bool { return !letterOrDigit(r) && !strings.ContainsRune("-._", r) }) {
			return "is no DNS name; give one whole name, as it stands in the certificate, without a wildcard"
		}
	case CertificateURI:
		if u, err := url.Parse(n.Value); err != nil || u.Scheme == "" {
			return "is no URI with a scheme, such as spiffe://example.se/billing"
		}
	case CertificateIP:
		ip, err := netip.ParseAddr(n.Value)
		switch {
		case err != nil || ip.Zone() != "" || ip.Is4In6():
			return "is no IPv4 or IPv6 address"
		case ip.String() != n.Value:
			return "is written in another way than RFC 5952 has it; write " + ip.String()
		}
	case CertificateEmail:
		if at := strings.LastIndexByte(n.Value, '@'); at < 1 || at == len(n.Value)-1 {
			return "is no mail address"
		}
	}
	return ""
}
