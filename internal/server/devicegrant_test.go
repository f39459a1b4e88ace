package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

// televisions are applications on devices: one that keeps no secret, one that does, one that asks for more than a password, one for
// administrators, one on a computer that many share, and one that gets no refresh token.
const televisions = `clients:
  - {client_id: tv, client_name: Meeting room, token_endpoint_auth_method: none, grant_types: ["` + deviceGrantType + `", refresh_token], scope: openid profile email offline_access rooms:book}
  - {client_id: box, client_name: Box, client_secret: ` + servertest.Secret + `, id_token_signed_response_alg: ES256, grant_types: ["` + deviceGrantType + `", refresh_token], scope: openid offline_access}
  - {client_id: vault, client_name: Vault, token_endpoint_auth_method: none, grant_types: ["` + deviceGrantType + `"], scope: openid, minimum_acr: "urn:portvakt:acr:2fa"}
  - {client_id: plant, client_name: Plant, token_endpoint_auth_method: none, grant_types: ["` + deviceGrantType + `"], scope: openid, allowed_groups: [admins]}
  - {client_id: counter, client_name: Counter, token_endpoint_auth_method: none, grant_types: ["` + deviceGrantType + `"], scope: openid, kiosk: true}
  - {client_id: brief, client_name: Brief, token_endpoint_auth_method: none, grant_types: ["` + deviceGrantType + `"], scope: openid offline_access}
`

// deviceSites is a site with televisions on each engine.
func deviceSites(t *testing.T, fn func(*testing.T, *attack)) {
	t.Helper()
	onEngines(t, func(t *testing.T, a *attack) { a.ApplyFile(t, televisions); fn(t, a) })
}

// deviceSite is one where storage does not decide.
func deviceSite(t testing.TB) *attack {
	t.Helper()
	a := onSQLite(t)
	a.ApplyFile(t, televisions)
	return a
}

// television is a device that asked.
type television struct {
	*attack
	client, device, code, page, complete string
}

// asks is the answer to a device authorization request (RFC 8628 §3.1).
func (a *attack) asks(t testing.TB, client string, pairs ...string) *servertest.Page {
	t.Helper()
	form, header := url.Values{"scope": {"openid"}}, []string{"User-Agent", "Roomware/3.1 (Linux; armv7)"}
	if client == "box" || client == "conf" {
		header = append(header, "Authorization", basic(client))
	} else {
		form.Set("client_id", client)
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return a.post(t, "/device_authorization", form, header...)
}

// television asks for a device of this client.
func (a *attack) television(t testing.TB, client, scope string) television {
	t.Helper()
	p := a.asks(t, client, "scope", scope)
	if p.Status != http.StatusOK || p.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
		t.Fatalf("the device gets %d %v %s", p.Status, p.Header, p.Body)
	}
	o := object(t, p)
	tv := television{attack: a, client: client}
	for name, to := range map[string]*string{"device_code": &tv.device, "user_code": &tv.code, "verification_uri": &tv.page, "verification_uri_complete": &tv.complete} {
		*to, _ = o[name].(string)
	}
	if o["expires_in"] != float64(600) || o["interval"] != float64(5) || !strings.HasSuffix(tv.page, "/device") || tv.complete != tv.page+"?user_code="+tv.code {
		t.Fatalf("RFC 8628 §3.2: %v", o)
	}
	tv.page, tv.complete = "/device", "/device?user_code="+tv.code // where the site listens
	return tv
}

// polls is the answer to one poll.
func (tv television) polls(t testing.TB) *servertest.Page {
	t.Helper()
	form, header := url.Values{"grant_type": {deviceGrantType}, "device_code": {tv.device}}, []string(nil)
	if tv.client == "box" {
		header = []string{"Authorization", basic(tv.client)}
	} else {
		form.Set("client_id", tv.client)
	}
	return tv.post(t, "/token", form, header...)
}

