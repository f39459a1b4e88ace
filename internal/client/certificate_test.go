package client

import (
	"reflect"
	"strings"
	"testing"
)

// TestCertificateNames changes a good client of tls_client_auth and expects one line, or none (RFC 8705 §2.1.2).
func TestCertificateNames(t *testing.T) {
	for _, tt := range []struct {
		field, value string
		want         string // the beginning of the only line
	}{
		{CertificateDN, "CN=billing,O=Exempel AB,C=SE", ""},
		{CertificateDN, "billing", "tls_client_auth_subject_dn \"billing\": has a type"},
		{CertificateDN, "CN=a, O=b", "tls_client_auth_subject_dn "},
		{CertificateDN, "CN=" + strings.Repeat("a", 1022), "tls_client_auth_subject_dn "},
		{CertificateDNS, "billing.example.se", ""},
		{CertificateDNS, "Billing_1.example.se", ""},
		{CertificateDNS, "*.example.se", "tls_client_auth_san_dns \"*.example.se\": is no DNS name"},
		{CertificateDNS, "räkning.example.se", "tls_client_auth_san_dns "},
		{CertificateDNS, "billing.example.se\n", "tls_client_auth_san_dns "},
		{CertificateDNS, "https://billing.example.se", "tls_client_auth_san_dns "},
		{CertificateURI, "spiffe://example.se/billing", ""},
		{CertificateURI, "urn:example:billing", ""},
		{CertificateURI, "billing.example.se", "tls_client_auth_san_uri "},
		{CertificateURI, "spiffe://example.se/a b", "tls_client_auth_san_uri "},
		{CertificateIP, "192.0.2.7", ""},
		{CertificateIP, "2001:db8::7", ""},
		{CertificateIP, "2001:DB8::7", "tls_client_auth_san_ip \"2001:DB8::7\": is written in another way than RFC 5952 has it; write 2001:db8::7"},
		{CertificateIP, "2001:db8:0:0::7", "tls_client_auth_san_ip "},
		{CertificateIP, "192.0.2.0/24", "tls_client_auth_san_ip "},
		{CertificateIP, "192.0.2.07", "tls_client_auth_san_ip "},
		{CertificateIP, "::ffff:192.0.2.7", "tls_client_auth_san_ip "},
		{CertificateIP, "fe80::1%eth0", "tls_client_auth_san_ip "},
		{CertificateEmail, "billing@example.se", ""},
		{CertificateEmail, "billing", "tls_client_auth_san_email "},
		{CertificateEmail, "@example.se", "tls_client_auth_san_email "},
	} {
		c := sample(func(c *Client) { c.AuthMethod = AuthTLS; named(c, tt.field, tt.value) })
		one(t, tt.field+" "+tt.value, c, tt.want)
	}
	one(t, "no name", sample(func(c *Client) { c.AuthMethod = AuthTLS }), "tls_client_auth_subject_dn: is missing")
	one(t, "two names", sample(func(c *Client) { c.AuthMethod, c.SubjectDN, c.SANDNS = AuthTLS, "CN=a", "a.example" }), "tls_client_auth_san_dns \"a.example\": stands beside tls_client_auth_subject_dn")
	for _, method := range []string{AuthBasic, AuthPost, AuthNone} {
		one(t, method, sample(func(c *Client) { c.AuthMethod, c.SANDNS = method, "a.example" }), "tls_client_auth_san_dns \"a.example\": goes with")
	}
	one(t, "services", sample(func(c *Client) {
		c.AuthMethod, c.SANDNS, c.ResourceServer, c.GrantTypes = AuthTLS, "a.example", true, []string{GrantClientCredentials}
	}), "")
}

func named(c *Client, field, value string) {
	*map[string]*string{CertificateDN: &c.SubjectDN, CertificateDNS: &c.SANDNS, CertificateURI: &c.SANURI, CertificateIP: &c.SANIP, CertificateEmail: &c.SANEmail}[field] = value
}

func one(t *testing.T, what string, c *Client, want string) {
	t.Helper()
	text := ""
	if err := c.Validate(); err != nil {
		text = err.Error()
	}
	if !strings.HasPrefix(text, want) || (want == "") != (text == "") || strings.Contains(text, "\n") {
		t.Errorf("%s: got %q, want %q", what, text, want)
	}
}

