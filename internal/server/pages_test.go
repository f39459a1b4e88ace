package server

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/portvakt/portvakt/internal/passwords"
)

// shown is a page to test with.
type shown struct {
	name string
	data view
}

// everyPage gives each page in each of its forms.
func everyPage(p *pages, lang string) []shown {
	b := p.page(lang)
	b.Brand, b.RequestID, b.OtherURL = "Exempelbolaget", "01JD8Z6V7K2M", "/login/x?ui_locales=other"
	back := b
	back.BackTo = "Intranet"
	signin := signinPage{page: back, Action: "/login/x", Version: 3, App: "Intranet"}
	code := codePage{page: b, second: second{Action: "/login/x", Version: 3, App: "Intranet"}}
	enrol := enrolPage{page: b, Action: "/login/x", App: "Intranet", QRSize: 21, QRPath: "M0 0h1v1h-1z", Key: "JBSWY3DPEHPK3PXP",
		URI: "otpauth://totp/Portvakt:anna?secret=JBSWY3DPEHPK3PXP&issuer=Portvakt"}
	setup := passwordPage{page: b, Action: "/link/x", Kind: "setup", Hint: passwords.Hint{MinLength: 12}}
	invitation := passwordPage{page: b, Action: "/link/x", Kind: "invitation", Username: "anna", Name: "Anna Åkesson",
		Hint: passwords.Hint{MinLength: 12, MinClasses: 3, Words: []string{"anna", "åkesson", `a "b" <c>`}}}
	own, ownCode, again, ownAgain, ownEnrol := signin, code, signin, signin, enrol
	own.App, ownCode.App, ownEnrol.App, ownAgain.App = "", "", "", ""
	again.Again, ownAgain.Again, again.Username = true, true, "anna"
	nameless, reset := invitation, invitation
	nameless.Name, reset.Kind = "", "reset"
	read := signin
	read.Policy, read.Terms = "https://intranet.example/privacy?a=1&b=2", "https://intranet.example/terms"
	list := []shown{
		{"signin", signin}, {"signin", read}, {"signin", own}, {"signin", signinPage{page: b, Action: "/login/x", Device: true}}, {"signin", again}, {"signin", ownAgain}, {"code", code}, {"code", ownCode},
		{"enrol", enrol}, {"enrol", ownEnrol}, {"password", setup}, {"password", invitation}, {"password", nameless}, {"password", reset},
		{"unlock", unlockPage{page: b, second: second{Action: "/login/x", Version: 3, Locked: true, Ways: []string{"totp"}}, Username: "anna"}},
		{"unlock", unlockPage{page: b, second: second{Action: "/login/x", Version: 3, Locked: true, Alert: "alert.password"}, Username: "anna"}},
		{"code", codePage{page: b, second: second{Action: "/login/x", Version: 3, Locked: true, Ways: []string{"password"}}}},
		{"renew", renewPage{page: b, second: second{Action: "/login/x", Version: 3}, Username: "anna", Hint: passwords.Hint{MinLength: 12}}},
		{"renew", renewPage{page: b, second: second{Action: "/login/x", Version: 3, Alert: "alert.short", AlertArgs: []any{"min", 12}}, Username: "anna", Hint: passwords.Hint{MinLength: 12}}},
		{"browser", browserPage{page: b, Action: "/link/x", Username: "anna"}},
		{"signout", signoutPage{page: b, App: "Intranet", Action: "/logout", Hidden: map[string]string{"a": "1", "b": "2"}, CancelURL: "/account"}},
		{"signout", signoutPage{page: b, Action: "/logout", Detail: "the id_token_hint is not an ID token that this service gave to this client"}},
		{"signedout", signedoutPage{page: b, App: "Intranet", BackURL: "https://intranet.example/", SignInURL: "/account"}},
		{"signedout", signedoutPage{page: b, BackURL: "https://intranet.example/"}},
		{"formpost", formpostPage{page: b, Action: "https://app.example/cb", Params: []param{{"code", "a b&c"}, {"state", "<s>"}}}},
	}
	for _, key := range alertKeys() {
		args := []any{"minutes", 3, "min", 12, "max", 256, "n", 3}
		s, c, e, w := signin, code, enrol, setup
		s.Alert, c.Alert, e.Alert, w.Alert = key, key, key, key
		s.AlertArgs, c.AlertArgs, e.AlertArgs, w.AlertArgs = args, args, args, args
		list = append(list, shown{"signin", s}, shown{"code", c}, shown{"enrol", e}, shown{"password", w})
	}
	for _, name := range problemNames() {
		v := b.problem(http.StatusBadRequest, name)
		v.Detail, v.BackURL = "client_id is not registered", "/account"
		list = append(list, shown{"problem", v})
	}
	return append(append(append(append(list, everyFactorPage(b)...), everyPasswordPage(b)...), everyDeviceGrantPage(b)...), everyAppPage(b)...)
}

