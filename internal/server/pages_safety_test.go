package server

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// poison sets every string that people or applications may have a say in. Keys of texts are ours.
func poison(v reflect.Value, probe string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(probe)
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), probe)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{probe: probe}))
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			ours := []string{"words", "Lang", "Alert", "AlertArgs", "Args", "Kind", "Methods", "Title", "Lead", "Next", "State", "Ways", "Add", "Notice"}
			if slices.Contains(ours, f.Name) {
				continue
			}
			poison(v.Field(i), probe)
		}
	}
}

// TestProbes puts script into every field of every page: threats.md RM-01, RM-02.
func TestProbes(t *testing.T) {
	p := mustPages(t)
	for _, probe := range []string{
		`"'><x-probe onclick=alert(1)></title></script></svg><script>alert(1)</script>`,
		`javascript:alert(1)`, `JaVaScRiPt:alert(1)`, "data:text/html,<script>alert(1)</script>", "//evil.example/", `/\evil.example/`,
	} {
		for _, s := range everyPage(p, "sv") {
			v := reflect.New(reflect.TypeOf(s.data)).Elem()
			v.Set(reflect.ValueOf(s.data))
			poison(v, probe)
			switch s.name {
			case "enrol":
				v.FieldByName("URI").SetString("otpauth://totp/" + probe)
			case "formpost":
				v.FieldByName("Action").SetString("https://app.example/?" + strings.ReplaceAll(probe, "#", ""))
			}
			w, doc := show(t, p, shown{s.name, v.Interface().(view)})
			if w.Code != http.StatusOK {
				t.Fatalf("%s with %q: status %d", s.name, probe, w.Code)
			}
			checkNothingInline(t, s.name+" "+probe, doc)
			checkLinks(t, s.name+" "+probe, doc)
			if len(elements(doc, "x-probe")) > 0 || !strings.Contains(text(doc), probe) {
				t.Errorf("%s: %q was not shown as the text that it is", s.name, probe)
			}
			if got := w.Header().Get("Content-Security-Policy"); strings.Count(got, ";") != 8 || strings.ContainsAny(got, "<(,\\") {
				t.Errorf("%s: %q has broken the policy: %s", s.name, probe, got)
			}
		}
	}
}

// checkLinks: a page links to http(s), to this site and to the authenticator app, and to nothing else.
func checkLinks(t *testing.T, at string, doc *html.Node) {
	t.Helper()
	for _, a := range elements(doc, "a") {
		href := get(a, "href")
		if link(href) == "" && !strings.HasPrefix(href, "otpauth://totp/") {
			t.Errorf("%s: links to %q", at, href)
		}
	}
}

func TestLink(t *testing.T) {
	for raw, want := range map[string]bool{
		"/": true, "/login/x?a=b": true, "https://app.example/": true, "http://localhost:8081/cb": true,
		"": false, "login": false, "//evil.example": false, `/\evil.example`: false, "javascript:alert(1)": false, "mailto:a@b.example": false,
		"com.example.app:/cb": false, "https:evil": false, "/\n/evil.example": false, "data:text/html,x": false,
	} {
		if got := link(raw); (got == raw) != want && raw != "" || got != "" && got != raw {
			t.Errorf("link(%q) = %q", raw, got)
		}
	}
}

// TestFormTarget: threats.md RM-01, and F19 of its section 2.
func TestFormTarget(t *testing.T) {
	p := mustPages(t)
	for raw, want := range map[string]bool{
		"https://app.example/cb": true, "https://app.example/cb?a=b&c=d": true, "http://localhost:8081/cb": true, "http://127.0.0.1/cb": true, "http://[::1]:9/cb": true,
		"http://app.example/cb": false, "http://localhost.evil.example/": false, "http://127.0.0.1.evil.example/": false, "https://": false, "https:app": false,
		"https://app.example@evil.example/": false, "https://app.example/#f": false, "https://app.example/#": false, "com.example.app:/cb": false,
		"javascript:alert(1)": false, "JavaScript://app.example/%0aalert(1)": false, "data:text/html,x": false, "/cb": false, "//app.example/cb": false, "": false,
	} {
		_, err := formTarget(raw)
		if (err == nil) != want {
			t.Errorf("formTarget(%q): %v", raw, err)
		}
		w, doc := show(t, p, shown{"formpost", formpostPage{page: p.page("en"), Action: raw, Params: []param{{"code", "secret"}}}})
		if !want && (w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret")) {
			t.Errorf("form to %q: status %d", raw, w.Code)
		}
		if want && get(elements(doc, "form")[0], "action") != raw {
			t.Errorf("form to %q has action %q", raw, get(elements(doc, "form")[0], "action"))
		}
	}
}

// TestFormPostValues: what the application receives is what was given, to the byte.
func TestFormPostValues(t *testing.T) {
	p := mustPages(t)
	params := []param{{"state", `"><script>alert(1)</script>&amp;`}, {"submit", "åäö %20+"}, {"iss", "https://id.example"}}
	_, doc := show(t, p, shown{"formpost", formpostPage{page: p.page("sv"), Action: "https://app.example/cb", Params: params}})
	var got []param
	for _, in := range elements(doc, "input") {
		got = append(got, param{get(in, "name"), get(in, "value")})
	}
	if !slices.Equal(got, params) {
		t.Errorf("got %q", got)
	}
}

func TestCSP(t *testing.T) {
	const rest = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action %; frame-ancestors 'none'; base-uri 'none'"
	for in, want := range map[string]string{
		"": "'self'", "'self'": "'self'", "'self' https://app.example:8443": "'self' https://app.example:8443", "'self' com.example.app:": "'self' com.example.app:",
		"'self'; script-src *": "'self'", "https://a, default-src *": "'self'", "a\r\nSet-Cookie: b": "'self'", "https://å.example": "'self'",
	} {
		if got := csp(in); got != strings.Replace(rest, "%", want, 1) {
			t.Errorf("csp(%q) = %s", in, got)
		}
	}
}

func TestRenderHeaders(t *testing.T) {
	p := mustPages(t)
	v := p.page("en").problem(http.StatusServiceUnavailable, "outage")
	v.FormAction = "'self' https://app.example"
	w := httptest.NewRecorder()
	p.render(w, v.Status, "problem", v)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := w.Header().Get("Content-Security-Policy"); got != csp(v.FormAction) {
		t.Errorf("policy %s", got)
	}
}

// TestFaultyPage: whatever is wrong with a page, no half of it is sent.
func TestFaultyPage(t *testing.T) {
	p := mustPages(t)
	b := p.page("en")
	for what, s := range map[string]shown{
		"no such page":      {"nothing", signinPage{page: b}},
		"another's data":    {"code", homePage{page: b}},
		"no such alert":     {"signin", signinPage{page: b, Alert: "alert.nothing"}},
		"no value":          {"signin", signinPage{page: b, Alert: "alert.delayed"}},
		"no such problem":   {"problem", b.problem(http.StatusNotFound, "nothing")},
		"no such kind":      {"password", passwordPage{page: b, Kind: "nothing"}},
		"no language":       {"signin", signinPage{}},
		"a scheme not ours": {"enrol", enrolPage{page: b, URI: "javascript:alert(1)//otpauth://totp/"}},
	} {
		w := httptest.NewRecorder()
		p.render(w, http.StatusOK, s.name, s.data)
		if w.Code != http.StatusInternalServerError || w.Body.String() != brokenPage || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, %d bytes", what, w.Code, w.Body.Len())
		}
	}
	if got := p.page("tlh").Lang; got != "en" {
		t.Errorf("a language that does not exist became %q", got)
	}
}
