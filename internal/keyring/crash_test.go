package keyring

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var errCrash = errors.New("the machine stopped")

// crashAt makes the n-th lasting step of f fail, and all after it.
func crashAt(f *folder, n int) {
	f.cut = func(string) error {
		if n--; n < 0 {
			return errCrash
		}
		return nil
	}
}

func TestRotateCrash(t *testing.T) {
	r, good := newRing(t)
	token := mustSign(t, r, "ES256")
	before := states(r, "ES256")
	old, finished := 0, false
	for n := 0; !finished; n++ {
		dir := copyRing(t, good)
		broken, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		crashAt(&broken.dir, n)
		if err := rotate(broken, "ES256", time.Now()); err == nil {
			finished = true
		} else if !errors.Is(err, errCrash) {
			t.Fatalf("step %d: %v", n, err)
		}
		mustVerify(t, broken, token)

		opened, err := Open(dir)
		if err != nil {
			t.Fatalf("after a crash at step %d: %v", n, err)
		}
		mustVerify(t, opened, token)
		mustVerify(t, opened, mustSign(t, opened, "ES256"))
		if states(opened, "ES256")["active"][0] == before["active"][0] {
			old++
		}
		if err := rotate(opened, "ES256", time.Now()); err != nil {
			t.Fatalf("the rotation after a crash at step %d: %v", n, err)
		}
		mustVerify(t, opened, token)
		if s := listing(t, dir); strings.Contains(s, tempSuffix) {
			t.Errorf("left behind by a crash at step %d:\n%s", n, s)
		}
	}
	if old != 9 { // all steps up to the rename of the manifest
		t.Errorf("%d crashes kept the old keys, want 9", old)
	}
}

// Ten files of five steps each; the manifest is the last. Some of the steps
// are enough, for each Create makes four RSA keys.
func TestCreateCrash(t *testing.T) {
	for _, n := range []int{0, 1, 4, 21, 45, 48, 49, 50} {
		f := folder{path: filepath.Join(t.TempDir(), "keys")}
		crashAt(&f, n)
		if _, err := create(f, time.Now()); (n < 50) != errors.Is(err, errCrash) || n == 50 && err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		_, openErr := Open(f.path)
		_, createErr := Create(f.path, time.Now())
		switch names, _ := (folder{path: f.path}).held(); {
		case len(names) == 0:
			t.Errorf("step %d: Create after a crash made nothing: %v", n, createErr)
		case n == 0: // nothing but the lock was there, so Create could begin anew
			if !errors.Is(openErr, ErrMissing) || createErr != nil {
				t.Errorf("step 0: %v, %v", openErr, createErr)
			}
		case slices.Contains(names, manifestName):
			if openErr != nil || createErr == nil {
				t.Errorf("step %d: the ring is whole, and Open says %v, Create %v", n, openErr, createErr)
			}
		default:
			refused(t, openErr, []string{f.path, "manifest.json is missing", "empty it if no database was made with it"})
			refused(t, createErr, []string{f.path, names[0], "empty the folder if no database was made with it"})
		}
	}
}
