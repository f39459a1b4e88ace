package server

import (
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portvakt/portvakt/web"
)

var everyWay = []string{"webauthn", "totp", "sms", "recovery"}

// asked is a page of second factors at a sign-in, with every other way open.
func asked(own string) second {
	ways := slices.DeleteFunc(slices.Clone(everyWay), func(w string) bool { return w == own })
	return second{Action: "/login/x", Version: 3, App: "Intranet", Ways: ways, Remember: 30}
}

// without is the same for the person's own page, with nothing to choose.
func without(d second) second {
	d.App, d.Ways, d.Remember = "", nil, 0
	return d
}

const (
	getOptions    = `{"publicKey":{"challenge":"AAAA","rpId":"id.example","userVerification":"preferred","allowCredentials":[{"type":"public-key","id":"BBBB"}]}}`
	createOptions = `{"publicKey":{"challenge":"AAAA","rp":{"id":"id.example","name":"Portvakt"},"user":{"id":"CCCC","name":"anna","displayName":"Anna"},"pubKeyCredParams":[]}}`
)

// everyFactorPage gives each page of second factors in each of its forms.
func everyFactorPage(b page) []shown {
	signin := signinPage{page: b, Action: "/login/x", Version: 3, App: "Intranet", Passkey: getOptions}
	home := everyHome(b)
	list := []shown{
		{"signin", signin}, {"code", codePage{b, asked("totp")}}, {"recovery", recoveryPage{b, asked("recovery")}}, {"recovery", recoveryPage{b, without(asked(""))}},
		{"passkey", passkeyPage{b, asked("webauthn"), getOptions}}, {"passkey", passkeyPage{b, without(asked("")), getOptions}},
		{"enrol", enrolPage{page: b, Action: "/login/x", Version: 3, Key: "JBSWY3DPEHPK3PXP", QRSize: 21, URI: "otpauth://totp/x", Ways: []string{"webauthn", "sms"}}},
		{"codes", codesPage{b, []string{"ABCDE-FGH23", "BCDEF-GHJ34", "CDEFG-HJK45", "DEFGH-JKM56"}, "/account"}},
		{"stop", stopPage{page: b, Action: "/account/stop", Factors: home[0].Factors, CancelURL: "/account"}},
		{"stop", stopPage{page: b, Action: "/account/stop", Factors: home[0].Factors, Alert: "alert.choose"}},
		{"lost", lostPage{page: b, Action: "/lost", SignInURL: "/account"}}, {"lost", lostPage{page: b, Action: "/lost", Username: "anna", Alert: "alert.recovery"}},
		{"lost", lostPage{page: b, Done: true, SignInURL: "/account"}},
	}
	for _, h := range home {
		list = append(list, shown{"home", h})
	}
	setup := asked("webauthn")
	setup.Ways, setup.Remember = []string{"totp"}, 0
	for _, alert := range []string{"", "alert.passkey", "alert.passkey_known", "alert.name_bad"} {
		for _, d := range []second{setup, without(setup)} {
			d.Alert = alert
			list = append(list, shown{"enrolpasskey", enrolPasskeyPage{b, d, createOptions, "Annas telefon"}})
		}
	}
	for _, alert := range []string{"", "alert.number", "alert.number_country", "alert.sms_off"} {
		d := without(asked(""))
		d.Action, d.CancelURL, d.Alert = "/account/add/sms", "/account", alert
		list = append(list, shown{"addnumber", addNumberPage{page: b, second: d, Phone: "070-174 06 05"}})
	}
	for _, state := range []string{"sending", "sent", "failed", "full"} {
		for _, alert := range []string{"", "alert.code", "alert.code_used", "alert.version"} {
			d := asked("sms")
			d.Alert = alert
			list = append(list, shown{"sms", smsPage{b, d, "••• 05", "KX", state, "/login/x/sms"}},
				shown{"addnumber", addNumberPage{page: b, second: without(d), Number: "••• 05", Mark: "KX", State: state, StatusURL: "/account/add/sms/state"}})
		}
	}
	for _, alert := range []string{"alert.recovery", "alert.passkey", "alert.version"} {
		d := asked("recovery")
		d.Alert = alert
		list = append(list, shown{"recovery", recoveryPage{b, d}}, shown{"passkey", passkeyPage{b, d, getOptions}})
	}
	return list
}

