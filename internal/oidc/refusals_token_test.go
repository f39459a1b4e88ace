package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestCodeTwice (CO-01): the second use of a code ends all that came of the first.
func TestCodeTwice(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		form := codeForm(s.code(t, "conf"))
		first := words(t, s.post(t, "/token", "conf", form))
		s.clock.Add(30 * time.Second)
		refused(t, "CO-01", s.post(t, "/token", "conf", form), "invalid_grant")
		if what := s.alive(t, "conf", first); what != "" {
			t.Errorf("CO-01: after the second use this still works: %s", what)
		}
		if n := len(s.Events(t, audit.CodeReplayed)); n != 1 {
			t.Errorf("AU-01: %d events of a replayed code", n)
		}
	})
}

// TestCodeInParallel (CO-02, RT-02): of many at once over two instances one wins, and nobody meets a fault of ours.
func TestCodeInParallel(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		urls := []string{s.URL, s.Second(t).URL}
		wins, lost := rivals(t, urls, 100, codeForm(s.code(t, "conf")), "conf")
		if len(wins) != 1 || lost != 99 {
			t.Errorf("CO-02: %d successes, %d refusals", len(wins), lost)
		}
		wins, lost = rivals(t, urls, 100, refreshForm(s.tokens(t, "conf")["refresh_token"]), "conf")
		if len(wins) != 1 || lost != 99 {
			t.Fatalf("RT-02: %d successes, %d refusals", len(wins), lost)
		}
		dead(t, urls, wins[0])
	})
}

// TestCodeOfAnother (CO-03, RT-03): what one client was given no other one can use, with every credential of its own. A
// client that presents what is not its own takes it from everybody.
func TestCodeOfAnother(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for _, thief := range []string{"rsa", "lax", "other", "pub"} {
			for what, form := range map[string]url.Values{"CO-03": codeForm(s.code(t, "conf")), "RT-03": refreshForm(s.tokens(t, "conf")["refresh_token"])} {
				send := func() *servertest.Page { return s.post(t, "/token", thief, form) }
				if thief == "other" || thief == "pub" {
					mine := url.Values{"client_id": {thief}}
					for k, v := range form {
						mine[k] = v
					}
					if thief == "other" {
						mine.Set("client_secret", servertest.Secret)
					}
					send = func() *servertest.Page { return s.call(t, http.MethodPost, "/token", mine) }
				}
				refused(t, what+" by "+thief, send(), "invalid_grant")
				refused(t, what+" by its own client after "+thief, s.post(t, "/token", "conf", form), "invalid_grant")
			}
		}
		form := refreshForm(s.tokens(t, "conf")["refresh_token"])
		refused(t, "RT-03: wrong secret", s.call(t, http.MethodPost, "/token", form, "Authorization", basicOf("conf", "wrong")), "invalid_client")
		if p := s.post(t, "/token", "conf", form); p.Status != http.StatusOK {
			t.Errorf("RT-03: a stranger's wrong secret ended a family: %d %s", p.Status, p.Body)
		}
	})
}

// TestStrangerEndsNothing (RT-03, CO-01): the public client is everybody. A used code or an old refresh token, as they
// stand in histories and logs, must not be enough for a stranger to end another client's family.
func TestStrangerEndsNothing(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	code := s.code(t, "conf")
	tokens := words(t, s.post(t, "/token", "conf", codeForm(code)))
	form := codeForm(code)
	form.Set("client_id", "pub")
	refused(t, "CO-01: a used code by a stranger", s.call(t, http.MethodPost, "/token", form), "invalid_grant")
	if p := s.post(t, "/token", "conf", refreshForm(tokens["refresh_token"])); p.Status != http.StatusOK {
		t.Error("CO-01: whoever finds a used code in a browser's history can end the family, as the public client")
	}
}

