package server

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"strings"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/words"
)

// page is what every page has. pages.page makes it; the caller fills in the rest.
type page struct {
	Lang       string // "en" or "sv"
	Brand      string // name of the organisation
	RequestID  string
	OtherURL   string // this page in the other language; "" shows no link
	FormAction string // CSP sources the page's forms may lead to; "" is 'self'. See csp.
	FormToken  string // goes back with every form
	BackTo     string // the application that a sign-in may be given up for; "" shows no button. See "turnback".
	words      words.Texts
}

// page begins a page in a language; one that does not exist becomes English.
func (p *pages) page(lang string) page {
	if _, ok := p.words[lang]; !ok {
		lang = "en"
	}
	return page{Lang: lang, words: p.words[lang]}
}

// T is a text in the page's language. args are names and values, for the placeholders: "minutes", 3.
func (p page) T(key string, args ...any) (string, error) { return p.words.Plain(key, args) }

// Rich is T with each value set in a <strong>. Text and values are escaped.
func (p page) Rich(key string, args ...any) (template.HTML, error) {
	s, err := p.words.Rich(key, args)
	return template.HTML(s), err
}

// OtherLang is the language that the page is not in.
func (p page) OtherLang() string {
	if p.Lang == "sv" {
		return "en"
	}
	return "sv"
}

func (p page) policy() string { return csp(p.FormAction) }

// signinPage, "signin", asks for user name and password. Alert is the key of a text, "alert.credentials", or "".
type signinPage struct {
	page
	Action    string
	Version   int
	App       string // the application's name; "" when the sign-in is for /account
	Policy    string // addresses of its privacy policy and terms of use, or ""; shown with their hosts, which nobody vouches for
	Terms     string
	Username  string
	Alert     string
	AlertArgs []any
	Again     bool   // signed in already, and asked to prove it anew
	Device    bool   // the sign-in is for /device
	Passkey   string // options of navigator.credentials.get as JSON; "" offers no passkey
	CancelURL string
}

// Host is where a link leads (OpenID Connect Dynamic Client Registration 1.0 §9.1). A mark goes before it (LRM, UAX #9 §2.6): behind a name in Arabic
// letters, 1-2.example would else be read 2-1.example.
func (d signinPage) Host(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return "\u200e" + u.Host
}

// Attr is what a field says of itself besides its own attributes: see attrs.
func (d signinPage) Attr(field string) template.HTMLAttr {
	focus := "username"
	if d.Username != "" {
		focus = "password"
	}
	value := ""
	if field == "username" {
		value = d.Username
	}
	return attrs(d.Alert, field, value, "", field == focus)
}

// codePage, "code", asks for the six digits that the authenticator app shows.
type codePage struct {
	page
	second
}

// enrolPage, "enrol", sets up the authenticator app. Its QR code is QRSize modules a side without the quiet zone, and QRPath draws
// the dark ones as an SVG path in units of a module, from 0,0.
type enrolPage struct {
	page
	Action    string
	Version   int
	App       string
	Alert     string
	AlertArgs []any
	QRSize    int
	QRPath    string
	Key       string // base32
	URI       string // otpauth://totp/…
	Ways      []string
	Replaces  bool // the person has an app, which this one takes the place of
	CancelURL string
}

// Attr is what the field says of itself: see attrs. The focus goes to it only after an error: at first there is more to read
// above it, and a phone would roll that away.
func (d enrolPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, "", "", d.Alert != "")
}

// Link is the URI as a link, for a person on the phone that has the app. html/template knows the scheme of no app, so it is checked here.
func (d enrolPage) Link() (template.URL, error) {
	if !strings.HasPrefix(d.URI, "otpauth://totp/") {
		return "", errors.New("server: the authenticator's link is not otpauth://totp/")
	}
	return template.URL(d.URI), nil
}

// QRBox is the code's viewBox, with four light modules around it (ISO/IEC 18004 §6.3.8).
func (d enrolPage) QRBox() string { return fmt.Sprintf("-4 -4 %d %d", d.QRSize+8, d.QRSize+8) }

// KeyGroups is the key in fours, for the eye; the page has no space between them, so that what is copied is the key.
func (d enrolPage) KeyGroups() []string {
	var groups []string
	key := strings.ReplaceAll(d.Key, " ", "")
	for len(key) > 4 {
		groups, key = append(groups, key[:4]), key[4:]
	}
	return append(groups, key)
}

// signoutPage, "signout", asks whether to sign out. App is the application that asked for it, "" if the person did.
type signoutPage struct {
	page
	App       string
	Action    string
	Hidden    map[string]string
	CancelURL string
	Detail    string // a technical line for the application's developer
}

// signedoutPage, "signedout", says that it is done.
type signedoutPage struct {
	page
	App       string
	BackURL   string
	SignInURL string
	Frames    []string // addresses of applications, each to be opened in a hidden frame; the browser then goes on to BackURL by itself
}

func (p signedoutPage) policy() string {
	sources := make([]string, len(p.Frames))
	for i, f := range p.Frames {
		sources[i] = client.Origin(f)
	}
	return csp(p.FormAction) + framesFrom(sources)
}

// problemPage, "problem", is every refusal and every fault: what happened, what it means and what to do next.
type problemPage struct {
	page
	Status  int
	Title   string // keys
	Lead    string
	Next    string
	Args    []any  // for all three
	Detail  string // a technical line for the application's developer
	BackURL string
}

// problem begins the page of a problem by its name: flow_gone, wrong_browser, cookies_off, busy, outage, not_found, bad_form,
// cross_site, unknown_client, bad_redirect, no_redirect, bad_request, stale_request, link_gone, not_allowed, too_large, method, fault, too_many, stuck, disowned
// or challenge_gone.
func (p page) problem(status int, name string) problemPage {
	key := "problem." + name
	return problemPage{page: p, Status: status, Title: key + ".title", Lead: key + ".lead", Next: key + ".next"}
}

// passwordPage, "password", is where a one-time link leads. It asks for the new password twice, as password and repeat.
type passwordPage struct {
	page
	Action    string
	Kind      string // "setup" makes the first administrator; "invitation", "reset"
	Username  string
	Name      string
	Email     string
	Alert     string
	AlertArgs []any
	Hint      passwords.Hint
}

// Heading is the key of the page's title; a Kind that does not exist has none, which is an error when shown.
func (d passwordPage) Heading() string { return "password." + d.Kind }

// Attr is what a field says of itself: see attrs.
func (d passwordPage) Attr(field string) template.HTMLAttr {
	return attrs(d.Alert, field, d.value(field), "", field == d.focus())
}

// New is the part of the page that every page with a new password has.
func (d passwordPage) New() newPassword {
	return newPassword{page: d.page, Hint: d.Hint, Alert: d.Alert, Focus: d.focus() == "password"}
}

// focus is the first field that has something to mend.
func (d passwordPage) focus() string {
	out := "password"
	if d.Kind == "setup" {
		for _, f := range []string{"email", "name", "username"} {
			if d.value(f) == "" || blames(d.Alert, f, d.value(f)) {
				out = f
			}
		}
	}
	return out
}

func (d passwordPage) value(field string) string {
	return map[string]string{"username": d.Username, "name": d.Name, "email": d.Email}[field]
}

// formpostPage, "formpost", carries an answer to the application (OAuth 2.0 Form Post Response Mode). Its FormAction must allow Action.
type formpostPage struct {
	page
	Action string
	Params []param
}

// param is one name and value of the answer.
type param struct {
	Name  string
	Value string
}

// Target is the Action, if it may be posted to: see formTarget.
func (d formpostPage) Target() (string, error) { return formTarget(d.Action) }
