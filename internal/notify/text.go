package notify

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	codeLife    = 5 * time.Minute
	day         = 24 * time.Hour
	perNumber   = 3 // in 10 minutes
	alarmLeast  = 20
	maxApp      = 24                     // characters of an application's name, so that a message is one part
	marks       = "ABCDEFHJKLMNPRTUVXYZ" // no letter that is taken for another
	laneBudget  = "sms:day"
	laneUsed    = "sms:used"
	laneAlarmed = "sms:alarmed"
)

// Text is one code to be sent.
type Text struct {
	Scope  string // of the challenge: a sign-in or a session; see store.Challenge
	Person *store.Person
	Number string // E.164
	App    string // the application's name; empty for the person's own page
	Lang   string // of the page; empty: the person's
	IP     string // who asks
	Client string // client_id, for the trail
}

// Prepared is a message that is on record and not sent yet.
type Prepared struct {
	challenge store.Challenge
	message   sms.Message
	lanes     []string // what it was counted in
	event     audit.Event
	off       bool // nothing is to be sent
}

type lane struct {
	name  string
	limit int
}

// Number reads a number as a person writes it and gives it in E.164, with what a page may show of it.
func (s *Service) Number(raw string, rules policy.SMS) (number, masked string, err error) {
	region := "SE"
	if len(rules.Countries) > 0 {
		region = rules.Countries[0]
	}
	n, err := sms.Parse(raw, region)
	if err != nil {
		return "", "", ErrNumber
	}
	if !contains(rules.Countries, n.Country) {
		return "", "", ErrCountry
	}
	return n.E164, n.Masked(), nil
}

// Masked is what a page may show of a number in E.164.
func (s *Service) Masked(number string) string {
	n, err := sms.Parse(number, "")
	if err != nil {
		return "•••"
	}
	return n.Masked()
}

// On reports whether text messages can be sent at all.
func (s *Service) On() bool { return s.SMS != nil && s.SMS.On() }

// Prepare takes x from every limit and stores its challenge, which makes the scope's present one worthless. Where a limit is
// reached, or the number may have no message, the challenge says so (store.Full) and Send will do nothing. The unit needs no other event.
func (s *Service) Prepare(t *store.Tx, x Text, rules policy.SMS) (Prepared, error) {
	code, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return Prepared{}, err
	}
	digits := fmt.Sprintf("%06d", code.Int64())
	p := Prepared{challenge: store.Challenge{Scope: x.Scope, Kind: user.FactorSMS, User: x.Person.ID, Data: x.Number, Mark: mark(), State: store.Sending,
		Expires: t.Now().Add(codeLife)},
		event: audit.Event{Kind: audit.ChallengeMade, Subject: string(x.Person.ID), Actor: string(x.Person.ID), Client: x.Client,
			Detail: map[string]string{"factor": string(user.FactorSMS)}}}
	p.challenge.Proof = s.mac("sms code", x.Scope, digits)
	n, err := sms.Parse(x.Number, "")
	if err != nil || !contains(rules.Countries, n.Country) || !s.On() {
		return s.refused(t, p, "number")
	}
	if limit, err := s.take(t, x, n, rules, &p); err != nil || limit != "" {
		if err != nil {
			return p, err
		}
		s.giveBack(t, p.lanes)
		return s.refused(t, p, limit)
	}
	if p.message, err = s.compose(x, p.challenge, digits, t.Now()); err != nil {
		return p, err
	}
	if p.challenge.ID, err = t.PutChallenge(p.challenge); err != nil {
		return p, err
	}
	return p, t.Record(p.event)
}