// told polls and compares the error; "": tokens.
func (tv television) told(t testing.TB, want string) map[string]any {
	t.Helper()
	p := tv.polls(t)
	o := object(t, p)
	got, _ := o["error"].(string)
	status := http.StatusBadRequest
	if want == "" {
		status = http.StatusOK
	}
	if got != want || p.Status != status || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("RFC 8628 §3.5: a poll gets %d %s, want %q", p.Status, p.Body, want)
	}
	quiet(t, p)
	return o
}

// allows presses the button.
func allows(t testing.TB, b *servertest.Browser, p *servertest.Page) {
	t.Helper()
	shows(t, b.Follow(b.Press(shows(t, b.Follow(p), `value="allow"`), "action", "allow")), "Go back to your device")
}

// TestDeviceGrant: a device asks, alice follows its address, signs in, sees what it is, allows it, and the device gets what any application
// gets: bound to her session, with how she proved who she is. Its code is then a used one, which ends all that came of it.
func TestDeviceGrant(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		before := len(a.Events(t))
		tv := a.television(t, "tv", "openid profile offline_access rooms:book")
		tv.told(t, "authorization_pending")
		b := a.Browser(t)
		b.Header.Set("Accept-Language", "en")
		a.clock.Add(31 * time.Second)
		tv.told(t, "authorization_pending")
		shows(t, b.Follow(b.Get(tv.complete)), "to connect a device")
		p := b.Follow(b.SignIn(b.Get(tv.complete), "alice", servertest.Password, servertest.TOTP))
		for _, want := range []string{"Meeting room", "Alice Åkerblom", "<b>" + tv.code + "</b>", "127.0.0.1", "<dd>Linux</dd>", "2026-11-21", "Your name, your user name", "rooms:book", "stay signed in",
			"Allow it only if you began this yourself"} {
			shows(t, p, want)
		}
		if p.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("RM-03: the page has %v", p.Header)
		}
		a.clock.Add(5 * time.Second)
		tv.told(t, "authorization_pending") // nothing is approved by looking
		allows(t, b, p)
		a.clock.Add(2 * time.Second)
		tokens := tv.told(t, "")
		claims, session := idToken(t, tokens), a.session(t, "alice")
		if claims["sid"] != string(session.ID) || claims["acr"] != "urn:portvakt:acr:2fa" || fmt.Sprint(words(claims["amr"])) != "[pwd otp mfa]" || claims["aud"] != "tv" ||
			claims["auth_time"] != float64(session.AuthTime.Unix()) || claims["name"] != "Alice Åkerblom" || claims["nonce"] != nil || tokens["scope"] != "openid profile offline_access rooms:book" {
			t.Errorf("the ID token says %v, the answer %v", claims, tokens["scope"])
		}
		if a.userInfo(t, tokens) != http.StatusOK {
			t.Error("userinfo refuses the access token")
		}
		renew := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}, "client_id": {"tv"}}
		fresh := a.post(t, "/token", renew)
		if fresh.Status != http.StatusOK {
			t.Fatalf("refresh: %d %s", fresh.Status, fresh.Body)
		}
		tv.told(t, "invalid_grant")
		if a.userInfo(t, tokens) != http.StatusUnauthorized {
			t.Error("CO-02: a device code that came again ended nothing")
		}
		renew.Set("refresh_token", object(t, fresh)["refresh_token"].(string))
		if p := a.post(t, "/token", renew); p.Status != http.StatusBadRequest {
			t.Errorf("CO-02: the refresh token of a code that came again gets %d", p.Status)
		}
		var got []string
		for _, e := range a.Events(t)[before:] {
			if strings.HasPrefix(string(e.Kind), "device_grant") || strings.HasPrefix(string(e.Kind), "token") || e.Kind == audit.CodeReplayed {
				got = append(got, fmt.Sprintf("%s/%s/%s %v", e.Kind, e.Reason, e.Client, e.Subject == string(session.User) && e.Session == string(session.ID)))
			}
		}
		want := "device_grant.requested//tv false|device_grant.approved//tv true|token.issued//tv true|token.refreshed//tv true|code.replayed/replayed/tv true|token.refused/revoked/tv true"
		if strings.Join(got, "|") != want {
			t.Errorf("AU-01: the trail says\n%s, want\n%s", strings.Join(got, "|"), want)
		}
	})
}

