package notify_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const number = "+46701740605"

var origin = audit.Origin{IP: "192.0.2.7", Agent: "test", Request: "r"}

// bench is a service on a database, with files for a phone and a letter box.
type bench struct {
	*notify.Service
	clock *storetest.Clock
	anna  *store.Person
	phone string
}

func newBench(t *testing.T, db *store.DB, clock *storetest.Clock, cfg sms.Config) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{clock: clock, phone: filepath.Join(dir, "sms")}
	if cfg.Wire == "" {
		cfg.Wire = "file:" + b.phone
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Now, cfg.Log = clock.Now, quiet
	outbox, err := sms.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outbox.Close)
	post, err := mail.Open(mail.Config{Wire: "file:" + filepath.Join(dir, "mail")})
	if err != nil {
		t.Fatal(err)
	}
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &url.URL{Scheme: "https", Host: "login.example.se:8443"}
	b.Service = notify.New(notify.Options{DB: db, SMS: outbox, Post: post, Words: all, Issuer: issuer, Brand: "Exempelbolaget", Key: []byte("key"), Log: quiet})
	return b
}

func open(t *testing.T, e storetest.Engine, cfg sms.Config) *bench {
	t.Helper()
	clock := storetest.NewClock()
	db := storetest.OpenWith(t, e.New(t), store.Options{Sealer: storetest.Ring(t), Now: clock.Now})
	u := storetest.AddUser(t, db, "anna")
	b := newBench(t, db, clock, cfg)
	b.anna = &store.Person{User: u}
	return b
}

// send prepares a message and hands it over; the state that the challenge had at once.
func (b *bench) send(t *testing.T, scope, to string, rules policy.SMS) string {
	t.Helper()
	var p notify.Prepared
	err := b.DB.Change(context.Background(), origin, func(tx *store.Tx) (err error) {
		p, err = b.Prepare(tx, notify.Text{Scope: scope, Person: b.anna, Number: to, App: "Intranät", IP: origin.IP}, rules)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	state := b.challenge(t, scope).State
	b.Send(origin, p)
	return state
}

func (b *bench) challenge(t *testing.T, scope string) (c store.Challenge) {
	t.Helper()
	storetest.View(t, b.DB, func(tx *store.Tx) (err error) { c, err = tx.ChallengeOf(scope); return err })
	return c
}

// settled waits until what became of a message is on record.
func (b *bench) settled(t *testing.T, scope string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if c := b.challenge(t, scope); c.State != store.Sending {
			return c.State
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was heard of the message in 10 s")
		}
		time.Sleep(5 * time.Millisecond) // polls; the deadline decides
	}
}

func (b *bench) texts(t *testing.T) (all []string) {
	t.Helper()
	file, err := os.Open(b.phone)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var m struct{ To, Body string }
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Body)
	}
	return all
}

func (b *bench) events(t *testing.T, kind audit.Kind) (all []audit.Event) {
	t.Helper()
	storetest.View(t, b.DB, func(tx *store.Tx) error {
		all = nil
		return tx.Events(store.EventFilter{Kinds: []audit.Kind{kind}, Limit: 10000}, func(e audit.Event) error { all = append(all, e); return nil })
	})
	return all
}

// TestText: what the message says, whose code it is, and that the next one ends the one before.
func TestText(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			b := open(t, e, sms.Config{})
			rules := policy.Default().SMS
			b.send(t, "flow:a", number, rules)
			b.settled(t, "flow:a")
			first := b.challenge(t, "flow:a")
			body := b.texts(t)[0]
			code := regexp.MustCompile(`\n\n@login\.example\.se #([0-9]{6})$`).FindStringSubmatch(body)
			if code == nil || !strings.Contains(body, "Intranät") || !strings.Contains(body, first.Mark) || strings.Count(body, code[1]) != 2 {
				t.Fatalf("the message is %q, mark %q", body, first.Mark)
			}
			if !b.Right(first, code[1]) || !b.Right(first, code[1][:3]+" "+code[1][3:]) {
				t.Error("the code is not right")
			}
			for _, wrong := range []string{"", "000000x", code[1][:5], code[1] + "0", "０" + code[1][1:]} {
				if b.Right(first, wrong) {
					t.Errorf("%q is right", wrong)
				}
			}
			other := first
			other.Scope = "flow:b"
			if b.Right(other, code[1]) {
				t.Error("the code is right for another sign-in")
			}
			b.send(t, "flow:a", number, rules)
			b.settled(t, "flow:a")
			if b.Right(b.challenge(t, "flow:a"), code[1]) {
				t.Error("the first code is right after the second was sent")
			}
			b.clock.Add(5 * time.Minute)
			storetest.View(t, b.DB, func(tx *store.Tx) error {
				if _, err := tx.ChallengeOf("flow:a"); err == nil {
					t.Error("a code lives longer than five minutes")
				}
				return nil
			})
			if n := len(b.events(t, audit.SMSSent)); n != 2 {
				t.Errorf("%d messages on record", n)
			}
		})
	}
}

