package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

// texts opens what text messages and mail go out by: files, unless the options name another wire.
func (s *Site) texts(t testing.TB, issuer *url.URL, ring *keyring.Ring, o Options) {
	t.Helper()
	dir := o.messages
	if dir == "" {
		dir = t.TempDir()
	}
	s.phone, s.post = filepath.Join(dir, "sms.jsonl"), filepath.Join(dir, "mail.jsonl")
	cfg := o.SMS
	if cfg.Wire == "file" {
		cfg.Wire = "file:" + s.phone
	}
	cfg.Now, cfg.Log = o.Clock, o.logger(t)
	outbox, err := sms.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wire := "file:" + s.post
	if o.NoMail {
		wire = "off"
	}
	post, err := mail.Open(mail.Config{Wire: wire, Now: o.Clock})
	if err != nil {
		t.Fatal(err)
	}
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	s.Notify = notify.New(notify.Options{DB: s.DB, SMS: outbox, Post: post, Words: all, Issuer: issuer, Brand: "Exempelbolaget", Key: ring.Secret("notify"), Log: o.logger(t)})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if !o.NoWatch {
		running.Go(func() { s.Notify.Deliver(ctx) })
		running.Go(func() { s.OIDC.TellApplications(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait(); outbox.Close() })
}

// Message is a text message or mail that arrived.
type Message struct{ To, Subject, Body string }

// Code is the code in a text message.
func (m Message) Code() string {
	found := regexp.MustCompile(`#([0-9]{6})$`).FindStringSubmatch(m.Body)
	if found == nil {
		return ""
	}
	return found[1]
}

// Texts gives the text messages so far; Post the mails.
func (s *Site) Texts(t testing.TB) []Message { return readMessages(t, s.phone) }

// Post gives the mails so far.
func (s *Site) Post(t testing.TB) []Message { return readMessages(t, s.post) }

// AwaitTexts waits until there are n text messages, for at most 30 seconds.
func (s *Site) AwaitTexts(t testing.TB, n int) []Message { return await(t, n, s.Texts) }

// AwaitPost waits until there are n mails, for at most 30 seconds.
func (s *Site) AwaitPost(t testing.TB, n int) []Message { return await(t, n, s.Post) }

func await(t testing.TB, n int, read func(testing.TB) []Message) []Message {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		all := read(t)
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages after 30 s, want %d: %+v", len(all), n, all)
		}
		time.Sleep(10 * time.Millisecond) // polls; the deadline decides
	}
}

func readMessages(t testing.TB, path string) []Message {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []Message
	lines := bytes.SplitAfter(data, []byte("\n"))
	for _, line := range lines[:len(lines)-1] { // the last one is being written, or empty
		var m Message
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}
