package server_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestAttackHour (LK-04, OT-04, CR-03): for an hour, guessers with a list of names and an address for each try (ten
// thousand of them in package lockout) try passwords, and codes of mallory's,
// whose password they know. Nobody who uses a known browser or a passkey is kept out, and no person has more than ten guesses looked at.
func TestAttackHour(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Apply: servertest.Sample() + "policies:\n  session: {lock_after: 0d}\n", Timeout: time.Minute}) // its trail is long
	key := factortest.New(a.URL)
	a.withPasskey(t, "newcomer", key)
	mine := a.known(t, 1)[0]
	names := []string{"alice", "mallory", "newcomer", "alice@example.se", "MALLORY", "nobody", "root", "newcomer@example.se"}
	const guesses, bots = 2000, 10
	var browsers [bots]*servertest.Browser
	var pages [bots]*servertest.Page
	began := a.Clock()
	for i := range guesses {
		a.clock.Add(time.Hour / guesses)
		b, p := browsers[i%bots], pages[i%bots]
		if p == nil || !strings.Contains(p.Body, "<form") || p.Status != 200 {
			b = a.Browser(t)
			p = start(t, b)
		}
		from(b, fmt.Sprintf("100.64.%d.%d", i/250, i%250))
		switch {
		case strings.Contains(p.Body, `name="code"`):
			p = b.Fill(p, "code", fmt.Sprintf("%06d", i))
		case i%7 == 0:
			p = b.Follow(b.Fill(p, "username", "mallory", "password", servertest.Password))
		default:
			p = b.Fill(p, "username", names[i%len(names)], "password", fmt.Sprint("guess number ", i))
		}
		browsers[i%bots], pages[i%bots] = b, p
		if i%200 == 199 { // the owners, meanwhile, each from an address that was guessed from
			from(mine, "100.70.1.1")
			done(t, mine, mine.Fill(proved(t, mine, "alice"), "code", servertest.Code(t, servertest.TOTP, a.Clock())))
			mine.Forget("portvakt")
			anywhere := from(a.Browser(t), "100.70.1.1")
			done(t, anywhere, anywhere.Passkey(start(t, anywhere), key.Get))
		}
	}
	if hour := a.Clock().Sub(began); hour > time.Hour {
		t.Fatalf("the attack took %s of the test's clock", hour)
	}
	looked := map[string]int{}
	storetest.View(t, a.DB, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{Kinds: []audit.Kind{audit.LoginFailed}, Limit: 1 << 20}, func(e audit.Event) error {
			switch e.Reason {
			case audit.WrongPassword, audit.WrongCode, audit.Replayed:
				looked[e.Subject]++
			}
			return nil
		})
	})
	for who, n := range looked {
		if n > 10 {
			t.Errorf("LK-04: %d guesses at %s were looked at in an hour", n, who)
		}
	}
	if len(looked) < 3 {
		t.Errorf("the guessers reached %d people", len(looked))
	}
}

// TestGuessedTold: whose password is guessed at is told by mail, once, and the link in it makes the browser in which it is opened one of
// their own: she signs in from there while the guessing goes on.
func TestGuessedTold(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{SMS: sms.Config{Wire: "file"}, Apply: servertest.Sample()})
			for range 3 {
				for range 8 {
					guess(t, a.Browser(t), "alice", wrong)
				}
				a.clock.Add(4 * time.Minute)
			}
			guess(t, a.Browser(t), "alice", wrong)
			b := a.Browser(t)
			if p := guess(t, b, "alice", servertest.Password); p.Status != 200 {
				t.Fatalf("LK-01: strangers are not slowed: %d", p.Status)
			}
			link := ""
			eventually(t, "a mail", func() bool {
				for _, m := range a.Post(t) {
					if _, rest, ok := strings.Cut(m.Body, a.URL+"/link/"); ok && m.To == "alice@example.se" {
						link = "/link/" + strings.Fields(rest)[0]
					}
				}
				return link != ""
			})
			if all := a.Post(t); len(all) != 1 || !strings.Contains(all[0].Body, "Go-http-client") {
				t.Errorf("not one mail that names the guesser's browser: %v", all)
			}
			scanner := a.Browser(t) // mail scanners follow links
			page := scanner.Get(link)
			if page.Status != 200 || !strings.Contains(page.Body, "alice") {
				t.Fatalf("the link leads to %d", page.Status)
			}
			p := b.Follow(b.Fill(b.Get(link)))
			if p = b.Fill(p, "username", "alice", "password", servertest.Password); p.Status != 303 {
				t.Fatalf("LK-04: the owner's browser got %d %q", p.Status, p.Alert())
			}
			done(t, b, b.Fill(b.Follow(p), "code", servertest.Code(t, servertest.TOTP, a.Clock())))
			if again := scanner.Fill(page); again.Status != 404 && again.Status != 410 {
				t.Errorf("the link worked twice: %d", again.Status)
			}
			other := a.Browser(t)
			if p := guess(t, other, "alice", servertest.Password); p.Status != 200 {
				t.Errorf("the link opened the door for everybody: %d", p.Status)
			}
		})
	}
}
