package account

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const good = "correct horse battery staple"

// each runs fn on both engines, with two services that share nothing but the database.
func each(t *testing.T, fn func(t *testing.T, one, two *Service)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			url := e.New(t)
			fn(t, linksOf(storetest.Open(t, url)), linksOf(storetest.Open(t, url)))
		})
	}
}

// linksOf is a service for what is about links alone.
func linksOf(db *store.DB) *Service {
	hasher := factor.NewHasher(factor.Params{MemoryKiB: 8, Time: 1}, 2)
	return New(Options{DB: db, Hasher: hasher, Passwords: passwords.New(passwords.Options{DB: db, Hasher: hasher}), Lockout: lockout.New([]byte("lane"))})
}

// link makes one, as admin does.
func link(t *testing.T, s *Service, kind string, id user.ID, life time.Duration) string {
	t.Helper()
	token := rand.Text()
	storetest.Change(t, s.DB, func(tx *store.Tx) error {
		tx.CreateLink(store.HashToken(token), kind, id, life)
		return storetest.Event(tx, id)
	})
	return token
}

func password(p string) Form { return Form{Password: p, Repeat: p} }

func first(name string) Form { return Form{Username: name, Password: good, Repeat: good} }

// atOnce lets rivals use links at the same time and gives how many were let.
func atOnce(t *testing.T, uses ...func() error) int {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	won := 0
	for _, use := range uses {
		all.Go(func() {
			err := use()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrLinkGone):
				t.Errorf("a rival got %v", err)
			}
		})
	}
	all.Wait()
	return won
}

// TestLinkWorksOnce: of many who use it at once one is let; the password is theirs, the person's sessions are over, and
// both stand in the trail.
func TestLinkWorksOnce(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		u := storetest.AddUser(t, s.DB, "anna")
		storetest.Change(t, s.DB, func(tx *store.Tx) error {
			return errors.Join(tx.CreateSession(user.Session{ID: "old", User: u.ID, ExpiresAt: s.DB.Now().Add(time.Hour)}, []byte("old")), storetest.Event(tx, u.ID))
		})
		token := link(t, s, LinkReset, u.ID, time.Hour)
		got, err := s.ReadLink(ctx, token)
		if err != nil || got.Kind != LinkReset || got.Person.Username != "anna" || got.Hint.MinLength != policy.Default().Password.MinLength {
			t.Fatalf("%+v (%v)", got, err)
		}
		use := func(by *Service) func() error {
			return func() error { return by.UseLink(ctx, storetest.Origin, token, password(good)) }
		}
		if won := atOnce(t, use(s), use(other), use(s), use(other)); won != 1 {
			t.Errorf("%d of 4 were let", won)
		}
		if _, err := s.ReadLink(ctx, token); !errors.Is(err, ErrLinkGone) {
			t.Errorf("a used link: %v", err)
		}
		storetest.View(t, s.DB, func(tx *store.Tx) error {
			p, err := tx.PersonByID(u.ID)
			if err != nil {
				return err
			}
			if same, _, err := s.Hasher.Check(ctx, good, p.Password); err != nil || !same {
				t.Errorf("the password is not the new one (%v)", err)
			}
			if open, err := tx.SessionsOf(u.ID); err != nil || len(open) != 0 {
				t.Errorf("sessions go on: %v (%v)", open, err)
			}
			want := map[audit.Kind]int{audit.LinkUsed: 1, audit.PasswordChanged: 1, audit.SessionEnded: 1}
			return tx.Events(store.EventFilter{Subject: u.ID}, func(e audit.Event) error {
				if e.Kind != audit.UserChanged {
					want[e.Kind]--
				}
				if e.Kind == audit.LinkUsed && e.Actor != string(u.ID) {
					t.Errorf("the link was used by %q", e.Actor)
				}
				if want[e.Kind] < 0 {
					t.Errorf("one event %s too many", e.Kind)
				}
				return nil
			})
		})
	})
}

// TestLinksRing: two links of one person that are used at once do not wait for each other: the person's row comes before those of their links, which a
// new password takes away.
func TestLinksRing(t *testing.T) {
	address := storetest.Postgres(t) // which fails the test for a deadlock
	db := storetest.Open(t, address)
	anna, s := storetest.AddUser(t, db, "anna"), linksOf(db)
	one, other := link(t, s, LinkReset, anna.ID, time.Hour), link(t, s, LinkReset, anna.ID, 2*time.Hour)
	use := func(token string) func() error {
		return func() error { return s.UseLink(context.Background(), storetest.Origin, token, password(good)) }
	}
	got := storetest.InRow(t, storetest.Connect(t, address), "update users set id = id", use(one), use(other))
	if a, b := got[0], got[1]; (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), ErrLinkGone) {
		t.Errorf("the two links got %v and %v; want one success, and that the other is gone", a, b)
	}
}

