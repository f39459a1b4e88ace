package server

import (
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/web"
)

func stylesheet(t *testing.T) string {
	t.Helper()
	raw, err := fs.ReadFile(web.FS, "static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(raw), "")
}

// TestClasses: every class of a page is styled, and every styled class is on some page; the same for custom properties.
func TestClasses(t *testing.T) {
	p, css := mustPages(t), stylesheet(t)
	onPages, inCSS := map[string]bool{}, map[string]bool{}
	for _, s := range everyPage(p, "en") {
		_, doc := show(t, p, s)
		for _, n := range elements(doc) {
			for c := range strings.FieldsSeq(get(n, "class")) {
				onPages[c] = true
			}
		}
	}
	for _, m := range regexp.MustCompile(`\.([a-zA-Z][\w-]*)`).FindAllStringSubmatch(css, -1) {
		inCSS[m[1]] = true
		if !onPages[m[1]] {
			t.Errorf("class %s is styled and on no page", m[1])
		}
	}
	for c := range onPages {
		if !inCSS[c] {
			t.Errorf("class %s is on a page and not styled", c)
		}
	}
	for _, m := range regexp.MustCompile(`(--[a-z-]+):`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, "var("+m[1]+")") {
			t.Errorf("%s is never used", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`var\((--[a-z-]+)\)`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, m[1]+":") {
			t.Errorf("%s is not defined", m[1])
		}
	}
	if strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("the style sheet fetches something")
	}
}

// TestContrast: 4.5 to 1 for text and 3 to 1 for what shows where a field is, in light and in dark (WCAG 2.2 SC 1.4.3, 1.4.11).
func TestContrast(t *testing.T) {
	css := stylesheet(t)
	tokens := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllStringSubmatch(css, -1) {
		tokens[m[1]] = [2]string{m[2], m[3]}
	}
	text := "ink/paper ink/card ink/sunk ink/tint soft/paper soft/card soft/sunk accent/paper accent/card accent/tint on-accent/accent bad/bad-tint"
	marks := "edge/paper edge/card accent/paper accent/card bad/paper bad/card"
	check := func(pairs string, least float64) {
		for pair := range strings.FieldsSeq(pairs) {
			fore, back, _ := strings.Cut(pair, "/")
			for i, scheme := range []string{"light", "dark"} {
				got := contrast(luminance(t, tokens[fore][i]), luminance(t, tokens[back][i]))
				if got < least {
					t.Errorf("%s in %s: %.2f, want %.1f", pair, scheme, got, least)
				}
				t.Logf("%-18s %-5s %5.2f", pair, scheme, got)
			}
		}
	}
	check(text, 4.5)
	check(marks, 3)
}

func contrast(a, b float64) float64 { return (max(a, b) + .05) / (min(a, b) + .05) }

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 24)
	if err != nil {
		t.Fatalf("colour %q: %v", hex, err)
	}
	linear := func(c uint64) float64 {
		v := float64(c&255) / 255
		if v <= .04045 {
			return v / 12.92
		}
		return math.Pow((v+.055)/1.055, 2.4)
	}
	return .2126*linear(rgb>>16) + .7152*linear(rgb>>8) + .0722*linear(rgb)
}

// TestFields: docs/contract.md §3 has others find fields by these values.
func TestFields(t *testing.T) {
	p := mustPages(t)
	b := p.page("sv")
	for _, c := range []struct {
		s    shown
		want string
	}{
		{shown{"signin", signinPage{page: b, Action: "/x", Version: 7}}, "form_token= version= username=username password=current-password"},
		{shown{"code", codePage{page: b, second: second{Action: "/x", Version: 7}}}, "form_token= version= code=one-time-code"},
		{shown{"enrol", enrolPage{page: b, Action: "/x", URI: "otpauth://totp/x"}}, "form_token= version= code=one-time-code"},
		{shown{"password", passwordPage{page: b, Action: "/x", Kind: "setup"}}, "form_token= username=username name=name email=email password=new-password repeat=new-password"},
		{shown{"password", passwordPage{page: b, Action: "/x", Kind: "reset"}}, "form_token= username=username password=new-password repeat=new-password"},
	} {
		_, doc := show(t, p, c.s)
		var got []string
		for _, in := range elements(doc, "input") {
			got = append(got, fmt.Sprintf("%s=%s", get(in, "name"), get(in, "autocomplete")))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s", c.s.name, got)
		}
	}
	_, doc := show(t, p, shown{"code", codePage{page: b, second: second{Action: "/x"}}})
	if get(elements(doc, "form")[0], "data-factor") != "totp" {
		t.Error("the code's form does not say which factor it is")
	}
	_, doc = show(t, p, shown{"enrol", enrolPage{page: b, Key: "JBSW Y3DP EHPK 3PXP A", URI: "otpauth://totp/x?secret=a&issuer=b"}})
	for _, n := range elements(doc, "code") {
		if get(n, "id") != "totp-key" || text(n) != "JBSWY3DPEHPK3PXPA" {
			t.Errorf("the key is %q in #%s", text(n), get(n, "id"))
		}
	}
}

// TestFocusAndFault: where the focus goes, and which fields an alert is about.
func TestFocusAndFault(t *testing.T) {
	p := mustPages(t)
	b := p.page("en")
	setup := func(alert, user, name, mail string) shown {
		return shown{"password", passwordPage{page: b, Kind: "setup", Alert: alert, AlertArgs: []any{"min", 1, "max", 2}, Username: user, Name: name, Email: mail}}
	}
	for _, c := range []struct {
		s              shown
		focus, invalid string
	}{
		{shown{"signin", signinPage{page: b}}, "username", ""},
		{shown{"signin", signinPage{page: b, Username: "anna", Again: true}}, "password", ""},
		{shown{"signin", signinPage{page: b, Username: "anna", Alert: "alert.credentials"}}, "password", "username password"},
		{shown{"signin", signinPage{page: b, Username: "anna", Alert: "alert.missing"}}, "password", "password"},
		{shown{"signin", signinPage{page: b, Username: "anna", Alert: "alert.version"}}, "password", ""},
		{shown{"code", codePage{page: b, second: second{Alert: "alert.code"}}}, "code", "code"},
		{shown{"enrol", enrolPage{page: b, URI: "otpauth://totp/x"}}, "", ""},
		{shown{"enrol", enrolPage{page: b, URI: "otpauth://totp/x", Alert: "alert.code_used"}}, "code", "code"},
		{setup("", "", "", ""), "username", ""},
		{setup("alert.username_taken", "anna", "Anna", "a@b.se"), "username", "username"},
		{setup("alert.email_bad", "anna", "Anna", "a"), "email", "email"},
		{setup("alert.name_bad", "anna", "Anna", "a@b.se"), "name", "name"},
		{setup("alert.missing", "anna", "", "a@b.se"), "name", "name password repeat"},
		{setup("alert.short", "anna", "Anna", "a@b.se"), "password", "password"},
		{setup("alert.mismatch", "anna", "Anna", "a@b.se"), "password", "repeat"},
	} {
		_, doc := show(t, p, c.s)
		var focus, invalid []string
		for _, in := range elements(doc, "input") {
			if has(in, "autofocus") {
				focus = append(focus, get(in, "name"))
			}
			if get(in, "aria-invalid") == "true" {
				invalid = append(invalid, get(in, "name"))
			}
		}
		if strings.Join(focus, " ") != c.focus || strings.Join(invalid, " ") != c.invalid {
			t.Errorf("%+v: focus %v, invalid %v", c.s, focus, invalid)
		}
	}
}
