package server

import (
	"errors"
	"net/http"
	"strconv"
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
		Code: r.PostForm.Get("code"), Current: cookie(r, s.names.session), Known: cookie(r, s.names.known)})
	switch {
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
		if result.Secret != "" {
			s.keep(w, s.names.session, result.Secret)
		}
		if result.Known != "" {
			s.keepFor(w, s.names.known, result.Known, knownLife)
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, onward(result.View), http.StatusSeeOther)
	}
}

// onward is where a browser goes after a right answer: to the next step, or back to what the sign-in was for.
func onward(v login.View) string {
	if v.Flow.Step != flow.Done {
		return "/login/" + v.Flow.ID
	}
	if e := readErrand(v.Flow.Request); e.Query == "" {
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
	case r.View.Flow.Step == flow.Password:
		return "alert.credentials"
	}
	return "alert.code"
}

// step shows the present step of a sign-in.
func (s *Server) step(w http.ResponseWriter, r *http.Request, result login.Result, alert string) {
	v := result.View
	e := readErrand(v.Flow.Request)
	page := s.page(w, r, e.Locales)
	if v.Person != nil && v.Person.Locale != "" && cookie(r, s.names.lang) == "" && e.Locales == "" && r.URL.Query().Get("ui_locales") == "" {
		page = s.pageIn(w, r, v.Person.Locale)
	}
	page.FormAction, page.FormToken = formAction(e.Origin), s.formToken(flowForm+v.Flow.ID)
	page.OtherURL = otherLanguage(r.URL, page.OtherLang()) // the answer to a wrong try stands at the same address
	action := "/login/" + v.Flow.ID
	var args []any
	if alert == "alert.delayed" {
		args = []any{"minutes", int((result.Wait + time.Minute - 1) / time.Minute)}
	}
	switch v.Flow.Step {
	case flow.Password:
		name := r.PostForm.Get("username")
		if name == "" {
			name = e.Hint
		}
		s.pages.render(w, http.StatusOK, "signin", signinPage{page: page, Action: action, Version: v.Flow.Version, App: e.Client,
			Username: name, Alert: alert, AlertArgs: args, Again: e.Again})
	case flow.TOTP:
		s.pages.render(w, http.StatusOK, "code", codePage{page: page, Action: action, Version: v.Flow.Version, App: e.Client, Alert: alert, AlertArgs: args})
	case flow.Enrol:
		s.enrolment(w, r, v, enrolPage{page: page, Action: action, Version: v.Flow.Version, App: e.Client, Alert: alert, AlertArgs: args})
	case flow.Done:
		http.Redirect(w, r, onward(v), http.StatusSeeOther)
	default:
		s.problem(w, r, http.StatusTooManyRequests, "too_many", "")
	}
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
	p.FormToken = s.formToken(s.browser(w, r))
	if r.Method == http.MethodGet {
		p.OtherURL = otherLanguage(r.URL, p.OtherLang())
	}
	return p
}
