// Package notify tells a person something: a code by text message, for login and account, and by mail what was done to their
// account. It holds the wall around the text-message bill. Nothing is sent inside a transaction or while a page waits: a
// change prepares a message, and it is sent when that is committed.
package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/url"
	"sync/atomic"

	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/words"
)

// Refusals of a number.
var (
	ErrNumber  = errors.New("notify: no number to which a text message can go")
	ErrCountry = errors.New("notify: policy sends no text messages to this country")
	ErrOff     = errors.New("notify: this service sends no text messages")
)

// Options are what a service is made of.
type Options struct {
	DB     *store.DB
	SMS    *sms.Outbox
	Post   *mail.Sender
	Words  map[string]words.Texts
	Issuer *url.URL
	Brand  string // name of the organisation
	Key    []byte // MAC key of codes, and of the numbers and addresses in the names of limits
	Log    *slog.Logger
}

// Service is safe for concurrent use.
type Service struct {
	Options
	wake    chan struct{}
	guessed chan guess  // who is to be told
	queued  atomic.Bool // a mail, by a change that may not be over yet
}

// New gives the service.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Service{Options: o, wake: make(chan struct{}, 1), guessed: make(chan guess, guessedQueue)}
}

// mac is what stands in the database for a text that must not stand there.
func (s *Service) mac(parts ...string) []byte {
	m := hmac.New(sha256.New, s.Key)
	for _, p := range parts {
		m.Write([]byte(p))
		m.Write([]byte{0})
	}
	return m.Sum(nil)
}

// texts are those of the person's language, or of the organisation's if the person has none.
func (s *Service) texts(locale string) words.Texts {
	if t, ok := s.Words[locale]; ok {
		return t
	}
	return s.Words["sv"]
}
