// Package user holds the nouns of who may sign in: the person, what each proof is worth, and the session that a
// sign-in leaves behind. It is pure: no clock, no randomness, no I/O.
package user

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ID names a person for ever. It is opaque, never reused, and is the `sub` of every token (OpenID Connect Core §2).
type ID string

// ErrNotFound says that no such person exists.
var ErrNotFound = errors.New("no such user")

// User is one person.
type User struct {
	ID         ID
	Username   string
	Name       string
	Email      string
	Phone      string // E.164; empty unless it was asked for, since it is stored sealed
	Locale     string // "sv", "en" or empty
	Groups     []string
	Roles      []string
	CreatedAt  time.Time
	DisabledAt time.Time // zero: may sign in
}

// Disabled reports whether the person may not sign in.
func (u User) Disabled() bool { return !u.DisabledAt.IsZero() }

// Fold gives the form under which a user name or mail address is looked up. Two names that fold alike are the same name.
func Fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// NameKey names the counters of wrong passwords for a user name or mail address as it was typed. They belong to the name
// and not to the person: a counter that two names shared would tell that they are one person's.
func NameKey(name string) string {
	sum := sha256.Sum256([]byte(Fold(name)))
	return hex.EncodeToString(sum[:8])
}

// Roles that a person can hold (contract §5).
const (
	RoleAdmin   = "admin"
	RoleAuditor = "auditor"
	RoleSupport = "support"
	RolePrivacy = "privacy"
	RoleOwner   = "owner"
)

// ValidRole reports whether role is one of the closed list.
func ValidRole(role string) bool {
	switch role {
	case RoleAdmin, RoleAuditor, RoleSupport, RolePrivacy, RoleOwner:
		return true
	}
	return false
}

// Faults of a person's fields, each a sentence that can be shown.
var (
	ErrUsername = errors.New("a user name has 1 to 128 letters, digits or . _ - + @ and begins with a letter or digit")
	ErrEmail    = errors.New("a mail address looks like name@example.se and has at most 254 characters")
	ErrPhone    = errors.New("a phone number is written in international form, like +46701740605")
	ErrName     = errors.New("a name has at most 200 characters and no control characters")
)

// ValidUsername returns ErrUsername unless name can be a user name.
func ValidUsername(name string) error {
	if name == "" || len(name) > 128 || !utf8.ValidString(name) {
		return ErrUsername
	}
	for i, r := range name {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !letter && (i == 0 || !strings.ContainsRune("._-+@", r)) {
			return ErrUsername
		}
	}
	return nil
}

// ValidEmail returns ErrEmail unless addr is empty or plausibly deliverable. Proof is the mail that arrives.
func ValidEmail(addr string) error {
	if addr == "" {
		return nil
	}
	local, domain, ok := strings.Cut(addr, "@")
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("<>\"(),:;[]\\", r)
	}
	if !ok || local == "" || len(addr) > 254 || !utf8.ValidString(addr) || strings.Contains(domain, "@") ||
		strings.ContainsFunc(addr, bad) || !strings.Contains(domain, ".") || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
		return ErrEmail
	}
	return nil
}

// ValidPhone returns ErrPhone unless number is empty or in E.164 form.
func ValidPhone(number string) error {
	if number == "" {
		return nil
	}
	digits, ok := strings.CutPrefix(number, "+")
	if !ok || len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return ErrPhone
	}
	return nil
}

// ValidName returns ErrName unless name can be shown as a person's name.
func ValidName(name string) error {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > 200 || strings.ContainsFunc(name, unicode.IsControl) {
		return ErrName
	}
	return nil
}
