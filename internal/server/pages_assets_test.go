package server

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func fetch(p *pages, path, encodings string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept-Encoding", encodings)
	w := httptest.NewRecorder()
	p.serveAsset(w, r)
	return w
}

func TestAssets(t *testing.T) {
	p := mustPages(t)
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "submit.js": "text/javascript; charset=utf-8", "favicon.svg": "image/svg+xml"} {
		url := p.asset(name)
		stem, ext, _ := strings.Cut(name, ".")
		if !regexp.MustCompile(`^/assets/` + stem + `\.[0-9a-f]{12}\.` + ext + `$`).MatchString(url) {
			t.Errorf("%s is at %q", name, url)
		}
		w := fetch(p, url, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		z := fetch(p, url, "br, gzip;q=0.8")
		zr, err := gzip.NewReader(z.Body)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(zr); err != nil || !bytes.Equal(plain, w.Body.Bytes()) || z.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: what is unpacked differs: %v", name, err)
		}
	}
	for _, m := range regexp.MustCompile(`asset "([^"]+)"`).FindAllStringSubmatch(templates(t), -1) {
		if p.asset(m[1]) == "" {
			t.Errorf("a template asks for %s, which does not exist", m[1])
		}
	}
}

func TestOtherAssets(t *testing.T) {
	p := mustPages(t)
	for path, want := range map[string]int{
		"/favicon.ico": 200, "/assets/style.000000000000.css": 200, "/assets/style.css": 404, "/assets/nothing.000000000000.css": 404,
		"/assets/": 404, "/assets/../web.go": 404, "/assets/..style.css": 404, "/style.000000000000.css": 404, "/assets/.css": 404,
	} {
		w := fetch(p, path, "")
		if w.Code != want || want == 200 && w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, %s", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if got := fetch(p, "/favicon.ico", "").Header().Get("Content-Type"); got != "image/svg+xml" {
		t.Errorf("the icon is %s", got)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "GZIP": true, "deflate, gzip": true, "br;q=1, gzip; q=0.5": true, "gzip;q=1.0": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "x-gzip": false, "*": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// BenchmarkNewPages is this package's part of the program's cold start.
func BenchmarkNewPages(b *testing.B) {
	for b.Loop() {
		if _, err := newPages(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRenderFirst is the start and one page: html/template works out its escaping when a page is first shown.
func BenchmarkRenderFirst(b *testing.B) {
	for b.Loop() {
		p := mustPages(b)
		p.render(httptest.NewRecorder(), http.StatusOK, "signin", signinPage{page: p.page("sv"), Action: "/login/x", App: "Intranet"})
	}
}

func BenchmarkRenderSignin(b *testing.B) {
	p := mustPages(b)
	base := p.page("sv")
	base.Brand, base.OtherURL = "Exempelbolaget", "/x"
	for b.Loop() {
		p.render(httptest.NewRecorder(), http.StatusOK, "signin", signinPage{page: base, Action: "/login/x", App: "Intranet", CancelURL: "/c"})
	}
}
