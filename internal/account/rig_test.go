package account

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

// rig is a service with everything real behind it: a database on either engine, a phone and a letter box that are files, and another
// instance of the service that shares the database and nothing else.
type rig struct {
	t         *testing.T
	s, other  *Service
	clock     *storetest.Clock
	phone     string
	anna, eve *store.Person // eve has a soft token
}

// engines runs fn on both, with anna, who has no factor yet.
func engines(t *testing.T, fn func(*rig)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			r := &rig{t: t, clock: storetest.NewClock(), phone: filepath.Join(t.TempDir(), "sms.jsonl")}
			at := e.New(t)
			r.s, r.other = r.service(at, "file:"+r.phone), r.service(at, "file:"+r.phone)
			r.anna, r.eve = r.person("anna"), r.person("eve")
			r.give(r.eve, store.Factor{Kind: user.FactorTOTP, Secret: factor.NewTOTP().URI("x", "eve")})
			fn(r)
		})
	}
}

func (r *rig) service(at, wire string) *Service {
	r.t.Helper()
	db := storetest.OpenWith(r.t, at, store.Options{Sealer: storetest.Ring(r.t), Now: r.clock.Now})
	outbox, err := sms.Open(sms.Config{Wire: wire, Now: r.clock.Now})
	post, err2 := mail.Open(mail.Config{Wire: "file:" + filepath.Join(r.t.TempDir(), "mail"), Now: r.clock.Now})
	all, err3 := words.Load(web.FS)
	issuer, err4 := url.Parse("https://login.example.se")
	keys, err5 := factor.NewPasskeys("login.example.se", "Exempelbolaget", []string{"https://login.example.se"})
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(outbox.Close)
	n := notify.New(notify.Options{DB: db, SMS: outbox, Post: post, Words: all, Issuer: issuer, Brand: "Exempelbolaget", Key: []byte("notify")})
	hasher := factor.NewHasher(factor.Params{MemoryKiB: 8, Time: 1}, 2)
	return New(Options{DB: db, Hasher: hasher, Passwords: passwords.New(passwords.Options{DB: db, Hasher: hasher, Organisation: "Exempelbolaget"}), Lockout: lockout.New([]byte("lane")), Issuer: "Exempelbolaget", Notify: n, Passkeys: keys,
		Key: []byte("recovery")})
}

func (r *rig) person(name string) *store.Person {
	r.t.Helper()
	u := storetest.AddUser(r.t, r.s.DB, name)
	var p *store.Person
	storetest.View(r.t, r.s.DB, func(t *store.Tx) (err error) { p, err = t.PersonByID(u.ID); return err })
	return p
}

// give stores a factor of a person, as a sign-in or an administrator may have, and gives it back.
func (r *rig) give(p *store.Person, f store.Factor) store.Factor {
	r.t.Helper()
	f.User = p.ID
	r.clock.Add(time.Millisecond) // factors are in the order of their ids, which have their time
	storetest.Change(r.t, r.s.DB, func(t *store.Tx) error { return errors.Join(t.AddFactor(f), storetest.Event(t, p.ID)) })
	all := r.factors(p)
	return all[len(all)-1]
}

func (r *rig) passkey(p *store.Person, name string) store.Factor {
	return r.give(p, store.Factor{Kind: user.FactorPasskey, Name: name, Secret: factor.Credential{ID: []byte(name)}.Encode(), Handle: []byte(name)})
}

func (r *rig) token(p *store.Person) store.Factor {
	return r.give(p, store.Factor{Kind: user.FactorTOTP, Secret: factor.NewTOTP().URI("x", p.Username)})
}

func (r *rig) factors(p *store.Person) []store.Factor {
	r.t.Helper()
	var all []store.Factor
	storetest.View(r.t, r.s.DB, func(t *store.Tx) (err error) { all, err = t.FactorsOf(p.ID); return err })
	return all
}

// signIn gives a session that a person has just begun by these proofs; none: with two factors.
func (r *rig) signIn(p *store.Person, proved ...user.Method) Self {
	r.t.Helper()
	if len(proved) == 0 {
		proved = []user.Method{user.MethodPassword, user.MethodOTP}
	}
	now := r.s.DB.Now()
	session := user.Session{ID: user.SessionID(store.NewID(now)), User: p.ID, Proved: proved, AuthTime: now, ExpiresAt: now.Add(30 * 24 * time.Hour)}
	storetest.Change(r.t, r.s.DB, func(t *store.Tx) error {
		return errors.Join(t.CreateSession(session, []byte("token "+session.ID)), storetest.Event(t, p.ID))
	})
	return Self{Person: p, Session: session, Origin: audit.Origin{IP: "192.0.2.9", Agent: "test"}}
}

