package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

const (
	maxRegistrations    = 1000
	maxRegistrationLife = 90 * 24 * time.Hour
)

// MakeRegistrationToken makes an initial access token (RFC 7591 §3) with which applications can register themselves within r.Bounds, r.Uses
// times until life is over. It gives its id and the token, which is not kept in clear.
func (s *Service) MakeRegistrationToken(ctx context.Context, o audit.Origin, r store.RegistrationToken, life time.Duration) (id, token string, err error) {
	if err := checkRegistration(r, life); err != nil {
		return "", "", err
	}
	token = "pvi_" + store.NewToken()
	err = s.db.Change(ctx, o, func(t *store.Tx) error {
		r.By, r.Expires = store.NewID(t.Now()), t.Now().Add(life)
		if err := knownGroups(t, r.Groups); err != nil {
			return err
		}
		if err := t.AddRegistrationToken(r, s.secretMAC(token)); err != nil {
			return err
		}
		return t.Record(audit.Event{Kind: audit.RegTokenMade, Detail: map[string]string{"registration_token": r.By, "name": r.Name, "scope": strings.Join(r.Scopes, " "),
			"grant_types": strings.Join(r.GrantTypes, " "), "allowed_groups": strings.Join(r.Groups, " "), "uses": fmt.Sprint(r.Uses), "expires": r.Expires.Format(time.RFC3339)}})
	})
	if err != nil {
		return "", "", err
	}
	return r.By, token, nil
}

// checkRegistration holds the bounds to the rules of the clients that they are for.
func checkRegistration(r store.RegistrationToken, life time.Duration) error {
	if life < time.Minute || life > maxRegistrationLife {
		return errors.New("--life is a time from 1m to 2160h (90 days)")
	}
	if r.Uses < 1 || r.Uses > maxRegistrations {
		return fmt.Errorf("--uses is a number from 1 to %d", maxRegistrations)
	}
	sample := client.Client{ID: "registration-token", Name: r.Name, RedirectURIs: []string{"https://app.example/callback"}, Scope: strings.Join(r.Scopes, " "),
		GrantTypes: r.GrantTypes, AllowedGroups: r.Groups, MinimumACR: r.MinimumACR}
	sample.Normalise()
	return named("registration token", ": ", sample.Validate())
}

// RegistrationTokens calls each for every initial access token of the last 30 days, without the token itself, oldest first.
func (s *Service) RegistrationTokens(ctx context.Context, each func(store.RegistrationToken) error) error {
	return s.db.View(ctx, func(t *store.Tx) error { return t.RegistrationTokens(each) })
}

// RevokeRegistrationToken takes an initial access token away. Applications that registered themselves with it stay.
func (s *Service) RevokeRegistrationToken(ctx context.Context, o audit.Origin, id string) error {
	err := s.db.Change(ctx, o, func(t *store.Tx) error {
		t.RevokeRegistrationToken(id)
		return t.Record(audit.Event{Kind: audit.RegTokenRevoked, Detail: map[string]string{"registration_token": id}})
	})
	if errors.Is(err, store.ErrConflict) {
		err = fmt.Errorf("there is no registration token %q; see: portvakt client registration-token list", id)
	}
	return err
}
