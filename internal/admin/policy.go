package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
)

// Policy gives the whole policy in force, past every cache.
func (s *Service) Policy(ctx context.Context) (policy.Policy, error) {
	var p policy.Policy
	err := s.db.View(ctx, func(t *store.Tx) (err error) { p, err = t.Policy(); return err })
	return p, err
}

// PolicyOf gives what holds for a person of these groups, which have to exist.
func (s *Service) PolicyOf(ctx context.Context, groups []string) (policy.Policy, error) {
	var p policy.Policy
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if err := knownGroups(t, groups); err != nil {
			return err
		}
		p, err = t.Policy()
		return err
	})
	return p.For(groups), err
}

// PolicyOfUser gives what holds for one person, and the groups that make it so; user.ErrNotFound if there is nobody of this user name.
func (s *Service) PolicyOfUser(ctx context.Context, username string) (policy.Policy, []string, error) {
	u, _, err := s.User(ctx, username)
	if err != nil {
		return policy.Policy{}, nil, err
	}
	p, err := s.Policy(ctx)
	return p.For(u.Groups), u.Groups, err
}

// SetPolicy makes the policy in force what p makes of it, and gives the rules that changed. Either all of them change, or none does: a fault
// of any is told with every other, and who was second of two operators at once is told to run it again. With dry it only tells.
func (s *Service) SetPolicy(ctx context.Context, o audit.Origin, p Proposal, dry bool) ([]policy.Change, error) {
	var was policy.Policy
	var row string
	var groups []string
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if was, row, err = t.PolicyRow(); err != nil {
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
	changes := policy.Diff(was, is)
	if dry || len(changes) == 0 {
		return changes, nil
	}
	err = s.db.Change(ctx, o, swapPolicy(was, is, row))
	if errors.Is(err, store.ErrConflict) {
		return nil, errors.New("nothing was changed: somebody else changed the policy at the same time; run it again")
	}
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// swapPolicy is how every policy is written: in place of the one that was looked at, which stood as row, with one event that has the changed
// rules as they were and as they are.
func swapPolicy(was, is policy.Policy, row string) func(*store.Tx) error {
	before, after := map[string]any{}, map[string]any{}
	for _, c := range policy.Diff(was, is) {
		before[c.Key], after[c.Key] = c.Before, c.After
	}
	return func(t *store.Tx) error {
		if err := t.SwapPolicy(is.Normal(), row); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.PolicyChanged, Detail: map[string]string{"before": text(before), "after": text(after)}})
	}
}

// policyOfGroups refuses rules for groups that do not exist, which would hold for nobody.
func policyOfGroups(p policy.Policy, groups []string) error {
	for _, g := range policyGroupNames(p) {
		if !slices.Contains(groups, g) {
			return noGroup(g)
		}
	}
	return nil
}

// policyGroupNames lists the groups that p has rules for.
func policyGroupNames(p policy.Policy) []string {
	names := slices.Collect(maps.Keys(p.Password.Groups))
	names = slices.AppendSeq(names, maps.Keys(p.Session.Groups))
	names = slices.AppendSeq(names, maps.Keys(p.Factors.Groups))
	slices.Sort(names)
	return slices.Compact(names)
}

func noGroup(name string) error {
	return fmt.Errorf("there is no group %q; add it under groups: in an apply file", name)
}
