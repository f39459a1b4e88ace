package oidc_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/mtls/mtlstest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const clientCert = "Client-Cert" // RFC 9440 §2.2

// certified is a site behind proxies that end TLS, with a client that authenticates by a certificate.
type certified struct {
	*refusals
	ca *mtlstest.Authority
}

// certifies is a client of tls_client_auth as an apply file has it; name is what its certificate is known by.
func certifies(id, name string) string {
	return "client_id: " + id + ", token_endpoint_auth_method: tls_client_auth, " + name + ", resource_server: true, token_exchange_from: [conf], redirect_uris: ['" + servertest.Redirect +
		"'], id_token_signed_response_alg: ES256, grant_types: [authorization_code, refresh_token, client_credentials, 'urn:ietf:params:oauth:grant-type:device_code', 'urn:ietf:params:oauth:grant-type:token-exchange'], scope: openid profile offline_access api"
}

func newCertified(t testing.TB, dbURL string, change ...func(*servertest.Options)) *certified {
	t.Helper()
	clock, ca := storetest.NewClock(), mtlstest.NewAuthority(t, "Exempel CA")
	o := servertest.Options{Clock: clock.Now, Issuers: mtlstest.List(t, ca), Cert: clientCert, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for _, fn := range change {
		fn(&o)
	}
	s := servertest.New(t, dbURL, o)
	c := &certified{&refusals{s, clock, signedIn(t, s)}, ca}
	c.apply(t, certifies("billing", `tls_client_auth_subject_dn: "CN=billing,O=Exempel AB,C=SE"`), certifies("payroll", "tls_client_auth_san_dns: payroll.example.se"))
	return c
}

// proxy ends TLS in front of the site, as docs/connect/client-certificates.md has it: it asks for a certificate, checks no issuer, and sets or
// removes the header in every request.
func (s *certified) proxy(t testing.TB, header string, write func([]byte) string) *httptest.Server {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Header.Del(header)
		if shown := r.In.TLS.PeerCertificates; len(shown) > 0 {
			r.Out.Header.Set(header, write(shown[0].Raw))
		}
	}})
	proxy.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	return proxy
}

// calls gives a way to call a proxy with a certificate, if there is one.
func calls(t testing.TB, proxy *httptest.Server, cert ...tls.Certificate) func(path string, form url.Values, header ...string) *servertest.Page {
	t.Helper()
	b := servertest.NewBrowser(t, proxy.URL)
	b.Client.Transport = &http.Transport{TLSClientConfig: &tls.Config{Certificates: cert, RootCAs: proxy.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	t.Cleanup(b.Client.CloseIdleConnections)
	return func(path string, form url.Values, header ...string) *servertest.Page {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, proxy.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return b.Do(r)
	}
}

func thumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// TestCertificateEverywhere: a client shows its certificate to a proxy that ends TLS and is let in at every endpoint where clients authenticate (RFC
// 8705 §2.1). The record says by which certificate.
func TestCertificateEverywhere(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := newCertified(t, e.New(t))
			cert := s.ca.Issue(t)
			call := calls(t, s.proxy(t, clientCert, mtlstest.Sequence), cert)
			good := func(path string, status int, form url.Values) map[string]string {
				t.Helper()
				form.Set("client_id", "billing")
				p := call(path, form)
				if p.Status != status {
					t.Fatalf("%s %v: got %d %s", path, form["grant_type"], p.Status, p.Body)
				}
				if p.Body == "" {
					return nil
				}
				return words(t, p)
			}
			good("/token", 200, url.Values{"grant_type": {"client_credentials"}})
			first := good("/token", 200, codeForm(s.code(t, "billing")))
			tokens := good("/token", 200, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"]}})
			if tokens["access_token"] == "" || tokens["refresh_token"] == "" || first["id_token"] == "" {
				t.Errorf("got %v and %v", first, tokens)
			}
			good("/introspect", 200, url.Values{"token": {tokens["access_token"]}})
			good("/par", 201, with("billing"))
			good("/device_authorization", 200, url.Values{"scope": {"openid"}})
			theirs := s.tokens(t, "conf")
			good("/token", 200, url.Values{"grant_type": {client.GrantExchange}, "subject_token": {theirs["access_token"]}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}})
			good("/revoke", 200, url.Values{"token": {tokens["refresh_token"]}})
			for _, kind := range []audit.Kind{audit.TokenIssued, audit.TokenRefreshed, audit.DeviceAsked, audit.TokenRevoked} {
				events := s.Events(t, kind)
				i := slices.IndexFunc(events, func(e audit.Event) bool { return e.Client == "billing" })
				if i < 0 || events[i].Detail["certificate"] != thumbprint(cert) || events[i].Actor != "billing" {
					t.Errorf("%s: on record %+v", kind, events)
				}
			}
			for _, e := range s.Events(t, audit.TokenIssued) {
				if _, has := e.Detail["certificate"]; has != (e.Client == "billing") {
					t.Errorf("on record for %s: %v", e.Client, e.Detail)
				}
			}
		})
	}
}

