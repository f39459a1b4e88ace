package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/passwords"
)

// everySeat gives sessions of each form.
func everySeat() []seatRow {
	return []seatRow{{ID: "s1", Agent: "Firefox, Windows", IP: "192.0.2.17", Since: "2026-11-21 08:02", Used: "2026-11-21 09:42", This: true},
		{ID: "s2", Agent: "Safari, iPhone", IP: "2001:db8:85a3:8d3:1319:8a2e:370:7348", Since: "2026-11-20 17:30", Used: "2026-11-21 07:55", Locked: true},
		{ID: "s3", Agent: "–", Since: "2026-11-20 17:30", Used: "2026-11-20 17:31"}}
}

// everyPasswordPage gives each page of passwords in each of its forms.
func everyPasswordPage(b page) []shown {
	change := changePasswordPage{page: b, Action: "/account/password", Username: "anna", Hint: passwords.Hint{MinLength: 12}, CancelURL: "/account"}
	none := change
	none.None = true
	forgot := forgotPage{page: b, Action: "/forgot", SignInURL: "/account"}
	done, off := forgot, forgot
	done.Done, off.Off = true, true
	list := []shown{{"changepassword", change}, {"changepassword", none}, {"forgot", forgot}, {"forgot", done}, {"forgot", off}}
	for _, key := range []string{"current", "overtaken", "delayed", "short", "long", "not_text", "mismatch", "missing", "fresh"} {
		c := change
		c.Alert, c.AlertArgs = "alert."+key, []any{"minutes", 3, "min", 12, "max", 256}
		list = append(list, shown{"changepassword", c})
	}
	forgot.Alert = "alert.missing"
	return append(list, shown{"forgot", forgot})
}

// TestPasswordFields: docs/contract.md §3 has others find the fields by these values, and a button for each session.
func TestPasswordFields(t *testing.T) {
	p := mustPages(t)
	b := p.page("sv")
	for _, c := range []struct {
		s    shown
		want string
	}{
		{shown{"changepassword", changePasswordPage{page: b, Action: "/x", Username: "anna"}},
			"form_token= username=username current=current-password password=new-password repeat=new-password"},
		{shown{"changepassword", changePasswordPage{page: b, None: true}}, ""},
		{shown{"forgot", forgotPage{page: b, Action: "/x"}}, "form_token= username=username"},
		{shown{"forgot", forgotPage{page: b, Done: true}}, ""},
		{shown{"forgot", forgotPage{page: b, Off: true, Done: true}}, ""},
	} {
		_, doc := show(t, p, c.s)
		var got []string
		for _, in := range elements(doc, "input") {
			got = append(got, fmt.Sprintf("%s=%s", get(in, "name"), get(in, "autocomplete")))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %s", c.s, got)
		}
	}
	_, doc := show(t, p, shown{"signin", signinPage{page: b, Action: "/x"}})
	if len(find(doc, "href", "/forgot")) != 1 {
		t.Error("the sign-in page does not link to the forgotten-password page")
	}
	for n := range 4 {
		_, doc = show(t, p, shown{"home", homePage{page: b, SignOutAction: "/logout", Sessions: everySeat()[:n]}})
		var ends []string
		for _, f := range elements(doc, "form") {
			if id, ok := strings.CutPrefix(get(f, "action"), "/account/sessions/"); ok && len(elements(f, "button")) == 1 {
				ends = append(ends, id)
			}
		}
		if want := []string{"", "s1", "s1 s2 others", "s1 s2 s3 others"}[n]; strings.Join(ends, " ") != want {
			t.Errorf("%d sessions have the buttons %q, want %q", n, ends, want)
		}
	}
}

// TestPasswordFault: which fields an alert is about. The focus is on the first, since no password is shown again.
func TestPasswordFault(t *testing.T) {
	p := mustPages(t)
	for alert, want := range map[string]string{"": "", "alert.current": "current", "alert.short": "password", "alert.mismatch": "repeat",
		"alert.missing": "current password repeat", "alert.overtaken": "", "alert.delayed": ""} {
		_, doc := show(t, p, shown{"changepassword", changePasswordPage{page: p.page("en"), Alert: alert, AlertArgs: []any{"min", 1, "minutes", 2}}})
		var invalid []string
		for _, in := range elements(doc, "input") {
			if get(in, "aria-invalid") == "true" {
				invalid = append(invalid, get(in, "name"))
			}
			if has(in, "autofocus") != (get(in, "name") == "current") {
				t.Errorf("%s: the focus of %q", alert, get(in, "name"))
			}
		}
		if strings.Join(invalid, " ") != want {
			t.Errorf("%s blames %q, want %q", alert, invalid, want)
		}
	}
}
