package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// passwordLanes are the counters of a try at a password: of the name as it was typed, of the person behind it, and of the
// address; in a browser that the person has signed in with before, of that browser alone.
func (s *Service) passwordLanes(o audit.Origin, p *store.Person, a Answer, rules policy.Policy) []lane {
	limit, window, site := rules.Lockout.Attempts, time.Duration(rules.Lockout.Window), ":password:"+s.network(o, 48)
	who := "nobody:" + user.NameKey(a.Username) // a counter of no use, at the price of a person's
	if p != nil {
		who = string(p.ID)
		if name, ok := s.known(a.Known, p.ID); ok {
			return []lane{{name: who + ":known:" + name, limit: limit, window: window}}
		}
	}
	return []lane{{name: user.NameKey(a.Username) + site, limit: limit, window: window},
		{name: who + site, limit: limit, window: window, silent: true},
		{name: "address:" + s.network(o, 64), limit: limit * addressRate, window: window, shared: true}}
}

// checkPassword costs the same for a person who does not exist, has no password or may not sign in.
func (s *Service) checkPassword(ctx context.Context, o audit.Origin, p *store.Person, a Answer, c *checked) error {
	phc := s.hasher.Decoy()
	if p != nil {
		c.verdict.Person = p.ID
		if p.Password != "" {
			phc = p.Password
		}
	}
	c.lanes = s.passwordLanes(o, p, a, c.rules)
	password, err := factor.Normal(a.Password)
	if err != nil {
		password = "" // too long or not text: wrong, at the price of any other
	}
	right, stale, err := s.hasher.Check(ctx, password, phc)
	if err != nil {
		return err
	}
	switch {
	case p == nil:
		c.verdict.Reason = audit.UnknownUser
	case p.Password == "" || password == "" || !right:
		c.verdict.Reason = audit.WrongPassword
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
	default:
		if c.verdict.Means, err = s.means(ctx, p); err != nil {
			return err
		}
		c.phc = p.Password
		if stale {
			c.rehash, err = s.hasher.Hash(ctx, password)
			c.phc = c.rehash
		}
		c.verdict.Stamp = stamp(c.phc)
		if c.rules.Factors.RememberDevice > 0 {
			c.device = a.Device
		}
	}
	return err
}

// stamp marks one stored password without telling anything of it.
func stamp(phc string) string {
	sum := sha256.Sum256([]byte("flow stamp of " + phc))
	return hex.EncodeToString(sum[:8])
}

// network names the address in a lane. A guesser often has a whole /48, so a person's lane counts that as one; what everybody shares counts
// a /64, since a /48 can be a whole operator.
func (s *Service) network(o audit.Origin, bits int) string {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(o.Network(bits)))
	return hex.EncodeToString(m.Sum(nil)[:8])
}
