package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// step is one change of a plan: its line for the operator and what it writes.
type step struct {
	line string
	do   func(*store.Tx) error
}

// state is what the database has of what a file names.
type state struct {
	groups  []string
	users   map[string]*store.Person
	ids     map[string]user.ID // of users, and of those that the file makes
	clients map[client.ID]store.Client
	policy  policy.Policy
	row     string // how policy stands in the database
}

// id finds somebody by user name.
func (s state) id(name string) (user.ID, error) {
	id, known := s.ids[user.Fold(name)]
	if !known {
		return "", user.ErrNotFound
	}
	return id, nil
}

// Apply makes people, groups, applications and policies as f says and gives a line for each change. All of it happens in
// one change or none of it. Applying the same file again changes nothing. With dry it only tells.
func (s *Service) Apply(ctx context.Context, o audit.Origin, f *File, dry bool) ([]string, error) {
	now, err := s.present(ctx, f)
	if err != nil {
		return nil, err
	}
	plan, err := s.plan(ctx, f, now)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(plan))
	for i, p := range plan {
		lines[i] = p.line
	}
	if dry || len(plan) == 0 {
		return lines, nil
	}
	err = s.db.Change(ctx, o, func(t *store.Tx) error {
		t.Alone("apply") // another file may name the same people and applications in another order
		for _, p := range plan {
			if err := p.do(t); err != nil {
				return fmt.Errorf("%s: %w", p.line, err)
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, store.ErrTaken):
		err = errors.New("nothing was applied: a name or mail address was taken meanwhile, or two people swap mail addresses; run it again, or change one first")
	case errors.Is(err, store.ErrConflict):
		err = errors.New("nothing was applied: somebody changed the same users, applications or the policy at the same time; run it again")
	}
	if err != nil {
		return nil, err
	}
	return lines, nil
}

func (s *Service) present(ctx context.Context, f *File) (state, error) {
	now := state{users: map[string]*store.Person{}, ids: map[string]user.ID{}, clients: map[client.ID]store.Client{}}
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if now.groups, err = t.Groups(); err != nil {
			return err
		}
		if now.policy, now.row, err = t.PolicyRow(); err != nil {
			return err
		}
		err = t.Persons(func(p *store.Person) error {
			now.users[user.Fold(p.Username)], now.ids[user.Fold(p.Username)] = p, p.ID
			return nil
		})
		if err != nil {
			return err
		}
		return t.Clients(func(c store.Client) error { now.clients[c.ID] = c; return nil })
	})
	return now, err
}

// plan does the slow work, hashing, before any transaction.
func (s *Service) plan(ctx context.Context, f *File, now state) ([]step, error) {
	var plan []step
	groups := slices.Clone(now.groups)
	for _, g := range f.Groups {
		if slices.Contains(groups, g) {
			continue
		}
		groups = append(groups, g)
		plan = append(plan, step{"group " + g + ": created", func(t *store.Tx) error {
			t.AddGroup(g)
			return t.Record(audit.Event{Kind: audit.GroupCreated, Detail: map[string]string{"group": g}})
		}})
	}
	if err := policyGroups(f.Policies, groups); err != nil {
		return nil, err
	}
	if err := mailTaken(f, now); err != nil {
		return nil, err
	}
	if f.hasPolicies && len(policy.Diff(now.policy, f.Policies)) > 0 {
		plan = append(plan, step{"policies: changed", swapPolicy(now.policy, f.Policies, now.row)})
		now.policy = f.Policies
	}
	for _, u := range f.Users {
		steps, err := s.planUser(ctx, u, now, groups)
		if err != nil {
			return nil, err
		}
		plan = append(plan, steps...)
	}
	for _, c := range f.Clients {
		steps, err := s.planClient(c, now, groups)
		if err != nil {
			return nil, err
		}
		plan = append(plan, steps...)
	}
	return plan, nil
}

// policyGroups refuses rules for groups that do not exist: they would hold for nobody, in silence.
func policyGroups(p policy.Policy, groups []string) error {
	return errors.Join(
		undeclared("policies.password.groups", slices.Sorted(maps.Keys(p.Password.Groups)), groups),
		undeclared("policies.session.groups", slices.Sorted(maps.Keys(p.Session.Groups)), groups),
		undeclared("policies.factors.groups", slices.Sorted(maps.Keys(p.Factors.Groups)), groups))
}

func undeclared(what string, wanted, groups []string) error {
	for _, g := range wanted {
		if !slices.Contains(groups, g) {
			return fmt.Errorf("%s: there is no group %q; name it under groups too", what, g)
		}
	}
	return nil
}

// text shows a value as its JSON, which is how it stands in its row: two that mean the same are the same text.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // registrations and policies always marshal
	}
	return string(b)
}
