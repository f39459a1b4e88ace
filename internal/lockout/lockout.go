// Package lockout counts wrong answers. Every door at which something of a person's can be guessed counts here: the password at sign-in, at
// a locked session and where it is changed, and the codes that follow it.
//
// A browser in which the person has signed in before has a count of its own (known.go). Everybody else, wherever they are, shares one for
// the person: after policy's attempts (5) the next try waits a fifth of the window (3 minutes), then twice as long each time, at most
// delay_max (15 minutes), and one wrong answer is forgotten in each window. So strangers get 10 guesses at a person in an hour, and nobody
// is shut out: who guesses at a name keeps neither a known browser out nor a passkey, which is not counted at all. Beside it the codes of
// a soft token, a text message or a recovery code have 10 wrong ones in 15 minutes and 100 in a row, whoever tries (NIST SP 800-63B-4 §3.2.2), and what comes from one
// address and one network has a limit for all names together.
//
// A try that has to wait is refused whether it is right or wrong, with the same answer, and does not count.
package lockout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	codeTries   = 10
	codeWindow  = 15 * time.Minute
	codeRow     = 100 // in a row, after which an operator has to unlock
	codeForever = 365 * 24 * time.Hour
	addressRate = 20  // times policy's attempts, in a window, for one address
	networkRate = 100 // and for its network
)

// Service names the counts. It is safe for concurrent use.
type Service struct{ key []byte }

// New gives the service; key is the MAC key of addresses in the names of counts, and of known browsers.
func New(key []byte) *Service { return &Service{key} }

// Try is one answer that may be a guess.
type Try struct {
	Origin audit.Origin
	Person *store.Person   // whose it claims to be; nil: nobody's
	Typed  string          // the name as it was typed; empty where the person was named by something else
	Known  string          // the browser's cookie, see MakeKnown
	Kind   user.FactorKind // of the factor that the answer is for; empty: the password
	Rules  policy.Lockout
}

// Count is where one try counts.
type Count struct {
	lanes []lane
	rules policy.Lockout
}

type lane struct {
	name   string
	slow   bool // after the attempts of policy, by growing delays; else limit in window
	limit  int
	window time.Duration
	shared bool // by everybody at an address: a right answer takes back its try; else it clears the lane
	silent bool // counts for both names of a person: to say that it is full would tell that they are one person's
	person bool // the strangers' count of a person
}

// Of gives where a try counts.
func (s *Service) Of(try Try) Count {
	c := Count{rules: try.Rules}
	who := "nobody:" + user.NameKey(try.Typed) // a count of no use, at the price of a person's
	known := ""
	if try.Person != nil {
		who = string(try.Person.ID)
		if name, ok := s.known(try.Known, try.Person); ok {
			known = name
		}
	}
	switch {
	case known != "":
		c.lanes = append(c.lanes, lane{name: browserLane(user.ID(who), known), slow: true})
	case try.Typed != "" || try.Person == nil:
		c.lanes = append(c.lanes, lane{name: user.NameKey(try.Typed) + ":typed", slow: true}, lane{name: who + ":stranger", slow: true, silent: true, person: try.Person != nil})
	default:
		c.lanes = append(c.lanes, lane{name: who + ":stranger", slow: true, person: true})
	}
	switch {
	case try.Kind != "":
		c.lanes = append(c.lanes, codes(who, try.Kind)...)
	case known == "":
		tries, window := try.Rules.Attempts, time.Duration(try.Rules.Window)
		c.lanes = append(c.lanes, lane{name: "address:" + s.network(try.Origin, 32, 64), limit: tries * addressRate, window: window, shared: true},
			lane{name: "network:" + s.network(try.Origin, 24, 48), limit: tries * networkRate, window: window, shared: true})
	}
	return c
}

// Codes is the count of codes that prove a new factor: they are no guesses at anything of the person's yet.
func Codes(id user.ID, kind user.FactorKind) Count { return Count{lanes: codes(string(id), kind)} }

func codes(who string, kind user.FactorKind) []lane {
	if kind == user.FactorPasskey {
		return nil // a signature cannot be guessed
	}
	return []lane{{name: who + ":" + string(kind), limit: codeTries, window: codeWindow}, {name: who + ":" + string(kind) + "-row", limit: codeRow, window: codeForever}}
}

// network names an address in a lane by its first bits, of IPv4 and IPv6. A guesser often has a whole /48; a /64 is one customer.
func (s *Service) network(o audit.Origin, four, six int) string {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(o.Network(four, six)))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// Outcome is what counting a try came to.
type Outcome struct {
	Refused bool
	Wait    time.Duration // with Refused: how long, as far as it may be told
	Silent  bool          // with Refused: the answer is to read like that to a wrong one
	Place   bool          // with Refused: it is the address that has to wait, for whatever name
	Tripped bool          // after this wrong answer strangers have to wait: the person is to be told
}

