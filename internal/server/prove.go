package server

import (
	"errors"
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// showProve is where the owner of a test client has this service answer it with deliberate faults.
func (s *Server) showProve(w http.ResponseWriter, r *http.Request, me account.Self) {
	p, err := s.Apps.Prove(r.Context(), asks(me), client.ID(r.PathValue("client")))
	if err != nil {
		s.notShown(w, r, me, err)
		return
	}
	page := provePage{page: s.page(w, r, me.Person.Locale), ID: string(p.ID), Name: p.Name, Action: r.URL.EscapedPath(), Test: p.Test}
	page.OtherURL = otherLanguage(r.URL, page.OtherLang())
	if r.URL.Query().Get("alert") == "version" {
		page.Alert = "alert.version"
	}
	if p.Now != nil {
		page.Kind, page.State = string(p.Now.Fault), p.Now.State
	}
	page.Upcoming = string(p.Next)
	for _, f := range client.Faults() {
		row := faultRow{Kind: string(f)}
		if t := p.Trials[f]; t.State == store.TrialJudged {
			row.State, row.Tried = t.Verdict, day(t.Started)
			page.Judged++
		}
		page.Faults = append(page.Faults, row)
	}
	s.pages.render(w, http.StatusOK, "prove", page)
}

// postProve begins, judges or stops a trial.
func (s *Server) postProve(w http.ResponseWriter, r *http.Request, me account.Self) {
	ctx, who, id, fault := r.Context(), asks(me), client.ID(r.PathValue("client")), client.Fault(r.PostForm.Get("fault"))
	err := apps.ErrNoTrial
	switch r.PostForm.Get("action") {
	case "begin":
		err = s.Apps.Begin(ctx, me.Origin, who, id, fault)
	case "in", "out":
		err = s.Apps.Judge(ctx, me.Origin, who, id, fault, r.PostForm.Get("action") == "in")
	case "stop":
		err = s.Apps.Stop(ctx, me.Origin, who, id, fault)
	}
	switch {
	case err == nil, errors.Is(err, apps.ErrNotTest): // the page says that it is none
		seeOther(w, r, r.URL.EscapedPath())
	case errors.Is(err, apps.ErrNoTrial):
		seeOther(w, r, r.URL.EscapedPath()+"?alert=version")
	default:
		s.notShown(w, r, me, err)
	}
}
