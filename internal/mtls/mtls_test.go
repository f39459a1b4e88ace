package mtls_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/mtls"
	"github.com/portvakt/portvakt/internal/mtls/mtlstest"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

type change = func(*x509.Certificate)

func byDN(dn string) *client.Client { return &client.Client{AuthMethod: client.AuthTLS, SubjectDN: dn} }

const billing = "CN=billing,O=Exempel AB,C=SE"

// TestCertificate: who issued it, for what, and when (RFC 8705 §2.1, RFC 5280 §6.1).
func TestCertificate(t *testing.T) {
	ca, stranger := mtlstest.NewAuthority(t, "Exempel CA"), mtlstest.NewAuthority(t, "Exempel CA") // of the same name
	under := ca.Under(t, "Exempel Issuing CA")
	old := mtlstest.NewAuthority(t, "Old CA", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	narrow := mtlstest.NewAuthority(t, "Narrow CA", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"other.example"}
	})
	list := mtlstest.List(t, ca, old, narrow)
	usage := func(all ...x509.ExtKeyUsage) change { return func(c *x509.Certificate) { c.ExtKeyUsage = all } }
	for _, tt := range []struct {
		what string
		cert []byte
		want string
	}{
		{"good", ca.Issue(t).Certificate[0], ""},
		{"for any purpose", ca.Issue(t, usage()).Certificate[0], ""},
		{"for servers and clients", ca.Issue(t, usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)).Certificate[0], ""},
		{"for servers", ca.Issue(t, usage(x509.ExtKeyUsageServerAuth)).Certificate[0], "clientAuth"},
		{"for mail", ca.Issue(t, usage(x509.ExtKeyUsageEmailProtection)).Certificate[0], "clientAuth"},
		{"for encryption", ca.Issue(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }).Certificate[0], "digitalSignature"},
		{"from now", ca.Issue(t, func(c *x509.Certificate) { c.NotBefore = now }).Certificate[0], ""},
		{"from in a second", ca.Issue(t, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }).Certificate[0], "not valid yet"},
		{"to now", ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = now }).Certificate[0], ""},
		{"to a second ago", ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }).Certificate[0], "expired"},
		{"of an authority of the same name", stranger.Issue(t).Certificate[0], "no authority"},
		{"of one below, which is not in the list", under.Issue(t).Certificate[0], "no authority"},
		{"of one that has expired", old.Issue(t).Certificate[0], "no authority"},
		{"of one that may not", narrow.Issue(t).Certificate[0], "no authority"},
		{"an authority's own", ca.Cert.Raw, "of an authority"},
		{"with something critical that nobody knows", ca.Issue(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
		}).Certificate[0], "no authority"},
		{"of another client", ca.Issue(t, mtlstest.Named("payroll")).Certificate[0], "name"},
	} {
		thumbprint, err := list.Check([]string{mtlstest.Sequence(tt.cert)}, byDN(billing), now)
		if (tt.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.Is(err, mtls.ErrRefused)) || len(thumbprint) != 43 {
			t.Errorf("%s: got %v, want %q; thumbprint %q", tt.what, err, tt.want, thumbprint)
		}
	}
	if _, err := mtlstest.List(t, under).Check([]string{mtlstest.Sequence(under.Issue(t).Certificate[0])}, byDN(billing), now); err != nil {
		t.Errorf("an authority in the list counts by itself: %v", err)
	}
	damaged := ca.Issue(t).Certificate[0]
	damaged[len(damaged)-1] ^= 1
	if _, err := list.Check([]string{mtlstest.Sequence(damaged)}, byDN(billing), now); err == nil {
		t.Error("a signature with a changed bit counts")
	}
}

