package keyring

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// damage is a way to spoil a folder, and what Open must say: the file, what is
// wrong, what to do.
type damage struct {
	name  string
	spoil func(testing.TB, string)
	want  []string
}

func remove(name string) func(testing.TB, string) {
	return func(t testing.TB, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(name string, mode os.FileMode) func(testing.TB, string) {
	return func(t testing.TB, dir string) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func edit(name string, f func([]byte) []byte) func(testing.TB, string) {
	return func(t testing.TB, dir string) { put(t, dir, name, f(slurp(t, dir, name))) }
}

func replace(name, old, new string) func(testing.TB, string) {
	return edit(name, func(b []byte) []byte { return []byte(strings.Replace(string(b), old, new, 1)) })
}

func swap(a, b string) func(testing.TB, string) {
	return func(t testing.TB, dir string) {
		x, y := slurp(t, dir, a), slurp(t, dir, b)
		put(t, dir, a, y)
		put(t, dir, b, x)
	}
}

func half(b []byte) []byte  { return b[:len(b)/2] }
func empty(b []byte) []byte { return nil }
func twice(b []byte) []byte { return append(b, b...) }

// without takes the keys of alg out of a manifest.
func without(alg string) func([]byte) []byte {
	one := regexp.MustCompile(`(?s)\{[^{}]*"alg": "` + alg + `"[^{}]*\},?\s*`)
	return func(b []byte) []byte { return one.ReplaceAll(b, nil) }
}

// lastKeyOut takes the last key out of a manifest.
func lastKeyOut(b []byte) []byte {
	s := string(b)
	return []byte(s[:strings.LastIndex(s, ",\n    {")] + "\n  ]\n}\n")
}

func manifestDamages() []damage {
	const m = manifestName
	return []damage{
		{"no manifest", remove(m), []string{m + " is missing beside sealing.key and 8 more", "backup"}},
		{"half manifest", edit(m, half), []string{m + " is damaged", "unexpected EOF", "backup"}},
		{"empty manifest", edit(m, empty), []string{m + " is damaged", "backup"}},
		{"two manifests", edit(m, twice), []string{m + " is damaged (more"}},
		{"unknown member", replace(m, `"version"`, `"flavour": 1, "version"`), []string{m + " is damaged", "flavour"}},
		{"later version", replace(m, `"version": 2`, `"version": 3`), []string{m + " has version 3"}},
		{"version before PS256", replace(m, `"version": 2`, `"version": 1`), []string{m + " is damaged", "PS256"}},
		{"no PS256 keys", edit(m, without("PS256")), []string{m + " is damaged (it names 0 next keys for PS256"}},
		{"older version without ES256", edit(m, func(b []byte) []byte {
			return []byte(strings.Replace(string(without("PS256")(without("ES256")(b))), `"version": 2`, `"version": 1`, 1))
		}), []string{m + " is damaged (it names 0 next keys for ES256"}},
		{"unknown algorithm", replace(m, `"alg": "ES256"`, `"alg": "HS256"`), []string{m + " is damaged", "HS256"}},
		{"unknown state", replace(m, `"state": "next"`, `"state": "soon"`), []string{m + " is damaged", "soon"}},
		{"path for a kid", replace(m, `"kid": "`, `"kid": "../../`), []string{m + " is damaged (bad kid"}},
		{"no active key", replace(m, `"state": "active"`, `"state": "retired"`), []string{m + " is damaged", "0 active keys for RS256"}},
		{"no next key", replace(m, `"state": "next"`, `"state": "active"`), []string{m + " is damaged", "0 next keys for RS256"}},
		{"two next keys", replace(m, `"state": "active"`, `"state": "next"`), []string{m + " is damaged", "2 next keys for RS256"}},
		{"manifest without a key", edit(m, lastKeyOut), []string{m + " is damaged (it names 0 next keys for EdDSA", "backup"}},
		{"writable manifest", chmod(m, 0o602), []string{m + " is open to everyone", "chmod 600"}},
	}
}

func fileDamages(t *testing.T, r *Ring) []damage {
	_, foreign := newStranger(t)
	rs, es := keyFile(t, r, "RS256", "active"), keyFile(t, r, "ES256", "active")
	esNext, ed, ps := keyFile(t, r, "ES256", "next"), keyFile(t, r, "EdDSA", "next"), keyFile(t, r, "PS256", "active")
	const s = sealingName
	return []damage{
		{"no sealing key", remove(s), []string{s + " is missing", "backup"}},
		{"half sealing key", edit(s, half), []string{s + " is damaged", "backup"}},
		{"empty sealing key", edit(s, empty), []string{s + " is damaged", "backup"}},
		{"two sealing keys", edit(s, twice), []string{s + " is damaged"}},
		{"readable sealing key", chmod(s, 0o644), []string{s + " is open to everyone", "chmod 600"}},
		{"sealing key of another ring", func(t testing.TB, dir string) { put(t, dir, s, slurp(t, foreign, s)) },
			[]string{s + " is not the key", "same backup"}},
		{"no RSA key", remove(rs), []string{rs + " is missing", "backup"}},
		{"half RSA key", edit(rs, half), []string{rs + " is damaged", "backup"}},
		{"empty EdDSA key", edit(ed, empty), []string{ed + " is damaged", "backup"}},
		{"two keys in a file", edit(es, twice), []string{es + " is damaged"}},
		{"swapped keys", swap(es, esNext), []string{es + " is another key", "backup"}},
		{"swapped kinds", swap(es, rs), []string{rs + " is damaged (not a key for RS256)", "backup"}},
		{"RSA keys swapped", swap(rs, ps), []string{rs + " is another key", "backup"}},
		{"no PS256 key", remove(ps), []string{ps + " is missing", "backup"}},
		{"readable key", chmod(es, 0o604), []string{es + " is open to everyone (mode 0604)", "chmod 600"}},
		{"huge file", edit(es, func([]byte) []byte { return make([]byte, maxFile+1) }), []string{es + " is damaged (over 1 MiB)"}},
		{"folder for a file", func(t testing.TB, dir string) {
			remove(es)(t, dir)
			if err := os.Mkdir(filepath.Join(dir, es), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{es + " is not a regular file"}},
		{"link to nowhere", func(t testing.TB, dir string) {
			remove(ed)(t, dir)
			if err := os.Symlink("nowhere", filepath.Join(dir, ed)); err != nil {
				t.Fatal(err)
			}
		}, []string{ed + " is missing"}},
		{"writable folder", chmod(".", 0o777), []string{"can be written by everyone", "chmod 700"}},
	}
}

func TestDamage(t *testing.T) {
	r, good := newRing(t)
	for _, tt := range append(manifestDamages(), fileDamages(t, r)...) {
		t.Run(tt.name, func(t *testing.T) {
			dir := copyRing(t, good)
			running, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, dir)
			before := listing(t, dir)
			_, err = Open(dir)
			refused(t, err, append(tt.want, dir))
			if _, err := Create(dir, time.Now()); err == nil {
				t.Error("Create took the damaged folder")
			}
			if changed, _ := running.Reload(); changed {
				t.Error("Reload took the damage over")
			}
			if _, err := running.Sign("ES256", "JWT", []byte("{}")); err != nil {
				t.Errorf("the running ring: %v", err)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("the folder changed from\n%s to\n%s", before, after)
			}
		})
	}
}

// listing is the names and modes in a folder, and its own mode.
func listing(t *testing.T, dir string) string {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := info.Mode().String() + "\n"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out += e.Name() + " " + info.Mode().String() + "\n"
	}
	return out
}

// refused wants an error of one line with all of want in it.
func refused(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("Open took it")
	}
	if errors.Is(err, ErrMissing) {
		t.Error("damage is called ErrMissing")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q\ndoes not say %q", err, w)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("more than one line: %q", err)
	}
}

// A damaged manifest is noticed by a running ring too, and mending it mends it.
func TestReloadAfterDamage(t *testing.T) {
	r, dir := newRing(t)
	good := slurp(t, dir, manifestName)
	put(t, dir, manifestName, half(good))
	for range 2 {
		if changed, err := r.Reload(); changed || err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Fatalf("Reload gave %v, %v", changed, err)
		}
	}
	if _, err := r.Sign("EdDSA", "JWT", []byte("{}")); err != nil {
		t.Error(err)
	}
	put(t, dir, manifestName, good)
	later := time.Now().Add(time.Second) // a clock of files may stand still for some milliseconds
	if err := os.Chtimes(filepath.Join(dir, manifestName), later, later); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Reload(); err != nil || !changed {
		t.Errorf("after the repair: %v, %v", changed, err)
	}
	if changed, err := r.Reload(); err != nil || changed {
		t.Errorf("with no change: %v, %v", changed, err)
	}
}

func TestReloadRefusesAnotherRing(t *testing.T) {
	r, dir := newRing(t)
	_, other := newStranger(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, dir); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Reload(); changed || err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("Reload gave %v, %v", changed, err)
	}
}

// A bit of each byte of a key file is flipped. The file must be refused, or
// hold the same key: PKCS#8 repeats public values that nobody reads.
func TestDamageOfEveryByte(t *testing.T) {
	for _, alg := range algorithms() {
		k, err := generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		k.State = Active
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			t.Fatal(err)
		}
		same := k.private.(interface {
			Equal(crypto.PrivateKey) bool
		}).Equal
		for i := range der {
			bad := slices.Clone(der)
			bad[i] ^= 1 << (i % 8)
			got, err := parseKey(k.entry(), pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: bad}))
			if err == nil && !same(got.private) {
				t.Errorf("%s: byte %d of %d changed the key and nobody saw", alg, i, len(der))
			}
		}
	}
}
