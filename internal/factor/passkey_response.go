package factor

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
)

const (
	maxResponse = 16 << 10 // bytes
	maxReason   = 200      // bytes
)

// passkeyResponse is what both responses consist of (WebAuthn L3 §5.1), without
// the outputs of client extensions: none is asked for and none is read.
type passkeyResponse struct {
	ID       string                    `json:"id"`
	RawID    protocol.URLEncodedBase64 `json:"rawId"`
	Type     string                    `json:"type"`
	Response struct {
		ClientDataJSON    protocol.URLEncodedBase64 `json:"clientDataJSON"`
		AuthenticatorData protocol.URLEncodedBase64 `json:"authenticatorData"` // of an assertion
		Signature         protocol.URLEncodedBase64 `json:"signature"`
		UserHandle        protocol.URLEncodedBase64 `json:"userHandle"`
		AttestationObject protocol.URLEncodedBase64 `json:"attestationObject"` // of a registration
		Transports        []string                  `json:"transports"`
	} `json:"response"`
}

// readResponse reads one JSON value of at most 16 KiB and nothing behind it. Of
// a name that stands twice the last counts, for the library as well: it gets
// what was read here.
func readResponse(text []byte) (passkeyResponse, clientData, error) {
	var r passkeyResponse
	if len(text) > maxResponse {
		return r, clientData{}, refuse("the response is longer than 16 KiB")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, clientData{}, refuse(err.Error())
	}
	if len(r.RawID) == 0 || len(r.RawID) > maxCredentialID {
		return r, clientData{}, refuse("the credential id is not 1 to 1,023 bytes")
	}
	client, err := readClientData(r.Response.ClientDataJSON)
	return r, client, err
}

func (r passkeyResponse) credential() protocol.PublicKeyCredential {
	return protocol.PublicKeyCredential{Credential: protocol.Credential{ID: r.ID, Type: r.Type}, RawID: r.RawID}
}

// creation is r in the words of the library.
func (r passkeyResponse) creation() (*protocol.ParsedCredentialCreationData, error) {
	parsed, err := protocol.CredentialCreationResponse{
		PublicKeyCredential: r.credential(),
		AttestationResponse: protocol.AuthenticatorAttestationResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: r.Response.ClientDataJSON},
			AttestationObject:     r.Response.AttestationObject,
			Transports:            r.Response.Transports,
		},
	}.Parse()
	return parsed, refused(err)
}

// assertion is r in the words of the library.
func (r passkeyResponse) assertion() (*protocol.ParsedCredentialAssertionData, error) {
	parsed, err := protocol.CredentialAssertionResponse{
		PublicKeyCredential: r.credential(),
		AssertionResponse: protocol.AuthenticatorAssertionResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: r.Response.ClientDataJSON},
			AuthenticatorData:     r.Response.AuthenticatorData,
			Signature:             r.Response.Signature,
			UserHandle:            r.Response.UserHandle,
		},
	}.Parse()
	return parsed, refused(err)
}

// Assertion is a response to RequestOptions, parsed and not yet checked: it
// proves nothing. Its fields are to look up the passkey, its owner and the
// challenge; Check reads none of them.
type Assertion struct {
	ID        []byte // 1 to 1,023 bytes
	Handle    []byte // at most 64 bytes; nil if the response has none
	Challenge []byte

	client clientData
	parsed *protocol.ParsedCredentialAssertionData
}

// ReadAssertion reads an AuthenticationResponseJSON (WebAuthn L3 §5.1) of at
// most 16 KiB. What is not one is ErrPasskey.
func ReadAssertion(response []byte) (Assertion, error) {
	r, client, err := readResponse(response)
	if err != nil {
		return Assertion{}, err
	}
	if len(r.Response.UserHandle) > maxHandle {
		return Assertion{}, refuse("the user handle is longer than 64 bytes")
	}
	parsed, err := r.assertion()
	if err != nil {
		return Assertion{}, err
	}
	a := Assertion{ID: bytes.Clone(parsed.RawID), Challenge: bytes.Clone(client.challenge), client: client, parsed: parsed}
	if len(parsed.Response.UserHandle) > 0 {
		a.Handle = bytes.Clone(parsed.Response.UserHandle)
	}
	return a, nil
}

// clientData is what the client signs for (WebAuthn L3 §5.8.1), in our reading.
type clientData struct {
	typ, origin string
	challenge   []byte
	framed      bool // crossOrigin is not false, or there is a topOrigin
}

// readClientData reads the members that matter. The library compares names in
// any case and takes the last of two; here such a name is refused, so that both
// readings are one. Other members are passed over (§5.8.1: more may come).
func readClientData(text []byte) (clientData, error) {
	var c clientData
	var challenge string
	var crossOrigin bool
	var topOrigin, ignored json.RawMessage
	into := map[string]any{
		"type": &c.typ, "challenge": &challenge, "origin": &c.origin, "crossOrigin": &crossOrigin, "topOrigin": &topOrigin,
	}
	err := eachMember(text, func(name string, decode func(any) error) error {
		if target := into[name]; target != nil {
			into[name] = nil // read; a second one is found below
			return decode(target)
		}
		for known := range into {
			if strings.EqualFold(name, known) {
				return fmt.Errorf("the client data has %q in two spellings or twice", known)
			}
		}
		return decode(&ignored)
	})
	if err != nil {
		return clientData{}, refuse(err.Error())
	}
	c.framed = crossOrigin || topOrigin != nil
	c.challenge, err = base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || base64.RawURLEncoding.EncodeToString(c.challenge) != challenge { // one spelling for one challenge
		return clientData{}, refuse("the challenge is not base64url")
	}
	return c, nil
}

// eachMember walks one JSON object, with nothing behind it.
func eachMember(text []byte, visit func(name string, decode func(any) error) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the client data is not a JSON object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if err := visit(name.(string), d.Decode); err != nil { // in an object a name is a string
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the client data")
	}
	return nil
}

// checkClient is WebAuthn L3 §7.1 steps 7 to 11 and §7.2 steps 10 to 14: the
// ceremony, the challenge in constant time, one of our origins to the letter
// (the library folds case and passes over paths), and no frame of another site.
func (p *Passkeys) checkClient(c clientData, ceremony protocol.CeremonyType, challenge []byte) error {
	switch {
	case c.typ != string(ceremony):
		return refuse("the ceremony is " + c.typ)
	case subtle.ConstantTimeCompare(c.challenge, challenge) != 1:
		return refuse("the challenge is another")
	case !slices.Contains(p.origins, c.origin):
		return refuse("the origin is " + c.origin)
	case c.framed:
		return refuse("the page was in a frame of another site")
	}
	return nil
}

// refuse is ErrPasskey with a reason for the log.
func refuse(reason string) error {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return fmt.Errorf("%w: %s", ErrPasskey, strings.ToValidUTF8(reason, "?"))
}

// refused is a refusal by the library, nil for nil. It is not wrapped: what the
// library means by an error is nothing to the callers.
func refused(err error) error {
	if err == nil {
		return nil
	}
	reason := err.Error()
	if e := (*protocol.Error)(nil); errors.As(err, &e) && e.DevInfo != "" {
		reason += " (" + e.DevInfo + ")"
	}
	return refuse(reason)
}
