package oidc_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestExchangedWithItsRight (RT-04): what came of a token by exchange, over every hand that it went through, counts as long as its person may use the
// application that got the first, and as long as each application may exchange those of the one before it. Who gets the right back has the token back.
func TestExchangedWithItsRight(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		service := "client_secret: " + servertest.Secret + ", grant_types: ['" + exchange + "'], scope: openid profile, "
		front := "client_id: front, " + withKey + registered + ", allowed_groups: [admins]"
		middle := "client_id: middle, " + service + "access_token_format: at+jwt, token_exchange_from: "
		s.apply(t, front, middle+"[front]", "client_id: back, "+service+"token_exchange_from: [middle]")
		alice := func(groups string) {
			s.ApplyFile(t, "users: [{username: alice, name: Alice, email: alice@example.se, phone: '+46701740605', groups: ["+groups+"]}]")
		}
		first := s.tokens(t, "front")["access_token"]
		tokens := map[string]string{"middle": words(t, s.post(t, "/token", "middle", subjectForm(first)))["access_token"]}
		tokens["back"] = words(t, s.post(t, "/token", "back", subjectForm(tokens["middle"])))["access_token"]
		works := func(what string, want bool) {
			t.Helper()
			for id, token := range tokens {
				if got := object(t, s.post(t, "/introspect", id, url.Values{"token": {token}}))["active"] == true; got != want {
					t.Errorf("RT-04: %s: introspection says active: %v of the token of %s", what, got, id)
				}
				if got := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+token).Status == http.StatusOK; got != want {
					t.Errorf("RT-04: %s: userinfo takes the token of %s: %v", what, id, got)
				}
			}
			if got := s.post(t, "/token", "back", subjectForm(tokens["middle"])).Status == http.StatusOK; got != want {
				t.Errorf("RT-04: %s: a further exchange: %v", what, got)
			}
		}
		works("in the group", true)
		for _, c := range []struct {
			what          string
			take, restore func()
		}{
			{"out of the group", func() { alice("staff") }, func() { alice("staff, admins") }},
			{"a stronger class", func() { s.reapply(t, "front", front+", minimum_acr: phr") }, func() { s.reapply(t, "front", front) }},
			{"no exchange of the first's", func() { s.reapply(t, "middle", middle+"[conf]") }, func() { s.reapply(t, "middle", middle+"[front]") }},
		} {
			c.take()
			works(c.what, false)
			c.restore()
			works(c.what+", and back", true)
		}
	})
}

// TestExchangedTrips: about a token that came by no exchange it is one read, as ever, and about another one more for each exchange.
func TestExchangedTrips(t *testing.T) {
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		service := "client_secret: " + servertest.Secret + ", grant_types: ['" + exchange + "'], scope: openid profile, "
		s.apply(t, "client_id: middle, "+service+"token_exchange_from: [conf]", "client_id: back, "+service+"token_exchange_from: [middle]")
		tokens := map[string]string{"conf": s.tokens(t, "conf")["access_token"]}
		tokens["middle"] = words(t, s.post(t, "/token", "middle", subjectForm(tokens["conf"])))["access_token"]
		tokens["back"] = words(t, s.post(t, "/token", "back", subjectForm(tokens["middle"])))["access_token"]
		for id, want := range map[string]int64{"conf": 1, "middle": 2, "back": 3} {
			least := int64(100) // the watch reads beside it now and then
			for i := 0; i < 30 && least > want; i++ {
				before, _ := s.DB.Trips()
				s.post(t, "/introspect", id, url.Values{"token": {tokens[id]}})
				after, _ := s.DB.Trips()
				least = min(least, after-before)
			}
			if least != want {
				t.Errorf("about the token of %s it is %d reads, want %d", id, least, want)
			}
		}
	})
}
