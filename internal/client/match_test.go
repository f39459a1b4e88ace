package client

import (
	"net/url"
	"strings"
	"testing"
)

// TestMatchRedirect is RU-01, RU-02, RU-03 and RU-04 of the threat list against registered addresses, and relatives.
func TestMatchRedirect(t *testing.T) {
	web := "https://app.example/cb"
	tests := []struct {
		registered string
		yes        []string
		no         []string
	}{
		{web, []string{web}, []string{
			"", "https://app.example", "https://app.example/", "https://app.example/cb/", "https://app.example/CB",
			"https://app.example/cb?", "https://app.example/cb#", "https://app.example/cb?x=1", "https://app.example/cb#x",
			"https://app.example/cb/../evil", "https://app.example/cb/..;/evil", "https://app.example/cb/%2e%2e/",
			"https://app.example/cb%252f..", "https://app.example/c%62", "https://app.example//cb", "https://app.example/./cb",
			"https://app.example.evil.com/cb", "https://app.example@evil.com/cb", "https://evil.com@@app.example/cb",
			"https://app.example:pw@evil.com", "https://user@app.example/cb", "https://app.example:443/cb",
			"https://app.example:8443/cb", "https://app.example./cb", "https://APP.example/cb", "HTTPS://app.example/cb",
			"http://app.example/cb", "//app.example/cb", "https:app.example/cb", " https://app.example/cb",
			"https://app.example/cb ", "https://app.example/cb\n", "https://app.example/cb\x00", `https://app.example\cb`,
			"https://sub.app.example/cb", "https://appxexample/cb", "javascript:alert(1)", web + " " + web,
		}},
		{"https://app.example/cb?", []string{"https://app.example/cb?"}, []string{web}},
		{"https://foo.example.com", []string{"https://foo.example.com"}, []string{"https://fooaexample.com", "https://foo.example.com/"}},
		{"https://app.example*", []string{"https://app.example*"}, []string{"https://app.example.evil", "https://app.example"}},

		{"http://127.0.0.1/cb", []string{
			"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:80/cb", "http://127.0.0.1:51004/cb", "http://127.0.0.1:65535/cb",
		}, []string{
			"http://evil@127.0.0.1:9/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:0/cb",
			"http://127.0.0.1:/cb", "http://127.0.0.1:080/cb", "http://127.0.0.1:+80/cb", "http://127.0.0.1:-1/cb",
			"http://127.0.0.1: 80/cb", "http://127.0.0.1:8_0/cb", "http://127.0.0.1:0x50/cb", "http://127.0.0.1:٣/cb",
			"http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/cb/", "http://127.0.0.1:9/CB", "http://127.0.0.1:9//cb",
			"http://127.0.0.1:9/cb?", "http://127.0.0.1:9/cb#", "http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:9/cb#x",
			"http://127.0.0.1:9/./cb", "http://127.0.0.1:9/cb/../cb", "http://127.0.0.1:9/c%62", "http://127.0.0.1:9/%2e/cb",
			"http://127.0.0.1:9@evil.example/cb", "http://127.0.0.1:9:9/cb", "http://127.0.0.1.evil/cb", "http://127.0.0.1.evil:9/cb",
			"http://localhost:1/cb", "http://127.1/cb", "http://127.1:9/cb", "http://127.0.0.2:9/cb", "http://[::ffff:127.0.0.1]/cb",
			"http://[::1]:9/cb", "https://127.0.0.1:9/cb", "HTTP://127.0.0.1:9/cb", "http:/127.0.0.1:9/cb", "http:127.0.0.1:9/cb",
			"//127.0.0.1:9/cb", "http://0x7f000001:9/cb", "http://2130706433:9/cb", `http://127.0.0.1:9\cb`, "http://127.0.0.1:9 /cb",
		}},
		{"http://127.0.0.1:8080/cb", []string{"http://127.0.0.1:8080/cb", "http://127.0.0.1:9/cb"},
			[]string{"http://127.0.0.1/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:70000/cb"}},
		{"http://127.0.0.1/cb?a=b", []string{"http://127.0.0.1:7/cb?a=b"}, []string{"http://127.0.0.1:7/cb?a=c", "http://127.0.0.1:7/cb?a=b&"}},
		{"http://127.0.0.1", []string{"http://127.0.0.1", "http://127.0.0.1:7"}, []string{"http://127.0.0.1:7/", "http://127.0.0.1:7?", "http://127.0.0.1:7#"}},
		{"http://[::1]/cb", []string{"http://[::1]/cb", "http://[::1]:51004/cb"},
			[]string{"http://[::1]:0/cb", "http://[::1]9/cb", "http://[0:0:0:0:0:0:0:1]:9/cb", "http://[::1%25lo]:9/cb", "http://::1:9/cb", "http://127.0.0.1:9/cb"}},
		{"http://localhost:8081/cb", []string{"http://localhost:8081/cb"}, []string{"http://localhost:8082/cb", "http://localhost/cb", "http://127.0.0.1:8081/cb"}},
		{"https://127.0.0.1/cb", []string{"https://127.0.0.1/cb"}, []string{"https://127.0.0.1:9/cb"}},
		{"http://127.0.0.2/cb", nil, []string{"http://127.0.0.2:9/cb"}},
		{"http://127.0.0.1/cb#f", nil, []string{"http://127.0.0.1:9/cb#f"}}, // never registered by Validate; matched all the same only in full
		{"com.example.app:/cb", []string{"com.example.app:/cb"}, []string{"com.example.app:/CB", "COM.EXAMPLE.APP:/cb", "com.example.app://cb"}},
	}
	for _, tt := range tests {
		c := &Client{RedirectURIs: []string{"https://other.example/", tt.registered}}
		for _, s := range tt.yes {
			if !c.MatchRedirect(s) {
				t.Errorf("%q is registered, %q is refused", tt.registered, s)
			}
		}
		for _, s := range tt.no {
			if c.MatchRedirect(s) {
				t.Errorf("%q is registered, %q matches", tt.registered, s)
			}
		}
	}
	if (&Client{}).MatchRedirect("") || (&Client{}).MatchRedirect("http://127.0.0.1/") {
		t.Error("a client without redirect URIs matches something")
	}
}

