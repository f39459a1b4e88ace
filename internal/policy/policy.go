// Package policy holds the rules an organisation sets for signing in: passwords, lockout, sessions and second factors,
// and which of them holds for one person.
//
// The package is pure. It says what is required and decides nothing: factor and flow ask it. Every rule in a Policy is
// enforced by this version; what is not enforced has no key here and is refused where files are read. The strictest of
// a person's groups wins, and a group can only tighten: For never loosens what stands outside groups.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// ErrInvalid is what errors.Is finds in every error of Validate.
var ErrInvalid = errors.New("policy: invalid")

// Policy is the whole set. Start from Default and decode over it: a zero Policy does not validate.
type Policy struct {
	Password Password `json:"password" yaml:"password"`
	Lockout  Lockout  `json:"lockout" yaml:"lockout"`
	Session  Session  `json:"session" yaml:"session"`
	Factors  Factors  `json:"factors" yaml:"factors"`
	SMS      SMS      `json:"sms" yaml:"sms"`
}

// Password rules are counted in characters, not bytes (NIST SP 800-63B-4 §3.1.1.2).
type Password struct {
	MinLength int                     `json:"min_length" yaml:"min_length"` // 8 to max_length
	MaxLength int                     `json:"max_length" yaml:"max_length"` // 64 to 1024
	Groups    map[string]PasswordRule `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// PasswordRule tightens Password for one group; zero means that the group says nothing.
type PasswordRule struct {
	MinLength int `json:"min_length,omitempty" yaml:"min_length,omitempty"`
}

// Lockout stops guessing: after Attempts failures within Window the next is refused until the window has passed. It is
// the same for everybody, because a guesser chooses the name.
type Lockout struct {
	Attempts int      `json:"attempts" yaml:"attempts"` // 1 to 100
	Window   Duration `json:"window" yaml:"window"`     // 1s to 1d
}

// Session bounds a sign-in: Idle since the last use, Absolute since the sign-in.
type Session struct {
	Idle     Duration               `json:"idle" yaml:"idle"`         // 1s to absolute
	Absolute Duration               `json:"absolute" yaml:"absolute"` // 1s to 30d
	Groups   map[string]SessionRule `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// SessionRule tightens Session for one group; zero means that the group says nothing.
type SessionRule struct {
	Idle     Duration `json:"idle,omitempty" yaml:"idle,omitempty"`
	Absolute Duration `json:"absolute,omitempty" yaml:"absolute,omitempty"`
}

// Default is what holds where nobody has set anything.
func Default() Policy {
	return Policy{
		Password: Password{MinLength: 12, MaxLength: 256},
		Lockout:  Lockout{Attempts: 5, Window: Duration(15 * time.Minute)},
		Session:  Session{Idle: Duration(8 * time.Hour), Absolute: Duration(12 * time.Hour)},
		Factors:  Factors{Required: true, Allowed: []user.FactorKind{user.FactorTOTP, user.FactorSMS, user.FactorPasskey}},
		SMS:      SMS{Countries: []string{"SE"}, PerNumberDay: 10, PerPersonDay: 20, PerAddressDay: 50, PerPrefixDay: 200, PerDay: 1000, AlarmBelow: 30},
	}
}

// For returns what holds for a person of these groups: of each rule the strictest among the general one and those of
// the groups. The order of groups does not matter, unknown groups say nothing, and the answer has no Groups of its own.
// A valid policy gives a valid answer.
func (p Policy) For(groups []string) Policy {
	out := p
	out.Password.Groups, out.Session.Groups, out.Factors.Groups = nil, nil, nil
	for _, g := range groups {
		out.Password.MinLength = max(out.Password.MinLength, p.Password.Groups[g].MinLength)
		s := p.Session.Groups[g]
		out.Session.Idle = shorter(out.Session.Idle, s.Idle)
		out.Session.Absolute = shorter(out.Session.Absolute, s.Absolute)
		out.Factors.tighten(p.Factors.Groups[g])
	}
	out.Session.Idle = min(out.Session.Idle, out.Session.Absolute)
	return out
}

// shorter is the minimum, but a rule of zero says nothing.
func shorter(now, rule Duration) Duration {
	if rule == 0 {
		return now
	}
	return min(now, rule)
}

// Validate returns every fault, joined, one line each with key, value and bounds, or nil.
func (p Policy) Validate() error {
	var f faults
	f.number("password.max_length", p.Password.MaxLength, 64, 1024)
	f.number("password.min_length", p.Password.MinLength, 8, p.Password.MaxLength)
	for g, r := range p.Password.Groups {
		f.group("password", g)
		if r.MinLength != 0 {
			f.number("password.groups."+g+".min_length", r.MinLength, 8, p.Password.MaxLength)
		}
	}
	f.number("lockout.attempts", p.Lockout.Attempts, 1, 100)
	f.span("lockout.window", p.Lockout.Window, day)
	f.span("session.absolute", p.Session.Absolute, 30*day)
	f.span("session.idle", p.Session.Idle, p.Session.Absolute)
	for g, r := range p.Session.Groups {
		f.group("session", g)
		if r.Idle != 0 {
			f.span("session.groups."+g+".idle", r.Idle, 30*day)
		}
		if r.Absolute != 0 {
			f.span("session.groups."+g+".absolute", r.Absolute, 30*day)
		}
	}
	p.Factors.validate(&f)
	p.SMS.validate(&f)
	return f.join()
}

// fault is one line of what Validate found.
type fault string

func (f fault) Error() string        { return string(f) }
func (f fault) Is(target error) bool { return target == ErrInvalid }

type faults []error

func (f *faults) number(key string, n, low, high int) {
	if n < low || n > high {
		*f = append(*f, fault(fmt.Sprintf("%s %d: is out of bounds; give %d to %d", key, n, low, high)))
	}
}

func (f *faults) span(key string, d, high Duration) {
	if d < Duration(time.Second) || d > high || d%Duration(time.Second) != 0 {
		*f = append(*f, fault(fmt.Sprintf("%s %s: is out of bounds; give 1s to %s in whole seconds", key, d, high)))
	}
}

func (f *faults) group(key, name string) {
	if name == "" {
		*f = append(*f, fault(key+`.groups "": has no name; name a group or remove it`))
	}
}

// join sorts the lines, because maps have no order and a message should.
func (f faults) join() error {
	slices.SortFunc(f, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(f...)
}
