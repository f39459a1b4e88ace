package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var sender = netmail.Address{Name: "Portvakt på Exempel", Address: "portvakt@example.se"}

// noon is when every message of these tests is written.
func noon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.FixedZone("CEST", 7200)) }

// TestArrives holds what the server took against what was sent, as a reader of mail sees it.
func TestArrives(t *testing.T) {
	f := &fakeSMTP{ext: []string{"8BITMIME", "SMTPUTF8", "SIZE 1000000"}}
	s := open(t, Config{Wire: "smtp://" + f.listen(t), From: sender.String(), Now: noon})
	long := strings.Repeat("Ändra ditt lösenord på Exempel. ", 60)
	for i, m := range []Message{
		hello,
		{To: "anna@example.se", Subject: "", Body: ""},
		{To: "anna.b+c@xn--exmpel-bua.se", Subject: long, Body: long + "\n" + strings.Repeat("å", 2000) + "\n"},
		{To: "anna@example.se", Subject: strings.Repeat("word ", 300) + "end", Body: strings.Repeat("x", 5000) + "\n"},
		{To: "anna@example.se", Subject: strings.Repeat("x", 700), Body: "=?utf-8?q?no?=\n"},
		{To: "anna@example.se", Subject: `"quoted" <b> \ & : ; , 漢字 🔑`, Body: "tab\t and space \nnul \x00, cr \u2028 end"},
		{To: "anna@example.se", Subject: "dots", Body: ".\n..\n.x\n\n.\nMAIL FROM:<eve@example.com>\nQUIT\n"},
		{To: "anna@example.se", Subject: "ends", Body: "one\r\n.\r\ntwo\n.\nRCPT TO:<eve@example.com>\n"},
		{To: "anna@example.se", Subject: "no header", Body: "Bcc: eve@example.com\n\nFrom the start\n"},
		{To: `"anna b"@example.se`, Subject: "quoted", Body: "x"},
		{To: "åsa@exempel.se", Subject: "outside ASCII", Body: "x"},
	} {
		if err := s.Send(t.Context(), m); err != nil {
			t.Errorf("%+q: %v", m, err)
			continue
		}
		got := f.messages()
		if len(got) != i+1 {
			t.Fatalf("%+q: %d messages, want %d", m, len(got), i+1)
		}
		checkArrived(t, got[i], m)
	}
	ids := map[string]bool{}
	for _, r := range f.messages() {
		m, err := netmail.ReadMessage(strings.NewReader(r.text))
		if err != nil {
			t.Fatal(err)
		}
		id := m.Header.Get("Message-ID")
		if ids[id] || !regexp.MustCompile(`^<[a-z2-7]{26}@example\.se>$`).MatchString(id) {
			t.Errorf("Message-ID %s", id)
		}
		ids[id] = true
	}
}

