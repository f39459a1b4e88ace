package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// A passkey signs a challenge. Here it is a MAC over the sign-in, its version and the time at which it was shown, and that time. So
// it is bound to the sign-in, and with it to one browser and to what is asked there; it works once, since every answer, right or wrong,
// raises the version by a conditional write; it lives five minutes; and showing a page writes nothing (WebAuthn L3 §13.4.3).

const (
	ceremonyLife = 5 * time.Minute
	skew         = time.Minute // between the clocks of two instances
)

func (s *Service) challengeAt(f store.Flow, at int64) []byte {
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "passkey challenge\x00%s\x00%d\x00%s\x00%d", f.ID, f.Version, f.Step, at)
	return m.Sum(binary.BigEndian.AppendUint64(nil, uint64(at)))
}

// challenge gives the present one if shown is it or was it up to five minutes ago; else one that nothing can have signed.
func (s *Service) challenge(f store.Flow, shown []byte) []byte {
	now := s.db.Now()
	if len(shown) != 8+sha256.Size {
		return s.challengeAt(f, now.UnixMicro())
	}
	at := int64(binary.BigEndian.Uint64(shown))
	if age := now.Sub(time.UnixMicro(at)); age < -skew || age >= ceremonyLife {
		at = now.UnixMicro()
	}
	return s.challengeAt(f, at)
}

// owner is the person as an authenticator knows them.
func owner(p *store.Person) factor.Owner {
	return factor.Owner{Handle: []byte(p.ID), Username: p.Username, Name: p.Name}
}

