package server_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestDoorsMeanwhile: in one browser a person signs in again and again while wrong present passwords are tried at the change of it. Both count in
// one place and hold the person; no two wait for each other, as storetest.Postgres sees at the end.
func TestDoorsMeanwhile(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAttack(t, e.New(t), servertest.Options{Apply: servertest.Sample() + "policies:\n  factors: {required: false}\n  lockout: {attempts: 100}\n"})
			var browsers [4]*servertest.Browser
			for i := range browsers {
				browsers[i] = a.Browser(t)
				done(t, browsers[i], guess(t, browsers[i], "newcomer", servertest.Password))
				browsers[i].SetCookie("portvakt-known", browsers[0].Cookie("portvakt-known"))
			}
			var all sync.WaitGroup
			for i, b := range browsers {
				all.Go(func() {
					for range 20 {
						var page *servertest.Page
						if i < 2 {
							page = b.Get("/account/password")
						} else {
							b.Forget("portvakt")
							page = start(t, b)
						}
						if i < 2 {
							b.Fill(page, "current", wrong, "password", another, "repeat", another)
						} else if p := b.Fill(page, "username", "newcomer", "password", servertest.Password); p.Status != http.StatusSeeOther {
							t.Errorf("a sign-in got %d %q", p.Status, p.Alert())
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// TestPasskeyRing: in one known browser somebody ends a sign-in by a passkey while another is at their code. The passkey is not counted, but what it
// ends clears the browser's count: both take that before the person.
func TestPasskeyRing(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t) // which fails the test for a deadlock
	a := factorSite(t, address, "")
	key := factortest.New(oneIssuer)
	first := a.signIn(t, "alice", servertest.TOTP)
	addPasskey(t, first, key)
	known := func() *servertest.Browser {
		b := a.Browser(t)
		b.SetCookie("portvakt-known", first.Cookie("portvakt-known"))
		return b
	}
	guess(t, known(), "alice", wrong) // there is something to clear
	a.clock.Add(time.Minute)          // to a code that was not used yet
	touch, code := known(), known()
	passkey, totp := secondPage(t, touch, "alice"), code.Follow(code.Press(secondPage(t, code, "alice"), "way", "totp"))
	for i, p := range storetest.InRow(t, storetest.Connect(t, address), "update users set id = id where username = 'alice'",
		func() *servertest.Page { return touch.Passkey(passkey, key.Get) },
		func() *servertest.Page {
			return code.Fill(totp, "code", servertest.Code(t, servertest.TOTP, a.Clock()))
		},
	) {
		if p.Status != http.StatusSeeOther {
			t.Errorf("number %d got %d %q", i, p.Status, p.Alert())
		}
	}
}

// TestUnlockRing: a passkey unlocks a session while a wrong code is the last that this session bears. Both take the count of its wrong answers before it.
func TestUnlockRing(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t)
	a := factorSite(t, address, "policies:\n  lockout: {attempts: 100}\n")
	key := factortest.New(oneIssuer)
	b := a.signIn(t, "alice", servertest.TOTP)
	addPasskey(t, b, key)
	b.Forget("portvakt-known") // whose count would let one wait for the other
	a.clock.Add(31 * time.Minute)
	passkey, totp := unlocks(t, b, "/account"), unlocks(t, b, "/account")
	totp = b.Follow(b.Press(totp, "way", "totp"))
	for range 9 {
		totp = b.Fill(totp, "code", "000000")
	}
	storetest.InRow(t, storetest.Connect(t, address), "update sessions set id = id where ended_at = 0",
		func() *servertest.Page { return b.Passkey(passkey, key.Get) },
		func() *servertest.Page { return b.Fill(totp, "code", "000000") },
	)
	if n := len(a.Events(t, audit.SessionUnlocked)); n != 1 {
		t.Errorf("unlocked %d times", n)
	}
}

// TestDeviceRing: a remembered browser signs in while its person forgets it. Both take the person before the browser; the sign-in, which comes
// second, is not spared the code.
func TestDeviceRing(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t)
	a := factorSite(t, address, remembering)
	b := a.remember(t, "alice", servertest.TOTP)
	me := a.signIn(t, "alice", servertest.TOTP)
	b.Forget("portvakt")
	home, page := me.Get("/account"), start(t, b)
	storetest.InRow(t, storetest.Connect(t, address), "update users set id = id where username = 'alice'",
		func() *servertest.Page { return me.FillWith(home, `action="/account/devices/`) },
		func() *servertest.Page { return b.Fill(page, "username", "alice", "password", servertest.Password) },
	)
	if in(b) || a.spared(t, b, "alice") {
		t.Error("SE-04: a browser that was forgotten is spared the code")
	}
}
