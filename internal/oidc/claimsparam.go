package oidc

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/store"
)

// claimsAsked is what the parameter claims says that this service acts on (OpenID Connect Core §5.5). A claim that it does not know
// is passed over, as §5.5.1 has it, and so is a value asked for of any claim but sub and acr.
type claimsAsked struct {
	subject  string        // the person whom it names by a value of sub; empty: nobody
	acr      *claimRequest // of the ID token; nil: not asked for
	idToken  []string      // claims that are to be in the ID token
	userInfo []string      // and at the userinfo endpoint
}

// claimRequest is how one claim is asked for (OpenID Connect Core §5.5.1). A claim that is essential and one that is not are given
// alike: if there is something to give and the client may have it.
type claimRequest struct {
	essential bool
	values    []string // value and values, which this service reads of sub and acr alone: both are texts
}

var errClaims = fosite.ErrInvalidRequest.WithHint("The parameter claims is not a JSON object as OpenID Connect Core §5.5 has it, with each name once.")

var errSubjects = fosite.ErrInvalidRequest.WithHint("The request names more than one person, by a value of the claim sub or by its id_token_hint.")

// parseClaims reads the parameter. Its length is bounded with that of every parameter.
func parseClaims(text string) (claimsAsked, error) {
	var out claimsAsked
	top, err := members([]byte(text))
	if err != nil || top == nil {
		return out, errClaims
	}
	for place, into := range map[string]*[]string{"id_token": &out.idToken, "userinfo": &out.userInfo} {
		asked, err := members(top[place])
		if err != nil {
			return out, errClaims
		}
		for claim, raw := range asked {
			if err := out.ask(place, claim, raw); err != nil {
				return out, err
			}
			if scope := scopeOf(claim); scope != "" && (scope != "openid" || place == "userinfo") {
				*into = append(*into, claim)
			}
		}
		slices.Sort(*into)
	}
	return out, nil
}

// ask reads how one claim is asked for, if that matters.
func (c *claimsAsked) ask(place, claim string, raw json.RawMessage) error {
	if claim != "sub" && scopeOf(claim) == "" {
		return nil
	}
	how, err := readClaim(raw, claim == "sub" || claim == "acr")
	if err != nil || how == nil {
		return err
	}
	switch {
	case claim == "sub":
		return c.askSubject(how.values)
	case claim == "acr" && place == "id_token":
		c.acr = how
	}
	return nil
}

// readClaim reads the request for one claim; nil: no more than its name.
func readClaim(raw json.RawMessage, text bool) (*claimRequest, error) {
	parts, err := members(raw)
	if err != nil || parts == nil {
		return nil, err
	}
	var how claimRequest
	var value *string
	into := map[string]any{"essential": &how.essential}
	if text {
		into["value"], into["values"] = &value, &how.values
	}
	for name, target := range into {
		if part, ok := parts[name]; ok && json.Unmarshal(part, target) != nil {
			return nil, errClaims
		}
	}
	if value != nil {
		how.values = append(how.values, *value)
	}
	return &how, nil
}

// maxSubject is the length that a sub can have (OpenID Connect Core §2).
const maxSubject = 255

// askSubject reads the values of sub: only this person will do (OpenID Connect Core §3.1.2.2).
func (c *claimsAsked) askSubject(values []string) error {
	for _, v := range values {
		if v == "" || len(v) > maxSubject {
			return errClaims
		}
		if c.subject != "" && c.subject != v {
			return errSubjects
		}
		c.subject = v
	}
	return nil
}

// members reads a JSON object in which every name stands once; null and nothing give nil. encoding/json alone would take the last of
// two and a name in other letters.
func members(raw []byte) (map[string]json.RawMessage, error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	in := json.NewDecoder(bytes.NewReader(raw))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return nil, errClaims
	}
	out := map[string]json.RawMessage{}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, errClaims
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, errClaims
		}
		if _, twice := out[name.(string)]; twice {
			return nil, errClaims
		}
		out[name.(string)] = value
	}
	if _, err := in.Token(); err != nil {
		return nil, errClaims
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, errClaims
	}
	return out, nil
}

// scopeOf is the scope that carries a claim; "" for a claim that this service does not have, or gives with every ID token.
func scopeOf(claim string) string {
	switch claim {
	case "name", "preferred_username", "locale":
		return "profile"
	case "email", "email_verified":
		return "email"
	case "phone_number", "phone_number_verified":
		return "phone"
	case "groups":
		return "groups"
	case "auth_time", "acr":
		return "openid"
	}
	return ""
}

// allowed gives, as one text, the claims that the client may have: those whose scope it is registered for.
func allowed(claims []string, c *store.Client) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(claims), func(claim string) bool { return !c.Allows(scopeOf(claim)) }), " ")
}

// add puts single claims beside those of the scopes.
func (c *personClaims) add(claims []string, p *store.Person) error {
	for _, claim := range claims {
		if scopeOf(claim) == "phone" {
			if err := p.OpenPhone(); err != nil {
				return err
			}
		}
		switch claim {
		case "name":
			c.Name = p.Name
		case "preferred_username":
			c.Username = p.Username
		case "locale":
			c.Locale = p.Locale
		case "email":
			c.Email = p.Email
		case "email_verified":
			c.EmailVerified = p.Email != ""
		case "phone_number":
			c.Phone = p.Phone
		case "phone_number_verified":
			c.PhoneVerified = p.Phone != ""
		case "groups":
			c.Groups = p.Groups
		}
	}
	return nil
}
