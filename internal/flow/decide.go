package flow

import (
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Decision is what a request for a sign-in gets.
type Decision int

// The decisions.
const (
	Proceed  Decision = iota // the session is enough
	SignIn                   // nobody is signed in, or not recently enough, or the wrong person
	StepUp                   // somebody is, but not strongly enough
	Unlock                   // somebody is, in a session that is locked
	WrongOne                 // somebody else is signed in than the request names
)

// Decide says whether session s satisfies n at now; s is nil when there is none.
func Decide(n Needs, s *user.Session, now time.Time) Decision {
	switch {
	case s == nil || !s.Live(now):
		return SignIn
	case n.Subject != "" && n.Subject != s.User:
		return WrongOne
	case !n.After.IsZero() && s.AuthTime.Before(n.After):
		return SignIn
	case s.Locked(now):
		return Unlock
	case !s.ACR().Meets(n.ACR):
		return StepUp
	}
	return Proceed
}
