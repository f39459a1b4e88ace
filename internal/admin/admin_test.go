package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const password = "correct horse battery staple"

// each runs fn on both engines, with two services that share nothing but the database.
func each(t *testing.T, fn func(t *testing.T, one, two *Service)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			url := e.New(t)
			fn(t, open(t, url), open(t, url))
		})
	}
}

func open(t *testing.T, url string) *Service {
	t.Helper()
	mac := func(secret string) []byte {
		sum := sha256.Sum256([]byte(secret))
		return sum[:]
	}
	db, hasher := storetest.Open(t, url), factor.NewHasher(factor.Params{MemoryKiB: 8, Time: 1}, 2)
	return New(db, hasher, passwords.New(passwords.Options{DB: db, Hasher: hasher}), mac)
}

// kinds lists what the trail has, by kind.
func kinds(t *testing.T, s *Service) map[audit.Kind]int {
	t.Helper()
	out := map[audit.Kind]int{}
	storetest.View(t, s.db, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{Limit: 1000}, func(e audit.Event) error { out[e.Kind]++; return nil })
	})
	return out
}

// signedIn gives a person a session and a grant of it.
func signedIn(t *testing.T, s *Service, id user.ID) (session user.SessionID, grant string) {
	t.Helper()
	now := s.db.Now()
	session, grant = user.SessionID(store.NewID(now)), store.NewID(now)
	storetest.Change(t, s.db, func(tx *store.Tx) error {
		err := tx.CreateSession(user.Session{ID: session, User: id, AuthTime: now, ExpiresAt: now.Add(time.Hour)}, []byte(session))
		tx.CreateGrant(store.Grant{ID: grant, Client: "app", User: id, Session: session, Data: "{}", Expires: now.Add(time.Hour)})
		return errors.Join(err, storetest.Event(tx, id))
	})
	return session, grant
}

// over fails the test unless session and grant are.
func over(t *testing.T, s *Service, username, grant string) {
	t.Helper()
	_, sessions, err := s.User(context.Background(), username)
	if err != nil || len(sessions) != 0 {
		t.Errorf("%s still has sessions: %v (%v)", username, sessions, err)
	}
	storetest.View(t, s.db, func(tx *store.Tx) error {
		g, err := tx.GrantByID(grant)
		if err != nil || g.Revoked.IsZero() {
			t.Errorf("the grant of the session still counts: %+v (%v)", g, err)
		}
		return nil
	})
}

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		anna, err := s.AddUser(ctx, storetest.Origin, user.User{Username: "anna", Email: "anna@example.se"}, password)
		if err != nil || anna.ID == "" || anna.Name != "anna" {
			t.Fatalf("%+v (%v)", anna, err)
		}
		for _, taken := range []user.User{{Username: "Anna"}, {Username: "bo", Email: "ANNA@example.se"}} {
			if _, err := other.AddUser(ctx, storetest.Origin, taken, ""); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("%+v: %v", taken, err)
			}
		}
		_, grant := signedIn(t, s, anna.ID)
		if err := other.SetDisabled(ctx, storetest.Origin, "ANNA", true); err != nil {
			t.Fatal(err)
		}
		over(t, s, "anna", grant)
		if err := s.SetDisabled(ctx, storetest.Origin, "anna", true); err == nil || !strings.Contains(err.Error(), "disabled already") {
			t.Errorf("disabled twice: %v", err)
		}
		if err := s.SetDisabled(ctx, storetest.Origin, "anna", false); err != nil {
			t.Error(err)
		}
		_, grant = signedIn(t, s, anna.ID)
		if err := s.SetPassword(ctx, storetest.Origin, "anna", "another battery, another staple"); err != nil {
			t.Error(err)
		}
		over(t, s, "anna", grant)
		_, grant = signedIn(t, s, anna.ID)
		if err := s.ResetFactors(ctx, storetest.Origin, "anna"); err != nil {
			t.Error(err)
		}
		over(t, s, "anna", grant)
		for name, err := range map[string]error{
			"disable":  s.SetDisabled(ctx, storetest.Origin, "nobody", true),
			"password": s.SetPassword(ctx, storetest.Origin, "nobody", password),
			"factors":  s.ResetFactors(ctx, storetest.Origin, "nobody"),
			"unlock":   s.Unlock(ctx, storetest.Origin, "nobody"),
		} {
			if !errors.Is(err, user.ErrNotFound) || err.Error() != `there is no user "nobody"` {
				t.Errorf("%s: %v", name, err)
			}
		}
		got := kinds(t, s)
		for kind, want := range map[audit.Kind]int{audit.UserCreated: 1, audit.UserDisabled: 1, audit.UserEnabled: 1,
			audit.PasswordChanged: 1, audit.FactorRemoved: 1, audit.SessionEnded: 3} {
			if got[kind] != want {
				t.Errorf("%d events %s, want %d", got[kind], kind, want)
			}
		}
	})
}

