package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
)

// passwordRoutes are where a person changes their password, gets in with a forgotten one, and ends their sessions.
func (s *Server) passwordRoutes() {
	s.mux.HandleFunc("POST /account/sessions/{session}", s.form(s.own(s.postSession)))
	s.mux.HandleFunc("GET /account/password", s.noHead(s.own(s.showPassword)))
	s.mux.HandleFunc("POST /account/password", s.form(s.own(s.postPassword)))
	s.mux.HandleFunc("GET /forgot", s.noHead(s.showForgot))
	s.mux.HandleFunc("POST /forgot", s.form(s.postForgot))
}

// showPassword asks for the present password and a new one.
func (s *Server) showPassword(w http.ResponseWriter, r *http.Request, me account.Self) {
	_, alert := toldBy(r)
	s.changePage(w, r, me, alert, nil)
}

// changePage is the page with an alert.
func (s *Server) changePage(w http.ResponseWriter, r *http.Request, me account.Self, alert string, args []any) {
	rules, err := s.Account.PasswordRules(r.Context(), me)
	none := errors.Is(err, account.ErrNoPassword)
	if err != nil && !none {
		s.refused(w, r, me, err)
		return
	}
	page := changePasswordPage{page: s.page(w, r, me.Person.Locale), Action: r.URL.Path, Username: me.Person.Username, None: none,
		Hint: s.Account.Passwords.Hint(rules, me.Person.User), Alert: alert, AlertArgs: args, CancelURL: "/account"}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	s.pages.render(w, http.StatusOK, "changepassword", page)
}

// postPassword changes the password. The browser gets its session's new secret; the old one is dead (threats SE-04).
func (s *Server) postPassword(w http.ResponseWriter, r *http.Request, me account.Self) {
	out, err := s.Account.ChangePassword(r.Context(), me, account.PasswordForm{Current: r.PostForm.Get("current"),
		New: r.PostForm.Get("password"), Repeat: r.PostForm.Get("repeat")})
	alert, args := alertForChange(out, err)
	switch {
	case err == nil && out.Reason == "":
		s.keep(w, s.names.session, out.Secret)
		if out.Known != "" {
			s.keepFor(w, s.names.known, out.Known, knownLife)
		}
		seeOther(w, r, "/account?done=password")
	case alert != "", errors.Is(err, account.ErrNoPassword):
		s.changePage(w, r, me, alert, args)
	default:
		s.refused(w, r, me, err)
	}
}

// alertForChange is the sentence for what can be mended on the page of the present password, or "".
func alertForChange(out account.Changed, err error) (string, []any) {
	switch {
	case errors.Is(err, account.ErrOvertaken):
		return "alert.overtaken", nil
	case err != nil:
		return alertForPassword(err)
	case out.Reason == audit.Delayed:
		return "alert.delayed", []any{"minutes", int((out.Wait + time.Minute - 1) / time.Minute)}
	case out.Reason != "":
		return "alert.current", nil
	}
	return "", nil
}

// showForgot asks who forgot their password for their name.
func (s *Server) showForgot(w http.ResponseWriter, r *http.Request) {
	s.forgotPage(w, r, forgotPage{Done: r.URL.Query().Has("done")})
}

func (s *Server) forgotPage(w http.ResponseWriter, r *http.Request, page forgotPage) {
	page.page, page.Action, page.SignInURL, page.Off = s.page(w, r, ""), "/forgot", "/account", !s.Account.Mails()
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	s.pages.render(w, http.StatusOK, "forgot", page)
}

// postForgot answers everybody alike: whether there is such a person, and whether a mail is on its way, nobody learns here (threats EN-03).
func (s *Server) postForgot(w http.ResponseWriter, r *http.Request) {
	name := r.PostForm.Get("username")
	if name == "" || !s.Account.Mails() {
		s.forgotPage(w, r, forgotPage{Alert: "alert.missing"})
		return
	}
	if err := s.Account.Forgot(r.Context(), s.origin(w, r), name, cookie(r, s.names.known)); err != nil {
		s.fail(w, r, err)
		return
	}
	seeOther(w, r, "/forgot?done")
}