// TestHeader: the two forms of a header, and what is neither.
func TestHeader(t *testing.T) {
	ca := mtlstest.NewAuthority(t, "Exempel CA")
	list, der, other := mtlstest.List(t, ca), ca.Issue(t).Certificate[0], ca.Issue(t).Certificate[0]
	for what, text := range map[string]string{
		"RFC 9440": mtlstest.Sequence(der), "nginx": mtlstest.Escaped(der), "Apache": mtlstest.Spaced(der), "PEM on lines": string(mtlstest.PEM(der)),
		"nginx, in small digits": strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%0A", "%0a", "%3D", "%3d").Replace(mtlstest.Escaped(der)),
	} {
		if _, err := list.Check([]string{text}, byDN(billing), now); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, values := range map[string][]string{
		"none":                       nil,
		"empty":                      {""},
		"two":                        {mtlstest.Sequence(der), mtlstest.Sequence(der)},
		"a good one and an empty":    {mtlstest.Sequence(der), ""},
		"two in one header":          {mtlstest.Sequence(der) + ", " + mtlstest.Sequence(other)},
		"two in one PEM":             {mtlstest.Escaped(der) + mtlstest.Escaped(other)},
		"something before":           {"x" + mtlstest.Escaped(der)},
		"something behind":           {mtlstest.Sequence(der) + ";a=1"},
		"not ended":                  {strings.TrimSuffix(mtlstest.Sequence(der), ":")},
		"PEM not ended":              {strings.TrimSuffix(mtlstest.Escaped(der), "-----END%20CERTIFICATE-----%0A")},
		"bytes behind it":            {mtlstest.Sequence(append(append([]byte{}, der...), 0))},
		"cut off":                    {mtlstest.Sequence(der[:len(der)-1])},
		"no bytes":                   {"::"},
		"no PEM":                     {"-----BEGIN CERTIFICATE----------END CERTIFICATE-----"},
		"without colons":             {strings.Trim(mtlstest.Sequence(der), ":")},
		"another alphabet":           {strings.NewReplacer("+", "-", "/", "_").Replace(mtlstest.Sequence(append(append([]byte{}, der...), 0xff, 0xff, 0xff)))},
		"escaped wrongly":            {strings.Replace(mtlstest.Escaped(der), "%0A", "%0", 1)},
		"escaped twice":              {url.PathEscape(mtlstest.Escaped(der))},
		"escaped as a form, by half": {strings.ReplaceAll(mtlstest.Escaped(der), "%20", "+")},
		"a key":                      {"-----BEGIN%20PRIVATE%20KEY-----%0AAAAA%0A-----END%20PRIVATE%20KEY-----%0A"},
		"Apache's word for none":     {"(null)"},
		"a hash":                     {"Hash=abc;Subject=\"CN=billing\""},
		"too long":                   {":" + strings.Repeat("A", 16<<10) + ":"},
	} {
		if _, err := list.Check(values, byDN(billing), now); !errors.Is(err, mtls.ErrRefused) || strings.ContainsFunc(err.Error(), func(r rune) bool { return r > '~' || r == '\'' || r == '"' }) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// TestAlternativeNames: an alternative name counts for its own kind, whole and as it is written; a common name for none (RFC 8705 §2.1.2).
func TestAlternativeNames(t *testing.T) {
	ca := mtlstest.NewAuthority(t, "Exempel CA")
	list := mtlstest.List(t, ca)
	cert := mtlstest.Sequence(ca.Issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName = "cn.example.se"
		c.DNSNames, c.EmailAddresses = []string{"first.example.se", "billing.example.se", "*.wild.example.se", "192.0.2.9"}, []string{"billing@example.se"}
		c.IPAddresses = []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("2001:db8::7")}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.se", Path: "/billing"}, {Scheme: "spiffe", Host: "example.se", Path: "/A/b", RawPath: "/A%2fb"}}
	}).Certificate[0])
	type c = client.Client
	for _, good := range []c{{SANDNS: "billing.example.se"}, {SANDNS: "first.example.se"}, {SANEmail: "billing@example.se"}, {SANIP: "192.0.2.7"}, {SANIP: "2001:db8::7"},
		{SANURI: "spiffe://example.se/billing"}, {SANURI: "spiffe://example.se/A%2fb"}} {
		if _, err := list.Check([]string{cert}, &good, now); err != nil {
			t.Errorf("%v: %v", good.CertificateNames(), err)
		}
	}
	for _, bad := range []c{{SANDNS: "cn.example.se"}, {SANDNS: "Billing.example.se"}, {SANDNS: "billing.example.se."}, {SANDNS: "example.se"}, {SANDNS: "a.wild.example.se"}, {SANDNS: "illing.example.se"},
		{SANEmail: "Billing@example.se"}, {SANEmail: "billing@example.se.evil"}, {SANIP: "192.0.2.9"}, {SANIP: "192.0.2.8"}, {SANIP: "2001:db8::8"}, {SANIP: "::ffff:192.0.2.7"}, {SANIP: "nonsense"},
		{SANURI: "spiffe://example.se/billing/"}, {SANURI: "spiffe://example.se/A%2Fb"}, {SANURI: "spiffe://EXAMPLE.se/billing"}, {SANURI: "billing.example.se"}, {SANDNS: "spiffe://example.se/billing"},
		{SANEmail: "billing.example.se"}, {}, {SANDNS: "billing.example.se", SANIP: "192.0.2.7"}} {
		if _, err := list.Check([]string{cert}, &bad, now); err == nil {
			t.Errorf("%v counts", bad.CertificateNames())
		}
	}
}

