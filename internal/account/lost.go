package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// Lost is for who lost their phone and cannot sign in: a right recovery code stops every factor and ends every session, with what came
// of it, and every remembered browser, and is spent. The reason says why it did not, and is for the trail alone: for a name that is nobody's,
// a wrong code and a person who may not sign in the work is the same, and the page has to be (threats EN-03).
func (s *Service) Lost(ctx context.Context, o audit.Origin, login, code string) (audit.Reason, error) {
	login = plainName(login)
	var out audit.Reason
	err := s.DB.Change(ctx, o, func(t *store.Tx) error {
		p, err := t.PersonByLogin(login)
		if err != nil && !errors.Is(err, user.ErrNotFound) {
			return err
		}
		if out, err = s.lost(t, o, p, login, code); err != nil || out == "" {
			return err
		}
		e := audit.Event{Kind: audit.RecoveryUsed, Outcome: audit.Refused, Reason: out}
		if p != nil {
			e.Subject = string(p.ID)
		}
		return t.Record(e)
	})
	if err == nil {
		s.Notify.Wake()
	}
	return out, err
}

func (s *Service) lost(t *store.Tx, o audit.Origin, p *store.Person, login, code string) (audit.Reason, error) {
	who, owner, why := "nobody:"+user.NameKey(login), user.ID(""), audit.UnknownUser
	if p != nil {
		who, owner, why = string(p.ID), p.ID, audit.WrongCode
		if p.Disabled() {
			owner, why = "", audit.Disabled // nobody's: there is no code to find
		}
	}
	address := "lost:" + s.network(o.IP)
	if ok, err := t.TakeAttempt(address, 50, 15*time.Minute, false); err != nil || !ok {
		return audit.Delayed, err
	}
	counted := lanes(who, user.FactorRecovery)
	for _, l := range counted {
		if ok, err := t.TakeAttempt(l.name, l.limit, l.window, true); err != nil || !ok {
			return audit.Delayed, err
		}
	}
	right, err := t.UseRecoveryCode(owner, factor.RecoveryMAC(s.Key, who, code))
	if err != nil || !right {
		return why, err
	}
	t.GiveBackAttempt(address)
	for _, l := range counted {
		t.ClearAttempts(l.name)
	}
	return "", s.stopAll(t, p)
}

func (s *Service) stopAll(t *store.Tx, p *store.Person) error {
	stopped, err := t.StopAll(p.ID, audit.Lost)
	if err != nil {
		return err
	}
	left, err := t.RecoveryCodesLeft(p.ID)
	if err != nil {
		return err
	}
	if err := t.Record(audit.Event{Kind: audit.RecoveryUsed, Subject: string(p.ID), Actor: string(p.ID)}); err != nil {
		return err
	}
	return errors.Join(s.Notify.Mail(t, p, "mail.recovery_used", "left", left), s.tell(t, p, "mail.factor_stopped", stopped...))
}

// network is what counts as one address, an IPv4 address or the /64 of an IPv6 one, in a form that shows none.
func (s *Service) network(ip string) string {
	if addr, err := netip.ParseAddr(ip); err == nil {
		ip = addr.Unmap().String()
		if prefix, err := addr.WithZone("").Prefix(64); err == nil && !addr.Unmap().Is4() {
			ip = prefix.String()
		}
	}
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte("address\x00" + ip))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// plainName gives a user name in the spelling that rows have (Unicode NFC), or, for what can be nobody's name, a text
// that is nobody's either.
func plainName(name string) string {
	if len(name) > 512 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return "?"
	}
	return norm.NFC.String(name)
}
