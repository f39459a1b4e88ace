package server

import (
	"errors"
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/oidc"
)

// accountRoutes are a person's own pages, and the page for who lost their phone and cannot reach them.
func (s *Server) accountRoutes() {
	s.mux.HandleFunc("GET /account", s.noHead(s.own(s.home)))
	s.mux.HandleFunc("GET /account/add/{kind}", s.noHead(s.own(s.showAdd)))
	s.mux.HandleFunc("POST /account/add/{kind}", s.form(s.own(s.postAdd)))
	s.mux.HandleFunc("GET /account/add/sms/state", s.noHead(s.own(s.numberState)))
	s.mux.HandleFunc("POST /account/factors/{factor}", s.form(s.own(s.postFactor)))
	s.mux.HandleFunc("POST /account/devices/{device}", s.form(s.own(s.postDevice)))
	s.mux.HandleFunc("POST /account/recovery", s.form(s.own(s.postRecovery)))
	s.mux.HandleFunc("GET /account/stop", s.noHead(s.own(s.showStop)))
	s.mux.HandleFunc("POST /account/stop", s.ticked("factor", s.own(s.postStop)))
	s.mux.HandleFunc("POST /account/lock", s.form(s.own(s.lock)))
	s.mux.HandleFunc("GET /lost", s.noHead(s.showLost))
	s.mux.HandleFunc("POST /lost", s.form(s.postLost))
	s.mux.HandleFunc("POST /account/connected/{grant}", s.form(s.own(s.postConnected)))
	s.passwordRoutes()
}

// own hands a request to next with the person who is signed in; who is not, signs in first.
func (s *Server) own(next func(http.ResponseWriter, *http.Request, account.Self)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, person, err := s.visitor(r)
		locked := err == nil && person != nil && session.Locked(s.DB.Now())
		if err == nil && person != nil && !locked {
			err = s.Login.Touch(r.Context(), session)
		}
		switch {
		case err != nil:
			s.fail(w, r, err)
		case person == nil:
			s.begin(w, r, flow.Needs{}, errand{Return: returnTo(r)})
		case locked:
			s.begin(w, r, flow.Needs{}, errand{Return: returnTo(r), Session: &session, Person: person})
		default:
			next(w, r, account.Self{Person: person, Session: session, Origin: s.origin(w, r), Known: cookie(r, s.names.known)})
		}
	}
}

// lock locks the session and shows what unlocks it.
func (s *Server) lock(w http.ResponseWriter, r *http.Request, me account.Self) {
	me.Origin.Actor = string(me.Person.ID)
	if err := s.Login.Lock(r.Context(), me.Origin, me.Session); err != nil {
		s.fail(w, r, err)
		return
	}
	seeOther(w, r, "/account")
}

// ticked is form for a page with boxes that share one name: that field may stand several times. They come to next in r.Form.
func (s *Server) ticked(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if readEarly(r) == nil { // readForm tells a fault
			r.Form[name] = r.PostForm[name]
			delete(r.PostForm, name)
		}
		if s.ownForm(w, r) {
			next(w, r)
		}
	}
}

// returnTo is the page that a person comes back to after they have signed in for r. What a form held is gone then, and the page says so.
func returnTo(r *http.Request) string {
	switch {
	case r.URL.Path == oidc.PathDevice:
		return devicePage(oidc.UserCode(r.FormValue("user_code")))
	case r.Pattern == "GET /apps/{client}" && apps.Stack(r.URL.Query().Get("for")):
		return r.URL.EscapedPath() + "?for=" + r.URL.Query().Get("for")
	case r.Method == http.MethodGet:
		return r.URL.EscapedPath()
	case r.Pattern == "POST /apps/{client}/prove":
		return r.URL.EscapedPath() + "?alert=version"
	case r.Pattern == "POST /account/add/{kind}", r.Pattern == "POST /account/stop", r.Pattern == "POST /account/password":
		return r.URL.EscapedPath() + "?alert=fresh"
	}
	return "/account?alert=fresh"
}

// refused answers for a change that was not made: who is not fresh proves who they are once more.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, me account.Self, err error) {
	switch {
	case errors.Is(err, account.ErrNotFresh):
		needs, err := s.Account.Again(r.Context(), me)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.begin(w, r, needs, errand{Return: returnTo(r), Again: true, Hint: me.Person.Username})
	case errors.Is(err, account.ErrEnded):
		s.begin(w, r, flow.Needs{}, errand{Return: returnTo(r)})
	case errors.Is(err, account.ErrGone), errors.Is(err, account.ErrKind):
		s.problem(w, r, http.StatusNotFound, "not_found", "")
	default:
		s.fail(w, r, err)
	}
}

// seeOther goes to a page of ours after a form.
func seeOther(w http.ResponseWriter, r *http.Request, page string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, page, http.StatusSeeOther)
}

// toldBy gives the texts that a page's address asks for: what was done, and what was not. Both are of closed lists.
func toldBy(r *http.Request) (notice, alert string) {
	switch done := r.URL.Query().Get("done"); done {
	case "added", "removed", "renamed", "allowed", "forgotten", "stopped", "ended", "others", "password", "disconnected":
		notice = "notice." + done
	}
	switch r.URL.Query().Get("alert") {
	case "fresh":
		alert = "alert.fresh"
	case "last":
		alert = "alert.last_factor"
	case "name":
		alert = "alert.name_bad"
	case "missing":
		alert = "alert.missing"
	case "version":
		alert = "alert.version"
	}
	return notice, alert
}
