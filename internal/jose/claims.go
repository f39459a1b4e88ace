package jose

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// skew is how far a clock of theirs may be from ours. FAPI 2.0 Security Profile §5.3.2.1: 10 seconds have to be
	// accepted, more than 60 refused.
	skew = 60 * time.Second

	assertionLife = 10 * time.Minute
	requestLife   = 60 * time.Minute
	maxID         = 256 // bytes of a jti
)

// WantAssertion is what a client assertion has to say.
type WantAssertion struct {
	Client    string
	Audiences []string // one of these, exactly
	Now       time.Time
}

// CheckAssertion reads the claims of a verified client assertion (private_key_jwt: RFC 7523 §3, OpenID Connect Core §9)
// and gives back its jti, which the caller has to accept once for this client, and until when to remember it: past
// the moment at which an instance with a slow clock would still take it.
//
// aud has to be one string. A list is refused even with one element: draft-ietf-oauth-rfc7523bis asks for a sole
// value, so that no assertion that was made for another server is good here, and FAPI 2.0 Security Profile §5.3.2.1
// for a string; its test sends a list and expects the refusal. Errors are ErrToken.
func CheckAssertion(claims []byte, want WantAssertion) (jti string, until time.Time, err error) {
	o, err := parseObject(claims)
	if err != nil {
		return "", time.Time{}, refuse("its payload %w", err)
	}
	for _, name := range []string{"response_type", "redirect_uri"} { // RFC 9101 §10.8: browsers carry those, so others have them
		if _, ok := o[name]; ok {
			return "", time.Time{}, refuse("it holds %s: a request object is no client assertion", name)
		}
	}
	for _, name := range []string{"iss", "sub"} {
		if s, err := o.text(name); err != nil || s == "" || s != want.Client {
			return "", time.Time{}, refuse("its %s is %.40q; it has to be the client id", name, s)
		}
	}
	aud, err := text(o["aud"])
	if err != nil {
		return "", time.Time{}, refuse("its aud is missing or no string; send one string (FAPI 2.0 Security Profile §5.3.2.1)")
	}
	if aud == "" || !slices.Contains(want.Audiences, aud) {
		return "", time.Time{}, refuse("its aud is %.100q; it has to be %s", aud, strings.Join(want.Audiences, " or "))
	}
	exp, err := o.lifetime(want.Now, assertionLife, false)
	if err != nil {
		return "", time.Time{}, err
	}
	if jti, err = o.identifier(); err != nil {
		return "", time.Time{}, err
	}
	if jti == "" {
		return "", time.Time{}, refuse("it has no jti; send one that is new each time (RFC 7523 §3)")
	}
	return jti, exp.Add(2 * skew), nil
}

// WantRequest is what a request object has to say.
type WantRequest struct {
	Client string
	Issuer string // ours
	Now    time.Time
}

// CheckRequestObject reads the claims of a verified request object (RFC 9101 §4) and gives back the parameters of the
// authorization request as a form would bring them, its jti (empty when there is none) and until when that would have
// to be remembered for the object to be good once. Claims about the object itself (iss, sub, aud, exp, nbf, iat, jti)
// are no parameters. Numbers become decimal text, claims stays JSON, and resource may be a list (RFC 8707 §2); every
// other value has to be a string. Errors are ErrToken.
func CheckRequestObject(claims []byte, want WantRequest) (params url.Values, jti string, until time.Time, err error) {
	fail := func(err error) (url.Values, string, time.Time, error) { return nil, "", time.Time{}, err }
	o, err := parseObject(claims)
	if err != nil {
		return fail(refuse("its payload %w", err))
	}
	for _, name := range []string{"iss", "client_id"} {
		if s, err := o.text(name); err != nil || s == "" || s != want.Client {
			return fail(refuse("its %s is %.40q; it has to be the client id (RFC 9101 §5)", name, s))
		}
	}
	auds, err := texts(o["aud"])
	if one, oneErr := text(o["aud"]); oneErr == nil {
		auds, err = []string{one}, nil
	}
	if err != nil || want.Issuer == "" || !slices.Contains(auds, want.Issuer) {
		return fail(refuse("its aud is missing or another server; it has to be %s (RFC 9101 §4)", want.Issuer))
	}
	exp, err := o.lifetime(want.Now, requestLife, true)
	if err != nil {
		return fail(err)
	}
	if jti, err = o.identifier(); err != nil {
		return fail(err)
	}
	params = url.Values{}
	for name, raw := range o {
		values, err := parameter(name, raw)
		if err != nil {
			return fail(err)
		}
		if values != nil {
			params[name] = values
		}
	}
	return params, jti, exp.Add(2 * skew), nil
}

