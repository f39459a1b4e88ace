package login

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// scope names the challenge of a sign-in.
func scope(flow string) string { return "flow:" + flow }

// means says what a person may prove with and what policy demands of them.
func (s *Service) means(ctx context.Context, p *store.Person) (flow.Means, error) {
	rules, err := s.rules(ctx, p)
	if err != nil {
		return flow.Means{}, err
	}
	var held []flow.Held
	codes := 0
	err = s.db.View(ctx, func(t *store.Tx) error {
		factors, err := t.FactorsOf(p.ID)
		if err != nil {
			return err
		}
		held = nil
		for _, f := range factors {
			if s.counts(f) {
				held = append(held, flow.Held{Kind: f.Kind, Stopped: !f.StoppedAt.IsZero()})
			}
		}
		codes, err = t.RecoveryCodesLeft(p.ID)
		return err
	})
	return flow.MeansOf(rules.Factors, held, codes, s.Passkeys != nil), err
}

// counts reports whether a factor is one: a number from a list, in a service without text messages, that nobody ever proved by is none.
func (s *Service) counts(f store.Factor) bool {
	return f.Kind != user.FactorSMS || s.texts() || !f.UsedAt.IsZero()
}

// texts reports whether codes can go by text message.
func (s *Service) texts() bool { return s.Notify != nil && s.Notify.On() }

// checkSecond checks the answer to any step after the first, and of one that unlocks a session.
func (s *Service) checkSecond(ctx context.Context, o audit.Origin, in store.SignIn, a Answer, c *checked) error {
	p := in.Person
	if p == nil {
		return ErrGone // the person was removed meanwhile
	}
	c.verdict.Person, c.phc = p.ID, p.Password
	kind := user.FactorKind(in.Flow.Step)
	if k := in.Flow.Step.Enrols(); k != "" {
		kind = k
	}
	if in.Flow.Step == flow.Password {
		kind = ""
	}
	switch {
	case in.Flow.Step.Enrols() != "":
		c.count = lockout.Codes(p.ID, kind)
	case kind != user.FactorPasskey:
		c.count = s.Lockout.Of(lockout.Try{Origin: o, Person: p, Known: a.Known, Kind: kind, Rules: c.rules.Lockout})
	}
	switch {
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
		return nil
	case stamp(p.Password) != in.Flow.Stamp:
		c.verdict.Reason = audit.Changed // the password that was proved is not theirs any more
		return nil
	}
	if waits, err := s.waits(ctx, c); err != nil || waits && in.Flow.Step != flow.Password {
		return err
	}
	switch in.Flow.Step {
	case flow.Password:
		return s.checkOwn(ctx, p, a, c)
	case flow.TOTP:
		return s.checkTOTP(ctx, p, a, c)
	case flow.Enrol:
		return s.checkEnrol(in, a, c)
	case flow.SMS:
		return s.checkText(ctx, in, a, c)
	case flow.Recovery:
		return s.checkRecovery(ctx, p, a, c)
	case flow.Passkey:
		return s.checkPasskey(ctx, in, a, c)
	case flow.EnrolPasskey:
		return s.checkNewPasskey(ctx, in, a, c)
	}
	return ErrGone
}

// active gives a person's factors of one kind that are not stopped.
func (s *Service) active(ctx context.Context, id user.ID, kind user.FactorKind) ([]store.Factor, error) {
	var out []store.Factor
	err := s.db.View(ctx, func(t *store.Tx) error {
		out = nil
		all, err := t.FactorsOf(id)
		for _, f := range all {
			if f.Kind == kind && f.StoppedAt.IsZero() {
				out = append(out, f)
			}
		}
		return err
	})
	return out, err
}

func (s *Service) checkTOTP(ctx context.Context, p *store.Person, a Answer, c *checked) error {
	tokens, err := s.active(ctx, p.ID, user.FactorTOTP)
	if err != nil || len(tokens) == 0 {
		c.verdict.Reason = audit.WrongCode // the factor was removed meanwhile
		return err
	}
	f := tokens[0]
	step, err := s.checkCode(f.Secret, f.Counter, a.Code, c)
	c.consume = func(t *store.Tx) (bool, error) { return t.UseFactor(f, step, "") }
	return err
}

// checkEnrol checks a code of the soft token that is being set up.
func (s *Service) checkEnrol(in store.SignIn, a Answer, c *checked) error {
	if in.Flow.Pending == "" {
		c.verdict.Reason = audit.WrongCode
		return nil
	}
	step, err := s.checkCode(in.Flow.Pending, 0, a.Code, c)
	c.enrol = &store.Factor{User: in.Person.ID, Kind: user.FactorTOTP, Secret: in.Flow.Pending, Counter: step}
	return err
}

// checkCode gives the step of a right code, and else the reason in the verdict.
func (s *Service) checkCode(uri string, last int64, code string, c *checked) (int64, error) {
	token, err := factor.ParseTOTP(uri)
	if err != nil {
		return 0, err
	}
	step, ok := token.Check(code, s.db.Now(), 0)
	switch {
	case !ok:
		c.verdict.Reason = audit.WrongCode
	case step <= last:
		c.verdict.Reason = audit.Replayed
	}
	return step, nil
}

