package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Link kinds.
const (
	LinkSetup      = "setup"
	LinkInvitation = "invitation"
	LinkReset      = "reset"
)

// Link is a one-time link that still works.
type Link struct {
	Kind      string
	Person    user.User // zero for setup
	MinLength int
}

func hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// ReadLink gives the link behind token, or ErrLinkGone.
func (s *Service) ReadLink(ctx context.Context, token string) (Link, error) {
	all, err := s.DB.Policy(ctx)
	if err != nil {
		return Link{}, err
	}
	var out Link
	err = s.DB.View(ctx, func(t *store.Tx) error {
		l, err := t.LinkByToken(hash(token))
		if err != nil {
			return err
		}
		out = Link{Kind: l.Kind, MinLength: all.Password.MinLength}
		if l.Kind == LinkSetup {
			return nil
		}
		p, err := t.PersonByID(l.Person)
		if err != nil {
			return err
		}
		if p.Disabled() {
			return user.ErrNotFound
		}
		out.Person, out.MinLength = p.User, all.For(p.Groups).Password.MinLength
		return nil
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, user.ErrNotFound) {
		err = ErrLinkGone
	}
	return out, err
}

// Form is what the page of a link sends. The names are for setup alone.
type Form struct {
	Username, Name, Email string
	Password, Repeat      string
}

// UseLink sets the password, or makes the first administrator, and spends the link, in one change. Every session of the person ends with
// what came of it, no browser is remembered, and wrong tries at the old password count no more; a person who had one is told.
// The refusals are the errors above, those of package user and of passwords.Service.Make. A link of a person who may not sign in
// is gone for as long.
func (s *Service) UseLink(ctx context.Context, o audit.Origin, token string, f Form) error {
	link, err := s.ReadLink(ctx, token)
	if err != nil {
		return err
	}
	if link.Kind == LinkSetup {
		if err := checkNames(&f); err != nil {
			return err
		}
	}
	made, err := s.chosen(ctx, link, f)
	if err != nil {
		return err
	}
	err = s.DB.Change(ctx, o, func(t *store.Tx) error {
		t.UseLink(hash(token))
		if link.Kind == LinkSetup {
			return firstAdministrator(t, f, made.PHC)
		}
		return s.takeUp(t, link, made)
	})
	switch {
	case err == nil:
		s.Notify.Wake()
	case errors.Is(err, store.ErrConflict):
		return ErrLinkGone
	case errors.Is(err, store.ErrTaken):
		return ErrTaken
	}
	return err
}

// takeUp gives the person of a link the password that they chose.
func (s *Service) takeUp(t *store.Tx, link Link, made passwords.Made) error {
	p := &store.Person{User: link.Person}
	t.MustBeEnabled(p.ID)
	if err := t.Record(audit.Event{Kind: audit.LinkUsed, Actor: string(p.ID), Subject: string(p.ID), Detail: map[string]string{"link": link.Kind}}); err != nil {
		return err
	}
	if err := t.SetPassword(p.ID, made.Was, made.PHC, ""); err != nil {
		return err
	}
	forgive(t, p.User)
	if link.Kind != LinkReset {
		return nil
	}
	return s.Notify.Mail(t, p, "mail.password_changed")
}

// forgive clears the counts of wrong passwords, which were tries at another one. Those of codes stay: else a mailbox would buy more of them.
func forgive(t *store.Tx, u user.User) {
	for _, name := range []string{string(u.ID), user.NameKey(u.Username), user.NameKey(u.Email)} {
		t.ClearLanes(name + ":password:")
	}
	t.ClearLanes(string(u.ID) + ":known:")
}

func checkNames(f *Form) error {
	f.Username, f.Name, f.Email = strings.TrimSpace(f.Username), strings.TrimSpace(f.Name), strings.TrimSpace(f.Email)
	if f.Username == "" {
		return ErrMissing
	}
	return errors.Join(user.ValidUsername(f.Username), user.ValidName(f.Name), user.ValidEmail(f.Email))
}

// chosen makes what is stored of the new password, or says why policy refuses it.
func (s *Service) chosen(ctx context.Context, link Link, f Form) (passwords.Made, error) {
	if f.Password == "" {
		return passwords.Made{}, ErrMissing
	}
	if f.Password != f.Repeat {
		return passwords.Made{}, ErrMismatch
	}
	u := link.Person
	if link.Kind == LinkSetup {
		u = user.User{Username: f.Username, Name: f.Name, Email: f.Email}
	}
	rules, err := s.Passwords.Rules(ctx, u)
	if err != nil {
		return passwords.Made{}, err
	}
	return s.Passwords.Make(ctx, rules, u, f.Password)
}

// firstAdministrator adds one, once in the life of a database, however many set-up links there are.
func firstAdministrator(t *store.Tx, f Form, phc string) error {
	u := user.User{ID: user.ID(rand.Text()), Username: f.Username, Name: f.Name, Email: f.Email, Roles: []string{user.RoleAdmin}}
	if u.Name == "" {
		u.Name = u.Username
	}
	if any, err := t.AnyUser(); err != nil || any {
		return errors.Join(err, store.ErrConflict)
	}
	first, err := t.ClaimValue("first-administrator", string(u.ID))
	if err != nil {
		return err
	}
	if first != string(u.ID) {
		return store.ErrConflict
	}
	if err := t.CreateUser(u, phc); err != nil {
		return err
	}
	for _, e := range []audit.Event{
		{Kind: audit.LinkUsed, Detail: map[string]string{"link": LinkSetup}},
		{Kind: audit.UserCreated, Detail: map[string]string{"roles": user.RoleAdmin}},
	} {
		e.Actor, e.Subject = string(u.ID), string(u.ID)
		if err := t.Record(e); err != nil {
			return err
		}
	}
	return nil
}
