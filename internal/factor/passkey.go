package factor

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// ErrPasskey says that a response is not right: it proves nothing. The text
// behind it is for the log, at most 200 bytes that the client may have chosen;
// never show it. Every other error is a fault of ours.
var ErrPasskey = errors.New("factor: not a right passkey")

const (
	minChallenge   = 16 // bytes (WebAuthn L3 §13.4.3)
	maxHandle      = 64 // bytes (WebAuthn L3 §5.4.3)
	passkeyTimeout = 300_000
)

// Passkeys speaks WebAuthn Level 3 for one relying party. It keeps nothing: the
// challenge of a ceremony is the caller's, who makes it (16 bytes or more, from
// crypto/rand), binds it to the flow, lets it live as long as it allows and
// spends it before or with the answer. That a credential id belongs to nobody
// else (§7.1 step 26) is the caller's to decide too, by a unique column. Safe
// for concurrent use.
type Passkeys struct {
	rp      *webauthn.WebAuthn // its Config is only read
	origins []string
}

// NewPasskeys speaks for the domain rpID, shown as name, on pages of these
// origins. An origin is written as browsers send it, https://host[:port] with
// nothing else and in lower case; its host is rpID or below it. Plain http is
// taken for localhost alone.
func NewPasskeys(rpID, name string, origins []string) (*Passkeys, error) {
	if err := protocol.ValidateRPID(rpID); err != nil || rpID != strings.ToLower(rpID) {
		return nil, fmt.Errorf("factor: passkeys need a domain in lower case, not %q", rpID)
	}
	if name == "" || len(origins) == 0 {
		return nil, errors.New("factor: passkeys need a name and an origin")
	}
	for _, origin := range origins {
		if !validOrigin(origin, rpID) {
			return nil, fmt.Errorf("factor: %q is not an origin of %s for passkeys", origin, rpID)
		}
	}
	origins = slices.Clone(origins)
	rp, err := webauthn.New(&webauthn.Config{
		RPID:          rpID,
		RPDisplayName: name,
		RPOrigins:     origins,
	})
	if err != nil {
		return nil, fmt.Errorf("factor: passkeys: %w", err)
	}
	return &Passkeys{rp: rp, origins: origins}, nil
}

// validOrigin takes the serialisation of a tuple origin and nothing that only
// means the same (WebAuthn L3 §13.4.9).
func validOrigin(origin, rpID string) bool {
	u, err := url.Parse(origin)
	if err != nil || origin != strings.ToLower(origin) || origin != u.Scheme+"://"+u.Host || strings.HasSuffix(u.Host, ":") {
		return false
	}
	host := u.Hostname()
	switch {
	case host != rpID && !strings.HasSuffix(host, "."+rpID):
		return false
	case u.Scheme == "https":
		return u.Port() != "443"
	case u.Scheme == "http":
		return u.Port() != "80" && (host == "localhost" || strings.HasSuffix(host, ".localhost"))
	}
	return false
}

// PasskeyRule is what policy asks of new passkeys. The zero value asks nothing.
//
// There is no store of vendors' certificates behind it (FIDO MDS): a list of
// models keeps honest people to them, and does not stop somebody who writes an
// authenticator and makes its certificate as well. See Credential.Hardware.
type PasskeyRule struct {
	// Attestation asks for direct attestation and refuses a passkey that is
	// not Attested.
	Attestation bool
	// AAGUIDs, if any, are the only models that may be: UUIDs in text. It needs
	// Attestation, and attestation by a certificate: in a self attestation the
	// model is the passkey's own word. A zero AAGUID is no model.
	AAGUIDs []string
}

// models reads AAGUIDs. A rule that cannot be kept is an error, never ignored.
func (r PasskeyRule) models() ([][16]byte, error) {
	if len(r.AAGUIDs) > 0 && !r.Attestation {
		return nil, errors.New("factor: a list of passkey models needs attestation")
	}
	var models [][16]byte
	for _, text := range r.AAGUIDs {
		model, err := parseAAGUID(text)
		if err != nil {
			return nil, err
		}
		models = append(models, model)
	}
	return models, nil
}

