package account

import (
	"context"
	"errors"
	"hash/crc32"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	secretLife   = 15 * time.Minute
	ceremonyLife = 5 * time.Minute
	maxName      = 64 // characters of a passkey's name
)

// scope names the challenge of a kind in a session. No other session sees it, of this person or another.
func (me Self) scope(kind user.FactorKind) string {
	return "account:" + string(me.Session.ID) + ":" + string(kind)
}

// challenge gives what waits for its answer, or store.ErrNotFound.
func (w work) challenge(kind user.FactorKind) (store.Challenge, error) {
	c, err := w.ChallengeOf(w.me.scope(kind))
	if err == nil && (c.User != w.me.Person.ID || c.Kind != kind) {
		err = store.ErrNotFound
	}
	return c, err
}

// errKept ends a change that has nothing to write.
var errKept = errors.New("account: all is there already")

// BeginTOTP gives the key URI of the soft token that is being set up, the same one for 15 minutes.
func (s *Service) BeginTOTP(ctx context.Context, me Self) (string, error) {
	var uri string
	err := s.own(ctx, me, func(w work) error {
		if !s.may(w.rules, user.FactorTOTP) {
			return ErrKind
		}
		c, err := w.challenge(user.FactorTOTP)
		if err == nil {
			uri = c.Data
			return errKept
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		uri = factor.NewTOTP().URI(s.Issuer, me.Person.Username)
		return w.begin(store.Challenge{Kind: user.FactorTOTP, Data: uri, Expires: w.Now().Add(secretLife)})
	})
	if errors.Is(err, errKept) {
		err = nil
	}
	return uri, err
}

// begin stores c as the session's challenge of its kind.
func (w work) begin(c store.Challenge) error {
	c.Scope, c.User = w.me.scope(c.Kind), w.me.Person.ID
	if _, err := w.PutChallenge(c); err != nil {
		return err
	}
	return w.record(audit.Event{Kind: audit.ChallengeMade}, c.Kind, "")
}

// AddTOTP makes the soft token that BeginTOTP gave the person's own, in place of the present one, if code is one of its codes. Else it
// says why: WrongCode, Delayed, or Expired: BeginTOTP gives another.
func (s *Service) AddTOTP(ctx context.Context, me Self, code string) (audit.Reason, error) {
	c, err := s.waiting(ctx, me, user.FactorTOTP)
	if err != nil || c.ID == "" {
		return audit.Expired, err
	}
	token, err := factor.ParseTOTP(c.Data)
	if err != nil {
		return "", err
	}
	why := audit.NoReason
	step, ok := token.Check(code, s.DB.Now(), 0)
	if !ok {
		why = audit.WrongCode
	}
	return s.settle(ctx, me, c, why, store.Factor{Secret: c.Data, Counter: step})
}

// waiting gives the challenge of a kind, or a zero one.
func (s *Service) waiting(ctx context.Context, me Self, kind user.FactorKind) (store.Challenge, error) {
	var c store.Challenge
	err := s.look(ctx, me, func(w work) (err error) {
		if !s.may(w.rules, kind) {
			return ErrKind
		}
		c, err = w.challenge(kind)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return store.Challenge{}, nil
	}
	return c, err
}

// settle takes the try from its lanes and, if why is empty, makes f the person's own. It spends the challenge with that, and, of a
// passkey, in any case: a ceremony has one answer.
func (s *Service) settle(ctx context.Context, me Self, c store.Challenge, why audit.Reason, f store.Factor) (audit.Reason, error) {
	var out audit.Reason
	var counted lockout.Outcome
	count := func(t *store.Tx) (err error) {
		counted, err = lockout.Codes(me.Person.ID, c.Kind).Take(t, why == "")
		return err
	}
	err := s.own(ctx, me, func(w work) error {
		out = why
		if !s.may(w.rules, c.Kind) {
			return ErrKind
		}
		if counted.Refused {
			out = audit.Delayed
		}
		if out == "" || c.Kind == user.FactorPasskey {
			used, err := w.UseChallenge(c.Scope, c.ID)
			if err != nil {
				return err
			}
			if !used {
				out = audit.Expired
			}
		}
		if out != "" {
			return w.record(audit.Event{Kind: audit.FactorEnrolled, Outcome: audit.Refused, Reason: out}, c.Kind, "")
		}
		f.User, f.Kind = me.Person.ID, c.Kind
		return s.enrol(w, f)
	}, count)
	return out, err
}

// enrol stores a factor that was proved. The try that proved it does not count; those before it do, since what it proved is new.
func (s *Service) enrol(w work, f store.Factor) error {
	lockout.Codes(f.User, f.Kind).GiveBack(w.Tx)
	w.DropChallenge(w.me.scope(f.Kind))
	key, put := "mail.factor_added", w.AddFactor
	if f.Kind != user.FactorPasskey {
		put = w.PutFactor
	}
	detail := map[string]string{}
	for _, was := range w.have {
		if was.Kind == f.Kind && f.Kind != user.FactorPasskey {
			detail["replaced"] = was.ID
			if err := w.EndSessionsOf(f.User, w.me.Session.ID, audit.FactorChanged); err != nil {
				return err
			}
			w.DropSignIns(f.User) // one of them may wait for a code of the old one, as a session may have been proved with it
			if f.Kind == user.FactorSMS {
				key = "mail.number_changed"
			}
		}
	}
	if err := put(f); err != nil {
		return err
	}
	if f.Kind == user.FactorSMS {
		if err := s.Notify.Used(w.Tx); err != nil {
			return err
		}
	}
	if err := w.record(audit.Event{Kind: audit.FactorEnrolled, Detail: detail}, f.Kind, ""); err != nil {
		return err
	}
	return s.tell(w.Tx, w.me.Person, key, f)
}

// Number is a number that waits for its code.
type Number struct {
	Masked  string // empty: there is none
	Mark    string
	State   string // of store.Challenge
	Version int    // another with each message; 0: none waits
}

// version tells a challenge from the one before it; 0: there is none.
func version(c store.Challenge) int { return int(crc32.ChecksumIEEE([]byte(c.ID))) }

// Number gives what SendNumber began.
func (s *Service) Number(ctx context.Context, me Self) (Number, error) {
	if !s.Notify.On() {
		return Number{}, notify.ErrOff
	}
	c, err := s.waiting(ctx, me, user.FactorSMS)
	if err != nil || c.ID == "" {
		return Number{}, err
	}
	return Number{s.Notify.Masked(c.Data), c.Mark, c.State, version(c)}, nil
}

// SendNumber sends a code to a number as the person wrote it, or, if that is empty, once more to the number that waits (ErrMissing: none
// does). lang is of the page, seen the version that it showed: if another message went out since, by a button that was pressed twice, it
// does nothing. The refusals of the number are notify's.
func (s *Service) SendNumber(ctx context.Context, me Self, raw, lang string, seen int) error {
	rules, err := s.rules(ctx, me.Person)
	if err != nil {
		return err
	}
	if !s.Notify.On() {
		return notify.ErrOff
	}
	number := ""
	if raw != "" {
		if number, _, err = s.Notify.Number(raw, rules.SMS); err != nil {
			return err
		}
	}
	var message notify.Prepared
	err = s.own(ctx, me, func(w work) error {
		if !s.may(w.rules, user.FactorSMS) {
			return ErrKind
		}
		c, err := w.challenge(user.FactorSMS)
		to := number
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case to == "" && err != nil:
			return ErrMissing
		case version(c) != seen:
			return errKept
		case to == "":
			to = c.Data
		}
		text := notify.Text{Scope: me.scope(user.FactorSMS), Person: me.Person, Number: to, Lang: lang, IP: me.Origin.IP}
		message, err = s.Notify.Prepare(w.Tx, text, w.rules.SMS)
		return err
	})
	if errors.Is(err, errKept) {
		return nil
	}
	if err != nil {
		return err
	}
	me.Origin.Actor = string(me.Person.ID)
	s.Notify.Send(me.Origin, message)
	return nil
}

// DropNumber forgets the number that waits, to ask for another.
func (s *Service) DropNumber(ctx context.Context, me Self) error {
	return s.DB.Housekeep(ctx, func(t *store.Tx) error { t.DropChallenge(me.scope(user.FactorSMS)); return nil })
}

// AddNumber makes the number that waits the person's own, in place of the present one, if code is the one that was sent to it. Else it says
// why: WrongCode, Delayed, or Expired.
func (s *Service) AddNumber(ctx context.Context, me Self, code string) (audit.Reason, error) {
	c, err := s.waiting(ctx, me, user.FactorSMS)
	if err != nil || c.ID == "" {
		return audit.Expired, err
	}
	why := audit.NoReason
	if !s.Notify.Right(c, code) {
		why = audit.WrongCode
	}
	return s.settle(ctx, me, c, why, store.Factor{Secret: c.Data})
}

// passkeyName gives a person's own word for a passkey in its one spelling, or user.ErrName.
func passkeyName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if err := user.ValidName(name); err != nil || utf8.RuneCountInString(name) > maxName {
		return "", user.ErrName
	}
	return name, nil
}
