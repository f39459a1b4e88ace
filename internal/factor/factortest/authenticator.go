// Package factortest is a browser with a software authenticator (WebAuthn Level
// 3), for tests. It takes the options that factor.Passkeys gives and returns
// what a browser would send, and forges each part of it on request. It holds
// keys in memory and imports nothing of Portvakt.
package factortest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
)

// What a browser's promise is rejected with.
var (
	ErrExcluded = errors.New("factortest: InvalidStateError: the authenticator has a passkey of the excluded ones")
	ErrNone     = errors.New("factortest: NotAllowedError: the authenticator has no such passkey")
)

// The formats of Authenticator.Format.
const (
	None       = "none"
	PackedSelf = "packed-self" // packed, signed by the passkey itself
	PackedCert = "packed-cert" // packed, signed by a certificate made on the spot, for this AAGUID
)

// The bits of the flags byte (WebAuthn L3 §6.1).
const (
	flagUP = 0x01
	flagUV = 0x04
	flagBE = 0x08
	flagBS = 0x10
	flagAT = 0x40
)

// Authenticator is a browser on a page of Origin and its authenticator. New
// makes an honest one; its fields are what it says, and each may be changed
// between two calls. Not for concurrent use.
type Authenticator struct {
	Origin string

	UP, UV    bool   // user present, user verified; true in an honest one
	BE, BS    bool   // backup eligible, backed up
	SignCount uint32 // said as it is, with each call; zero is an authenticator that does not count
	AAGUID    [16]byte
	Format    string // of the attestation: None (also if empty), PackedSelf or PackedCert. Said whatever the options ask
	Algorithm int    // COSE: ES256 if zero, EdDSA, RS256, and ES384, which is not offered

	// The forgeries. A zero value forges nothing.
	RPID         string                                // hashed in place of the options'; its passkeys are found under the options'
	Type         string                                // in place of webauthn.create or webauthn.get
	Challenge    []byte                                // in place of the options'
	CrossOrigin  bool                                  // the page is in a frame of another site
	TopOrigin    string                                // of that site
	Handle       []byte                                // in place of the passkey's
	NoHandle     bool                                  // Get: the response has no user handle
	CredentialID []byte                                // Create: the id of the new passkey; Get: this one, whatever is allowed
	WrongKey     bool                                  // signs with a key that nobody knows; a Create with None signs nothing
	ClientData   func(clientDataJSON string) string    // edits the client data before it is signed
	AuthData     func(authenticatorData []byte) []byte // edits the authenticator data before it is signed

	passkeys []passkey
}

// passkey is one that the authenticator remembers.
type passkey struct {
	rpID       string
	id, handle []byte
	key        key
}

// New is an honest authenticator on a page of origin: the user is present and
// verified, the passkeys stay on it, nothing is counted or attested.
func New(origin string) *Authenticator {
	return &Authenticator{Origin: origin, UP: true, UV: true}
}

// text is base64url, as the JSON of both ceremonies writes bytes.
type text []byte

func (t text) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, t), nil
}

func (t *text) UnmarshalText(b []byte) (err error) {
	*t, err = base64.RawURLEncoding.AppendDecode(nil, b)
	return err
}

type descriptor struct {
	ID text `json:"id"`
}

func (d descriptor) is(p passkey) bool { return bytes.Equal(d.ID, p.id) }

// response is a RegistrationResponseJSON or an AuthenticationResponseJSON.
type response struct {
	ID         text           `json:"id"`
	RawID      text           `json:"rawId"`
	Type       string         `json:"type"`
	Attachment string         `json:"authenticatorAttachment"`
	Response   map[string]any `json:"response"`
	Extensions map[string]any `json:"clientExtensionResults"`
}

func respond(id []byte, members map[string]any) ([]byte, error) {
	return json.Marshal(response{id, id, "public-key", "platform", members, map[string]any{}})
}

