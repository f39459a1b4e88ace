package sms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRequest(t *testing.T) {
	for _, name := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_EDGE", "TWILIO_REGION", "HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:9")
	}
	for _, tt := range []struct {
		set        func(*Config)
		path, form string
	}{
		{func(c *Config) { c.From = "Portvakt" }, "/2010-04-01/Accounts/" + testSID + "/Messages.json",
			"Body=918273+is+your+code&From=Portvakt&To=%2B46701740605"},
		{func(c *Config) { c.MessagingServiceSID = "MG42" }, "/2010-04-01/Accounts/" + testSID + "/Messages.json",
			"Body=918273+is+your+code&MessagingServiceSid=MG42&To=%2B46701740605"},
		{func(c *Config) { c.VerifyServiceSID = "VA42" }, "/v2/Services/VA42/Verifications",
			"Channel=sms&CustomCode=918273&To=%2B46701740605"},
	} {
		for _, prefix := range []string{"", "/", "/twilio/"} {
			f := newFake(t, says(201, accepted))
			cfg := at(f.URL+prefix, io.Discard)
			cfg.From = ""
			tt.set(&cfg)
			o := open(t, cfg)
			if _, err := sendAndWait(o, message()); err != nil {
				t.Fatal(err)
			}
			sid, token, _ := f.last.BasicAuth()
			want := strings.TrimSuffix(prefix, "/") + tt.path
			if f.last.Method != "POST" || f.last.URL.Path != want || f.last.Host != strings.TrimPrefix(f.URL, "http://") || f.form.Encode() != tt.form {
				t.Errorf("%s %s %s %s, want %s %s", f.last.Method, f.last.Host, f.last.URL, f.form.Encode(), want, tt.form)
			}
			if sid != testSID || token != testToken {
				t.Errorf("authorised as %q, %q", sid, token)
			}
			if s := o.Stats(); s != (Stats{Sent: 1}) {
				t.Errorf("%+v", s)
			}
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOwnHosts looks at where messages go without a base URL; no such request leaves the machine.
func TestOwnHosts(t *testing.T) {
	t.Setenv("TWILIO_EDGE", "sydney")
	t.Setenv("TWILIO_REGION", "au1")
	for service, want := range map[string]string{"": "https://api.twilio.com", "VA42": "https://verify.twilio.com"} {
		cfg := at("", io.Discard)
		if cfg.VerifyServiceSID = service; service != "" {
			cfg.From = ""
		}
		var got string
		tw, err := newTwilio(cfg, roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.Scheme + "://" + r.URL.Host
			return nil, io.ErrUnexpectedEOF
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tw.send(t.Context(), message()); !errors.Is(err, ErrUnavailable) || got != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	if newTransport().Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
}

type mood struct {
	name     string
	handler  func(*fake) http.HandlerFunc
	err      error
	counts   bool // opens the breaker when it comes five times
	requests int64
	slow     bool // lasts the whole attempt
}

func moods(elsewhere string) []mood {
	plain := func(h http.HandlerFunc) func(*fake) http.HandlerFunc {
		return func(*fake) http.HandlerFunc { return h }
	}
	redirect := func(status int) func(*fake) http.HandlerFunc {
		return plain(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
	}
	long := `{"code":20429,"message":"` + strings.Repeat("x", 20<<10) + `"}`
	answer := func(length int) string {
		return fmt.Sprintf("HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s", length, accepted)
	}
	return []mood{
		{"well", plain(says(201, accepted)), nil, false, 1, false},
		{"duplicate", func(f *fake) http.HandlerFunc { return f.raw(answer(len(accepted))+answer(len(accepted)), "") }, nil, false, 1, false},

		{"invalid number", plain(refusal(400, 21211)), ErrRefused, false, 1, false},
		{"unsubscribed", plain(refusal(400, 21610)), ErrRefused, false, 1, false},
		{"not mobile", plain(refusal(400, 21614)), ErrRefused, false, 1, false},
		{"not enabled for the region", plain(refusal(400, 21408)), ErrRefused, false, 1, false},
		{"landline, 403", plain(refusal(403, 60205)), ErrRefused, false, 1, false},
		{"Fraud Guard, 403", plain(refusal(403, 60410)), ErrRefused, false, 1, false},
		{"five to one number, 429", plain(refusal(429, 60203)), ErrUnavailable, false, 1, false},
		{"wrong sender", plain(refusal(400, 21606)), ErrUnavailable, false, 1, false},
		{"no such service", plain(refusal(404, 20404)), ErrUnavailable, false, 1, false},

		{"429 JSON", plain(refusal(429, 20429)), ErrUnavailable, true, 1, false},
		{"429 with 20 KB", plain(says(429, long)), ErrUnavailable, true, 1, false},
		{"429 with 20 KB of text", plain(says(429, long[20:])), ErrUnavailable, true, 1, false},
		{"500 HTML", plain(says(500, "<html>"+testTo)), ErrUnavailable, true, 1, false},
		{"503 JSON", plain(refusal(503, 20503)), ErrUnavailable, true, 1, false},
		{"401", plain(refusal(401, 20003)), ErrUnavailable, true, 1, false},
		{"403", plain(refusal(403, 20003)), ErrUnavailable, true, 1, false},
		{"400 HTML", plain(says(400, "<html>")), ErrUnavailable, true, 1, false},
		{"400 with our code for code", plain(says(400, `{"code":`+testCode+`}`)), ErrUnavailable, true, 1, false},
		{"200 HTML", plain(says(200, "<html>Log in to the Wi-Fi")), ErrUnavailable, true, 1, false},
		{"200 of nothing", plain(says(200, "{}")), ErrUnavailable, true, 1, false},
		{"204", plain(says(204, "")), ErrUnavailable, true, 1, false},
		{"redirect 302", redirect(302), ErrUnavailable, true, 1, false},
		{"redirect 307", redirect(307), ErrUnavailable, true, 1, false},
		{"redirect 308", redirect(308), ErrUnavailable, true, 1, false},
		{"half an answer", func(f *fake) http.HandlerFunc { return f.raw(answer(len(accepted)+9), "") }, ErrUnavailable, true, 1, true},
		{"not HTTP", func(f *fake) http.HandlerFunc { return f.raw(testTo+" "+testToken+"\r\n\r\n", "") }, ErrUnavailable, true, 1, false},
		{"hangs up", plain(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), ErrUnavailable, true, 1, false},
		{"endless", plain(func(w http.ResponseWriter, r *http.Request) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, long)
			}
		}), ErrUnavailable, true, 1, false},
		{"hang", plain(hang), ErrUnavailable, true, 1, true},
		{"trickle", plain(trickle), ErrUnavailable, true, 1, true},
		{"trickling header", func(f *fake) http.HandlerFunc { return f.raw("HTTP/1.1 201 Created\r\nX: ", "x") }, ErrUnavailable, true, 1, true},
		{"dead port", nil, ErrUnavailable, true, 0, false},
	}
}

// start opens an outbox on a fake in mood m.
func (m mood) start(t *testing.T, cfg Config) (*fake, *Outbox) {
	f := newFake(t, nil)
	cfg.BaseURL = f.URL
	if m.handler == nil {
		cfg.BaseURL = deadPort
	} else {
		f.mood = m.handler(f)
	}
	return f, open(t, cfg)
}

// TestMoods sends one message in each mood, through Messages and through Verify, with the real time limits.
func TestMoods(t *testing.T) {
	standard := &lockedBuffer{}
	before := log.Writer()
	log.SetOutput(standard)
	t.Cleanup(func() { log.SetOutput(before) })
	elsewhere := newFake(t, says(201, accepted))
	var all sync.WaitGroup // and not t.Parallel, which runs no more than the machine has cores
	some := make(chan bool, 16)
	for _, m := range moods(elsewhere.URL) {
		for _, service := range []string{"", "VA42"} {
			all.Go(func() {
				some <- true
				defer func() { <-some }()
				for range 3 { // a busy machine may be too late once
					took := m.check(t, service)
					if took <= telling && (m.slow || took <= attempt) && (!m.slow || took >= attempt) {
						return
					}
					t.Logf("%s%s: told after %v", m.name, service, took)
				}
				t.Errorf("%s%s: three times told too late or too soon", m.name, service)
			})
		}
	}
	all.Wait()
	if n := elsewhere.requests.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
	noSecret(t, standard.String())
}

// check sends one message in mood m, and gives how long it took until it was told.
func (m mood) check(t *testing.T, service string) time.Duration {
	var out lockedBuffer
	cfg := at("", &out)
	if cfg.VerifyServiceSID = service; service != "" {
		cfg.From = ""
	}
	f, o := m.start(t, cfg)
	took, err := sendAndWait(o, message())
	if !errors.Is(err, m.err) {
		t.Errorf("%s%s: told %v, want %v", m.name, service, err, m.err)
	}
	if n := f.requests.Load(); n != m.requests {
		t.Errorf("%s%s: %d requests, want %d", m.name, service, n, m.requests)
	}
	o.mu.Lock()
	if counted := len(o.breaker.failed) == 1; counted != m.counts {
		t.Errorf("%s%s: counted as an outage: %v", m.name, service, counted)
	}
	o.mu.Unlock()
	noSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err)+out.String())
	return took
}