// everyHome gives /account with much, with little and with every notice.
func everyHome(b page) []homePage {
	full := homePage{page: b, Name: "Anna Åkesson", Username: "anna", Email: "anna@example.se", SignOutAction: "/logout", Since: "2026-11-21 09:42",
		Methods: []string{"method.password", "method.totp"}, Applications: []app{{"Intranet", "https://intranet.example/"}, {Name: "Lön"}},
		Factors: []factorRow{{ID: "f1", Kind: "totp", Added: "2026-02-03", Used: "2026-11-21 09:42"}, {ID: "f2", Kind: "sms", Name: "••• 05", Added: "2026-02-03"},
			{ID: "f3", Kind: "webauthn", Name: "Annas telefon", Added: "2026-06-24", Used: "2026-11-20 08:13"},
			{ID: "f4", Kind: "webauthn", Name: "Gamla datorn", Added: "2025-01-10", Used: "2026-01-12 16:30", Stopped: true, Allow: true}},
		Owner: true, Add: []string{"webauthn", "totp", "sms"}, RecoveryLeft: 8,
		Devices: []deviceRow{{"d1", "Firefox på Windows", "2026-11-20 08:13", "2026-12-20"}, {"d2", "Safari på iPhone", "2026-11-19 17:02", "2026-12-19"}}, Sessions: everySeat(), Connected: everyConnected()}
	bare := homePage{page: b, Name: "Anna", Username: "anna", SignOutAction: "/logout", Add: []string{"webauthn", "totp", "sms"},
		Methods: []string{"method.sms", "method.webauthn", "method.recovery", "method.device"}}
	list := []homePage{full, bare}
	for left := range 4 {
		few := full
		few.RecoveryLeft, few.Devices, few.Add, few.Sessions, few.Connected = left, full.Devices[:1], nil, full.Sessions[:1], full.Connected[2:]
		list = append(list, few)
	}
	for _, key := range noticeKeys() {
		told := full
		told.Notice = key
		list = append(list, told)
	}
	for _, key := range []string{"alert.last_factor", "alert.fresh", "alert.name_bad"} {
		told := full
		told.Alert = key
		list = append(list, told)
	}
	return list
}

func noticeKeys() []string {
	return strings.Fields("notice.added notice.removed notice.renamed notice.allowed notice.forgotten notice.stopped notice.ended notice.others notice.password notice.disconnected")
}

// checkHidden: every form of a page brings the form token back, and every form of a step its version. What leaves for an
// application brings neither.
func checkHidden(t *testing.T, at string, s shown, doc *html.Node) {
	t.Helper()
	if s.name == "formpost" {
		return
	}
	versioned := reflect.ValueOf(s.data).FieldByName("Version").IsValid()
	for _, f := range elements(doc, "form") {
		var tokens, versions int
		for _, in := range elements(f, "input") {
			if get(in, "type") == "hidden" && get(in, "name") == "form_token" {
				tokens++
			}
			if get(in, "type") == "hidden" && get(in, "name") == "version" {
				versions++
			}
		}
		if tokens != 1 || (versions == 1) != versioned {
			t.Errorf("%s: the form to %s has %d form tokens and %d versions", at, get(f, "action"), tokens, versions)
		}
	}
}

// find gives the elements that have an attribute of this value.
func find(doc *html.Node, key, value string) []*html.Node {
	return slices.DeleteFunc(elements(doc), func(n *html.Node) bool { return get(n, key) != value })
}

// TestFactorsAreMarked: docs/contract.md §3 has others find each way to prove oneself by data-factor.
func TestFactorsAreMarked(t *testing.T) {
	p := mustPages(t)
	b := p.page("sv")
	for own, s := range map[string]shown{
		"totp": {"code", codePage{b, asked("totp")}}, "sms": {"sms", smsPage{b, asked("sms"), "••• 05", "KX", "sent", ""}},
		"webauthn": {"passkey", passkeyPage{b, asked("webauthn"), getOptions}}, "recovery": {"recovery", recoveryPage{b, asked("recovery")}},
	} {
		_, doc := show(t, p, s)
		for _, kind := range everyWay {
			marked := find(doc, "data-factor", kind)
			if len(marked) != 1 {
				t.Fatalf("%s: %d elements for %s", s.name, len(marked), kind)
			}
			switch n := marked[0]; {
			case kind == own && (n.Data != "form" || get(n, "action") != "/login/x"):
				t.Errorf("%s: its own way is a %s", s.name, n.Data)
			case kind != own && (n.Data != "button" || get(n, "name") != "way" || get(n, "value") != kind):
				t.Errorf("%s: %s is %s %s=%s", s.name, kind, n.Data, get(n, "name"), get(n, "value"))
			}
		}
		if box := find(doc, "name", "remember"); len(box) != 1 || get(box[0], "value") != "1" || has(box[0], "checked") {
			t.Errorf("%s: the browser cannot be remembered, or is without being asked", s.name)
		}
	}
	_, doc := show(t, p, shown{"home", everyHome(b)[0]})
	for _, kind := range []string{"totp", "sms", "webauthn"} {
		marked := find(doc, "data-factor", kind)
		if add := marked[len(marked)-1]; add.Data != "a" || get(add, "href") != "/account/add/"+kind {
			t.Errorf("home: %s is added by %s %s", kind, add.Data, get(add, "href"))
		}
	}
	if again := find(doc, "data-factor", "recovery"); len(again) != 1 || again[0].Data != "button" || get(again[0].Parent, "action") != "/account/recovery" {
		t.Error("home: recovery codes are not managed")
	}
}

