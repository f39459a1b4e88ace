package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/admin"
)

const (
	inboxMost  = 20                     // messages that the phone shows
	inboxEvery = 200 * time.Millisecond // how often the terminal looks for new ones
	lineMost   = 64                     // characters of a message that the terminal shows
)

// inbox is everybody's text messages and mail in the demo. It reads the files that the service writes them to.
type inbox struct {
	names map[string]string // user names, by number

	mu    sync.Mutex
	files [2]*tail
	all   []message // the newest first, at most inboxMost
	fresh []message // not told in the terminal yet, in the order of their coming
}

// message is a line of a file: mail, or, without a subject, a text.
type message struct {
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Body    string    `json:"body"`
	At      time.Time `json:"at"`
	Who     string    `json:"-"` // user name of a number's owner
}

// newInbox begins with the messages of earlier runs, which the terminal does not tell again.
func newInbox(dir string, people []admin.UserSpec) (*inbox, error) {
	b := &inbox{names: map[string]string{}, files: [2]*tail{{path: filepath.Join(dir, "sms.jsonl")}, {path: filepath.Join(dir, "mail.jsonl")}}}
	for _, p := range people {
		if p.Phone != "" {
			b.names[p.Phone] = p.Username
		}
	}
	err := b.read()
	b.fresh = nil
	return b, err
}

// read takes in what has come.
func (b *inbox) read() error {
	var come []message
	for _, f := range b.files {
		lines, err := f.lines()
		if err != nil {
			return err
		}
		for _, line := range lines {
			var m message
			if err := json.Unmarshal(line, &m); err != nil {
				return fmt.Errorf("%s: %w", f.path, err)
			}
			m.Who = b.names[m.To]
			come = append(come, m)
		}
	}
	b.fresh = append(b.fresh, come...)
	slices.Reverse(come)
	b.all = append(come, b.all...)
	slices.SortStableFunc(b.all, func(x, y message) int { return cmp.Compare(y.At.Unix(), x.At.Unix()) }) // texts have whole seconds
	b.all = b.all[:min(len(b.all), inboxMost)]
	return nil
}

// newest gives the messages there are now, the newest first.
func (b *inbox) newest() ([]message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.read()
	return slices.Clone(b.all), err
}

// follow tells each message in a line as it comes, until ctx ends.
func (b *inbox) follow(ctx context.Context, out io.Writer) {
	each(ctx, inboxEvery, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if err := b.read(); err != nil {
			fmt.Fprintf(out, "  messages cannot be read: %v\n", err)
		}
		for _, m := range b.fresh {
			fmt.Fprintf(out, "  %s  %s  %s\n", m.At.Local().Format("15:04"), m.To, m.line())
		}
		b.fresh = nil
	})
}

// line is the message as the terminal shows it.
func (m message) line() string {
	text := m.Subject
	if text == "" {
		text, _, _ = strings.Cut(m.Body, "\n")
	}
	if runes := []rune(text); len(runes) > lineMost {
		text = string(runes[:lineMost-1]) + "…"
	}
	return text
}

// Code is the one that a text brings: its last line binds it to this host (notify).
func (m message) Code() string {
	last := m.Body[strings.LastIndexByte(m.Body, '\n')+1:]
	_, code, ok := strings.Cut(last, " #")
	if !ok || m.Subject != "" || !strings.HasPrefix(last, "@") {
		return ""
	}
	return code
}

// Time is short: of the day, and before today with the date.
func (m message) Time() string {
	at := m.At.Local()
	if at.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		return at.Format("2 Jan 15:04")
	}
	return at.Format("15:04")
}

// tail reads what is appended to a file, by whole lines.
type tail struct {
	path string
	at   int64 // how far it was read
}

func (t *tail) lines() ([][]byte, error) {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(t.at, io.SeekStart); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	t.at += int64(len(text))
	return slices.DeleteFunc(bytes.Split(text, []byte("\n")), func(line []byte) bool { return len(line) == 0 }), nil
}