func credentials(keys []store.Factor) ([]factor.Credential, error) {
	var out []factor.Credential
	for _, f := range keys {
		c, err := factor.DecodeCredential(f.Secret)
		if err != nil {
			return nil, fmt.Errorf("login: passkey %s is damaged: %w", f.ID, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// options is what the page hands to navigator.credentials.
func (s *Service) options(ctx context.Context, in store.SignIn, rules policy.Policy) ([]byte, error) {
	if s.Passkeys == nil {
		return nil, nil
	}
	challenge := s.challengeAt(in.Flow, s.db.Now().UnixMicro())
	if in.Flow.Step == flow.Password {
		if in.Flow.Unlock || !rules.Factors.May(user.FactorPasskey) {
			return nil, nil
		}
		return s.Passkeys.RequestOptions(nil, challenge, true)
	}
	if in.Person == nil {
		return nil, ErrGone
	}
	keys, err := s.active(ctx, in.Person.ID, user.FactorPasskey)
	if err != nil {
		return nil, err
	}
	known, err := credentials(keys)
	if err != nil {
		return nil, err
	}
	if in.Flow.Step == flow.Passkey {
		return s.Passkeys.RequestOptions(known, challenge, in.Flow.Unlock)
	}
	return s.Passkeys.CreationOptions(owner(in.Person), known, challenge, passkeyRule(rules))
}

func passkeyRule(p policy.Policy) factor.PasskeyRule {
	return factor.PasskeyRule{Attestation: p.Factors.Attestation, AAGUIDs: p.Factors.AAGUIDs}
}

// checkPasskeyAlone takes a passkey in the place of name and password: the user must have been verified. Nobody's tries stand in its way: a
// signature cannot be guessed, and checking one costs less than the page.
func (s *Service) checkPasskeyAlone(ctx context.Context, in store.SignIn, a Answer, c *checked) error {
	c.verdict.Reason = audit.WrongCode
	if s.Passkeys == nil {
		return nil
	}
	got, err := factor.ReadAssertion([]byte(a.Passkey))
	if err != nil {
		return nil
	}
	var f store.Factor
	var p *store.Person
	err = s.db.View(ctx, func(t *store.Tx) (err error) {
		if f, err = t.PasskeyByHandle(got.ID); err != nil {
			return err
		}
		p, err = t.PersonByID(f.User)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, user.ErrNotFound) {
		c.verdict.Reason = audit.UnknownUser
		return nil
	}
	if err != nil {
		return err
	}
	c.person, c.verdict.Person, c.phc = p, p.ID, p.Password
	if c.rules, err = s.rules(ctx, p); err != nil {
		return err
	}
	switch {
	case p.Disabled():
		c.verdict.Reason = audit.Disabled
		return nil
	case !c.rules.Factors.May(user.FactorPasskey):
		c.verdict.Reason = audit.Policy
		return nil
	case !f.StoppedAt.IsZero():
		c.verdict.Reason = audit.Lost
		return nil
	}
	if err := s.prove(got, f, p, s.challenge(in.Flow, got.Challenge), true, true, c); err != nil || c.verdict.Reason != "" {
		return err
	}
	c.verdict.Stamp = stamp(p.Password)
	c.verdict.Means, err = s.means(ctx, p)
	return err
}

// checkPasskey takes a passkey as second factor.
func (s *Service) checkPasskey(ctx context.Context, in store.SignIn, a Answer, c *checked) error {
	c.verdict.Reason = audit.WrongCode
	got, err := factor.ReadAssertion([]byte(a.Passkey))
	if err != nil || s.Passkeys == nil {
		return nil
	}
	keys, err := s.active(ctx, in.Person.ID, user.FactorPasskey)
	if err != nil {
		return err
	}
	for _, f := range keys {
		if string(f.Handle) == string(got.ID) {
			return s.prove(got, f, in.Person, s.challenge(in.Flow, got.Challenge), false, in.Flow.Unlock, c)
		}
	}
	return nil
}

// prove verifies an assertion and leaves the verdict in c. alone: it names the person; verified: the user must have been, who is alone with it
// or comes back to a machine that was left.
func (s *Service) prove(got factor.Assertion, f store.Factor, p *store.Person, challenge []byte, alone, verified bool, c *checked) error {
	stored, err := factor.DecodeCredential(f.Secret)
	if err != nil {
		return fmt.Errorf("login: passkey %s is damaged: %w", f.ID, err)
	}
	stored.SignCount = uint32(f.Counter)
	proof, err := s.Passkeys.Check(got, owner(p), stored, challenge, verified, alone)
	switch {
	case errors.Is(err, factor.ErrPasskey):
		c.verdict.Reason = audit.WrongCode
		return nil
	case err != nil:
		return err
	case proof.Cloned:
		c.verdict.Reason, c.cloned = audit.Cloned, f.ID
		return nil
	}
	c.verdict.Reason, c.verdict.Key = "", user.MethodSoftKey
	c.consume = func(t *store.Tx) (bool, error) {
		return t.UseFactor(f, int64(proof.Credential.SignCount), proof.Credential.Encode())
	}
	return nil
}

// clone stops a passkey whose count did not rise, and raises the alarm: the trail, and a mail to its owner.
func (s *Service) clone(t *store.Tx, p *store.Person, c checked, events *[]audit.Event) error {
	*events = append(*events, audit.Event{Kind: audit.PasskeyCloned, Outcome: audit.Refused, Reason: audit.Cloned, Subject: string(p.ID),
		Detail: map[string]string{"factor": c.cloned}})
	*events = append(*events, audit.Event{Kind: audit.FactorStopped, Reason: audit.Cloned, Subject: string(p.ID),
		Detail: map[string]string{"factor": string(user.FactorPasskey), "id": c.cloned}})
	t.Hold(p.ID)
	t.StopFactor(p.ID, c.cloned)
	return s.mail(t, p, "mail.passkey_cloned")
}

// checkNewPasskey checks a passkey that is being set up.
func (s *Service) checkNewPasskey(ctx context.Context, in store.SignIn, a Answer, c *checked) error {
	c.verdict.Reason = audit.WrongCode
	if s.Passkeys == nil {
		return nil
	}
	made, err := s.Passkeys.Register(owner(in.Person), []byte(a.Passkey), s.challenge(in.Flow, signedChallenge(a.Passkey)), passkeyRule(c.rules))
	if errors.Is(err, factor.ErrPasskey) {
		return nil
	}
	if err != nil {
		return err
	}
	name := strings.TrimSpace(a.Name)
	if name == "" || utf8.RuneCountInString(name) > 64 || user.ValidName(name) != nil {
		name = s.word(in.Person, "kind.webauthn")
	}
	c.verdict.Reason, c.verdict.Key = "", user.MethodSoftKey
	c.enrol = &store.Factor{User: in.Person.ID, Kind: user.FactorPasskey, Name: name, Secret: made.Encode(), Handle: made.ID, Counter: int64(made.SignCount)}
	return nil
}

// signedChallenge reads which challenge a response says that it signed; nil if it says none.
func signedChallenge(response string) []byte {
	var r struct {
		Response struct {
			ClientData string `json:"clientDataJSON"`
		} `json:"response"`
	}
	var data struct {
		Challenge string `json:"challenge"`
	}
	if len(response) > 64<<10 || json.Unmarshal([]byte(response), &r) != nil {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(r.Response.ClientData)
	if err != nil || json.Unmarshal(raw, &data) != nil {
		return nil
	}
	challenge, err := base64.RawURLEncoding.DecodeString(data.Challenge)
	if err != nil {
		return nil
	}
	return challenge
}
