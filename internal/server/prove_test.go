package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	oidcclient "github.com/coreos/go-oidc/v3/oidc"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// trialClients are test clients of alice and mallory, one for each algorithm, and one of theirs that is in production.
func trialClients() string {
	out := "clients:\n"
	for id, alg := range map[string]string{"try-rs": "RS256", "try-ps": "PS256", "try-es": "ES256", "try-ed": "EdDSA", "live": "ES256"} {
		test := "true"
		if id == "live" {
			test = "false"
		}
		out += "  - {client_id: " + id + ", client_name: Trial, client_secret: " + servertest.Secret + ", test: " + test + ", owners: [alice, mallory], id_token_signed_response_alg: " + alg +
			", redirect_uris: [\"" + servertest.Redirect + "\"], grant_types: [authorization_code, refresh_token], scope: openid profile offline_access}\n"
	}
	return out
}

func trialSites(t *testing.T, fn func(*testing.T, *attack)) {
	t.Helper()
	onEngines(t, func(t *testing.T, a *attack) { a.ApplyFile(t, trialClients()); fn(t, a) })
}

// begins presses the button for a fault, and gives the page that follows.
func begins(t testing.TB, b *servertest.Browser, id string, f client.Fault) *servertest.Page {
	t.Helper()
	_, form := shows(t, b.Get("/apps/"+id+"/prove"), `value="begin"`).FormWith(t, `value="begin"`)
	form.Set("fault", string(f))
	form.Set("action", "begin")
	return shows(t, b.Follow(b.Post("/apps/"+id+"/prove", form)), `value="stop"`)
}

// judges presses a button of the trial that is under way.
func judges(t testing.TB, b *servertest.Browser, id, answer string) *servertest.Page {
	t.Helper()
	return b.Follow(b.Press(shows(t, b.Get("/apps/"+id+"/prove"), `value="`+answer+`"`), "action", answer))
}

// sound signs in to a client as go-oidc and a careful developer do. The error says what stopped it; tokens are nil until they were got.
func (a *attack) sound(t testing.TB, b *servertest.Browser, id string) (tokens map[string]any, err error) {
	t.Helper()
	q := response(t, b.Get(authorizeURL(id)))
	if q.Get("state") != "af0ifjsldkj" {
		return nil, errors.New("state")
	}
	if q.Get("iss") != a.URL {
		return nil, errors.New("response_iss")
	}
	tokens = a.tokens(t, id, q.Get("code"))
	raw, _ := tokens["id_token"].(string)
	provider, err := oidcclient.NewProvider(context.Background(), a.URL)
	if err != nil {
		t.Fatal(err)
	}
	idToken, err := provider.Verifier(&oidcclient.Config{ClientID: id, Now: a.Clock}).Verify(context.Background(), raw)
	if err != nil {
		return tokens, err
	}
	if idToken.Nonce != "n-0S6_WzA2Mj" {
		return tokens, errors.New("nonce")
	}
	access, _ := tokens["access_token"].(string)
	if idToken.VerifyAccessToken(access) != nil {
		return tokens, errors.New("at_hash")
	}
	return tokens, nil
}

