package factor

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

const (
	maxCredentialID = 1023 // bytes (WebAuthn L3 §7.1 step 25)
	maxTransports   = 8
	maxTransport    = 32 // bytes
)

// Credential is a passkey as it is stored: the credential record of WebAuthn L3
// §4. It holds no secret.
type Credential struct {
	ID        []byte   // 1 to 1,023 bytes
	PublicKey []byte   // COSE_Key, at most 1,024 bytes
	AAGUID    [16]byte // the model, if Attested; else the client's word, and often zero
	SignCount uint32
	// Flags is the flags byte of the registration (WebAuthn L3 §6.1), whole,
	// but BS is that of the last use.
	Flags      byte
	Transports []string // at most 8 words of the client's, for hints
	Format     string   // of the attestation statement: none, packed, tpm, android-key or apple
	// Attested says that there was an attestation statement and that its
	// signature over this registration is right: of a certificate's key, or, in
	// a self attestation, of the passkey's own key. It says that nobody on the
	// way changed the registration. It does not say who made the authenticator:
	// the certificates of packed and tpm are not followed to a vendor, so
	// anybody can make one; and a self attestation vouches for itself. Never
	// take it for hardware.
	Attested bool
}

// BackupEligible reports whether the passkey may be copied between devices (the
// BE flag). It never changes.
func (c Credential) BackupEligible() bool {
	return protocol.AuthenticatorFlags(c.Flags).HasBackupEligible()
}

// BackedUp reports whether the passkey was copied when it was last used (BS).
func (c Credential) BackedUp() bool {
	return protocol.AuthenticatorFlags(c.Flags).HasBackupState()
}

// Hardware reports whether hardware holds the key and it cannot leave
// (RFC 8176 §2 hwk): the attestation was followed to a root of Apple's or of
// Google's hardware keys, which the library carries, and the passkey is not
// eligible for backup. A security key or a TPM is not told apart from
// something that mimics it, so it is not Hardware.
func (c Credential) Hardware() bool {
	anchored := c.Format == string(protocol.AttestationFormatApple) || c.Format == string(protocol.AttestationFormatAndroidKey)
	return c.Attested && anchored && !c.BackupEligible()
}

// Model is the AAGUID as a UUID in text, empty if it is zero.
func (c Credential) Model() string {
	if c.AAGUID == [16]byte{} {
		return ""
	}
	return aaguidText(c.AAGUID)
}

// storedCredential is the form of Encode. Names and meanings stay; what is
// added is optional, so that the release before reads what this one wrote.
type storedCredential struct {
	ID         []byte   `json:"id"`
	PublicKey  []byte   `json:"key"`
	AAGUID     []byte   `json:"aaguid"`
	SignCount  uint32   `json:"count"`
	Flags      byte     `json:"flags"`
	Transports []string `json:"transports,omitempty"`
	Format     string   `json:"format"`
	Attested   bool     `json:"attested,omitempty"`
}

// Encode is the passkey as compact JSON: the same text for the same passkey.
func (c Credential) Encode() string {
	text, err := json.Marshal(storedCredential{
		c.ID, c.PublicKey, c.AAGUID[:], c.SignCount, c.Flags, c.Transports, c.Format, c.Attested,
	})
	if err != nil { // bytes, numbers and strings
		panic("factor: encode a passkey: " + err.Error())
	}
	return string(text)
}

// DecodeCredential reads what Encode wrote.
func DecodeCredential(s string) (Credential, error) {
	var stored storedCredential
	if err := json.Unmarshal([]byte(s), &stored); err != nil {
		return Credential{}, fmt.Errorf("factor: the stored passkey is not readable: %w", err)
	}
	flags := protocol.AuthenticatorFlags(stored.Flags)
	switch {
	case len(stored.ID) == 0 || len(stored.ID) > maxCredentialID:
		return Credential{}, errors.New("factor: the stored passkey's id is not 1 to 1,023 bytes")
	case len(stored.PublicKey) == 0 || len(stored.AAGUID) != 16:
		return Credential{}, errors.New("factor: the stored passkey lacks its key or its model")
	case flags.HasBackupState() && !flags.HasBackupEligible():
		return Credential{}, errors.New("factor: the stored passkey's flags contradict one another")
	}
	return Credential{
		ID: stored.ID, PublicKey: stored.PublicKey, AAGUID: [16]byte(stored.AAGUID), SignCount: stored.SignCount,
		Flags: stored.Flags, Transports: stored.Transports, Format: stored.Format, Attested: stored.Attested,
	}, nil
}

// record is c in the words of the library, whose flags keep the whole byte only
// if they are made by its constructor.
func (c Credential) record() webauthn.Credential {
	return webauthn.Credential{
		ID:                c.ID,
		PublicKey:         c.PublicKey,
		AttestationFormat: c.Format,
		Flags:             webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(c.Flags)),
		Authenticator:     webauthn.Authenticator{AAGUID: c.AAGUID[:], SignCount: c.SignCount},
	}
}

// transports keeps what can be a word of AuthenticatorTransport, also one that
// is not known yet (WebAuthn L3 §5.8.4).
func transports(said []protocol.AuthenticatorTransport) []string {
	var kept []string
	for _, t := range said {
		word := len(t) > 0 && len(t) <= maxTransport
		for _, b := range []byte(t) {
			word = word && (b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-')
		}
		if word && len(kept) < maxTransports {
			kept = append(kept, string(t))
		}
	}
	return kept
}