// alertKeys and problemNames are what the rest of the server may name.
func alertKeys() []string {
	names := strings.Fields("credentials password code code_used delayed version short long mismatch username_taken username_bad name_bad missing email_bad not_text classes context listed used " +
		"number number_country sms_failed sms_full sms_kept sms_off passkey passkey_known recovery fresh last_factor choose current overtaken")
	for i, n := range names {
		names[i] = "alert." + n
	}
	return names
}

func problemNames() []string {
	return strings.Fields("flow_gone wrong_browser cookies_off busy outage not_found bad_form cross_site unknown_client bad_redirect no_redirect bad_request stale_request link_gone not_allowed too_large method " +
		"fault too_many stuck disowned")
}

func mustPages(t testing.TB) *pages {
	t.Helper()
	p, err := newPages()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// show renders a page and parses what came.
func show(t *testing.T, p *pages, s shown) (*httptest.ResponseRecorder, *html.Node) {
	t.Helper()
	w := httptest.NewRecorder()
	p.render(w, http.StatusOK, s.name, s.data)
	// Without scripting, what is in a noscript is read as the markup that it is.
	doc, err := html.ParseWithOptions(strings.NewReader(w.Body.String()), html.ParseOptionEnableScripting(false))
	if err != nil {
		t.Fatal(err)
	}
	return w, doc
}

// elements gives the elements of a document with one of the names, or all of them.
func elements(doc *html.Node, names ...string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, n.Data)) {
			out = append(out, n)
		}
	}
	return out
}

