package rotation

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	day   = 24 * time.Hour
	every = 90 * day
)

// instance is one process: its own ring and its own handle of the database.
type instance struct {
	*Service
	t testing.TB
}

// world is a folder, a database and a clock.
type world struct {
	t        testing.TB
	dir, url string
	clock    *storetest.Clock
	log      *lines
	every    time.Duration
	timeout  time.Duration
}

// lines keeps what was logged.
type lines struct {
	sync.Mutex
	strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Builder.Write(p)
}

func newWorld(t testing.TB, e storetest.Engine) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "keys"), url: e.New(t), clock: storetest.NewClock(), log: &lines{}, every: every}
	if _, err := keyring.Create(w.dir, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	return w
}

// on starts an instance on a folder.
func (w *world) on(dir string) instance {
	w.t.Helper()
	ring, err := keyring.Open(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	db := storetest.OpenWith(w.t, w.url, store.Options{Sealer: ring, Now: w.clock.Now, Timeout: w.timeout})
	return instance{New(Options{DB: db, Ring: ring, Every: w.every, Log: slog.New(slog.NewTextHandler(w.log, nil))}), w.t}
}

func (w *world) instance() instance { return w.on(w.dir) }

func (i instance) tick() {
	i.t.Helper()
	if err := i.Tick(context.Background()); err != nil {
		i.t.Fatal(err)
	}
}

// kids gives the keys of an algorithm and a state, as the folder has them.
func (i instance) kids(alg, state string) []string {
	i.t.Helper()
	if _, err := i.ring.Reload(); err != nil {
		i.t.Fatal(err)
	}
	var kids []string
	for _, k := range i.ring.Keys() {
		if k.Alg == alg && k.State == state {
			kids = append(kids, k.ID)
		}
	}
	return kids
}

// events gives what is on record of keys, oldest first.
func (i instance) events(kinds ...audit.Kind) []audit.Event {
	i.t.Helper()
	var all []audit.Event
	storetest.View(i.t, i.db, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{Kinds: kinds}, func(e audit.Event) error { all = append(all, e); return nil })
	})
	return all
}

// refused wants an error that says all of these.
func refused(t testing.TB, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was not refused")
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func onEngines(t *testing.T, fn func(*testing.T, *world)) {
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) { fn(t, newWorld(t, e)) })
	}
}

// Of four instances, each with rivals of its own, one rotates each algorithm, with one event.
func TestOneOfMany(t *testing.T) {
	onEngines(t, func(t *testing.T, w *world) {
		var all []instance
		for range 4 {
			all = append(all, w.instance())
		}
		first := all[0]
		was := first.kids("ES256", keyring.Next)
		w.clock.Add(every - time.Second)
		first.tick()
		if n := len(first.events(audit.KeyRotated)); n != 0 {
			t.Fatalf("%d rotations before their time", n)
		}
		w.clock.Add(time.Second)
		for range 3 { // one round would do; the others have nothing left
			var running sync.WaitGroup
			for _, i := range all {
				running.Go(func() {
					if err := i.Tick(context.Background()); err != nil {
						t.Error(err)
					}
				})
				running.Go(func() { // and an operator at the same moment
					_, err := New(Options{DB: i.db, Ring: i.ring}).Rotate(context.Background(), audit.Origin{Actor: "cli"}, "", false)
					if err != nil && !strings.Contains(err.Error(), "somebody else is rotating") && !strings.Contains(err.Error(), "wait until") {
						t.Error(err)
					}
				})
			}
			running.Wait()
		}
		events := first.events(audit.KeyRotated)
		if len(events) != len(first.ring.Algorithms()) {
			t.Errorf("%d rotations are on record, want one for each algorithm: %v", len(events), events)
		}
		for _, alg := range first.ring.Algorithms() {
			active, retired, next := first.kids(alg, keyring.Active), first.kids(alg, keyring.Retired), first.kids(alg, keyring.Next)
			if len(retired) != 1 {
				t.Errorf("%s was rotated %d times", alg, len(retired))
			}
			i := slices.IndexFunc(events, func(e audit.Event) bool { return e.Detail["kid"] == active[0] })
			if i < 0 || events[i].Detail["alg"] != alg || events[i].Detail["retired"] != retired[0] || events[i].Detail["next"] != next[0] {
				t.Errorf("%s: on record is %v, the folder has %s", alg, events, active[0])
			}
		}
		if got := first.kids("ES256", keyring.Active); !slices.Equal(got, was) {
			t.Errorf("%v is active, want the key that was next, %v", got, was)
		}
	})
}

