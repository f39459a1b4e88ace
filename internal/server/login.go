package server

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// flowForm begins what the form token of a sign-in is made of. It goes with the flow, which is the browser's own, and not
// with the browser's secret, which changes with a right password: a page in another tab stays good.
const flowForm = "flow "

// browserForm begins that of every other form. A browser chooses its cookies, so neither may be taken for the other.
const browserForm = "browser "

// visitor is who sits at the browser.
func (s *Server) visitor(r *http.Request) (user.Session, *store.Person, error) {
	return s.Login.Session(r.Context(), cookie(r, s.names.session))
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	view, err := s.Login.Show(r.Context(), r.PathValue("id"), cookie(r, s.names.browser))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.step(w, r, login.Result{View: view}, "")
}

func (s *Server) submitLogin(w http.ResponseWriter, r *http.Request) {
	version, err := strconv.Atoi(r.PostForm.Get("version"))
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "bad_form", "")
		return
	}
	result, err := s.Login.Submit(r.Context(), s.origin(w, r), r.PathValue("id"), login.Answer{
		Browser: cookie(r, s.names.browser), Version: version, Username: r.PostForm.Get("username"), Password: r.PostForm.Get("password"),
		Repeat: r.PostForm.Get("repeat"), Code: r.PostForm.Get("code"), Recovery: r.PostForm.Get("recovery"), Passkey: r.PostForm.Get("passkey"), Name: r.PostForm.Get("name"),
		Way: way(r), Disown: r.PostForm.Get("action") == "disown", Cancel: r.PostForm.Get("action") == "cancel", Remember: r.PostForm.Get("remember") != "",
		Current: cookie(r, s.names.session), Known: cookie(r, s.names.known), Device: cookie(r, s.names.device),
		Lang: func(opaque string, p *store.Person) string { return s.stepPage(w, r, readErrand(opaque), p).Lang }})
	alert, args := alertForPassword(err)
	switch {
	case alert != "":
		s.step(w, r, result, alert, args...)
	case result.Reason == audit.Cancelled:
		s.turnBack(w, r, result.View)
	case result.Reason == audit.Disowned:
		s.problem(w, r, http.StatusOK, "disowned", "")
	case errors.Is(err, login.ErrStale):
		s.step(w, r, result, "alert.version")
	case err != nil:
		s.fail(w, r, err)
	case result.Reason != "":
		s.step(w, r, result, alertFor(result))
	default:
		if result.Browser != "" {
			s.keep(w, s.names.browser, result.Browser)
		}
		if result.Secret != "" && !result.Kiosk {
			s.keep(w, s.names.session, result.Secret)
		}
		if result.Known != "" {
			s.keepFor(w, s.names.known, result.Known, knownLife)
		}
		if result.Device != "" {
			s.keepFor(w, s.names.device, result.Device, deviceLife)
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, onward(result.View), http.StatusSeeOther)
	}
}

// turnBack tells the application that the person gave up signing in (access_denied).
func (s *Server) turnBack(w http.ResponseWriter, r *http.Request, v login.View) {
	e := readErrand(v.Flow.Request)
	query, err := url.ParseQuery(e.Query)
	if err != nil || e.Query == "" {
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return
	}
	s.dispatch(w, r, query, oidc.Visitor{}, &oidc.Resumed{Pushed: e.Pushed, Cancelled: true})
}

// onward is where a browser goes after a right answer: to the next step, or back to what the sign-in was for.
func onward(v login.View) string {
	if v.Flow.Step != flow.Done {
		return "/login/" + v.Flow.ID
	}
	switch e := readErrand(v.Flow.Request); {
	case e.Query != "":
	case strings.HasPrefix(e.Return, "/account"), e.Return == "/apps", strings.HasPrefix(e.Return, "/apps/"), e.forDevice():
		return e.Return
	default:
		return "/account"
	}
	return oidc.PathAuthorize + "?flow=" + v.Flow.ID
}

// alertFor gives the sentence for a refusal. An unknown name, a wrong password, a person who may not sign in and one who
// is not the one asked for all read the same.
func alertFor(r login.Result) string {
	switch {
	case r.Reason == audit.Delayed && !r.Silent:
		return "alert.delayed"
	case r.Reason == audit.Replayed:
		return "alert.code_used"
	}
	switch r.View.Flow.Step {
	case flow.Password:
		if r.View.Flow.Unlock {
			return "alert.password"
		}
		if r.Passkey {
			return "alert.passkey"
		}
		return "alert.credentials"
	case flow.Passkey, flow.EnrolPasskey:
		return "alert.passkey"
	case flow.Recovery:
		return "alert.recovery"
	}
	return "alert.code"
}

// way is the step that a button asked for: another way of proving, or the same text message once more.
func way(r *http.Request) flow.Step {
	if r.PostForm.Get("action") == "resend" {
		return flow.SMS
	}
	return flow.Step(r.PostForm.Get("way"))
}

