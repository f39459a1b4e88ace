package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var hello = Message{To: "anna@example.se", Subject: "Välkommen", Body: "Hej Anna!\n<https://login.example.se/x?a=1&b=2>\n"}

func TestOpen(t *testing.T) {
	const from = "portvakt@example.se"
	missing := "file:" + filepath.Join(t.TempDir(), "none", "mail")
	for _, tt := range []struct {
		wire, from string
		on         bool
		err        string // how the error begins; empty: none
	}{
		{"", "", false, ""},
		{"off", "", false, ""},
		{"log", "", true, ""},
		{"file:" + filepath.Join(t.TempDir(), "mail"), "", true, ""},
		{"smtp://mail.example.se", from, true, ""},
		{"smtp://mail.example.se/", "Portvakt på Exempel <portvakt@example.se>", true, ""},
		{"smtp://user:hemligt@mail.example.se:2525", from, true, ""},
		{"smtp://user%40example.se:hem%2Fligt@mail.example.se:2525", from, true, ""},
		{"smtps://user:hemligt@[2001:db8::1]:465", from, true, ""},

		{"on", from, false, "mail: use "},
		{"user:hemligt@mail.example.se", from, false, "mail: use "},
		{"http://user:hemligt@mail.example.se", from, false, "mail: use "},
		{"file:", from, false, "mail: use "},
		{missing, from, false, "mail: open "},
		{"smtp:user:hemligt@mail.example.se", from, false, "mail is not an address"},
		{"smtp://", from, false, "mail is not an address"},
		{"smtp://user:hem/ligt@mail.example.se", from, false, "mail is not an address"},
		{"smtp://user:hem%ligt@mail.example.se", from, false, "mail is not an address"},
		{"smtp://user:hem#ligt@mail.example.se", from, false, "mail is not an address"},
		{"smtp://user:hemligt@mail.example.se?tls=no", from, false, "mail is not an address"},
		{"smtp://user:hemligt@mail.example.se:smtp", from, false, "mail is not an address"},
		{"smtp://user:hemligt@mail.example.se:0", from, false, "mail: the port "},
		{"smtp://user:hemligt@mail.example.se:65536", from, false, "mail: the port "},
		{"smtp://user@mail.example.se", from, false, "mail: give both "},
		{"smtp://:hemligt@mail.example.se", from, false, "mail: give both "},
		{"smtp://user:hemligt%00@mail.example.se", from, false, "mail: give both "},
		{"smtp://user:hemligt@mail.example.se", "", false, "mail-from is empty"},
		{"smtp://user:hemligt@mail.example.se", "portvakt", false, `mail-from "portvakt" is not`},
		{"smtp://user:hemligt@mail.example.se", "vakt@exämpel.se", false, "mail-from "},
		{"log", "a@example.se, b@example.se", false, "mail-from "},
		{"log", "a@example.se\r\nBcc: b@example.se", false, "mail-from "},
		{"log", "a\r\n b <a@example.se>", false, "mail-from "},
	} {
		s, err := Open(Config{Wire: tt.wire, From: tt.from})
		switch {
		case err == nil && tt.err != "" || err != nil && (tt.err == "" || !strings.HasPrefix(err.Error(), tt.err)):
			t.Errorf("%s from %q: %v, want %q", tt.wire, tt.from, err, tt.err)
		case err == nil && s.On() != tt.on:
			t.Errorf("%s: on is %v", tt.wire, s.On())
		}
		if shown := fmt.Sprintf("%v %+v %#v", err, s, s); strings.Contains(shown, "ligt") || strings.Contains(shown, "hem") {
			t.Errorf("%s shows the password: %s", tt.wire, shown)
		}
	}
}

func TestPorts(t *testing.T) {
	for wire, want := range map[string]string{
		"smtp://mail.example.se":       "mail.example.se:587",
		"smtps://mail.example.se":      "mail.example.se:465",
		"smtp://mail.example.se:2525":  "mail.example.se:2525",
		"smtp://[::1]:25":              "[::1]:25",
		"smtps://a:b@mail.example.se:": "mail.example.se:465",
	} {
		r, err := newRelay(wire, sender)
		if err != nil {
			t.Fatal(err)
		}
		if r.addr != want {
			t.Errorf("%s: %s, want %s", wire, r.addr, want)
		}
	}
}

