package client

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURI = 2048

// Origin returns the source expression that a Content-Security-Policy form-action needs so that a browser may follow
// the redirect: scheme://host[:port], or "scheme:" for a private-use scheme. CSP 3 §2.3.1 has no way to write an IPv6
// host, and browsers drop such a source; "http:" or "https:" stands in for it. An address that Validate would refuse
// for its scheme or host gives "".
func Origin(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.User != nil || schemeFault(u, true) != "" || hostFault(u) != "" {
		return ""
	}
	if privateUse(u.Scheme) || strings.HasPrefix(u.Host, "[") {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// linkFault says what is wrong with the address of a page for people, or "": it may have a fragment, and is else what a redirect URI is.
func linkFault(raw string) string {
	page, fragment, _ := strings.Cut(raw, "#")
	if len(raw) > maxURI || strings.ContainsFunc(fragment, func(r rune) bool { return !unreserved(r) && !strings.ContainsRune("!$&'()*+,;=:@/?%", r) }) { // RFC 3986 §3.5
		return "is longer than 2048 bytes, or has a character after # that has no place there; write it as %XX"
	}
	return redirectFault(page, false)
}

// sameOrigin reports whether two addresses have one scheme, host and port, letter for letter.
func sameOrigin(one, other string) bool {
	a, err := url.Parse(one)
	b, fault := url.Parse(other)
	return err == nil && fault == nil && a.Scheme == b.Scheme && a.Host == b.Host
}

// Origins returns where a public client runs in browsers: the origins of its https and http redirect URIs, as browsers write them in the
// header Origin (RFC 6454 §6.2), so in lower case and without a port that goes without saying. A loopback port is the registered one: the
// leeway of MatchRedirect is for native applications. A confidential client has none: a secret has no place in a browser.
func (c *Client) Origins() []string {
	if !c.Public() {
		return nil
	}
	var out []string
	for _, redirect := range c.RedirectURIs {
		u, err := url.Parse(redirect)
		if err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || schemeFault(u, true) != "" || hostFault(u) != "" {
			continue
		}
		host := strings.ToLower(u.Host)
		if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; u.Port() != "" {
			host = strings.TrimSuffix(host, port)
		}
		out = append(out, u.Scheme+"://"+host)
	}
	return out
}

// redirectFault says what is wrong with an address that somebody wants to register and what to do, or "". The rules
// are those of RFC 9700 §2.1 and RFC 8252 §7, plus everything two readers of a URL have ever disagreed about.
func redirectFault(raw string, public bool) string {
	if text := characterFault(raw); text != "" {
		return text
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "cannot be read as a URL; give one such as https://app.example/callback"
	case u.Scheme == "":
		return "is not absolute; begin with https://"
	case u.User != nil:
		return "has user information before @; remove it"
	}
	if text := schemeFault(u, public); text != "" {
		return text
	}
	if text := hostFault(u); text != "" {
		return text
	}
	if text := pathFault(u); text != "" {
		return text
	}
	if again := u.String(); again != raw {
		return "reads differently after parsing; write " + strconv.Quote(again)
	}
	return ""
}

// characterFault looks at bytes alone, before any parser has an opinion.
func characterFault(raw string) string {
	switch {
	case raw == "":
		return "is empty; give an address or remove it"
	case len(raw) > maxURI:
		return "is longer than 2048 bytes; shorten it"
	case strings.Contains(raw, "*"):
		return "has a wildcard; name each address in full"
	case strings.Contains(raw, "#"): // RFC 6749 §3.1.2
		return "has a fragment; remove # and what follows"
	}
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			v, err := strconv.ParseUint(raw[i+1:min(i+3, len(raw))], 16, 8)
			if err != nil || i+3 > len(raw) || v < 0x20 || v == 0x7f {
				return "has a percent sign without two digits, or an encoded control character; remove it"
			}
		} else if !unreserved(rune(c)) && !strings.ContainsRune(":/?[]@!$&'()+,;=", rune(c)) { // RFC 3986 §2
			return "has a character no URL has (space, control, backslash, quote, non-ASCII); encode it, a host in its xn-- form"
		}
	}
	return ""
}

// schemeFault is a list of what is allowed. javascript, data, vbscript, file, blob, about and ws have no dot and so
// have no way in.
func schemeFault(u *url.URL, public bool) string {
	switch {
	case u.Scheme == "https":
		return ""
	case u.Scheme == "http":
		if h := u.Hostname(); h == "localhost" || h == "127.0.0.1" || h == "::1" {
			return ""
		}
		return "is plain http to a host that is not loopback; use https"
	case !privateUse(u.Scheme):
		return "has a scheme that is not allowed; use https"
	case !public:
		return "has a private-use scheme, which needs token_endpoint_auth_method none; use https"
	case u.Opaque != "" || u.Host == "" && u.Path == "":
		return "has no path; write it as " + u.Scheme + ":/callback"
	}
	return ""
}

// privateUse is RFC 8252 §7.1: a scheme made from a domain name, so it has a dot.
func privateUse(scheme string) bool { return strings.Contains(scheme, ".") }

// hostFault accepts a DNS name of letters, digits and hyphens, an IPv4 address in four decimal parts or an IPv6
// address in its canonical form. What browsers would rewrite (127.1, 0x7f000001, a final dot) is refused, and so is an
// underscore, which a Content-Security-Policy cannot name.
func hostFault(u *url.URL) string {
	if u.Host == "" {
		if privateUse(u.Scheme) {
			return ""
		}
		return "has no host; give one"
	}
	if _, port, found := strings.Cut(u.Host[strings.LastIndexByte(u.Host, ']')+1:], ":"); found && !validPort(port) {
		return "has a port that is not 1 to 65535; mend or remove it"
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		if a, err := netip.ParseAddr(host); err != nil || a.Zone() != "" || a.Is4In6() || a.String() != host {
			return "has an IPv6 address that is not in its shortest form or has a zone; mend it"
		}
		return ""
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, func(r rune) bool { return !letterOrDigit(r) && r != '-' }) {
			return "has a host that is not a DNS name of letters, digits and hyphens; mend it"
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	if strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" {
		if a, err := netip.ParseAddr(host); err != nil || a.String() != host {
			return "has a number for a host that browsers would rewrite; write the address as four decimal parts"
		}
	}
	if len(host) > 253 {
		return "has a host name longer than 253 characters; shorten it"
	}
	return ""
}

// pathFault refuses what makes a server serve another path than the one that was compared (RFC 3986 §5.2.4), also
// encoded, and in the ..;/ form of servlet containers.
func pathFault(u *url.URL) string {
	path := strings.ToLower(u.EscapedPath())
	for _, hidden := range []string{"%2e", "%2f", "%5c", "%25"} {
		if strings.Contains(path, hidden) {
			return "has an encoded dot, slash, backslash or percent sign in its path; write the path plainly"
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return "has a . or .. segment in its path; write the path it leads to"
		}
	}
	return ""
}

// validPort accepts 1..65535 without leading zeros or signs: one spelling for each port.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}