// step shows the present step of a sign-in.
func (s *Server) step(w http.ResponseWriter, r *http.Request, result login.Result, alert string, args ...any) {
	v := result.View
	e := readErrand(v.Flow.Request)
	page := s.stepPage(w, r, e, v.Person)
	page.FormAction, page.FormToken = formAction(e.Origin), s.formToken(flowForm+v.Flow.ID)
	if e.Query != "" {
		page.BackTo = e.Client
	}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang()) // the answer to a wrong try stands at the same address
	action := "/login/" + v.Flow.ID
	if alert == "alert.delayed" {
		args = []any{"minutes", int((result.Wait + time.Minute - 1) / time.Minute)}
	}
	base := second{Action: action, Version: v.Flow.Version, App: e.Client, Alert: alert, AlertArgs: args, Remember: int(v.Remember / (24 * time.Hour)), Locked: v.Flow.Unlock}
	for _, step := range v.Ways {
		base.Ways = append(base.Ways, wayWord(step))
	}
	switch v.Flow.Step {
	case flow.NewPassword:
		s.pages.render(w, http.StatusOK, "renew", renewPage{page: page, second: base, Username: v.Account, Hint: v.Hint})
	case flow.Password:
		if v.Flow.Unlock {
			s.pages.render(w, http.StatusOK, "unlock", unlockPage{page: page, second: base, Username: v.Account})
			return
		}
		name := r.PostForm.Get("username")
		if name == "" {
			name = e.Hint
		}
		s.pages.render(w, http.StatusOK, "signin", signinPage{page: page, Action: action, Version: v.Flow.Version, App: e.Client, Policy: e.Policy, Terms: e.Terms,
			Username: name, Alert: alert, AlertArgs: args, Again: e.Again, Device: e.forDevice(), Passkey: string(v.Options)})
	case flow.TOTP:
		s.pages.render(w, http.StatusOK, "code", codePage{page, base})
	case flow.SMS:
		s.pages.render(w, http.StatusOK, "sms", textPage(page, base, v))
	case flow.Passkey:
		s.pages.render(w, http.StatusOK, "passkey", passkeyPage{page, base, string(v.Options)})
	case flow.Recovery:
		s.pages.render(w, http.StatusOK, "recovery", recoveryPage{page, base})
	case flow.Enrol:
		s.enrolment(w, r, v, enrolPage{page: page, Action: action, Version: v.Flow.Version, App: e.Client, Alert: alert, AlertArgs: args, Ways: base.Ways})
	case flow.EnrolPasskey:
		s.pages.render(w, http.StatusOK, "enrolpasskey", enrolPasskeyPage{page: page, second: base, Options: string(v.Options)})
	case flow.Done:
		http.Redirect(w, r, onward(v), http.StatusSeeOther)
	case flow.Stuck:
		s.problem(w, r, http.StatusForbidden, "stuck", "")
	default:
		s.problem(w, r, http.StatusTooManyRequests, "too_many", "")
	}
}

// wayWord is a step as the value of a button: the kind of factor.
func wayWord(step flow.Step) string {
	if kind := step.Enrols(); kind != "" {
		return string(kind)
	}
	return string(step)
}

func textPage(page page, base second, v login.View) smsPage {
	out := smsPage{page: page, second: base, State: store.Failed, StatusURL: base.Action + "/text"}
	if v.Challenge != nil {
		out.Number, out.Mark, out.State = v.Masked, v.Challenge.Mark, v.Challenge.State
	}
	return out
}

// textState tells the page of a text message what became of it.
func (s *Server) textState(w http.ResponseWriter, r *http.Request) {
	state, err := s.Login.TextState(r.Context(), r.PathValue("id"), cookie(r, s.names.browser))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"state":"`+state+`"}`)
}

// stepPage begins a page of a sign-in: in the language asked for, else in that of the person once they are known.
func (s *Server) stepPage(w http.ResponseWriter, r *http.Request, e errand, p *store.Person) page {
	if p != nil && p.Locale != "" && cookie(r, s.names.lang) == "" && e.Locales == "" && r.URL.Query().Get("ui_locales") == "" {
		return s.pageIn(w, r, p.Locale)
	}
	return s.page(w, r, e.Locales)
}

func (s *Server) enrolment(w http.ResponseWriter, r *http.Request, v login.View, page enrolPage) {
	token, err := factor.ParseTOTP(v.Flow.Pending)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	qr, err := factor.QR(v.Flow.Pending)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page.QRSize, page.QRPath, page.Key, page.URI = qr.Size, qr.Path, token.Key(), v.Flow.Pending
	s.pages.render(w, http.StatusOK, "enrol", page)
}

// page begins a page in the language that was asked for: ui_locales of this address, else the one chosen by hand, else
// those that the application asked for, else what the browser prefers.
func (s *Server) page(w http.ResponseWriter, r *http.Request, locales string) page {
	lang := s.pages.language(r.URL.Query().Get("ui_locales"))
	if lang != "" {
		s.keep(w, s.names.lang, lang)
	}
	for _, wanted := range []string{cookie(r, s.names.lang), locales} {
		if lang == "" {
			lang = s.pages.language(wanted)
		}
	}
	if lang == "" {
		lang = s.pages.preferred(r.Header.Get("Accept-Language"))
	}
	return s.pageIn(w, r, lang)
}

func (s *Server) pageIn(w http.ResponseWriter, r *http.Request, lang string) page {
	p := s.pages.page(lang)
	p.Brand = s.Brand
	if a, ok := w.(*answer); ok {
		p.RequestID = a.id
	}
	p.FormToken = s.formToken(browserForm + s.browser(w, r))
	if r.Method == http.MethodGet {
		p.OtherURL = otherLanguage(r.URL, p.OtherLang())
	}
	return p
}
