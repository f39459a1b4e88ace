package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/flow"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// errand is what a sign-in was begun for. It rides through login as an opaque text.
type errand struct {
	Query   string `json:"q,omitempty"` // the authorization request, form-encoded
	Return  string `json:"r,omitempty"` // or a page of ours
	Client  string `json:"c,omitempty"` // name of the application
	ID      string `json:"i,omitempty"` // its client_id
	Policy  string `json:"p,omitempty"` // address of its privacy policy
	Terms   string `json:"t,omitempty"` // and of its terms of use
	Origin  string `json:"o,omitempty"` // where the browser goes afterwards
	Hint    string `json:"h,omitempty"` // login_hint
	Locales string `json:"l,omitempty"` // ui_locales
	Pushed  []byte `json:"u,omitempty"` // names the pushed request that Query came of
	Again   bool   `json:"a,omitempty"` // the person is signed in and must prove it anew
	Kiosk   bool   `json:"-"`           // the browser is to keep nothing of it

	Session *user.Session `json:"-"` // who is signed in and has to prove more, and
	Person  *store.Person `json:"-"`
}

func readErrand(text string) errand {
	var e errand
	_ = json.Unmarshal([]byte(text), &e) // it was written by begin; an empty errand leads to /account
	return e
}

// authorizePost sends a POSTed authorization request (OpenID Connect Core §3.1.2.1) on as a GET: foreign sites' POSTs do
// not bring our cookies, their links do.
func (s *Server) authorizePost(w http.ResponseWriter, r *http.Request) {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	err := r.ParseForm()
	if late(err) {
		s.problem(w, r, http.StatusRequestTimeout, "bad_form", "")
		return
	}
	if strings.TrimSpace(strings.ToLower(media)) != "application/x-www-form-urlencoded" || err != nil {
		s.problem(w, r, http.StatusBadRequest, "bad_request", "the body must be application/x-www-form-urlencoded and at most 64 KiB")
		return
	}
	http.Redirect(w, r, oidc.PathAuthorize+"?"+r.PostForm.Encode(), http.StatusSeeOther)
}

