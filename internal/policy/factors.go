package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portvakt/portvakt/internal/user"
)

// Factors says which second factors there are and who must have one. Who has one is asked for it either way. A recovery code
// is always allowed: it leads to setting up a factor anew.
type Factors struct {
	Required       bool                  `json:"required" yaml:"required"`
	Allowed        []user.FactorKind     `json:"allowed" yaml:"allowed"`                                             // totp, sms, webauthn
	Minimum        user.ACR              `json:"minimum,omitempty" yaml:"minimum,omitempty"`                         // at every sign-in
	RememberDevice Duration              `json:"remember_device,omitempty" yaml:"remember_device,omitempty"`         // 0: no device is remembered; to 90d
	SMSWithPasskey bool                  `json:"sms_with_passkey,omitempty" yaml:"sms_with_passkey,omitempty"`       // who has a passkey may fall back to a text message
	Attestation    bool                  `json:"passkey_attestation,omitempty" yaml:"passkey_attestation,omitempty"` // new passkeys say what made them
	AAGUIDs        []string              `json:"passkey_aaguids,omitempty" yaml:"passkey_aaguids,omitempty"`         // and only these may be added
	Groups         map[string]FactorRule `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// FactorRule tightens Factors for one group; what is false or empty says nothing.
type FactorRule struct {
	Required         bool     `json:"required,omitempty" yaml:"required,omitempty"`
	Minimum          user.ACR `json:"minimum,omitempty" yaml:"minimum,omitempty"`
	NoRememberDevice bool     `json:"no_remember_device,omitempty" yaml:"no_remember_device,omitempty"`
}

// May reports whether a kind of factor may be used and added.
func (f Factors) May(kind user.FactorKind) bool {
	return kind == user.FactorRecovery || slices.Contains(f.Allowed, kind)
}

func (f *Factors) tighten(r FactorRule) {
	f.Required = f.Required || r.Required
	f.Minimum = f.Minimum.Stronger(r.Minimum)
	if r.NoRememberDevice {
		f.RememberDevice = 0
	}
}

func (f Factors) validate(out *faults) {
	for _, k := range f.Allowed {
		if k != user.FactorTOTP && k != user.FactorSMS && k != user.FactorPasskey {
			out.add("factors.allowed %q: is no kind of factor; choose among totp, sms, webauthn", string(k))
		}
	}
	if len(f.Allowed) == 0 {
		out.add("factors.allowed: is empty; name at least one of totp, sms, webauthn")
	}
	f.minimum(out, "factors.minimum", f.Minimum)
	if f.RememberDevice != 0 {
		out.span("factors.remember_device", f.RememberDevice, 90*day)
	}
	if len(f.AAGUIDs) > 0 && !f.Attestation {
		out.add("factors.passkey_aaguids: means nothing without attestation; set passkey_attestation: true")
	}
	for _, id := range f.AAGUIDs {
		if len(id) != 36 || strings.Count(id, "-") != 4 {
			out.add("factors.passkey_aaguids %q: is no AAGUID like 2fc0579f-8113-47ea-b116-bb5a8db9202a", id)
		}
	}
	for g, r := range f.Groups {
		out.group("factors", g)
		f.minimum(out, "factors.groups."+g+".minimum", r.Minimum)
	}
}

func (f Factors) minimum(out *faults, key string, m user.ACR) {
	switch {
	case m == user.ACRNone:
	case !m.Known():
		out.add("%s %q: is no class; choose among urn:portvakt:acr:1fa, urn:portvakt:acr:2fa, phr", key, string(m))
	case m == user.ACRPhRH:
		out.add("%s phrh: nobody could sign in, since this version cannot prove that hardware holds a passkey; use phr", key)
	case m == user.ACRPhR && !f.May(user.FactorPasskey):
		out.add("%s phr: nobody could sign in, since factors.allowed lacks webauthn", key)
	}
}

// SMS bounds what text messages may cost: each number is a count in 24 hours, over every instance.
type SMS struct {
	Countries     []string `json:"countries" yaml:"countries"`             // ISO 3166 alpha-2; numbers of other countries get none
	PerNumberDay  int      `json:"per_number_day" yaml:"per_number_day"`   // and at most 3 in 10 minutes
	PerPersonDay  int      `json:"per_person_day" yaml:"per_person_day"`   // over all their numbers
	PerAddressDay int      `json:"per_address_day" yaml:"per_address_day"` // asked for from one address (IPv6: /64)
	PerPrefixDay  int      `json:"per_prefix_day" yaml:"per_prefix_day"`   // to numbers that differ in the last four digits only
	PerDay        int      `json:"per_day" yaml:"per_day"`                 // the budget: nothing is sent beyond it
	AlarmBelow    int      `json:"alarm_below" yaml:"alarm_below"`         // per cent of a day's messages whose codes were used; 0: no alarm
}

func (s SMS) validate(f *faults) {
	for _, c := range s.Countries {
		if len(c) != 2 || strings.ToUpper(c) != c {
			f.add("sms.countries %q: is no country like SE", c)
		}
	}
	for _, n := range []struct {
		key  string
		n    int
		high int
	}{
		{"per_number_day", s.PerNumberDay, 100}, {"per_person_day", s.PerPersonDay, 100}, {"per_address_day", s.PerAddressDay, 100_000},
		{"per_prefix_day", s.PerPrefixDay, 100_000}, {"per_day", s.PerDay, 1_000_000},
	} {
		f.number("sms."+n.key, n.n, 1, n.high)
	}
	f.number("sms.alarm_below", s.AlarmBelow, 0, 100)
}

func (f *faults) add(format string, args ...any) {
	*f = append(*f, fault(fmt.Sprintf(format, args...)))
}
