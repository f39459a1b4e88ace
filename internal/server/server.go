// Package server is the HTTP face: every route in one list, cookies, headers, forms and pages, and one table from error
// to status. It decides nothing: login, oidc, account and admin do.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/store"
)

// Options are what a server is made of.
type Options struct {
	Issuer  *url.URL // the public address; never taken from a request
	Brand   string   // name of the organisation
	DB      *store.DB
	OIDC    *oidc.Provider
	Login   *login.Service
	Account *account.Service
	Apps    *apps.Service
	FormKey []byte         // MAC key of form tokens
	Proxies []netip.Prefix // whose X-Forwarded-For and Cert are believed
	Cert    string         // the header in which they pass a client's certificate on, in its canonical form; empty: none is looked for
	Log     *slog.Logger
	Ready   func(context.Context) map[string]string // what is not ready, by name; nil map: all is
}

// Server answers HTTP. It is safe for concurrent use.
type Server struct {
	Options
	pages *pages
	mux   *http.ServeMux
	cross *http.CrossOriginProtection
	names cookieNames
}

// New builds the server and its pages.
func New(o Options) (*Server, error) {
	pages, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, pages: pages, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), names: namesFor(o.Issuer)}
	if err := s.cross.AddTrustedOrigin(o.Issuer.Scheme + "://" + o.Issuer.Host); err != nil {
		return nil, err
	}
	s.routes()
	return s, nil
}

// routes is every route there is.
func (s *Server) routes() {
	for _, path := range []string{oidc.PathDiscovery, oidc.PathMetadata} {
		s.mux.HandleFunc("GET "+path, s.OIDC.Discovery)
	}
	s.mux.HandleFunc("GET "+oidc.PathJWKS, s.OIDC.JWKS)
	s.browserRoutes()
	s.mux.HandleFunc("POST "+oidc.PathIntrospect, s.protocol(s.OIDC.Introspect))
	s.mux.HandleFunc("POST "+oidc.PathRegister, s.registration(s.OIDC.Register))
	for _, method := range []string{"GET ", "PUT ", "DELETE "} {
		s.mux.HandleFunc(method+oidc.PathRegister+"/{id}", s.registration(s.OIDC.ManageClient))
	}

	s.mux.HandleFunc("GET "+oidc.PathAuthorize, s.noHead(s.authorize))
	s.mux.HandleFunc("POST "+oidc.PathAuthorize, s.authorizePost)
	s.mux.HandleFunc("GET /login/{id}", s.noHead(s.showLogin))
	s.mux.HandleFunc("POST /login/{id}", s.form(s.submitLogin))
	s.mux.HandleFunc("GET /login/{id}/text", s.noHead(s.textState))
	s.mux.HandleFunc("GET "+oidc.PathLogout, s.noHead(s.showLogout))
	s.mux.HandleFunc("POST "+oidc.PathLogout, s.postLogout)
	s.mux.HandleFunc("GET /signed-out", s.signedOut)
	s.accountRoutes()
	s.appRoutes()
	s.deviceGrantRoutes()
	s.mux.HandleFunc("GET /link/{token}", s.noHead(s.showLink))
	s.mux.HandleFunc("POST /link/{token}", s.form(s.useLink))
	s.mux.HandleFunc("GET /{$}", s.root)

	s.mux.HandleFunc("GET /assets/", s.pages.serveAsset)
	s.mux.HandleFunc("GET /favicon.ico", s.pages.serveAsset)
	s.mux.HandleFunc("GET /livez", s.livez)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("/", s.notFound)
}

// The limits of every connection (threats DO-01, DO-02): headers 32 KiB within 10 s, a body 64 KiB within 15 s.
const (
	maxHeader = 32 << 10
	maxBody   = 64 << 10
)

// HTTP gives the configured http.Server for the handler.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}
