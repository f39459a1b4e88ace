package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

func (s *Service) planUser(ctx context.Context, spec UserSpec, now state, groups []string) ([]step, error) {
	what := "user " + spec.Username
	if err := undeclared(what, spec.Groups, groups); err != nil {
		return nil, err
	}
	p, known := now.users[user.Fold(spec.Username)]
	u := spec.user()
	if known {
		u.ID = p.ID
	} else {
		u.ID = user.ID(rand.Text())
		now.ids[user.Fold(spec.Username)] = u.ID
	}
	made, err := s.wanted(ctx, spec, u, p, now.policy.For(spec.Groups).Password)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var plan []step
	if !known {
		plan = append(plan, step{what + ": created", func(t *store.Tx) error {
			if err := t.CreateUser(u, made.PHC); err != nil {
				return err
			}
			t.PasswordMade(u.ID, made.Under)
			return t.Record(audit.Event{Kind: audit.UserCreated, Subject: string(u.ID)})
		}})
	} else {
		if fields := changedFields(p.User, u); len(fields) > 0 {
			plan = append(plan, step{what + ": changed " + strings.Join(fields, ", "), func(t *store.Tx) error {
				if err := t.UpdateUser(u); err != nil {
					return err
				}
				return t.Record(audit.Event{Kind: audit.UserChanged, Subject: string(u.ID), Detail: map[string]string{"fields": strings.Join(fields, " ")}})
			}})
		}
		if made.PHC != "" {
			plan = append(plan, step{what + ": password set", func(t *store.Tx) error { return t.SetPassword(u.ID, made.Was, made.PHC, made.Under, "") }})
		}
	}
	if !known && u.Phone != "" || known && p.Phone != u.Phone {
		plan = append(plan, step{what + ": text-message number set", func(t *store.Tx) error { return giveNumber(t, u) }})
	}
	if spec.TOTP != "" && (!known || !sameToken(p.TOTP, spec.TOTP)) {
		plan = append(plan, step{what + ": soft token set", func(t *store.Tx) error {
			t.Hold(u.ID)
			if err := t.PutFactor(store.Factor{User: u.ID, Kind: user.FactorTOTP, Secret: spec.TOTP}); err != nil {
				return err
			}
			if err := t.Record(audit.Event{Kind: audit.FactorEnrolled, Subject: string(u.ID), Detail: map[string]string{"factor": "totp"}}); err != nil {
				return err
			}
			return t.EndSessionsOf(u.ID, "", audit.Administrator)
		}})
	}
	return plan, nil
}

// giveNumber makes a person's number, which an administrator vouches for, their text-message factor; without one it takes the
// factor away. Sessions that were proved by another end.
func giveNumber(t *store.Tx, u user.User) error {
	t.Hold(u.ID)
	was, err := t.FactorsOf(u.ID)
	if err != nil {
		return err
	}
	event := audit.Event{Kind: audit.FactorEnrolled, Subject: string(u.ID), Detail: map[string]string{"factor": string(user.FactorSMS)}}
	if u.Phone != "" {
		err = t.PutFactor(store.Factor{User: u.ID, Kind: user.FactorSMS, Secret: u.Phone})
	} else {
		event.Kind = audit.FactorRemoved
		for _, f := range was {
			if f.Kind == user.FactorSMS {
				t.RemoveFactor(u.ID, f.ID)
			}
		}
	}
	if err = errors.Join(err, t.Record(event)); err != nil {
		return err
	}
	return t.EndSessionsOf(u.ID, "", audit.Administrator)
}

// wanted is what to store as the password of u, whose row is p; nothing if the present one does.
func (s *Service) wanted(ctx context.Context, spec UserSpec, u user.User, p *store.Person, rules policy.Password) (passwords.Made, error) {
	if spec.PasswordHash != "" {
		if p != nil && p.Password == spec.PasswordHash {
			return passwords.Made{}, nil
		}
		return passwords.Made{PHC: spec.PasswordHash}, nil
	}
	if spec.Password == "" {
		return passwords.Made{}, nil
	}
	normal, err := s.passwords.Fits(rules, u, spec.Password)
	if err != nil {
		return passwords.Made{}, refusal(err, rules)
	}
	if p != nil && p.Password != "" {
		same, _, err := s.hasher.Check(ctx, normal, p.Password)
		if err != nil || same {
			return passwords.Made{}, err
		}
	}
	made, err := s.passwords.Make(ctx, rules, u, spec.Password)
	return made, refusal(err, rules)
}

func changedFields(was, is user.User) []string {
	var fields []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", was.Name == is.Name}, {"email", was.Email == is.Email}, {"phone", was.Phone == is.Phone},
		{"locale", was.Locale == is.Locale}, {"groups", sameSet(was.Groups, is.Groups)}, {"roles", sameSet(was.Roles, is.Roles)},
	} {
		if !f.same {
			fields = append(fields, f.name)
		}
	}
	return fields
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func sameToken(a, b string) bool {
	one, err := factor.ParseTOTP(a)
	if err != nil {
		return false
	}
	two, err := factor.ParseTOTP(b)
	return err == nil && reflect.DeepEqual(one, two)
}

// mailTaken refuses a mail address that somebody has whom the file does not name; the file's own it has checked itself.
func mailTaken(f *File, now state) error {
	owner := map[string]string{}
	for _, p := range now.users {
		owner[user.Fold(p.Email)] = p.Username
	}
	for _, u := range f.Users {
		if p, known := now.users[user.Fold(u.Username)]; known {
			delete(owner, user.Fold(p.Email))
		}
	}
	for _, u := range f.Users {
		if name := owner[user.Fold(u.Email)]; u.Email != "" && name != "" {
			return fmt.Errorf("user %s: the mail address %s belongs to %s", u.Username, u.Email, name)
		}
	}
	return nil
}
