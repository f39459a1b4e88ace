// Package sms reads phone numbers and sends text messages. It promises:
//
//   - Send returns at once; what became of the message is told to done, exactly once, from another goroutine;
//   - an attempt takes at most 2 seconds, and less after a wait, so that a person is told within 3 when the provider hangs;
//   - a message is never sent twice: a second HTTP request is made only when the first found no connection;
//   - a message is never sent late: not after its Expires, and not after an outage that began while it waited;
//   - five failures within 30 seconds, with no success between, open a breaker: ErrUnavailable at once, for all but one
//     message each 30 seconds, until one gets through;
//   - at most 1000 messages wait, for 8 senders;
//   - no log line and no error holds the token, a code or a whole number, and neither does a value of this package
//     printed by fmt or slog. The exceptions are the wires file and log, which are for development.
//
// The wording of a message is the caller's, and so are its limits: how many messages a number, a Prefix, a Country or a
// day may cost is counted where it is stored.
package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// What may be wrong, by what a person can do about it.
var (
	ErrNumber      = errors.New("sms: not a phone number")
	ErrNotMobile   = errors.New("sms: not a number that takes text messages")
	ErrOff         = errors.New("sms: text messages are off")
	ErrUnavailable = errors.New("sms: the provider cannot be used now")
	ErrFull        = errors.New("sms: too many messages wait")
	ErrExpired     = errors.New("sms: the message is too old to send")
	ErrRefused     = errors.New("sms: the provider does not deliver to this number")
)

const (
	senders   = 8                // goroutines that send
	waiting   = 1000             // messages that may wait for them
	attempt   = 2 * time.Second  // from taking a message out of the queue to its report; at least half of it
	telling   = 3 * time.Second  // from Send to the report, if the wait leaves half an attempt
	closing   = 5 * time.Second  // that Close may take
	window    = 30 * time.Second // in which failures are counted, and between two tries while the breaker is open
	failures  = 5                // that open the breaker
	answerMax = 64 << 10         // bytes of an answer that are read
)

// Message is one text to one phone. Its zero Expires is long past: a message without one is not sent.
type Message struct {
	To      string    `json:"-"` // E.164
	Body    string    `json:"-"` // the whole text
	Code    string    `json:"-"` // the code inside Body, for Verify, which composes its own text around it
	Expires time.Time // not sent from this instant on
}

// Format shows the last two digits of the number and nothing of the text, whatever the verb.
func (m Message) Format(f fmt.State, _ rune) { io.WriteString(f, "sms.Message to "+masked(m.To)) }

// LogValue is what a log may hold.
func (m Message) LogValue() slog.Value { return slog.StringValue("to " + masked(m.To)) }

// Config says where messages go. The settings of Twilio count for the wire "twilio" alone.
type Config struct {
	Wire       string // "twilio", "file:PATH", "log", "off" ("" is off)
	AccountSID string
	AuthToken  string
	// Exactly one of these three is set. The last is Twilio Verify with codes of ours, the others Programmable Messaging.
	From, MessagingServiceSID, VerifyServiceSID string
	// BaseURL stands in for scheme and host of Twilio; "" is Twilio itself. The token travels there in the clear when it is http.
	BaseURL string
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default()
}

// Format leaves the token out, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sms.Config{Wire: %q}", c.Wire) }

// LogValue is what a log may hold.
func (c Config) LogValue() slog.Value { return slog.GroupValue(slog.String("wire", c.Wire)) }

// Stats are counts since Open. A message that Send itself refused is in none of them.
type Stats struct {
	Sent, Failed, Waiting int64
	Open                  bool // whether the breaker is open
}

// verdict is what an attempt tells the breaker.
type verdict int

const (
	unknown  verdict = iota // nothing: the provider was not asked, or the fault is in our settings
	answered                // the provider does its work; a refusal of a number is work too
	down                    // it does not
)

// wire sends one message before ctx ends. Its errors hold no secret.
type wire func(ctx context.Context, m Message) (verdict, error)

// Open makes the outbox that cfg describes and starts its senders. It reaches no provider. Its errors name the setting
// to mend.
func Open(cfg Config) (*Outbox, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	path, isFile := strings.CutPrefix(cfg.Wire, "file:")
	switch {
	case cfg.Wire == "" || cfg.Wire == "off":
		return newOutbox(cfg, nil, 0), nil
	case cfg.Wire == "twilio":
		tw, err := newTwilio(cfg, newTransport())
		if err != nil {
			return nil, err
		}
		return newOutbox(cfg, tw.send, senders), nil
	case cfg.Wire == "log":
		return newOutbox(cfg, logWire(cfg.Log), 1), nil
	case isFile:
		w, err := fileWire(path, cfg.Now)
		if err != nil {
			return nil, err
		}
		return newOutbox(cfg, w, 1), nil
	default:
		return nil, fmt.Errorf("sms: %q is none of twilio, file:PATH, log, off", cfg.Wire)
	}
}
