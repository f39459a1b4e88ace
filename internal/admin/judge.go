package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// standing is what is known of one person who may sign in.
type standing struct {
	user     user.User
	password bool
	changed  time.Time
	made     string
	factors  []store.Factor
	codes    int
	sessions []user.Session
	devices  []store.Device

	was, is *view // by either policy; see judge.see
}

// judge holds two policies against what is known: the one in force and the proposed one. It does no I/O.
type judge struct {
	was, is policy.Policy
	site    Site
	now     time.Time
	people  map[user.ID]*standing
	clients []client.Client
	apps    map[client.ID]*Application
}

func newJudge(was, is policy.Policy, site Site, now time.Time) *judge {
	return &judge{was: was, is: is, site: site, now: now, people: map[user.ID]*standing{}, apps: map[client.ID]*Application{}}
}

// told is the whole rehearsal, once every sign-in was seen.
func (j *judge) told() *Rehearsal {
	r := &Rehearsal{Changes: policy.Diff(j.was, j.is), People: len(j.people), Later: []string{}, Applications: []Application{}}
	for _, c := range r.Changes {
		if bearsLater(c.Key) {
			r.Later = append(r.Later, c.Key)
		}
	}
	for _, p := range j.people {
		j.see(p)
		if p.password {
			j.tellPassword(&r.Passwords, p, p.was.rules.Password, p.is.rules.Password)
		}
		j.tellFactors(&r.Factors, p)
		j.tellSessions(&r.Sessions, p, p.was.rules, p.is.rules)
		j.tellBrowsers(&r.Browsers, p, p.was.rules.Factors, p.is.rules.Factors)
		for _, c := range j.clients {
			j.tellClient(c, p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(j.apps)) {
		if a := j.apps[id]; a.Refused.Count+a.Asked.Count+a.Shut.Count+a.SetUp.Count > 0 {
			r.Applications = append(r.Applications, *a)
		}
	}
	r.sort()
	return r
}

// bearsLater names the rules that bear on nobody until they do something.
func bearsLater(key string) bool {
	rule := key[strings.LastIndexByte(key, '.')+1:]
	return strings.HasPrefix(key, "lockout.") || strings.HasPrefix(key, "sms.") && key != "sms.countries" ||
		slices.Contains([]string{"history", "max_length", "absolute", "passkey_attestation", "passkey_aaguids"}, rule)
}

func (r *Rehearsal) sort() {
	all := []*Whom{&r.Passwords.Perhaps, &r.Passwords.Must, &r.Passwords.Freed,
		&r.Factors.SetUp, &r.Factors.Minimum, &r.Factors.Disallowed, &r.Factors.Shut, &r.Factors.Freed,
		&r.Sessions.Ended, &r.Sessions.Locked, &r.Sessions.Shortened, &r.Sessions.Freed, &r.Sessions.Kiosk, &r.Browsers.Forgotten, &r.Browsers.Freed}
	for i := range r.Applications {
		a := &r.Applications[i]
		all = append(all, &a.Refused, &a.Asked, &a.Shut, &a.SetUp)
	}
	for _, w := range all {
		w.sorted()
	}
}

// tellPassword compares what the rules ask for with what the password is known to have.
func (j *judge) tellPassword(out *Passwords, p *standing, was, is policy.Password) {
	due, wasDue := is.Outlived(p.changed, j.now), was.Outlived(p.changed, j.now)
	has := readFloor(p.made)
	words := slices.ContainsFunc(is.Words, func(w string) bool { return !slices.Contains(was.Words, w) })
	short, fresh := is.MinLength > has.length, is.MinLength > max(was.MinLength, has.length)
	plain, mixed := is.MinClasses > has.classes, is.MinClasses > max(was.MinClasses, has.classes)
	open, listed := is.Blocklist && !has.blocklist, is.Blocklist && !was.Blocklist && !has.blocklist
	perhaps := short || plain || open || words
	before := was.MinLength > has.length || was.MinClasses > has.classes || was.Blocklist && !has.blocklist
	switch {
	case due && wasDue:
		out.Must.Already++
	case due:
		out.Must.add(p.user.Username)
	case fresh || mixed || listed || words:
		out.Perhaps.add(p.user.Username)
	case perhaps:
		out.Perhaps.Already++
	default:
		out.Good++
	}
	if !due && (wasDue || before && !perhaps) {
		out.Freed.add(p.user.Username)
	}
}

// tellFactors asks how a sign-in would end by either policy.
func (j *judge) tellFactors(out *Factors, p *standing) {
	before, after := j.fate(p.was, user.ACRNone), j.fate(p.is, user.ACRNone)
	in, means := &out.SetUp, p.is.means
	switch {
	case after == free:
		if out.Ready++; before > after {
			out.Freed.add(p.user.Username)
		}
		return
	case after == shut:
		in = &out.Shut
	case means.Has && means.Renew:
		in = &out.Disallowed
	case means.Has:
		in = &out.Minimum
	}
	if after > before {
		in.add(p.user.Username)
		return
	}
	if in.Already++; after < before {
		out.Freed.add(p.user.Username)
	}
}

// tellSessions asks which sessions would count, and which of them would be locked.
func (j *judge) tellSessions(out *Sessions, p *standing, was, is policy.Policy) {
	if is.Session.Kiosk && was.Session.Kiosk {
		out.Kiosk.Already++
	} else if is.Session.Kiosk {
		out.Kiosk.add(p.user.Username)
	}
	for _, s := range p.sessions {
		before, after := was.Session.Of(s), is.Session.Of(s)
		was, is := j.stage(before, was.Factors), j.stage(after, is.Factors)
		if was != gone {
			out.Alive++
		}
		switch {
		case is < was:
			out.Freed.add(p.user.Username)
		case was == gone:
		case is == gone:
			out.Ended.add(p.user.Username)
		case is == locked && was == locked:
			out.Locked.Already++
		case is == locked:
			out.Locked.add(p.user.Username)
		case after.IdleUntil.Before(before.IdleUntil) && after.IdleUntil.Before(after.ExpiresAt):
			out.Shortened.add(p.user.Username)
		}
	}
}

// stage is what a session has come to, the better the lower.
type stage int

const (
	lasting stage = iota
	locked
	gone
)

func (j *judge) stage(s user.Session, rules policy.Factors) stage {
	switch {
	case !s.Live(j.now) || flow.Weak(rules, s.Proved):
		return gone
	case s.Locked(j.now):
		return locked
	}
	return lasting
}

// tellBrowsers asks where the password would still be enough.
func (j *judge) tellBrowsers(out *Browsers, p *standing, was, is policy.Factors) {
	counts := func(d store.Device, r policy.Factors) bool {
		return d.CreatedAt.After(j.now.Add(-time.Duration(r.RememberDevice))) && user.ACR1FA.Meets(r.Minimum)
	}
	for _, d := range p.devices {
		switch before, after := counts(d, was), counts(d, is); {
		case before && !after:
			out.Remembered++
			out.Forgotten.add(p.user.Username)
		case before:
			out.Remembered++
		case after:
			out.Freed.add(p.user.Username)
		}
	}
}

// app gives what is told of an application.
func (j *judge) app(id client.ID) *Application {
	a := j.apps[id]
	if a == nil {
		a = &Application{ID: string(id)}
		if i := slices.IndexFunc(j.clients, func(c client.Client) bool { return c.ID == id }); i >= 0 {
			a.Name = j.clients[i].Name
		}
		j.apps[id] = a
	}
	return a
}

// tellClient asks whether a person could sign in to one application, which may demand a class of its own.
func (j *judge) tellClient(c client.Client, p *standing) {
	if !may(c, p.user.Groups) {
		return
	}
	need := user.ACR(c.MinimumACR)
	before, after := j.fate(p.was, need), j.fate(p.is, need)
	in := &j.app(c.ID).SetUp
	switch {
	case after == free:
		return
	case after == shut:
		in = &j.app(c.ID).Shut
	}
	if after > before {
		in.add(p.user.Username)
	} else if after == before {
		in.Already++
	}
}

func may(c client.Client, groups []string) bool {
	return len(c.AllowedGroups) == 0 || slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(c.AllowedGroups, g) })
}

// signIn holds a sign-in that was against both policies: would it have been enough?
func (j *judge) signIn(in store.SignedIn) {
	p := j.people[in.User]
	if p == nil {
		return // who is gone or disabled signs in no more
	}
	need := user.ACRNone
	if i := slices.IndexFunc(j.clients, func(c client.Client) bool { return c.ID == in.Client }); i >= 0 {
		need = user.ACR(j.clients[i].MinimumACR)
	}
	a := j.app(in.Client)
	a.SignIns++
	j.see(p)
	switch before, after := j.fate(p.was, need), j.fate(p.is, need); {
	case after == shut && before != shut:
		a.Refused.add(p.user.Username)
	case enough(in, p.was) && !enough(in, p.is), after > before:
		a.Asked.add(p.user.Username)
	}
}
