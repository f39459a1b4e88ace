package store

import (
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Person is a user with what the caller needs of their secrets. Password and TOTP are empty where there are none.
type Person struct {
	user.User              // Phone is empty until OpenPhone
	Password        string // PHC string
	PasswordChanged time.Time
	PasswordMade    string            // under what rules, see passwords.Made; empty where nobody knows
	TOTP            string            // otpauth URI, opened; in brief reads empty
	TOTPStep        int64             // the last step that was used
	Factors         []user.FactorKind // what Persons and Kinds know; stopped ones are not among them
	key             []byte
	phone           []byte // sealed
	sealer          Sealer
}

// OpenPhone unseals the phone number, which few need.
func (p *Person) OpenPhone() error {
	if len(p.phone) == 0 || p.Phone != "" {
		return nil
	}
	number, err := p.sealer.Open(p.key, p.phone, "phone")
	p.Phone = string(number)
	return err
}

// The columns of a person, from users u, who may be absent from an outer join; the whole also from factors f. The id comes
// first, from wherever it stands. What the protocol reads has names of one letter: SQLite's driver allocates longer ones, for each column of each read.
const (
	briefColumns = `coalesce(u.username, '') a, coalesce(u.name, '') b, coalesce(u.email, '') c, u.phone d, coalesce(u.locale, '') e,
  coalesce(u.groups, '') f, u.sealing_key g, coalesce(u.disabled_at, 0) h`
	personColumns = `coalesce(u.id, ''), ` + briefColumns + `, coalesce(u.roles, ''), coalesce(u.password, ''), coalesce(u.password_changed_at, 0),
  coalesce(u.password_made, ''), coalesce(u.created_at, 0), f.secret, coalesce(f.counter, 0)`
	personTables = `users u ` + totpJoin
	totpJoin     = `left join factors f on f.user_id = u.id and f.kind = 'totp' and f.stopped_at = 0`
	byLogin      = `(select id from users where username_key = $1 or (email_key = $1 and email_key <> '') order by case when username_key = $1 then 0 else 1 end limit 1)`
)

// personScan receives the columns of a person.
type personScan struct {
	id, username, name, email, locale, groups, roles, password, made string
	changed, created, disabled, step                                 int64
	phone, key, secret                                               []byte
}

func (p *personScan) brief() []any {
	return []any{&p.id, &p.username, &p.name, &p.email, &p.phone, &p.locale, &p.groups, &p.key, &p.disabled}
}

func (p *personScan) dest() []any {
	return append(p.brief(), &p.roles, &p.password, &p.changed, &p.made, &p.created, &p.secret, &p.step)
}

// person gives what was scanned, or nil if there was nobody.
func (p *personScan) person(t *Tx) (*Person, error) {
	if p.username == "" {
		return nil, nil
	}
	out := &Person{User: user.User{ID: user.ID(p.id), Username: p.username, Name: p.name, Email: p.email, Locale: p.locale,
		CreatedAt: instant(p.created), DisabledAt: instant(p.disabled)}, Password: p.password, PasswordChanged: instant(p.changed), PasswordMade: p.made,
		TOTPStep: p.step, key: p.key, phone: p.phone, sealer: t.db.sealer}
	t.db.keys.put(out.ID, p.key)
	out.Groups, out.Roles = strings.Fields(p.groups), strings.Fields(p.roles)
	secret, err := t.unseal(p.key, "totp", p.secret)
	out.TOTP = string(secret)
	return out, err
}

func (t *Tx) person(where string, args ...any) (*Person, error) {
	var p personScan
	if err := t.row(p.dest(), "select "+personColumns+" from "+personTables+" where "+where, args...); err != nil {
		if err == ErrNotFound {
			err = user.ErrNotFound
		}
		return nil, err
	}
	return p.whole(t)
}

// whole is person with the phone number opened.
func (p *personScan) whole(t *Tx) (*Person, error) {
	person, err := p.person(t)
	if err != nil || person == nil {
		return nil, err
	}
	return person, person.OpenPhone()
}

// PersonByID gives one person, or user.ErrNotFound.
func (t *Tx) PersonByID(id user.ID) (*Person, error) { return t.person("u.id = $1", string(id)) }

// PersonByName gives the person with this user name, or user.ErrNotFound.
func (t *Tx) PersonByName(username string) (*Person, error) {
	return t.person("u.username_key = $1", user.Fold(username))
}

// Kinds gives the kinds of factors that a person, or with "" each person, has and may prove by, each once.
func (t *Tx) Kinds(one user.ID) (map[user.ID][]user.FactorKind, error) {
	all := map[user.ID][]user.FactorKind{}
	err := t.rows(func(s scanner) error {
		var id user.ID
		var kind user.FactorKind
		err := s.Scan((*string)(&id), (*string)(&kind))
		all[id] = append(all[id], kind)
		return err
	}, "select distinct user_id, kind from factors where stopped_at = 0 and ($1 = '' or user_id = $1) order by user_id, kind", string(one))
	return all, err
}

// Persons calls each for every person, by user name.
func (t *Tx) Persons(each func(*Person) error) error {
	kinds, err := t.Kinds("")
	if err != nil {
		return err
	}
	return t.rows(func(s scanner) error {
		var scan personScan
		if err := s.Scan(scan.dest()...); err != nil {
			return err
		}
		p, err := scan.whole(t)
		if err != nil {
			return err
		}
		p.Factors = kinds[p.ID]
		return each(p)
	}, "select "+personColumns+" from "+personTables+" order by u.username_key")
}

// AnyUser reports whether there is anybody at all.
func (t *Tx) AnyUser() (bool, error) {
	var id string
	err := t.row([]any{&id}, "select id from users limit 1")
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// CreateUser adds u with a key of their own. ErrTaken (at flush) if the user name or mail address is in use.
func (t *Tx) CreateUser(u user.User, password string) error {
	key, err := t.db.sealer.NewKey()
	if err != nil {
		return err
	}
	t.db.keys.set(u.ID, key)
	phone, err := t.seal(u.ID, "phone", []byte(u.Phone))
	if err != nil {
		return err
	}
	changed := int64(0)
	if password != "" {
		changed = micros(t.now)
	}
	t.do(`insert into users (id, username, username_key, name, email, email_key, phone, locale, groups, roles, password,
  password_made, password_changed_at, sealing_key, created_at, disabled_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', $12, $13, $14, 0)`,
		string(u.ID), u.Username, user.Fold(u.Username), u.Name, u.Email, user.Fold(u.Email), phone, u.Locale, list(u.Groups),
		list(u.Roles), password, changed, key, micros(t.now))
	return nil
}

// UpdateUser writes a person's details; identity, password and state stay. What was mailed to an address that is theirs no more opens nothing.
func (t *Tx) UpdateUser(u user.User) error {
	t.Hold(u.ID)
	t.do(`delete from links where user_id = $1 and used_at = 0 and (kind = 'browser' or expires_at - created_at <= $3)
  and exists (select 1 from users where id = $1 and email_key <> $2)`, string(u.ID), user.Fold(u.Email), mailedLife.Microseconds())
	phone, err := t.seal(u.ID, "phone", []byte(u.Phone))
	if err != nil {
		return err
	}
	t.must(`update users set name = $2, email = $3, email_key = $4, phone = $5, locale = $6, groups = $7, roles = $8 where id = $1`,
		string(u.ID), u.Name, u.Email, user.Fold(u.Email), phone, u.Locale, list(u.Groups), list(u.Roles))
	return nil
}

// Rehash replaces a PHC string by one of stronger parameters for the same password, if nobody was faster.
func (t *Tx) Rehash(id user.ID, was, phc string) {
	t.do(`update users set password = $3 where id = $1 and password = $2`, string(id), was, phc)
}

// MustStand makes the unit fail (ErrConflict) unless the person may sign in and phc is still their password.
func (t *Tx) MustStand(id user.ID, phc string) {
	t.must("update users set id = id where id = $1 and disabled_at = 0 and password = $2", string(id), phc)
}

// Hold makes other changes of what is this person's wait until this unit is over, and then see what it did; what was read before
// it does not count. It comes before whatever else of theirs a unit writes, but after counts of wrong answers: units that hold in two orders wait for each
// other. ErrConflict (at flush) if the person is gone.
func (t *Tx) Hold(id user.ID) { t.must("update users set id = id where id = $1", string(id)) }

// SetDisabled forbids or allows a person to sign in; ErrConflict if that was so already.
func (t *Tx) SetDisabled(id user.ID, disabled bool) {
	at := int64(0)
	if disabled {
		at = micros(t.now)
	}
	t.must(`update users set disabled_at = $2 where id = $1 and (disabled_at = 0) <> (cast($2 as bigint) = 0)`, string(id), at)
}

// mailedLife is how long a link lives at most that a person had mailed to themselves.
const mailedLife = 20 * time.Minute

// AddGroup makes a group; ErrTaken (at flush) if it exists.
func (t *Tx) AddGroup(name string) { t.do("insert into groups (name) values ($1)", name) }

// Groups lists the groups.
func (t *Tx) Groups() ([]string, error) {
	var names []string
	err := t.rows(func(s scanner) error {
		var name string
		err := s.Scan(&name)
		names = append(names, name)
		return err
	}, "select name from groups order by name")
	return names, err
}
