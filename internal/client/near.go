package client

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Difference is how a redirect URI that was sent differs from the nearest registered one. It holds nothing of either: it may be kept where
// addresses and their query values may not.
type Difference struct {
	Kind string // one of the Near words
	At   int    // the first character that differs, from 1
	Of   int    // the length of what was sent
}

// The closed list of differences, the smallest first.
const (
	NearSlash    = "slash"    // a final / that one of the two has
	NearLast     = "last"     // the last character
	NearCase     = "case"     // small letters and capitals
	NearScheme   = "scheme"   // http and https
	NearFragment = "fragment" // # and what follows, which no redirect URI has (RFC 6749 §3.1.2)
	NearQuery    = "query"    // ? and what follows
	NearPort     = "port"
	NearHost     = "host"
	NearPath     = "path" // the same scheme, host and port, and another path
	NearNothing  = "other"
	NearMissing  = "missing" // none was sent
	NearNone     = "none"    // none is registered
)

// String is a word, and for what has a place "word at/of".
func (d Difference) String() string {
	if d.At == 0 {
		return d.Kind
	}
	return d.Kind + " " + strconv.Itoa(d.At) + "/" + strconv.Itoa(d.Of)
}

// ParseDifference reads what String wrote; anything else is a difference of the kind NearNothing.
func ParseDifference(s string) Difference {
	kind, place, placed := strings.Cut(s, " ")
	d := Difference{Kind: kind}
	if at, of, ok := strings.Cut(place, "/"); ok {
		d.At, _ = strconv.Atoi(at)
		d.Of, _ = strconv.Atoi(of)
	}
	if weight(kind) < 0 || placed && (d.At <= 0 || d.Of <= 0) {
		return Difference{Kind: NearNothing}
	}
	return d
}

// weight orders the kinds; -1 for what is none.
func weight(kind string) int {
	for i, k := range [...]string{NearSlash, NearLast, NearCase, NearScheme, NearFragment, NearQuery, NearPort, NearHost, NearPath, NearNothing, NearMissing, NearNone} {
		if k == kind {
			return i
		}
	}
	return -1
}

// NearRedirect compares a redirect URI that is not registered with the one that it is nearest to, which it gives too.
func (c *Client) NearRedirect(sent string) (Difference, string) {
	switch {
	case len(c.RedirectURIs) == 0:
		return Difference{Kind: NearNone}, ""
	case sent == "":
		return Difference{Kind: NearMissing}, ""
	}
	best, nearest := Difference{Kind: NearNothing}, ""
	for _, registered := range c.RedirectURIs {
		d := differ(sent, registered)
		if nearest == "" || weight(d.Kind) < weight(best.Kind) || d.Kind == best.Kind && d.At > best.At {
			best, nearest = d, registered
		}
	}
	return best, nearest
}

// differ names the smallest difference that explains two addresses.
func differ(sent, registered string) Difference {
	at := 0
	for at < len(sent) && at < len(registered) && sent[at] == registered[at] {
		at++
	}
	d := Difference{At: at + 1, Of: len(sent)}
	switch {
	case sent == registered+"/" || sent+"/" == registered:
		d.Kind = NearSlash
	case at >= len(sent)-1 && at >= len(registered)-1:
		d.Kind = NearLast
	case strings.EqualFold(sent, registered):
		d.Kind = NearCase
	case "https"+strings.TrimPrefix(sent, "http") == registered || sent == "https"+strings.TrimPrefix(registered, "http"):
		d.Kind = NearScheme
	default:
		d.Kind = partOf(sent, registered)
	}
	if d.Kind == NearNothing || d.Kind == NearHost || d.Kind == NearPort || d.Kind == NearScheme {
		d.At, d.Of = 0, 0
	}
	return d
}

// partOf names the one part of an address in which two differ.
func partOf(sent, registered string) string {
	bare, _, fragment := strings.Cut(sent, "#")
	if fragment && bare == registered {
		return NearFragment
	}
	front, _, _ := strings.Cut(sent, "?")
	other, _, _ := strings.Cut(registered, "?")
	if front == other {
		return NearQuery
	}
	a, err := url.Parse(sent)
	if err != nil || !utf8.ValidString(sent) {
		return NearNothing
	}
	b, err := url.Parse(registered)
	if err != nil || a.Scheme != b.Scheme {
		return NearNothing
	}
	rest := a.EscapedPath() == b.EscapedPath() && a.RawQuery == b.RawQuery && a.Fragment == "" && a.User == nil
	switch {
	case a.Host == b.Host && a.User == nil:
		return NearPath
	case rest && a.Hostname() == b.Hostname():
		return NearPort
	case rest:
		return NearHost
	}
	return NearNothing
}

// tail is how much of an address is shown beside another.
const tail = 24

// Shown gives both addresses as far as a difference may be shown to whoever sent the one: only where that is so near to the other that they
// know it. Nothing of a query is shown, and of a path its end.
func (d Difference) Shown(sent, registered string) (ours, theirs string, ok bool) {
	switch d.Kind {
	case NearSlash, NearLast, NearCase:
		if strings.ContainsAny(sent+registered, "?#") {
			return "", "", false
		}
		return end(sent), end(registered), true
	}
	return "", "", false
}

// end is the last part of an address, from a / that is not its last character.
func end(uri string) string {
	i := strings.LastIndexByte(uri[:max(len(uri)-1, 0)], '/')
	cut := max(i, len(uri)-tail, 0)
	if cut == 0 {
		return uri
	}
	return "…" + uri[cut:]
}
