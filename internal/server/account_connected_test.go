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
	"github.com/portvakt/portvakt/internal/server/servertest"
)

var plugged = regexp.MustCompile(`(?s)<li data-connected="(device|browser)">.*?<h3>([^<]*)</h3>(.*?)action="/account/connected/([0-9A-V]{26})"`)

// connection is one row of a person's page.
type connection struct{ kind, app, says, id string }

// connected gives what is connected in a person's name, as their page says it.
func connected(t testing.TB, b *servertest.Browser) (rows []connection) {
	t.Helper()
	for _, m := range plugged.FindAllStringSubmatch(shows(t, b.Get("/account"), "data-session").Body, -1) {
		rows = append(rows, connection{m[1], m[2], m[3], m[4]})
	}
	return rows
}

// disconnects presses the button of a row.
func disconnects(t testing.TB, b *servertest.Browser, c connection) *servertest.Page {
	t.Helper()
	return b.FillWith(b.Get("/account"), `action="/account/connected/`+c.id+`"`)
}

// allowed is a device that b allowed, with its tokens.
func (a *attack) allowed(t testing.TB, b *servertest.Browser, client, scope string) (television, map[string]any) {
	t.Helper()
	tv := a.television(t, client, scope)
	allows(t, b, b.Get(tv.complete))
	return tv, tv.told(t, "")
}

// renews is the answer to a refresh token of a device.
func (tv television) renews(t testing.TB, token string) *servertest.Page {
	t.Helper()
	return tv.post(t, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {tv.client}})
}

// TestConnected: a person's page lists each device, and each application together with all its browsers, and what keeps nothing not at all. A
// button ends one with all that came of it, at both instances and on record, and leaves the others. It needs no fresh session.
func TestConnected(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b, phone := a.firefox(t, "alice", servertest.TOTP), a.signIn(t, "alice", servertest.TOTP)
		tv, tokens := a.allowed(t, b, "tv", "openid profile offline_access rooms:book")
		since := stamp(a)
		a.clock.Add(20 * time.Minute)
		_, kept := a.allowed(t, b, "box", "openid")
		a.clock.Add(time.Second)
		first := a.tokens(t, "conf", mustCode(t, b.Get(authorizeURL("conf", "scope", "openid email offline_access"))))
		second := a.tokens(t, "conf", mustCode(t, phone.Get(authorizeURL("conf", "scope", "openid profile offline_access"))))
		a.tokens(t, "rsa", mustCode(t, b.Get(authorizeURL("rsa", "scope", "openid"))))
		b.Get(authorizeURL("pss")) // its code is not redeemed
		renewed, used := tv.renews(t, tokens["refresh_token"].(string)), stamp(a)
		a.clock.Add(10 * time.Minute)
		rows := connected(t, b)
		var got []string
		for _, c := range rows {
			got = append(got, c.kind+" "+c.app)
		}
		if want := "browser conf|device Box|device Meeting room"; strings.Join(got, "|") != want {
			t.Fatalf("the page lists %s, want %s", strings.Join(got, "|"), want)
		}
		saysWhat(t, rows, since, used)
		before := len(a.Events(t))
		p := b.Follow(disconnects(t, b, rows[2]))
		if told(p) != "It is disconnected. What it had from you no longer works." {
			t.Errorf("the page says %q", told(p))
		}
		fresh := object(t, renewed)
		tv.attack = &attack{a.Second(t), a.clock}
		if p := tv.renews(t, fresh["refresh_token"].(string)); p.Status != http.StatusBadRequest || object(t, p)["error"] != "invalid_grant" {
			t.Errorf("RT-04: the refresh token of what was disconnected gets %d %s", p.Status, p.Body)
		}
		for _, o := range []map[string]any{tokens, fresh} {
			if tv.userInfo(t, o) != http.StatusUnauthorized {
				t.Error("RT-04: an access token of what was disconnected works at the other instance")
			}
		}
		if a.userInfo(t, kept) != http.StatusOK || a.userInfo(t, first) != http.StatusOK || !in(b) || !in(phone) {
			t.Error("more was disconnected than was asked for")
		}
		again := b.Post("/account/connected/"+rows[2].id, url.Values{"form_token": {token(t, p)}})
		if again.Location != a.URL+"/account?done=disconnected" {
			t.Errorf("pressed twice: %d %s", again.Status, again.Location)
		}
		if record := a.disconnections(t, before); record != "logout tv 1 "+rows[2].id {
			t.Errorf("AU-01: the trail says %s", record)
		}
		b.Follow(disconnects(t, b, rows[0]))
		for _, o := range []map[string]any{first, second} {
			if a.userInfo(t, o) != http.StatusUnauthorized || a.refresh(t, "conf", o["refresh_token"].(string)).Status != http.StatusBadRequest {
				t.Error("RT-04: an application was disconnected, and one of its browsers was not")
			}
		}
		if rest := connected(t, b); len(rest) != 1 || rest[0].app != "Box" {
			t.Errorf("still listed: %v", rest)
		}
	})
}

