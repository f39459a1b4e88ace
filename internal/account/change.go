package account

import (
	"context"
	"slices"
	"strconv"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Rename gives a passkey another name. ErrMissing, user.ErrName, ErrGone.
func (s *Service) Rename(ctx context.Context, me Self, id, name string) error {
	name, err := passkeyName(name)
	if err != nil {
		return err
	}
	if name == "" {
		return ErrMissing
	}
	return s.own(ctx, me, func(w work) error {
		f, err := w.factor(id)
		if err != nil || f.Kind != user.FactorPasskey {
			return ErrGone
		}
		w.RenameFactor(me.Person.ID, id, name)
		return w.record(audit.Event{Kind: audit.FactorRenamed}, f.Kind, id)
	})
}

// Remove takes a factor away. ErrLast where policy demands it, ErrGone.
func (s *Service) Remove(ctx context.Context, me Self, id string) error {
	return s.own(ctx, me, func(w work) error {
		f, err := w.factor(id)
		if err != nil {
			return err
		}
		left := without(w.have, f.ID)
		if err := s.mayLose(w, f, left); err != nil {
			return err
		}
		w.RemoveFactor(me.Person.ID, id)
		if err := w.EndSessionsOf(me.Person.ID, me.Session.ID, audit.FactorChanged); err != nil {
			return err
		}
		w.DropSignIns(me.Person.ID) // one of them may have proved it, as another session may
		if s.ways(left, w.rules) == 0 {
			w.ForgetDevices(me.Person.ID) // each stands for a factor
		}
		if err := w.record(audit.Event{Kind: audit.FactorRemoved}, f.Kind, id); err != nil {
			return err
		}
		return s.tell(w.Tx, me.Person, "mail.factor_removed", f)
	})
}

// mayLose gives ErrLast unless the person may do with left.
func (s *Service) mayLose(w work, f store.Factor, left []store.Factor) error {
	demanded := demand(w.rules).Meets(user.ACR2FA)
	if !s.usable(f, w.rules) {
		if demanded && len(left) == 0 {
			return ErrLast // a stopped factor still keeps who knows the password from setting up one of their own
		}
		return nil
	}
	if !s.covers(left, w.rules) {
		return ErrLast
	}
	if len(left) > 0 && s.ways(left, w.rules) == 0 { // nothing to sign in with, and yet asked for
		codes, err := w.RecoveryCodesLeft(w.me.Person.ID)
		if err == nil && codes == 0 {
			err = ErrLast
		}
		return err
	}
	return nil
}

func without(have []store.Factor, ids ...string) []store.Factor {
	return slices.DeleteFunc(slices.Clone(have), func(f store.Factor) bool { return slices.Contains(ids, f.ID) })
}

// usable reports whether a person of these rules can sign in with f.
func (s *Service) usable(f store.Factor, rules policy.Policy) bool {
	return f.StoppedAt.IsZero() && rules.Factors.May(f.Kind) && (f.Kind != user.FactorSMS || s.Notify.On())
}

// ways counts what a person can sign in with.
func (s *Service) ways(have []store.Factor, rules policy.Policy) (n int) {
	for _, f := range have {
		if s.usable(f, rules) {
			n++
		}
	}
	return n
}

// demand is the class that policy asks of every sign-in.
func demand(rules policy.Policy) user.ACR {
	if rules.Factors.Required {
		return rules.Factors.Minimum.Stronger(user.ACR2FA)
	}
	return rules.Factors.Minimum
}

// covers reports whether a person with these factors can sign in as policy demands.
func (s *Service) covers(have []store.Factor, rules policy.Policy) bool {
	least := demand(rules)
	if !least.Meets(user.ACR2FA) {
		return true
	}
	return slices.ContainsFunc(have, func(f store.Factor) bool {
		return s.usable(f, rules) && (f.Kind == user.FactorPasskey || !least.Meets(user.ACRPhR))
	})
}

// Stop is for who lost their phone: these factors prove nothing until they are allowed again, every other session ends with what
// came of it, and no browser is remembered. ErrLast if nothing would be left to sign in with, not even a recovery code; ErrMissing, ErrGone.
func (s *Service) Stop(ctx context.Context, me Self, ids []string) error {
	if len(ids) == 0 {
		return ErrMissing
	}
	return s.own(ctx, me, func(w work) error {
		var lost []store.Factor
		for _, id := range ids {
			f, err := w.factor(id)
			if err != nil || !f.StoppedAt.IsZero() {
				return ErrGone
			}
			lost = append(lost, f)
		}
		left := without(w.have, ids...)
		if s.ways(left, w.rules) == 0 || !s.covers(left, w.rules) {
			codes, err := w.RecoveryCodesLeft(me.Person.ID)
			if err != nil {
				return err
			}
			if codes == 0 {
				return ErrLast
			}
		}
		if err := w.StopFactors(me.Person.ID, lost, me.Session.ID, audit.Lost); err != nil {
			return err
		}
		return s.tell(w.Tx, me.Person, "mail.factor_stopped", lost...)
	})
}

// Stoppable lists what Stop may be given.
func (s *Service) Stoppable(ctx context.Context, me Self) ([]Factor, error) {
	var out []Factor
	err := s.look(ctx, me, func(w work) error {
		out = slices.DeleteFunc(s.shown(w.have, w.Now()), func(f Factor) bool { return f.Stopped })
		return nil
	})
	return out, err
}

// Allow takes back a stop of the last 72 hours. It asks for proofs by factors that were not stopped (ErrNotFresh): whoever has the lost
// phone must not make it good again. ErrGone.
func (s *Service) Allow(ctx context.Context, me Self, id string) error {
	return s.own(ctx, me, func(w work) error {
		if !user.Level(standing(me.Session, w.have)).Meets(user.ACR2FA) {
			return ErrNotFresh
		}
		f, err := w.factor(id)
		if err != nil {
			return err
		}
		w.AllowFactor(me.Person.ID, id, allowFor)
		if err := w.record(audit.Event{Kind: audit.FactorAllowed}, f.Kind, id); err != nil {
			return err
		}
		return s.tell(w.Tx, me.Person, "mail.factor_allowed", f)
	})
}

// standing gives what a session proved, without what may have been proved by a factor that was stopped afterwards.
func standing(s user.Session, have []store.Factor) []user.Method {
	proves := map[user.FactorKind][]user.Method{
		user.FactorTOTP: {user.MethodOTP}, user.FactorSMS: {user.MethodSMS}, user.FactorPasskey: {user.MethodSoftKey, user.MethodHardKey},
	}
	return slices.DeleteFunc(slices.Clone(s.Proved), func(m user.Method) bool {
		return slices.ContainsFunc(have, func(f store.Factor) bool {
			return !f.StoppedAt.IsZero() && !f.StoppedAt.Before(s.AuthTime) && slices.Contains(proves[f.Kind], m)
		})
	})
}

// AllDevices stands for every remembered browser.
const AllDevices = "all"

// Forget ends one remembered browser, or all. It needs no fresh session, since it opens nothing. ErrGone.
func (s *Service) Forget(ctx context.Context, me Self, id string) error {
	return s.held(ctx, me, func(w work) error {
		if id == AllDevices {
			w.ForgetDevices(me.Person.ID)
		} else {
			w.ForgetDevice(me.Person.ID, id)
		}
		if err := w.endSpared(); err != nil {
			return err
		}
		return w.record(audit.Event{Kind: audit.DeviceForgotten}, "", id)
	})
}

// endSpared ends the other sessions that a remembered browser was spared the second factor for.
func (w work) endSpared() error {
	all, err := w.SessionsOf(w.me.Person.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.ID == w.me.Session.ID || !slices.Contains(one.Proved, user.MethodDevice) {
			continue
		}
		if _, err := w.EndSession(one.ID, audit.FactorChanged); err != nil {
			return err
		}
	}
	return nil
}

// NewRecoveryCodes gives the person ten codes in place of any other; this is the only time that they can be seen. Who has no factor gets none
// (ErrMissing): a code would wait for the factor and then stand in for it.
func (s *Service) NewRecoveryCodes(ctx context.Context, me Self) ([]string, error) {
	codes := factor.NewRecoveryCodes()
	macs := make([][]byte, len(codes))
	for i, code := range codes {
		macs[i] = factor.RecoveryMAC(s.Key, string(me.Person.ID), code)
	}
	err := s.own(ctx, me, func(w work) error {
		if s.ways(w.have, w.rules) == 0 {
			return ErrMissing
		}
		w.PutRecoveryCodes(me.Person.ID, macs)
		if err := w.record(audit.Event{Kind: audit.RecoveryMade, Detail: map[string]string{"codes": strconv.Itoa(len(codes))}}, "", ""); err != nil {
			return err
		}
		return s.tell(w.Tx, me.Person, "mail.recovery_made")
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
