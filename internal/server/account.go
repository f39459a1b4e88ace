package server

import (
	"errors"
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/user"
)

func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}

func (s *Server) showLink(w http.ResponseWriter, r *http.Request) {
	link, err := s.Account.ReadLink(r.Context(), r.PathValue("token"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if link.Kind == account.LinkBrowser {
		s.pages.render(w, http.StatusOK, "browser", browserPage{page: s.page(w, r, link.Person.Locale), Action: r.URL.Path, Username: link.Person.Username})
		return
	}
	s.passwordPage(w, r, link, "", nil)
}

// admit makes this browser known, and signs in from it.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, link account.Link) {
	known, err := s.Account.Admit(r.Context(), s.origin(w, r), r.PathValue("token"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.keepFor(w, s.names.known, known, knownLife)
	s.begin(w, r, flow.Needs{}, errand{Return: "/account", Hint: link.Person.Username})
}

// known makes this browser one of a person's own, if that can be done now.
func (s *Server) known(w http.ResponseWriter, r *http.Request, id user.ID) {
	if known, err := s.Account.Known(r.Context(), id); err == nil {
		s.keepFor(w, s.names.known, known, knownLife)
	}
}

func (s *Server) useLink(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	link, err := s.Account.ReadLink(r.Context(), token)
	if err == nil && link.Kind == account.LinkBrowser {
		s.admit(w, r, link)
		return
	}
	if err == nil {
		err = s.Account.UseLink(r.Context(), s.origin(w, r), token, account.Form{Username: r.PostForm.Get("username"),
			Name: r.PostForm.Get("name"), Email: r.PostForm.Get("email"), Password: r.PostForm.Get("password"), Repeat: r.PostForm.Get("repeat")})
	}
	alert, args := alertForPassword(err)
	switch {
	case err == nil:
		name := link.Person.Username
		if link.Kind == account.LinkSetup {
			name = r.PostForm.Get("username")
		} else {
			s.known(w, r, link.Person.ID)
		}
		s.begin(w, r, flow.Needs{}, errand{Return: "/account", Hint: name}) // to sign in with it, second factor and all
	case alert != "":
		s.passwordPage(w, r, link, alert, args)
	default:
		s.fail(w, r, err)
	}
}

// alertForPassword names what is wrong with a new password or what stands beside it; "" for any other error.
func alertForPassword(err error) (string, []any) {
	var rules policy.Password
	if refused := (*passwords.Refused)(nil); errors.As(err, &refused) {
		rules = refused.Rules
	}
	for _, a := range []struct {
		err  error
		name string
		args []any
	}{
		{account.ErrMissing, "alert.missing", nil},
		{account.ErrMismatch, "alert.mismatch", nil},
		{login.ErrRepeat, "alert.mismatch", nil},
		{account.ErrTaken, "alert.username_taken", nil},
		{factor.ErrTooShort, "alert.short", []any{"min", rules.MinLength}},
		{factor.ErrTooLong, "alert.long", []any{"max", rules.MaxLength}},
		{factor.ErrNotText, "alert.not_text", nil},
		{passwords.ErrClasses, "alert.classes", []any{"n", rules.MinClasses}},
		{passwords.ErrContext, "alert.context", nil},
		{passwords.ErrListed, "alert.listed", nil},
		{passwords.ErrUsed, "alert.used", nil},
		{user.ErrUsername, "alert.username_bad", nil},
		{user.ErrEmail, "alert.email_bad", nil},
		{user.ErrName, "alert.name_bad", nil},
	} {
		if errors.Is(err, a.err) {
			return a.name, a.args
		}
	}
	return "", nil
}

func (s *Server) passwordPage(w http.ResponseWriter, r *http.Request, link account.Link, alert string, args []any) {
	page := passwordPage{page: s.page(w, r, link.Person.Locale), Action: r.URL.Path, Kind: link.Kind, Username: link.Person.Username,
		Alert: alert, AlertArgs: args, Hint: link.Hint}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	if link.Kind == account.LinkSetup && r.PostForm != nil {
		page.Username, page.Name, page.Email = r.PostForm.Get("username"), r.PostForm.Get("name"), r.PostForm.Get("email")
	}
	s.pages.render(w, http.StatusOK, "password", page)
}
