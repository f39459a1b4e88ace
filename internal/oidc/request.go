package oidc

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// prompt is the parameter of OpenID Connect Core §3.1.2.1.
type prompt struct {
	none  bool
	login bool // login or select_account: ask again
}

const (
	maxParameter = 4096 // bytes of state, nonce and login_hint
	maxScope     = 1024 // bytes: fosite compares each word with each
)

// parse reads the parameters that decide about the sign-in, and refuses what this service does not do. The answer can
// already go to the application.
func (a *asked) parse() error {
	mode := a.query.Get("response_mode")
	a.formPost = mode == "form_post"
	if a.formPost && !strings.HasPrefix(a.redirect, "http") {
		a.formPost = false // so that the refusal arrives
		return fosite.ErrInvalidRequest.WithHint("The response mode form_post needs an https redirect URI, or http on loopback.")
	}
	if a.flaw != nil {
		return a.flaw
	}
	for name, values := range a.query {
		if len(values) > 1 && name != "resource" {
			return fosite.ErrInvalidRequest.WithHintf("The parameter %q is given more than once.", name)
		}
		if name == "scope" && len(values[0]) > maxScope {
			return errLongScope
		}
		if len(values[0]) > maxParameter {
			return fosite.ErrInvalidRequest.WithHintf("The parameter %q is longer than %d bytes.", name, maxParameter)
		}
	}
	switch {
	case a.query.Has("request_uri"):
		return fosite.ErrRequestURINotSupported.WithHint("A request_uri comes from the pushed authorization request endpoint; this service fetches none from elsewhere.")
	case a.query.Has("request"):
		return errNested
	case a.direct && a.client.RequirePAR:
		return fosite.ErrInvalidRequest.WithHint("This client must push its authorization requests (RFC 9126).")
	case a.query.Has("registration"):
		return fosite.ErrRegistrationNotSupported.WithHint("The parameter registration is not supported.")
	case a.query.Get("response_type") == "":
		return fosite.ErrInvalidRequest.WithHint("The parameter response_type is missing; it must be code.")
	case a.query.Get("response_type") != "code":
		return fosite.ErrUnsupportedResponseType.WithHint("The only response type is code (RFC 9700 §2.1.2).")
	case mode != "" && mode != "query" && mode != "form_post":
		return fosite.ErrInvalidRequest.WithHint("The response modes are query and form_post.")
	case !a.client.Grant("authorization_code"):
		return fosite.ErrUnauthorizedClient.WithHint("The client is not registered for the grant type authorization_code.")
	}
	for _, scope := range dedupe(a.query.Get("scope")) {
		if !a.client.Allows(scope) {
			return fosite.ErrInvalidScope.WithHintf("The client is not registered for the scope %q.", scope)
		}
	}
	if err := a.checkChallenge(); err != nil {
		return err
	}
	if a.query.Has("dpop_jkt") {
		if _, ok := readThumbprint(a.query.Get("dpop_jkt")); !ok {
			return fosite.ErrInvalidRequest.WithHint("The parameter dpop_jkt is not the base64url of a SHA-256 hash (43 characters).")
		}
	}
	var err error
	if a.audience, err = targets(a.query["resource"], a.client.Resources); err != nil {
		a.reason = audit.NotAllowed
		return err
	}
	return a.parseNeeds()
}

