package server

import (
	"errors"
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// postFactor changes one factor.
func (s *Server) postFactor(w http.ResponseWriter, r *http.Request, me account.Self) {
	id, err, done := r.PathValue("factor"), error(nil), ""
	switch r.PostForm.Get("action") {
	case "remove":
		done, err = "removed", s.Account.Remove(r.Context(), me, id)
	case "rename":
		done, err = "renamed", s.Account.Rename(r.Context(), me, id, r.PostForm.Get("name"))
	case "allow":
		done, err = "allowed", s.Account.Allow(r.Context(), me, id)
	default:
		s.problem(w, r, http.StatusBadRequest, "bad_form", "")
		return
	}
	s.changed(w, r, me, done, err)
}

// changed goes back to /account, which says what was done or why it was not.
func (s *Server) changed(w http.ResponseWriter, r *http.Request, me account.Self, done string, err error) {
	switch {
	case err == nil:
		seeOther(w, r, "/account?done="+done)
	case errors.Is(err, account.ErrLast):
		seeOther(w, r, "/account?alert=last")
	case errors.Is(err, user.ErrName):
		seeOther(w, r, "/account?alert=name")
	case errors.Is(err, account.ErrMissing):
		seeOther(w, r, "/account?alert=missing")
	default:
		s.refused(w, r, me, err)
	}
}

// postDevice forgets a remembered browser, or all.
func (s *Server) postDevice(w http.ResponseWriter, r *http.Request, me account.Self) {
	s.changed(w, r, me, "forgotten", s.Account.Forget(r.Context(), me, r.PathValue("device")))
}

// postRecovery makes new recovery codes and shows them, here and never again: a page to come back to would have to keep them.
func (s *Server) postRecovery(w http.ResponseWriter, r *http.Request, me account.Self) {
	codes, err := s.Account.NewRecoveryCodes(r.Context(), me)
	if err != nil {
		s.changed(w, r, me, "", err)
		return
	}
	s.pages.render(w, http.StatusOK, "codes", codesPage{page: s.page(w, r, me.Person.Locale), Codes: codes, DoneURL: "/account"})
}

// showStop asks what was lost.
func (s *Server) showStop(w http.ResponseWriter, r *http.Request, me account.Self) {
	_, alert := toldBy(r)
	s.stopPage(w, r, me, alert)
}

func (s *Server) stopPage(w http.ResponseWriter, r *http.Request, me account.Self, alert string) {
	factors, err := s.Account.Stoppable(r.Context(), me)
	if err != nil {
		s.refused(w, r, me, err)
		return
	}
	s.pages.render(w, http.StatusOK, "stop", stopPage{page: s.page(w, r, me.Person.Locale), Action: "/account/stop", Factors: factorRows(factors),
		Alert: alert, CancelURL: "/account"})
}

// postStop stops what was lost.
func (s *Server) postStop(w http.ResponseWriter, r *http.Request, me account.Self) {
	err := s.Account.Stop(r.Context(), me, r.Form["factor"])
	switch {
	case errors.Is(err, account.ErrMissing):
		s.stopPage(w, r, me, "alert.choose")
	case errors.Is(err, account.ErrLast):
		s.stopPage(w, r, me, "alert.last_factor")
	default:
		s.changed(w, r, me, "stopped", err)
	}
}

// showLost asks who lost their phone for their name and a recovery code.
func (s *Server) showLost(w http.ResponseWriter, r *http.Request) {
	s.lostPage(w, r, lostPage{Done: r.URL.Query().Has("done")})
}

func (s *Server) lostPage(w http.ResponseWriter, r *http.Request, page lostPage) {
	page.page, page.Action, page.SignInURL = s.page(w, r, ""), "/lost", "/account"
	s.pages.render(w, http.StatusOK, "lost", page)
}

// postLost answers everybody alike: whether there is such a person, and whether the code was theirs, nobody learns here (threats EN-03).
func (s *Server) postLost(w http.ResponseWriter, r *http.Request) {
	name, code := r.PostForm.Get("username"), r.PostForm.Get("recovery")
	if name == "" || code == "" {
		s.lostPage(w, r, lostPage{Username: name, Alert: "alert.missing"})
		return
	}
	switch why, err := s.Account.Lost(r.Context(), s.origin(w, r), name, code); {
	case err != nil:
		s.fail(w, r, err)
	case why == audit.Delayed: // of the address, whoever was named
		s.lostPage(w, r, lostPage{Username: name, Alert: "alert.delayed", AlertArgs: []any{"minutes", 15}})
	default:
		seeOther(w, r, "/lost?done")
	}
}