// checkText checks the code of the text message that this sign-in had sent. It is worth nothing to any other sign-in, and so in no other browser.
func (s *Service) checkText(ctx context.Context, in store.SignIn, a Answer, c *checked) error {
	var ch store.Challenge
	err := s.db.View(ctx, func(t *store.Tx) (err error) { ch, err = t.ChallengeOf(scope(in.Flow.ID)); return err })
	switch {
	case errors.Is(err, store.ErrNotFound):
		c.verdict.Reason = audit.Expired
		return nil
	case err != nil:
		return err
	case s.Notify == nil || ch.User != in.Person.ID || !s.Notify.Right(ch, a.Code):
		c.verdict.Reason = audit.WrongCode
		return nil
	}
	numbers, err := s.active(ctx, in.Person.ID, user.FactorSMS)
	if err != nil || len(numbers) == 0 || numbers[0].Secret != ch.Data {
		c.verdict.Reason = audit.WrongCode // the number was taken away meanwhile
		return err
	}
	c.consume = func(t *store.Tx) (bool, error) {
		ok, err := t.UseChallenge(ch.Scope, ch.ID)
		if err != nil || !ok {
			return false, err
		}
		if ok, err = t.UseFactor(numbers[0], 0, ""); err != nil || !ok {
			return false, err
		}
		return true, s.Notify.Used(t)
	}
	return nil
}

func (s *Service) checkRecovery(ctx context.Context, p *store.Person, a Answer, c *checked) error {
	code := factor.RecoveryMAC(s.Recovery, string(p.ID), a.Recovery)
	var right bool
	err := s.db.View(ctx, func(t *store.Tx) (err error) { right, err = t.RecoveryCode(p.ID, code); return err })
	if !right {
		c.verdict.Reason = audit.WrongCode
	}
	c.consume = func(t *store.Tx) (bool, error) { return t.UseRecoveryCode(p.ID, code) }
	return err
}

// recovered is loud: a recovery code is what a thief of the paper uses.
func (s *Service) recovered(t *store.Tx, p *store.Person, events *[]audit.Event) error {
	left, err := t.RecoveryCodesLeft(p.ID)
	if err != nil {
		return err
	}
	*events = append(*events, audit.Event{Kind: audit.RecoveryUsed, Subject: string(p.ID)})
	return s.mail(t, p, "mail.recovery_used", "left", left)
}

// enrolled stores the factor that was set up; count holds the person. After a recovery code it takes the place of what the person lost.
func (s *Service) enrolled(t *store.Tx, in store.SignIn, c checked) error {
	have, err := t.FactorsOf(in.Person.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(have, s.counts) && !in.Flow.Means.Has {
		return store.ErrTaken // a first factor is set up once: who knew the password alone must not add to it
	}
	put := t.AddFactor
	if in.Flow.Recover && c.enrol.Kind != user.FactorPasskey {
		put = t.PutFactor
	}
	if err := put(*c.enrol); err != nil {
		return err
	}
	return s.mailFactor(t, in.Person, "mail.factor_added", c.enrol.Kind)
}

// remember makes this browser one in which the password is enough, until the password changes or the time is over.
func (s *Service) remember(t *store.Tx, in store.SignIn, c checked, next *store.Flow, out *Result, events *[]audit.Event) error {
	out.Device = store.NewToken()
	life := time.Duration(c.rules.Factors.RememberDevice)
	if err := t.AddDevice(store.Device{User: next.Person, Stamp: next.Stamp, ExpiresAt: t.Now().Add(life)}, store.HashToken(out.Device)); err != nil {
		return err
	}
	*events = append(*events, audit.Event{Kind: audit.DeviceRemembered, Subject: string(next.Person)})
	return s.mail(t, in.Person, "mail.device_remembered")
}

func (s *Service) mail(t *store.Tx, p *store.Person, key string, args ...any) error {
	if s.Notify == nil {
		return nil
	}
	return s.Notify.Mail(t, p, key, args...)
}

func (s *Service) mailFactor(t *store.Tx, p *store.Person, key string, kind user.FactorKind) error {
	return s.mail(t, p, key, "factor", s.word(p, "kind."+string(kind)))
}

func (s *Service) word(p *store.Person, key string) string {
	if s.Notify == nil {
		return ""
	}
	return s.Notify.Word(p, key)
}

// text prepares the message of the step SMS.
func (s *Service) text(t *store.Tx, rules policy.SMS, o audit.Origin, f store.Flow, p *store.Person, a Answer) (notify.Prepared, error) {
	all, err := t.FactorsOf(p.ID)
	if err != nil {
		return notify.Prepared{}, err
	}
	x := notify.Text{Scope: scope(f.ID), Person: p, App: f.App, IP: o.IP, Client: f.Client}
	if a.Lang != nil {
		x.Lang = a.Lang(f.Request, p)
	}
	for _, one := range all {
		if one.Kind == user.FactorSMS && one.StoppedAt.IsZero() {
			x.Number = one.Secret
		}
	}
	return s.Notify.Prepare(t, x, rules)
}

// showText says what became of the message.
func (s *Service) showText(ctx context.Context, v *View) error {
	err := s.db.View(ctx, func(t *store.Tx) error {
		c, err := t.ChallengeOf(scope(v.Flow.ID))
		v.Challenge = &c
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		v.Challenge = nil
		return nil
	}
	if err == nil && s.Notify != nil {
		v.Masked = s.Notify.Masked(v.Challenge.Data)
	}
	return err
}

// TextState says what became of the message of a sign-in of this browser: a state of store.Challenge, or "gone".
func (s *Service) TextState(ctx context.Context, id, browser string) (string, error) {
	in, err := s.read(ctx, id, browser, "")
	if err != nil {
		return "", err
	}
	v := View{Flow: in.Flow}
	if err := s.showText(ctx, &v); err != nil || v.Challenge == nil {
		return "gone", err
	}
	return v.Challenge.State, nil
}