// TestCertificateKinds: every name of RFC 8705 §2.1.2, and the header that nginx sets, under a name of its own.
func TestCertificateKinds(t *testing.T) {
	t.Parallel()
	s := newCertified(t, storetest.SQLite(t), func(o *servertest.Options) { o.Cert = "X-Ssl-Client-Cert" })
	cert := s.ca.Issue(t, func(c *x509.Certificate) {
		c.EmailAddresses, c.IPAddresses, c.URIs = []string{"billing@example.se"}, []net.IP{net.ParseIP("2001:db8::7")}, []*url.URL{{Scheme: "spiffe", Host: "example.se", Path: "/billing"}}
	})
	call, none := calls(t, s.proxy(t, "X-SSL-Client-Cert", mtlstest.Escaped), cert), calls(t, s.proxy(t, "X-SSL-Client-Cert", mtlstest.Escaped))
	for kind, value := range map[string]string{client.CertificateDNS: "billing.example.se", client.CertificateEmail: "billing@example.se", client.CertificateIP: "2001:db8::7",
		client.CertificateURI: "spiffe://example.se/billing", client.CertificateDN: "CN=billing,O=Exempel AB,C=SE"} {
		s.apply(t, certifies(kind, kind+`: "`+value+`"`), certifies("not-"+kind, kind+`: "`+strings.NewReplacer("billing", "evil", "::7", "::8").Replace(value)+`"`))
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {kind}}
		if p := call("/token", form); p.Status != http.StatusOK {
			t.Errorf("%s: got %d %s", kind, p.Status, p.Body)
		}
		refused(t, kind+" without a certificate", none("/token", form), "invalid_client")
		refused(t, kind+" with the header of another kind of proxy", none("/token", form, clientCert, mtlstest.Sequence(cert.Certificate[0])), "invalid_client")
		refused(t, kind+" with a header of its own making", none("/token", form, "X-SSL-Client-Cert", mtlstest.Escaped(cert.Certificate[0])), "invalid_client")
		form.Set("client_id", "not-"+kind)
		refused(t, kind+" of another", call("/token", form), "invalid_client")
	}
}

