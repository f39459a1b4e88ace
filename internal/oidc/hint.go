package oidc

import (
	"strings"

	"github.com/portvakt/portvakt/internal/client"
)

// maxHint bounds, in bytes, what the trail keeps of a sentence for a developer.
const maxHint = 200

// keptHint is describe(err) as the trail keeps it, for the application's owner to read: without what the request brought. Every sentence sets
// that in quotes, so all from the first to the last of them is left out.
func keptHint(err error) string {
	hint := describe(err)
	if first := strings.IndexByte(hint, '\''); first >= 0 {
		hint = hint[:first] + "(...)" + hint[strings.LastIndexByte(hint, '\'')+1:]
	}
	return hint[:min(len(hint), maxHint)]
}

// redirectDetail says, to whoever sent a redirect URI that is not registered, how it differs from the nearest registered one. What they could
// not know is not shown.
func redirectDetail(d client.Difference, sent, registered string) string {
	ours, theirs, shown := d.Shown(sent, registered)
	text := map[string]string{
		client.NearSlash:    "the redirect_uri sent differs from the registered one in its last character",
		client.NearLast:     "the redirect_uri sent differs from the registered one in its last character",
		client.NearCase:     "the redirect_uri sent differs from a registered one in small letters and capitals",
		client.NearScheme:   "the redirect_uri sent differs from a registered one in its scheme: http and https are two addresses",
		client.NearFragment: "the redirect_uri sent has a fragment: leave out # and what follows",
		client.NearQuery:    "the redirect_uri sent differs from a registered one in its query: what is compared includes ? and what follows",
		client.NearNone:     "no redirect_uri is registered for this client",
		client.NearMissing:  "redirect_uri is missing",
	}[d.Kind]
	if text == "" {
		return "the redirect_uri sent is not one of those registered for this client, compared character by character"
	}
	if shown {
		text += ": " + ours + " and " + theirs
	}
	return text
}
