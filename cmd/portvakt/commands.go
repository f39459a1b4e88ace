package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// command opens the service for one command and closes it.
func command(s *settings, fn func(context.Context, *service) error) error {
	ctx := context.Background()
	v, err := open(ctx, s, wiring{timeout: time.Minute})
	if err != nil {
		return err
	}
	defer v.db.Close()
	return fn(ctx, v)
}

// table prints rows in columns; with asJSON one object a line.
type table struct {
	asJSON bool
	out    *tabwriter.Writer
}

func newTable(asJSON bool, head ...string) *table {
	t := &table{asJSON, tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)}
	if !asJSON {
		fmt.Fprintln(t.out, strings.Join(head, "\t"))
	}
	return t
}

func (t *table) row(object any, cells ...string) error {
	if t.asJSON {
		return printJSON(object)
	}
	_, err := fmt.Fprintln(t.out, strings.Join(cells, "\t"))
	return err
}

func printJSON(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

type applyCmd struct {
	File   string `short:"f" required:"" help:"The file; - is standard input." placeholder:"FILE"`
	DryRun bool   `help:"Change nothing, only tell."`
}

// Run applies a file and prints a line for each change.
func (c *applyCmd) Run(s *settings) error {
	in := io.Reader(os.Stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	file, err := admin.ReadFile(in)
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		lines, err := v.admin.Apply(ctx, cli, file, c.DryRun)
		for _, l := range lines {
			fmt.Println(l)
		}
		return err
	})
}

type userCmd struct {
	Add           userAddCmd      `cmd:"" help:"Add a person; prints an invitation link unless --password-stdin is given."`
	List          userListCmd     `cmd:"" help:"List people."`
	Show          userShowCmd     `cmd:"" help:"Show one person."`
	Disable       userDisableCmd  `cmd:"" help:"Forbid a person to sign in; ends their sessions and tokens at once."`
	Enable        userEnableCmd   `cmd:"" help:"Allow a person to sign in again."`
	Unlock        userUnlockCmd   `cmd:"" help:"Clear a person's counters of wrong tries."`
	ResetPassword userPasswordCmd `cmd:"" help:"Print a link that sets a new password, or read one with --password-stdin."`
	ResetFactors  userFactorsCmd  `cmd:"" help:"Take away a person's second factors."`
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

// person is how a listing shows one.
type person struct {
	ID       user.ID    `json:"id"`
	Username string     `json:"username"`
	Name     string     `json:"name"`
	Email    string     `json:"email,omitempty"`
	Groups   []string   `json:"groups"`
	Roles    []string   `json:"roles"`
	Factors  []string   `json:"factors"`
	Locale   string     `json:"locale,omitempty"`
	Created  time.Time  `json:"created"`
	Disabled *time.Time `json:"disabled,omitempty"`
	Sessions []sitting  `json:"sessions,omitempty"`
}

type sitting struct {
	ID      user.SessionID `json:"id"`
	Started time.Time      `json:"started"`
	Seen    time.Time      `json:"seen"`
	Expires time.Time      `json:"expires"`
}

func shown(p *store.Person) person {
	out := person{ID: p.ID, Username: p.Username, Name: p.Name, Email: p.Email, Groups: orNone(p.Groups), Roles: orNone(p.Roles), Locale: p.Locale,
		Created: p.CreatedAt, Factors: []string{}}
	if p.HasTOTP() {
		out.Factors = append(out.Factors, "totp")
	}
	if p.Disabled() {
		out.Disabled = &p.DisabledAt
	}
	return out
}

func orNone(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

type userListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
}

// Run lists people.
func (c *userListCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		t := newTable(c.JSON, "USER", "NAME", "GROUPS", "ROLES", "FACTORS", "STATE")
		err := v.admin.Users(ctx, func(p *store.Person) error {
			out, state := shown(p), "active"
			if p.Disabled() {
				state = "disabled"
			} else if p.Password == "" {
				state = "invited"
			}
			return t.row(out, out.Username, out.Name, join(out.Groups), join(out.Roles), join(out.Factors), state)
		})
		return errors.Join(err, t.out.Flush())
	})
}

func join(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

type userShowCmd struct {
	named
	JSON bool `name:"json" help:"One JSON object."`
}

// Run shows one person with the sessions under way.
func (c *userShowCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		p, sessions, err := v.admin.User(ctx, c.Name)
		if err != nil {
			return fmt.Errorf("there is no user %q: %w", c.Name, err)
		}
		out := shown(p)
		for _, one := range sessions {
			out.Sessions = append(out.Sessions, sitting{one.ID, one.CreatedAt, one.SeenAt, one.ExpiresAt})
		}
		if c.JSON {
			return printJSON(out)
		}
		t := newTable(false, "user", out.Username)
		for _, row := range [][2]string{{"id", string(out.ID)}, {"name", out.Name}, {"email", out.Email}, {"groups", join(out.Groups)},
			{"roles", join(out.Roles)}, {"factors", join(out.Factors)}, {"created", stamp(out.Created)}, {"disabled", stamp(p.DisabledAt)}} {
			_ = t.row(nil, row[0], row[1])
		}
		for _, one := range out.Sessions {
			_ = t.row(nil, "session", stamp(one.Started)+", last used "+stamp(one.Seen))
		}
		return t.out.Flush()
	})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
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

type versionCmd struct{}

// Run prints version, commit and Go version.
func (versionCmd) Run() error {
	fmt.Printf("portvakt %s, commit %s, %s\n", version(), commit(), runtime.Version())
	return nil
}

// release is set by the linker: -ldflags '-X main.release=v1.2.3'.
var release = "unreleased"

func version() string { return release }

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
