package user

import "slices"

// Method is one way of proving who one is, in the words of RFC 8176.
type Method string

// The methods this version knows.
const (
	MethodPassword Method = "pwd" // RFC 8176 §2 pwd
	MethodOTP      Method = "otp" // RFC 8176 §2 otp: a soft token's code
	methodMulti    Method = "mfa" // RFC 8176 §2 mfa: more than one factor
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

// Level gives the class that the proved methods reach: a password and a code are two factors, either alone is one.
func Level(proved []Method) ACR {
	switch pwd, otp := slices.Contains(proved, MethodPassword), slices.Contains(proved, MethodOTP); {
	case pwd && otp:
		return ACR2FA
	case pwd || otp:
		return ACR1FA
	}
	return ACRNone
}

// AMR gives the `amr` claim for the proved methods (OpenID Connect Core §2, RFC 8176): the methods themselves, and mfa
// where they are of two kinds.
func AMR(proved []Method) []string {
	amr := make([]string, 0, len(proved)+1)
	for _, m := range proved {
		amr = append(amr, string(m))
	}
	if Level(proved) == ACR2FA {
		amr = append(amr, string(methodMulti))
	}
	return amr
}
