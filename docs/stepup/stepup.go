// Package stepup guards the handlers of a resource server with access tokens
// of Portvakt, and sends a person back to sign in better where that is needed:
// the OAuth 2.0 Step Up Authentication Challenge Protocol (RFC 9470). It is one
// file of the standard library alone. Copy it into your program.
//
// Each request asks Portvakt about its token (RFC 7662), with one try of 2
// seconds by default. Answers are not cached: a token that was taken back, a
// session that was ended or an account that was closed would go on working for
// as long as the cache is old. Who can live with that puts a cache into
// Guard.Client.
//
// A fault between this program and Portvakt is a 503, never a 401: it says
// nothing about the token, and a person who is sent to sign in cannot mend it.
package stepup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	tokenMax   = 8 << 10  // bytes of an access token
	answerMax  = 64 << 10 // bytes of an introspection answer
	retryAfter = "5"      // seconds
)

// Guard knows how to ask about tokens. Its fields are not changed once Require was called.
type Guard struct {
	// Introspect is the introspection_endpoint of Portvakt's discovery document. It is https unless its host is loopback.
	// The client that asks is registered with resource_server: true.
	Introspect string
	// ClientID and ClientSecret are this program's own, as a confidential client of Portvakt.
	ClientID, ClientSecret string
	// Client asks; nil: one with 2 s for all. Give your own a Timeout too. It never follows a redirect, which would take the secret elsewhere.
	// Under load, give it a Transport with more than the usual two idle connections (MaxIdleConnsPerHost).
	Client *http.Client
	// Realm stands in each challenge (RFC 9110 §11.5); it may be empty.
	Realm string
}

// Need is what a handler asks of a token. The zero value asks for an access token that is active, whoever's it is and
// whatever it was given out for: name a scope that is this program's own.
type Need struct {
	Scope  string        // one scope or several with spaces between; all are needed
	ACR    string        // the least authentication class; empty: any
	MaxAge time.Duration // how long ago the person may have proved who they are, in whole seconds; 0: any time
}

// Token is what Portvakt says of an access token (RFC 7662 §2.2). Times it does not tell are zero.
type Token struct {
	Subject  string // sub: the person, or the client that acts for itself
	Scope    string // with spaces between
	ClientID string
	ACR      string
	AuthTime time.Time
	Expires  time.Time
}

type tokenKey struct{}

// FromContext gives the token of a request that Require let through.
func FromContext(ctx context.Context) (Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(Token)
	return t, ok
}

// Require lets a request through to next if its access token meets n. Else it answers:
//
//	401 without error                         no bearer token (RFC 6750 §3.1)
//	401 invalid_token                         not a token, not active, or no access token
//	403 insufficient_scope                    the scope is missing (RFC 6750 §3.1)
//	401 insufficient_user_authentication      the class is too weak, or the sign-in too old (RFC 9470 §3)
//	503 with Retry-After                      Portvakt could not be asked
//
// The token is read from the Authorization header alone (RFC 9700 §4.3.2). Require panics where g or n can never work.
func (g *Guard) Require(n Need, next http.Handler) http.Handler {
	if err := errors.Join(g.check(), n.check()); err != nil {
		panic(fmt.Sprintf("stepup: %v", err))
	}
	client := http.Client{Timeout: 2 * time.Second}
	if g.Client != nil {
		client = *g.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, found := bearer(r.Header)
		if !found {
			g.challenge(w, http.StatusUnauthorized)
			return
		}
		var t Token
		active := b64token(text)
		if active {
			var err error
			if t, active, err = g.ask(r.Context(), &client, text); err != nil {
				unavailable(w, r, err)
				return
			}
		}
		switch {
		case !active:
			g.challenge(w, http.StatusUnauthorized, "error", "invalid_token", "error_description", "The access token is not valid")
		case !hasScope(t.Scope, n.Scope):
			g.challenge(w, http.StatusForbidden, "error", "insufficient_scope", "scope", n.Scope)
		case !meets(t.ACR, n.ACR):
			g.stepUp(w, n, "A different authentication level is required")
		case n.MaxAge > 0 && time.Since(t.AuthTime) > n.MaxAge: // an unknown AuthTime is 2,000 years ago
			g.stepUp(w, n, "More recent authentication is required")
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, t)))
		}
	})
}

func (g *Guard) check() error {
	u, err := url.Parse(g.Introspect)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return errors.New("the address Introspect is not https; tokens and the client's secret travel to it")
	case g.ClientID == "" || g.ClientSecret == "":
		return errors.New("ClientID or ClientSecret is empty; Portvakt tells nobody else about tokens")
	}
	return nil
}

