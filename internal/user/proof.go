package user

import "slices"

// Method is one thing that was proved, most of them in the words of RFC 8176.
type Method string

// The methods. A passkey is MethodSoftKey and MethodPresence; alone it is taken only with the user verified.
const (
	MethodPassword Method = "pwd"      // RFC 8176 §2 pwd
	MethodOTP      Method = "otp"      // RFC 8176 §2 otp: a soft token's code
	MethodSMS      Method = "sms"      // RFC 8176 §2 sms: a code sent to a number
	MethodSoftKey  Method = "swk"      // RFC 8176 §2 swk: a passkey, of which nothing proves that hardware holds it
	MethodHardKey  Method = "hwk"      // RFC 8176 §2 hwk: a passkey that hardware holds, by verified attestation
	MethodPresence Method = "user"     // RFC 8176 §2 user: somebody was there
	MethodRecovery Method = "recovery" // a recovery code: otp in tokens
	MethodDevice   Method = "device"   // a remembered device: no word in tokens
	methodMulti    Method = "mfa"      // RFC 8176 §2 mfa: more than one factor
)

// ACR is an authentication context class: how sure we are. Contract §4 lists them, weakest first.
type ACR string

// The classes that this version can reach.
const (
	ACRNone ACR = ""
	ACR1FA  ACR = "urn:portvakt:acr:1fa"
	ACR2FA  ACR = "urn:portvakt:acr:2fa"
	ACRPhR  ACR = "phr"  // phishing-resistant (OpenID EAP ACR Values 1.0)
	ACRPhRH ACR = "phrh" // phishing-resistant, hardware-held
)

// rank orders the classes; an unknown class ranks above all, so that it is never met by accident.
func (a ACR) rank() int {
	switch a {
	case ACRNone:
		return 0
	case ACR1FA:
		return 1
	case ACR2FA:
		return 2
	case ACRPhR:
		return 3
	case ACRPhRH:
		return 4
	}
	return 5
}

// Known reports whether a is one of the listed classes.
func (a ACR) Known() bool { return a.rank() > 0 && a.rank() < 5 }

// Meets reports whether a is at least need.
func (a ACR) Meets(need ACR) bool { return a.rank() >= need.rank() && a.rank() < 5 }

// Stronger returns the stronger of a and b.
func (a ACR) Stronger(b ACR) ACR {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Level gives the class that the proved methods reach. A passkey is phishing-resistant, with a password or, verified,
// alone. A password and one of a code, a text message or a recovery code are two factors. Each alone is one. A remembered device
// proves nothing of itself: it only spares the person the second factor where nothing asks for a class.
func Level(proved []Method) ACR {
	var knows, has, key, hard bool
	for _, m := range proved {
		switch m {
		case MethodPassword:
			knows = true
		case MethodOTP, MethodSMS, MethodRecovery:
			has = true
		case MethodSoftKey:
			key = true
		case MethodHardKey:
			key, hard = true, true
		}
	}
	switch {
	case hard:
		return ACRPhRH
	case key:
		return ACRPhR
	case knows && has:
		return ACR2FA
	case knows || has:
		return ACR1FA
	}
	return ACRNone
}

// AMR gives the `amr` claim for the proved methods (OpenID Connect Core §2, RFC 8176): the methods that have a word, each once,
// and mfa where they are two factors.
func AMR(proved []Method) []string {
	amr := make([]string, 0, len(proved)+1)
	for _, m := range proved {
		switch m {
		case MethodDevice:
			continue
		case MethodRecovery:
			m = MethodOTP
		}
		if !slices.Contains(amr, string(m)) {
			amr = append(amr, string(m))
		}
	}
	if Level(proved).Meets(ACR2FA) {
		amr = append(amr, string(methodMulti))
	}
	return amr
}

// FactorKind is a kind of second factor, as it stands in rows, in policy and in pages' data-factor.
type FactorKind string

// The kinds.
const (
	FactorTOTP     FactorKind = "totp"
	FactorSMS      FactorKind = "sms"
	FactorPasskey  FactorKind = "webauthn"
	FactorRecovery FactorKind = "recovery"
)