// TestCertificateRefused: whatever is not one good certificate of the client, alone, is refused at every endpoint. Each refusal is on record.
func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	refusedOn := func(t *testing.T, s *certified) {
		der := func(c tls.Certificate) string { return mtlstest.Sequence(c.Certificate[0]) }
		good, by := der(s.ca.Issue(t)), newSigner(t, "ES256")
		s.apply(t, signs("signs", set(t, by.public()))+", resource_server: true")
		stranger, now := mtlstest.NewAuthority(t, "Exempel CA"), s.Clock()
		id := url.Values{"client_id": {"billing"}}
		add := func(form url.Values, pairs ...string) url.Values {
			out := url.Values{"client_id": {"billing"}}
			for k, v := range form {
				out[k] = v
			}
			for i := 0; i < len(pairs); i += 2 {
				out.Set(pairs[i], pairs[i+1])
			}
			return out
		}
		for what, tt := range map[string]struct {
			form   url.Values
			header []string
		}{
			"no certificate":             {id, nil},
			"an empty header":            {id, []string{clientCert, ""}},
			"another authority's":        {id, []string{clientCert, der(stranger.Issue(t))}},
			"expired":                    {id, []string{clientCert, der(s.ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }))}},
			"not valid yet":              {id, []string{clientCert, der(s.ca.Issue(t, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }))}},
			"for servers":                {id, []string{clientCert, der(s.ca.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))}},
			"another client's":           {id, []string{clientCert, der(s.ca.Issue(t, mtlstest.Named("payroll")))}},
			"for another client":         {url.Values{"client_id": {"payroll"}}, []string{clientCert, good}},
			"the name in another kind":   {url.Values{"client_id": {"payroll"}}, []string{clientCert, der(s.ca.Issue(t, func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "payroll.example.se", nil }))}},
			"a shorter name":             {id, []string{clientCert, der(s.ca.Issue(t, func(c *x509.Certificate) { c.Subject.Organization = nil }))}},
			"garbage":                    {id, []string{clientCert, ":AAAA:"}},
			"a lot of garbage":           {id, []string{clientCert, strings.Repeat("A", 20<<10)}},
			"in another header":          {id, []string{"X-SSL-Client-Cert", good}},
			"in a chain alone":           {id, []string{"Client-Cert-Chain", good}},
			"in a look-alike":            {id, []string{"Client_Cert", good}},
			"from a page":                {id, []string{clientCert, good, "Origin", "https://evil.example"}},
			"from a page of no origin":   {id, []string{clientCert, good, "Origin", "null"}},
			"without client_id":          {nil, []string{clientCert, good}},
			"of nobody":                  {url.Values{"client_id": {"nobody"}}, []string{clientCert, good}},
			"and a secret":               {add(nil, "client_secret", servertest.Secret), []string{clientCert, good}},
			"and an empty secret":        {add(nil, "client_secret", ""), []string{clientCert, good}},
			"and Basic":                  {id, []string{clientCert, good, "Authorization", basicOf("billing", servertest.Secret)}},
			"and Basic without a secret": {id, []string{clientCert, good, "Authorization", basicOf("billing", "")}},
			"and Bearer":                 {id, []string{clientCert, good, "Authorization", "Bearer x"}},
			"and an assertion":           {add(asserted(s.assertion(t, by, "billing"))), []string{clientCert, good}},
			"a secret instead":           {add(nil, "client_secret", servertest.Secret), nil},
			"Basic instead":              {nil, []string{"Authorization", basicOf("billing", servertest.Secret)}},
			"an assertion instead":       {asserted(s.assertion(t, by, "billing")), nil},
			"a client with a secret":     {url.Values{"client_id": {"conf"}}, []string{clientCert, der(s.ca.Issue(t, mtlstest.Named("conf")))}},
			"one with it in the body":    {url.Values{"client_id": {"other"}}, []string{clientCert, good}},
			"a client with a key":        {url.Values{"client_id": {"signs"}}, []string{clientCert, good}},
		} {
			form := add(tt.form, "grant_type", "client_credentials", "token", "x", "scope", "openid")
			if tt.form["client_id"] == nil {
				form.Del("client_id")
			}
			for _, path := range []string{"/token", "/par", "/introspect", "/revoke", "/device_authorization"} {
				refused(t, "JW-04, RFC 8705 §2.1: "+what+" at "+path, s.call(t, http.MethodPost, path, form, tt.header...), "invalid_client")
			}
		}
		form := add(nil, "grant_type", "client_credentials")
		if p := s.call(t, http.MethodPost, "/token", form, clientCert, strings.Repeat("A", 40<<10)); p.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("40 KiB of header: got %d", p.Status)
		}
		r, err := http.NewRequest(http.MethodPost, s.URL+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, clientCert: {good, good}}
		refused(t, "RFC 9440 §2.2: the header twice", s.Browser(t).Do(r), "invalid_client")
		if p := s.call(t, http.MethodPost, "/token", form, clientCert, good); p.Status != http.StatusOK {
			t.Errorf("after all of these the right one gets %d %s", p.Status, p.Body)
		}
		if n := len(s.Events(t, audit.TokenIssued)); n != 1 {
			t.Errorf("%d tokens were issued", n)
		}
		s.certificatesOnRecord(t)
	}
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { refusedOn(t, newCertified(t, e.New(t))) })
	}
}

