package oidc_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// contest is two real processes on one Postgres, a browser in which alice is signed in at both, and applications that are told of the end of a session.
type contest struct {
	t      *testing.T
	urls   []string
	alice  *servertest.Browser
	signer signer
	rivals int
	told   *told
	busy   bool // a rival of this round was told to come later
}

// issuerOfTwo is what both processes are told.
const issuerOfTwo = "http://127.0.0.1:9"

// TestTwoProcesses: whatever counts once counts once, however many present it at the same time at two processes on one Postgres: one success, no
// 5xx (CO-02, RT-02, PA-02, JW-02, LO-05). RACE=200x100 makes it 200 rivals in 100 rounds.
func TestTwoProcesses(t *testing.T) {
	rivals, rounds := 60, 2
	if size := os.Getenv("RACE"); size != "" {
		a, b, _ := strings.Cut(size, "x")
		var err, err2 error
		if rivals, err = strconv.Atoi(a); err == nil {
			rounds, err2 = strconv.Atoi(b)
		}
		if err != nil || err2 != nil {
			t.Fatal("RACE is of the form 200x100")
		}
	}
	by, told := newSigner(t, "ES256"), newTold(t)
	both := startProcesses(t, "  - {"+signs("signs", set(t, by.public()))+"}\n  - {client_id: tv, client_name: TV, client_secret: "+servertest.Secret+", grant_types: ['urn:ietf:params:oauth:grant-type:device_code', refresh_token], scope: openid offline_access}\n"+told.registrations())
	c := &contest{t: t, urls: []string{both[0].url, both[1].url}, signer: by, rivals: rivals, told: told}
	c.alice = servertest.NewBrowser(t, c.urls[0])
	c.alice.Follow(c.alice.SignIn(c.alice.Get("/account"), "alice", servertest.Password, servertest.TOTP))
	waitForClient(t, c.alice, c.urls)
	for what, round := range map[string]func(){"code": c.code, "refresh token": c.refresh, "request_uri": c.pushed, "assertion": c.assertion, "proof": c.proof, "device code": c.device, "logout token": c.logout} {
		began := time.Now()
		for range rounds {
			c.play(round)
		}
		t.Logf("%s: %d rounds of %d rivals in %s: one success each", what, rounds, rivals, time.Since(began).Round(time.Millisecond))
	}
	told.once(t, both[0].db)
}

// play plays a round; one in which a busy machine told a rival to come later once more, but for RACE, where that does not count as a success.
func (c *contest) play(round func()) {
	c.t.Helper()
	for range 3 {
		c.busy = false
		if round(); !c.busy {
			return
		}
	}
	c.t.Fatal("three times in a row a rival was told to come later")
}

// post sends a form to one of the instances.
func (c *contest) post(i int, path string, form url.Values, header ...string) (int, map[string]any) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.urls[i%2]+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := plain.Do(r)
	if err != nil {
		c.t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	body := map[string]any{"nonce": resp.Header.Get("DPoP-Nonce")}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, body
}

// race lets all rivals go at once. One may win; the others have to be refused by this error. It gives what the winner got; nil if the round is to
// be played again.
func (c *contest) race(what, refusal string, try func(i int) (int, map[string]any)) map[string]any {
	c.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	var won []map[string]any
	start := make(chan struct{})
	for i := range c.rivals {
		all.Go(func() {
			<-start
			status, body := try(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case status == http.StatusOK:
				won = append(won, body)
			case status == http.StatusServiceUnavailable && os.Getenv("RACE") == "":
				c.busy = true
			case status >= 500 || body["error"] != refusal:
				c.t.Errorf("%s: a rival got %d %v", what, status, body)
			}
		})
	}
	close(start)
	all.Wait()
	if len(won) > 1 || len(won) == 0 && !c.busy {
		c.t.Fatalf("%s: %d successes", what, len(won))
	}
	if c.busy {
		return nil
	}
	return won[0]
}

// dead checks that what the winner got is worth nothing any more.
func (c *contest) dead(won map[string]any) {
	if won != nil {
		dead(c.t, c.urls, won)
	}
}

func (c *contest) code() {
	form := codeForm(codeFor(c.t, c.alice, "conf"))
	c.dead(c.race("code", "invalid_grant", func(i int) (int, map[string]any) { return postToken(c.t, c.urls[i%2], form, "conf") }))
}

func (c *contest) refresh() {
	status, first := postToken(c.t, c.urls[0], codeForm(codeFor(c.t, c.alice, "conf")), "conf")
	if status != http.StatusOK {
		c.t.Fatalf("token: %d %v", status, first)
	}
	form := refreshForm(first["refresh_token"].(string))
	c.dead(c.race("refresh token", "invalid_grant", func(i int) (int, map[string]any) { return postToken(c.t, c.urls[i%2], form, "conf") }))
}

func (c *contest) pushed() {
	status, body := c.post(0, "/par", authorizeQuery("conf"), "Authorization", basicOf("conf", servertest.Secret))
	if status != http.StatusCreated {
		c.t.Fatalf("par: %d %v", status, body)
	}
	path := "/authorize?" + url.Values{"client_id": {"conf"}, "request_uri": {body["request_uri"].(string)}}.Encode()
	c.race("request_uri", "invalid_request_uri", func(i int) (int, map[string]any) {
		p := c.alice.Get(c.urls[i%2] + path)
		u, err := url.Parse(p.Location)
		if err != nil || p.Status != http.StatusSeeOther {
			return p.Status, nil
		}
		if code := u.Query().Get("code"); code != "" {
			return http.StatusOK, nil
		}
		return http.StatusBadRequest, map[string]any{"error": u.Query().Get("error")}
	})
}

func (c *contest) assertion() {
	now := time.Now().Unix()
	form := asserted(c.signer.sign(c.t, "JWT", false, map[string]any{"iss": "signs", "sub": "signs", "aud": issuerOfTwo, "iat": now, "exp": now + 60, "jti": rand.Text()}), "grant_type", "client_credentials")
	c.race("assertion", "invalid_client", func(i int) (int, map[string]any) { return c.post(i, "/token", form) })
}

func (c *contest) proof() {
	own := url.Values{"grant_type": {"client_credentials"}}
	proof := func(nonce any) string {
		claims := map[string]any{"htm": "POST", "htu": issuerOfTwo + "/token", "iat": time.Now().Unix(), "jti": rand.Text(), "nonce": nonce}
		return c.signer.sign(c.t, "dpop+jwt", true, claims)
	}
	_, body := c.post(0, "/token", own, "Authorization", basicOf("conf", servertest.Secret), "DPoP", proof(nil))
	once := proof(body["nonce"])
	c.race("proof", "invalid_dpop_proof", func(i int) (int, map[string]any) {
		return c.post(i, "/token", own, "Authorization", basicOf("conf", servertest.Secret), "DPoP", once)
	})
}

func (c *contest) device() {
	status, asked := c.post(0, "/device_authorization", url.Values{"scope": {"openid offline_access"}}, "Authorization", basicOf("tv", servertest.Secret))
	if status != http.StatusOK {
		c.t.Fatalf("device: %d %v", status, asked)
	}
	address, _ := asked["verification_uri_complete"].(string)
	page := c.alice.Follow(c.alice.Get(strings.TrimPrefix(address, issuerOfTwo)))
	c.alice.Press(page, "action", "allow")
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {asked["device_code"].(string)}}
	c.race("device code", "invalid_grant", func(i int) (int, map[string]any) {
		return c.post(i, "/token", form, "Authorization", basicOf("tv", servertest.Secret))
	})
}
