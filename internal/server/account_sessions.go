package server

import (
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/user"
	"github.com/portvakt/portvakt/internal/words"
)

// otherSessions stands for every session but the present one.
const otherSessions = "others"

// seats are the person's sessions as their page lists them.
func (s *Server) seats(r *http.Request, me account.Self) ([]seatRow, error) {
	all, err := s.Account.Sessions(r.Context(), me)
	rows := make([]seatRow, len(all))
	for i, one := range all {
		rows[i] = seatRow{ID: string(one.ID), Agent: words.Agent(one.Agent), IP: one.IP, Since: minute(one.Since), Used: minute(one.Used), This: one.This, Locked: one.Locked}
	}
	return rows, err
}

// postSession ends one of the person's sessions, or all others. To end the present one is to sign out.
func (s *Server) postSession(w http.ResponseWriter, r *http.Request, me account.Self) {
	id := user.SessionID(r.PathValue("session"))
	if id == otherSessions {
		s.changed(w, r, me, "others", s.Account.EndOthers(r.Context(), me))
		return
	}
	err := s.Account.EndSession(r.Context(), me, id)
	if err == nil && id == me.Session.ID {
		s.keep(w, s.names.session, "")
		seeOther(w, r, "/signed-out")
		return
	}
	s.changed(w, r, me, "ended", err)
}