// TestParseDN reads the examples of RFC 4514 §4, and what stands at its edges.
func TestParseDN(t *testing.T) {
	const cn, ou, dc, uid, o = "2.5.4.3", "2.5.4.11", "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1", "2.5.4.10"
	for text, want := range map[string][][]Attribute{
		"UID=jsmith,DC=example,DC=net":                   {{{uid, "jsmith", nil}}, {{dc, "example", nil}}, {{dc, "net", nil}}},
		"OU=Sales+CN=J.  Smith,DC=example,DC=net":        {{{ou, "Sales", nil}, {cn, "J.  Smith", nil}}, {{dc, "example", nil}}, {{dc, "net", nil}}},
		`CN=James \"Jim\" Smith\, III,DC=example,DC=net`: {{{cn, `James "Jim" Smith, III`, nil}}, {{dc, "example", nil}}, {{dc, "net", nil}}},
		`CN=Before\0dAfter,DC=example,DC=net`:            {{{cn, "Before\rAfter", nil}}, {{dc, "example", nil}}, {{dc, "net", nil}}},
		"1.3.6.1.4.1.1466.0=#04024869":                   {{{"1.3.6.1.4.1.1466.0", "", []byte{4, 2, 'H', 'i'}}}},
		`CN=Lu\C4\8Di\C4\87`:                             {{{cn, "Lučić", nil}}},
		"cn=Lučić":                                       {{{cn, "Lučić", nil}}},
		`CN=\ a\ `:                                       {{{cn, " a ", nil}}},
		`CN=\#a`:                                         {{{cn, "#a", nil}}},
		`CN=a#b=c`:                                       {{{cn, "a#b=c", nil}}},
		`CN=\2Ca\+b`:                                     {{{cn, ",a+b", nil}}},
		"2.5.4.3=a,O=b":                                  {{{cn, "a", nil}}, {{o, "b", nil}}},
		"CN=a+CN=b":                                      {{{cn, "a", nil}, {cn, "b", nil}}},
		"emailAddress=a@b.se,serialNumber=1":             {{{"1.2.840.113549.1.9.1", "a@b.se", nil}}, {{"2.5.4.5", "1", nil}}},
		`CN=\00`:                                         {{{cn, "\x00", nil}}},
		"CN=" + strings.Repeat("a", 500) + ",O=" + "b": {{{cn, strings.Repeat("a", 500), nil}}, {{o, "b", nil}}},
	} {
		got, err := ParseDN(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ",", "CN", "=a", "CN=", "CN=a,", ",CN=a", "CN=a,,O=b", "CN=a+", "CN=+O=b", "CN= a", "CN=a ", "CN=a, O=b", "CN =a", "CN=a;O=b", `CN="a"`,
		`CN="a,b"`, `CN=a\`, `CN=a\4`, `CN=a\zz`, "CN=a<b", "CN=a>b", "CN=#", "CN=#4", "CN=#zz", "CN=#04 ", "XX=a", "commonName=a", "OID.2.5.4.3=a", "1=a", "1..2=a", "1.02=a", "1.2.=a",
		"CN=a+CN=a", "CN=a+2.5.4.3=a", `CN=\C4`, "CN=\xc4", "CN=a\nO=b", "CN=a\x00", "CN=a\x7f", "/C=SE/CN=a", "CN=a\n"} {
		if got, err := ParseDN(text); err == nil {
			t.Errorf("%q is taken, as %v", text, got)
		}
	}
}

// FuzzParseDN: whatever is read has types and values, and nothing panics.
func FuzzParseDN(f *testing.F) {
	for _, seed := range []string{"CN=a,O=b", `CN=\C4\8D+O=#0401`, "CN=a\\", "1.2=#", "CN=a+CN=b,C="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseDN(text)
		if err != nil {
			return
		}
		for _, set := range name {
			if len(set) == 0 {
				t.Errorf("%q has an empty relative name", text)
			}
			for _, a := range set {
				if a.Type == "" || (a.Text == "") == (a.DER == nil) {
					t.Errorf("%q has %+v", text, a)
				}
			}
		}
	})
}