// TestSecondTry counts connections and requests: one more of each only when there was no connection.
func TestSecondTry(t *testing.T) {
	f := newFake(t, says(201, accepted))
	u, _ := url.Parse(f.URL)
	for _, tt := range []struct {
		name            string
		fail            func(n int64) error
		dials, requests int64
		ok              bool
	}{
		{"at once", func(int64) error { return nil }, 1, 1, true},
		{"at the second", func(n int64) error {
			if n == 1 {
				return &net.OpError{Op: "dial", Err: errors.New("refused")}
			}
			return nil
		}, 2, 1, true},
		{"never", func(int64) error { return &net.OpError{Op: "dial", Err: errors.New("refused")} }, 2, 0, false},
		{"after a connection", func(int64) error { return &net.OpError{Op: "read", Err: errors.New("reset")} }, 1, 0, false},
	} {
		f.requests.Store(0)
		var dials atomic.Int64
		transport := newTransport()
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			if err := tt.fail(dials.Add(1)); err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, u.Host)
		}
		tw, err := newTwilio(at(f.URL, io.Discard), transport)
		if err != nil {
			t.Fatal(err)
		}
		v, err := tw.send(t.Context(), message())
		if dials.Load() != tt.dials || f.requests.Load() != tt.requests || (err == nil) != tt.ok || (v == answered) != tt.ok {
			t.Errorf("%s: %d dials, %d requests, %v", tt.name, dials.Load(), f.requests.Load(), err)
		}
	}
}

