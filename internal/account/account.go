// Package account is what a person does to their own: seeing and ending sessions, changing the password, getting in with a forgotten one,
// taking up a one-time link that sets a password, and everything with their second factors. A link is 256 random bits, stored hashed, works
// once, and belongs to one person, or, for the set-up of an empty service, makes the first administrator.
//
// Factors are changed only from a fresh session: its last proof is at most 5 minutes old and, where the person has a factor, it
// was proved by two, of which none is a remembered browser. Every change holds the person, reads what they have, decides, and
// writes with its events and the mail that tells them of it, in one unit. What is being set up proves nothing until its first
// code is right: a secret waits 15 minutes, a number and a passkey 5, in the session that asked and no other. What policy
// demands of a person they cannot take away. A stopped factor may be allowed again for 72 hours.
//
// Sessions are ended from any session. The password is changed with the present one, from a session of any age, but of two factors, of which
// none is a remembered browser, where the person has a factor. Who forgot it gets a link by mail, for 20 minutes.
//
// Limits: 10 wrong codes of a kind in 15 minutes and 100 in a row, counted together with those at sign-in; 50 tries at the page for
// who lost their phone from one address in 15 minutes, whatever the name; of wrong present passwords as many as policy's lockout says,
// by themselves; 3 links for a forgotten password to a person and 20 requests for one from an address in any hour.
package account

import (
	"errors"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
)

// The refusals, beside those of package user, passwords.Service.Make and notify.Service.Number.
var (
	ErrLinkGone = errors.New("account: the link was used, has expired or never was")
	ErrMismatch = errors.New("account: the two passwords differ")
	ErrMissing  = errors.New("account: a field is empty")
	ErrTaken    = errors.New("account: the user name, mail address or passkey is in use")

	ErrNotFresh = errors.New("account: the session's proofs are too old or too weak to change factors")
	ErrEnded    = errors.New("account: the session is over")
	ErrGone     = errors.New("account: no such factor or device of this person")
	ErrKind     = errors.New("account: policy allows no factor of this kind")
	ErrLast     = errors.New("account: the person would be left without the factor that they need")
)

// Options are what a service is made of.
type Options struct {
	DB        *store.DB
	Hasher    *factor.Hasher
	Passwords *passwords.Service
	Lockout   *lockout.Service
	Issuer    string // the organisation, as a soft token shows it
	Notify    *notify.Service
	Passkeys  *factor.Passkeys // nil: none can be added
	Key       []byte           // MAC key of recovery codes, see factor.RecoveryMAC, and of addresses in the names of limits
}

// Service is safe for concurrent use.
type Service struct{ Options }

// New gives the service.
func New(o Options) *Service { return &Service{o} }
