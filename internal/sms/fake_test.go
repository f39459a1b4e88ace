package sms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	testSID   = "AC0123456789abcdef0123456789abcdef"
	testToken = "0c0ffee00c0ffee00c0ffee00c0ffee0"
	testTo    = "+46701740605"
	testCode  = "918273"
)

func message() Message {
	return Message{To: testTo, Body: testCode + " is your code", Code: testCode, Expires: time.Now().Add(5 * time.Minute)}
}

// noSecret looks for the token, the code and the number, whole or without its plus.
func noSecret(t *testing.T, s string) {
	t.Helper()
	for _, secret := range []string{testToken, testCode, testTo[1:], "0701740605"} {
		if strings.Contains(s, secret) {
			t.Errorf("%s in: %.2000s", secret, s)
		}
	}
}

// fake is Twilio on a loopback port: a real server with a mood.
type fake struct {
	*httptest.Server
	mood     http.HandlerFunc
	requests atomic.Int64
	open     atomic.Int64 // connections

	mu   sync.Mutex
	last *http.Request
	form url.Values
}

func newFake(t *testing.T, mood http.HandlerFunc) *fake {
	f := &fake{mood: mood}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		f.mu.Lock()
		f.last, f.form = r, form
		f.mu.Unlock()
		f.mood(w, r)
	}))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			f.open.Add(1)
		case http.StateClosed, http.StateHijacked: // who hijacks counts for itself
			f.open.Add(-1)
		}
	}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// deadPort refuses connections: the lowest port is never given to whoever asks for any, as one that was closed is.
const deadPort = "http://127.0.0.1:1"

// says answers with a status and a body; the body names the number and the code, as Twilio's do.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func refusal(status, code int) http.HandlerFunc {
	return says(status, fmt.Sprintf(`{"code":%d,"status":%d,"message":"The 'To' number %s, text %s"}`, code, status, testTo, testCode))
}

const accepted = `{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","to":"` + testTo + `","body":"` + testCode + `"}`

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// trickle answers at once and then sends a byte each 10 ms.
func trickle(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusCreated)
	for r.Context().Err() == nil {
		io.WriteString(w, " ")
		w.(http.Flusher).Flush()
		select {
		case <-time.After(10 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
}

// raw writes bytes as they are, again and again each 10 ms while more, until nobody reads.
func (f *fake) raw(first, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		f.open.Add(1)
		defer f.open.Add(-1)
		defer conn.Close()
		_, err = io.WriteString(conn, first)
		for err == nil && more != "" {
			time.Sleep(10 * time.Millisecond)
			_, err = io.WriteString(conn, more)
		}
		// Lets the client read all of it before the connection goes away.
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, conn)
	}
}

// clock is a Config.Now that the test moves.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) advance(d time.Duration) { c.off.Add(int64(d)) }

// lockedBuffer takes log lines of many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// at is a Config that sends to base with the first of the three ways.
func at(base string, out io.Writer) Config {
	return Config{Wire: "twilio", AccountSID: testSID, AuthToken: testToken, From: "+46700000001", BaseURL: base,
		Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func open(t *testing.T, cfg Config) *Outbox {
	t.Helper()
	o, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// errNotTold stands for a done that was not called in 20 s.
var errNotTold = errors.New("not told")

// sendAndWait returns what Send or done said, and how long that took.
func sendAndWait(o *Outbox, m Message) (took time.Duration, err error) {
	start, told := time.Now(), make(chan error, 2)
	if err := o.Send(m, func(err error) { told <- err }); err != nil {
		return time.Since(start), err
	}
	select {
	case err := <-told:
		return time.Since(start), err
	case <-time.After(20 * time.Second):
		return time.Since(start), errNotTold
	}
}
