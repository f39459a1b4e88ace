package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/factor"
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
	clients map[client.ID]store.Client
	policy  policy.Policy
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
		for _, p := range plan {
			if err := p.do(t); err != nil {
				return fmt.Errorf("%s: %w", p.line, err)
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrTaken) {
		err = fmt.Errorf("nothing was applied: a user name or mail address is in use by somebody else (%w)", err)
	}
	if err != nil {
		return nil, err
	}
	return lines, nil
}

func (s *Service) present(ctx context.Context, f *File) (state, error) {
	now := state{users: map[string]*store.Person{}, clients: map[client.ID]store.Client{}}
	err := s.db.View(ctx, func(t *store.Tx) (err error) {
		if now.groups, err = t.Groups(); err != nil {
			return err
		}
		if now.policy, err = t.Policy(); err != nil {
			return err
		}
		err = t.Persons(func(p *store.Person) error { now.users[user.Fold(p.Username)] = p; return nil })
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
	if f.hasPolicies && !reflect.DeepEqual(f.Policies, now.policy) {
		plan = append(plan, policyStep(now.policy, f.Policies))
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

func policyStep(was, is policy.Policy) step {
	return step{"policies: changed", func(t *store.Tx) error {
		if err := t.PutPolicy(is); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.PolicyChanged, Detail: map[string]string{"before": text(was), "after": text(is)}})
	}}
}

func undeclared(what string, wanted, groups []string) error {
	for _, g := range wanted {
		if !slices.Contains(groups, g) {
			return fmt.Errorf("%s: there is no group %q; add it under groups:", what, g)
		}
	}
	return nil
}

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
	}
	phc, err := s.wantedHash(ctx, spec, p, now.policy.For(spec.Groups))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var plan []step
	if !known {
		plan = append(plan, step{what + ": created", func(t *store.Tx) error {
			if err := t.CreateUser(u, phc); err != nil {
				return err
			}
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
		if phc != "" {
			plan = append(plan, step{what + ": password set", func(t *store.Tx) error { return t.SetPassword(u.ID, "", phc, "") }})
		}
	}
	if spec.TOTP != "" && (!known || !sameToken(p.TOTP, spec.TOTP)) {
		plan = append(plan, step{what + ": soft token set", func(t *store.Tx) error {
			if err := t.PutTOTP(u.ID, spec.TOTP, 0); err != nil {
				return err
			}
			return t.Record(audit.Event{Kind: audit.FactorEnrolled, Subject: string(u.ID), Detail: map[string]string{"factor": "totp"}})
		}})
	}
	return plan, nil
}

// wantedHash gives the PHC string to store, or "" if the present one does.
func (s *Service) wantedHash(ctx context.Context, spec UserSpec, p *store.Person, rules policy.Policy) (string, error) {
	if spec.PasswordHash != "" {
		if p != nil && p.Password == spec.PasswordHash {
			return "", nil
		}
		return spec.PasswordHash, nil
	}
	if spec.Password == "" {
		return "", nil
	}
	normal, err := factor.Acceptable(spec.Password, rules.Password.MinLength, rules.Password.MaxLength)
	if err != nil {
		return "", refusal(err, rules.Password.MinLength, rules.Password.MaxLength)
	}
	if p != nil && p.Password != "" {
		same, _, err := s.hasher.Check(ctx, normal, p.Password)
		if err != nil || same {
			return "", err
		}
	}
	return s.hasher.Hash(ctx, normal)
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

func (s *Service) planClient(spec ClientSpec, now state, groups []string) ([]step, error) {
	what := "client " + string(spec.ID)
	if err := undeclared(what, spec.AllowedGroups, groups); err != nil {
		return nil, err
	}
	was, known := now.clients[spec.ID]
	var mac []byte
	switch {
	case spec.Public():
		mac = []byte{}
	case spec.Secret != "":
		mac = s.secretMAC(spec.Secret)
	case !known || len(was.Secret) == 0:
		return nil, fmt.Errorf("%s: client_secret is missing; make one with: openssl rand -base64 32", what)
	}
	put := func(kind audit.Kind) func(*store.Tx) error {
		return func(t *store.Tx) error {
			if err := t.PutClient(spec.Client, mac); err != nil {
				return err
			}
			return t.Record(audit.Event{Kind: kind, Client: string(spec.ID)})
		}
	}
	switch {
	case !known:
		return []step{{what + ": created", put(audit.ClientCreated)}}, nil
	case text(was.Client) != text(spec.Client):
		return []step{{what + ": changed", put(audit.ClientChanged)}}, nil
	case mac != nil && !hmac.Equal(mac, was.Secret):
		return []step{{what + ": new secret", put(audit.ClientSecretMade)}}, nil
	}
	return nil, nil
}

// text shows a value as its JSON, which is how it stands in its row: two that mean the same are the same text.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // registrations and policies always marshal
	}
	return string(b)
}