// certificatesOnRecord: a refusal says what was wrong and which certificate it was, and nothing of what that held.
func (s *certified) certificatesOnRecord(t *testing.T) {
	t.Helper()
	hints := map[string]bool{}
	for _, e := range s.Events(t, audit.TokenRefused, audit.AuthorizeRefused) {
		if e.Client != "billing" {
			continue
		}
		if e.Reason != audit.WrongSecret || e.Outcome != audit.Refused || e.Detail["error"] != "invalid_client" {
			t.Errorf("on record: %+v", e)
		}
		hints[e.Detail["hint"]] = e.Detail["certificate"] != ""
	}
	for hint, certificate := range map[string]bool{"has expired": true, "not valid yet": true, "no authority": true, "clientAuth": true, "its name": true, "passed none": false, "holds none": false, "more than one": false, "longer": false} {
		found := false
		for h, c := range hints {
			found = found || strings.Contains(h, hint) && c == certificate
		}
		if !found {
			t.Errorf("no refusal on record says %q: %v", hint, hints)
		}
	}
}

// TestCertificateOfOthers: to clients of other methods a certificate is nothing, neither a help nor a hindrance.
func TestCertificateOfOthers(t *testing.T) {
	t.Parallel()
	s := newCertified(t, storetest.SQLite(t))
	for _, cert := range []string{mtlstest.Sequence(s.ca.Issue(t).Certificate[0]), "garbage"} {
		if p := s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basicOf("conf", servertest.Secret), clientCert, cert); p.Status != http.StatusOK {
			t.Errorf("a client with a secret: %d %s", p.Status, p.Body)
		}
		form := codeForm(s.code(t, "pub"))
		form.Set("client_id", "pub")
		if p := s.call(t, http.MethodPost, "/token", form, clientCert, cert); p.Status != http.StatusOK {
			t.Errorf("a public client: %d %s", p.Status, p.Body)
		}
	}
	for _, e := range s.Events(t, audit.TokenIssued) {
		if e.Detail["certificate"] != "" {
			t.Errorf("on record: %v", e.Detail)
		}
	}
}

// TestCertificateFromAnybody: the header counts from a trusted proxy alone, whatever the request says of where it comes from.
func TestCertificateFromAnybody(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*servertest.Options){
		"proxies elsewhere": func(o *servertest.Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"no proxies":        func(o *servertest.Options) { o.Proxies = nil },
		"no header":         func(o *servertest.Options) { o.Cert = "" },
		"no authorities":    func(o *servertest.Options) { o.Issuers = nil },
	} {
		s := newCertified(t, storetest.SQLite(t), change)
		good := mtlstest.Sequence(s.ca.Issue(t).Certificate[0])
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}}
		refused(t, what, s.call(t, http.MethodPost, "/token", form, clientCert, good), "invalid_client")
		refused(t, what+", with X-Forwarded-For", s.call(t, http.MethodPost, "/token", form, clientCert, good, "X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.1", "X-Real-IP", "192.0.2.1"), "invalid_client")
	}
}

