package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// loopbacks are the loopback addresses that this machine has: 127.0.0.1, and ::1 where there is IPv6.
func loopbacks(t *testing.T) []string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{"127.0.0.1"}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == netip.IPv6Loopback() {
			out = append(out, "::1")
		}
	}
	return out
}

// serve answers on a loopback address by http.
func serve(t *testing.T, ip string, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

func get(t *testing.T, u string) (Answer, error) {
	t.Helper()
	return New(Options{}).Get(t.Context(), u, Loopback, 1000)
}

func TestGet(t *testing.T) {
	for _, ip := range loopbacks(t) {
		u := serve(t, ip, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("User-Agent") != "Portvakt" {
				t.Errorf("%s %v", r.Method, r.Header)
			}
			w.Header().Set("Content-Type", "Application/JWK-Set+JSON; charset=utf-8")
			w.Header().Set("Cache-Control", "public, max-age=77")
			w.Header().Set("Set-Cookie", "a=b")
			fmt.Fprint(w, r.URL.RequestURI())
		})
		for _, reach := range []Reach{Loopback, Inside | Loopback} {
			a, err := New(Options{}).Get(t.Context(), u+"/k?a=b", reach, 6)
			if err != nil || string(a.Body) != "/k?a=b" || a.ContentType != "application/jwk-set+json" || a.MaxAge != 77*time.Second {
				t.Errorf("%s: %q %q %s %v", u, a.Body, a.ContentType, a.MaxAge, err)
			}
		}
		for _, reach := range []Reach{Public, Inside} {
			if _, err := New(Options{}).Get(t.Context(), u, reach, 6); !errors.Is(err, ErrRefused) {
				t.Errorf("%s with reach %d: %v", u, reach, err)
			}
		}
	}
}

func TestPostForm(t *testing.T) {
	status := http.StatusNoContent
	u := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.PostForm.Get("logout_token") != "a b&c" {
			t.Errorf("%s %v %v", r.Method, r.PostForm, err)
		}
		w.WriteHeader(status)
	})
	for _, want := range []int{204, 200, 400, 501, 503} {
		status = want
		got, err := New(Options{}).PostForm(t.Context(), u, Loopback, url.Values{"logout_token": {"a b&c"}})
		if got != want || err != nil {
			t.Errorf("got %d, %v; want %d", got, err, want)
		}
	}
	status = http.StatusTemporaryRedirect
	if got, err := New(Options{}).PostForm(t.Context(), u, Loopback, url.Values{"logout_token": {"a b&c"}}); got != 0 || !errors.Is(err, ErrAnswer) {
		t.Errorf("a redirect: %d, %v", got, err)
	}
}

func TestAnswersRefused(t *testing.T) {
	tests := []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"not found", "answered 404", http.NotFound},
		{"no content", "answered 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
		{"partial", "answered 206", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206) }},
		{"redirect to metadata", `answered 302, a redirect to "http://169.254.169.254/latest/meta-data/"`, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
			w.WriteHeader(302)
		}},
		{"redirect to itself", "answered 301", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Error("a redirect was followed")
			}
			http.Redirect(w, r, "/again", http.StatusMovedPermanently)
		}},
		{"a byte too many", "more than 1000 bytes", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("a", 1001)) }},
		{"endless", "more than 1000 bytes", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}},
		{"compressed unasked", "Content-Encoding", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "\x1f\x8b")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := get(t, serve(t, "127.0.0.1", tt.answer)+"/")
			if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), tt.want) || a.Body != nil {
				t.Errorf("got %q, %v", a.Body, err)
			}
		})
	}
}

func TestLimitIsExact(t *testing.T) {
	u := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("a", 1000)) })
	if a, err := get(t, u); err != nil || len(a.Body) != 1000 {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
}

// raw answers every connection with what talk writes, below net/http.
func raw(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 4096))
				talk(c)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// write goes on until the other side has hung up.
func write(c net.Conn, pause time.Duration, begin, again string) {
	_, err := io.WriteString(c, begin)
	for err == nil {
		time.Sleep(pause) // the pace of a slow server; nothing waits for it
		_, err = io.WriteString(c, again)
	}
}