// parameter turns one member of a request object into the values of a parameter; nil for what is none.
func parameter(name string, raw json.RawMessage) ([]string, error) {
	switch name {
	case "iss", "sub", "aud", "exp", "nbf", "iat", "jti":
		return nil, nil
	case "request", "request_uri": // RFC 9101 §4
		return nil, refuse("it holds %s; a request object cannot refer to another", name)
	case "client_secret", "client_assertion", "client_assertion_type":
		return nil, refuse("it holds %s; how a client authenticates is no part of its request", name)
	}
	if name == "" || hasControl(name) {
		return nil, refuse("it holds a parameter whose name is empty or has a control character")
	}
	switch c := raw[0]; {
	case c == '"':
		s, err := text(raw)
		if err != nil || hasControl(s) {
			return nil, refuse("its %.40q has a control character", name)
		}
		return []string{s}, nil
	case c == '-' || c >= '0' && c <= '9':
		if bytes.ContainsAny(raw, ".eE") {
			return nil, refuse("its %.40q is %.40q; write it as a whole number", name, raw)
		}
		return []string{string(raw)}, nil
	case c == '{' && name == "claims": // OpenID Connect Core §5.5
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, refuse("its claims: %w", err)
		}
		return []string{compact.String()}, nil
	case c == '[' && name == "resource":
		list, err := texts(raw)
		if err != nil || len(list) == 0 || slices.ContainsFunc(list, hasControl) {
			return nil, refuse("its resource is no list of URIs")
		}
		return list, nil
	}
	return nil, refuse("its %.40q is %.40q; parameters of a request are strings or whole numbers", name, raw)
}

// identifier reads jti; it is empty where there is none.
func (o object) identifier() (string, error) {
	jti, err := o.text("jti")
	if _, ok := o["jti"]; err != nil || ok && (jti == "" || len(jti) > maxID || hasControl(jti)) {
		return "", refuse("its jti is no string of 1 to %d bytes without control characters", maxID)
	}
	return jti, nil
}

// lifetime holds exp, nbf and iat against now (RFC 7519 §4.1) and gives back exp, which has to be there and at most life
// ahead: of now, or of iat where their clock is ahead of ours, or of nbf where fromStart says that it counts.
func (o object) lifetime(now time.Time, life time.Duration, fromStart bool) (time.Time, error) {
	exp, ok, err := o.date("exp")
	if err != nil {
		return exp, err
	}
	if !ok {
		return exp, refuse("it has no exp; let it expire within %s", life)
	}
	start := now
	for _, name := range []string{"iat", "nbf"} {
		at, ok, err := o.date(name)
		if err != nil {
			return exp, err
		}
		if at.Sub(now) > skew {
			return exp, refuse("its %s is %s ahead; set the clock that signs it", name, at.Sub(now).Round(time.Second))
		}
		if ok && (at.After(start) || fromStart && name == "nbf") {
			start = at
		}
	}
	if now.Sub(exp) >= skew {
		return exp, refuse("it expired %s ago; sign a new one each time, and set the clock", now.Sub(exp).Round(time.Second))
	}
	if exp.Sub(start) > life {
		return exp, refuse("it expires %s ahead; let it expire within %s", exp.Sub(start).Round(time.Second), life)
	}
	return exp, nil
}

// date reads a NumericDate (RFC 7519 §2), to the second before it.
func (o object) date(name string) (time.Time, bool, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, false, nil
	}
	const year10000 = 253402300800
	n, err := strconv.ParseFloat(string(raw), 64) // RFC 8259's numbers are a part of what it reads
	if err != nil || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') || n < 0 || n >= year10000 {
		return time.Time{}, false, refuse("its %s is %.40q; write it as seconds since 1970", name, raw)
	}
	return time.Unix(int64(math.Floor(n)), 0), true, nil
}
