package client

import (
	"strings"
	"testing"
)

func TestNearRedirect(t *testing.T) {
	c := Client{RedirectURIs: []string{"https://app.example/callback", "https://app.example/other/sign-in?tenant=7", "http://localhost:8081/cb"}}
	for _, w := range []struct{ sent, want, ours, theirs string }{
		{"https://app.example/callback/", "slash 29/29", "…/callback/", "…/callback"},
		{"https://app.example/callbac", "last 28/27", "…/callbac", "…/callback"},
		{"https://app.example/callbacK", "last 28/28", "…/callbacK", "…/callback"},
		{"https://app.example/CallBack", "case 21/28", "…/CallBack", "…/callback"},
		{"http://app.example/callback", "scheme", "", ""},
		{"https://app.example/callback#x", "fragment 29/30", "", ""},
		{"https://app.example/callback?next=alice%40example.se", "query 29/52", "", ""},
		{"https://app.example/other/sign-in?tenant=8", "last 42/42", "", ""},
		{"http://localhost:8080/cb", "port", "", ""},
		{"http://127.0.0.1:8081/cb", "host", "", ""},
		{"https://app.example/oauth2/callback", "path 22/35", "", ""},
		{"https://evil.example/x", "other", "", ""},
		{"https://alice:secret@app.example/callback", "other", "", ""},
		{"javascript:alert(1)", "other", "", ""},
		{"", "missing", "", ""},
	} {
		d, nearest := c.NearRedirect(w.sent)
		if d.String() != w.want || ParseDifference(d.String()) != d {
			t.Errorf("%q differs by %q, want %q", w.sent, d, w.want)
		}
		if ours, theirs, ok := d.Shown(w.sent, nearest); ours != w.ours || theirs != w.theirs || ok != (w.ours != "") {
			t.Errorf("%q shows %q and %q", w.sent, ours, theirs)
		}
	}
	if d, _ := new(Client).NearRedirect("https://app.example/"); d.Kind != NearNone {
		t.Errorf("without a registered one: %v", d)
	}
	for _, bad := range []string{"", "slash 0/1", "slash x", "slash 1/", "<script> 1/2", "path -1/3"} {
		if d := ParseDifference(bad); d != (Difference{Kind: NearNothing}) {
			t.Errorf("%q reads as %+v", bad, d)
		}
	}
}

// FuzzNearRedirect: what is kept of a difference is short and holds nothing of what was sent; what is shown is short.
func FuzzNearRedirect(f *testing.F) {
	f.Add("https://app.example/callback/", "https://app.example/callback")
	f.Add("http://[::1", "https://å/#?")
	f.Fuzz(func(t *testing.T, sent, registered string) {
		c := Client{RedirectURIs: []string{registered}}
		d, nearest := c.NearRedirect(sent)
		if s := d.String(); len(s) > 60 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz 0123456789/") != "" || ParseDifference(s) != d {
			t.Errorf("%q and %q differ by %q", sent, registered, s)
		}
		if ours, theirs, _ := d.Shown(sent, nearest); len(ours)+len(theirs) > 2*(tail+len("…")) {
			t.Errorf("%q and %q show %q and %q", sent, registered, ours, theirs)
		}
	})
}