// saysWhat: each row says how it came, what it gets and when, and no more.
func saysWhat(t testing.TB, rows []connection, since, used string) {
	t.Helper()
	for i, list := range [][]string{{"In a browser", "Your name,", "Your e-mail", "stay signed in", "To act as you in conf"}, {"On a device that you allowed", "To act as you in Box"},
		{"On a device", "Your name,", "stay signed in", "What the application calls rooms:book", "Since " + since, "Last used " + used}} {
		for _, want := range list {
			if !strings.Contains(rows[i].says, want) {
				t.Errorf("%s does not say %q: %s", rows[i].app, want, rows[i].says)
			}
		}
	}
	if strings.Contains(rows[1].says, "stay signed in") || strings.Contains(rows[2].says, "e-mail") {
		t.Errorf("more is said than was given: %s", rows[1].says+rows[2].says)
	}
}

// disconnections are those of alice on record since an event.
func (a *attack) disconnections(t testing.TB, since int) string {
	t.Helper()
	var record []string
	alice := string(a.person(t, "alice").ID)
	for _, e := range a.Events(t)[since:] {
		if e.Kind == audit.TokenRevoked && e.Actor == alice && e.Subject == alice && e.Session != "" {
			record = append(record, fmt.Sprintf("%s %s %s %s", e.Reason, e.Client, e.Detail["grants"], e.Detail["grant"]))
		}
	}
	return strings.Join(record, "|")
}

// stamp is the present time as pages write it.
func stamp(a *attack) string { return a.Clock().In(time.Local).Format("2006-01-02 15:04") }

// TestConnectedOutlives: what is connected stays on the page when its session has run out, and goes with one that is ended.
func TestConnectedOutlives(t *testing.T) {
	t.Parallel()
	a := deviceSite(t)
	b := a.signIn(t, "alice", servertest.TOTP)
	_, tokens := a.allowed(t, b, "tv", "openid offline_access")
	since := stamp(a)
	a.clock.Add(5 * 24 * time.Hour)
	later := a.signIn(t, "alice", servertest.TOTP)
	if rows := connected(t, later); len(rows) != 1 || !strings.Contains(rows[0].says, "Since "+since) {
		t.Fatalf("after five days the page lists %v", rows)
	}
	tv, _ := a.allowed(t, later, "tv", "openid offline_access")
	if rows := connected(t, later); len(rows) != 2 {
		t.Fatalf("two devices of one application are %d rows", len(rows))
	}
	disconnects(t, later, connected(t, later)[1])
	if p := tv.renews(t, tokens["refresh_token"].(string)); p.Status != http.StatusBadRequest {
		t.Errorf("RT-04: a device that was disconnected after its session gets %d", p.Status)
	}
	later.Fill(later.Get("/logout"))
	a.clock.Add(time.Minute)
	if rows := connected(t, a.signIn(t, "alice", servertest.TOTP)); len(rows) != 0 {
		t.Errorf("SE-04: signed out, and still listed: %v", rows)
	}
}

// TestConnectedMail: who allowed a device is told, once, in their language: which application, where, when, and what to do. Nobody is told of
// what was refused.
func TestConnectedMail(t *testing.T) {
	t.Parallel()
	deviceSites(t, func(t *testing.T, a *attack) {
		b, mallory := a.firefox(t, "alice", servertest.TOTP), a.signIn(t, "mallory", servertest.OtherTOTP)
		a.clock.Add(time.Minute)
		stopped := a.television(t, "tv", "openid")
		b.Press(shows(t, b.Get(stopped.complete), `value="disown"`), "action", "disown")
		tv := a.television(t, "tv", "openid")
		p := shows(t, b.Get(tv.complete), `value="allow"`)
		for range 2 {
			b.Press(p, "action", "allow")
		}
		a.allowed(t, mallory, "box", "openid")
		all := a.AwaitPost(t, 2)
		when := stamp(a)
		want := "Hello Alice Åkerblom,\n\nAn application on a device was allowed to sign in as you at Exempelbolaget.\n\nApplication: Meeting room\nWhen: " + when +
			"\nAllowed in the browser: Firefox, Windows\nAt the address: 127.0.0.1\nThe device asked from: 127.0.0.1\n\nIf that was you, you need not do anything. " +
			"If it was not, or if somebody sent you the code, open " + a.URL + "/account, disconnect it under “Connected applications”, and tell your IT support at once.\n\nExempelbolaget"
		for _, m := range all {
			switch {
			case m.To == "alice@example.se" && m.Subject == "A device was signed in as you" && m.Body == want:
			case m.To == "mallory@example.se" && m.Subject == "En enhet har loggats in som du" && strings.Contains(m.Body, "Tjänst: Box\n") && strings.Contains(m.Body, "”Anslutna tjänster”"):
			default:
				t.Errorf("a mail to %s: %s\n%s", m.To, m.Subject, m.Body)
			}
		}
		if len(all) != 2 {
			t.Errorf("%d mails for two devices", len(all))
		}
	})
}
