package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// differs is what two pages with one alert may differ in.
var differs = regexp.MustCompile(`name="form_token" value="[^"]*"|name="user_code" value="[^"]*"|user_code=[A-Z-]+`)

// TestDeviceGrantSameFace (RFC 8628 §5.1, EN-03): a code that never was, is used, was refused or has expired: one answer.
func TestDeviceGrantSameFace(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b, other := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		expired := a.television(t, "tv", "openid")
		a.clock.Add(10 * time.Minute)
		used, refused := a.television(t, "tv", "openid"), a.television(t, "tv", "openid")
		allows(t, b, b.Get(used.complete))
		b.Press(b.Get(refused.complete), "action", "disown")
		faces := map[string][]string{}
		for what, code := range map[string]string{"unknown": "BCDF-GHJK", "used": used.code, "refused": refused.code, "expired": expired.code, "not one": "1234-5678"} {
			p := other.Fill(shows(t, other.Get("/device"), `name="user_code"`), "user_code", code)
			face := fmt.Sprint(p.Status, differs.ReplaceAllString(p.Body, ""))
			faces[face] = append(faces[face], what)
			if got := other.Get("/device?user_code=" + code); what != "not one" && differs.ReplaceAllString(got.Body, "") != differs.ReplaceAllString(p.Body, "") {
				t.Errorf("%s by a link: %d\n%s", what, got.Status, got.Body)
			}
		}
		if len(faces) != 1 {
			t.Errorf("RFC 8628 §5.1: %d kinds of wrong codes are told apart", len(faces))
		}
		if used.told(t, "")["access_token"] == nil {
			t.Error("somebody else's tries have ended an approved request")
		}
		reasons := map[audit.Reason]int{}
		for _, e := range a.Events(t, audit.DeviceRefused) {
			reasons[e.Reason]++
		}
		if reasons[audit.WrongCode] != 3 || reasons[audit.Replayed] != 4 || reasons[audit.Expired] != 2 || reasons[audit.Disowned] != 1 {
			t.Errorf("AU-01: the trail says %v", reasons)
		}
	})
}

// TestDeviceGrantGuessing (RFC 8628 §5.1): ten wrong codes an hour, however many at once; then not even the right one is looked at. Links,
// which anybody can lead a browser to, keep nobody from typing, and user unlock helps.
func TestDeviceGrantGuessing(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		tv := a.television(t, "tv", "openid")
		b := a.signIn(t, "mallory", servertest.OtherTOTP)
		for range 15 { // a page that opens windows
			b.Get("/device?user_code=BCDF-GHJK")
		}
		if n := a.count(t, audit.DeviceRefused, audit.WrongCode); n != 10 {
			t.Errorf("RFC 8628 §5.1: %d wrong codes of links were looked at", n)
		}
		p := b.Get(tv.complete)
		if _, fields := shows(t, p, `name="user_code"`).Form(t); strings.Contains(p.Body, "Meeting room") || fields.Get("user_code") != tv.code || p.Alert() != "" {
			t.Errorf("after too many links: %q %q", fields.Get("user_code"), p.Alert())
		}
		shows(t, b.Fill(p), "Meeting room") // by a button, which no other page can press
		page := b.Get("/device")
		answers := parallel(40, func(int) *servertest.Page { return b.Fill(page, "user_code", "BCDF-GHJK") })
		looked := 0
		for _, p := range answers {
			if p.Status != http.StatusOK {
				t.Errorf("a try got %d", p.Status)
			}
			if strings.Contains(p.Alert(), "not right") {
				looked++
			}
		}
		if looked != 10 {
			t.Errorf("RFC 8628 §5.1: of 40 tries at once %d were looked at", looked)
		}
		for _, action := range []string{"", "allow", "disown"} {
			if p := b.Fill(page, "user_code", tv.code, "action", action); !strings.Contains(p.Alert(), "too many") {
				t.Errorf("RFC 8628 §5.1: after ten wrong ones the right code gets %d %q (%s)", p.Status, p.Alert(), action)
			}
		}
		alice := a.signIn(t, "alice", servertest.TOTP)
		allows(t, alice, alice.Get(tv.complete))
		a.clock.Add(time.Hour)
		b = a.signIn(t, "mallory", servertest.OtherTOTP)
		shows(t, b.Fill(b.Get("/device"), "user_code", "BCDF-GHJK"), "not right")
	})
}

// TestDeviceGrantUnlock: who had too many wrong codes is helped by an operator.
func TestDeviceGrantUnlock(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	tv := a.television(t, "tv", "openid")
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	page := b.Get("/device")
	for range 11 {
		b.Fill(page, "user_code", "BCDF-GHJK")
	}
	ok(t, a.Admin.Unlock(background, operator, "mallory"))
	shows(t, b.Fill(page, "user_code", tv.code), "Meeting room")
}

