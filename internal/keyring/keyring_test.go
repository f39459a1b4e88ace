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

// made is one ring for all tests of a process: making its RSA keys takes longer than most of them.
var made = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "portvakt-keyring-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := Create(dir, time.Now()); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// newRing gives a ring in a folder of its own, with the same keys each time.
func newRing(t testing.TB) (*Ring, string) {
	t.Helper()
	files, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		put(t, dir, name, data)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

// newStranger makes a ring with other keys.
func newStranger(t testing.TB) (*Ring, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := Create(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

// copyRing copies a folder with its modes.
func copyRing(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		put(t, to, e.Name(), data)
	}
	return to
}

func put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func slurp(t testing.TB, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keyFile names the file of the key of an algorithm and a state.
func keyFile(t testing.TB, r *Ring, alg, state string) string {
	t.Helper()
	for _, k := range r.Keys() {
		if k.Alg == alg && k.State == state {
			return "signing-" + alg + "-" + k.ID + ".pem"
		}
	}
	t.Fatalf("no %s key for %s", state, alg)
	return ""
}

func TestCreateThenOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "keys")
	made, err := Create(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if made.ID() != opened.ID() || len(made.ID()) != 16 {
		t.Errorf("IDs %q and %q", made.ID(), opened.ID())
	}
	if !slices.Equal(made.Keys(), opened.Keys()) {
		t.Errorf("keys differ:\n%v\n%v", made.Keys(), opened.Keys())
	}
	var got []string
	for _, k := range opened.Keys() {
		got = append(got, k.Alg+" "+k.State)
		if len(k.ID) != 43 || k.Created.IsZero() || k.Since.IsZero() {
			t.Errorf("key %+v", k)
		}
	}
	want := []string{"RS256 active", "RS256 next", "PS256 active", "PS256 next", "ES256 active", "ES256 next", "EdDSA active", "EdDSA next"}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	modes(t, dir)
	if strings.Contains(opened.String(), string(opened.seal.prk)) || opened.String() != "keyring "+opened.ID() {
		t.Errorf("String is %q", opened)
	}
}

// modes checks that the folder is 0700 and holds eleven files of 0600.
func modes(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %o", info.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 11 {
		t.Errorf("%d files, want sealing.key, manifest.json, .lock and 8 keys", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode())
		}
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, ErrMissing) {
		t.Errorf("no folder: %v", err)
	}
	put(t, dir, "README.md", nil)
	put(t, dir, ".gitignore", nil)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrMissing) {
		t.Errorf("README.md alone: %v", err)
	}
	if _, err := Create(dir, time.Now()); err != nil {
		t.Errorf("create beside README.md: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the folder was 0755 and is %v, %v", info.Mode(), err)
	}
	if _, err := Create(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("create over a ring: %v", err)
	}
	file := filepath.Join(dir, "README.md")
	if _, err := Open(file); err == nil || errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file for a folder: %v", err)
	}
}
