package server

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

// pages turns the structs of pages_views.go into HTML. It is built once, at start, and safe for use by many at once.
// The templates are parsed one single time: a page brings its own language along (see page.T).
type pages struct {
	set     *template.Template
	words   map[string]words.Texts // by language
	files   map[string]*asset      // by URL path
	urls    map[string]string      // file name to URL path
	buffers sync.Pool              // of *bytes.Buffer
}

// newPages parses every template and text and hashes every static file. It fails only on a fault in what is embedded.
func newPages() (*pages, error) {
	p := &pages{set: template.New("")}
	p.buffers.New = func() any { return new(bytes.Buffer) }
	var err error
	if p.words, err = words.Load(web.FS); err != nil {
		return nil, err
	}
	if p.files, p.urls, err = loadAssets(web.FS); err != nil {
		return nil, err
	}
	p.set.Funcs(template.FuncMap{"asset": p.asset, "link": link})
	entries, err := fs.ReadDir(web.FS, "templates")
	if err != nil {
		return nil, fmt.Errorf("server: read templates: %w", err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(web.FS, "templates/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("server: read templates: %w", err)
		}
		if _, err := p.set.New(strings.TrimSuffix(e.Name(), ".html")).Parse(string(text)); err != nil {
			return nil, fmt.Errorf("server: parse template: %w", err)
		}
	}
	return p, nil
}

// view is a page's struct: all of them embed page.
type view interface{ policy() string }

// maxKept is the size in bytes over which a buffer is left to the collector instead of being kept for the next page.
const maxKept = 64 << 10

// render sends a page: nothing is sent before all of it is made. It sets every header of a page, with
// a Content-Security-Policy of the page's own FormAction. A page that cannot be made is logged and answered with a plain 500.
func (p *pages) render(w http.ResponseWriter, status int, name string, data view) {
	buf := p.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxKept {
			buf.Reset()
			p.buffers.Put(buf)
		}
	}()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	pageHeaders(h, data.policy())
	if err := p.set.ExecuteTemplate(buf, name, data); err != nil {
		slog.Error("page not rendered", "page", name, "error", err, "request", h.Get("X-Request-Id"))
		buf.Reset()
		buf.WriteString(brokenPage)
		status = http.StatusInternalServerError
	}
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // the reader has gone: nobody is left to tell
}

// pageHeaders are the headers of every page (RFC 9700 §4.16, threats RM-03), and of every redirect between pages.
func pageHeaders(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// brokenPage is what a person sees when a page itself is at fault, so it asks nothing of templates, texts or styles.
const brokenPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Portvakt</title>
<h1>Something went wrong with us</h1>
<p>You have done nothing wrong. Try again in a few minutes.</p>
<p lang="sv">Något gick fel hos oss. Du har inte gjort något fel. Försök igen om några minuter.</p>
</html>
`

// csp is the Content-Security-Policy of a page whose forms may be sent, and redirected, to the sources in formAction, such as
// "'self' https://intranet.example". Browsers hold form-action against every redirect that follows the sending of a form, so the
// last step of a sign-in must name the origin of the application. "" is 'self', and so is anything that could end the directive.
func csp(formAction string) string {
	if formAction == "" || strings.ContainsFunc(formAction, notInSource) {
		formAction = "'self'"
	}
	return "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
		"form-action " + formAction + "; frame-ancestors 'none'; base-uri 'none'"
}

// framesFrom is the directive that lets a page hold frames of these sources.
func framesFrom(sources []string) string {
	list := strings.Join(sources, " ")
	if strings.TrimSpace(list) == "" || strings.ContainsFunc(list, notInSource) {
		return ""
	}
	return "; frame-src " + list
}

// notInSource reports whether a character has no place in a list of CSP sources (CSP3 §2.3.1).
func notInSource(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune(" ':/.*-_[]+", r)
}