// authorize is the dispatcher: a sign-in comes back here when it is done.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "bad_request", "the query is not form-encoded")
		return
	}
	var resumed *oidc.Resumed
	var session user.SessionID // that the sign-in led to
	var kiosk bool             // and of which the browser has no secret
	if id := query.Get("flow"); id != "" && !query.Has("client_id") {
		view, err := s.Login.Show(r.Context(), id, cookie(r, s.names.browser))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if view.Flow.Step != flow.Done {
			http.Redirect(w, r, "/login/"+id, http.StatusSeeOther)
			return
		}
		e := readErrand(view.Flow.Request)
		if query, err = url.ParseQuery(e.Query); err != nil {
			s.fail(w, r, err)
			return
		}
		resumed, session = &oidc.Resumed{Flow: id, Needs: view.Flow.Needs, Pushed: e.Pushed}, view.Flow.Session
		kiosk = view.Flow.Kiosk
	}
	var visitor oidc.Visitor
	if kiosk {
		visitor.Session, visitor.Person, err = s.Login.Kiosk(r.Context(), session)
	} else {
		visitor.Session, visitor.Person, err = s.visitor(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if resumed != nil && (visitor.Person == nil || visitor.Session.ID != session) {
		resumed.Flow = "" // another session than the one this sign-in led to
	}
	s.dispatch(w, r, query, visitor, resumed)
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, query url.Values, v oidc.Visitor, resumed *oidc.Resumed) {
	origin := s.origin(w, r)
	if v.Person != nil {
		origin.Actor = string(v.Person.ID)
	}
	out, err := s.OIDC.Authorize(r.Context(), origin, query, v, resumed)
	if errors.Is(err, store.ErrConflict) && resumed != nil {
		resumed.Flow = "" // the sign-in was exchanged already: ask again
		out, err = s.OIDC.Authorize(r.Context(), origin, query, v, resumed)
	}
	switch {
	case err != nil:
		s.fail(w, r, err)
	case out.Problem != nil:
		status := http.StatusBadRequest
		if out.Problem.Name == "not_allowed" {
			status = http.StatusForbidden
		}
		s.leaveKiosk(w, out.Problem.Kiosk)
		s.problem(w, r, status, out.Problem.Name, out.Problem.Detail)
	case out.SignIn != nil:
		query := out.SignIn.Query
		query.Del(secondHop)
		e := errand{Query: query.Encode(), Pushed: out.SignIn.Pushed, Client: out.SignIn.Client.Name, ID: string(out.SignIn.Client.ID), Origin: out.SignIn.Origin,
			Policy: out.SignIn.Client.PolicyURI, Terms: out.SignIn.Client.TermsURI, Hint: out.SignIn.Hint, Locales: query.Get("ui_locales"), Kiosk: out.SignIn.Client.Kiosk}
		if subject := out.SignIn.Needs.Subject; v.Person != nil && (subject == "" || subject == v.Person.ID) {
			e.Again = true
			if e.Hint == "" {
				e.Hint = v.Person.Username
			}
		}
		if v.Person != nil {
			switch flow.Decide(out.SignIn.Needs, &v.Session, s.DB.Now()) {
			case flow.StepUp, flow.Unlock:
				e.Session, e.Person = &v.Session, v.Person
			}
		}
		s.begin(w, r, out.SignIn.Needs, e)
	case out.Response.FormPost:
		s.leaveKiosk(w, out.Response.Kiosk)
		s.formPost(w, r, out.Response)
	default:
		s.leaveKiosk(w, out.Response.Kiosk)
		h := w.Header()
		h["Location"] = []string{out.Response.Location()}
		h["Cache-Control"] = []string{"no-store"}
		h["Referrer-Policy"] = []string{"no-referrer"}
		w.WriteHeader(http.StatusSeeOther) // never 307: RFC 9700 §4.12
	}
}

// leaveKiosk takes back every cookie of a sign-in at a computer that many share. The session goes on for the application alone.
func (s *Server) leaveKiosk(w http.ResponseWriter, kiosk bool) {
	if kiosk {
		for _, name := range []string{s.names.session, s.names.browser, s.names.known, s.names.device} {
			s.keep(w, name, "")
		}
	}
}

// secondHop marks a request that begin has sent round once.
const secondHop = "cookie"

// begin starts a sign-in and sends the browser to its page.
//
// A browser that brings no secret gets one and is sent here once more: when a restored browser opens several pages at
// once, the last secret wins, and all of them begin with that one.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, needs flow.Needs, e errand) {
	if cookie(r, s.names.browser) == "" && r.Method == http.MethodGet {
		again := r.URL.Query()
		if again.Has(secondHop) {
			s.problem(w, r, http.StatusForbidden, "cookies_off", "")
			return
		}
		again.Set(secondHop, "1")
		s.browser(w, r)
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, r.URL.EscapedPath()+"?"+again.Encode(), http.StatusSeeOther)
		return
	}
	opaque, err := json.Marshal(e)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	id, err := s.Login.Begin(r.Context(), s.origin(w, r), login.Request{Needs: needs, Browser: s.browser(w, r), Client: e.ID, Opaque: string(opaque), Kiosk: e.Kiosk,
		Session: e.Session, Person: e.Person, App: e.Client})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/login/"+id, http.StatusSeeOther)
}

// formPost sends a response by form (OAuth 2.0 Form Post Response Mode).
func (s *Server) formPost(w http.ResponseWriter, r *http.Request, resp *oidc.Response) {
	target, err := formTarget(resp.Redirect)
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "bad_redirect", "response_mode=form_post needs an https redirect_uri, or http on loopback")
		return
	}
	page := formpostPage{page: s.page(w, r, ""), Action: target}
	page.FormAction = formAction(client.Origin(target))
	for _, name := range []string{"code", "error", "error_description", "state", "iss"} {
		if value := resp.Params.Get(name); value != "" {
			page.Params = append(page.Params, param{name, value})
		}
	}
	s.pages.render(w, http.StatusOK, "formpost", page)
}

// formAction allows the pages of a sign-in to lead to the application. Browsers hold it against every redirect after the
// form, and an application may send the browser on to another host of its own, so https is allowed as a whole.
func formAction(origin string) string {
	if origin == "" || strings.HasPrefix(origin, "https://") {
		return "'self' https:"
	}
	return "'self' https: " + origin
}
