package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/jose"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/user"
)

// File is an apply file (contract §5).
type File struct {
	Groups   []string      `yaml:"groups"`
	Users    []UserSpec    `yaml:"users"`
	Clients  []ClientSpec  `yaml:"clients"`
	Policies policy.Policy `yaml:"policies"`

	hasPolicies bool
}

// UserSpec is a person in an apply file.
type UserSpec struct {
	Username     string   `yaml:"username"`
	Name         string   `yaml:"name"`
	Email        string   `yaml:"email"`
	Phone        string   `yaml:"phone"`
	Groups       []string `yaml:"groups"`
	Roles        []string `yaml:"roles"`
	Password     string   `yaml:"password"`
	PasswordHash string   `yaml:"password_hash"`
	TOTP         string   `yaml:"totp"`
	Locale       string   `yaml:"locale"`
}

func (u UserSpec) user() user.User {
	name := u.Name
	if name == "" {
		name = u.Username
	}
	return user.User{Username: u.Username, Name: name, Email: u.Email, Phone: u.Phone, Groups: u.Groups, Roles: u.Roles, Locale: u.Locale}
}

// ClientSpec is an application in an apply file: its metadata and its secret.
type ClientSpec struct {
	client.Client `yaml:",inline"`
	Secret        string `yaml:"client_secret"`
}

// maxFile is the largest file that is read.
const maxFile = 16 << 20

// ReadFile reads and checks an apply file. An unknown key is an error with its line; every other fault is named too.
func ReadFile(r io.Reader) (*File, error) {
	f := &File{Policies: policy.Default()}
	top, err := document{"the apply file", yamlFault}.read(r, f)
	if err != nil {
		return nil, err
	}
	if f.hasPolicies = top["policies"] != nil; !f.hasPolicies {
		f.Policies = policy.Default()
	}
	return f, f.check()
}

// ReadClient reads and checks a file that has one entry of an apply file's clients, and nothing else. An unknown key is an error with its line.
func ReadClient(r io.Reader) (ClientSpec, error) {
	var c ClientSpec
	if _, err := (document{"the file of a client", yamlFault}).read(r, &c); err != nil {
		return c, err
	}
	c.Normalise()
	return c, c.check()
}

// document is a file that holds one YAML document: what it is called, and how its faults are told.
type document struct {
	name  string
	fault func(name string, text []byte, err error) error
}

// read reads it into out, and gives its top; an empty one says nothing.
func (d document) read(r io.Reader, out any) (map[string]any, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", d.name, maxFile>>20)
	}
	if line := tagged(text); line > 0 {
		return nil, fmt.Errorf("%s, line %d: a value that begins with ! is read as a tag; put it in quotation marks", d.name, line)
	}
	in := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := in.Decode(out); err != nil && !errors.Is(err, io.EOF) {
		return nil, d.fault(d.name, text, err)
	}
	if err := in.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s holds more than one document; remove the line --- and what follows it", d.name)
	}
	var top map[string]any
	if err := yaml.Unmarshal(text, &top); err != nil {
		return nil, d.fault(d.name, text, err)
	}
	return top, nil
}

// check finds every fault that the file shows by itself.
func (f *File) check() error {
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	for _, g := range f.Groups {
		add(validGroup(g))
	}
	names, mails := map[string]bool{}, map[string]bool{}
	for _, u := range f.Users {
		add(u.check())
		name, mail := user.Fold(u.Username), user.Fold(u.Email)
		if names[name] {
			add(fmt.Errorf("user %s: stands twice in the file", u.Username))
		} else if mail != "" && mails[mail] {
			add(fmt.Errorf("user %s: somebody else in the file has the mail address %s", u.Username, u.Email))
		}
		names[name], mails[mail] = true, true
	}
	ids := map[client.ID]bool{}
	for i := range f.Clients {
		c := &f.Clients[i]
		c.Normalise()
		add(c.check())
		if ids[c.ID] {
			add(fmt.Errorf("client %s: stands twice in the file", c.ID))
		}
		ids[c.ID] = true
	}
	add(named("policies", ".", f.Policies.Validate()))
	return errors.Join(faults...)
}

// named puts what is at fault before each line of err.
func named(what, between string, err error) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	return errors.New(what + between + strings.Join(lines, "\n"+what+between))
}

func (u UserSpec) check() error {
	faults := []error{validUser(u.user())}
	add := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("user %s: "+format, append([]any{u.Username}, args...)...))
	}
	if u.Password != "" && u.PasswordHash != "" {
		add("give password or password_hash, not both")
	}
	if u.PasswordHash != "" {
		if err := factor.ValidHash(u.PasswordHash); err != nil {
			add("password_hash: %s", bare(err))
		}
	}
	if u.TOTP != "" {
		if _, err := factor.ParseTOTP(u.TOTP); err != nil {
			add("totp: %s", bare(err))
		}
	}
	return errors.Join(faults...)
}

// bare is an error of package factor without its name.
func bare(err error) string { return strings.TrimPrefix(err.Error(), "factor: ") }

// minSecret is the shortest client secret that a file may bring. Secrets are kept as a fast MAC, which is sound for
// random ones; openssl rand -base64 32 makes a good one.
const minSecret = 12

func (c ClientSpec) check() error {
	faults := []error{c.Validate()}
	switch {
	case (c.Public() || c.AuthMethod == client.AuthPrivateKey || c.AuthMethod == client.AuthTLS) && c.Secret != "":
		faults = append(faults, fmt.Errorf("client_secret: a client with token_endpoint_auth_method %s has none; remove it", c.AuthMethod))
	case c.Secret != "" && len(c.Secret) < minSecret:
		faults = append(faults, fmt.Errorf("client_secret: has fewer than %d characters; make one with: openssl rand -base64 32", minSecret))
	}
	faults = append(faults, jose.CheckRegistered(string(c.JWKS)))
	return named("client "+string(c.ID), ": ", errors.Join(faults...))
}
