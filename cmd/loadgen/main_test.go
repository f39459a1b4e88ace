package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// provider is the smallest OpenID provider that every mode can run against: one user, one client, state in memory.
func provider(t *testing.T) *httptest.Server {
	t.Helper()
	challenge := make(chan string, 100) // codes are their PKCE challenges, redeemed once
	token := func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth() // both in form encoding (RFC 6749 §2.3.1)
		if !ok || id != "app" || secret != "s%26cret" {
			http.Error(w, "who", http.StatusUnauthorized)
			return
		}
		if r.FormValue("grant_type") == "authorization_code" {
			sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
			if got := <-challenge; got != base64.RawURLEncoding.EncodeToString(sum[:]) || got != r.FormValue("code") {
				http.Error(w, "verifier", http.StatusBadRequest)
				return
			}
		}
		fmt.Fprint(w, `{"access_token":"at","refresh_token":"rt-`, random(), `"}`)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != "open" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<form method="post" action="/login?a=1&amp;b=2"><input type="hidden" name="back" value="%s">`+
				`<input name="user"><button name="go" value="on">Go</button></form>`, strings.ReplaceAll(r.URL.RequestURI(), "&", "&amp;"))
			return
		}
		challenge <- r.FormValue("code_challenge")
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?code="+r.FormValue("code_challenge"), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("user") != "employee" || r.PostFormValue("go") != "on" || r.URL.Query().Get("b") != "2" {
			http.Error(w, "form", http.StatusBadRequest)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "open"})
		http.Redirect(w, r, r.PostFormValue("back"), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", token)
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"active":true}`) })
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer at" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.(http.Flusher).Flush() // a chunked answer
		fmt.Fprint(w, `{"sub":"1"}`)
	})
	mux.Handle("GET /hello", hello())
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestModes runs every mode that measures, and reads the line for programs.
func TestModes(t *testing.T) {
	s := provider(t)
	for _, mode := range []string{"get", "cc", "flow", "refresh", "introspect", "userinfo"} {
		report := filepath.Join(t.TempDir(), "report")
		o, err := parse([]string{"-mode", mode, "-base", s.URL, "-token", "/token", "-authz", "/authorize", "-userinfo", "/userinfo",
			"-introspect", "/introspect", "-path", "/hello", "-id", "app", "-secret", "s&cret", "-form", "user=employee",
			"-c", "1", "-d", "5s", "-warm", "1ms", "-max", "20", "-json", report, "-label", "test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := start(o); err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		b, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Label, Mode string
			Ops, Errs   float64
		}
		if err := json.Unmarshal(b, &got); err != nil || got.Mode != mode || got.Label != "test" || got.Errs != 0 || got.Ops < 1 {
			t.Errorf("%s: %s, %v", mode, b, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := parse([]string{"-no-such-flag"}); err == nil {
		t.Error("an unknown flag is accepted")
	}
	s := provider(t)
	for what, args := range map[string][]string{
		"no loopback":     {"-mode", "userinfo", "-base", "http://192.0.2.1"},
		"https":           {"-mode", "userinfo", "-base", "https://127.0.0.1"},
		"unknown mode":    {"-mode", "dance", "-base", s.URL},
		"no code":         {"-mode", "flow", "-base", s.URL, "-authz", "/hello"},
		"wrong secret":    {"-mode", "introspect", "-base", s.URL, "-token", "/token", "-id", "app", "-secret", "x"},
		"cold without -n": {"-mode", "cold", "-exec", "true", "-n", "0"},
	} {
		o, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		if err := start(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestJar(t *testing.T) {
	j, now := jar{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, sc := range []string{"a=1; Path=/; HttpOnly", "b=2; Max-Age=60", "broken", "c=3", "c=; Path=/", "d=4; Max-Age=0",
		"e=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=6; Expires=Thu, 01 Jan 2099 00:00:00 GMT"} {
		j.store("h", sc, now)
	}
	if got := j.header("h", "z=0"); got != "z=0; a=1; b=6" && got != "z=0; b=6; a=1" {
		t.Errorf("got %q", got)
	}
	if got := j.header("other", ""); got != "" {
		t.Errorf("another host gets %q", got)
	}
}

func TestBodies(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokrest":                                        "ok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\nrest": "okay!",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall":                                           "all",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nrest":                                  "",
	} {
		c := newClient(&generator{})
		in := bufio.NewReader(strings.NewReader(raw))
		r, err := c.readHead(in, "h")
		if err == nil {
			err = c.readBody(in, r)
		}
		if err != nil || string(r.body) != want {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
