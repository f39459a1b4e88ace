package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestUnlock: what an operator unlocks is unlocked, by whichever name it was locked.
func TestUnlock(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	for i := range 6 {
		guess(t, a.Browser(t), []string{"alice", "Alice@example.se"}[i%2], wrong)
		guess(t, a.Browser(t), "alice", wrong)
	}
	ok(t, a.Admin.Unlock(background, operator, "alice"))
	for _, name := range []string{"alice", "alice@example.se"} {
		if p := guess(t, a.Browser(t), name, servertest.Password); p.Status != http.StatusSeeOther {
			t.Errorf("after the unlocking, alice as %s gets %q", name, p.Alert())
		}
	}
}

// TestDelayedIsNotCounted (OT-04, LK-04): only codes that were looked at count among the hundred in a row. Otherwise a
// stolen password locks its owner out for good within a minute.
func TestDelayedIsNotCounted(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	thieves := a.known(t, 31)
	owner := thieves[30]
	var p *servertest.Page
	for i := range 120 {
		b := thieves[i/4]
		if i%4 == 0 {
			p = proved(t, b, "alice")
		}
		p = b.Fill(p, "code", fmt.Sprintf("%06d", 300000+i))
	}
	a.clock.Add(16 * time.Minute)
	if p := owner.Fill(proved(t, owner, "alice"), "code", servertest.Code(t, servertest.TOTP, a.Clock())); p.Status != http.StatusSeeOther {
		t.Errorf("LK-04: 10 looked-at and 110 delayed codes, and 16 minutes later the right code gets %q", p.Alert())
	}
}

// TestSameTrips (EN-02): a name that exists costs the database as many trips as one that does not; on a network each is
// time that shows.
func TestSameTrips(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		a := newAttack(t, e.New(t), servertest.Options{NoWatch: true}) // nothing else reads
		cost := map[string]string{}
		for _, name := range []string{"alice", "nobody", "alice@example.se", "nobody@example.se", "newcomer"} {
			b := a.Browser(t)
			p := start(t, b)
			reads, writes := a.DB.Trips()
			b.Fill(p, "username", name, "password", wrong)
			r, w := a.DB.Trips()
			cost[name] = fmt.Sprintf("%d reads, %d writes", r-reads, w-writes)
		}
		if cost["alice"] != cost["nobody"] || cost["alice@example.se"] != cost["nobody@example.se"] || cost["newcomer"] != cost["nobody"] {
			t.Errorf("EN-02: on %s a wrong password costs %v", e.Name, cost)
		}
	}
}

// TestLostAnswer (SE-01): the browser's secret changes with a right password, so whose connection broke before the new one
// came begins anew. The page says so, and nothing of what the password opened is shown.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	p := start(t, b)
	before := b.Cookie("portvakt-browser")
	answer := b.Fill(p, "username", "alice", "password", servertest.Password)
	b.SetCookie("portvakt-browser", before) // the answer never came
	again := b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	if answer.Status != http.StatusSeeOther || again.Status != http.StatusForbidden || !strings.Contains(again.Body, "start again") {
		t.Errorf("the same right answer again got %d:\n%.600s", again.Status, again.Body[strings.Index(again.Body, "<h1>"):])
	}
}

// TestTwoTabs: a second sign-in page in the same browser, loaded before the first was answered, can be answered after it.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.Browser(t)
	one, two := start(t, b), start(t, b)
	b.Follow(b.Fill(one, "username", "alice", "password", servertest.Password))
	if p := b.Follow(b.Fill(two, "username", "alice", "password", servertest.Password)); !strings.Contains(p.Body, `name="code"`) {
		t.Errorf("the second tab got %d %q", p.Status, p.Body[strings.Index(p.Body, "<h1>"):][:80])
	}
}

// TestAttemptsAreSwept (DO-06): the counters of a guesser's names and addresses go within days, not within a year.
func TestAttemptsAreSwept(t *testing.T) {
	t.Parallel()
	a := behindProxy(t)
	for i := range 30 {
		guess(t, from(a.Browser(t), fmt.Sprintf("198.51.100.%d", i)), fmt.Sprint("nobody", i), wrong)
	}
	a.clock.Add(49 * time.Hour)
	ok(t, a.DB.Housekeep(background, func(tx *store.Tx) error { _, err := tx.Sweep(); return err }))
	var n int
	ok(t, a.open(t, "sqlite:"+a.Path()).QueryRow("select count(*) from attempts").Scan(&n))
	if n > 5 {
		t.Errorf("DO-06: two days later %d counters of 30 wrong tries are left", n)
	}
}

// TestKnownBrowser (LK-04): the mark of a known browser is one person's, signs nobody in, is not to be forged, and gives
// its own tries only.
func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	a := onSQLite(t)
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	mark := b.Cookie("portvakt-known")
	thief := a.Browser(t)
	for i := range 20 {
		thief.SetCookie("portvakt-known", []string{mark, mark + "x", strings.Repeat("A", 26) + mark[min(26, len(mark)):], "x"}[i%4])
		guess(t, thief, "alice", wrong)
	}
	if n := a.evaluated(t); n != 5 {
		t.Errorf("LK-04: with another's mark, or a forged one, %d guesses at alice were looked at", n)
	}
	if in(thief) {
		t.Error("the mark signs in")
	}
	before := a.evaluated(t)
	b.Follow(b.Fill(b.Get("/logout")))
	for range 20 {
		guess(t, b, "mallory", wrong)
	}
	if n := a.evaluated(t) - before; n > 5 {
		t.Errorf("LK-04: in a known browser %d guesses were looked at", n)
	}
}
