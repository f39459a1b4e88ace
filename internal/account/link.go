package account

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Link kinds.
const (
	LinkSetup      = "setup"
	LinkInvitation = "invitation"
	LinkReset      = "reset"
	LinkBrowser    = notify.LinkBrowser // sets no password: see Admit
)

// Link is a one-time link that still works.
type Link struct {
	Kind   string
	Person user.User // zero for setup
	Rules  policy.Password
	Hint   passwords.Hint
}

// ReadLink gives the link behind token, or ErrLinkGone.
func (s *Service) ReadLink(ctx context.Context, token string) (Link, error) {
	all, err := s.DB.Policy(ctx)
	if err != nil {
		return Link{}, err
	}
	var out Link
	err = s.DB.View(ctx, func(t *store.Tx) error {
		l, err := t.LinkByToken(store.HashToken(token))
		if err != nil {
			return err
		}
		out = Link{Kind: l.Kind, Rules: all.For(nil).Password}
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
		out.Person, out.Rules = p.User, all.For(p.Groups).Password
		return nil
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, user.ErrNotFound) {
		err = ErrLinkGone
	}
	out.Hint = s.Passwords.Hint(out.Rules, out.Person)
	return out, err
}

// Form is what the page of a link sends. The names are for setup alone.
type Form struct {
	Username, Name, Email string
	Password, Repeat      string
}

// UseLink sets the password, or makes the first administrator, and spends the link, in one change. Every session of the person ends with
// what came of it, and no browser is remembered; a person who had one is told.
// The refusals are the errors above, those of package user and of passwords.Service.Make. A link of a person who may not sign in
// is gone for as long.
func (s *Service) UseLink(ctx context.Context, o audit.Origin, token string, f Form) error {
	link, err := s.ReadLink(ctx, token)
	if err == nil && link.Kind == LinkBrowser {
		err = ErrLinkGone
	}
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
		if link.Kind == LinkSetup {
			t.UseLink(store.HashToken(token))
			return firstAdministrator(t, f, made)
		}
		return s.takeUp(t, token, link, made)
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

// Admit spends the link of a mail about guesses and gives the cookie of Known.
func (s *Service) Admit(ctx context.Context, o audit.Origin, token string) (string, error) {
	link, err := s.ReadLink(ctx, token)
	if err == nil && link.Kind != LinkBrowser {
		err = ErrLinkGone
	}
	if err != nil {
		return "", err
	}
	err = s.DB.Change(ctx, o, func(t *store.Tx) error {
		t.UseLink(store.HashToken(token))
		return t.Record(audit.Event{Kind: audit.LinkUsed, Actor: string(link.Person.ID), Subject: string(link.Person.ID), Detail: map[string]string{"link": link.Kind}})
	})
	if errors.Is(err, store.ErrConflict) {
		err = ErrLinkGone
	}
	if err != nil {
		return "", err
	}
	return s.Known(ctx, link.Person.ID)
}

// Known gives the cookie that makes a browser known for whom a link in it was used: the guesses of others do not slow it. It is a new one also
// where the browser has one, whose count may be what sent the person to their mail.
func (s *Service) Known(ctx context.Context, id user.ID) (string, error) {
	var p *store.Person
	err := s.DB.View(ctx, func(t *store.Tx) (err error) { p, err = t.PersonByID(id); return err })
	if err != nil {
		return "", err
	}
	return s.Lockout.MakeKnown("", p), nil
}

// takeUp spends a link and gives its person the password that they chose. The person's row comes before the link's, as where a new password takes all their links.
func (s *Service) takeUp(t *store.Tx, token string, link Link, made passwords.Made) error {
	p := &store.Person{User: link.Person}
	t.MustBeEnabled(p.ID)
	t.UseLink(store.HashToken(token))
	if err := t.Record(audit.Event{Kind: audit.LinkUsed, Actor: string(p.ID), Subject: string(p.ID), Detail: map[string]string{"link": link.Kind}}); err != nil {
		return err
	}
	if err := t.SetPassword(p.ID, made.Was, made.PHC, made.Under, ""); err != nil {
		return err
	}
	if link.Kind != LinkReset {
		return nil
	}
	return s.Notify.Mail(t, p, "mail.password_changed")
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
	return s.Passwords.Make(ctx, link.Rules, u, f.Password)
}

// firstAdministrator adds one, once in the life of a database, however many set-up links there are.
func firstAdministrator(t *store.Tx, f Form, made passwords.Made) error {
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
	if err := t.CreateUser(u, made.PHC); err != nil {
		return err
	}
	t.PasswordMade(u.ID, made.Under)
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