// TestProve: each fault reaches the test client of the person who asked, once, and a sound client stops it; what a careless one does is seen.
func TestProve(t *testing.T) {
	t.Parallel()
	trialSites(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		says := map[client.Fault]string{client.FaultState: "state", client.FaultResponse: "response_iss", client.FaultNonce: "nonce", client.FaultIssuer: "issued by a different provider",
			client.FaultAudience: "expected audience", client.FaultExpired: "expired", client.FaultKey: "failed to verify", client.FaultSignature: "failed to verify",
			client.FaultNone: "algorithm", client.FaultAtHash: "at_hash"}
		for _, id := range []string{"try-es", "try-rs", "try-ps", "try-ed"} {
			for _, f := range client.Faults() {
				if id != "try-es" && f != client.FaultKey && f != client.FaultSignature && f != client.FaultAtHash {
					continue
				}
				begins(t, b, id, f)
				if _, err := a.sound(t, b, id); err == nil || !strings.Contains(err.Error(), says[f]) {
					t.Errorf("%s %s: a sound client says %v", id, f, err)
				}
				if _, err := a.sound(t, b, id); err != nil {
					t.Errorf("%s %s: the next sign-in is faulty too: %v", id, f, err)
				}
				if p := judges(t, b, id, "out"); !strings.Contains(p.Body, "Stopped it") || strings.Contains(p.Body, "Let it through") || strings.Contains(p.Body, ">Went on<") {
					t.Errorf("%s %s: the table says\n%s", id, f, reads(p))
				}
			}
		}
		if p := b.Get("/apps/try-es/prove"); strings.Count(p.Body, "Stopped it") != len(client.Faults()) || strings.Contains(p.Body, "Try the next") {
			t.Errorf("after all:\n%s", reads(p))
		}
		a.careless(t, b)
		for kind, want := range map[audit.Kind]int{audit.TrialBegun: 22, audit.TrialFaulted: 22, audit.TrialJudged: 22} {
			if got := a.Events(t, kind); len(got) != want || got[0].Client == "" || got[0].Detail["fault"] == "" || got[0].Actor != got[0].Subject {
				t.Errorf("%s is on record %d times, want %d: %+v", kind, len(got), want, got)
			}
		}
	})
}

// careless is a client that redeems what it gets and asks for more about the person, and one that lets them in.
func (a *attack) careless(t testing.TB, b *servertest.Browser) {
	t.Helper()
	begins(t, b, "try-es", client.FaultState)
	a.tokens(t, "try-es", mustCode(t, b.Get(authorizeURL("try-es"))))
	if p := judges(t, b, "try-es", "out"); strings.Count(p.Body, ">Went on<") != 1 {
		t.Errorf("a code redeemed in spite of its state: %s", reads(p))
	}
	begins(t, b, "try-es", client.FaultNonce)
	tokens := a.tokens(t, "try-es", mustCode(t, b.Get(authorizeURL("try-es"))))
	if a.userInfo(t, tokens) != http.StatusOK {
		t.Error("userinfo")
	}
	if p := judges(t, b, "try-es", "out"); strings.Count(p.Body, ">Went on<") != 2 {
		t.Errorf("userinfo after a wrong nonce: %s", reads(p))
	}
	begins(t, b, "try-es", client.FaultIssuer)
	tokens = a.tokens(t, "try-es", mustCode(t, b.Get(authorizeURL("try-es"))))
	p := judges(t, b, "try-es", "in")
	if strings.Count(p.Body, "Let it through") != 1 {
		t.Errorf("let in: %s", reads(p))
	}
	refreshed := a.refresh(t, "try-es", tokens["refresh_token"].(string))
	if refreshed.Status != http.StatusOK {
		t.Fatalf("refresh: %d %s", refreshed.Status, refreshed.Body)
	}
	if claims := payload(t, object(t, refreshed)["id_token"].(string)); claims["iss"] != a.URL {
		t.Errorf("the refreshed ID token is faulty: %v", claims)
	}
}

