package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// asset is a static file under a name that holds its hash, so that browsers may keep it for a year.
type asset struct {
	url     string
	kind    string // Content-Type
	body    []byte
	gzipped func() []byte // made when first asked for, to keep the start quick
}

// loadAssets hashes the static files and gives them by URL path, and their URL paths by file name.
func loadAssets(files fs.FS) (map[string]*asset, map[string]string, error) {
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, nil, fmt.Errorf("server: read static files: %w", err)
	}
	byURL, byName := make(map[string]*asset), make(map[string]string)
	for _, e := range entries {
		body, err := fs.ReadFile(files, "static/"+e.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("server: read static files: %w", err)
		}
		ext := path.Ext(e.Name())
		sum := sha256.Sum256(body)
		a := &asset{kind: contentType(ext), body: body, gzipped: sync.OnceValue(func() []byte { return compress(body) })}
		a.url = "/assets/" + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		byURL[a.url], byName[e.Name()] = a, a.url
	}
	return byURL, byName, nil
}

// contentType knows the kinds of files that static/ may hold; mime.TypeByExtension would ask the machine.
func contentType(ext string) string {
	switch ext {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, _ = zw.Write(body) // a bytes.Buffer takes everything
	_ = zw.Close()
	return buf.Bytes()
}

// asset gives the URL path of a static file by its name, "style.css", and "" for one that does not exist.
func (p *pages) asset(name string) string { return p.urls[name] }

// serveAsset answers for /assets/ and for /favicon.ico. A name whose hash is another version's gets this version's file, not to
// be kept: while versions change, a page of the old one may be answered here.
func (p *pages) serveAsset(w http.ResponseWriter, r *http.Request) {
	cache := "public, max-age=31536000, immutable"
	a := p.files[r.URL.Path]
	if a == nil {
		a, cache = p.files[p.urls[unhashed(r.URL.Path)]], "no-cache"
	}
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h, body := w.Header(), a.body
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", cache)
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = a.gzipped()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the reader has gone: nobody is left to tell
}

// unhashed gives the file name in a path under /assets/, without its hash.
func unhashed(urlPath string) string {
	if urlPath == "/favicon.ico" {
		return "favicon.svg"
	}
	name, ok := strings.CutPrefix(urlPath, "/assets/")
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if hash := path.Ext(stem); ok && hash != "" {
		return strings.TrimSuffix(stem, hash) + ext
	}
	return ""
}

// acceptsGzip reports whether an Accept-Encoding header names gzip and does not refuse it (RFC 9110 §12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, _ := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			return strings.Trim(q, "0.") != "" || q == ""
		}
	}
	return false
}