// Waits says whether a try would have to wait now. What asks it before it looks at an answer does not look at one that will be refused:
// then nothing tells whether it was right, not even the time.
func (c Count) Waits(t *store.Tx) (Outcome, error) {
	var out Outcome
	names := make([]string, len(c.lanes))
	for i, l := range c.lanes {
		names[i] = l.name
	}
	counts, err := t.Counts(names)
	for i, l := range c.lanes {
		n, last := counts[i].N, counts[i].Since
		wait := time.Duration(0)
		switch {
		case l.slow:
			_, wait = pace(c.rules, n, last, t.Now())
		case n >= l.limit:
			wait = max(last.Add(l.window).Sub(t.Now()), 0)
		}
		if wait > 0 && (!out.Refused || out.Silent) {
			out = Outcome{Refused: true, Wait: wait, Silent: l.silent, Place: l.shared}
		}
	}
	return out, err
}

// Take counts a wrong answer, or lets a right one pass, unless it has to wait. Of a refused try nothing counts, right or wrong; where that is
// silent, it counts as a wrong one in the other lanes, right or wrong, so that the next answer tells no more than this one.
func (c Count) Take(t *store.Tx, right bool) (Outcome, error) {
	var out Outcome
	at := make([]int, len(c.lanes))
	for i, l := range c.lanes {
		if !l.slow {
			continue
		}
		n, last, err := t.HoldCount(l.name)
		if err != nil {
			return out, err
		}
		if last.After(t.Now()) { // by a clock that was ahead
			last = t.Now()
			t.SetCount(l.name, n, forgotten(c.rules, n))
		}
		var wait time.Duration
		if at[i], wait = pace(c.rules, n, last, t.Now()); wait > 0 && (!out.Refused || out.Silent) {
			out = Outcome{Refused: true, Wait: wait, Silent: l.silent}
		}
	}
	if out.Refused && !out.Silent {
		return out, nil
	}
	if over, err := c.takeFixed(t); err != nil || over > 0 {
		return Outcome{Refused: true, Wait: over}, err
	}
	for i, l := range c.lanes {
		if !l.slow || right && !out.Silent || l.silent && out.Silent {
			continue
		}
		out.Tripped = out.Tripped || l.person && at[i]+1 >= c.rules.Attempts
		t.SetCount(l.name, at[i]+1, forgotten(c.rules, at[i]+1))
	}
	return out, nil
}

// takeFixed takes one try from each lane of a fixed size, or from none: over is then the window of the full one.
func (c Count) takeFixed(t *store.Tx) (over time.Duration, err error) {
	var taken []string
	for _, l := range c.lanes {
		if l.slow {
			continue
		}
		within, err := t.TakeAttempt(l.name, l.limit, l.window, !l.shared)
		if err != nil {
			return 0, err
		}
		if !within {
			for _, name := range taken {
				t.GiveBackAttempt(name)
			}
			return l.window, nil
		}
		taken = append(taken, l.name)
	}
	return 0, nil
}

// pace gives what is left at now of n wrong answers of which the last was at last, and how long the next has to wait.
func pace(r policy.Lockout, n int, last, now time.Time) (left int, wait time.Duration) {
	window, most := time.Duration(r.Window), time.Duration(r.DelayMax)
	since := max(now.Sub(last), 0)
	if left = max(n-int(min(since/window, 1<<20)), 0); left < r.Attempts {
		return left, 0
	}
	delay := min(window/5, most)
	for range left - r.Attempts {
		if delay = min(2*delay, most); delay == most {
			break
		}
	}
	return left, max(delay-since, 0)
}

// forgotten is how long a count of n wrong answers matters.
func forgotten(r policy.Lockout, n int) time.Duration {
	return time.Duration(n+1) * time.Duration(r.Window)
}

// Right is for an answer that was right, and taken as such: what was counted of it is taken back, and codes begin anew.
func (c Count) Right(t *store.Tx) {
	for _, l := range c.lanes {
		switch {
		case l.shared:
			t.GiveBackAttempt(l.name)
		case !l.slow:
			t.ClearAttempts(l.name)
		}
	}
}

// GiveBack takes back what was counted of a right answer, and leaves the wrong ones before it.
func (c Count) GiveBack(t *store.Tx) {
	for _, l := range c.lanes {
		if !l.slow {
			t.GiveBackAttempt(l.name)
		}
	}
}

// Hold is for the begin of a try: it takes what Finished may clear. Who counts takes that before the person, and so does a passkey, which counts nowhere.
func (s *Service) Hold(t *store.Tx, cookie string, p *store.Person) {
	if name, ok := s.known(cookie, p); ok {
		t.HoldLane(browserLane(p.ID, name))
	}
}

// Finished is for a sign-in that is complete, whatever its last proof was: the count of the browser, if it is a known one of theirs, begins anew.
// That of strangers does not: somebody else may be guessing meanwhile.
func (s *Service) Finished(t *store.Tx, cookie string, p *store.Person) {
	if name, ok := s.known(cookie, p); ok {
		t.ClearAttempts(browserLane(p.ID, name))
	}
}

// Lift forgets every count of a person, who is known by these names.
func Lift(t *store.Tx, u user.User) {
	id := string(u.ID)
	// In the order in which Take holds them: two that lock in two orders would wait for each other.
	for _, lanes := range []string{user.NameKey(u.Username) + ":", user.NameKey(u.Email) + ":", id + ":known:", id + ":stranger", id + ":"} {
		t.ClearLanes(lanes)
	}
}
