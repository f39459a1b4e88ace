package oidc

import (
	"encoding/json"
	"slices"

	"github.com/portvakt/portvakt/internal/audit"
)

// audience is aud in an answer: one text where it is one (RFC 7519 §4.1.3), else a list.
type audience []string

// MarshalJSON implements json.Marshaler.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// targets gives the resources that are asked for, each once (RFC 8707 §2). They must be among may, byte for byte; a parameter without a
// value counts as none (RFC 6749 §3.1).
func targets(asked, may []string) ([]string, error) {
	var out []string
	for _, r := range asked {
		switch {
		case r == "" || slices.Contains(out, r):
		case !slices.Contains(may, r):
			return nil, errTarget
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

// target chooses what the new access token is for (RFC 8707 §2.2): all that was granted, or the part of it that the request names. For
// client_credentials it is what the request names of the client's own. An opaque token can tell a part of the first 4 resources of its
// grant and no other.
func (u *unit) target(asked []string) error {
	may := u.data.Resources
	if u.grant == nil {
		may = u.client.Resources
	}
	left := u.registered(may)
	wanted, err := targets(asked, left)
	if err == nil && len(left) == 0 && len(may) > 0 {
		err = errTarget // never a token for nothing in particular instead
	}
	if err != nil {
		u.reason = audit.NotAllowed
		return err
	}
	u.audience = wanted
	if u.grant == nil || len(may) == 0 {
		return nil
	}
	if len(wanted) == 0 {
		if u.audience, wanted = left, left; len(left) == len(may) {
			return nil
		}
	}
	mask, ok := narrow(may, wanted, allResources)
	if !ok {
		u.reason = audit.BadRequest
		return errTargetParts
	}
	u.parts = mask
	return nil
}

// registered gives what the client is still registered for of the resources granted.
func (u *unit) registered(granted []string) []string {
	for _, one := range granted {
		if !u.client.Reaches(one) {
			return slices.DeleteFunc(slices.Clone(granted), func(r string) bool { return !u.client.Reaches(r) })
		}
	}
	return granted
}
