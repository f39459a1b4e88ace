package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errRecord = errors.New("the trail cannot be written")

// A record that fails undoes the change; one that was made is never without its rotation for long: Resume finishes it,
// once, from any process.
func TestRotateRecord(t *testing.T) {
	r, dir := newRing(t)
	before, was := states(r, "ES256"), slurp(t, dir, manifestName)
	next := before["next"][0]
	err := r.Rotate(next, time.Now(), func(what Rotation) error {
		if _, err := os.Stat(filepath.Join(dir, entry{ID: what.Next, Alg: "ES256"}.file())); err != nil {
			t.Errorf("recorded before the new key is on the disk: %v", err)
		}
		if string(slurp(t, dir, manifestName)) != string(was) {
			t.Error("recorded after the keys changed")
		}
		return errRecord
	})
	if err != errRecord || string(slurp(t, dir, manifestName)) != string(was) || strings.Contains(listing(t, dir), tempSuffix) {
		t.Fatalf("an unrecorded rotation: %v\n%s", err, listing(t, dir))
	}

	// The machine stops after the record.
	var what Rotation
	broken, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	broken.dir.cut = func(step string) error {
		if step == "rename "+manifestName+tempSuffix {
			return errCrash
		}
		return nil
	}
	if err := broken.Rotate(next, time.Now(), func(w Rotation) error { what = w; return nil }); err != errCrash || what.Active != next {
		t.Fatalf("%v, recorded %v", err, what)
	}
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := states(second, "ES256"); got["active"][0] != before["active"][0] {
		t.Fatalf("after the crash: %v", got)
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if err := []*Ring{r, second}[i%2].Resume(what.Active, what.Next, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := states(r, "ES256")
	if got["active"][0] != what.Active || got["next"][0] != what.Next || !slices.Equal(got["retired"], before["active"]) {
		t.Errorf("resumed %v to %v", what, got)
	}
}

// A copy of the folder that was not rotated has not the new key, and makes none of its own.
func TestResumeElsewhere(t *testing.T) {
	r, dir := newRing(t)
	copied := copyRing(t, dir)
	second, err := Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	if err := rotate(r, "ES256", time.Now()); err != nil {
		t.Fatal(err)
	}
	got, before := states(r, "ES256"), listing(t, copied)
	for _, next := range []string{got["next"][0], "../" + got["next"][0], "", states(second, "ES256")["active"][0]} {
		if err := second.Resume(got["active"][0], next, time.Now()); err != ErrElsewhere {
			t.Errorf("resumed with %q: %v", next, err)
		}
	}
	if after := listing(t, copied); after != before {
		t.Errorf("the copy changed from\n%s to\n%s", before, after)
	}
	// Another key under the name of the right one, and half of the right one.
	name := entry{ID: got["next"][0], Alg: "ES256"}.file()
	put(t, copied, name, slurp(t, copied, keyFile(t, second, "ES256", "next")))
	refused(t, second.Resume(got["active"][0], got["next"][0], time.Now()), []string{name, "another key"})
	put(t, copied, name, half(slurp(t, dir, name)))
	refused(t, second.Resume(got["active"][0], got["next"][0], time.Now()), []string{name, "is damaged"})
}

func TestDrop(t *testing.T) {
	r, dir := newRing(t)
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	token := mustSign(t, r, "ES256")
	none := func([]Key) error { t.Error("recorded"); return nil }
	was := states(r, "ES256")
	if err := r.Drop(was["active"], time.Now(), none); err == nil || !strings.Contains(err.Error(), "rotate ES256 first") {
		t.Errorf("the active key: %v", err)
	}
	if err := r.Drop([]string{"", b64(make([]byte, 32))}, time.Now(), none); err != ErrChanged {
		t.Errorf("unknown keys: %v", err)
	}
	if err := rotate(r, "ES256", time.Now()); err != nil {
		t.Fatal(err)
	}
	old, next := was["active"][0], states(r, "ES256")["next"][0]
	if err := second.Drop([]string{old, next}, time.Now(), func([]Key) error { return errRecord }); err != errRecord {
		t.Fatal(err)
	}
	mustVerify(t, second, token)
	var gone []Key
	if err := second.Drop([]string{old, next}, time.Now(), func(k []Key) error { gone = k; return nil }); err != nil || len(gone) != 2 {
		t.Fatalf("%v, recorded %v", err, gone)
	}
	if _, err := second.Verify(token); err != ErrToken {
		t.Errorf("a dropped key verifies: %v", err)
	}
	if changed, err := r.Reload(); err != nil || !changed {
		t.Errorf("the other ring: %v, %v", changed, err)
	}
	if got := states(r, "ES256"); len(got["retired"]) != 0 || got["active"][0] != was["next"][0] || got["next"][0] == next || len(got["next"]) != 1 {
		t.Errorf("left %v of %v", got, was)
	}
	for _, kid := range []string{old, next} {
		if strings.Contains(string(r.JWKS()), kid) || strings.Contains(listing(t, dir), kid) {
			t.Errorf("%s is still there:\n%s", kid, listing(t, dir))
		}
	}
	if _, err := Open(dir); err != nil {
		t.Error(err)
	}
}

func TestOver(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		state string
		since time.Duration
		over  bool
	}{{Retired, keepRetired, false}, {Retired, keepRetired + time.Second, true}, {Retired, -keepRetired, false},
		{Active, 2 * keepRetired, false}, {Next, 2 * keepRetired, false}} {
		if got := (Key{State: tt.state, Since: now.Add(-tt.since)}).Over(now); got != tt.over {
			t.Errorf("%s for %v is over: %v", tt.state, tt.since, got)
		}
	}
}

// older makes of a folder one of the version before PS256.
func older(t *testing.T, dir string) {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{Active, Next} {
		remove(keyFile(t, r, "PS256", state))(t, dir)
	}
	edit(manifestName, without("PS256"))(t, dir)
	replace(manifestName, `"version": 2`, `"version": 1`)(t, dir)
}

// A folder from before PS256 works as it is, rotates as it is, and gets the keys that it lacks from Complete, once,
// also from two processes; no key that it had is touched.
func TestComplete(t *testing.T) {
	_, dir := newRing(t)
	older(t, dir)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	token := mustSign(t, r, "RS256")
	if _, err := r.Sign("PS256", "JWT", []byte("{}")); err == nil || slices.Contains(r.Algorithms(), "PS256") {
		t.Errorf("a folder without PS256 signs by it: %v, %v", r.Algorithms(), err)
	}
	if err := rotate(r, "EdDSA", time.Now()); err != nil {
		t.Fatal(err)
	}
	had, files := r.Keys(), listing(t, dir)
	if err := r.Complete(time.Now(), func([]Key) error { return errRecord }); err != errRecord || !slices.Equal(r.Keys(), had) {
		t.Fatalf("unrecorded: %v", err)
	}
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	recorded := make(chan []Key, 4)
	var wg sync.WaitGroup
	for i := range cap(recorded) {
		wg.Go(func() {
			if err := []*Ring{r, second}[i%2].Complete(time.Now(), func(k []Key) error { recorded <- k; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made := <-recorded; len(recorded) != 0 || len(made) != 2 || made[0].Alg != "PS256" || made[1].Alg != "PS256" {
		t.Errorf("made %v, and %d times more", made, len(recorded))
	}
	kept := slices.DeleteFunc(r.Keys(), func(k Key) bool { return k.Alg == "PS256" })
	if !slices.Equal(kept, had) || !slices.Equal(r.Algorithms(), algorithms()) || !slices.Equal(second.Keys(), r.Keys()) {
		t.Errorf("of\n%v became\n%v", had, r.Keys())
	}
	for line := range strings.Lines(files) {
		if !strings.Contains(listing(t, dir), line) {
			t.Errorf("gone: %s", line)
		}
	}
	mustVerify(t, r, token)
	mustVerify(t, second, mustSign(t, r, "PS256"))
	if last, err := Open(dir); err != nil || !slices.Equal(last.Keys(), r.Keys()) {
		t.Errorf("opened again: %v", err)
	}
}

// What is damaged in a folder from before PS256 is refused before anything is made.
func TestCompleteDamaged(t *testing.T) {
	r, good := newRing(t)
	older(t, good)
	for _, tt := range fileDamages(t, r) {
		if strings.Contains(tt.name, "RSA keys swapped") || strings.Contains(tt.name, "PS256") {
			continue // there are none
		}
		dir := copyRing(t, good)
		running, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		tt.spoil(t, dir)
		before := listing(t, dir)
		if _, err := Open(dir); err == nil {
			t.Errorf("%s: Open took it", tt.name)
		}
		if err := running.Complete(time.Now(), func([]Key) error { t.Errorf("%s: recorded", tt.name); return nil }); err == nil {
			t.Errorf("%s: Complete took it", tt.name)
		}
		if after := strings.Replace(listing(t, dir), ".lock -rw-------\n", "", 1); after != strings.Replace(before, ".lock -rw-------\n", "", 1) {
			t.Errorf("%s: the folder changed from\n%s to\n%s", tt.name, before, after)
		}
	}
}