// checkChallenge applies RFC 7636: S256 alone, and a challenge from everybody but a confidential client that is exempt.
func (a *asked) checkChallenge() error {
	challenge, method := a.query.Get("code_challenge"), a.query.Get("code_challenge_method")
	if !a.query.Has("code_challenge") && !a.query.Has("code_challenge_method") && !a.client.PKCE() {
		return nil
	}
	if challenge == "" {
		return fosite.ErrInvalidRequest.WithHint("The parameter code_challenge is missing; this client must use PKCE (RFC 7636).")
	}
	if method != "S256" {
		return fosite.ErrInvalidRequest.WithHint("The parameter code_challenge_method must be S256.")
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(b) != 32 || len(challenge) != 43 {
		return fosite.ErrInvalidRequest.WithHint("The parameter code_challenge is not the base64url of a SHA-256 hash (43 characters).")
	}
	return nil
}

// parseNeeds reads what kind of sign-in is asked for.
func (a *asked) parseNeeds() error {
	prompts := strings.Fields(a.query.Get("prompt"))
	for _, p := range prompts {
		switch p {
		case "none":
			a.prompt.none = true
		case "login", "select_account":
			a.prompt.login = true
		case "consent": // internal applications: nothing to consent to; the release of claims is on record
		default:
			return fosite.ErrInvalidRequest.WithHint("The values of prompt are none, login, select_account and consent.")
		}
	}
	if a.prompt.none && len(prompts) > 1 {
		return fosite.ErrInvalidRequest.WithHint("The prompt none stands alone.")
	}
	if a.query.Has("max_age") {
		age, err := strconv.ParseInt(a.query.Get("max_age"), 10, 32)
		if err != nil || age < 0 {
			return fosite.ErrInvalidRequest.WithHint("The parameter max_age is a whole number of seconds, 0 or more.")
		}
		a.needs.After = after(a.now, age)
	}
	if a.prompt.login || a.client.Kiosk {
		a.needs.After = a.now
	}
	if a.query.Has("id_token_hint") {
		h, ok := a.p.readHint(a.query.Get("id_token_hint"))
		if !ok || h.Audience != a.client.ID {
			return errForeignHint
		}
		who, _, ok := a.p.about(a.client, h)
		if !ok {
			return errForeignHint
		}
		if err := a.expect(who); err != nil {
			return err
		}
	}
	if text := a.query.Get("claims"); text != "" {
		var err error
		if a.claims, err = parseClaims(text); err != nil {
			return err
		}
		who, ok := a.p.personOf(a.client, a.claims.subject)
		if !ok {
			return errNobody
		}
		if err := a.expect(who); err != nil {
			return err
		}
	}
	wanted, err := a.wantedACR()
	a.needs.ACR = user.ACR(a.client.MinimumACR).Stronger(wanted)
	return err
}

var (
	errForeignHint = fosite.ErrInvalidRequest.WithHint("The id_token_hint is not an ID token that this service gave to this client.")
	errNobody      = fosite.ErrInvalidRequest.WithHint("The value of the claim sub is none under which this client knows anybody.")
)

// expect notes whom the request is about, if anybody: it may name one person.
func (a *asked) expect(who user.ID) error {
	if who != "" && a.needs.Subject != "" && a.needs.Subject != who {
		return errSubjects
	}
	a.needs.Subject = cmp.Or(who, a.needs.Subject)
	return nil
}

// wantedACR is the class that the request asks for. Those of acr_values are wishes (OpenID Connect Core §3.1.2.1): one that cannot
// be reached is passed over, and the ID token says what was. An essential acr claim (§5.5.1.1) has to be reached.
func (a *asked) wantedACR() (user.ACR, error) {
	wanted, claim := reachable(strings.Fields(a.query.Get("acr_values"))), a.claims.acr
	if claim == nil {
		return wanted, nil
	}
	asked := reachable(claim.values)
	if claim.essential && asked == user.ACRNone && len(claim.values) > 0 {
		a.reason = audit.Policy
		return wanted, errUnmet
	}
	return wanted.Stronger(asked), nil
}

// reachable is the first of values that a person can come to here.
func reachable(values []string) user.ACR {
	for _, v := range values {
		if acr := user.ACR(v); acr.Known() && user.ACRPhR.Meets(acr) {
			return acr
		}
	}
	return user.ACRNone
}

// dedupe splits a scope parameter into its words, each once.
func dedupe(scope string) []string {
	words := strings.Fields(scope)
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
