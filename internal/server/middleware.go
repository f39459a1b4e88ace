package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/oidc"
)

// answer is the response of one request: it carries the request's id and remembers what happened to it.
type answer struct {
	http.ResponseWriter
	id     string
	status int
	fault  error
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// LogFault notes why the answer is a server error.
func (a *answer) LogFault(err error) { a.fault = err }

// Unwrap serves http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

var (
	noSniff = []string{"nosniff"}
	hsts    = []string{"max-age=31536000; includeSubDomains"}
)

// ServeHTTP gives the request an id, the answer its headers, and keeps a panic from anybody else. What only a page needs
// is set where pages are sent (pageHeaders): an answer for programs has few headers, which is half of its cost.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, id: rand.Text()[:16]}
	h := w.Header()
	h["X-Request-Id"] = []string{a.id}
	h["X-Content-Type-Options"] = noSniff
	if s.Issuer.Scheme == "https" {
		h["Strict-Transport-Security"] = hsts
	}
	defer s.finish(a, r)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	s.mux.ServeHTTP(a, r)
}

// finish logs what went wrong. Neither query nor body nor header is logged: they hold codes and tokens.
func (s *Server) finish(a *answer, r *http.Request) {
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.Log.Error("panic", "request", a.id, "method", r.Method, "route", r.Pattern, "panic", v, "stack", string(debug.Stack()))
		if a.status == 0 {
			s.problem(a, r, http.StatusInternalServerError, "fault", "")
		}
		return
	}
	level := slog.LevelDebug
	switch {
	case a.status >= 500 && r.Context().Err() != nil && errors.Is(a.fault, context.Canceled): // somebody went away
		level = slog.LevelWarn
	case a.status >= 500:
		level = slog.LevelError
	}
	if s.Log.Enabled(r.Context(), level) {
		s.Log.Log(r.Context(), level, "request", "request", a.id, "method", r.Method, "route", r.Pattern, "status", a.status, "error", a.fault)
	}
}

// protocol hands a request with its origin to an endpoint that answers by itself. All its looks into the database together may take what one may:
// an outage is told within 2 seconds. Their time begins when the form is here, so that a slow client is not told of an outage. One
// that is too slow is refused without a look, also for its origin: a page from elsewhere sees that there was no answer.
func (s *Server) protocol(fn func(http.ResponseWriter, *http.Request, audit.Origin)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && late(readEarly(r)) {
			oidc.Late(w)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.DB.Timeout())
		defer cancel()
		if s.Cert != "" {
			ctx = s.certified(ctx, r)
		}
		fn(w, r.WithContext(ctx), s.origin(w, r))
	}
}

// certified hands on the certificate of a client whose connection a trusted proxy ended. From anybody else the header is nothing: who holds a
// certificate's text need not hold its key (RFC 9440 §4).
func (s *Server) certified(ctx context.Context, r *http.Request) context.Context {
	values := r.Header[s.Cert]
	if len(values) == 0 || !s.trusted(neighbour(r)) {
		return ctx
	}
	return oidc.WithCertificate(ctx, values)
}

// registration is protocol for an endpoint that may have to wait for an answer from elsewhere; each of its looks into the database has a limit of
// its own.
func (s *Server) registration(fn func(http.ResponseWriter, *http.Request, audit.Origin)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			if late(err) {
				oidc.Late(w)
				return
			}
			if r.Body = io.NopCloser(bytes.NewReader(body)); err != nil {
				r.Body = io.NopCloser(broken{err})
			}
		}
		fn(w, r, s.origin(w, r))
	}
}

// noHead refuses HEAD where a GET has effects: the mux would take it for one.
func (s *Server) noHead(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Allow", http.MethodGet)
			s.problem(w, r, http.StatusMethodNotAllowed, "method", "")
			return
		}
		next(w, r)
	}
}

const maxAgent = 256

// origin is where a request comes from, as the trail keeps it.
func (s *Server) origin(w http.ResponseWriter, r *http.Request) audit.Origin {
	agent := r.UserAgent()
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	o := audit.Origin{IP: s.peer(r), Agent: strings.ToValidUTF8(strings.ReplaceAll(agent, "\x00", ""), "")}
	if a, ok := w.(*answer); ok {
		o.Request = a.id
	}
	return o
}

// peer is the address of the client: the connection's own, or, if that is a trusted proxy, the right-most address of
// X-Forwarded-For that is not one.
func (s *Server) peer(r *http.Request) string {
	host := neighbour(r)
	if len(s.Proxies) == 0 || !s.trusted(host) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			with, err := netip.ParseAddrPort(strings.TrimSpace(hops[i])) // some proxies add the port
			if err != nil {
				return host // whatever is further left cannot be believed
			}
			addr = with.Addr()
		}
		if host = addr.Unmap().String(); !s.trusted(host) {
			return host
		}
	}
	return host
}

// neighbour is the address at the other end of the connection.
func neighbour(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (s *Server) trusted(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range s.Proxies {
		if p.Contains(addr.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}
