package notify

import (
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
)

// LinkBrowser is the kind of the one-time link in the mail of Guessed.
const LinkBrowser = "browser"

const guessedLife = time.Hour

// Guessed tells a person that somebody guesses at what they sign in with, and gives them a way in meanwhile: a link that makes the browser in
// which it is opened one of their own (lockout.Service.MakeKnown). It does so twice a day at most.
func (s *Service) Guessed(t *store.Tx, p *store.Person, rules policy.Lockout) error {
	if s.Post == nil || !s.Post.On() || !rules.Notify || p.Disabled() || p.Email == "" {
		return nil
	}
	first, err := t.TakeAttempt("told:"+string(p.ID), 1, 12*time.Hour, false)
	if err != nil || !first {
		return err
	}
	token := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(token))
	t.CreateLink(sum[:], LinkBrowser, p.ID, guessedLife)
	return s.Mail(t, p, "mail.guessed", "link", s.Issuer.String()+"/link/"+token, "minutes", int((time.Duration(rules.DelayMax)+time.Minute-1)/time.Minute))
}
