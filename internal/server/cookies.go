package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/portvakt/portvakt/internal/store"
)

// cookieNames are the names of the cookies. With https they carry the __Host- prefix, which browsers tie to this
// host, its root path and a secure connection.
type cookieNames struct {
	session string // secret of the session
	browser string // secret that ties a sign-in and its forms to this browser
	lang    string // language chosen by hand
	device  string // secret of a remembered browser
	known   string // says that somebody signed in here before
	secure  bool
}

func namesFor(issuer *url.URL) cookieNames {
	if issuer.Scheme == "https" {
		return cookieNames{"__Host-portvakt", "__Host-portvakt-browser", "__Host-portvakt-lang", "__Host-portvakt-device", "__Host-portvakt-known", true}
	}
	return cookieNames{"portvakt", "portvakt-browser", "portvakt-lang", "portvakt-device", "portvakt-known", false}
}

// cookie reads one; a browser may send several of one name, the first counts.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// keep sets a cookie that no script reads and that foreign sites' forms do not send. It lives as long as the browser
// is open, or is forgotten at once if value is empty.
func (s *Server) keep(w http.ResponseWriter, name, value string) { s.keepFor(w, name, value, 0) }

// knownLife is how long a browser stays known.
const knownLife = 180 * 24 * time.Hour

// deviceLife bounds the cookie of a remembered browser; policy says how long it counts.
const deviceLife = 90 * 24 * time.Hour

// keepFor is keep for a cookie that outlives the browser's closing.
func (s *Server) keepFor(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: s.names.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// browser gives the secret of this browser, and gives the browser one if it has none.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) string {
	if secret := cookie(r, s.names.browser); secret != "" {
		return secret
	}
	secret := store.NewToken()
	s.keep(w, s.names.browser, secret)
	r.AddCookie(&http.Cookie{Name: s.names.browser, Value: secret})
	return secret
}

// formToken ties a form to the browser or the sign-in that it is shown in (threats CS-01, CS-02).
func (s *Server) formToken(bound string) string {
	m := hmac.New(sha256.New, s.FormKey)
	m.Write([]byte(bound))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// form lets a POST through that comes from a page of ours in the browser that it was shown in.
func (s *Server) form(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.ownForm(w, r) {
			next(w, r)
		}
	}
}

// ownForm reads the form and answers for itself if it is not ours.
func (s *Server) ownForm(w http.ResponseWriter, r *http.Request) bool {
	if err := s.cross.Check(r); err != nil {
		s.problem(w, r, http.StatusForbidden, "cross_site", "")
		return false
	}
	if !s.readForm(w, r) {
		return false
	}
	browser := cookie(r, s.names.browser)
	if browser == "" {
		s.problem(w, r, http.StatusForbidden, "cookies_off", "")
		return false
	}
	bound := browserForm + browser
	if id := r.PathValue("id"); id != "" {
		bound = flowForm + id
	}
	if !hmac.Equal([]byte(r.PostForm.Get("form_token")), []byte(s.formToken(bound))) {
		s.problem(w, r, http.StatusForbidden, "cross_site", "")
		return false
	}
	return true
}