// TestFirstAdministrator: however many set-up links there are, they make one administrator in the life of a database.
func TestFirstAdministrator(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		var uses []func() error
		for i, by := range []*Service{s, other, s, other} {
			token := link(t, s, LinkSetup, "", time.Hour)
			uses = append(uses, func() error { return by.UseLink(ctx, storetest.Origin, token, first("admin"+string(rune('a'+i)))) })
		}
		if won := atOnce(t, uses...); won != 1 {
			t.Fatalf("%d of 4 became the first administrator", won)
		}
		late := link(t, s, LinkSetup, "", time.Hour)
		if err := s.UseLink(ctx, storetest.Origin, late, first("late")); !errors.Is(err, ErrLinkGone) {
			t.Errorf("a later set-up link: %v", err)
		}
		var people []*store.Person
		storetest.View(t, s.DB, func(tx *store.Tx) error {
			return tx.Persons(func(p *store.Person) error { people = append(people, p); return nil })
		})
		if len(people) != 1 || len(people[0].Roles) != 1 || people[0].Roles[0] != user.RoleAdmin || people[0].Name != people[0].Username {
			t.Errorf("there are %+v", people)
		}
	})
}

// TestRefusals: a form that is refused spends nothing; the same link takes the next one.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		setup := link(t, s, LinkSetup, "", time.Hour)
		refuses(t, s, setup, map[string]refusal{
			"no name":       {first(" "), ErrMissing},
			"a bad name":    {first("two words"), user.ErrUsername},
			"a bad address": {Form{Username: "root", Email: "root", Password: good, Repeat: good}, user.ErrEmail},
			"short":         {Form{Username: "root", Password: "hunter2", Repeat: "hunter2"}, factor.ErrTooShort},
		}, first("root"))
		u := storetest.AddUser(t, s.DB, "anna")
		rules := policy.Default()
		rules.Password.Groups = map[string]policy.PasswordRule{"staff": {MinLength: 20}}
		storetest.Change(t, s.DB, func(tx *store.Tx) error { return errors.Join(tx.PutPolicy(rules), storetest.Event(tx, u.ID)) })
		token := link(t, s, LinkInvitation, u.ID, time.Hour)
		refuses(t, s, token, map[string]refusal{
			"nothing":             {Form{}, ErrMissing},
			"not the same":        {Form{Password: good, Repeat: good + "r"}, ErrMismatch},
			"short for the group": {password("fifteen letters"), factor.ErrTooShort},
			"long":                {password(strings.Repeat("long ", 60)), factor.ErrTooLong},
			"not text":            {password("\xff\xfe is not text at all"), factor.ErrNotText},
		}, password(good))
		if err := s.UseLink(context.Background(), storetest.Origin, "made-up", password(good)); !errors.Is(err, ErrLinkGone) {
			t.Errorf("a link that never was: %v", err)
		}
	})
}

type refusal struct {
	form Form
	want error
}

func refuses(t *testing.T, s *Service, token string, bad map[string]refusal, then Form) {
	t.Helper()
	ctx := context.Background()
	for name, tt := range bad {
		if err := s.UseLink(ctx, storetest.Origin, token, tt.form); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if err := s.UseLink(ctx, storetest.Origin, token, then); err != nil {
		t.Errorf("a good form after bad ones: %v", err)
	}
}

// TestSetupIsForNobody: a set-up link that somebody kept is worthless as soon as there is anybody.
func TestSetupIsForNobody(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		setup := link(t, s, LinkSetup, "", time.Hour)
		storetest.AddUser(t, s.DB, "anna")
		if err := s.UseLink(context.Background(), storetest.Origin, setup, first("mallory")); !errors.Is(err, ErrLinkGone) {
			t.Errorf("%v", err)
		}
	})
}

// TestLinkEnds: a link is worthless when its time is over, and when its person is gone.
func TestLinkEnds(t *testing.T) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			ctx, clock := context.Background(), storetest.NewClock()
			db := storetest.OpenWith(t, e.New(t), store.Options{Sealer: storetest.Ring(t), Now: clock.Now})
			s := linksOf(db)
			u := storetest.AddUser(t, db, "anna")
			token := link(t, s, LinkReset, u.ID, time.Hour)
			stray := link(t, s, LinkReset, "nobody", 48*time.Hour)
			clock.Add(time.Hour - time.Second)
			if _, err := s.ReadLink(ctx, token); err != nil {
				t.Errorf("a second before its end: %v", err)
			}
			clock.Add(time.Second)
			for _, one := range []string{token, stray} {
				if _, err := s.ReadLink(ctx, one); !errors.Is(err, ErrLinkGone) {
					t.Errorf("read: %v", err)
				}
				if err := s.UseLink(ctx, storetest.Origin, one, password(good)); !errors.Is(err, ErrLinkGone) {
					t.Errorf("used: %v", err)
				}
			}
		})
	}
}
