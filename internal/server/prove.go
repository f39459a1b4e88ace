package server

import (
	"context"
	"errors"
	"net/http"
	"slices"

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
	signIn, signOut := faultRows(p, client.Faults()), faultRows(p, client.LogoutFaults())
	for _, row := range signIn {
		if row.State != "" {
			page.Judged++
		}
	}
	page.Lists = []faultList{{Title: "prove.faults", Lead: "prove.faults_what", Send: "begin", Faults: signIn}}
	if p.BackchannelLogoutURI != "" {
		page.Lists = append(page.Lists, faultList{Title: "prove.logouts", Lead: "prove.logouts_what", Send: "logout", Faults: signOut})
	}
	s.pages.render(w, http.StatusOK, "prove", page)
}

func faultRows(p apps.Prove, all []client.Fault) []faultRow {
	rows := make([]faultRow, len(all))
	for i, f := range all {
		rows[i].Kind = string(f)
		if t := p.Trials[f]; t.State == store.TrialJudged {
			rows[i].State, rows[i].Tried = t.Verdict, day(t.Started)
		}
	}
	return rows
}

// postProve begins, judges or stops a trial.
func (s *Server) postProve(w http.ResponseWriter, r *http.Request, me account.Self) {
	ctx, who, id, fault := r.Context(), asks(me), client.ID(r.PathValue("client")), client.Fault(r.PostForm.Get("fault"))
	err := apps.ErrNoTrial
	switch r.PostForm.Get("action") {
	case "begin":
		if slices.Contains(client.Faults(), fault) {
			err = s.Apps.Begin(ctx, me.Origin, who, id, fault)
		}
	case "logout":
		if slices.Contains(client.LogoutFaults(), fault) {
			err = s.faultyLogout(ctx, me, id, fault)
		}
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

// faultyLogout sends a test client a faulty logout token of the person's present session, and writes down the answer.
func (s *Server) faultyLogout(ctx context.Context, me account.Self, id client.ID, fault client.Fault) error {
	if err := s.Apps.Begin(ctx, me.Origin, asks(me), id, fault); err != nil {
		return err
	}
	status, err := s.OIDC.FaultyLogout(ctx, id, me.Person.ID, me.Session.ID, fault)
	if err != nil {
		return err
	}
	return s.Apps.Answered(ctx, me.Origin, asks(me), id, fault, status)
}
