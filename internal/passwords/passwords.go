// Package passwords says whether a password may be somebody's new one, and makes what is stored of it. Every door at which a password is
// chosen comes here: a one-time link, the person's own page, the replacement at sign-in, the command line and the apply file.
package passwords

import (
	"context"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Options are what a service is made of.
type Options struct {
	DB           *store.DB
	Hasher       *factor.Hasher
	Organisation string // its words are refused in a password
}

// Service is safe for concurrent use.
type Service struct{ Options }

// New gives the service.
func New(o Options) *Service { return &Service{o} }

// Made is a new password as store.Tx.SetPassword takes it.
type Made struct {
	PHC string
	Was string // the PHC string that it takes the place of; "" where there is none
}

// Rules are those of policy for u.
func (s *Service) Rules(ctx context.Context, u user.User) (policy.Password, error) {
	all, err := s.DB.Policy(ctx)
	return all.For(u.Groups).Password, err
}

// Fits gives password in its one spelling, or says why rules refuse it to u: factor.ErrTooShort, factor.ErrTooLong, factor.ErrNotText.
// words are refused in it as those of u are, such as the name of the application that u signs in to.
func (s *Service) Fits(rules policy.Password, u user.User, password string, words ...string) (string, error) {
	return factor.Acceptable(password, rules.MinLength, rules.MaxLength)
}

// Make is Fits, and refuses what u had before as long as rules remember. An ID in u that is empty is of somebody new.
func (s *Service) Make(ctx context.Context, rules policy.Password, u user.User, password string, words ...string) (Made, error) {
	normal, err := s.Fits(rules, u, password, words...)
	if err != nil {
		return Made{}, err
	}
	phc, err := s.Hasher.Hash(ctx, normal)
	return Made{PHC: phc}, err
}

// Outlived reports whether a password that was set at changed is older than rules allow.
func (s *Service) Outlived(rules policy.Password, changed, now time.Time) bool {
	return rules.MaxAge > 0 && now.Sub(changed) >= time.Duration(rules.MaxAge)
}
