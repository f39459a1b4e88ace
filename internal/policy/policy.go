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
	"unicode/utf8"

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

// Password rules are counted in characters, not bytes (NIST SP 800-63B-4 §3.1.1.2). Blocklist refuses common and breached passwords;
// words of the person, the organisation and Words are refused in any case. What auditors still ask for is off unless it is set: History
// counts the passwords before that must not come back, MaxAge is how long one is good, MinClasses how many of lower case, upper case,
// digits and everything else it has.
type Password struct {
	MinLength  int                     `json:"min_length" yaml:"min_length"` // 8 to max_length
	MaxLength  int                     `json:"max_length" yaml:"max_length"` // 256 to 1024
	Blocklist  bool                    `json:"blocklist" yaml:"blocklist"`
	Words      []string                `json:"words,omitempty" yaml:"words,omitempty"` // 3 to 64 characters each, at most 100
	History    int                     `json:"history" yaml:"history"`                 // 0 to 24
	MaxAge     Duration                `json:"max_age" yaml:"max_age"`                 // 0: for ever; else 1d to 3650d
	MinClasses int                     `json:"min_classes" yaml:"min_classes"`         // 0 to 4
	Groups     map[string]PasswordRule `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// PasswordRule tightens Password for one group; zero means that the group says nothing.
type PasswordRule struct {
	MinLength  int      `json:"min_length,omitempty" yaml:"min_length,omitempty"`
	History    int      `json:"history,omitempty" yaml:"history,omitempty"`
	MaxAge     Duration `json:"max_age,omitempty" yaml:"max_age,omitempty"`
	MinClasses int      `json:"min_classes,omitempty" yaml:"min_classes,omitempty"`
}

// Outlived reports whether a password that was set at changed, zero where nobody knows, has to be replaced now.
func (p Password) Outlived(changed, now time.Time) bool {
	return p.MaxAge > 0 && !now.Before(changed.Add(time.Duration(p.MaxAge)))
}

func (p *Password) tighten(r PasswordRule) {
	p.MinLength = max(p.MinLength, r.MinLength)
	p.History = max(p.History, r.History)
	p.MaxAge = shorter(p.MaxAge, r.MaxAge)
	p.MinClasses = max(p.MinClasses, r.MinClasses)
}

func (p Password) validate(f *faults) {
	f.number("password.max_length", p.MaxLength, 256, 1024)
	f.number("password.min_length", p.MinLength, 8, p.MaxLength)
	f.number("password.history", p.History, 0, 24)
	f.number("password.min_classes", p.MinClasses, 0, 4)
	f.age("password.max_age", p.MaxAge)
	f.number("password.words, their number", len(p.Words), 0, 100)
	for _, w := range p.Words {
		f.number(fmt.Sprintf("password.words %q, its length", w), utf8.RuneCountInString(w), 3, 64)
	}
	for g, r := range p.Groups {
		f.group("password", g)
		if r.MinLength != 0 {
			f.number("password.groups."+g+".min_length", r.MinLength, 8, p.MaxLength)
		}
		f.number("password.groups."+g+".history", r.History, 0, 24)
		f.number("password.groups."+g+".min_classes", r.MinClasses, 0, 4)
		f.age("password.groups."+g+".max_age", r.MaxAge)
	}
}

// Lockout slows guessing: after Attempts wrong answers the next has to wait, a fifth of Window at first and twice as long each time, at most
// DelayMax; one is forgotten in each Window. Nobody is ever shut out for longer. It is the same for everybody, because a guesser
// chooses the name. Notify tells the person whose password is guessed at.
type Lockout struct {
	Attempts int      `json:"attempts" yaml:"attempts"`   // 1 to 100
	Window   Duration `json:"window" yaml:"window"`       // 1s to 1d
	DelayMax Duration `json:"delay_max" yaml:"delay_max"` // 1s to 1d
	Notify   bool     `json:"notify" yaml:"notify"`
}

func (l Lockout) validate(f *faults) {
	f.number("lockout.attempts", l.Attempts, 1, 100)
	f.span("lockout.window", l.Window, day)
	f.span("lockout.delay_max", l.DelayMax, day)
}

// Session bounds a sign-in: Idle since the last use, Absolute since the sign-in. LockAfter that long since the last use the session asks for
// one quick proof before it goes on. In a kiosk, a computer that many share, the browser keeps nothing of a sign-in for an application.
type Session struct {
	Idle      Duration               `json:"idle" yaml:"idle"`             // 1s to absolute
	Absolute  Duration               `json:"absolute" yaml:"absolute"`     // 1s to 30d
	LockAfter Duration               `json:"lock_after" yaml:"lock_after"` // 0: never; else 1s to 30d
	Groups    map[string]SessionRule `json:"groups,omitempty" yaml:"groups,omitempty"`
	Kiosk     bool                   `json:"-" yaml:"-"` // of the person's groups; see For
}

// SessionRule tightens Session for one group; zero means that the group says nothing.
type SessionRule struct {
	Idle      Duration `json:"idle,omitempty" yaml:"idle,omitempty"`
	Absolute  Duration `json:"absolute,omitempty" yaml:"absolute,omitempty"`
	LockAfter Duration `json:"lock_after,omitempty" yaml:"lock_after,omitempty"`
	Kiosk     bool     `json:"kiosk,omitempty" yaml:"kiosk,omitempty"`
}

func (s *Session) tighten(r SessionRule) {
	s.Idle, s.Absolute, s.LockAfter = shorter(s.Idle, r.Idle), shorter(s.Absolute, r.Absolute), shorter(s.LockAfter, r.LockAfter)
	s.Kiosk = s.Kiosk || r.Kiosk
}

// Of gives a person's session as these rules, which are For its person, have it: when it locks and when it is over. Its absolute end it keeps
// from its sign-in.
func (s Session) Of(one user.Session) user.Session {
	one.IdleUntil, one.LockFrom, one.Kiosk = one.SeenAt.Add(time.Duration(s.Idle)), time.Time{}, s.Kiosk
	if s.LockAfter > 0 {
		one.LockFrom = one.SeenAt.Add(time.Duration(s.LockAfter))
	}
	return one
}

func (s Session) validate(f *faults) {
	f.span("session.absolute", s.Absolute, 30*day)
	f.span("session.idle", s.Idle, s.Absolute)
	f.maybe("session.lock_after", s.LockAfter, 30*day)
	for g, r := range s.Groups {
		f.group("session", g)
		f.maybe("session.groups."+g+".idle", r.Idle, 30*day)
		f.maybe("session.groups."+g+".absolute", r.Absolute, 30*day)
		f.maybe("session.groups."+g+".lock_after", r.LockAfter, 30*day)
	}
}

// Default is what holds where nobody has set anything.
func Default() Policy {
	return Policy{
		Password: Password{MinLength: 12, MaxLength: 256, Blocklist: true},
		Lockout:  Lockout{Attempts: 5, Window: Duration(15 * time.Minute), DelayMax: Duration(15 * time.Minute), Notify: true},
		Session:  Session{Idle: Duration(8 * time.Hour), Absolute: Duration(12 * time.Hour), LockAfter: Duration(30 * time.Minute)},
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
		out.Password.tighten(p.Password.Groups[g])
		out.Session.tighten(p.Session.Groups[g])
		out.Factors.tighten(p.Factors.Groups[g])
	}
	out.Session.Idle = min(out.Session.Idle, out.Session.Absolute)
	return out
}

// shorter is the minimum, but zero says nothing.
func shorter(now, rule Duration) Duration {
	if rule == 0 || now == 0 {
		return max(now, rule)
	}
	return min(now, rule)
}

// Validate returns every fault, joined, one line each with key, value and bounds, or nil.
func (p Policy) Validate() error {
	var f faults
	p.Password.validate(&f)
	p.Lockout.validate(&f)
	p.Session.validate(&f)
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

// maybe is span for what may be left out.
func (f *faults) maybe(key string, d, high Duration) {
	if d != 0 {
		f.span(key, d, high)
	}
}

func (f *faults) age(key string, d Duration) {
	if d != 0 && (d < day || d > 3650*day || d%day != 0) {
		f.add("%s %s: is out of bounds; give 1d to 3650d in whole days, or 0d for no limit", key, d)
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
