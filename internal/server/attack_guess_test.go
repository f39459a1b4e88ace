package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// evaluated counts the tries whose proof was looked at: those over a limit leave "delayed".
func (a *attack) evaluated(t testing.TB) int {
	t.Helper()
	n := 0
	for _, r := range []audit.Reason{audit.WrongPassword, audit.WrongCode, audit.Replayed, audit.UnknownUser} {
		n += a.count(t, audit.LoginFailed, r)
	}
	return n
}

// TestGuessing (LK-03): of 120 guesses at once over two instances no more are looked at than policy says, and the right
// password is then refused with the same words.
func TestGuessing(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		sites := []*servertest.Site{a.Site, a.Second(t)}
		spellings := []string{"alice", "ALICE", " alice ", "alice@example.se", "Alice@Example.SE", "\u2003alice"}
		pages := parallel(120, func(i int) *servertest.Page {
			b := sites[i%2].Browser(t)
			return guess(t, b, spellings[i%len(spellings)], wrong)
		})
		for _, p := range pages {
			if p.Status >= 500 && p.Status != http.StatusServiceUnavailable || p.Alert() == "" && p.Status == http.StatusOK {
				t.Errorf("LK-03: a guess got %d %q", p.Status, p.Alert())
			}
		}
		if n := a.count(t, audit.LoginFailed, audit.WrongPassword); n != 5 {
			t.Errorf("LK-03: %d guesses were looked at, want 5", n)
		}
		right := guess(t, a.Browser(t), "alice", servertest.Password)
		false_ := guess(t, a.Browser(t), "alice", wrong)
		if right.Alert() != false_.Alert() || right.Alert() == "" || right.Status != false_.Status {
			t.Errorf("LK-01: over the limit the right password reads %q, a wrong one %q", right.Alert(), false_.Alert())
		}
		a.clock.Add(15*time.Minute + time.Second)
		if p := guess(t, a.Browser(t), "alice", servertest.Password); p.Status != http.StatusSeeOther {
			t.Errorf("after the window the right password got %d %q", p.Status, p.Alert())
		}
	})
}

// behindProxy is a site that believes the test about addresses.
func behindProxy(t testing.TB) *attack {
	t.Helper()
	return newAttack(t, storetest.SQLite(t), servertest.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

func from(b *servertest.Browser, ip string) *servertest.Browser {
	b.Header.Set("X-Forwarded-For", ip)
	return b
}

// TestOneNetwork: who has a /48, which is what a customer of a hosting company gets, has one address and not 65,536.
func TestOneNetwork(t *testing.T) {
	t.Parallel()
	a := behindProxy(t)
	for i := range 60 {
		guess(t, from(a.Browser(t), fmt.Sprintf("2001:db8:1:%x::1", i)), "alice", wrong)
	}
	if n := a.evaluated(t); n > 50 {
		t.Errorf("LK-03: one /48 had %d guesses at one person looked at; each of its /64s counts for itself", n)
	}
}

// TestOthersLockOut (LK-04): nobody who does not know a password keeps its owner out, in a browser that she has used
// before: not by trying it from her own office's address, and not by trying anything at all from there.
func TestOthersLockOut(t *testing.T) {
	t.Parallel()
	for name, tries := range map[string]struct {
		n        int
		username func(int) string
	}{
		"her name":  {6, func(int) string { return "alice" }},
		"any names": {101, func(i int) string { return fmt.Sprint("nobody", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := onSQLite(t)
			b := a.signIn(t, "alice", servertest.TOTP)
			colleague := a.Browser(t)
			for i := range tries.n {
				guess(t, colleague, tries.username(i), wrong)
			}
			a.clock.Add(time.Minute)
			p := b.Follow(b.Get(authorizeURL("conf", "prompt", "login")))
			if p = b.Fill(p, "username", "alice", "password", servertest.Password); p.Status != http.StatusSeeOther {
				t.Errorf("LK-04: %d wrong tries of a colleague behind the same address, and alice's right password gets %q", tries.n, p.Alert())
			}
		})
	}
}

// TestCodeOnce (OT-01): one code makes one session, of fifty at once, over two instances; and none later.
func TestCodeOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		sites := []*servertest.Site{a.Site, a.Second(t)}
		const n = 50
		browsers, pages := make([]*servertest.Browser, n), make([]*servertest.Page, n)
		for i := range n {
			browsers[i] = sites[i%2].Browser(t)
			pages[i] = proved(t, browsers[i], "alice")
		}
		code := servertest.Code(t, servertest.TOTP, a.Clock())
		for i, p := range parallel(n, func(i int) *servertest.Page { return browsers[i].Fill(pages[i], "code", code) }) {
			if p.Status >= 500 {
				t.Errorf("OT-01: rival %d got %d", i, p.Status)
			}
		}
		wins := 0
		for _, b := range browsers {
			if in(b) {
				wins++
			}
		}
		if wins != 1 || len(a.Events(t, audit.LoginSucceeded)) != 1 {
			t.Errorf("OT-01: one code made %d sessions", wins)
		}
		a.clock.Add(15 * time.Minute)
		late := a.Browser(t)
		if p := late.Fill(proved(t, late, "alice"), "code", code); in(late) {
			t.Errorf("OT-01: an old code worked: %d", p.Status)
		}
	})
}

