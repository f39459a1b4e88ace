package client

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestRedirectFault is RU-01, RU-02, RU-03 and RU-05 of the threat list at registration, and relatives.
func TestRedirectFault(t *testing.T) {
	label := strings.Repeat("a", 63)
	tests := []struct {
		uri  string
		want string // a part of the answer; "" means that it may be registered
	}{
		{"https://app.example", ""},
		{"https://app.example/", ""},
		{"https://app.example/callback", ""},
		{"https://app.example:8443/cb?tenant=a&b=%C3%A5", ""},
		{"https://app.example:443/cb", ""},
		{"https://app.example/a;b=c/d,e:f@g!$&'()+=~_-.html", ""},
		{"https://app.example/.well-known/cb...", ""},
		{"https://app.example/sp%20ace", ""},
		{"https://xn--bcher-kva.example/cb", ""},
		{"https://" + strings.Repeat(label+".", 3) + label[:61] + "/", ""},
		{"https://192.0.2.1/cb", ""},
		{"https://[2001:db8::1]/cb", ""},
		{"https://[2001:db8::1]:8443/cb", ""},
		{"http://localhost/cb", ""},
		{"http://localhost:8081/callback", ""},
		{"http://127.0.0.1/cb", ""},
		{"http://127.0.0.1:1/cb", ""},
		{"http://[::1]:65535/cb", ""},
		{"https://app.example/" + strings.Repeat("a", 2048-20), ""},

		// RU-05: schemes, in any case.
		{"javascript:alert(1)", "scheme"},
		{"JaVaScRiPt:alert(1)", "scheme"},
		{"javascript://app.example/%0aalert(1)", "control"},
		{"data:text/html,hello", "scheme"},
		{"DATA:text/html;base64,AAAA", "scheme"},
		{"vbscript:msgbox(1)", "scheme"},
		{"file:///etc/passwd", "scheme"},
		{"blob:https://app.example/1", "scheme"},
		{"about:blank", "scheme"},
		{"ws://app.example/cb", "scheme"},
		{"wss://app.example/cb", "scheme"},
		{"ftp://app.example/cb", "scheme"},
		{"view-source:https://app.example", "scheme"},
		{"intent://app.example/cb", "scheme"},
		{"mailto:a@app.example", "scheme"},
		{"myapp:/cb", "scheme"},
		{"urn:ietf:wg:oauth:2.0:oob", "scheme"},
		{"HTTPS://app.example/cb", "reads differently"},
		{"com.example.app:/cb", "private-use"},

		// Plain http.
		{"http://app.example/cb", "loopback"},
		{"http://LOCALHOST/cb", "loopback"},
		{"http://localhost./cb", "loopback"},
		{"http://a.localhost/cb", "loopback"},
		{"http://127.0.0.2/cb", "loopback"},
		{"http://127.1/cb", "loopback"},
		{"http://127.0.0.1.evil.example/cb", "loopback"},
		{"http://[::ffff:127.0.0.1]/cb", "loopback"},
		{"http://[0:0:0:0:0:0:0:1]/cb", "loopback"},
		{"http://0.0.0.0/cb", "loopback"},
		{"http://[::]/cb", "loopback"},

		// RU-01: user information and confused hosts.
		{"https://app.example@evil.com/cb", "user information"},
		{"https://app.example:pw@evil.com", "user information"},
		{"https://evil.com@@app.example/cb", "user information"},
		{"https://@app.example/cb", "user information"},
		{"http://evil@127.0.0.1/cb", "user information"},
		{`https://a\@b`, "backslash"},
		{`https:\\evil.example`, "backslash"},
		{"https://a%40b/cb", "cannot be read"},
		{"https://a%2eexample/cb", "cannot be read"},

		// RU-03: wildcards.
		{"https://app.example*", "wildcard"},
		{"https://*.example/cb", "wildcard"},
		{"https://app.example/*", "wildcard"},
		{"https://app.example/cb?x=*", "wildcard"},
		{"https://foo(.|x)example.com/", "non-ASCII"},

		// RU-02: dot segments.
		{"https://app.example/cb/../evil", "segment"},
		{"https://app.example/..", "segment"},
		{"https://app.example/./cb", "segment"},
		{"https://app.example/cb/..;/evil", "segment"},
		{"https://app.example/cb/.;a=b/evil", "segment"},
		{"https://app.example/cb/%2e%2e/evil", "encoded"},
		{"https://app.example/cb/.%2E/evil", "encoded"},
		{"https://app.example/cb%252f..", "encoded"},
		{"https://app.example/cb%2Fx", "encoded"},
		{"https://app.example/cb%5cx", "encoded"},

		// RU-05: fragments, relative forms, characters, length.
		{"https://a.example/#f", "fragment"},
		{"https://a.example/#", "fragment"},
		{"https://a.example/%23", ""}, // an encoded # is a character of the path
		{"//evil.example", "absolute"},
		{"/cb", "absolute"},
		{"cb", "absolute"},
		{"", "empty"},
		{":", "cannot be read"},
		{"https:", "no host"},
		{"https:///cb", "no host"},
		{"https:app.example/cb", "no host"},
		{"https:/app.example/cb", "no host"},
		{"https://a.example/c b", "space"},
		{" https://a.example/", "space"},
		{"https://a.example/\r\nX: y", "control"},
		{"https://a.example/\tcb", "control"},
		{"https://a.example/\x00", "control"},
		{"https://a.example/\x7f", "control"},
		{"https://a.example/%0d%0aX:y", "control"},
		{"https://a.example/?x=%00", "control"},
		{"https://a.example/?x=%7F", "control"},
		{"https://a.example/?x=%", "percent"},
		{"https://a.example/?x=%4", "percent"},
		{"https://a.example/?x=%+1", "percent"},
		{"https://a.example/%zz", "percent"},
		{"https://аpp.example/cb", "non-ASCII"}, // the first letter is Cyrillic
		{"https://app.example/å", "non-ASCII"},
		{"https://app。example/cb", "non-ASCII"},
		{`https://a.example/"onload="x`, "quote"},
		{"https://a.example/?<script>", "non-ASCII"},
		{"https://a.example/{id}", "non-ASCII"},
		{"https://app.example/" + strings.Repeat("a", 5000), "2048"},
		{"https://app.example/" + strings.Repeat("a", 2048-19), "2048"},

		// Hosts and ports that two readers read differently.
		{"https://127.1/cb", "number"},
		{"https://2130706433/cb", "number"},
		{"https://0x7f000001/cb", "number"},
		{"https://0x7f.0.0.0x1/cb", "number"},
		{"https://0177.0.0.1/cb", "number"},
		{"https://1.2.3.4.5/cb", "number"},
		{"https://app.example./cb", "DNS name"},
		{"https://app..example/cb", "DNS name"},
		{"https://app_1.example/cb", "DNS name"},
		{"https://a,b.example/cb", "DNS name"},
		{"https://" + label + "a.example/", "DNS name"},
		{"https://" + strings.Repeat(label+".", 4) + "example/", "253"},
		{"https://[2001:DB8::1]/cb", "IPv6"},
		{"https://[2001:db8:0::1]/cb", "IPv6"},
		{"https://[fe80::1%25eth0]/cb", "IPv6"},
		{"https://[::ffff:192.0.2.1]/cb", "IPv6"},
		{"https://[::1/cb", "cannot be read"},
		{"https://app.example:/cb", "port"},
		{"https://app.example:0/cb", "port"},
		{"https://app.example:00443/cb", "port"},
		{"https://app.example:65536/cb", "port"},
		{"https://app.example:99999/cb", "port"},
		{"https://app.example:-1/cb", "cannot be read"},
		{"https://app.example:4a/cb", "cannot be read"},
		{"http://127.0.0.1:99999/cb", "port"},
		{"http://[::1]:/cb", "port"},
	}
	for _, tt := range tests {
		got := redirectFault(tt.uri, false)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%.90q: got %q, want %q", tt.uri, got, tt.want)
		}
		if privateUse(strings.SplitN(tt.uri, ":", 2)[0]) {
			continue
		}
		if again := redirectFault(tt.uri, true); again != got {
			t.Errorf("%.90q: %q for a public client, %q for a confidential one", tt.uri, again, got)
		}
	}
}

