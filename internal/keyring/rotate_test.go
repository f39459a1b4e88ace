package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func states(r *Ring, alg string) map[string][]string {
	m := make(map[string][]string)
	for _, k := range r.Keys() {
		if k.Alg == alg {
			m[k.State] = append(m[k.State], k.ID)
		}
	}
	return m
}

// rotate rotates an algorithm and records it nowhere.
func rotate(r *Ring, alg string, now time.Time) error {
	for _, k := range r.Keys() {
		if k.Alg == alg && k.State == Next {
			return r.Rotate(k.ID, now, func(Rotation) error { return nil })
		}
	}
	return errors.New("no next key")
}

func mustSign(t testing.TB, r *Ring, alg string) string {
	t.Helper()
	token, err := r.Sign(alg, "JWT", []byte(`{"sub":"7"}`))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustVerify(t testing.TB, r *Ring, token string) {
	t.Helper()
	if claims, err := r.Verify(token); err != nil || string(claims) != `{"sub":"7"}` {
		t.Errorf("verify: %q, %v", claims, err)
	}
}

func TestRotate(t *testing.T) {
	for _, alg := range algorithms() {
		t.Run(alg, func(t *testing.T) {
			r, dir := newRing(t)
			second, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			before, token := states(r, alg), mustSign(t, r, alg)
			now := time.Now().Add(time.Hour)
			if err := rotate(r, alg, now); err != nil {
				t.Fatal(err)
			}
			after := states(r, alg)
			if after["active"][0] != before["next"][0] || after["retired"][0] != before["active"][0] || after["next"][0] == before["next"][0] {
				t.Errorf("before %v\nafter %v", before, after)
			}
			for _, k := range r.Keys() {
				if moved := k.Alg == alg; moved != k.Since.Equal(now.UTC().Truncate(time.Second)) {
					t.Errorf("%+v", k)
				}
			}
			mustVerify(t, r, token)
			fresh := mustSign(t, r, alg)
			mustVerify(t, second, fresh) // it knows the next key already
			inJWKS(t, r, after)

			if got := states(second, alg); got["active"][0] != before["active"][0] {
				t.Error("the second ring changed before its Reload")
			}
			if changed, err := second.Reload(); err != nil || !changed {
				t.Fatalf("Reload: %v, %v", changed, err)
			}
			if !slices.Equal(second.Keys(), r.Keys()) || string(second.JWKS()) != string(r.JWKS()) {
				t.Error("the second ring differs after its Reload")
			}
			mustVerify(t, second, token)
			if changed, err := r.Reload(); err != nil || changed {
				t.Errorf("the ring that rotated sees a change: %v, %v", changed, err)
			}
		})
	}
}

func inJWKS(t *testing.T, r *Ring, want map[string][]string) {
	t.Helper()
	var doc struct {
		Keys []struct{ Kid, Use, Alg string }
	}
	if err := json.Unmarshal(r.JWKS(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Keys) != 9 {
		t.Errorf("%d keys in the JWKS instead of 9", len(doc.Keys))
	}
	for state, ids := range want {
		for _, id := range ids {
			if !strings.Contains(string(r.JWKS()), `"`+id+`"`) {
				t.Errorf("the %s key is not in the JWKS", state)
			}
		}
	}
}

func TestRotateUnknown(t *testing.T) {
	r, dir := newRing(t)
	before := slurp(t, dir, manifestName)
	for _, kid := range []string{"", "../../manifest", states(r, "ES256")["active"][0], b64(make([]byte, 32))} {
		err := r.Rotate(kid, time.Now(), func(Rotation) error { t.Errorf("%q: recorded", kid); return nil })
		if err != ErrChanged {
			t.Errorf("rotated %q: %v", kid, err)
		}
	}
	if string(before) != string(slurp(t, dir, manifestName)) {
		t.Error("the manifest changed")
	}
}

// Root may rotate the keys of a service that runs as another user.
func TestRotateKeepsOwner(t *testing.T) {
	r, dir := newRing(t)
	if os.Geteuid() == 0 { // else all is ours before and after
		if err := os.Chown(dir, 12345, 12346); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
			t.Fatal(err)
		}
	}
	owner := func(path string) [2]uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		return [2]uint32{st.Uid, st.Gid}
	}
	if err := rotate(r, "EdDSA", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{manifestName, lockName, keyFile(t, r, "EdDSA", "next")} {
		if got, want := owner(filepath.Join(dir, name)), owner(dir); got != want {
			t.Errorf("%s belongs to %v, the folder to %v", name, got, want)
		}
	}
}

// Of many that have seen the same keys one rotates, in one process or in two; the others are told so and see the new keys.
func TestRotateTogether(t *testing.T) {
	r, dir := newRing(t)
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	next, recorded := states(r, "EdDSA")["next"][0], make(chan Rotation, 8)
	var wg sync.WaitGroup
	for i := range cap(recorded) {
		wg.Go(func() {
			err := []*Ring{r, second}[i%2].Rotate(next, time.Now(), func(what Rotation) error { recorded <- what; return nil })
			if err != nil && err != ErrChanged {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, what := states(last, "EdDSA"), <-recorded
	if len(got["retired"]) != 1 || got["active"][0] != next || len(recorded) != 0 {
		t.Errorf("8 rivals left %v and %d more records", got, len(recorded))
	}
	if want := (Rotation{"EdDSA", next, got["retired"][0], got["next"][0]}); what != want {
		t.Errorf("recorded %v, want %v", what, want)
	}
}

func TestCreateTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	results := make([]error, 3)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { _, results[i] = Create(dir, time.Now()) })
	}
	wg.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
		}
	}
	if _, err := Open(dir); err != nil || made != 1 {
		t.Errorf("%d rings made: %v; open: %v", made, results, err)
	}
}

// Readers never wait and never see half a ring while two rings rotate and reload.
func TestConcurrent(t *testing.T) {
	r, dir := newRing(t)
	second, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				claims := fmt.Sprintf(`{"n":%d}`, n)
				token, err := r.Sign([]string{"ES256", "EdDSA"}[i%2], "JWT", []byte(claims))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := r.Verify(token); err != nil || string(got) != claims {
					t.Errorf("%q, %v", got, err)
					return
				}
				_, _ = r.JWKS(), r.Keys()
			}
		})
	}
	for i := range 10 {
		writers.Go(func() {
			err := ErrChanged
			for err == ErrChanged { // another writer was first; it left the ring with the new keys
				err = rotate([]*Ring{r, second}[i%2], []string{"ES256", "EdDSA"}[i%2], time.Now())
			}
			if err != nil {
				t.Error(err)
			}
			if _, err := r.Reload(); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if _, err := r.Reload(); err != nil {
		t.Error(err)
	}
	if n := len(r.Keys()); n != 18 {
		t.Errorf("%d keys after 10 rotations, want 18", n)
	}
}