// TestOlderStep (OT-02): after a code, no earlier one counts, and not the same again in another browser; nor the code
// that enrolled.
func TestOlderStep(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		a.clock.Add(time.Minute)
		now := a.Clock()
		try := func(at time.Time) bool {
			b := a.Browser(t)
			b.Fill(proved(t, b, "alice"), "code", servertest.Code(t, servertest.TOTP, at))
			return in(b)
		}
		if !try(now.Add(30 * time.Second)) {
			t.Fatal("the next step's code does not work")
		}
		for _, d := range []time.Duration{30 * time.Second, 0, -30 * time.Second} {
			if try(now.Add(d)) {
				t.Errorf("OT-02: after a later code, that of %v worked", d)
			}
		}
		b := a.Browser(t)
		p := proved(t, b, "newcomer")
		key := "otpauth://totp/x?secret=" + p.Key(t)
		b.Fill(p, "code", servertest.Code(t, key, now))
		again := a.Browser(t)
		again.Fill(proved(t, again, "newcomer"), "code", servertest.Code(t, key, now))
		if !in(b) || in(again) {
			t.Errorf("OT-02: the enrolment %v, its code again %v", in(b), in(again))
		}
	})
}

// known gives n browsers in which alice has signed in once, and is signed in no more.
func (a *attack) known(t testing.TB, n int) []*servertest.Browser {
	t.Helper()
	all := make([]*servertest.Browser, n)
	for i := range all {
		a.clock.Add(31 * time.Second)
		all[i] = a.signIn(t, "alice", servertest.TOTP)
		all[i].Forget("portvakt")
	}
	return all
}

// TestCodeGuessing (OT-04): strangers have five guesses at a code and then wait, whatever the split: flows, addresses, instances, spellings
// of the name, somebody else's sign-ins between them; a right password gives no new ones, and the right code after them
// is refused like a wrong one.
func TestCodeGuessing(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		sites := []*servertest.Site{a.Site, a.Second(t)}
		spelled := []string{"alice", "ALICE", "alice@example.se"}
		var browsers []*servertest.Browser
		var pages []*servertest.Page
		for i := range 7 {
			b := sites[i%2].Browser(t)
			browsers, pages = append(browsers, b), append(pages, b.Follow(guess(t, b, spelled[i%3], servertest.Password)))
		}
		for i := range 24 {
			if i%8 == 0 {
				a.signIn(t, "mallory", servertest.OtherTOTP)
			}
			pages[i/4] = browsers[i/4].Fill(pages[i/4], "code", fmt.Sprintf("%06d", 300000+i))
		}
		if n := a.count(t, audit.LoginFailed, audit.WrongCode); n != 5 {
			t.Errorf("OT-04: %d guesses at a code were looked at, want 5", n)
		}
		last, p := browsers[6], pages[6]
		right := last.Fill(p, "code", servertest.Code(t, servertest.TOTP, a.Clock()))
		false_ := last.Fill(right, "code", "000000")
		if in(last) || right.Alert() != false_.Alert() {
			t.Errorf("OT-04: after the cap the right code reads %q, a wrong one %q", right.Alert(), false_.Alert())
		}
	})
}

// TestCodeGuessingForLong (OT-04): where each browser has a count of its own, the person's code has one as well, which does not begin anew
// with every quarter of an hour. At most 10 tries in any 15 minutes, and at most 100 in a row.
func TestCodeGuessingForLong(t *testing.T) {
	t.Parallel()
	tries := func(t *testing.T, a *attack, browsers []*servertest.Browser, n int) []*servertest.Browser {
		var p *servertest.Page
		for i := range n {
			if i%4 == 0 {
				p = proved(t, browsers[i/4], "alice")
			}
			p = browsers[i/4].Fill(p, "code", fmt.Sprintf("%06d", 300000+i))
		}
		return browsers[(n+3)/4:]
	}
	t.Run("sliding", func(t *testing.T) {
		a := onSQLite(t)
		browsers := tries(t, a, a.known(t, 7), 1)
		a.clock.Add(15*time.Minute - time.Second)
		browsers = tries(t, a, browsers, 9)
		a.clock.Add(time.Second)
		tries(t, a, browsers, 10)
		if n := a.evaluated(t) - 1; n > 10 { // all but the first came within two seconds
			t.Errorf("OT-04: %d guesses at a code were looked at within two seconds", n)
		}
	})
	t.Run("consecutive", func(t *testing.T) {
		a := onSQLite(t)
		browsers := a.known(t, 36)
		for range 12 {
			browsers = tries(t, a, browsers, 10)
			a.clock.Add(15*time.Minute + time.Second)
		}
		if n := a.evaluated(t); n > 100 {
			t.Errorf("OT-04: %d wrong codes in a row were looked at; NIST SP 800-63B stops at 100", n)
		}
	})
}