func (s *Service) refused(t *store.Tx, p Prepared, limit string) (Prepared, error) {
	p.off, p.challenge.State, p.challenge.Proof = true, store.Full, nil
	p.event.Kind, p.event.Outcome, p.event.Reason = audit.SMSRefused, audit.Refused, audit.Policy
	p.event.Detail["limit"] = limit
	was, err := t.ChallengeOf(p.challenge.Scope)
	switch {
	case err == nil && len(was.Proof) > 0 && was.Data == p.challenge.Data && was.User == p.challenge.User:
		t.MarkChallenge(was.Scope, was.ID, store.Kept) // the code in the person's hand must not die of asking for another
	case err == nil || errors.Is(err, store.ErrNotFound):
		p.challenge.ID, err = t.PutChallenge(p.challenge)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return p, errors.Join(err, t.Record(p.event))
}

// take counts the message against each limit until one is reached, which it names. The number's count of ten minutes comes first.
func (s *Service) take(t *store.Tx, x Text, n sms.Number, rules policy.SMS, p *Prepared) (string, error) {
	for i, l := range s.limits(x, n, rules) {
		bucket, ok := l.name, false
		var err error
		if i == 0 {
			ok, err = t.TakeAttempt(l.name, l.limit, 10*time.Minute, true)
		} else {
			bucket, ok, err = t.TakeRolling(l.name, l.limit)
		}
		if err != nil {
			return "", err
		}
		if !ok {
			return strings.SplitN(l.name, ":", 3)[1], nil
		}
		p.lanes = append(p.lanes, bucket)
	}
	return "", nil
}

// limits are what one message is counted against: the first in 10 minutes, the others in 24 hours.
func (s *Service) limits(x Text, n sms.Number, rules policy.SMS) []lane {
	hide := func(kind, what string) string {
		return "sms:" + kind + ":" + hex.EncodeToString(s.mac(kind, what)[:12])
	}
	return []lane{
		{hide("number", n.E164) + ":10m", perNumber},
		{hide("number", n.E164), rules.PerNumberDay},
		{"sms:person:" + string(x.Person.ID), rules.PerPersonDay},
		{hide("address", audit.Origin{IP: x.IP}.Network(24, 64)), rules.PerAddressDay},
		{hide("prefix", n.Prefix), rules.PerPrefixDay},
		{laneBudget, rules.PerDay},
	}
}

func (s *Service) giveBack(t *store.Tx, lanes []string) {
	for _, l := range lanes {
		t.GiveBackAttempt(l)
	}
}

// compose writes the message: what it is for, the mark, the time, and the origin line that lets the phone fill the code in at
// this host alone (WICG, Origin-bound one-time codes).
func (s *Service) compose(x Text, c store.Challenge, digits string, now time.Time) (sms.Message, error) {
	texts, ok := s.Words[x.Lang]
	if !ok {
		texts = s.texts(x.Person.Locale)
	}
	key, app := "sms.body", x.App
	if app == "" {
		key, app = "sms.body_own", s.Brand
	}
	if name := []rune(app); len(name) > maxApp {
		app = string(name[:maxApp])
	}
	body, err := texts.Plain(key, []any{"app", app, "code", digits, "mark", c.Mark, "time", now.In(time.Local).Format("15:04")})
	if err != nil {
		return sms.Message{}, err
	}
	return sms.Message{To: x.Number, Body: body + "\n\n@" + s.Issuer.Hostname() + " #" + digits, Code: digits, Expires: c.Expires}, nil
}

// Send hands a committed message to the wire and returns at once. What becomes of it is recorded, in the challenge and in the
// trail. A message that the provider did not take gives back what it took of the limits.
func (s *Service) Send(o audit.Origin, p Prepared) {
	if p.off || p.challenge.ID == "" {
		return
	}
	if err := s.SMS.Send(p.message, func(err error) { s.report(o, p, err) }); err != nil {
		s.report(o, p, err)
	}
}

func (s *Service) report(o audit.Origin, p Prepared, fault error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	event, state := p.event, store.Sent
	event.Kind, event.Detail = audit.SMSSent, map[string]string{"challenge": p.challenge.ID}
	if fault != nil {
		state, event.Kind, event.Outcome, event.Reason = store.Failed, audit.SMSFailed, audit.Failure, audit.Outage
		if errors.Is(fault, sms.ErrRefused) {
			event.Reason = audit.NotAllowed
		}
	}
	err := s.DB.Change(ctx, o, func(t *store.Tx) error {
		if fault != nil {
			s.giveBack(t, p.lanes) // first, as Prepare does: two units that lock in two orders would wait for each other
		} else if err := s.alarm(t); err != nil {
			return err
		}
		t.MarkChallenge(p.challenge.Scope, p.challenge.ID, state)
		return t.Record(event)
	})
	if err != nil {
		s.Log.Error("what became of a text message is not on record", "challenge", p.challenge.ID, "error", err)
	}
}

// alarm raises one a day when of the day's messages, 20 at least, too few codes were used (threats SM-01).
func (s *Service) alarm(t *store.Tx) error {
	sent, err := t.Rolling(laneBudget)
	if err != nil || sent < alarmLeast {
		return err
	}
	used, err := t.Rolling(laneUsed)
	if err != nil {
		return err
	}
	all, err := s.DB.Policy(t.Context())
	if err != nil || used*100 >= sent*all.SMS.AlarmBelow {
		return err
	}
	first, err := t.TakeAttempt(laneAlarmed, 1, day, false)
	if err != nil || !first {
		return err
	}
	s.Log.Warn("few codes of the text messages of this day were used", "sent", sent, "used", used)
	return t.Record(audit.Event{Kind: audit.SMSAlarm, Detail: map[string]string{"sent": fmt.Sprint(sent), "used": fmt.Sprint(used)}})
}

// Right reports whether code is that of c.
func (s *Service) Right(c store.Challenge, code string) bool {
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code)
	return len(c.Proof) > 0 && len(code) == 6 && hmac.Equal(c.Proof, s.mac("sms code", c.Scope, code))
}

// Used counts a code that was used, for the alarm.
func (s *Service) Used(t *store.Tx) error {
	_, _, err := t.TakeRolling(laneUsed, 1<<30)
	return err
}

func mark() string {
	var out [2]byte
	for i := range out {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(marks))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		out[i] = marks[n.Int64()]
	}
	return string(out[:])
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// Day is what the text messages of the last 24 hours came to, over every instance.
type Day struct{ Sent, Used, Limit int }

// Day reads it.
func (s *Service) Day(ctx context.Context) (Day, error) {
	all, err := s.DB.Policy(ctx)
	if err != nil {
		return Day{}, err
	}
	d := Day{Limit: all.SMS.PerDay}
	err = s.DB.View(ctx, func(t *store.Tx) error {
		if d.Sent, err = t.Rolling(laneBudget); err != nil {
			return err
		}
		d.Used, err = t.Rolling(laneUsed)
		return err
	})
	return d, err
}