func checkArrived(t *testing.T, r received, want Message) {
	t.Helper()
	outside := !ascii(want.To)
	if from := "FROM:<portvakt@example.se> BODY=8BITMIME"; r.from != from && !(outside && r.from == from+" SMTPUTF8") {
		t.Errorf("MAIL %s", r.from)
	}
	if r.to != "TO:<"+want.To+">" {
		t.Errorf("RCPT %s, want %s", r.to, want.To)
	}
	for text := range strings.Lines(r.text) {
		body, ok := strings.CutSuffix(text, "\r\n")
		if !ok || strings.ContainsAny(body, "\r\n") || len(body) > 998 || !outside && !ascii(body) {
			t.Errorf("%q is no line of RFC 5322 §2.1.1", text)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(r.text))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Auto-Submitted":            "auto-generated",
		"Content-Transfer-Encoding": "quoted-printable",
		"Content-Type":              "text/plain; charset=UTF-8",
		"Date":                      "Mon, 04 May 2026 10:00:00 +0000",
		"Mime-Version":              "1.0",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(m.Header) != 9 {
		t.Errorf("headers %v", m.Header)
	}
	if got, err := m.Header.AddressList("From"); err != nil || len(got) != 1 || *got[0] != sender {
		t.Errorf("From %v, %v", got, err)
	}
	if got, err := m.Header.AddressList("To"); err != nil || len(got) != 1 || (&netmail.Address{Address: got[0].Address}).String() != "<"+want.To+">" {
		t.Errorf("To %v, %v", got, err)
	}
	if got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || got != want.Subject {
		t.Errorf("Subject %q, %v, want %q", got, err, want.Subject)
	}
	got, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	plain := func(s string) string { return strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n") }
	if err != nil || plain(string(got)) != plain(want.Body) {
		t.Errorf("body %q, %v, want %q", got, err, want.Body)
	}
}

// TestMoods holds a row for each way in which a server says no. None may show in an error whom the mail was for, what
// stood in it or the password, though this server repeats all it hears.
func TestMoods(t *testing.T) {
	const echo = " anna@example.se Hej hemligt "
	for _, tt := range []struct {
		verb, answer string
		want         string // empty: taken
		refused      bool
	}{
		{"QUIT", early, "", false},
		{"QUIT", "500 5.5.1 no", "", false},
		{"EHLO", "502 5.5.1 no", "sign in: the server offers none of ", false},
		{"", "421 4.3.2" + echo, "greeting: 421 4.3.2", false},
		{"", "554" + echo, "greeting: 554", false},
		{"", "hello" + echo, "greeting: the server's answer makes no sense", false},
		{"", early, "greeting: the server closed the connection", false},
		{"EHLO", early, "EHLO: the server closed the connection", false},
		{"AUTH", "454 4.7.0" + echo, "sign in: 454 4.7.0", false},
		{"AUTH", "535 5.7.8" + echo, "sign in: 535 5.7.8", false},
		{"AUTH", "334 " + echo, "sign in: the server's answer makes no sense", false},
		{"MAIL", "451 4.3.0" + echo, "sender: 451 4.3.0", false},
		{"MAIL", "550 5.7.1" + echo, "sender: 550 5.7.1", false},
		{"MAIL", early, "sender: the server closed the connection", false},
		{"RCPT", "450 4.2.1" + echo, "recipient: 450 4.2.1", false},
		{"RCPT", "421 4.3.2" + echo, "recipient: 421 4.3.2", false},
		{"RCPT", "530 5.7.0" + echo, "recipient: 530 5.7.0", false},
		{"RCPT", "550 5.1.1" + echo, "recipient: 550 5.1.1: ", true},
		{"RCPT", "550-5.1.1" + echo + "\r\n550 5.1.1" + echo, "recipient: 550 5.1.1: ", true},
		{"RCPT", "553" + echo, "recipient: 553: ", true},
		{"RCPT", early, "recipient: the server closed the connection", false},
		{"RCPT", echo, "recipient: the server's answer makes no sense", false},
		{"DATA", "451 4.3.0" + echo, "data: 451 4.3.0", false},
		{"DATA", "554 5.5.1" + echo, "data: 554 5.5.1", false},
		{".", "452 4.3.1" + echo, "message: 452 4.3.1", false},
		{".", "550 5.1.10" + echo, "message: 550 5.1.10: ", true},
		{".", early, "message: the server closed the connection", false},
	} {
		t.Run(tt.verb+" "+tt.answer, func(t *testing.T) {
			f := &fakeSMTP{mood: map[string]string{tt.verb: tt.answer}, auth: "PLAIN", user: "portvakt", password: "hemligt"}
			var logged bytes.Buffer
			addr := f.listen(t)
			s := open(t, Config{Wire: "smtp://portvakt:hemligt@" + addr, From: sender.Address,
				Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))})
			err := s.Send(t.Context(), hello)
			if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), "mail: "+addr+": "+tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if errors.Is(err, ErrRefused) != tt.refused {
				t.Errorf("%v: refused is %v", err, !tt.refused)
			}
			if taken := len(f.messages()); (taken == 1) != (tt.want == "") {
				t.Errorf("%d messages taken", taken)
			}
			for _, secret := range []string{"hemligt", "anna", "Hej"} {
				if err != nil && strings.Contains(err.Error(), secret) || logged.Len() > 0 {
					t.Errorf("shown: %v %s", err, logged.Bytes())
				}
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	const addr = "127.0.0.1:1" // never given to whoever asks for any
	s := open(t, Config{Wire: "smtp://portvakt:hemligt@" + addr, From: sender.Address})
	err := s.Send(t.Context(), hello)
	if err == nil || errors.Is(err, ErrRefused) || !strings.HasPrefix(err.Error(), "mail: "+addr+": connect: ") {
		t.Error(err)
	}
}

func TestSignIn(t *testing.T) {
	const password = "p@ss/w:rd% å"
	for _, tt := range []struct {
		offered, user, password string
		want                    string // empty: taken
	}{
		{"PLAIN", "portvakt@example.se", password, ""},
		{"LOGIN", "portvakt@example.se", password, ""},
		{"XOAUTH2 LOGIN PLAIN", "portvakt@example.se", password, ""},
		{"PLAIN", "portvakt@example.se", "wrong", "sign in: 535 5.7.8"},
		{"LOGIN", "portvakt@example.se", "wrong", "sign in: 535 5.7.8"},
		{"GSSAPI XOAUTH2", "portvakt@example.se", password, "sign in: the server offers none of PLAIN, LOGIN and SCRAM-SHA-256"},
		{"", "portvakt@example.se", password, "sign in: the server offers none of "},
	} {
		f := &fakeSMTP{auth: tt.offered, user: "portvakt@example.se", password: password}
		addr := f.listen(t)
		wire := url.URL{Scheme: "smtp", User: url.UserPassword(tt.user, tt.password), Host: addr}
		err := open(t, Config{Wire: wire.String(), From: sender.Address}).Send(t.Context(), hello)
		if tt.want == "" {
			if got := f.messages(); err != nil || len(got) != 1 || got[0].user != tt.user {
				t.Errorf("%s: %v, %v", tt.offered, got, err)
			}
			continue
		}
		if err == nil || errors.Is(err, ErrRefused) || !strings.HasPrefix(err.Error(), "mail: "+addr+": "+tt.want) {
			t.Errorf("%s: %v, want %s", tt.offered, err, tt.want)
		}
	}
}

func TestTLS(t *testing.T) {
	const host = "mail.example.se"
	good, roots := certificate(t, host)
	other, otherRoots := certificate(t, "mail.example.com")
	for _, tt := range []struct {
		name, scheme string
		secret       *tls.Config
		roots        *x509.CertPool
		mood         map[string]string
		want         string // empty: taken
	}{
		{"STARTTLS", "smtp", good, roots, nil, ""},
		{"from the first byte", "smtps", good, roots, nil, ""},
		{"not offered", "smtp", nil, roots, nil, "offers no STARTTLS"},
		{"offered and refused", "smtp", good, roots, map[string]string{"STARTTLS": "454 4.7.0 no"}, "STARTTLS: 454 4.7.0"},
		{"no EHLO", "smtp", good, roots, map[string]string{"EHLO": "502 5.5.1 no"}, "offers no STARTTLS"},
		{"answered in plain", "smtp", good, roots, map[string]string{"STARTTLS": "220 yes\r\n250 mail.example.se"}, "STARTTLS: "},
		{"nobody's certificate", "smtp", good, x509.NewCertPool(), nil, "certificate signed by unknown authority"},
		{"another's name", "smtp", other, otherRoots, nil, "certificate is valid for mail.example.com, not mail.example.se"},
		{"nobody's certificate at once", "smtps", good, x509.NewCertPool(), nil, "certificate signed by unknown authority"},
		{"another's name at once", "smtps", other, otherRoots, nil, "certificate is valid for mail.example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeSMTP{secret: tt.secret, implicit: tt.scheme == "smtps", mood: tt.mood, auth: "PLAIN", user: "portvakt", password: "hemligt"}
			addr := f.listen(t)
			r, err := newRelay(tt.scheme+"://portvakt:hemligt@"+host, sender)
			if err != nil {
				t.Fatal(err)
			}
			r.roots = tt.roots
			r.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			err = (&Sender{deliver: r.deliver, now: noon}).Send(t.Context(), hello)
			got := f.messages()
			checkHeard(t, f)
			if tt.want == "" {
				if err != nil || len(got) != 1 || !got[0].encrypted || got[0].user != "portvakt" {
					t.Fatalf("%v, %v", got, err)
				}
				return
			}
			if err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) || len(got) > 0 {
				t.Errorf("%v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// checkHeard refuses a conversation that said a secret before it was encrypted.
func checkHeard(t *testing.T, f *fakeSMTP) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.plain {
		verb, _, _ := strings.Cut(l, " ")
		if slices.Contains([]string{"AUTH", "MAIL", "RCPT", "DATA"}, verb) {
			t.Errorf("said in plain: %q", f.plain)
		}
	}
}

// TestPlainOnLoopback shows that a local server is taken as it is, whatever certificate it has made for itself.
func TestPlainOnLoopback(t *testing.T) {
	secret, _ := certificate(t, "debian")
	f := &fakeSMTP{secret: secret}
	s := open(t, Config{Wire: "smtp://" + f.listen(t), From: sender.Address})
	if err := s.Send(t.Context(), hello); err != nil || len(f.messages()) != 1 {
		t.Error(err)
	}
}

func TestSMTPUTF8(t *testing.T) {
	f := &fakeSMTP{}
	s := open(t, Config{Wire: "smtp://" + f.listen(t), From: sender.Address})
	err := s.Send(t.Context(), Message{To: "åsa@exempel.se", Subject: "x", Body: "x"})
	if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "exempel") || len(f.messages()) > 0 {
		t.Errorf("%v, want ErrRefused", err)
	}
}

// piped is a sender whose server sits on the other end of a pipe, so that a bubble of synctest holds both.
func piped(t *testing.T, f *fakeSMTP) *Sender {
	t.Helper()
	r, err := newRelay("smtp://127.0.0.1", sender)
	if err != nil {
		t.Fatal(err)
	}
	r.dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go f.serve(far)
		return near, nil
	}
	return &Sender{deliver: r.deliver, now: time.Now}
}

// TestHang shows how long a silent server is borne with, to the nanosecond, and that nothing of it stays.
func TestHang(t *testing.T) {
	for _, verb := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := piped(t, &fakeSMTP{mood: map[string]string{verb: hang}}), time.Now()
				err := s.Send(t.Context(), hello)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrRefused) || took != 10*time.Second {
					t.Errorf("%v after %v", err, took)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(3*time.Second, cancel)
				start = time.Now()
				err = s.Send(ctx, hello)
				if took := time.Since(start); !errors.Is(err, context.Canceled) || took != 3*time.Second {
					t.Errorf("cancelled: %v after %v", err, took)
				}
			})
		})
	}
	t.Run("QUIT", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeSMTP{mood: map[string]string{"QUIT": hang}}
			s, start := piped(t, f), time.Now()
			if err, took := s.Send(t.Context(), hello), time.Since(start); err != nil || took != parting || len(f.messages()) != 1 {
				t.Errorf("%v after %v: what is taken is taken", err, took)
			}
		})
	})
	t.Run("dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, err := newRelay("smtp://mail.example.se", sender)
			if err != nil {
				t.Fatal(err)
			}
			r.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
			start := time.Now()
			err = (&Sender{deliver: r.deliver, now: time.Now}).Send(t.Context(), hello)
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
}

