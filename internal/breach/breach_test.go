package breach

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// many makes a list of n hashes, spread as SHA-1 is, and gives every thousandth of them.
func many(t testing.TB, n int) (*List, [][sha1.Size]byte) {
	t.Helper()
	path, r := filepath.Join(t.TempDir(), "list"), rand.New(rand.NewPCG(1, 2))
	var some [][sha1.Size]byte
	err := write(path, imported, func(w *writer) error {
		step := ^uint64(0)/uint64(n) + 1
		for i := range uint64(n) {
			sum := random(r)
			binary.BigEndian.PutUint64(sum[:], i*step+r.Uint64N(step))
			if i%1000 == 0 {
				some = append(some, sum)
			}
			if err := w.add(sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { list.Close() })
	return list, some
}

func random(r *rand.Rand) (sum [sha1.Size]byte) {
	for i := 0; i < sha1.Size; i += 4 {
		binary.BigEndian.PutUint32(sum[i:], r.Uint32())
	}
	return sum
}

// counted counts what is read.
type counted struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, at)
}

// TestMany: of five million all are found that are asked for, none of others is, by two small reads each, in microseconds.
func TestMany(t *testing.T) {
	const n = 5_000_000
	list, some := many(t, n)
	if list.Len() != n {
		t.Fatalf("%d entries", list.Len())
	}
	c := &counted{ReaderAt: list.r}
	list.r = c
	for _, sum := range some {
		if yes, err := list.has(sum); !yes || err != nil {
			t.Fatalf("%x is not found: %v", sum, err)
		}
	}
	if c.reads != 2*len(some) || c.bytes > 4<<10*len(some) {
		t.Errorf("%d look-ups made %d reads of %d bytes", len(some), c.reads, c.bytes)
	}
	r, best := rand.New(rand.NewPCG(3, 4)), time.Hour
	for range 20 { // the best of 20: the machine may be busy with other things
		const strangers = 5000
		start := time.Now()
		for range strangers {
			if yes, err := list.has(random(r)); yes || err != nil { // by chance once in 140,000 runs of this test
				t.Fatal(yes, err)
			}
		}
		best = min(best, time.Since(start)/strangers)
	}
	if t.Logf("a look-up takes %v", best); best > 100*time.Microsecond {
		t.Errorf("a look-up takes %v", best)
	}
}

// TestChance: what the package's comment says of a billion entries.
func TestChance(t *testing.T) {
	for _, c := range []struct {
		s    shape
		n    float64
		most float64
	}{{imported, 1e9, 1 / 6e7}, {imported, 5e9, 1e-7}, {builtIn, float64(len(commonest())), 1 / 2.5e7}} {
		if got := c.n / float64(uint64(1)<<(8*(c.s.skip+c.s.width))); got > c.most {
			t.Errorf("%+v with %g entries: %g, want at most %g", c.s, c.n, got, c.most)
		}
	}
}

// TestCrowd: hashes that somebody made to share their first bits are found by reads as small.
func TestCrowd(t *testing.T) {
	path, r := filepath.Join(t.TempDir(), "list"), rand.New(rand.NewPCG(5, 6))
	sum := random(r)
	const n = 20_000
	err := write(path, imported, func(w *writer) error {
		for i := range n {
			binary.BigEndian.PutUint32(sum[3:], uint32(i)*2)
			if err := w.add(sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	c := &counted{ReaderAt: list.r}
	list.r = c
	asked := 0
	for i := 0; i < 2*n; i += 7 {
		asked++
		binary.BigEndian.PutUint32(sum[3:], uint32(i))
		if yes, err := list.has(sum); yes != (i%2 == 0) || err != nil {
			t.Fatalf("%d: %v, %v", i, yes, err)
		}
	}
	if c.bytes > (gulp+200)*asked {
		t.Errorf("%d bytes a look-up", c.bytes/asked)
	}
}

// small is a file with three hashes and a short index.
func small(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := write(path, builtIn, func(w *writer) error { return addAll(w, [][sha1.Size]byte{{1}, {2}, {3}}) }); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDamage: a file that is cut off, grown, changed before the entries or in the index, or is another kind of file, is refused when
// it is opened, with a sentence that says so.
func TestDamage(t *testing.T) {
	whole := small(t)
	open := func(text []byte) error {
		_, err := New(bytes.NewReader(text), int64(len(text)))
		return err
	}
	if err := open(whole); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := open(whole[:n]); !errors.Is(err, ErrFile) {
			t.Errorf("cut off after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if err := open(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrFile) {
		t.Errorf("with a byte more: %v", err)
	}
	entries := header + 3*builtIn.width
	for at := range len(whole) {
		if at >= header && at < entries {
			continue
		}
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		if err := open(changed); !errors.Is(err, ErrFile) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "a list of hashes": lines("alpha")[0], "SQLite": "SQLite format 3\x00" + strings.Repeat("x", 5000)} {
		if err := open([]byte(text)); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "was not made by") {
			t.Errorf("%s: %v", name, err)
		}
	}
	next := bytes.Clone(whole)
	next[len(magic)-1] = 2
	if err := open(next); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrFile) {
		t.Errorf("a folder: %v", err)
	}
}

// A file that is cut off while it is in use is a fault, not an answer.
func TestCutWhileOpen(t *testing.T) {
	list, some := many(t, 5000)
	if err := os.Truncate(list.f.Name(), header); err != nil {
		t.Fatal(err)
	}
	if yes, err := list.has(some[0]); yes || err == nil {
		t.Error(yes, err)
	}
}

func BenchmarkHas(b *testing.B) {
	list, some := many(b, 5_000_000)
	b.Run("listed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if yes, err := list.has(some[i%len(some)]); !yes || err != nil {
				b.Fatal(yes, err)
			}
		}
	})
	b.Run("not", func(b *testing.B) {
		for r := rand.New(rand.NewPCG(7, 8)); b.Loop(); {
			if _, err := list.has(random(r)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