// TestPrivateUse is RFC 8252 §7.1, for public clients alone.
func TestPrivateUse(t *testing.T) {
	for uri, want := range map[string]string{
		"com.example.app:/oauth2redirect":    "",
		"com.example.app://callback":         "",
		"com.example.app://callback/path":    "",
		"com.example.app:///path":            "",
		"com.example.app:cb":                 "path",
		"com.example.app:":                   "path",
		"com.example.app:/../x":              "segment",
		"com.example.app:/cb#x":              "fragment",
		"com.example.app://u@host/":          "user information",
		"com.example.app://host:0/":          "port",
		"COM.example.app:/cb":                "reads differently",
		"java.script:alert(1)":               "path",
		"example:/cb":                        "scheme",
		"com.example.app://host_name/x":      "DNS name",
		"com.example.app://a;script-src/x":   "DNS name",
		"com.example.app:/cb?x=javascript:1": "",
	} {
		got := redirectFault(uri, true)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", uri, got, want)
		}
		if redirectFault(uri, false) == "" {
			t.Errorf("%q is accepted for a confidential client", uri)
		}
	}
}

func TestOrigin(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example/callback?x=1":   "https://app.example",
		"https://app.example:8443/cb":        "https://app.example:8443",
		"http://localhost:8081/cb":           "http://localhost:8081",
		"http://127.0.0.1:51004/cb":          "http://127.0.0.1:51004",
		"http://[::1]:51004/cb":              "http:", // CSP has no IPv6 host; browsers drop the source
		"https://[2001:db8::1]/cb":           "https:",
		"com.example.app:/cb":                "com.example.app:",
		"com.example.app://host/cb":          "com.example.app:",
		"javascript:alert(1)":                "",
		"data:text/html,x":                   "",
		"http://app.example/cb":              "",
		"https://a.example;script-src/x":     "",
		"https://*/cb":                       "",
		"https://user@app.example/cb":        "",
		"https://app.example:99999/cb":       "",
		"/cb":                                "",
		"":                                   "",
		"%":                                  "",
		"https://app.example, https://evil/": "",
	} {
		if got := Origin(uri); got != want {
			t.Errorf("Origin(%q) = %q, want %q", uri, got, want)
		}
	}
}