// TestDeviceGrantSecret: a client with a secret proves that it is it, at both endpoints, and gets its algorithm. Without refresh_token among its
// grant types, offline_access gives none.
func TestDeviceGrantSecret(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	box, short := a.television(t, "box", "openid offline_access"), a.television(t, "brief", "openid offline_access")
	for _, form := range []url.Values{{"client_id": {"box"}}, {"client_id": {"box"}, "client_secret": {servertest.Secret}}, {"client_id": {"nobody"}}, {}} {
		p := a.post(t, "/device_authorization", form)
		form.Set("grant_type", deviceGrantType)
		form.Set("device_code", box.device)
		if q := a.post(t, "/token", form); p.Status != http.StatusUnauthorized || q.Status != http.StatusUnauthorized {
			t.Errorf("JW-04: %v gets %d and %d", form, p.Status, q.Status)
		}
	}
	allows(t, b, b.Get(box.complete))
	allows(t, b, b.Get(short.complete))
	if tokens := box.told(t, ""); tokens["refresh_token"] == nil || idToken(t, tokens)["aud"] != "box" {
		t.Errorf("the client with a secret gets %v", tokens)
	}
	p := shows(t, b.Follow(b.Get(a.television(t, "brief", "openid offline_access").complete)), `value="allow"`)
	if tokens := short.told(t, ""); tokens["refresh_token"] != nil || strings.Contains(p.Body, "stay signed in") {
		t.Errorf("a client without refresh_token gets %v, and says so", tokens)
	}
}

// TestDeviceGrantTyped: the code as people type it (RFC 8628 §6.1).
func TestDeviceGrantTyped(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	for _, write := range []func(string) string{strings.ToLower, func(s string) string { return strings.ReplaceAll(s, "-", "") }, func(s string) string { return " " + strings.ReplaceAll(s, "-", " – ") + "." },
		func(s string) string { return strings.ToLower(s[:2]) + " " + s[2:] }} {
		tv := a.television(t, "tv", "openid")
		p := shows(t, b.Get(tv.page), `autocomplete="off"`)
		allows(t, b, b.Fill(p, "user_code", write(tv.code)))
		tv.told(t, "")
	}
}

// TestDeviceGrantRefused: "this was not me" ends it, on record, and nobody can approve it any more.
func TestDeviceGrantRefused(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		tv := a.television(t, "tv", "openid")
		b := a.signIn(t, "alice", servertest.TOTP)
		p := shows(t, b.Get(tv.complete), `value="disown"`)
		shows(t, b.Follow(b.Press(p, "action", "disown")), "You stopped it")
		tv.told(t, "access_denied")
		tv.told(t, "access_denied")
		if again := b.Press(p, "action", "allow"); !strings.Contains(again.Alert(), "not right") {
			t.Errorf("a refused request is approved after all: %d %s", again.Status, again.Location)
		}
		tv.told(t, "access_denied")
		if a.count(t, audit.DeviceRefused, audit.Disowned) != 1 || len(a.Events(t, audit.DeviceApproved)) != 0 {
			t.Errorf("AU-01: the trail says %v", a.Events(t, audit.DeviceRefused, audit.DeviceApproved))
		}
	})
}

