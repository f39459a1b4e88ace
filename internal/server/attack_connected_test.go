package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestConnectedForeign (AD-02, CS-01): nobody disconnects another person's, or sees it, whatever the address and the form say; nor does another
// site in their browser, and what the session itself holds is none.
func TestConnectedForeign(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		alice, mallory := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		_, tokens := a.allowed(t, alice, "tv", "openid offline_access")
		target := connected(t, alice)[0].id
		form := token(t, mallory.Get("/account"))
		paths := []string{target, strings.ToLower(target), target + "?grant=" + target, "x/../" + target, "..%2fconnected%2f" + target, target[:25] + "%00", target[:25] + "%C3%A5", "%ff", "%25",
			"' or 1=1 --", strings.Repeat("0", 26), strings.Repeat("A", 5000), "all", "tv"}
		for i := range paths {
			paths[i] = strings.ReplaceAll(paths[i], " ", "%20")
		}
		var ordinary string
		a.tokens(t, "rsa", mustCode(t, alice.Get(authorizeURL("rsa", "scope", "openid"))))
		for _, e := range a.Events(t, audit.TokenIssued) {
			if e.Client == "rsa" {
				ordinary = e.Detail["grant"]
			}
		}
		for _, path := range append(paths, ordinary) {
			for _, extra := range []string{"", "grant", "user_id", "id", "client_id"} {
				fields := url.Values{"form_token": {form}}
				if extra != "" {
					fields.Set(extra, target)
				}
				if p := mallory.Post("/account/connected/"+path, fields); p.Status >= 500 || strings.Contains(p.Location, "done=") || p.Status/100 == 2 {
					t.Errorf("AD-02: %.40s with %s: %d %s", path, extra, p.Status, p.Location)
				}
			}
		}
		if p := mallory.Post("/account/connected/"+target, url.Values{"form_token": {form}}); p.Status != http.StatusNotFound {
			t.Errorf("AD-02: another's gets %d", p.Status)
		}
		if p := alice.Post("/account/connected/"+ordinary, url.Values{"form_token": {token(t, alice.Get("/account"))}}); ordinary == "" || p.Status != http.StatusNotFound {
			t.Errorf("a grant that keeps nothing, %q, gets %d", ordinary, p.Status)
		}
		a.forges(t, alice, target, form)
		stranger := a.Browser(t)
		if p := stranger.Post("/account/connected/"+target, url.Values{"form_token": {token(t, stranger.Get("/forgot"))}}); !strings.Contains(p.Location, "/login/") {
			t.Errorf("a stranger: %d %s", p.Status, p.Location)
		}
		if rows := connected(t, mallory); len(rows) != 0 || a.userInfo(t, tokens) != http.StatusOK || len(a.Events(t, audit.TokenRevoked)) != 0 {
			t.Errorf("AD-02: mallory sees %v, and the trail has %v", rows, a.Events(t, audit.TokenRevoked))
		}
	})
}

// forges sends what another site could make the browser of b send: none of it disconnects target.
func (a *attack) forges(t testing.TB, b *servertest.Browser, target, anothers string) {
	t.Helper()
	own := token(t, b.Get("/account"))
	for what, c := range map[string]struct {
		form   url.Values
		header http.Header
	}{
		"no token":        {url.Values{}, nil},
		"another's token": {url.Values{"form_token": {anothers}}, nil},
		"another site":    {url.Values{"form_token": {own}}, http.Header{"Origin": {"https://evil.example"}}},
		"cross-site":      {url.Values{"form_token": {own}}, http.Header{"Sec-Fetch-Site": {"cross-site"}}},
	} {
		r, err := http.NewRequest(http.MethodPost, a.URL+"/account/connected/"+target, strings.NewReader(c.form.Encode()))
		ok(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range c.header {
			r.Header[k] = v
		}
		if p := b.Do(r); p.Status != http.StatusForbidden {
			t.Errorf("CS-01: %s gets %d %s", what, p.Status, p.Location)
		}
	}
	if p := b.Get("/account/connected/" + target + "?form_token=" + own); p.Status != http.StatusMethodNotAllowed {
		t.Errorf("CS-01: GET gets %d", p.Status)
	}
}

// TestConnectedRivals (RT-04): while the device polls or refreshes, a button is pressed many times over two instances: one disconnection is on
// record, whatever the device got by then is dead, and nobody gets a 5xx.
func TestConnectedRivals(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		second := &attack{a.Second(t), a.clock}
		b := a.signIn(t, "alice", servertest.TOTP)
		browsers := []*servertest.Browser{b, at(b, second.Site)}
		for round := range 12 {
			tv := a.television(t, "tv", "openid offline_access")
			allows(t, b, b.Get(tv.complete))
			tokens := map[string]any{}
			if round%2 == 1 {
				tokens = tv.told(t, "")
			}
			row, form := connected(t, b)[0], url.Values{"form_token": {token(t, b.Get("/account"))}}
			before := len(a.Events(t, audit.TokenRevoked))
			answers := parallel(9, func(i int) *servertest.Page {
				switch {
				case i > 0:
					return browsers[i%2].Post("/account/connected/"+row.id, form)
				case round%2 == 1:
					return tv.renews(t, tokens["refresh_token"].(string))
				}
				return tv.polls(t)
			})
			for _, p := range answers[1:] {
				if p.Status != http.StatusSeeOther || !strings.HasSuffix(p.Location, "done=disconnected") {
					t.Errorf("a press gets %d %s", p.Status, p.Location)
				}
			}
			got := object(t, answers[0])
			if answers[0].Status == http.StatusOK {
				tokens = got
			} else if answers[0].Status != http.StatusBadRequest || got["error"] != "invalid_grant" {
				t.Errorf("the device gets %d %s", answers[0].Status, answers[0].Body)
			}
			if tokens["access_token"] != nil && (a.userInfo(t, tokens) != http.StatusUnauthorized || tv.renews(t, tokens["refresh_token"].(string)).Status != http.StatusBadRequest) {
				t.Error("RT-04: what the device got outlives the disconnection")
			}
			if n := len(a.Events(t, audit.TokenRevoked)) - before; n != 1 {
				t.Errorf("round %d: %d disconnections are on record", round, n)
			}
			if rows := connected(t, b); len(rows) != 0 {
				t.Fatalf("still listed: %v", rows)
			}
		}
	})
}

