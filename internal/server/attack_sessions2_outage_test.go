package server_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestOutageAtNewDoors (FT-01): while the database does not answer, neither do the doors for a forgotten, an old and a new password, for a locked
// session and for links; afterwards nothing was counted, used or changed.
func TestOutageAtNewDoors(t *testing.T) {
	a := newAttack(t, storetest.Postgres(t), servertest.Options{Timeout: 2 * time.Second})
	for range 5 {
		guess(t, a.Browser(t), "mallory", wrong)
	}
	admit := a.mailedLink(t, 1)
	reset := a.link(t, account.LinkReset, "newcomer", time.Hour)
	b, locked, renewing, outside := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP), a.Browser(t), a.Browser(t)
	a.clock.Add(31 * time.Second)
	change := b.Get("/account/password")
	home := b.Get("/account")
	a.ApplyFile(t, "policies:\n  password: {min_length: 40}\n")
	a.Settle(t)
	renew := renewing.Follow(renewing.Fill(proved(t, renewing, "alice"), "code", a.totp(t, servertest.TOTP)))
	shows(t, renew, `autocomplete="new-password"`)
	a.ApplyFile(t, "policies:\n  password: {min_length: 12}\n")
	a.Settle(t)
	locked.FillWith(locked.Get("/account"), `action="/account/lock"`)
	unlock := unlocks(t, locked, "/account")
	forgotten, admitted, resetting := outside.Get("/forgot"), outside.Get(admit), outside.Get(reset)
	n := len(a.Events(t))
	calls := map[string]func() *servertest.Page{
		"forgot":       func() *servertest.Page { return outside.Fill(forgotten, "username", "alice") },
		"admit":        func() *servertest.Page { return outside.Fill(admitted) },
		"admit's page": func() *servertest.Page { return outside.Get(admit) },
		"reset":        func() *servertest.Page { return outside.Fill(resetting, "password", another, "repeat", another) },
		"change": func() *servertest.Page {
			return b.Fill(change, "current", servertest.Password, "password", another, "repeat", another)
		},
		"change wrong": func() *servertest.Page {
			return b.Fill(change, "current", wrong, "password", another, "repeat", another)
		},
		"renew": func() *servertest.Page { return renewing.Fill(renew, "password", another, "repeat", another) },
		"unlock": func() *servertest.Page {
			return locked.Fill(unlock, "code", servertest.Code(t, servertest.TOTP, a.Clock()))
		},
		"unlock wrong": func() *servertest.Page { return locked.Fill(unlock, "code", "000000") },
		"lock":         func() *servertest.Page { return b.FillWith(home, `action="/account/lock"`) },
		"end":          func() *servertest.Page { return b.FillWith(home, `action="/account/sessions/`) },
	}
	storetest.Stop()
	var all sync.WaitGroup
	for what, call := range calls {
		all.Go(func() {
			p := call()
			if p.Status != http.StatusServiceUnavailable || p.Alert() != "" && strings.Contains(p.Alert(), "wrong") {
				t.Errorf("%s: %d %q", what, p.Status, p.Alert())
			}
			for _, c := range p.Header.Values("Set-Cookie") {
				if strings.HasPrefix(c, "portvakt=") || strings.HasPrefix(c, "portvakt-known=") {
					t.Errorf("%s sets %s", what, c)
				}
			}
		})
	}
	all.Wait()
	storetest.Continue()
	eventually(t, "the service is whole again", func() bool { return in(b) })
	for _, e := range a.Events(t)[n:] {
		if e.Kind != audit.MailSent {
			t.Errorf("the outage left %+v", e)
		}
	}
	if p := locked.Fill(locked.Get(unlock.URL.Path), "code", a.totp(t, servertest.TOTP)); p.Status != http.StatusSeeOther {
		t.Errorf("afterwards the code got %d %q", p.Status, p.Alert())
	}
	for _, path := range []string{admit, reset} {
		if p := outside.Get(path); p.Status != http.StatusOK {
			t.Errorf("afterwards %s is %d", path, p.Status)
		}
	}
	if p := renewing.Fill(renewing.Get(renew.URL.Path), "password", another, "repeat", another); p.Status != http.StatusSeeOther || !in(renewing) {
		t.Errorf("afterwards the new password got %d %q", p.Status, p.Alert())
	}
}