// TestPolicyHoldsForOperators: an operator gives nobody a password that policy would refuse.
func TestPolicyHoldsForOperators(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		ctx := context.Background()
		apply(t, s, "groups: [admins]\npolicies: {password: {groups: {admins: {min_length: 20}}}}")
		short := "fifteen letters"
		if _, err := s.AddUser(ctx, storetest.Origin, user.User{Username: "a", Groups: []string{"admins"}}, short); err == nil ||
			!strings.Contains(err.Error(), "fewer than 20 characters") {
			t.Errorf("short for a group: %v", err)
		}
		if _, err := s.AddUser(ctx, storetest.Origin, user.User{Username: "a"}, short); err != nil {
			t.Errorf("long enough for others: %v", err)
		}
		if err := s.SetPassword(ctx, storetest.Origin, "a", "hunter2"); err == nil || !strings.Contains(err.Error(), "fewer than 12 characters") {
			t.Errorf("short: %v", err)
		}
	})
}

func TestClients(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		app := client.Client{ID: "app", RedirectURIs: []string{"https://app.example.se/"}}
		secrets := addAtOnce(t, app, s, other, s, other)
		if len(secrets) != 1 {
			t.Fatalf("%d operators were told that they registered the same application", len(secrets))
		}
		got, err := s.Client(ctx, "app")
		if err != nil || string(got.Secret) != string(s.secretMAC(secrets[0])) {
			t.Errorf("the secret that was told is not the one that is kept (%v)", err)
		}
		fresh, err := other.RotateSecret(ctx, storetest.Origin, "app", 0)
		if err != nil || fresh == secrets[0] {
			t.Errorf("rotate: %q (%v)", fresh, err)
		}
		if got, err = s.Client(ctx, "app"); err != nil || string(got.Secret) != string(s.secretMAC(fresh)) || got.Name != "app" {
			t.Errorf("after a rotation: %+v (%v)", got, err)
		}
		if secret, err := s.AddClient(ctx, storetest.Origin, ClientSpec{Client: client.Client{ID: "spa", AuthMethod: client.AuthNone, RedirectURIs: app.RedirectURIs}}); err != nil || secret != "" {
			t.Errorf("a public client: %q (%v)", secret, err)
		}
		if secret, err := s.RotateSecret(ctx, storetest.Origin, "spa", 0); err == nil || secret != "" {
			t.Errorf("a public client got the secret %q", secret)
		}
		if err := s.RemoveClient(ctx, storetest.Origin, "app"); err != nil {
			t.Error(err)
		}
		_, shown := s.Client(ctx, "app")
		_, rotated := s.RotateSecret(ctx, storetest.Origin, "app", 0)
		for _, err := range []error{shown, rotated, s.RemoveClient(ctx, storetest.Origin, "app")} {
			if !errors.Is(err, ErrNoClient) {
				t.Errorf("a client that is gone: %v", err)
			}
		}
	})
}

// addAtOnce gives the secrets of those that succeeded.
func addAtOnce(t *testing.T, c client.Client, services ...*Service) []string {
	t.Helper()
	var mu sync.Mutex
	var secrets []string
	var all sync.WaitGroup
	for _, s := range services {
		all.Go(func() {
			secret, err := s.AddClient(context.Background(), storetest.Origin, ClientSpec{Client: c})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				secrets = append(secrets, secret)
			case !strings.Contains(err.Error(), "already"):
				t.Error(err)
			}
		})
	}
	all.Wait()
	return secrets
}

// TestLinks: a new link of a kind ends the earlier one; the trail knows of each.
func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		ctx := context.Background()
		if _, err := s.AddUser(ctx, storetest.Origin, user.User{Username: "anna"}, ""); err != nil {
			t.Fatal(err)
		}
		var links []string
		for _, kind := range []string{"reset", "invitation", "reset"} {
			secret, err := s.MakeLink(ctx, storetest.Origin, kind, "anna", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, secret)
		}
		for i, works := range []bool{false, true, true} {
			sum := sha256.Sum256([]byte(links[i]))
			err := s.db.View(ctx, func(tx *store.Tx) error { _, err := tx.LinkByToken(sum[:]); return err })
			if (err == nil) != works {
				t.Errorf("link %d: %v, want works %v", i, err, works)
			}
		}
		if _, err := s.MakeLink(ctx, storetest.Origin, "reset", "nobody", time.Hour); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("a link for nobody: %v", err)
		}
		if got := kinds(t, s)[audit.LinkIssued]; got != 3 {
			t.Errorf("%d links are on record, want 3", got)
		}
	})
}