// TestCertificateDiscovery: the method is offered where it works, to those who register themselves too.
func TestCertificateDiscovery(t *testing.T) {
	t.Parallel()
	body := `{"token_endpoint_auth_method":"tls_client_auth","tls_client_auth_san_dns":"billing.example.se",` + plainMetadata[1:]
	for _, on := range []bool{true, false} {
		s := newCertified(t, storetest.SQLite(t), func(o *servertest.Options) {
			if !on {
				o.Issuers, o.Cert = nil, ""
			}
		})
		text := s.call(t, http.MethodGet, "/.well-known/openid-configuration", nil).Body
		if n := strings.Count(text, `"tls_client_auth"`); n != map[bool]int{true: 3}[on] {
			t.Errorf("on: %v, named %d times in %s", on, n, text)
		}
		p := s.send(t, http.MethodPost, "/register", s.initial(t), body)
		if !on {
			refused(t, "a registration for what is off", p, "invalid_client_metadata")
			continue
		}
		e := readEnrolled(t, p)
		if p.Status != http.StatusCreated || e.Secret != "" || object(t, p)["tls_client_auth_san_dns"] != "billing.example.se" {
			t.Fatalf("registration: %d %s", p.Status, p.Body)
		}
		form := codeForm(s.code(t, e.ID))
		form.Set("client_id", e.ID)
		if p := s.call(t, http.MethodPost, "/token", form, clientCert, mtlstest.Sequence(s.ca.Issue(t).Certificate[0])); p.Status != http.StatusOK {
			t.Errorf("who registered itself gets %d %s", p.Status, p.Body)
		}
		for what, bad := range map[string]string{
			"no name":        strings.Replace(body, "tls_client_auth_san_dns", "x", 1),
			"two names":      `{"tls_client_auth_san_ip":"192.0.2.7",` + body[1:],
			"a wildcard":     strings.Replace(body, "billing.example", "*.example", 1),
			"another method": strings.Replace(body, `"tls_client_auth"`, `"client_secret_basic"`, 1),
			"self-signed":    strings.Replace(body, `"tls_client_auth"`, `"self_signed_tls_client_auth"`, 1),
			"a list":         strings.Replace(body, `"billing.example.se"`, `["billing.example.se"]`, 1),
			"bound tokens":   `{"tls_client_certificate_bound_access_tokens":true,` + body[1:],
		} {
			refused(t, "registration with "+what, s.send(t, http.MethodPost, "/register", s.initial(t), bad), "invalid_client_metadata")
		}
	}
}

// TestCertificateInTime: the clock of the program says whether a certificate is valid, and a client that changes its method leaves the one before
// behind.
func TestCertificateInTime(t *testing.T) {
	t.Parallel()
	s := newCertified(t, storetest.SQLite(t))
	cert := mtlstest.Sequence(s.ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = s.Clock().Add(time.Hour) }).Certificate[0])
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}}
	ask := func(header ...string) *servertest.Page { return s.call(t, http.MethodPost, "/token", form, header...) }
	if p := ask(clientCert, cert); p.Status != http.StatusOK {
		t.Fatalf("in time: %d %s", p.Status, p.Body)
	}
	s.clock.Add(2 * time.Hour)
	refused(t, "an hour late", ask(clientCert, cert), "invalid_client")
	cert = mtlstest.Sequence(s.ca.Issue(t).Certificate[0])
	settled := func(want int, header ...string) { // a change is known everywhere within half a second
		t.Helper()
		p := ask(header...)
		for end := time.Now().Add(30 * time.Second); p.Status != want && time.Now().Before(end); p = ask(header...) {
			time.Sleep(20 * time.Millisecond)
		}
		if p.Status != want {
			t.Fatalf("got %d %s", p.Status, p.Body)
		}
	}
	s.apply(t, "client_id: billing, client_secret: "+servertest.Secret+", "+registered)
	settled(http.StatusUnauthorized, clientCert, cert)
	settled(http.StatusOK, "Authorization", basicOf("billing", servertest.Secret))
	s.apply(t, certifies("billing", "tls_client_auth_san_dns: billing.example.se"))
	settled(http.StatusUnauthorized, "Authorization", basicOf("billing", servertest.Secret))
	settled(http.StatusOK, clientCert, cert)
	storetest.View(t, s.DB, func(tx *store.Tx) error {
		c, err := tx.ClientByID("billing")
		if len(c.Secret) != 0 {
			t.Errorf("the secret is kept: %x", c.Secret)
		}
		return err
	})
}
