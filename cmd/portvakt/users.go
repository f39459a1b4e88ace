package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

type userCmd struct {
	Add           userAddCmd      `cmd:"" help:"Add a person; prints an invitation link unless --password-stdin is given."`
	List          userListCmd     `cmd:"" help:"List people."`
	Show          userShowCmd     `cmd:"" help:"Show one person."`
	Disable       userDisableCmd  `cmd:"" help:"Forbid a person to sign in; ends their sessions and tokens at once."`
	Enable        userEnableCmd   `cmd:"" help:"Allow a person to sign in again."`
	Unlock        userUnlockCmd   `cmd:"" help:"Clear a person's counters of wrong tries."`
	Lock          userLockCmd     `cmd:"" help:"Lock the screen of every session of a person: each asks for a proof before it goes on."`
	EndSessions   userEndCmd      `cmd:"" help:"End every session of a person, with the tokens that applications got from them."`
	ResetPassword userPasswordCmd `cmd:"" help:"Print a link that sets a new password, or read one with --password-stdin."`
	ResetFactors  userFactorsCmd  `cmd:"" help:"Take away a person's second factors."`
	Lost          userLostCmd     `cmd:"" help:"For a lost phone or key: stop every second factor of a person and end their sessions; --undo takes it back."`
}

// named is a command about one person.
type named struct {
	Name string `arg:"" help:"User name."`
}

type userAddCmd struct {
	named
	PasswordStdin bool     `help:"Read the password from standard input."`
	FullName      string   `help:"The person's name."`
	Email         string   `help:"Mail address."`
	Phone         string   `help:"Phone number, like +46701740605."`
	Group         []string `help:"Groups."`
	Role          []string `help:"Roles: admin, auditor, support, privacy, owner."`
	Locale        string   `help:"sv or en."`
}

// Run adds a person.
func (c *userAddCmd) Run(s *settings) error {
	password, err := stdinPassword(c.PasswordStdin)
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		u, err := v.admin.AddUser(ctx, cli, user.User{Username: c.Name, Name: c.FullName, Email: c.Email, Phone: c.Phone,
			Groups: c.Group, Roles: c.Role, Locale: c.Locale}, password)
		if err != nil {
			return err
		}
		fmt.Printf("user %s: created\n", u.Username)
		if password != "" {
			return nil
		}
		return v.printLink(ctx, account.LinkInvitation, u.Username, 72*time.Hour)
	})
}

func (v *service) printLink(ctx context.Context, kind, username string, life time.Duration) error {
	token, err := v.admin.MakeLink(ctx, cli, kind, username, life)
	if err == nil {
		fmt.Printf("%s link, works once, for %s:\n%s/link/%s\n", kind, life, v.settings.Issuer, token)
	}
	return err
}

// stdinPassword reads the first line of standard input.
func stdinPassword(wanted bool) (string, error) {
	if !wanted {
		return "", nil
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("there is no password on standard input")
	}
	return line, nil
}

// onPerson runs fn and prints line if it went well.
func onPerson(s *settings, line string, fn func(context.Context, *service) error) error {
	return command(s, func(ctx context.Context, v *service) error {
		err := fn(ctx, v)
		if err == nil {
			fmt.Println(line)
		}
		return err
	})
}

type userDisableCmd struct{ named }

// Run disables a person.
func (c *userDisableCmd) Run(s *settings) error {
	return onPerson(s, "user "+c.Name+": disabled", func(ctx context.Context, v *service) error {
		return v.admin.SetDisabled(ctx, cli, c.Name, true)
	})
}

type userEnableCmd struct{ named }

// Run enables a person.
func (c *userEnableCmd) Run(s *settings) error {
	return onPerson(s, "user "+c.Name+": enabled", func(ctx context.Context, v *service) error {
		return v.admin.SetDisabled(ctx, cli, c.Name, false)
	})
}

type userUnlockCmd struct{ named }

// Run unlocks a person.
func (c *userUnlockCmd) Run(s *settings) error {
	return onPerson(s, "user "+c.Name+": unlocked", func(ctx context.Context, v *service) error { return v.admin.Unlock(ctx, cli, c.Name) })
}

type userPasswordCmd struct {
	named
	PasswordStdin bool `help:"Read the new password from standard input."`
}

// Run prints a link, or sets the password.
func (c *userPasswordCmd) Run(s *settings) error {
	password, err := stdinPassword(c.PasswordStdin)
	if err != nil {
		return err
	}
	if password == "" {
		return command(s, func(ctx context.Context, v *service) error {
			return v.printLink(ctx, account.LinkReset, c.Name, time.Hour)
		})
	}
	return onPerson(s, "user "+c.Name+": password set", func(ctx context.Context, v *service) error {
		return v.admin.SetPassword(ctx, cli, c.Name, password)
	})
}

type userFactorsCmd struct{ named }

// Run takes the factors away.
func (c *userFactorsCmd) Run(s *settings) error {
	return onPerson(s, "user "+c.Name+": factors removed", func(ctx context.Context, v *service) error {
		return v.admin.ResetFactors(ctx, cli, c.Name)
	})
}

type userLostCmd struct {
	named
	Undo bool `help:"Allow again what was stopped in the last 72 hours."`
}

// Run stops the factors, or allows them again.
func (c *userLostCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		if c.Undo {
			allowed, err := v.admin.AllowFactors(ctx, cli, c.Name, v.tell("mail.factor_allowed"))
			if err == nil {
				fmt.Printf("user %s: allowed again: %s\n", c.Name, factorKinds(allowed))
			}
			return err
		}
		stopped, until, err := v.admin.StopFactors(ctx, cli, c.Name, v.tell("mail.factor_stopped"))
		if err == nil {
			fmt.Printf("user %s: stopped: %s; every session and remembered browser is over\n", c.Name, factorKinds(stopped))
			fmt.Printf("until %s this takes it back: portvakt user lost %s --undo\n", stamp(until), c.Name)
		}
		return err
	})
}

// tell gives what queues the mail of this key about a person's factors.
func (v *service) tell(key string) admin.Tell {
	return func(t *store.Tx, p *store.Person, factors []store.Factor) error {
		return account.Tell(v.notify, t, p, key, factors)
	}
}

func factorKinds(factors []store.Factor) string {
	var kinds []string
	for _, f := range factors {
		kinds = append(kinds, string(f.Kind))
	}
	return join(kinds)
}
