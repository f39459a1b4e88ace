package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	stock "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// pushBody sends a pushed authorization request as a client of the sample does.
func (s *refusals) pushBody(t testing.TB, client string, form url.Values) *servertest.Page {
	t.Helper()
	switch client {
	case "pub":
		return s.call(t, http.MethodPost, "/par", form)
	case "other":
		form.Set("client_secret", servertest.Secret)
		return s.call(t, http.MethodPost, "/par", form)
	}
	return s.post(t, "/par", client, form)
}

// pushed gives the request_uri of a good request of a client.
func (s *refusals) pushed(t testing.TB, client string, pairs ...string) string {
	t.Helper()
	p := s.pushBody(t, client, with(client, pairs...))
	if p.Status != http.StatusCreated {
		t.Fatalf("push: %d %s", p.Status, p.Body)
	}
	return words(t, p)["request_uri"]
}

func pulled(client, uri string, pairs ...string) string {
	q := url.Values{"client_id": {client}, "request_uri": {uri}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/authorize?" + q.Encode()
}

// TestPushedStock: what a developer would write with x/oauth2 and an HTTP client, for each kind of client, with a sign-in between.
func TestPushedStock(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		for _, id := range []string{"conf", "other", "pub"} {
			p, conf := stockClient(t, s.Site, id, "profile")
			var found struct {
				Push     string `json:"pushed_authorization_request_endpoint"`
				Required *bool  `json:"require_pushed_authorization_requests"`
			}
			if err := p.Claims(&found); err != nil || found.Push != s.URL+"/par" || found.Required == nil || *found.Required {
				t.Fatalf("discovery says %+v (%v)", found, err)
			}
			verifier := oauth2.GenerateVerifier()
			whole, err := url.Parse(conf.AuthCodeURL("state-1", stock.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier)))
			if err != nil {
				t.Fatal(err)
			}
			page := s.pushBody(t, id, whole.Query())
			var answer struct {
				URI string `json:"request_uri"`
				In  int    `json:"expires_in"`
			}
			if err := json.Unmarshal([]byte(page.Body), &answer); err != nil || page.Status != http.StatusCreated || page.Header.Get("Cache-Control") != "no-store" ||
				!strings.HasPrefix(answer.URI, "urn:ietf:params:oauth:request_uri:") || answer.In != 60 {
				t.Fatalf("%s: the push got %d %s", id, page.Status, page.Body)
			}
			s.clock.Add(time.Minute) // and with it another step of the soft token
			s.clock.Add(-time.Second)
			b := s.Browser(t)
			whole.RawQuery = url.Values{"client_id": {id}, "request_uri": {answer.URI}}.Encode()
			got := arrive(t, b.Follow(b.SignIn(b.Get(whole.String()), "alice", servertest.Password, servertest.TOTP)))
			if got.Get("state") != "state-1" || got.Get("iss") != s.URL {
				t.Errorf("%s: the response has %v", id, got)
			}
			token, err := conf.Exchange(context.Background(), got.Get("code"), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if nonce := claims(t, token.Extra("id_token").(string))["nonce"]; nonce != "nonce-1" {
				t.Errorf("%s: the nonce is %v", id, nonce)
			}
		}
	})
}

// TestPushedTime (PA-02): a request can be begun for a minute and completed once; a sign-in that began in time may take its time, and the
// page may be loaded anew.
func TestPushedTime(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		uri := s.pushed(t, "conf", "prompt", "login")
		b := s.alice
		s.clock.Add(30 * time.Second)
		var page *servertest.Page
		for range 3 {
			page = b.Follow(b.Get(pulled("conf", uri)))
			if !strings.HasPrefix(page.URL.Path, "/login/") {
				t.Fatalf("PA-02: loaded anew before it is used it got %d %s", page.Status, page.Location)
			}
		}
		s.clock.Add(14 * time.Minute)
		got := sent(t, b.Follow(b.SignIn(page, "alice", servertest.Password, servertest.TOTP)))
		if got.Get("code") == "" || got.Get("state") != "af0ifjsldkj" {
			t.Fatalf("PA-02: a sign-in of 14 minutes, begun in time, got %v", got)
		}
		late := s.pushed(t, "conf")
		s.clock.Add(time.Minute)
		for what, uri := range map[string]string{"used": uri, "late": late} {
			for who, b := range map[string]*servertest.Browser{"alice": b, "nobody": s.Browser(t)} {
				got := sent(t, b.Get(pulled("conf", uri)))
				if got.Get("error") != "invalid_request_uri" || got.Get("iss") != s.URL || got.Get("state") != "af0ifjsldkj" || got.Has("code") {
					t.Errorf("PA-02: %s, by %s: got %v", what, who, got)
				}
			}
		}
		two := s.pushed(t, "conf", "prompt", "login")
		first, second := b.Follow(b.Get(pulled("conf", two))), b.Follow(b.Get(pulled("conf", two)))
		s.clock.Add(31 * time.Second)
		if got := sent(t, b.Follow(b.SignIn(first, "alice", servertest.Password, servertest.TOTP))); got.Get("code") == "" {
			t.Errorf("PA-02: the first of two pages got %v", got)
		}
		s.clock.Add(31 * time.Second)
		if got := sent(t, b.Follow(b.SignIn(second, "alice", servertest.Password, servertest.TOTP))); got.Get("error") != "invalid_request_uri" || got.Has("code") {
			t.Errorf("PA-02: the second of two pages got %v", got)
		}
		n := len(s.Events(t, audit.CodeIssued))
		if n != 2 {
			t.Errorf("AU-01: %d codes on record, want 2", n)
		}
		s.clock.Add(2 * time.Hour)
		if err := s.DB.Housekeep(context.Background(), func(tx *store.Tx) error { _, err := tx.Sweep(); return err }); err != nil {
			t.Fatal(err)
		}
		if p := b.Get(pulled("conf", uri)); p.Status != http.StatusBadRequest || p.Location != "" {
			t.Errorf("PA-02: after the sweep it got %d %s", p.Status, p.Location)
		}
	})
}

