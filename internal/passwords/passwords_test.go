package passwords

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// hashes writes a list as Have I Been Pwned publishes it.
func hashes(t *testing.T, passwords ...string) string {
	t.Helper()
	var all []string
	for _, p := range passwords {
		all = append(all, fmt.Sprintf("%X:1\n", sha1.Sum([]byte(p))))
	}
	slices.Sort(all)
	path := filepath.Join(t.TempDir(), "hashes")
	if err := os.WriteFile(path, []byte(strings.Join(all, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rig is two instances on one database, and somebody there.
type rig struct {
	t         *testing.T
	s, second *Service
	u         user.User
}

func engines(t *testing.T, fn func(*rig)) {
	t.Helper()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			url := e.New(t)
			r := &rig{t: t, s: service(storetest.Open(t, url)), second: service(storetest.Open(t, url))}
			r.u = storetest.AddUser(t, r.s.DB, "bertil")
			fn(r)
		})
	}
}

func service(db *store.DB) *Service {
	return New(Options{DB: db, Hasher: factor.NewHasher(factor.Params{MemoryKiB: 8, Time: 1}, 2)})
}

func (r *rig) set(made Made) {
	r.t.Helper()
	storetest.Change(r.t, r.s.DB, func(t *store.Tx) error { return t.SetPassword(r.u.ID, made.Was, made.PHC, made.Under, "") })
}

func number(i int) string { return fmt.Sprint("gröna elefanter nummer ", i) }

// TestHistory: the present password and those before it are refused as long as the rules remember, and no longer.
func TestHistory(t *testing.T) {
	engines(t, func(r *rig) {
		make := func(history, i int) (Made, error) {
			return r.s.Make(t.Context(), policy.Password{MinLength: 12, MaxLength: 256, History: history}, r.u, number(i))
		}
		for i := range 30 {
			made, err := make(24, i)
			if err != nil || made.Was == "" {
				t.Fatalf("%d: %+v, %v", i, made, err)
			}
			r.set(made)
		}
		for _, c := range []struct{ history, i int }{{0, 29}, {1, 28}, {5, 24}, {24, 5}} { // the first that is free again
			made, err := make(c.history, c.i)
			if err != nil || made.Under != "min_length=12 min_classes=0 blocklist=0" {
				t.Errorf("history %d refuses number %d: %+v, %v", c.history, c.i, made, err)
			}
		}
		for _, c := range []struct{ history, i int }{{1, 29}, {5, 29}, {5, 25}, {24, 29}, {24, 6}} {
			made, err := make(c.history, c.i)
			if r := (*Refused)(nil); !errors.Is(err, ErrUsed) || !errors.As(err, &r) || made != (Made{}) {
				t.Errorf("history %d and number %d: %+v, %v", c.history, c.i, made, err)
			}
		}
		spelt := strings.ReplaceAll(strings.ReplaceAll(number(29), "ö", "o\u0308"), " ", "\u00a0")
		if _, err := r.s.Make(t.Context(), policy.Password{MinLength: 12, MaxLength: 256, History: 1}, r.u, spelt); !errors.Is(err, ErrUsed) {
			t.Errorf("in another spelling: %v", err)
		}
		for _, stranger := range []user.User{{}, {ID: "nobody"}} {
			made, err := r.s.Make(t.Context(), policy.Password{MinLength: 12, MaxLength: 256, History: 24}, stranger, number(29))
			if err != nil || made.Was != "" || factor.ValidHash(made.PHC) != nil {
				t.Errorf("somebody new: %+v, %v", made, err)
			}
		}
	})
}

// TestRivals: threats.md CR-04: two instances change one password at once. Both have found the new one unused before either writes; one
// wins, and with history or without the other is told, so that neither can put back what the other took away.
func TestRivals(t *testing.T) {
	engines(t, func(r *rig) {
		for round := range 10 {
			var ready, done sync.WaitGroup
			ready.Add(2)
			errs := make(chan error, 2)
			for i, s := range []*Service{r.s, r.second} {
				done.Go(func() {
					rules := policy.Password{MinLength: 12, MaxLength: 256, History: 5 * (round % 2)}
					made, err := s.Make(context.Background(), rules, r.u, number(round))
					ready.Done()
					ready.Wait()
					if err == nil {
						err = s.DB.Change(context.Background(), storetest.Origin, func(t *store.Tx) error {
							return t.SetPassword(r.u.ID, made.Was, made.PHC, fmt.Sprint(i), "")
						})
					}
					errs <- err
				})
			}
			done.Wait()
			one, two := <-errs, <-errs
			if one != nil {
				one, two = two, one
			}
			if one != nil || !errors.Is(two, store.ErrConflict) {
				t.Fatalf("round %d: %v and %v", round, one, two)
			}
		}
		storetest.View(t, r.s.DB, func(tx *store.Tx) error {
			if _, before, err := tx.Passwords(r.u.ID, 100); err != nil || len(before) != 10 {
				t.Errorf("%d before it, %v", len(before), err)
			}
			return nil
		})
	})
}

// TestRules: they are those of the person's groups.
func TestRules(t *testing.T) {
	engines(t, func(r *rig) {
		all := policy.Default()
		all.Password.Groups = map[string]policy.PasswordRule{"staff": {MinLength: 20, History: 3}}
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error { return errors.Join(tx.PutPolicy(all), storetest.Event(tx, r.u.ID)) })
		rules, err := r.s.Rules(t.Context(), r.u)
		if err != nil || rules.MinLength != 20 || rules.History != 3 {
			t.Errorf("%+v, %v", rules, err)
		}
	})
}
