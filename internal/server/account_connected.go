package server

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/store"
)

// connections are what is connected in the person's name, as their page lists it.
func (s *Server) connections(r *http.Request, me account.Self) ([]connectedRow, error) {
	all, err := s.OIDC.Connections(r.Context(), me.Person.ID)
	rows := make([]connectedRow, len(all))
	for i, c := range all {
		rows[i] = connectedRow{ID: c.ID, App: cmp.Or(c.Client.Name, string(c.Client.ID)), Device: c.Device, Scopes: scopeRows(c.Scopes, c.Client),
			Since: minute(c.Since), Used: minute(c.Used)}
	}
	return rows, err
}

// postConnected ends a connection. Like ending a session it needs no fresh one, since it opens nothing.
func (s *Server) postConnected(w http.ResponseWriter, r *http.Request, me account.Self) {
	err := s.OIDC.Disconnect(r.Context(), deviceOrigin(me), deviceVisitor(me), r.PathValue("grant"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = account.ErrGone
	case errors.Is(err, store.ErrConflict):
		err = account.ErrEnded
	}
	s.changed(w, r, me, "disconnected", err)
}
