package server_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestProveRivals (RC-01): of many trials begun at once one stands, and of many judgements one counts.
func TestProveRivals(t *testing.T) {
	t.Parallel()
	trialSites(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		_, form := shows(t, b.Get("/apps/try-es/prove"), `value="begin"`).FormWith(t, `value="begin"`)
		send := func(action string, f client.Fault) {
			fields := url.Values{"form_token": form["form_token"], "fault": {string(f)}, "action": {action}}
			if p := b.Post("/apps/try-es/prove", fields); p.Status != http.StatusSeeOther {
				t.Errorf("RC-01: %s %s gets %d", action, f, p.Status)
			}
		}
		var all sync.WaitGroup
		for _, f := range client.Faults() {
			all.Go(func() { send("begin", f) })
			all.Go(func() { send("begin", client.FaultNonce) })
		}
		all.Wait()
		shows(t, b.Get("/apps/try-es/prove"), `value="stop"`)
		mustCode(t, b.Get(authorizeURL("try-es")))
		mustCode(t, b.Get(authorizeURL("try-es")))
		took := a.Events(t, audit.TrialFaulted)
		if len(took) != 1 {
			t.Fatalf("RC-01: %d sign-ins got a fault", len(took))
		}
		for i := range 20 {
			all.Go(func() { send([]string{"in", "out"}[i%2], client.Fault(took[0].Detail["fault"])) })
		}
		all.Wait()
		if n := len(a.Events(t, audit.TrialJudged)); n != 1 {
			t.Errorf("RC-01: %d judgements", n)
		}
	})
}
