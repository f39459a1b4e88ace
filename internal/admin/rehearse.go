package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Site is what the running service can do, which the rehearsal of a policy has to know.
type Site struct {
	Texts    bool // text messages can be sent
	Passkeys bool // its address allows passkeys
}

// Rehearsal is what a proposed policy would do to people and applications, told against the policy in force: who is in the same case by both
// is counted and not named. Names are user names.
type Rehearsal struct {
	Days         int             `json:"days"`
	Changes      []policy.Change `json:"changes"`
	People       int             `json:"people"` // who may sign in
	Passwords    Passwords       `json:"passwords"`
	Factors      Factors         `json:"factors"`
	Applications []Application   `json:"applications"` // those alone to which something happens
	Sessions     Sessions        `json:"sessions"`
	Browsers     Browsers        `json:"browsers"`
	Later        []string        `json:"later"` // changed rules of which nothing can be told: they bear on what people do from then on
}

// Whom counts people, sessions or browsers, and names the people whose they are.
type Whom struct {
	Count   int      `json:"count"`
	People  []string `json:"people"`
	Already int      `json:"already"` // so many more are in this case by the policy in force
}

// Passwords says whose password would have to be replaced. What can be told is under which rules each was made.
type Passwords struct {
	Good    int  `json:"good"`    // surely good enough
	Perhaps Whom `json:"perhaps"` // the next sign-in would see
	Must    Whom `json:"must"`    // older than max_age
	Freed   Whom `json:"freed"`   // who has to replace it by the policy in force alone
}

// Factors says who could go on signing in with the second factors that they have.
type Factors struct {
	Ready      int  `json:"ready"`
	SetUp      Whom `json:"set_up"`     // has none, and would have to set up one
	Minimum    Whom `json:"minimum"`    // has none that reaches factors.minimum, and would have to set up another
	Disallowed Whom `json:"disallowed"` // has only kinds that are not allowed, and would have to set up another
	Shut       Whom `json:"shut"`       // could not sign in at all
	Freed      Whom `json:"freed"`      // for whom the policy in force alone is worse
}

// Application is what happens to one application, or with ID empty to Portvakt's own pages.
type Application struct {
	ID      string `json:"client_id"`
	Name    string `json:"client_name"`
	SignIns int    `json:"sign_ins"` // in these days
	Refused Whom   `json:"refused"`  // of those sign-ins: the person could not sign in to it any more
	Asked   Whom   `json:"asked"`    // of those sign-ins: more would have been asked for
	Shut    Whom   `json:"shut"`     // who may use it and could not sign in to it, seen or not
	SetUp   Whom   `json:"set_up"`   // who may use it and would have to set up a factor first, seen or not
}

// Sessions says what would become of those under way.
type Sessions struct {
	Alive     int  `json:"alive"`
	Ended     Whom `json:"ended"`
	Locked    Whom `json:"locked"`
	Shortened Whom `json:"shortened"`
	Freed     Whom `json:"freed"` // would be unlocked, or would count again
	Kiosk     Whom `json:"kiosk"` // whose browser would keep nothing of a sign-in for an application
}

// Browsers says what would become of those that are remembered.
type Browsers struct {
	Remembered int  `json:"remembered"`
	Forgotten  Whom `json:"forgotten"` // there, the password would not be enough any more
	Freed      Whom `json:"freed"`
}

// Rehearse says whom p would stop or burden if it were set, by what is known of passwords, factors, sessions and remembered browsers, and by
// the sign-ins of so many last days. It reads personal data, which is recorded, and writes nothing else.
func (s *Service) Rehearse(ctx context.Context, o audit.Origin, p Proposal, days int, site Site) (*Rehearsal, error) {
	var was policy.Policy
	var groups []string
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if was, err = t.Policy(); err != nil {
			return err
		}
		groups, err = t.Groups()
		return err
	})
	if err != nil {
		return nil, err
	}
	is, err := p.over(was, groups)
	if err != nil {
		return nil, err
	}
	err = s.db.Change(ctx, o, func(t *store.Tx) error {
		return t.Record(audit.Event{Kind: audit.PersonalRead, Detail: map[string]string{"read": "policy rehearse", "days": strconv.Itoa(days)}})
	})
	if err != nil {
		return nil, err
	}
	var out *Rehearsal
	err = s.db.View(ctx, func(t *store.Tx) error {
		j := newJudge(was, is, site, t.Now())
		if err := gather(t, j); err != nil {
			return err
		}
		if err := t.SignIns(t.Now().AddDate(0, 0, -days), func(in store.SignedIn) error { j.signIn(in); return nil }); err != nil {
			return err
		}
		out = j.told()
		out.Days = days
		return nil
	})
	return out, err
}

// gather reads everything but the trail.
func gather(t *store.Tx, j *judge) error {
	if err := t.Clients(func(c store.Client) error { j.clients = append(j.clients, c.Client); return nil }); err != nil {
		return err
	}
	codes, err := t.AllRecoveryCodes()
	if err != nil {
		return err
	}
	err = t.Persons(func(p *store.Person) error {
		if !p.Disabled() {
			j.people[p.ID] = &standing{user: p.User, password: p.Password != "", changed: p.PasswordChanged, made: p.PasswordMade, codes: codes[p.ID]}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = t.AllFactors(func(f store.Factor) error {
		if p := j.people[f.User]; p != nil {
			p.factors = append(p.factors, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = t.AllSessions(func(s user.Session) error {
		if p := j.people[s.User]; p != nil {
			p.sessions = append(p.sessions, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.AllDevices(func(d store.Device) error {
		if p := j.people[d.User]; p != nil {
			p.devices = append(p.devices, d)
		}
		return nil
	})
}

// floor is what a password is known to have.
type floor struct {
	length, classes int
	blocklist       bool
}

// readFloor reads store.Person.PasswordMade; what it does not say, nobody knows.
func readFloor(made string) floor {
	var f floor
	for word := range strings.FieldsSeq(made) {
		key, value, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case key == "min_length":
			f.length = n
		case key == "min_classes":
			f.classes = n
		case key == "blocklist":
			f.blocklist = n == 1
		}
	}
	return f
}

// add counts one and names whose it is.
func (w *Whom) add(name string) {
	w.Count++
	w.People = append(w.People, name)
}

// sorted gives each name once.
func (w *Whom) sorted() {
	slices.Sort(w.People)
	w.People = append([]string{}, slices.Compact(w.People)...)
}
