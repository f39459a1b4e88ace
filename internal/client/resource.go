package client

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxResource bounds one resource indicator, in bytes.
const maxResource = 512

// Reaches reports whether the client may ask for tokens for a resource (RFC 8707 §2). The comparison is of bytes.
func (c *Client) Reaches(resource string) bool { return slices.Contains(c.Resources, resource) }

// checkResources holds the resources that the client may ask for: absolute URIs without fragment (RFC 8707 §2), each once.
func (c *Client) checkResources(f *faults) {
	if len(c.Resources) > maxURIs {
		f.add("resources", "", fmt.Sprintf("has %d addresses; give at most %d", len(c.Resources), maxURIs))
		return
	}
	for i, r := range c.Resources {
		if text := resourceFault(r); text != "" {
			f.add("resources", r, text)
		} else if slices.Contains(c.Resources[:i], r) {
			f.add("resources", r, "stands twice; remove one")
		}
	}
}

// resourceFault says what is wrong with a resource indicator and what to do, or "". It names an API and is never fetched, so any scheme
// will do, a URN among them.
func resourceFault(raw string) string {
	if len(raw) > maxResource {
		return fmt.Sprintf("is longer than %d bytes; shorten it", maxResource)
	}
	if text := characterFault(raw); text != "" {
		return text
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "cannot be read as a URI; give one such as https://api.example"
	case u.Scheme == "" || u.Opaque == "" && u.Host == "" && strings.Trim(u.Path, "/") == "":
		return "is not absolute; give a URI such as https://api.example or urn:example:api"
	case u.User != nil:
		return "has user information before @; remove it"
	}
	return ""
}
