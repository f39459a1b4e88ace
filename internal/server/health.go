package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"
)

// livez says that the process answers.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, _ = w.Write([]byte("ok\n"))
}

// readyz says whether the service can do its work now, and names what is not ready.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	missing := s.Ready(ctx)
	status := http.StatusOK
	if len(missing) > 0 {
		status = http.StatusServiceUnavailable
		w.Header()["Retry-After"] = []string{"2"}
	}
	body, err := json.Marshal(map[string]any{"ready": len(missing) == 0, "not_ready": slices.Sorted(maps.Keys(missing)), "detail": missing})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Cache-Control"] = []string{"no-store"}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
