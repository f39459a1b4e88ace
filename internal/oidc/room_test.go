package oidc_test

import (
	"net/http"
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
				for p.Status == http.StatusServiceUnavailable && p.Header.Get("Retry-After") != "" { // a busy machine
					p = b.Post("/par", form)
				}
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