func TestPlainOnLoopbackAlone(t *testing.T) {
	for wire, want := range map[string]bool{
		"smtp://localhost":            true,
		"smtp://LOCALHOST":            true,
		"smtp://127.0.0.1":            true,
		"smtp://127.9.9.9:25":         true,
		"smtp://[::1]":                true,
		"smtps://localhost":           false,
		"smtp://localhost.example.se": false,
		"smtp://127.0.0.1.example.se": false,
		"smtp://10.0.0.1":             false,
		"smtp://0.0.0.0":              false,
	} {
		r, err := newRelay(wire, sender)
		if err != nil {
			t.Fatal(err)
		}
		if r.plain != want {
			t.Errorf("%s: plain is %v", wire, r.plain)
		}
	}
}

func TestOff(t *testing.T) {
	var none *Sender
	for _, s := range []*Sender{none, {}, open(t, Config{})} {
		if err := s.Send(t.Context(), hello); !errors.Is(err, ErrOff) || s.On() {
			t.Errorf("%v, want ErrOff", err)
		}
	}
}

// line is what the contract says of a line of file:PATH (§2).
type line struct{ To, Subject, Body, At string }

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail")
	stockholm := time.FixedZone("CEST", 7200)
	s := open(t, Config{Wire: "file:" + path, Now: func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, stockholm) }})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := s.Send(t.Context(), hello); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for one := range strings.Lines(string(text)) {
		var got line
		d := json.NewDecoder(strings.NewReader(one))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if want := (line{hello.To, hello.Subject, hello.Body, "2026-05-04T01:02:01Z"}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		n++
	}
	if n != 20 {
		t.Errorf("%d lines", n)
	}
}

func TestFileMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail")
	s := open(t, Config{Wire: "file:" + path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), hello); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), hello); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("into a folder: %v, want an error to try again after", err)
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	s := open(t, Config{Wire: "log", Log: slog.New(slog.NewJSONHandler(&out, nil))})
	if err := s.Send(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	var got line
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.To != hello.To || got.Subject != hello.Subject || got.Body != hello.Body {
		t.Errorf("%s, %v", out.Bytes(), err)
	}
}

func TestEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail")
	s := open(t, Config{Wire: "file:" + path})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, hello); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes written, %v", info.Size(), err)
	}
}

// TestInjection sends what would make a second header, recipient, command or message of one.
func TestInjection(t *testing.T) {
	f := &fakeSMTP{}
	s := open(t, Config{Wire: "smtp://" + f.listen(t), From: sender.Address})
	const to, subject = "anna@example.se", "Hello"
	for _, m := range []Message{
		{To: ""},
		{To: "anna"},
		{To: "@example.se"},
		{To: "anna@example.se\n"},
		{To: "\ranna@example.se"},
		{To: "anna@example.se\r\nBcc: eve@example.com"},
		{To: "anna@example.se>\r\nRCPT TO:<eve@example.com"},
		{To: "anna@example.se\r\n\r\nHello"},
		{To: "anna@\r\n example.se"},
		{To: "anna@example.se\x00"},
		{To: "anna@example.se, eve@example.com"},
		{To: "anna@example.se eve@example.com"},
		{To: "anna@example.se> <eve@example.com"},
		{To: "<anna@example.se>"},
		{To: "Anna <anna@example.se>"},
		{To: "anna@example.se (Anna)"},
		{To: " anna@example.se"},
		{To: "friends: anna@example.se, eve@example.com;"},
		{To: "anna@example.se NOTIFY=NEVER"},
		{To: "\"anna\r\n\"@example.se"},
		{To: "\"anna\tb\"@example.se"},
		{To: "anna\xff@example.se"},
		{To: to, Subject: "Hello\nBcc: eve@example.com"},
		{To: to, Subject: "Hello\rBcc: eve@example.com"},
		{To: to, Subject: "Hello\r\nBcc: eve@example.com"},
		{To: to, Subject: "Hello\r\n\r\n<html>"},
		{To: to, Subject: "Hello\r\n folded"},
		{To: to, Subject: "Hello\x00"},
		{To: to, Subject: "Hello\u0085"},
		{To: to, Subject: "Hello\n"},
		{To: to, Subject: "Hell\xf6"},
		{To: to, Subject: subject, Body: "Hell\xf6"},
	} {
		if err := s.Send(t.Context(), m); !errors.Is(err, ErrRefused) {
			t.Errorf("%+q: %v, want ErrRefused", m, err)
		} else if strings.Contains(err.Error(), "example") {
			t.Errorf("%+q: the error holds the address: %v", m, err)
		}
	}
	if got := f.commands(); len(got) > 0 {
		t.Errorf("the server was told %q", got)
	}
}

func open(t *testing.T, c Config) *Sender {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