// TestFactorFields: docs/contract.md §3, as TestFields.
func TestFactorFields(t *testing.T) {
	p := mustPages(t)
	b := p.page("en")
	for _, c := range []struct {
		s    shown
		want string
	}{
		{shown{"signin", signinPage{page: b, Action: "/x", Passkey: "{}"}}, "username=username webauthn password=current-password"},
		{shown{"sms", smsPage{page: b, State: "sent", Mark: "KX"}}, "code=one-time-code"},
		{shown{"sms", smsPage{page: b, State: "failed", Mark: "KX"}}, "code=one-time-code"},
		{shown{"sms", smsPage{page: b, State: "full", Mark: "KX"}}, ""},
		{shown{"sms", smsPage{page: b, State: "failed"}}, ""},
		{shown{"recovery", recoveryPage{page: b}}, "recovery=one-time-code"},
		{shown{"enrolpasskey", enrolPasskeyPage{page: b}}, "name=off"},
		{shown{"addnumber", addNumberPage{page: b}}, "phone=tel"},
		{shown{"addnumber", addNumberPage{page: b, Number: "••• 05", State: "sent", Mark: "KX"}}, "code=one-time-code"},
		{shown{"lost", lostPage{page: b}}, "username=username recovery=one-time-code"},
		{shown{"stop", stopPage{page: b, Factors: []factorRow{{ID: "f1", Kind: "sms"}, {ID: "f2", Kind: "totp"}}}}, "factor= factor="},
	} {
		_, doc := show(t, p, c.s)
		var got []string
		for _, in := range elements(doc, "input") {
			if get(in, "type") != "hidden" {
				got = append(got, fmt.Sprintf("%s=%s", get(in, "name"), get(in, "autocomplete")))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s", c.s.name, got)
		}
	}
}

// TestSMSPage: what became of the message, and the mark that it carries.
func TestSMSPage(t *testing.T) {
	p := mustPages(t)
	for _, c := range []struct {
		state, alert   string
		lead, told     string // keys; told "" for no alert
		refresh, watch bool
		mark           bool
	}{
		{"sending", "", "sms.sending", "", true, true, true},
		{"sent", "", "sms.sent", "", false, false, true},
		{"failed", "", "sms.failed", "alert.sms_failed", false, false, true},
		{"full", "", "sms.none", "alert.sms_full", false, false, false},
		{"full", "alert.code", "sms.none", "alert.sms_full", false, false, false},
		{"none", "", "sms.none", "alert.sms_none", false, false, false},
		{"none", "alert.code", "sms.none", "alert.sms_none", false, false, false},
		{"sent", "alert.code", "sms.sent", "alert.code_sms", false, false, true},
		{"failed", "alert.code_used", "sms.failed", "alert.code_sms_used", false, false, true},
		{"sending", "alert.version", "sms.sending", "alert.version", true, true, true},
	} {
		b := p.page("en")
		d := asked("sms")
		d.Alert = c.alert
		v := smsPage{b, d, "••• 05", "KX", c.state, "/login/x/sms"}
		if c.state == "none" { // what waited is gone
			v.Number, v.Mark, v.State = "", "", "failed"
		}
		w, doc := show(t, p, shown{"sms", v})
		lead, _ := b.T(c.lead, "number", "••• 05")
		at := c.state + " " + c.alert
		if w.Code != http.StatusOK || !strings.Contains(text(doc), lead) {
			t.Errorf("%s: status %d, or the page does not say %q", at, w.Code, lead)
		}
		var told string
		if alerts := find(doc, "role", "alert"); len(alerts) == 1 {
			told = text(alerts[0])
		}
		want := ""
		if c.told != "" {
			want, _ = b.T(c.told)
		}
		if told != want {
			t.Errorf("%s: tells %q, want %q", at, told, want)
		}
		if got := len(find(doc, "http-equiv", "refresh")) == 1; got != c.refresh {
			t.Errorf("%s: refreshed without script: %v", at, got)
		}
		if got := len(find(doc, "data-status", "/login/x/sms")) == 1; got != c.watch {
			t.Errorf("%s: watched: %v", at, got)
		}
		if got := strings.Contains(text(doc), "KX"); got != c.mark {
			t.Errorf("%s: the mark is there: %v", at, got)
		}
		if len(find(doc, "value", "resend")) != 1 || len(find(doc, "value", "disown")) != 1 {
			t.Errorf("%s: no way to have it sent again, or to disown it", at)
		}
	}
}

// TestPasskeyForms: what the script needs is in the page, in its language, and nothing is in the way without it.
func TestPasskeyForms(t *testing.T) {
	p := mustPages(t)
	for _, lang := range []string{"en", "sv"} {
		b := p.page(lang)
		for _, c := range []struct {
			s                   shown
			does, starts, texts string
		}{
			{shown{"signin", signinPage{page: b, Action: "/x", Passkey: getOptions}}, "get", "list", "cancelled unable"},
			{shown{"passkey", passkeyPage{b, second{Action: "/x"}, getOptions}}, "get", "now", "cancelled unable"},
			{shown{"passkey", passkeyPage{b, second{Action: "/x", Remember: 7}, getOptions}}, "get", "", "cancelled unable"},
			{shown{"passkey", passkeyPage{b, second{Action: "/x", Alert: "alert.passkey"}, getOptions}}, "get", "", "cancelled unable"},
			{shown{"enrolpasskey", enrolPasskeyPage{b, second{Action: "/x"}, createOptions, "x"}}, "create", "", "cancelled unable known"},
		} {
			_, doc := show(t, p, c.s)
			form := find(doc, "data-passkey", c.does)[0]
			button, scripts := elements(form, "button")[0], elements(doc, "script")
			if get(form, "data-start") != c.starts || len(find(form, "name", "passkey")) != 1 || get(button, "type") != "button" {
				t.Errorf("%s: starts %q, or has no field or button", c.s.name, get(form, "data-start"))
			}
			if !has(button, "hidden") && !has(form, "hidden") {
				t.Errorf("%s: without script there is a button that does nothing", c.s.name)
			}
			if c.s.name != "signin" && len(elements(doc, "noscript")) != 1 {
				t.Errorf("%s: does not say that it needs script", c.s.name)
			}
			if want := map[string]string{"get": getOptions, "create": createOptions}[c.does]; get(form, "data-options") != want {
				t.Errorf("%s: the options became %s", c.s.name, get(form, "data-options"))
			}
			for key := range strings.FieldsSeq(c.texts) {
				if get(form, "data-"+key) == "" {
					t.Errorf("%s: no sentence for %s", c.s.name, key)
				}
			}
			if len(scripts) != 1 || get(scripts[0], "src") != p.asset("passkey.js") || get(scripts[0], "type") != "module" {
				t.Errorf("%s: the module is not there", c.s.name)
			}
		}
	}
	if _, doc := show(t, p, shown{"signin", signinPage{page: p.page("en"), Action: "/x"}}); len(elements(doc, "script")) != 0 || len(elements(doc, "form")) != 1 {
		t.Error("the sign-in page without passkeys has more than it had")
	}
}

// TestHome: what each factor and browser may have done to it.
func TestHome(t *testing.T) {
	p := mustPages(t)
	list := everyHome(p.page("en"))
	_, doc := show(t, p, shown{"home", list[0]})
	var got []string
	for _, f := range elements(doc, "form") {
		if b := elements(f, "button")[0]; strings.HasPrefix(get(f, "action"), "/account/") {
			got = append(got, strings.TrimPrefix(get(f, "action"), "/account/")+" "+get(b, "value"))
		}
	}
	want := "factors/f1 remove, factors/f2 remove, factors/f3 remove, factors/f3 rename, factors/f4 allow, factors/f4 remove, factors/f4 rename, " +
		"recovery , devices/d1 , devices/d2 , devices/all , sessions/s1 , sessions/s2 , sessions/s3 , sessions/others , connected/c1 , connected/c2 , connected/c3 , lock "
	if strings.Join(got, ", ") != want {
		t.Errorf("forms: %s", strings.Join(got, ", "))
	}
	for left, want := range map[int]bool{0: true, 1: true, 2: true, 3: false} {
		_, doc := show(t, p, shown{"home", list[2+left]})
		warned := strings.Contains(text(doc), "You have only") || strings.Contains(text(doc), "You have no recovery codes")
		if warned != want {
			t.Errorf("%d recovery codes left: warned %v", left, warned)
		}
	}
	for i, key := range noticeKeys() {
		_, doc := show(t, p, shown{"home", list[6+i]})
		if said := find(doc, "role", "status"); len(said) != 1 || text(said[0]) == "" {
			t.Errorf("%s is not said", key)
		}
	}
}

// TestScripts: what a script may not do. The policy of csp would stop the first two.
func TestScripts(t *testing.T) {
	names, err := fs.Glob(web.FS, "static/*.js")
	if err != nil || len(names) != 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		raw, err := fs.ReadFile(web.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq("eval( Function( innerHTML outerHTML insertAdjacentHTML document.write .style localStorage sessionStorage document.cookie import http:") {
			if strings.Contains(string(raw), word) {
				t.Errorf("%s has %s", name, word)
			}
		}
		if n := strings.Count(string(raw), "\n"); n > 90 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}
