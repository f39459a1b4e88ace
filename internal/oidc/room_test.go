package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestPushRoomRace (DO-06): of 200 pushes at once from one address, over two instances, as many are kept as there is room for, and none meets a fault.
func TestPushRoomRace(t *testing.T) {
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		bases := []string{s.URL, s.Second(t).URL}
		form := with("pub")
		for i := range 5 {
			form.Set("x"+string(rune('a'+i)), strings.Repeat("x", 3900)) // 20 KiB, with the rest
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		got, start := map[int]int{}, make(chan struct{})
		for i := range 200 {
			all.Go(func() {
				<-start
				b := servertest.NewBrowser(t, bases[i%2])
				b.Client.Transport = plain.Transport
				p := b.Post("/par", form)
				mu.Lock()
				defer mu.Unlock()
				got[p.Status]++
			})
		}
		close(start)
		all.Wait()
		if got[http.StatusCreated] != 100 || got[http.StatusTooManyRequests] != 100 {
			t.Errorf("DO-06: 200 pushes of 20 KiB got %v, want room for 100", got)
		}
	})
}

// TestRoomOfVisitors (DO-06, TK-03): a stranger's page cannot have its visitors use up the room of all who come from their address. Where public
// clients run in browsers, and what is no page at all, has room as ever.
func TestRoomOfVisitors(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		s.apply(t, "client_id: tv, token_endpoint_auth_method: none, grant_types: ['urn:ietf:params:oauth:grant-type:device_code'], scope: openid",
			"client_id: box, client_secret: "+servertest.Secret+", grant_types: ['urn:ietf:params:oauth:grant-type:device_code'], scope: openid")
		device := url.Values{"client_id": {"tv"}, "scope": {"openid"}}
		for range 60 {
			refused(t, "DO-06: a device's request by a page elsewhere", s.call(t, http.MethodPost, "/device_authorization", device, "Origin", "https://evil.example"), "invalid_request")
		}
		for _, origin := range []string{"https://evil.example", "null", "http://evil.example", "https://app.example.evil.example", "https://app.example:8443"} {
			refused(t, "DO-06: a push by a page at "+origin, s.call(t, http.MethodPost, "/par", with("pub"), "Origin", origin), "invalid_request")
		}
		for _, origin := range []string{"https://app.example", "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh"} {
			if p := s.call(t, http.MethodPost, "/par", with("pub"), "Origin", origin); p.Status != http.StatusCreated {
				t.Errorf("a push from %s: %d %s", origin, p.Status, p.Body)
			}
		}
		if p := s.call(t, http.MethodPost, "/device_authorization", device); p.Status != http.StatusOK {
			t.Errorf("DO-06: the device itself: %d %s", p.Status, p.Body)
		}
		if p := s.post(t, "/device_authorization", "box", url.Values{"scope": {"openid"}}); p.Status != http.StatusOK {
			t.Errorf("a client with a secret: %d %s", p.Status, p.Body)
		}
	})
}
