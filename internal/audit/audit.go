// Package audit names what is written down: the event, where it came from, and the closed lists of kinds, outcomes and
// reasons. Contract §6 fixes their words. It is pure.
package audit

import (
	"net/netip"
	"time"
)

// Outcome says how it went.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Refused Outcome = "refused" // asked for and denied
	Failure Outcome = "failure" // not done, by a fault of ours or of somebody we depend on
)

// Reason says why something was refused; empty for a success.
type Reason string

// The closed list of reasons (contract §6).
const (
	NoReason      Reason = ""
	WrongPassword Reason = "wrong_password"
	UnknownUser   Reason = "unknown_user"
	UnknownClient Reason = "unknown_client"
	WrongCode     Reason = "wrong_code"
	WrongBrowser  Reason = "wrong_browser"
	WrongPerson   Reason = "wrong_person"
	WrongClient   Reason = "wrong_client"
	WrongSecret   Reason = "wrong_secret"
	WrongVerifier Reason = "wrong_verifier"
	BadRequest    Reason = "bad_request"
	Replayed      Reason = "replayed"
	Expired       Reason = "expired"
	Revoked       Reason = "revoked"
	Delayed       Reason = "delayed"
	Disabled      Reason = "disabled"
	NotAllowed    Reason = "not_allowed"
	Policy        Reason = "policy"
	LoginRequired Reason = "login_required"
	Logout        Reason = "logout"
	Administrator Reason = "administrator"
	Changed       Reason = "password_changed"
	Outage        Reason = "outage"
	Cloned        Reason = "cloned"
	Disowned      Reason = "disowned"
	Cancelled     Reason = "cancelled"
	Lost          Reason = "lost"
	FactorChanged Reason = "factor_changed"
)

// Origin says who asked and from where. It is known before a change begins and stands in each of its events.
type Origin struct {
	Actor   string // a user id, a client id, "cli", "schedule", or empty when nobody is proved yet
	IP      string // the peer, after trusted proxies
	Agent   string // User-Agent, at most 256 bytes
	Request string // request id
}

// Network is what of the origin's address limits count: the first bits of an IPv4 address, and of an IPv6 one, of which one host often has
// very many.
func (o Origin) Network(four, six int) string {
	addr, err := netip.ParseAddr(o.IP)
	if err != nil {
		return o.IP
	}
	bits := six
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = four
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}

// Event is one line of the trail. The store gives it its ID and time, and seals IP, Agent and Name under the key of the
// person it is about, or under the key of the month when it is about nobody known.
type Event struct {
	ID      string
	Seq     int64 // 0 until the log is sealed
	At      time.Time
	Kind    Kind
	Outcome Outcome
	Reason  Reason
	Actor   string
	Subject string // user id
	Client  string
	Session string
	Request string
	IP      string
	Agent   string
	Detail  map[string]string // never a secret, never a name
}
