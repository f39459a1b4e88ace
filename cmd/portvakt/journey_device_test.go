package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestDeviceGrant walks through what a person sees of a device that has no browser: a screen in a meeting room.
func TestDeviceGrant(t *testing.T) {
	walks(t, func(w *walk) {
		w.run("", "client", "add", "room", "--name", "Mötesrum Kullen, bokning", "--grant-type", roomGrant, "--grant-type", "refresh_token", "--auth-method", "none",
			"--scope", "openid profile email groups offline_access rooms:book")
		b := w.person()
		w.linkedCode(b)
		w.connected(b)
		w.typedCode(b)
	})
}

const roomGrant = "urn:ietf:params:oauth:grant-type:device_code"

// room is one request of the screen.
type room struct {
	Device   string `json:"device_code"`
	Code     string `json:"user_code"`
	Page     string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
}

// program posts a form as the screen's program does.
func (w *walk) program(endpoint string, form url.Values, into any) int {
	w.t.Helper()
	form.Set("client_id", "room")
	r, err := http.NewRequest(http.MethodPost, w.endpoint(endpoint), strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", "Kullen-Room/4.2")
	}
	status, body := w.fetch(r, err)
	if err := json.Unmarshal(body, into); err != nil {
		w.t.Fatalf("%s answers %d %s", endpoint, status, body)
	}
	return status
}

// asks waits until the service knows the screen, and has it ask.
func (w *walk) asks() (r room) {
	w.t.Helper()
	limit := time.Now().Add(15 * time.Second)
	for tick := time.NewTicker(25 * time.Millisecond); w.program("device_authorization_endpoint", url.Values{"scope": {"openid profile email groups offline_access rooms:book"}}, &r) != http.StatusOK; <-tick.C {
		if time.Now().After(limit) {
			w.t.Fatal("the service does not know the new application")
		}
	}
	return r
}

// polls gives what the screen is told.
func (w *walk) polls(r room) string {
	w.t.Helper()
	var told struct {
		Error   string `json:"error"`
		IDToken string `json:"id_token"`
	}
	if w.program("token_endpoint", url.Values{"grant_type": {roomGrant}, "device_code": {r.Device}}, &told) == http.StatusOK && told.IDToken != "" {
		return "tokens"
	}
	return told.Error
}

// linkedCode: bertil scans the screen's square, signs in, compares the code and allows it.
func (w *walk) linkedCode(b *tab) {
	w.t.Helper()
	r := w.asks()
	b.open(r.Complete)
	w.says(b, ".lead", "signin.device")
	w.picture(b, "device-signin")
	w.password(b, "bertil", demoPassword)
	w.bertilsCode(b)
	w.says(b, "h1", "device.ask_title")
	b.says(".pair b", r.Code)
	w.says(b, "form .alert", "device.warning")
	w.picture(b, "device-ask")
	if told := w.polls(r); told != "authorization_pending" {
		w.t.Errorf("before the button the screen gets %s", told)
	}
	b.press("[value=allow]")
	w.says(b, "h1", "device.allowed_title")
	w.picture(b, "device-allowed")
	if told := w.polls(r); told != "tokens" {
		w.t.Errorf("after the button the screen gets %s", told)
	}
}

// connected: a mail tells him of the screen, and on his own page he disconnects it.
func (w *walk) connected(b *tab) {
	w.t.Helper()
	w.mailed(bertils, "mail.device_connected")
	w.account(b)
	b.says("[data-connected=device] h3", "Mötesrum Kullen, bokning")
	w.picture(b, "connected")
	b.click("[data-connected=device] summary")
	b.says("[data-connected=device] li:last-child", w.word("scope.other", "scope", "rooms:book"))
	w.picture(b, "connected-may")
	if shown := w.run("", "user", "show", "bertil"); !strings.Contains(shown, "room (device), since ") {
		w.t.Errorf("an administrator sees\n%s", shown)
	}
	b.press("[data-connected=device] button")
	w.says(b, "[role=status]", "notice.disconnected")
	w.picture(b, "connected-ended")
}

// typedCode: he types the code of another, wrong at first, and stops it.
func (w *walk) typedCode(b *tab) {
	w.t.Helper()
	r := w.asks()
	b.open(r.Page)
	w.says(b, "h1", "device.title")
	w.picture(b, "device")
	b.fill("#user_code", "bcdf ghjk")
	b.press(submit)
	w.says(b, "[role=alert]", "alert.user_code")
	w.picture(b, "device-wrong")
	b.clear("#user_code")
	b.fill("#user_code", strings.ToLower(strings.ReplaceAll(r.Code, "-", "")))
	b.press(submit)
	b.says(".pair b", r.Code)
	b.press("footer a")
	b.says(".pair b", r.Code)
	b.press("footer a")
	b.press("[value=disown]")
	w.says(b, "h1", "device.refused_title")
	w.picture(b, "device-refused")
	if told := w.polls(r); told != "access_denied" {
		w.t.Errorf("the screen that was stopped gets %s", told)
	}
}
