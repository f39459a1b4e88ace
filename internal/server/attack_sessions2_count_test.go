package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestOtherNameTells (LK-01): while strangers have to wait for a person, what is typed under their other name must not tell by the next answer
// whether it was right: that would be a second budget of guesses.
func TestOtherNameTells(t *testing.T) {
	t.Parallel()
	after := map[string]string{}
	for _, candidate := range []string{wrong, servertest.Password} {
		a := onSQLite(t)
		for range 5 {
			guess(t, a.Browser(t), "alice", wrong)
		}
		for range 4 {
			guess(t, a.Browser(t), "alice@example.se", wrong)
		}
		tried := guess(t, a.Browser(t), "alice@example.se", candidate)
		if tried.Status != http.StatusOK {
			t.Fatalf("the try got %d", tried.Status)
		}
		after[candidate] = guess(t, a.Browser(t), "alice@example.se", wrong).Alert()
	}
	if after[wrong] != after[servertest.Password] {
		t.Errorf("LK-01: after a wrong password the next answer is %q, after the right one %q", after[wrong], after[servertest.Password])
	}
}

// TestBlockedAddressTells (LK-01): the same where it is the address that has to wait.
func TestBlockedAddressTells(t *testing.T) {
	t.Parallel()
	after := map[string]string{}
	for _, candidate := range []string{wrong, servertest.Password} {
		a := onSQLite(t)
		a.policies(t, "policies:\n  lockout: {attempts: 2}\n")
		for i := range 40 {
			guess(t, a.Browser(t), fmt.Sprint("nobody", i), wrong)
		}
		guess(t, a.Browser(t), "alice", wrong)
		guess(t, a.Browser(t), "alice", candidate)
		after[candidate] = guess(t, a.Browser(t), "alice", wrong).Alert()
	}
	if after[wrong] != after[servertest.Password] {
		t.Errorf("LK-01: after a wrong password the next answer is %q, after the right one %q", after[wrong], after[servertest.Password])
	}
}

// TestSiegeIsTold (LK-04): who is guessed at for days gets a way in again when that of the first mail is over.
func TestSiegeIsTold(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	eve := a.Browser(t)
	for range 26 * 20 { // 26 hours, as fast as it counts
		guess(t, eve, "alice", wrong)
		a.clock.Add(3 * time.Minute)
	}
	a.Notify.Wake()
	links := 0
	for _, m := range a.AwaitPost(t, 1) {
		if strings.Contains(m.Subject, "guessing") {
			links++
		}
	}
	if links < 2 {
		t.Errorf("LK-04: in 26 hours of guesses %d mail told of them, and its link lived an hour", links)
	}
}

// TestTrippedTells (EN-02): the answer after which strangers have to wait costs as many trips for nobody as for somebody.
func TestTrippedTells(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{NoWatch: true})
	cost := func(name string) (out []string) {
		for range 6 {
			b := a.Browser(t)
			p := start(t, b)
			reads, writes := a.DB.Trips()
			b.Fill(p, "username", name, "password", wrong)
			r, w := a.DB.Trips()
			out = append(out, fmt.Sprintf("%d+%d", r-reads, w-writes))
		}
		return out
	}
	if some, none := fmt.Sprint(cost("alice")), fmt.Sprint(cost("nobody")); some != none {
		t.Errorf("EN-02: reads and writes of six wrong answers: for alice %s, for nobody %s", some, none)
	}
}

// TestRightCostsMore (LK-01, EN-02): while a person has to be waited for, the right password takes what a wrong one does, at sign-in and where
// it is changed; else the time tells what the words do not, and guesses have no limit.
func TestRightCostsMore(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{NoWatch: true})
	b := a.signIn(t, "alice", servertest.TOTP)
	b.Forget("portvakt-known")
	for range 5 {
		guess(t, a.Browser(t), "alice", wrong)
	}
	for name, send := range map[string]func(password string) func() *servertest.Page{
		"sign-in": func(password string) func() *servertest.Page {
			one := a.Browser(t)
			p := start(t, one)
			return func() *servertest.Page { return one.Fill(p, "username", "alice", "password", password) }
		},
		"change": func(password string) func() *servertest.Page {
			p := shows(t, b.Get("/account/password"), `autocomplete="current-password"`)
			return func() *servertest.Page {
				return b.Fill(p, "current", password, "password", another, "repeat", another)
			}
		},
	} {
		cost := map[string]string{}
		for _, password := range []string{wrong, servertest.Password} {
			do := send(password)
			reads, writes := a.DB.Trips()
			if p := do(); !strings.Contains(p.Alert(), "minute") {
				t.Fatalf("%s: %q", name, p.Alert())
			}
			r, w := a.DB.Trips()
			cost[password] = fmt.Sprintf("%d+%d", r-reads, w-writes)
		}
		if cost[wrong] != cost[servertest.Password] {
			t.Errorf("LK-01: a delayed try at %s costs %s trips when it is wrong, %s when it is right", name, cost[wrong], cost[servertest.Password])
		}
	}
}