// TestPushedStrangers (PA-02, JW-05): by another client, forged, or with something beside it.
func TestPushedStrangers(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	uri := s.pushed(t, "conf")
	prefix := "urn:ietf:params:oauth:request_uri:"
	text := strings.TrimPrefix(uri, prefix)
	for what, address := range map[string]string{
		"by another client": pulled("other", uri), "by the public one": pulled("pub", uri), "nothing in it": pulled("conf", prefix), "forged": pulled("conf", prefix+strings.Repeat("A", 43)),
		"other letters": pulled("conf", prefix+strings.ToUpper(text)), "longer": pulled("conf", uri+"A"), "line break": pulled("conf", uri[:50]+"\n"+uri[50:]), "NUL": pulled("conf", prefix+"\x00"), "no UTF-8": pulled("conf", prefix+"\xff"),
		"long": pulled("conf", prefix+strings.Repeat("A", 9000)), "no client": "/authorize?request_uri=" + url.QueryEscape(uri), "twice": pulled("conf", uri) + "&request_uri=" + url.QueryEscape(uri),
		"two clients": pulled("conf", uri) + "&client_id=other", "unknown client": pulled("nobody", uri), "with a good redirect": pulled("other", uri, "redirect_uri", servertest.Redirect, "response_type", "code"),
	} {
		p := s.alice.Get(address)
		if p.Status != http.StatusBadRequest || p.Location != "" {
			t.Errorf("PA-02: %s got %d %s", what, p.Status, p.Location)
		}
		if telling.MatchString(p.Body) {
			t.Errorf("TK-07: %s: %s", what, p.Body)
		}
	}
	if got := sent(t, s.alice.Get(pulled("conf", uri, "request", "eyJhbGciOiJub25lIn0.e30."))); got.Get("error") != "invalid_request" {
		t.Errorf("JW-05: with a request object beside it got %v", got)
	}
	if got := sent(t, s.authorize(with("conf", "request_uri", "https://app.example/request.jwt"))); got.Get("error") != "request_uri_not_supported" {
		t.Errorf("JW-05: one that was not pushed got %v", got)
	}
	beside := pulled("conf", uri, "state", "evil", "redirect_uri", "https://evil.example/", "scope", "admin", "response_type", "token", "prompt", "none", "nonce", "evil", "response_mode", "form_post", "code_challenge", "x", "max_age", "-1")
	got := sent(t, s.alice.Get(beside+"&state=two&redirect_uri=x"))
	if got.Get("code") == "" || got.Get("state") != "af0ifjsldkj" {
		t.Fatalf("RFC 9101 §6.3: what stands beside it counts: %v", got)
	}
	p := s.post(t, "/token", "conf", codeForm(got.Get("code")))
	if p.Status != http.StatusOK || claims(t, words(t, p)["id_token"])["nonce"] != "n-0S6_WzA2Mj" {
		t.Errorf("RFC 9101 §6.3: the code got %d %s", p.Status, p.Body)
	}
	for _, e := range s.Events(t, audit.AuthorizeRefused) {
		if strings.Contains(e.Detail["error"], prefix) {
			t.Errorf("the trail holds a request_uri: %v", e.Detail)
		}
	}
}