// An instance with nothing to do asks nobody.
func TestTickIsFree(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	i := w.instance()
	i.tick()
	reads, writes := i.db.Trips()
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(every - time.Hour)
	i.tick()
	if r, wr := i.db.Trips(); r != reads || wr != writes {
		t.Errorf("a tick took %d reads and %d writes", r-reads, wr-writes)
	}
	i.every = 0
	w.clock.Add(every)
	i.tick()
	if r, wr := i.db.Trips(); r != reads || wr != writes {
		t.Errorf("a tick without a schedule took %d reads and %d writes", r-reads, wr-writes)
	}
}

// A key that was published for less than Published is not made active, by schedule never, by hand only in an emergency.
func TestPublishedFirst(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	i, ctx := w.instance(), context.Background()
	w.clock.Add(Published - time.Second)
	_, err := i.Rotate(ctx, storetest.Origin, "ES256", false)
	refused(t, err, "the next ES256 key was published at 2026-11-21 09:00:00, and applications keep the key set for 10 minutes: wait until 2026-11-21 09:15:00 UTC, or use --now")
	i.every = time.Minute
	i.tick()
	if n := len(i.events(audit.KeyRotated)); n != 0 {
		t.Fatalf("%d rotations", n)
	}
	i.every = 0
	w.clock.Add(time.Second)
	next := i.kids("ES256", keyring.Next)
	done, err := i.Rotate(ctx, storetest.Origin, "ES256", false)
	if err != nil || len(done) != 1 || done[0].ID != next[0] || !slices.Equal(i.kids("ES256", keyring.Active), next) {
		t.Fatalf("rotated %v to %v: %v", done, i.kids("ES256", keyring.Active), err)
	}
	_, err = i.Rotate(ctx, storetest.Origin, "", false) // of four one is too young: none is rotated
	refused(t, err, "the next ES256 key")
	if n := len(i.events(audit.KeyRotated)); n != 1 {
		t.Errorf("%d rotations are on record, want 1", n)
	}
	if done, err = i.Rotate(ctx, storetest.Origin, "", true); err != nil || len(done) != 4 {
		t.Errorf("in an emergency: %v, %v", done, err)
	}
	if e := i.events(audit.KeyRotated); len(e) != 5 || e[0].Detail["published"] != "15m0s" {
		t.Errorf("on record: %v", e)
	}
}

// With the database away nothing is rotated, and nothing is left behind that would be; when it is back, all goes on.
func TestOutage(t *testing.T) {
	w := newWorld(t, storetest.Engines()[1])
	w.timeout = 2 * time.Second
	i := w.instance()
	before := i.ring.Keys()
	w.clock.Add(every)
	storetest.Stop()
	defer storetest.Continue()
	if err := i.Tick(context.Background()); !errors.Is(err, store.ErrOutage) {
		t.Errorf("Tick gave %v", err)
	}
	if err := i.rotate(context.Background(), schedule, i.next("ES256")[0], false); !errors.Is(err, store.ErrOutage) {
		t.Errorf("an outage after the first look: %v", err)
	}
	if err := i.Drop(context.Background(), storetest.Origin, i.kids("ES256", keyring.Next)[0]); !errors.Is(err, store.ErrOutage) {
		t.Errorf("Drop gave %v", err)
	}
	if err := i.drop(context.Background(), storetest.Origin, i.kids("ES256", keyring.Next), audit.NoReason); !errors.Is(err, store.ErrOutage) {
		t.Errorf("a drop without a look gave %v", err)
	}
	if changed, err := i.ring.Reload(); err != nil || changed || !slices.Equal(i.ring.Keys(), before) {
		t.Errorf("the keys changed and nobody wrote it down: %v, %v", changed, err)
	}
	storetest.Continue()
	for end := time.Now().Add(30 * time.Second); i.Tick(context.Background()) != nil; {
		if time.Now().After(end) {
			t.Fatal("no rotation within 30 s of the outage's end")
		}
	}
	if n := len(i.events(audit.KeyRotated)); n != 4 {
		t.Errorf("%d rotations are on record, want 4", n)
	}
}

// died is the end of a process between event and keys.
var errDied = errors.New("the process ended")

// die rotates alg up to the commit of its event and no further.
func (i instance) die(alg string) keyring.Rotation {
	i.t.Helper()
	var what keyring.Rotation
	next := i.next(alg)[0]
	err := i.ring.Rotate(next.ID, i.db.Now(), func(r keyring.Rotation) error {
		if err := i.record(context.Background(), storetest.Origin, r, next.Since, false); err != nil {
			i.t.Fatal(err)
		}
		what = r
		return errDied
	})
	if err != errDied {
		i.t.Fatal(err)
	}
	return what
}