// policy sets the rules for everybody.
func (r *rig) policy(edit func(*policy.Policy)) {
	r.t.Helper()
	rules := policy.Default()
	edit(&rules)
	for _, s := range []*Service{r.s, r.other} {
		storetest.Change(r.t, s.DB, func(t *store.Tx) error { return errors.Join(t.PutPolicy(rules), storetest.Event(t, r.anna.ID)) })
	}
}

// events gives what the trail has of these kinds about a person.
func (r *rig) events(p *store.Person, kinds ...audit.Kind) []audit.Event {
	r.t.Helper()
	var all []audit.Event
	storetest.View(r.t, r.s.DB, func(t *store.Tx) error {
		return t.Events(store.EventFilter{Subject: p.ID, Kinds: kinds, Limit: 1000}, func(e audit.Event) error { all = append(all, e); return nil })
	})
	return all
}

// post takes the mails out of the letter box and gives their subjects.
func (r *rig) post() []string {
	r.t.Helper()
	var subjects []string
	err := r.s.DB.Housekeep(context.Background(), func(t *store.Tx) error {
		all, err := t.ClaimMail(100, time.Hour)
		for _, m := range all {
			subjects = append(subjects, m.Subject)
			t.DropMail(m.ID)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return subjects
}

// mailed fails the test unless the letter box held exactly the mails of these keys.
func (r *rig) mailed(p *store.Person, keys ...string) {
	r.t.Helper()
	want := []string{}
	for _, k := range keys {
		want = append(want, r.s.Notify.Word(p, k+".subject"))
	}
	got := r.post()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("mails %q, want %q", got, want)
	}
}

// text waits until n messages are on the phone and gives the number and the code of the last.
func (r *rig) text(n int) (to, code string) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) { // polls; the deadline decides
		all := r.texts()
		if len(all) >= n {
			return all[n-1][0], all[n-1][1]
		}
		if time.Now().After(end) {
			r.t.Fatalf("%d messages after 30 s, want %d", len(all), n)
		}
	}
}

func (r *rig) texts() [][2]string {
	r.t.Helper()
	file, err := os.Open(r.phone)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	var all [][2]string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var m struct{ To, Body string }
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, [2]string{m.To, regexp.MustCompile(`[0-9]{6}$`).FindString(m.Body)})
	}
	return all
}

// is fails the test unless err is want.
func (r *rig) is(what string, err, want error) {
	r.t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		r.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// says fails the test unless why is want and nothing went wrong.
func (r *rig) says(what string, why, want audit.Reason, err error) {
	r.t.Helper()
	if err != nil || why != want {
		r.t.Errorf("%s: %q (%v), want %q", what, why, err, want)
	}
}

// state is what a person has, for a test that says that nothing changed.
func (r *rig) state(p *store.Person) string {
	r.t.Helper()
	out := ""
	storetest.View(r.t, r.s.DB, func(t *store.Tx) error {
		all, err := t.FactorsOf(p.ID)
		left, err2 := t.RecoveryCodesLeft(p.ID)
		devices, err3 := t.DevicesOf(p.ID)
		open, err4 := t.SessionsOf(p.ID)
		out = fmt.Sprintf("%+v %d %+v %+v", all, left, devices, open)
		return errors.Join(err, err2, err3, err4)
	})
	return out
}

// race lets rivals go at once and gives how each ended.
func race(rivals ...func() error) []error {
	results := make([]error, len(rivals))
	var ready, all sync.WaitGroup
	ready.Add(len(rivals))
	for i, fn := range rivals {
		all.Go(func() {
			ready.Done()
			ready.Wait()
			results[i] = fn()
		})
	}
	all.Wait()
	return results
}

// won counts the rivals that did not fail; any other error than want fails the test.
func (r *rig) won(results []error, want error) int {
	r.t.Helper()
	n := 0
	for _, err := range results {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, want):
			r.t.Errorf("a rival got %v, want %v", err, want)
		}
	}
	return n
}