// parseAAGUID reads a UUID in its usual text (RFC 9562 §4) in either case.
func parseAAGUID(text string) ([16]byte, error) {
	var id [16]byte
	parts := strings.Split(text, "-")
	raw, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(raw) != len(id) || len(parts) != 5 || !strings.EqualFold(aaguidText([16]byte(raw)), text) {
		return id, fmt.Errorf("factor: %q is not an AAGUID", text)
	}
	return [16]byte(raw), nil
}

func aaguidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Owner is whose passkeys they are.
type Owner struct {
	Handle   []byte // user handle, 1 to 64 opaque bytes that say nothing of the person (WebAuthn L3 §14.6.1)
	Username string
	Name     string
}

// begun checks what the caller puts into a ceremony.
func (o Owner) begun(challenge []byte) error {
	if len(o.Handle) == 0 || len(o.Handle) > maxHandle {
		return errors.New("factor: a passkey's user handle is not 1 to 64 bytes")
	}
	return longEnough(challenge)
}

func longEnough(challenge []byte) error {
	if len(challenge) < minChallenge {
		return errors.New("factor: a passkey's challenge is under 16 bytes")
	}
	return nil
}

// offered are the algorithms of new passkeys, the best first (WebAuthn L3
// §5.4): ES256, EdDSA and, for Windows Hello, RS256.
func offered() []protocol.CredentialParameter {
	return []protocol.CredentialParameter{
		{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
		{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
		{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
	}
}

// CreationOptions is the JSON for navigator.credentials.create's publicKey
// (PublicKeyCredentialCreationOptionsJSON, WebAuthn L3 §5.4): a discoverable
// passkey that verifies its user, on no authenticator that holds an existing
// one of o. 300 seconds. Safe inside HTML.
func (p *Passkeys) CreationOptions(o Owner, existing []Credential, challenge []byte, rule PasskeyRule) ([]byte, error) {
	if err := o.begun(challenge); err != nil {
		return nil, err
	}
	if _, err := rule.models(); err != nil {
		return nil, err
	}
	attestation := protocol.PreferNoAttestation
	if rule.Attestation {
		attestation = protocol.PreferDirectAttestation
	}
	return json.Marshal(protocol.PublicKeyCredentialCreationOptions{
		RelyingParty: protocol.RelyingPartyEntity{
			CredentialEntity: protocol.CredentialEntity{Name: p.rp.Config.RPDisplayName},
			ID:               p.rp.Config.RPID,
		},
		User: protocol.UserEntity{
			CredentialEntity: protocol.CredentialEntity{Name: o.Username},
			DisplayName:      o.Name,
			ID:               protocol.URLEncodedBase64(o.Handle),
		},
		Challenge:             challenge,
		Parameters:            offered(),
		Timeout:               passkeyTimeout,
		CredentialExcludeList: descriptors(existing),
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: protocol.ResidentKeyRequired(), // for clients of Level 1 (§5.4.4)
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			UserVerification:   protocol.VerificationRequired,
		},
		Attestation: attestation,
	})
}

// RequestOptions is the JSON for navigator.credentials.get's publicKey
// (PublicKeyCredentialRequestOptionsJSON, WebAuthn L3 §5.5): with one of the
// passkeys allowed or, if there are none, with a discoverable one. verify asks
// that the user be verified; else it is wished for. 300 seconds. Safe inside
// HTML.
func (p *Passkeys) RequestOptions(allow []Credential, challenge []byte, verify bool) ([]byte, error) {
	if err := longEnough(challenge); err != nil {
		return nil, err
	}
	return json.Marshal(protocol.PublicKeyCredentialRequestOptions{
		Challenge:          challenge,
		Timeout:            passkeyTimeout,
		RelyingPartyID:     p.rp.Config.RPID,
		AllowedCredentials: descriptors(allow),
		UserVerification:   verification(verify),
	})
}

func verification(verify bool) protocol.UserVerificationRequirement {
	if verify {
		return protocol.VerificationRequired
	}
	return protocol.VerificationPreferred
}

func descriptors(credentials []Credential) []protocol.CredentialDescriptor {
	var out []protocol.CredentialDescriptor
	for _, c := range credentials {
		d := protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: c.ID}
		for _, t := range c.Transports {
			d.Transport = append(d.Transport, protocol.AuthenticatorTransport(t))
		}
		out = append(out, d)
	}
	return out
}