// Create is navigator.credentials.create: it takes the publicKey options and
// returns the credential's toJSON. The passkey is remembered.
func (a *Authenticator) Create(options []byte) ([]byte, error) {
	var o struct {
		RP        struct{ ID string }
		User      struct{ ID text }
		Challenge text
		Exclude   []descriptor `json:"excludeCredentials"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	for _, p := range a.passkeys {
		if p.rpID == o.RP.ID && slices.ContainsFunc(o.Exclude, func(d descriptor) bool { return d.is(p) }) {
			return nil, ErrExcluded
		}
	}
	k, err := newKey(a.Algorithm)
	if err != nil {
		return nil, err
	}
	p := passkey{rpID: o.RP.ID, id: a.CredentialID, handle: o.User.ID, key: k}
	if p.id == nil {
		p.id = make([]byte, 32)
		rand.Read(p.id)
	}
	clientData, err := a.clientData("webauthn.create", o.Challenge)
	if err != nil {
		return nil, err
	}
	authData := a.authData(p, true)
	object, err := a.attest(p, authData, clientData)
	if err != nil {
		return nil, err
	}
	a.passkeys = append(a.passkeys, p)
	return respond(p.id, map[string]any{
		"clientDataJSON":     text(clientData),
		"authenticatorData":  text(authData),
		"attestationObject":  text(object),
		"publicKeyAlgorithm": k.alg,
		"transports":         []string{"hybrid", "internal"},
	})
}

// Get is navigator.credentials.get: it takes the publicKey options and returns
// the credential's toJSON, of an allowed passkey or, if none is named, of the
// newest one of the relying party.
func (a *Authenticator) Get(options []byte) ([]byte, error) {
	var o struct {
		RPID      string `json:"rpId"`
		Challenge text
		Allow     []descriptor `json:"allowCredentials"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	p, ok := a.choose(o.RPID, o.Allow)
	if !ok {
		return nil, ErrNone
	}
	clientData, err := a.clientData("webauthn.get", o.Challenge)
	if err != nil {
		return nil, err
	}
	authData := a.authData(p, false)
	signature, err := a.sign(p.key, signed(authData, clientData))
	if err != nil {
		return nil, err
	}
	members := map[string]any{
		"clientDataJSON":    text(clientData),
		"authenticatorData": text(authData),
		"signature":         text(signature),
	}
	switch {
	case a.NoHandle:
	case a.Handle != nil:
		members["userHandle"] = text(a.Handle)
	default:
		members["userHandle"] = text(p.handle)
	}
	return respond(p.id, members)
}

func (a *Authenticator) choose(rpID string, allow []descriptor) (passkey, bool) {
	for _, p := range slices.Backward(a.passkeys) {
		switch {
		case a.CredentialID != nil && !bytes.Equal(p.id, a.CredentialID), p.rpID != rpID:
		case a.CredentialID != nil, len(allow) == 0, slices.ContainsFunc(allow, func(d descriptor) bool { return d.is(p) }):
			return p, true
		}
	}
	return passkey{}, false
}

// clientData is the clientDataJSON (WebAuthn L3 §5.8.1.1).
func (a *Authenticator) clientData(ceremony string, challenge []byte) ([]byte, error) {
	if a.Type != "" {
		ceremony = a.Type
	}
	if a.Challenge != nil {
		challenge = a.Challenge
	}
	made, err := json.Marshal(struct {
		Type        string `json:"type"`
		Challenge   text   `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
		TopOrigin   string `json:"topOrigin,omitempty"`
	}{ceremony, challenge, a.Origin, a.CrossOrigin, a.TopOrigin})
	if err == nil && a.ClientData != nil {
		made = []byte(a.ClientData(string(made)))
	}
	return made, err
}

// authData is the authenticator data (WebAuthn L3 §6.1), with p's key if attested.
func (a *Authenticator) authData(p passkey, attested bool) []byte {
	rpID := p.rpID
	if a.RPID != "" {
		rpID = a.RPID
	}
	var flags byte
	for bit, set := range map[byte]bool{flagUP: a.UP, flagUV: a.UV, flagBE: a.BE, flagBS: a.BS, flagAT: attested} {
		if set {
			flags |= bit
		}
	}
	hash := sha256.Sum256([]byte(rpID))
	data := append(hash[:], flags)
	data = binary.BigEndian.AppendUint32(data, a.SignCount)
	if attested {
		data = append(data, a.AAGUID[:]...)
		data = binary.BigEndian.AppendUint16(data, uint16(len(p.id)))
		data = append(data, p.id...)
		data = append(data, p.key.cose...)
	}
	if a.AuthData != nil {
		data = a.AuthData(data)
	}
	return data
}

// signed is what both ceremonies sign (WebAuthn L3 §6.3.3).
func signed(authData, clientData []byte) []byte {
	hash := sha256.Sum256(clientData)
	return slices.Concat(authData, hash[:])
}
