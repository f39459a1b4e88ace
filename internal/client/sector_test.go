package client

import (
	"strings"
	"testing"
)

// TestSector: a pairwise client has one host that it holds for (OpenID Connect Core §8.1).
func TestSector(t *testing.T) {
	pair := func(sector string, uris ...string) *Client {
		c := &Client{ID: "x", AuthMethod: AuthNone, RedirectURIs: uris, SectorURI: sector, SubjectType: SubjectPairwise}
		c.Normalise()
		return c
	}
	device := pair("")
	device.GrantTypes = []string{GrantDevice}
	for _, c := range []struct {
		client      *Client
		sector, why string
	}{
		{pair("", "https://app.example/cb"), "app.example", ""},
		{pair("", "https://App.Example:8443/cb", "https://app.example/other"), "app.example", ""},
		{pair("", "http://localhost:1/cb"), "localhost", ""},
		{pair("https://Sector.example:8443/uris", "https://a.example/", "https://b.example/"), "sector.example", ""},
		{pair("https://sector.example/", "com.example.app:/cb"), "sector.example", ""},
		{pair("", "https://a.example/", "https://b.example/"), "a.example", "needs one host"},
		{pair("", "https://a.example/", "https://a.example.b.example/"), "a.example", "needs one host"},
		{pair("", "com.example.app:/cb"), "", "needs a host"},
		{device, "", "needs a host"},
		{pair("http://sector.example/", "https://a.example/"), "sector.example", "is plain http"},
		{pair("https://*.example/", "https://a.example/"), "*.example", "has a wildcard"},
	} {
		err := c.client.Validate()
		if got := c.client.Sector(); got != c.sector || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, %q: sector %q, %v", c.client.RedirectURIs, c.client.SectorURI, got, err)
		}
	}
	open := pair("", "https://a.example/", "https://b.example/")
	open.SubjectType = SubjectPublic
	if open.Normalise(); open.Validate() != nil || open.SubjectType != "" || open.Pairwise() {
		t.Errorf("a public client: %v %+v", open.Validate(), open)
	}
	if open.SubjectType = "both"; open.Validate() == nil {
		t.Error("a subject type that is none passes")
	}
}
