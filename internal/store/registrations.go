package store

import (
	"encoding/json"
	"time"

	"github.com/portvakt/portvakt/internal/client"
)

// Bounds is what clients that register themselves with one initial access token (RFC 7591 §3) may have at most, and what all of them get.
// Each client keeps those under which it was registered.
type Bounds struct {
	By           string   `json:"by"` // id of the initial access token
	Name         string   `json:"name,omitempty"`
	Scopes       []string `json:"scopes"`
	GrantTypes   []string `json:"grant_types"`
	Groups       []string `json:"groups,omitempty"`      // who may sign in to them; none: everybody
	MinimumACR   string   `json:"minimum_acr,omitempty"` // each asks for this class or a stronger one
	PKCEOptional bool     `json:"pkce_optional,omitempty"`
}

// Dynamic is what a client has that registered itself. Token is the MAC of its registration access token (RFC 7592 §1.2).
type Dynamic struct {
	Token  []byte
	Bounds Bounds
}

// RegistrationToken is an initial access token (RFC 7591 §3) without the token itself.
type RegistrationToken struct {
	Bounds
	Uses    int // registrations that it is good for
	Used    int
	Created time.Time
	Expires time.Time
}

// AddRegistrationToken keeps a new initial access token; mac is its MAC.
func (t *Tx) AddRegistrationToken(r RegistrationToken, mac []byte) error {
	body, err := json.Marshal(r.Bounds)
	if err != nil {
		return err
	}
	t.do("insert into registration_tokens (id, token, name, bounds, uses, used, created_at, expires_at) values ($1, $2, $3, $4, $5, 0, $6, $7)",
		r.By, mac, r.Name, string(body), int64(r.Uses), micros(t.now), micros(r.Expires))
	return nil
}

const registrationColumns = "bounds, uses, used, created_at, expires_at"

func scanRegistration(s scanner) (RegistrationToken, error) {
	var r RegistrationToken
	var body string
	var uses, used, created, expires int64
	if err := s.Scan(&body, &uses, &used, &created, &expires); err != nil {
		return r, err
	}
	r.Uses, r.Used, r.Created, r.Expires = int(uses), int(used), instant(created), instant(expires)
	return r, json.Unmarshal([]byte(body), &r.Bounds)
}

// RegistrationTokens calls each for every initial access token, used up and expired ones too, oldest first.
func (t *Tx) RegistrationTokens(each func(RegistrationToken) error) error {
	return every(t, scanRegistration, each, "select "+registrationColumns+" from registration_tokens order by id")
}

// RegistrationToken reads the initial access token with this MAC if it is good for one more registration now, else ErrNotFound.
func (t *Tx) RegistrationToken(mac []byte) (RegistrationToken, error) {
	return one(t, scanRegistration, "select "+registrationColumns+" from registration_tokens where token = $1 and used < uses and expires_at > $2", mac, micros(t.now))
}

// UseRegistrationToken takes one registration of it, or ErrNotFound: whoever comes to its last one first has it.
func (t *Tx) UseRegistrationToken(mac []byte) (RegistrationToken, error) {
	return one(t, scanRegistration, "update registration_tokens set used = used + 1 where token = $1 and used < uses and expires_at > $2 returning "+registrationColumns, mac, micros(t.now))
}

// RevokeRegistrationToken takes an initial access token away; ErrConflict if there is none. What was registered with it stays.
func (t *Tx) RevokeRegistrationToken(id string) {
	t.must("delete from registration_tokens where id = $1", id)
}

// AddDynamic registers a client that registers itself; ErrTaken (at flush) if its id is in use.
func (t *Tx) AddDynamic(c client.Client, secret []byte, d Dynamic) error {
	if err := t.AddClient(c, secret); err != nil {
		return err
	}
	body, err := json.Marshal(d.Bounds)
	if err != nil {
		return err
	}
	t.must("update clients set managed_by = $2, bounds = $3 where id = $1", string(c.ID), d.Token, string(body))
	return nil
}

// HoldDynamic gives a client that registered itself as it stands now, and nobody else changes it before the unit ends. ErrNotFound if token is not
// the MAC of its registration access token: it never was, or an administrator took the client over or away.
func (t *Tx) HoldDynamic(id client.ID, token []byte) (Client, error) {
	return one(t, scanClient, "update clients set updated_at = $3 where id = $1 and managed_by = $2 and length(managed_by) > 0 returning "+clientColumns, string(id), token, micros(t.now))
}

// PutDynamic replaces the registration of a client that is held. Secret nil keeps the present one, and an empty one takes it away.
func (t *Tx) PutDynamic(c client.Client, secret []byte) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	t.must("update clients set metadata = $2, logout_uri = $3 where id = $1", string(c.ID), string(body), c.BackchannelLogoutURI)
	if secret != nil {
		t.must("update clients set secret = $2, old_secret = $3, old_until = 0 where id = $1", string(c.ID), secret, []byte{})
	}
	t.bump()
	return nil
}
