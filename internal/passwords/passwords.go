// Package passwords says whether a password may be somebody's new one, and makes what is stored of it. Every door at which a password is
// chosen comes here: a one-time link, the person's own page, the replacement at sign-in, the command line and the apply file.
//
// What a policy asks for is in policy.Password; by default it is NIST SP 800-63B-4 §3.1.1.2: length, and no password that others know
// or can guess from the person and the place. Nothing leaves the machine to find that out.
package passwords

import (
	"context"
	"errors"
	"fmt"

	"github.com/portvakt/portvakt/internal/breach"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// The refusals, beside factor.ErrTooShort, factor.ErrTooLong and factor.ErrNotText. Each comes in a Refused.
var (
	ErrClasses = errors.New("passwords: too few kinds of characters")
	ErrContext = errors.New("passwords: little but words of the person, the organisation or the application")
	ErrListed  = errors.New("passwords: on a list of known passwords, or a plain pattern")
	ErrUsed    = errors.New("passwords: the present password or one of those before it")
)

// Refused is a password that rules refuse, and why.
type Refused struct {
	Because error
	Rules   policy.Password
}

func (r *Refused) Error() string { return r.Because.Error() }

// Unwrap is for errors.Is.
func (r *Refused) Unwrap() error { return r.Because }

// Options are what a service is made of.
type Options struct {
	DB           *store.DB
	Hasher       *factor.Hasher
	Organisation string       // its words are refused in a password
	Breached     *breach.List // beside the list that is built in; nil for none
}

// Service is safe for concurrent use.
type Service struct {
	Options
	lists []*breach.List
	steps steps
}

// New gives the service.
func New(o Options) *Service {
	common, err := breach.Common()
	if err != nil {
		panic(err) // it is part of the program, and its tests read it
	}
	s := &Service{Options: o, lists: []*breach.List{common}, steps: newSteps()}
	if o.Breached != nil {
		s.lists = append(s.lists, o.Breached)
	}
	return s
}

// Made is a new password as store.Tx.SetPassword takes it.
type Made struct {
	PHC   string
	Was   string // the PHC string that it takes the place of; "" where there is none
	Under string // the rules that it was made under, such as "min_length=12 min_classes=0 blocklist=1"
}

// Rules are those of policy for u.
func (s *Service) Rules(ctx context.Context, u user.User) (policy.Password, error) {
	all, err := s.DB.Policy(ctx)
	return all.For(u.Groups).Password, err
}

// Fits gives password in its one spelling, or says in a Refused why rules refuse it to u: the errors above but ErrUsed. Any other error is
// one of reading a list. words are refused in it as those of u are, such as the name of the application that u signs in to.
func (s *Service) Fits(rules policy.Password, u user.User, password string, words ...string) (string, error) {
	normal, err := factor.Acceptable(password, rules.MinLength, rules.MaxLength)
	if err != nil {
		return "", &Refused{err, rules}
	}
	folded := fold(normal)
	switch {
	case classes(normal) < rules.MinClasses:
		return "", &Refused{ErrClasses, rules}
	case left(folded, s.words(rules, u, words)) < least:
		return "", &Refused{ErrContext, rules}
	case !rules.Blocklist:
		return normal, nil
	case s.steps.plain(folded):
		return "", &Refused{ErrListed, rules}
	}
	for _, list := range s.lists {
		known, err := Listed(list, password)
		if err != nil {
			return "", err
		}
		if known {
			return "", &Refused{ErrListed, rules}
		}
	}
	return normal, nil
}

// Listed reports whether a password is on a list as it was typed, in its one spelling, or in lower case.
func Listed(list *breach.List, password string) (bool, error) {
	spellings := []string{password}
	if normal, err := factor.Normal(password); err == nil {
		spellings = append(spellings, normal, fold(normal))
	}
	for i, s := range spellings {
		if i > 0 && s == spellings[i-1] {
			continue
		}
		if known, err := list.Has(s); known || err != nil {
			return known, err
		}
	}
	return false, nil
}

// Make is Fits, and refuses what u had before as long as rules remember (ErrUsed): the present password, and those before it up to as
// many as History says. An ID in u that is empty or nobody's is of somebody new. The errors are also those of factor.Hasher.
func (s *Service) Make(ctx context.Context, rules policy.Password, u user.User, password string, words ...string) (Made, error) {
	normal, err := s.Fits(rules, u, password, words...)
	if err != nil {
		return Made{}, err
	}
	made := Made{Under: Under(rules)}
	if u.ID != "" {
		if made.Was, err = s.unused(ctx, rules, u.ID, normal); err != nil {
			return Made{}, err
		}
	}
	made.PHC, err = s.Hasher.Hash(ctx, normal)
	return made, err
}

// unused gives the present PHC string of a person, or refuses a password that they had. A hash takes its time, so none is compared in a
// unit of work: who changes the password meanwhile makes Was another, and SetPassword refuses.
func (s *Service) unused(ctx context.Context, rules policy.Password, id user.ID, password string) (string, error) {
	var present string
	var had []string
	err := s.DB.View(ctx, func(t *store.Tx) (err error) {
		present, had, err = t.Passwords(id, max(rules.History-1, 0))
		return err
	})
	if err != nil || rules.History == 0 {
		return present, err
	}
	for _, phc := range append([]string{present}, had...) {
		same, _, err := s.Hasher.Check(ctx, password, phc)
		if err != nil && !errors.Is(err, factor.ErrHash) { // what nobody can check is nobody's password
			return "", err
		}
		if same {
			return "", &Refused{ErrUsed, rules}
		}
	}
	return present, nil
}

// Under names rules as they are kept beside a password that was made under them.
func Under(rules policy.Password) string {
	blocklist := 0
	if rules.Blocklist {
		blocklist = 1
	}
	return fmt.Sprintf("min_length=%d min_classes=%d blocklist=%d", rules.MinLength, rules.MinClasses, blocklist)
}

// Hint is what a page may tell a browser, so that it can say how good a password is while it is typed. It decides nothing.
type Hint struct {
	MinLength, MinClasses int
	Words                 []string // in lower case
}

// Hint gives that for u. It holds nothing that u may not read.
func (s *Service) Hint(rules policy.Password, u user.User, words ...string) Hint {
	return Hint{MinLength: rules.MinLength, MinClasses: rules.MinClasses, Words: s.words(rules, u, words)}
}