func TestMatchPostLogout(t *testing.T) {
	c := &Client{PostLogoutRedirectURIs: []string{"https://app.example/out", "http://127.0.0.1/out"}, RedirectURIs: []string{"https://app.example/cb"}}
	if !c.MatchPostLogout("https://app.example/out") {
		t.Error("a registered address is refused")
	}
	for _, s := range []string{"", "https://app.example/out?x=1", "https://app.example/out/", "https://app.example/OUT",
		"https://app.example/cb", "http://127.0.0.1:9/out", "//evil", "javascript:alert(1)"} {
		if c.MatchPostLogout(s) {
			t.Errorf("%q matches", s)
		}
	}
}

// FuzzMatchRedirect: what matches without being equal to a registered address differs from one in its port alone, and
// net/url reads the two as the same in everything else (RFC 8252 §7.3).
func FuzzMatchRedirect(f *testing.F) {
	for _, s := range [][2]string{
		{"http://127.0.0.1/cb", "http://127.0.0.1:9/cb"}, {"http://[::1]:8/cb?x=1", "http://[::1]:65535/cb?x=1"},
		{"http://127.0.0.1/cb", "http://evil@127.0.0.1:9/cb"}, {"http://127.0.0.1/cb", "http://127.0.0.1:99999/cb"},
		{"http://127.0.0.1", "http://127.0.0.1:9#"}, {"https://app.example/cb", "https://app.example@evil.com/cb"},
		{"http://localhost/cb", "http://localhost:1/cb"}, {"http://127.0.0.1:1/", "http://127.0.0.1:2/?"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, registered, requested string) {
		c := &Client{AuthMethod: AuthNone, RedirectURIs: []string{registered}}
		if redirectFault(registered, true) != "" || requested == registered || !c.MatchRedirect(requested) {
			return
		}
		a, err := url.Parse(registered)
		if err != nil {
			t.Fatalf("registered %q: %v", registered, err)
		}
		b, err := url.Parse(requested)
		if err != nil {
			t.Fatalf("%q matches %q: %v", requested, registered, err)
		}
		strip := func(s string, u *url.URL) string {
			return strings.Replace(s, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
		}
		if x, y := strip(registered, a), strip(requested, b); x != y {
			t.Fatalf("%q matches %q: without ports %q and %q", requested, registered, y, x)
		}
		if b.Scheme != "http" || a.Scheme != b.Scheme || a.Hostname() != b.Hostname() || a.EscapedPath() != b.EscapedPath() ||
			a.RawQuery != b.RawQuery || a.ForceQuery != b.ForceQuery || b.User != nil || strings.Contains(requested, "#") {
			t.Fatalf("%q matches %q: read as %#v and %#v", requested, registered, b, a)
		}
		if b.Hostname() != "127.0.0.1" && b.Hostname() != "::1" || !validPort(b.Port()) {
			t.Fatalf("%q matches %q: host %q, port %q", requested, registered, b.Hostname(), b.Port())
		}
	})
}
