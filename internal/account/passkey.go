package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// owner is the person as an authenticator knows them.
func owner(p *store.Person) factor.Owner {
	return factor.Owner{Handle: []byte(p.ID), Username: p.Username, Name: p.Name}
}

func passkeyRule(p policy.Policy) factor.PasskeyRule {
	return factor.PasskeyRule{Attestation: p.Factors.Attestation, AAGUIDs: p.Factors.AAGUIDs}
}

// BeginPasskey gives what the page hands to navigator.credentials.create. Its challenge is random, lives 5 minutes, and makes the
// session's one before it worthless (WebAuthn L3 §13.4.3).
func (s *Service) BeginPasskey(ctx context.Context, me Self) ([]byte, error) {
	challenge := make([]byte, 32)
	rand.Read(challenge) // never fails (crypto/rand)
	var rules policy.Policy
	var known []factor.Credential
	err := s.own(ctx, me, func(w work) error {
		if !s.may(w.rules, user.FactorPasskey) {
			return ErrKind
		}
		rules, known = w.rules, nil
		for _, f := range w.have {
			if f.Kind != user.FactorPasskey {
				continue
			}
			c, err := factor.DecodeCredential(f.Secret)
			if err != nil {
				return fmt.Errorf("account: passkey %s is damaged: %w", f.ID, err)
			}
			known = append(known, c)
		}
		return w.begin(store.Challenge{Kind: user.FactorPasskey, Proof: challenge, Expires: w.Now().Add(ceremonyLife)})
	})
	if err != nil {
		return nil, err
	}
	return s.Passkeys.CreationOptions(owner(me.Person), known, challenge, passkeyRule(rules))
}

// AddPasskey makes a passkey the person's own if response answers the challenge that BeginPasskey gave. Else it says why: WrongCode or
// Expired. Either way the challenge is spent. ErrTaken: it is somebody's already; user.ErrName.
func (s *Service) AddPasskey(ctx context.Context, me Self, response []byte, name string) (audit.Reason, error) {
	name, err := passkeyName(name)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = s.Notify.Word(me.Person, "kind."+string(user.FactorPasskey))
	}
	c, err := s.waiting(ctx, me, user.FactorPasskey)
	if err != nil || c.ID == "" {
		return audit.Expired, err
	}
	rules, err := s.rules(ctx, me.Person)
	if err != nil {
		return "", err
	}
	why := audit.NoReason
	made, err := s.Passkeys.Register(owner(me.Person), response, c.Proof, passkeyRule(rules))
	if errors.Is(err, factor.ErrPasskey) {
		return s.settle(ctx, me, c, audit.WrongCode, store.Factor{})
	}
	if err != nil {
		return "", err
	}
	why, err = s.settle(ctx, me, c, why, store.Factor{Name: name, Secret: made.Encode(), Handle: made.ID, Counter: int64(made.SignCount)})
	if errors.Is(err, ErrTaken) { // that change left no trace
		if _, err := s.settle(ctx, me, c, audit.NotAllowed, store.Factor{}); err != nil {
			return "", err
		}
	}
	return why, err
}
