package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/words"
)

// Posts reports whether mail goes out at all.
func (s *Service) Posts() bool { return s != nil && s.Post != nil && s.Post.On() }

// Mail puts what was done to a person's account into the outbox, in their language. key names the text ("mail.factor_added"); args
// are names and values for it, beside name, brand, url, time and agent. Without a mail server or an address it does nothing.
func (s *Service) Mail(t *store.Tx, p *store.Person, key string, args ...any) error {
	if !s.Posts() || p.Email == "" {
		return nil
	}
	if within, err := t.TakeAttempt("mail:"+string(p.ID)+":"+key, mailMost, time.Hour, false); err != nil || !within {
		return err // the trail has it all the same
	}
	texts := s.texts(p.Locale)
	args = append(args, "name", p.Name, "brand", s.Brand, "url", s.Issuer.String()+"/account", "time", t.Now().In(time.Local).Format("2006-01-02 15:04"), "agent", words.Agent(t.Origin().Agent))
	subject, err := texts.Plain(key+".subject", args)
	if err != nil {
		return err
	}
	body, err := texts.Plain(key+".body", args)
	if err != nil {
		return err
	}
	s.queued.Store(true)
	return t.QueueMail(store.Mail{User: p.ID, To: p.Email, Subject: subject, Body: body})
}

// Word is a text in a person's language, for the arguments of Mail.
func (s *Service) Word(p *store.Person, key string) string {
	text, err := s.texts(p.Locale).Plain(key, nil)
	if err != nil {
		return key
	}
	return text
}

// Wake lets Deliver look at once if a mail was queued since it last did; call it after a change that may have.
func (s *Service) Wake() {
	if s == nil || !s.queued.Swap(false) {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

const (
	mailMost  = 20              // of one kind to one person in an hour
	mailEach  = 5 * time.Second // how often the outbox is looked at; others may have put something in
	mailBatch = 10
	mailLease = 2 * time.Minute
	mailTries = 12
)

// Deliver sends what is in the outbox until ctx ends. Several instances may: each mail is claimed by one.
func (s *Service) Deliver(ctx context.Context) {
	if !s.Posts() {
		return
	}
	tick := time.NewTicker(mailEach)
	defer tick.Stop()
	for {
		for s.deliver(ctx) == mailBatch && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case g := <-s.guessed:
			if err := s.tellGuessed(ctx, g); err != nil {
				s.Log.Error("nobody told of guesses", "person", string(g.person), "error", err)
			}
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// deliver sends one batch and says how many mails it had.
func (s *Service) deliver(ctx context.Context) int {
	var batch []store.Mail
	err := s.DB.Housekeep(ctx, func(t *store.Tx) (err error) { batch, err = t.ClaimMail(mailBatch, mailLease); return err })
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("the outbox cannot be read; mail waits", "error", err)
		}
		return 0
	}
	for _, m := range batch {
		err := s.Post.Send(ctx, mail.Message{To: m.To, Subject: m.Subject, Body: m.Body})
		if err = s.delivered(m, err); err != nil {
			s.Log.Error("what became of a mail is not on record; it may come twice", "mail", m.ID, "error", err)
		}
	}
	return len(batch)
}

func (s *Service) delivered(m store.Mail, fault error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	event := audit.Event{Kind: audit.MailSent, Subject: string(m.User), Actor: string(m.User), Detail: map[string]string{"mail": m.ID}}
	if fault != nil {
		s.Log.Warn("a mail could not be sent", "mail", m.ID, "try", m.Tries, "error", fault)
		if !errors.Is(fault, mail.ErrRefused) && m.Tries < mailTries {
			wait := 30 * time.Second << min(m.Tries, 7)
			return s.DB.Housekeep(ctx, func(t *store.Tx) error { t.PutOffMail(m.ID, wait); return nil })
		}
		event.Kind, event.Outcome, event.Reason = audit.MailFailed, audit.Failure, audit.Outage
		event.Detail["tries"] = fmt.Sprint(m.Tries)
	}
	return s.DB.Change(ctx, noOrigin, func(t *store.Tx) error { t.DropMail(m.ID); return t.Record(event) })
}

var noOrigin audit.Origin