// TestCodeTooLate (CO-04): in time, and only while its client is what it was.
func TestCodeTooLate(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		code := s.code(t, "conf")
		s.clock.Add(59 * time.Second)
		if p := s.post(t, "/token", "conf", codeForm(code)); p.Status != http.StatusOK {
			t.Errorf("CO-04: after 59 s: %d", p.Status)
		}
		code = s.code(t, "conf")
		s.clock.Add(61 * time.Second)
		refused(t, "CO-04: after 61 s", s.post(t, "/token", "conf", codeForm(code)), "invalid_grant")
		code, tokens := s.code(t, "rsa"), s.tokens(t, "rsa")
		origin := audit.Origin{Actor: "cli"}
		if err := s.Admin.RemoveClient(t.Context(), origin, client.ID("rsa")); err != nil {
			t.Fatal(err)
		}
		refused(t, "CO-04: client removed", s.post(t, "/token", "rsa", codeForm(code)), "invalid_grant", "invalid_client")
		refused(t, "RT-04: client removed", s.post(t, "/token", "rsa", refreshForm(tokens["refresh_token"])), "invalid_grant", "invalid_client")
		if p := s.call(t, http.MethodGet, "/userinfo", nil, "Authorization", "Bearer "+tokens["access_token"]); p.Status != http.StatusUnauthorized {
			t.Errorf("RT-04: the access token of a removed client got %d", p.Status)
		}
		fresh, err := s.Admin.RotateSecret(t.Context(), origin, "conf", 0)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); s.post(t, "/token", "conf", url.Values{"grant_type": {"client_credentials"}}).Status == http.StatusOK; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the old secret works long after the rotation")
			}
		}
		if p := s.call(t, http.MethodPost, "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", basicOf("conf", fresh)); p.Status != http.StatusOK {
			t.Errorf("the new secret got %d", p.Status)
		}
	})
}

// TestVerifiers (RU-07, CO-05, PK-02, PK-03, PK-04): whatever does not fit the request kills the code for everybody.
func TestVerifiers(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for what, change := range map[string]func(url.Values){
			"PK-02: none":               func(f url.Values) { f.Del("code_verifier") },
			"PK-02: empty":              func(f url.Values) { f.Set("code_verifier", "") },
			"PK-02: 42 characters":      func(f url.Values) { f.Set("code_verifier", verifier[:42]) },
			"PK-02: 129 characters":     func(f url.Values) { f.Set("code_verifier", strings.Repeat("a", 129)) },
			"PK-02: the challenge":      func(f url.Values) { f.Set("code_verifier", with("conf").Get("code_challenge")) },
			"PK-02: other letters":      func(f url.Values) { f.Set("code_verifier", strings.Repeat("å", 30)) },
			"CO-05: another's":          func(f url.Values) { f.Set("code_verifier", strings.ToUpper(verifier)) },
			"RU-07: another address":    func(f url.Values) { f.Set("redirect_uri", servertest.Redirect+"/") },
			"RU-07: a registered other": func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1/cb") },
			"RU-07: no address":         func(f url.Values) { f.Del("redirect_uri") },
		} {
			for _, id := range []string{"conf", "lax", "pub"} {
				form := codeForm(s.code(t, id))
				wrong := url.Values{}
				for k, v := range form {
					wrong[k] = v
				}
				send := func(f url.Values) *servertest.Page { return s.post(t, "/token", id, f) }
				if id == "pub" {
					send = func(f url.Values) *servertest.Page {
						f.Set("client_id", "pub")
						return s.call(t, http.MethodPost, "/token", f)
					}
				}
				change(wrong)
				refused(t, what+" by "+id, send(wrong), "invalid_grant", "invalid_request")
				without := url.Values{}
				for k, v := range form {
					without[k] = v
				}
				without.Del("code_verifier")
				refused(t, "PK-03 after "+what+" by "+id, send(without), "invalid_grant")
				refused(t, "CO-05 after "+what+" by "+id, send(form), "invalid_grant")
			}
		}
		form := codeForm(s.code(t, "lax", "code_challenge", "", "code_challenge_method", ""))
		refused(t, "PK-04", s.post(t, "/token", "lax", form), "invalid_grant")
		form.Del("code_verifier")
		refused(t, "PK-04, then none", s.post(t, "/token", "lax", form), "invalid_grant")
		form = codeForm(s.code(t, "lax", "code_challenge", "", "code_challenge_method", ""))
		form.Del("code_verifier")
		if p := s.post(t, "/token", "lax", form); p.Status != http.StatusOK {
			t.Errorf("a client that is let off PKCE got %d %s", p.Status, p.Body)
		}
	})
}