// TestDeviceGrantSlowDown (RFC 8628 §3.5): a poll that comes too soon is told to wait, and from then on for 5 s longer each time, by whichever
// instance. Once a person has allowed it nobody waits.
func TestDeviceGrantSlowDown(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		tv := a.television(t, "tv", "openid")
		other := tv
		other.attack = &attack{a.Second(t), a.clock}
		both := []television{tv, other}
		for i, step := range []struct {
			after time.Duration
			want  string
		}{
			{0, "authorization_pending"}, {5, "authorization_pending"}, {4, "authorization_pending"}, {3, "slow_down"}, // 10 s from now on
			{8, "slow_down"}, {14, "authorization_pending"}, {10, "slow_down"}, {20, "authorization_pending"}, {0, "slow_down"}, {24, "authorization_pending"}, {26, "authorization_pending"},
		} {
			a.clock.Add(step.after * time.Second)
			if got := object(t, both[i%2].polls(t))["error"]; got != step.want {
				t.Fatalf("poll %d, %d s after the last, gets %v, want %s", i, step.after, got, step.want)
			}
		}
		b := a.signIn(t, "alice", servertest.TOTP)
		allows(t, b, b.Get(tv.complete))
		tv.polls(t)
		if n := len(a.Events(t, audit.TokenRefused)); n != 0 {
			t.Errorf("%d polls are on record as refusals", n)
		}
	})
}

// TestDeviceGrantTooLate: after ten minutes neither code works, also one that was approved in time.
func TestDeviceGrantTooLate(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tv, allowed := a.television(t, "tv", "openid"), a.television(t, "tv", "openid")
		allows(t, b, b.Get(allowed.complete))
		p := shows(t, b.Get(tv.complete), `value="allow"`)
		a.clock.Add(10 * time.Minute)
		if late := b.Press(p, "action", "allow"); !strings.Contains(late.Alert(), "not right") {
			t.Errorf("an expired request is approved: %d %s", late.Status, late.Location)
		}
		tv.told(t, "expired_token")
		allowed.told(t, "expired_token")
		a.clock.Add(2 * time.Hour)
		ok(t, a.DB.Housekeep(background, func(tx *store.Tx) error { _, err := tx.Sweep(); return err }))
		tv.told(t, "invalid_grant")
	})
}

// TestDeviceGrantEnded (SE-04, RT-04, CO-04, LK-06): what a person loses between the approval and the poll, the device does not get.
func TestDeviceGrantEnded(t *testing.T) {
	t.Parallel()
	strict := strings.Replace(televisions, "refresh_token], scope: openid profile email offline_access rooms:book}", "refresh_token], scope: openid profile email offline_access rooms:book, minimum_acr: phr}", 1)
	for name, end := range map[string]func(*testing.T, *attack, *servertest.Browser){
		"signed out": func(t *testing.T, a *attack, b *servertest.Browser) { b.Fill(b.Get("/logout")) },
		"disabled": func(t *testing.T, a *attack, _ *servertest.Browser) {
			ok(t, a.Admin.SetDisabled(background, operator, "alice", true))
		},
		"not allowed": func(t *testing.T, a *attack, _ *servertest.Browser) {
			a.ApplyFile(t, "groups: [nobody]\n"+strings.Replace(televisions, "rooms:book}", "rooms:book, allowed_groups: [nobody]}", 1))
		},
		"not enough": func(t *testing.T, a *attack, _ *servertest.Browser) { a.ApplyFile(t, strict) },
		"client gone": func(t *testing.T, a *attack, _ *servertest.Browser) {
			ok(t, a.Admin.RemoveClient(background, operator, "tv"))
		},
		"all sessions": func(t *testing.T, a *attack, _ *servertest.Browser) {
			_, _, err := a.Admin.EndSessions(background, operator, "alice")
			ok(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttack(t, storetest.SQLite(t), servertest.Options{NoWatch: true})
			a.ApplyFile(t, televisions)
			b := a.signIn(t, "alice", servertest.TOTP)
			tv, had := a.television(t, "tv", "openid profile"), a.television(t, "tv", "openid profile")
			allows(t, b, b.Get(had.complete))
			tokens := had.told(t, "")
			allows(t, b, b.Get(tv.complete))
			end(t, a, b)
			if p := tv.polls(t); p.Status/100 != 4 || object(t, p)["error"] != "invalid_grant" && object(t, p)["error"] != "invalid_client" {
				t.Errorf("SE-04: the device gets %d %s", p.Status, p.Body)
			}
			if a.userInfo(t, tokens) != http.StatusUnauthorized {
				t.Error("SE-04: the tokens that the device had still work")
			}
		})
	}
}

