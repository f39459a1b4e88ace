package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/store"
)

// fail is the only table from error to status and page. An error that is not in it is ours: 500, and nothing is said.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, name := http.StatusInternalServerError, "fault"
	switch {
	case errors.Is(err, login.ErrGone):
		status, name = http.StatusGone, "flow_gone"
	case errors.Is(err, login.ErrWrongBrowser) && cookie(r, s.names.browser) == "":
		status, name = http.StatusForbidden, "cookies_off"
	case errors.Is(err, login.ErrWrongBrowser):
		status, name = http.StatusForbidden, "wrong_browser"
	case errors.Is(err, account.ErrLinkGone):
		status, name = http.StatusGone, "link_gone"
	case errors.Is(err, factor.ErrBusy):
		status, name = http.StatusServiceUnavailable, "busy"
	case errors.Is(err, store.ErrOutage), errors.Is(err, context.Canceled):
		status, name = http.StatusServiceUnavailable, "outage"
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	if a, ok := w.(*answer); ok && status >= 500 {
		a.LogFault(err)
	}
	s.problem(w, r, status, name, "")
}

// problem shows one of the problem pages. detail is for the developer of an application.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, status int, name, detail string) {
	page := s.page(w, r, "").problem(status, name)
	page.Detail = detail
	s.pages.render(w, status, "problem", page)
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	status, name := http.StatusNotFound, "not_found"
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); pattern != "/" && method != r.Method {
			status, name = http.StatusMethodNotAllowed, "method"
			w.Header().Add("Allow", method)
		}
	}
	s.problem(w, r, status, name, "")
}

// readEarly reads the form of r, if it has one. Whoever reads it later meets the same fault.
func readEarly(r *http.Request) error {
	err := r.ParseForm()
	if err != nil {
		r.Form, r.PostForm, r.Body = nil, nil, io.NopCloser(broken{err})
	}
	return err
}

// late reports whether a body did not come within the time that a connection has for it. The request's context is over then.
func late(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// broken is a body that cannot be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// readForm reads a form of at most 64 KiB in which every field stands once, and answers for itself if it cannot.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		s.problem(w, r, http.StatusUnsupportedMediaType, "bad_form", "")
		return false
	}
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			s.problem(w, r, http.StatusRequestEntityTooLarge, "too_large", "")
		case late(err):
			s.problem(w, r, http.StatusRequestTimeout, "bad_form", "")
		default:
			s.problem(w, r, http.StatusBadRequest, "bad_form", "")
		}
		return false
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			s.problem(w, r, http.StatusBadRequest, "bad_form", "")
			return false
		}
	}
	return true
}
