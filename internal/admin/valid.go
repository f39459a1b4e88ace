package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// validUser finds every fault of a person's details.
func validUser(u user.User) error {
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("user %s: %w", u.Username, err))
		}
	}
	add(user.ValidUsername(u.Username))
	add(user.ValidName(u.Name))
	add(user.ValidEmail(u.Email))
	add(user.ValidPhone(u.Phone))
	for _, r := range u.Roles {
		if !user.ValidRole(r) {
			add(fmt.Errorf("there is no role %q; the roles are admin, auditor, support, privacy, owner", r))
		}
	}
	if u.Locale != "" && u.Locale != "sv" && u.Locale != "en" {
		add(fmt.Errorf("the locale %q is not known; write sv or en", u.Locale))
	}
	return errors.Join(faults...)
}

func validGroup(name string) error {
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("the group %q: a group has 1 to 64 of the characters a-z A-Z 0-9 . _ -", name)
	}
	return nil
}

// knownGroups refuses groups that do not exist.
func knownGroups(t *store.Tx, names []string) error {
	if len(names) == 0 {
		return nil
	}
	known, err := t.Groups()
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return noGroup(n)
		}
	}
	return nil
}

// make is what is stored of a password that policy accepts for u; nothing for none.
func (s *Service) make(ctx context.Context, u user.User, password string) (passwords.Made, error) {
	if password == "" {
		return passwords.Made{}, nil
	}
	rules, err := s.passwords.Rules(ctx, u)
	if err != nil {
		return passwords.Made{}, err
	}
	made, err := s.passwords.Make(ctx, rules, u, password)
	return made, refusal(err, rules)
}

// refusal says what to do about a refused password.
func refusal(err error, rules policy.Password) error {
	switch {
	case errors.Is(err, factor.ErrTooShort):
		return fmt.Errorf("the password has fewer than %d characters; choose a longer one", rules.MinLength)
	case errors.Is(err, factor.ErrTooLong):
		return fmt.Errorf("the password has more than %d characters; choose a shorter one", rules.MaxLength)
	}
	for _, r := range []struct {
		because error
		todo    string
	}{
		{factor.ErrNotText, "the password is not text; it must be UTF-8 without NUL"},
		{passwords.ErrClasses, fmt.Sprintf("the password has fewer than %d of lower case, upper case, digits and other characters; add what is missing", rules.MinClasses)},
		{passwords.ErrContext, "the password is little more than names of the person or the organisation; choose other words"},
		{passwords.ErrListed, "the password is on a list of known passwords, or a plain pattern; choose another"},
		{passwords.ErrUsed, "the password was used before; choose a new one"},
	} {
		if errors.Is(err, r.because) {
			return errors.New(r.todo)
		}
	}
	return err
}