// value is a value of a subject with a string type of its own.
func value(tag int, bytes string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(bytes)} }

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributesSET []attribute

// TestSubject compares names as RFC 4514 writes them with names as certificates have them.
func TestSubject(t *testing.T) {
	ca := mtlstest.NewAuthority(t, "Exempel CA")
	list := mtlstest.List(t, ca)
	c, o, ou, cn, uid := asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 11}, asn1.ObjectIdentifier{2, 5, 4, 3},
		asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	strange := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}
	const utf8String, printable, bmp, t61, ia5 = 12, 19, 30, 20, 22
	for _, tt := range []struct {
		what      string
		subject   []attributesSET // in the certificate's order
		good, bad []string
	}{
		{"plain", []attributesSET{{{c, value(printable, "SE")}}, {{o, value(utf8String, "Exempel AB")}}, {{cn, value(utf8String, "billing")}}},
			[]string{billing, "cn=billing,o=Exempel AB,c=SE", "2.5.4.3=billing,O=Exempel AB,C=SE", `CN=b\69lling,O=Exempel\20AB,C=SE`, "CN=#0C0762696c6c696e67,O=Exempel AB,C=#13025345"},
			[]string{"C=SE,O=Exempel AB,CN=billing", "CN=billing", "CN=billing,C=SE", "CN=billing,O=Exempel AB", "O=Exempel AB,CN=billing,C=SE", "CN=Billing,O=Exempel AB,C=SE", "CN=billing,O=Exempel  AB,C=SE",
				"CN=billing,O=exempel ab,C=SE", "CN=billing+O=Exempel AB,C=SE", "CN=billing,O=Exempel AB,C=SE,C=SE", "CN=#130762696c6c696e67,O=Exempel AB,C=SE", "CN=#0C,O=Exempel AB,C=SE", "UID=billing,O=Exempel AB,C=SE",
				`CN=billing\,O=Exempel AB,C=SE`, "nonsense", `CN=billing\00,O=Exempel AB,C=SE`}},
		{"several in one", []attributesSET{{{cn, value(utf8String, "billing")}, {uid, value(utf8String, "7")}}, {{o, value(utf8String, "Exempel")}}},
			[]string{"O=Exempel,CN=billing+UID=7", "O=Exempel,UID=7+CN=billing"},
			[]string{"O=Exempel,CN=billing,UID=7", "O=Exempel,CN=billing", "O=Exempel,CN=billing+UID=7+OU=x", "O=Exempel,CN=7+UID=billing", "CN=billing+UID=7,O=Exempel"}},
		{"the same type twice", []attributesSET{{{ou, value(utf8String, "a")}, {ou, value(utf8String, "b")}}},
			[]string{"OU=a+OU=b", "OU=b+OU=a"}, []string{"OU=a", "OU=a+OU=#0C0161", "OU=a+OU=c", "OU=b,OU=a"}},
		{"with what has to be escaped", []attributesSET{{{cn, value(utf8String, ` a,b+"c"\<>;=#`+"\r\n ")}}},
			[]string{`CN=\ a\,b\+\"c\"\\\<\>\;=#\0D\0A\ `}, []string{`CN=a\,b\+\"c\"\\\<\>\;=#`}},
		{"one that looks like two", []attributesSET{{{cn, value(utf8String, "billing,O=Exempel AB,C=SE")}}},
			[]string{`CN=billing\,O=Exempel AB\,C=SE`}, []string{billing}},
		{"one that ends in a NUL", []attributesSET{{{c, value(printable, "SE")}}, {{o, value(utf8String, "Exempel AB")}}, {{cn, value(utf8String, "billing\x00.evil.example")}}},
			nil, []string{billing}},
		{"Swedish", []attributesSET{{{cn, value(utf8String, "räkning")}}}, []string{"CN=räkning", `CN=r\C3\A4kning`}, []string{"CN=rakning", "CN=ra\u0308kning", `CN=r\E4kning`}},
		{"not normalised", []attributesSET{{{cn, value(utf8String, "ra\u0308kning")}}}, []string{"CN=ra\u0308kning"}, []string{"CN=räkning"}},
		{"of 16 bits", []attributesSET{{{cn, value(bmp, "\x00r\x00\xe4\x00k")}}}, []string{"CN=räk"}, []string{"CN=\x00r"}},
		{"of an old type", []attributesSET{{{cn, value(t61, "rak")}}}, []string{"CN=rak"}, nil},
		{"of an old type, not ASCII", []attributesSET{{{cn, value(t61, "r\xe4k")}}}, []string{"CN=#140372E46B"}, []string{"CN=räk", `CN=r\C3\A4k`}},
		{"of an unknown type", []attributesSET{{{strange, value(ia5, "x")}}}, []string{"1.3.6.1.4.1.99999.7=x", "1.3.6.1.4.1.99999.7=#160178"}, []string{"1.3.6.1.4.1.99999.8=x"}},
	} {
		raw, err := asn1.Marshal(tt.subject)
		if err != nil {
			t.Fatal(err)
		}
		cert := mtlstest.Sequence(ca.Issue(t, func(c *x509.Certificate) { c.RawSubject = raw }).Certificate[0])
		for _, dn := range tt.good {
			if _, err := list.Check([]string{cert}, byDN(dn), now); err != nil {
				t.Errorf("%s: %s: %v", tt.what, dn, err)
			}
		}
		for _, dn := range tt.bad {
			if _, err := list.Check([]string{cert}, byDN(dn), now); err == nil {
				t.Errorf("%s: %s counts", tt.what, dn)
			}
		}
	}
}

