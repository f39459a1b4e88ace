package user

import "time"

// SessionID is the `sid` of tokens. It is not the secret that a browser holds.
type SessionID string

// Session is what one browser keeps of a finished sign-in.
type Session struct {
	ID        SessionID
	User      ID
	Proved    []Method
	AuthTime  time.Time // when the last proof was given
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // absolute end
	IdleUntil time.Time // end unless it is used before
	EndedAt   time.Time // zero: not ended by anybody
	LockedAt  time.Time // zero: not locked by anybody
	LockFrom  time.Time // locked from then on, unless it is used before; zero: never
	Kiosk     bool      // of a person whose browsers keep nothing of a sign-in for an application
}

// ACR is the class that the session's proofs reach.
func (s Session) ACR() ACR { return Level(s.Proved) }

// Live reports whether the session still counts at now.
func (s Session) Live(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && now.Before(s.IdleUntil)
}

// Locked reports whether the session asks for one quick proof before it goes on.
func (s Session) Locked(now time.Time) bool {
	return !s.LockedAt.IsZero() || !s.LockFrom.IsZero() && !now.Before(s.LockFrom)
}

// Stale reports whether the session's last use is old enough to be written down: a minute, so that reading a session
// costs a write at most once in that time.
func (s Session) Stale(now time.Time) bool { return now.Sub(s.SeenAt) >= time.Minute }
