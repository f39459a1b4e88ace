package server

import (
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/client"
)

// everyAppPage gives each page of an application's owner in each of its forms.
func everyAppPage(b page) []shown {
	one := appPage{page: b, ID: "intranet", Name: "Intranet", File: "main.go", Snippet: "x", Stacks: []stackRow{{"go", "Go", true}, {"node", "Node", false}},
		Settings: everySetting(), Endpoints: []param{{"issuer", "https://login.example.se"}}}
	full := one
	full.More, full.Misfit = true, true
	for _, c := range apps.Causes() {
		full.Troubles = append(full.Troubles, troubleRow{Kind: c, Args: []any{"at", 3, "of", 9, "status", "503", "error", "x"}, Hint: "What the application was told.", Count: 2,
			Last: "2026-11-22 09:00", Request: "01JD8Z6V7K2M"})
	}
	return append(everyProvePage(b), []shown{{"apps", appsPage{page: b, Apps: []appRow{{"Intranet", "intranet"}, {"Lön", "pay"}}}}, {"apps", appsPage{page: b}}, {"app", one}, {"app", full}}...)
}

// everyProvePage gives the page of trials in each of its states.
func everyProvePage(b page) []shown {
	none := provePage{page: b, ID: "intranet", Name: "Intranet", Action: "/apps/intranet/prove"}
	verdicts := []string{"refused", "went_on", "let_in", "", "unclear"}
	list := faultList{Title: "prove.faults", Lead: "prove.faults_what", Send: "begin"}
	for i, f := range append(client.Faults(), client.LogoutFaults()...) {
		list.Faults = append(list.Faults, faultRow{Kind: string(f), State: verdicts[i%5], Tried: "2026-11-22"})
	}
	none.Lists = []faultList{list, {Title: "prove.logouts", Lead: "prove.logouts_what", Send: "logout", Faults: list.Faults[:2]}}
	begin, next, armed, taken, done := none, none, none, none, none
	begin.Test, begin.Upcoming, next.Test, next.Upcoming, next.Judged, done.Test = true, "state", true, "nonce", 2, true
	armed.Test, armed.Kind, armed.State, armed.Alert = true, "nonce", "armed", "alert.version"
	taken.Test, taken.Kind, taken.State = true, "nonce", "taken"
	open := appPage{page: b, ID: "trial", Name: "Trial", Test: true, Stacks: []stackRow{{"go", "Go", true}}}
	return []shown{{"prove", none}, {"prove", begin}, {"prove", next}, {"prove", armed}, {"prove", taken}, {"prove", done}, {"app", open}}
}

// everySetting is a row for each label and each text of a registration.
func everySetting() []settingRow {
	var rows []settingRow
	for kind := range strings.FieldsSeq(settingKinds) {
		rows = append(rows, settingRow{Kind: kind, Values: []string{"a", "b"}})
	}
	for key := range strings.FieldsSeq(settingTexts) {
		rows = append(rows, settingRow{Kind: "auth", State: key, Args: []any{"time", "2026-11-22 09:00", "alg", "RS256"}})
	}
	return rows
}

const (
	settingKinds = "id auth certificate old_secret redirect postlogout backchannel frontchannel policy terms grants scope resources pkce pushed signed dpop access refresh idtoken acr groups changed"
	settingTexts = "auth.client_secret_basic auth.client_secret_post auth.private_key_jwt auth.tls_client_auth auth.none says.old_secret says.no_backchannel says.pkce says.no_pkce says.pushed says.signed_request " +
		"says.dpop says.jwt says.opaque says.rotates says.stays says.signed says.acr_any says.acr_2fa says.acr_phr says.everybody"
)

// appKeys are the texts that the pages of applications put together.
func appKeys() []string {
	keys := strings.Fields(settingTexts)
	for kind := range strings.FieldsSeq(settingKinds) {
		keys = append(keys, "setting."+kind)
	}
	keys = append(keys, "prove.faults", "prove.faults_what", "prove.logouts", "prove.logouts_what")
	for _, f := range append(client.Faults(), client.LogoutFaults()...) {
		keys = append(keys, "fault."+string(f), "fault."+string(f)+".why")
	}
	for _, c := range apps.Causes() {
		keys = append(keys, "trouble."+c)
	}
	return keys
}

// TestAppPage: what an owner copies is whole, and every trouble says what to do.
func TestAppPage(t *testing.T) {
	p := mustPages(t)
	for _, lang := range []string{"en", "sv"} {
		for _, s := range everyAppPage(p.page(lang)) {
			_, doc := show(t, p, s)
			if s.name == "app" && (len(elements(doc, "pre")) != 1 || len(elements(doc, "h2")) != 5) {
				t.Errorf("%s: %d snippets, %d headings", lang, len(elements(doc, "pre")), len(elements(doc, "h2")))
			}
		}
	}
}
