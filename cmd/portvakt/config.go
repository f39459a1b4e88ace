package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/policy"
)

// settings are flags, environment variables PORTVAKT_… and keys of the configuration file alike. The README's table is
// made from these tags (make docs).
type settings struct {
	Listen         string          `help:"Address to serve on." default:"127.0.0.1:8080"`
	Issuer         string          `help:"The public base URL. https is required unless its host is loopback; never taken from a request's headers." default:"http://localhost:8080"`
	Organisation   string          `help:"The name that pages and soft tokens show." default:"Portvakt"`
	Database       string          `help:"sqlite:PATH, or postgres://… (several hosts with target_session_attrs=read-write work)." default:"sqlite:portvakt.db"`
	DatabaseFile   string          `help:"File that holds the database address, instead of database." placeholder:"FILE"`
	Keys           string          `help:"Folder of the signing keys and the sealing key; made on the first start. A missing or damaged key afterwards is a refusal to start." default:"keys" name:"keys"`
	KeyRotation    policy.Duration `help:"Age at which a signing key is replaced, 1d at least; 0d: by keys rotate alone." default:"90d"`
	TrustedProxies []string        `help:"CIDRs whose X-Forwarded-For is believed." placeholder:"CIDR"`

	ClientCertificateCA     string `help:"PEM file of the authorities whose certificates clients may authenticate by (tls_client_auth). Needs trusted-proxies." placeholder:"FILE" name:"client-certificate-ca"`
	ClientCertificateHeader string `help:"Header in which trusted-proxies pass the client's certificate on, as RFC 9440 has it or as URL-escaped PEM; they must set or remove it in every request." default:"Client-Cert" name:"client-certificate-header"`

	SMS string `help:"Where text messages go: twilio, file:PATH (JSON lines), log, or off." default:"off" name:"sms"`

	TwilioAccountSid          string `help:"Twilio's account SID." placeholder:"AC…"`
	TwilioAuthToken           string `help:"Twilio's auth token." placeholder:"TOKEN"`
	TwilioAuthTokenFile       string `help:"File that holds the auth token, instead of twilio-auth-token." placeholder:"FILE"`
	TwilioFrom                string `help:"Number or name that messages come from; or give one of the next two." placeholder:"FROM"`
	TwilioMessagingServiceSid string `help:"Messaging service that sends." placeholder:"MG…"`
	TwilioVerifyServiceSid    string `help:"Verify service that sends our codes in its own words." placeholder:"VA…"`
	TwilioBaseUrl             string `help:"Twilio's address, for tests and proxies." placeholder:"URL"`

	Mail     string `help:"Where mail goes: smtp://user:pass@host:port, smtps://…, file:PATH (JSON lines), log, or off." default:"off"`
	MailFile string `help:"File that holds the mail address, instead of mail." placeholder:"FILE"`
	MailFrom string `help:"The sender of mail." placeholder:"ADDRESS"`

	PasswordBlocklist string `help:"File of passwords that others know, made by blocklist import. It is used beside the list that is built in." placeholder:"FILE"`

	MetricsListen string `help:"Address for Prometheus metrics, at /metrics; none unless given." placeholder:"ADDRESS"`
	LogFormat     string `help:"text or json; text on a terminal, else json." enum:"auto,text,json" default:"auto"`
	TestClockFile string `help:"File with a signed duration such as +90s that is added to the clock, read anew each second. Refused unless the issuer's host is loopback. For tests alone." placeholder:"FILE"`
}

// issuerURL is the issuer once check has passed.
func (s *settings) issuerURL() *url.URL {
	u, err := url.Parse(strings.TrimSuffix(s.Issuer, "/"))
	if err != nil {
		panic(err) // check parsed it
	}
	return u
}

// check finds what is wrong with the settings by themselves.
func (s *settings) check() error {
	for _, secret := range []struct {
		name, path string
		into       *string
	}{{"database-file", s.DatabaseFile, &s.Database}, {"twilio-auth-token-file", s.TwilioAuthTokenFile, &s.TwilioAuthToken}, {"mail-file", s.MailFile, &s.Mail}} {
		if secret.path == "" {
			continue
		}
		text, err := os.ReadFile(secret.path)
		if err != nil {
			return fmt.Errorf("%s: %w", secret.name, err)
		}
		*secret.into = strings.TrimSpace(string(text))
	}
	if s.Keys == "" {
		return errors.New("keys is empty; name a folder for the keys")
	}
	given := s.Issuer
	s.Issuer = strings.TrimSuffix(given, "/")
	u, err := url.Parse(s.Issuer)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("issuer %q is not a URL like https://login.example.se", given)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("issuer %q: give scheme, host and port alone, without path, query or user", s.Issuer)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("issuer %q: https is required unless the host is loopback", s.Issuer)
	case s.TestClockFile != "" && !loopback(u.Hostname()):
		return errors.New("test-clock-file is for tests alone: it is refused unless the issuer's host is loopback")
	}
	if every := time.Duration(s.KeyRotation); every != 0 && every < 24*time.Hour {
		return fmt.Errorf("key-rotation %s is too short: each key stays published for 30 days; give 1d at least, or 0d for never", s.KeyRotation)
	}
	proxies, err := s.proxies()
	if err != nil {
		return err
	}
	return s.checkCertificates(proxies)
}

// checkCertificates: a certificate's text is no secret, so the header that has it must come from a proxy that is known to set it.
func (s *settings) checkCertificates(proxies []netip.Prefix) error {
	switch name := s.ClientCertificateHeader; {
	case s.ClientCertificateCA != "" && len(proxies) == 0:
		return errors.New("client-certificate-ca needs trusted-proxies: certificates arrive in a header, which is believed from the proxy alone that ends TLS")
	case s.ClientCertificateCA != "" && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Bits() < 7 }): // fc00::/7 is the largest private range
		return errors.New("trusted-proxies has nearly every address: beside client-certificate-ca anybody could then say whose certificate they have; name the proxy alone")
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(headerChars, r) }):
		return fmt.Errorf("client-certificate-header %q is not a header's name of letters, digits and -", name)
	}
	return nil
}

const headerChars = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// certificateHeader is the header for a client's certificate, or empty where nobody authenticates by one.
func (s *settings) certificateHeader() string {
	if s.ClientCertificateCA == "" {
		return ""
	}
	return http.CanonicalHeaderKey(s.ClientCertificateHeader)
}

func (s *settings) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range s.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted-proxies: %q is not a CIDR like 10.0.0.0/8", text)
		}
		out = append(out, p)
	}
	return out, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
