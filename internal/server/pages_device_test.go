package server

import (
	"fmt"
	"strings"
	"testing"
)

// everyDeviceGrantPage gives each page of device grants in each of its forms.
func everyDeviceGrantPage(b page) []shown {
	code := userCodePage{page: b, Action: "/device"}
	wrong, waits := code, code
	wrong.Code, wrong.Alert = "BCDF", "alert.user_code"
	waits.Alert, waits.AlertArgs = "alert.delayed", []any{"minutes", 60}
	ask := deviceAskPage{page: b, Action: "/device", Code: "BCDF-GHJK", App: "Mötesrum", Name: "Anna Åkesson", Asked: "2026-11-21 09:42", IP: "192.0.2.17", Agent: "curl"}
	all := ask
	all.Scopes = []scopeRow{{Kind: "profile"}, {Kind: "email"}, {Kind: "phone"}, {Kind: "groups"}, {Kind: "offline_access"}, {Kind: "other", Name: "rooms:book"}}
	done := deviceDonePage{page: b, SignedIn: true}
	return []shown{{"device", code}, {"device", wrong}, {"device", waits}, {"deviceask", ask}, {"deviceask", all}, {"devicedone", done},
		{"devicedone", deviceDonePage{page: b}}, {"devicedone", deviceDonePage{page: b, Refused: true}}, {"devicedone", deviceDonePage{page: b, Refused: true, SignedIn: true}}}
}

// everyConnected gives connections of each form.
func everyConnected() []connectedRow {
	all := []scopeRow{{Kind: "profile"}, {Kind: "email"}, {Kind: "phone"}, {Kind: "groups"}, {Kind: "offline_access"}, {Kind: "other", Name: "rooms:book"}}
	return []connectedRow{{ID: "c1", App: "Mötesrum Kullen, bokning", Device: true, Scopes: all, Since: "2026-11-20 08:13", Used: "2026-11-21 09:42"},
		{ID: "c2", App: "Intranet", Scopes: all[:2], Since: "2026-09-01 07:58"}, {ID: "c3", App: "skärm-i-receptionen", Device: true, Since: "2026-11-21 09:41"}}
}

// TestDeviceGrantFields: docs/contract.md §3 has others find them by these names. What is approved says who, what, when and from where.
func TestDeviceGrantFields(t *testing.T) {
	p := mustPages(t)
	for _, s := range everyDeviceGrantPage(p.page("en")) {
		_, doc := show(t, p, s)
		var got []string
		for _, n := range elements(doc, "input", "button") {
			got = append(got, fmt.Sprintf("%s=%s", get(n, "name"), get(n, "value")))
		}
		want := map[string]string{"device": "form_token= user_code= =", "deviceask": "form_token= user_code=BCDF-GHJK action=allow action=disown", "devicedone": ""}[s.name]
		if fields := strings.Join(got, " "); fields != strings.Replace(want, "user_code= ", "user_code="+codeOf(s)+" ", 1) {
			t.Errorf("%s has %s, want %s", s.name, fields, want)
		}
		if body := text(doc); s.name == "deviceask" {
			for _, want := range []string{"BCDF-GHJK", "Mötesrum", "Anna Åkesson", "2026-11-21 09:42", "192.0.2.17", "curl", "Allow it only if you began this yourself"} {
				if !strings.Contains(body, want) {
					t.Errorf("RFC 8628 §5.4: what is approved does not say %q", want)
				}
			}
		}
	}
}

func codeOf(s shown) string {
	if d, ok := s.data.(userCodePage); ok {
		return d.Code
	}
	return ""
}
