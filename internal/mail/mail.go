// Package mail hands plain-text messages to the outside: to an SMTP server, to
// a file or to the log. It holds no wording and keeps no queue; who wants a
// second try sends again.
//
// A Send takes 10 seconds at most and opens one connection of its own. Over
// SMTP the sign-in and the message travel encrypted, and the server's
// certificate is checked; only a server on loopback is spoken to in plain.
// Errors and printed values hold neither the password of the server nor, over
// SMTP, the address or the body. Layer 1; imports no other package of Portvakt.
package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// limit bounds every Send.
const limit = 10 * time.Second

// What a caller tells apart; every other error of Send means: try later.
var (
	// ErrOff says that mail is switched off.
	ErrOff = errors.New("mail is off")
	// ErrRefused says that this message to this recipient will never be taken.
	ErrRefused = errors.New("the message will never be taken")
)

// Message is plain text in UTF-8 for one recipient.
type Message struct {
	To      string // one bare address, such as anna@example.se
	Subject string // one line
	Body    string // lines end in \n
}

// Config says where mail goes.
type Config struct {
	// Wire is one of:
	//	smtp://user:pass@host:port   port 587 if not named; STARTTLS is required unless the host is loopback
	//	smtps://user:pass@host:port  port 465 if not named; TLS from the first byte (RFC 8314 §3.3)
	//	file:PATH                    appends JSON lines {"to","subject","body","at"}; a new file has mode 0600
	//	log                          writes them to Log
	//	off                          "" too
	// Without user:pass@ nobody signs in. In both, special characters are written as %XX (RFC 3986 §2.1).
	Wire string
	From string           // required for SMTP; may have a display name: Portvakt <portvakt@example.se>
	Now  func() time.Time // for Date and "at"; nil: time.Now
	Log  *slog.Logger     // for the wire log alone; nil: slog.Default
}

// deliver takes a checked message to its wire, within ctx.
type deliver func(ctx context.Context, m Message, at time.Time) error

// Sender sends mail. It is safe for concurrent use.
type Sender struct {
	deliver deliver // nil: off
	now     func() time.Time
}

// Open reads the configuration. It connects to nobody, but a file that cannot be written is found here. An error names
// the setting to mend, mail or mail-from, and never shows what may hold a password.
func Open(c Config) (*Sender, error) {
	s := &Sender{now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var from netmail.Address
	if c.From != "" {
		a, err := parseFrom(c.From)
		if err != nil {
			return nil, err
		}
		from = *a
	}
	scheme, rest, _ := strings.Cut(c.Wire, ":")
	switch {
	case c.Wire == "" || c.Wire == "off":
	case c.Wire == "log":
		s.deliver = logWire(c.Log)
	case scheme == "file" && rest != "":
		w := &fileWire{path: rest}
		if err := w.append(nil); err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		s.deliver = w.deliver
	case scheme == "smtp" || scheme == "smtps":
		r, err := newRelay(c.Wire, from)
		if err != nil {
			return nil, err
		}
		s.deliver = r.deliver
	default:
		return nil, errors.New("mail: use smtp://user:pass@host:port, smtps://user:pass@host:port, file:PATH, log or off")
	}
	return s, nil
}

// On reports whether mail goes anywhere.
func (s *Sender) On() bool { return s != nil && s.deliver != nil }

// Send hands m over and returns nil once the server has taken it. It ends when ctx does, and after 10 s in any case.
// Where the answer was lost the server may have taken m all the same. ErrOff and ErrRefused are as said there; an error
// that ctx caused wraps ctx's.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if !s.On() {
		return ErrOff
	}
	if err := m.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return s.deliver(ctx, m, s.now().UTC())
}

// check refuses what would make another header or another recipient (RFC 5322 §2.2, RFC 5321 §4.1.1.3).
func (m Message) check() error {
	a, err := netmail.ParseAddress(m.To)
	switch {
	case err != nil || control(m.To) || (&netmail.Address{Address: a.Address}).String() != "<"+m.To+">":
		return fmt.Errorf("mail: the recipient is not one bare address: %w", ErrRefused)
	case control(m.Subject):
		return fmt.Errorf("mail: the subject is not one line of text: %w", ErrRefused)
	case !utf8.ValidString(m.To + m.Subject + m.Body):
		return fmt.Errorf("mail: the message is not UTF-8: %w", ErrRefused)
	}
	return nil
}

// parseFrom reads the sender. Its address is ASCII: the server that answers for it has such a name (RFC 5890 §2.3.2.1).
func parseFrom(text string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(text)
	if err != nil || control(text) || !ascii(a.Address) || !utf8.ValidString(text) {
		return nil, fmt.Errorf("mail-from %q is not an address like portvakt@example.se", text)
	}
	return a, nil
}

// control reports whether s has a control character; CR, LF and NUL are among them.
func control(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func logWire(log *slog.Logger) deliver {
	if log == nil {
		log = slog.Default()
	}
	return func(ctx context.Context, m Message, at time.Time) error {
		log.InfoContext(ctx, "mail", "to", m.To, "subject", m.Subject, "body", m.Body, "at", at)
		return nil
	}
}

// fileWire opens its file anew for each message, so that it may be moved away at any time.
type fileWire struct {
	path string
	mu   sync.Mutex
}

func (w *fileWire) deliver(_ context.Context, m Message, at time.Time) error {
	line, err := json.Marshal(struct {
		To      string    `json:"to"`
		Subject string    `json:"subject"`
		Body    string    `json:"body"`
		At      time.Time `json:"at"`
	}{m.To, m.Subject, m.Body, at})
	if err != nil {
		return fmt.Errorf("mail: encode: %w", err)
	}
	if err := w.append(append(line, '\n')); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

// append writes a line in one call, so that the lines of two processes do not mix.
func (w *fileWire) append(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(w.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if len(line) > 0 {
		_, err = f.Write(line)
	}
	return errors.Join(err, f.Close())
}