// TestOpen: a list holds certificates of authorities and nothing else.
func TestOpen(t *testing.T) {
	ca := mtlstest.NewAuthority(t, "Exempel CA")
	good := string(ca.PEM())
	path := filepath.Join(t.TempDir(), "ca.pem")
	for what, tt := range map[string]struct{ text, want string }{
		"one":                        {good, ""},
		"two, with words between":    {good + "# the other\n" + string(mtlstest.NewAuthority(t, "Other CA").PEM()), ""},
		"none":                       {"", "holds no certificate"},
		"something else":             {"hello", "holds no certificate"},
		"a client's":                 {good + string(mtlstest.PEM(ca.Issue(t).Certificate[0])), "certificate 2 is not that of an authority"},
		"a key":                      {good + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a PRIVATE KEY"},
		"one that is cut off":        {good + good[:200], "damaged"},
		"one that is damaged inside": {string(mtlstest.PEM(ca.Cert.Raw[:100])), "certificate 1 is damaged"},
		"too much":                   {strings.Repeat("#\n", 600_000), "1 MiB"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := mtls.Open(path)
		if (tt.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: got %v, want %q", what, err, tt.want)
		}
	}
	if _, err := mtls.Open(path + ".none"); err == nil {
		t.Error("a file that is not there is opened")
	}
}