// TestConnectedEnded (SE-04, CO-04): who was disabled, signed out or locked meanwhile disconnects nothing before they sign in again; who was
// disabled has nothing left to disconnect.
func TestConnectedEnded(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		alice, mallory := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		_, hers := a.allowed(t, alice, "tv", "openid offline_access")
		tv, his := a.allowed(t, mallory, "tv", "openid offline_access")
		target, form := connected(t, mallory)[0].id, url.Values{"form_token": {token(t, mallory.Get("/account"))}}
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", true))
		if p := mallory.Post("/account/connected/"+target, form); !strings.Contains(p.Location, "/login/") {
			t.Errorf("who was disabled gets %d %s", p.Status, p.Location)
		}
		ok(t, a.Admin.SetDisabled(background, operator, "mallory", false))
		a.clock.Add(time.Minute)
		if rows := connected(t, a.signIn(t, "mallory", servertest.OtherTOTP)); len(rows) != 0 || a.userInfo(t, his) != http.StatusUnauthorized {
			t.Errorf("who was let in again has %v", rows)
		}
		if p := tv.renews(t, his["refresh_token"].(string)); p.Status != http.StatusBadRequest {
			t.Errorf("CO-04: the device of who was disabled gets %d", p.Status)
		}
		row, form := connected(t, alice)[0], url.Values{"form_token": {token(t, alice.Get("/account"))}}
		a.clock.Add(31 * time.Minute) // locked
		if p := alice.Post("/account/connected/"+row.id, form); !strings.Contains(p.Location, "/login/") || a.userInfo(t, hers) != http.StatusOK {
			t.Errorf("a locked session gets %d %s", p.Status, p.Location)
		}
	})
}

// TestConnectedMeanwhile: buttons that disconnect are pressed while the same session is signed out and its tokens are refreshed: none waits for
// another in a ring, as storetest.Postgres sees at the end, nobody gets a 5xx, and nothing outlives it.
func TestConnectedMeanwhile(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		second := &attack{a.Second(t), a.clock}
		for range 12 {
			b := a.signIn(t, "alice", servertest.TOTP)
			var all []map[string]any
			for range 3 {
				all = append(all, a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf")))))
			}
			_, device := a.allowed(t, b, "tv", "openid offline_access")
			rows, out := connected(t, b), b.Get("/logout")
			form, other := url.Values{"form_token": {token(t, b.Get("/account"))}}, at(b, second.Site)
			answers := parallel(10, func(i int) *servertest.Page {
				switch {
				case i == 0:
					return b.Fill(out)
				case i == 1:
					return second.refresh(t, "conf", all[0]["refresh_token"].(string))
				case i%2 == 0:
					return b.Post("/account/connected/"+rows[i/2%2].id, form)
				}
				return other.Post("/account/connected/"+rows[i/2%2].id, form)
			})
			for i, p := range answers {
				if p.Status >= 500 {
					t.Errorf("rival %d gets %d", i, p.Status)
				}
			}
			if o := object(t, answers[1]); o["access_token"] != nil {
				all = append(all, o)
			}
			for _, o := range append(all, device) {
				if a.userInfo(t, o) != http.StatusUnauthorized {
					t.Error("SE-04, RT-04: something outlives the sign-out")
				}
			}
			a.clock.Add(31 * time.Second)
		}
	})
}

// TestSignedOutTwice: a person signs out by the button of their page and by /logout at once: neither waits for the other in a ring.
func TestSignedOutTwice(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, a *attack) {
		second := a.Second(t)
		for range 12 {
			b := a.signIn(t, "alice", servertest.TOTP)
			tokens := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf"))))
			this, _ := seats(t, b)
			form, other := url.Values{"form_token": {token(t, b.Get("/account"))}}, at(b, second)
			out := other.Get("/logout")
			for i, p := range parallel(6, func(i int) *servertest.Page {
				if i%2 == 0 {
					return other.Fill(out)
				}
				return b.Post("/account/sessions/"+this, form)
			}) {
				if p.Status >= 500 {
					t.Errorf("rival %d gets %d", i, p.Status)
				}
			}
			if a.userInfo(t, tokens) != http.StatusUnauthorized {
				t.Error("SE-04: an access token outlives the sign-out")
			}
			a.clock.Add(31 * time.Second)
		}
	})
}