// TestDeviceGrantFlood (DO-06): strangers who ask in the name of a client without a secret fill their own room and nobody else's.
func TestDeviceGrantFlood(t *testing.T) {
	t.Parallel()
	a := behindProxy(t)
	a.ApplyFile(t, televisions)
	ask := func(client, ip string) int {
		form := url.Values{"client_id": {client}, "scope": {"openid"}}
		p := a.post(t, "/device_authorization", form, "X-Forwarded-For", ip)
		if p.Status == http.StatusTooManyRequests && (p.Header.Get("Retry-After") == "" || object(t, p)["error"] != "slow_down") {
			t.Errorf("over the limit: %v %s", p.Header, p.Body)
		}
		return p.Status
	}
	count := func(client string, ip func(int) string, n int) (ok int) {
		for i := range n {
			if ask(client, ip(i)) == http.StatusOK {
				ok++
			}
		}
		return ok
	}
	one := func(ip string) func(int) string { return func(int) string { return ip } }
	if n := count("tv", one("192.0.2.1"), 60); n != 50 {
		t.Errorf("one address has %d pending requests of one client", n)
	}
	if n := count("tv", func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, 60); n != 50 {
		t.Errorf("one /64 has %d", n)
	}
	if n := count("vault", func(i int) string { return fmt.Sprintf("192.0.2.%d", 2+i%100) }, 170); n != 150 {
		t.Errorf("one network has %d more", n)
	}
	if ask("tv", "198.51.100.1") != http.StatusOK {
		t.Error("DO-06: somebody else cannot ask any more")
	}
	if n := a.count(t, audit.TokenRefused, audit.Delayed); n != 40 {
		t.Errorf("AU-01: %d of 40 refusals are on record", n)
	}
	a.clock.Add(10 * time.Minute)
	if ask("tv", "192.0.2.1") != http.StatusOK {
		t.Error("ten minutes later the address has no room yet")
	}
}

// TestDeviceGrantPhishing (RFC 8628 §5.4, CS-01, RM-03): a link alone, a form of another site and one of another browser approve nothing, and
// lead nowhere else.
func TestDeviceGrantPhishing(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	victim := a.signIn(t, "alice", servertest.TOTP)
	tv := a.television(t, "tv", "openid")
	_, stolen := a.signIn(t, "mallory", servertest.OtherTOTP).Get(tv.complete).Form(t)
	_, own := shows(t, victim.Get(tv.complete), "Meeting room").Form(t)
	for what, c := range map[string]struct {
		form   url.Values
		header http.Header
	}{
		"no token":        {url.Values{"user_code": {tv.code}, "action": {"allow"}}, nil},
		"another's token": {url.Values{"user_code": {tv.code}, "action": {"allow"}, "form_token": stolen["form_token"]}, nil},
		"another site":    {url.Values{"user_code": {tv.code}, "action": {"allow"}, "form_token": own["form_token"]}, http.Header{"Origin": {"https://evil.example"}}},
		"cross-site":      {url.Values{"user_code": {tv.code}, "action": {"allow"}, "form_token": own["form_token"]}, http.Header{"Sec-Fetch-Site": {"cross-site"}}},
	} {
		r, err := http.NewRequest(http.MethodPost, a.URL+"/device", strings.NewReader(c.form.Encode()))
		ok(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range c.header {
			r.Header[k] = v
		}
		if p := victim.Do(r); p.Status != http.StatusForbidden {
			t.Errorf("CS-01: %s gets %d %s", what, p.Status, p.Location)
		}
	}
	for _, q := range []string{"&action=allow", "&action=disown", "&action=allow&form_token=" + own.Get("form_token"), "&done=", "&allow=1"} {
		if p := victim.Get(tv.complete + q); p.Location != "" || p.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("RFC 8628 §5.4: %s leads to %s", q, p.Location)
		}
	}
	tv.told(t, "authorization_pending")
	for _, code := range []string{"https://evil.example/", "//evil.example", "/../account", "%0d%0aLocation:%20https://evil.example", "javascript:alert(1)", "BCDF-GHJK%00", strings.Repeat("B", 9000)} {
		stranger := a.Browser(t)
		a.clock.Add(31 * time.Second)
		p := stranger.SignIn(stranger.Get("/device?user_code="+code), "mallory", servertest.Password, servertest.OtherTOTP)
		if p = stranger.Follow(p); !strings.HasPrefix(p.URL.String(), a.URL+"/") || strings.Contains(p.Body, "evil.example") {
			t.Errorf("RFC 9700 §4.11: %.30q leads to %s", code, p.URL)
		}
	}
	if p := victim.Do(request(t, http.MethodHead, a.URL+tv.complete)); p.Status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD gets %d", p.Status)
	}
}

