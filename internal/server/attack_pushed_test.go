package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestPushFlood (DO-06): strangers who push in the name of a client without a secret fill the room of their own address and network, and nobody
// else's. What counts is what has to be kept.
func TestPushFlood(t *testing.T) {
	t.Parallel()
	a := behindProxy(t)
	a.ApplyFile(t, "clients: [{client_id: spa, token_endpoint_auth_method: none, redirect_uris: ['"+servertest.Redirect+"']}]")
	a.clock.Add(time.Second)
	push := func(client, ip string, kib int, header ...string) int {
		form := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {servertest.Redirect}, "scope": {"openid"},
			"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}}
		for i := range kib - 1 {
			form.Set(fmt.Sprintf("x%d", i), strings.Repeat("x", 1020))
		}
		p := a.post(t, "/par", form, append(header, "X-Forwarded-For", ip)...)
		if p.Status == http.StatusTooManyRequests && (p.Header.Get("Retry-After") != "60" || p.Header.Get("Cache-Control") != "no-store" || object(t, p)["error"] != "temporarily_unavailable") {
			t.Errorf("over the limit: %v %s", p.Header, p.Body)
		}
		return p.Status
	}
	room := func(client string, ip func(int) string, n int) (ok int) {
		for i := range n {
			if push(client, ip(i), 20) == http.StatusCreated {
				ok++
			}
		}
		return ok
	}
	one := func(ip string) func(int) string { return func(int) string { return ip } }
	if n := room("pub", one("192.0.2.1"), 103); n != 100 {
		t.Errorf("DO-06: one address had %d requests of 20 KiB kept", n)
	}
	if n := room("pub", func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, 102); n != 100 {
		t.Errorf("DO-06: one /64 had %d", n)
	}
	if got := push("spa", "192.0.2.1", 1); got != http.StatusCreated {
		t.Errorf("another application at that address got %d", got)
	}
	if got := push("pub", "192.0.2.2", 1); got != http.StatusCreated {
		t.Errorf("another address got %d", got)
	}
	if n := room("spa", func(i int) string { return fmt.Sprintf("192.0.2.%d", 3+i%200) }, 152); n != 149 {
		t.Errorf("DO-06: one network had %d more kept", n)
	}
	if got := push("pub", "192.0.2.1", 1); got != http.StatusTooManyRequests {
		t.Errorf("DO-06: over the limit one of 1 KiB got %d", got)
	}
	if got := push("pub", "198.51.100.1", 20); got != http.StatusCreated {
		t.Errorf("DO-06: somebody else got %d", got)
	}
	if got := push("conf", "192.0.2.1", 20, "Authorization", basic("conf")); got != http.StatusCreated {
		t.Errorf("DO-06: an application that proves who it is got %d at that address", got)
	}
	if n := a.count(t, audit.AuthorizeRefused, audit.Delayed); n != 9 {
		t.Errorf("AU-01: %d of 9 refusals are on record", n)
	}
	a.clock.Add(time.Minute)
	if got := push("pub", "192.0.2.1", 20); got != http.StatusCreated {
		t.Errorf("a minute later it got %d", got)
	}
}