// TestRefreshTwice (RT-01, RT-05, AZ-10).
func TestRefreshTwice(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		first := s.tokens(t, "conf")
		second := words(t, s.post(t, "/token", "conf", refreshForm(first["refresh_token"])))
		third := words(t, s.post(t, "/token", "conf", refreshForm(second["refresh_token"])))
		refused(t, "RT-01", s.post(t, "/token", "conf", refreshForm(first["refresh_token"])), "invalid_grant")
		for i, tokens := range []map[string]string{first, second, third} {
			if what := s.alive(t, "conf", tokens); what != "" {
				t.Errorf("RT-01: of generation %d this still works: %s", i+1, what)
			}
		}
		if n := len(s.Events(t, audit.TokenReplayed)); n == 0 {
			t.Error("AU-01: no event of a replayed refresh token")
		}
		tokens := s.tokens(t, "conf", "scope", "openid offline_access")
		for _, more := range []url.Values{{"scope": {"openid offline_access email"}}, {"scope": {"admin"}}, {"scope": {"openid *"}}} {
			form := refreshForm(tokens["refresh_token"])
			for k, v := range more {
				form[k] = v
			}
			refused(t, "RT-05", s.post(t, "/token", "conf", form), "invalid_scope", "invalid_request", "invalid_target")
		}
		form := refreshForm(tokens["refresh_token"])
		form.Set("scope", "openid openid")
		narrow := words(t, s.post(t, "/token", "conf", form))
		if narrow["scope"] != "openid" {
			t.Errorf("AZ-10: a narrower scope at refresh gave %q", narrow["scope"])
		}
		if got := words(t, s.post(t, "/token", "conf", url.Values{"grant_type": {"client_credentials"}, "scope": {"api api  api"}}))["scope"]; got != "api" {
			t.Errorf("AZ-10: a scope three times gave %q", got)
		}
		for _, name := range []string{"audience", "resource"} {
			form := refreshForm(s.tokens(t, "conf")["refresh_token"])
			form.Set(name, "https://evil.example")
			refused(t, "RT-05: "+name, s.post(t, "/token", "conf", form), "invalid_request", "invalid_target")
		}
		s.clock.Add(14*24*time.Hour + time.Second)
		refused(t, "RT-04: 14 days unused", s.post(t, "/token", "conf", refreshForm(narrow["refresh_token"])), "invalid_grant")
	})
}

// TestFamilyEnds (RT-04): no refreshing goes beyond 90 days.
func TestFamilyEnds(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	tokens := s.tokens(t, "conf")
	for day := 0; day < 84; day += 12 {
		s.clock.Add(12 * 24 * time.Hour)
		p := s.post(t, "/token", "conf", refreshForm(tokens["refresh_token"]))
		if p.Status != http.StatusOK {
			t.Fatalf("after %d days: %d %s", day+12, p.Status, p.Body)
		}
		tokens = words(t, p)
	}
	s.clock.Add(6*24*time.Hour + time.Minute)
	refused(t, "RT-04: 90 days", s.post(t, "/token", "conf", refreshForm(tokens["refresh_token"])), "invalid_grant")
	if p := s.post(t, "/introspect", "conf", url.Values{"token": {tokens["refresh_token"]}}); words(t, p)["active"] != "false" {
		t.Errorf("an expired refresh token is introspected as %s", p.Body)
	}
}

// TestCrossover: a code and the refresh of what came of it, at once: nothing forks and nothing is our fault.
func TestCrossover(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		code := codeForm(s.code(t, "conf"))
		tokens := words(t, s.post(t, "/token", "conf", code))
		var mu sync.Mutex
		var wg sync.WaitGroup
		var won []map[string]string
		for i := range 30 {
			form := []url.Values{code, refreshForm(tokens["refresh_token"])}[i%2]
			wg.Go(func() {
				p := s.post(t, "/token", "conf", form)
				mu.Lock()
				defer mu.Unlock()
				if p.Status == http.StatusOK {
					won = append(won, words(t, p))
				} else if p.Status >= 500 {
					t.Errorf("a rival got %d %s", p.Status, p.Body)
				}
			})
		}
		wg.Wait()
		if len(won) > 1 {
			t.Errorf("RT-02: %d refreshes won", len(won))
		}
		for _, w := range append(won, tokens) {
			if what := s.alive(t, "conf", w); what != "" {
				t.Errorf("RT-01: after replays this still works: %s", what)
			}
		}
	})
}
