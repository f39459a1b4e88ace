package admin

import (
	"slices"

	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// view is one person by one policy.
type view struct {
	rules  policy.Policy // what holds for the person
	means  flow.Means
	texted bool // a code can reach their number
	bare   bool // a passkey is all that the person has: there is no password
	fates  map[user.ACR]fate
}

// enough reports whether the rules of v would have asked for nothing more than what a sign-in proved.
func enough(in store.SignedIn, v *view) bool {
	rules := v.rules.Factors
	ways := map[user.Method]flow.Step{user.MethodOTP: flow.TOTP, user.MethodSMS: flow.SMS, user.MethodSoftKey: flow.Passkey, user.MethodHardKey: flow.Passkey}
	for _, m := range in.Proved {
		step, second := ways[m]
		key := slices.Contains(v.means.Ways, flow.Passkey)
		if second && (!rules.May(user.FactorKind(step)) || step == flow.SMS && key && !rules.SMSWithPasskey) {
			return false
		}
	}
	second := in.ACR.Meets(user.ACR2FA) || !rules.Required
	if slices.Contains(in.Proved, user.MethodDevice) && !in.ACR.Meets(user.ACR2FA) {
		second = rules.RememberDevice > 0 // the person has a factor, and is asked for it where nothing spares it
	}
	return in.ACR.Meets(rules.Minimum) && second
}

// fate is how a person's next sign-in ends at best.
type fate int

const (
	free  fate = iota // signed in
	setUp             // signed in, once a factor was set up
	shut              // not signed in
)

// see works out how a person stands by either policy, once.
func (j *judge) see(p *standing) {
	if p.was == nil {
		p.was, p.is = j.view(p, j.was), j.view(p, j.is)
	}
}

// view finds what a sign-in would find (login.means).
func (j *judge) view(p *standing, all policy.Policy) *view {
	v := &view{rules: all.For(p.user.Groups), fates: map[user.ACR]fate{}}
	v.bare = !p.password && slices.ContainsFunc(p.factors, func(f store.Factor) bool { return f.Kind == user.FactorPasskey })
	var held []flow.Held
	for _, f := range p.factors {
		if f.Kind == user.FactorSMS {
			n, err := sms.Parse(f.Secret, "")
			v.texted = j.site.Texts && err == nil && slices.Contains(v.rules.SMS.Countries, n.Country)
		}
		if f.Kind != user.FactorSMS || j.site.Texts || !f.UsedAt.IsZero() {
			held = append(held, flow.Held{Kind: f.Kind, Stopped: !f.StoppedAt.IsZero()})
		}
	}
	v.means = flow.MeansOf(v.rules.Factors, held, p.codes, j.site.Passkeys)
	return v
}

// fate tries every way through a sign-in that asks for need: after the password, and with a passkey in its place.
func (j *judge) fate(v *view, need user.ACR) fate {
	if known, ok := v.fates[need]; ok {
		return known
	}
	begun := flow.Begin("rehearsal", flow.Needs{ACR: need}, j.now)
	var answers []flow.Verdict
	if !v.bare {
		answers = append(answers, flow.Verdict{Step: flow.Password, Person: "somebody", Means: v.means})
	}
	if slices.Contains(v.means.Ways, flow.Passkey) && v.rules.Factors.May(user.FactorPasskey) {
		answers = append(answers, flow.Verdict{Step: flow.Password, Person: "somebody", Means: v.means, Key: user.MethodSoftKey})
	}
	best := shut
	for _, a := range answers {
		next, _ := flow.Next(begun, a, j.now)
		best = min(best, j.ends(next, v.texted))
	}
	v.fates[need] = best
	return best
}

// ends is the best that can become of a sign-in if every answer from here on is right. Each answer proves one factor more, so it comes to an end.
func (j *judge) ends(f flow.Flow, texted bool) fate {
	switch {
	case f.Step == flow.Done:
		return free
	case f.Over() || f.Version > 9:
		return shut
	}
	best := shut
	for _, step := range append(f.Choices(), f.Step) {
		if step == flow.SMS && !texted {
			continue
		}
		at := f
		if step != f.Step {
			at, _ = flow.Choose(f, step, j.now)
		}
		v := flow.Verdict{Step: step, Person: f.Person}
		if step == flow.Passkey || step == flow.EnrolPasskey {
			v.Key = user.MethodSoftKey
		}
		next, _ := flow.Next(at, v, j.now)
		end := j.ends(next, texted)
		if step.Enrols() != "" {
			end = max(end, setUp)
		}
		best = min(best, end)
	}
	return best
}
