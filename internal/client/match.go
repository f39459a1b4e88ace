package client

import (
	"slices"
	"strings"
)

// MatchRedirect reports whether a requested redirect URI is registered. The comparison is of bytes (RFC 9700 §2.1,
// RFC 3986 §6.2.1) with one leeway, RFC 8252 §7.3: where http://127.0.0.1 or http://[::1] is registered, a native
// application may ask for any explicit port in 1..65535, and everything around the port stays byte-identical. A parser
// is not asked, so user information, letter case, encoded dots, an empty query or an empty fragment never pass.
// localhost has no leeway (RFC 8252 §8.3).
func (c *Client) MatchRedirect(requested string) bool {
	if slices.Contains(c.RedirectURIs, requested) {
		return true
	}
	host, port, rest, ok := splitLoopback(requested)
	if !ok || !validPort(port) {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		h, _, r, ok := splitLoopback(registered)
		return ok && h == host && r == rest
	})
}

// MatchPostLogout reports whether a post_logout_redirect_uri is registered, byte for byte (OpenID Connect RP-Initiated
// Logout 1.0 §3).
func (c *Client) MatchPostLogout(requested string) bool {
	return slices.Contains(c.PostLogoutRedirectURIs, requested)
}

// splitLoopback cuts http://127.0.0.1:PORT/rest at the port, which may be absent; rest is empty or begins with / or ?.
func splitLoopback(uri string) (host, port, rest string, ok bool) {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		after, found := strings.CutPrefix(uri, host)
		if !found {
			continue
		}
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		port, rest := after[:end], after[end:]
		if port == "" {
			return host, "", rest, true
		}
		port, found = strings.CutPrefix(port, ":")
		return host, port, rest, found && !strings.Contains(rest, "#")
	}
	return "", "", "", false
}