// TestPushRefusals (PA-01, PA-05, JW-04, TK-01, F24): who may push, how, and that a request which would be refused at /authorize is not kept.
func TestPushRefusals(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	body := func(client string, pairs ...string) url.Values { return with(client, pairs...) }
	refused(t, "PA-01: another client_id", s.post(t, "/par", "conf", body("other")), "invalid_request")
	refused(t, "PA-01: the public client_id", s.post(t, "/par", "conf", body("pub")), "invalid_request")
	refused(t, "PA-01: one that does not exist", s.post(t, "/par", "conf", body("nobody")), "invalid_request")
	refused(t, "JW-04: no secret", s.call(t, http.MethodPost, "/par", body("conf")), "invalid_client")
	refused(t, "JW-04: a wrong one", s.call(t, http.MethodPost, "/par", body("conf"), "Authorization", basicOf("conf", "x")), "invalid_client")
	refused(t, "JW-04: in the body", s.call(t, http.MethodPost, "/par", body("conf", "client_secret", servertest.Secret)), "invalid_client")
	refused(t, "JW-04: twice", s.post(t, "/par", "conf", body("conf", "client_secret", servertest.Secret)), "invalid_request")
	refused(t, "JW-04: of the public client", s.call(t, http.MethodPost, "/par", body("pub", "client_secret", "x")), "invalid_client")
	for _, query := range []string{"client_id=other&client_secret=" + servertest.Secret, "client_id=conf", "state=x", "x"} {
		refused(t, "PA-05: ?"+query, s.call(t, http.MethodPost, "/par?"+query, body("conf"), "Authorization", basicOf("conf", servertest.Secret)), "invalid_request")
		refused(t, "PA-05: ?"+query+" and nothing else", s.call(t, http.MethodPost, "/par?"+query, body("other")), "invalid_request", "invalid_client")
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
		if p := s.call(t, method, "/par", body("conf"), "Authorization", basicOf("conf", servertest.Secret)); p.Status != http.StatusMethodNotAllowed {
			t.Errorf("TK-02: %s got %d", method, p.Status)
		}
	}
	for _, name := range []string{"state", "scope", "client_id", "redirect_uri", "response_type", "unknown", "claims"} {
		form := body("conf", "state", "s", "claims", "{}", "unknown", "x")
		form[name] = append(form[name], "again")
		refused(t, "F24: "+name+" twice", s.post(t, "/par", "conf", form), "invalid_request")
	}
	for _, media := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x"} {
		refused(t, "TK-02: "+media, s.call(t, http.MethodPost, "/par", body("conf"), "Authorization", basicOf("conf", servertest.Secret), "Content-Type", media), "invalid_request")
	}
	for _, c := range []struct {
		error string
		pairs []string
	}{
		{"invalid_request", []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}}, {"invalid_request", []string{"request_uri", s.pushed(t, "conf")}}, {"invalid_request", []string{"request_uri", "https://app.example/r"}},
		{"invalid_request", []string{"redirect_uri", "https://app.example@evil.com/callback"}}, {"invalid_request", []string{"redirect_uri", ""}}, {"unsupported_response_type", []string{"response_type", "token"}},
		{"invalid_scope", []string{"scope", "openid admin"}}, {"invalid_request", []string{"code_challenge", ""}}, {"invalid_request", []string{"code_challenge_method", "plain"}}, {"invalid_request", []string{"max_age", "-1"}},
		{"invalid_request", []string{"prompt", "none login"}}, {"invalid_request", []string{"response_mode", "fragment"}}, {"invalid_request", []string{"id_token_hint", "x"}}, {"invalid_request", []string{"claims", "["}},
		{"invalid_target", []string{"resource", "https://api.example"}}, {"registration_not_supported", []string{"registration", "{}"}}, {"invalid_request", []string{"state", strings.Repeat("x", 5000)}},
	} {
		refused(t, "at push: "+strings.Join(c.pairs, "=")[:min(60, len(strings.Join(c.pairs, "=")))], s.post(t, "/par", "conf", body("conf", c.pairs...)), c.error)
	}
	e := s.Events(t, audit.AuthorizeRefused)
	if len(e) == 0 {
		t.Fatal("AU-01: no refusal is on record")
	}
	if last := e[len(e)-1]; last.Client != "conf" || last.IP == "" || last.Outcome != audit.Refused || last.Reason != audit.BadRequest {
		t.Errorf("AU-01: the last refusal is on record as %+v", last)
	}
}