// TestLimits: each limit by itself, exact over two instances, and told in the trail.
func TestLimits(t *testing.T) {
	loose := policy.SMS{Countries: []string{"SE"}, PerNumberDay: 1000, PerPersonDay: 1000, PerAddressDay: 1000, PerPrefixDay: 1000, PerDay: 1000}
	same := func(int) string { return number }
	each := func(i int) string { return fmt.Sprintf("+467017%05d", 40605+i*1000) }
	block := func(i int) string { return fmt.Sprintf("+4670174%04d", 600+i) }
	for _, c := range []struct {
		name  string
		rules func(*policy.SMS)
		to    func(int) string
		gap   time.Duration
		want  int
	}{
		{"number", func(p *policy.SMS) { p.PerNumberDay = 5 }, same, 11 * time.Minute, 5},
		{"number in ten minutes", func(*policy.SMS) {}, same, 0, 3},
		{"person", func(p *policy.SMS) { p.PerPersonDay = 6 }, each, 0, 6},
		{"address", func(p *policy.SMS) { p.PerAddressDay = 7 }, each, 0, 7},
		{"prefix", func(p *policy.SMS) { p.PerPrefixDay = 4 }, block, 0, 4},
		{"day", func(p *policy.SMS) { p.PerDay = 6 }, each, 0, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, storetest.Engines()[0], sms.Config{})
			rules := loose
			c.rules(&rules)
			sent := 0
			for i := range 9 {
				if scope := fmt.Sprint("flow:", i); b.send(t, scope, c.to(i), rules) == store.Sending {
					sent++
					b.settled(t, scope)
				}
				if i < 8 {
					b.clock.Add(c.gap)
				}
			}
			if sent != c.want || len(b.events(t, audit.SMSRefused)) != 9-c.want {
				t.Errorf("%d of 9 were sent, want %d; refusals on record: %d", sent, c.want, len(b.events(t, audit.SMSRefused)))
			}
			if full := b.challenge(t, "flow:8"); full.State != store.Full || b.Right(full, "000000") {
				t.Errorf("over the limit: %+v", full)
			}
		})
	}
}

// TestLimitAtOnce: two instances, 40 requests at once, a budget of 10.
func TestLimitAtOnce(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			one := open(t, e, sms.Config{})
			rules := policy.SMS{Countries: []string{"SE"}, PerNumberDay: 100, PerPersonDay: 100, PerAddressDay: 100, PerPrefixDay: 100, PerDay: 10}
			var wg sync.WaitGroup
			var sent atomic.Int64
			for i := range 40 {
				wg.Go(func() {
					if one.send(t, fmt.Sprint("flow:", i), fmt.Sprintf("+467017%05d", 40605+i*1000), rules) == store.Sending {
						sent.Add(1)
					}
				})
			}
			wg.Wait()
			if sent.Load() != 10 {
				t.Errorf("%d sent on a budget of 10", sent.Load())
			}
		})
	}
}

// TestCountries: nothing goes to a country that policy does not name, nor to a number that costs extra.
func TestCountries(t *testing.T) {
	b := open(t, storetest.Engines()[0], sms.Config{})
	rules := policy.Default().SMS
	for i, to := range []string{"+4790012345", "+19005551234", "+46900123456", "+8835100012345", ""} {
		if state := b.send(t, fmt.Sprint("flow:", i), to, rules); state != store.Full {
			t.Errorf("%q: %s", to, state)
		}
	}
	if n := len(b.texts(t)); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	for raw, want := range map[string]string{"070-174 06 05": number, "0046 70 174 06 05": number, "+46 (0)70 174 06 05": number} {
		if got, masked, err := b.Number(raw, rules); err != nil || got != want || strings.Contains(masked, "174") {
			t.Errorf("%q is %q, %q (%v)", raw, got, masked, err)
		}
	}
}

// TestProviderDown: what the provider does not take gives everything back, and is on record.
func TestProviderDown(t *testing.T) {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer down.Close()
	b := open(t, storetest.Engines()[0], sms.Config{Wire: "twilio", AccountSID: "AC00000000000000000000000000000000", AuthToken: "secret", From: "+46700000000", BaseURL: down.URL})
	rules := policy.Default().SMS
	rules.PerNumberDay, rules.PerDay = 1, 1
	for i := range 8 {
		scope := fmt.Sprint("flow:", i)
		if state := b.send(t, scope, number, rules); state == store.Full {
			t.Fatalf("message %d: a failed one was counted", i)
		}
		if state := b.settled(t, scope); state != store.Failed {
			t.Errorf("message %d: %s", i, state)
		}
	}
	if n := len(b.events(t, audit.SMSFailed)); n != 8 {
		t.Errorf("%d failures on record", n)
	}
}

// TestAlarm: when of the day's messages too few codes were used, once.
func TestAlarm(t *testing.T) {
	b := open(t, storetest.Engines()[0], sms.Config{})
	rules := policy.Default().SMS
	rules.PerPersonDay, rules.PerAddressDay = 100, 100
	for i := range 30 {
		scope := fmt.Sprint("flow:", i)
		b.send(t, scope, fmt.Sprintf("+467017%05d", 40605+i*1000), rules)
		b.settled(t, scope)
		if i < 4 { // 4 of 30 are less than 30 per cent
			storetest.Change(t, b.DB, func(tx *store.Tx) error {
				if err := b.Used(tx); err != nil {
					return err
				}
				return tx.Record(audit.Event{Kind: audit.LoginProved, Subject: string(b.anna.ID)})
			})
		}
	}
	if alarms := b.events(t, audit.SMSAlarm); len(alarms) != 1 || alarms[0].Detail["used"] != "4" {
		t.Errorf("alarms: %+v", alarms)
	}
}