// What is on record is done by whoever looks next, once, with the key that the record names and without another event:
// an instance that starts, one that runs, the command, before a drop.
func TestFinishes(t *testing.T) {
	onEngines(t, func(t *testing.T, w *world) {
		i, other := w.instance(), w.instance()
		other.tick()
		w.clock.Add(Published)
		for name, finish := range map[string]func() error{
			"start":         func() error { return w.instance().Tick(context.Background()) },
			"a running one": func() error { other.settled = time.Time{}; return other.Tick(context.Background()) },
			"keys rotate": func() error {
				done, err := w.instance().Rotate(context.Background(), storetest.Origin, "ES256", false)
				if err == nil && len(done) != 1 {
					t.Errorf("keys rotate gave %v", done)
				}
				return err
			},
			"keys drop": func() error {
				err := w.instance().Drop(context.Background(), storetest.Origin, i.kids("ES256", keyring.Next)[0])
				refused(t, err, "is the active key")
				return nil
			},
		} {
			before := len(i.events(audit.KeyRotated))
			i.kids("ES256", keyring.Next)
			what := i.die("ES256")
			if got := i.kids("ES256", keyring.Active)[0]; got != what.Retired {
				t.Fatalf("%s: %s is active already", name, got)
			}
			if err := finish(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i.kids("ES256", keyring.Active)[0] != what.Active || i.kids("ES256", keyring.Next)[0] != what.Next {
				t.Errorf("%s: recorded was %v", name, what)
			}
			if n := len(i.events(audit.KeyRotated)); n != before+1 {
				t.Errorf("%s: %d events, want %d", name, n, before+1)
			}
			w.clock.Add(Published)
		}
	})
}

// Two instances with a copy of the folder each: one rotates, the other says so and makes no key of its own; when it gets
// the folder of the first, or is told that this is lost, it goes on.
func TestCopies(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	copied := filepath.Join(t.TempDir(), "keys")
	if err := errors.Join(os.CopyFS(copied, os.DirFS(w.dir)), os.Chmod(copied, 0o700)); err != nil {
		t.Fatal(err)
	}
	closed(t, copied)
	one, two := w.instance(), w.on(copied)
	w.clock.Add(every)
	one.tick()
	for range 2 {
		before := two.ring.Keys()
		refused(t, two.Tick(context.Background()), "was made active in another copy of this folder", "share one folder", "portvakt keys rotate --now --alg PS256")
		_, err := two.Rotate(context.Background(), storetest.Origin, "ES256", false)
		refused(t, err, "in another copy of this folder")
		if changed, err := two.ring.Reload(); err != nil || changed || !slices.Equal(before, two.ring.Keys()) {
			t.Errorf("the second copy changed: %v", err)
		}
	}
	if n := len(one.events(audit.KeyRotated)); n != 4 {
		t.Errorf("%d rotations are on record, want 4", n)
	}
	// What one signs, two publishes, and the other way round.
	for _, pair := range [][2]instance{{one, two}, {two, one}} {
		token, err := pair[0].ring.Sign("PS256", "JWT", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair[1].ring.Verify(token); err != nil {
			t.Error(err)
		}
	}
	three := filepath.Join(t.TempDir(), "keys")
	if err := os.CopyFS(three, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, three)
	w.on(three).tick()
	if done, err := two.Rotate(context.Background(), storetest.Origin, "", true); err != nil || len(done) != 4 {
		t.Errorf("told that the other copy is lost: %v, %v", done, err)
	}
	two.tick()
}

// closed gives a copied folder the modes of the original.
func closed(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Two copies whose instances rotate at the same moment: one decision.
func TestCopiesAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, w *world) {
		copied := filepath.Join(t.TempDir(), "keys")
		if err := os.CopyFS(copied, os.DirFS(w.dir)); err != nil {
			t.Fatal(err)
		}
		closed(t, copied)
		both := []instance{w.instance(), w.on(copied)}
		w.clock.Add(every)
		var running sync.WaitGroup
		for _, i := range both {
			running.Go(func() {
				if err := i.Tick(context.Background()); err != nil && !strings.Contains(err.Error(), "another copy") {
					t.Error(err)
				}
			})
		}
		running.Wait()
		if n := len(both[0].events(audit.KeyRotated)); n != 4 {
			t.Errorf("%d rotations are on record, want 4", n)
		}
		for _, alg := range both[0].ring.Algorithms() {
			if n := len(both[0].kids(alg, keyring.Retired)) + len(both[1].kids(alg, keyring.Retired)); n != 1 {
				t.Errorf("%s was rotated in %d copies", alg, n)
			}
		}
	})
}