// TestStaleHashTells (LK-01): a stored hash of lower cost is made anew when the password is right, but not while the answer is to wait.
func TestStaleHashTells(t *testing.T) {
	cheap, err := factor.NewHasher(factor.Params{MemoryKiB: 64, Time: 1}, 1).Hash(t.Context(), servertest.Password)
	ok(t, err)
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Hash: factor.Params{MemoryKiB: 65536, Time: 4},
		Apply: "users:\n  - {username: bob, name: Bob, email: bob@example.se, password_hash: '" + cheap + "'}\n"})
	for range 5 {
		guess(t, a.Browser(t), "bob", wrong)
	}
	servertest.Thrice(t, func() error {
		least := map[string]time.Duration{wrong: time.Hour, servertest.Password: time.Hour}
		for range 5 {
			for password := range least {
				b := a.Browser(t)
				p := start(t, b)
				began := time.Now()
				if p := b.Fill(p, "username", "bob", "password", password); !strings.Contains(p.Alert(), "minute") {
					t.Fatal(p.Alert())
				}
				least[password] = min(least[password], time.Since(began))
			}
		}
		if d := least[servertest.Password] - least[wrong]; d > 30*time.Millisecond {
			return fmt.Errorf("LK-01: a delayed right password takes %v, a wrong one %v", least[servertest.Password], least[wrong])
		}
		return nil
	})
}

// TestOldBrowsersBudgets (SE-04, LK-03): browsers that were made known with an old password give no budgets of guesses at the new one.
func TestOldBrowsersBudgets(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	thieves := a.known(t, 6)
	b := a.Browser(t)
	if p := take(b, b.Get(a.link(t, account.LinkReset, "alice", time.Hour))); p.Status != http.StatusSeeOther {
		t.Fatalf("the link: %d", p.Status)
	}
	for _, thief := range thieves {
		for range 5 {
			guess(t, thief, "alice", wrong)
		}
	}
	if n := a.count(t, audit.LoginFailed, audit.WrongPassword); n > 10 {
		t.Errorf("LK-03: %d guesses at the new password were looked at within minutes, from browsers that were made known with the old one", n)
	}
}

// TestForgotFromKnown (LK-04): a stranger who asks for links in alice's name does not keep her, in her own browser, from one.
func TestForgotFromKnown(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	mine := a.known(t, 1)[0]
	for range 3 {
		forgot(t, a.Browser(t), "alice")
	}
	a.clock.Add(21 * time.Minute) // those links are over
	forgot(t, mine, "alice")
	a.Notify.Wake()
	links := 0
	for _, e := range a.Events(t, audit.LinkIssued) {
		if e.Detail["by"] == "self" {
			links++
		}
	}
	if links != 4 {
		t.Errorf("LK-04: a stranger who asked three times keeps her from a link until the hour is over (%d issued)", links)
	}
}

// TestUnlockCounts: ten wrong answers end a locked session, however many pages they are given on.
func TestUnlockCounts(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	b.FillWith(b.Get("/account"), `action="/account/lock"`)
	for range 20 {
		p := b.Follow(b.Get("/account"))
		if !strings.Contains(p.Body, `href="/logout"`) {
			break
		}
		if p = b.Fill(p, "code", "000000"); p.Alert() == "" {
			t.Fatalf("a wrong code got %d", p.Status)
		}
		a.clock.Add(16 * time.Minute)
	}
	n := a.count(t, audit.LoginFailed, audit.WrongCode)
	var open []store.OpenSession
	storetest.View(t, a.DB, func(tx *store.Tx) (err error) { open, err = tx.SessionsOf(a.person(t, "alice").ID); return err })
	if n != 10 || len(open) != 0 {
		t.Errorf("contract §5: after %d wrong answers the locked session still stands (%d)", n, len(open))
	}
}