func get(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func text(n *html.Node) string {
	var sb strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			sb.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(sb.String())
}

func TestEveryPageIsSound(t *testing.T) {
	p := mustPages(t)
	for _, lang := range []string{"en", "sv"} {
		for _, s := range everyPage(p, lang) {
			w, doc := show(t, p, s)
			if w.Code != http.StatusOK {
				t.Fatalf("%s %s: status %d", s.name, lang, w.Code)
			}
			if strings.Contains(w.Body.String(), "ZgotmplZ") {
				t.Errorf("%s %s: a value was refused by html/template", s.name, lang)
			}
			checkDocument(t, s.name+" "+lang, doc, lang)
			checkForms(t, s.name+" "+lang, doc)
			checkNothingInline(t, s.name+" "+lang, doc)
			checkHidden(t, s.name+" "+lang, s, doc)
			alert := reflect.ValueOf(s.data).FieldByName("Alert")
			if alert.IsValid() && alert.String() != "" {
				checkAlert(t, s.name+" "+lang+" "+alert.String(), doc)
			}
		}
	}
}

func checkDocument(t *testing.T, at string, doc *html.Node, lang string) {
	t.Helper()
	if got := get(elements(doc, "html")[0], "lang"); got != lang {
		t.Errorf("%s: html lang is %q", at, got)
	}
	if h := elements(doc, "h1"); len(h) != 1 || text(h[0]) == "" {
		t.Errorf("%s: %d h1", at, len(h))
	}
	if h := elements(doc, "title"); len(h) != 1 || !strings.HasSuffix(text(h[0]), " · Exempelbolaget") {
		t.Errorf("%s: title is missing or has no brand", at)
	}
	link := elements(elements(doc, "footer")[0], "a")
	other := map[string]string{"en": "sv", "sv": "en"}[lang]
	if len(link) != 1 || get(link[0], "hreflang") != other || get(link[0], "lang") != other {
		t.Errorf("%s: the footer does not link to the page in %s", at, other)
	}
	ids := map[string]bool{}
	for _, n := range elements(doc) {
		if id := get(n, "id"); has(n, "id") && (id == "" || ids[id]) {
			t.Errorf("%s: id %q twice or empty", at, id)
		} else {
			ids[id] = true
		}
	}
	for _, n := range elements(doc) {
		for id := range strings.FieldsSeq(get(n, "aria-describedby")) {
			if !ids[id] {
				t.Errorf("%s: aria-describedby names %q, which is not there", at, id)
			}
		}
	}
}

// checkForms: docs/contract.md §3.
func checkForms(t *testing.T, at string, doc *html.Node) {
	t.Helper()
	labelled, focused := map[string]bool{}, 0
	for _, l := range elements(doc, "label") {
		labelled[get(l, "for")] = text(l) != ""
	}
	for _, f := range elements(doc, "form") {
		if get(f, "method") != "post" || get(f, "action") == "" || len(elements(f, "button")) == 0 {
			t.Errorf("%s: a form without method, action or button", at)
		}
		for _, b := range elements(f, "button") {
			if text(b) == "" || has(b, "name") != has(b, "value") || has(b, "aria-label") && !strings.HasPrefix(get(b, "aria-label"), text(b)) {
				t.Errorf("%s: button %q has no text, or half of a name and value, or is told by another name", at, text(b))
			}
		}
	}
	for _, in := range elements(doc, "input") {
		if get(in, "type") == "hidden" {
			continue
		}
		if !labelled[get(in, "id")] || get(in, "name") == "" || get(in, "autocomplete") == "" && get(in, "type") != "checkbox" {
			t.Errorf("%s: field %q lacks label, name or autocomplete", at, get(in, "name"))
		}
		if has(in, "autofocus") {
			focused++
			if has(in, "readonly") {
				t.Errorf("%s: focus on a field that cannot be changed", at)
			}
		}
	}
	if focused > 1 {
		t.Errorf("%s: %d fields want the focus", at, focused)
	}
}

// checkNothingInline: the policy of csp allows nothing inline, so a page that had some would be broken.
func checkNothingInline(t *testing.T, at string, doc *html.Node) {
	t.Helper()
	for _, n := range elements(doc) {
		if n.Data == "style" || n.Data == "script" && (!strings.HasPrefix(get(n, "src"), "/assets/") || n.FirstChild != nil) {
			t.Errorf("%s: inline %s", at, n.Data)
		}
		for _, a := range n.Attr {
			leads := a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction"
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || leads && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				t.Errorf("%s: %s has %s=%q", at, n.Data, a.Key, a.Val)
			}
		}
	}
}

// checkAlert: an alert is there once, and the field that has the focus points to it.
func checkAlert(t *testing.T, at string, doc *html.Node) {
	t.Helper()
	var alerts []*html.Node
	for _, n := range elements(doc) {
		if get(n, "role") == "alert" {
			alerts = append(alerts, n)
		}
		told := slices.Contains(strings.Fields(get(n, "aria-describedby")), "alert")
		if (has(n, "autofocus") || has(n, "aria-invalid")) && !told {
			t.Errorf("%s: field %q does not point to the alert", at, get(n, "name"))
		}
	}
	if len(alerts) != 1 || text(alerts[0]) == "" || get(alerts[0], "id") != "alert" || has(alerts[0], "hidden") {
		t.Errorf("%s: %d alerts", at, len(alerts))
	}
}

// TestManyAtOnce renders every page from several goroutines: none may see another's language or data.
func TestManyAtOnce(t *testing.T) {
	p := mustPages(t)
	want := map[string][]string{}
	for _, lang := range []string{"en", "sv"} {
		for _, s := range everyPage(p, lang) {
			w, _ := show(t, p, s)
			want[lang] = append(want[lang], w.Body.String())
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		for lang := range maps.Keys(want) {
			wg.Go(func() {
				for i, s := range everyPage(p, lang) {
					w := httptest.NewRecorder()
					p.render(w, http.StatusOK, s.name, s.data)
					if w.Body.String() != want[lang][i] {
						t.Errorf("%s %s differs when rendered beside others", s.name, lang)
					}
				}
			})
		}
	}
	wg.Wait()
}