func (n Need) check() error {
	switch {
	case n.MaxAge < 0 || n.MaxAge%time.Second != 0:
		return fmt.Errorf("MaxAge %v is not a number of whole seconds", n.MaxAge)
	case strings.ContainsAny(n.ACR, " \t\r\n"):
		return fmt.Errorf("ACR %q is not one class", n.ACR)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bearer finds the one Authorization header with the scheme Bearer. Two headers are one bad token, not a choice.
func bearer(h http.Header) (token string, found bool) {
	all := h.Values("Authorization")
	if len(all) > 1 {
		return "", true
	}
	scheme, token, _ := strings.Cut(strings.Join(all, ""), " ")
	return strings.TrimLeft(token, " "), strings.EqualFold(scheme, "Bearer")
}

// b64token reports whether s may be a token (RFC 6750 §2.1); what may not is never sent on.
func b64token(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	head := strings.TrimRight(s, "=")
	return head != "" && len(s) <= tokenMax && strings.Trim(head, alphabet) == ""
}

// answer is RFC 7662 §2.2. A pointer tells what was left out from what is false.
type answer struct {
	Active   *bool  `json:"active"`
	Type     string `json:"token_type"`
	Subject  string `json:"sub"`
	Scope    string `json:"scope"`
	ClientID string `json:"client_id"`
	ACR      string `json:"acr"`
	AuthTime int64  `json:"auth_time"` // seconds since 1970
	Expires  int64  `json:"exp"`       // seconds since 1970
}

// ask asks about one token. An error is a fault of ours or of Portvakt's and says nothing about the token.
func (g *Guard) ask(ctx context.Context, client *http.Client, token string) (Token, bool, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.Introspect, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(g.ClientID), url.QueryEscape(g.ClientSecret)) // RFC 6749 §2.3.1
	resp, err := client.Do(req)
	if err != nil {
		return Token{}, false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Token{}, false, fmt.Errorf("introspection answered %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil {
		return Token{}, false, err
	}
	var a answer
	if len(text) > answerMax || json.Unmarshal(text, &a) != nil || a.Active == nil {
		return Token{}, false, errors.New("introspection answered with no RFC 7662 document")
	}
	// Portvakt gives a type to access tokens alone. A refresh token is active too, but opens nothing here.
	ok := *a.Active && strings.EqualFold(a.Type, "Bearer")
	return Token{a.Subject, a.Scope, a.ClientID, a.ACR, moment(a.AuthTime), moment(a.Expires)}, ok, nil
}

func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// hasScope reports whether every scope of need is among those of have.
func hasScope(have, need string) bool {
	all := strings.Fields(have)
	for s := range strings.FieldsSeq(need) {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}

// meets reports whether the class have is at least need. A class outside Portvakt's list is met by itself alone.
func meets(have, need string) bool {
	weakestFirst := []string{"urn:portvakt:acr:1fa", "urn:portvakt:acr:2fa", "phr", "phrh"}
	least := slices.Index(weakestFirst, need)
	return need == "" || have == need || least >= 0 && slices.Index(weakestFirst, have) > least
}

// stepUp names all that n asks for, not only what was missing: the next sign-in has to meet it as a whole (RFC 9470 §3).
func (g *Guard) stepUp(w http.ResponseWriter, n Need, why string) {
	params := []string{"error", "insufficient_user_authentication", "error_description", why}
	if n.ACR != "" {
		params = append(params, "acr_values", n.ACR)
	}
	if n.MaxAge > 0 {
		params = append(params, "max_age", strconv.FormatInt(int64(n.MaxAge/time.Second), 10))
	}
	g.challenge(w, http.StatusUnauthorized, params...)
}

// challenge answers with one challenge (RFC 9110 §11.6.1); params are names, each followed by its value.
func (g *Guard) challenge(w http.ResponseWriter, status int, params ...string) {
	header := "Bearer realm=" + quote(g.Realm)
	for pair := range slices.Chunk(params, 2) {
		header += ", " + pair[0] + "=" + quote(pair[1])
	}
	w.Header().Set("WWW-Authenticate", header)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}

// quote writes a quoted-string (RFC 9110 §5.6.4). Control characters have no place in one and are left out.
func quote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			fallthrough
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// unavailable answers for a fault and logs it, never the token. A caller who has left is no fault.
func unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		slog.ErrorContext(r.Context(), "stepup: cannot ask about a token", "err", err)
	}
	w.Header().Set("Retry-After", retryAfter)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "Tokens cannot be checked now. Try again soon.", http.StatusServiceUnavailable)
}
