package server

import (
	"net/http"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/user"
)

// showLogout answers a logout request (OpenID Connect RP-Initiated Logout 1.0 §2): a good hint for the session at hand
// ends it at once, anything else asks the person first. So does a request with something wrong in it: what failed is not
// used (§4), and who sent it may not be the application.
func (s *Server) showLogout(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.leave(w, r, q.Get, func(session user.Session, asked oidc.Logout) {
		if asked.Fault == "" && asked.Session != "" && asked.Session == session.ID {
			s.endSession(w, r, session, asked)
			return
		}
		page := signoutPage{page: s.page(w, r, q.Get("ui_locales")), Action: oidc.PathLogout, Hidden: map[string]string{}, CancelURL: "/account", Detail: asked.Fault}
		if asked.Client != nil {
			page.App = asked.Client.Name
		}
		if asked.Back != "" {
			page.FormAction = formAction(client.Origin(asked.Back))
			for _, name := range []string{"client_id", "id_token_hint", "post_logout_redirect_uri", "state"} {
				page.Hidden[name] = q.Get(name)
			}
		}
		s.pages.render(w, http.StatusOK, "signout", page)
	})
}

// leave reads a logout request. Who is not signed in is through at once; for the others then goes on.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, get func(string) string, then func(user.Session, oidc.Logout)) {
	asked, err := s.OIDC.ReadLogout(r.Context(), get)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	session, person, err := s.visitor(r)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case person == nil && asked.Client != nil && asked.Client.Kiosk && asked.Session != "": // its browser holds no session, and the hint names one
		s.endSession(w, r, user.Session{ID: asked.Session}, asked)
	case person == nil:
		s.goodbye(w, r, asked)
	default:
		then(session, asked)
	}
}

// postLogout ends the session for a form of ours. A POSTed logout request of an application (§2 allows it) has no form
// token; it is sent on as a GET, which asks the person.
func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		if s.readForm(w, r) {
			http.Redirect(w, r, oidc.PathLogout+"?"+r.PostForm.Encode(), http.StatusSeeOther)
		}
		return
	}
	if s.ownForm(w, r) {
		s.leave(w, r, r.PostForm.Get, func(session user.Session, asked oidc.Logout) { s.endSession(w, r, session, asked) })
	}
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request, session user.Session, asked oidc.Logout) {
	origin := s.origin(w, r)
	origin.Actor = string(session.User)
	if err := s.Login.Logout(r.Context(), origin, session); err != nil {
		s.fail(w, r, err)
		return
	}
	s.keep(w, s.names.session, "")
	s.frames(w, r, session.ID, asked)
}

// frames lets the applications that registered for it end their own sessions, each in a hidden frame (OpenID Connect Front-Channel Logout 1.0
// §3). Where there is none, the browser goes on at once. A fault takes nothing back: the session is over.
func (s *Server) frames(w http.ResponseWriter, r *http.Request, session user.SessionID, asked oidc.Logout) {
	frames, err := s.OIDC.LogoutFrames(r.Context(), session)
	if err != nil {
		oidc.Fault(w, err)
	}
	if len(frames) == 0 {
		s.goodbye(w, r, asked)
		return
	}
	page := signedoutPage{page: s.page(w, r, ""), Frames: frames, BackURL: asked.Back, SignInURL: "/account"}
	if asked.Client != nil {
		page.App = asked.Client.Name
	}
	s.pages.render(w, http.StatusOK, "signedout", page)
}

// goodbye sends the browser back to the application, or to a page that says that it is done.
func (s *Server) goodbye(w http.ResponseWriter, r *http.Request, asked oidc.Logout) {
	w.Header().Set("Cache-Control", "no-store")
	if asked.Back != "" {
		http.Redirect(w, r, asked.Back, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, "/signed-out", http.StatusSeeOther)
}

func (s *Server) signedOut(w http.ResponseWriter, r *http.Request) {
	s.pages.render(w, http.StatusOK, "signedout", signedoutPage{page: s.page(w, r, ""), SignInURL: "/account"})
}
