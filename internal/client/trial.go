package client

// Fault is one thing that a trial does wrong on purpose, to see whether a test client notices. A client that is not registered with test: true
// never meets one.
type Fault string

// The faults of an authorization response, and of an ID token that is signed with the published key unless its fault says otherwise.
const (
	FaultState     Fault = "state"        // state is not the one that was sent (RFC 6749 §10.12)
	FaultResponse  Fault = "response_iss" // iss of the response is another's (RFC 9207 §2.4)
	FaultNonce     Fault = "nonce"        // OpenID Connect Core §3.1.3.7, number 11
	FaultIssuer    Fault = "iss"          // number 2
	FaultAudience  Fault = "aud"          // number 3
	FaultExpired   Fault = "exp"          // number 9
	FaultKey       Fault = "key"          // signed by a key that is not in the key set, and says so (number 6)
	FaultSignature Fault = "signature"    // signed by such a key in the name of a published one
	FaultNone      Fault = "alg_none"     // not signed at all (RFC 8725 §3.1)
	FaultAtHash    Fault = "at_hash"      // of another access token (OpenID Connect Core §3.1.3.8)
)

// The faults of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6). They are sent at once, and the status of the answer tells.
const (
	FaultLogoutIssuer   Fault = "logout_iss"
	FaultLogoutAudience Fault = "logout_aud"
	FaultLogoutExpired  Fault = "logout_exp"
	FaultLogoutEvents   Fault = "logout_events" // of another event
	FaultLogoutNonce    Fault = "logout_nonce"  // with a nonce, as an ID token has: one could be passed off as the other
	FaultLogoutKey      Fault = "logout_key"
	FaultLogoutReplayed Fault = "logout_replayed" // a good one, twice
)

// LogoutFaults is the closed list of them.
func LogoutFaults() []Fault {
	return []Fault{FaultLogoutIssuer, FaultLogoutAudience, FaultLogoutExpired, FaultLogoutEvents, FaultLogoutNonce, FaultLogoutKey, FaultLogoutReplayed}
}

// Faults is the closed list of those of a sign-in, in the order in which they are tried.
func Faults() []Fault {
	return []Fault{FaultState, FaultResponse, FaultNonce, FaultIssuer, FaultAudience, FaultExpired, FaultKey, FaultSignature, FaultNone, FaultAtHash}
}

// InResponse reports whether the fault is in the authorization response: then a client that redeems the code did not notice.
func (f Fault) InResponse() bool { return f == FaultState || f == FaultResponse }