// TestForwardedFor (HD-01): a header from somebody who is no trusted proxy makes no new address: not for the limits, not
// in the trail; from a trusted one the right-most stranger counts.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	for i := range 8 {
		b := from(a.Browser(t), fmt.Sprintf("127.0.0.1, 198.51.100.%d", i))
		b.Header.Set("Forwarded", fmt.Sprintf("for=198.51.100.%d", i))
		b.Header.Set("X-Real-Ip", fmt.Sprintf("198.51.100.%d", i))
		guess(t, b, "alice", wrong)
	}
	if n := a.evaluated(t); n != 5 {
		t.Errorf("HD-01: with invented addresses %d guesses were looked at, want 5", n)
	}
	for _, e := range a.Events(t, audit.LoginFailed) {
		if e.IP != "127.0.0.1" {
			t.Errorf("HD-01: the trail says %q", e.IP)
		}
	}
	a = behindProxy(t)
	for header, want := range map[string]string{"203.0.113.9": "203.0.113.9", "1.2.3.4, 203.0.113.9": "203.0.113.9", "203.0.113.9, 127.0.0.1": "203.0.113.9",
		"evil, 203.0.113.9": "203.0.113.9", "203.0.113.9, evil": "127.0.0.1", "": "127.0.0.1", "::ffff:203.0.113.9": "203.0.113.9"} {
		a.clock.Add(time.Second)
		before := len(a.Events(t, audit.LoginFailed))
		guess(t, from(a.Browser(t), header), "nobody", wrong)
		if got := a.Events(t, audit.LoginFailed)[before:]; len(got) != 1 || got[0].IP != want {
			t.Errorf("HD-01: X-Forwarded-For %q is %v in the trail, want %s", header, got, want)
		}
	}
}

// TestPasswordSpellings (UN-02): one password has one spelling, and every character of it counts.
func TestPasswordSpellings(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Apply: `
users:
  - {username: åsa, password: "Blåbär  och smör 🫐 ", email: åsa@example.se}
policies:
  factors: {required: false}
`})
	for _, c := range []struct {
		name, password string
		good           bool
	}{
		{"åsa", "Blåbär  och smör 🫐 ", true}, {"åsa", "Bla\u030aba\u0308r  och smo\u0308r 🫐 ", true}, {"åsa", "Blåbär\u00a0 och smör 🫐 ", true},
		{"ÅSA", "Blåbär  och smör 🫐 ", true}, {"a\u030asa", "Blåbär  och smör 🫐 ", true}, {"a\u030asa@example.se", "Blåbär  och smör 🫐 ", true},
		{"åsa", "Blåbär  och smör 🫐", false}, {"åsa", "Blåbär och smör 🫐 ", false}, {"åsa", "blåbär  och smör 🫐 ", false}, {"åsa", "Blåbär  och smör", false},
		{"аsa", "Blåbär  och smör 🫐 ", false}, {"asa", "Blåbär  och smör 🫐 ", false},
	} {
		if p := guess(t, a.Browser(t), c.name, c.password); (p.Status == http.StatusSeeOther) != c.good {
			t.Errorf("UN-02: %q with %q got %d, right %v", c.name, c.password, p.Status, c.good)
		}
		a.clock.Add(16 * time.Minute)
	}
}

// TestNoName: a name of spaces is nobody's, also where somebody has no mail address.
func TestNoName(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		a := newAttack(t, e.New(t), servertest.Options{Apply: "users:\n  - {username: robot, password: " + servertest.Password + "}\npolicies:\n  factors: {required: false}\n"})
		for _, name := range []string{" ", "\t", "\u00a0", "  \n"} {
			b := a.Browser(t)
			if p := guess(t, b, name, servertest.Password); p.Status == http.StatusSeeOther || in(b) {
				t.Errorf("%s: the name %q signed in whoever has no mail address", e.Name, name)
			}
		}
	}
}

// TestOddNames: a name that no database can hold is a wrong name and not our fault (IN-01, UN).
func TestOddNames(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		for _, name := range []string{"alice\x00", "\x00", "alice\xff", "\xc0\xaf", "' or '1'='1", "alice'--", "$1", "$$", `\`, "%", "_", "{{.}}", "${jndi:ldap://x}",
			strings.Repeat("a", 60000), strings.Repeat("å", 9000), "alice\r\nX: y", "admin\u202e", "\u0000", "alice@example.se\x00"} {
			p := guess(t, a.Browser(t), name, servertest.Password)
			if p.Status != http.StatusOK || p.Alert() == "" {
				t.Errorf("IN-01: the name %.30q got %d", name, p.Status)
			}
			quiet(t, p)
			a.clock.Add(16 * time.Minute)
		}
	})
}
