package client

import (
	"net/url"
	"strings"
)

// The subject types (OpenID Connect Core 1.0 §8).
const (
	SubjectPublic   = "public"   // a person has the same sub at every such client; the default
	SubjectPairwise = "pairwise" // a person has a sub of their own in each sector
)

// Pairwise reports whether the client knows people by a sub that nobody outside its sector knows.
func (c *Client) Pairwise() bool { return c.SubjectType == SubjectPairwise }

// Sector is the host that stands for those who share a pairwise sub (OpenID Connect Core 1.0 §8.1): that of the sector identifier URI or,
// without one, that of every redirect URI, in lower case and without a port. A client that passed Validate as pairwise has one.
func (c *Client) Sector() string {
	if c.SectorURI != "" {
		return hostOf(c.SectorURI)
	}
	if len(c.RedirectURIs) == 0 {
		return ""
	}
	return hostOf(c.RedirectURIs[0])
}

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// checkSubject holds under which sub the client knows people. Whether the document at the sector identifier URI holds the redirect URIs
// (OpenID Connect Dynamic Client Registration 1.0 §5) is for who registers it to see: an administrator vouches for a client of theirs.
func (c *Client) checkSubject(f *faults) {
	if c.SubjectType != "" && c.SubjectType != SubjectPairwise {
		f.add("subject_type", c.SubjectType, "is not known; use public or pairwise")
		return
	}
	if uri := c.SectorURI; uri != "" {
		if text := redirectFault(uri, false); text != "" {
			f.add("sector_identifier_uri", uri, text)
		}
		return
	}
	if !c.Pairwise() {
		return
	}
	sector := c.Sector()
	if sector == "" {
		f.add("subject_type", c.SubjectType, "needs a host that it holds for; give redirect_uris that have one, or sector_identifier_uri")
		return
	}
	for _, uri := range c.RedirectURIs {
		if hostOf(uri) != sector {
			f.add("subject_type", c.SubjectType, "needs one host for all redirect_uris, or sector_identifier_uri beside them (OpenID Connect Core §8.1)")
			return
		}
	}
}