func TestHostileServers(t *testing.T) {
	tests := []struct {
		name string
		late bool // it ends with the caller's time
		talk func(net.Conn)
	}{
		{"huge header", false, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 40<<10)+"\r\nContent-Length: 0\r\n\r\n")
		}},
		{"endless headers", false, func(c net.Conn) { write(c, 0, "HTTP/1.1 200 OK\r\n", strings.Repeat("X: a\r\n", 1000)) }},
		{"endless interim answers", false, func(c net.Conn) {
			write(c, 0, "", "HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("a", 1000)+"\r\n\r\n")
		}},
		{"hangs up", false, func(net.Conn) {}},
		{"breaks off", false, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{") }},
		{"is no web server", false, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail ESMTP\r\n") }},
		{"hangs", true, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{"slow headers", true, func(c net.Conn) { write(c, 10*time.Millisecond, "HTTP/1.1 200 OK\r\n", "X: a\r\n") }},
		{"slow drip", true, func(c net.Conn) {
			write(c, 10*time.Millisecond, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", "a")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := raw(t, tt.talk)
			ctx := t.Context()
			if tt.late {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			begin := time.Now()
			_, err := New(Options{}).Get(ctx, u, Loopback, 1000)
			if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrAnswer) {
				t.Errorf("got %v, want an error of the network", err)
			}
			if errors.Is(err, context.DeadlineExceeded) != tt.late || time.Since(begin) > 4*time.Second {
				t.Errorf("after %s: %v", time.Since(begin), err)
			}
		})
	}
}

func TestFiveSecondsAtMost(t *testing.T) {
	t.Parallel()
	u := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	begin := time.Now()
	_, err := New(Options{}).PostForm(t.Context(), u, Loopback, url.Values{"a": {"b"}})
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took < callTime-time.Second || took > callTime+5*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}

func TestTLS(t *testing.T) {
	start := func(cfg *tls.Config) (*httptest.Server, *Client) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
		s.TLS, s.EnableHTTP2, s.Config.ErrorLog = cfg, true, log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		return s, New(Options{Roots: roots})
	}
	s, c := start(nil)
	if a, err := c.Get(t.Context(), s.URL, Loopback, 9); err != nil || string(a.Body) != "{}" {
		t.Errorf("%q, %v", a.Body, err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := New(Options{}).Get(t.Context(), s.URL, Loopback, 9); !errors.As(err, &unknown) {
		t.Errorf("a stranger's certificate: %v", err)
	}
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	var name x509.HostnameError
	if _, err := c.Get(t.Context(), "https://localhost:"+port, Loopback, 9); !errors.As(err, &name) {
		t.Errorf("another name's certificate: %v", err)
	}
	s, c = start(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if _, err := c.Get(t.Context(), s.URL, Loopback, 9); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

// TestNoProxy looks at the transports: a proxy of the environment would itself be dialled, and refused, and so no call
// can tell. The environment is read once a process besides.
func TestNoProxy(t *testing.T) {
	c := New(Options{})
	for _, tr := range []*http.Transport{c.public, c.inside, c.loopback} {
		if tr.Proxy != nil {
			t.Error("a transport asks for a proxy")
		}
	}
}

// withNames makes a client that asks a name server of the test's, which gives every name these addresses.
func withNames(t *testing.T, ips ...string) *Client {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := answerName(buf[:n], ips); answer != nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	c := New(Options{})
	for s, tr := range map[scope]*http.Transport{public: c.public, inside: c.inside, loopback: c.loopback} {
		tr.DialContext = s.dialer(resolver).DialContext
	}
	return c
}

func answerName(query []byte, ips []string) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	for _, s := range ips {
		ip := netip.MustParseAddr(s)
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case q.Type == dnsmessage.TypeA && ip.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
		case q.Type == dnsmessage.TypeAAAA && ip.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	out, _ := m.Pack()
	return out
}

// TestNamesThatLeadInside is the whole way of a name that an attacker owns: the address that it leads to is seen when
// it is dialled, so it does not matter what the name was a moment ago.
func TestNamesThatLeadInside(t *testing.T) {
	var calls atomic.Int32
	u := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(u, "http://"))
	for _, ips := range [][]string{
		{"127.0.0.1"}, {"::1"}, {"127.0.0.1", "::1"}, {"::ffff:127.0.0.1"}, {"0.0.0.0"}, {"::"}, {"169.254.169.254"}, {"fd00:ec2::254"},
	} {
		for _, reach := range []Reach{Public, Inside, Loopback, Inside | Loopback} {
			c := withNames(t, ips...)
			_, err := c.Get(t.Context(), "https://rebound.example:"+port+"/", reach, 9)
			if !errors.Is(err, ErrRefused) {
				t.Errorf("a name that leads to %v, reach %d: %v", ips, reach, err)
			}
		}
	}
	if calls.Load() != 0 {
		t.Error("a request arrived")
	}
}

// TestLocalhostThatLeadsElsewhere: the reach of Loopback is this machine, whatever localhost resolves to.
func TestLocalhostThatLeadsElsewhere(t *testing.T) {
	for _, s := range []string{"10.0.0.1:80", "8.8.8.8:443", "[2a00::1]:443", "169.254.169.254:80"} {
		if err := loopback.control("tcp4", s, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestMaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                          -1,
		"public":                    -1,
		"max-age=60":                time.Minute,
		"Public, MAX-AGE=60":        time.Minute,
		`max-age="60"`:              time.Minute,
		"max-age=0":                 0,
		"no-store, max-age=60":      0,
		"max-age=60, no-cache":      0,
		"max-age=-1":                -1,
		"max-age=x":                 -1,
		"s-maxage=60":               -1,
		"max-age=60,max-age=99":     time.Minute,
		"max-age=99999999999999999": -1,
	} {
		if got := maxAge([]string{header}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}