// TestOrigins (TK-03): of public clients, on the web, as browsers write them.
func TestOrigins(t *testing.T) {
	c := sample(func(c *Client) {
		c.AuthMethod = AuthNone
		c.RedirectURIs = []string{"https://App.Example/cb", "https://app.example:443/x?y=1", "https://app.example:8443/cb", "http://localhost:80/cb", "http://127.0.0.1:5173/cb", "http://[::1]:80/cb",
			"https://[2001:db8::1]:443/cb", "com.example.app:/cb", "com.example.app://host/cb", "http://plain.example/cb", "https://user@app.example/cb"}
	})
	want := []string{"https://app.example", "https://app.example", "https://app.example:8443", "http://localhost", "http://127.0.0.1:5173", "http://[::1]", "https://[2001:db8::1]"}
	if got := c.Origins(); !slices.Equal(got, want) {
		t.Errorf("TK-03: got %q, want %q", got, want)
	}
	c.AuthMethod = AuthBasic
	if got := c.Origins(); got != nil {
		t.Errorf("TK-03: a confidential client has the origins %q", got)
	}
}

// FuzzRegistration: whatever may be registered has the properties of the package comment, read by a second route.
func FuzzRegistration(f *testing.F) {
	for _, s := range []string{"https://app.example/cb?x=1", "http://[::1]:9/cb", "com.example.app:/cb", "https://a@b/", "//x", "https://1.1/"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, uri string, public bool) {
		if redirectFault(uri, public) != "" {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.String() != uri || u.User != nil || u.Fragment != "" || u.Opaque != "" || len(uri) > 2048 {
			t.Fatalf("%q was accepted: %#v, %v", uri, u, err)
		}
		if strings.ContainsAny(uri, "*#\\ \t\r\n\"<>") || strings.Contains(u.Path, "..;") || strings.Contains(u.Path+"/", "/../") {
			t.Fatalf("%q was accepted", uri)
		}
		ip, _ := netip.ParseAddr(u.Hostname())
		loopback := u.Hostname() == "localhost" || ip.IsLoopback()
		if u.Scheme != "https" && !(u.Scheme == "http" && loopback) && !(public && strings.Contains(u.Scheme, ".")) {
			t.Fatalf("%q was accepted with scheme %q", uri, u.Scheme)
		}
		// RFC 3986 §5.2.4: resolving against itself must not change the path.
		if ref := u.ResolveReference(&url.URL{Path: u.Path, RawPath: u.RawPath}); u.Path != "" && ref.EscapedPath() != u.EscapedPath() {
			t.Fatalf("%q has the path %q, resolved %q", uri, u.EscapedPath(), ref.EscapedPath())
		}
		if o := Origin(uri); o == "" || strings.ContainsAny(o, " ;,'*") {
			t.Fatalf("Origin(%q) = %q", uri, o)
		}
	})
}
