// Package mtlstest gives tests authorities that issue certificates, and writes certificates as proxies pass them on.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/mtls"
)

// Authority issues certificates.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one that issued itself. change may change what is signed.
func NewAuthority(t testing.TB, name string, change ...func(*x509.Certificate)) *Authority {
	t.Helper()
	c := sheet(func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = pkix.Name{CommonName: name}, true, true, x509.KeyUsageCertSign
	})
	for _, fn := range change {
		fn(c)
	}
	key := newKey(t)
	return &Authority{sign(t, c, c, key, key), key}
}

// Under makes one that this one vouches for.
func (a *Authority) Under(t testing.TB, name string) *Authority {
	t.Helper()
	c := sheet(func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = pkix.Name{CommonName: name}, true, true, x509.KeyUsageCertSign
	})
	key := newKey(t)
	return &Authority{sign(t, c, a.Cert, key, a.key), key}
}

// Issue gives a certificate for the authentication of a client, CN=billing,O=Exempel AB,C=SE and billing.example.se, with its key, valid from 2020
// to 2099. change may change what is signed.
func (a *Authority) Issue(t testing.TB, change ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	c := sheet(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "billing", Organization: []string{"Exempel AB"}, Country: []string{"SE"}}
		c.DNSNames, c.KeyUsage, c.ExtKeyUsage = []string{"billing.example.se"}, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	for _, fn := range change {
		fn(c)
	}
	key := newKey(t)
	leaf := sign(t, c, a.Cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// Named is a change that makes it the certificate of another.
func Named(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames = cn, []string{cn + ".example.se"}
	}
}

// List is what the service is told of these authorities.
func List(t testing.TB, all ...*Authority) *mtls.Authorities {
	t.Helper()
	var text []byte
	for _, a := range all {
		text = append(text, a.PEM()...)
	}
	list, err := mtls.New(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte { return PEM(a.Cert.Raw) }

// PEM writes a certificate.
func PEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Sequence writes a certificate as RFC 9440 §2.1 has it.
func Sequence(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }

// Escaped writes one as nginx does in $ssl_client_escaped_cert: every byte but letters, digits and -._~ as % and two digits.
func Escaped(der []byte) string {
	return strings.ReplaceAll(url.QueryEscape(string(PEM(der))), "+", "%20")
}

// Spaced writes one as Apache's mod_headers does: spaces in the place of line ends.
func Spaced(der []byte) string { return strings.ReplaceAll(string(PEM(der)), "\n", " ") }

func sheet(fill func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: new(big.Int).SetBytes([]byte(rand.Text()[:12])), NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	fill(c)
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, c, by *x509.Certificate, key, with *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), with)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