// TestDeviceGrantStepUp (AZ-08): what the application needs of a sign-in, it needs here. The person comes back to the same code.
func TestDeviceGrantStepUp(t *testing.T) {
	t.Parallel()
	factorSites(t, remembering, func(t *testing.T, a *attack) {
		a.ApplyFile(t, televisions)
		b := a.remembered(t)
		tv, weak := a.television(t, "vault", "openid"), a.television(t, "tv", "openid")
		p := shows(t, b.Get(weak.complete), "Meeting room")
		p.Body = strings.ReplaceAll(p.Body, weak.code, tv.code)
		shows(t, b.Follow(b.Press(p, "action", "allow")), `name="code"`) // the button of another request's page
		tv.told(t, "authorization_pending")
		if p = shows(t, b.Follow(b.Get(tv.complete)), `name="code"`); strings.Contains(p.Body, tv.code) || !strings.Contains(p.Body, "Vault") {
			t.Errorf("AZ-08: before the second factor: %s", p.Body)
		}
		allows(t, b, code(b, p, a.totp(t, servertest.TOTP)))
		if claims := idToken(t, tv.told(t, "")); claims["acr"] != "urn:portvakt:acr:2fa" {
			t.Errorf("AZ-08: the device gets %v", claims["acr"])
		}
	})
}

// TestDeviceGrantGroups (contract §5): who may not use the application cannot approve it, and it goes on waiting for who may.
func TestDeviceGrantGroups(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	tv := a.television(t, "plant", "openid")
	b := a.signIn(t, "mallory", servertest.OtherTOTP)
	page := b.Get("/device")
	for _, action := range []string{"", "allow", "disown"} {
		if p := b.Fill(page, "user_code", tv.code, "action", action); p.Status != http.StatusForbidden {
			t.Errorf("contract §5: mallory gets %d %s", p.Status, p.Location)
		}
	}
	if p := b.Get(tv.complete); p.Status != http.StatusForbidden || strings.Contains(p.Body, "Plant") {
		t.Errorf("contract §5: mallory sees %d", p.Status)
	}
	if n := a.count(t, audit.DeviceRefused, audit.NotAllowed); n != 4 {
		t.Errorf("AU-01: %d of 4 refusals are on record", n)
	}
	tv.told(t, "authorization_pending")
	alice := a.signIn(t, "alice", servertest.TOTP)
	allows(t, alice, alice.Get(tv.complete))
	tv.told(t, "")
}

// TestDeviceGrantKiosk: for an application on a computer that many share the person signs in anew, and their browser keeps nothing; so does that of
// a person whose browsers keep nothing.
func TestDeviceGrantKiosk(t *testing.T) {
	t.Parallel()
	empty := func(t *testing.T, b *servertest.Browser) {
		t.Helper()
		for _, c := range []string{"portvakt", "portvakt-known", "portvakt-device"} {
			if b.Cookie(c) != "" {
				t.Errorf("the browser keeps the cookie %s", c)
			}
		}
		if in(b) {
			t.Error("who comes next is signed in")
		}
	}
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	a.clock.Add(time.Minute)
	tv := a.television(t, "counter", "openid")
	p := shows(t, b.Follow(b.Get(tv.complete)), `name="password"`)
	a.clock.Add(31 * time.Second)
	p = b.Follow(b.Fill(p, "username", "alice", "password", servertest.Password))
	allows(t, b, b.Fill(p, "code", a.totp(t, servertest.TOTP)))
	empty(t, b)
	tv.told(t, "")

	a.policies(t, "policies:\n  session: {groups: {staff: {kiosk: true}}}\n")
	for _, action := range []string{"allow", "disown"} {
		b = a.signIn(t, "mallory", servertest.OtherTOTP)
		tv = a.television(t, "tv", "openid")
		b.Press(shows(t, b.Get(tv.complete), "Meeting room"), "action", action)
		empty(t, b)
		tv.told(t, map[string]string{"allow": "", "disown": "access_denied"}[action])
	}
}

// TestDeviceGrantLocked (LK-06): a locked session approves nothing before its proof, and goes on with the same code then.
func TestDeviceGrantLocked(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	a.clock.Add(31 * time.Minute)
	tv := a.television(t, "tv", "openid")
	p := shows(t, b.Follow(b.Get(tv.complete)), "you go on where you were")
	allows(t, b, b.Fill(p, "code", a.totp(t, servertest.TOTP)))
	tv.told(t, "")
}

