package server_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestLiftedByPasskey: who mistyped their password too often in a browser of their own signs in with a passkey, and types again.
func TestLiftedByPasskey(t *testing.T) {
	t.Parallel()
	a := newAttack(t, storetest.SQLite(t), servertest.Options{})
	key := factortest.New(a.URL)
	b := a.withPasskey(t, "newcomer", key)
	b.Forget("portvakt")
	for range 6 {
		guess(t, b, "newcomer", wrong)
	}
	if p := guess(t, b, "newcomer", servertest.Password); p.Status != http.StatusOK {
		t.Fatalf("the browser is not slowed: %d", p.Status)
	}
	done(t, b, b.Passkey(start(t, b), key.Get))
	b.Forget("portvakt")
	if p := guess(t, b, "newcomer", servertest.Password); p.Status != http.StatusSeeOther {
		t.Errorf("LK-04: after a finished sign-in the password gets %d %q", p.Status, p.Alert())
	}
}

// TestLiftedByLink: who forgot their password tries it too often, and chooses another by a link: that one is taken at once, in a browser of
// their own as well.
func TestLiftedByLink(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		b := a.known(t, 1)[0]
		for range 6 {
			guess(t, b, "alice", wrong)
		}
		if p := guess(t, b, "alice", servertest.Password); p.Status != http.StatusOK {
			t.Fatalf("the browser is not slowed: %d", p.Status)
		}
		p := b.Follow(take(b, b.Get(a.link(t, account.LinkReset, "alice", time.Hour))))
		if p = b.Fill(p, "username", "alice", "password", another); p.Status != http.StatusSeeOther {
			t.Errorf("LK-04: the new password gets %d %q", p.Status, p.Alert())
		}
	})
}