// TestFlat fails 200 times in every way there is and looks for what stayed behind: a connection left open hangs the
// server's end, a goroutine is counted.
func TestFlat(t *testing.T) {
	moods := []map[string]string{
		{"": "421 busy"}, {"": early}, {"": hang}, {"EHLO": early}, {"MAIL": "451 no"}, {"RCPT": "550 no"}, {"RCPT": hang},
		{"DATA": early}, {".": "452 full"}, {".": hang},
	}
	before := runtime.NumGoroutine()
	t.Run("fail", func(t *testing.T) {
		var senders []*Sender
		for _, m := range moods {
			senders = append(senders, open(t, Config{Wire: "smtp://" + (&fakeSMTP{mood: m}).listen(t), From: sender.Address}))
		}
		for i := range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if err := senders[i%len(senders)].Send(ctx, hello); err == nil {
				t.Errorf("%v: sent", moods[i%len(moods)])
			}
			cancel()
		}
	})
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}

func TestConcurrent(t *testing.T) {
	f := &fakeSMTP{}
	s := open(t, Config{Wire: "smtp://" + f.listen(t), From: sender.Address})
	done := make(chan error)
	for i := range 50 {
		go func() {
			done <- s.Send(t.Context(), Message{To: fmt.Sprintf("a%d@example.se", i), Subject: "x", Body: "x"})
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := len(f.messages()); got != 50 {
		t.Errorf("%d messages", got)
	}
}