// TestDeviceGrantPressedTwice: a button pressed twice says twice that it is done, and does it once. To somebody else it is a used code.
func TestDeviceGrantPressedTwice(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		tv := a.television(t, "tv", "openid")
		b, other := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		p, theirs := shows(t, b.Get(tv.complete), "Meeting room"), shows(t, other.Get(tv.complete), "Meeting room")
		for range 2 {
			shows(t, b.Follow(b.Press(p, "action", "allow")), "Go back to your device")
		}
		shows(t, other.Press(theirs, "action", "allow"), "not right")
		shows(t, other.Press(theirs, "action", "disown"), "not right")
		if n := len(a.Events(t, audit.DeviceApproved)); n != 1 {
			t.Errorf("%d approvals are on record", n)
		}
		tv.told(t, "")
	})
}

// nothingCounts forgets wrong codes.
func nothingCounts(names ...string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		for _, name := range names {
			p, err := tx.PersonByName(name)
			if err != nil {
				return err
			}
			lockout.Lift(tx, p.User)
		}
		return nil
	}
}

// TestDeviceGrantRivals: of 60 decisions of two people at once, over two instances, one counts; of 100 polls one gets tokens, and those end,
// since the code came again. Nobody gets a 5xx.
func TestDeviceGrantRivals(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		second := &attack{a.Second(t), a.clock}
		alice, mallory := a.signIn(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		browsers := []*servertest.Browser{alice, at(alice, second.Site), mallory, at(mallory, second.Site)}
		ok(t, a.DB.Housekeep(background, nothingCounts("alice", "mallory")))
		for round := range 4 {
			tv := a.television(t, "tv", "openid offline_access")
			pages := make([]*servertest.Page, len(browsers))
			for i, b := range browsers {
				pages[i] = shows(t, b.Get("/device?user_code="+tv.code), "Meeting room")
			}
			before := len(a.Events(t, audit.DeviceApproved)) + a.count(t, audit.DeviceRefused, audit.Disowned)
			answers := parallel(16, func(i int) *servertest.Page {
				return browsers[i%4].Press(pages[i%4], "action", []string{"allow", "disown"}[i/4%2])
			})
			for _, p := range answers {
				if p.Status != http.StatusSeeOther && p.Status != http.StatusOK {
					t.Errorf("a rival gets %d", p.Status)
				}
			}
			if n := len(a.Events(t, audit.DeviceApproved)) + a.count(t, audit.DeviceRefused, audit.Disowned) - before; n != 1 {
				t.Fatalf("round %d: %d decisions count", round, n)
			}
			ok(t, a.DB.Housekeep(background, nothingCounts("alice", "mallory")))
		}
		for range 3 {
			tv := a.television(t, "tv", "openid offline_access")
			other := tv
			other.attack = second
			allows(t, alice, alice.Get(tv.complete))
			var won []map[string]any
			for _, p := range parallel(100, func(i int) *servertest.Page { return []television{tv, other}[i%2].polls(t) }) {
				switch o := object(t, p); {
				case p.Status == http.StatusOK:
					won = append(won, o)
				case p.Status != http.StatusBadRequest || o["error"] != "invalid_grant":
					t.Errorf("a rival gets %d %s", p.Status, p.Body)
				}
			}
			if len(won) != 1 {
				t.Fatalf("CO-02: %d of 100 polls got tokens", len(won))
			}
			if a.userInfo(t, won[0]) != http.StatusUnauthorized {
				t.Error("CO-02: the code came again, and its tokens work")
			}
		}
	})
}

// TestDeviceGrantRows (CR-06): neither rows nor trail hold a code, or where a device asked from, in clear.
func TestDeviceGrantRows(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			address := e.New(t)
			a := newAttack(t, address, servertest.Options{})
			a.ApplyFile(t, televisions)
			tv := a.television(t, "tv", "openid")
			b := a.signIn(t, "alice", servertest.TOTP)
			b.Fill(b.Get("/device"), "user_code", "BCDF-GHJK")
			allows(t, b, b.Get(tv.complete))
			tv.told(t, "")
			for _, table := range []string{"device_grants", "grants", "events", "attempts"} {
				rows := dump(t, a.open(t, address), table)
				for _, s := range []string{tv.code, strings.ReplaceAll(tv.code, "-", ""), tv.device, "127.0.0.1", "Roomware", "BCDFGHJK"} {
					if strings.Contains(rows, s) {
						t.Errorf("CR-06: %s holds %q in clear", table, s)
					}
				}
			}
		})
	}
}
