package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"os"
	"regexp"
	"strings"
)

const (
	formHdr = "Content-Type: application/x-www-form-urlencoded\r\n"
	jsonHdr = "Content-Type: application/json\r\n"
)

var (
	jsonCodeRe = regexp.MustCompile(`"(?:data|code)"\s*:\s*"([^"]{8,})"`)
	formRe     = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	inputRe    = regexp.MustCompile(`(?is)<(?:input|button)\b([^>]*)>`)
	attrRe     = regexp.MustCompile(`(?is)([a-z-]+)\s*=\s*"([^"]*)"`)
)

// tokenCall posts to the token endpoint with the client's authentication and decodes the answer.
func (c *client) tokenCall(v url.Values) (map[string]any, error) {
	h := formHdr
	switch c.g.auth {
	case "basic":
		h += c.g.basic
	case "post":
		v.Set("client_id", c.g.id)
		v.Set("client_secret", c.g.secret)
	default:
		v.Set("client_id", c.g.id)
	}
	merge(v, c.g.tokenExtra)
	r, err := c.do("POST", c.g.urls.token, h, v.Encode())
	if err != nil {
		return nil, err
	}
	if r.status != 200 {
		return nil, fmt.Errorf("token: %d %.300s", r.status, r.body)
	}
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		return nil, fmt.Errorf("token: %v: %.200s", err, r.body)
	}
	return m, nil
}

// merge sets the pairs of a query string in v.
func merge(v url.Values, query string) {
	x, _ := url.ParseQuery(query) // what cannot be read is left out
	for k := range x {
		v.Set(k, x.Get(k))
	}
}

// str is a member of a JSON object, or "" where it is missing or no text.
func str(m map[string]any, k string) string { s, _ := m[k].(string); return s }

// random is 24 random bytes in base64url: 32 characters.
func random() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// attrs reads the attributes of one tag; only those in double quotes count.
func attrs(s string) map[string]string {
	m := map[string]string{}
	for _, a := range attrRe.FindAllStringSubmatch(s, -1) {
		m[strings.ToLower(a[1])] = html.UnescapeString(a[2])
	}
	return m
}

// codeFor walks redirects (and HTML forms, filling -form) from the authorize URL to redirect_uri.
func (c *client) codeFor(u *url.URL) (string, error) {
	method, body, hdr := "GET", "", ""
	for range 20 {
		r, err := c.do(method, u, hdr, body)
		if err != nil {
			return "", err
		}
		if c.g.verbose {
			fmt.Fprintf(os.Stderr, "  %s %s -> %d %s (%d bytes)\n", method, u, r.status, r.location, len(r.body))
		}
		switch {
		case r.status >= 300 && r.status < 400 && r.location != "":
			nu, err := u.Parse(r.location)
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(nu.String(), c.g.redirect) {
				code := nu.Query().Get("code")
				if code == "" {
					return "", fmt.Errorf("no code in %s", nu)
				}
				return code, nil
			}
			if u = nu; r.status != 307 && r.status != 308 {
				method, body, hdr = "GET", "", ""
			}
		case r.status == 200 && c.g.form != "":
			if u, body, err = c.fill(u, r.body); err != nil {
				return "", err
			}
			method, hdr = "POST", formHdr
		default:
			return "", fmt.Errorf("%s %s: %d %.400s", method, u, r.status, r.body)
		}
	}
	return "", errors.New("too many redirects")
}

// fill takes the first form of a page: its hidden fields as they are, those of -form as given.
func (c *client) fill(u *url.URL, page []byte) (*url.URL, string, error) {
	form := formRe.FindSubmatch(page)
	if form == nil {
		return nil, "", fmt.Errorf("200 without form at %s: %.300s", u, page)
	}
	v := url.Values{}
	for _, in := range inputRe.FindAllSubmatch(form[2], -1) {
		if a := attrs(string(in[1])); a["name"] != "" {
			v.Set(a["name"], a["value"])
		}
	}
	merge(v, c.g.form)
	to, err := u.Parse(attrs(string(form[1]))["action"]) // an empty action is the page itself
	return to, v.Encode(), err
}

// flow is one authorization code flow with PKCE (RFC 7636), to the token and, if wanted, to userinfo.
func (c *client) flow(withUserinfo bool) (map[string]any, error) {
	ver := random() + random()
	ch := sha256.Sum256([]byte(ver))
	q := url.Values{"response_type": {"code"}, "client_id": {c.g.id}, "redirect_uri": {c.g.redirect},
		"scope": {c.g.scope}, "state": {random()}, "nonce": {random()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(ch[:])}, "code_challenge_method": {"S256"}}
	merge(q, c.g.authzExtra)
	u := *c.g.urls.authz
	get := c.codeFor
	if c.g.authzJSON != "" {
		get = func(u *url.URL) (string, error) { return c.codeByJSON(u, q) }
	}
	u.RawQuery = q.Encode()
	code, err := get(&u)
	if err != nil {
		return nil, err
	}
	m, err := c.tokenCall(url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {c.g.redirect}, "code_verifier": {ver}})
	if err != nil {
		return nil, err
	}
	if str(m, "access_token") == "" {
		return nil, fmt.Errorf("no access_token: %v", m)
	}
	if withUserinfo && c.g.urls.userinfo != nil {
		if err := c.userinfoCall(str(m, "access_token")); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// codeByJSON is Casdoor's way: the query in camel case, -authz-json as the body, the code in the answer.
func (c *client) codeByJSON(u *url.URL, q url.Values) (string, error) {
	for a, b := range map[string]string{"clientId": "client_id", "responseType": "response_type", "redirectUri": "redirect_uri"} {
		q.Set(a, q.Get(b))
		q.Del(b)
	}
	u.RawQuery = q.Encode()
	body := strings.NewReplacer("%CH%", q.Get("code_challenge"), "%NONCE%", q.Get("nonce")).Replace(c.g.authzJSON)
	r, err := c.do("POST", u, jsonHdr, body)
	if err != nil {
		return "", err
	}
	found := jsonCodeRe.FindSubmatch(r.body)
	if r.status != 200 || found == nil {
		return "", fmt.Errorf("authz: %d %.300s", r.status, r.body)
	}
	return string(found[1]), nil
}

// userinfoCall asks with a bearer token (RFC 6750 §2.1); anything but 200 is an error.
func (c *client) userinfoCall(token string) error {
	r, err := c.do("GET", c.g.urls.userinfo, "Authorization: Bearer "+token+"\r\n", "")
	if err != nil {
		return err
	}
	if r.status != 200 {
		return fmt.Errorf("userinfo: %d %.300s", r.status, r.body)
	}
	return nil
}

// credentials is one client_credentials grant (RFC 6749 §4.4).
func (c *client) credentials() (map[string]any, error) {
	v := url.Values{"grant_type": {"client_credentials"}}
	if c.g.ccscope != "" {
		v.Set("scope", c.g.ccscope)
	}
	return c.tokenCall(v)
}
