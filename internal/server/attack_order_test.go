package server_test

import (
	"net/http"
	"sync"
	"testing"

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
