package flow

import (
	"slices"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// reach is the class that a password and this step's proof come to.
func (s Step) reach() user.ACR {
	switch s {
	case Passkey, EnrolPasskey:
		return user.ACRPhR
	case TOTP, SMS, Recovery, Enrol:
		return user.ACR2FA
	}
	return user.ACRNone
}

// Enrols is the kind of factor that a step sets up; empty for any other step.
func (s Step) Enrols() user.FactorKind {
	switch s {
	case Enrol:
		return user.FactorTOTP
	case EnrolPasskey:
		return user.FactorPasskey
	}
	return ""
}

// demand is the class that the sign-in has to come to.
func (f Flow) demand() user.ACR { return f.Needs.ACR.Stronger(f.Means.Minimum) }

// enough reports whether what was proved is what is demanded. A remembered device stands for the second factor where no class is
// demanded. Who came by a recovery code, or by a factor that policy allows no more, sets up another first.
func (f Flow) enough() bool {
	if f.Unlock {
		return len(f.Proved) > 0
	}
	level := user.Level(f.Proved)
	second := !f.Second || level.Meets(user.ACR2FA) || slices.Contains(f.Proved, user.MethodDevice)
	return level.Meets(f.demand()) && second && !f.Recover
}

// open are the ways that are left: not given yet, and of use. A way that reaches what is demanded shuts out those that do not,
// but for recovery, which leads to setting up one that does.
func (f Flow) open() []Step {
	if f.Recover {
		return nil
	}
	if f.Unlock {
		return f.Means.Ways
	}
	two := user.Level(f.Proved).Meets(user.ACR2FA)
	reaches := slices.ContainsFunc(f.Means.Ways, func(s Step) bool { return s != Recovery && s.reach().Meets(f.demand()) })
	var left []Step
	for _, s := range f.Means.Ways {
		switch {
		case s != Recovery && !s.reach().Meets(f.demand()) && (reaches || two): // of no use
		case s == Recovery && two: // somebody with two factors sets up a third without one
		default:
			left = append(left, s)
		}
	}
	return left
}

// toEnrol is what may be set up now, if it reaches what is demanded. Somebody who has a factor proves it first, and a step-up, which
// asked for no password, sets up nothing.
func (f Flow) toEnrol() []Step {
	if f.From != "" || f.Means.Has && !user.Level(f.Proved).Meets(user.ACR2FA) {
		return nil
	}
	var left []Step
	for _, s := range f.Means.Enrols {
		if s.reach().Meets(f.demand()) {
			left = append(left, s)
		}
	}
	return left
}

// Choices are the steps between which the person may choose now, the present one among them; none where there is no choice.
func (f Flow) Choices() []Step {
	left := f.open()
	if f.Step.Enrols() != "" {
		left = f.toEnrol()
	}
	if f.Over() || f.Step == Password && !f.Unlock || !slices.Contains(left, f.Step) {
		return nil
	}
	return left
}

// advance goes to what follows what was proved.
func (f Flow) advance(events []audit.Event) (Flow, []audit.Event) {
	if f.enough() && f.Change {
		f.Step = NewPassword
		return f, events
	}
	if f.enough() && f.Unlock {
		f.Step = Done
		return f, append(events, audit.Event{Kind: audit.SessionUnlocked, Outcome: audit.Success, Subject: string(f.Person), Session: string(f.From),
			Detail: map[string]string{"flow": f.ID}})
	}
	if f.enough() {
		f.Step = Done
		return f, append(events, audit.Event{Kind: audit.LoginSucceeded, Outcome: audit.Success, Subject: string(f.Person),
			Detail: map[string]string{"flow": f.ID, "acr": string(user.Level(f.Proved))}})
	}
	left := f.open()
	if len(left) == 0 {
		left = f.toEnrol()
	}
	if len(left) > 0 {
		f.Step = left[0]
		return f, events
	}
	f.Step = Stuck
	return f, append(events, audit.Event{Kind: audit.LoginFailed, Outcome: audit.Refused, Reason: audit.Policy, Subject: string(f.Person),
		Detail: map[string]string{"flow": f.ID, "step": string(Stuck)}})
}
