package factor

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

const (
	maxPublicKey    = 1024 // bytes of COSE_Key; RSA of 4,096 bits needs 530
	minRSA, maxRSA  = 2048, 4096
	maxCertificates = 8
)

// person is an owner in the words of the library.
type person struct {
	owner       Owner
	credentials []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return p.owner.Handle }
func (p person) WebAuthnName() string                       { return p.owner.Username }
func (p person) WebAuthnDisplayName() string                { return p.owner.Name }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

// session is what the library would have kept of a ceremony. The user handle is
// missing from it when nobody was named before.
func session(o Owner, challenge []byte, verify, discoverable bool) webauthn.SessionData {
	s := webauthn.SessionData{
		Challenge:        protocol.URLEncodedBase64(challenge).String(),
		UserVerification: verification(verify),
	}
	if !discoverable {
		s.UserID = o.Handle
	}
	return s
}

// Register checks the response to CreationOptions, a RegistrationResponseJSON of
// at most 16 KiB, against its owner, challenge and rule (WebAuthn L3 §7.1 steps
// 5 to 25). A wrong one is ErrPasskey. Step 26 is left: that no one has the id.
func (p *Passkeys) Register(o Owner, response, challenge []byte, rule PasskeyRule) (Credential, error) {
	if err := o.begun(challenge); err != nil {
		return Credential{}, err
	}
	models, err := rule.models()
	if err != nil {
		return Credential{}, err
	}
	r, client, err := readResponse(response)
	if err != nil {
		return Credential{}, err
	}
	if err := p.checkClient(client, protocol.CreateCeremony, challenge); err != nil {
		return Credential{}, err
	}
	parsed, err := r.creation()
	if err != nil {
		return Credential{}, err
	}
	object := parsed.Response.AttestationObject
	if err := checkKey(object.AuthData.AttData.CredentialPublicKey); err != nil {
		return Credential{}, err
	}
	if err := checkStatement(object); err != nil {
		return Credential{}, err
	}
	s := session(o, challenge, true, false)
	s.CredParams = offered()
	made, err := p.rp.CreateCredential(person{owner: o}, s, parsed)
	if err != nil {
		return Credential{}, refused(err)
	}
	c := Credential{
		ID:         bytes.Clone(made.ID),
		PublicKey:  bytes.Clone(made.PublicKey),
		AAGUID:     [16]byte(made.Authenticator.AAGUID), // 16 bytes, or it would not have been parsed
		SignCount:  made.Authenticator.SignCount,
		Flags:      byte(made.Flags.ProtocolValue()),
		Transports: transports(made.Transport),
		Format:     made.AttestationFormat,
		Attested:   made.AttestationType != "" && made.AttestationType != string(metadata.None),
	}
	self := made.AttestationType == string(metadata.BasicSurrogate)
	return c, rule.check(c, self, models)
}

// check is WebAuthn L3 §7.1 step 24: is the attestation what policy wants?
func (r PasskeyRule) check(c Credential, self bool, models [][16]byte) error {
	switch {
	case r.Attestation && !c.Attested:
		return refuse("there is no attestation")
	case len(models) == 0:
		return nil
	case self:
		return refuse("a self attestation vouches for no model")
	case c.Model() == "" || !slices.Contains(models, c.AAGUID):
		return refuse("the model is not allowed: " + aaguidText(c.AAGUID))
	}
	return nil
}

// checkKey takes a key of an algorithm offered, of its type and curve (WebAuthn
// L3 §5.8.5, §7.1 step 20), and of a size that is cheap to check with. Without
// attestation the library looks at the algorithm's number alone.
func checkKey(cose []byte) error {
	if len(cose) > maxPublicKey {
		return refuse("the public key is longer than 1,024 bytes")
	}
	key, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return refused(err)
	}
	switch k := key.(type) {
	case webauthncose.EC2PublicKeyData: // its point is on its curve
		if k.Algorithm == int64(webauthncose.AlgES256) {
			return nil
		}
	case webauthncose.OKPPublicKeyData:
		if k.Algorithm == int64(webauthncose.AlgEdDSA) {
			return nil
		}
	case webauthncose.RSAPublicKeyData:
		bits := new(big.Int).SetBytes(k.Modulus).BitLen()
		if k.Algorithm == int64(webauthncose.AlgRS256) && bits >= minRSA && bits <= maxRSA && len(k.Exponent) <= 4 {
			return nil
		}
	}
	return refuse("the public key is of no algorithm or size that was offered")
}

// checkStatement keeps to the attestation formats of authenticators that can
// hold a passkey: fido-u2f verifies no user, android-safetynet has ended, and
// compound is not in use. It refuses certificates that cost more than
// milliseconds: an RSA key may fill the response.
func checkStatement(object protocol.AttestationObject) error {
	switch protocol.AttestationFormat(object.Format) {
	case protocol.AttestationFormatNone, protocol.AttestationFormatPacked, protocol.AttestationFormatTPM,
		protocol.AttestationFormatAndroidKey, protocol.AttestationFormatApple:
	default:
		return refuse("the attestation's format is not taken: " + object.Format)
	}
	chain, _ := object.AttStatement["x5c"].([]any) // of another type: the library refuses it
	if len(chain) > maxCertificates {
		return refuse("the attestation has more than 8 certificates")
	}
	for _, item := range chain {
		der, _ := item.([]byte)
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return refuse(err.Error())
		}
		if k, ok := certificate.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
			return refuse("a certificate's RSA key is longer than 4,096 bits")
		}
	}
	return nil
}

// Proof is what a right assertion proved.
type Proof struct {
	// Credential is the passkey with its new SignCount and BS: to be stored by
	// a write that succeeds only if the stored one is still the one checked.
	Credential   Credential
	UserVerified bool // in this ceremony
	// Cloned says that the sign count did not rise, though one of the two is
	// not zero: another authenticator may have the key (WebAuthn L3 §6.1.1).
	// The caller refuses and raises the alarm. SignCount is then the old one.
	Cloned bool
}

// Check verifies a against the stored passkey c of o and the challenge (WebAuthn
// L3 §7.2 steps 5 to 22). A wrong one is ErrPasskey. The user was present
// always and, if verify, verified. A handle in the response has to be o's; if
// discoverable, that is if nobody was named before, it has to be there.
func (p *Passkeys) Check(a Assertion, o Owner, c Credential, challenge []byte, verify, discoverable bool) (Proof, error) {
	if err := o.begun(challenge); err != nil {
		return Proof{}, err
	}
	if a.parsed == nil {
		return Proof{}, refuse("there is no assertion")
	}
	if err := p.checkClient(a.client, protocol.AssertCeremony, challenge); err != nil {
		return Proof{}, err
	}
	owner := person{owner: o, credentials: []webauthn.Credential{c.record()}}
	s := session(o, challenge, verify, discoverable)
	var checked *webauthn.Credential
	var err error
	if discoverable {
		find := func(_, _ []byte) (webauthn.User, error) { return owner, nil } // the library compares the handle
		_, checked, err = p.rp.ValidatePasskeyLogin(find, s, a.parsed)
	} else {
		checked, err = p.rp.ValidateLogin(owner, s, a.parsed)
	}
	if err != nil {
		return Proof{}, refused(err)
	}
	said := a.parsed.Response.AuthenticatorData.Flags
	c.SignCount = checked.Authenticator.SignCount
	c.Flags = c.Flags&^byte(protocol.FlagBackupState) | byte(said&protocol.FlagBackupState)
	return Proof{Credential: c, UserVerified: said.UserVerified(), Cloned: checked.Authenticator.CloneWarning}, nil
}