// TestPushHint: the person whom a hint names is kept, the hint is not.
func TestPushHint(t *testing.T) {
	t.Parallel()
	s := refusalsOnSQLite(t)
	id := s.tokens(t, "conf")["id_token"]
	uri := s.pushed(t, "conf", "id_token_hint", id, "prompt", "none")
	m := s.Browser(t)
	m.Follow(m.SignIn(m.Get("/account"), "mallory", servertest.Password, servertest.OtherTOTP))
	if got := sent(t, m.Get(pulled("conf", uri))); got.Get("error") != "login_required" {
		t.Errorf("AZ-09: alice's hint in mallory's browser got %v", got)
	}
	if got := sent(t, s.alice.Get(pulled("conf", uri))); got.Get("code") == "" {
		t.Errorf("AZ-09: alice's own hint got %v", got)
	}
}

// TestPushRequired: a client that is registered so has to push.
func TestPushRequired(t *testing.T) {
	t.Parallel()
	s := newRefusals(t, storetest.SQLite(t), strings.Replace(servertest.Sample(), "client_id: conf,", "client_id: conf, require_pushed_authorization_requests: true,", 1))
	if got := sent(t, s.authorize(with("conf"))); got.Get("error") != "invalid_request" || got.Get("state") == "" {
		t.Errorf("RFC 9126 §6: a request that was not pushed got %v", got)
	}
	b := s.Browser(t)
	s.clock.Add(31 * time.Second)
	if got := sent(t, b.Follow(b.SignIn(b.Get(pulled("conf", s.pushed(t, "conf"))), "alice", servertest.Password, servertest.TOTP))); got.Get("code") == "" {
		t.Errorf("RFC 9126 §6: a pushed one got %v", got)
	}
}

// TestPushedRace (PA-02, F7): 200 parallel completions of one request over two instances give one code and no fault.
func TestPushedRace(t *testing.T) {
	t.Parallel()
	refusalsOnEngines(t, func(t *testing.T, s *refusals) {
		second := s.Second(t)
		bases := []string{s.URL, second.URL}
		for range 3 {
			uri := s.pushed(t, "conf")
			var mu sync.Mutex
			var wg sync.WaitGroup
			got := map[string]int{}
			start := make(chan struct{})
			for i := range 200 {
				wg.Go(func() {
					<-start
					p := s.alice.Get(bases[i%2] + pulled("conf", uri))
					mu.Lock()
					defer mu.Unlock()
					u, err := url.Parse(p.Location)
					if err != nil || p.Status != http.StatusSeeOther {
						t.Errorf("a rival got %d %s", p.Status, p.Location)
						return
					}
					got[u.Query().Get("error")]++
				})
			}
			close(start)
			wg.Wait()
			if got[""] != 1 || got["invalid_request_uri"] != 199 {
				t.Fatalf("PA-02: 200 rivals got %v", got)
			}
		}
		if n := len(s.Events(t, audit.CodeIssued)); n != 3 {
			t.Errorf("PA-02: %d codes on record, want 3", n)
		}
	})
}

// TestPushTrips: a push is one write; beginning it costs one read more than a plain request, completing it nothing.
func TestPushTrips(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			s := newBench(t, e, "conf")
			trips := func(op func()) [2]int64 {
				r0, w0 := s.site.DB.Trips()
				op()
				r1, w1 := s.site.DB.Trips()
				return [2]int64{r1 - r0, w1 - w0}
			}
			var uri string
			push := func() {
				w := s.do(t, http.MethodPost, "/par", authorizeQuery("conf"), "Authorization", s.basic())
				uri = field(t, w.Body.String(), "request_uri")
			}
			pull := func() {
				if w := s.do(t, http.MethodGet, pulled("conf", uri), nil, "Cookie", s.cookie); !strings.Contains(w.Header().Get("Location"), "code=") {
					t.Fatalf("%d %s", w.Code, w.Header().Get("Location"))
				}
			}
			plain := func() { s.code(t) }
			push()
			pull()
			plain()
			best := func(op func()) [2]int64 { // the watch reads beside it now and then
				least := trips(op)
				for range 9 {
					push()
					if again := trips(op); again[0] < least[0] {
						least = again
					}
				}
				return least
			}
			if got := best(push); got != [2]int64{0, 1} {
				t.Errorf("a push takes %v reads and writes", got)
			}
			public := func() {
				if w := s.do(t, http.MethodPost, "/par", authorizeQuery("pub")); w.Code != http.StatusCreated {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			public()
			if got := best(public); got != [2]int64{0, 1} {
				t.Errorf("a push that has limits takes %v reads and writes", got)
			}
			if got, direct := best(pull), best(plain); got != [2]int64{direct[0] + 1, direct[1]} {
				t.Errorf("a pushed request takes %v reads and writes, a plain one %v", got, direct)
			}
		})
	}
}