// TestDeviceGrantWrongRequests: what a device may not ask, each refused with the error of RFC 6749 §5.2 and on record.
func TestDeviceGrantWrongRequests(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	before := len(a.Events(t, audit.TokenRefused))
	for what, c := range map[string]struct {
		p    *servertest.Page
		want string
	}{
		"a client without the grant type": {a.asks(t, "conf"), "unauthorized_client"},
		"another's scope":                 {a.asks(t, "tv", "scope", "openid groups"), "invalid_scope"},
		"a long scope":                    {a.asks(t, "tv", "scope", strings.Repeat("a", 1025)), "invalid_scope"},
		"a resource":                      {a.asks(t, "tv", "resource", "https://api.example"), "invalid_target"},
		"a parameter twice":               {a.postRaw(t, "/device_authorization", "client_id=tv&scope=openid&scope=email"), "invalid_request"},
		"no device code":                  {television{attack: a, client: "tv"}.polls(t), "invalid_request"},
		"a made-up device code":           {television{attack: a, client: "tv", device: "pvd_" + strings.Repeat("A", 76)}.polls(t), "invalid_grant"},
		"no device code at all":           {television{attack: a, client: "tv", device: "x"}.polls(t), "invalid_grant"},
		"a code of the other kind":        {television{attack: a, client: "tv", device: mustCode(t, b.Get(authorizeURL("conf")))}.polls(t), "invalid_grant"},
		"a device code as a code": {a.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {a.television(t, "box", "openid").device},
			"redirect_uri": {servertest.Redirect}, "code_verifier": {verifier}}, "Authorization", basic("conf")), "invalid_grant"},
	} {
		if got := object(t, c.p)["error"]; got != c.want || c.p.Status != http.StatusBadRequest {
			t.Errorf("%s gets %d %s, want %s", what, c.p.Status, c.p.Body, c.want)
		}
		quiet(t, c.p)
	}
	if n := len(a.Events(t, audit.TokenRefused)) - before; n != 10 {
		t.Errorf("AU-01: %d of 10 refusals are on record", n)
	}
	if p := a.Browser(t).Get("/device_authorization"); p.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET gets %d", p.Status)
	}
	tv := a.television(t, "tv", "openid")
	for _, path := range []string{"/introspect", "/revoke"} {
		if p := a.post(t, path, url.Values{"token": {tv.device}}, "Authorization", basic("conf")); p.Status != http.StatusOK || strings.Contains(p.Body, "true") {
			t.Errorf("%s of a device code: %d %s", path, p.Status, p.Body)
		}
	}
}

// TestDeviceGrantOfAnother (CO-03): a device code in the wrong hands gives nothing, and ends what its owner would get.
func TestDeviceGrantOfAnother(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b := a.signIn(t, "alice", servertest.TOTP)
		tv := a.television(t, "tv", "openid")
		stolen := tv
		stolen.client = "box"
		stolen.told(t, "invalid_grant")
		tv.told(t, "authorization_pending") // it counted for nobody
		allows(t, b, b.Get(tv.complete))
		stolen.told(t, "invalid_grant")
		tv.told(t, "invalid_grant")
		if a.count(t, audit.TokenRefused, audit.WrongClient) != 2 {
			t.Errorf("AU-01: the trail says %v", a.Events(t, audit.TokenRefused))
		}
	})
}

// TestDeviceGrantCodes: user codes are 8 of 20 consonants, and no two devices have one.
func TestDeviceGrantCodes(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	var codes []string
	for range 40 {
		codes = append(codes, a.television(t, "tv", "openid").code)
	}
	for _, code := range codes {
		if len(code) != 9 || code[4] != '-' || strings.Trim(code, "BCDFGHJKLMNPQRSTVWXZ-") != "" {
			t.Errorf("RFC 8628 §6.1: %q", code)
		}
	}
	slices.Sort(codes)
	if len(slices.Compact(codes)) != 40 {
		t.Error("two devices have one code")
	}
}
