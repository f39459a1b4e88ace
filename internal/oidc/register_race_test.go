package oidc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/store"
)

// registering sends the same request n times at once, spread over two instances, and gives how often each status came, and the secrets that came along.
func registering(t *testing.T, both []*refusals, n int, method, path, token, body string) (map[int]int, []string) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got, secrets := map[int]int{}, []string(nil)
	for i := range n {
		wg.Go(func() {
			r, err := http.NewRequest(method, both[i%2].URL+path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := plain.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var e enrolled
			if resp.StatusCode != http.StatusNoContent {
				err = json.NewDecoder(resp.Body).Decode(&e)
			}
			mu.Lock()
			defer mu.Unlock()
			if got[resp.StatusCode]++; e.Secret != "" {
				secrets = append(secrets, e.Secret)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return got, secrets
}

// TestRegistrationRace: 200 clients register with a token for one, over two instances: one of them is registered.
func TestRegistrationRace(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		both := []*refusals{s, {s.Second(t), s.clock, nil}}
		for range 3 {
			token := s.initial(t, func(r *store.RegistrationToken) { r.Uses = 1 })
			got, _ := registering(t, both, 200, http.MethodPost, "/register", token, plainMetadata)
			if got[http.StatusCreated] != 1 || got[http.StatusUnauthorized] != 199 {
				t.Fatalf("AD-06: 200 rivals got %v", got)
			}
		}
	})
}

// TestManageRace: of many changes at once that want a secret one gets it, and it is the one that counts; of many that end the client one does.
func TestManageRace(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		both := []*refusals{s, {s.Second(t), s.clock, nil}}
		e := s.enrol(t, s.initial(t), `{"token_endpoint_auth_method":"none",`+plainMetadata[1:])
		path := "/register/" + e.ID
		got, secrets := registering(t, both, 50, http.MethodPut, path, e.Token, `{"client_id":"`+e.ID+`",`+plainMetadata[1:])
		if got[http.StatusOK] != 50 || len(secrets) != 1 {
			t.Fatalf("50 changes got %v and %d secrets", got, len(secrets))
		}
		e.Secret = secrets[0]
		s.signIn(t, e)
		if got, _ := registering(t, both, 50, http.MethodDelete, path, e.Token, ""); got[http.StatusNoContent] != 1 || got[http.StatusUnauthorized] != 49 {
			t.Fatalf("50 ends got %v", got)
		}
	})
}