// TestOnce asks a call twice, as twilio-go does in its APIs of version 1.0 (client/client.go:107).
func TestOnce(t *testing.T) {
	f := newFake(t, says(201, accepted))
	c := &call{ctx: t.Context(), next: newTransport()}
	for i, want := range []error{nil, errTwice} {
		req, err := http.NewRequest("POST", f.URL, strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.RoundTrip(req); !errors.Is(err, want) {
			t.Errorf("request %d: %v", i+1, err)
		}
	}
	if n := f.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestSilentTLS reaches something that accepts and says nothing: one connection, told in time, nothing is tried again.
func TestSilentTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conns atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // kept: one that nobody holds any more is closed by the collector
			conns.Add(1)
		}
	}()
	took, err := sendAndWait(open(t, at("https://"+l.Addr().String(), io.Discard)), message())
	if !errors.Is(err, ErrUnavailable) || took < attempt || took > telling || conns.Load() != 1 {
		t.Errorf("told %v after %v, %d connections", err, took, conns.Load())
	}
}

func TestVerifyNeedsCode(t *testing.T) {
	f := newFake(t, says(201, accepted))
	cfg := at(f.URL, io.Discard)
	cfg.From, cfg.VerifyServiceSID = "", "VA42"
	m := message()
	m.Code = ""
	if _, err := sendAndWait(open(t, cfg), m); err == nil || f.requests.Load() != 0 {
		t.Errorf("%v, %d requests", err, f.requests.Load())
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(201, []byte(accepted))
	f.Add(400, []byte(`{"code":21211}`))
	f.Add(0, []byte(nil))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		v, err := judge(&call{status: status, answer: answer})
		if (err == nil) && (v != answered || status/100 != 2) {
			t.Fatalf("%d %q is a success", status, answer)
		}
		if err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		if long := bytes.ContainsAny(answer, "0123456789"); err != nil && long && status < 1000 && status > -1000 {
			for word := range strings.FieldsSeq(err.Error()) {
				if n := strings.Trim(word, ","); len(n) > 5 && strings.Trim(n, "0123456789") == "" {
					t.Fatalf("%q holds %s", err, n)
				}
			}
		}
	})
}