// TestAttackProve (AC-01, CS-01): nobody makes a fault for another person, another's client or one in production, or by a link.
func TestAttackProve(t *testing.T) {
	t.Parallel()
	trialSites(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		m := a.firefox(t, "mallory", servertest.OtherTOTP)
		begins(t, b, "try-es", client.FaultNonce)
		for _, w := range []struct {
			who *servertest.Browser
			id  string
		}{{m, "try-es"}, {b, "try-rs"}, {b, "live"}} {
			if _, err := a.sound(t, w.who, w.id); err != nil {
				t.Errorf("AC-01: a fault that is not theirs: %s: %v", w.id, err)
			}
		}
		_, form := b.Get("/apps/try-es/prove").FormWith(t, `value="stop"`)
		form.Set("action", "begin")
		for _, w := range []struct {
			who    *servertest.Browser
			path   string
			fault  string
			status int
		}{
			{m, "/apps/conf/prove", "nonce", http.StatusNotFound},
			{m, "/apps/nothing/prove", "nonce", http.StatusNotFound},
			{b, "/apps/conf/prove", "nonce", http.StatusNotFound},
			{b, "/apps/live/prove", "nonce", http.StatusSeeOther},
			{b, "/apps/try-rs/prove", "no-such-fault", http.StatusSeeOther},
			{b, "/apps/try-rs/prove", "", http.StatusSeeOther},
		} {
			_, own := w.who.Get("/apps/try-ed/prove").FormWith(t, `value="begin"`)
			own.Set("action", "begin")
			own.Set("fault", w.fault)
			if p := w.who.Post(w.path, own); p.Status != w.status {
				t.Errorf("AC-01: %s %q gets %d %s", w.path, w.fault, p.Status, p.Location)
			}
		}
		form.Set("form_token", "forged")
		if p := b.Post("/apps/try-rs/prove", form); p.Status == http.StatusSeeOther && !strings.Contains(p.Location, "alert") {
			t.Errorf("CS-01: a forged form gets %d %s", p.Status, p.Location)
		}
		b.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Post("/apps/try-rs/prove", form); p.Status != http.StatusForbidden {
			t.Errorf("CS-01: a form of another site gets %d", p.Status)
		}
		b.Header.Del("Sec-Fetch-Site")
		b.Get("/apps/try-rs/prove?action=begin&fault=nonce")
		for _, id := range []string{"try-rs", "live", "conf"} {
			if _, err := a.sound(t, b, id); err != nil {
				t.Errorf("AC-01, CS-01: %s was armed: %v", id, err)
			}
		}
		if got := a.Events(t, audit.TrialBegun); len(got) != 1 {
			t.Errorf("%d trials begun", len(got))
		}
	})
}

// TestProveEnds: a fault waits for 10 minutes, can be taken back, ends with the registration as a test client, and goes to one of many sign-ins.
func TestProveEnds(t *testing.T) {
	t.Parallel()
	trialSites(t, func(t *testing.T, a *attack) {
		b := a.firefox(t, "alice", servertest.TOTP)
		begins(t, b, "try-es", client.FaultNonce)
		a.clock.Add(10*time.Minute + time.Second)
		if _, err := a.sound(t, b, "try-es"); err != nil {
			t.Errorf("after 10 minutes: %v", err)
		}
		begins(t, b, "try-es", client.FaultNonce)
		judges(t, b, "try-es", "stop")
		if _, err := a.sound(t, b, "try-es"); err != nil {
			t.Errorf("taken back: %v", err)
		}
		begins(t, b, "try-es", client.FaultNonce)
		q := response(t, b.Get(authorizeURL("try-es")))
		a.ApplyFile(t, strings.ReplaceAll(trialClients(), "test: true", "test: false"))
		eventually(t, "the registration", func() bool { c, err := a.DB.Client(t.Context(), "try-es"); return err == nil && !c.Test })
		if claims := payload(t, a.tokens(t, "try-es", q.Get("code"))["id_token"].(string)); claims["nonce"] != "n-0S6_WzA2Mj" {
			t.Errorf("a client in production got the fault: %v", claims)
		}
		a.ApplyFile(t, trialClients())
		judges(t, b, "try-es", "stop")
		eventually(t, "the registration", func() bool { c, err := a.DB.Client(t.Context(), "try-es"); return err == nil && c.Test })
		begins(t, b, "try-es", client.FaultState)
		var wrong sync.Map
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if q := response(t, b.Get(authorizeURL("try-es"))); q.Get("state") != "af0ifjsldkj" {
					wrong.Store(i, q.Get("code"))
				}
			})
		}
		all.Wait()
		n := 0
		wrong.Range(func(_, _ any) bool { n++; return true })
		if n != 1 {
			t.Errorf("RC-01: of 20 sign-ins %d got the fault", n)
		}
	})
}

// payload is what a JWT says, whoever signed it.
func payload(t testing.TB, token string) map[string]any {
	t.Helper()
	var out map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token+"..", ".")[1])
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatalf("%q is no JWT: %v", token, err)
	}
	return out
}
