package flow

import (
	"slices"

	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/user"
)

// Held is what a sign-in has to know of one second factor that counts as one.
type Held struct {
	Kind    user.FactorKind
	Stopped bool
}

// MeansOf says what a person who holds these factors and so many recovery codes may prove with, and what rules demand of them. A factor that
// is stopped, or of a kind that rules allow no more, still keeps anybody from setting up another with the password alone. The rehearsal of a
// policy asks it as the sign-in does.
func MeansOf(rules policy.Factors, held []Held, codes int, passkeys bool) Means {
	m := Means{Must: rules.Required, Minimum: rules.Minimum, Has: len(held) > 0}
	active := map[user.FactorKind]bool{}
	for _, f := range held {
		active[f.Kind] = active[f.Kind] || !f.Stopped
	}
	order := []struct {
		kind user.FactorKind
		step Step
	}{{user.FactorPasskey, Passkey}, {user.FactorTOTP, TOTP}, {user.FactorSMS, SMS}}
	for _, w := range order {
		if active[w.kind] && rules.May(w.kind) && (w.kind != user.FactorSMS || !active[user.FactorPasskey] || rules.SMSWithPasskey) {
			m.Ways = append(m.Ways, w.step)
		}
	}
	if m.Renew = len(m.Ways) == 0; m.Renew {
		for _, w := range order {
			if active[w.kind] {
				m.Ways = append(m.Ways, w.step)
			}
		}
	}
	if m.Has && codes > 0 {
		m.Ways = append(m.Ways, Recovery)
	}
	if rules.May(user.FactorTOTP) {
		m.Enrols = append(m.Enrols, Enrol)
	}
	if rules.May(user.FactorPasskey) && passkeys {
		m.Enrols = append(m.Enrols, EnrolPasskey)
	}
	return m
}

// Weak reports whether rules ask for more than a session has proved, as they may when they were tightened after its sign-in.
func Weak(rules policy.Factors, proved []user.Method) bool {
	level := user.Level(proved)
	two := level.Meets(user.ACR2FA) || rules.RememberDevice > 0 && slices.Contains(proved, user.MethodDevice)
	return rules.Required && !two || !level.Meets(rules.Minimum)
}
