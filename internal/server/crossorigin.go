package server

import (
	"context"
	"net/http"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/oidc"
)

// A page of another origin may call the endpoints that a single-page application needs, and only if a public client is registered at that
// origin (threats TK-03). No answer depends on cookies and none says Access-Control-Allow-Credentials. The authorization endpoint, every page
// and what is for servers alone (introspection) are never among them (RFC 9700 §2.6).
var (
	mayPost    = []string{http.MethodPost}
	mayGetPost = []string{http.MethodGet + ", " + http.MethodPost}
	maySend    = []string{"Authorization, Content-Type, DPoP"}
	mayRead    = []string{"DPoP-Nonce, Retry-After, WWW-Authenticate, X-Request-Id"} // RFC 9449 §8.2
	mayKeep    = []string{"600"}                                                     // seconds that a browser remembers a preflight
	byOrigin   = []string{"Origin"}
)

// browserRoutes are the protocol endpoints that scripts in browsers may call.
func (s *Server) browserRoutes() {
	for path, endpoint := range map[string]func(http.ResponseWriter, *http.Request, audit.Origin){
		oidc.PathToken: s.OIDC.Token, oidc.PathRevoke: s.OIDC.Revoke, oidc.PathPush: s.OIDC.Push, oidc.PathUserInfo: s.OIDC.UserInfo,
	} {
		methods := mayPost
		if path == oidc.PathUserInfo {
			methods = mayGetPost
			s.mux.HandleFunc("GET "+path, s.protocol(s.shared(endpoint)))
		}
		s.mux.HandleFunc("POST "+path, s.protocol(s.shared(endpoint)))
		s.mux.HandleFunc("OPTIONS "+path, s.preflight(methods))
	}
}

// shared lets a page of a registered origin read the answer. Where that cannot be looked up, the endpoint answers for the outage, unread.
func (s *Server) shared(endpoint func(http.ResponseWriter, *http.Request, audit.Origin)) func(http.ResponseWriter, *http.Request, audit.Origin) {
	return func(w http.ResponseWriter, r *http.Request, o audit.Origin) {
		if len(r.Header["Origin"]) > 0 {
			if ok, _ := s.allowOrigin(w, r); ok {
				w.Header()["Access-Control-Expose-Headers"] = mayRead
			}
		}
		endpoint(w, r, o)
	}
}

// preflight answers what browsers ask before they send (Fetch §3.3.2). To anybody else the method does not exist.
func (s *Server) preflight(methods []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.DB.Timeout())
		defer cancel()
		ok, err := s.allowOrigin(w, r.WithContext(ctx))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !ok || r.Header.Get("Access-Control-Request-Method") == "" {
			s.notFound(w, r)
			return
		}
		h := w.Header()
		h["Access-Control-Allow-Methods"], h["Access-Control-Allow-Headers"], h["Access-Control-Max-Age"] = methods, maySend, mayKeep
		w.WriteHeader(http.StatusNoContent)
	}
}

// allowOrigin says Access-Control-Allow-Origin if the request's one origin is registered.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) (bool, error) {
	w.Header()["Vary"] = byOrigin
	origin := r.Header["Origin"]
	if len(origin) != 1 {
		return false, nil
	}
	ok, err := s.DB.BrowserOrigin(r.Context(), origin[0])
	if ok {
		w.Header()["Access-Control-Allow-Origin"] = origin
	}
	return ok, err
}
